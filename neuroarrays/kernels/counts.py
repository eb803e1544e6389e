"""Spikes to counts: exact half-open bins, on trials or on one continuous clock.

Edge k of a clock that starts at `origin` is `origin + k / rate` where one second holds a whole
number of bins, else `origin + k * bin_width`; bin k is `[edge_k, edge_k+1)`. Where `origin` is
itself an edge of the session's clock, number g counted from time 0, edge k is `(g + k) / rate`, or
`(g + k) * bin_width`: a window has the very edges that the session has there. A product with the
bin width only guesses the bin: the edges themselves decide, because one tick in 600 of a 30 kHz
clock falls on an edge of 20 ms bins and rounding would misplace up to a tenth of those.

The compiled loops (`neuroarrays.kernels.loops`, loaded when the first spike is counted) release
the GIL and start no threads of their own (parallel loops of numba do not survive a fork);
`threads=` splits the time axis over a thread pool instead.
"""

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

_TOLERANCE = 1e-9
#: Further from time 0, in bins, float64 is too coarse to tell whether a time is on an edge.
_FARTHEST = 2.0**43


def bin_rate(bin_width: float) -> float:
    """Whole number of bins per second, or 0 if there is none.

    Parameters
    ----------
    bin_width : float, s
        Width of one bin; positive and finite.

    Returns
    -------
    float, 1/s
        `1 / bin_width` rounded, if it is an integer to 1e-9 relative; else 0.0.

    Raises
    ------
    ValueError
        If `bin_width` is not positive and finite.
    """
    if not (0 < bin_width < math.inf):
        raise ValueError(f"bin_width: expected a positive finite number, got {bin_width}")
    per_second = 1 / float(bin_width)
    if math.isinf(per_second):  # the inverse of a subnormal width
        return 0.0
    rate = float(round(per_second))
    return rate if rate and abs(per_second - rate) <= _TOLERANCE * rate else 0.0


def grid_numbers(times: Any, bin_width: float) -> Any:
    """Which edge of the session's clock, counted from time 0, a time is.

    Parameters
    ----------
    times : (...) float64, s
        Session clock.
    bin_width : float, s
        Width of one bin; positive and finite.

    Returns
    -------
    (...) float64
        A whole number where the time is one of bins to 1e-9, or to the rounding of the time itself
        where that is coarser; else NaN.

    Raises
    ------
    ValueError
        If `bin_width` is not positive and finite.
    """
    rate = bin_rate(bin_width)
    with np.errstate(all="ignore"):
        place = np.asarray(times, np.float64) * rate if rate else np.asarray(times) / bin_width
        number = np.rint(place)
        near = np.abs(place - number) <= _slack(place)
        return np.where(near & (np.abs(place) <= _FARTHEST), number, np.nan)


def on_grid(times: Any, bin_width: float) -> Any:
    """Times, those that `grid_numbers` finds on the session's clock exactly there.

    Parameters
    ----------
    times : (...) float64, s
        Session clock.
    bin_width : float, s
        Width of one bin; of centres, half of it.

    Returns
    -------
    (...) float64, s
    """
    numbers = grid_numbers(times, bin_width)
    return np.where(np.isnan(numbers), times, _offsets(numbers, bin_width))


def bin_edges(origin: Any, n_bins: int, bin_width: float, start_bin: int = 0) -> np.ndarray:
    """Edges of consecutive bins, the ones the counting functions compare with.

    Parameters
    ----------
    origin : float or (...) float64, s
        Time of edge 0 of the clock, or of several.
    n_bins : int
        Number of bins.
    bin_width : float, s
        Width of one bin; positive and finite.
    start_bin : int, default 0
        Index of the first bin on the clock of `origin`.

    Returns
    -------
    (..., n_bins + 1) float64, s
        Edges `start_bin` to `start_bin + n_bins`.

    Raises
    ------
    ValueError
        If `bin_width` is not positive and finite, or `n_bins` is negative.
    """
    return _times(origin, start_bin + np.arange(_checked_bins(n_bins) + 1), bin_width)


