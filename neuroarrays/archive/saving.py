"""`save` writes a tree as one HDF5 file or Zarr store: atomically, resumably and in bounded memory.

An archive is written into a hidden folder beside its path, and is renamed when it is complete. The
folder keeps finished sessions, so that an interrupted save can continue.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays._version import __version__
from neuroarrays.archive import checksums, index
from neuroarrays.archive.encoding import Encoded, encode_node
from neuroarrays.archive.parts import SessionNodes, copy_parts, write_hdf5
from neuroarrays.archive.reader import ArchiveReader
from neuroarrays.archive.zarr_writer import ZarrWriter
from neuroarrays.errors import PathExists, SchemaError, option
from neuroarrays.files.headers import SAVED_BY
from neuroarrays.files.partials import Partial, partial_folder
from neuroarrays.files.progress import Bar
from neuroarrays.files.writing import check_place, flush, flush_all, replace
from neuroarrays.formats.allen_binned.writing import LAYOUTS
from neuroarrays.lazy.arrays import LazyArray, array_of
from neuroarrays.lazy.trees import tree_of
from neuroarrays.schema.validation import validate

HDF5_SUFFIXES, ZARR_SUFFIX = (".h5", ".hdf5", ".nc"), ".zarr"
COMPRESSIONS = ("zstd", "portable", None)
#: Dates and times in attributes (such as the history), which do not count in `_token`.
_DATES = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?")


def save(
    tree: xr.DataTree,
    path: str | os.PathLike[str],
    *,
    compression: str | None = "zstd",
    layout: str | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
) -> Path:
    """Save a tree as an archive, which `neuroarrays.open_datatree` opens as an identical tree.

    `path` exists only when everything is written. An interrupted save continues if it is run again
    with the same tree and path. Its data are kept in a hidden folder beside `path`. For an HDF5
    file these are all complete sessions; if the process was killed or the disk was full, those that
    were complete two minutes earlier.

    Parameters
    ----------
    tree : xr.DataTree
        The root of a recording or aligned tree. Lazy and dask arrays are computed block by block
        (with the current scheduler of dask), never as a whole.
    path : str or path
        Path that ends with ``.h5``, ``.hdf5`` or ``.nc`` for one netCDF-4 file, which xarray,
        netCDF-C and h5netcdf can also read, or with ``.zarr`` for a Zarr v3 store.
    compression : {"zstd", "portable", None}
        "portable" is gzip, for programs without the zstd plugin of HDF5. A variable is compressed
        if a sample of it becomes at least a quarter smaller; noise-like floats are not compressed,
        and are read ten times faster. None compresses nothing, which is fastest to read.
    layout : {"allen_binned"}, optional
        Write another layout exactly, uncompressed: "allen_binned" is that of the published binned
        archive of Allen Visual Coding. Data that the layout cannot store (attributes, masks, unit
        metadata, text) are left out and listed in a warning. Trees other than presentations of one
        stimulus, and counts above 127, are refused.
    overwrite : bool
        If True, replace an existing `path`, once the new archive is complete.
    progress : bool, optional
        Show a bar in the terminal after two seconds (default: if there is a terminal). It needs the
        extra `cli` (rich).

    Returns
    -------
    Path
        Path of the archive.

    Raises
    ------
    PathExists
        If `path` exists and `overwrite` is False.
    MissingPath
        If the folder of `path` does not exist.
    SchemaError
        If it is neither kind of tree, or has data that an archive cannot store.
    WriteFailed
        If the disk is full, or the system refuses to write; an existing file stays.

    Examples
    --------
    >>> import neuroarrays as na
    >>> path = na.save(na.load_sample(), "sample.h5")
    >>> na.open_datatree(path).identical(na.load_sample())
    True
    """
    path = _target(path, compression, layout, overwrite)
    schema.kind_of(tree)
    if tree.parent is not None:
        session = tree.path.strip("/").partition("/")[0]
        msg = (
            f"{tree.path} is a part of a tree; save the whole, na.save(tree.root, path). To "
            "save one session "
            f"open it alone, na.open_datatree(path, sessions={session!r})"
        )
        raise SchemaError(msg)
    validate(tree)
    if layout is not None:
        return _save_layout(tree, path, layout, overwrite, progress)
    units = _units(tree)
    needed, token = _needed(units), _token(units, path.suffix, compression)
    with partial_folder(path, token, needed) as partial, Bar(progress, path.name, needed) as bar:
        write = _write_zarr if path.suffix == ZARR_SUFFIX else write_hdf5
        replace(write(partial, units, compression, bar), path, overwrite)
    return path


def _needed(units: SessionNodes) -> int:
    """Return the size of all values, bytes, for the message on a full disk."""
    every_node = (node for nodes in units.values() for node in nodes)
    return sum(encoded.variable.nbytes for node in every_node for encoded in node.variables)


def join(
    parts: Sequence[str | os.PathLike[str]],
    path: str | os.PathLike[str],
    *,
    layout: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Join archives of different sessions by copying their chunks.

    Parameters
    ----------
    parts : sequence of paths
        HDF5 archives from `save`. The new root has the attributes of the first one's root.
    path, overwrite
        As for `save`.
    layout : str, optional
        As for `save`. With a layout, values are read and written again.

    Returns
    -------
    Path
        Path of the archive.

    Raises
    ------
    SchemaError
        If two archives have the same session.
    PathExists, MissingPath, WriteFailed
        As for `save`.
    """
    path = _target(path, "zstd", layout, overwrite)
    groups: dict[str, xr.Dataset] = {}
    part_of: dict[str, str] = {}  # name of a group -> the archive that has it
    paths = [os.fspath(part) for part in parts]
    for part in paths:
        opened = ArchiveReader().open_groups_as_dict(part)
        repeated = sorted((set(opened) - {"/"}) & set(groups))
        if repeated:
            msg = f"{repeated[0]} is in {part_of[repeated[0]]} and in {part}"
            raise SchemaError(msg)
        part_of = dict.fromkeys(opened, part) | part_of
        groups |= {name: node for name, node in opened.items() if name != "/" or not groups}
    tree = tree_of(groups)
    if layout is not None:
        return _save_layout(tree, path, layout, overwrite)
    needed = sum(os.path.getsize(part) for part in paths)
    with partial_folder(path, f"join {uuid.uuid4()}", needed) as partial:
        whole = partial.folder / "whole.h5"
        units = _units(tree)
        sources: dict[str | None, Path] = {
            name: Path(part_of[nodes[0].path or "/"])
            for name, nodes in units.items()
            if name is not None
        }
        written = copy_parts(whole, units, sources, "zstd", Bar(False, path.name, needed))
        index.append(whole, written)
        flush(whole)
        replace(whole, path, overwrite)
    return path


