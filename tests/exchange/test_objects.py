"""Trees to pynapple and back, against the installed package."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.schema.validation import validate


@pytest.mark.peers("pynapple")
def test_pynapple_and_back():
    tree = na.load_sample()
    found = na.to_pynapple(tree)
    (session,) = tree.children
    again = na.from_pynapple(found, session)
    validate(again, values=True)
    for area in ("adn", "ca1"):
        old, new = (t[f"{session}/{area}/spikes"].to_dataset() for t in (tree, again))
        np.testing.assert_array_equal(old["unit_id"], new["unit_id"])
        np.testing.assert_array_equal(old["row_size"], new["row_size"])
        np.testing.assert_array_equal(old["spike_times"], new["spike_times"])
    for path, node in tree.subtree_with_keys:
        inner = path.split("/")[1:]
        if inner[:1] == ["presentations"] and path in found:
            np.testing.assert_array_equal(node["start_time"], found[path].start)
            np.testing.assert_allclose(again[path]["stop_time"], node["stop_time"], atol=2e-6)
    signals = [path for path in found if path.rpartition("/")[2] in ("x", "y", "rx", "position")]
    for path in signals:
        np.testing.assert_array_equal(found[path].index, tree[path]["time"])
        np.testing.assert_array_equal(found[path].values, tree[path].values)


@pytest.mark.peers("pynapple")
def test_kinds_of_pynapple_objects():
    import pynapple as nap

    times = np.arange(4.0)
    objects = {
        "V1": nap.TsGroup(
            {3: nap.Ts([0.5, 1.5]), 9: nap.Ts([2.0, 2.5])}, metadata={"kind": ["a", "b"]}
        ),
        "licks": nap.Ts([0.1, 0.2]),
        "V1/dff": nap.TsdFrame(times, np.arange(8.0).reshape(4, 2), columns=[3, 9]),
        "position": nap.TsdFrame(times, np.ones((4, 2)), columns=["x", "y"]),
        "movie": nap.TsdTensor(times, np.zeros((4, 2, 3))),
        "sleep": nap.IntervalSet([0, 2], [1, 3]),
    }
    tree = na.from_pynapple(objects)
    validate(tree, values=True)
    assert tree["session/V1/spikes"]["kind"].values.tolist() == ["a", "b"]
    assert tree["session/licks/spikes"]["row_size"].values.tolist() == [2]
    assert tree["session/V1/dff"]["dff"].sel(unit_id=9).values.tolist() == [1, 3, 5, 7]
    assert tree["session/position"]["axis_1"].values.tolist() == ["x", "y"]
    assert tree["session/movie"]["movie"].shape == (4, 2, 3)
    assert tree["session/presentations/sleep"]["stop_time"].values.tolist() == [1, 3]
    back = na.to_pynapple(tree)
    assert back["session/V1/spikes"][9].index.tolist() == [2.0, 2.5]
    np.testing.assert_array_equal(back["session/V1/dff/dff"].values, objects["V1/dff"].values)
    with pytest.raises(TypeError, match="bad is a int"):
        na.from_pynapple({"bad": 3})


def test_pynapple_gets_values_with_their_times_and_labels_with_their_units():
    """It sorts time stamps without their values."""
    pytest.importorskip("pynapple")
    spikes = xr.Dataset(
        {"spike_times": ("spike", [1.0, 2.0, 3.0]), "row_size": ("unit_id", [1, 2])},
        {"unit_id": [5, 2], "depth": ("unit_id", [50.0, 20.0])},
    )
    series = xr.Dataset({"x": ("time", [0.0, 20.0, 7.0, 10.0])}, {"time": [0.0, 2.0, np.nan, 1.0]})
    root = xr.Dataset(attrs={"neuroarrays_schema": "recording/1"})
    groups = {"/": root, "s": xr.Dataset(), "s/a/spikes": spikes, "s/wheel": series}
    found = na.to_pynapple(xr.DataTree.from_dict(groups))
    assert found["s/wheel/x"].values.tolist() == [0.0, 10.0, 20.0]
    assert found["s/a/spikes"][2].index.tolist() == [2.0, 3.0]
    assert dict(found["s/a/spikes"].get_info("depth")) == {2: 20.0, 5: 50.0}
    groups["s/a/spikes"] = spikes.assign_coords(unit_id=[5, 5])
    with pytest.raises(SchemaError, match="identifier twice"):
        na.to_pynapple(xr.DataTree.from_dict(groups))


def test_what_pynapple_objects_say_of_rows_and_columns_is_kept(tmp_path):
    nap = pytest.importorskip("pynapple")
    frame = np.array([[1.0, 2.0], [3.0, 4.0]])
    tree = na.from_pynapple(
        {
            "g": nap.TsGroup(
                {5: nap.Ts([1.0, 2.0]), 2: nap.Ts([0.5, 0.6])}, metadata={"time": [50, 20]}
            ),
            "ep": nap.IntervalSet(
                [0, 1], [1, 3], metadata={"side": ["l", None], "start_time": [7, 8]}
            ),
            "f": nap.TsdFrame([0.0, 1.0], frame, columns=[4, 7], metadata={"layer": ["II", "IV"]}),
            "pose": nap.TsdFrame([0.0, 1.0], frame, columns=["x", "y"], metadata={"scale": [1, 2]}),
        }
    )
    table = tree["session/presentations/ep"].to_dataset()
    assert table["side"].values[0] == "l"
    assert pd.isna(table["side"].values[1])  # None, or NaN: which one pandas decides
    assert table["start_time_column"].values.tolist() == [7, 8]
    units = tree["session/g/spikes"].to_dataset()
    assert dict(zip(units.unit_id.values, units.time_column.values, strict=True)) == {2: 20, 5: 50}
    assert tree["session/pose"].to_dataset()["scale"].values.tolist() == [1, 2]
    back = na.to_pynapple(tree)
    assert next(iter(back["session/presentations/ep"]["side"])) == "l"
    assert list(back["session/unknown/f/f"].get_info("layer")) == ["II", "IV"]
    assert na.open_datatree(na.save(tree, tmp_path / "t.h5")).identical(tree)
    assert "responses" in na.align(tree, bin_width=1.0)["session/unknown"]  # units have an area


def test_an_archive_of_units_directly_in_a_session_opens(tmp_path):
    series = xr.Dataset(
        {"f": (("time", "unit_id"), np.eye(2))}, {"time": [0.0, 1.0], "unit_id": [4, 7]}
    )
    spikes = xr.Dataset(
        {"spike_times": ("spike", [1.0]), "row_size": ("unit_id", [1])}, {"unit_id": [0]}
    )
    root = xr.Dataset(attrs={"neuroarrays_schema": "recording/1"})
    tree = xr.DataTree.from_dict({"/": root, "s/f": series, "s/a/spikes": spikes})
    assert na.open_datatree(na.save(tree, tmp_path / "t.h5")).identical(tree)


def everything():
    """A tree with what pynapple has no place for: attributes, text, events, rows that overlap."""
    node = xr.Dataset
    onset = ("presentation_id", [1.0, 2.0, 3.0])
    ids = {"presentation_id": np.arange(3)}
    stop = ("presentation_id", [2.5, 3.5, 4.0])
    time = {"time": ("time", np.arange(4.0), {"units": "s"})}
    groups = {
        "/": node(attrs=schema.root_attrs(schema.RECORDING)),
        "s": node(attrs={"session_id": "s", "subject": "m"}),
        "s/a/spikes": node(
            {"spike_times": ("spike", [1.0, 2.0, 3.0]), "row_size": ("unit_id", [1, 2])},
            {"unit_id": [5, 2], "depth": ("unit_id", [50.0, 20.0], {"units": "um"})},
        ),
        "s/head": node(
            {
                "hd": ("time", np.arange(4.0), {"period": 360.0, "units": "deg"}),
                "speed": ("time", np.ones(4)),
                "state": ("time", np.array(["run", "run", "sit", "sit"], object)),
            },
            time,
        ),
        "s/presentations/go": node(
            {"start_time": onset, "side": ("presentation_id", [1, 2, 3])}, ids
        ),
        "s/presentations/overlap": node({"start_time": onset, "stop_time": stop}, ids),
        "s/events/licks": node({schema.EVENT_TIME: (schema.EVENT, [0.5, 1.5])}),
    }
    return xr.DataTree.from_dict(groups)


def test_a_tree_comes_back_as_it_was():
    nap = pytest.importorskip("pynapple")
    tree = everything()
    objects = na.to_pynapple(tree)
    assert isinstance(objects["s/events/licks"], nap.Ts)
    assert objects["s/presentations/go"].index.tolist() == [1.0, 2.0, 3.0]
    assert na.from_pynapple(objects).identical(tree)
    sample = na.load_sample()
    assert na.from_pynapple(na.to_pynapple(sample)).identical(sample)


def test_objects_that_were_replaced_or_taken_out_are_what_comes_back():
    nap = pytest.importorskip("pynapple")
    tree = everything()
    objects = na.to_pynapple(tree)
    objects["s/head/hd"] = nap.Tsd(np.arange(4.0), np.full(4, 7.0))
    objects["s/new/x"] = nap.Tsd([0.0, 1.0], [2.0, 3.0])
    del objects["s/events/licks"], objects["s/head/speed"]
    back = na.from_pynapple(objects)
    assert back["s/head/hd"].values.tolist() == [7.0] * 4
    assert back["s/head/hd"].attrs["period"] == 360.0
    assert set(back["s/head"].data_vars) == {"hd", "state"}
    assert back["s/new/x"].values.tolist() == [2.0, 3.0]
    assert "licks" not in [path.rpartition("/")[2] for path, _ in back.subtree_with_keys]
    assert back["s/a/spikes"].to_dataset().identical(tree["s/a/spikes"].to_dataset())


def test_a_plain_dict_of_objects_has_the_sessions_of_its_names():
    pytest.importorskip("pynapple")
    back = na.from_pynapple(dict(na.to_pynapple(everything())))
    validate(back, values=True)
    assert list(back.children) == ["s"]
    assert set(back["s/head"].data_vars) == {"hd", "speed"}
    assert back["s/events/licks"][schema.EVENT_TIME].values.tolist() == [0.5, 1.5]
    assert back["s/presentations/go"]["start_time"].values.tolist() == [1.0, 2.0, 3.0]


def test_valid_frames_are_the_time_support():
    pytest.importorskip("pynapple")
    time = ("time", np.arange(6) + 0.5, {"units": "s", "bin_width": 1.0})
    area = xr.Dataset(
        {
            "spike_data": (("time", "unit_id"), np.ones((6, 2), "u1")),
            "valid": ("time", [True, True, False, False, True, True]),
        },
        {"time": time, "unit_id": [0, 1]},
    )
    root = xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED))
    tree = xr.DataTree.from_dict({"/": root, "s/a": area})
    objects = na.to_pynapple(tree)
    counts = objects["s/a/spike_data"]
    assert counts.time_support.values.tolist() == [[0.0, 2.0], [4.0, 6.0]]
    assert counts.index.tolist() == [0.5, 1.5, 4.5, 5.5]
    assert na.from_pynapple(objects).identical(tree)
    observed = na.from_pynapple(dict(objects))["s/observed"]
    assert observed["start_time"].values.tolist() == [0.0, 4.0]
