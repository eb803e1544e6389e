"""Samples on one clock to one value per bin: their mean, largest, sum, or whether any is not 0."""

import math

import numpy as np

from neuroarrays.kernels import resample
from neuroarrays.kernels.jit import compiled, fixed
from neuroarrays.kernels.steps import HOLE

_REDUCTIONS = {"mean": 0, "max": 1, "sum": 2, "any": 3}
_MAX, _SUM = 1, 2


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
    """Compute one value of a sampled signal for each bin.

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
    left, right = edges
    width = right - left

    def fill(times: np.ndarray, values: np.ndarray, begin: np.ndarray, out: np.ndarray) -> None:
        """Write the values of all bins that begin at `begin`, (bin, column)."""
        end = right if right.ndim == 1 else begin + width[:, 0]
        if reduction == "mean":
            how = (float(step), far, float(period or 0.0))
            _means((times, values, begin, end), how, max_gap, out)
        else:
            parts = fixed(times), fixed(values), fixed(begin), fixed(end)
            _reduced(*parts, _REDUCTIONS[reduction], out)

    return resample.by_group(prepared, n_columns, left, fill)


def _means(
    parts: tuple[np.ndarray, ...],
    how: tuple[float, float, float],
    max_gap: float,
    out: np.ndarray,
) -> None:
    """Means of the samples in bins; where there is none, the value at the middle between two."""
    times, values, left, right = parts
    step, hole, period = how
    turn = 2 * math.pi / period if period else 0.0
    first, weights = np.zeros(len(left), np.int64), np.zeros(len(left))
    sums = np.zeros((len(left) if period else 1, 2, values.shape[1]))
    if len(times):
        fixed_parts = fixed(times), fixed(values), fixed(left), fixed(right)
        _weigh(*fixed_parts, (step, hole, turn), first, weights, sums, out)
    if period:
        x, y = sums[:, 0], sums[:, 1]
        away = np.arctan2(y, x)
        away[np.hypot(x, y) < 1e-12 * weights[:, None]] = np.nan
        away /= turn
        away += values[first] if len(times) else np.nan
        _wrap(away, period)
        out[...] = away
    if not weights.all():
        empty = np.flatnonzero(weights == 0)
        out[empty] = np.nan
        middles = (left[empty] + right[empty]) / 2
        if len(times):
            inside = (times[0] <= middles) & (middles <= times[-1])
            out[empty[inside]] = _between(times, values, middles[inside], max_gap, period)


def _wrap(angles: np.ndarray, period: float) -> None:
    """Angles between 0 and a full turn, in place; NaN stays."""
    angles -= period * np.floor(angles / period)
    angles[angles >= period] = 0.0


def _between(
    times: np.ndarray, values: np.ndarray, query_times: np.ndarray, max_gap: float, period: float
) -> np.ndarray:
    """Linear interpolation at a few times within those of the samples, as `resample.evaluate` has it."""
    before = np.searchsorted(times, query_times, "right") - 1
    after = np.minimum(before + 1, len(times) - 1)
    rest, gap = query_times - times[before], times[after] - times[before]
    value = values[before].astype(np.float64)
    rise = values[after] - value
    if period:
        rise -= period * np.floor(rise / period + 0.5)
    with np.errstate(invalid="ignore"):
        away: np.ndarray = value + rise * (rest / gap)[:, None]
    if period:
        _wrap(away, period)
    away[gap > max_gap] = np.nan
    exactly = rest == 0
    away[exactly] = value[exactly]
    return away


@compiled(error_model="numpy")
def _weigh(times, values, left, right, how, first, weights, sums, out):
    """Compute the means of the samples in each bin; for angles, the sums that they are made of.

    Weights are summed, and what samples differ from the first one in the bin, which is exact where
    all are alike: of angles (`turn` is not 0) the cosine and the sine of that, for each bin.
    """
    step, hole, turn = how
    n, n_columns = values.shape
    i = np.int64(0)
    for m in range(len(left)):
        a, b = left[m], right[m]
        if not (times[0] - step / 2 < b and times[n - 1] + step / 2 > a):
            continue
        i = resample.locate(times, a, i)
        first[m] = i
        start, total = values[i], sums[m if turn > 0 else 0]
        before = step  # of the first of all; of others what is before the bin does not count
        size = single = 0.0
        time = times[i]
        for k in range(i, n):
            following = times[k + 1] if k < n - 1 else np.inf
            near = k < n - 1 and following - time <= hole
            after = following - time if near else step
            begin, end = time - before * 0.5, time + after * 0.5
            if begin >= b:
                break
            weight = (before + after) * 0.5
            if begin < a or end > b:
                weight = max(0.0, min(end, b) - max(begin, a))
            size += weight
            if turn > 0:
                for c in range(n_columns):
                    angle = (np.float64(values[k, c]) - start[c]) * turn
                    total[0, c] += weight * math.cos(angle)
                    total[1, c] += weight * math.sin(angle)
            elif n_columns == 1:  # a sum that stays in a register is twice as fast
                single += weight * (np.float64(values[k, 0]) - start[0])
            else:
                for c in range(n_columns):
                    total[0, c] += weight * (np.float64(values[k, c]) - start[c])
            before, time = after, following
        weights[m] = size
        if turn == 0:
            for c in range(n_columns):
                # One of the two sums is 0; both are NaN if there is no sample.
                out[m, c] = start[c] + (total[0, c] + single) / size
                total[0, c] = 0.0


@compiled
def _reduced(times, values, left, right, reduction, out):
    """Write the maximum, sum or any of the values in each bin, (bin, column); NaN for bins without samples."""
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
