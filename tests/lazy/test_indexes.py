"""The two lazy indexes: over a clock that is not read, and over units that own spikes."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from xarray.core.indexes import PandasIndex

import neuroarrays as na
from neuroarrays.errors import NotInTree
from neuroarrays.lazy import indexes
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.indexes import ClockIndex, UnitIndex
from neuroarrays.testing import outer, same_values

SAMPLE = Path(na.__file__).parent / "demo" / "_sample" / "A2929-200711.nwb"

# ------------------------------------------------------------------------------ ClockIndex


class Counted(LazyArray):
    """A clock that counts how often it is read."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.reads = values, values.shape, values.dtype, 0

    def outer(self, key):
        self.reads += 1
        return outer(self.values, key)

    def __dask_tokenize__(self):
        return "counted", self.values.tolist()


TIMES = np.array([0.0, 0.5, 1.0, 1.75, 2.0, 3.0])


@pytest.fixture
def clock():
    return Counted(TIMES)


def on(clock):
    values = xr.Variable("time", np.arange(clock.shape[0], dtype=float))
    return indexes.dataset({"x": values}, {"time": clock.variable(("time",), {"units": "s"})})


def test_clock_is_not_read_until_a_time_is_asked_for(clock):
    node = on(clock)
    assert isinstance(node.xindexes["time"], ClockIndex)
    repr(node), node._repr_html_(), copy.deepcopy(node), node.copy(deep=True)
    node.isel(time=0), node.isel(time=slice(1, 4)), node.isel(time=slice(None, None, -2))
    (
        node.rename(time="t"),
        node.x * 2,
        node.x + node.x,
        node.assign(y=node.x),
        xr.merge([node, node]),
    )
    xr.DataTree.from_dict({"/a": node, "/b": node})
    assert clock.reads == 0
    assert node.sel(time=1.0).x == 2
    assert clock.reads == 1


def test_clock_selects(clock):
    node = on(clock)
    assert node.sel(time=slice(0.5, 2)).x.values.tolist() == [1, 2, 3, 4]
    assert node.sel(time=[0.6, 2.9], method="nearest").x.values.tolist() == [1, 5]
    assert node.sel(time=0.9, method="ffill").x == 1
    with pytest.raises(KeyError, match="method"):
        node.sel(time=0.9)
    cut = on(Counted(TIMES)).isel(time=slice(1, None, 2))
    assert isinstance(cut.xindexes["time"], ClockIndex)
    assert cut.time.values.tolist() == [0.5, 1.75, 3.0]
    assert cut.time.attrs["units"] == "s"
    assert cut.sel(time=1.75).x == 3
    assert node.isel(time=[4, 0]).time.values.tolist() == [2.0, 0.0]
    assert node.isel(time=TIMES > 1).sel(time=2.0).x == 4
    assert node.isel(time=slice(None, None, -1)).time.values.tolist() == TIMES[::-1].tolist()


def test_a_clock_that_was_read_is_not_read_again(clock):
    node = on(clock)
    assert node.sel(time=2.0).x == 4
    assert node.isel(time=slice(1, 4)).sel(time=0.5).x == 1
    assert clock.reads == 1


def test_clocks_along_other_dims_differ(clock):
    one, other = (ClockIndex(clock, dim, "time") for dim in ("time", "t"))
    assert one.equals(ClockIndex(clock, "time", "time"))
    assert clock.reads == 0
    assert not one.equals(other)


def test_clock_equals(clock):
    index = on(clock).xindexes["time"]
    assert index.equals(on(clock).xindexes["time"])
    assert index.equals(on(Counted(TIMES.copy())).xindexes["time"])
    assert index.equals(PandasIndex(TIMES, "time"))
    assert PandasIndex(TIMES, "time").equals(index)
    assert not index.equals(on(Counted(TIMES + 1)).xindexes["time"])
    assert not index.equals(PandasIndex(TIMES, "t"))


