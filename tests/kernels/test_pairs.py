"""Differences of spikes against a slow twin on an integer clock, and by hand at the edges of bins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroarrays.kernels import pairs


def packed(trains):
    """Times of all units, and where each begins and ends."""
    last = np.cumsum([len(train) for train in trains], dtype=np.int64)
    first = last - [len(train) for train in trains]
    return np.concatenate([np.asarray(train, float) for train in trains]), first, last


def slow_differences(trains, n_lags, width):
    """Every pair, on an integer clock: trains and width in ticks, width even."""
    out = np.zeros((len(trains), len(trains), 2 * n_lags + 1), int)
    for a, one in enumerate(trains):
        for b, two in enumerate(trains):
            for i, s in enumerate(one):
                for j, t in enumerate(two):
                    lag = (abs(t - s) + width // 2) // width * (1 if t > s else -1)
                    if (a != b or i != j) and abs(lag) <= n_lags:
                        out[a, b, n_lags + lag] += 1
    return out


@given(
    st.lists(st.lists(st.integers(0, 400), max_size=15).map(sorted), min_size=1, max_size=4),
    st.integers(0, 4),
    st.sampled_from([2, 6, 30]),
    st.sampled_from([30_000, 1000]),
    st.sampled_from([0.0, 7.3, 1234.56]),
)
def test_differences_on_a_sample_clock_are_exact(trains, n_lags, width, rate, origin):
    ticks, first, last = packed(trains)
    times = ticks / rate + origin
    want = slow_differences(trains, n_lags, width)
    found = pairs.count_differences(times, first, last, n_lags, width / rate)
    np.testing.assert_array_equal(found, want)
    np.testing.assert_array_equal(found, found.transpose(1, 0, 2)[:, :, ::-1])  # its mirror
    alone = pairs.count_differences(times, first, last, n_lags, width / rate, autos_only=True)
    assert alone.dtype == found.dtype == np.int64
    np.testing.assert_array_equal(alone, want[np.arange(len(trains)), np.arange(len(trains))])


@pytest.mark.parametrize(
    ("distance", "lag"),
    [
        (0.0, 0),
        (0.0005 - 1.1e-9, 0),
        (0.0005 - 0.9e-9, 1),  # less than 1 ns below the edge
        (0.0005, 1),
        (0.0015 - 1.1e-9, 1),
        (0.0015 - 0.9e-9, 2),
        (0.0025 - 1.1e-9, 2),
        (0.0025 - 0.9e-9, None),  # beyond the last lag
    ],
)
def test_a_nanosecond_below_an_edge_is_on_it(distance, lag):
    spikes = packed([[0.0], [distance]])
    found = pairs.count_differences(*spikes, 2, 0.001)
    want = np.zeros(5, int)
    if lag is not None:
        want[2 + lag] = 1
    np.testing.assert_array_equal(found[0, 1], want)
    np.testing.assert_array_equal(found[1, 0], want[::-1])
    own = pairs.count_differences(*packed([[0.0, distance]]), 2, 0.001, autos_only=True)
    np.testing.assert_array_equal(own[0], want + want[::-1])


def test_a_difference_on_the_last_edge_is_beyond_it():
    distance = 1.5 / 1024 - pairs.SLACK
    assert distance + pairs.SLACK == 1.5 / 1024
    spikes = packed([[0.0], [distance], [0.0]])
    assert pairs.count_differences(*spikes, 2, 1 / 1024)[0, 1].tolist() == [0, 0, 0, 0, 1]
    assert pairs.count_differences(*spikes, 1, 1 / 1024)[:, 1].tolist() == [[0, 0, 0]] * 3
    own = packed([[0.0, distance]])
    assert not pairs.count_differences(*own, 1, 1 / 1024, autos_only=True).any()


def test_infinite_times_are_in_no_bin():
    trains = [[-np.inf, 1.0, np.inf, np.inf], [1.001, np.inf]]
    found = pairs.count_differences(*packed(trains), 2, 0.001)
    assert found[0, 1].tolist() == [0, 0, 0, 1, 0]
    alone = pairs.count_differences(*packed(trains), 2, 0.001, autos_only=True)
    assert not alone.any()


def test_without_units_there_are_no_pairs():
    nothing = np.zeros(0, int)
    assert pairs.count_differences(np.zeros(0), nothing, nothing, 3, 0.001).shape == (0, 0, 7)


@pytest.mark.parametrize("threads", [1, 2, 9])
def test_threads_change_nothing(threads, monkeypatch):
    trains = np.sort(np.random.default_rng(0).uniform(0, 3, (5, 60)), axis=1)
    few = pairs.count_differences(*packed(trains), 20, 0.001)
    monkeypatch.setattr(pairs, "_MANY", 0)
    found = pairs.count_differences(*packed(trains), 20, 0.001, threads=threads)
    np.testing.assert_array_equal(found, few)
    assert found.sum() > 100


def test_threads_are_started_for_many_spikes(started, monkeypatch):
    trains = np.sort(np.random.default_rng(0).uniform(0, 3, (5, 60)), axis=1)
    for least in (301, 300):
        monkeypatch.setattr(pairs, "_MANY", least)
        pairs.count_differences(*packed(trains), 20, 0.001)
    assert started == [2]
