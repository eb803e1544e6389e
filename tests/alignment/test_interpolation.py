"""Series at other times: what the cache of series knows them by."""

from dataclasses import dataclass
from unittest import mock

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.alignment import samples
from neuroarrays.alignment.interpolation import series_at
from neuroarrays.errors import SchemaError
from neuroarrays.files import outer
from neuroarrays.lazy.arrays import LazyArray, wrap
from neuroarrays.lazy.computed import RegularClock
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import InMemory

CLOCK = np.arange(0.0, 8.0)
#: Goes round twice: unwound it reaches 16, as stored it stays below 8.
ANGLE = np.arange(0.0, 16.0, 2.0) % 8


def angle(**attrs):
    return xr.DataArray(ANGLE, {"time": CLOCK}, ("time",), "angle", attrs)


@pytest.mark.parametrize("order", [1, -1])
def test_one_series_read_in_several_ways(order):
    """The first reading must not decide for the others."""
    na.release()
    turning = angle(period=8.0)
    ways = {
        "linear": (turning, [1.0, 3.0, 5.0, 7.0, 1.0, 3.0, 5.0]),  # along the shorter arc
        "previous": (turning, ANGLE[:-1]),
        "nearest": (turning, ANGLE[:-1]),
        "no angle": (angle(), (ANGLE[:-1] + ANGLE[1:]) / 2),
        "of another turn": (angle(period=16.0), [1.0, 3.0, 5.0, 3.0, 1.0, 3.0, 5.0]),
    }
    for way, (series, want) in list(ways.items())[::order]:
        method = way if way in ("previous", "nearest") else "linear"
        found = na.interpolate(series, CLOCK[:-1] + 0.5, method)
        np.testing.assert_allclose(found, want, err_msg=way)


def test_each_clock_is_read_for_itself():
    """What the cache keeps of one clock that is not regular is not taken for another."""
    na.release()
    values, early = np.arange(4.0), np.array([0.0, 1.0, 3.0, 4.0])
    for clock in (early, early + 2, early * 2):
        read = samples.Samples(InMemory(values), InMemory(clock))
        assert read._stamps().tolist() == clock.tolist()


@pytest.mark.parametrize(("max_gap", "known"), [(None, 3), (2.0, 2), (0.5, 0)])
def test_a_gap_is_bridged_up_to_a_length(max_gap, known):
    series = xr.DataArray([0.0, 2.0, 8.0, 9.0], {"time": [0.0, 2.0, 8.0, 9.0]}, ("time",), "speed")
    found = na.interpolate(series, [1.0, 5.0, 8.5], max_gap=max_gap).values
    assert np.isfinite(found).sum() == known
    np.testing.assert_allclose(found[np.isfinite(found)], np.array([1, 5, 8.5])[np.isfinite(found)])


def test_a_clock_out_of_order_is_sorted_and_the_new_one_has_its_unit():
    shuffled = xr.DataArray([3.0, 1.0, 2.0], {"time": [3.0, 1.0, 2.0]}, ("time",), "x")
    at = na.interpolate(shuffled, [1.5, 2.5])
    assert at.values.tolist() == [1.5, 2.5]
    assert at["time"].attrs == {"units": "s"}
    in_order = na.interpolate(shuffled.sortby("time"), [1.5, 2.5])
    assert in_order.values.tolist() == [1.5, 2.5]


def test_of_samples_at_one_time_the_last_one_counts():
    rng = np.random.default_rng(0)
    clock = rng.integers(0, 4, 200).astype(float)  # out of order
    series = xr.DataArray(np.arange(200.0), {"time": clock}, "time")
    last = [np.flatnonzero(clock == k)[-1] for k in range(4)]
    assert na.interpolate(series, np.arange(4.0)).values.tolist() == last


@pytest.mark.parametrize("dtype", ["i2", "u1", "?", "f4"])
def test_whole_numbers_become_floating_point(dtype):
    series = xr.DataArray(np.array([0, 1, 1, 0], dtype), {"time": CLOCK[:4]}, "time")
    found = na.interpolate(series, [0.25, 1.5, 9.0])
    assert found.dtype == ("f4" if dtype == "f4" else "f8")
    np.testing.assert_array_equal(found.values, [0.25, 1.0, np.nan])


def test_a_sample_without_a_time_is_left_out():
    clock = [0.0, np.nan, 2.0, np.inf]
    series = xr.DataArray([0.0, 50.0, 4.0, 90.0], {"time": clock}, "time")
    assert na.interpolate(series, [1.0, 2.0]).values.tolist() == [2.0, 4.0]


