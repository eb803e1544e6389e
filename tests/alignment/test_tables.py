"""Tables of presentations in all the ways they are given, joined, and read from events."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.presentations import presentations_of, select, session_tables
from neuroarrays.alignment.spikes import bin_spikes
from neuroarrays.errors import NotInTree
from neuroarrays.lazy.indexes import dataset
from neuroarrays.tree.sessions import sessions_of

ONSETS = np.array([1.0, 2.0, 3.0])


def rows(start, **columns):
    given = {"start_time": start} | columns
    return xr.Dataset(
        {name: ("presentation_id", np.asarray(v)) for name, v in given.items()},
        {"presentation_id": np.arange(len(start))},
    )


@pytest.fixture
def tree():
    events = xr.Dataset(
        {"event_time": ("event", ONSETS), "place": (("event", "axis"), np.eye(3)[:, :2])}
    )
    root = xr.Dataset(attrs=schema.root_attrs(schema.RECORDING))
    blank = rows(ONSETS, stop_time=ONSETS + 0.5, blank=[False, True, False], side=[1, 2, 3])
    other = rows([7.0], stop_time=[7.5], side=[9], image=[4])
    return xr.DataTree.from_dict(
        {
            "/": root,
            "/s/presentations/a": blank,
            "/s/presentations/b": other,
            "/s/events/lick": events,
        }
    )


def test_a_table_is_given_for_all_sessions_or_for_each(tree):
    sessions = sessions_of(tree)
    table = rows(ONSETS)
    frame = pd.DataFrame({"start_time": ONSETS})
    for given in (table, frame, ONSETS, {"start_time": ONSETS}):
        assert session_tables(sessions, given)[0]["s"] is given
    assert session_tables(sessions, {"s": frame})[0]["s"] is frame
    assert session_tables(sessions, lambda node: node.path)[0]["s"] == "/s"
    with pytest.raises(NotInTree, match="table for the session"):
        session_tables(sessions | {"t": sessions["s"]}, {"s": frame})


def test_blank_rows_are_left_out_and_said(tree):
    tables, left_out = session_tables(sessions_of(tree), "a")
    assert tables["s"]["side"].values.tolist() == [1, 3]
    assert "blank" not in tables["s"]
    assert left_out == {"s": "1 blank"}
    kept, left_out = session_tables(sessions_of(tree), "a", "keep")
    assert kept["s"]["side"].values.tolist() == [1, 2, 3]
    assert left_out == {}


def test_joined_tables_have_the_columns_they_share(tree):
    joined = select(tree, "a + b")["s"]
    assert joined["start_time"].values.tolist() == [1.0, 3.0, 7.0]
    assert joined["table"].values.tolist() == ["a", "a", "b"]
    assert joined["presentation_id"].values.tolist() == [0, 2, 0]
    assert "image" not in joined
    assert joined.attrs["dropped"] == "a: 1 blank"


def test_each_event_is_a_presentation_with_all_it_has(tree):
    lick = select(tree, "lick")["s"]
    assert lick["start_time"].values.tolist() == ONSETS.tolist()
    assert lick["place"].dims == ("presentation_id", "axis")


def test_a_clock_that_cannot_be_told_must_be_said():
    table = rows([0.0, 0.0], stop_time=[1.0, 1.0], go=[0.1, 0.2])
    with pytest.raises(ValueError, match="event_clock='session' or event_clock='presentation'"):
        presentations_of("s", table, "go", None)
    later = rows([0.0, 9.0], stop_time=[1.0, 10.0], go=[0.1, 0.2])
    assert presentations_of("s", later, "go", None).onsets.tolist() == [0.1, 9.2]
    assert presentations_of("s", later, "go", "session").onsets.tolist() == [0.1, 0.2]


def test_a_part_of_the_clock_is_counted_where_it_lies():
    spikes = dataset(
        {
            "spike_times": xr.Variable("spike", [0.05, 0.55, 0.56, 0.95]),
            "row_size": xr.Variable("unit_id", [4]),
        },
        {"unit_id": xr.Variable("unit_id", [3])},
    )
    counts = bin_spikes(spikes, bin_width=0.1, window=(0.0, 1.0))
    assert counts[5:8, 0].values.tolist() == [2, 0, 0]
    assert counts[[9, 5, 0], 0].values.tolist() == [1, 2, 1]
    assert int(counts[5, 0]) == 2
