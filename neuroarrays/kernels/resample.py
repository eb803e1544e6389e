"""Samples on one clock to values at other times: gaps stay gaps, missing samples are skipped."""

import math

import numpy as np

from neuroarrays.kernels.jit import compiled

_METHODS = {"linear": 0, "previous": 1, "nearest": 2}
_LINEAR, _PREVIOUS = 0, 1


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
    return bool(_is_nondecreasing(np.ascontiguousarray(times, dtype=np.float64)))


def interpolate(
    times: np.ndarray,
    values: np.ndarray,
    at: np.ndarray,
    method: str = "linear",
    max_gap: float = math.inf,
) -> np.ndarray:
    """Values of a sampled signal at other times.

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
    if method not in _METHODS:
        raise ValueError(f"method: expected one of {', '.join(_METHODS)}, got {method!r}")
    if not max_gap >= 0:
        raise ValueError(f"max_gap: expected 0 or more, got {max_gap}")
    times = np.ascontiguousarray(times, dtype=np.float64)
    at = np.ascontiguousarray(at, dtype=np.float64)
    values = np.asarray(values)
    if values.dtype not in (np.float32, np.float64):
        values = values.astype(np.float64)
    _check(times, values, at)
    columns = values[:, None] if values.ndim == 1 else values
    how = (_METHODS[method], float(max_gap))
    out = np.empty((len(at), columns.shape[1]), values.dtype)
    finite = np.isfinite(columns)
    whole = finite.all(axis=1)
    if np.array_equal(whole, finite.any(axis=1)):
        # Columns miss the same samples, if any: one search serves all of them.
        _interpolate(*_usable(times, columns, whole), at, how, out)
    else:
        for column in range(columns.shape[1]):
            part = slice(column, column + 1)
            single = np.empty((len(at), 1), values.dtype)
            _interpolate(*_usable(times, columns[:, part], finite[:, column]), at, how, single)
            out[:, column] = single[:, 0]
    return out.reshape(len(at), *values.shape[1:])


def _check(times: np.ndarray, values: np.ndarray, at: np.ndarray) -> None:
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


def _usable(
    times: np.ndarray, values: np.ndarray, finite: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Finite samples at strictly increasing times."""
    if not finite.all():
        times, values = times[finite], values[finite]
    last = np.ones(len(times), np.bool_)
    np.not_equal(times[1:], times[:-1], out=last[:-1])
    if not last.all():
        times, values = times[last], values[last]
    return times, np.ascontiguousarray(values)


@compiled
def _is_nondecreasing(times):
    if len(times) and np.isnan(times[0]):
        return False
    for i in range(1, len(times)):  # noqa: SIM110
        if not times[i - 1] <= times[i]:
            return False
    return True


@compiled
def _locate(times, time, hint):
    """Last index whose time is at or before `time`, which lies within the times."""
    # Times to evaluate mostly come in order: the answer is then a step or two from the last.
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
def _interpolate(times, values, at, how, out):
    method, max_gap = how
    n = len(times)
    i = 0
    for m in range(len(at)):
        time = at[m]
        before = after = -1  # the samples that the value lies between; -1 of none
        weight = 0.0
        # Written so that NaN falls outside too.
        if n > 0 and times[0] <= time <= times[n - 1]:
            i = _locate(times, time, i)
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
            if before < 0:
                out[m, c] = np.nan
            elif before == after:
                out[m, c] = values[before, c]
            else:
                low = np.float64(values[before, c])
                out[m, c] = low + (np.float64(values[after, c]) - low) * weight
