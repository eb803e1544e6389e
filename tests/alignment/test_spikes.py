"""Labelled counts: lazy, exact, and only of what is asked for."""

import pickle
import threading
import tracemalloc

import dask
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.alignment.spikes import _readable_overflow, check_dtype
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.lazy.arrays import LazyArray, array_of, wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.tree import trains as handles


def spikes_of(trains, ids=None):
    """Build a spikes node in memory."""
    sizes = np.array([len(train) for train in trains], np.int64)
    times = np.concatenate([np.asarray(t, float) for t in trains]) if trains else np.empty(0)
    variables = {
        "spike_times": schema.var("spikes", "spike_times", times),
        "row_size": schema.var("spikes", "row_size", sizes),
    }
    ids = np.arange(len(trains)) if ids is None else np.asarray(ids)
    return dataset(variables, {"unit_id": xr.Variable("unit_id", ids)})


def twin(trains, starts, window, width, stops=None):
    """Count spike by spike with edges in plain Python."""
    n_bins = round((window[1] - window[0]) / width)
    stops = np.full(len(starts), np.inf) if stops is None else stops
    out = np.zeros((len(starts), len(trains), n_bins), int)
    for p, start in enumerate(starts):
        edges = [(start + window[0]) + k / round(1 / width) for k in range(n_bins + 1)]
        for u, train in enumerate(trains):
            for time in train:
                for k in range(n_bins):
                    out[p, u, k] += edges[k] <= time < edges[k + 1] and time < stops[p]
    return out


@pytest.fixture
def trains():
    rng = np.random.default_rng(3)
    return [np.sort(rng.integers(0, 300_000, n) / 30_000) for n in (200, 0, 55, 400)]


