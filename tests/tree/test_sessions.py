"""What one walk finds in a session: areas by their units, series, frames, events by label, tables."""

import numpy as np
import pytest
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.tree.sessions import (
    SessionNodes,
    events_below,
    events_of,
    sessions_of,
    times_by_name,
)

MARK = xr.Dataset(attrs=schema.root_attrs(schema.RECORDING))


def spikes(*units):
    sizes = np.ones(len(units), int)
    times = ("spike", np.arange(float(len(units))), {"units": "s"})
    return xr.Dataset(
        {"row_size": ("unit_id", sizes), "spike_times": times}, {"unit_id": list(units)}
    )


def traces(*units, **attrs):
    data = xr.Dataset({"dff": (("time", "unit_id"), np.ones((3, len(units))))})
    return data.assign_coords(time=np.arange(3.0), unit_id=("unit_id", list(units), attrs))


def signal(name="x"):
    return xr.Dataset({name: ("time", np.ones(3))}, {"time": np.arange(3.0)})


def events(times, **columns):
    stamps = {"event_time": ("event", times, {"units": "s"})}
    return xr.Dataset(stamps | {name: ("event", column) for name, column in columns.items()})


def session_of(**nodes):
    paths = {f"/s/{path.replace('__', '/')}": node for path, node in nodes.items()}
    return SessionNodes.from_node("s", xr.DataTree.from_dict({"/": MARK, **paths})["s"])


def test_nodes_are_told_apart_by_what_they_hold():
    session = session_of(
        V1__spikes=spikes(1, 2),
        V1__lfp=signal(),
        running=signal(),
        movie=signal("stimulus"),
        events__licks__left=events([1.0]),
        events__reward=events([2.0]),
        presentations__trials=xr.Dataset({"start_time": ("presentation_id", [0.0])}),
    )
    assert {name: list(nodes) for name, nodes in session.areas.items()} == {"V1": ["spikes"]}
    assert sorted(session.series) == ["V1/lfp", "running"]
    assert list(session.frames) == ["movie"]
    assert sorted(session.events) == ["licks_left", "reward"]
    assert list(session.tables) == ["trials"]
    assert session.has_data
    assert not session_of(
        presentations__trials=xr.Dataset(coords={"presentation_id": [1]})
    ).has_data


def test_series_of_other_units_are_an_area_of_their_own():
    session = session_of(V1__dff=traces(1, 2), V1__spikes=spikes(4, 5), V1__raw=traces(1, 2))
    assert {name: sorted(nodes) for name, nodes in session.areas.items()} == {
        "V1": ["spikes"],
        "V1_dff": ["dff", "raw"],
    }
    planes = session_of(V1__a=traces(1, 2, roi_table="p"), V1__b=traces(1, 2, roi_table="q"))
    assert list(planes.areas) == ["V1", "V1_b"]
    assert list(session_of(V1__spikes=spikes(1, 2), V1__dff=traces(1, 2)).areas) == ["V1"]
    with pytest.raises(SchemaError, match=r"V1/dff has other units .* area 'V1_dff', which exists"):
        session_of(V1__spikes=spikes(1), V1__dff=traces(2), V1_dff__spikes=spikes(3))


def test_behaviour_is_aligned_unless_other_series_are_asked_for():
    session = session_of(
        V1__spikes=spikes(1), running=signal(), room=signal(), pupil__size=signal()
    )
    assert list(session.chosen_series(None)) == ["running", "pupil/size"]
    assert list(session.chosen_series("room")) == ["room"]
    assert list(session.chosen_series(["r*"])) == ["running", "room"]
    assert list(session_of(running=signal(), room=signal()).chosen_series(None)) == [
        "running",
        "room",
    ]
    with pytest.raises(NotInTree, match="series 'face'"):
        session.chosen_series("face")


def test_sessions_of_a_tree_or_the_one_that_is_given():
    tree = xr.DataTree.from_dict({"/": MARK, "/a/V1/spikes": spikes(1), "/b/running": signal()})
    assert sorted(sessions_of(tree)) == ["a", "b"]
    assert list(sessions_of(tree["b"])) == ["b"]
    with pytest.raises(SchemaError, match=r"/a/V1 is a part of a session; .* tree\['a'\]"):
        sessions_of(tree["a/V1"])
    with pytest.raises(SchemaError, match="has no sessions"):
        sessions_of(xr.DataTree(MARK))
    with pytest.raises(SchemaError, match="is aligned already"):
        sessions_of(xr.DataTree(xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED))))
    tree["c/presentations"] = xr.DataTree()
    with pytest.raises(SchemaError, match=r"'c' has no units.*it has presentations. Leave it out"):
        sessions_of(tree)
    with pytest.raises(SchemaError, match="it has presentations$"):
        sessions_of(tree["c"])


def test_events_with_kinds_of_labels_are_there_for_each():
    def names(labels):
        held = {"e": events(np.arange(float(len(labels))), label=labels)}
        return {name: times.values.tolist() for name, times in times_by_name(held).items()}

    assert names(["b", "a", "", "a"]) == {"e": [0, 1, 2, 3], "e_a": [1, 3], "e_b": [0]}
    assert list(names(["a", "a"])) == ["e"]
    assert list(names([1, 2])) == ["e"]
    assert len(names([f"{i:02}" for i in range(50)])) == 51
    assert list(names([f"{i:02}" for i in range(51)])) == ["e"]
    tree = xr.DataTree.from_dict({"/": xr.Dataset(), "/a": events([1.0]), "/b/c": events([2.0])})
    assert list(events_below(tree)) == ["a", "b_c"]
    assert list(events_below(tree["a"])) == ["a"]
    nodes = {"/": MARK, "/s/events/lick": events([1.0]), "/s/lever": signal(), "/t/x": signal()}
    tree = xr.DataTree.from_dict(nodes)
    assert {
        name: table.event_time.values.tolist() for name, table in events_of(tree["s"]).items()
    } == {"lick": [1.0]}
    assert events_of(tree["t"]) == {}
