"""Sums of presentations by label, and of their squared distances from the mean, in one pass.

Sums of squares lose the variance where the mean is large: at 1e8 times the deviation, nothing of it
is left in float64. So the first value is subtracted before squaring (Chan, Golub & LeVeque 1983,
Am. Stat. 37:242).
"""

from itertools import pairwise

import numpy as np

from neuroarrays.kernels.jit import compiled
from neuroarrays.kernels.sharing import in_threads

#: Bytes of sums, which stay in the first-level cache while rows are added to them.
_TILE = 16 << 10
#: Rows of 8-bit counts whose sums of squares fit into 32 bits.
_FLUSH = 30_000
#: Number of values above which threads are started.
_MANY = 1 << 20
#: Dtype of the sums of integers, by their size in bytes; for all others it is float64.
_WIDE = {1: np.int32, 2: np.int64}


def moments(
    counts: np.ndarray,
    labels: np.ndarray,
    n_labels: int,
    valid: np.ndarray | None = None,
    threads: int = 2,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum the presentations of each label, and their squared distances from the mean.

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
        Sums of the values over valid bins, exact for integers whose sum is below 2**53, and of
        their squared distances from the mean of these values; 0 where there is none.
    n : (n_labels, 1 or unit, n_bins) int64
        Number of presentations summed, along units as `valid` is.

    Raises
    ------
    ValueError
        If shapes do not fit or a label is outside [-1, n_labels).
    """
    counts = np.ascontiguousarray(counts)
    if counts.dtype == np.float16:  # which compiled code does not know
        counts = counts.astype(np.float32)
    labels = np.ascontiguousarray(labels, np.int64)
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
    wide = _WIDE.get(counts.dtype.itemsize if counts.dtype.kind in "iub" else 0, np.float64)
    n = np.zeros((n_labels, *used.shape[1:]), np.int64)
    shift = np.zeros((n_labels, n_units, n_bins), wide)
    for label, (a, b) in enumerate(pairwise(bounds)):
        chosen = used[order[a:b]]
        np.sum(chosen, axis=0, out=n[label])
        if b > a and chosen[0].all():
            shift[label] = counts[order[a]]
        elif b > a:
            first = np.broadcast_to(order[a:b][chosen.argmax(axis=0)], shift.shape[1:])
            values = np.take_along_axis(counts, first[None], axis=0)[0]
            np.copyto(shift[label], values, where=n[label] > 0)
    total, squares = np.zeros((2, n_labels, n_units, n_bins))
    whole = bool(used.all())
    tile = max(1, _TILE // max(1, 3 * n_bins * np.dtype(wide).itemsize))
    n_parts = threads if counts.size >= _MANY else 1
    parts = np.linspace(0, n_units, n_parts + 1).astype(int)

    def add(part: int) -> None:
        """Add the presentations of some units to the sums."""
        for begin in range(parts[part], parts[part + 1], tile):
            units = slice(begin, min(begin + tile, parts[part + 1]))
            for row in range(0, len(order), _FLUSH):
                rows = order[row : row + _FLUSH]
                sums = np.zeros((3, n_labels, units.stop - begin, n_bins), wide)
                sums[2] = shift[:, units]
                flat = sums.reshape(3, n_labels, -1)
                if whole:
                    _add(counts.reshape(n_rows, -1), begin * n_bins, labels, rows, *flat)
                else:
                    _add_valid(counts, begin, labels, rows, used, sums)
                total[:, units] += sums[0]
                squares[:, units] += sums[1]
            from_shift, number = total[:, units], n[:, units] if n.shape[1] > 1 else n
            squares[:, units] -= from_shift**2 / np.maximum(number, 1)
            np.maximum(squares[:, units], 0, out=squares[:, units])
            from_shift += number * shift[:, units]

    in_threads(add, n_parts, threads)
    return total, squares, n


@compiled
def _add(counts, first, labels, rows, sums, squares, shifts):
    """Add columns from the first on to the sums of a label: less a shift, and the squares of that."""
    last = first + sums.shape[1]
    for row in rows:
        values = counts[row, first:last]  # with this slice the loop uses vectors
        total = sums[labels[row]]
        squared = squares[labels[row]]
        shift = shifts[labels[row]]
        for k in range(len(values)):
            x = sums.dtype.type(sums.dtype.type(values[k]) - shift[k])
            total[k] += x
            squared[k] += x * x


@compiled
def _add_valid(counts, first, labels, rows, used, sums):
    """Add what may be used of units from the first on, as `_add`."""
    most = used.shape[1] - 1
    for row in rows:
        label = labels[row]
        for unit in range(sums.shape[2]):
            for k in range(sums.shape[3]):
                if used[row, min(first + unit, most), k]:
                    x = sums.dtype.type(counts[row, first + unit, k]) - sums[2, label, unit, k]
                    sums[0, label, unit, k] += x
                    sums[1, label, unit, k] += x * x
