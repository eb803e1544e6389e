"""Interpolation against a slow twin, and by hand at every rule."""

import itertools
import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroarrays.kernels import resample

prop = settings(
    max_examples=int(os.environ.get("KERNEL_EXAMPLES", settings().max_examples)), deadline=None
)


def twin(times, values, at, method, max_gap):
    """Look at every sample for every time."""
    # Later samples replace earlier ones of the same time.
    samples = {t: float(v) for t, v in zip(times, values, strict=True) if math.isfinite(v)}
    out = []
    for t in at:
        earlier = [s for s in samples if s < t]
        later = [s for s in samples if s > t]
        if t in samples:
            out.append(samples[t])
        elif not earlier or not later:
            out.append(math.nan)
        else:
            left, right = max(earlier), min(later)
            a, b = samples[left], samples[right]
            if right - left > max_gap:
                out.append(math.nan)
            elif method == "linear":
                out.append(a + (b - a) * ((t - left) / (right - left)))
            elif method == "previous" or t - left <= right - t:
                out.append(a)
            else:
                out.append(b)
    return np.array(out, values.dtype)


sample_time = st.one_of(st.integers(-5, 20).map(lambda k: k / 4), st.floats(-2, 6))
sample_value = st.one_of(st.floats(-1e6, 1e6, width=32), st.sampled_from([math.nan, math.inf]))
methods = st.sampled_from(["linear", "previous", "nearest"])
gaps = st.one_of(st.just(math.inf), st.floats(0, 3))


@prop
@given(st.data(), methods, gaps, st.sampled_from([np.float64, np.float32]))
def test_equals_twin(data, method, max_gap, dtype):
    times = np.sort(np.array(data.draw(st.lists(sample_time, max_size=15)), np.float64))
    n_columns = data.draw(st.integers(0, 3))
    flat = st.lists(sample_value, min_size=len(times), max_size=len(times))
    columns = [data.draw(flat) for _ in range(max(1, n_columns))]
    values = np.array(columns, dtype).T.reshape(len(times), max(1, n_columns))
    odd = st.sampled_from([math.nan, math.inf, -math.inf])
    at = np.array(data.draw(st.lists(st.one_of(sample_time, odd), max_size=15)), np.float64)
    expected = np.stack(
        [twin(times, column, at, method, max_gap) for column in values.T], axis=1
    ).reshape(len(at), values.shape[1])
    got = resample.interpolate(times, values if n_columns else values[:, 0], at, method, max_gap)
    assert got.dtype == dtype
    assert got.shape == (expected.shape if n_columns else (len(at),))
    np.testing.assert_array_equal(got.reshape(expected.shape), expected)


@pytest.mark.parametrize("seed", range(3))
def test_equals_numpy_on_long_signals(seed):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.random(2_000))
    values = rng.normal(size=2_000)
    for at in (np.sort(rng.random(5_000)), rng.random(5_000)):
        got = resample.interpolate(times, values, at)
        expected = np.interp(at, times, values, left=np.nan, right=np.nan)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)


def test_rules_by_hand():
    times = np.array([0.0, 1.0, 1.0, 2.0, 4.0])
    values = np.array([0.0, 10.0, 20.0, np.nan, 50.0])
    at = np.array([-0.1, 0.0, 0.5, 1.0, 2.0, 2.5, 4.0, 4.1, np.nan])
    nan = np.nan

    def both(method, max_gap=math.inf):
        return resample.interpolate(times, values, at, method, max_gap)

    np.testing.assert_array_equal(both("linear"), [nan, 0, 10, 20, 30, 35, 50, nan, nan])
    np.testing.assert_array_equal(both("previous"), [nan, 0, 0, 20, 20, 20, 50, nan, nan])
    np.testing.assert_array_equal(both("nearest"), [nan, 0, 0, 20, 20, 20, 50, nan, nan])
    np.testing.assert_array_equal(both("linear", 2.9), [nan, 0, 10, 20, nan, nan, 50, nan, nan])
    np.testing.assert_array_equal(both("linear", 3.0), [nan, 0, 10, 20, 30, 35, 50, nan, nan])
    np.testing.assert_array_equal(both("nearest", 0.0), [nan, 0, nan, 20, nan, nan, 50, nan, nan])


