"""Choosing units, trials and time: conditions are understood or refused, and what fits is kept."""

import ast

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import example, given
from hypothesis import strategies as st

import neuroarrays as na
from neuroarrays.errors import NeuroArraysError, NothingLeft, NotInTree, QueryError, SchemaError
from neuroarrays.lazy.arrays import array_of
from neuroarrays.lazy.computed import as_lazy
from neuroarrays.lazy.views import Arranged, InMemory, Segments
from neuroarrays.synthetic import write_nwb
from neuroarrays.synthetic.sensorium import StaticOptions, write_static
from neuroarrays.tree import intervals
from neuroarrays.tree.query import Coded, parse

SESSION = "A2929-200711"
COLUMNS = {
    "x": np.array([1.0, 2.0, np.nan, 4.0]),
    "y": np.array([4, 3, 2, 1]),
    "name": np.array(["a", "b", "", None], object),
    "good": np.array([True, False, True, False]),
}


def where(query):
    return parse(query).where(COLUMNS.__getitem__, 4).tolist()


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("x > 1", [0, 1, 0, 1]),
        ("not x > 1", [1, 0, 0, 0]),  # missing is neither
        ("1 < x <= 4", [0, 1, 0, 1]),
        ("x == y", [0, 0, 0, 0]),
        ("x < y", [1, 1, 0, 0]),
        ("x in [1, 4]", [1, 0, 0, 1]),
        ("x not in (1, 4)", [0, 1, 0, 0]),
        ("name == 'a'", [1, 0, 0, 0]),
        ("name != 'a'", [0, 1, 0, 0]),
        ("name in ['a', 'b'] and good", [1, 0, 0, 0]),
        ("good", [1, 0, 1, 0]),
        ("not good", [0, 1, 0, 1]),
        ("x > 3 or good", [1, 0, 1, 1]),
        ("not (x > 3 or good)", [0, 1, 0, 0]),
        ("x > 3 and y > 3", [0, 0, 0, 0]),
        ("not (x > 3 and y > 3)", [1, 1, 1, 1]),  # where x is missing, y decides
        ("y > -1.5e0", [1, 1, 1, 1]),
        ("True", [1, 1, 1, 1]),
    ],
)
def test_conditions_mean_what_they_say(query, rows):
    assert where(query) == [bool(r) for r in rows]


@pytest.mark.parametrize(
    "query", ["name == 'a'", "name in ['a', 'b']", "not name > 'a'", "name == name"]
)
def test_a_column_of_few_values_is_compared_as_any_other(query):
    coded = Coded(np.array(["", "a", None], object), np.array([1, 0, 0, -1, 1]))
    written_out = np.array(["a", "", "", None, "a"], object)
    of_coded = parse(query).where(lambda _: coded, 5).tolist()
    assert of_coded == parse(query).where(lambda _: written_out, 5).tolist()
    assert of_coded[1] == of_coded[2] != of_coded[0] == of_coded[4] or "name == name" in query


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("`stim on` > 1", [1, 2]),
        ("`stim on` > 1 and\n not `class` == 'b'", [2]),
        ("`class` in ['a', '`']", [0, 2]),
        ("'`' == `class`", [2]),
        ("column0 == 5 and `stim on` < 3", [0, 1]),
    ],
)
def test_any_name_may_be_asked_for_between_backticks(query, rows):
    columns = {
        "stim on": np.array([1, 2, 3]),
        "class": np.array(["a", "b", "`"], object),
        "column0": np.array([5, 5, 5]),
    }
    found = parse(query)
    assert set(found.names) <= set(columns)
    assert np.flatnonzero(found.where(columns.__getitem__, 3)).tolist() == rows


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("__import__('os').system('x')", "is a function call"),
        ("x.max() > 1", "'x.max\\(\\)' is a function call"),
        ("x.real > 1", "'x.real' is an attribute"),
        ("x[0] == 1", "'x\\[0\\]' is an index"),
        ("x + 1 > 2", "'x \\+ 1' is arithmetic"),
        ("(x > 1) & (y > 1)", "write `and`"),
        ("(x > 1) | (y > 1)", "write `or`"),
        ("x is 1", "write == or !="),
        ("x in y", "'y' is not a list"),
        ("x in [1, y]", "'y' is not a number or text"),
        ("x in [1] in [2]", "a list in a chain of comparisons"),
        ("(z := x) > 1", "is an assignment"),
        ("lambda: 1", "is a function"),
        ("f'{x}' == 'a'", "is a formatted text"),
        ("[i for i in x]", "is not allowed here"),
        ("x == None", "'None' is no value"),
        ("~x", "write `not`"),
        ("stim on > 1", "in `backticks` if they have spaces"),
        ("`x > 1", "is not a condition"),
        ("x == b'a'", "is not allowed here"),
        ("x ==", "is not a condition \\(invalid syntax"),
        ("x = 1", "write == for equal"),
        ("good and )", "near '\\)'"),
        ("x > 1 & y > 1", "write `and` between conditions"),
        ("", "is not a condition"),
        ("x\0", "is not a condition"),
        ("import os", "is not a condition"),
        ("not " * 200 + "good", "nested too deeply"),
        ("(" * 500 + "x" + ")" * 500, "is not a condition|nested"),
        ("x > 1 or " * 2000 + "good", "characters"),
        (3, "expected a condition as text"),
        ("x == " + "1" * 5000, "is not a condition"),  # more digits than Python reads
        (
            "+".join(["x"] * 900) + " > 1",
            "is arithmetic|nested",
        ),  # too deep to be written out again
        ("x" + ".a" * 3000 + " > 1", "is an attribute|nested"),
        ("x < '\ud800" + "a" * 5000, "is not a condition"),
    ],
)
def test_anything_else_is_refused_and_named(query, part):
    with pytest.raises(QueryError, match=part) as caught:
        parse(query)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("around", ["not ({})", "good or ({})"])
