"""Compute exact edges of bins. A clock that starts on an edge of the session's clock has its edges.

Edge k of a clock that starts at `origin` is `origin + k / rate` where one second holds a whole
number of bins, else `origin + k * bin_width`; bin k is `[edge_k, edge_k+1)`. Where `origin` is
itself an edge of the session's clock, number g counted from time 0, edge k is `(g + k) / rate`, or
`(g + k) * bin_width`: a window has the very edges that the session has there.
"""

import math
from typing import Any

import numpy as np

_TOLERANCE = 1e-9
#: At more bins from time 0, float64 is too coarse to tell whether a time is on an edge.
_FARTHEST = 2.0**43


def bin_rate(bin_width: float) -> float:
    """Return the whole number of bins per second, or 0 if it is not whole.

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
    """Return the number of the edge of the session's clock, counted from time 0, that a time is on.

    Parameters
    ----------
    times : (...) float64, s
        Session clock.
    bin_width : float, s
        Width of one bin; positive and finite.

    Returns
    -------
    (...) float64
        Number of the edge on which each time lies (a whole number to 1e-9, or to the
        rounding of the time itself where that is coarser); else NaN.

    Raises
    ------
    ValueError
        If `bin_width` is not positive and finite.
    """
    rate = bin_rate(bin_width)
    with np.errstate(all="ignore"):
        in_bins = np.asarray(times, np.float64) * rate if rate else np.asarray(times) / bin_width
        number = np.rint(in_bins)
        near = np.abs(in_bins - number) <= _slack(in_bins)
        return np.where(near & (np.abs(in_bins) <= _FARTHEST), number, np.nan)


def on_grid(times: Any, bin_width: float) -> Any:
    """Return times; those that `grid_numbers` finds on the session's clock are exactly on it.

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
    """Return the edges of consecutive bins, with which the counting functions compare spikes.

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
    return times_of(origin, start_bin + np.arange(checked_number(n_bins) + 1), bin_width)


def bin_centres(origin: Any, n_bins: int, bin_width: float, start_bin: int = 0) -> np.ndarray:
    """Return the centres of consecutive bins, by the same rule as their edges.

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
    return times_of(origin, start_bin + np.arange(checked_number(n_bins)) + 0.5, bin_width)


def edges_around(centres: Any, bin_width: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges of the bins with these centres; exact if they are on the session's clock.

    Parameters
    ----------
    centres : (...) float64, s
        Session clock.
    bin_width : float, s
        Width of one bin; positive and finite.

    Returns
    -------
    left, right : (...) float64, s
    """
    half = bin_width / 2
    numbers = grid_numbers(centres, half)
    left, right = _offsets(numbers - 1, half), _offsets(numbers + 1, half)
    off = np.isnan(numbers)
    if off.any():
        left = np.where(off, centres - half, left)
        right = np.where(off, centres + half, right)
    return left, right


def times_of(
    origin: Any, index: np.ndarray, bin_width: float, numbers: np.ndarray | None = None
) -> np.ndarray:
    """Return the times of edge numbers, which may be fractional, counted from an origin.

    Parameters
    ----------
    origin : float or (...) float64, s
        Time of edge 0 of the clock, or of several.
    index : (n,) number
        Edge numbers; half ones are centres of bins.
    bin_width : float, s
        Width of one bin; positive and finite.
    numbers : (...) float64, optional
        What `grid_numbers` says of `origin`, where that is known already.

    Returns
    -------
    (..., n) float64, s
    """
    origins = np.asarray(origin, np.float64)[..., None]
    numbers = grid_numbers(origins, bin_width) if numbers is None else numbers[..., None]
    on = ~np.isnan(numbers[..., 0])
    with np.errstate(invalid="ignore", over="ignore"):
        times: np.ndarray
        if on.all():
            times = _offsets(numbers + index, bin_width)
            return times
        times = origins + _offsets(index, bin_width)
        if on.any():
            times[on] = _offsets(numbers[on] + index, bin_width)
    return times


def _slack(in_bins: Any) -> Any:
    """By how many bins a time, given in bins, may be off a whole number by rounding."""
    return np.maximum(_TOLERANCE, 4 * np.finfo(np.float64).eps * np.abs(in_bins))


def bins_to_cover(duration: float, bin_width: float, start: float = 0.0) -> int:
    """Return the smallest number of bins that covers a duration.

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
    n_bins, begin = (t * rate if rate else t / bin_width for t in (duration, start))
    return max(0, math.ceil(n_bins - min(float(_slack(abs(begin) + n_bins)), 0.5)))


def from_zero(origin: float, bin_width: float, start_bin: int = 0) -> tuple[float, int]:
    """Express a clock by edges of the session's clock, if it starts on one.

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


def checked_number(n_bins: int) -> int:
    """A number of bins, refused with a ValueError if it is negative."""
    if n_bins < 0:
        raise ValueError(f"n_bins: expected 0 or more, got {n_bins}")
    return n_bins


def _offsets(index: np.ndarray, bin_width: float) -> np.ndarray:
    """Times since the origin of the given, possibly fractional, edge numbers."""
    rate = bin_rate(bin_width)
    return index / rate if rate else index * float(bin_width)
