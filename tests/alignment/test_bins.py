"""Bins: how many, where, which are whole; what is refused."""

import numpy as np
import pytest

from neuroarrays.alignment.bins import (
    Bins,
    check_bin_width,
    check_window,
    longest_duration,
)


def test_bins_cover_a_window_and_no_more():
    bins = Bins.within((-0.1, 0.2), 0.05)
    assert (bins.start, bins.count, bins.dims) == (-0.1, 6, ("time",))
    np.testing.assert_allclose(bins.centres, np.arange(6) * 0.05 - 0.075)
    assert Bins.within((0.0, 0.26), 0.05).count == 6


def test_a_bin_may_be_as_long_as_the_window_and_no_longer():
    assert Bins.within((1.0, 1.1), 0.1).count == 1
    with pytest.raises(ValueError, match=r"a bin of 0.11 s is longer than the window of 0.1 s"):
        Bins.within((0.0, 0.1), 0.11)


@pytest.mark.parametrize(
    ("low", "high", "start", "count"),
    [(0.0, 1.0, 0.0, 11), (0.05, 0.95, 0.0, 10), (-0.01, 0.1, -0.1, 3), (0.3, 0.3, 0.3, 1)],
)
def test_a_clock_holds_its_first_and_its_last_time(low, high, start, count):
    bins = Bins.covering(low, high, 0.1)
    assert (bins.start, bins.count) == (start, count)
    assert bins.edges[0] <= low
    assert bins.edges[-2] <= high < bins.edges[-1]


@pytest.mark.parametrize("width", [0.1, 0.05, 1 / 30, 0.7])
def test_times_beside_an_edge_are_held(width):
    for edge in Bins.covering(0.0, 60 * width, width).edges[1:61]:
        below, above = np.nextafter(edge, [0, 99])
        bins = Bins.covering(below, above, width)
        assert bins.count == 2
        assert bins.edges[0] <= below < bins.edges[1] == edge <= above < bins.edges[2]


def test_times_too_large_for_their_bins_are_refused():
    # At 2**23 s the next float64 is 2**-29 s away, at 2**24 s twice that.
    step = 2.0**-29
    assert Bins.within((2.0**23, 2.0**23 + 1), 100 * step).count > 1
    with pytest.raises(ValueError, match="float64 resolves such numbers"):
        Bins.within((2.0**23, 2.0**23 + 1), 99 * step)
    with pytest.raises(ValueError, match="float64 resolves such numbers"):
        Bins.covering(-(2.0**23), 0.0, 99 * step)


def test_whole_bins_end_before_their_presentation():
    onsets = np.array([0.0, 1.0, np.nan, 3.0])
    stops = np.array([0.2, 1.15, 2.2, np.nan])
    bins = Bins.within((0.0, 0.2), 0.1, onsets, stops)
    assert bins.dims == ("presentation_id", "time")
    assert bins.whole().tolist() == [[True, True], [True, False], [False, False], [True, True]]
    assert bins.limits.tolist() == [0.2, 1.15, 2.2, np.inf]
    assert Bins.within((0.0, 0.2), 0.1, onsets).limits.tolist() == [np.inf] * 4
    assert Bins.within((0.0, 0.2), 0.1).whole() is None


def test_a_millionth_of_a_bin_past_the_stop_is_rounding():
    stops = np.array([0.1 - 0.9e-7, 0.1 - 1.1e-7])
    assert Bins.within((0.0, 0.1), 0.1, np.zeros(2), stops).whole().tolist() == [[True], [False]]


@pytest.mark.parametrize(
    "window", [(1, 1), (2, 1), (0, np.inf), (np.nan, 1), (1,), (1, 2, 3), 5, "ab"]
)
def test_a_window_that_cannot_be_is_refused(window):
    with pytest.raises(ValueError, match="window"):
        check_window(window)


def test_durations_are_seconds():
    assert check_window((np.timedelta64(-100, "ms"), 0.5)) == (-0.1, 0.5)
    assert check_bin_width(np.timedelta64(20, "ms")) == 0.02
    with pytest.raises(ValueError, match="bin_width"):
        check_bin_width(0)


def test_the_longest_duration():
    assert longest_duration(np.array([1.0, 2.0, np.nan]), np.array([1.5, np.nan, 9.0])) == 0.5
    with pytest.raises(ValueError, match="no presentation has a stop"):
        longest_duration(np.array([1.0]), None)
    with pytest.raises(ValueError, match="the table, or what was chosen of it, has no rows"):
        longest_duration(np.empty(0), np.empty(0))
    with pytest.raises(ValueError, match="the longest presentation lasts 0.0 s"):
        longest_duration(np.array([1.0, 2.0]), np.array([1.0, 1.5]))
