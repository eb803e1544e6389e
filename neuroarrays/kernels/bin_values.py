"""Samples on one clock to one value per bin: their mean, largest, sum, or whether any is not 0."""

import math

import numpy as np

from neuroarrays.kernels import resample
from neuroarrays.kernels.jit import compiled, fixed
from neuroarrays.kernels.steps import HOLE

_REDUCTIONS = {"mean": 0, "max": 1, "sum": 2, "any": 3}
_MEAN, _MAX, _SUM = 0, 1, 2


def bin_values(
    prepared: resample.Prepared,
    n_columns: int,
    edges: tuple[np.ndarray, np.ndarray],
    reduction: str,
    step: float,
    max_gap: float = math.inf,
    period: float | None = None,
    hole: float | None = None,
) -> np.ndarray:
    """One value of a sampled signal for each bin.

    A sample stands for the time around it: from the middle between it and the one before to the
    middle between it and the next, but for half a usual step where there is a hole or an end. Its
    weight in the mean of a bin is how much of that lies in the bin. A bin of the mean in which no
    sample's time lies has the value that linear interpolation gives at its middle. The largest,
    the sum and `any` are those of the samples at ``left <= t < right``.

    Parameters
    ----------
    prepared : tuple of (sample,) and (sample, column) arrays
        Times, s, and samples in any unit, from `resample.prepare`; but for the mean with ``every=True``.
    n_columns : int
        Number of columns of the signal.
    edges : two of (bin,) or (bin, column) float64, s
        Left and right edges of the bins, in any order; of columns prepared apart for each.
    reduction : {"mean", "max", "sum", "any"}
        What to take.
    step : float, s
        The usual time from one sample to the next.
    max_gap : float, default inf, s
        Between two samples further apart than this nothing is interpolated.
    period : float, optional
        A full turn, in the unit of the values, of which the mean is then circular (Fisher 1993,
        Statistical analysis of circular data, p. 31); NaN where the directions cancel.
    hole : float, optional, s
        Two samples further apart than this have a hole between them; one and a half `step` unless
        given.

    Returns
    -------
    (bin, column) float64 or float32
        In the unit of the signal, `any` is 0 or 1. NaN where there is nothing, and a sum with a
        missing sample; an empty sum between the first and the last sample is 0.

    Raises
    ------
    ValueError
        On an unknown reduction.
    """
    if reduction not in _REDUCTIONS:
        raise ValueError(f"reduction: expected one of {', '.join(_REDUCTIONS)}, got {reduction!r}")
    far = float(HOLE * step if hole is None else hole)
    how = (_REDUCTIONS[reduction], float(max_gap), float(period or 0.0), float(step), far)
    left, right = edges
    width = right - left

    def fill(times: np.ndarray, values: np.ndarray, begin: np.ndarray, out: np.ndarray) -> None:
        end = right if right.ndim == 1 else begin + width[:, 0]
        if how[0] == _MEAN:
            _means(fixed(times), fixed(values), fixed(begin), fixed(end), how, out)
        else:
            _reduced(fixed(times), fixed(values), fixed(begin), fixed(end), how[0], out)

    return resample.by_group(prepared, n_columns, left, fill)


@compiled
def _means(times, values, left, right, how, out):
    _, max_gap, period, step, hole = how
    n, n_columns = values.shape
    total = np.empty(n_columns)
    i = 0
    for m in range(len(left)):
        a, b = left[m], right[m]
        weights = 0.0
        if n > 0 and times[0] - step / 2 < b and times[n - 1] + step / 2 > a:
            i = resample.locate(times, a, i) if times[0] <= a else 0
            weights = _add(times, values, i, (a, b, step, period, hole), total)
        middle = (a + b) / 2
        if weights > 0:
            for c in range(n_columns):  # `_add` summed differences from a sample
                out[m, c] = values[i, c] + total[c] / weights
            if period > 0:
                _directions(times, values, i, (a, b, step, period, hole), weights, out[m])
        elif n > 0 and times[0] <= middle <= times[n - 1]:
            i = resample.locate(times, middle, i)
            _between(times, values, i, middle, max_gap, period, out[m])
        else:
            for c in range(n_columns):
                out[m, c] = np.nan


@compiled(inner=True)
def _share(times, k, within):
    """For how long sample k stands in a bin; below 0 if its time begins after the bin."""
    a, b, step, _, hole = within
    before = times[k] - times[k - 1] if k > 0 else np.inf
    low = times[k] - (step if before > hole else before) / 2
    if low >= b:
        return -1.0
    after = times[k + 1] - times[k] if k < len(times) - 1 else np.inf
    high = times[k] + (step if after > hole else after) / 2
    return max(0.0, min(high, b) - max(low, a))