def _save_layout(
    tree: xr.DataTree,
    path: Path,
    layout: str,
    overwrite: bool,
    progress: bool | None = False,
) -> Path:
    """Save a tree in another layout; the file appears only when it is complete."""
    needed = sum(node.to_dataset(inherit=False).nbytes for node in tree.subtree)
    token = f"{layout} {uuid.uuid4()}"
    with partial_folder(path, token, needed) as partial, Bar(progress, path.name, needed) as bar:
        whole = partial.folder / "whole.h5"
        LAYOUTS[layout](tree, whole, bar.at, bar.add)
        flush(whole)
        replace(whole, path, overwrite)
    return path


def _target(
    path: str | os.PathLike[str], compression: str | None, layout: str | None, overwrite: bool
) -> Path:
    """Check the path and the options of a save, and return the absolute path."""
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
    check_place(path)
    if os.path.lexists(path):
        if not overwrite:
            msg = f"{path}: it exists already; {option('overwrite', True)} replaces it"
            raise PathExists(msg)
        if path.is_dir() != (path.suffix == ZARR_SUFFIX):
            kind = "a folder" if path.is_dir() else "a file"
            msg = (
                f"{path}: it is {kind}, which is not replaced by an archive of another kind; "
                "give another name"
            )
            raise PathExists(msg)
        if path.is_dir() and any(path.iterdir()) and not (path / "zarr.json").is_file():
            msg = (
                f"{path}: it is a folder and not a Zarr store, which is not replaced; give "
                "another name"
            )
            raise PathExists(msg)
    return path


