"""Spikes by label of their bin against the counts of all bins."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroarrays.kernels import counts, visits


@given(
    st.lists(st.integers(-50, 4000), max_size=60),
    st.sampled_from([0.02, 0.001, 0.03]),
    st.sampled_from([0.0, 0.1, 12.3456]),
    st.integers(0, 40),
    st.integers(0, 99),
)
def test_spikes_by_label_are_the_counts_of_their_bins(ticks, width, origin, n_bins, seed):
    random = np.random.default_rng(seed)
    times = np.sort(np.asarray(ticks, float) / 3000 + origin)
    cut = len(times) // 3
    first, last = np.array([0, cut]), np.array([cut, len(times)])
    labels = random.integers(-1, 3, n_bins)
    counted = counts.count_clock(times, first, last, origin, n_bins, width, "u4")
    found = visits.count_by_label(times, first, last, origin, width, labels, 3)
    want = np.array([counted[labels == label].sum(axis=0) for label in range(3)])
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, want)
    mixed = np.r_[np.nan, random.permutation(times[:cut]), np.inf, random.permutation(times[cut:])]
    again = visits.count_by_label(
        mixed, [0, cut + 1], [cut + 1, len(mixed)], origin, width, labels, 3
    )
    np.testing.assert_array_equal(again, want)


@pytest.mark.parametrize("origin", [0.0, 12.3456])
def test_spikes_on_the_ends_of_the_clock(origin):
    times = np.array([np.nextafter(origin, -1), origin, origin + 0.06 - 1e-9, origin + 0.06])
    found = visits.count_by_label(times, [0], [4], origin, 0.02, [0, 1, 2], 3)
    assert found.T.tolist() == [[1, 0, 1]]


def test_what_does_not_fit_is_refused():
    times, labels = np.zeros(3), np.array([-1, 0, 1])
    cases = [
        ((times, [0], [3], 0.0, 0.1, labels, 1), "labels: expected -1 to 0, got -1 to 1"),
        ((times, [0], [3], 0.0, 0.1, labels - 1, 2), "labels: expected -1 to 1, got -2 to 0"),
        ((times, [-1], [3], 0.0, 0.1, labels, 2), "expected parts of 3 spikes"),
        ((times, [0], [4], 0.0, 0.1, labels, 2), "expected parts of 3 spikes"),
    ]
    for arguments, message in cases:
        with pytest.raises(ValueError, match=re.escape(message)):
            visits.count_by_label(*arguments)
    nothing = np.zeros(0, int)
    assert visits.count_by_label(times, nothing, nothing, 0.0, 0.1, nothing, 2).shape == (2, 0)
