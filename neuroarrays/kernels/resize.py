"""Antialiased bilinear resizing of one axis as a table of weights, as torch and Pillow have it."""

import numpy as np
from numba import njit


def weights(size: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels make a pixel of the smaller axis, and how much of each.

    A triangle over `size / wanted` pixels to each side where the axis shrinks, over one where it
    grows; the weights of each output sum to 1. Twin: `resize` of `tests/kernels/test_resize.py`.

    Parameters
    ----------
    size, wanted : int, pixels
        Lengths of the axis, before and after.

    Returns
    -------
    first : (wanted,) int64
        First input pixel of each output.
    table : (wanted, taps) float32
        Weights from there on; 0 past the last one.

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


def resize(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Frames at another size, antialiased bilinear.

    Parameters
    ----------
    frames : (frame, y, x) float32 or uint8
        What to resize.
    height, width : int, pixels
        The size wanted.

    Returns
    -------
    (frame, height, width) float32
    """
    rows, by_row = weights(frames.shape[1], height)
    columns, by_column = weights(frames.shape[2], width)
    out = np.empty((len(frames), height, width), np.float32)
    half = np.empty((height, frames.shape[2]), np.float32)
    _resize(np.ascontiguousarray(frames), rows, by_row, columns, by_column, half, out)
    return out


@njit(nogil=True, cache=True)
def _resize(frames, rows, by_row, columns, by_column, half, out):
    for k in range(frames.shape[0]):
        for i in range(out.shape[1]):
            half[i, :] = 0
            for tap in range(by_row.shape[1]):
                weight = by_row[i, tap]
                if weight != 0:
                    for j in range(frames.shape[2]):
                        half[i, j] += weight * np.float32(frames[k, rows[i] + tap, j])
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                total = np.float32(0)
                for tap in range(by_column.shape[1]):
                    if by_column[j, tap] != 0:
                        total += by_column[j, tap] * half[i, columns[j] + tap]
                out[k, i, j] = total
