"""Probabilities of places given spike counts."""

import numpy as np

#: Lowest rate at a position, spikes/s, so that a single spike does not make the position impossible.
LOWEST = 1e-3


def window_sums(values: np.ndarray, size: int, stretches: np.ndarray) -> np.ndarray:
    """Compute sums over a window that is centred on each row.

    Parameters
    ----------
    values : (time, column) number
        Rows in order, in any unit.
    size : int
        Rows of the window; odd.
    stretches : (n, 2) int
        First row and the one past the last of each stretch; together all rows, in order.

    Returns
    -------
    (time, column) float64
        In the unit of the rows; at the ends of a stretch, the sum over the rows that there
        are.
    """
    half = size // 2
    sums = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, dtype=np.float64, out=sums[1:])
    row = np.arange(len(values))
    first, last = np.repeat(stretches, np.diff(stretches, axis=1)[:, 0], axis=0).T
    begin, end = np.maximum(row - half, first), np.minimum(row + half + 1, last)
    moving: np.ndarray = sums[end] - sums[begin]
    return moving


def poisson_posterior(
    counts: np.ndarray, durations: np.ndarray, rates: np.ndarray, prior: np.ndarray
) -> np.ndarray:
    """Compute the probability of each position from independent Poisson units.

    Parameters
    ----------
    counts : (time, unit) float64, spikes
        Spikes in a window.
    durations : (time,) float64, s
        Length of each window.
    rates : (unit, place) float64, spikes/s
        Mean rate of each unit in each place; NaN where it is not known.
    prior : (place,) float64
        Probability of each place beforehand, without unit; it need not add up to 1.

    Returns
    -------
    (time, place) float32
        ``P(x | n)``, proportional to ``P(x) prod_u f_u(x)^n_u exp(-T sum_u f_u(x))``; adds up to 1
        over places. 0 in places that were never visited or whose rates are not known.
    """
    known = np.isfinite(rates).all(axis=0) & (prior > 0)
    floor = np.maximum(np.where(known, rates, 1.0), LOWEST)
    with np.errstate(divide="ignore"):
        base = np.where(known, np.log(np.where(known, prior, 1.0)), -np.inf)
    log = counts @ np.log(floor) - durations[:, None] * floor.sum(axis=0) + base
    log -= log.max(axis=1, keepdims=True)
    posterior = np.exp(log, out=log)
    posterior /= posterior.sum(axis=1, keepdims=True)
    single: np.ndarray = posterior.astype(np.float32)
    return single
