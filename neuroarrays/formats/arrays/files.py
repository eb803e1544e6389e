"""Any file or folder of arrays as one `Source`: npy, npz, MATLAB, HDF5, Zarr, text tables, parquet."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError, NeuroArraysError, shorten
from neuroarrays.files import folders, matlab, npy, state, zips
from neuroarrays.files.location import FOLDER
from neuroarrays.files.matlab import matlab_source
from neuroarrays.files.members import ArraySource, MemberSource, npy_records, npy_source
from neuroarrays.files.npz import npz_source
from neuroarrays.files.outer import Key
from neuroarrays.files.positioned import changed
from neuroarrays.files.probe import Probe, probe_of
from neuroarrays.files.source import Info, Source
from neuroarrays.files.zarr import ZarrSource
from neuroarrays.formats.arrays.cells import cells_of, cells_source
from neuroarrays.formats.arrays.fields import fields_of
from neuroarrays.formats.arrays.tables import TableSource

#: Suffixes of text tables; the deepest level of folders, and the most files, that are searched.
TABLES, MAX_DEPTH, MAX_FILES = (".csv", ".tsv", ".txt"), 6, 10_000
_SUFFIXES = (*TABLES, ".parquet", ".npy", ".npz", ".mat", ".h5", ".hdf5", ".nc")


def arrays_source(path: str | os.PathLike[str] | Probe) -> Source:
    """Return the source of a file or folder of arrays.

    Raises
    ------
    FormatError
        If it is not a file or folder of named arrays.
    """
    probe = probe_of(path)
    probe.check()
    if probe.is_folder:
        return FolderSource(probe.location, _known(probe)[0])
    suffix = probe.suffix.lower()
    if is_npz(probe):
        return npz_source(probe)
    if probe.is_file and (suffix == ".mat" or is_matlab(probe)):
        return matlab_source(probe)
    if probe.container in ("hdf5", "zarr"):
        return probe.source
    if suffix == ".npy":
        return _npy(probe)
    if suffix in TABLES or suffix == ".parquet":
        return TableSource(probe.location, probe.stamp)
    expected = "npy, npz, mat, HDF5, Zarr, csv, tsv, txt or parquet"
    raise probe.unknown(expected, "")


def _npy(file: Probe) -> Source:
    """Return the source of an npy file of numbers or text, of records, or of an array in each cell."""
    header = npy.header(file.beginning, file.path, any_kind=True)
    if header.dtype.names:
        return npy_records(file)
    return (cells_source(file) if header.dtype.hasobject else None) or npy_source(file)


def is_npz(probe: Probe) -> bool:
    """Whether a file begins like a zip that is not empty."""
    return probe.head.startswith(zips.MAGIC)


def is_matlab(probe: Probe) -> bool:
    """Whether a file begins like a MATLAB file of version 5 to 7.3."""
    return probe.head.startswith(matlab.BEGINNINGS)


def names_inside(probe: Probe) -> str:
    """Return the members of an NPZ or MATLAB file as text for messages; "" for other files.

    Raises
    ------
    FormatError
        If it is damaged.
    """
    if is_matlab(probe) or (probe.suffix == ".npz" and is_npz(probe)):
        return f" with {shorten(arrays_source(probe).names('/'))}"
    return ""


@dataclass(frozen=True)
class FolderSource(Source):
    """A folder of files of arrays: ``table.csv/column``, ``file.npz/member``, ``file.npy``."""

    def names(self, group: str = "/") -> list[str]:
        inner = self._inside(group)
        if inner is not None:
            return inner[0].names(inner[1] or "/")
        prefix = group.strip("/")
        prefix += "/" if prefix else ""
        inside = (name[len(prefix) :] for name in self.files() if name.startswith(prefix))
        return list(dict.fromkeys(name.partition("/")[0] for name in inside))

    def files(self) -> list[str]:
        """The files of arrays below the folder; a Zarr store counts as one."""
        return list(self._stamps())

    def _stamps(self) -> dict[str, tuple[int, ...]]:
        """The stamps of the files when the folder was opened."""
        stamps = _stamps.get((self.location, self.stamp))
        if stamps is None:
            known, stamps = _known(Probe(self.location))
            if known != self.stamp:
                raise changed(self.path)
        return stamps

    def _inside(self, name: str) -> tuple[Source, str] | None:
        """Return the source of the file that has a name, and the rest of the name."""
        parts = name.strip("/").split("/")
        for i in range(1, len(parts) + 1):
            inner, rest = "/".join(parts[:i]), "/".join(parts[i:])
            if (known := self._stamps().get(inner)) is not None:
                probe = Probe(self.location.child(inner))
                if probe.container == "zarr":
                    file: Source = ZarrSource(probe.location, known)
                else:
                    file = arrays_source(probe)
                if file.stamp != known:
                    raise changed(probe.path)
                if not rest and isinstance(file, ArraySource):
                    rest = next(iter(file.members()))
                return file, rest
        return None

    def info(self, name: str) -> Info | None:
        inner = self._inside(name)
        return inner[0].info(inner[1]) if inner and inner[1] else None

    def attrs(self, name: str = "/") -> dict[str, Any]:
        inner = self._inside(name)
        return inner[0].attrs(inner[1]) if inner and inner[1] else {}

    def read(self, name: str, key: Key = ()) -> np.ndarray:
        file, inner = self._file_of(name)
        return file.read(inner, key)

    def unwritten(self, name: str) -> str:
        file, inner = self._file_of(name)
        return file.unwritten(inner)

    def value(self, name: str) -> Any:
        file, inner = self._file_of(name)
        return file.value(inner)

    def _file_of(self, name: str) -> tuple[Source, str]:
        """Return the source of the file that has an array, and its name there."""
        inner = self._inside(name)
        if inner is None:
            raise FormatError(self.path, name, "an array", "nothing of that name")
        return inner


#: Stamps of the files of a folder, by its path and stamp.
_stamps: state.Cache[dict[str, tuple[int, ...]]] = state.Cache(64 << 20, state.entries)


def _known(folder: Probe) -> tuple[tuple[int, ...], dict[str, tuple[int, ...]]]:
    """Return what identifies the content of a folder, and the stamp of each file of arrays."""
    stamps = {inner: file.content for inner, file in _files(folder).items()}
    total, digest = sum(status[1] for status in stamps.values()), folders.digest(stamps)
    known = folder.stamp[0], total, digest
    return known, _stamps.put((folder.location, known), stamps)


def _files(top: Probe) -> dict[str, Probe]:
    """Return files of arrays and Zarr stores below a folder by name, without following links."""
    by_name: dict[str, Probe] = {}
    todo = [("", top, 0)]
    while todo:
        inner, folder, depth = todo.pop(0)
        folder.check_listing()
        for name in by_number(list(folder.listing)):
            child, path = folder.child(name), f"{inner}/{name}".lstrip("/")
            if child.kind == FOLDER:
                if child.is_link:
                    continue
                if child.container == "zarr":
                    by_name[path] = child
                elif depth < MAX_DEPTH:
                    todo.append((path, child, depth + 1))
            elif child.is_file and name.lower().endswith(_SUFFIXES):
                by_name[path] = child
        if len(by_name) > MAX_FILES:
            raise FormatError(top.as_given, "", f"at most {MAX_FILES:,} files", "more")
    return by_name


def by_number(names: list[str]) -> list[str]:
    """Return names with 2 before 10 if they are in alphabetical order; otherwise as they are."""
    if any(name > other for name, other in pairwise(names)):
        return names
    split = {name: re.split(r"(\d+)", name) for name in names}
    return sorted(
        names,
        key=lambda name: [
            (int(part), part) if i % 2 else (0, part) for i, part in enumerate(split[name])
        ],
    )


def listing(file: Source, broken: dict[str, NeuroArraysError] | None = None) -> dict[str, Info]:
    """Return all arrays of a source by name.

    They are in the order of the file. If that is alphabetical, names are sorted by the numbers in them,
    so that "unit2" comes before "unit10".

    Parameters
    ----------
    file : Source
        The source of a file or folder.
    broken : dict, optional
        Files of a folder that cannot be read are added to it, with their errors.
    """
    return dict(_walk(file, "", 0, {} if broken is None else broken))


def _walk(
    file: Source, group: str, depth: int, broken: dict[str, NeuroArraysError]
) -> Iterator[tuple[str, Info]]:
    if isinstance(file, MemberSource):
        for name in file.members():
            yield from _named(file, name)
        return
    if isinstance(file, FolderSource):
        yield from _of_folder(file, broken)
        return
    for child in by_number(file.names(group or "/")) if depth < 16 else ():
        name = f"{group}/{child}".lstrip("/")
        if file.info(name) is None:
            yield from _walk(file, name, depth + 1, broken)
        else:
            yield from _named(file, name)


def _of_folder(
    folder: FolderSource, broken: dict[str, NeuroArraysError]
) -> Iterator[tuple[str, Info]]:
    """Return the arrays in the files of a folder; files that cannot be read are added to `broken`."""
    for inner in folder.files():
        try:
            file = arrays_source(Probe(folder.location.child(inner)))
            infos = listing(file)
        except NeuroArraysError as error:
            broken[inner] = error
            continue
        for name, info in infos.items():
            if isinstance(file, ArraySource):  # its one array has the name of the file
                yield f"{inner}{name.removeprefix(file.name)}", info
            else:
                yield f"{inner}/{name}", info


def _named(file: Source, name: str) -> Iterator[tuple[str, Info]]:
    """Return an array: the fields of records, the arrays in its cells, or the array itself."""
    info = file.info(name)
    if info is None:
        return
    for column_name, (field, column) in fields_of(file, name, info).items():
        kind = np.dtype(info.dtype[field])
        shape = (*info.shape, *(() if column is not None else kind.shape))
        yield column_name, Info(shape, kind.base, None, kind.base.kind in "SU")
    cells = cells_of(file, name, info)
    for number, cell in enumerate(cells):
        yield f"{name}/{number}", Info(cell.shape, cell.dtype, None)
    if not cells and not info.dtype.names:
        yield name, info
