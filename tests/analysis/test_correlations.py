"""Correlograms, signal and noise correlations and reliability against slow references and pynapple."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import NotInTree, SchemaError

SESSION = "A2929-200711"


def ragged(trains):
    return xr.Dataset(
        {
            "spike_times": ("spike", np.concatenate(trains).astype(float)),
            "row_size": ("unit_id", [len(t) for t in trains]),
        },
        {"unit_id": np.arange(len(trains)) + 3},
    )


def test_correlograms_are_labelled_rates():
    spikes = ragged([[1.0, 1.010, 2.0], [1.002, 5.0], []])
    found = na.crosscorrelogram(spikes, bin_width=0.001, window=0.02)
    assert found.dims == ("unit_id", "other_unit_id", "lag")
    assert found.attrs["units"] == "spikes/s"
    assert found["lag"].attrs["units"] == "s"
    assert found.sizes["lag"] == 41
    one = found.sel(unit_id=3, other_unit_id=4)
    np.testing.assert_allclose(one.sel(lag=0.002, method="nearest"), 1 / 3 / 0.001)
    np.testing.assert_allclose(one.sel(lag=-0.008, method="nearest"), 1 / 3 / 0.001)
    assert float(one.sum()) == pytest.approx(2 / 3 / 0.001)
    assert np.isnan(found.sel(unit_id=5)).all()
    assert (found.sel(other_unit_id=5, unit_id=[3, 4]) == 0).all()
    alone = na.autocorrelogram(spikes, bin_width=0.001, window=0.02)
    np.testing.assert_array_equal(alone.sel(unit_id=3), found.sel(unit_id=3, other_unit_id=3))
    assert float(alone.sel(unit_id=3, lag=0.0, method="nearest")) == 0


def test_spikes_out_of_order_and_missing_ones_change_nothing():
    random = np.random.default_rng(0)
    trains = [np.sort(random.uniform(0, 5, 100)) for _ in range(3)]
    whole = na.crosscorrelogram(ragged(trains))
    mixed = [random.permutation(np.append(t, np.nan)) for t in trains]
    np.testing.assert_array_equal(na.crosscorrelogram(ragged(mixed)), whole)


def test_what_has_no_correlogram_says_why():
    spikes = ragged([[1.0, 2.0]])
    with pytest.raises(ValueError, match="a bin of 0.1 s is longer than the window of 0.05 s"):
        na.crosscorrelogram(spikes, bin_width=0.1)
    with pytest.raises(ValueError, match="bin_width=-1: expected a positive"):
        na.autocorrelogram(spikes, bin_width=-1)
    clock = na.align(na.load_sample(), bin_width=0.02)
    with pytest.raises(SchemaError, match="has no spike times, its recording does"):
        na.autocorrelogram(clock[f"{SESSION}/adn"])


@pytest.mark.peers("pynapple")
def test_correlograms_agree_with_pynapple():
    nap = pytest.importorskip("pynapple", reason="the group `peers` is not installed")
    node = na.load_sample()[f"{SESSION}/ca1/spikes"].to_dataset()
    trains = [node.sel(unit_id=u)["spike_times"].values for u in node["unit_id"].values]
    width = 0.005003  # no difference on the sample clock falls on an edge, which pynapple rounds
    group = nap.TsGroup({u: nap.Ts(t) for u, t in enumerate(trains)})
    theirs = nap.compute_crosscorrelogram(group, width, 0.1, norm=False)
    ours = na.crosscorrelogram(ragged(trains), width, 0.1)
    np.testing.assert_allclose(ours["lag"], theirs.index, atol=1e-9)
    for (a, b), column in theirs.items():
        np.testing.assert_allclose(ours.values[a, b], column.values, atol=1e-9)
    theirs = nap.compute_autocorrelogram(group, width, 0.1, norm=False)
    alone = na.autocorrelogram(ragged(trains), width, 0.1).values
    side = np.arange(39) != 19  # pynapple leaves lag 0 empty
    np.testing.assert_allclose(alone[:, side], theirs.values.T[:, side], atol=1e-9)


# ------------------------------------------------------------------- signal, noise and reliability


@pytest.fixture(scope="module")
def trials():
    """60 presentations of 5 images and one seen once; a shared noise, a silent unit."""
    random = np.random.default_rng(3)
    image = np.append(random.permutation(np.repeat(np.arange(5.0), 12)), [9.0, np.nan])
    shared = random.normal(0, 1, image.size)
    drive = np.array([[2, 5, 1, 8, 4], [2, 5, 1, 8, 4], [8, 1, 6, 2, 3], [3, 3, 3, 3, 3]])
    means = np.stack([d[np.nan_to_num(image, nan=0).astype(int) % 5] for d in drive], 1)
    means = np.maximum(means + shared[:, None] * [1.5, 1.5, 0, 0], 0)
    means = np.append(means, np.zeros((image.size, 1)), axis=1)
    counts = random.poisson(np.repeat(means[:, :, None] / 4, 4, axis=2)).astype(np.uint8)
    valid = np.ones((image.size, 4), bool)
    valid[::5, 3] = False
    return xr.Dataset(
        {
            "spike_data": (("presentation_id", "unit_id", "time"), counts),
            "valid": (("presentation_id", "time"), valid),
        },
        {
            "presentation_id": np.arange(image.size),
            "unit_id": np.arange(5),
            "time": ("time", np.arange(4) * 0.1, {"bin_width": 0.1}),
            "image": ("presentation_id", image),
        },
    )


def rates_of(trials):
    counts, valid = trials["spike_data"].values, trials["valid"].values
    return (counts * valid[:, None]).sum(axis=2) / (valid.sum(axis=1) * 0.1)[:, None]


def test_signal_correlation_equals_a_slow_reference(trials):
    found = na.signal_correlation(trials, "image")
    rates, image = rates_of(trials), trials["image"].values
    means = np.array([rates[image == k].mean(axis=0) for k in (0, 1, 2, 3, 4, 9)])
    for a, b in np.ndindex(4, 4):
        np.testing.assert_allclose(found[a, b], np.corrcoef(means[:, a], means[:, b])[0, 1])
    assert found[0, 1] > 0.5 > 0 > found[0, 2]
    assert np.isnan(found[4]).all()
    assert found.dims == ("unit_id", "other_unit_id")


@pytest.mark.parametrize("most", [(12, 12, 12, 12, 12), (2, 3, 12, 5, 2)])
def test_noise_correlation_equals_a_slow_reference(trials, most):
    """Also of conditions with more and fewer presentations, which weigh by their degrees of freedom."""
    image = trials["image"].values
    picked = np.sort(np.concatenate([np.flatnonzero(image == k)[:n] for k, n in enumerate(most)]))
    trials = trials.isel(presentation_id=np.append(picked, np.flatnonzero(image == 9)))
    found = na.noise_correlation(trials, "image")
    rates, image = rates_of(trials), trials["image"].values
    scores = []
    for k in range(5):  # the image seen once tells nothing of noise
        mine = rates[image == k][:, :4]
        spread = mine.std(axis=0, ddof=1)
        scores.append((mine - mine.mean(axis=0)) / np.where(spread > 0, spread, np.inf))
    z = np.concatenate(scores)
    for a, b in np.ndindex(4, 4):
        want = (z[:, a] * z[:, b]).sum() / np.sqrt((z[:, a] ** 2).sum() * (z[:, b] ** 2).sum())
        np.testing.assert_allclose(found[a, b], want)
    assert found[0, 1] > 0.25
    assert abs(found[0, 3]) < 0.3


def test_reliability_equals_slow_references(trials):
    found = na.reliability(trials, "image")
    rates, image = rates_of(trials), trials["image"].values
    kept = np.isin(image, range(5))
    rates, image = rates[kept], image[kept]
    for unit in range(4):
        r = rates[:, unit]
        within = sum(((r[image == k] - r[image == k].mean()) ** 2).sum() for k in range(5)) / 55
        want = 1 - within / r.var(ddof=1)
        np.testing.assert_allclose(found["explainable_variance"][unit], want)
        others = [
            np.mean([r[q] for q in range(60) if image[q] == image[p] and q != p]) for p in range(60)
        ]
        np.testing.assert_allclose(found["oracle"][unit], np.corrcoef(r, others)[0, 1])
    random = np.random.default_rng(8)
    halves = []
    for _ in range(400):
        picked = [random.permutation(np.flatnonzero(image == k)) for k in range(5)]
        one = [rates[p[:6], 0].mean() for p in picked]
        two = [rates[p[6:], 0].mean() for p in picked]
        halves.append(np.corrcoef(one, two)[0, 1])
    half = np.mean(halves)
    np.testing.assert_allclose(found["split_half"][0], 2 * half / (1 + half), atol=0.02)
    assert found["split_half"][0] > found["split_half"][3]
    assert all(np.isnan(v[4]) for v in found.values())


def test_what_cannot_be_correlated_says_why(trials):
    once = trials.isel(presentation_id=slice(60, 61))
    for few in (once, na.trials(trials, "image in [1, 2]")):
        with pytest.raises(
            ValueError, match="conditions?; expected at least three.*always 1 or -1"
        ):
            na.signal_correlation(few, "image")
    with pytest.raises(ValueError, match="no condition of 'image' has two presentations"):
        na.noise_correlation(once, "image")
    one = na.trials(trials, "image == 1")
    with pytest.raises(ValueError, match="one condition with two presentations"):
        na.reliability(one, "image")
    with pytest.raises(NotInTree, match="did you mean 'image'"):
        na.reliability(trials, "imag")


def test_signals_are_correlated_like_counts(trials):
    signal = trials.assign(responses=trials["spike_data"] * 0.5).drop_vars("spike_data")
    by = "image"
    for answer in (na.signal_correlation, na.noise_correlation):
        np.testing.assert_allclose(answer(signal, by), answer(trials, by), atol=1e-12)
    xr.testing.assert_allclose(na.reliability(signal, by), na.reliability(trials, by))


def test_a_presentation_that_a_unit_lacks_is_left_out(trials):
    gone = np.arange(trials.sizes["presentation_id"]) % 7 == 3
    counts = trials["spike_data"].astype(float)
    lost = counts.where(xr.DataArray(~gone, dims="presentation_id") | (counts["unit_id"] != 1))
    some = trials.assign(responses=lost).drop_vars("spike_data")
    kept = trials.isel(presentation_id=~gone)
    np.testing.assert_allclose(
        na.noise_correlation(some, "image"), na.noise_correlation(kept, "image"), atol=1e-12
    )
    withheld = trials.assign(withheld=("presentation_id", gone))
    xr.testing.assert_allclose(na.reliability(withheld, "image"), na.reliability(kept, "image"))
    never = some.assign(responses=some["responses"].where(some["unit_id"] != 1))
    with pytest.raises(ValueError, match="counts for all units: 1 lacks"):
        na.signal_correlation(never, "image")


def test_conditions_may_be_combinations_of_parameters(trials):
    """Noise that comes with one of two crossed parameters is none within their combinations."""
    half = xr.DataArray(np.arange(trials.sizes["presentation_id"]) % 2, dims="presentation_id")
    loud = trials["spike_data"] + (5 * half).astype("uint8")
    both = trials.assign(spike_data=loud).assign_coords(half=half)
    names = np.char.add(both["image"].values.astype(str), half.values.astype(str)).astype(object)
    names[np.isnan(both["image"].values)] = ""
    joined = both.assign_coords(joined=("presentation_id", names))
    for function in (na.noise_correlation, na.signal_correlation):
        found = function(both, ["image", "half"])
        np.testing.assert_allclose(found, function(joined, "joined"))
    found = na.reliability(both, ["image", "half"])
    np.testing.assert_allclose(found["oracle"], na.reliability(joined, "joined")["oracle"])
    upper = np.triu_indices(4, 1)
    shared = na.noise_correlation(both, "image").values[upper]
    assert (shared > na.noise_correlation(both, ["image", "half"]).values[upper] + 0.1).all()


def test_of_two_conditions_halves_say_nothing(trials):
    found = na.reliability(na.trials(trials, "image in [1, 2]"), "image")
    assert found["split_half"].isnull().all()
    assert found["oracle"].notnull().any()