class Counting(LazyArray):
    """A lazy array that remembers what was read of it."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.reads = values, values.shape, values.dtype, []

    def outer(self, key):
        self.reads.append(key[0])
        return self.values[key]

    def __dask_tokenize__(self):
        return ("Counting", id(self))


def test_counts_equal_a_slow_twin(trains):
    starts, window = [0.5, 9.0, 0.6, 3.25], (-0.1, 0.2)
    got = na.bin_spikes(spikes_of(trains), starts, 0.02, window)
    assert got.dims == ("presentation_id", "unit_id", "time")
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got.values, twin(trains, starts, window, 0.02))
    np.testing.assert_allclose(got["time"].values, -0.1 + 0.01 + 0.02 * np.arange(15))


def test_spikes_at_or_after_the_stop_are_not_counted():
    trains = [[1.0, 1.1, 1.2, 1.25]]
    got = na.bin_spikes(spikes_of(trains), [1.0], 0.1, (0, 0.3), stops=[1.2])
    assert got.values.tolist() == [[[1, 1, 0]]]
    whole = na.bin_spikes(spikes_of(trains), [1.0], 0.1, (0, 0.3), stops=[np.nan])
    assert whole.values.sum() == 4


def test_the_longest_presentation_sets_the_bins():
    got = na.bin_spikes(spikes_of([[0.1]]), [0.0, 1.0], 0.02, stops=[0.2502, 1.25])
    assert got.sizes["time"] == 13


def test_presentations_that_overlap_keep_their_rows_and_labels():
    starts = xr.DataArray([1.0, 1.05, 1.0], {"presentation_id": [7, 3, 9]}, "presentation_id")
    got = na.bin_spikes(spikes_of([[1.06]]), starts, 0.1, (0, 0.1))
    assert got["presentation_id"].values.tolist() == [7, 3, 9]
    assert got.values.ravel().tolist() == [1, 1, 1]


def test_a_continuous_clock_holds_every_spike(trains):
    got = na.bin_spikes(spikes_of(trains), bin_width=0.02)
    assert got.dims == ("time", "unit_id")
    assert got.values.sum(axis=0).tolist() == [len(t) for t in trains]
    edge = np.arange(got.sizes["time"] + 1) / 50
    low = round((got["time"].values[0] - 0.01) * 50)
    for u, train in enumerate(trains):
        np.testing.assert_array_equal(
            got.values[:, u], np.histogram(train, (low + np.arange(edge.size)) / 50)[0]
        )


KEYS = st.one_of(
    st.integers(-3, 2),
    st.slices(3),
    st.lists(st.integers(-3, 2), max_size=4).map(lambda x: np.array(x, int)),
)


@given(rows=KEYS, units=KEYS, bins=KEYS)
def test_every_index_equals_numpy(rows, units, bins):
    rng = np.random.default_rng(0)
    node = spikes_of([np.sort(rng.uniform(0, 2, 300)) for _ in range(3)])
    lazy = na.bin_spikes(node, [0.0, 0.5, 1.2], 0.1, (0, 0.3))
    key = {"presentation_id": rows, "unit_id": units, "time": bins}
    np.testing.assert_array_equal(
        lazy.isel(key).values, lazy.copy(data=lazy.values).isel(key).values
    )
    clock = na.bin_spikes(node, None, 0.5, (0, 1.5))
    key = {"time": bins, "unit_id": units}
    np.testing.assert_array_equal(
        clock.isel(key).values, clock.copy(data=clock.values).isel(key).values
    )


def test_other_units_are_not_read(trains):
    source = Counting(np.concatenate(trains))
    node = spikes_of(trains, ids=[10, 11, 12, 13])
    node["spike_times"] = xr.Variable("spike", wrap(source), {"units": "s"})
    counted = na.bin_spikes(node, [1.0], 0.02, (0, 0.2))
    assert source.reads == []
    counted.sel(unit_id=12).values  # noqa: B018
    assert source.reads == [slice(200, 255, 1)]
    counted.sel(unit_id=12).values  # noqa: B018
    assert len(source.reads) == 1
    np.testing.assert_array_equal(
        na.bin_spikes(node, [1.0], 0.02, (0, 0.2), units=[13, 10])["unit_id"], [13, 10]
    )


def test_trains_out_of_order_and_nan_are_counted_right():
    got = na.bin_spikes(spikes_of([[3.0, 1.0, np.nan, 2.0], [np.nan]]), [0.0], 1.0, (0, 4))
    assert got.values[0].tolist() == [[0, 1, 1, 1], [0, 0, 0, 0]]
    clock = na.bin_spikes(spikes_of([[3.0, 1.0, np.nan, 2.0]]), bin_width=1.0)
    assert clock["time"].values.tolist() == [1.5, 2.5, 3.5]


def test_a_selection_of_a_lazy_node_counts_too(trains):
    node = spikes_of(trains)
    one = na.bin_spikes(node.sel(unit_id=3), [1.0], 0.1, (0, 0.5))
    two = na.bin_spikes(node.sel(unit_id=[3, 0]), [1.0], 0.1, (0, 0.5))
    whole = na.bin_spikes(node, [1.0], 0.1, (0, 0.5)).values
    np.testing.assert_array_equal(one.values[:, 0], whole[:, 3])
    np.testing.assert_array_equal(two.values, whole[:, [3, 0]])
    assert two["unit_id"].values.tolist() == [3, 0]


def test_overflow_names_the_dtype_to_ask_for():
    node = spikes_of([np.linspace(0, 0.9, 300)])
    with pytest.raises(OverflowError, match="300 spikes.*dtype='uint16'"):
        na.bin_spikes(node, [0.0], 1.0, (0, 1)).load()
    assert na.bin_spikes(node, [0.0], 1.0, (0, 1), dtype="uint16").item() == 300
    assert na.bin_spikes(node, [0.0], 1.0, (0, 1), binarize=True).item() == 1


def test_overflow_on_a_clock_names_the_dtype_too():
    tree = xr.DataTree.from_dict({"/s/VISp/spikes": spikes_of([np.linspace(0, 0.9, 300)])})
    tree.attrs["neuroarrays_schema"] = "recording/1"
    counted = na.align(tree, bin_width=1.0, window=(0, 1))["s/VISp/spike_data"]
    with pytest.raises(OverflowError, match="dtype='uint16'"):
        counted.load()


def test_bad_arguments_are_named():
    node = spikes_of([[1.0]])
    for width in (0, -0.02, np.nan, np.inf):
        with pytest.raises(ValueError, match="bin_width=.*positive number of seconds"):
            na.bin_spikes(node, [0.0], width, (0, 1))
    with pytest.raises(ValueError, match="window=.*start < stop"):
        na.bin_spikes(node, [0.0], 0.1, (1, 0))
    with pytest.raises(ValueError, match="counts are integers"):
        na.bin_spikes(node, [0.0], 0.1, (0, 1), dtype="f4")
    with pytest.raises(NotInTree, match="no unit 5; there are 0"):
        na.bin_spikes(node, [0.0], 0.1, (0, 1), units=[5])
    with pytest.raises(ValueError, match="no presentation has a stop time"):
        na.bin_spikes(node, [0.0], 0.1)
    with pytest.raises(ValueError, match="no spikes tell when"):
        na.bin_spikes(spikes_of([[], []]))
    with pytest.raises(SchemaError, match="expected an area of a recording tree"):
        na.bin_spikes(xr.Dataset({"x": ("time", [1.0])}))
    with pytest.raises(SchemaError, match="Select by label"):
        na.bin_spikes(spikes_of([[1.0], [2.0]]).isel(unit_id=[0]))


def test_threads_that_ask_at_once_agree(trains):
    lazy = na.bin_spikes(spikes_of(trains), np.linspace(0, 9, 40), 0.02, (0, 0.2))
    want, got = lazy.values, []
    na.release()
    threads = [
        threading.Thread(target=lambda u=u: got.append((u, lazy[:, u].values)))
        for u in list(range(4)) * 6
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 24
    for u, values in got:
        np.testing.assert_array_equal(values, want[:, u])


def test_the_cache_of_spikes_is_bounded(monkeypatch):
    na.release()
    monkeypatch.setattr(handles._buffers, "limit", 4000)
    trains = [np.sort(np.random.default_rng(i).uniform(0, 5, 300)) for i in range(5)]
    nodes = [spikes_of([train]).chunk() for train in trains]
    lazy = [na.bin_spikes(node, [0.0], 0.1, (0, 5)) for node in nodes]
    for _ in range(2):
        assert [array.values.sum() for array in lazy] == [300] * 5
        assert 0 < handles._buffers.nbytes <= 4000


def test_spikes_in_memory_are_not_kept_twice():
    na.release()
    node = spikes_of([np.arange(100.0), np.arange(100.0)[::-1] + 0.5])
    one, two = (handles.trains_of(node) for _ in range(2))
    assert dask.base.tokenize(one) == dask.base.tokenize(two)
    other = handles.trains_of(spikes_of([np.arange(100.0), np.arange(100.0)[::-1] + 0.6]))
    assert dask.base.tokenize(one) != dask.base.tokenize(other)
    np.testing.assert_array_equal(one.load(np.arange(2))[100:], np.arange(100) + 0.5)
    assert node["spike_times"].values[100] == 99.5  # the user's own are left as they are
    sorted_ = spikes_of([np.arange(100.0)])
    assert handles.trains_of(sorted_).load(np.arange(1)) is sorted_["spike_times"].values
    tree = na.restrict(na.load_sample(), (700.0, 800.0))
    assert len(handles._buffers) == 0
    for _ in range(3):
        na.firing_rate(tree["A2929-200711/adn"])
    assert len(handles._buffers) == 1  # of a file: read once, also a part of it
    na.release()


def test_a_lazy_count_pickles_as_a_handle():
    tree = na.load_sample()
    lazy = na.bin_spikes(tree["A2929-200711/adn/spikes"], [700.0, 800.0], 0.02, (0, 1))
    data = array_of(lazy.variable)
    packed = pickle.dumps(data)
    assert len(packed) < 4000
    slices = (slice(0, 2, 1), slice(0, 7, 1), slice(0, 50, 1))
    np.testing.assert_array_equal(pickle.loads(packed).outer(slices), lazy.values)


@pytest.mark.parametrize(
    ("held", "ask"), [("u1", "uint16"), ("i2", "uint32"), ("u4", "uint64"), ("i8", "uint64")]
)
def test_the_next_wider_type_is_asked_for(held, ask):
    with (
        pytest.raises(
            OverflowError, match=f"too many; ask for dtype='{ask}' instead of '{np.dtype(held)}'"
        ),
        _readable_overflow(np.dtype(held)),
    ):
        raise OverflowError("too many")
    with pytest.raises(KeyError), _readable_overflow(np.dtype("u1")):
        raise KeyError


@pytest.mark.parametrize("dtype", ["f4", bool, "nonsense", object, "datetime64[s]"])
def test_counts_are_integers(dtype):
    with pytest.raises(ValueError, match="counts are integers"):
        check_dtype(dtype)


def test_what_starts_and_stops_are_is_said():
    node = spikes_of([[1.0]])
    cases = [
        ([[1.0]], None, r"starts has shape \(1, 1\): expected one onset per presentation"),
        (["a"], None, "starts: expected seconds"),
        ([1.0], ["b"], "stops: expected seconds"),
    ]
    for starts, stops, message in cases:
        with pytest.raises(ValueError, match=message):
            na.bin_spikes(node, starts, 0.1, stops=stops)


def test_labels_of_units_and_of_onsets_stay():
    node = spikes_of([[0.05], [0.15], []], ids=[5, 6, 7])
    node = node.assign_coords(depth=("unit_id", [1.0, 2.0, 3.0]), probe="A")
    starts = xr.DataArray(
        [0.0], {"presentation_id": [9], "odour": ("presentation_id", ["x"])}, "presentation_id"
    )
    found = na.bin_spikes(node, starts, 0.1, (0, 0.2), units=[7, 5])
    assert found["depth"].values.tolist() == [3.0, 1.0]
    assert found["probe"].item() == "A"
    assert found["odour"].values.tolist() == ["x"]
    assert found.values.tolist() == [[[0, 0], [1, 0]]]
    bare = starts.drop_vars(["presentation_id", "odour"])
    assert na.bin_spikes(node, bare, 0.1, (0, 0.2))["presentation_id"].values.tolist() == [0]


@pytest.mark.parametrize("onsets", [None, [0.0, 0.25]])
def test_binarized_counts_are_those_of_their_type(onsets):
    node = spikes_of([np.full(300, 0.3), [0.1]])
    found = na.bin_spikes(node, onsets, 0.25, (0, 0.5), dtype="i2", binarize=True)
    assert found.dtype == found.values.dtype == np.int16
    counted = na.bin_spikes(node, onsets, 0.25, (0, 0.5), dtype="u2").values
    np.testing.assert_array_equal(found.values, counted > 0)
    assert counted.max() == 300


def test_the_clock_of_an_area_is_that_of_its_session():
    root = xr.Dataset(attrs=schema.root_attrs(schema.RECORDING))
    running = xr.Dataset({"speed": ("time", np.zeros(2))}, {"time": [0.0, 9.0]})
    tree = xr.DataTree.from_dict(
        {"/": root, "/s/A/spikes": spikes_of([[2.0]]), "/s/running": running}
    )
    for node in (tree["s/A"], tree["s/A/spikes"]):
        assert na.bin_spikes(node, bin_width=1.0)["time"].values.tolist() == [
            k + 0.5 for k in range(10)
        ]
    alone = na.bin_spikes(tree["s/A/spikes"].to_dataset(), bin_width=1.0)
    assert alone["time"].values.tolist() == [2.5]


@pytest.mark.parametrize("binarize", [False, True])
def test_counting_on_a_clock_takes_little_more_than_the_counts(binarize):
    trains = np.sort(np.random.default_rng(0).uniform(0, 1000, (100, 50)), axis=1)
    spikes = xr.Dataset(
        {"spike_times": ("spike", trains.ravel()), "row_size": ("unit_id", [50] * 100)},
        {"unit_id": np.arange(100)},
    )
    counts = na.bin_spikes(spikes, bin_width=0.005, window=(0, 1000), binarize=binarize)
    part = counts[100:200].values  # compiles
    tracemalloc.start()
    values = counts.values
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert values.nbytes == 20_000_000
    assert most < 1.6 * values.nbytes
    np.testing.assert_array_equal(values[100:200], part)
    scattered = [5, 6, 7, 90_000, 11, 12]
    np.testing.assert_array_equal(counts[scattered].values, values[scattered])


def in_memory(times, **attrs):
    """A spikes node of one unit, times as they are given."""
    return xr.Dataset(
        {"spike_times": ("spike", np.asarray(times), attrs), "row_size": ("unit_id", [len(times)])},
        {"unit_id": [0]},
    )


@pytest.mark.parametrize("use", [na.bin_spikes, na.autocorrelogram, na.firing_rate])
def test_spike_times_in_another_unit_are_refused(use):
    with pytest.raises(ValueError, match="spike_times: its unit is 'ms'"):
        use(in_memory([100.0, 200.0], units="ms"))


def test_spike_times_that_are_durations_have_an_extent():
    durations = pd.to_timedelta([100, 900], unit="ms").to_numpy()
    for times in (durations, np.array([0.1, 0.9], object)):
        assert na.bin_spikes(in_memory(times), None, 0.5).values.ravel().tolist() == [1, 1]
    with pytest.raises(ValueError, match="spike_times: found dates"):
        na.bin_spikes(in_memory(pd.to_datetime(["2024"]).to_numpy()), None, 0.5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"units": [True]}, r"units=\[True\]: expected labels of units"),
        ({"units": 0}, "units=0: expected labels of units"),
        ({"units": [0.5]}, "expected labels of units"),
        ({"stops": [1.0]}, r"stops has shape \(1,\), starts has \(2,\)"),
        ({"binarize": "no"}, "binarize='no': expected True or False"),
    ],
    ids=str,
)
def test_options_of_counting_that_are_not_possible_are_named(options, said):
    with pytest.raises(ValueError, match=said):
        na.bin_spikes(in_memory([0.1, 0.2]), [0.0, 1.0], 0.5, (0, 1), **options)


def test_a_mask_is_no_onsets():
    for mask in ([True, False], np.array([True, False]), np.array([True, None], object)):
        with pytest.raises(ValueError, match="starts: expected seconds as numbers"):
            na.bin_spikes(in_memory([0.1, 0.2]), mask, 0.5, (0, 1))


def test_values_are_checked_only_where_the_structure_is_right():
    node = in_memory(["a", "b"])
    root = xr.Dataset(attrs={"neuroarrays_schema": "recording/1"})
    tree = xr.DataTree.from_dict({"/": root, "s/x/spikes": node})
    with pytest.raises(na.SchemaError, match="spike_times has dtype <U1"):
        na.validate(tree, values=True)
