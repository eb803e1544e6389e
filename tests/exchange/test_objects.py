"""Trees to pynapple and back, against the installed package."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import neuroarrays as na
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
    tree = na.from_pynapple({
        "g": nap.TsGroup({5: nap.Ts([1.0, 2.0]), 2: nap.Ts([0.5, 0.6])}, metadata={"time": [50, 20]}),
        "ep": nap.IntervalSet([0, 1], [1, 3], metadata={"side": ["l", None], "start_time": [7, 8]}),
        "f": nap.TsdFrame([0.0, 1.0], frame, columns=[4, 7], metadata={"layer": ["II", "IV"]}),
        "pose": nap.TsdFrame([0.0, 1.0], frame, columns=["x", "y"], metadata={"scale": [1, 2]}),
    })  # fmt: skip
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
