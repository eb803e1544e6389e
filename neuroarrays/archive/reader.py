"""Trees saved by `neuroarrays.save`: netCDF-4 (HDF5) files and Zarr v3 stores.

In a file::

    /                            attrs neuroarrays_schema, history, _saved_by
    /<session>[/<area>/...]      one group per node; a variable is a dataset or array
    (after HDF5's last byte)     the index, see `neuroarrays.archive.index`

Text, bool and what else netCDF does not hold exactly: `neuroarrays.archive.encoding`. What was shown in
presentations and repeats is stored once, with ``stimulus_index`` saying which is which.
"""

from __future__ import annotations

import base64
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.archive import index as contents
from neuroarrays.archive.arrays import Decoded, Repeated
from neuroarrays.archive.encoding import decode, viewable
from neuroarrays.archive.marks import unfinished
from neuroarrays.archive.nodes import Nodes
from neuroarrays.archive.seal import FOOTER, SealedSource, footer_of
from neuroarrays.archive.sums import summed_source
from neuroarrays.errors import FormatError, NeuroArraysError
from neuroarrays.files.headers import CHECKSUMS
from neuroarrays.files.probe import Probe, asked
from neuroarrays.files.source import Source
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.sessions import find
from neuroarrays.lazy.arrays import FileArray, LazyArray
from neuroarrays.lazy.indexes import dataset, usual_form

#: Block -> its archive, and what that holds.
Blocks = dict[str, tuple[Probe, contents.Index]]


class ArchiveReader(Reader):
    """Reads what `na.save` wrote: one archive, or a folder or list of them as blocks."""

    name = "neuroarrays"
    description = "trees saved by na.save, HDF5 or Zarr"
    several = True

    def recognise(self, probe: Probe) -> bool:
        """Whether the root carries our mark; of a folder, of any archive in it."""
        if probe.is_list:
            return all(asked(_is_archive, child) for child in probe.children)
        if probe.is_folder:
            inside = any(asked(_is_archive, child) for child in probe.children)
            return inside or bool(unfinished(probe))
        return _is_archive(probe)

    def is_marked(self, probe: Probe) -> bool:
        """Whether one archive has our index at its end, or our list of checksums."""
        if probe.container == "hdf5":
            return has_footer(probe)
        return probe.container == "zarr" and CHECKSUMS in probe.listing

    def open_groups(self, probe: Probe, request: Request) -> dict[str, xr.Dataset]:
        """Open an archive as the groups of the tree that was saved.

        Not session by session: what stands above sessions (blocks, the root) is stored too, and the
        index at the end of the file says of all of them what they hold.

        Parameters
        ----------
        probe : Probe
            An ``.h5`` file or a ``.zarr`` folder. A folder of archives, or a list of them: a tree
            with a block of each, named as its file.
        request : Request
            What to open; other sessions are not visited.
        """
        if _is_one(probe):
            index = contents.load(probe)
            return _groups(probe, index, _picked(index, request), request)
        indexes = _indexes(probe, request)
        groups = self._open_blocks(probe, indexes, request)
        request.notes += filter(None, [_unfinished(probe)])
        if request.notes:
            groups["/"].attrs["notes"] = request.notes
        return groups

    def list_rows(self, probe: Probe, request: Request) -> Iterable[dict[str, Any]]:
        """The catalogue that the index of each archive has."""
        if _is_one(probe):
            return contents.load(probe).rows
        _unfinished(probe)
        return (
            row | {"block": f"{block}/{row['block']}".rstrip("/")}
            for block, (_, index) in _indexes(probe, request).items()
            for row in index.rows
        )

    def _open_blocks(
        self, probe: Probe, indexes: Blocks, request: Request
    ) -> dict[str, xr.Dataset]:
        """The groups of several archives, each below its name; any may answer a request."""
        kinds = {schema.kind_of(index.nodes[""]["attrs"]) for _, index in indexes.values()}
        if len(kinds) > 1:
            raise FormatError(probe.given, "/", "archives of one kind", " and ".join(kinds))
        known = [path for _, index in indexes.values() for path in index.sessions]
        names = set(request.sessions(dict.fromkeys(map(_leaf, known))))
        groups = {"/": xr.Dataset(attrs=schema.root_attrs(kinds.pop(), source=self.name))}
        for block, (archive, index) in indexes.items():
            picked = [path for path in index.sessions if _leaf(path) in names]
            kept = request.areas(area for path in picked for area in index.sessions[path])
            if not picked or not (kept or request.every_area):
                continue
            for name, node in _groups(archive, index, picked, request).items():
                node_path = f"{block}/{name}".rstrip("/")
                if name == "/":
                    mark = "neuroarrays_schema"
                    node.attrs = {k: v for k, v in node.attrs.items() if k != mark}
                groups[node_path] = node
        return groups


