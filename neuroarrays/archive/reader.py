"""Reader of archives that `neuroarrays.save` wrote: netCDF-4 (HDF5) files and Zarr v3 stores.

The layout of a file is::

    /                            attributes neuroarrays_schema, history, _saved_by
    /<session>[/<area>/...]      one group per node; a variable is a dataset or array
    (after HDF5's last byte)     the index, see `neuroarrays.archive.index`

`neuroarrays.archive.encoding` describes how text, bool and other values are stored that netCDF cannot
represent exactly. A frame that was shown in several presentations is stored once, and
``stimulus_index`` has the number of the frame of each presentation.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.archive import index as contents
from neuroarrays.archive.arrays import Decoded, Repeated
from neuroarrays.archive.checksums import checked_source
from neuroarrays.archive.encoding import decode, viewable
from neuroarrays.archive.marks import unfinished
from neuroarrays.archive.nodes import Nodes
from neuroarrays.archive.seal import FOOTER, SealedSource, footer_of
from neuroarrays.errors import FormatError, NeuroArraysError, warn
from neuroarrays.files.headers import CHECKSUMS
from neuroarrays.files.probe import Probe, asked
from neuroarrays.files.source import Source
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.formats.sessions import find
from neuroarrays.lazy.arrays import FileArray, LazyArray
from neuroarrays.lazy.indexes import dataset, usual_form

#: Name of a block -> its archive, and the index of the archive.
Blocks = dict[str, tuple[Probe, contents.Index]]


class ArchiveReader(Reader):
    """Reads archives that `na.save` wrote. Each archive of a folder or list becomes a block."""

    name = "neuroarrays"
    description = "trees saved by na.save, HDF5 or Zarr"
    several = True

    def recognise(self, probe: Probe) -> bool:
        """Return whether it is an archive, a list of archives, or a folder with any archive in it."""
        if probe.is_list:
            return all(asked(_is_archive, child) for child in probe.children)
        if probe.is_folder:
            has_archive = any(asked(_is_archive, child) for child in probe.children)
            return has_archive or bool(unfinished(probe))
        return _is_archive(probe)

    def is_marked(self, probe: Probe) -> bool:
        """Return whether an archive has our index at its end, or our file of checksums."""
        if probe.container == "hdf5":
            return has_footer(probe)
        return probe.container == "zarr" and CHECKSUMS in probe.listing

    def open_groups(self, probe: Probe, request: Request) -> dict[str, xr.Dataset]:
        """Open an archive as the groups of the tree that was saved.

        This reader does not open session by session as others do, because an archive also has nodes
        above its sessions (blocks, the root), and its index covers all sessions.

        Parameters
        ----------
        probe : Probe
            An ``.h5`` file or a ``.zarr`` folder. A folder or list of archives becomes a tree with
            one block for each archive, named as its file.
        request : Request
            Which sessions and areas to open; other sessions are not visited.
        """
        if _is_one(probe):
            index = contents.load(probe)
            return _groups(probe, index, _requested(index, request), request)
        indexes = _indexes(probe, request)
        groups = self._open_blocks(probe, indexes, request)
        request.notes += filter(None, [_unfinished(probe)])
        if request.notes:
            groups["/"].attrs["notes"] = request.notes
        return groups

    def list_rows(self, probe: Probe, request: Request) -> Iterable[dict[str, Any]]:
        """Return the rows of the catalogue, which the index of each archive has."""
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
        """Return the groups of several archives, each below the name of its block.

        An archive without any of the requested sessions is left out.
        """
        kinds = {schema.kind_of(index.nodes[""]["attrs"]) for _, index in indexes.values()}
        if len(kinds) > 1:
            raise FormatError(probe.as_given, "/", "archives of one kind", " and ".join(kinds))
        known = [path for _, index in indexes.values() for path in index.sessions]
        names = set(request.sessions(dict.fromkeys(map(_leaf, known))))
        groups = {"/": xr.Dataset(attrs=schema.root_attrs(kinds.pop(), source=self.name))}
        for block, (archive, index) in indexes.items():
            paths = [path for path in index.sessions if _leaf(path) in names]
            areas = request.areas(area for path in paths for area in index.sessions[path])
            if not paths or not (areas or request.every_area):
                continue
            for name, node in _groups(archive, index, paths, request).items():
                node_path = f"{block}/{name}".rstrip("/")
                if name == "/":
                    mark = "neuroarrays_schema"
                    node.attrs = {k: v for k, v in node.attrs.items() if k != mark}
                groups[node_path] = node
        return groups


def _is_one(probe: Probe) -> bool:
    """Return whether it is a single archive, not a folder or list of archives."""
    return not probe.is_list and not probe.is_folder


def _is_archive(probe: Probe) -> bool:
    return ArchiveReader().is_marked(probe) or "neuroarrays_schema" in probe.attrs


def has_footer(probe: Probe) -> bool:
    """Return whether a file ends with our index."""
    return footer_of(probe.tail(FOOTER.size)) is not None


def _is_meant(probe: Probe) -> bool:
    """Return whether an unreadable file has the name of an archive, so that it is probably damaged.

    A readable file that is not an archive belongs to something else.
    """
    if probe.suffix not in (".zarr", ".h5", ".hdf5", ".nc"):
        return False
    is_readable = probe.container == ("zarr" if probe.suffix == ".zarr" else "hdf5")
    if probe.suffix == ".nc" and not is_readable:
        return False  # ".nc" is also the suffix of netCDF-3
    try:
        return not is_readable or not probe.names
    except NeuroArraysError:
        return True


def _indexes(probe: Probe, request: Request) -> Blocks:
    """Return the archives of a folder or list, with their indexes, by name of the block.

    Raises
    ------
    FormatError
        If two archives have the same name, or one is damaged.
    """
    sessions = find(probe, _is_archive, _is_meant)
    missing = "" if sessions or probe.is_list else unfinished(probe)
    if missing:
        hint = "run the same build again to continue it"
        raise FormatError(probe.as_given, "", "archives", f"none yet: {missing}", hint)
    request.notes += sessions.notes
    indexes: Blocks = {}
    for label, archive in sessions.items():
        name = schema.node_name(archive.stem) if isinstance(archive, Probe) else label
        if name in indexes:
            other = indexes[name][0]
            raise FormatError(archive.as_given, "", "archives of different names", f"{other} too")
        with request.sparing(name, getattr(archive, "path", probe), len(sessions) > 1):
            if isinstance(archive, Exception):
                raise archive
            indexes[name] = archive, contents.load(archive)
    if not indexes:
        notes = "; ".join(request.notes)
        raise FormatError(probe.as_given, "", "an archive that can be read", notes)
    return indexes


def _unfinished(probe: Probe) -> str:
    """Warn if a build has not finished a folder of archives; return what is missing, or ""."""
    missing = "" if probe.is_list else unfinished(probe)
    if missing:
        msg = f"{probe}: {missing}. Run the same build again to continue it"
        warn(msg)
    return missing


def _leaf(path: str) -> str:
    """Return the last name of a path."""
    return path.rpartition("/")[2]


def _requested(index: contents.Index, request: Request) -> list[str]:
    """Return the paths of the requested sessions, in the order of the archive."""
    wanted = set(request.sessions(dict.fromkeys(map(_leaf, index.sessions))))
    return [path for path in index.sessions if _leaf(path) in wanted]


def _groups(
    probe: Probe, index: contents.Index, sessions: list[str], request: Request
) -> dict[str, xr.Dataset]:
    """Return the groups of one archive: some of its sessions, with the requested areas."""
    # The file itself is opened only when a value is read.
    is_zarr = probe.container == "zarr"
    file = checked_source(probe.location) if is_zarr else SealedSource(probe.location, probe.stamp)
    build = _Builder(file, schema.kind_of(index.nodes[""]["attrs"]))
    groups = {"/": build.node("", index.nodes)}
    areas = {s: [a for a in index.sessions[s] if request.area(a)] for s in sessions}
    if not request.every_area:  # sessions without any of the areas are left out
        sessions = [session for session in sessions if areas[session] or not session]
    for name in index.nodes:
        is_above = any(session.startswith(name + "/") for session in sessions)
        if name and (is_above or (request.every_session and request.every_area)):
            groups[name] = build.node(name, index.nodes)
    for session, nodes in index.fetch(sessions).items():
        other_areas = set(index.sessions[session]).difference(areas[session])
        unwanted = [f"{session}/{area}".lstrip("/") for area in other_areas]
        for name in nodes:
            if not any(name == a or name.startswith(a + "/") for a in unwanted):
                groups[name or "/"] = build.node(name, nodes)
    return groups


class _Builder:
    """Builds the datasets of nodes from their entries in the index."""

    def __init__(self, file: Source, kind: str):
        self.file, self.kind = file, kind

    def node(self, path: str, nodes: Nodes) -> xr.Dataset:
        """Return the dataset of a node, with the coordinates that come from its `presentations`."""
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
        """Return the coordinates along presentation_id that are columns of `presentations`."""
        labels = set(table["coords"])
        columns = {n: v["d"] for n, v in table["vars"].items() if n not in labels}
        names = record.get("views")
        if names is None:
            names = viewable(columns, record["vars"])
        return {n: self._variable(n, table["vars"][n]) for n in names}

    def _variable(self, name: str, record: dict[str, Any], form: str | None = None) -> xr.Variable:
        """Return a variable. It is lazy unless xarray needs its values for an index."""
        dims, shape = tuple(record["d"]), tuple(record["s"])
        dtype = np.dtype(record["t"]).newbyteorder("=")
        if len(dims) != len(shape):
            msg = f"{name} has {len(dims)} dims and {len(shape)} sizes"
            raise ValueError(msg)
        is_eager = (dims == (name,) and form != "clock") or name == schema.ROW_SIZE
        if is_eager and "v" in record:
            raw = np.frombuffer(base64.b64decode(record["v"]), _stored_dtype(record))
            values = decode(raw.reshape(shape).copy(), record["k"], dtype, None)
            return xr.Variable(dims, values, record["a"], fastpath=True)
        array = self._array(record, shape, dtype)
        if "cf" in record:
            coded = array.variable(dims, record["a"] | record["cf"])
            variable = xr.conventions.decode_cf_variable(name, coded, decode_times=False)
            variable.encoding = {}
            return variable.load() if is_eager else variable
        if is_eager:
            return xr.Variable(dims, array.load(), record["a"])
        return array.variable(dims, record["a"])

    def _array(self, record: dict[str, Any], shape: tuple[int, ...], dtype: np.dtype) -> LazyArray:
        if "i" in record:
            count, index = record["i"]
            rows = {k: v for k, v in record.items() if k != "i"}
            row_index = self._array(index, tuple(index["s"]), np.dtype(index["t"]))
            base = self._array(rows, (count, *shape[1:]), dtype)
            return Repeated(base, row_index, self.file, record["p"])
        if record["k"] == "raw" and record.get("c") is None:
            return FileArray(self.file, record["p"], shape, dtype)
        missing = tuple(record["m"]) if record["m"] else None
        return Decoded(self.file, record["p"], shape, dtype, record["k"], missing, record.get("c"))


def _stored_dtype(record: dict[str, Any]) -> np.dtype:
    """Return the dtype of a variable's values in the index."""
    name: str = {"bool": "i1", "cast": "<f4"}.get(record["k"], record["t"])
    return np.dtype(name)
