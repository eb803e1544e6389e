"""What a screen shows while the eyes move over an image, at the size asked for."""

import numpy as np

from neuroarrays.kernels.jit import compiled
from neuroarrays.kernels.resize import weights


def render(
    image: np.ndarray,
    centres: np.ndarray,
    screen: tuple[int, int],
    size: tuple[int, int],
    wrap_edge: bool = False,
) -> np.ndarray:
    """Render one image around fixations, resized by antialiased bilinear interpolation.

    Pixel (row, column) of the screen shows pixel (row + y - height / 2, column + x - width / 2) of
    the image, and 0 where there is none.

    Parameters
    ----------
    image : (x, y) uint8 or float32
        Brightness in any unit. The first axis is x, as MATLAB v7.3 files hold images.
    centres : (frame, 2) int64, pixels
        Column x and row y of the image that fall on the middle of the screen.
    screen : (int, int), pixels
        Height and width of the screen.
    size : (int, int), pixels
        Height and width of the frames wanted.
    wrap_edge : bool, default False
        Where the left or upper edge of the image is on the screen, also show the opposite edge in
        the one column or row before it, as open-retina does.

    Returns
    -------
    (frame, height, width) float32
        Frames; equal fixations in a row are computed once.

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    if image.ndim != 2 or centres.ndim != 2 or centres.shape[1] != 2:
        raise ValueError(f"expected (x, y) and (frame, 2), got {image.shape} and {centres.shape}")
    rows, by_row = weights(screen[0], size[0])
    columns, by_column = weights(screen[1], size[1])
    out = np.empty((len(centres), *size), np.float32)
    line = np.empty(screen[0], np.float32)
    limits = (rows, by_row, columns, by_column)
    _render(
        np.ascontiguousarray(image),
        np.ascontiguousarray(centres, np.int64),
        tuple(screen),
        limits,
        line,
        out,
        bool(wrap_edge),
    )
    return out


def inside(image: tuple[int, int], centres: np.ndarray, screen: tuple[int, int]) -> np.ndarray:
    """Whether a part of an image is on the screen.

    Parameters
    ----------
    image : (int, int), pixels
        Lengths along x and y.
    centres : (frame, 2) int64, pixels
        Column x and row y.
    screen : (int, int), pixels
        Height and width.

    Returns
    -------
    (frame,) bool
    """
    left, top = screen[1] // 2 - centres[:, 0], screen[0] // 2 - centres[:, 1]
    across = (left < screen[1]) & (left + image[0] > 0)
    down = (top < screen[0]) & (top + image[1] > 0)
    visible: np.ndarray = across & down
    return visible


@compiled(inner=True)
def _repeat(frame, out):
    """Write a frame a second time. ``out[:] = frame`` takes three seconds to compile."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = frame[i, j]


@compiled
def _render(image, centres, screen, limits, line, out, wrap_edge):
    """Draw the screen around each gaze position, at the size of the output."""
    # The output is made column by column. Columns of the image are contiguous, so they are added to
    # `line` with vector instructions; then `line` is made smaller.
    rows, by_row, columns, by_column = limits
    for k in range(centres.shape[0]):
        if k > 0 and centres[k, 0] == centres[k - 1, 0] and centres[k, 1] == centres[k - 1, 1]:
            _repeat(out[k - 1], out[k])
            continue
        # Screen position of the image's first pixel; what of the screen it covers.
        left = screen[1] // 2 - centres[k, 0]
        top = screen[0] // 2 - centres[k, 1]
        c0 = max(left - 1, 0) if wrap_edge and left > 0 else max(left, 0)
        c1 = min(left + image.shape[0], screen[1])
        r0 = max(top, 0)
        r1 = min(top + image.shape[1], screen[0])
        for j in range(out.shape[2]):
            for r in range(line.size):
                line[r] = 0
            for tap in range(by_column.shape[1]):
                c = columns[j] + tap
                weight = by_column[j, tap]
                if c < c0 or c >= c1 or weight == 0:
                    continue
                pixels = image[c - left if c >= left else image.shape[0] - 1]
                shown = line[r0:r1]
                source = pixels[r0 - top : r1 - top]
                for r in range(r1 - r0):
                    shown[r] += weight * np.float32(source[r])
                if wrap_edge and 0 < top <= screen[0]:
                    line[top - 1] += weight * np.float32(pixels[-1])
            for i in range(out.shape[1]):
                total = np.float32(0)
                for tap in range(by_row.shape[1]):
                    if by_row[i, tap] != 0:
                        total += by_row[i, tap] * line[rows[i] + tap]
                out[k, i, j] = total