@pytest.mark.parametrize("chosen", [slice(None), 1, [2, 0], slice(1, None)])
@pytest.mark.parametrize("axes", [(), (2,), (3, 2)])
def test_what_is_indexed_of_presentations_is_what_all_have(chosen, axes):
    dims = ("time", "y", "x")[: 1 + len(axes)]
    values = np.random.default_rng(0).normal(size=(8, *axes))
    series = xr.Dataset({"v": (dims, values)}, {"time": CLOCK})
    origins, offsets = np.array([1.0, 2.5, 0.2]), np.array([0.1, 0.6, 1.1])
    found = series_at(series, origins, offsets, "linear", None, ("presentation_id", "time"))["v"]
    assert found.dims == ("presentation_id", "time", *dims[1:])
    at = origins[:, None] + offsets
    want = xr.DataArray(values, {"time": CLOCK}, dims).interp(time=at.ravel()).values
    want = want.reshape(3, 3, *axes)
    np.testing.assert_allclose(found[chosen].values, want[chosen])
    np.testing.assert_allclose(found[:, chosen].values, want[:, chosen])
    if axes:
        np.testing.assert_allclose(found[chosen, 1, ..., 1].values, want[chosen, 1, ..., 1])


def test_each_column_may_be_sampled_later_than_the_clock_says():
    shifts = np.array([0.0, 0.25, -0.5])
    values = CLOCK[:, None] + shifts  # of each column its own time
    series = xr.Dataset(
        {"dff": (("time", "unit_id"), values)},
        {"time": CLOCK, "phase_shift": ("unit_id", shifts), "unit_id": [4, 5, 6]},
    )
    found = na.interpolate(series, [1.0, 2.1, 7.2])
    want = np.array([1.0, 2.1, 7.2])[:, None] + np.zeros(3)
    want[2, [0, 2]] = np.nan  # after the last sample of all but the late column
    np.testing.assert_allclose(found["dff"], want)
    assert found["unit_id"].values.tolist() == [4, 5, 6]
    many = series_at(series, np.array([1.0, 2.0]), np.array([0.0, 0.5]), "linear", None, ("p", "t"))
    assert many["dff"].dims == ("p", "t", "unit_id")
    np.testing.assert_allclose(many["dff"][..., 1], [[1.0, 1.5], [2.0, 2.5]])
    for other in (series.drop_vars("phase_shift"), series.assign_coords(phase_shift=("x", [1.0]))):
        np.testing.assert_allclose(na.interpolate(other, [1.0])["dff"][0], 1 + shifts)


def test_only_numbers_along_time_are_interpolated_and_other_labels_stay():
    series = xr.Dataset(
        {
            "speed": ("time", CLOCK, {"units": "cm/s"}),
            "state": ("time", list("abcdefgh")),
            "gain": ("unit_id", [1.0]),
        },
        {"time": CLOCK, "unit_id": [7], "lap": ("time", CLOCK)},
        {"about": "a wheel"},
    )
    with pytest.warns(UserWarning, match="'state' of dtype <U1: left out"):
        found = na.interpolate(series, [1.5])
    series = series.drop_vars("state")
    assert list(found.data_vars) == ["speed"]
    assert set(found.coords) == {"time", "unit_id"}
    assert found.attrs == {"about": "a wheel"}
    assert found["speed"].attrs == {"units": "cm/s", "max_gap": 2.5}
    labelled = xr.DataArray([1.5], {"event": [4], "odour": ("event", ["a"])}, "event")
    found = na.interpolate(series, labelled)
    assert set(found.coords) == {"event", "odour", "unit_id"}
    tree = xr.DataTree(series)
    xr.testing.assert_identical(na.interpolate(tree, labelled), found)


def test_what_cannot_be_interpolated_says_why():
    series = xr.DataArray(np.zeros((2, 3)), {"time": [0.0, 1.0]}, ("time", "x"))
    cases = [
        (
            lambda: na.interpolate(series.T, [0.5]),
            r"time, found the variable None with dims \('x', 'time'\)",
        ),
        (lambda: na.interpolate(series, [[0.5]]), r"times has shape \(1, 1\)"),
        (lambda: na.interpolate(series, [0.5], "cubic"), "expected one of 'linear', 'previous'"),
        (lambda: na.interpolate(series, [0.5], max_gap=-1), "max_gap=-1"),
        (lambda: na.interpolate(series, np.array(["a"])), "expected seconds as numbers"),
    ]
    for call, message in cases:
        with pytest.raises((ValueError, SchemaError), match=message):
            call()
    assert na.interpolate(series, [0.5], max_gap=np.inf).values.tolist() == [[0, 0, 0]]