def test_conditions_are_nested_to_a_depth_of_fifty(around):
    text = "good"
    for _ in range(50):
        text = around.format(text)
    assert where(text) == COLUMNS["good"].tolist()
    with pytest.raises(QueryError, match="nested too deeply"):
        where(around.format(text))


def test_values_that_cannot_be_compared_are_named():
    with pytest.raises(QueryError, match="'name' is a text, and 3 is a number"):
        where("name == 3")
    with pytest.raises(QueryError, match="'x' is a number, and .* is a text"):
        where("x in ['a']")
    with pytest.raises(QueryError, match="'x' is neither true nor false"):
        where("x and good")


ODD = {
    "bytes": np.array([b"a", b"", b"c"]),
    "mixed": np.array(["a", 1, None], object),
    "lists": np.array([[1, 2], [3], None], object),
    "na": np.array([pd.NA, 1, 2], object),
    "x": np.array([1.0, np.inf, np.nan]),
    "dates": np.array(["2024-01-01"] * 3, "M8[ns]"),
    "n": np.array([1, 2, 3], np.uint8),
    "words": np.array(["a", "", "c"]),
    "texts": np.array(["a", None, "c"], np.dtypes.StringDType(na_object=None)),
}


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("bytes == 'a'", [1, 0, 0]),
        ("bytes in ['a', 'c']", [1, 0, 1]),
        ("words != 'c'", [1, 0, 0]),
        ("words in ['b', 'a']", [1, 0, 0]),
        ("texts != 'c'", [1, 0, 0]),
        ("texts > 'b'", [0, 0, 1]),
        ("words == texts and texts < 'b'", [1, 0, 0]),
        ("na > 1", [0, 0, 1]),
        (f"x < {10**400}", [1, 0, 0]),  # no float is that large
        (f"x in [1, {10**400}]", [1, 0, 0]),
        ("x == 0x" + "f" * 5000, [0, 0, 0]),
        ("n < 300 and n > -1", [1, 1, 1]),
    ],
)
def test_numbers_of_any_size_and_columns_of_any_kind_are_compared(query, rows):
    assert parse(query).where(ODD.__getitem__, 3).tolist() == [bool(r) for r in rows]


@pytest.mark.parametrize(
    ("query", "part"),
    [
        ("mixed < 'b'", "'mixed' cannot be compared with 'b'"),
        ("lists == 1", "'lists' has values of type list"),
        ("dates == 1", "'dates' has values of type datetime64"),
        ("bytes == 0x" + "f" * 5000, "'bytes' is a text, and ... is a number"),
    ],
)
def test_columns_that_cannot_be_compared_are_named(query, part):
    with pytest.raises(QueryError, match=part) as caught:
        parse(query).where(ODD.__getitem__, 3)
    assert len(str(caught.value)) < 400


