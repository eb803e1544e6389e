"""Values between samples, by hand."""

import numpy as np

from neuroarrays.kernels import sinc


def test_a_value_is_the_weighted_mean_of_the_samples_around():
    cutoff, half, beta = 0.6, 5, 6.0
    kernel = sinc.sinc(cutoff, half, beta)
    samples = np.random.default_rng(0).normal(size=(40, 2))
    places = np.array([5.0, 17.25, 20.999, 33.5])
    values = sinc.evaluate(samples, 0, places, kernel)
    assert values.shape == (4, 2)
    for place, value in zip(places, values, strict=True):
        around = np.arange(np.ceil(place - half), np.floor(place + half) + 1).astype(int)
        u = (around - place) / half
        window = np.i0(beta * np.sqrt(1 - u**2)) / np.i0(beta)
        weights = np.sinc(cutoff * half * u) * window
        np.testing.assert_allclose(value, weights @ samples[around] / weights.sum(), atol=1e-6)
    # A part that begins later gives the same, to the last digit.
    np.testing.assert_array_equal(sinc.evaluate(samples[10:], 10, places[1:], kernel), values[1:])
