"""Gaussian smoothing along time that knows which bins count."""

import numpy as np


def gaussian_weights(n_bins: int, sigma: float) -> np.ndarray:
    """Weights of a Gaussian, cut off at four standard deviations.

    Parameters
    ----------
    n_bins : int
        Number of bins.
    sigma : float, bins
        Standard deviation; positive.

    Returns
    -------
    (n_bins, n_bins) float32
        Weight of each bin (second axis) in the smoothed value of each (first axis), not normalised.
    """
    bins = np.arange(n_bins)
    distance = (bins[:, None] - bins) / sigma
    return np.where(np.abs(distance) <= 4, np.exp(-0.5 * distance**2), 0).astype(np.float32)


def smooth(values: np.ndarray, valid: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted mean over the valid bins around each bin.

    Parameters
    ----------
    values : (presentation, unit, n_bins) number
        Values of each presentation.
    valid : (presentation, 1 or unit, n_bins) bool
        Bins that count.
    weights : (n_bins, n_bins) float32
        From `gaussian_weights`; symmetric.

    Returns
    -------
    (presentation, unit, n_bins) float32
        ``sum_j w_kj v_j x_j / sum_j w_kj v_j``: at the edges of the window and of the mask the
        weights that are left are normalised. Bins that are not valid hold what their neighbours
        say; mask them.
    """
    masked = np.where(valid, values, 0).astype(np.float32)
    found: np.ndarray = masked @ weights
    norm = valid.astype(np.float32) @ weights
    with np.errstate(divide="ignore", invalid="ignore"):
        found /= norm
    return found
