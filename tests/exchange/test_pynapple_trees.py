"""Generated trees to pynapple and back: all of them by what `to_pynapple` returns, and by a plain dict
what objects of pynapple can hold.
"""

import re

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.errors import SchemaError

nap = pytest.importorskip("pynapple", reason="the extra `pynapple` is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pynapple")
ROWS = (schema.PRESENTATION,)
texts = st.sampled_from(["run", "sit", "a b", "é"])


def times(low, high):
    """Sorted times with a microsecond between them at least, s."""
    ticks = st.lists(st.integers(0, 10**6), min_size=low, max_size=high, unique=True)
    return ticks.map(lambda found: np.sort(np.array(found, np.int64)) / 1000)


@st.composite
def spikes(draw):
    trains = draw(st.lists(times(0, 5), min_size=1, max_size=4))
    ids = draw(st.permutations(range(3, 3 + len(trains))))
    labels = {
        "depth": (schema.UNIT, np.arange(len(ids)) * 1.5, {"units": "um"}),
        "kind": (schema.UNIT, np.array([draw(texts) for _ in ids], object)),
    }
    return xr.Dataset(
        {
            schema.SPIKE_TIMES: (schema.SPIKE, np.concatenate(trains), {"units": "s"}),
            schema.ROW_SIZE: (schema.UNIT, np.array([train.size for train in trains])),
        },
        {schema.UNIT: np.array(ids)} | {k: v for k, v in labels.items() if draw(st.booleans())},
    )


@st.composite
def signals(draw):
    stamps = draw(times(1, 6))
    n = stamps.size
    attrs = draw(st.sampled_from([{}, {"units": "deg", "period": 360.0}, {"units": "cm/s"}]))
    wide = (np.arange(3.0 * n) / 7).reshape(n, 3)
    wide[:, draw(st.integers(0, 2))] = np.nan
    variables = {
        "one": (schema.TIME, np.arange(n, dtype="f4"), attrs),
        "wide": ((schema.TIME, "axis_1"), wide, attrs),
        "deep": ((schema.TIME, "y", "x"), np.ones((n, 2, 2), "u1"), attrs),
        "text": (schema.TIME, np.array([draw(texts)] * n, object)),
    }
    chosen = draw(st.sets(st.sampled_from(sorted(variables)), min_size=1))
    coords = {schema.TIME: (schema.TIME, stamps, {"units": "s"})}
    if "wide" in chosen:
        coords["axis_1"] = ("axis_1", np.array(["x", "y", "z"], object))
    return xr.Dataset({name: variables[name] for name in sorted(chosen)}, coords)


@st.composite
def tables(draw):
    starts = draw(times(1, 5))
    n = starts.size
    kind = draw(st.sampled_from(["apart", "overlap", "onsets"]))
    columns = {"side": (ROWS, np.arange(n)), "word": (ROWS, np.array([draw(texts)] * n, object))}
    variables = {schema.START_TIME: (ROWS, starts, {"units": "s"})}
    if kind == "apart":
        stops = starts + np.diff(starts, append=starts[-1] + 1) / 2
        variables[schema.STOP_TIME] = (ROWS, stops, {"units": "s"})
    elif kind == "overlap":
        variables[schema.STOP_TIME] = (ROWS, starts + 2000.0, {"units": "s"})
    ids = np.array(draw(st.permutations(range(n))))
    return xr.Dataset(variables | columns, {schema.PRESENTATION: ids})


@st.composite
def trees(draw):
    groups = {"/": xr.Dataset(attrs=schema.root_attrs(schema.RECORDING, source="made"))}
    for session in draw(st.sets(st.sampled_from(["m1", "m2"]), min_size=1)):
        groups[session] = xr.Dataset(attrs={"session_id": session, "subject": "m"})
        parts = {
            "V1/spikes": spikes(),
            "wheel": signals(),
            "V1/pupil": signals(),
            "presentations/go": tables(),
            "presentations/stop": tables(),
            "events/licks": times(0, 4).map(
                lambda found: xr.Dataset({schema.EVENT_TIME: (schema.EVENT, found)})
            ),
        }
        for path in draw(st.sets(st.sampled_from(sorted(parts)), min_size=1)):
            groups[f"{session}/{path}"] = draw(parts[path])
    return xr.DataTree.from_dict(groups)


