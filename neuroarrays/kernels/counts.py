"""Count spikes in exact half-open bins, of trials or of one continuous clock.

`neuroarrays.kernels.grid` says where the edges of bins lie. A product with the bin width only
guesses the bin: the edges themselves decide, because one tick in 600 of a 30 kHz clock falls on an
edge of 20 ms bins and rounding would misplace up to a tenth of those.

The compiled loops (`neuroarrays.kernels.loops`, loaded when the first spike is counted) release
the GIL and start no threads of their own (parallel loops of numba do not survive a fork);
`threads=` splits the time axis over threads instead.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from neuroarrays.kernels.grid import bin_edges, bin_rate, checked_number, grid_numbers, times_of
from neuroarrays.kernels.sharing import in_threads

#: Number of spikes plus counts above which threads are started.
_MANY = 1 << 20
#: Bytes of a block of output, which stays in the cache while all units are counted: in that of a core where
#: neighbouring bins of a unit lie apart, in the shared one where those of a presentation lie together.
_CLOCK_BYTES, _TRIALS_BYTES = 1 << 19, 1 << 22


def is_sorted(times: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Whether the spikes of each unit are in order.

    Parameters
    ----------
    times : (spike,) float64, s
        Spike times, unit after unit.
    first, last : (unit,) int
        Unit u owns `times[first[u]:last[u]]`.

    Returns
    -------
    (unit,) bool
        True where the unit's times never decrease; False if any of them is NaN.

    Raises
    ------
    ValueError
        If `first` and `last` do not describe parts of `times`.
    """
    times, first, last = checked_spikes(times, first, last)
    trains = (times[begin:end] for begin, end in zip(first, last, strict=True))
    # NaN is not in order: comparisons with it are False, and a single spike is checked by itself.
    in_order = [
        bool(np.all(train[1:] >= train[:-1]) and not np.isnan(train[:1]).any()) for train in trains
    ]
    return np.array(in_order, np.bool_)


