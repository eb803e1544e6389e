"""Spikes that a file has in the order of time, with the unit of each: unit after unit where they are indexed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files.source import Source
from neuroarrays.lazy.arrays import LazyArray, cached
from neuroarrays.lazy.computed import Computed
from neuroarrays.lazy.views import Taken

#: Numbers below which each is counted, whether it is there or not.
_FEW = 1 << 20


@dataclass(frozen=True)
class UnitOfSpikes:
    """The unit (cluster) of each spike, in the order of the file, which is read to know whose they are.

    Attributes
    ----------
    source : Source
        Of the numbers of units.
    array : str
        Name of the array in it, (spike,) or (spike, 1) whole numbers.
    """

    source: Source
    array: str

    @property
    def spikes(self) -> int:
        """How many there are."""
        return int(np.prod(self.source.known(self.array).shape, dtype=np.int64))

    def stored(self) -> np.ndarray:
        """The unit of each spike as the file has it, (spike,) or (spike, 1)."""
        return self.source.read(self.array)

    def labels(self) -> np.ndarray:
        """The unit of each spike, (spike,) int64.

        Raises
        ------
        FormatError
            If they are no whole numbers.
        """
        values = self.stored().ravel()
        if values.dtype.kind not in "iufb":
            expected, found = "numbers of units", f"values of dtype {values.dtype}"
            raise FormatError(self.source.path, self.array, expected, found)
        with np.errstate(invalid="ignore"):
            whole: np.ndarray = values.astype(np.int64)
        if values.dtype.kind == "f" and not np.array_equal(whole, values):
            wrong = values[whole != values][0]
            raise FormatError(self.source.path, self.array, "whole numbers of units", f"{wrong}")
        if values.dtype.kind == "u" and (whole < 0).any():  # of 64 bits, past those of int64
            wrong, expected = values[whole < 0][0], f"numbers of units below {1 << 63}"
            raise FormatError(self.source.path, self.array, expected, f"{wrong}")
        return whole

    def units(self) -> tuple[np.ndarray, np.ndarray]:
        """The units that have spikes, (unit,) int64, ascending, and how many, (unit,) int64."""
        return counted(self.labels())

    def order(self) -> np.ndarray:
        """Places of the spikes unit after unit, each in the order of the file: (spike,) int64."""
        token = "order of spikes by unit", self
        return cached(token, lambda: (np.argsort(self.labels(), kind="stable"),))[0]


def counted(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct ones of (n,) int64 numbers, (number,), ascending, and how often each is there, (number,) int64."""
    if numbers.size and numbers.min() >= 0 and numbers.max() < _FEW:  # counted without sorting
        counts = np.bincount(numbers)
        distinct = np.flatnonzero(counts)
        return distinct, counts[distinct]
    distinct, sizes = np.unique(numbers, return_counts=True)
    return distinct, sizes.astype(np.int64)


def by_unit(values: LazyArray, of_spikes: UnitOfSpikes) -> LazyArray:
    """Values of the spikes, which a file has in the order of time, unit after unit.

    Parameters
    ----------
    values : (spike, ...) LazyArray
        In the order of the file, in any unit.
    of_spikes : UnitOfSpikes
        The unit of each.

    Returns
    -------
    (spike, ...) LazyArray
        In the same unit; the order is found when the first value is asked for.
    """
    return Computed(_in_order, values.shape, values.dtype, (values, of_spikes))


def _in_order(*arguments: Any) -> np.ndarray:
    *picked, values, of_spikes = arguments
    return Taken(values, of_spikes.order()).outer(tuple(picked))