def bin_centres(origin: Any, n_bins: int, bin_width: float, start_bin: int = 0) -> np.ndarray:
    """Centres of consecutive bins, by the same rule as their edges.

    Parameters
    ----------
    origin : float or (...) float64, s
        Time of edge 0 of the clock, or of several.
    n_bins : int
        Number of bins.
    bin_width : float, s
        Width of one bin; positive and finite.
    start_bin : int, default 0
        Index of the first bin on the clock of `origin`.

    Returns
    -------
    (..., n_bins) float64, s
        Edge numbers ``k + 0.5`` for the numbers k of the bins.

    Raises
    ------
    ValueError
        If `bin_width` is not positive and finite, or `n_bins` is negative.
    """
    return _times(origin, start_bin + np.arange(_checked_bins(n_bins)) + 0.5, bin_width)


def _times(
    origin: Any, index: np.ndarray, bin_width: float, numbers: np.ndarray | None = None
) -> np.ndarray:
    """Times of possibly fractional edge numbers, counted from `origin`, whose own may be given."""
    origins = np.asarray(origin, np.float64)[..., None]
    numbers = grid_numbers(origins, bin_width) if numbers is None else numbers[..., None]
    with np.errstate(invalid="ignore", over="ignore"):
        away = origins + _offsets(index, bin_width)
        found: np.ndarray = np.where(np.isnan(numbers), away, _offsets(numbers + index, bin_width))
    return found


def _slack(place: Any) -> Any:
    """By how many bins a time, given in bins, may be off a whole number by rounding."""
    return np.maximum(_TOLERANCE, 4 * np.finfo(np.float64).eps * np.abs(place))