ALLOWED = (
    ast.BoolOp,
    ast.And,
    ast.Or,
    ast.UnaryOp,
    ast.Not,
    ast.USub,
    ast.UAdd,
    ast.Compare,
    ast.Eq,
    ast.NotEq,
    ast.Lt,
    ast.LtE,
    ast.Gt,
    ast.GtE,
    ast.In,
    ast.NotIn,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.List,
    ast.Tuple,
    ast.Set,
)
PIECES = [
    "x",
    "y",
    "name",
    "good",
    "1",
    "-2.5",
    "'a'",
    "[1, 2]",
    "(",
    ")",
    "[",
    "]",
    " and ",
    " or ",
    " not ",
    " in ",
    "==",
    "<",
    ">=",
    "!=",
    ".",
    ",",
    ":",
    "=",
    "lambda",
    "f'",
    "{",
    "}",
    "__",
    "import",
    "eval",
    "@",
    "1e999",
    "9" * 400,
    "0x" + "f" * 4000,
    "-" * 200,
    "*",
    "None",
    "\\",
    "\n",
    ";",
    "#",
    " if ",
    " else ",
    ":=",
    " is ",
    "'",
]


@given(st.one_of(st.lists(st.sampled_from(PIECES), max_size=25).map("".join), st.text()))
@example("name < 'b'")
def test_whatever_the_text_it_is_refused_or_harmless(text):
    try:
        query = parse(text)
        rows = query.where(COLUMNS.__getitem__, 4)
    except QueryError:
        return
    except KeyError as error:  # a name that is not there, and nothing else
        assert error.args[0] in query.names  # noqa: PT017
        return
    assert all(isinstance(node, ALLOWED) for node in ast.walk(query.tree))
    assert rows.shape == (4,)
    assert rows.dtype == bool


# ---------------------------------------------------------------------------------- units of trees


@pytest.fixture(scope="module")
def sample():
    return na.load_sample()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    for seed, name in enumerate("ab"):
        write_nwb(folder / f"{name}.nwb", seed=seed)
    return na.open_datatree(folder)


def spikes_of(tree, path):
    node = tree[path].to_dataset()
    return {int(u): node.sel(unit_id=u)["spike_times"].values for u in node["unit_id"].values}


def test_units_come_with_their_spikes_and_unread(sample):
    few = na.select_units(sample, "unit_id in [2, 5, 6, 9]")
    na.validate(few)
    for area in ("adn", "ca1"):
        path = f"{SESSION}/{area}/spikes"
        old, new = spikes_of(sample, path), spikes_of(few, path)
        assert few[path].attrs == sample[path].attrs
        assert set(new) == set(old) & {2, 5, 6, 9}
        for unit, train in new.items():
            np.testing.assert_array_equal(train, old[unit])
    again = na.select_units(few, "unit_id != 5")
    np.testing.assert_array_equal(
        spikes_of(again, f"{SESSION}/adn/spikes")[6], spikes_of(sample, f"{SESSION}/adn/spikes")[6]
    )
    area = few[f"{SESSION}/adn/spikes"]
    assert (
        "..." in repr(area["spike_times"].variable) or not area["spike_times"].variable._in_memory
    )
    counts = na.bin_spikes(area, [700.0], 0.1, (0, 20.0)).values
    whole = na.bin_spikes(sample[f"{SESSION}/adn/spikes"], [700.0], 0.1, (0, 20.0))
    np.testing.assert_array_equal(counts, whole.sel(unit_id=[2, 5, 6]).values)


SIZES, BEGINS = np.array([3, 0, 4, 2]), np.array([10, 0, 2, 17])
HELD = np.concatenate([np.arange(b, b + n) for b, n in zip(BEGINS, SIZES, strict=True)])
SPIKES = {
    "in memory": HELD,
    "lazy": as_lazy(xr.Variable("spike", HELD)).variable(["spike"]),
    "chosen before": Segments(InMemory(np.arange(20)), BEGINS, SIZES).variable(["spike"]),
    "of other stretches": Segments(
        InMemory(np.arange(20)), BEGINS[[0, 2, 3]], SIZES[[0, 2, 3]]
    ).variable(["spike"]),
    "of dask": xr.Variable("spike", HELD).chunk(2),
    "shapes": Arranged(InMemory(HELD), (0, Arranged.NEW)).variable(["spike", "one"]),
}


