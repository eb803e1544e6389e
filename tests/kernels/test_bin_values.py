"""Values of bins against a slow twin, and by hand."""

import math
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroarrays.kernels import bin_values, resample

prop = settings(
    max_examples=int(os.environ.get("KERNEL_EXAMPLES", settings().max_examples)), deadline=None
)


def cells(times, step, hole):
    """From when to when each sample stands."""
    out = []
    for k, t in enumerate(times):
        before = t - times[k - 1] if k else math.inf
        after = times[k + 1] - t if k + 1 < len(times) else math.inf
        out.append(
            (
                t - (step if before > hole else before) / 2,
                t + (step if after > hole else after) / 2,
            )
        )
    return out


def twin_mean(times, values, a, b, step, max_gap, hole):
    parts = [max(0.0, min(high, b) - max(low, a)) for low, high in cells(times, step, hole)]
    if sum(parts) > 0:
        return math.fsum(w * v for w, v in zip(parts, values, strict=True)) / math.fsum(parts)
    return resample.interpolate(
        np.array(times), np.array(values), np.array([(a + b) / 2]), "linear", max_gap
    )[0]


def twin_other(times, values, a, b, reduction):
    inside = [v for t, v in zip(times, values, strict=True) if a <= t < b]
    if reduction != "sum":
        inside = [v for v in inside if not math.isnan(v)]
    if inside:
        return {"max": max, "sum": sum, "any": lambda x: float(any(x))}[reduction](inside)
    between = times and times[0] < b and times[-1] >= a
    return 0.0 if reduction == "sum" and between else math.nan


@prop
@given(
    st.lists(st.integers(0, 60), max_size=14),
    st.lists(st.integers(-8, 70), max_size=8),
    st.sampled_from(["mean", "max", "sum", "any"]),
    st.data(),
)
def test_equals_twin(ticks, lefts, reduction, data):
    is_mean = reduction == "mean"
    times = np.sort(np.array(list(set(ticks)) if is_mean else ticks, float)) / 8
    many = st.lists(
        st.sampled_from([0.0, 1.5, -3.0, 7.25, math.nan]), min_size=len(times), max_size=len(times)
    )
    values = np.array([data.draw(many), data.draw(many)]).T.reshape(len(times), 2)
    left = np.array(lefts, float) / 8
    max_gap = data.draw(st.sampled_from([math.inf, 1.0]))
    hole = data.draw(st.sampled_from([None, 0.375, 2.0]))
    compare(times, values, (left, left + 0.625), reduction, max_gap, hole)


@pytest.mark.parametrize("reduction", ["mean", "max", "sum", "any"])
def test_many_bins_equal_twin(reduction):
    """Bins on and beside samples, before, after and among them, in holes and beside those."""
    random = np.random.default_rng(0)
    for n, span in [(1, 4), (2, 9), (5, 60), (12, 30), (12, 90)]:
        for max_gap, hole in [(math.inf, None), (1.0, 0.375), (math.inf, 2.0)]:
            ticks = random.choice(span, min(n, span), replace=reduction != "mean")
            times = np.sort(ticks) / 8
            values = random.choice([0.0, 1.5, -3.0, 7.25, math.nan], (times.size, 2))
            left = random.integers(-8, span + 8, 40) / 8
            bins = left, left + random.choice([0.0625, 0.25, 0.625, 3.0], 40)
            compare(times, values, bins, reduction, max_gap, hole)


def compare(times, values, bins, reduction, max_gap, hole):
    left, right = bins
    is_mean, step = reduction == "mean", 0.25
    prepared = resample.prepare(times, values, every=not is_mean)
    how = (reduction, step, max_gap, None, hole)
    got = bin_values.bin_values(prepared, 2, bins, *how)
    for column in range(2):
        known = np.isfinite(values[:, column]) | (not is_mean)
        t, v = times[known].tolist(), values[known, column].tolist()
        want = [
            twin_mean(t, v, a, b, step, max_gap, hole or 0.375)
            if is_mean
            else twin_other(t, v, a, b, reduction)
            for a, b in zip(left, right, strict=True)
        ]
        np.testing.assert_allclose(got[:, column], want, rtol=1e-12, atol=1e-12)


