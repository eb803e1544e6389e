"""The two trees as a table: what is valid, what is not, and what the faults say."""

import numpy as np
import pytest
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.schema.validation import validate
from neuroarrays.synthetic import aligned_tree


def recording(**nodes):
    root = xr.Dataset(attrs=schema.root_attrs(schema.RECORDING, source="test"))
    return xr.DataTree.from_dict({"/": root} | {f"s/{k}": v for k, v in nodes.items()})


def spikes(sizes, times, ids=None, **attrs):
    return xr.Dataset(
        {
            "spike_times": ("spike", np.asarray(times, float), {"units": "s"} | attrs),
            "row_size": ("unit_id", np.asarray(sizes, None if sizes else int)),
        },
        {"unit_id": np.arange(len(sizes)) if ids is None else ids},
    )


def table(**columns):
    return xr.Dataset({name: ("presentation_id", value) for name, value in columns.items()})


def series(time):
    return xr.Dataset({"x": ("time", np.zeros(len(time)))}, {"time": np.asarray(time, float)})


def faults(tree, values=False):
    with pytest.raises(SchemaError) as caught:
        validate(tree, values)
    return str(caught.value)


def test_records_are_complete_and_unique():
    keys = [(s.tree, s.role, s.name) for s in schema.SPECS]
    assert len(keys) == len(set(keys))
    for record in schema.SPECS:
        assert record.tree in (schema.RECORDING, schema.ALIGNED)
        assert record.doc or record.name == "*"
        assert set(record.kinds) <= set("iufbcOUST")
        assert schema.spec(record.tree, record.role, record.name) is record
    for tree, role in {(s.tree, s.role) for s in schema.SPECS if s.role != "session"}:
        assert schema.spec(tree, role, "anything else").name == "*", (tree, role)


def test_var_has_the_unit_and_meaning_of_its_record():
    made = schema.var("spikes", "spike_times", np.zeros(3))
    assert made.dims == ("spike",)
    assert made.attrs["units"] == "s"
    assert "session clock" in made.attrs["long_name"]
    assert "units" not in schema.var("series", "x", np.zeros(3), ("time",), units=None).attrs
    with pytest.raises(SchemaError, match="spikes/spike_times has 2 dimensions; give dims="):
        schema.var("spikes", "spike_times", np.zeros((3, 2)))


def test_valid_trees():
    good = {"V1/spikes": spikes([2, 0], [1, 2]), "running": series([0, 1])}
    assert validate(recording(**good), values=True) == []
    assert validate(aligned_tree(), values=True) == []


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (
            {"V1/spikes": spikes([1], [1.0]).rename(spike="event")},
            "has dims ('event',), expected (",
        ),
        ({"V1/spikes": spikes([1], [1.0], units="ms")}, "has units 'ms', expected 's'"),
        ({"V1/spikes": spikes([1], [1.0]).drop_vars("spike_times")}, "spike_times is missing"),
        ({"V1/spikes": spikes([1], [1.0], ids=["a"])}, "unit_id has dtype"),
        ({"V1/spikes": spikes([1.5], [1.0])}, "row_size has dtype float64, expected kind 'iu'"),
        (
            {"presentations/t": series([0.0])},
            "x has dims ('time',), expected presentation_id first",
        ),
        ({"eeg": xr.Dataset({"x": ("sample", [0.0])})}, "expected time or unit_id first"),
        ({"eeg": xr.Dataset({"x": ("time", [1j])})}, "x has dtype complex128"),
    ],
)
def test_faults_name_the_node(node, words):
    message = faults(recording(**node))
    (path,) = node
    assert f"s/{path}: " in message
    assert words in message


def test_every_fault_is_listed():
    bad = recording(
        **{
            "V1/spikes": spikes([1], [1.0], units="ms"),
            "presentations/t": table(start_time=np.array(["a"])),
        }
    )
    assert len(faults(bad).splitlines()) == 3


def test_sizes_that_do_not_add_up():
    bad = recording(**{"V1/spikes": spikes([1, 3], [1.0, 2.0])})
    validate(bad)
    assert "row_size adds up to 4, there are 2 spikes" in faults(bad, values=True)
    bad = recording(**{"V1/spikes": spikes([3, -1], [1.0, 2.0])})
    assert "row_size" in faults(bad, values=True)


def test_notes():
    nan = np.nan
    tree = recording(
        **{
            "V1/spikes": spikes([2, 2], [2, 1, 1, nan], ids=[4, 4]),
            "running": series([0, 2, 1, 1]),
            "presentations/t": table(start_time=[3.0, 1.0, nan], stop_time=[4.0, 0.5, nan]),
        }
    )
    notes = "\n".join(validate(tree, values=True))
    for word in (
        "s/V1/spikes: 1 of 2 spike trains are not in order",
        "1 spike times are NaN",
        "unit_id holds an identifier twice",
        "time goes backwards 1 time;",
        "1 time stamps are duplicated",
        "1 of 3 values of start_time are missing",
        "1 of 3 values of stop_time are missing",
        "1 presentation with a stop before the start",
        "not in order of start_time",
    ):
        assert word in notes, notes


def test_empty_nodes_are_valid():
    tree = recording(
        **{
            "V1/spikes": spikes([], []),
            "running": series([]),
            "presentations/t": table(start_time=np.empty(0), stop_time=np.empty(0)),
        }
    )
    assert validate(tree, values=True) == []


def test_a_table_needs_start_times():
    bad = recording(**{"presentations/t": table(orientation=[1.0])})
    assert "start_time is missing" in faults(bad, values=True)
    open_ended = recording(**{"presentations/t": table(start_time=[1.0, 2.0])})
    assert validate(open_ended, values=True) == [
        "s/presentations/t: the file does not say when presentations end"
    ]


def test_presentations_of_an_aligned_tree_need_no_times():
    """SENSORIUM's files have no stops, and the dynamic ones no starts."""
    tree = aligned_tree(areas=("V1",))
    rows = tree["session_0/V1/presentations"].to_dataset(inherit=False)
    place = tree["session_0/V1/presentations"]
    place.dataset = rows.drop_vars(["stop_time", "duration"])
    assert validate(tree, values=True) == []
    place.dataset = rows.drop_vars(["start_time", "stop_time", "duration"])
    assert validate(tree, values=True) == [
        "session_0/V1/presentations: the file does not say when presentations began"
    ]


def test_kind_of_needs_the_mark():
    with pytest.raises(SchemaError, match="found 'other/1'"):
        schema.kind_of({"neuroarrays_schema": "other/1"})


def test_area_paths():
    assert schema.area_paths(aligned_tree()) == ["session_0/VISp", "session_0/CA1"]
    tree = recording(**{"V1/spikes": spikes([1], [1.0]), "running": series([0])})
    assert schema.area_paths(tree) == ["s/V1"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a/b", "a_b"),
        ("a\\b", "a_b"),
        ("..", "unnamed"),
        ("", "unnamed"),
        (" V1 ", "V1"),
        ("x\0y", "x_y"),
        ("µ", "µ"),
    ],
)
def test_node_name(text, name):
    assert schema.node_name(text) == name