@pytest.mark.parametrize("units", [[0, 2, 3], [1], [2], [1, 3], [0]])
@pytest.mark.parametrize("kind", SPIKES)
def test_spikes_of_units_whatever_holds_them(kind, units):
    stored = xr.as_variable(SPIKES[kind] if kind != "in memory" else ("spike", HELD))
    node = xr.Dataset(
        {"spike_times": stored.copy(deep=False), "row_size": ("unit_id", SIZES)},
        {"unit_id": np.arange(4)},
        {"place": "here"},
    )
    node["spike_times"].attrs["units"] = "s"
    few = na.select_units(node, f"unit_id in {units}")
    parts = np.split(HELD, np.cumsum(SIZES)[:-1])
    assert few.spike_times.variable._in_memory == (kind == "in memory")
    assert few.spike_times.values.ravel().tolist() == [t for u in units for t in parts[u]]
    assert few.attrs == {"place": "here"}
    assert few.spike_times.attrs == {"units": "s"}
    if kind == "chosen before":
        assert isinstance(array_of(few.spike_times.variable).base, InMemory)


def test_areas_and_sessions_without_a_unit_are_left_out(two):
    found = na.select_units(two, "session == 'b' and area == 'CA1'")
    assert set(found.children) == {"b"}
    assert "VISp" not in found["b"].children
    assert "running" in found["b"].children
    assert len(na.align(found, "trials", 0.05).children) == 1


def test_select_then_align_equals_align_then_select(two):
    query = "snr > 2"
    first = na.align(na.select_units(two, query), "trials", 0.05)
    last = na.select_units(na.align(two, "trials", 0.05), query)
    for path in ("a/VISp", "b/VISp", "a/CA1"):
        assert (path in [p for p, _ in first.subtree_with_keys]) == (
            path in [p for p, _ in last.subtree_with_keys]
        )
        if path in [p for p, _ in first.subtree_with_keys]:
            assert (
                first[path]
                .to_dataset()
                .drop_attrs()
                .identical(last[path].to_dataset().drop_attrs())
            )


def test_units_of_a_branch_and_of_a_dataset(sample):
    area = na.select_units(sample[f"{SESSION}/adn"], "unit_id < 3")
    assert area.path == f"/{SESSION}/adn"
    assert area["spikes"].sizes["unit_id"] == 3
    assert set(area.root[SESSION].children) == {"adn", "observed"}
    node = na.select_units(sample[f"{SESSION}/adn/spikes"].to_dataset(), "unit_id < 3")
    assert node.sel(unit_id=2).sizes["spike"] == 9743


def test_what_no_unit_fits_says_which_condition(sample):
    said = "fits no unit of 15: \"area == 'adn'\" alone fits 7, 'unit_id > 9' alone fits 5"
    with pytest.raises(NothingLeft, match=said):
        na.select_units(sample, "area == 'adn' and unit_id > 9")
    with pytest.raises(
        NotInTree, match="no column 'locaton' in the units of this tree.*did you mean 'location'"
    ):
        na.select_units(sample, "locaton == 'adn'")
    with pytest.raises(SchemaError, match="neuroarrays_schema"):
        na.select_units(xr.DataTree(), "unit_id > 9")


# --------------------------------------------------------------------------------------- trials


def test_trials_of_both_trees_are_the_same_ones(two):
    query = "contrast > 0.3 and rewarded"
    tables = na.trials(two, query)
    aligned = na.trials(na.align(two, "trials", 0.05), query)
    for session in aligned.children:
        table = two[f"{session}/presentations/trials"].to_dataset()
        want = (table["contrast"] > 0.3) & (table["rewarded"].astype(bool))
        kept = tables[f"{session}/presentations/trials"].to_dataset()
        np.testing.assert_array_equal(kept["start_time"], table["start_time"][want.values])
        area = aligned[f"{session}/VISp"]
        np.testing.assert_array_equal(area["presentation_id"], kept["presentation_id"])
        assert area["pupil"].sizes["presentation_id"] == int(want.sum())
        np.testing.assert_array_equal(area["contrast"], kept["contrast"])
    na.validate(tables)
    na.validate(aligned)


