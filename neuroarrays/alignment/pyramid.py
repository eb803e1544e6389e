"""`CountPyramid`: spike counts at several bin widths, for pictures at any zoom."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.bins import check_window
from neuroarrays.files import state
from neuroarrays.tree.trains import spikes_node, trains_of

#: The default number of counts in the finest level, 32 MB; it decides the bin width.
MOST_COUNTS = 1 << 24
#: The smallest bin width in s, and how many fine bins make a bin of the coarse level.
_NARROWEST, _COARSE = 2.0**-10, 32
#: Times further from 0 than this (136 years, in s) cannot be times of a recording.
_FURTHEST = 2.0**32


class _Level(NamedTuple):
    """Counts (unit, bin) in bins of `width` s, of which bin 0 begins at ``start * width``."""

    start: int
    width: float
    counts: np.ndarray


class CountPyramid:
    """Spike counts in bins of 2^k seconds, made while spikes are read one unit after another.

    Spike times are not kept, so a recording of any length needs memory for `most_counts` numbers of
    2 bytes. Bins begin at whole multiples of their width, and widths are powers of two, so edges
    are exact. Counts equal those of `bin_spikes` with the same `bin_width` and `window`.

    Parameters
    ----------
    spikes : Dataset or DataTree node
        A spikes node of a recording tree, ``spike_times (spike,)`` in seconds, or its area.
    most_counts : int
        The most counts to keep: units times bins. Bins are as narrow as this allows, but not
        narrower than 1/1024 s.

    Attributes
    ----------
    is_read : (unit_id,) bool
        The units that were read and counted.
    failure : Exception or None
        The error that stopped `read_in_background`; None if there was none.
    left_out : int
        Number of spike times that were not counted: NaN, or more than 136 years away from 0.

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
        self.failure: Exception | None = None
        self._most = max(2 * _COARSE, most_counts // max(1, self.unit_ids.size))
        self._fine = _Level(0, _NARROWEST, np.zeros((self.unit_ids.size, 0), np.uint16))
        self._coarse = _Level(0, _NARROWEST * _COARSE, np.zeros((self.unit_ids.size, 0), np.uint32))

    @property
    def bin_width(self) -> float:
        """Width of the narrowest bins, s."""
        return self._fine.width

    @property
    def extent(self) -> tuple[float, float]:
        """Start and end in s of the bins with the spikes read so far; NaN without spikes."""
        level = self._fine
        if not level.counts.shape[1]:
            return np.nan, np.nan
        return level.start * level.width, (level.start + level.counts.shape[1]) * level.width

    def read(self) -> Iterator[int]:
        """Read and count the remaining units, one after another.

        Yields
        ------
        int
            Position of the unit that was read.
        """
        for row in np.flatnonzero(~self.is_read):
            times = self._trains.of_unit(int(row))
            known = times[np.abs(times) < _FURTHEST]  # this also excludes NaN
            self.left_out += times.size - known.size
            if known.size:
                self._count(int(row), known)
            self.is_read[row] = True
            yield int(row)

    def read_in_background(self) -> None:
        """Read and count the remaining units in a thread, after those of other pyramids that were asked for.

        `is_read` tells how far it is, and `failure` why it stopped. The thread does not keep the program
        from ending.
        """
        state.queue("pyramid", 1, _serve).put(self)

    def within(self, window: tuple[float, float], most_bins: int = 1000) -> xr.DataArray:
        """Take the counts within a window, in at most `most_bins` bins.

        Parameters
        ----------
        window : (float, float), s
            Part of the session clock. It is extended to whole bins.
        most_bins : int
            The most bins to return (one more if the window begins inside a bin).

        Returns
        -------
        (time, unit_id) xr.DataArray, spikes per bin
            Counts as from `bin_spikes`, in the narrowest bins that fit. The attribute ``bin_width``
            of `time` is the width in s. Units that were not read have 0; `is_read` tells which.
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
        """Add a sorted spike train, (n,) float64 in s, to both levels."""
        self._make_room(float(times[0]), float(times[-1]))
        fine, coarse = self._fine, self._coarse
        bins = np.floor(times / fine.width).astype(np.int64) - fine.start
        counts = np.bincount(bins, minlength=fine.counts.shape[1])
        if counts.max() > np.iinfo(fine.counts.dtype).max:
            fine = self._fine = fine._replace(counts=fine.counts.astype(np.uint32))
        fine.counts[row] = counts
        coarse.counts[row] = counts.reshape(-1, _COARSE).sum(axis=1)

    def _make_room(self, low: float, high: float) -> None:
        """Extend the bins to a range of times in s, by more bins or by wider ones."""
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


def _serve(pyramids: SimpleQueue[CountPyramid]) -> None:
    """Read the pyramids that come, one after another."""
    while True:
        pyramid = pyramids.get()
        try:
            for _ in pyramid.read():
                pass
        except (
            Exception
        ) as error:  # the caller finds it in `failure`; the thread goes on with other pyramids
            pyramid.failure = error
        del pyramid


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
    # Sums begin at the start of a wide bin, whose first part may be empty.
    edges = np.arange(-(before % step), inside.shape[1], step).clip(0)
    sums = inside if step == 1 else np.add.reduceat(inside, edges, axis=1, dtype=np.uint32)
    out[:, before // step : before // step + sums.shape[1]] = sums
    return out