def test_a_clock_taken_from_its_index_has_its_units(clock):
    node = on(clock)
    cut = node.isel(time=slice(1, 3))
    for name, of_it in (("time", node), ("t", node.rename(time="t")), ("time", cut)):
        again = xr.Coordinates.from_xindex(of_it.xindexes[name])
        assert again[name].attrs == {"units": "s"}
    assert clock.reads == 0


def test_a_clock_in_memory_gets_an_index_of_xarray(clock):
    node = on(clock).load().drop_indexes("time").set_xindex("time", ClockIndex)
    assert type(node.xindexes["time"]) is PandasIndex
    assert node.sel(time=1.75).x == 3


def test_the_kind_of_each_index(clock, spikes):
    along = xr.Variable("x", [1, 2])
    for node, forms in (
        (on(clock), {"time": "clock"}),
        (spikes, {"unit_id": "units"}),
        (indexes.dataset({}, {"x": along, "time": xr.Variable("time", TIMES)}), None),
        (indexes.dataset({}, {"x": clock.variable(("x",))}), None),
        (indexes.dataset({}, {"unit_id": xr.Variable("unit_id", UNITS)}), None),
    ):
        kinds = {name: indexes.form_of(index) for name, index in node.xindexes.items()}
        assert kinds == (forms or dict.fromkeys(kinds, "plain"))


def test_indexes_in_words(clock, spikes):
    assert repr(on(clock).xindexes["time"]) == "ClockIndex (6 times, read when needed)"
    units = spikes.xindexes["unit_id"]
    assert repr(units) == units._repr_inline_(9) == "UnitIndex (4 units, 9 spikes)"
    assert "ClockIndex (6 times, read when needed)" in repr(on(clock).xindexes)


def test_a_dataset_keeps_what_its_coordinates_say():
    kept = indexes.dataset({}, {"x": xr.Variable("x", [1, 2], {"units": "um"}, {"dtype": "i2"})})
    assert kept.x.attrs == {"units": "um"}
    assert kept.x.encoding == {"dtype": "i2"}


def test_sizes_that_differ_are_an_error():
    with pytest.raises(ValueError, match="b has 3 values along x, others 2"):
        indexes.dataset({"a": xr.Variable("x", [1, 2]), "b": xr.Variable("x", [1, 2, 3])})


def test_clock_aligns_with_any_other(clock):
    node = on(clock)
    plain = xr.DataArray(np.ones(3), {"time": TIMES[1:4]}, "time")
    assert (node.x + plain).time.values.tolist() == TIMES[1:4].tolist()
    assert (plain + node.x).sizes["time"] == 3
    assert (node.x.isel(time=slice(1, None)) - node.x).sizes["time"] == 5
    assert node.x.diff("time").values.tolist() == [1] * 5
    a, b = xr.align(node.x.isel(time=[0, 1]), node.x, join="outer")
    assert a.sizes == b.sizes == {"time": 6}
    with pytest.raises(xr.AlignmentError):
        xr.align(node.x.isel(time=[0, 1]), node.x, join="exact")


def test_clock_in_what_xarray_offers(clock):
    node = on(clock)
    assert node.reindex(time=[0.6, 2.9], method="nearest").x.values.tolist() == [1, 5]
    assert node.interp(time=[0.25, 2.5]).x.values.tolist() == [0.5, 4.5]
    both = xr.concat([node, node.assign_coords(time=TIMES + 10)], "time")
    assert both.time.values.tolist() == [*TIMES, *(TIMES + 10)]
    assert xr.concat([node, node], "time").sizes["time"] == 12
    assert node.roll(time=1, roll_coords=True).time.values.tolist() == [3.0, *TIMES[:-1]]
    assert node.where(node.time > 1, drop=True).sizes["time"] == 3
    assert node.groupby_bins("time", [0, 1, 3]).mean().x.values.tolist() == [1.5, 4]
    assert node.sortby("time", ascending=False).x.values[0] == 5
    assert node.to_dataframe().index.tolist() == TIMES.tolist()
    assert node.indexes["time"].name == "time"
    assert node.rename(time="t").sel(t=1.0).x == 2
    assert node.drop_vars("time").sizes == {"time": 6}
    assert node.load().identical(on(clock))