def count_trials(
    times: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    origins: np.ndarray,
    limits: np.ndarray,
    n_bins: int,
    bin_width: float,
    dtype: Any,
    out: np.ndarray | None = None,
    *,
    threads: int = 1,
) -> np.ndarray:
    """Count the spikes of every unit in the bins of every presentation.

    Presentations may come in any order, overlap and abut; each keeps its row.

    Parameters
    ----------
    times : (spike,) float64, s
        Spike times, unit after unit, sorted within a unit as `np.sort` does (NaN last).
    first, last : (unit,) int
        Unit u owns `times[first[u]:last[u]]`.
    origins : (presentation,) float64, s
        Time of edge 0 of each presentation; a row of zeros where it is not finite.
    limits : (presentation,) float64, s
        Spikes at or after this time are not counted; infinity to count all bins in full.
    n_bins : int
        Number of bins of each presentation.
    bin_width : float, s
        Width of one bin; positive and finite.
    dtype : dtype
        Integer type of the counts.
    out : (presentation, unit, n_bins) dtype, optional
        C-contiguous array to write to instead of a new one.
    threads : int, default 1
        Threads that share the rows where spikes and counts are many; the result does not depend on it.

    Returns
    -------
    (presentation, unit, n_bins) dtype, spikes
        Counts, C-contiguous: those of one presentation lie together.

    Raises
    ------
    OverflowError
        If a bin holds more spikes than `dtype` can hold; says how many.
    ValueError
        If shapes, ranges or the layout of `out` do not fit.
    TypeError
        If `dtype` is not an integer type.
    """
    from neuroarrays.kernels import loops

    spikes = checked_spikes(times, first, last)
    origins = np.ascontiguousarray(origins, dtype=np.float64)
    limits = np.ascontiguousarray(limits, dtype=np.float64)
    if origins.ndim != 1 or limits.shape != origins.shape:
        raise ValueError(
            f"origins and limits: expected one length, got {origins.shape} and {limits.shape}"
        )
    out = _output(out, (len(origins), len(spikes[1]), checked_number(n_bins)), dtype)
    out[...] = 0
    numbers = grid_numbers(origins, bin_width)
    starts, stops = times_of(origins, np.array([0, n_bins]), bin_width, numbers).T
    stops = np.minimum(stops, limits)
    order = np.flatnonzero(stops > starts)  # False for NaN and for infinite origins too
    if not len(spikes[1]):
        return out
    order = order[np.argsort(starts[order], kind="stable")]
    stops = stops[order]
    index, row_size = np.arange(n_bins + 1), len(spikes[1]) * n_bins
    block = max(1, _TRIALS_BYTES // (row_size * out.itemsize + 8 * (n_bins + 1)))
    per_second, units = 1 / float(bin_width), largest_and_one(out.dtype)

    def count(begin: int, end: int) -> bool:
        spans = np.stack(spikes[1:])
        fits = True
        for low in range(begin, end, block):
            rows = order[low : min(low + block, end)]
            edges = times_of(origins[rows], index, bin_width, numbers[rows])
            following = np.append(edges[1:, 0], edges[-1, 0])
            ends = np.stack([stops[low : low + len(rows)], following])
            fits &= loops.trials(spikes[0], spans, rows, ends, edges, per_second, units, out)
        return fits

    if not _run(count, len(order), spikes[0].size + out.size, threads):
        wide = (
            count_trials(*spikes, origins[p : p + 64], limits[p : p + 64], n_bins, bin_width, "i8")
            for p in range(0, len(origins), 64)
        )
        raise _overflow(wide, out.dtype)
    return out


def count_clock(
    times: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    origin: float,
    n_bins: int,
    bin_width: float,
    dtype: Any,
    out: np.ndarray | None = None,
    *,
    start_bin: int = 0,
    threads: int = 1,
) -> np.ndarray:
    """Count the spikes of every unit in the bins of one continuous clock.

    Parameters
    ----------
    times : (spike,) float64, s
        Spike times, unit after unit, sorted within a unit as `np.sort` does (NaN last).
    first, last : (unit,) int
        Unit u owns `times[first[u]:last[u]]`.
    origin : float, s
        Time of edge 0 of the clock; finite.
    n_bins : int
        Number of bins to count.
    bin_width : float, s
        Width of one bin; positive and finite.
    dtype : dtype
        Integer type of the counts.
    out : (n_bins, unit) dtype, optional
        C-contiguous array to write to instead of a new one.
    start_bin : int, default 0
        Index on the clock of the first bin to count. Edges depend on the clock alone, so a
        range of bins equals the same slice of the whole.
    threads : int, default 1
        Threads that share the rows where spikes and counts are many; the result does not depend on it.

    Returns
    -------
    (n_bins, unit) dtype, spikes
        Counts of bins `start_bin` to `start_bin + n_bins`, C-contiguous.

    Raises
    ------
    OverflowError
        If a bin holds more spikes than `dtype` can hold; says how many.
    ValueError
        If shapes, ranges, `origin` or the layout of `out` do not fit.
    TypeError
        If `dtype` is not an integer type.
    """
    from neuroarrays.kernels import loops

    spikes = checked_spikes(times, first, last)
    if not math.isfinite(origin):
        raise ValueError(f"origin: expected a finite number, got {origin}")
    bin_rate(bin_width)  # refuses what is no width
    out = _output(out, (checked_number(n_bins), len(spikes[1])), dtype)
    # In short blocks each unit starts too often; in long ones the edges do not fit into the cache.
    block = max(64, _CLOCK_BYTES // (out[:1].nbytes + 32))
    per_second, units = 1 / float(bin_width), largest_and_one(out.dtype)

    def count(begin: int, end: int) -> bool:
        spans = np.stack(spikes[1:])
        fits = True
        for low in range(begin, end, block):
            part = out[low : min(low + block, end)]
            part[...] = 0
            edges = bin_edges(origin, len(part), bin_width, start_bin + low)
            fits &= loops.clock(spikes[0], spans, edges, per_second, units, part)
        return fits

    if not _run(count, n_bins, spikes[0].size + out.size, threads):
        wide = (
            count_clock(
                *spikes, origin, min(4096, n_bins - k), bin_width, "i8", start_bin=start_bin + k
            )
            for k in range(0, n_bins, 4096)
        )
        raise _overflow(wide, out.dtype)
    return out


def checked_spikes(
    times: np.ndarray, first: np.ndarray, last: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return spikes, and the parts of units, in the types that the loops are compiled for.

    Parameters
    ----------
    times : (spike,) number, s
        Spike times, unit after unit.
    first, last : (unit,) int
        Unit u owns ``times[first[u]:last[u]]``.

    Returns
    -------
    times, first, last : (spike,) float64, (unit,) int64, (unit,) int64
        The same, C-contiguous: times in seconds, positions of the first spike of each unit
        and after its last.

    Raises
    ------
    ValueError
        If shapes do not fit, or a unit reaches outside the spikes.
    """
    times = np.ascontiguousarray(times, dtype=np.float64)
    first = np.ascontiguousarray(first, dtype=np.int64)
    last = np.ascontiguousarray(last, dtype=np.int64)
    if times.ndim != 1 or first.ndim != 1 or first.shape != last.shape:
        raise ValueError(
            "times, first and last: expected (spike,), (unit,) and (unit,), "
            f"got {times.shape}, {first.shape} and {last.shape}"
        )
    inside = (first >= 0) & (first <= last) & (last <= len(times))
    if not inside.all():
        unit = int(np.argmin(inside))
        raise ValueError(
            f"first and last: expected a part of {len(times)} spikes for unit {unit}, "
            f"got {first[unit]} to {last[unit]}"
        )
    return times, first, last


def _output(out: np.ndarray | None, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Return the array for the counts: `out` after checking it, or a new one."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "iu":
        raise TypeError(f"dtype: expected an integer type, got {dtype}")
    if out is None:
        return np.empty(shape, dtype)
    if out.shape != shape or out.dtype != dtype or not out.flags.carray:
        raise ValueError(
            f"out: expected a C-contiguous writable {dtype} array of shape {shape}, "
            f"got {out.dtype} {out.shape}"
        )
    return out


def largest_and_one(dtype: np.dtype) -> tuple[Any, Any]:
    """Return the largest count of a dtype, and a count of one, as scalars of this dtype.

    Compiled sums of these stay in the type.
    """
    return dtype.type(np.iinfo(dtype).max), dtype.type(1)


def _run(count: Callable[[int, int], bool], n_rows: int, size: int, threads: int) -> bool:
    """Count rows, by threads where spikes and counts are many; whether every count fits its type."""
    if threads == 1 or size < _MANY:
        return count(0, n_rows)
    # There are more parts than threads, so that no thread waits for a part with many spikes.
    n_parts = 4 * threads
    bounds = np.linspace(0, n_rows, n_parts + 1).astype(int)
    return all(in_threads(lambda part: count(bounds[part], bounds[part + 1]), n_parts, threads))


def _overflow(counts: Iterable[np.ndarray], dtype: np.dtype) -> OverflowError:
    """Return the error for counts that do not fit into the dtype."""
    largest = max(int(part.max()) for part in counts)
    return OverflowError(f"a bin holds {largest} spikes, {dtype} at most {np.iinfo(dtype).max}")
