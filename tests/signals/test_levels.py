"""Smoothing, normalising, referencing and current sources: by hand, and whatever is indexed."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import NotInTree, SchemaError

pytest.importorskip("scipy", reason="pip install 'neuroarrays[signals]' brings scipy")

RATE = 100.0


def signal(values, **labels):
    dims = ("time", "channel")[: values.ndim]
    coords = {"time": np.arange(len(values)) / RATE}
    coords |= {name: ("channel", label) for name, label in labels.items()}
    return xr.DataArray(values, coords, dims, "x", {"units": "V"})


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).normal([0.0, 1, 2, 300], size=(500, 4))


def test_smoothing_is_a_weighted_mean_of_the_samples_there_are(noise):
    values = noise.copy()
    values[100, 1] = np.nan
    array = signal(values)
    found = na.smooth(array, 0.03).values
    offsets = np.arange(-12, 13)
    taps = np.exp(-0.5 * (offsets / 3) ** 2)
    for row, column in ((250, 0), (2, 3), (98, 1), (103, 1)):
        within = (row + offsets >= 0) & (row + offsets < 500)
        if column == 1:  # the missing sample parts the signal
            within &= (row + offsets < 100) if row < 100 else (row + offsets > 100)
        weights = taps[within]
        want = (values[row + offsets[within], column] * weights).sum() / weights.sum()
        np.testing.assert_allclose(found[row, column], want, rtol=1e-9)
    assert np.isnan(found[100, 1])
    assert np.isnan(found).sum() == 1
    np.testing.assert_allclose(na.smooth(array.chunk(time=70), 0.03), found, atol=1e-9)
    assert set(na.smooth(signal(np.full(50, 0.1)), 0.02).values) == {0.1}


def test_standard_deviations_are_of_valid_samples(noise):
    values = noise.copy()
    values[:50, 2] = np.nan
    values[:, 1] = 7
    valid = np.arange(500) >= 20
    array = signal(values).assign_coords(valid=("time", valid))
    found = na.normalize(array)
    counting = np.where(valid[:, None], values, np.nan)
    with np.errstate(invalid="ignore"):
        want = (counting - np.nanmean(counting, axis=0)) / np.nanstd(counting, axis=0)
    np.testing.assert_allclose(found.values[:, [0, 2, 3]], want[:, [0, 2, 3]], atol=1e-9)
    assert np.isnan(found.values[:, 1]).all()
    assert found.attrs["units"] == "1"
    assert found[3].isnull().all()
    np.testing.assert_allclose(found[300, 2:].values, want[300, 2:])
    assert na.normalize(signal(values.astype("f4"))).dtype == np.float32


def test_dff_is_relative_to_a_running_percentile():
    trace = 10 + np.random.default_rng(1).normal(size=400) * 0.1
    trace[200:210] += 5
    found = na.normalize(signal(trace), "dff", window=1.0, percentile=20)
    part = trace[200 - 50 : 200 + 51]
    baseline = np.sort(part)[int(0.2 * part.size)]
    np.testing.assert_allclose(found[200], (trace[200] - baseline) / baseline, rtol=1e-9)
    parts = na.normalize(signal(trace).chunk(time=90), "dff", window=1.0, percentile=20)
    np.testing.assert_array_equal(parts.values, found.values)
    assert np.isnan(na.normalize(signal(-trace), "dff", window=1.0)).all()


def test_references_are_those_of_the_group(noise):
    array = signal(noise, shank=["a", "b", "a", "b"])
    np.testing.assert_allclose(na.reference(array), noise - noise.mean(axis=1, keepdims=True))
    by_shank = na.reference(array, "shank")
    np.testing.assert_allclose(by_shank[:, 2], noise[:, 2] - noise[:, [0, 2]].mean(axis=1))
    assert by_shank[5, 1].item() == pytest.approx((noise[5, 1] - noise[5, 3]) / 2)
    np.testing.assert_allclose(na.reference(array.chunk(time=99), "shank"), by_shank)
    with pytest.raises(NotInTree, match="shank"):
        na.reference(array, "group_name")
    with pytest.raises(SchemaError, match="expected groups of at least 2 channels"):
        na.reference(array[:, :3], "shank")
    with pytest.raises(SchemaError, match=r"needs \(time, channel\)"):
        na.reference(array[:, 0])


def test_current_sources_are_the_second_derivative():
    depth = np.array([60.0, 0.0, 40.0, 20.0])
    potential = (depth * 1e-6) ** 2 * np.ones((50, 1))
    array = signal(potential, rel_y=depth, name=list("dacb"))
    found = na.csd(array, conductivity=0.3)
    assert found["name"].values.tolist() == list("abcd")
    assert np.isnan(found[:, [0, 3]]).all()
    np.testing.assert_allclose(found[:, 1:3], -0.6)
    assert found.attrs["units"] == "A/m³"
    np.testing.assert_allclose(na.csd(array, depth)[:, 1:3], -0.6)


@pytest.mark.parametrize(
    ("labels", "positions", "error", "message"),
    [
        ({}, "rel_y", SchemaError, "have no label 'rel_y' with their positions"),
        ({}, [0.0, 20.0], ValueError, r"positions of shape \(2,\)"),
        ({}, [0, 20, 40, np.nan], ValueError, "1 missing"),
        ({}, [0, 20, 20, 40], ValueError, "1 channel at the position of another"),
        ({"rel_y": [0, 20, 40, 90]}, "rel_y", ValueError, "20 to 50 um apart"),
    ],
)
def test_channels_that_no_current_can_be_told_from(noise, labels, positions, error, message):
    with pytest.raises(error, match=message):
        na.csd(signal(noise, **labels), positions)


def test_two_channels_have_no_second_derivative_and_other_options_are_checked(noise):
    array = signal(noise)
    cases = [
        (lambda: na.csd(signal(noise[:, :2]), [0, 20]), "expected at least 3"),
        (lambda: na.smooth(array, 0), "sd"),
        (lambda: na.smooth(array, 0.001), "less than a quarter of the sampling interval"),
        (lambda: na.normalize(array, "percent"), "expected 'zscore' or 'dff'"),
        (lambda: na.normalize(array, "dff", percentile=101), "from 0 to 100"),
        (lambda: na.normalize(array, "dff", window=-1), "window"),
    ]
    for ask, message in cases:
        with pytest.raises(ValueError, match=message):
            ask()


@pytest.mark.parametrize("what", [na.reference, lambda array: na.csd(array, [0.0, 20.0, 40.0])])
def test_weighted_sums_of_channels_are_nan_in_time_that_is_not_valid(what):
    values = np.random.default_rng(0).normal(size=(60, 3))
    array = xr.DataArray(values, {"time": np.arange(60) / 50}, ("time", "channel"), "lfp")
    valid = (np.arange(60) < 20) | (np.arange(60) >= 40)
    whole = what(array).values
    found = what(array.assign_coords(valid=("time", valid)))
    assert np.isnan(found.values[~valid]).all()
    np.testing.assert_array_equal(found.values[valid], whole[valid])
    np.testing.assert_array_equal(found[[45, 3, 25]].values, found.values[[45, 3, 25]])


@pytest.mark.parametrize("hole", [np.nan, np.inf])
def test_a_missing_channel_leaves_sums_alone_that_have_no_part_of_it(hole):
    values = np.random.default_rng(0).normal(size=(50, 6))
    labels = {"shank": ("channel", list("aaabbb")), "rel_y": ("channel", np.arange(6) * 20.0)}
    clock = {"time": np.arange(50) / 50}
    array = xr.DataArray(values, clock | labels, ("time", "channel"), "lfp")
    broken = array.copy(data=np.where(np.eye(50, 6, dtype=bool), hole, values))
    for what, reach in (
        (lambda lfp: na.reference(lfp, "shank"), [[0, 1, 2]] * 3 + [[3, 4, 5]] * 3),
        (na.csd, [[0, 1], [1, 2], [1, 2, 3], [2, 3, 4], [3, 4], [4]]),
    ):
        found, whole = what(broken).values, what(array).values
        for row, channels in enumerate(reach):
            inside = [channel for channel in channels if not np.isnan(whole[0, channel])]
            assert np.isnan(found[row, channels]).all()
            rest = np.setdiff1d(np.arange(6), channels)
            np.testing.assert_allclose(found[row, rest], whole[row, rest])
            assert inside
        one = np.stack([what(broken)[:, k].values for k in range(6)], axis=1)
        np.testing.assert_array_equal(np.isnan(one), np.isnan(found))


@pytest.mark.parametrize("number", [1, 2, 20, 150])
def test_a_baseline_longer_than_its_stretch_is_mirrored(number):
    values = np.random.default_rng(0).uniform(5, 6, 150)[:number]
    clock = np.arange(150) / 50
    array = xr.DataArray(np.append(values, np.full(150 - number, np.nan)), {"time": clock}, "time")
    found = na.normalize(array, "dff", window=8).values[:number]
    around = np.pad(values, 200, "symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(around, 401)
    baseline = np.sort(windows, axis=1)[:, 40]
    np.testing.assert_allclose(found, (values - baseline) / baseline)


@pytest.mark.parametrize("values", [np.ones(50, complex), np.full(50, "a")])
def test_what_holds_no_numbers_is_refused(values):
    array = xr.DataArray(values, {"time": np.arange(50) / 50}, "time")
    for what in (lambda lfp: na.resample(lfp, 20), lambda lfp: na.filter(lfp, 5), na.normalize):
        with pytest.raises(SchemaError, match="expected numbers"):
            what(array)


def test_an_infinite_sample_is_a_missing_one():
    values = np.random.default_rng(0).normal(size=400)
    clock = {"time": np.arange(400) / 50}
    holes = [
        xr.DataArray(np.where(np.arange(400) == 130, hole, values), clock, "time")
        for hole in (np.nan, np.inf)
    ]
    for what in (
        lambda lfp: na.filter(lfp, 5, 10),
        lambda lfp: na.smooth(lfp, 0.1),
        na.normalize,
        lambda lfp: na.spectrogram(lfp, 1),
        lambda lfp: na.power(lfp, 1),
        lambda lfp: na.resample(lfp, 40),
        lambda lfp: na.decimate(lfp, 2),
    ):
        missing, infinite = (what(array).values for array in holes)
        np.testing.assert_array_equal(missing, infinite)
