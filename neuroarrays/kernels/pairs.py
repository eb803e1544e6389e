"""Differences between the spikes of pairs of trains."""

import numpy as np

from neuroarrays.kernels.jit import compiled
from neuroarrays.kernels.sharing import in_threads

#: A difference this close below an edge of a bin counts as on the edge, because sample clocks are rounded.
SLACK = 1e-9
#: Number of spikes above which threads are started.
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
        Threads that share the pairs of many spikes; the result does not depend on it.

    Returns
    -------
    (unit, unit, 2 n_lags + 1) int64, or (unit, 2 n_lags + 1)
        Bin ``n_lags + l`` of [a, b] counts pairs whose difference ``d = t_b - t_a`` has the sign of l
        and ``(|l| - 0.5) w <= |d| < (|l| + 0.5) w``: of two bins an edge belongs to the one further
        from 0, on either side, so that [a, b] is the mirror of [b, a]. A difference whose size is
        less than 1 ns below an edge lies on it. No spike is paired with itself.
    """
    times = np.ascontiguousarray(times, dtype=np.float64)
    spans = np.stack([np.asarray(first, np.int64), np.asarray(last, np.int64)])
    n_bins = 2 * int(n_lags) + 1
    if autos_only:
        single = np.zeros((spans.shape[1], n_bins), np.int64)
        _autos(times, spans, int(n_lags), float(bin_width), single)
        return single
    n_units = spans.shape[1]
    out = np.zeros((n_units, n_units, n_bins), np.int64)
    # All spikes are sorted together, so that one pass over its neighbours compares a unit with all others.
    owner = np.repeat(np.arange(n_units), spans[1] - spans[0])
    owned = [times[a:b] for a, b in spans.T]
    merged = np.concatenate(owned) if owned else times[:0]
    order = np.argsort(merged, kind="stable")
    everyone = merged[order], (owner * n_bins)[order]
    lags = int(n_lags), float(bin_width)
    n_parts = threads if merged.size >= _MANY else 1

    def count(part: int) -> None:
        """Count the pairs of one part of the units."""
        flat = out.reshape(n_units, n_units * n_bins)
        _walk(times, spans, everyone, (part, n_parts), lags, flat)

    in_threads(count, n_parts, threads)
    same = np.arange(n_units)
    out[same, same, n_lags] -= spans[1] - spans[0]  # each spike met itself
    return out


@compiled
def _autos(times, spans, n_lags, width, out):
    """Count the time differences between the spikes of each unit, (unit, lag)."""
    per_bin = 1 / width
    for unit in range(spans.shape[1]):
        bins = out[unit]
        for i in range(spans[0, unit], spans[1, unit]):
            for j in range(i + 1, spans[1, unit]):
                apart = _bins_apart(times[j] - times[i], per_bin)
                if not apart < n_lags + 1:
                    break
                bins[n_lags + int(apart)] += 1
                bins[n_lags - int(apart)] += 1


@compiled
def _walk(times, spans, everyone, part, lags, out):
    """Count the time differences between the spikes of some units and all others."""
    merged, offsets = everyone
    n_lags, width = lags
    per_bin = 1 / width
    for unit in range(part[0], spans.shape[1], part[1]):
        bins = out[unit]
        start = 0
        for i in range(spans[0, unit], spans[1, unit]):
            time = times[i]
            while _bins_apart(time - merged[start], per_bin) >= n_lags + 1:
                start += 1
            for j in range(start, len(merged)):
                difference = merged[j] - time
                apart = _bins_apart(abs(difference), per_bin)
                if not apart < n_lags + 1:
                    break
                lag = int(apart) if difference > 0 else -int(apart)
                bins[offsets[j] + n_lags + lag] += 1


@compiled(inline="always")
def _bins_apart(distance, per_bin):
    """How many bins two spikes are apart: the whole part is the lag."""
    # The rounding error of the product is far below the slack.
    return (distance + SLACK) * per_bin + 0.5
