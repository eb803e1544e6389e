"""Spike trains that are read and sorted once per process, and kept while there is memory.

Trains that are in memory already are not copied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.files import state
from neuroarrays.lazy.arrays import LazyArray, array_of
from neuroarrays.lazy.computed import OfVariable
from neuroarrays.lazy.indexes import UnitIndex
from neuroarrays.schema import given
from neuroarrays.tree.columns import check_seconds, seconds

#: The most spikes that are read at once, so that reading never doubles the memory.
_READ = 8 << 20


class _Buffer:
    """The spikes of one spikes node that are in memory.

    The system gives memory to an empty array only where it is written, so units that were not read
    need none.
    """

    def __init__(self, n_spikes: int, n_units: int):
        self.times = np.empty(n_spikes)
        self.loaded = np.zeros(n_units, bool)
        self.lock = state.Lock()


#: Spikes in memory, by the key of their trains.
_buffers: state.Cache[_Buffer] = state.Cache(2 << 30, lambda buffer: buffer.times.nbytes)


@dataclass(frozen=True)
class Trains:
    """Ragged spike trains that are read when they are needed.

    Attributes
    ----------
    data : (spike,) LazyArray, or ndarray in which each train is in order, s
        Spike times, one unit after the other.
    first, last : (unit_id,) int64
        Unit u owns ``data[first[u]:last[u]]``.
    key : object
        The key of the trains in the cache of this process.
    """

    data: LazyArray | np.ndarray
    first: np.ndarray
    last: np.ndarray
    key: Any

    def load(self, units: np.ndarray) -> np.ndarray:
        """The array of all spike times; at least those of `units` are read and sorted.

        Parameters
        ----------
        units : (n,) int64
            Positions of units.

        Returns
        -------
        (spike,) float64, s
            Use only the parts of `units`, and do not write into them.
        """
        if isinstance(self.data, np.ndarray):
            return self.data
        buffer = self._buffer()
        if buffer.loaded[units].all():
            return buffer.times
        with buffer.lock:
            missing = np.unique(units[~buffer.loaded[units]])
            for group in np.split(missing, np.flatnonzero(np.diff(missing) != 1) + 1):
                if group.size:
                    self._read(self.data, buffer, group)
        return buffer.times

    def of_unit(self, unit: int) -> np.ndarray:
        """The sorted spikes of one unit. They are not cached; use this for one pass over all units.

        Parameters
        ----------
        unit : int
            Position of the unit.

        Returns
        -------
        (n,) float64, s
            Sorted times; do not write into them.
        """
        train = slice(int(self.first[unit]), int(self.last[unit]), 1)
        if isinstance(self.data, np.ndarray):
            return self.data[train]
        buffer = _buffers.get(self.key)
        if buffer is not None and buffer.loaded[unit]:
            return buffer.times[train]
        times = np.asarray(self.data.outer((train,)), float)
        ends = np.array([0]), np.array([times.size])
        return np.sort(times) if _out_of_order(times, *ends).any() else times

    def _buffer(self) -> _Buffer:
        """The buffer of these trains, which is made when it is first used."""
        n_spikes = int(self.last.max()) if self.last.size else 0
        return _buffers.get_or_make(self.key, lambda: _Buffer(n_spikes, self.first.size))

    def _read(self, data: LazyArray, buffer: _Buffer, units: np.ndarray) -> None:
        """Read neighbouring units into the buffer, and sort each."""
        begin, end = int(self.first[units[0]]), int(self.last[units[-1]])
        for low in range(begin, end, _READ):
            high = min(low + _READ, end)
            buffer.times[low:high] = data.outer((slice(low, high, 1),))
        for unit in units[_out_of_order(buffer.times, self.first[units], self.last[units])]:
            buffer.times[self.first[unit] : self.last[unit]].sort()
        buffer.loaded[units] = True

    def extent(self) -> tuple[float, float]:
        """Times of the first and last of all spikes in s; NaN if there are none. All are read."""
        times = self.load(np.arange(self.first.size))
        has_spikes = self.last > self.first
        if not has_spikes.any():
            return np.nan, np.nan
        # NaN comes last in each train, so the last spike may be before the end.
        ends = [
            np.nanmax(times[f:e], initial=-np.inf) if np.isnan(times[e - 1]) else times[e - 1]
            for f, e in zip(self.first[has_spikes], self.last[has_spikes], strict=True)
        ]
        low, high = float(np.nanmin(times[self.first[has_spikes]])), float(max(ends))
        return (low, high) if np.isfinite(high) else (np.nan, np.nan)

    def __dask_tokenize__(self) -> object:
        return ("Trains", self.key)


def spikes_node(area: Any, wanted: str = "spikes") -> Any:
    """The spikes node of an area of a recording tree; anything else is returned unchanged.

    Raises
    ------
    SchemaError
        If it is neither an area nor the spikes of one; the message tells what to give.
    """
    if isinstance(area, xr.DataTree) and schema.SPIKES in area.children:
        return area.children[schema.SPIKES]
    variables = {schema.ROW_SIZE, schema.SPIKE_DATA, schema.RESPONSES}
    if not isinstance(area, xr.DataTree | xr.Dataset) or not variables & set(area.data_vars):
        raise no_spikes(area, wanted)
    return area


def no_spikes(area: Any, wanted: str = "spikes") -> SchemaError:
    """The error if no area of a recording tree ("rates": or of an aligned one) was given."""
    what = "an area" if wanted == "rates" else "an area of a recording tree, or its spikes"
    return SchemaError(
        f"expected {what}; found {given.described(area)}; {given.instead(area, wanted)}"
    )


def check_order(spikes: xr.Dataset) -> np.ndarray:
    """Check that the spikes of a node belong to its units.

    Parameters
    ----------
    spikes : Dataset
        A spikes node, ``spike_times (spike,)`` and ``row_size (unit_id,)``.

    Returns
    -------
    (unit_id,) int64
        Number of spikes of each unit.

    Raises
    ------
    SchemaError
        If units were selected or put in another order without their spikes (by position).
    """
    sizes = np.atleast_1d(spikes[schema.ROW_SIZE].values).astype(np.int64)
    index = spikes.xindexes.get(schema.UNIT)
    select = "Select by label, spikes.sel(unit_id=[...]), which also selects the spikes"
    if not isinstance(index, UnitIndex):
        select = "na.select_units(tree, 'unit_id in [3, 7]') selects units with their spikes"
    if sizes.sum() != spikes.sizes[schema.SPIKE]:
        msg = (
            f"row_size adds up to {sizes.sum()} spikes, but there are "
            f"{spikes.sizes[schema.SPIKE]}: units were selected without their spikes. {select}"
        )
        raise SchemaError(msg)
    if isinstance(index, UnitIndex) and not index.in_turn:
        msg = (
            "units were put in another order without their spikes (isel, sortby and roll move units "
            f"only). {select}, in the order of the labels"
        )
        raise SchemaError(msg)
    return sizes


def trains_of(spikes: xr.Dataset) -> Trains:
    """The spike trains of a spikes node.

    Raises
    ------
    SchemaError
        If spikes and units do not fit together (units were selected or moved by position).
    ValueError
        If the spike times have another unit than seconds, or are no times.
    """
    for name in (schema.SPIKE_TIMES, schema.ROW_SIZE):
        if name not in spikes:
            raise no_spikes(spikes)
    sizes = check_order(spikes)
    last = np.cumsum(sizes)
    first = last - sizes
    variable = spikes.variables[schema.SPIKE_TIMES]
    check_seconds(variable, schema.SPIKE_TIMES)
    data = array_of(variable)
    if isinstance(data, LazyArray):
        return Trains(data, first, last, (data.__dask_tokenize__(), sizes.tobytes()))
    if variable.chunks is not None:
        return Trains(OfVariable(variable), first, last, (variable.data.name, sizes.tobytes()))
    # The times are in memory, or lazy without a key by which a cache could recognise them.
    times = np.ascontiguousarray(seconds(variable.values, schema.SPIKE_TIMES))
    wrong = _out_of_order(times, first, last)
    if wrong.any():
        times = times.copy()
        for unit in np.flatnonzero(wrong):
            times[first[unit] : last[unit]].sort()
    return Trains(times, first, last, (times, sizes))


def _out_of_order(times: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Which trains are not sorted, (unit,) bool."""
    from neuroarrays.kernels import counts

    wrong: np.ndarray = ~counts.is_sorted(times, first, last)
    return wrong
