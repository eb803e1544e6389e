"""Rises of traces against slow twins."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroarrays.kernels import transients

numbers = st.lists(st.sampled_from([0.0, 1.0, 1.5, -2.0, 4.0]), min_size=1, max_size=25)


@given(numbers, st.integers(1, 6))
def test_a_rise_is_a_difference_of_two_means(values, width):
    trace = np.array(values)
    expected = [
        np.mean(values[t : t + width]) - np.mean(values[t - width : t])
        if t >= width and t + width <= len(values)
        else math.nan
        for t in range(len(values))
    ]
    np.testing.assert_allclose(transients.rises(trace, width), expected, atol=1e-12)


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, math.nan]), max_size=30), st.integers(0, 3))
def test_a_peak_is_the_first_largest_of_its_stretch(values, least):
    expected = [math.nan if math.isnan(v) else 0.0 for v in values]
    i = 0
    while i < len(values):
        stretch = i
        while stretch < len(values) and values[stretch] > least:
            stretch += 1
        if stretch > i:
            best = max(range(i, stretch), key=lambda k: (values[k], -k))
            expected[best] = values[best]
        i = max(stretch, i + 1)
    np.testing.assert_array_equal(transients.peaks(np.array(values, float), float(least)), expected)


def test_of_a_rising_stretch_only_the_top_is_a_peak():
    values = np.array([0.0, 2.0, 3.0, 1.0, np.nan, 1.0])
    assert transients.peaks(values, 0.5)[:4].tolist() == [0.0, 0.0, 3.0, 0.0]


def test_noise_is_a_standard_deviation_that_a_few_large_values_do_not_change():
    values = np.random.default_rng(0).normal(5, 2, 100_000)
    values[:1000] = 1e6
    values[-1000:] = np.nan
    assert transients.noise(values) == pytest.approx(2, rel=0.03)
    assert math.isnan(transients.noise(np.array([math.nan])))


def test_persistence_is_that_of_white_noise_or_more():
    """As many deviations as of autocorrelations by numpy, 1 in noise, far above in a decay."""
    rng = np.random.default_rng(0)
    trace = rng.normal(5, 2, 1000)
    known = trace - trace.mean()
    correlations = np.correlate(known, known, "full")[1000:1003] / (known**2).sum()
    expected = correlations.mean() * math.sqrt(3000)
    assert transients.persistence(trace) == pytest.approx(expected)
    many = [transients.persistence(rng.normal(size=500)) for _ in range(1000)]
    assert np.std(many) == pytest.approx(1, abs=0.1)
    assert transients.persistence(np.exp(-np.arange(500) / 20)) > 30
    assert transients.persistence(np.ones(10)) == 0
    assert transients.persistence(np.arange(3.0)) == 0
