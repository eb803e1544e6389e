"""Which presentations count, and whose clock their events are on."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.alignment.presentations import select
from neuroarrays.collection.plan import _pooled
from neuroarrays.collection.surveys import Recipe, Survey
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
        return Survey("a.nwb", (0,), "a", ("V1",), ("V1",), {"bars": durations}, limits)

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
