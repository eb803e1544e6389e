"""Spikes that a file stores in order of time with the unit of each, as lazy arrays unit after unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files.source import Source
from neuroarrays.lazy.arrays import LazyArray, cached
from neuroarrays.lazy.computed import Computed
from neuroarrays.lazy.views import Taken

#: Unit numbers below this limit are counted with `numpy.bincount`, without sorting.
_FEW = 1 << 20


@dataclass(frozen=True)
class UnitOfSpikes:
    """The unit (cluster) of each spike, in the order of the file; it is read when it is needed.

    Attributes
    ----------
    source : Source
        The file with the numbers of units.
    array : str
        Name of the array in the file, (spike,) or (spike, 1) whole numbers.
    """

    source: Source
    array: str

    @property
    def spikes(self) -> int:
        """Number of spikes."""
        return int(np.prod(self.source.known(self.array).shape, dtype=np.int64))

    def stored(self) -> np.ndarray:
        """Read the unit of each spike as the file has it, (spike,) or (spike, 1)."""
        return self.source.read(self.array)

    def labels(self) -> np.ndarray:
        """Read the unit of each spike, (spike,) int64.

        Raises
        ------
        FormatError
            If they are not whole numbers that fit into int64.
        """
        values = self.stored().ravel()
        if values.dtype.kind not in "iufb":
            expected, other = "numbers of units", f"values of dtype {values.dtype}"
            raise FormatError(self.source.path, self.array, expected, other)
        with np.errstate(invalid="ignore"):
            whole: np.ndarray = values.astype(np.int64)
        if values.dtype.kind == "f" and not np.array_equal(whole, values):
            wrong = values[whole != values][0]
            raise FormatError(self.source.path, self.array, "whole numbers of units", f"{wrong}")
        if values.dtype.kind == "u" and (whole < 0).any():  # a uint64 that int64 cannot hold
            wrong, expected = values[whole < 0][0], f"numbers of units below {1 << 63}"
            raise FormatError(self.source.path, self.array, expected, f"{wrong}")
        return whole

    def units(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the units with spikes, (unit,) int64 ascending, and their spike counts, (unit,)."""
        return counted(self.labels())

    def order(self) -> np.ndarray:
        """Return the positions of the spikes in the file, unit after unit: (spike,) int64."""
        token = "order of spikes by unit", self
        return cached(token, lambda: (np.argsort(self.labels(), kind="stable"),))[0]


def counted(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct numbers of (n,) int64, ascending, and how often each occurs, both (m,) int64."""
    if numbers.size and numbers.min() >= 0 and numbers.max() < _FEW:
        counts = np.bincount(numbers)
        distinct = np.flatnonzero(counts)
        return distinct, counts[distinct]
    distinct, sizes = np.unique(numbers, return_counts=True)
    return distinct, sizes.astype(np.int64)


def by_unit(values: LazyArray, of_spikes: UnitOfSpikes) -> LazyArray:
    """Return values of spikes, which a file stores in order of time, unit after unit.

    Parameters
    ----------
    values : (spike, ...) LazyArray
        Values in the order of the file, in any unit of measurement.
    of_spikes : UnitOfSpikes
        The unit of each spike.

    Returns
    -------
    (spike, ...) LazyArray
        The same values; the order is computed when the first value is read.
    """
    return Computed(_in_order, values.shape, values.dtype, (values, of_spikes))


def _in_order(*arguments: Any) -> np.ndarray:
    """Compute a part of the values of `by_unit`; the index of the part comes first."""
    *index, values, of_spikes = arguments
    return Taken(values, of_spikes.order()).outer(tuple(index))
