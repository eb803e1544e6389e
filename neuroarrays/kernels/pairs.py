"""Differences between the spikes of pairs of trains."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

#: A difference this close below an edge of a bin is taken to lie on it: rounding of sample clocks.
SLACK = 1e-9
#: Spikes from which threads are worth starting.
_MANY = 20_000


def count_differences(
    times: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    n_lags: int,
    bin_width: float,
    autos_only: bool = False,
    threads: int = 2,
) -> np.ndarray:
    """Count the differences between spikes of every pair of units.

    Parameters
    ----------
    times : (spike,) float64, s
        Spike times, unit after unit, sorted within a unit.
    first, last : (unit,) int
        Unit u owns ``times[first[u]:last[u]]``.
    n_lags : int
        Bins on either side of lag 0.
    bin_width : float, s
        Width of a bin.
    autos_only : bool
        Only each unit with itself.
    threads : int, default 2
        Threads that share the pairs; the result does not depend on it.

    Returns
    -------
    (unit, unit, 2 n_lags + 1) int64, or (unit, 2 n_lags + 1)
        Bin k of [a, b] counts pairs with ``(k - n_lags - 0.5) w <= t_b - t_a < (k - n_lags + 0.5)
        w``; a difference less than 1 ns below an edge lies on it. No spike is paired with itself.
    """
    times = np.ascontiguousarray(times, dtype=np.float64)
    spans = np.stack([np.asarray(first, np.int64), np.asarray(last, np.int64)])
    n_bins = 2 * int(n_lags) + 1
    if autos_only:
        single = np.zeros((spans.shape[1], n_bins), np.int64)
        _autos(times, spans, int(n_lags), float(bin_width), single)
        return single
    out = np.zeros((spans.shape[1], spans.shape[1], n_bins), np.int64)
    threads = max(1, min(threads, spans.shape[1])) if times.size > _MANY else 1

    def count(part: int) -> None:  # each pair is counted in one place
        _crosses(times, spans, (part, threads), int(n_lags), float(bin_width), out)

    if threads == 1:
        count(0)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(count, range(threads)))
    for unit in range(spans.shape[1]):
        part = spans[:, unit : unit + 1]
        _autos(times, part, int(n_lags), float(bin_width), out[unit, unit : unit + 1])
    return out


@njit(nogil=True, cache=True)
def _autos(times, spans, n_lags, width, out):
    reach = (n_lags + 0.5) * width + 2 * SLACK
    for u in range(spans.shape[1]):
        bins = out[u]
        for i in range(spans[0, u], spans[1, u]):
            j = i + 1
            while j < spans[1, u] and times[j] - times[i] <= reach:
                _put(times[j] - times[i], n_lags, 1 / width, bins)
                _put(times[i] - times[j], n_lags, 1 / width, bins)
                j += 1


@njit(nogil=True, cache=True)
def _crosses(times, spans, part, n_lags, width, out):
    reach = (n_lags + 0.5) * width + 2 * SLACK
    per_bin = 1 / width
    for a in range(part[0], spans.shape[1], part[1]):
        for b in range(a + 1, spans.shape[1]):
            ahead, behind = out[a, b], out[b, a]
            start = spans[0, b]
            end = spans[1, b]
            for i in range(spans[0, a], spans[1, a]):
                time = times[i]
                while start < end and times[start] < time - reach:
                    start += 1
                if start == end:
                    break
                j = start
                while j < end and times[j] <= time + reach:
                    difference = times[j] - time
                    _put(difference, n_lags, per_bin, ahead)
                    _put(-difference, n_lags, per_bin, behind)
                    j += 1


@njit(nogil=True, cache=True, inline="always")
def _put(difference, n_lags, per_bin, bins):
    # Rounding of the product is far below the slack.
    place = (difference + SLACK) * per_bin + (n_lags + 0.5)
    if place >= 0:
        k = int(place)
        if k < len(bins):
            bins[k] += 1
