"""Handles on ragged spike trains: read once per process, put in order, kept while there is room."""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.lazy import FileArray, LazyArray, Segments, unwrap
from neuroarrays.source import Key

#: Spikes kept in memory per process; the least recently used go first.
SPIKE_CACHE_BYTES = 2 << 30
#: Spikes read at once, so that reading never doubles the memory.
_READ = 8 << 20


class _Buffer:
    """The spikes of one spikes node in memory, as far as they were asked for.

    Memory is only touched (so only taken) where a unit has been read.
    """

    def __init__(self, n_spikes: int, n_units: int):
        self.times = np.empty(n_spikes)
        self.loaded = np.zeros(n_units, bool)
        self.lock = threading.Lock()


_BUFFERS: OrderedDict[Hashable, _Buffer] = OrderedDict()
_BUFFERS_LOCK = threading.Lock()


def release() -> None:
    """Forget the spikes that this process keeps in memory."""
    with _BUFFERS_LOCK:
        _BUFFERS.clear()


@dataclass(frozen=True)
class Trains:
    """A handle on ragged spike trains: where they are, not what they are.

    Attributes
    ----------
    data : (spike,) LazyArray or ndarray, s
        Spike times, unit after unit.
    first, last : (unit_id,) int64
        Unit u owns ``data[first[u]:last[u]]``.
    key : hashable
        Names the trains in the cache of this process.
    """

    data: Any
    first: np.ndarray
    last: np.ndarray
    key: Hashable

    def load(self, units: np.ndarray) -> np.ndarray:
        """The array of all spike times, in which at least those of `units` are read and in order.

        Parameters
        ----------
        units : (n,) int64
            Positions of units.

        Returns
        -------
        (spike,) float64, s
            Only the parts of `units` may be looked at.
        """
        buffer = self._buffer()
        if buffer.loaded[units].all():
            return buffer.times
        with buffer.lock:
            missing = np.unique(units[~buffer.loaded[units]])
            for group in np.split(missing, np.flatnonzero(np.diff(missing) != 1) + 1):
                if group.size:
                    self._read(buffer, group)
        return buffer.times

    def _buffer(self) -> _Buffer:
        with _BUFFERS_LOCK:
            buffer = _BUFFERS.get(self.key)
            if buffer is None:
                n_spikes = int(self.last.max()) if self.last.size else 0
                buffer = _BUFFERS[self.key] = _Buffer(n_spikes, self.first.size)
            _BUFFERS.move_to_end(self.key)
            while len(_BUFFERS) > 1 and sum(b.times.nbytes for b in _BUFFERS.values()) > (
                SPIKE_CACHE_BYTES
            ):
                _BUFFERS.popitem(last=False)
        return buffer

    def _read(self, buffer: _Buffer, units: np.ndarray) -> None:
        """Read neighbouring units into the buffer and put each in order."""
        from neuroarrays.kernels import counts

        begin, end = int(self.first[units[0]]), int(self.last[units[-1]])
        for low in range(begin, end, _READ):
            high = min(low + _READ, end)
            buffer.times[low:high] = (
                self.data.outer((slice(low, high, 1),))
                if isinstance(self.data, LazyArray)
                else self.data[low:high]
            )
        sorted_ = counts.is_sorted(buffer.times, self.first[units], self.last[units])
        for unit in units[~sorted_]:
            buffer.times[self.first[unit] : self.last[unit]].sort()
        buffer.loaded[units] = True

    def extent(self) -> tuple[float, float]:
        """Times of the first and the last spike of all; NaN without spikes. Reads all of them."""
        times = self.load(np.arange(self.first.size))
        some = self.last > self.first
        if not some.any():
            return np.nan, np.nan
        # In each train NaN comes last, so the last spike that is one may stand before the end.
        ends = [np.nanmax(times[f:e], initial=-np.inf) if np.isnan(times[e - 1]) else times[e - 1]
                for f, e in zip(self.first[some], self.last[some], strict=True)]  # fmt: skip
        low, high = float(np.nanmin(times[self.first[some]])), float(max(ends))
        return (low, high) if np.isfinite(high) else (np.nan, np.nan)

    def __dask_tokenize__(self) -> object:
        return ("Trains", self.key)


def trains_of(spikes: xr.Dataset) -> Trains:
    """The handle on the spikes of a spikes node.

    Raises
    ------
    SchemaError
        If spikes and units do not belong together (a unit was taken by position).
    """
    for name in ("spike_times", "row_size"):
        if name not in spikes:
            msg = f"no {name!r} among {list(spikes.data_vars)}; expected a spikes node of a tree"
            raise SchemaError(msg)
    sizes = np.atleast_1d(spikes["row_size"].values).astype(np.int64)
    if sizes.sum() != spikes.sizes[schema.SPIKE]:
        msg = (
            f"row_size adds up to {sizes.sum()} spikes, there are {spikes.sizes[schema.SPIKE]}: "
            "units were selected without their spikes. Select by label, "
            "spikes.sel(unit_id=...), which takes the spikes along"
        )
        raise SchemaError(msg)
    last = np.cumsum(sizes)
    data, first = unwrap(spikes.variables["spike_times"]._data), last - sizes
    if isinstance(data, Segments) and isinstance(data.base, FileArray):
        key: Hashable = (data.base, data.starts.tobytes(), data.sizes.tobytes())
    elif isinstance(data, FileArray):
        key = (data, sizes.tobytes())
    else:
        data = _Picked(spikes.variables["spike_times"])
        key = uuid.uuid4().hex
    return Trains(data, first, last, key)


@dataclass(frozen=True, repr=False)
class _Picked(LazyArray):
    """Any 1-D variable (in memory, dask, or a selection of a lazy one) as a lazy array."""

    stored: xr.Variable

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.stored.shape

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        dtype: np.dtype = self.stored.dtype
        return dtype

    def outer(self, key: Key) -> np.ndarray:
        data = self.stored[key].data
        if hasattr(data, "compute"):  # a graph inside a task waits for its own worker elsewhere
            data = data.compute(scheduler="synchronous")
        return np.asarray(data)

    def __dask_tokenize__(self) -> object:
        return ("_Picked", self.stored)
