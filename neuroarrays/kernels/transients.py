"""Steps upwards in fluorescence traces: where a trace rises by more than its noise explains."""

import numpy as np

from neuroarrays.kernels.jit import compiled

#: Standard deviations in a median absolute deviation of a normal distribution.
_DEVIATIONS = 1.4826


def rises(trace: np.ndarray, width: int) -> np.ndarray:
    """Compute how much higher a trace is from each sample on than just before it.

    Parameters
    ----------
    trace : (sample,) float64
        In any unit, all finite.
    width : int
        Samples that are averaged on either side.

    Returns
    -------
    (sample,) float64
        The mean of samples ``t`` to ``t + width - 1`` minus that of ``t - width`` to ``t -
        1``; NaN where these are not all there. In the unit of the trace.
    """
    differences = np.full(trace.size, np.nan)
    if trace.size >= 2 * width:
        sums = np.concatenate([[0.0], np.cumsum(trace - trace.mean())])
        means = (sums[width:] - sums[:-width]) / width
        differences[width : trace.size - width + 1] = means[width:] - means[:-width]
    return differences


def noise(values: np.ndarray) -> float:
    """Estimate the standard deviation of most values from their median absolute deviation.

    Parameters
    ----------
    values : (n,) float64
        In any unit; NaN are left out.

    Returns
    -------
    float
        NaN of no values.
    """
    known = values[~np.isnan(values)]
    if not known.size:
        return float("nan")
    return float(_DEVIATIONS * np.median(np.abs(known - np.median(known))))


def persistence(trace: np.ndarray, lags: int = 3) -> float:
    """Compute how much longer a trace keeps its value than white noise does.

    Parameters
    ----------
    trace : (sample,) float64
        In any unit, all finite.
    lags : int
        Samples that are looked ahead.

    Returns
    -------
    float
        The mean of its autocorrelations at lags 1 to `lags`, in standard deviations of what they
        are for white noise; 0 of a constant.
    """
    known = trace - trace.mean()
    power = known @ known
    if power == 0 or trace.size <= lags:
        return 0.0
    total = sum(known[lag:] @ known[:-lag] for lag in range(1, lags + 1))
    return float(total / power * np.sqrt(trace.size / lags))


@compiled
def peaks(values, least):
    """Keep the largest value of each stretch above a bound; others become 0, and NaN remains NaN.

    Parameters
    ----------
    values : (sample,) float64
        In any unit; NaN ends a stretch.
    least : float
        The bound.

    Returns
    -------
    (sample,) float64
        In the unit of `values`; of equal largest values the first.
    """
    tops = np.empty(values.size)
    best = -1  # where the largest value of this stretch is so far
    for i in range(values.size):
        tops[i] = np.nan if np.isnan(values[i]) else 0.0
        if not values[i] > least:
            best = -1
        elif best < 0 or values[i] > values[best]:
            if best >= 0:
                tops[best] = 0.0
            best = i
            tops[i] = values[i]
    return tops
