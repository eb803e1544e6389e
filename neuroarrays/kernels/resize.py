"""Antialiased bilinear resizing of one axis as a table of weights, as torch and Pillow have it."""

import numpy as np


def weights(size: int, new_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which pixels make a pixel of the resized axis, and their weights.

    A triangle over `size / new_size` pixels to each side where the axis shrinks, over one where it
    grows; the weights of each output sum to 1. Twin: `slow_resize` of `tests/kernels/test_fixations.py`.

    Parameters
    ----------
    size, new_size : int, pixels
        Lengths of the axis, before and after.

    Returns
    -------
    first : (new_size,) int64
        First input pixel of each output.
    table : (new_size, taps) float32
        Weights of the pixels from there on, without unit; 0 past the last pixel.

    Raises
    ------
    ValueError
        If a length is not positive.
    """
    if size < 1 or new_size < 1:
        raise ValueError(f"size, new_size: expected 1 or more pixels, got {size} and {new_size}")
    scale = size / new_size
    support = max(scale, 1.0)
    centre = (np.arange(new_size) + 0.5) * scale
    first = np.maximum((centre - support + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + support + 0.5).astype(np.int64), size)
    taps = np.arange((last - first).max())
    away = np.abs(first[:, None] + taps + 0.5 - centre[:, None]) / support
    table = np.where(taps < (last - first)[:, None], np.maximum(1.0 - away, 0.0), 0.0)
    return first, (table / table.sum(axis=1, keepdims=True)).astype(np.float32)


def shrink(images: np.ndarray, scale: float) -> np.ndarray:
    """Make images smaller; each pixel is interpolated linearly between the nearest four.

    Nothing is averaged beyond these four: fine patterns alias, as with
    ``skimage.transform.rescale(..., order=1, anti_aliasing=False)``, whose values these are.

    Parameters
    ----------
    images : (..., y, x) float
        In any unit.
    scale : float
        New size over old one, above 0 and at most 1; the new size is rounded.

    Returns
    -------
    (..., y * scale, x * scale) float
        In the unit and dtype of `images`.

    Raises
    ------
    ValueError
        If no pixel is left, or the scale is not in that range.
    """
    number: object = scale
    if not isinstance(number, int | float) or not 0 < number <= 1:
        msg = f"scale={scale!r}: expected a number above 0 and at most 1"
        raise ValueError(msg)
    for axis in (-2, -1):
        size = images.shape[axis]
        new_size = round(size * scale)  # half to even, as numpy's
        if new_size < 1:
            msg = f"scale={scale!r} leaves no pixel of {size}"
            raise ValueError(msg)
        centres = (np.arange(new_size) + 0.5) * (size / new_size) - 0.5
        before = np.floor(centres).astype(np.int64)
        after = np.minimum(before + 1, size - 1)
        share = (centres - before).astype(images.dtype)
        if axis == -2:
            share = share[:, None]
        low, high = images.take(before, axis), images.take(after, axis)
        images = low + (high - low) * share
    return images
