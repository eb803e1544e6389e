"""Sums over windows and probabilities of places, against slow references."""

import numpy as np
import pytest

from neuroarrays.kernels import posteriors


def test_posteriors_equal_a_slow_reference():
    random = np.random.default_rng(0)
    counts = random.poisson(1.0, (7, 3)).astype(float)
    rates = random.uniform(0, 9, (3, 5))
    rates[1, 2], rates[0, 4] = 0.0, np.nan
    prior, seconds = np.array([1.0, 2, 3, 0, 4]), random.uniform(0.1, 1, 7)
    found = posteriors.poisson_posterior(counts, seconds, rates, prior)
    for t in range(7):
        want = np.zeros(5)
        for x in (0, 1, 2):
            want[x] = prior[x]
            for u in range(3):
                mean = max(rates[u, x], 1e-3) * seconds[t]
                want[x] *= mean ** counts[t, u] * np.exp(-mean)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found[t], want / want.sum(), rtol=1e-4, atol=1e-7)


def test_places_that_are_not_known_have_no_probability():
    rates = np.array([[1.0, 2.0, np.nan, 3.0], [1.0, 2.0, 3.0, 4.0]])
    prior = np.array([1.0, 0.0, 1.0, 3.0])
    found = posteriors.poisson_posterior(np.zeros((2, 2)), np.zeros(2), rates, prior)
    np.testing.assert_allclose(found, [[0.25, 0, 0, 0.75]] * 2)


def test_many_spikes_make_a_place_likely_and_no_overflow():
    rates = np.array([[5.0, 10.0]])
    found = posteriors.poisson_posterior(np.array([[5000.0]]), np.ones(1), rates, np.ones(2))
    np.testing.assert_array_equal(found, [[0, 1]])


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("ends", [[10], [4, 10], [1, 3, 10]])
def test_windows_are_centred_and_stay_in_their_stretch(size, ends):
    values = np.arange(20).reshape(10, 2).astype("u1") ** 2
    stretches = np.array([[0, *ends[:-1]], ends]).T
    found = posteriors.window_sums(values, size, stretches)
    assert found.dtype == np.float64
    for begin, end in stretches:
        for k in range(begin, end):
            around = values[max(k - size // 2, begin) : min(k + size // 2 + 1, end)]
            np.testing.assert_array_equal(found[k], around.sum(axis=0, dtype=float))
