"""Stimuli before responses, against a slow twin, in blocks of any size."""

import numpy as np
import pytest

from neuroarrays.kernels import averages

N, UNITS, LAGS, PIXELS = 23, 2, 3, 4


@pytest.mark.parametrize("block", [3, 7, 22, 23, 50])
@pytest.mark.parametrize("dtype", ["u1", "f4", "f8"])
def test_sums_are_those_of_a_loop_over_frames(block, dtype):
    random = np.random.default_rng(0)
    film = (100 + random.integers(0, 50, (N, PIXELS))).astype(dtype)
    weights = np.zeros((N, UNITS))
    weights[LAGS - 1 :] = random.normal(size=(N - LAGS + 1, UNITS))
    weights[LAGS - 1 :] -= weights[LAGS - 1 :].mean(axis=0)
    asked = []

    def frames(begin, end):
        asked.append((begin, end))
        return film[begin:end]

    sums, spread = averages.triggered_sums(frames, N, weights, LAGS, block)
    want = np.zeros((UNITS, LAGS, PIXELS))
    for unit, lag in np.ndindex(UNITS, LAGS):
        for t in range(LAGS - 1, N):
            want[unit, lag] += weights[t, unit] * film[t - lag].astype(float)
    assert sums.dtype == spread.dtype == np.float64
    np.testing.assert_allclose(sums, want, atol=1e-3)
    np.testing.assert_allclose(spread, film.std(axis=0, dtype=float), rtol=1e-6)
    assert asked == [(begin, min(begin + block, N)) for begin in range(0, N, block)]


def test_a_pixel_that_never_changes_has_no_spread():
    """A large constant is taken off before anything is squared."""
    film = np.full((10, 1), 60_001, "u2")
    weights = np.tile([1.0, -1.0], 5)[:, None]
    sums, spread = averages.triggered_sums(lambda a, b: film[a:b], 10, weights, 1, 4)
    assert sums.tolist() == [[[0.0]]]
    assert spread.tolist() == [0.0]
    film[5] = 60_004  # a variance of 0.81 by a mean of 0.3
    _, spread = averages.triggered_sums(lambda a, b: film[a:b], 10, weights, 1, 4)
    np.testing.assert_allclose(spread, [0.9], rtol=1e-6)


@pytest.mark.parametrize(("dtype", "mean"), [("u1", 200), ("f4", 1e3), ("f8", 1e8), ("i4", 2e9)])
def test_many_frames_in_a_block_cost_no_digits(dtype, mean):
    """Squares are summed in float64, and the mean of a pixel is subtracted with all its digits."""
    random = np.random.default_rng(1)
    film = (mean + random.integers(0, 3, (3000, 2))).astype(dtype)
    film[:, 1] = mean + 0.3  # a pixel that never changes
    weights = random.normal(size=(3000, 1))
    weights -= weights.mean()
    sums, spread = averages.triggered_sums(lambda a, b: film[a:b], 3000, weights, 1, 3000)
    changes = film[:, 0].astype(float) - film[0, 0]
    np.testing.assert_allclose(spread[0], changes.std(), rtol=1e-7)
    np.testing.assert_allclose(sums[0, 0, 0], weights[:, 0] @ changes, rtol=1e-4)
    assert (sums[0, 0, 1], spread[1]) == (0, 0)
