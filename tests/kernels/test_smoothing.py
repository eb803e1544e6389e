"""Gaussian smoothing against a slow twin, where some bins do not count."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroarrays.kernels import smoothing


@pytest.mark.parametrize(("sigma", "n_taps"), [(1.0, 5), (0.75, 4), (2.49, 10), (0.2, 1)])
def test_a_gaussian_is_cut_off_at_four_deviations(sigma, n_taps):
    taps = smoothing.gaussian_taps(sigma)
    assert taps.dtype == np.float32
    want = [np.exp(-(distance**2) / (2 * sigma**2)) for distance in range(n_taps)]
    np.testing.assert_allclose(taps, want, rtol=1e-6)


def test_four_deviations_are_reached_in_spite_of_rounding():
    assert (0.1 + 0.2) * 10 / 4 * 4 >= 3
    assert smoothing.gaussian_taps(np.nextafter(0.75, 0)).size == 4


@given(
    st.integers(0, 4),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 6),
    st.booleans(),
    st.sampled_from(["u1", "f8"]),
    st.integers(0, 99),
)
def test_smoothing_is_the_weighted_mean_of_valid_bins(rows, units, bins, taps, each, dtype, seed):
    random = np.random.default_rng(seed)
    values = random.integers(0, 4, (rows, units, bins)).astype(dtype)
    valid = random.random((rows, units if each else 1, bins)) < 0.7
    weights = random.uniform(0.1, 1, taps).astype("f4")
    found = smoothing.smooth(values, valid, weights)
    assert found.dtype == np.float32
    for row, unit, k in np.ndindex(values.shape):
        seen = valid[row, unit if each else 0]
        near = [j for j in range(bins) if seen[j] and abs(j - k) < taps]
        norm = sum(weights[abs(j - k)] for j in near)
        total = sum(weights[abs(j - k)] * values[row, unit, j] for j in near)
        want = total / norm if near else np.nan
        np.testing.assert_allclose(found[row, unit, k], want, rtol=1e-5)


def test_smoothing_a_constant_changes_nothing():
    taps = smoothing.gaussian_taps(2.5)
    valid = np.random.default_rng(0).random((3, 1, 20)) < 0.8
    flat = smoothing.smooth(np.full((3, 2, 20), 7.0), valid, taps)
    np.testing.assert_allclose(flat, 7, rtol=1e-6)
