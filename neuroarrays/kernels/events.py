"""Store spike counts as events: the position of each spike instead of a number for each bin.

A row (a presentation, or one bin of a clock) is cut into stretches of 65,536 places, so that a
spike takes two bytes; a bin that holds several spikes is named as many times. Windows are counted
from spikes put in order of time slice, whatever their unit: a window is then one stretch of them.
"""

from typing import NamedTuple

import numpy as np

from neuroarrays.kernels import counts, grid
from neuroarrays.kernels.jit import compiled
from neuroarrays.kernels.stretches import STRETCH, stretches


def compress(dense: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convert counts to events.

    Parameters
    ----------
    dense : (row, width) unsigned int, spikes
        Counts.

    Returns
    -------
    sizes : (row * stretches,) int64
        Number of events of each stretch of 65,536 places of each row.
    places : (event,) uint16
        Position of each event in its stretch, in order.

    Raises
    ------
    ValueError
        If counts are not a table of unsigned integers.
    """
    dense = np.ascontiguousarray(dense)
    if dense.ndim != 2 or dense.dtype.kind != "u":
        raise ValueError(f"dense: expected (row, width) of unsigned integers, got {dense.dtype}")
    sizes = np.zeros(len(dense) * stretches(dense.shape[1]), np.int64)
    places = np.empty(int(dense.sum(dtype=np.int64)), np.uint16)
    _name_events(dense, sizes, places)
    return sizes, places


def expand(first: np.ndarray, places: np.ndarray, rows: np.ndarray, out: np.ndarray) -> np.ndarray:
    """Convert the events of some rows to counts.

    Parameters
    ----------
    first : (row * stretches + 1,) int64
        Position of the first event of each stretch; the last entry is the number of events.
    places : (event,) uint16
        Position of each event in its stretch.
    rows : (n,) int64
        Numbers of the rows wanted, in any order; a row may be asked for twice.
    out : (n, width) number
        C-contiguous array to write to.

    Returns
    -------
    (n, width), spikes
        `out`.

    Raises
    ------
    IndexError
        If a row is not there.
    ValueError
        If `out` has another number of rows.
    """
    per_row = stretches(out.shape[1])
    rows = np.ascontiguousarray(rows, np.int64)
    n_rows = (len(first) - 1) // per_row
    # Seen as unsigned numbers, negative ones are larger than all others.
    if rows.size and rows.view(np.uint64).max() >= n_rows:
        raise IndexError(f"rows: expected 0 to {n_rows - 1}, got {rows.min()} to {rows.max()}")
    if out.ndim != 2 or len(out) != len(rows) or not out.flags.carray:
        raise ValueError(f"out: expected {len(rows)} contiguous rows, got {out.shape}")
    _expand(first, places, rows, out)
    return out


class Slices(NamedTuple):
    """The spikes of all units, sorted by slice of time, and within a slice by unit.

    Attributes
    ----------
    origin : float, s
        Begin of the first slice.
    per_second : float, 1/s
        Number of slices per second.
    bounds : (slice + 1,) int64
        Position of the first spike of each slice; the last entry is the number of spikes.
    times : (spike,) float64, s
        Their times.
    units : (spike,) uint16 or uint32
        Number of the unit of each spike, counted from 0.
    n_units : int
        Number of units.
    """

    origin: float
    per_second: float
    bounds: np.ndarray
    times: np.ndarray
    units: np.ndarray
    n_units: int


def slice_by_time(
    times: np.ndarray, first: np.ndarray, last: np.ndarray, per_second: float = 64.0
) -> Slices:
    """Sort the spikes of all units by slice of time.

    Parameters
    ----------
    times : (spike,) float64, s
        Spike times, unit after unit, in any order; NaN and infinite ones are left out.
    first, last : (unit,) int
        Unit u owns ``times[first[u]:last[u]]``.
    per_second : float, 1/s
        Number of slices per second; fewer where spikes are rare.

    Returns
    -------
    Slices
        Ten bytes per spike.

    Raises
    ------
    ValueError
        If `first` and `last` do not describe parts of `times`.
    """
    spikes = counts.checked_spikes(times, first, last)
    low, high, n = _extent(*spikes)
    low, span = (float(low), float(high - low)) if n else (0.0, 0.0)
    if span > 0:  # the bounds take no more room than the spikes
        per_second = min(per_second, max(1.0, n / 4) / span)
    bounds = np.zeros(int(span * per_second) + 2, np.int64)
    sliced = np.empty(n)
    units = np.empty(n, np.uint16 if len(spikes[1]) <= STRETCH else np.uint32)
    _slice(spikes, low, per_second, bounds, sliced, units)
    return Slices(low, per_second, bounds, sliced, units, len(first))


def slice_of(spikes: Slices, times: np.ndarray) -> np.ndarray:
    """Return the slice of each time; the first or the last one for times outside all slices.

    Parameters
    ----------
    spikes : Slices
        What `slice_by_time` gives.
    times : (...) float64, s
        Finite.

    Returns
    -------
    (...) int64
        Number of the slice of each, counted from 0.
    """
    numbers = (times - spikes.origin) * spikes.per_second
    n_slices = len(spikes.bounds) - 1
    return np.minimum(np.maximum(numbers, 0), n_slices).astype(np.int64)


def count_windows(
    spikes: Slices, starts: np.ndarray, bin_width: float, out: np.ndarray
) -> np.ndarray:
    """Count the spikes of every unit in the bins of windows that start anywhere.

    Parameters
    ----------
    spikes : Slices
        What `slice_by_time` gives.
    starts : (window,) float64, s
        Edge 0 of each window.
    bin_width : float, s
        Width of one bin.
    out : (window, bin, unit) int, spikes
        C-contiguous array to write to, for as many units as there are.

    Returns
    -------
    (window, bin, unit) int, spikes
        `out`: the counts of `counts.count_trials`, bins before units.

    Raises
    ------
    OverflowError
        If a bin holds more spikes than the dtype of `out` can.
    ValueError
        If a start is not finite, or `out` does not fit.
    """
    starts = np.ascontiguousarray(starts, np.float64)
    if not np.isfinite(starts).all():
        raise ValueError("starts: expected finite times")
    if out.ndim != 3 or len(out) != len(starts) or not out.flags.carray:
        raise ValueError(f"out: expected ({len(starts)}, bin, unit), contiguous, got {out.shape}")
    if out.shape[2] != spikes.n_units:
        raise ValueError(f"out: room for {out.shape[2]} units, spikes of {spikes.n_units}")
    edges = grid.bin_edges(starts, out.shape[1], bin_width)
    slices = slice_of(spikes, edges[:, [0, -1]]) + np.array([0, 1])
    parts = spikes.bounds[np.minimum(slices, len(spikes.bounds) - 1)]
    out[...] = 0
    fits = _count_windows(
        spikes.times,
        spikes.units,
        parts,
        edges,
        1 / float(bin_width),
        counts.largest_and_one(out.dtype),
        out,
    )
    if not fits:
        raise OverflowError(f"a bin holds more than {np.iinfo(out.dtype).max} spikes")
    return out


@compiled
def _name_events(dense, sizes, places):
    """Write the column of each event within its stretch of 65,536, and count the events of each stretch."""
    per_row = (dense.shape[1] + 65535) // 65536
    i = 0
    for row in range(dense.shape[0]):
        for column in range(dense.shape[1]):
            for _ in range(dense[row, column]):
                sizes[row * per_row + column // 65536] += 1
                places[i] = column % 65536
                i += 1


@compiled
def _expand(first, places, rows, out):
    """Write the counts of some rows, (row, column), from the columns of their events."""
    per_row = (out.shape[1] + 65535) // 65536
    for i in range(len(rows)):
        for column in range(out.shape[1]):
            out[i, column] = 0
        for stretch in range(per_row):
            base = stretch * 65536
            segment = rows[i] * per_row + stretch
            for event in range(first[segment], first[segment + 1]):
                out[i, base + np.int64(places[event])] += 1


@compiled
def _extent(times, first, last):
    """Return the first and the last finite time, s, and the number of finite times."""
    low = np.inf
    high = -np.inf
    n = 0
    for unit in range(len(first)):
        for i in range(first[unit], last[unit]):
            if np.isfinite(times[i]):
                n += 1
                low = min(low, times[i])
                high = max(high, times[i])
    return low, high, n


@compiled
def _slice(spikes, low, per_second, bounds, sliced, units):
    """Sort spikes into slices of time, and note the unit of each."""
    times, first, last = spikes
    # bounds[k + 1] is first the number of spikes of slice k, then where they begin, then where they end.
    for unit in range(len(first)):
        for i in range(first[unit], last[unit]):
            if np.isfinite(times[i]):
                bounds[int((times[i] - low) * per_second) + 1] += 1
    total = 0
    for k in range(1, len(bounds)):
        n_spikes = bounds[k]
        bounds[k] = total
        total += n_spikes
    for unit in range(len(first)):
        for i in range(first[unit], last[unit]):
            if np.isfinite(times[i]):
                k = int((times[i] - low) * per_second) + 1
                sliced[bounds[k]] = times[i]
                units[bounds[k]] = unit
                bounds[k] += 1


@compiled
def _count_windows(times, names, parts, edges, per_second, units, out):
    """Count the sorted spikes in the bins of windows; return whether all counts fit."""
    top, increment = units
    n_bins = edges.shape[1] - 1
    n_units = np.uint64(out.shape[2])
    fits = True
    for w in range(len(edges)):
        window = out[w].reshape(-1)
        start, stop = edges[w, 0], edges[w, n_bins]
        for i in range(parts[w, 0], parts[w, 1]):
            time = times[i]
            if start <= time < stop:
                guess = (time - start) * per_second
                k = int(min(guess, n_bins - 1)) if guess > 0 else 0
                while time < edges[w, k]:
                    k -= 1
                while time >= edges[w, k + 1]:
                    k += 1
                # The index is unsigned, so that numba does not check for negative ones: half the time of this loop.
                index = np.uint64(k) * n_units + np.uint64(names[i])
                if window[index] != top:
                    window[index] += increment
                else:
                    fits = False
    return fits
