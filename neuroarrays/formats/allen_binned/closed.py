"""Spikes in bins that are closed at both ends, as the published Allen archive counts them.

A spike on an inner edge is in both bins. A bin of width 0 has a spike that is exactly there. For
everything else use `neuroarrays.kernels.counts`, whose bins do not overlap.
"""

import numpy as np

from neuroarrays.kernels import loops
from neuroarrays.kernels.jit import compiled


def any_in_closed_bins(
    times: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
    offsets: np.ndarray,
) -> np.ndarray:
    """Return whether each unit has a spike in each closed bin of each presentation.

    Bin k of a presentation is ``[min(offsets[k] + start, stop), min(offsets[k+1] + start, stop)]``.

    Parameters
    ----------
    times : (spike,) float64, s
        Spike times, unit after unit, sorted within a unit.
    first, last : (unit,) int
        The spikes of unit u are `times[first[u]:last[u]]`.
    starts : (presentation,) float64, s
        Times that the offsets are relative to, in any order. The row of one that is not finite is 0.
    stops : (presentation,) float64, s
        Edges later than this are moved to it; infinity leaves them unchanged.
    offsets : (bin + 1,) float64, s
        Edges of the bins relative to each start, nondecreasing.

    Returns
    -------
    (presentation, bin, unit) int8
        1 where there is a spike, else 0.

    Raises
    ------
    ValueError
        If shapes or ranges do not fit, or offsets decrease.
    """
    times = np.ascontiguousarray(times, dtype=np.float64)
    first = np.ascontiguousarray(first, dtype=np.int64)
    last = np.ascontiguousarray(last, dtype=np.int64)
    starts = np.ascontiguousarray(starts, dtype=np.float64)
    stops = np.ascontiguousarray(stops, dtype=np.float64)
    offsets = np.ascontiguousarray(offsets, dtype=np.float64)
    if times.ndim != 1 or first.ndim != 1 or first.shape != last.shape:
        raise ValueError(
            "times, first and last: expected (spike,), (unit,) and (unit,), "
            f"got {times.shape}, {first.shape} and {last.shape}"
        )
    if ((first < 0) | (first > last) | (last > len(times))).any():
        raise ValueError(f"first and last: expected parts of {len(times)} spikes")
    if starts.ndim != 1 or stops.shape != starts.shape:
        raise ValueError(
            f"starts and stops: expected one length, got {starts.shape} and {stops.shape}"
        )
    if offsets.ndim != 1 or len(offsets) < 1 or not (np.diff(offsets) >= 0).all():
        raise ValueError("offsets: expected one or more edges that never decrease")
    out = np.zeros((len(starts), len(offsets) - 1, len(first)), np.int8)
    usable = np.isfinite(starts) & ~np.isnan(stops)
    order = np.flatnonzero(usable)
    order = order[np.argsort(starts[order], kind="stable")]
    _fill((times, first, last), (order, starts, stops), offsets, out)
    return out


@compiled
def _fill(spikes, presentations, offsets, out):
    times, first, last = spikes
    order, starts, stops = presentations
    cursors = first.copy()
    n_bins = len(offsets) - 1
    edges = np.empty(len(offsets))
    # Stops cut edges off: clipped ones of a later start may still lie before those of an earlier.
    reached = -np.inf
    for p in order:
        for k in range(n_bins + 1):
            edges[k] = min(offsets[k] + starts[p], stops[p])
        back = edges[0] < reached
        reached = max(reached, edges[0])
        for unit in range(len(first)):
            i = loops.seek(times, first[unit] if back else cursors[unit], last[unit], edges[0])
            if not back:
                cursors[unit] = i
            for k in range(n_bins):
                while i < last[unit] and times[i] < edges[k]:
                    i += 1
                if i == last[unit]:
                    break
                if times[i] <= edges[k + 1]:
                    out[p, k, unit] = 1
