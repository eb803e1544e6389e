"""Windows that follow from the data: the longest presentation, and times that make a clock absurd."""

import numpy as np
import pytest
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment import clocks
from neuroarrays.alignment.presentations import Presentations
from neuroarrays.errors import SchemaError, TooLarge


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


def test_spikes_that_do_not_fit_their_units_have_no_clock():
    spikes = xr.Dataset(
        {"row_size": ("unit_id", [2, 3]), "spike_times": ("spike", np.arange(4.0))},
        {"unit_id": [0, 1]},
    )
    with pytest.raises(SchemaError, match="units were selected without their spikes"):
        clocks.whole_clock("the spikes", None, 0.02, spikes)


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


def tree_of(trains=(), **nodes):
    """A session `s` in memory: an area `A` with these trains, and nodes by name."""
    groups = {"/": xr.Dataset(attrs=schema.root_attrs(schema.RECORDING))}
    if trains:
        times = np.concatenate([np.asarray(train, float) for train in trains])
        sizes = [len(train) for train in trains]
        groups["/s/A/spikes"] = xr.Dataset(
            {"spike_times": ("spike", times), "row_size": ("unit_id", sizes)},
            {"unit_id": np.arange(len(trains)) + 7},
        )
    groups |= {f"/s/{name}": node for name, node in nodes.items()}
    return xr.DataTree.from_dict(groups)["s"]


def wheel(*clock):
    return xr.Dataset({"speed": ("time", np.zeros(len(clock)))}, {"time": list(clock)})


@pytest.mark.parametrize(
    ("session", "culprit"),
    [
        (tree_of([[1.0, 2.0, 1e9, np.nan], [3.0]]), "unit 7 of 'A' has a spike at 1e+09 s"),
        (tree_of([[1.0, 2.0], [-1e9, 3.0, 4.0]]), "unit 8 of 'A' has a spike at -1e+09 s"),
        (tree_of([[1.0, 2.0], [3.0]], wheel=wheel(0.0, 1e9)), "'wheel' has a time of 1e+09 s"),
        (tree_of(wheel=wheel(-1e9, 0.0, 5.0)), "'wheel' has a time of -1e+09 s"),
    ],
)
def test_the_time_that_makes_a_clock_absurd_is_named(session, culprit):
    with pytest.raises(TooLarge) as error:
        clocks.whole_clock("session 's'", session, 0.02)
    text = str(error.value)
    assert text.startswith("session 's': a clock from ")
    assert "would have 5e+10 bins of 0.02 s, 373 GiB for their times alone" in text
    assert culprit in text


def test_a_time_that_is_not_in_the_tree_is_not_blamed_on_one_that_is():
    recorded = xr.Dataset(
        {"start_time": ("interval", [0.0]), "stop_time": ("interval", [1e9])},
    )
    session = tree_of([[1.0, 2.0]], observed=recorded)
    with pytest.raises(TooLarge, match=r"not in the tree reaches from 0 to 1e\+09 s"):
        clocks.whole_clock("s", session, 0.02)


def test_spikes_alone_are_named_without_their_session():
    spikes = tree_of([[1.0, 2.0], [3.0, 1e9]])["A/spikes"].to_dataset()
    with pytest.raises(TooLarge, match=r"unit 8 of 'the spikes' has a spike at 1e\+09 s"):
        clocks.whole_clock("the spikes", None, 0.02, spikes)


def test_a_clock_of_as_many_bins_as_are_made_unasked(monkeypatch):
    monkeypatch.setattr(clocks, "MOST_BINS", 10)
    assert clocks.whole_clock("s", tree_of(wheel=wheel(0.0, 10.0)), 1.0).count == 11
    with pytest.raises(TooLarge, match="would have 11 bins"):
        clocks.whole_clock("s", tree_of(wheel=wheel(0.0, 11.0)), 1.0)


def test_a_stated_stop_bounds_the_last_bin_and_a_datum_lies_in_it():
    recorded = xr.Dataset({"start_time": ("interval", [0.0]), "stop_time": ("interval", [1.0])})
    stated = clocks.whole_clock("s", tree_of([[0.5]], observed=recorded), 0.25)
    assert (stated.start, stated.count) == (0.0, 4)
    found = clocks.whole_clock("s", tree_of([[0.0, 1.0]]), 0.25)
    assert (found.start, found.count) == (0.0, 5)
    one = clocks.whole_clock("s", tree_of([[1.0]]), 0.25)
    assert (one.start, one.count) == (1.0, 1)


def test_without_times_the_range_must_be_said():
    nothing = tree_of(wheel=wheel())
    with pytest.raises(ValueError, match=r"no times in session 's' .* give window="):
        clocks.whole_clock("session 's'", nothing, 0.1)
    with pytest.raises(ValueError, match="no spikes tell"):
        clocks.whole_clock("x", None, 0.1, tree_of([[], []])["A/spikes"].to_dataset())
