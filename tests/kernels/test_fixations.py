"""Resizing and rendering of fixations: against slow obvious twins, and against torch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroarrays.kernels import fixations, resize


def slow_resize(frame, height, width):
    """Antialiased bilinear: every output is a triangle-weighted mean of the inputs around it."""

    def matrix(size, wanted):
        made = np.zeros((wanted, size))
        support = max(size / wanted, 1)
        for i in range(wanted):
            centre = (i + 0.5) * size / wanted
            for j in range(size):
                made[i, j] = max(0, 1 - abs(j + 0.5 - centre) / support)
        return made / made.sum(axis=1, keepdims=True)

    return matrix(frame.shape[0], height) @ frame @ matrix(frame.shape[1], width).T


def slow_screen(image, centre, screen, wrap_edge=False):
    """What the screen shows, pixel by pixel. `image` is (x, y)."""
    shown = np.zeros(screen)
    left, top = screen[1] // 2 - centre[0], screen[0] // 2 - centre[1]
    for row in range(screen[0]):
        for column in range(screen[1]):
            x, y = column - left, row - top
            low = -1 if wrap_edge else 0
            if low <= x < image.shape[0] and low <= y < image.shape[1]:
                shown[row, column] = image[x, y]  # -1 is the other edge
    return shown


def resized(frame, height, width):
    """An image that fills the screen, seen at another size."""
    middle = np.array([[frame.shape[1] // 2, frame.shape[0] // 2]])
    return fixations.render(frame.T, middle, frame.shape, (height, width))[0]


sizes = st.integers(1, 23)


@given(sizes, sizes, sizes, sizes, st.integers(0, 99))
def test_resizing_is_its_twin(height, width, new_height, new_width, seed):
    frame = np.random.default_rng(seed).integers(0, 256, (height, width)).astype("f4")
    found = resized(frame, new_height, new_width)
    np.testing.assert_allclose(found, slow_resize(frame, new_height, new_width), atol=2e-3)


@given(sizes, sizes)
def test_weights_sum_to_one_inside_the_axis(size, wanted):
    first, table = resize.weights(size, wanted)
    assert np.allclose(table.sum(axis=1), 1)
    for start, row in zip(first, table, strict=True):
        assert start >= 0
        assert start + np.flatnonzero(row)[-1] < size


def test_the_same_size_changes_nothing():
    frame = np.random.default_rng(0).integers(0, 256, (7, 9)).astype("f4")
    assert np.array_equal(resized(frame, 7, 9), frame)


@pytest.mark.parametrize("shape", [(600, 800, 60, 80), (50, 41, 60, 13), (37, 90, 12, 90)])
def test_resizing_is_that_of_torch(shape):
    torch = pytest.importorskip("torch")
    height, width, *wanted = shape
    frame = np.random.default_rng(1).integers(0, 256, (height, width)).astype("f4")
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(frame)[None, None], wanted, mode="bilinear", antialias=True
    )
    np.testing.assert_allclose(resized(frame, *wanted), theirs[0, 0], atol=2e-3)


@settings(deadline=None)
@given(
    st.tuples(st.integers(1, 14), st.integers(1, 14)),
    st.lists(st.tuples(st.integers(-12, 24), st.integers(-12, 24)), min_size=1, max_size=4),
    st.tuples(st.integers(1, 11), st.integers(1, 11)),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.booleans(),
)
def test_rendering_is_its_twin(image, centres, screen, size, wrap_edge):
    pixels = np.random.default_rng(2).integers(1, 256, image, dtype="u1")
    centres = np.array(centres)
    shown = fixations.inside(image, centres, screen)
    assert shown.dtype == bool
    found = fixations.render(pixels, centres, screen, size, wrap_edge)
    assert found.dtype == np.float32
    for frame, centre, is_shown in zip(found, centres, shown, strict=True):
        expected = slow_screen(pixels, centre, screen)
        assert is_shown == expected.any()
        if is_shown:
            expected = slow_screen(pixels, centre, screen, wrap_edge)
            np.testing.assert_allclose(frame, slow_resize(expected, *size), atol=2e-3)


def test_the_edge_that_open_retina_wraps():
    """Image edges inside the screen: one more column 399 - x and row 299 - y, of the other edge."""
    image = np.random.default_rng(3).integers(1, 256, (860, 640), dtype="u1")
    centres = np.array([[363, 320], [430, 279], [395, 291], [400, 300], [504, 353]])
    plain, wrapped = (
        fixations.render(image, centres, (600, 800), (600, 800), wrap) for wrap in (False, True)
    )
    assert np.array_equal(plain[0, :, 36], np.zeros(600))
    assert np.array_equal(wrapped[0, :, 36], image[-1, 20:620])
    assert np.array_equal(wrapped[1, 20], image[30:830, -1])
    assert (plain != wrapped).sum(axis=(1, 2)).tolist()[3:] == [0, 0]
    assert (plain != wrapped).sum(axis=(1, 2))[2] == (600 - 8) + (800 - 4) - 1


def test_equal_fixations_are_equal_frames():
    image = np.random.default_rng(4).random((30, 20)).astype("f4")
    centres = np.array([[15, 10], [15, 10], [16, 10], [15, 10]])
    found = fixations.render(image, centres, (12, 16), (6, 8))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[3])
    assert not np.array_equal(found[0], found[2])


@pytest.mark.parametrize("centres", [np.zeros((2, 3), int), np.zeros(2, int)])
def test_shapes_are_checked(centres):
    with pytest.raises(ValueError, match="expected \\(x, y\\)"):
        fixations.render(np.ones((3, 3), "u1"), centres, (4, 4), (2, 2))
    with pytest.raises(ValueError, match="1 or more pixels"):
        resize.weights(0, 3)