def test_centres_of_bins_lie_on_those_of_the_session():
    """A sample at a centre of the session's bins is met though the onset is a rounding away."""
    width = 0.1
    centres = (np.arange(40) + 0.5) / 10
    series = xr.Dataset({"k": ("time", np.arange(40.0))}, {"time": centres})
    onsets = np.nextafter(np.array([1.3, 0.7]), [0, 9])
    offsets = (np.arange(5) + 0.5) * width
    found = series_at(series, onsets, offsets, "previous", None, ("p", "t"), bin_width=width)
    np.testing.assert_array_equal(found["k"].values, [np.arange(13, 18), np.arange(7, 12)])


@pytest.mark.parametrize("clock", ["regular", "irregular"])
@pytest.mark.parametrize("method", ["linear", "previous", "mean", "max"])
def test_a_large_series_is_read_around_the_times_only(tmp_path, monkeypatch, clock, method):
    """Reading parts gives what holding all gives, also beside stretches of NaN."""
    rng = np.random.default_rng(0)
    n = 20_000
    values = rng.normal(size=(n, 3)).astype("f4")
    values[500:3000, 1] = np.nan
    values[rng.random(n) < 0.01] = np.nan
    stamps = 2.0 + np.arange(n) / 500 + (rng.uniform(0, 1e-3, n) if clock == "irregular" else 0)
    path = tmp_path / "lfp.npy"
    np.save(path, values)
    times = xr.Variable("time", stamps)
    if clock == "regular":
        times = RegularClock(2.0, 500.0, n).variable(("time",))
    reads = []

    def stored():
        lazy = Counted(np.load(path, mmap_mode="r"), reads)
        return dataset({"lfp": xr.Variable(("time", "channel"), wrap(lazy))}, {"time": times})

    origins = np.array([3.0, 30.0, 4.5, 41.9, -1e6, np.nan, 1e6])
    offsets = np.arange(10) * 0.02 + 0.01
    asks = [(origins, offsets, method, gap, ("p", "t"), 0.02) for gap in (None, np.inf)]
    ask = asks[0]
    whole = [series_at(stored(), *options)["lfp"].values for options in asks]
    assert reads[-1] == n
    assert np.isfinite(whole[0]).any()
    monkeypatch.setattr(samples, "WHOLE", 1000)
    for options, wanted in zip(asks, whole, strict=True):
        reads.clear()
        np.testing.assert_array_equal(series_at(stored(), *options)["lfp"].values, wanted)
        assert 0 < sum(reads) < n / 2
    shifted = stored().assign_coords(phase_shift=("channel", [0.0, 0.001, 0.3]))
    parts = series_at(shifted, *ask)["lfp"].values
    monkeypatch.setattr(samples, "WHOLE", 1 << 30)
    np.testing.assert_array_equal(parts, series_at(shifted, *ask)["lfp"].values)


@dataclass(frozen=True, repr=False, eq=False)
class Counted(LazyArray):
    """An array that notes how many rows are read of it."""

    held: np.ndarray
    reads: list

    @property
    def shape(self):
        return self.held.shape

    @property
    def dtype(self):
        return self.held.dtype

    def depends(self):
        return (id(self),)

    def outer(self, key):
        found = np.asarray(self.held[outer.normalise(key, self.shape)])
        self.reads.append(len(found))
        return found


@pytest.mark.parametrize("clock", ["regular", "irregular"])
def test_a_large_series_without_holes_is_read_once_at_each_place(monkeypatch, clock):
    reads = []
    lazy = Counted(np.arange(9000.0).reshape(-1, 1), reads)
    times = RegularClock(2.0, 100.0, 9000).variable(("time",))
    if clock == "irregular":
        times = wrap(InMemory(np.nextafter(2.0 + np.arange(9000) / 100, [9, 0] * 4500)))
        times = xr.Variable("time", times)
    series = dataset({"lfp": xr.Variable(("time", "channel"), wrap(lazy))}, {"time": times})
    monkeypatch.setattr(samples, "WHOLE", 1000)
    at = np.array([80.004, 30.0, 30.1, 2.001, 91.98])
    found = na.interpolate(series, at)["lfp"].values[:, 0]
    np.testing.assert_allclose(found, (at - 2) * 100)
    assert len(reads) == 4
    assert max(reads) < 20
    reads.clear()
    monkeypatch.setattr(samples, "_AT_ONCE", 50 * 8)  # no more than 50 samples in memory
    at = np.arange(500) / 100 + 10.001
    np.testing.assert_allclose(na.interpolate(series, at)["lfp"].values[:, 0], (at - 2) * 100)
    assert max(reads) <= 50
    assert len(reads) < 15