GENERATED = settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])


@GENERATED
@given(trees())
def test_a_tree_comes_back_as_it_was(tree):
    assert na.from_pynapple(na.to_pynapple(tree)).identical(tree)


def same(one, other):
    """Whether values are equal, NaN in the same places."""
    kind = np.asarray(one).dtype.kind
    return np.array_equal(one, other, equal_nan=kind == "f")


@GENERATED
@given(trees())
def test_a_plain_dict_keeps_what_objects_can_hold(tree):
    back = na.from_pynapple(dict(na.to_pynapple(tree)))
    for path, role, node in schema.roles(tree):
        contents = node.to_dataset(inherit=False)
        if role == "spikes":
            order = np.argsort(contents[schema.UNIT].values)
            found = back[path].to_dataset()
            assert same(found[schema.UNIT], contents[schema.UNIT][order])
            for name in {"depth", "kind"} & set(contents.coords):
                assert list(found[name].values) == list(contents[name].values[order])
            assert same(np.sort(found.spike_times), np.sort(contents.spike_times))
        elif role == "table":
            stops = schema.STOP_TIME in contents
            found = back[path].to_dataset()
            assert found.sizes == contents.sizes
            assert same(np.sort(found[schema.START_TIME]), contents[schema.START_TIME])
            if stops and "group" in str(type(na.to_pynapple(tree)[path])):
                by_id = found.sel({schema.PRESENTATION: contents[schema.PRESENTATION].values})
                assert same(by_id[schema.STOP_TIME], contents[schema.STOP_TIME])
            for name in ("side", "word") if stops else ():
                assert sorted(found[name].values) == sorted(contents[name].values)
        elif schema.TIME in node.coords:
            for name, array in contents.data_vars.items():
                if array.dtype.kind in "biuf":
                    kept = back[path][name]
                    assert same(kept.values, array.values)
                    assert same(kept[schema.TIME], array[schema.TIME])
                    if name == "wide":
                        assert kept.attrs == array.attrs


def test_rows_that_overlap_are_groups_of_starts_and_stops():
    start, stop = [1.0, 2.0, 3.0, 4.0], [2.5, 3.5, np.nan, 4.0]
    table = xr.Dataset(
        {
            schema.START_TIME: (ROWS, start),
            schema.STOP_TIME: (ROWS, stop),
            "side": (ROWS, np.array(["l", "r", "l", "r"], object)),
        },
        {schema.PRESENTATION: [7, 2, 5, 9]},
    )
    root = xr.Dataset(attrs=schema.root_attrs(schema.RECORDING))
    tree = xr.DataTree.from_dict({"/": root, "s": xr.Dataset(), "s/presentations/go": table})
    objects = na.to_pynapple(tree)
    rows = objects["s/presentations/go"]
    assert isinstance(rows, nap.TsGroup)
    assert rows[2].index.tolist() == [2.0, 3.5]
    assert rows[5].index.tolist() == [3.0]
    assert dict(rows.get_info("side")) == {2: "r", 5: "l", 7: "l", 9: "r"}
    back = na.from_pynapple(dict(objects))["s/presentations/go"].to_dataset()
    back = back.sel({schema.PRESENTATION: [7, 2, 5, 9]})
    assert same(back[schema.START_TIME], start)
    assert same(back[schema.STOP_TIME], stop)
    assert back["side"].values.tolist() == ["l", "r", "l", "r"]
    table[schema.STOP_TIME][1] = 1.0  # it stops before it starts
    tree = xr.DataTree.from_dict({"/": root, "s": xr.Dataset(), "s/presentations/go": table})
    assert "s/presentations/go" not in na.to_pynapple(tree)


