"""The records of a tree say what stands in it, for every printer and picture."""

import dataclasses
import json

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import SchemaError
from neuroarrays.tree import contents, records

SESSION = "A2929-200711"


def recording(**nodes):
    mark = xr.Dataset(attrs={"neuroarrays_schema": "recording/1", "source": "test"})
    paths = {"/" + path.replace("__", "/"): node for path, node in nodes.items()}
    return xr.DataTree.from_dict({"/": mark, **paths})


def trains(*sizes):
    times = xr.Variable("spike", np.arange(float(sum(sizes))), {"units": "s"})
    return xr.Dataset(
        {"row_size": ("unit_id", list(sizes)), "spike_times": times},
        {"unit_id": np.arange(len(sizes))},
    )


def events(*times, **columns):
    stamps = xr.Variable("event", list(times), {"units": "s"})
    return xr.Dataset({"event_time": stamps, **{k: ("event", v) for k, v in columns.items()}})


def test_records_of_a_recording():
    lever = xr.Dataset(
        {"force": ("time", np.zeros(5), {"units": "N"})}, {"time": ("time", np.arange(5.0))}
    )
    table = xr.Dataset({"start_time": ("presentation_id", [0.0, 1.0], {"units": "s"})})
    tree = recording(
        s__V1__spikes=trains(2, 3),
        s__lever=lever,
        s__events__lick=events(1.0, 2.0, 3.0),
        s__presentations__trials=table,
        s=xr.Dataset(attrs={"notes": ["a", "b"]}),
    )
    held = contents.of_tree(tree)
    assert (held.kind, held.source, held.n_units, held.n_spikes) == ("recording", "test", 2, 5)
    (session,) = held.sessions
    assert (session.name, session.block, session.notes) == ("s", "", ("a", "b"))
    assert session.areas == (records.AreaRecord("V1", "s/V1", 2, 5),)
    assert session.signals == (records.SignalRecord("lever", 5, {"force": "N"}),)
    assert session.events == (records.EventsRecord("lick", 3, {"event_time": "s"}),)
    assert session.tables == (records.TableRecord("trials", 2, {"start_time": "s"}),)
    assert session.seconds is None
    assert held.rows() == [
        {
            "block": "",
            "session": "s",
            "area": "V1",
            "units": 2,
            "spikes": 5,
            "presentations": {"trials": 2},
        },
    ]
    assert json.loads(json.dumps(dataclasses.asdict(held)))["sessions"][0]["path"] == "s"


def test_an_area_has_the_sizes_of_all_its_nodes():
    """Whichever comes first: a node that lacks a dimension takes nothing away."""
    clock = {"time": np.arange(7.0), "unit_id": [0, 1]}
    traces = xr.Dataset({"dff": (("time", "unit_id"), np.ones((7, 2)))}, clock)
    masks = xr.Dataset({"size": ("unit_id", [5, 6])}, {"unit_id": [0, 1]})
    parts = {"dff": traces, "spikes": trains(2, 3), "masks": masks}
    for names in (list(parts), list(parts)[::-1]):
        tree = recording(**{f"s__V1__{name}": parts[name] for name in names})
        (area,) = contents.of_tree(tree).areas
        assert (area.n_units, area.n_spikes, area.n_times) == (2, 5, 7)


def test_a_branch_has_the_records_of_its_session():
    tree = na.load_sample()
    (session,) = contents.of_tree(tree[f"{SESSION}/adn"]).sessions
    assert (session.path, [area.path for area in session.areas]) == (SESSION, [f"{SESSION}/adn"])
    title = na.describe(tree[f"{SESSION}/adn"]).title
    assert title == "recording tree from nwb: 1 session, 1 area, 7 units"


