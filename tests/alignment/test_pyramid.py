"""Counts at several widths are those of `bin_spikes`, whatever was read in which order."""

import time

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na

TIMES = {
    "usual": [np.sort(np.random.default_rng(0).uniform(0, 300, n)) for n in (500, 0, 7, 2000)],
    "before zero": [np.array([-70.5, -3.25, 0.0, 2.0**-10, 1.0, 63.999])],
    "out of order, missing": [np.array([5.0, 1.0, np.nan, 3.0, np.inf, 1e300])],
    "far apart": [np.array([1e6, 1e6 + 1]), np.array([0.5])],
}


def spikes(trains):
    return xr.Dataset(
        {"spike_times": ("spike", np.concatenate(trains)), "row_size": ("unit_id", [len(t) for t in trains])},
        {"unit_id": np.arange(len(trains)) + 10},
    )  # fmt: skip


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("most_counts", [1 << 20, 2000, 10])
def test_counts_are_those_of_bin_spikes(name, most_counts):
    node = spikes(TIMES[name])
    pyramid = na.CountPyramid(node, most_counts)
    assert list(pyramid.read()) == list(range(node.sizes["unit_id"]))
    assert pyramid.is_read.all()
    for window, most in (((-100.0, 400.0), 37), ((0.3, 7.7), 1000), ((9e5, 2e6), 50)):
        counts = pyramid.within(window, most)
        width = counts["time"].attrs["bin_width"]
        assert counts.sizes["time"] <= most + 1
        ends = np.floor(window[0] / width) * width, np.ceil(window[1] / width) * width
        known = node.copy(deep=True)
        known["spike_times"] = known["spike_times"].where(np.isfinite(known["spike_times"]))
        expected = na.bin_spikes(known, bin_width=width, window=ends, dtype="uint32")
        np.testing.assert_array_equal(counts.values, expected.values)
        np.testing.assert_array_equal(counts["time"].values, expected["time"].values)


def test_what_is_no_time_is_counted_apart():
    pyramid = na.CountPyramid(spikes(TIMES["out of order, missing"]))
    list(pyramid.read())
    assert pyramid.left_out == 3
    assert pyramid.extent[0] <= 1 < 5 <= pyramid.extent[1]


def test_what_was_read_so_far_is_there():
    pyramid = na.CountPyramid(na.load_sample()["A2929-200711/adn"])
    assert np.isnan(pyramid.extent).all()
    reading = pyramid.read()
    next(reading)
    counts = pyramid.within((0.0, 1200.0)).sum("time").values
    assert counts[0] == 8764
    assert (counts[1:] == 0).all()
    assert pyramid.is_read.tolist() == [True] + [False] * 6


def test_pyramids_are_read_in_the_background_also_after_one_that_fails():
    pyramids = [na.CountPyramid(spikes(TIMES["usual"])) for _ in range(3)]
    pyramids[0]._trains = None
    for pyramid in pyramids:
        pyramid.read_in_background()
    patience = time.monotonic() + 60
    while not pyramids[-1].is_read.all() and time.monotonic() < patience:
        time.sleep(0.001)
    assert isinstance(pyramids[0].failure, AttributeError)
    assert not pyramids[0].is_read.any()
    for pyramid in pyramids[1:]:
        assert pyramid.failure is None
        assert pyramid.within((0.0, 300.0)).sum("time").values.tolist() == [500, 0, 7, 2000]