def test_clock_over_a_tree():
    tree = na.open_datatree(SAMPLE)
    part = tree.sel(time=slice(700, 701))
    session = part["A2929-200711"]
    for name in ("position", "head_direction"):
        times = session[name]["time"].values
        assert times.min() >= 700
        assert times.max() <= 701
        assert times.size == 60
    assert session["adn/spikes"].sizes["spike"] == tree["A2929-200711/adn/spikes"].sizes["spike"]
    assert pickle.loads(pickle.dumps(tree)).equals(tree)
    assert tree.copy(deep=True).identical(tree)


# ------------------------------------------------------------------------------- UnitIndex

SPIKES = [3, 0, 2, 4]
UNITS = [10, 20, 30, 5]


@pytest.fixture
def spikes():
    total = sum(SPIKES)
    return indexes.dataset(
        {
            "spike_times": xr.Variable("spike", np.arange(total, dtype=float)),
            "row_size": xr.Variable("unit_id", SPIKES),
        },
        {
            "unit_id": xr.Variable("unit_id", np.array(UNITS)),
            "depth": xr.Variable("unit_id", [1.0, 2.0, 3.0, 4.0]),
        },
    )


def train(unit):
    k = UNITS.index(unit)
    return list(range(sum(SPIKES[:k]), sum(SPIKES[: k + 1])))


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_selects_its_spikes(spikes, unit):
    one = spikes.sel(unit_id=unit)
    assert one.spike_times.values.tolist() == train(unit)
    assert one.row_size == len(train(unit))
    assert one.depth == UNITS.index(unit) + 1


@pytest.mark.parametrize(
    ("label", "units"),
    [
        ([20, 30], [20, 30]),
        ([5, 10], [5, 10]),
        ([10, 10], [10, 10]),
        ([], []),
        ([20], [20]),
        (slice(20, 5), [20, 30, 5]),
        (slice(None, 20), [10, 20]),
        (slice(None), UNITS),
        (slice(30, 20), []),
        (np.array([30, 10]), [30, 10]),
        (np.array([True, False, True, False]), [10, 30]),
        (xr.DataArray([5, 30], dims="unit_id"), [5, 30]),
        (xr.DataArray([5, 30], dims="pair"), [5, 30]),  # a ragged array keeps its own dimension
        (xr.Variable("pair", [30, 10]), [30, 10]),
    ],
)
def test_units_select_their_spikes(spikes, label, units):
    some = spikes.sel(unit_id=label)
    assert some.unit_id.values.tolist() == units
    assert some.row_size.dims == ("unit_id",)
    assert some.spike_times.values.tolist() == [t for unit in units for t in train(unit)]
    assert isinstance(some.xindexes["unit_id"], UnitIndex)
    for unit in set(units):
        if units.count(unit) == 1:
            assert some.sel(unit_id=unit).spike_times.values.tolist() == train(unit)
    if units == list(dict.fromkeys(units)):
        assert some.sel(unit_id=units[::-1]).row_size.values.tolist() == [
            len(train(unit)) for unit in reversed(units)
        ]


@pytest.mark.parametrize("label", [UNITS[1], [UNITS[1]], slice(UNITS[1], UNITS[1])])
def test_an_array_without_spikes_says_where_to_select_units(spikes, label):
    with pytest.raises(
        ValueError, match=r"no spikes.*select from the dataset first, as in node\.sel"
    ):
        spikes.row_size.sel(unit_id=label)
    selected = spikes.sel(unit_id=label).row_size
    assert selected.sum() == SPIKES[1]