def test_a_stored_series_is_read_once_however_often_it_is_asked_for():
    """Also by different requests; each source and each clock has its own samples."""
    na.release()
    reads = []
    ramps = [Counted(np.arange(10.0) * k, reads) for k in (1, 2)]
    clocks = [np.arange(10.0), np.arange(10.0) / 2]
    for _ in range(2):
        for k, ramp in enumerate(ramps, 1):
            for clock in clocks:
                series = xr.Dataset({"x": ("time", wrap(ramp))}, {"time": clock})
                found = na.interpolate(series["x"], clock[1:3] + 0.25)
                np.testing.assert_allclose(
                    found, np.interp(clock[1:3] + 0.25, clock, clock * 0 + k * np.arange(10))
                )
    assert reads == [10] * 4


def test_the_mean_of_bins_needs_their_width_and_takes_that_of_a_clock():
    series = xr.DataArray(np.arange(100.0), {"time": np.arange(100) / 10 + 0.05}, "time", "x")
    with pytest.raises(ValueError, match="attribute bin_width"):
        na.interpolate(series, [0.5], "mean")
    clock = xr.DataArray([0.5, 1.5], {"time": [0.5, 1.5]}, "time", attrs={"bin_width": 1.0})
    np.testing.assert_allclose(na.interpolate(series, clock, "mean"), [4.5, 14.5])
    np.testing.assert_allclose(na.interpolate(series, clock, "sum"), [45.0, 145.0])


def test_a_series_in_memory_is_not_read_again_for_each_access():
    """What an access costs does not depend on how long the series is."""
    series = xr.DataArray(np.zeros(1000), {"time": np.arange(1000.0)}, "time", "speed")
    found = na.interpolate(series, np.arange(999) + 0.5)
    array = found.variable._data.array
    with mock.patch.object(type(array.samples), "_load", side_effect=AssertionError) as load:
        with pytest.raises(AssertionError):
            found[:3].load()
        load.side_effect = lambda: (np.arange(1000.0), np.zeros((1000, 1)))
        load.reset_mock()
        for k in range(5):
            assert found[k].item() == 0
        assert load.call_count <= 1


def test_amounts_at_one_time_add_up_and_a_missing_one_is_no_zero():
    amounts = xr.DataArray([1.0, 2.0, np.nan, 4.0], {"time": [0.1, 0.1, 1.5, 2.5]}, "time")
    bins = xr.DataArray(
        [0.5, 1.5, 2.5], {"time": [0.5, 1.5, 2.5]}, "time", attrs={"bin_width": 1.0}
    )
    want = {"sum": [3, np.nan, 4], "max": [2, np.nan, 4], "any": [1, np.nan, 1]}
    for method, values in want.items():
        np.testing.assert_array_equal(na.interpolate(amounts, bins, method), values)


def test_a_hole_of_the_clock_is_not_bridged_unless_asked():
    """Dropped frames, missing samples, and what an irregular clock has instead."""
    times = np.delete(np.arange(100) / 10, np.s_[40:60])
    speed = xr.DataArray(times, {"time": times}, "time", "speed")
    at = [3.95, 5.0, 6.05]
    for method in ("linear", "nearest", "previous"):
        found = na.interpolate(speed, at, method=method)
        assert np.isnan(found.values).tolist() == [True, True, False]
        assert found.attrs["max_gap"] == pytest.approx(0.25)
    np.testing.assert_allclose(na.interpolate(speed, at, max_gap=np.inf), at)
    assert "max_gap" not in na.interpolate(speed, at, max_gap=np.inf).attrs
    blink = speed.copy(data=np.where(np.isin(np.arange(80), [10, 11]), np.nan, times))
    assert np.isnan(na.interpolate(blink, [1.0, 1.1])).all()
    np.testing.assert_allclose(na.interpolate(blink, [1.0, 1.1], max_gap=0.35), [1.0, 1.1])
    uneven = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.2, 100))
    place = xr.DataArray(uneven, {"time": uneven}, "time")
    np.testing.assert_allclose(na.interpolate(place, uneven[:-1] + 0.004), uneven[:-1] + 0.004)


