"""Means and variances by label and in parts, against numpy; in types that overflow early."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuroarrays.kernels import moments
from neuroarrays.kernels.running import Moments


def slow_moments(counts, labels, n_labels, valid):
    """Sums, squared distances from the mean and numbers, in the widest type and in two passes."""
    total, squares = np.zeros((2, n_labels, *counts.shape[1:]))
    n = np.zeros((n_labels, *valid.shape[1:]), int)
    used = np.broadcast_to(valid, counts.shape)
    for label in range(n_labels):
        n[label] = valid[labels == label].sum(0)
        for unit, k in np.ndindex(counts.shape[1:]):
            rows = (labels == label) & used[:, unit, k]
            values = counts[rows, unit, k].astype(np.longdouble)
            if values.size:
                total[label, unit, k] = values.sum()
                squares[label, unit, k] = ((values - values.mean()) ** 2).sum()
    return total, squares, n


def check(found, counts, labels, n_labels, valid):
    assert [part.dtype for part in found] == [np.float64, np.float64, np.int64]
    total, squares, n = slow_moments(counts, labels, n_labels, valid)
    np.testing.assert_array_equal(found[0], total)
    np.testing.assert_allclose(found[1], squares, rtol=1e-12, atol=1e-9)
    np.testing.assert_array_equal(found[2], n)


@given(
    st.integers(0, 12),
    st.integers(0, 5),
    st.integers(0, 4),
    st.integers(1, 3),
    st.sampled_from(["u1", "u2", "f4"]),
    st.sampled_from(["", "all", "each"]),
    st.integers(0, 99),
)
def test_moments_equal_a_slow_twin(rows, units, bins, n_labels, dtype, masked, seed):
    random = np.random.default_rng(seed)
    # Halves, and squares that four bytes cannot hold: both are exact in float64.
    most = 256 if dtype == "u1" else 60_000
    counts = random.integers(0, most, (rows, units, bins)).astype(dtype)
    if dtype == "f4":
        counts += 0.5
    labels = random.integers(-1, n_labels, rows)
    apart = (rows, units if masked == "each" else 1, bins)
    valid = random.random(apart) < 0.7 if masked else np.ones(apart, bool)
    found = moments.moments(counts, labels, n_labels, valid if masked else None)
    check(found, counts, labels, n_labels, valid)


@settings(max_examples=20)
@given(
    st.floats(-12, 12),
    st.floats(0, 9),
    st.sampled_from(["f4", "f8", "i8", "u2"]),
    st.integers(0, 99),
)
def test_variances_keep_their_digits_whatever_the_mean(size, ratio, dtype, seed):
    """The mean is up to 1e9 deviations, other in each label and unit."""
    random = np.random.default_rng(seed)
    deviation = 10.0**size
    if np.dtype(dtype).kind in "iu":
        deviation, ratio = 5.0, min(ratio, {"i8": 9.0, "u2": 3.5}[dtype])
    labels = random.permutation(np.arange(30) % 3)
    mean = 10.0**ratio * deviation * random.uniform(0.5, 1, (3, 2, 2))[labels]
    values = (mean + deviation * random.normal(size=mean.shape)).astype(dtype)
    valid = random.random((30, 2, 2)) < 0.8
    for mask in (None, valid):
        used = np.ones((30, 1, 2), bool) if mask is None else mask
        total, squares, n = moments.moments(values, labels, 3, mask)
        wanted = slow_moments(values, labels, 3, used)
        np.testing.assert_allclose(total, wanted[0], rtol=1e-14)
        np.testing.assert_allclose(squares, wanted[1], rtol=1e-12)
        cut = random.integers(1, 29)
        merged = Moments(total.shape)
        for part in (slice(0, cut), slice(cut, 30)):
            here = None if mask is None else mask[part]
            sums, spread, number = moments.moments(values[part], labels[part], 3, here)
            merged.merge(number, sums / np.maximum(number, 1), spread)
        assert (merged.n == n).all()
        np.testing.assert_allclose(merged.mean * n, total, rtol=1e-14)
        np.testing.assert_allclose(merged.squares, squares, rtol=1e-6)  # the means are rounded


@pytest.mark.parametrize("cuts", [[], [1], [1, 2, 3], [7, 7, 30]])
@pytest.mark.parametrize("offset", [50, 1e9])
def test_parts_are_as_the_whole(cuts, offset):
    values = np.random.default_rng(0).normal(offset, 3, (40, 3))
    values[::5, 1] = values[:, 2] = np.nan
    whole = Moments((3,))
    for part in np.split(values, cuts):
        whole.add(part, np.isfinite(part))
    assert whole.n.tolist() == [40, 32, 0]
    wide = values[:, :2].astype(np.longdouble)
    np.testing.assert_allclose(whole.mean[:2], np.nanmean(wide, axis=0), rtol=1e-13)
    rtol = 1e-12 if offset == 50 else 1e-7
    np.testing.assert_allclose(whole.squares[:2], np.nanvar(wide, axis=0) * [40, 32], rtol=rtol)
    np.testing.assert_allclose(whole.deviation(1)[:2], np.nanstd(wide, axis=0, ddof=1), rtol=rtol)
    assert (whole.mean[2], whole.squares[2], whole.deviation(1)[2]) == (0, 0, 0)


@pytest.mark.parametrize("threads", [1, 2, 9])
def test_threads_and_tiles_change_nothing(threads, monkeypatch):
    """Units are shared by threads, and each takes a few at once: here fewer than there are."""
    monkeypatch.setattr(moments, "_TILE", 100)
    monkeypatch.setattr(moments, "_MANY", 0)
    random = np.random.default_rng(0)
    counts = random.integers(0, 9, (12, 7, 5)).astype("u2")
    labels, valid = random.integers(-1, 3, 12), random.random((12, 7, 5)) < 0.7
    for mask in (None, valid):
        used = np.ones((12, 1, 5), bool) if mask is None else mask
        found = moments.moments(counts, labels, 3, mask, threads)
        check(found, counts, labels, 3, used)


def test_threads_are_started_for_many_values(started, monkeypatch):
    counts = np.ones((4, 5, 3), "u1")
    for least in (61, 60):
        monkeypatch.setattr(moments, "_MANY", least)
        assert moments.moments(counts, np.zeros(4, int), 1)[0].sum() == 60
    assert started == [2]


def test_halves_are_widened():
    counts = np.array([0.5, 2.0, 3.5], np.float16)[:, None, None]
    total, squares, n = moments.moments(counts, np.zeros(3), 1)
    assert (total.item(), squares.item(), n.item()) == (6.0, 4.5, 3)


def test_sums_of_squares_of_bytes_do_not_overflow():
    counts = np.full((70_000, 1, 1), 255, np.uint8)
    counts[0] = 0
    total, squares, n = moments.moments(counts, np.zeros(70_000, int), 1)
    assert (total == 255 * 69_999).all()
    np.testing.assert_allclose(squares, 255**2 * 69_999 / 70_000, rtol=1e-10)
    assert (n == 70_000).all()


def test_what_does_not_fit_is_refused():
    counts, labels = np.zeros((3, 2, 4)), np.array([-1, 0, 1])
    cases = [
        ((counts[0], labels, 2), "expected (presentation, unit, bin)"),
        ((counts, labels[:2], 2), "got (3, 2, 4) and (2,)"),
        ((counts, labels, 1), "labels: expected -1 to 0, got -1 to 1"),
        ((counts, labels - 1, 2), "labels: expected -1 to 1, got -2 to 0"),
        ((counts, labels, 2, np.ones((3, 4), bool)), "valid: expected"),
        ((counts, labels, 2, np.ones((3, 2, 3), bool)), "valid: expected"),
    ]
    for arguments, message in cases:
        with pytest.raises(ValueError, match=re.escape(message)):
            moments.moments(*arguments)
