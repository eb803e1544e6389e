"""Rates and tuning against slow references, and pynapple where it is installed."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import NotInTree, SchemaError

SESSION = "A2929-200711"


@pytest.fixture(scope="module")
def clock():
    return na.align(na.load_sample(), bin_width=0.02)


@pytest.fixture(scope="module")
def ripples():
    return na.align(na.load_sample(), "sleep_ripples", bin_width=0.01)


def test_psth_leaves_masked_bins_out(ripples):
    area = ripples[f"{SESSION}/ca1"].to_dataset()
    area = area.assign_coords(half=("presentation_id", np.arange(594) % 2))
    found = na.psth(area, by="half")
    counts, valid = area["spike_data"].values / 0.01, area["valid"].values
    assert found["mean"].dims == ("half", "unit_id", "time")
    assert found["mean"].attrs["units"] == "spikes/s"
    for half in (0, 1):
        rows = area["half"].values == half
        for k in (0, 3, 8):
            these = counts[rows & valid[:, k], :, k]
            one = found.sel(half=half).isel(time=k)
            assert one["n"] == len(these)
            np.testing.assert_allclose(one["mean"], these.mean(axis=0))
            want = these.std(axis=0, ddof=1) / np.sqrt(len(these))
            np.testing.assert_allclose(one["sem"], want, atol=1e-12)
    assert not valid[:, -1].all()
    assert int(found["n"].isel(time=-1).sum()) == valid[:, -1].sum()


def test_psth_without_a_parameter_and_with_missing_ones(ripples):
    area = ripples[f"{SESSION}/ca1"].to_dataset()
    whole = na.psth(area)
    assert whole["mean"].dims == ("unit_id", "time")
    label = np.where(np.arange(594) < 100, np.nan, 1.0)
    part = na.psth(area.assign_coords(label=("presentation_id", label)), by="label")
    assert part.sizes["label"] == 1
    assert int(part["n"].max()) == 494


def test_psth_in_blocks_equals_at_once(ripples, monkeypatch):
    area = ripples[f"{SESSION}/ca1"]
    whole = na.psth(area)
    monkeypatch.setattr("neuroarrays.analysis._BLOCK", 10_000)
    xr.testing.assert_allclose(na.psth(area), whole)


def test_tuning_curves_equal_a_slow_reference(clock):
    area = clock[f"{SESSION}/adn"]
    found = na.tuning_curve(area, "head_direction/ry", bins=12, min_occupancy=0)
    angle, counts = area["head_direction/ry"].values, area["spike_data"].values
    for k in range(12):
        low, high = k * np.pi / 6, (k + 1) * np.pi / 6
        here = (angle >= low) & (angle < high)
        np.testing.assert_allclose(found["occupancy"][k], here.sum() * 0.02)
        np.testing.assert_allclose(found[:, k], counts[here].sum(axis=0) / (here.sum() * 0.02))
    assert found["ry"].attrs["units"] == "radian"


def test_bins_hardly_visited_are_missing(clock):
    area = clock[f"{SESSION}/adn"]
    found = na.tuning_curve(area, "position/x", bins=20, min_occupancy=5.0)
    np.testing.assert_array_equal(np.isnan(found[0]), found["occupancy"] < 5.0)
    assert np.isnan(found[0]).any()


@pytest.mark.peers
def test_tuning_curves_agree_with_pynapple(clock):
    nap = pytest.importorskip("pynapple", reason="the group `peers` is not installed")
    area = clock[f"{SESSION}/adn"]
    found = na.tuning_curve(area, "head_direction/ry", bins=36, min_occupancy=0)
    angle = area["head_direction/ry"]
    good = np.isfinite(angle.values)
    time = angle["time"].values[good]
    feature = nap.Tsd(t=time, d=angle.values[good] % (2 * np.pi))
    counts = nap.TsdFrame(t=time, d=area["spike_data"].values[good].astype(float))
    theirs = nap.compute_tuning_curves(counts, feature, bins=36, range=[(0, 2 * np.pi)], fs=50.0)
    # of a continuous signal pynapple gives the mean: here spikes per bin of 20 ms
    np.testing.assert_allclose(theirs.values * 50.0, found.values, rtol=1e-6, atol=1e-9)


def test_what_cannot_be_answered_says_why(clock, ripples):
    with pytest.raises(SchemaError, match="aligned to presentations"):
        na.psth(clock[f"{SESSION}/adn"])
    with pytest.raises(SchemaError, match="expected spike_data"):
        na.tuning_curve(ripples[f"{SESSION}/adn"], "position/x")
    with pytest.raises(NotInTree, match="no parameter .*'tag'.*did you mean 'tags'"):
        na.psth(ripples[f"{SESSION}/adn"], by="tag")
    with pytest.raises(NotInTree, match="did you mean 'head_direction/ry'"):
        na.tuning_curve(clock[f"{SESSION}/adn"], "head_drection/ry")
