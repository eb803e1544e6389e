"""Samples on one clock to values at other times: gaps stay gaps, missing samples are skipped."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from neuroarrays.kernels.jit import compiled, fixed

_METHODS = {"linear": 0, "previous": 1, "nearest": 2}
_LINEAR, _PREVIOUS = 0, 1
#: After this number of samples that are not where a regular clock has them, a clock counts as irregular.
_MISSES = 1000

#: Number of values that are checked together, so that they stay in the cache.
_AT_ONCE = 1 << 15

#: Times and values of usable samples: one pair for all columns, or one for each.
Prepared = tuple[np.ndarray, ...]


def is_nondecreasing(times: np.ndarray) -> bool:
    """Whether times never decrease and none is NaN.

    Parameters
    ----------
    times : (sample,) float64, s
        Times to check.

    Returns
    -------
    bool
        True for an empty array.
    """
    times = np.asarray(times, np.float64)
    in_order = all(bool(np.all(part[1:] >= part[:-1])) for part in _parts(times))
    return in_order and not np.isnan(times[:1]).any()  # further on, NaN is in no order


def interpolate(
    times: np.ndarray,
    values: np.ndarray,
    at: np.ndarray,
    method: str = "linear",
    max_gap: float = math.inf,
    period: float | None = None,
) -> np.ndarray:
    """Interpolate a sampled signal at other times.

    Samples that are not finite are skipped, each column for itself, so that the neighbours of a
    time are the nearest finite samples. Of several samples at one time the last finite one
    counts. There is no extrapolation, by any method.

    Parameters
    ----------
    times : (sample,) float64, s
        Times of the samples, nondecreasing and finite.
    values : (sample,) or (sample, column) float64 or float32
        Samples in any unit; other real types are taken as float64.
    at : (time,) float64, s
        Times to evaluate, in any order.
    method : {"linear", "previous", "nearest"}
        Between two samples: the straight line, the earlier one (causal), or the nearer one
        (the earlier one of a tie).
    max_gap : float, default inf, s
        Between two samples further apart than this the result is NaN, except exactly at one.
    period : float, optional
        A full turn, in the unit of `values`: the line is then the shorter arc.

    Returns
    -------
    (time,) or (time, column) float64 or float32
        Values of the type of `values`, computed in float64; NaN before the first and after
        the last finite sample, in gaps, and where `at` is NaN. In the unit of `values`.

    Raises
    ------
    ValueError
        If shapes do not fit, `times` decrease or are not finite, `method` is unknown, or
        `max_gap` is negative or NaN.
    """
    at = np.ascontiguousarray(at, dtype=np.float64)
    values = np.asarray(values)
    times = np.ascontiguousarray(times, dtype=np.float64)
    _check(times, values, at)
    prepared = prepare(times, values)
    sampled = evaluate(prepared, _columns(values), at, method, max_gap, period)
    return sampled.reshape(len(at), *values.shape[1:])


def prepare(
    times: np.ndarray, values: np.ndarray, *, apart: bool = False, every: bool = False
) -> Prepared:
    """Check a signal once, and return its usable samples for any number of evaluations.

    Parameters
    ----------
    times : (sample,) float64, s
        Times of the samples, nondecreasing and finite.
    values : (sample,) or (sample, column) float64 or float32
        Samples in any unit; other real types are taken as float64.
    apart : bool
        Whether each column is to have times of its own, though they miss the same samples.
    every : bool
        Keep missing samples and all of those at the same time, for what counts each of them
        (`bin_values` but for the mean). Else what is missing is left out, and of samples at the
        same time the last is kept.

    Returns
    -------
    tuple of arrays
        Strictly increasing times (sample,) and finite values (sample, column) of all columns, or
        times and values (sample, 1) of each column in turn where they miss different samples. What
        was usable as it was is no copy.
    """
    values = np.asarray(values)
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    columns = values[:, None] if values.ndim == 1 else values
    increasing = every or all(bool(np.all(part[1:] > part[:-1])) for part in _parts(times))
    finite = every or all(bool(np.isfinite(part).all()) for part in _parts(columns))
    n_columns = columns.shape[1]
    if apart and n_columns != 1:
        split = (prepare(times, columns[:, k : k + 1], every=every) for k in range(n_columns))
        return tuple(part for pair in split for part in pair)
    if finite:
        known = None
    else:
        each = np.isfinite(columns)
        known = each.all(axis=1)
        if not np.array_equal(known, each.any(axis=1)):
            return prepare(times, columns, apart=True)
    if known is not None:
        times, columns = times[known], columns[known]
    if not increasing:
        last = np.ones(len(times), np.bool_)
        np.not_equal(times[1:], times[:-1], out=last[:-1])
        times, columns = times[last], columns[last]
    return times, np.ascontiguousarray(columns)


def evaluate(
    prepared: Prepared,
    n_columns: int,
    at: np.ndarray,
    method: str = "linear",
    max_gap: float = math.inf,
    period: float | None = None,
) -> np.ndarray:
    """Interpolate as `interpolate` does, from the samples that `prepare` returned.

    Parameters
    ----------
    prepared : tuple of (sample,) and (sample, column) arrays
        Times, s, and values in any unit, from `prepare`.
    n_columns : int
        Number of columns of the signal.
    at : (time,) or (time, column) float64, s
        Times to evaluate, for all columns or, of columns prepared apart, for each.
    method, max_gap, period
        As for `interpolate`.

    Returns
    -------
    (time, column) float64 or float32
        In the unit of the signal.
    """
    if method not in _METHODS:
        raise ValueError(f"method: expected one of {', '.join(_METHODS)}, got {method!r}")
    if not max_gap >= 0:
        raise ValueError(f"max_gap: expected 0 or more, got {max_gap}")
    how = (_METHODS[method], float(max_gap), float(period or 0.0))

    def fill(times: np.ndarray, values: np.ndarray, when: np.ndarray, out: np.ndarray) -> None:
        """Write the interpolated values of one signal."""
        _interpolate(fixed(times), fixed(values), fixed(when), how, out)

    return by_group(prepared, n_columns, at, fill)


def by_group(prepared: Prepared, n_columns: int, at: np.ndarray, fill: Any) -> np.ndarray:
    """Evaluate columns together if they have the same samples, else one after another.

    Parameters
    ----------
    prepared, n_columns, at
        As for `evaluate`.
    fill : callable
        ``fill(times, values, at, out)`` writes values at the times (time,), s, into (time, column).

    Returns
    -------
    (time, column) float64 or float32
        In the unit of the signal.
    """
    out = np.empty((len(at), n_columns), prepared[1].dtype if prepared else np.float64)
    if len(prepared) == 2 and prepared[1].shape[1] == n_columns and at.ndim == 1:
        fill(*prepared, at, out)
        return out
    for column in range(n_columns):
        single = np.empty((len(at), 1), out.dtype)
        when = at if at.ndim == 1 else np.ascontiguousarray(at[:, column])
        fill(*prepared[2 * column : 2 * column + 2], when, single)
        out[:, column] = single[:, 0]
    return out


def _columns(values: np.ndarray) -> int:
    """Return the number of columns of a signal."""
    return 1 if values.ndim == 1 else int(values.shape[1])


def _check(times: np.ndarray, values: np.ndarray, at: np.ndarray) -> None:
    """Refuse times and values whose shapes do not fit, or times that are not sorted."""
    if times.ndim != 1 or at.ndim != 1 or values.ndim not in (1, 2):
        raise ValueError(
            "times, values and at: expected (sample,), (sample,) or (sample, column), and "
            f"(time,), got {times.shape}, {values.shape} and {at.shape}"
        )
    if len(values) != len(times):
        raise ValueError(f"values: expected {len(times)} samples like times, got {len(values)}")
    if not is_nondecreasing(times):
        raise ValueError("times: expected nondecreasing times without NaN")
    if len(times) and not (math.isfinite(times[0]) and math.isfinite(times[-1])):
        raise ValueError(f"times: expected finite times, got {times[0]} to {times[-1]}")


def _parts(times: np.ndarray) -> Iterator[np.ndarray]:
    """Parts of an array that stay in cache; each begins with the last value of the one before."""
    yield from (times[i : i + _AT_ONCE + 1] for i in range(0, len(times), _AT_ONCE))


@compiled(inner=True)
def locate(times, time, hint):
    """Last index whose time is at or before `time`, which lies within the times."""
    # Times are mostly in order; the sample is then one or two after the last one.
    low = hint if times[hint] <= time else 0
    high = len(times) - 1 if times[hint] <= time else hint
    step = 1
    while low + step <= high and times[low + step] <= time:
        low += step
        step += step
    high = min(high, low + step - 1)
    while low < high:
        middle = (low + high + 1) // 2
        if times[middle] <= time:
            low = middle
        else:
            high = middle - 1
    return low


@compiled
def _interpolate(times, values, query_times, how, out):
    """Write the interpolated values, (time, column); NaN where there is none."""
    method, max_gap, period = how
    n = len(times)
    i = misses = 0
    rate = (n - 1) / (times[n - 1] - times[0]) if n > 1 else 0.0
    for m in range(len(query_times)):
        time = query_times[m]
        before = after = -1  # the samples that the value lies between; -1 of none
        weight = 0.0
        # This is False for NaN.
        if n > 0 and times[0] <= time <= times[n - 1]:
            # In a regular clock the position is known except for rounding; in others it is searched.
            guess = min(int((time - times[0]) * rate), n - 2) if n > 1 and misses < _MISSES else i
            if guess < n - 1 and times[guess] <= time < times[guess + 1]:
                i = guess
            else:
                misses += 1
                i = locate(times, time, i)
            left = time - times[i]
            if left == 0:
                before = after = i
            elif times[i + 1] - times[i] <= max_gap:
                before = after = i
                if method == _LINEAR:
                    after = i + 1
                    weight = left / (times[i + 1] - times[i])
                elif method != _PREVIOUS and left > times[i + 1] - time:
                    before = after = i + 1
        for c in range(values.shape[1]):
            value = np.float64(values[before, c]) if before >= 0 else np.nan
            if before != after:
                step = np.float64(values[after, c]) - value
                if period > 0.0:  # the shorter arc; of half a turn the one downwards
                    step -= period * np.floor(step / period + 0.5)
                value += step * weight
            out[m, c] = wrapped(value, period) if method == _LINEAR and before >= 0 else value


@compiled(inner=True)
def wrapped(value, period):
    """An angle between 0 and a full turn; without a turn (0) the value as it is."""
    if period == 0.0:
        return value
    value = value - period * np.floor(value / period)
    return value if value < period else 0.0
