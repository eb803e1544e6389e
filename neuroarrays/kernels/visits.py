"""Spikes counted by what went on in their bin of a clock, without counting the bins."""

import numpy as np

from neuroarrays.kernels.grid import bin_edges
from neuroarrays.kernels.jit import compiled


def count_by_label(
    times: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    origin: float,
    bin_width: float,
    labels: np.ndarray,
    n_labels: int,
) -> np.ndarray:
    """Count the spikes of every unit in all bins that have a label.

    Parameters
    ----------
    times : (spike,) float64, s
        Spike times, unit after unit, in any order within a unit.
    first, last : (unit,) int
        Unit u owns ``times[first[u]:last[u]]``.
    origin : float, s
        Time of edge 0 of the clock.
    bin_width : float, s
        Width of a bin; edges as in `count_clock`.
    labels : (bin,) int
        Label of each bin, -1 to leave it out; all are below `n_labels`.
    n_labels : int
        Number of labels.

    Returns
    -------
    (n_labels, unit) int64, spikes
        What the counts of `count_clock` add up to over the bins of each label.

    Raises
    ------
    ValueError
        If a label is outside [-1, n_labels), or a unit reaches outside the spikes.
    """
    labels = np.ascontiguousarray(labels, dtype=np.int64)
    if labels.size and (labels.min() < -1 or labels.max() >= n_labels):
        span = f"{labels.min()} to {labels.max()}"
        raise ValueError(f"labels: expected -1 to {n_labels - 1}, got {span}")
    times = np.ascontiguousarray(times, dtype=np.float64)
    spans = np.stack([np.asarray(first, np.int64), np.asarray(last, np.int64)])
    if spans.size and (spans.min() < 0 or spans.max() > times.size):
        raise ValueError(f"first and last: expected parts of {times.size} spikes")
    out = np.zeros((spans.shape[1], n_labels), np.int64)
    edges = bin_edges(origin, labels.size, bin_width)
    _count(times, spans, edges, 1 / float(bin_width), labels, out)
    return out.T


@compiled
def _count(times, spans, edges, per_second, labels, out):
    """Count the spikes of each unit by the label of their bin."""
    n_bins = len(labels)
    start, end = edges[0], edges[n_bins]
    for unit in range(spans.shape[1]):
        for i in range(spans[0, unit], spans[1, unit]):
            time = times[i]
            if not start <= time < end:  # NaN too
                continue
            # The product is a guess of the bin; the loops correct it, and end at the outer edges.
            k = min(int((time - start) * per_second), n_bins - 1)
            while time < edges[k]:
                k -= 1
            while time >= edges[k + 1]:
                k += 1
            if labels[k] >= 0:
                out[unit, labels[k]] += 1
