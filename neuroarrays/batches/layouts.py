"""Samples of different length in one batch: one after another, or each padded to the longest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches import fields, gathering
from neuroarrays.errors import SchemaError
from neuroarrays.tree.columns import seconds

#: Padded samples are as long as a multiple of this, which attention on a GPU is faster with.
MULTIPLE = 8


@dataclass(frozen=True)
class Layout:
    """Where the items of each sample stand in the arrays of a batch, which are flat here.

    Attributes
    ----------
    at, room : (n,) int64
        First place of each sample, and number of places that it has.
    shape : tuple of int
        ``(n, width)`` of padded samples, ``(places,)`` of samples one after another.
    """

    at: np.ndarray
    room: np.ndarray
    shape: tuple[int, ...]

    @classmethod
    def of(cls, needed: np.ndarray, ragged: bool, width: int | None = None) -> Layout:
        """The layout of samples.

        Parameters
        ----------
        needed : (n,) int64
            Number of items of each sample.
        ragged : bool
            One after another; otherwise padded.
        width : int, optional
            Places of each padded sample; as many as the longest needs, rounded up, unless given.
        """
        if ragged:
            ends = np.cumsum(needed)
            return cls(ends - needed, needed, (int(ends[-1]) if needed.size else 0,))
        if width is None:
            width = -(-int(needed.max(initial=0)) // MULTIPLE) * MULTIPLE
        at = np.arange(needed.size, dtype=np.int64) * width
        return cls(at, np.full(needed.size, width, np.int64), (needed.size, width))

    @property
    def offsets(self) -> np.ndarray:
        """Where each sample begins, and where the last one ends: (n + 1,) int64."""
        offsets: np.ndarray = np.append(self.at, self.shape[0])
        return offsets

    def places(self, rows: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """The places of the items of some samples: (counts.sum(),) int64."""
        places: np.ndarray = np.repeat(self.at[rows], counts) + within(counts)
        return places


def within(counts: np.ndarray) -> np.ndarray:
    """The number of each item in its sample, 0, 1, ...: (counts.sum(),) int64."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if counts.size else 0
    numbers: np.ndarray = np.arange(total) - np.repeat(ends - counts, counts)
    return numbers


class Pairs:
    """A signal as pairs of a time and a value, at its own samples.

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
        If it has no samples in time.
    """

    def __init__(self, area: xr.DataTree, name: str, cache: bool | str):
        array = gathering.find(area, name, of_recording=True)
        self.name, self.location = name, gathering.location(area, name)
        if schema.TIME not in array.dims or schema.TIME not in array.coords:
            msg = f"{self.location} has dims {array.dims}: expected a signal along time, with its times"
            raise SchemaError(msg)
        self.field = gathering.field(area, name, schema.TIME, cache)
        #: Unit of the values, as the file has it.
        self.unit = str(array.attrs.get("units", ""))
        self._stamps = array.coords[schema.TIME]
        self._times: np.ndarray | None = None

    @property
    def times(self) -> np.ndarray:
        """Times of the samples, (time,) float64 in s, in order."""
        if self._times is None:
            times = seconds(self._stamps, f"the times of {self.location}")
            if not (np.diff(times) >= 0).all():  # NaN too
                msg = f"{self.location}: its times go backwards or are NaN; see na.validate"
                raise SchemaError(msg)
            self._times = times
        return self._times

    def find(self, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First sample of each half-open window, and the one past its last: (n,) int64 each."""
        return np.searchsorted(self.times, starts), np.searchsorted(self.times, stops)

    def read(self, first: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Times (items,) float64 in s and values (items, ...) float32 of windows, one after another."""
        rows = np.repeat(first, counts) + within(counts)
        values = np.empty((rows.size, *self.field.shape[1:]), np.float32)
        if rows.size:
            self.field.rows(rows, values)
        return self.times[rows], values


def known(values: np.ndarray) -> np.ndarray:
    """Items of which every value is a number: (items,) bool."""
    finite: np.ndarray = np.isfinite(values).reshape(len(values), -1).all(axis=1)
    return finite


def empty(
    buffers: fields.Buffers, layout: Layout, rest: tuple[int, ...], dtype: Any, fill: Any
) -> np.ndarray:
    """A flat array for the items of a batch: (places, ...) of a dtype, filled."""
    out = buffers.get((int(np.prod(layout.shape)), *rest), np.dtype(dtype))
    out[...] = fill
    return out
