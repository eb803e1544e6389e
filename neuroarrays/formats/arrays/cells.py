"""Arrays of arrays, such as the spike train of each unit, as one array per cell.

Files of Python objects (npy, npz) and of HDF5's arrays of various lengths have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError, NeuroArraysError
from neuroarrays.files import npy as npy_format
from neuroarrays.files import outer, state
from neuroarrays.files.members import ArraySource
from neuroarrays.files.placed import Member
from neuroarrays.files.probe import Probe
from neuroarrays.files.source import Info, Source
from neuroarrays.formats.npy import objects
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.computed import Computed

#: The most bytes of a file of objects that is read.
_LARGEST = 64 << 20


@dataclass(frozen=True)
class CellsSource(ArraySource):
    """An npy file of objects that has an array in each cell."""

    def value(self, name: str) -> Any:
        return objects(Probe(self.location))


def cells_source(file: Probe) -> CellsSource | None:
    """Return the source of an npy file with an array in each cell; None if it has other values."""
    header = npy_format.header(file.beginning, file.path, any_kind=True)
    if not header.dtype.hasobject or len(header.shape) not in (1, 2) or file.size > _LARGEST:
        return None
    source = CellsSource(
        file.location, file.stamp, file.stem, Member(np.dtype(object), header.shape)
    )
    return source if cells_of(source, source.name, source.known(source.name)) else None


def cells_of(source: Source, name: str, info: Info) -> list[np.ndarray]:
    """Return the arrays in the cells of an array; [] if it has anything else."""
    metadata: Mapping[str, Any] = info.dtype.metadata or {}
    is_hdf5 = isinstance(metadata.get("vlen"), np.dtype)
    if info.dtype.kind != "O" or info.text or (metadata and not is_hdf5):
        return []
    return _cells.get_or_make((source, name), lambda: _read(source, name))


def _read(source: Source, name: str) -> list[np.ndarray]:
    """Read the cells; [] if one has no numbers along an axis, or objects are refused."""
    try:
        value = source.value(name)
        cells = [np.asarray(cell) for cell in value] if isinstance(value, list | np.ndarray) else []
    except (NeuroArraysError, ValueError, TypeError):
        return []
    cells = [np.array(cell.tolist()) if cell.dtype.kind == "O" else cell for cell in cells]
    return cells if all(cell.ndim and cell.dtype.kind in "biuf" for cell in cells) else []


#: The cells of an array, by its source and name.
_cells: state.Cache[list[np.ndarray]] = state.Cache(
    256 << 20, lambda cells: sum(cell.nbytes for cell in cells)
)


def lazy_cell(source: Source, name: str, cell: int, scale: float, offset: float) -> LazyArray:
    """Return one cell of an array as a lazy array, ``scale * stored + offset``."""
    stored = cells_of(source, name, source.known(name))[cell]
    dtype = stored.dtype if (scale, offset) == (1.0, 0.0) else np.dtype("f8")
    arguments = source, name, cell, scale, offset
    return Computed(_of_cell, stored.shape, dtype.newbyteorder("="), arguments)


def _of_cell(*arguments: Any) -> np.ndarray:
    *picked, source, name, cell, scale, offset = arguments
    cells = cells_of(source, name, source.known(name))
    if cell >= len(cells):
        raise FormatError(source.path, name, f"{cell + 1} cells", str(len(cells)))
    values = outer.take(cells[cell], tuple(picked))
    return values if (scale, offset) == (1.0, 0.0) else np.asarray(values * scale + offset)
