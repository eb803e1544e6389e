"""Windows that follow from the data: the longest presentation, and times that make a clock absurd."""

import numpy as np
import pytest
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment import clocks
from neuroarrays.alignment.presentations import Presentations
from neuroarrays.errors import TooLarge


def table(onsets, durations, name="gratings"):
    onsets = np.asarray(onsets, float)
    return Presentations(name, xr.Dataset(), onsets, onsets + durations, "session")


def test_the_window_ends_with_the_longest_presentation_of_all_sessions():
    tables = {"a": table([0, 10], [0.25, np.nan]), "b": table([5], [1.5])}
    assert clocks.longest_window(tables, 0.02) == (0.0, 1.5)


def test_a_window_without_any_stop_must_be_said():
    with pytest.raises(ValueError, match="no presentation has a stop"):
        clocks.longest_window({"a": table([0, 10], [np.nan, np.nan])}, 0.02)


def test_one_presentation_that_makes_the_bins_absurd_is_named(monkeypatch):
    monkeypatch.setattr(clocks, "MOST_BINS", 10_000)
    tables = {"a": table([0, 1, 2], 0.25), "b": table([0, 7, 8, 9], [np.nan, 0.25, 101.0, 0.25])}
    with pytest.raises(TooLarge) as error:
        clocks.longest_window(tables, 0.02)
    text = str(error.value)
    assert "session 'b': row 2 of 'gratings' ends 101 s after its onset, at 109 s" in text
    assert "the median is 0.25 s" in text
    # 5050 bins times the 4 presentations of the session that has most
    assert "2.02e+04" in text


@pytest.mark.parametrize(
    ("most", "length"),
    [
        (4 * 50, 1.0),  # as many as are made unasked
        (10, 25.0),  # many, but none is 100 times the median: they are long
    ],
)
def test_long_presentations_are_no_fault(monkeypatch, most, length):
    monkeypatch.setattr(clocks, "MOST_BINS", most)
    durations = np.array([length / 100, length / 100, length / 100, length])
    tables = {"a": table(np.arange(4), durations)}
    assert clocks.longest_window(tables, 0.02) == (0.0, length)


def test_a_window_longer_than_the_recording_is_refused():
    """A second more is let pass: what was recorded is known from the data only."""
    root = xr.Dataset(attrs=schema.root_attrs(schema.RECORDING))
    running = xr.Dataset({"speed": ("time", np.zeros(3))}, {"time": [2.0, 5.0, 12.0]})
    session = xr.DataTree.from_dict({"/": root, "/s/running": running})["s"]
    clocks.check_length("s", session, (0.0, 11.0))
    with pytest.raises(ValueError, match=r"11.1 s is longer .* which spans 2.000 to 12.000 s"):
        clocks.check_length("s", session, (-0.05, 11.05))
