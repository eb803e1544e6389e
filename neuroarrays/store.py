"""Save a tree as an archive: one HDF5 file or Zarr store, atomic, resumable, in bounded memory.

An archive is written into a folder beside its path and renamed when it is complete. With several
sessions the folder holds each finished one, so that an interrupted save goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays._version import __version__
from neuroarrays.encoding import Encoded, Node, encode_node
from neuroarrays.errors import MissingPath, NeuroArraysError, PathExists, SchemaError
from neuroarrays.formats.archive import ArchiveReader, index
from neuroarrays.layouts import LAYOUTS
from neuroarrays.lazy import LazyArray, unwrap
from neuroarrays.writers import HDF5Writer, ZarrWriter, create_hdf5

HDF5_SUFFIXES, ZARR_SUFFIX = (".h5", ".hdf5", ".nc"), ".zarr"
COMPRESSIONS = ("zstd", "portable")
_DATES = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?")
#: Session path -> its nodes; "" the nodes above them.
Units = dict[str | None, list[Node]]


def save(
    tree: xr.DataTree,
    path: str | os.PathLike[str],
    *,
    compression: str = "zstd",
    layout: str | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
) -> Path:
    """Save a tree; `neuroarrays.open_datatree` gives an identical one back.

    Nothing is at `path` until everything is written. A save that was interrupted goes on with the
    sessions that were not finished when it is run again with the same tree and path; what it has
    so far stands in a hidden folder beside `path`.

    Parameters
    ----------
    tree : xr.DataTree
        A recording or aligned tree, from its root. Lazy and dask arrays are computed block by
        block (with dask's current scheduler), never as a whole.
    path : str or path
        ``.h5``, ``.hdf5`` or ``.nc``: one netCDF-4 file, which xarray, netCDF-C and h5netcdf read
        too. ``.zarr``: a Zarr v3 store.
    compression : {"zstd", "portable"}
        "portable" is gzip, for programs without HDF5's zstd plugin.
    layout : {"allen_binned"}, optional
        Write another's layout exactly, uncompressed as it is: "allen_binned" is the published
        binned archive of Allen Visual Coding. What it has no place for (attributes, masks, unit
        metadata, text) is left out and listed in a warning; other trees than trials of one
        stimulus are refused, and so are counts above 127.
    overwrite : bool
        Replace what is at `path`, once the new archive is complete.
    progress : bool, optional
        A line on the terminal for work of more than two seconds; by default if there is one.

    Returns
    -------
    Path
        Where the archive is.

    Raises
    ------
    PathExists
        If something is at `path` and `overwrite` is False.
    MissingPath
        If the folder of `path` does not exist.
    SchemaError
        If it is not a tree of ours, or holds what an archive cannot.

    Examples
    --------
    >>> import neuroarrays as na
    >>> path = na.save(na.load_sample(), getfixture("tmp_path") / "sample.h5")
    >>> na.open_datatree(path).identical(na.load_sample())
    True
    """
    path = _target(path, compression, layout, overwrite)
    if tree.parent is not None:
        msg = (
            f"{tree.path} is a part of a tree; save the whole of it (tree.root), or a copy with the"
        )
        raise SchemaError(
            msg + " root's attributes: DataTree.from_dict({'/': ..., 'session': ...})"
        )
    schema.validate(tree)
    if layout is not None:
        return _save_layout(tree, path, layout, progress)
    units = _units(tree)
    report = _Progress(progress, sum(len(nodes) for nodes in units.values()), path.name)
    with _partial_folder(path, _token(units, path.suffix, compression)) as folder:
        if path.suffix == ZARR_SUFFIX:
            made = _write_zarr(folder, units, compression, report)
        else:
            made = _write_hdf5(folder, units, compression, report)
        _replace(made, path)
        shutil.rmtree(folder)
    report.close()
    return path


def join(
    parts: Sequence[str | os.PathLike[str]],
    path: str | os.PathLike[str],
    *,
    layout: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Put archives of different sessions together by copying their chunks as they are.

    Parameters
    ----------
    parts : sequence of paths
        HDF5 archives that `save` wrote with the same compression; attributes of the root are those
        of the first.
    path, overwrite
        As for `save`.
    layout : str, optional
        As for `save`; values are then read and written anew.

    Returns
    -------
    Path
        Where the archive is.

    Raises
    ------
    SchemaError
        If two of them hold the same session.
    """
    path = _target(path, "zstd", layout, overwrite)
    groups: dict[str, xr.Dataset] = {}
    owner: dict[str, str] = {}
    for part in [os.fspath(part) for part in parts]:
        opened = ArchiveReader().open_groups_as_dict(part)
        if both := (set(opened) - {"/"}) & set(groups):
            msg = f"{sorted(both)[0]} is in {owner[sorted(both)[0]]} and in {part}"
            raise SchemaError(msg)
        owner = dict.fromkeys(opened, part) | owner
        groups |= {name: node for name, node in opened.items() if name != "/" or not groups}
    tree = xr.DataTree.from_dict(groups)
    if layout is not None:
        return save(tree, path, layout=layout, overwrite=overwrite, progress=False)
    with _partial_folder(path, f"join {uuid.uuid4()}") as folder, ExitStack() as stack:
        with create_hdf5(str(folder / "whole.h5")) as file:
            writer = HDF5Writer(file, "zstd", lambda nbytes: None)
            files: dict[str, Any] = {}
            for name, nodes in _units(tree).items():
                for node in nodes:
                    part = owner[node.path or "/"]
                    if part not in files:
                        files[part] = stack.enter_context(_part(Path(part)))
                    here = name is not None and all(_as_is(v, files[part]) for v in node.variables)
                    writer.node(node, files[part] if here else None)
        stack.close()
        index.append(folder / "whole.h5")
        _flush(folder / "whole.h5")
        _replace(folder / "whole.h5", path)
        shutil.rmtree(folder)
    return path


def _as_is(one: Encoded, part: Any) -> bool:
    """Whether a part holds a variable in the form in which it would be written now."""
    if one.path not in part:
        return False
    stored = part[one.path]
    same = one.kind == "text" or stored.dtype == one.stored
    return bool(stored.chunks == one.chunks and same)


def _save_layout(tree: xr.DataTree, path: Path, layout: str, progress: bool | None) -> Path:
    """Save in another's layout: whole, or not at all."""
    report = _Progress(progress, 0, path.name)
    with _partial_folder(path, f"{layout} {uuid.uuid4()}") as folder:
        LAYOUTS[layout](tree, folder / "whole.h5", report.at, report.add)
        _flush(folder / "whole.h5")
        _replace(folder / "whole.h5", path)
        shutil.rmtree(folder)
    report.close()
    return path


def _target(
    path: str | os.PathLike[str], compression: str, layout: str | None, overwrite: bool
) -> Path:
    path = Path(path).expanduser().absolute()
    if path.suffix not in (*HDF5_SUFFIXES, ZARR_SUFFIX):
        msg = f"{path}: expected a name that ends with .h5, .hdf5, .nc (HDF5) or .zarr (Zarr)"
        raise ValueError(msg)
    if layout is not None and (layout not in LAYOUTS or path.suffix == ZARR_SUFFIX):
        msg = f"layout={layout!r}: expected None or one of {tuple(LAYOUTS)}, for an HDF5 file"
        raise ValueError(msg)
    if compression not in COMPRESSIONS:
        msg = f"compression={compression!r}; expected one of {COMPRESSIONS}"
        raise ValueError(msg)
    if not path.parent.is_dir():
        state = "is not a folder" if path.parent.exists() else "does not exist; make it first"
        msg = f"{path}: {path.parent} {state}"
        raise MissingPath(msg)
    if os.path.lexists(path):
        if not overwrite:
            msg = f"{path}: there is something already; overwrite=True replaces it"
            raise PathExists(msg)
        if path.is_dir() != (path.suffix == ZARR_SUFFIX):
            kind = "a folder" if path.is_dir() else "a file"
            msg = f"{path}: {kind} is in the way, and is not replaced by an archive of another kind"
            raise PathExists(msg)
        if path.is_dir() and any(path.iterdir()) and not (path / "zarr.json").is_file():
            msg = f"{path}: a folder that is no Zarr store is not replaced"
            raise PathExists(msg)
    return path


# -------------------------------------------------------------------------------- what to write


def _units(tree: xr.DataTree) -> Units:
    """The nodes of each session; None for those above and beside the sessions."""
    kind = schema.kind_of(tree)
    nodes = {path.strip("."): node for path, node in tree.subtree_with_keys}
    sessions = set(index.session_paths(kind, schema.area_paths(tree), nodes))
    units: Units = {None: []}
    for path, node in nodes.items():
        parts = path.split("/")
        above = ("/".join(parts[:n]) for n in range(len(parts), -1, -1))
        owner = next((p for p in above if p in sessions), None)
        units.setdefault(owner, []).append(encode_node(path, node, kind))
    root = next(node for node in next(n for n in units.values() if n) if not node.path)
    root.attrs["_saved_by"] = f"neuroarrays {__version__}"
    return units


def _token(units: Units, suffix: str, compression: str) -> str:
    """What makes two saves the same: names, shapes, dtypes, attributes, where values come from."""
    digest = hashlib.sha256(f"{suffix} {compression} {__version__}".encode())
    for nodes in units.values():
        for node in nodes:
            digest.update(_DATES.sub("", f"{node.path} {node.attrs}").encode("utf-8", "replace"))
            for one in node.variables:
                facts = one.name, one.variable.dims, one.variable.shape, str(one.variable.dtype)
                attrs = json.dumps(one.attrs(), default=str, sort_keys=True)
                digest.update(f"{facts} {attrs} {_origin(one)}".encode("utf-8", "replace"))
    return digest.hexdigest()


def _origin(one: Encoded) -> str:
    """What a variable's values are, without reading any from a file.

    Where that cannot be told, something new every time: nothing is resumed from other values.
    """
    data = unwrap(one.variable._data)
    if isinstance(data, LazyArray) or hasattr(data, "__dask_graph__"):
        from dask.base import tokenize

        return str(tokenize(data))
    if isinstance(one.variable, xr.IndexVariable):
        data = one.variable.values
    if isinstance(data, np.ndarray):
        content = repr(data.tolist()).encode() if data.dtype == object else data.tobytes()
        return hashlib.sha256(content).hexdigest()
    return uuid.uuid4().hex


# ------------------------------------------------------------------------------------- partials


@contextmanager
def _partial_folder(path: Path, token: str) -> Iterator[Path]:
    """The folder of an unfinished save: the one of the same tree, or a new one. Ours alone."""
    folder = path.with_name(f".{path.name}.part")
    folder.mkdir(exist_ok=True)
    with locked(folder, path):
        mark = folder / "save.json"
        if not mark.is_file() or mark.read_text() != token:
            for entry in folder.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            mark.write_text(token)
        try:
            yield folder
        except OverflowError:  # would come again: nothing to resume
            shutil.rmtree(folder)
            raise


@contextmanager
def locked(folder: Path, path: Path) -> Iterator[None]:
    """Hold a folder against another process that saves to the same path."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"{path}: another process or thread is saving to it"
            raise NeuroArraysError(msg) from error
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)


def _replace(made: Path, path: Path) -> None:
    """Put what was made in the place of what was there."""
    if made.is_dir() and path.exists():
        old = made.with_name("replaced")
        os.replace(path, old)
    os.replace(made, path)


def _flush(path: Path) -> None:
    """See that a file is on the disk before it gets its name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# ---------------------------------------------------------------------------------------- HDF5


def _write_hdf5(folder: Path, units: Units, compression: str, report: _Progress) -> Path:
    """The whole file. With several sessions, the values of each are first a file of their own."""
    sessions = [name for name in units if name is not None]
    parts: dict[str | None, Path] = {}
    if len(sessions) > 1:
        for number, name in enumerate(sessions):
            parts[name] = folder / f"{number}.h5"
            if not parts[name].is_file():
                _write_part(parts[name], units[name], compression, report)
    whole = folder / "whole.h5"
    with create_hdf5(str(whole)) as file:
        writer = HDF5Writer(file, compression, report.add)
        for unit, nodes in units.items():
            with _part(parts.get(unit)) as part:
                for node in nodes:
                    report.at(node.path)
                    writer.node(node, part)
    index.append(whole)
    _flush(whole)
    return whole


def _write_part(path: Path, nodes: list[Node], compression: str, report: _Progress) -> None:
    unfinished = path.with_suffix(".unfinished")
    with create_hdf5(str(unfinished)) as file:
        writer = HDF5Writer(file, compression, report.add)
        for node in nodes:
            report.at(node.path)
            writer.values(node)
    _flush(unfinished)
    os.replace(unfinished, path)


@contextmanager
def _part(path: Path | None) -> Iterator[Any]:
    if path is None:
        yield None
        return
    import h5py

    with h5py.File(path, "r") as file:
        yield file


# ---------------------------------------------------------------------------------------- Zarr


def _write_zarr(folder: Path, units: Units, compression: str, report: _Progress) -> Path:
    whole = folder / "whole.zarr"
    finished = folder / "finished.json"
    done = json.loads(finished.read_text()) if finished.is_file() else []
    writer = ZarrWriter(str(whole), compression, report.add)
    for number, (name, nodes) in enumerate(units.items()):
        if number in done:
            continue
        if name:
            shutil.rmtree(whole / name, ignore_errors=True)  # what an interrupted save left
        for node in nodes:
            report.at(node.path)
            writer.node(node, replace=not name)
        done.append(number)
        finished.with_suffix(".new").write_text(json.dumps(done))
        os.replace(finished.with_suffix(".new"), finished)
    writer.finish()
    return whole


# ------------------------------------------------------------------------------------- progress


class _Progress:
    """One line on stderr, from the second second on."""

    def __init__(self, wanted: bool | None, nodes: int, name: str):
        self.wanted = sys.stderr.isatty() if wanted is None else wanted
        self.nodes, self.name = nodes, name
        self.started = self.shown = time.monotonic()
        self.written = self.visited = 0
        self.place = ""
        self.lines = False

    def at(self, place: str) -> None:
        self.place = place
        self.visited += 1
        self._show()

    def add(self, nbytes: int) -> None:
        self.written += nbytes
        self._show()

    def _show(self, last: bool = False) -> None:
        now = time.monotonic()
        early = now - self.started < 2 or now - self.shown < 0.2
        if not self.wanted or (early and not last):
            return
        self.shown, self.lines = now, True
        what = "done" if last else self.place
        line = f"{self.name}: {self.written / 1e6:,.0f} MB of values, {what}"
        sys.stderr.write(f"\r{line[:100]:<100}")
        sys.stderr.flush()

    def close(self) -> None:
        """End the line."""
        if self.lines:
            self._show(last=True)
            sys.stderr.write("\n")
