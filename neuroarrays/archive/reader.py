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
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.archive import index as contents
from neuroarrays.archive.arrays import Repeated, Stored
from neuroarrays.archive.encoding import decode, viewable
from neuroarrays.archive.marks import unfinished
from neuroarrays.archive.scan import Nodes
from neuroarrays.archive.seal import has_footer, sealed_source
from neuroarrays.archive.sums import summed_source
from neuroarrays.errors import FormatError, NeuroArraysError
from neuroarrays.files import opening
from neuroarrays.files.source import Source
from neuroarrays.formats.folders import Found, find, sparing
from neuroarrays.formats.reader import Reader
from neuroarrays.formats.request import Request
from neuroarrays.lazy.arrays import FileArray, LazyArray
from neuroarrays.lazy.indexes import dataset, usual_form


class ArchiveReader(Reader):
    """Reads what `na.save` wrote: one archive, or a folder or list of them as blocks."""

    name = "neuroarrays"
    description = "trees saved by na.save, HDF5 or Zarr"
    several = True

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether the root carries our mark; of a folder, of any archive in it."""
        try:
            if isinstance(filename_or_obj, str | os.PathLike):
                path = os.fspath(filename_or_obj)
                return _claims(path) or any(map(_claims, _members(path))) or bool(unfinished(path))
            paths = [os.fspath(path) for path in filename_or_obj]
            return bool(paths) and all(map(_claims, paths))
        except (OSError, TypeError, ValueError):
            return False

    def open_groups(
        self,
        filename_or_obj: Any,
        request: Request,
        *,
        skip_damaged: bool = False,
    ) -> dict[str, xr.Dataset]:
        """Open an archive as the groups of the tree that was saved.

        Parameters
        ----------
        filename_or_obj : str, path or list of these
            An ``.h5`` file or a ``.zarr`` folder. A folder of archives, or a list of them: a tree
            with a block of each, named as its file.
        request : Request
            What to open; other sessions are not visited.
        skip_damaged : bool
            Leave out an archive of several that cannot be read, and say so in ``notes``.
        """
        found = _found(filename_or_obj)
        if found is None:
            path = os.path.abspath(filename_or_obj)
            index = contents.load(path)
            return _groups(index, _picked(index, request), request)
        notes = found.notes()
        indexes = _indexes(found, notes, skip_damaged)
        groups = self._open_blocks(indexes, request)
        notes += [said] if (said := _unfinished(filename_or_obj)) else []
        if notes:
            groups["/"].attrs["notes"] = notes
        return groups

    def _open_blocks(
        self, indexes: dict[str, contents.Index], request: Request
    ) -> dict[str, xr.Dataset]:
        """The groups of several archives, each below its name; what is asked for is in any."""
        kinds = {schema.kind_of(index.nodes[""]["attrs"]) for index in indexes.values()}
        if len(kinds) > 1:
            raise FormatError(
                next(iter(indexes.values())).path, "/", "archives of one kind", " and ".join(kinds)
            )
        known = [path for index in indexes.values() for path in index.sessions]
        names = set(request.sessions(dict.fromkeys(map(_leaf, known))))
        groups = {"/": xr.Dataset(attrs=schema.root_attrs(kinds.pop(), source=self.name))}
        for block, index in indexes.items():
            picked = [path for path in index.sessions if _leaf(path) in names]
            kept = request.areas(area for path in picked for area in index.sessions[path])
            if not picked or not (kept or request.every_area):
                continue
            for name, node in _groups(index, picked, request).items():
                place = f"{block}/{name}".rstrip("/")
                if name == "/":
                    mark = "neuroarrays_schema"
                    node.attrs = {k: v for k, v in node.attrs.items() if k != mark}
                groups[place] = node
        return groups

    def catalog(
        self,
        filename_or_obj: Any,
        sessions: str | Sequence[str] | None = None,
        areas: str | Sequence[str] | None = None,
        skip_damaged: bool = False,
        **options: Any,
    ) -> list[dict[str, Any]]:
        request, found = Request(sessions, areas), _found(filename_or_obj)
        if found is None:
            return request.rows(contents.load(os.path.abspath(filename_or_obj)).rows)
        _unfinished(filename_or_obj)
        return request.rows(
            row | {"block": f"{block}/{row['block']}".rstrip("/")}
            for block, index in _indexes(found, [], skip_damaged).items()
            for row in index.rows
        )


def _claims(path: str) -> bool:
    try:
        return _is_archive(path)
    except (OSError, ValueError, NeuroArraysError):
        return False


def _is_archive(path: str) -> bool:
    if not (opening.is_zarr(path) or opening.is_hdf5(path)):
        return False
    if os.path.isdir(path):
        marked = os.path.isfile(os.path.join(path, opening.CHECKSUMS))
    else:
        marked = has_footer(path)
    if marked:
        return True
    return "neuroarrays_schema" in opening.glance(path).attrs("/")


def _members(folder: str) -> list[str]:
    """Paths in a folder that is no archive itself; hidden ones are somebody's work in progress."""
    if not os.path.isdir(folder) or opening.is_zarr(folder):
        return []
    names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    return [os.path.join(folder, name) for name in names]


