"""Decoders against slow references, pynapple, and on time that was held out."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import SchemaError
from neuroarrays.kernels import posteriors

SESSION = "A2929-200711"


@pytest.fixture(scope="module")
def awake():
    return na.align(na.load_sample(), bin_width=0.02, window=(671, 1199))


def test_head_direction_is_decoded_better_than_by_a_linear_decoder(awake):
    found = na.bayesian_decoder(awake[f"{SESSION}/adn"], "head_direction/ry")
    assert np.degrees(float(found["error"].median())) < 9
    np.testing.assert_allclose(found["posterior"].sum("ry_bin"), 1, rtol=1e-4)
    assert found["error"].attrs["units"] == "radian"
    assert found["posterior"].dims == ("time", "ry_bin")
    assert sorted(set(found["fold"].values)) == list(range(5))
    vector = na.population_vector(awake[f"{SESSION}/adn"], "head_direction/ry")
    assert 10 < np.degrees(float(vector["error"].median())) < 45


def test_what_is_decoded_never_saw_its_own_time(awake):
    """Other behaviour in the fold that is decoded changes nothing of what is decoded there."""
    area = awake[f"{SESSION}/adn"]
    angle = area["head_direction/ry"]
    found = na.bayesian_decoder(area, angle, folds=4)
    mine = found["fold"].values == 2
    changed = angle.copy(data=np.where(mine, (angle.values + 2.0) % (2 * np.pi), angle.values))
    again = na.bayesian_decoder(area, changed, folds=4)
    np.testing.assert_array_equal(again["posterior"][mine], found["posterior"][mine])
    counts = area["spike_data"].values.copy()
    counts[mine] = 0
    other = area.to_dataset().assign(spike_data=(("time", "unit_id"), counts))
    silent = na.bayesian_decoder(other, angle, folds=4)["posterior"].values[mine]
    assert np.ptp(silent[50:-50], axis=0).max() < 1e-6  # no spikes: what the others say, alike


@pytest.mark.parametrize("broken", ["hole", "area", "session", "invalid"])
def test_windows_stop_where_the_clock_does(broken):
    """A spike on the other side of a break changes nothing of what is decoded on this side."""
    random = np.random.default_rng(0)
    n, half = 2000, 1000
    time = (np.arange(n) + 0.5) * 0.1 + np.where(
        np.arange(n) >= half, 200.0 * (broken == "hole"), 0
    )
    counts = random.poisson(0.5, (n, 4)).astype(np.uint8)
    labels = {"block_id": ("time", np.arange(n) // half)}
    clock = {"time": ("time", time, {"bin_width": 0.1})}
    where = xr.DataArray(random.random(n), {"time": time}, "time", name="x")

    def posterior(change):
        seen = counts.copy()
        seen[half + 1 : half + 3] += change
        area = xr.Dataset({"spike_data": (("time", "unit_id"), seen)}, {"unit_id": np.arange(4)})
        if broken == "invalid":
            area["valid"] = "time", np.arange(n) != half
        if broken == "area":
            area = area.assign_coords(labels)
        session = xr.Dataset(coords=clock | (labels if broken == "session" else {}))
        tree = xr.DataTree.from_dict({"/s": session, "/s/a": area})
        found = na.bayesian_decoder(tree["s/a"], where, bins=5, window=0.9, folds=2)
        assert np.isfinite(found["posterior"].values[half - 1]).all()
        return found["posterior"].values[half - 4 : half]

    # What is learned from changes too, but not for the first of two folds, decoded from the second;
    # so a spike moves from one bin to the next, with the same sum in the same place.
    change = np.zeros((2, 4), np.uint8)
    change[0, 1] = 1
    moved = change[::-1]
    where[half + 1 : half + 3] = 0.5
    np.testing.assert_array_equal(posterior(change), posterior(moved))


def test_the_vector_equals_a_slow_reference(awake):
    area = awake[f"{SESSION}/adn"].to_dataset().isel(time=slice(0, 4000))
    angle = awake[f"{SESSION}/adn/head_direction"]["ry"].isel(time=slice(0, 4000))
    found = na.population_vector(area, angle, bins=12, window=0.1, folds=2)
    counts, x = area["spike_data"].values, angle.values % (2 * np.pi)
    known = np.isfinite(x)
    known[:2002] = False  # the first fold, and half a window of the second
    where = np.floor(np.nan_to_num(x) / (np.pi / 6)).astype(int)
    curves = np.array([counts[known & (where == k)].mean(axis=0) / 0.02 for k in range(12)]).T
    centres = np.exp(1j * (np.arange(12) + 0.5) * np.pi / 6)
    t = 1500
    seen = counts[t - 2 : t + 3].sum(axis=0) / 0.1
    mean = curves.mean(axis=1)
    vector = ((seen - mean) / mean * np.exp(1j * np.angle(curves @ centres))).sum()
    np.testing.assert_allclose(found["ry_decoded"][t], np.angle(vector) % (2 * np.pi))
    np.testing.assert_allclose(found["strength"][t], np.abs(vector))


def test_two_features_are_decoded_together(awake):
    area = awake[f"{SESSION}/ca1"]
    found = na.bayesian_decoder(area, ["position/x", "position/z"], bins=8, window=1.0)
    assert found["posterior"].dims == ("time", "x_bin", "z_bin")
    away = np.hypot(found["x_decoded"] - found["x"], found["z_decoded"] - found["z"])
    np.testing.assert_allclose(found["error"], away)
    shuffled = np.hypot(
        found["x_decoded"] - found["x"].values[::-1], found["z_decoded"] - found["z"].values[::-1]
    )
    assert float(found["error"].median()) < float(shuffled.median())


def test_masked_time_is_neither_learned_nor_counted(awake):
    area = awake[f"{SESSION}/adn"].to_dataset().isel(time=slice(0, 6000))
    angle = awake[f"{SESSION}/adn/head_direction"]["ry"].isel(time=slice(0, 6000))
    valid = np.ones(6000, bool)
    valid[1000:2000] = False
    area = area.assign(valid=("time", valid))
    noisy = area.assign(spike_data=area["spike_data"].where(area["valid"], 9).astype("u1"))
    one, two = (na.bayesian_decoder(a, angle, folds=3) for a in (area, noisy))
    xr.testing.assert_identical(one, two)
    assert np.isnan(one["ry_decoded"][1000:2000]).all()
    assert np.isnan(one["posterior"][1050:1950]).all()


@pytest.mark.peers("pynapple")
@pytest.mark.filterwarnings("ignore:passed bin_size")
def test_posteriors_agree_with_pynapple(awake):
    nap = pytest.importorskip("pynapple", reason="the group `peers` is not installed")
    area = awake[f"{SESSION}/adn"]
    time, angle = area["time"].values, area["head_direction/ry"].values
    counts = posteriors.window_sums(
        area["spike_data"].values, 5, np.array([[0, area.sizes["time"]]])
    )
    frame = nap.TsdFrame(t=time, d=counts)
    feature = nap.Tsd(t=time, d=angle % (2 * np.pi))
    curves = nap.compute_tuning_curves(frame, feature, bins=30, range=[(0, 2 * np.pi)])
    curves = curves / 0.1
    whole = nap.IntervalSet(time[0], time[-1])
    rates = np.maximum(curves.values, 1e-3)  # as ours: pynapple lets a rate be 0
    _, theirs = nap.decode_bayes(curves.copy(data=rates), frame, whole, 0.1, uniform_prior=True)
    duration = np.full(time.size, 0.1)
    ours = posteriors.poisson_posterior(counts, duration, rates, np.ones(30))
    np.testing.assert_allclose(ours, theirs.values, atol=1e-5)


def test_what_cannot_be_decoded_says_why(awake):
    area = awake[f"{SESSION}/adn"]
    with pytest.raises(ValueError, match="'x' is not an angle.*na.bayesian_decoder"):
        na.population_vector(area, "position/x")
    with pytest.raises(
        ValueError, match="window=0.001: expected seconds, at least a bin of 0.02 s"
    ):
        na.bayesian_decoder(area, "position/x", window=0.001)
    with pytest.raises(ValueError, match="folds=1: expected 2 or more"):
        na.bayesian_decoder(area, "position/x", folds=1)
    with pytest.raises(ValueError, match="min_occupancy=10000.0: no bin"):
        na.bayesian_decoder(area, "position/x", min_occupancy=1e4)
    ripples = na.align(na.load_sample(), "sleep_ripples", 0.01)
    with pytest.raises(
        SchemaError, match="with spike_data or responses \\(time, unit_id\\) on one clock"
    ):
        na.bayesian_decoder(ripples[f"{SESSION}/adn"], "position/x")
    silent = area.to_dataset().assign(spike_data=area["spike_data"] * 0)
    nothing = na.population_vector(silent, area["head_direction"]["ry"])
    assert nothing["ry_decoded"].isnull().all()