def test_trials_of_one_area_of_a_dataset_and_of_a_table(two):
    aligned = na.align(two, "trials", 0.05)
    area = na.trials(aligned["a/VISp"], "presentation_id < 2")
    assert area.path == "/a/VISp"
    assert area.sizes["presentation_id"] == 2
    node = na.trials(aligned["a/VISp"].to_dataset(), "presentation_id < 2")
    assert node["spike_data"].identical(area["spike_data"])
    table = na.trials(two["a/presentations/trials"].to_dataset(), "presentation_id < 2")
    assert table.sizes["presentation_id"] == 2


def test_a_parameter_that_is_missing_belongs_to_no_condition(two):
    aligned = na.align(two, "trials", 0.05)["a/VISp"].to_dataset()
    n = aligned.sizes["presentation_id"]
    orientation = np.where(np.arange(n) % 2, 90.0, np.nan)
    blanks = aligned.assign_coords(orientation=("presentation_id", orientation))
    one = na.trials(blanks, "orientation == 90").sizes["presentation_id"]
    assert one == n // 2
    with pytest.raises(NothingLeft):
        na.trials(blanks, "not orientation == 90")


def test_a_table_of_a_recording_that_nothing_fits_is_empty_and_stays(two):
    tree = na.trials(two, "session == 'a'")
    assert tree["b/presentations/trials"].sizes["presentation_id"] == 0
    assert tree["a/presentations/trials"].sizes["presentation_id"] == 6


def test_of_many_conditions_some_are_told(two):
    query = " and ".join(f"presentation_id > {100 + k}" for k in range(8))
    with pytest.raises(NothingLeft, match="105' alone fits 0, 2 more conditions; 'presentation"):
        na.trials(two, query)


def test_trials_that_nothing_fits_say_which_condition_emptied_them(two):
    with pytest.raises(
        NothingLeft,
        match="no presentation of 12.*'contrast > 5' alone fits 0.*'contrast' goes from",
    ):
        na.trials(two, "contrast > 5 and presentation_id >= 0")
    with pytest.raises(NotInTree, match="did you mean 'contrast'"):
        na.trials(two, "contrst > 0.5")
    with pytest.raises(QueryError, match="function call"):
        na.trials(two, "max(contrast) > 0.5")


# ------------------------------------------------------------------------------------ intervals

SPANS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 6)).map(lambda p: (p[0], p[0] + p[1])),
    min_size=1,
    max_size=8,
)


def covered(table):
    """Which unit stretches of time some rows cover."""
    starts, stops = intervals.spans(table)
    return {k for a, b in zip(starts, stops, strict=True) for k in range(int(a), int(b))}


@given(SPANS, SPANS)
def test_intervals_are_sets_of_time(a, b):
    assert covered(intervals.union(a, b)) == covered(a) | covered(b)
    assert covered(intervals.intersection(a, b)) == covered(a) & covered(b)
    rest = intervals.difference(a, b)
    assert covered(rest) == covered(a) - covered(b)
    joined = intervals.merge(a)
    assert covered(joined) == covered(a)
    assert (joined["start_time"].values[1:] > joined["stop_time"].values[:-1]).all()
    for row, (start, stop) in enumerate(a):
        mine = rest.isel(presentation_id=rest["presentation_id"].values == row)
        assert covered(mine) == set(range(start, stop)) - covered(b)


def test_rows_that_overlap_keep_their_labels():
    table = pd.DataFrame(
        {"start_time": [0.0, 1.0, 8.0], "stop_time": [4.0, 6.0, 9.0], "side": ["l", "r", "l"]}
    )
    cut = intervals.difference(table, [(2.0, 3.0)])
    assert cut["side"].values.tolist() == ["l", "l", "r", "r", "l"]
    assert cut["presentation_id"].values.tolist() == [0, 0, 1, 1, 2]
    np.testing.assert_array_equal(cut["start_time"], [0, 3, 1, 3, 8])
    both = intervals.union(table, table)
    assert both.sizes["presentation_id"] == 6
    assert "side" in both


def test_parts_of_rows_last_as_long_as_they_do():
    table = pd.DataFrame({"start_time": [0.0], "stop_time": [4.0], "duration": [4.0]})
    assert intervals.difference(table, [(1.0, 2.0)])["duration"].values.tolist() == [1, 2]


