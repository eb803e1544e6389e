"""What is cut along with spikes: events, clocks that stay lazy, and whose columns count."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.lazy.arrays import wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import InMemory
from neuroarrays.tree.groups import parameters
from neuroarrays.tree.restriction import _positions


def test_events_are_cut_with_their_values():
    events = xr.Dataset(
        {
            "event_time": ("event", [1.0, 2.0, 3.0, 4.0]),
            "value": ("event", [10, 20, 30, 40]),
            "of": ("kind", ["lick"]),
        }
    )
    root = xr.Dataset(attrs=schema.root_attrs(schema.RECORDING))
    tree = xr.DataTree.from_dict({"/": root, "s": xr.Dataset(), "s/events/licks": events})
    cut = na.restrict(tree, [(2.0, 3.0), (4.0, 5.0)])["s/events/licks"]
    assert cut["event_time"].values.tolist() == [2, 4]  # half-open
    assert cut["value"].values.tolist() == [20, 40]
    assert cut["of"].values.tolist() == ["lick"]


@pytest.mark.parametrize("wrapped", [wrap, lambda array: array.values])
def test_spikes_are_cut_with_what_is_known_of_each(wrapped):
    """In memory or in a file: values, attributes and labels stay with their spikes."""
    times, sizes = [0.5, 1.0, 2.0, 3.0, 1.5, 2.9, 0.1], [4, 2, 0, 1]
    spikes = {
        "spike_times": xr.Variable("spike", wrapped(InMemory(np.array(times))), {"units": "s"}),
        "row_size": xr.Variable("unit_id", sizes, {"sample_dimension": "spike"}),
        "amplitude": xr.Variable("spike", wrapped(InMemory(np.arange(7))), {"units": "uV"}),
        "depth": xr.Variable("unit_id", [5, 6, 7, 8], {"units": "um"}),
    }
    node = dataset(spikes, {"unit_id": xr.Variable("unit_id", [3, 1, 4, 9])}, {"note": "mine"})
    root = xr.Dataset(attrs=schema.root_attrs(schema.RECORDING))
    tree = xr.DataTree.from_dict({"/": root, "s/V1/spikes": node})
    cut = na.restrict(tree, [(1.0, 2.0), (2.5, 3.0)])["s/V1/spikes"].to_dataset()
    assert cut["spike_times"].values.tolist() == [1.0, 1.5, 2.9]
    assert cut["amplitude"].values.tolist() == [1, 4, 5]
    assert cut["row_size"].values.tolist() == [1, 2, 0, 0]
    assert cut["unit_id"].values.tolist() == [3, 1, 4, 9]
    assert cut.sel(unit_id=1)["amplitude"].values.tolist() == [4, 5]
    assert cut.attrs == {"note": "mine"}
    assert {name: cut[name].attrs for name in spikes} == {
        name: variable.attrs for name, variable in spikes.items()
    }
    assert tree["s/V1/spikes/row_size"].values.tolist() == sizes


def test_each_clock_has_a_mask_where_its_units_stand():
    clock = {"time": ("time", [0.5, 1.5, 2.5, 3.5], {"units": "s", "bin_width": 1.0})}
    nodes = {
        "s": xr.Dataset({}, clock),
        "s/V1": xr.Dataset({"spike_data": (("time", "unit_id"), np.ones((4, 2), int))}),
        "s/run": xr.Dataset({"speed": ("time", np.arange(4.0))}),
        "t": xr.Dataset({"x": ("time", np.arange(4.0))}, clock),
    }
    root = xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED))
    cut = na.restrict(xr.DataTree.from_dict({"/": root, **nodes}), [(0.0, 1.0), (2.0, 3.0)])
    assert {path for path, node in cut.subtree_with_keys if "valid" in node.data_vars} == {
        "s/V1",
        "t",
    }
    assert cut["s/V1/valid"].values.tolist() == cut["t/valid"].values.tolist() == [1, 0, 1]
    assert cut["s/run/speed"].values.tolist() == [0, 1, 2]


def test_presentations_lie_wholly_within():
    rows = {"start_time": [1.0, 2.0, 4.0, 6.0], "stop_time": [2.0, 3.5, 5.0, np.nan]}
    columns = {name: ("presentation_id", times) for name, times in rows.items()}
    table = xr.Dataset(columns, {"presentation_id": range(4)})
    root = xr.Dataset(attrs=schema.root_attrs(schema.RECORDING))
    tree = xr.DataTree.from_dict({"/": root, "s/presentations/t": table})
    cut = na.restrict(tree, [(1.0, 3.0), (4.0, 6.5)])["s/presentations/t"]
    assert cut["presentation_id"].values.tolist() == [0, 2, 3]  # without a stop its start decides


@pytest.mark.parametrize(
    ("inside", "want"),
    [
        ([0, 1, 1, 1, 0], slice(1, 4)),
        ([1], slice(0, 1)),
        ([0, 0, 1], slice(2, 3)),
        ([1, 1, 0, 1, 1], [0, 1, 3, 4]),
        ([0, 1, 0, 0, 1], [1, 4]),
        ([0, 0], []),
    ],
)
def test_places_that_follow_one_another_are_a_slice(inside, want):
    found = _positions(np.array(inside, bool))
    assert isinstance(found, slice) == isinstance(want, slice)
    assert found == want if isinstance(want, slice) else found.tolist() == want


def test_a_column_of_the_table_comes_before_one_of_the_same_name():
    rows = {
        name: ("presentation_id", np.full(2, value)) for name, value in (("area", 1), ("table", 2))
    }
    groups = {
        "s/V1": xr.Dataset({"contrast": rows["area"], "valid": rows["area"]}),
        "s/V1/presentations": xr.Dataset({"contrast": rows["table"], "start_time": rows["table"]}),
        "s/V2/presentations": xr.Dataset({"other": rows["table"]}),
    }
    found = parameters("s/V1", groups)
    assert {name: np.asarray(column)[0] for name, column in found.items()} == {
        "contrast": 2,
        "start_time": 2,
        "valid": 1,
    }


def test_trials_within_are_told_by_the_times_of_their_own_area():
    """The table of an area, or of the area and the session: each area keeps its own rows."""
    nodes = {}
    for area, starts in (("V1", [0.0, 2.0, 4.0]), ("V2", [3.0, 5.0, 7.0])):
        counts = ("presentation_id", "unit_id", "time"), np.ones((3, 2, 1), int)
        rows = {
            name: ("presentation_id", np.array(starts) + more, {"units": "s"})
            for name, more in (("start_time", 0), ("stop_time", 1))
        }
        nodes[f"s/{area}"] = xr.Dataset({"spike_data": counts})
        nodes[f"s/{area}/presentations"] = xr.Dataset(rows)
    root = xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED))
    cut = na.restrict(xr.DataTree.from_dict({"/": root, **nodes}), [(2.0, 6.0)])
    starts = {area: cut[f"s/{area}/presentations/start_time"].values.tolist() for area in cut["s"]}
    assert starts == {"V1": [2, 4], "V2": [3, 5]}
    assert cut["s/V1/spike_data"].sizes["presentation_id"] == 2
