"""Presentations as users have them: frames with any index and type of column, intervals, bare onsets."""

import datetime

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.alignment.given_tables import table_of

TIMES = {"start_time": [0.0, 10.0], "stop_time": [1.0, 11.0]}


def frame(**columns):
    return pd.DataFrame(TIMES | columns)


def of(given):
    return table_of(given, "start_time")


def test_starts_and_stops_side_by_side_are_presentations(ticking):
    pairs = np.transpose([TIMES["start_time"], TIMES["stop_time"]])
    for given in (pairs, pairs.tolist(), xr.DataArray(pairs), TIMES, frame()):
        area = na.align(ticking, given, 0.1)["s/x"]
        assert area["spike_data"].sum("time").values.ravel().tolist() == [10, 10]
        assert area["stop_time"].values.tolist() == [1.0, 11.0]


def test_a_node_of_a_tree_and_its_frame_give_the_same_presentations(ticking):
    tree = ticking.copy()
    table = of(frame(side=["l", "r"])).assign_coords(presentation_id=[7, 3])
    tree["s/presentations/bars"] = xr.DataTree(table)
    rows = tree["s/presentations/bars"].to_dataset().to_dataframe()
    for given in (tree["s/presentations/bars"], table, rows, rows.reset_index()):
        area = na.align(tree, given, 0.1)["s/x"]
        assert area["presentation_id"].values.tolist() == [7, 3]
        assert area["side"].values.tolist() == ["l", "r"]


@pytest.mark.parametrize(
    ("index", "ids", "columns"),
    [
        (pd.Index([4, 9]), [4, 9], {}),
        (pd.Index([4, 9], name="presentation_id"), [4, 9], {}),
        (pd.Index([4, 9], name="trial"), [4, 9], {"trial": [4, 9]}),
        (pd.Index(["a", "b"]), [0, 1], {"index": ["a", "b"]}),
        (pd.Index(["a", "b"], name="cue"), [0, 1], {"cue": ["a", "b"]}),
        (
            pd.MultiIndex.from_tuples([(1, "a"), (1, "b")], names=["run", None]),
            [0, 1],
            {"run": [1, 1], "level_1": ["a", "b"]},
        ),
        (pd.CategoricalIndex(["b", "a"], name="cue"), [0, 1], {"cue": ["b", "a"]}),
        (pd.Index([0.0, 10.0], name="start_time"), [0, 1], {}),
    ],
    ids=repr,
)
def test_no_label_of_rows_is_lost(index, ids, columns):
    table = of(frame().set_index(index))
    assert table["presentation_id"].values.tolist() == ids
    assert {name: table[name].values.tolist() for name in columns} == columns
    assert set(table.data_vars) == {"start_time", "stop_time", *columns}


def test_onsets_of_a_column_keep_the_numbers_of_its_rows():
    onsets = frame().set_index(pd.Index([4, 9]))["start_time"]
    assert of(onsets)["presentation_id"].values.tolist() == [4, 9]
    masked = np.ma.masked_array([1, 2], [False, True])
    np.testing.assert_array_equal(of(masked)["start_time"], [1.0, np.nan])


def test_a_sparse_column_is_a_column():
    found = of(frame(hit=pd.arrays.SparseArray([0, 1])))["hit"]
    assert found.dtype == np.int64
    assert found.values.tolist() == [0, 1]


DAYS = pd.to_datetime(["2024-01-01 10:00", None])


@pytest.mark.parametrize(
    ("dates", "text"),
    [
        (DAYS, "2024-01-01T10:00:00"),
        (DAYS.tz_localize("Europe/Berlin"), "2024-01-01T10:00:00+01:00"),
        ([datetime.date(2024, 1, 1), None], "2024-01-01"),
        (pd.PeriodIndex(["2024-01", None], freq="M"), "2024-01"),
    ],
    ids=["naive", "aware", "day", "month"],
)
def test_dates_are_text_and_are_saved(dates, text, ticking, tmp_path):
    tables = (frame(when=dates), of(frame()).assign(when=("presentation_id", dates)))
    for i, given in enumerate(tables[: 1 + isinstance(dates, pd.DatetimeIndex)]):
        aligned = na.align(ticking, given, 0.5)
        opened = na.open_datatree(na.save(aligned, tmp_path / f"{i}.h5"))
        found = opened["s/x/presentations"]["when"].values
        assert str(found[0]).startswith(text)
        assert pd.isna(found[1])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (2.0, r"onsets \(n,\), or starts and stops \(n, 2\) in seconds; found 2.0"),
        (np.array(2.0), "found an array of shape ()"),
        (np.zeros((2, 3)), r"found an array of shape \(2, 3\)"),
        ((x for x in [0.0]), "found a generator"),
        ({0.0, 1.0}, "found a set"),
        ({"start_time": [0.0], "stop_time": [1.0, 2.0]}, "found a dict"),
        (pd.DataFrame([[0.0, 1, 2]], columns=["start_time", "a", "a"]), "two columns 'a'"),
        (pd.DataFrame([[0.0, 1, 2]], columns=["start_time", 1, "1"]), "two columns '1'"),
        (frame(presentation_id=[0.5, 1.5]), "presentation_id has float64; expected whole numbers"),
    ],
    ids=[*"abcdef", "twice", "number", "fraction"],
)
def test_what_is_no_table_is_named(given, said, ticking):
    with pytest.raises(na.SchemaError, match=said):
        na.align(ticking, given, 0.1, (0, 1))


def test_point_events_are_presentations_as_by_their_name(ticking):
    tree = ticking.copy()
    licks = xr.Dataset({"event_time": ("event", [1.0, 10.0]), "side": ("event", ["l", "r"])})
    tree["s/events/lick"] = xr.DataTree(licks)
    by_name = na.align(tree, "lick", 0.1, (0, 1))["s/x"]
    for given in (tree["s/events/lick"], licks):
        area = na.align(tree, given, 0.1, (0, 1))["s/x"]
        assert area["side"].values.tolist() == ["l", "r"]
        assert area["spike_data"].identical(by_name["spike_data"])