def _found(path_or_paths: Any) -> Found | None:
    """The archives of a folder or list; None for one archive."""
    if isinstance(path_or_paths, str | os.PathLike):
        path = os.path.abspath(path_or_paths)
        if not os.path.isdir(path) or opening.is_zarr(path):
            return None
        found = find(path, lambda one: _claims(str(one)), _is_meant)
        if not found.paths and (said := unfinished(path)):
            raise FormatError(
                path, "", "archives", f"none yet: {said}", "run the same build again: it goes on"
            )
        return found
    return Found([Path(os.path.abspath(path)) for path in path_or_paths])


def _is_meant(path: Path) -> bool:
    """Whether what is no archive that can be read is called like one; a sound file is another's."""
    if path.suffix not in (".zarr", ".h5", ".hdf5", ".nc"):
        return False
    sound = opening.is_zarr if path.suffix == ".zarr" else opening.is_hdf5
    try:
        if path.suffix == ".nc" and not sound(path):
            return False  # netCDF of another kind, or none: then its siblings say so
        return not sound(path) or not opening.open_source(path).names("/")
    except NeuroArraysError:
        return True


def _indexes(found: Found, notes: list[str], skip_damaged: bool) -> dict[str, contents.Index]:
    """Block -> what its archive holds, for a folder or list of archives.

    Raises
    ------
    FormatError
        If two archives have one name, or one is damaged.
    """
    indexes: dict[str, contents.Index] = {}
    for path in found.paths:
        name = schema.node_name(path.stem)
        if name in indexes:
            raise FormatError(
                path, expected="archives of different names", found=f"{indexes[name].path} too"
            )
        with sparing(name, path, notes, skip_damaged, len(found.paths) > 1):
            found.check(path)
            indexes[name] = contents.load(str(path))
    if not indexes:
        raise FormatError(found.paths[0], "", "an archive that can be read", "; ".join(notes))
    return indexes


def _unfinished(path_or_paths: Any) -> str:
    """What a build has not made of a folder of archives, as a warning too."""
    if not isinstance(path_or_paths, str | os.PathLike):
        return ""
    said = unfinished(path_or_paths)
    if said:
        msg = f"{os.fspath(path_or_paths)}: {said}. Run the same build again: it goes on"
        warnings.warn(msg, UserWarning, stacklevel=2)
    return said


def _leaf(path: str) -> str:
    return path.rpartition("/")[2]


def _picked(index: contents.Index, request: Request) -> list[str]:
    """Paths of the sessions asked for, in the order of the archive."""
    wanted = set(request.sessions(dict.fromkeys(map(_leaf, index.sessions))))
    return [path for path in index.sessions if _leaf(path) in wanted]


def _groups(index: contents.Index, picked: list[str], request: Request) -> dict[str, xr.Dataset]:
    """The groups of one archive: the sessions of some paths, with the areas asked for."""
    # The file itself is opened when a value is read.
    path = index.path
    file = summed_source(path) if os.path.isdir(path) else sealed_source(path)
    build = _Builder(file, schema.kind_of(index.nodes[""]["attrs"]))
    groups = {"/": build.node("", index.nodes)}
    for name in index.nodes:
        above = any(session.startswith(name + "/") for session in picked)
        if name and (above or request.every_session):
            groups[name] = build.node(name, index.nodes)
    for session in picked:
        nodes = index.session(session)
        areas = [area for area in index.sessions[session] if not request.area(area)]
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
        """The dataset of one node; what is made from its `presentations` too."""
        record = nodes[path]
        try:
            forms = {
                n: usual_form(n, record["vars"], self.kind == schema.RECORDING)
                for n in record["coords"]
            } | record.get("indexes", {})
            made = {n: self._variable(n, v, forms.get(n)) for n, v in record["vars"].items()}
            coords = {n: made.pop(n) for n in record["coords"]}
            table = nodes.get(f"{path}/{schema.PRESENTATIONS}".lstrip("/"))
            if self.kind == schema.ALIGNED and table is not None:
                coords |= self._views(record, table)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, NeuroArraysError):
                raise
            raise FormatError(
                self.file.path, path, "a node of an archive", f"{type(error).__name__}: {error}"
            ) from error
        return dataset(made, coords, record["attrs"], [n for n in forms if forms[n] == "plain"])

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
        eager = (dims == (name,) and form != "clock") or name == "row_size"
        if eager and "v" in record:
            raw = np.frombuffer(base64.b64decode(record["v"]), _stored_dtype(record))
            values = decode(raw.reshape(shape).copy(), record["k"], dtype, None)
            return xr.Variable(dims, values, record["a"], fastpath=True)
        array = self._array(record, shape, dtype)
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
        return Stored(self.file, record["p"], shape, dtype, record["k"], missing, record.get("c"))


def _stored_dtype(record: dict[str, Any]) -> np.dtype:
    """The dtype of the bytes of values that stand in the index."""
    name: str = {"bool": "i1", "cast": "<f4"}.get(record["k"], record["t"])
    return np.dtype(name)
