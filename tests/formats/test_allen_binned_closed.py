"""Closed bins against a twin in plain Python."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neuroarrays.formats.allen_binned.closed import any_in_closed_bins

TIMES = st.integers(-4, 40).map(lambda tick: tick / 4)


def twin(trains, starts, stops, offsets):
    out = np.zeros((len(starts), len(offsets) - 1, len(trains)), np.int8)
    for p, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        edges = [min(offset + start, stop) for offset in offsets]
        for k in range(len(offsets) - 1):
            for u, train in enumerate(trains):
                out[p, k, u] = any(edges[k] <= time <= edges[k + 1] for time in train)
    return out


def flat(trains):
    sizes = np.array([len(train) for train in trains], np.int64)
    last = np.cumsum(sizes)
    times = np.array([time for train in trains for time in train], float)
    return times, last - sizes, last


@given(
    st.lists(st.lists(TIMES, max_size=12).map(sorted), max_size=4),
    st.lists(st.tuples(TIMES, st.one_of(TIMES, st.just(np.inf))), max_size=6),
    st.lists(st.integers(0, 3), max_size=6),
)
@example([[1.0]], [(0.0, 1.0)], [2, 2, 2])
@example([[1.0, 1.0]], [(5.0, 0.0), (0.0, 9.0)], [1])
def test_equals_the_twin(trains, presentations, steps):
    starts = np.array([start for start, _ in presentations])
    stops = np.array([stop for _, stop in presentations])
    offsets = np.concatenate([[0.0], np.cumsum(steps) / 4])
    found = any_in_closed_bins(*flat(trains), starts, stops, offsets)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, twin(trains, starts, stops, offsets))


def test_a_spike_on_an_inner_edge_is_in_both_bins():
    found = any_in_closed_bins(*flat([[0.5]]), [0.0], [np.inf], [0.0, 0.5, 1.0])
    assert found[0, :, 0].tolist() == [1, 1]


def test_a_bin_of_no_width_holds_a_spike_at_the_stop():
    found = any_in_closed_bins(*flat([[0.5]]), [0.0], [0.5], [0.0, 0.25, 0.75, 1.0])
    assert found[0, :, 0].tolist() == [0, 1, 1]


def test_nothing_is_counted_where_there_is_no_start():
    found = any_in_closed_bins(*flat([[0.5]]), [np.nan, 0.0], [np.inf, np.nan], [0.0, 1.0])
    assert found.tolist() == [[[0]], [[0]]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([0.0], [0], [2], [0.0], [1.0], [0.0, 1.0]), "parts of 1 spikes"),
        (([0.0], [0], [0, 1], [0.0], [1.0], [0.0, 1.0]), "times, first and last"),
        (([0.0], [0], [1], [0.0], [1.0, 2.0], [0.0, 1.0]), "starts and stops"),
        (([0.0], [0], [1], [0.0], [1.0], [1.0, 0.0]), "offsets"),
        (([0.0], [0], [1], [0.0], [1.0], []), "offsets"),
    ],
)
def test_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        any_in_closed_bins(*(np.array(a) for a in arguments))