@pytest.mark.parametrize("lost", ["sample", "value", "stamp"])
def test_one_lost_sample_is_gone_over(lost):
    times = np.arange(100) / 10
    values, stamps = times.copy(), times.copy()
    if lost == "value":
        values[10] = np.nan
    elif lost == "stamp":
        stamps[10] = np.nan
    else:
        values, stamps = np.delete(values, 10), np.delete(stamps, 10)
    speed = xr.DataArray(values, {"time": stamps}, "time")
    for method, expected in (("linear", 1.0), ("previous", 0.9), ("nearest", 0.9)):
        found = na.interpolate(speed, [1.0], method=method)
        np.testing.assert_allclose(found, expected, err_msg=method)


def test_bins_in_a_hole_are_nan_whatever_their_width():
    times = np.delete(np.arange(100) / 10, np.s_[40:60])
    running = xr.Dataset({"speed": ("time", times)}, {"time": times})
    root = xr.Dataset(attrs={"neuroarrays_schema": "recording/1"})
    tree = xr.DataTree.from_dict({"/": root, "/s/running": running})
    for width in (0.05, 0.5):
        aligned = na.align(tree, bin_width=width, window=(0, 9.5))["s"]
        centres = aligned.time.values
        inside = (centres > 4.0 + width / 2) & (centres < 5.95 - width / 2)
        assert np.isnan(aligned["speed"].values[inside]).all()
        assert np.isfinite(aligned["speed"].values[centres < 3.5]).all()


@pytest.mark.parametrize("unit", ["ms", "samples"])
def test_a_clock_of_another_unit_is_refused_everywhere(unit):
    series = xr.DataArray(CLOCK, {"time": ("time", CLOCK, {"units": unit})}, "time", "speed")
    for call in (lambda: na.interpolate(series, [1.0]), lambda: na.resample(series, 5)):
        with pytest.raises(ValueError, match=f"clock.*{unit}.*expected seconds"):
            call()


@pytest.mark.parametrize("order", [1, -1])
def test_a_rate_that_changes_makes_no_holes(order):
    """Its steps are told from the whole clock, not from how it begins."""
    clock = np.concatenate([np.arange(3000) / 1000, 3 + np.arange(3000) / 400])
    clock = np.sort(order * clock)
    series = xr.DataArray(clock, {"time": clock}, "time", "x")
    at = np.linspace(clock[0], clock[-1], 500)
    np.testing.assert_allclose(na.interpolate(series, at), at, atol=1e-12)


def test_samples_of_an_irregular_clock_stand_up_to_the_middle_between_them():
    """A long step of it is no hole: a mean of bins is the area below the steps between middles."""
    rng = np.random.default_rng(0)
    clock = np.cumsum(rng.uniform(0.01, 0.25, 300))
    values = rng.normal(size=300)
    series = xr.DataArray(values, {"time": clock}, "time", "x")
    middles = (clock[1:] + clock[:-1]) / 2
    assert np.diff(clock).max() < 10 * np.median(np.diff(clock))
    area = np.concatenate([[0], np.cumsum(values[1:-1] * np.diff(middles))])
    edges = np.arange(1, 25, 0.5)
    bins = xr.DataArray((edges[1:] + edges[:-1]) / 2, dims="time", attrs={"bin_width": 0.5})
    means = np.diff(np.interp(edges, middles, area)) / 0.5
    np.testing.assert_allclose(na.interpolate(series, bins, "mean"), means, atol=1e-9)


@pytest.mark.parametrize(
    "values", [["a", "b"], [1j, 2j], np.array([1, None], object), np.array(["2024"] * 2, "M8[s]")]
)
def test_a_series_without_numbers_is_refused_by_its_name(values):
    for name in ("state", None):
        series = xr.DataArray(values, {"time": [0.0, 1.0]}, "time", name)
        with pytest.raises(SchemaError, match=f"numbers are interpolated, found {name!r} of dtype"):
            na.interpolate(series, [0.5], "previous")


def test_a_series_that_is_asked_for_and_has_no_numbers_is_noted():
    stages = xr.Dataset(
        {"stage": ("time", ["rem", "nrem"]), "depth": ("time", [0.0, 1.0])}, {"time": [0.0, 1.0]}
    )
    spikes = xr.Dataset(
        {"spike_times": ("spike", [0.0, 0.5, 1.0]), "row_size": ("unit_id", [3])}, {"unit_id": [0]}
    )
    root = xr.Dataset(attrs={"neuroarrays_schema": "recording/1"})
    tree = xr.DataTree.from_dict({"/": root, "s/x/spikes": spikes, "s/sleep": stages})
    aligned = na.align(tree, bin_width=0.5, series="sleep")
    assert "not aligned, because they are no numbers: s/sleep/stage" in aligned.attrs["history"]
    assert "depth" in aligned["s/x/sleep"]