@compiled(inner=True)
def _add(times, values, i, within, total):
    """Weights of the samples from i on, and the weighted sum of what they differ from sample i."""
    weights = 0.0
    for c in range(len(total)):
        total[c] = 0.0
    # Samples i + 2 to `whole` stand in the bin with all their time.
    steps = within[2], within[4]
    whole = resample.locate(times, within[1], i) - 1 if times[i] <= within[1] else i
    k = i
    while k < len(times):
        if k == i + 2 and k <= whole:
            if values.shape[1] == 1:
                more, total_more = _whole_single(times, values[:, 0], (k, whole, i), steps)
                total[0] += total_more
                weights += more
            else:
                weights += _whole(times, values, (k, whole, i), steps, total)
            k = whole + 1
        weight = _share(times, k, within)
        if weight < 0:
            break
        weights += weight
        for c in range(values.shape[1]):
            total[c] += weight * (np.float64(values[k, c]) - values[i, c])
        k += 1
    return weights


@compiled(inner=True, fastmath={"reassoc", "nsz", "contract"})
def _whole_single(times, values, rows, steps):
    """What `_whole` does, of one column."""
    first, last, i = rows
    step, hole = steps
    start = np.float64(values[i])
    weights = total = 0.0
    for k in range(first, last + 1):
        before, after = times[k] - times[k - 1], times[k + 1] - times[k]
        weight = (step if before > hole else before) / 2
        weight += (step if after > hole else after) / 2
        weights += weight
        total += weight * (values[k] - start)
    return weights, total


@compiled(inner=True)
def _whole(times, values, rows, steps, total):
    """Add samples that stand in a bin with all their time."""
    first, last, i = rows
    step, hole = steps
    weights = 0.0
    for k in range(first, last + 1):
        before, after = times[k] - times[k - 1], times[k + 1] - times[k]
        weight = (step if before > hole else before) / 2
        weight += (step if after > hole else after) / 2
        weights += weight
        for c in range(values.shape[1]):
            total[c] += weight * (np.float64(values[k, c]) - values[i, c])
    return weights


@compiled(inner=True)
def _directions(times, values, i, within, weights, out):
    """Circular means of the samples from i on."""
    period = within[3]
    turn = 2 * np.pi / period
    for c in range(values.shape[1]):
        x = y = 0.0
        k = i
        while k < len(times):
            weight = _share(times, k, within)
            if weight < 0:
                break
            x += weight * np.cos((values[k, c] - values[i, c]) * turn)
            y += weight * np.sin((values[k, c] - values[i, c]) * turn)
            k += 1
        if np.hypot(x, y) < 1e-12 * weights:
            out[c] = np.nan
        else:
            out[c] = resample.wrapped(values[i, c] + np.arctan2(y, x) / turn, period)


@compiled(inner=True)
def _between(times, values, i, time, max_gap, period, out):
    """Linear interpolation after sample i, the next being `max_gap` away at most."""
    exactly = time == times[i]
    gap = 0.0 if exactly else times[i + 1] - times[i]
    weight = 0.0 if exactly else (time - times[i]) / gap
    for c in range(values.shape[1]):
        if exactly or gap > max_gap:
            out[c] = values[i, c] if exactly else np.nan
            continue
        rise = np.float64(values[i + 1, c]) - values[i, c]
        if period > 0:
            rise -= period * np.floor(rise / period + 0.5)
        value = values[i, c] + rise * weight
        out[c] = resample.wrapped(value, period)


@compiled
def _reduced(times, values, left, right, reduction, out):
    n, n_columns = values.shape
    i = 0
    for m in range(len(left)):
        a, b = left[m], right[m]
        for c in range(n_columns):
            out[m, c] = np.nan
        if not (n > 0 and a < b and times[0] < b and times[n - 1] >= a):
            continue
        begin = 0
        if times[0] < a:
            i = resample.locate(times, a, i)
            begin = i if times[i] >= a else i + 1
            while begin > 0 and times[begin - 1] >= a:  # of several at the same time the first
                begin -= 1
        end = begin
        while end < n and times[end] < b:
            end += 1
        for c in range(n_columns):
            out[m, c] = _reduce(values[begin:end, c], reduction)


@compiled(inner=True)
def _reduce(values, reduction):
    """One value of the samples in a bin; what is missing (NaN) makes a sum missing."""
    known, total, largest = 0, 0.0, -np.inf
    for value in values:
        if reduction == _SUM:
            total += value if np.isfinite(value) else np.nan
        elif np.isfinite(value):
            known += 1
            total += value != 0
            largest = max(largest, value)
    if reduction == _SUM:  # an empty sum is that of events which did not happen
        return total
    if known == 0:
        return np.nan
    if reduction == _MAX:
        return largest
    return 1.0 if total > 0 else 0.0