@pytest.mark.parametrize(("at", "value"), [(0.9, 10), (1.0, 10), (1.1, 30), (2.4, 30), (2.6, 20)])
def test_the_nearest_is_the_earlier_of_a_tie(at, value):
    times, values = np.array([0.0, 2.0, 3.0]), np.array([10.0, 30.0, 20.0])
    assert resample.interpolate(times, values, np.array([at]), "nearest").item() == value


@pytest.mark.parametrize("period", [0.25, 1.0, 2 * np.pi, 360.0])
def test_angles_go_along_the_shorter_arc(period):
    """In fractions of a turn: forwards and backwards over 0, and half a turn, which is downwards."""
    times = np.arange(6.0)
    turns = np.array([0.75, 0.125, 0.875, 0.5, 0.0, -1.125])
    at = np.array([0.5, 1.5, 2.5, 3.5, 4.5, 1 / 3, 5.0, 6.0])
    want = np.array([0.9375, 0.0, 0.6875, 0.25, 0.9375, 0.875, 0.875, np.nan])
    found = resample.interpolate(times, turns * period, at, "linear", period=period)
    np.testing.assert_allclose(found / period, want, atol=1e-12)
    straight = resample.interpolate(times, turns * period, at[:2], "linear")
    np.testing.assert_allclose(straight / period, [0.4375, 0.5])
    assert (found[:-1] >= 0).all()
    assert (found[:-1] < period).all()
    back = resample.interpolate(times, turns * period, at, "previous", period=period)
    np.testing.assert_array_equal(back[:7], turns[[0, 1, 2, 3, 4, 0, 5]] * period)


def test_columns_miss_samples_each_for_itself():
    times = np.arange(3.0)
    values = np.array([[0, 0], [np.nan, 1], [2, np.nan]], np.float32)
    got = resample.interpolate(times, values, np.array([1.0, 2.0]))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, [[1, 1], [2, np.nan]])


def test_integers_become_float64():
    got = resample.interpolate(np.arange(2.0), np.array([0, 1]), np.array([0.25]))
    assert got.dtype == np.float64
    assert got.tolist() == [0.25]


@pytest.mark.parametrize("shape", [(0,), (0, 0), (0, 2), (2, 0)])
def test_empty(shape):
    at = np.zeros(3)
    got = resample.interpolate(np.zeros(shape[0]), np.zeros(shape), at)
    assert got.shape == (3, *shape[1:])
    assert np.isnan(got).all()
    assert resample.interpolate(np.zeros(1), np.zeros(1), np.zeros(0)).shape == (0,)


def test_refuses_what_does_not_fit():
    two = np.arange(2.0)
    cases = [
        ((two[::-1], two, two), "nondecreasing"),
        ((np.array([0, np.nan]), two, two), "nondecreasing"),
        ((np.array([0, np.inf]), two, two), "finite"),
        ((two, np.zeros(3), two), "values: expected 2"),
        ((two, np.zeros((2, 1, 1)), two), "expected"),
        ((two, two, two, "cubic"), "method"),
        ((two, two, two, "linear", -1.0), "max_gap"),
        ((two, two, two, "linear", math.nan), "max_gap"),
    ]
    for args, message in cases:
        with pytest.raises(ValueError, match=message):
            resample.interpolate(*args)


@prop
@given(st.lists(st.one_of(sample_time, st.sampled_from([math.nan, math.inf, -math.inf]))))
def test_is_nondecreasing_equals_twin(times):
    pairs = itertools.pairwise(times)
    expected = all(a <= b for a, b in pairs) and not any(math.isnan(t) for t in times)
    assert resample.is_nondecreasing(np.array(times, np.float64)) is expected