# -------------------------------------------------------------------------------- what to write


def _units(tree: xr.DataTree) -> SessionNodes:
    """Return the encoded nodes by session; None -> the nodes that belong to no session."""
    kind = schema.kind_of(tree)
    nodes = {path.strip("."): node for path, node in tree.subtree_with_keys}
    sessions = set(index.session_paths(kind, schema.area_paths(tree), nodes))
    units: SessionNodes = {None: []}
    for path, node in nodes.items():
        parts = path.split("/")
        upwards = ("/".join(parts[:n]) for n in range(len(parts), -1, -1))
        session = next((p for p in upwards if p in sessions), None)
        units.setdefault(session, []).append(encode_node(path, node, kind))
    root = next(node for node in next(n for n in units.values() if n) if not node.path)
    root.attrs[SAVED_BY] = f"neuroarrays {__version__}"
    return units


def _token(units: SessionNodes, suffix: str, compression: str | None) -> str:
    """Return a hash that is equal for equal saves.

    It covers names, shapes, dtypes, attributes and the origin of values, so that a save continues only
    what a save of the same tree has begun.
    """
    digest = hashlib.sha256(f"{suffix} {compression} {__version__}".encode())
    for nodes in units.values():
        for node in nodes:
            digest.update(_DATES.sub("", f"{node.path} {node.attrs}").encode("utf-8", "replace"))
            for encoded in node.variables:
                facts = (
                    encoded.name,
                    encoded.variable.dims,
                    encoded.variable.shape,
                    str(encoded.variable.dtype),
                )
                attrs = json.dumps(encoded.attrs(), default=str, sort_keys=True)
                digest.update(f"{facts} {attrs} {_origin(encoded)}".encode("utf-8", "replace"))
    return digest.hexdigest()


def _origin(encoded: Encoded) -> str:
    """Return a hash of a variable's values, or of where they come from; no file is read.

    Where the origin is unknown the result differs in each call, so that no save is resumed with other
    values.
    """
    data = array_of(encoded.variable)
    if isinstance(data, LazyArray) or hasattr(data, "__dask_graph__"):
        from dask.base import tokenize

        return str(tokenize(data))
    if isinstance(encoded.variable, xr.IndexVariable):
        data = encoded.variable.values
    if isinstance(data, np.ndarray):
        content = repr(data.tolist()).encode() if data.dtype == object else data.tobytes()
        return hashlib.sha256(content).hexdigest()
    return uuid.uuid4().hex


# ---------------------------------------------------------------------------------------- Zarr


def _write_zarr(partial: Partial, units: SessionNodes, compression: str | None, bar: Bar) -> Path:
    """Write a Zarr store in the folder of a save, without the sessions that are complete already."""
    whole, finished = partial.folder / "whole.zarr", partial.folder / "finished.json"
    done = json.loads(finished.read_text()) if finished.is_file() else []
    writer = ZarrWriter(str(whole), compression, bar.add)
    for number, (name, nodes) in enumerate(units.items()):
        if number in done:
            continue
        if name:
            shutil.rmtree(whole / name, ignore_errors=True)  # half a session of an interrupted save
        for node in nodes:
            bar.at(node.path)
            writer.node(node)
        done.append(number)
        finished.with_suffix(".new").write_text(json.dumps(done))
        os.replace(finished.with_suffix(".new"), finished)
        partial.keep |= name is not None and len(done) < len(units)
    checksums.write(whole, writer.finish())
    flush_all(whole)
    return whole