def _is_one(probe: Probe) -> bool:
    """Whether it is one archive, and no folder or list of them."""
    return not probe.is_list and not probe.is_folder


def _is_archive(probe: Probe) -> bool:
    return ArchiveReader().is_marked(probe) or "neuroarrays_schema" in probe.attrs


def has_footer(probe: Probe) -> bool:
    """Whether a file ends with an index of ours."""
    return footer_of(probe.tail(FOOTER.size)) is not None


def _is_meant(probe: Probe) -> bool:
    """Whether what is no archive that can be read is called like one; a sound file is another's."""
    if probe.suffix not in (".zarr", ".h5", ".hdf5", ".nc"):
        return False
    sound = probe.container == ("zarr" if probe.suffix == ".zarr" else "hdf5")
    if probe.suffix == ".nc" and not sound:
        return False  # netCDF of another kind, or none: then its siblings say so
    try:
        return not sound or not probe.names
    except NeuroArraysError:
        return True


def _indexes(probe: Probe, request: Request) -> Blocks:
    """Block -> its archive and what it holds, for a folder or list of archives.

    Raises
    ------
    FormatError
        If two archives have one name, or one is damaged.
    """
    sessions = find(probe, _is_archive, _is_meant)
    missing = "" if sessions or probe.is_list else unfinished(probe)
    if missing:
        hint = "run the same build again to continue it"
        raise FormatError(probe.given, "", "archives", f"none yet: {missing}", hint)
    request.notes += sessions.notes
    indexes: Blocks = {}
    for label, archive in sessions.items():
        name = schema.node_name(archive.stem) if isinstance(archive, Probe) else label
        if name in indexes:
            other = indexes[name][0]
            raise FormatError(archive.given, "", "archives of different names", f"{other} too")
        with request.sparing(name, getattr(archive, "path", probe), len(sessions) > 1):
            if isinstance(archive, Exception):
                raise archive
            indexes[name] = archive, contents.load(archive)
    if not indexes:
        notes = "; ".join(request.notes)
        raise FormatError(probe.given, "", "an archive that can be read", notes)
    return indexes


def _unfinished(probe: Probe) -> str:
    """What a build has not made of a folder of archives, as a warning too."""
    missing = "" if probe.is_list else unfinished(probe)
    if missing:
        msg = f"{probe}: {missing}. Run the same build again to continue it"
        warnings.warn(msg, UserWarning, stacklevel=2)
    return missing


def _leaf(path: str) -> str:
    return path.rpartition("/")[2]


def _picked(index: contents.Index, request: Request) -> list[str]:
    """Paths of the sessions asked for, in the order of the archive."""
    wanted = set(request.sessions(dict.fromkeys(map(_leaf, index.sessions))))
    return [path for path in index.sessions if _leaf(path) in wanted]


def _groups(
    probe: Probe, index: contents.Index, picked: list[str], request: Request
) -> dict[str, xr.Dataset]:
    """The groups of one archive: the sessions of some paths, with the areas asked for."""
    # The file itself is opened when a value is read.
    store = probe.container == "zarr"
    file = summed_source(probe.location) if store else SealedSource(probe.location, probe.stamp)
    build = _Builder(file, schema.kind_of(index.nodes[""]["attrs"]))
    groups = {"/": build.node("", index.nodes)}
    asked_for = {s: [a for a in index.sessions[s] if request.area(a)] for s in picked}
    if not request.every_area:  # one without any of the areas is left out whole
        picked = [session for session in picked if asked_for[session] or not session]
    for name in index.nodes:
        above = any(session.startswith(name + "/") for session in picked)
        if name and (above or (request.every_session and request.every_area)):
            groups[name] = build.node(name, index.nodes)
    for session, nodes in index.fetch(picked).items():
        areas = set(index.sessions[session]).difference(asked_for[session])
        unwanted = [f"{session}/{area}".lstrip("/") for area in areas]
        for name in nodes:
            if not any(name == a or name.startswith(a + "/") for a in unwanted):
                groups[name or "/"] = build.node(name, nodes)
    return groups