def test_a_constant_stays_what_it_is_and_directions_that_cancel_are_missing():
    times = np.arange(50) / 7
    edges = np.arange(5.0), np.arange(1.0, 6)
    flat = resample.prepare(times, np.full(50, 120.1))
    assert set(bin_values.bin_values(flat, 1, edges, "mean", 1 / 7).ravel()) == {120.1}
    turns = resample.prepare(np.array([0.25, 0.75]), np.array([0.0, 180.0]))
    bins = np.array([0.0]), np.array([1.0])
    assert np.isnan(bin_values.bin_values(turns, 1, bins, "mean", 0.5, period=360.0))
    turns = resample.prepare(np.array([0.25, 0.75]), np.array([350.0, 20.0]))
    found = bin_values.bin_values(turns, 1, bins, "mean", 0.5, period=360.0)
    np.testing.assert_allclose(found, 5)


@pytest.mark.parametrize("hole", [9.0, math.inf])
def test_each_sample_weighs_what_its_interval_has_of_the_bin(hole):
    # The intervals: -0.5 to 0.5, to 1.5, to 3, to 4.5 s.
    times = np.array([0.0, 1.0, 2.0, 4.0])
    bins = np.array([0.75, -9.0, 1.5]), np.array([3.5, 9.0, 2.0])
    how = ("mean", 1.0)
    columns = np.array([[1.0, 2.0, 4.0, 8.0], [0.0, 0.0, 1.0, -3.0]]).T
    want = [[11.5 / 2.75, 0.0], [21 / 5, -3 / 5], [4.0, 1.0]]
    for k in (slice(0, 2), slice(0, 1)):
        prepared = resample.prepare(times, columns[:, k])
        found = bin_values.bin_values(prepared, k.stop, bins, *how, hole=hole)
        np.testing.assert_allclose(found, np.array(want)[:, k], atol=1e-12)
    angles = resample.prepare(times[:2], np.array([350.0, 80.0]))
    quarter = np.array([0.25]), np.array([1.0])  # 0.25 s and 0.5 s
    found = bin_values.bin_values(angles, 1, quarter, *how, period=360.0)
    np.testing.assert_allclose(found, np.degrees(np.arctan2(0.5, 0.25)) - 10)


@pytest.mark.parametrize(
    ("reduction", "want"), [("sum", [13, 14, 5, 0]), ("max", [6, 6, 5, np.nan])]
)
def test_of_several_samples_at_the_first_edge_all_count(reduction, want):
    prepared = resample.prepare(
        np.array([0.0, 1, 1, 1, 2]), np.array([1.0, 6, 3, 4, 5]), every=True
    )
    bins = np.array([1.0, 0, 2, 1.5]), np.array([2.0, 1.5, 3, 2])
    found = bin_values.bin_values(prepared, 1, bins, reduction, 1.0).ravel()
    np.testing.assert_array_equal(found, want)


def test_a_bin_in_a_hole_has_the_value_between_its_neighbours():
    prepared = resample.prepare(np.array([0.0, 10.0]), np.array([2.0, 12.0]))
    bins = np.array([4.0, 7.0]), np.array([5.0, 8.0])
    assert bin_values.bin_values(prepared, 1, bins, "mean", 1.0).ravel().tolist() == [6.5, 9.5]
    assert np.isnan(bin_values.bin_values(prepared, 1, bins, "mean", 1.0, max_gap=9.0)).all()


def test_an_unknown_reduction_is_named():
    prepared = resample.prepare(np.arange(2.0), np.arange(2.0))
    with pytest.raises(ValueError, match="reduction: expected one of mean, max, sum, any"):
        bin_values.bin_values(prepared, 1, (np.zeros(1), np.ones(1)), "median", 1.0)
