"""Gaussian smoothing along time that knows which bins count."""

import numpy as np

from neuroarrays.kernels.jit import compiled


def gaussian_taps(sigma: float) -> np.ndarray:
    """Return the weights of a Gaussian at whole distances, cut off at four standard deviations.

    Parameters
    ----------
    sigma : float, bins
        Standard deviation; positive.

    Returns
    -------
    (n,) float32
        Weights of the bins at distance 0, 1, ..., without unit and not normalised.
    """
    distance = np.arange(int(4 * sigma * (1 + 1e-9)) + 1)
    return np.exp(-0.5 * (distance / sigma) ** 2).astype(np.float32)


def smooth(values: np.ndarray, valid: np.ndarray, taps: np.ndarray) -> np.ndarray:
    """Compute the weighted mean over the valid bins around each bin.

    Parameters
    ----------
    values : (presentation, unit, n_bins) number
        Values of each presentation.
    valid : (presentation, 1 or unit, n_bins) bool
        Bins that count.
    taps : (n,) float32
        Weights by distance in bins, from `gaussian_taps`; no unit.

    Returns
    -------
    (presentation, unit, n_bins) float32
        ``sum_j w_kj v_j x_j / sum_j w_kj v_j``, in the unit of `values`: at the edges of the window and of the mask the
        weights that are left are normalised. Bins that are not valid hold what their neighbours
        say; mask them.
    """
    values, valid = np.ascontiguousarray(values), np.ascontiguousarray(valid, np.bool_)
    smoothed = np.zeros(values.shape, np.float32)
    norm = np.zeros(valid.shape, np.float32)
    _spread(valid.view(np.uint8), valid, taps, norm)  # as counts are: compiled once for both
    _spread(values, valid, taps, smoothed)
    with np.errstate(divide="ignore", invalid="ignore"):
        smoothed /= norm
    return smoothed


@compiled
def _spread(values, valid, taps, smoothed):
    """Add each valid value to the bins around it; zeros are skipped, as counts are mostly 0."""
    n_rows, n_units, n_bins = values.shape
    reach = len(taps) - 1
    for row in range(n_rows):
        for unit in range(n_units):
            is_valid = valid[row, min(unit, valid.shape[1] - 1)]
            out = smoothed[row, unit]
            for j in range(n_bins):
                if not is_valid[j] or values[row, unit, j] == 0:
                    continue
                x = np.float32(values[row, unit, j])
                for k in range(max(0, j - reach), min(n_bins, j + reach + 1)):
                    out[k] += x * taps[abs(k - j)]