def bins_to_cover(duration: float, bin_width: float, start: float = 0.0) -> int:
    """Smallest number of bins that covers a duration.

    Parameters
    ----------
    duration : float, s
        Time to cover. Up to 1e-9 bins beyond a whole number count as rounding, not as time.
    bin_width : float, s
        Width of one bin; positive and finite.
    start : float, s
        When it begins, if `duration` is the difference of two times: what these are rounded by
        counts as rounding too.

    Returns
    -------
    int
        Number of bins, 0 if `duration` is not positive.

    Raises
    ------
    ValueError
        If `duration` is not finite or `bin_width` is not positive and finite.
    """
    if not math.isfinite(duration):
        raise ValueError(f"duration: expected a finite number, got {duration}")
    rate = bin_rate(bin_width)
    n_bins, place = (t * rate if rate else t / bin_width for t in (duration, start))
    return max(0, math.ceil(n_bins - min(float(_slack(abs(place) + n_bins)), 0.5)))


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
    from neuroarrays.kernels import loops

    result: np.ndarray = loops.is_sorted(*_spikes(times, first, last))
    return result


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
        Number of threads; the result does not depend on it.

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

    spikes = _spikes(times, first, last)
    origins = np.ascontiguousarray(origins, dtype=np.float64)
    limits = np.ascontiguousarray(limits, dtype=np.float64)
    if origins.ndim != 1 or limits.shape != origins.shape:
        raise ValueError(
            f"origins and limits: expected one length, got {origins.shape} and {limits.shape}"
        )
    out = _output(out, (len(origins), len(spikes[1]), _checked_bins(n_bins)), dtype)
    numbers = grid_numbers(origins, bin_width)
    starts, ends = _times(origins, np.array([0, n_bins]), bin_width, numbers).T
    stops = np.minimum(ends, limits)
    countable = stops > starts  # False for NaN and for infinite origins too
    out[~countable] = 0
    if not len(spikes[1]):
        return out
    order = np.flatnonzero(countable)
    order = order[np.argsort(starts[order], kind="stable")]
    units = _unit_counts(out.dtype)
    clock = (bin_rate(bin_width), float(bin_width))

    starts, stops, numbers = starts[order], stops[order], numbers[order]

    def count(begin: int, end: int) -> bool:
        part = slice(begin, end)
        presentations = (order[part], starts[part], stops[part], numbers[part])
        return bool(loops.trials(spikes, presentations, clock, units, out))

    if not _run(count, len(order), max(1, loops.BLOCK_BYTES // max(1, out[:1].nbytes)), threads):
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
        Number of threads; the result does not depend on it.

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

    spikes = _spikes(times, first, last)
    if not math.isfinite(origin):
        raise ValueError(f"origin: expected a finite number, got {origin}")
    rate = bin_rate(bin_width)
    out = _output(out, (_checked_bins(n_bins), len(spikes[1])), dtype)
    origin, start_bin = from_zero(origin, bin_width, start_bin)
    clock = (origin, rate, float(bin_width))
    units = _unit_counts(out.dtype)
    # Short blocks lose time on starting each unit anew, long ones have edges out of cache.
    block = min(2048, max(64, loops.BLOCK_BYTES // max(1, out[:1].nbytes)))

    def count(begin: int, end: int) -> bool:
        part = (start_bin + begin, block)
        return bool(loops.clock(spikes, clock, part, units, out[begin:end]))

    if not _run(count, n_bins, block, threads):
        wide = (
            count_clock(
                *spikes, origin, min(4096, n_bins - k), bin_width, "i8", start_bin=start_bin + k
            )
            for k in range(0, n_bins, 4096)
        )
        raise _overflow(wide, out.dtype)
    return out


def from_zero(origin: float, bin_width: float, start_bin: int = 0) -> tuple[float, int]:
    """A clock as the session's, where it starts on an edge of that.

    Parameters
    ----------
    origin : float, s
        Time of edge 0 of the clock.
    bin_width : float, s
        Width of one bin.
    start_bin : int
        Index of a bin on the clock of `origin`.

    Returns
    -------
    origin, start_bin : float, int
        0 and the index of that bin counted from time 0; else as they were.
    """
    number = float(grid_numbers(origin, bin_width))
    return (float(origin), start_bin) if math.isnan(number) else (0.0, int(number) + start_bin)


def _checked_bins(n_bins: int) -> int:
    if n_bins < 0:
        raise ValueError(f"n_bins: expected 0 or more, got {n_bins}")
    return n_bins


def _offsets(index: np.ndarray, bin_width: float) -> np.ndarray:
    """Times since the origin of the given, possibly fractional, edge numbers."""
    rate = bin_rate(bin_width)
    return index / rate if rate else index * float(bin_width)


def _spikes(
    times: np.ndarray, first: np.ndarray, last: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Give the spikes one compiled type, and make sure that no unit reaches outside them."""
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


def _unit_counts(dtype: np.dtype) -> tuple[Any, Any]:
    """Largest count and a count of one, as scalars of the type: compiled sums stay in it."""
    return dtype.type(np.iinfo(dtype).max), dtype.type(1)


def _run(count: Callable[[int, int], bool], n_rows: int, block: int, threads: int) -> bool:
    """Count rows, in parts where there are threads; whether every count fits its type."""
    if threads == 1:
        return count(0, n_rows)
    # Some parts more than threads, so that a busy stretch of the session holds up nobody.
    n_parts = max(1, min(4 * threads, n_rows // block))
    bounds = [n_rows * part // n_parts for part in range(n_parts + 1)]
    with ThreadPoolExecutor(threads) as pool:
        return all(pool.map(count, bounds[:-1], bounds[1:]))


def _overflow(counts: Iterable[np.ndarray], dtype: np.dtype) -> OverflowError:
    largest = max(int(part.max()) for part in counts)
    return OverflowError(f"a bin holds {largest} spikes, {dtype} at most {np.iinfo(dtype).max}")