def test_blocks_and_sessions_without_units_of_an_aligned_tree():
    counts = xr.Dataset({"spike_data": (("time", "unit_id"), np.zeros((4, 2), int))})
    licks = xr.Dataset({"lick": ("time", [0, 1]), "valid": ("time", [True, False])})
    mark = xr.Dataset(attrs={"neuroarrays_schema": "aligned/1"})
    nodes = {
        "/gratings/s/V1": counts,
        "/gratings/s/V1/pupil": xr.Dataset({"x": ("time", [1.0] * 4)}),
        "/gratings/s/V1/statistics/mean": counts,
        "/gratings/other/events": licks,
    }
    held = contents.of_tree(xr.DataTree.from_dict({"/": mark, **nodes}))
    assert [(s.block, s.name) for s in held.sessions] == [("gratings", "s"), ("gratings", "other")]
    first, second = held.sessions
    assert [(a.n_units, a.n_times, a.has_pupil) for a in first.areas] == [(2, 4, True)]
    assert [signal.path for signal in first.signals] == ["V1/pupil"]
    assert second.events == (records.EventsRecord("lick", None, {"lick": ""}),)
    assert held.rows()[1] == {"block": "gratings", "session": "other", "area": "", "units": 0}


def test_times_and_rates_are_read_when_asked():
    clock = {"time": ("time", np.arange(11.0))}
    tree = recording(
        s__V1__spikes=trains(4, 7), s__run=xr.Dataset({"speed": ("time", np.ones(11))}, clock)
    )
    held = contents.of_tree(tree)
    assert held.areas[0].rate is None
    few = contents.timed(held, tree, spikes=False).sessions[0]
    assert (few.is_whole, few.areas[0].rate, few.signals[0].rate) == (False, None, 1.0)
    whole = contents.timed(held, tree, spikes=True).sessions[0]
    assert whole.is_whole
    assert whole.seconds == 10.0
    assert whole.areas[0].rate == pytest.approx(0.55)
    assert whole.observed[0][0] == 0.0


def test_a_tree_without_a_mark_is_refused():
    with pytest.raises(SchemaError, match="neuroarrays_schema"):
        contents.of_groups({"/": xr.Dataset()})


def test_a_column_called_area_is_what_units_are_chosen_by():
    spikes = trains(1, 2, 3).assign_coords(area=("unit_id", ["CA1", "CA3", "CA1"]))
    tree = recording(s__unknown__spikes=spikes, s__V1__spikes=trains(1))
    chosen = na.select_units(tree, "area == 'CA1'")
    assert chosen["s/unknown/spikes"]["unit_id"].values.tolist() == [0, 2]
    assert "V1" not in chosen["s"].children
    assert "unknown" not in na.select_units(tree, "area == 'V1'")["s"].children


def test_events_with_labels_are_rows_of_a_raster():
    plt = pytest.importorskip("matplotlib.pyplot")
    lick = events(3.0, 1.0, 2.0, label=["left", "right", "left"])
    tree = recording(s__events__lick=lick)
    ax = na.plot.raster(tree["s/events"], (0, 2.5), ax=plt.figure().gca())
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names == ["lick", "lick_left", "lick_right"]
    assert [path.vertices[0, 0] for path in ax.collections[0].get_paths()] == [1.0, 2.0, 2.0, 1.0]
    ax.clear()
    na.plot.raster(tree["s/events"], (0, 9), order=["lick_left"], ax=ax)
    assert len(ax.collections[0].get_paths()) == 2
    plt.close(ax.figure)


def test_errors_write_options_as_their_caller_does():
    from neuroarrays.errors import option, options_typed

    assert option("window", (0, 1)) == "window=(0, 1)"
    with options_typed(["workers", "bin_width", "skip_damaged", "areas"]):
        assert option("areas", "area 17") == "--areas 'area 17'"
        assert option("workers", 0) == "--workers 0"
        assert option("bin_width", [1, 2]) == "--bin-width 1 2"
        assert option("skip_damaged", True) == "--skip-damaged"
        assert option("window", (0, 1)) == "window=(0, 1)"
    assert option("workers", 0) == "workers=0"
