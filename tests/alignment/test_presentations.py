"""Which presentations count, and whose clock their events are on."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.alignment.presentations import _clock_of, presentations_of, select
from neuroarrays.collection.plan import _pooled
from neuroarrays.collection.sources import Source
from neuroarrays.collection.surveys import Recipe, Survey
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.files.locating import locate
from neuroarrays.synthetic import write_nwb


def session(durations, **attrs):
    start = np.arange(len(durations)) * 4.0
    table = xr.Dataset(
        {
            "start_time": ("presentation_id", start),
            "stop_time": ("presentation_id", start + durations),
        },
        {"presentation_id": np.arange(len(durations))},
        attrs,
    )
    return {"s": xr.DataTree.from_dict({"/presentations/bars": table})}


#: Exact in binary: the last three are 1/4 s, a little less and a little more from the median 1.
DURATIONS = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.25, 0.75, 1.2421875, 1.2578125])


def test_a_duration_at_the_limit_is_odd():
    (kept,) = select(session(DURATIONS, max_deviation=0.25), "bars").values()
    assert kept["presentation_id"].values.tolist() == [0, 1, 2, 3, 4, 7]
    assert kept.attrs["dropped"] == "3 of odd duration (median 1.0000 s)"
    (kept,) = select(session(DURATIONS), "bars", max_deviation=0.2578125).values()
    assert kept["presentation_id"].values.tolist() == [*range(8)]
    (kept,) = select(session(DURATIONS, max_deviation=0.25), "bars", max_deviation=None).values()
    assert kept.sizes["presentation_id"] == 9


def test_a_build_takes_the_same_ones_to_be_odd():
    """The window of a build covers what `select` keeps, and not what it leaves out."""
    recipe = Recipe(bin_width=1 / 128)

    def surveyed(durations, **limits):
        bars = {"bars": durations}
        source = Source(locate("a.nwb"))
        return Survey(source, True, (0,), "a", ("V1",), ("V1",), "", bars, bars, limits, events=())

    two = [surveyed(DURATIONS[:4], bars=0.25), surveyed(DURATIONS[4:], bars=0.25)]
    assert _pooled("bars", two, recipe) == (1.0, 1.2421875)
    assert _pooled("bars", [surveyed(DURATIONS)], recipe) == (None, 1.2578125)


@pytest.mark.parametrize("relative", [True, False])
def test_event_times_of_a_file_are_on_the_clock_they_are_on(tmp_path, relative):
    truth = write_nwb(
        tmp_path / "a.nwb", relative_events=relative, parts=("units", "trials"), trials=7
    )
    tree = na.open_datatree(tmp_path / "a.nwb")
    clock = "presentation" if relative else "session"
    aligned = na.align(tree, "trials", 0.05, (-0.5, 0.5), event="cue_time")
    assert f"event_clock={clock!r}" in aligned.attrs["history"]
    said = na.align(tree, "trials", 0.05, (-0.5, 0.5), event="cue_time", event_clock=clock)
    trials = truth["trials"]
    onsets = trials["cue_time"] + (trials["start_time"] if relative else 0)
    trains = dict(zip(truth["unit_id"], map(np.sort, truth["trains"]), strict=True))
    assert sum(map(len, trains.values())) > 20
    for path in ("a/VISp", "a/CA1"):
        for unit in aligned[path]["unit_id"].values.tolist():
            edges = (onsets - 0.5)[:, None] + np.arange(21) / 20
            want = np.diff(np.searchsorted(trains[unit], edges), axis=1)
            for tree in (aligned, said):
                np.testing.assert_array_equal(tree[path]["spike_data"].sel(unit_id=unit), want)


def clock(event, start, stop):
    return _clock_of("cue", np.array(event), np.array(start), np.array(stop))


def test_whose_clock_events_are_on():
    start, stop = np.arange(20.0) * 10, np.arange(20.0) * 10 + 2
    assert clock(start + 1, start, stop) == "session"
    assert clock(start * 0 + 1, start + 100, stop + 100) == "presentation"
    assert clock(start, start, stop) == "session"
    assert clock(start * np.nan, start, stop) == "session"  # none is known
    for made, want in ((start + 1, "session"), (start * 0 + 1, "presentation")):
        one_off, two_off = made.copy(), made.copy()
        one_off[3], two_off[[3, 4]] = -50, -50
        assert (
            clock(one_off, start + 100 * (want != "session"), stop + 100 * (want != "session"))
            == want
        )
        with pytest.raises(ValueError, match="between start and stop for .*; give"):
            clock(two_off, start + 100 * (want != "session"), stop + 100 * (want != "session"))
    unknown = np.full(20, np.nan)
    assert clock(start[:3], start[:3], unknown[:3]) == "session"
    some = np.where(start == 50, np.nan, start)  # rows that are not known are not asked
    assert clock(start + 1, some, stop) == "session"
    with pytest.raises(ValueError, match="for 100% .* and for 100% relative"):
        clock(start + 1, start, unknown)
    ends = np.r_[start[:10], stop[10:]]  # starts and stops are within
    assert clock(ends, start, stop) == "session"
    assert clock(ends - start, start + 100, stop + 100) == "presentation"


def test_shares_are_said_in_percent():
    with pytest.raises(
        ValueError, match="for 50% of the presentations on the session clock, and for 0% rel"
    ):
        clock([3.0, 99.0], [2.5, 50.0], [4.0, 52.0])


def test_what_select_cannot_do_is_said():
    both = session(DURATIONS) | {"t": xr.DataTree()}
    with pytest.raises(ValueError, match="blanks='x': expected 'drop' or 'keep'"):
        select(both, "bars", blanks="x")
    with pytest.raises(ValueError, match="missing='x': expected 'skip' or 'raise'"):
        select(both, "bars", missing="x")
    with pytest.raises(
        NotInTree, match="no presentation table 'bars' in session 't'.*1 of 2 sessions has it"
    ):
        select(both, "bars")
    with pytest.raises(NotInTree, match="2 of 3 sessions have it: missing='skip' aligns those"):
        select(both | {"r": both["s"]}, "bars")
    assert list(select(both, "bars", missing="skip")) == ["s"]
    with pytest.raises(NotInTree, match="'cars' in any session.*did you mean 'bars'"):
        select(both, "cars", missing="skip")
    with pytest.raises(NotInTree, match="'cars' in session 's'"):
        select(session(DURATIONS), "cars")


def test_medians_are_pooled_over_sessions_unless_they_are_given():
    two = session(np.array([1.0, 1.0, 1.0]), max_deviation=0.5)
    two |= {"t": session(np.array([2.0, 2.0]), max_deviation=0.5)["s"]}
    kept = select(two, "bars")
    assert [kept[name].sizes["presentation_id"] for name in "st"] == [3, 0]
    kept = select(two, "bars", medians={"bars": 2.0})
    assert [kept[name].sizes["presentation_id"] for name in "st"] == [0, 2]
    assert kept["s"].attrs == {"dropped": "3 of odd duration (median 2.0000 s)"}
    open_end = session(np.array([1.0, np.nan, 1.0]), max_deviation=0.5)
    assert select(open_end, "bars")["s"]["presentation_id"].values.tolist() == [0, 2]


def test_blank_and_odd_rows_are_counted_once():
    table = session(np.array([1.0, 1.0, 1.0, 9.0]), max_deviation=1.0)["s"]["presentations/bars"]
    table = table.to_dataset().assign(blank=("presentation_id", [1.0, 0.0, 0.0, 1.0]))
    tree = {"s": xr.DataTree.from_dict({"/presentations/bars": table})}
    kept = select(tree, "bars")["s"]
    assert kept["presentation_id"].values.tolist() == [1, 2]
    assert kept.attrs["dropped"] == "1 of odd duration (median 1.0000 s), 1 blank"
    assert "blank" not in kept
    kept = select(tree, "bars", blanks="keep", max_deviation=None)["s"]
    assert kept["blank"].values.tolist() == [1, 0, 0, 1]
    assert kept.attrs == {}


@pytest.mark.parametrize("index", [[4, 2], ["a", "b"]])
def test_a_frame_is_a_table_of_plain_numbers(index):
    frame = pd.DataFrame(
        {
            "start_time": pd.array([1.0, None], "Float64"),
            "stop_time": pd.to_timedelta([2, 3], unit="s"),
            "odour": pd.Categorical(["x", "y"]),
        },
        index=index,
    )
    rows = presentations_of("s", frame, "start_time", None)
    assert rows.node["presentation_id"].values.tolist() == ([4, 2] if index == [4, 2] else [0, 1])
    np.testing.assert_array_equal(rows.onsets, [1.0, np.nan])
    np.testing.assert_array_equal(rows.stops, [2.0, 3.0])
    assert rows.node["odour"].values.tolist() == ["x", "y"]
    durations = rows.with_durations()["duration"]
    assert durations.dtype == np.float64
    assert durations.attrs["units"] == "s"
    np.testing.assert_array_equal(durations, [1.0, np.nan])


def test_what_is_no_table_is_said():
    bare = presentations_of("s", [1.0, 2.0], "start_time", None)
    assert (bare.clock, bare.name) == ("session", "your table")
    assert np.isnan(bare.stops).all()
    assert list(bare.with_durations()) == ["start_time"]
    with pytest.raises(NotInTree, match="no column 'go' in 'bars' of session 's'"):
        presentations_of("s", [1.0], "go", None, "bars")
    with pytest.raises(SchemaError, match="expected presentation_id"):
        presentations_of("s", xr.Dataset({"start_time": ("x", [1.0])}), "start_time", None)
    text = xr.Dataset({"start_time": ("presentation_id", ["a"])})
    with pytest.raises(ValueError, match="start_time of 'bars': expected seconds"):
        presentations_of("s", text, "start_time", None, "bars")
    late = xr.Dataset(
        {"start_time": ("presentation_id", [1.0]), "stop_time": ("presentation_id", ["a"])}
    )
    with pytest.raises(ValueError, match="stop_time of 'bars': expected seconds"):
        presentations_of("s", late, "start_time", None, "bars")
    relative = presentations_of("s", [1.0, 2.0], "start_time", "presentation")
    assert relative.onsets.tolist() == [2.0, 4.0]
