"""Smaller images by their nearest four pixels, against numpy's interpolation of one axis at a time."""

import numpy as np
import pytest

from neuroarrays.kernels.resize import shrink


def slow_shrink(image, wanted):
    """Twin: one line at a time, at the middles of the new pixels."""
    for axis, size in enumerate(wanted):
        old = image.shape[axis]
        at = (np.arange(size) + 0.5) * old / size - 0.5
        image = np.apply_along_axis(
            lambda line, at=at: np.interp(at, np.arange(line.size), line), axis, image
        )
    return image


@pytest.mark.parametrize(("scale", "wanted"), [(0.25, (4, 2)), (0.4, (6, 4)), (1, (16, 9))])
def test_shrink(scale, wanted):
    images = np.random.default_rng(0).normal(100, 50, (2, 3, 16, 9))
    small = shrink(images, scale)
    assert small.shape == (2, 3, *wanted)
    np.testing.assert_allclose(small[1, 2], slow_shrink(images[1, 2], wanted))
    assert shrink(images.astype("f4"), scale).dtype == np.float32


@pytest.mark.parametrize("scale", [0, -1, 1.5, np.nan, 0.01])
def test_sizes_that_there_are_none_of(scale):
    with pytest.raises(ValueError, match=r"scale="):
        shrink(np.zeros((16, 9)), scale)
