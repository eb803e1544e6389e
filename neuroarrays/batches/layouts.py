"""Layouts of batches whose samples differ in length: concatenated, or padded to the longest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches import gathering
from neuroarrays.batches.buffers import Buffers
from neuroarrays.errors import SchemaError
from neuroarrays.tree.columns import seconds

#: Padded samples have a multiple of so many items, because attention on a GPU is faster then.
MULTIPLE = 8


@dataclass(frozen=True)
class Layout:
    """The positions of the items of each sample in the flat arrays of a batch.

    Attributes
    ----------
    first, capacity : (n,) int64
        First position of each sample, and its number of positions.
    shape : tuple of int
        Shape of the batch: ``(n, width)`` if samples are padded, ``(positions,)`` if they are
        concatenated.
    """

    first: np.ndarray
    capacity: np.ndarray
    shape: tuple[int, ...]

    @classmethod
    def of(cls, needed: np.ndarray, ragged: bool, width: int | None = None) -> Layout:
        """Return the layout of samples.

        Parameters
        ----------
        needed : (n,) int64
            Number of items of each sample.
        ragged : bool
            Whether samples are concatenated; otherwise they are padded.
        width : int, optional
            Number of positions of each padded sample (default: the number of items of the longest,
            rounded up to a multiple of `MULTIPLE`).
        """
        if ragged:
            ends = np.cumsum(needed)
            return cls(ends - needed, needed, (int(ends[-1]) if needed.size else 0,))
        if width is None:
            width = -(-int(needed.max(initial=0)) // MULTIPLE) * MULTIPLE
        first = np.arange(needed.size, dtype=np.int64) * width
        return cls(first, np.full(needed.size, width, np.int64), (needed.size, width))

    @property
    def offsets(self) -> np.ndarray:
        """Start of each concatenated sample, and the end of the last one: (n + 1,) int64."""
        offsets: np.ndarray = np.append(self.first, self.shape[0])
        return offsets

    def positions(self, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return the positions of the items of samples `rows`: (counts.sum(),) int64."""
        positions: np.ndarray = np.repeat(self.first[rows], counts) + item_numbers(counts)
        return positions


def item_numbers(counts: np.ndarray) -> np.ndarray:
    """Number the items of each sample from 0 on: (counts.sum(),) int64 of counts (n,) int64."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if counts.size else 0
    numbers: np.ndarray = np.arange(total) - np.repeat(ends - counts, counts)
    return numbers


class TimedSignal:
    """A signal as pairs of a time and a value, at its own sample times.

    Parameters
    ----------
    area : DataTree node
        An area of a recording tree.
    name : str
        Path of the signal below the area or above it: ``"running/speed"``.
    cache : {"auto", True, False}
        Whether its values are kept in memory.

    Raises
    ------
    NotInTree
        If there is no such signal.
    SchemaError
        If the signal has no times.
    """

    def __init__(self, area: xr.DataTree, name: str, cache: bool | str):
        array = gathering.find(area, name, of_recording=True)
        self.name, self.location = name, gathering.location(area, name)
        if schema.TIME not in array.dims or schema.TIME not in array.coords:
            msg = f"{self.location} has dims {array.dims}: expected a signal along time, with its times"
            raise SchemaError(msg)
        self.field = gathering.field(area, name, schema.TIME, cache)
        #: Unit of measurement of the values, as the file has it.
        self.unit = str(array.attrs.get("units", ""))
        self._stamps = array.coords[schema.TIME]
        self._times: np.ndarray | None = None

    @property
    def times(self) -> np.ndarray:
        """Times of the samples, (time,) float64 in s, in order."""
        if self._times is None:
            times = seconds(self._stamps, f"the times of {self.location}")
            if not (np.diff(times) >= 0).all():  # also True if a time is NaN
                msg = f"{self.location}: its times go backwards or are NaN; see na.validate"
                raise SchemaError(msg)
            self._times = times
        return self._times

    def spans(self, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the first sample of each half-open window, and the one after its last, (n,) int64.

        `starts` and `stops` are (n,) float64 in s.
        """
        return np.searchsorted(self.times, starts), np.searchsorted(self.times, stops)

    def read(self, first: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read windows one after another: times (item,) float64 in s and values (item, ...) float32."""
        rows = np.repeat(first, counts) + item_numbers(counts)
        values = np.empty((rows.size, *self.field.shape[1:]), np.float32)
        if rows.size:
            self.field.rows(rows, values)
        return self.times[rows], values


def all_known(values: np.ndarray) -> np.ndarray:
    """Return whether all values of each item are finite: (item,) bool of (item, ...)."""
    finite: np.ndarray = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    return finite


def filled(
    buffers: Buffers, layout: Layout, rest: tuple[int, ...], dtype: Any, fill: Any
) -> np.ndarray:
    """Return a flat array for the items of a batch, (position, *rest), filled with one value."""
    out = buffers.get((int(np.prod(layout.shape)), *rest), np.dtype(dtype))
    out[...] = fill
    return out