class _Builder:
    """Makes the datasets of nodes."""

    def __init__(self, file: Source, kind: str):
        self.file, self.kind = file, kind

    def node(self, path: str, nodes: Nodes) -> xr.Dataset:
        """The dataset of one node, with the coordinates that come from its `presentations`."""
        record = nodes[path]
        try:
            forms = {
                n: usual_form(n, record["vars"], self.kind == schema.RECORDING)
                for n in record["coords"]
            } | record.get("indexes", {})
            variables = {n: self._variable(n, v, forms.get(n)) for n, v in record["vars"].items()}
            coords = {n: variables.pop(n) for n in record["coords"]}
            table = nodes.get(f"{path}/{schema.PRESENTATIONS}".lstrip("/"))
            if self.kind == schema.ALIGNED and table is not None:
                coords |= self._views(record, table)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, NeuroArraysError):
                raise
            raise FormatError(
                self.file.path, path, "a node of an archive", f"{type(error).__name__}: {error}"
            ) from error
        return dataset(
            variables, coords, record["attrs"], [n for n in forms if forms[n] == "plain"]
        )

    def _views(self, record: dict[str, Any], table: dict[str, Any]) -> dict[str, xr.Variable]:
        """Coordinates along presentation_id that are the columns of the table."""
        labels = set(table["coords"])
        columns = {n: v["d"] for n, v in table["vars"].items() if n not in labels}
        names = record.get("views")
        if names is None:
            names = viewable(columns, record["vars"])
        return {n: self._variable(n, table["vars"][n]) for n in names}

    def _variable(self, name: str, record: dict[str, Any], form: str | None = None) -> xr.Variable:
        """A variable; one that has an index of xarray's is read, other small ones may be."""
        dims, shape = tuple(record["d"]), tuple(record["s"])
        dtype = np.dtype(record["t"]).newbyteorder("=")
        if len(dims) != len(shape):
            msg = f"{name} has {len(dims)} dims and {len(shape)} sizes"
            raise ValueError(msg)
        eager = (dims == (name,) and form != "clock") or name == schema.ROW_SIZE
        if eager and "v" in record:
            raw = np.frombuffer(base64.b64decode(record["v"]), _stored_dtype(record))
            values = decode(raw.reshape(shape).copy(), record["k"], dtype, None)
            return xr.Variable(dims, values, record["a"], fastpath=True)
        array = self._array(record, shape, dtype)
        if "cf" in record:
            coded = array.variable(dims, record["a"] | record["cf"])
            variable = xr.conventions.decode_cf_variable(name, coded, decode_times=False)
            variable.encoding = {}
            return variable.load() if eager else variable
        if eager:
            return xr.Variable(dims, array.load(), record["a"])
        return array.variable(dims, record["a"])

    def _array(self, record: dict[str, Any], shape: tuple[int, ...], dtype: np.dtype) -> LazyArray:
        if "i" in record:
            count, index = record["i"]
            kept = {k: v for k, v in record.items() if k != "i"}
            places = self._array(index, tuple(index["s"]), np.dtype(index["t"]))
            base = self._array(kept, (count, *shape[1:]), dtype)
            return Repeated(base, places, self.file, record["p"])
        if record["k"] == "raw" and record.get("c") is None:
            return FileArray(self.file, record["p"], shape, dtype)
        missing = tuple(record["m"]) if record["m"] else None
        return Decoded(self.file, record["p"], shape, dtype, record["k"], missing, record.get("c"))


def _stored_dtype(record: dict[str, Any]) -> np.dtype:
    """The dtype of the bytes of values that stand in the index."""
    name: str = {"bool": "i1", "cast": "<f4"}.get(record["k"], record["t"])
    return np.dtype(name)