def test_tables_of_xarray_are_cut_along_their_rows():
    table = intervals.merge([(0.0, 4.0), (6.0, 7.0)]).assign(side=("presentation_id", ["l", "r"]))
    cut = intervals.difference(table, [(1.0, 2.0)])
    assert cut["side"].values.tolist() == ["l", "l", "r"]
    assert cut["stop_time"].values.tolist() == [1, 4, 7]
    assert cut["stop_time"].attrs["units"] == "s"
    with pytest.raises(SchemaError, match="dims {'row': 2}; expected presentation_id"):
        intervals.difference(table.rename(presentation_id="row"), [(1.0, 2.0)])


def test_intervals_without_extent_are_refused():
    with pytest.raises(
        ValueError, match="1 of 2 intervals with no valid extent: row 1 goes from 3"
    ):
        intervals.merge([(0.0, 1.0), (3.0, 2.0)])
    with pytest.raises(SchemaError, match="no 'stop_time'"):
        intervals.merge(pd.DataFrame({"start_time": [0.0]}))
    with pytest.raises(SchemaError, match="expected \\(n, 2\\)"):
        intervals.merge([1.0, 2.0, 3.0])


@pytest.mark.slow  # pynapple compiles for 3 s; the test of all pairs of sets above checks the same
@pytest.mark.peers("pynapple")
def test_sets_of_time_agree_with_pynapple():
    nap = pytest.importorskip("pynapple", reason="the group `peers` is not installed")
    a, b = np.array([[0, 4], [6, 9], [12, 20.0]]), np.array([[3, 7], [8, 13], [15, 16.0]])
    one, two = nap.IntervalSet(a), nap.IntervalSet(b)
    for ours, theirs in (
        (intervals.intersection(a, b), one.intersect(two)),
        (intervals.difference(a, b), one.set_diff(two)),
        (intervals.merge(intervals.union(a, b)), one.union(two)),
    ):
        np.testing.assert_allclose(np.stack(intervals.spans(ours), 1), theirs.values)


# ------------------------------------------------------------------------------------- restrict


def test_a_recording_is_cut_to_the_intervals(sample):
    epochs = [(10.0, 20.0), (15.0, 30.0), (700.0, 701.0)]
    cut = na.restrict(sample, epochs)
    na.validate(cut, values=True)

    def within(times):
        return ((times >= 10) & (times < 30)) | ((times >= 700) & (times < 701))

    for area in ("adn", "ca1"):
        path = f"{SESSION}/{area}/spikes"
        old, new = spikes_of(sample, path), spikes_of(cut, path)
        for unit, train in old.items():
            np.testing.assert_array_equal(new[unit], train[within(train)])
    clock = sample[f"{SESSION}/position"]["time"].values
    np.testing.assert_array_equal(cut[f"{SESSION}/position"]["time"], clock[within(clock)])
    table = sample[f"{SESSION}/presentations/sleep_ripples"].to_dataset()
    whole = within(table["start_time"]) & within(table["stop_time"] - 1e-9)
    kept = cut[f"{SESSION}/presentations/sleep_ripples"]["presentation_id"]
    np.testing.assert_array_equal(kept, table["presentation_id"][whole.values])


def test_what_was_cut_away_is_no_silence(sample):
    epochs = [(600.0, 700.0), (800.0, 850.0)]
    cut = na.restrict(sample, epochs)
    path = f"{SESSION}/adn"
    # Cut first or aligned first: the same bins count.
    first = na.align(cut, bin_width=0.1)[path].to_dataset()
    last = na.restrict(na.align(sample, bin_width=0.1), epochs)[path].to_dataset()
    assert first["valid"].sum() == last["valid"].sum() == 1500
    for node in (first, last):
        node["spike_data"].load()
    np.testing.assert_array_equal(
        first["spike_data"][first["valid"].values], last["spike_data"][last["valid"].values]
    )
    want = na.firing_rate(sample[path], epochs)
    np.testing.assert_allclose(na.firing_rate(cut[path]), want)
    twice = na.restrict(cut, (650.0, 820.0))
    np.testing.assert_allclose(
        na.firing_rate(twice[path]),
        na.firing_rate(sample[path], [(650, 700), (800, 820)]),
    )
    said = str(na.describe(cut))
    assert "2.5 min" in said
    assert "position 60 Hz" in said