def test_nearest_unit(spikes):
    ordered = spikes.sel(unit_id=[5, 10, 20, 30])
    assert ordered.sel(unit_id=28, method="nearest").spike_times.values.tolist() == train(30)


@pytest.mark.parametrize(
    ("label", "named"),
    [
        (99, "99"),
        ([10, 99], "99"),
        ([98, 99], "[98, 99]"),
        (slice(20, 99), "99"),
        (slice(98, None), "98"),
    ],
)
def test_an_unknown_unit_is_named(spikes, label, named):
    with pytest.raises(NotInTree) as caught:
        spikes.sel(unit_id=label)
    assert str(caught.value).startswith(f"no unit {named}; there are 10, 20, 30, 5")


def test_a_tuple_of_units_is_one_label(spikes):
    with pytest.raises(KeyError, match="not all values found"):
        spikes.sel(unit_id=(10, 20))


@pytest.mark.parametrize("key", [[1, 3], slice(2, None), np.array([False, True, True, False]), [3]])
def test_positions_keep_who_owns_which_spikes(spikes, key):
    """`isel` takes rows and leaves the spikes; a label still finds its own."""
    rows = spikes.isel(unit_id=key)
    assert rows.sizes["spike"] == sum(SPIKES)
    for unit in rows.unit_id.values:
        assert rows.sel(unit_id=unit).spike_times.values.tolist() == train(unit)


def test_one_position_drops_the_index(spikes):
    assert "unit_id" not in spikes.isel(unit_id=0).xindexes


def test_units_align_with_labels_of_others(spikes):
    rate = xr.DataArray([1.0, 2.0], {"unit_id": [30, 10]}, "unit_id")
    assert (spikes.row_size * rate).sel(unit_id=30) == 2
    assert spikes.row_size.groupby("unit_id").sum().sizes["unit_id"] == 4
    assert spikes.drop_sel(unit_id=20).spike_times.size == sum(SPIKES)
    assert spikes.rename(unit_id="u").sel(u=5).spike_times.size == 4


def test_units_pickle_and_copy(spikes):
    for again in (
        pickle.loads(pickle.dumps(spikes)),
        spikes.copy(deep=True),
        copy.deepcopy(spikes),
    ):
        assert again.identical(spikes)
        assert again.sel(unit_id=5).spike_times.values.tolist() == train(5)


def test_units_are_equal_if_labels_and_sizes_are():
    ids, sizes = [10, 20], np.array([3, 4])
    index = UnitIndex.of(ids, "unit_id", sizes)
    assert index.equals(UnitIndex.of(ids, "unit_id", sizes.copy()))
    assert index.equals(PandasIndex(ids, "unit_id"))
    assert not index.equals(UnitIndex.of([10, 30], "unit_id", sizes))
    assert not index.equals(UnitIndex.of(ids, "unit_id", sizes + 1))
    assert not index.equals(PandasIndex([10, 30], "unit_id"))


def test_sizes_that_do_not_add_up_get_no_unit_index():
    sizes = xr.Variable("unit_id", [2, 2])
    ids = {"unit_id": xr.Variable("unit_id", [0, 1])}
    cut = indexes.dataset({"t": xr.Variable("spike", np.zeros(3)), "row_size": sizes}, ids)
    assert not isinstance(cut.xindexes["unit_id"], UnitIndex)


def test_units_over_a_tree():
    tree = na.open_datatree(SAMPLE)
    whole = tree["A2929-200711/ca1/spikes"].to_dataset()
    for unit in (7, 11, 14):
        ends = np.cumsum(whole.row_size.values)
        k = unit - 7
        expected = whole.spike_times.values[ends[k] - whole.row_size.values[k] : ends[k]]
        one = tree["A2929-200711/ca1/spikes"].to_dataset().sel(unit_id=unit).spike_times
        assert same_values(one.values, expected)
