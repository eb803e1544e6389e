"""Frames of a stimulus at bins: which one was on the screen, and when none was."""

import numpy as np
import pytest
import xarray as xr

from neuroarrays.alignment.bins import Bins
from neuroarrays.alignment.frames import frames_shown


def film(clock, dtype="u1"):
    frames = np.arange(1, len(clock) + 1, dtype=dtype)[:, None] * np.ones(2, dtype)
    return xr.Dataset({"stimulus": (("time", "x"), frames, {"units": "1"})}, {"time": clock})


def shown(clock, max_gap=None, window=(0.0, 4.0)):
    return frames_shown(film(clock), Bins.within(window, 1.0), max_gap)


def test_a_frame_stays_until_the_next_one():
    at = shown([0.0, 1.5, 2.2, 9.0])  # bins are centred at 0.5, 1.5, 2.5, 3.5 s
    assert at.values[:, 0].tolist() == [1, 2, 3, 3]
    assert (at.dtype, at.dims, at.attrs) == (np.uint8, ("time", "x"), {"units": "1"})


def test_before_the_first_and_after_the_last_frame_there_is_none():
    at = shown([0.6, 2.5])
    np.testing.assert_array_equal(at.values[:, 1], [np.nan, 1, 2, np.nan])
    assert at.dtype.kind == "f"
    assert at[2].values.tolist() == [2, 2]
    assert np.isnan(at[3, 0].values)


def test_frames_out_of_order_are_sorted():
    assert shown([3.0, 0.0, 9.0, 1.0]).values[:, 0].tolist() == [2, 4, 4, 1]


def test_a_frame_stays_for_the_longest_gap_and_no_longer():
    np.testing.assert_array_equal(
        shown([0.0, 9.0], max_gap=1.5).values[:, 0], [1, 1, np.nan, np.nan]
    )
    np.testing.assert_array_equal(
        shown([0.0, 9.0], max_gap=1.4).values[:, 0], [1, np.nan, np.nan, np.nan]
    )


def test_without_frames_there_is_none():
    assert np.isnan(shown(np.empty(0)).values).all()


@pytest.mark.parametrize("key", [0, slice(None), slice(1, None, 2), [3, 0, 3]])
def test_what_is_indexed_is_what_all_has(key):
    onsets = np.array([0.0, 1.0, 7.5, 2.0])
    bins = Bins.within((0.0, 2.0), 0.5, onsets)
    at = frames_shown(film(np.arange(0.0, 9.0, 0.7)), bins, None)
    assert at.shape == (4, 4, 2)
    np.testing.assert_array_equal(at[key, 1].values, at.values[key, 1])


def test_of_frames_at_one_time_the_last_one_counts():
    rng = np.random.default_rng(0)
    clock = rng.integers(0, 4, 200) + 0.5  # out of order, and too many to be sorted by chance
    at = frames_shown(film(clock, "i8"), Bins.within((0.0, 4.0), 1.0), None)
    last = [np.flatnonzero(clock == k + 0.5)[-1] + 1 for k in range(4)]
    assert at.values[:, 0].tolist() == last
