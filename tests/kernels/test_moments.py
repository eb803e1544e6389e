"""Sums of presentations by label against a slow twin, in types that overflow early."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroarrays.kernels import moments


def slow_moments(counts, labels, n_labels, valid):
    total, squares = np.zeros((2, n_labels, *counts.shape[1:]))
    n = np.zeros((n_labels, *valid.shape[1:]), int)
    for row, label in enumerate(labels):
        if label < 0:
            continue
        n[label] += valid[row]
        for unit, k in np.ndindex(counts.shape[1:]):
            if valid[row, unit if valid.shape[1] > 1 else 0, k]:
                total[label, unit, k] += float(counts[row, unit, k])
                squares[label, unit, k] += float(counts[row, unit, k]) ** 2
    return total, squares, n


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
    assert [part.dtype for part in found] == [np.float64, np.float64, np.int64]
    for ours, theirs in zip(found, slow_moments(counts, labels, n_labels, valid), strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_array_equal(ours, theirs)


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
        for ours, theirs in zip(found, slow_moments(counts, labels, 3, used), strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_threads_are_started_for_many_values(started, monkeypatch):
    counts = np.ones((4, 5, 3), "u1")
    for least in (61, 60):
        monkeypatch.setattr(moments, "_MANY", least)
        assert moments.moments(counts, np.zeros(4, int), 1)[0].sum() == 60
    assert started == [2]


def test_sums_of_squares_of_bytes_do_not_overflow():
    counts = np.full((70_000, 1, 1), 255, np.uint8)
    total, squares, n = moments.moments(counts, np.zeros(70_000, int), 1)
    assert (total == 255 * 70_000).all()
    assert (squares == 255**2 * 70_000).all()
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
