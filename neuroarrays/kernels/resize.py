"""Antialiased bilinear resizing of one axis as a table of weights, as torch and Pillow have it."""

import numpy as np


def weights(size: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels make a pixel of the smaller axis, and how much of each.

    A triangle over `size / wanted` pixels to each side where the axis shrinks, over one where it
    grows; the weights of each output sum to 1. Twin: `slow_resize` of `tests/kernels/test_fixations.py`.

    Parameters
    ----------
    size, wanted : int, pixels
        Lengths of the axis, before and after.

    Returns
    -------
    first : (wanted,) int64
        First input pixel of each output.
    table : (wanted, taps) float32
        Weights of the pixels from there on, without unit; 0 past the last pixel.

    Raises
    ------
    ValueError
        If a length is not positive.
    """
    if size < 1 or wanted < 1:
        raise ValueError(f"size, wanted: expected 1 or more pixels, got {size} and {wanted}")
    scale = size / wanted
    support = max(scale, 1.0)
    centre = (np.arange(wanted) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + support + 0.5).astype(np.int64), size)
    taps = np.arange((last - first).max())
    away = np.abs(first[:, None] + taps + 0.5 - centre[:, None]) / support
    table = np.where(taps < (last - first)[:, None], np.maximum(1.0 - away, 0.0), 0.0)
    return first, (table / table.sum(axis=1, keepdims=True)).astype(np.float32)
