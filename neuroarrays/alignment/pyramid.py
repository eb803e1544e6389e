"""Spikes of every unit at several widths of bins, for pictures of whole sessions at any zoom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.bins import check_window
from neuroarrays.tree.trains import spikes_node, trains_of

#: Counts of the finest level that are kept, 32 MB: bins are as short as this allows.
MOST_COUNTS = 1 << 24
#: Width of the narrowest bins, s, and how many of the finest make one of the coarse level.
_NARROWEST, _COARSE = 2.0**-10, 32
#: Times further from 0 than this are no times of a recording (136 years), s.
_FURTHEST = 2.0**32


class _Level(NamedTuple):
    """Counts (unit, bin) in bins of `width` s, of which bin 0 begins at ``start * width``."""

    start: int
    width: float
    counts: np.ndarray


class CountPyramid:
    """Counts of spikes per unit in bins of 2^k seconds, made while the spikes are read unit by unit.

    No spike is kept, so that a recording of any length takes `most_counts` numbers of 2 bytes. As
    bins begin at whole multiples of their width and widths are powers of two, the edges are exact,
    and counts are those of `bin_spikes` with the same `bin_width` and `window`.

    Parameters
    ----------
    spikes : Dataset or DataTree node
        A spikes node of a recording tree, ``spike_times (spike,)`` in seconds; or its area.
    most_counts : int
        Counts that are kept: units times bins. Bins are as narrow as that allows, and no
        narrower than 1/1024 s.

    Attributes
    ----------
    is_read : (unit_id,) bool
        Which units were counted.
    left_out : int
        Spike times that are missing (NaN), or no times of a recording (136 years away from 0).

    Raises
    ------
    SchemaError
        If there are no spike times.

    Examples
    --------
    >>> import neuroarrays as na
    >>> pyramid = na.CountPyramid(na.load_sample()["A2929-200711/adn"])
    >>> for unit in pyramid.read():
    ...     pass  # say how far it is
    >>> pyramid.within((0.0, 1200.0), most_bins=1000).sizes
    Frozen({'time': 600, 'unit_id': 7})
    """

    def __init__(self, spikes: xr.Dataset | xr.DataTree, most_counts: int = MOST_COUNTS):
        node = spikes_node(spikes)
        self._trains = trains_of(node.to_dataset() if isinstance(node, xr.DataTree) else node)
        self.unit_ids = np.atleast_1d(node[schema.UNIT].values)
        self.is_read = np.zeros(self.unit_ids.size, bool)
        self.left_out = 0
        self._most = max(2 * _COARSE, most_counts // max(1, self.unit_ids.size))
        self._fine = _Level(0, _NARROWEST, np.zeros((self.unit_ids.size, 0), np.uint16))
        self._coarse = _Level(0, _NARROWEST * _COARSE, np.zeros((self.unit_ids.size, 0), np.uint32))

    @property
    def bin_width(self) -> float:
        """Width of the narrowest bins that are kept, s."""
        return self._fine.width

    @property
    def extent(self) -> tuple[float, float]:
        """Where the bins begin and end that hold the spikes read so far, s; NaN before the first."""
        level = self._fine
        if not level.counts.shape[1]:
            return np.nan, np.nan
        return level.start * level.width, (level.start + level.counts.shape[1]) * level.width

    def read(self) -> Iterator[int]:
        """Read and count the units that are not yet, one after another.

        Yields
        ------
        int
            The position of the unit that was read.
        """
        for row in np.flatnonzero(~self.is_read):
            times = self._trains.one(int(row))
            known = times[np.abs(times) < _FURTHEST]  # NaN is not less either
            self.left_out += times.size - known.size
            if known.size:
                self._count(int(row), known)
            self.is_read[row] = True
            yield int(row)

    def within(self, window: tuple[float, float], most_bins: int = 1000) -> xr.DataArray:
        """Counts within a window, in the narrowest bins of which no more than `most_bins` fill it.

        Parameters
        ----------
        window : (float, float), s
            Part of the session clock; it is widened to whole bins.
        most_bins : int
            The most bins to return (one more where the window begins within one).

        Returns
        -------
        (time, unit_id) xr.DataArray, spikes per bin
            As `bin_spikes` gives them; the attribute ``bin_width`` of `time` is the width in s.
            Units that are not read have 0: `is_read` says which.
        """
        low, high = check_window(window)
        width = self._fine.width
        while (high - low) / width > most_bins:
            width *= 2
        first, last = int(np.floor(low / width)), int(np.ceil(high / width))
        level = self._coarse if width >= self._coarse.width else self._fine
        step = round(width / level.width)
        counts = _summed(level, first * step, last * step, step)
        middles = (np.arange(first, last) + 0.5) * width
        attrs = {"units": "s", "long_name": "bin centre", "bin_width": width}
        coords: dict[Any, Any] = {
            schema.TIME: (schema.TIME, middles, attrs),
            schema.UNIT: self.unit_ids,
        }
        return xr.DataArray(counts.T, coords, (schema.TIME, schema.UNIT), schema.SPIKE_DATA)

    def _count(self, row: int, times: np.ndarray) -> None:
        """Add a train, (n,) float64 in s and in order, to both levels."""
        self._make_room(float(times[0]), float(times[-1]))
        fine, coarse = self._fine, self._coarse
        bins = np.floor(times / fine.width).astype(np.int64) - fine.start
        counts = np.bincount(bins, minlength=fine.counts.shape[1])
        if counts.max() > np.iinfo(fine.counts.dtype).max:
            fine = self._fine = fine._replace(counts=fine.counts.astype(np.uint32))
        fine.counts[row] = counts
        coarse.counts[row] = counts.reshape(-1, _COARSE).sum(axis=1)

    def _make_room(self, low: float, high: float) -> None:
        """Let the bins reach from one time to another, s: more of them, or wider ones."""
        level = self._fine
        while True:
            start, stop = level.start, level.start + level.counts.shape[1]
            begin, end = int(np.floor(low / level.width)), int(np.floor(high / level.width)) + 1
            if start != stop:
                begin, end = min(begin, start), max(end, stop)
            begin, end = begin // _COARSE * _COARSE, -(-end // _COARSE) * _COARSE
            if end - begin <= self._most:
                break
            level = _doubled(level)
        if level is self._fine and (begin, end) == (start, stop):
            return
        wider = np.zeros((level.counts.shape[0], end - begin), level.counts.dtype)
        wider[:, start - begin : stop - begin] = level.counts
        coarse = wider.reshape(len(wider), -1, _COARSE).sum(axis=2, dtype=np.uint32)
        self._fine = _Level(begin, level.width, wider)
        self._coarse = _Level(begin // _COARSE, level.width * _COARSE, coarse)


def _doubled(level: _Level) -> _Level:
    """The counts in bins of twice the width."""
    counts = level.counts
    before, after = level.start % 2, (level.start + counts.shape[1]) % 2
    if before or after:
        counts = np.pad(counts, ((0, 0), (before, after)))
    if counts.size and counts.max() > np.iinfo(counts.dtype).max // 2:
        counts = counts.astype(np.uint32)
    pairs = counts[:, ::2] + counts[:, 1::2]
    return _Level((level.start - before) // 2, level.width * 2, pairs)


def _summed(level: _Level, first: int, last: int, step: int) -> np.ndarray:
    """Counts (unit, bin) of every `step` bins of a level from `first` to `last`; 0 outside."""
    n_units, n_bins = level.counts.shape
    low, high = (min(max(bound - level.start, 0), n_bins) for bound in (first, last))
    inside = level.counts[:, low:high]
    before = max(0, min(last, level.start) - first) if n_bins else 0
    out = np.zeros((n_units, (last - first) // step), np.uint32)
    if not inside.shape[1]:
        return out
    # Sums begin where a wide bin does: the first may be filled in part.
    edges = np.arange(-(before % step), inside.shape[1], step).clip(0)
    sums = inside if step == 1 else np.add.reduceat(inside, edges, axis=1, dtype=np.uint32)
    out[:, before // step : before // step + sums.shape[1]] = sums
    return out