def test_invalid_times_stay_when_a_recording_is_cut(sample):
    tree = sample.copy()
    path = f"{SESSION}/presentations/invalid_times"
    table = {"start_time": [90.0, 300.0], "stop_time": [110.0, 310.0], "tags": ["noise", "noise"]}
    tree[path] = xr.Dataset({k: ("presentation_id", v) for k, v in table.items()})
    cut = na.restrict(tree, (100.0, 400.0))
    kept = cut[path].to_dataset()
    assert kept["start_time"].values.tolist()[:2] == [90.0, 300.0]
    assert kept["tags"].values.tolist()[:2] == ["noise", "noise"]
    spikes = spikes_of(sample, f"{SESSION}/adn/spikes")
    good = [
        ((t >= 110) & (t < 300)).sum() + ((t >= 310) & (t < 400)).sum() for t in spikes.values()
    ]
    for part in (tree, cut):  # of a part and its invalid times, or of what is left
        rate = na.firing_rate(part[f"{SESSION}/adn"], (100.0, 400.0))
        np.testing.assert_allclose(rate, np.array(good) / 280)
    with pytest.raises(SchemaError, match="found 'epochs'"):
        na.firing_rate(tree[f"{SESSION}/adn/spikes"].to_dataset(), "epochs")  # without its session


def test_a_table_of_the_session_may_be_named(sample):
    table = sample[f"{SESSION}/presentations/epochs"].to_dataset()
    wake = na.trials(table, "tags == 'wake'")
    assert na.restrict(sample, wake)[f"{SESSION}/adn/spikes"].sizes["spike"] < 79349
    assert na.restrict(sample, "epochs")[f"{SESSION}/adn/spikes"].sizes["spike"] == 79349
    with pytest.raises(NotInTree, match="did you mean 'epochs'"):
        na.restrict(sample, "epoch")


def test_a_clock_is_masked_and_not_broken(sample):
    clock = na.align(sample, bin_width=0.1, window=(700, 720))
    cut = na.restrict(clock, [(702.0, 703.05), (705.0, 706.0)])
    area = cut[f"{SESSION}/adn"]
    assert area.sizes["time"] == 40
    np.testing.assert_allclose(area["time"].values[[0, -1]], [702.05, 705.95])
    np.testing.assert_array_equal(np.flatnonzero(area["valid"]), [*range(10), *range(30, 40)])
    na.validate(cut)


def test_aligned_trials_lie_wholly_within(sample):
    ripples = na.align(sample, "sleep_ripples", 0.01)
    cut = na.restrict(ripples, (100.0, 200.0))[f"{SESSION}/ca1"]
    starts, stops = cut["start_time"].values, cut["stop_time"].values
    assert starts.size
    assert (starts >= 100).all()
    assert (stops <= 200).all()


def test_intervals_outside_leave_nothing(sample):
    with pytest.raises(NothingLeft, match="1 stretch from 5000 to 6000 s"):
        na.restrict(sample, (5000.0, 6000.0))
    with pytest.raises(NothingLeft):
        na.restrict(na.align(sample, "sleep_ripples", 0.01), (5000.0, 6000.0))
    with pytest.raises(NothingLeft):
        na.restrict(na.align(sample, bin_width=0.1), (5000.0, 6000.0))
    assert issubclass(NothingLeft, NeuroArraysError)


def test_what_lies_below_an_area_loses_the_same_units(tmp_path):
    write_static(tmp_path / "static1-2-3-a", StaticOptions(units=6, areas=("V1", "LM"), train=2))
    tree = na.open_datatree(tmp_path / "static1-2-3-a")
    few = na.select_units(tree, "area == 'V1' and unit_id > 1")
    assert set(few["1-2-3"].children) == {"V1"}
    kept = few["1-2-3/V1"]["unit_id"].values
    assert kept.tolist() == [3, 6]
    deviation = "statistics/all/responses_std"
    expected = tree["1-2-3/V1"][deviation].values[np.isin(tree["1-2-3/V1"]["unit_id"], kept)]
    np.testing.assert_array_equal(few["1-2-3/V1"][deviation].values, expected)
