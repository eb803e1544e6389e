"""Times and columns as users have them: durations, dates, nullable dtypes of pandas."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.tree import intervals
from neuroarrays.tree.columns import duration, plain_column, seconds

HALF = pd.to_timedelta([0.5, 1.5], unit="s")


@pytest.mark.parametrize(
    "times",
    [
        [0.5, 1.5],
        HALF,
        pd.Series(HALF),
        np.array([500, 1500], "m8[ms]"),
        np.array([500_000, 1_500_000], "m8[us]"),
        xr.DataArray(HALF.to_numpy(), dims="x"),
        pd.array([0.5, 1.5], dtype="Float64"),
        list(HALF),
        HALF.to_pytimedelta(),
        np.array([0.5, 1.5], object),
    ],
    ids=repr,
)
def test_times_are_seconds_whatever_their_unit(times):
    found = seconds(times)
    assert found.dtype == np.float64
    assert found.tolist() == [0.5, 1.5]


def test_missing_times_are_nan():
    for times in ([pd.NaT, HALF[0]], pd.array([None, 0.5], dtype="Float64"), [None, 0.5]):
        assert np.isnan(seconds(times)[0])
        assert seconds(times)[1] == 0.5


@pytest.mark.parametrize(
    ("times", "said"),
    [
        (pd.to_datetime(["2024-01-01"]), "subtract the start of the session"),
        (pd.to_datetime(["2024-01-01"]).tz_localize("UTC"), "subtract the start of the session"),
        (np.array(["1 s"], object), "expected seconds as numbers, found '1 s'"),
        (["1"], "expected seconds as numbers"),
        ([1j], "expected seconds as numbers"),
        (np.array([HALF[0], 1.0], object), "expected seconds as numbers, found Timedelta"),
        (np.array([1], "m8"), "without a unit"),
    ],
    ids=repr,
)
def test_what_is_no_time_on_the_session_clock_is_refused(times, said):
    with pytest.raises(ValueError, match=f"onsets: .*{said}"):
        seconds(times, "onsets")


@pytest.mark.parametrize(
    ("column", "dtype", "values"),
    [
        (pd.array([True, None], dtype="boolean"), "f8", [1.0, np.nan]),
        (pd.array([True, False], dtype="boolean"), "?", [True, False]),
        (pd.array([3, None], dtype="Int64"), "f8", [3.0, np.nan]),
        (pd.array([3, 4], dtype="UInt8"), "u1", [3, 4]),
        (pd.array([1.5, None], dtype="Float32"), "f8", [1.5, np.nan]),
        (pd.array(["a", None], dtype="string"), "O", ["a", None]),
        (pd.Categorical(["b", "a"]), "O", ["b", "a"]),
        (pd.Categorical([2, 1]), "i8", [2, 1]),
        (HALF, "f8", [0.5, 1.5]),
        (np.array([True, None], object), "f8", [1.0, np.nan]),
        (np.array([True, False], object), "?", [True, False]),
        (np.array(["x", np.nan], object), "O", ["x", None]),
        (np.array([1, 2], "i2"), "i2", [1, 2]),
    ],
    ids=repr,
)
def test_columns_are_plain_numpy(column, dtype, values):
    found = plain_column(column)
    assert found.dtype == np.dtype(dtype)
    if found.dtype.kind == "f":
        np.testing.assert_array_equal(found, values)
    else:
        assert found.tolist() == values


def test_xarray_columns_of_pandas_dtypes_too():
    frame = pd.DataFrame({"correct": pd.array([True, None], dtype="boolean")})
    found = plain_column(frame.to_xarray()["correct"])
    np.testing.assert_array_equal(found, [1.0, np.nan])


ONSETS = pd.to_timedelta([0.0, 10.0], unit="s")


@pytest.mark.parametrize(
    "table", [ONSETS, pd.DataFrame({"start_time": ONSETS}), {"start_time": ONSETS}], ids=type
)
def test_spikes_are_aligned_to_durations(ticking, table):
    counts = na.align(ticking, table, 0.1, (0, 1))["s/x"].spike_data
    assert counts.sum("time").values.ravel().tolist() == [10, 10]


def test_windows_bins_and_intervals_may_be_durations(ticking):
    second = pd.Timedelta(seconds=1)
    asked = (0 * second, second)
    counts = na.bin_spikes(ticking["s/x"], ONSETS, np.timedelta64(100, "ms"), asked)
    assert counts.values.sum(axis=2).ravel().tolist() == [10, 10]
    table = pd.DataFrame({"start_time": ONSETS, "stop_time": ONSETS + second})
    assert intervals.merged(table)[1].tolist() == [1.0, 11.0]
    assert na.restrict(ticking, table)["s/x/spikes"].sizes["spike"] == 20


def test_dates_are_refused_in_words(ticking):
    dates = pd.to_datetime(["2024-01-01", "2024-01-02"])
    for call in (
        lambda: na.align(ticking, dates, 0.1, (0, 1)),
        lambda: na.bin_spikes(ticking["s/x"], dates, 0.1, (0, 1)),
        lambda: na.restrict(ticking, pd.DataFrame({"start_time": dates, "stop_time": dates})),
        lambda: na.interpolate(xr.DataArray([0.0, 1.0], {"time": dates}, "time"), [0.5]),
    ):
        with pytest.raises(ValueError, match="expected seconds on the session clock"):
            call()


def test_a_series_on_a_clock_of_durations_is_interpolated_in_seconds():
    series = xr.DataArray([0.0, 10.0], {"time": pd.to_timedelta([0, 1], unit="s")}, "time")
    assert float(na.interpolate(series, [0.5])[0]) == 5.0
    at = pd.to_timedelta([500], unit="ms")
    assert float(na.interpolate(series, at)[0]) == 5.0


def test_a_nullable_bool_of_trials_is_saved(ticking, tmp_path):
    table = pd.DataFrame(
        {
            "start_time": [0.0, 10.0],
            "correct": pd.array([True, None], dtype="boolean"),
            "side": pd.Categorical(["l", "r"]),
            "late": pd.to_timedelta([1, 2], unit="s"),
        }
    )
    aligned = na.align(ticking, table, 0.1, (0, 1))
    opened = na.open_datatree(na.save(aligned, tmp_path / "o.h5"))
    assert opened["s/x/presentations"]["correct"].values[0] == 1.0
    assert opened["s/x/presentations"]["side"].values.tolist() == ["l", "r"]
    assert opened["s/x/presentations"]["late"].values.tolist() == [1.0, 2.0]


def test_times_in_nanoseconds_are_refused_in_words(ticking):
    spikes = ticking["s/x/spikes"].to_dataset()
    spikes["spike_times"] = spikes["spike_times"] + 1.7e18
    with pytest.raises(ValueError, match=r"multiply nanoseconds by 1e-9"):
        na.bin_spikes(spikes, None, 0.1)
    assert na.bin_spikes(spikes.assign(spike_times=spikes.spike_times % 1 + 1.7e9), None, 0.1)


@pytest.mark.parametrize(
    "given", [0.5, "x", None, [0.5, 1.0], 0, -1, np.nan, np.timedelta64("NaT")]
)
def test_a_length_of_time_is_a_positive_number_of_seconds(given):
    if given == 0.5:
        assert duration(pd.Timedelta(given, "s"), "gap") == duration(given, "gap") == 0.5
        return
    with pytest.raises(ValueError, match="gap=.*positive number of seconds"):
        duration(given, "gap")


def test_every_length_of_time_may_be_a_duration():
    """Of windows, gaps, bins and smoothing alike."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    spikes = xr.Dataset(
        {"spike_times": ("spike", np.arange(0.05, 8, 0.1)), "row_size": ("unit_id", [80])},
        {"unit_id": [0]},
    )
    signal = xr.Dataset({"x": ("time", np.arange(80.0))}, {"time": np.arange(80) / 10})
    root = xr.Dataset(attrs={"neuroarrays_schema": "recording/1"})
    tree = xr.DataTree.from_dict({"/": root, "s/a/spikes": spikes, "s/position": signal})
    ms = {n: np.timedelta64(n, "ms") for n in (0, 100, 500, 1000, 2000)}
    onsets = [1.0, 3.0]
    aligned = [
        na.align(tree, onsets, width, window, max_gap=gap)["s/a"]
        for width, window, gap in ((0.1, (0, 1), 0.5), (ms[100], (ms[0], ms[1000]), ms[500]))
    ]
    xr.testing.assert_equal(*(area.to_dataset() for area in aligned))
    xr.testing.assert_equal(na.psth(aligned[0], smooth=ms[100]), na.psth(aligned[0], smooth=0.1))
    for correlogram in (na.autocorrelogram, na.crosscorrelogram):
        xr.testing.assert_equal(
            correlogram(tree["s/a"], ms[100], ms[500]), correlogram(tree["s/a"], 0.1, 0.5)
        )
    assert na.plot.raster(tree["s/a"], (ms[0], ms[2000])).get_xlim() == (0, 2)
    assert na.plot.behaviour(tree["s"], (ms[0], ms[2000])).get_xlim() == (0, 2)
    clock = na.align(tree, bin_width=0.1)["s/a"]
    for curve in (
        lambda least: na.tuning_curve(clock, "position/x", 4, least),
        lambda least: na.bayesian_decoder(clock, "position/x", 4, least, 2, least),
    ):
        xr.testing.assert_equal(curve(ms[500]), curve(0.5))
    with pytest.raises(ValueError, match="window=.*expected .start, stop. in seconds"):
        na.plot.raster(tree["s/a"], "trials")