def test_values_of_spikes_are_kept():
    group = nap.TsGroup(
        {4: nap.Tsd([1.0, 2.0], [10.0, 20.0]), 6: nap.Ts([3.0]), 9: nap.Tsd([5.0], [7.0])},
        time_support=nap.IntervalSet(0, 9),
    )
    tree = na.from_pynapple({"V1": group})
    na.validate(tree, values=True)
    node = tree["session/V1/spikes"]
    assert same(node["spike_values"].values, [10.0, 20.0, np.nan, 7.0])
    chosen = na.select_units(tree, "unit_id > 4")["session/V1/spikes"]
    assert same(chosen["spike_values"].values, [np.nan, 7.0])
    again = na.to_pynapple(tree)["session/V1/spikes"]
    assert again[4].values.tolist() == [10.0, 20.0]
    objects = na.to_pynapple(tree)
    objects["session/V1/spikes"] = nap.TsGroup(
        {i: nap.Tsd(again[i].index, again[i].values * 2) for i in again.index},
        time_support=again.time_support,
    )
    changed = na.from_pynapple(objects)["session/V1/spikes/spike_values"]
    assert same(changed.values, [20.0, 40.0, np.nan, 14.0])


def test_names_that_a_tree_cannot_have_are_changed_not_lost():
    trains = {1: nap.Ts([0.5, 1.5]), 2: nap.Ts([1.0, 2.0])}
    metadata = {"row_size": [7, 8], "a/b": [1.0, 2.0], "a_b": ["x", "y"]}
    group = nap.TsGroup(trains, metadata=metadata)
    tree = na.from_pynapple({"CA1": group, "time": nap.Tsd([0.0, 1.0], [3.0, 4.0])})
    spikes = tree["session/CA1/spikes"]
    assert spikes["row_size"].values.tolist() == [2, 2]
    assert spikes["row_size_column"].values.tolist() == [7, 8]
    assert spikes["a_b"].values.tolist() == [1.0, 2.0]
    assert spikes["a_b_column"].values.tolist() == ["x", "y"]
    assert tree["session/time"]["time_column"].values.tolist() == [3.0, 4.0]


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        (3, TypeError, "names as text, found 3"),
        ("../x", ValueError, "found '../x'"),
        ("", ValueError, "a name or a path"),
        ("presentations/p", ValueError, "row 1 has 3 times, expected a start and a stop"),
    ],
)
def test_names_that_are_no_paths_and_spikes_in_the_place_of_tables(name, error, words):
    group = nap.TsGroup({1: nap.Ts([0.5, 1.5, 2.5])})
    with pytest.raises(error, match=re.escape(words)):
        na.from_pynapple({name: group})


def test_an_object_without_a_name_is_called_what_it_is():
    with pytest.raises(TypeError, match=r"\{'CA1': ...\}, found a TsGroup"):
        na.from_pynapple(nap.TsGroup({1: nap.Ts([0.5, 1.5])}))
    with pytest.raises(TypeError, match=r"\{'signal': ...\}, found a Tsd"):
        na.from_pynapple(nap.Tsd([0.0, 1.0], [3.0, 4.0]))


def test_what_pynapple_has_no_object_for_is_refused():
    root = xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED))
    dims = (schema.PRESENTATION, schema.UNIT, schema.TIME)
    area = xr.Dataset({schema.SPIKE_DATA: (dims, np.zeros((2, 3, 4), "u1"))})
    with pytest.raises(
        SchemaError, match="s/V1: cut into presentations, which pynapple has no obj"
    ):
        na.to_pynapple(xr.DataTree.from_dict({"/": root, "s/V1": area}))
    root = xr.Dataset(attrs=schema.root_attrs(schema.RECORDING))
    spikes = xr.Dataset(
        {
            schema.SPIKE_TIMES: (schema.SPIKE, np.array([1.0, 2.0])),
            schema.ROW_SIZE: (schema.UNIT, np.array([1, 1])),
        },
        {schema.UNIT: np.array(["a", "b"], object)},
    )
    with pytest.raises(SchemaError, match="unit_id holds the text 'a', where .* whole numbers"):
        na.to_pynapple(xr.DataTree.from_dict({"/": root, "s/V1/spikes": spikes}))
