"""Sums and sums of squares of presentations by label, in one pass over the counts."""

from itertools import pairwise

import numpy as np

from neuroarrays.kernels.jit import compiled
from neuroarrays.kernels.sharing import in_threads

#: Bytes of sums that are kept in the first-level cache while rows are added to them.
_TILE = 16 << 10
#: Rows after which 32-bit sums of squares of 8-bit counts could overflow.
_FLUSH = 30_000
#: Values from which on threads are worth starting.
_MANY = 1 << 20


def moments(
    counts: np.ndarray,
    labels: np.ndarray,
    n_labels: int,
    valid: np.ndarray | None = None,
    threads: int = 2,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum the presentations of each label, and their squares.

    Parameters
    ----------
    counts : (presentation, unit, n_bins) integer or float
        Values of each presentation; read where they are, without a wider copy.
    labels : (presentation,) int
        Label of each presentation, -1 to leave it out.
    n_labels : int
        Number of labels; all labels are below it.
    valid : (presentation, 1 or unit, n_bins) bool, optional
        Bins to use, of all units alike or of each; all if omitted.
    threads : int, default 2
        Threads that share the units of many counts; the result does not depend on it.

    Returns
    -------
    total, squares : (n_labels, unit, n_bins) float64
        Sums of the values and of their squares over valid bins; exact for integers.
    n : (n_labels, 1 or unit, n_bins) int64
        Number of presentations summed, along units as `valid` is.

    Raises
    ------
    ValueError
        If shapes do not fit or a label is outside [-1, n_labels).
    """
    counts = np.ascontiguousarray(counts)
    labels = np.asarray(labels)
    if counts.ndim != 3 or labels.shape != counts.shape[:1]:
        raise ValueError(
            "counts and labels: expected (presentation, unit, bin) and (presentation,), "
            f"got {counts.shape} and {labels.shape}"
        )
    if labels.size and (labels.min() < -1 or labels.max() >= n_labels):
        given = f"{labels.min()} to {labels.max()}"
        raise ValueError(f"labels: expected -1 to {n_labels - 1}, got {given}")
    n_rows, n_units, n_bins = counts.shape
    used = np.full((n_rows, 1, n_bins), True) if valid is None else np.asarray(valid, np.bool_)
    if used.shape not in ((n_rows, 1, n_bins), (n_rows, n_units, n_bins)):
        raise ValueError(f"valid: expected {(n_rows, f'1 or {n_units}', n_bins)}, got {used.shape}")
    used = np.ascontiguousarray(used)
    order = np.argsort(labels, kind="stable")
    order = order[np.searchsorted(labels[order], 0) :]
    bounds = np.searchsorted(labels[order], np.arange(n_labels + 1))
    n = np.zeros((n_labels, *used.shape[1:]), np.int64)
    for label, (a, b) in enumerate(pairwise(bounds)):
        np.sum(used[order[a:b]], axis=0, out=n[label])
    total, squares = np.zeros((2, n_labels, n_units, n_bins))
    whole = bool(used.all())
    small = counts.dtype.itemsize == 1 and counts.dtype.kind in "iub"
    wide = np.int32 if small else np.int64 if counts.dtype.kind in "iub" else np.float64
    tile = max(1, _TILE // max(1, 2 * n_bins * np.dtype(wide).itemsize))
    n_parts = threads if counts.size >= _MANY else 1
    parts = np.linspace(0, n_units, n_parts + 1).astype(int)

    def add(part: int) -> None:
        units = (parts[part], parts[part + 1], tile)
        scratch = np.zeros((2, tile, n_bins), wide)
        _add(counts, order, bounds, used, whole, units, scratch, total, squares)

    in_threads(add, n_parts, threads)
    return total, squares, n


@compiled
def _add(counts, order, bounds, used, whole, units, scratch, total, squares):
    first, last, tile = units
    n_bins = counts.shape[2]
    for begin in range(first, last, tile):
        end = min(begin + tile, last)
        size = end - begin
        for label in range(len(bounds) - 1):
            row = bounds[label]
            while row < bounds[label + 1]:
                stop = min(row + _FLUSH, bounds[label + 1])
                scratch[:] = 0
                if whole:
                    for p in order[row:stop]:
                        _row(
                            counts[p, begin:end].reshape(size * n_bins),
                            scratch[0, :size].reshape(size * n_bins),
                            scratch[1, :size].reshape(size * n_bins),
                        )
                else:
                    for p in order[row:stop]:
                        for u in range(size):
                            seen = used[p, min(begin + u, used.shape[1] - 1)]
                            _masked(counts[p, begin + u], seen, scratch[0, u], scratch[1, u])
                for u in range(size):
                    for k in range(n_bins):
                        total[label, begin + u, k] += scratch[0, u, k]
                        squares[label, begin + u, k] += scratch[1, u, k]
                row = stop


@compiled
def _row(values, sums, squares):
    for i in range(len(values)):
        x = sums.dtype.type(values[i])
        sums[i] += x
        squares[i] += x * x


@compiled
def _masked(values, used, sums, squares):
    for k in range(len(values)):
        x = sums.dtype.type(values[k]) if used[k] else sums.dtype.type(0)
        sums[k] += x
        squares[k] += x * x
