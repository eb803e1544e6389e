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
            assert (one["n"] == len(these)).all()
            np.testing.assert_allclose(one["mean"], these.mean(axis=0))
            want = these.std(axis=0, ddof=1) / np.sqrt(len(these))
            np.testing.assert_allclose(one["sem"], want, atol=1e-12)
    assert not valid[:, -1].all()
    assert int(found["n"].isel(time=-1, unit_id=0).sum()) == valid[:, -1].sum()


def test_psth_of_units_that_have_a_column_called_mean(ripples):
    area = ripples[f"{SESSION}/ca1"].to_dataset()
    named = area.assign_coords(mean=("unit_id", np.arange(area.sizes["unit_id"])))
    xr.testing.assert_equal(na.psth(named), na.psth(area))


def test_psth_without_a_parameter_and_with_missing_ones(ripples):
    area = ripples[f"{SESSION}/ca1"].to_dataset()
    whole = na.psth(area)
    assert whole["mean"].dims == ("unit_id", "time")
    label = np.where(np.arange(594) < 100, np.nan, 1.0)
    part = na.psth(area.assign_coords(label=("presentation_id", label)), by="label")
    assert part.sizes["label"] == 1
    assert int(part["n"].max()) == 494


@pytest.mark.peers("flox")
def test_means_of_conditions_agree_with_flox(ripples):
    area = ripples[f"{SESSION}/ca1"].to_dataset()
    area = area.assign_coords(third=("presentation_id", np.arange(594) % 3))
    with xr.set_options(use_flox=True):
        groups = area["spike_data"].where(area["valid"]).groupby("third")
        mean, spread = groups.mean("presentation_id"), groups.std("presentation_id", ddof=1)
    found = na.psth(area, by="third").transpose("third", "unit_id", "time")
    mean, spread = (each.transpose("third", "unit_id", "time") for each in (mean, spread))
    np.testing.assert_allclose(found["mean"] * 0.01, mean)
    np.testing.assert_allclose(found["sem"] * 0.01 * np.sqrt(found["n"]), spread, atol=1e-12)


def test_psth_in_blocks_equals_at_once(ripples, monkeypatch):
    area = ripples[f"{SESSION}/ca1"]
    whole = na.psth(area)
    monkeypatch.setattr("neuroarrays.analysis.conditions.BLOCK", 10_000)
    xr.testing.assert_allclose(na.psth(area), whole)


@pytest.mark.parametrize("block", [1 << 20, 900])
def test_standard_errors_keep_their_digits_where_the_mean_is_large(block, monkeypatch):
    """The mean is 1e8 deviations, where sums of squares would give 0 or noise."""
    monkeypatch.setattr("neuroarrays.analysis.conditions.BLOCK", block)
    values = 1e8 + np.random.default_rng(0).normal(size=(60, 3, 4))
    kinds = np.arange(60) % 2
    area = xr.Dataset(
        {"responses": (("presentation_id", "unit_id", "time"), values)},
        {"kind": ("presentation_id", kinds), "unit_id": [1, 2, 3], "time": 0.1 * np.arange(4)},
    )
    found = na.psth(area, "kind")
    curve = na.tuning_curve(area, "kind")
    for kind in (0, 1):
        mine = values[kinds == kind].astype(np.longdouble)
        sem = mine.std(axis=0, ddof=1) / np.sqrt(30)
        np.testing.assert_allclose(found["sem"].sel(kind=kind), sem, rtol=1e-7)
        sem = mine.mean(axis=2).std(axis=0, ddof=1) / np.sqrt(30)
        np.testing.assert_allclose(curve["sem"].sel(kind=kind), sem, rtol=1e-6)


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


@pytest.mark.peers("pynapple")
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
    with pytest.raises(SchemaError, match="align its recording to presentations"):
        na.psth(clock[f"{SESSION}/adn"])
    with pytest.raises(NotInTree, match="no column .*'position/x'.*align on one clock"):
        na.tuning_curve(ripples[f"{SESSION}/adn"], "position/x")
    with pytest.raises(
        SchemaError, match=r"expected an area with spike_data or responses \(time, unit_id\)"
    ):
        na.tuning_curve(xr.Dataset(), "position/x")
    with pytest.raises(NotInTree, match="no column .*'tag'.*did you mean 'tags'"):
        na.psth(ripples[f"{SESSION}/adn"], by="tag")
    with pytest.raises(NotInTree, match="did you mean 'head_direction/ry'"):
        na.tuning_curve(clock[f"{SESSION}/adn"], "head_drection/ry")

    with pytest.raises(SchemaError, match="of a recording tree; align it first"):
        na.tuning_curve(na.load_sample()[f"{SESSION}/adn"], "head_direction/ry")
    with pytest.raises(ValueError, match="bins=0: expected a positive number of bins"):
        na.tuning_curve(clock[f"{SESSION}/adn"], "head_direction/ry", bins=0)
    with pytest.raises(ValueError, match="period=-1: expected a full turn"):
        na.tuning_curve(clock[f"{SESSION}/adn"], "head_direction/ry", period=-1)
    signal = clock[f"{SESSION}/adn"].to_dataset().rename(spike_data="responses")
    with pytest.raises(SchemaError, match="firing_rate needs spikes"):
        na.firing_rate(signal)


# ------------------------------------------------------------------------------ smoothing


def test_smoothing_equals_a_slow_twin(ripples):
    area = ripples[f"{SESSION}/ca1"].to_dataset().isel(presentation_id=slice(0, 60))
    found = na.psth(area, smooth=0.015)
    counts, valid = area["spike_data"].values.astype(float), area["valid"].values
    smooth = np.full(counts.shape, np.nan)
    lags = np.subtract.outer(np.arange(counts.shape[2]), np.arange(counts.shape[2]))
    weights = np.exp(-0.5 * (lags * 0.01 / 0.015) ** 2) * (abs(lags) <= 6)
    for p in range(60):
        for k in np.flatnonzero(valid[p]):
            weight = weights[k] * valid[p]
            smooth[p, :, k] = counts[p] @ weight / weight.sum()
    few = valid.sum(axis=0) > 1
    smooth, n = smooth[:, :, few], valid.sum(axis=0)[few]
    mean = np.nanmean(smooth, axis=0) / 0.01
    sem = np.nanstd(smooth, axis=0, ddof=1) / np.sqrt(n) / 0.01
    np.testing.assert_allclose(found["mean"].values[:, few], mean, atol=2e-4)
    np.testing.assert_allclose(found["sem"].values[:, few], sem, atol=2e-3)
    assert na.psth(area, smooth=0.015).identical(found)


def test_smoothing_takes_seconds(ripples):
    with pytest.raises(ValueError, match="smooth=-1: expected a positive number of seconds"):
        na.psth(ripples[f"{SESSION}/ca1"], smooth=-1)


def test_one_presentation_has_no_standard_error_and_says_so(ripples):
    area = ripples[f"{SESSION}/ca1"].to_dataset().isel(presentation_id=slice(0, 9))
    area = area.assign_coords(kind=("presentation_id", np.array(["a"] * 8 + ["b"], object)))
    with pytest.warns(UserWarning, match="kind b has only one presentation"):
        found = na.psth(area, by="kind")
    assert np.isnan(found["sem"].sel(kind="b")).all()
    assert found["mean"].sel(kind="b").notnull().any()


def test_histograms_of_combinations_of_parameters(ripples):
    area = ripples[f"{SESSION}/ca1"].to_dataset()
    random = np.random.default_rng(0)
    kind = random.choice(["a", "b", ""], 594).astype(object)
    size = random.integers(0, 3, 594)
    size[kind == "b"] %= 2  # b 2 was never shown
    area = area.assign_coords(kind=("presentation_id", kind), size=("presentation_id", size))
    found = na.psth(area, by=["kind", "size"])
    assert found["mean"].dims == ("kind", "size", "unit_id", "time")
    for a in ("a", "b"):
        one = na.psth(area.isel(presentation_id=kind == a), by="size")
        have = found.sel(kind=a, size=one["size"])
        for name in ("mean", "sem", "n"):
            np.testing.assert_allclose(have[name], one[name])
    assert found["mean"].sel(kind="b", size=2).isnull().all()
    assert (found["n"].sel(kind="b", size=2) == 0).all()
    with pytest.raises(ValueError, match="named twice"):
        na.psth(area, by=["kind", "kind"])


def test_counts_without_a_clock_are_not_called_rates():
    counts = np.random.default_rng(0).poisson(2, (20, 3, 5)).astype("uint8")
    area = xr.Dataset(
        {"spike_data": (("presentation_id", "unit_id", "time"), counts)}, {"unit_id": [1, 2, 3]}
    )
    found = na.psth(area)
    np.testing.assert_allclose(found["mean"], counts.mean(axis=0))
    assert found["mean"].attrs["units"] == "spikes"
    with pytest.raises(SchemaError, match="the duration of a frame is not known"):
        na.psth(area, smooth=0.1)
    with pytest.raises(SchemaError, match="sampling_rate="):
        na.firing_rate(area)


def test_blanks_alone_are_an_error(ripples):
    area = ripples[f"{SESSION}/ca1"].to_dataset()
    blank = area.assign_coords(contrast=("presentation_id", np.full(594, np.nan)))
    with pytest.raises(ValueError, match="'contrast' is missing in all of 594 presentations"):
        na.psth(blank, by="contrast")
    with pytest.raises(SchemaError, match="no presentations"):
        na.psth(area.isel(presentation_id=[]))


# ------------------------------------------------------------------------------------------- rates


def test_firing_rates_of_all_kinds_of_area(ripples, clock):
    tree = na.load_sample()
    spikes = tree[f"{SESSION}/adn/spikes"].to_dataset()
    trains = [spikes.sel(unit_id=u)["spike_times"].values for u in spikes["unit_id"].values]
    rate = na.firing_rate(tree[f"{SESSION}/adn"])
    np.testing.assert_allclose(rate, [t.size / 1200 for t in trains])  # its epochs
    assert rate.attrs["duration"] == 1200
    assert rate.attrs["units"] == "spikes/s"
    part = na.firing_rate(spikes, [(10.0, 30.0), (20.0, 50.0), (700.0, 710.0)])
    want = [(((t >= 10) & (t < 50)) | ((t >= 700) & (t < 710))).sum() / 50 for t in trains]
    np.testing.assert_allclose(part, want)
    area = ripples[f"{SESSION}/ca1"]
    counts, valid = area["spike_data"].values, area["valid"].values
    want = (counts * valid[:, None]).sum(axis=(0, 2)) / (valid.sum() * 0.01)
    np.testing.assert_allclose(na.firing_rate(area), want)
    cut = na.restrict(clock, [(700.0, 710.0), (720.0, 730.0)])[f"{SESSION}/adn"]
    want = [(((t >= 700) & (t < 710)) | ((t >= 720) & (t < 730))).sum() / 20 for t in trains]
    np.testing.assert_allclose(na.firing_rate(cut), want)


def test_a_unit_without_spikes_has_rate_zero():
    node = xr.Dataset(
        {"spike_times": ("spike", np.array([1.0, 3.0])), "row_size": ("unit_id", [2, 0])},
        {"unit_id": [4, 9]},
    )
    np.testing.assert_array_equal(na.firing_rate(node), [1.0, 0.0])
    silent = node.isel(spike=[]).assign(row_size=("unit_id", [0, 0]))
    with pytest.raises(ValueError, match="no time to divide by"):
        na.firing_rate(silent)
    np.testing.assert_array_equal(na.firing_rate(silent, (0.0, 2.0)), [0.0, 0.0])


@pytest.mark.peers("pynapple")
def test_firing_rates_agree_with_pynapple():
    nap = pytest.importorskip("pynapple", reason="the group `peers` is not installed")
    spikes = na.load_sample()[f"{SESSION}/ca1/spikes"].to_dataset()
    units = spikes["unit_id"].values
    support = nap.IntervalSet(0, 1200)
    group = nap.TsGroup(
        {int(u): nap.Ts(spikes.sel(unit_id=u)["spike_times"].values) for u in units},
        time_support=support,
    )
    np.testing.assert_allclose(na.firing_rate(spikes), np.asarray(group.rates))


# ------------------------------------------------------------------------------------ trial tuning


@pytest.fixture(scope="module")
def directions():
    """Trials of four directions, of units that prefer 0, 90 and nothing, and a silent one."""
    random = np.random.default_rng(0)
    direction = np.repeat([0.0, 90.0, 180.0, 270.0], 25)
    direction[7] = np.nan
    contrast = np.tile([0.1, 1.0, 1.0, 0.5, 0.5], 20)
    mean = np.stack(
        [
            np.where(direction == 0, 8, 2),
            np.where(direction == 90, 8, 2),
            np.full(100, 4),
            np.zeros(100),
        ],
        axis=1,
    )
    counts = random.poisson(np.repeat(mean[:, :, None] / 5, 5, axis=2)).astype(np.uint8)
    valid = np.ones((100, 5), bool)
    valid[::3, 4] = False
    return xr.Dataset(
        {
            "spike_data": (("presentation_id", "unit_id", "time"), counts),
            "valid": (("presentation_id", "time"), valid),
        },
        {
            "presentation_id": np.arange(100),
            "unit_id": [3, 1, 4, 5],
            "time": ("time", np.arange(5) / 10 + 0.05, {"bin_width": 0.1}),
            "direction": ("presentation_id", direction, {"units": "degrees"}),
            "contrast": ("presentation_id", contrast),
        },
    )


def test_tuning_to_a_parameter_equals_a_slow_reference(directions):
    found = na.tuning_curve(directions, "direction")
    counts, valid = directions["spike_data"].values, directions["valid"].values
    rate = (counts * valid[:, None]).sum(axis=2) / (valid.sum(axis=1) * 0.1)[:, None]
    for angle in (0, 90, 180, 270):
        mine = rate[directions["direction"].values == angle]
        one = found.sel(direction=angle)
        np.testing.assert_allclose(one, mine.mean(axis=0))
        assert (one["n"] == len(mine)).all()
        want = mine.std(axis=0, ddof=1) / np.sqrt(len(mine))
        np.testing.assert_allclose(one["sem"], want, atol=1e-12)
    assert found.attrs["units"] == "spikes/s"
    assert found["direction"].attrs["units"] == "degrees"
    assert "preferred" not in found.coords


def test_tuning_to_two_parameters(directions):
    found = na.tuning_curve(directions, ["direction", "contrast"])
    assert found.dims == ("unit_id", "direction", "contrast")
    counts, valid = directions["spike_data"].values, directions["valid"].values
    rate = (counts * valid[:, None]).sum(axis=2) / (valid.sum(axis=1) * 0.1)[:, None]
    for angle, contrast in ((0, 0.1), (90, 0.5), (270, 1.0)):
        mine = (directions["direction"] == angle) & (directions["contrast"] == contrast)
        one = found.sel(direction=angle, contrast=contrast)
        np.testing.assert_allclose(one, rate[mine.values].mean(axis=0))
        assert (one["n"] == int(mine.sum())).all()


def test_a_circular_parameter_has_a_preferred_value(directions):
    found = na.tuning_curve(directions, "direction", period=360)
    vectors = (found.values * np.exp(1j * np.radians([0, 90, 180, 270]))).sum(axis=1)
    lengths = np.abs(vectors[:3]) / found.values[:3].sum(axis=1)
    np.testing.assert_allclose(found["selectivity"][:3], lengths)
    np.testing.assert_allclose(found["preferred"][:3], np.degrees(np.angle(vectors[:3])) % 360)
    assert np.isnan(found["preferred"][3])  # no spikes, no preference
    assert np.isnan(found["selectivity_low"][3])
    low, high = found["preferred_low"].values[0], found["preferred_high"].values[0]
    assert min(low, 360 - low) < 60  # around 0, on either side of it
    assert min(high, 360 - high) < 60
    low, high = found["preferred_low"].values[1], found["preferred_high"].values[1]
    assert low < float(found["preferred"][1]) < high
    assert high - low < 40
    low, high = found["selectivity_low"].values[:3], found["selectivity_high"].values[:3]
    assert (low <= found["selectivity"].values[:3]).all()
    assert (high >= found["selectivity"].values[:3]).all()
    assert na.tuning_curve(directions, "direction", period=360).identical(found)


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    random = np.random.default_rng(1)
    direction = np.repeat(np.arange(8) * 45.0, 20)
    rates = 5 + 4 * np.cos(np.radians(direction - 100))
    counts = random.poisson(rates[:, None, None], (160, 200, 1)).astype(np.uint8)
    area = xr.Dataset(
        {"spike_data": (("presentation_id", "unit_id", "time"), counts)},
        {
            "presentation_id": np.arange(160),
            "unit_id": np.arange(200),
            "time": ("time", [0.5], {"bin_width": 1.0}),
            "d": ("presentation_id", direction),
        },
    )
    found = na.tuning_curve(area, "d", period=360)
    low, high = found["preferred_low"].values, found["preferred_high"].values
    assert 0.9 < ((low < 100) & (high > 100)).mean() < 0.99


# -------------------------------------------------------------------------------- tuning to places


def test_a_unit_of_few_spikes_has_an_interval(directions):
    counts = directions["spike_data"].values.copy()
    counts[:, 3] = 0
    counts[30, 3, 0] = 1  # one spike, at 90 degrees: in most resamplings, not in all
    few = directions.assign(spike_data=(directions["spike_data"].dims, counts))
    found = na.tuning_curve(few, "direction", period=360).isel(unit_id=3)
    for name in ("preferred", "preferred_low", "preferred_high"):
        assert float(found[name]) == pytest.approx(90)


def test_tuning_to_two_signals_equals_a_slow_reference(clock):
    area = clock[f"{SESSION}/ca1"]
    found = na.tuning_curve(area, ["position/x", "position/z"], bins=(4, 5), min_occupancy=0.5)
    assert found.dims == ("unit_id", "x", "z")
    x, z, counts = (area[k].values for k in ("position/x", "position/z", "spike_data"))
    edges = [np.linspace(np.nanmin(v), np.nanmax(v), n + 1) for v, n in ((x, 4), (z, 5))]
    for i, j in np.ndindex(4, 5):
        here = (x >= edges[0][i]) & ((x < edges[0][i + 1]) | (i == 3))
        here &= (z >= edges[1][j]) & ((z < edges[1][j + 1]) | (j == 4))
        np.testing.assert_allclose(found["occupancy"][i, j], here.sum() * 0.02)
        if here.sum() * 0.02 >= 0.5:
            want = counts[here].sum(axis=0) / (here.sum() * 0.02)
            np.testing.assert_allclose(found[:, i, j], want)
        else:
            assert np.isnan(found[:, i, j]).all()


def test_masked_time_is_not_counted(clock):
    cut = na.restrict(clock, [(700.0, 720.0), (800.0, 830.0)])
    found = na.tuning_curve(cut[f"{SESSION}/adn"], "head_direction/ry")
    np.testing.assert_allclose(found["occupancy"].sum(), 50.0)


def test_head_direction_has_a_preferred_value(clock):
    found = na.tuning_curve(clock[f"{SESSION}/adn"], "head_direction/ry")
    peak = found["ry"].values[np.nanargmax(found.values, axis=1)]
    away = np.angle(np.exp(1j * (peak - found["preferred"].values)))
    assert np.abs(away).max() < 0.6
    assert found["ry"].attrs["period"] == pytest.approx(2 * np.pi)


def test_a_signal_of_another_clock_is_refused(clock):
    raw = na.load_sample()[f"{SESSION}/head_direction"]["ry"]
    with pytest.raises(SchemaError, match="'ry' is on another clock.*na.interpolate"):
        na.tuning_curve(clock[f"{SESSION}/adn"], raw)
    same = clock[f"{SESSION}/adn/head_direction"]["ry"]
    assert na.tuning_curve(clock[f"{SESSION}/adn"], same).sizes["ry"] == 36


@pytest.mark.peers("pynapple")
def test_maps_agree_with_pynapple(clock):
    nap = pytest.importorskip("pynapple", reason="the group `peers` is not installed")
    area = clock[f"{SESSION}/ca1"]
    found = na.tuning_curve(area, ["position/x", "position/z"], bins=8, min_occupancy=0)
    place = np.stack([area["position/x"].values, area["position/z"].values], axis=1)
    good = np.isfinite(place).all(axis=1)
    time = area["time"].values[good]
    feature = nap.TsdFrame(t=time, d=place[good])
    counts = nap.TsdFrame(t=time, d=area["spike_data"].values[good].astype(float))
    theirs = nap.compute_tuning_curves(counts, feature, bins=8, fs=50.0)
    np.testing.assert_allclose(theirs.values * 50.0, found.values, rtol=1e-6, atol=1e-9)


def test_tuning_is_the_same_from_spikes_and_from_counts(clock):
    area = clock[f"{SESSION}/adn"]
    lazy = na.tuning_curve(area, "head_direction/ry")
    signal = area["head_direction"]["ry"]
    counted = na.tuning_curve(area.to_dataset().load(), signal)
    np.testing.assert_array_equal(lazy.values, counted.values)
    xr.testing.assert_allclose(lazy, counted)


def test_a_bin_that_is_masked_for_some_units_is_never_silence(ripples, clock):
    area = ripples[f"{SESSION}/ca1"].to_dataset()
    random = np.random.default_rng(0)
    by_unit = random.random((594, 8, area.sizes["time"])) < 0.9
    dims = ("presentation_id", "unit_id", "time")
    masked = area.assign(valid_units=(dims, by_unit))
    counts, seen = area["spike_data"].values, by_unit & area["valid"].values[:, None]
    found = na.psth(masked)
    np.testing.assert_array_equal(found["n"], seen.sum(axis=0))
    total = (counts * seen).sum(axis=0)
    np.testing.assert_allclose((found["mean"] * 0.01 * found["n"]).fillna(0), total)
    one = counts[seen[:, 3, 5], 3, 5] / 0.01
    np.testing.assert_allclose(found["sem"][3, 5], one.std(ddof=1) / np.sqrt(one.size))
    want = (counts * seen).sum(axis=(0, 2)) / (seen.sum(axis=(0, 2)) * 0.01)
    np.testing.assert_allclose(na.firing_rate(masked), want)
    node = clock[f"{SESSION}/adn"].to_dataset()
    angle = clock[f"{SESSION}/adn/head_direction"]["ry"]
    seen = random.random((node.sizes["time"], 7)) < 0.9
    curves = na.tuning_curve(node.assign(valid_units=(("time", "unit_id"), seen)), angle, bins=8)
    assert curves["occupancy"].dims == ("unit_id", "ry")
    here = seen[:, 2] & (angle.values >= np.pi / 4) & (angle.values < np.pi / 2)
    assert curves["occupancy"][2, 1] == pytest.approx(here.sum() * 0.02)
    assert curves[2, 1] == pytest.approx(node["spike_data"].values[here, 2].mean() / 0.02)


# --------------------------------------------------------------------------------- other responses


@pytest.fixture(scope="module")
def calcium():
    """Responses (presentation_id, time, unit_id): some withheld, padded, or missing for a unit."""
    random = np.random.default_rng(0)
    direction = np.tile(np.arange(8) * 45.0, 6)
    drive = 1 + np.cos(2 * np.radians(direction - 60))  # of an orientation, not a direction
    shape = (48, 7, 3)
    values = drive[:, None, None] + random.normal(0, 0.3, shape)
    values[:, :, 1] = random.normal(0, 1, (48, 7))
    values[5:9, :, 2] = np.nan  # a cell that was lost for a while
    values[:10, 5:] = np.nan  # padding
    valid = np.ones((48, 7), bool)
    valid[:10, 5:] = False
    withheld = np.arange(48) % 6 == 5
    values[withheld] = 0.0  # blanked: not silence
    return xr.Dataset(
        {
            "responses": (("presentation_id", "time", "unit_id"), values, {"units": "dF/F"}),
            "valid": (("presentation_id", "time"), valid),
            "withheld": ("presentation_id", withheld),
        },
        {
            "presentation_id": np.arange(48),
            "unit_id": [7, 3, 5],
            "time": np.arange(7) / 10.0,
            "depth": ("unit_id", [100.0, 150.0, 200.0]),
            "direction": ("presentation_id", direction, {"units": "degrees"}),
        },
    )


def test_responses_are_averaged_like_counts(calcium):
    found = na.psth(calcium, by="direction")
    assert found["mean"].attrs["units"] == "dF/F"
    assert list(found["depth"]) == [100.0, 150.0, 200.0]
    kept = ~calcium["withheld"].values
    values = calcium["responses"].values
    for angle in (0.0, 225.0):
        mine = values[kept & (calcium["direction"].values == angle)]
        one = found.sel(direction=angle).transpose("time", "unit_id")
        np.testing.assert_allclose(one["mean"], np.nanmean(mine, axis=0))
        n = np.isfinite(mine).sum(axis=0)
        np.testing.assert_array_equal(one["n"], n)
        np.testing.assert_allclose(one["sem"], np.nanstd(mine, axis=0, ddof=1) / np.sqrt(n))
    smooth = na.psth(calcium, smooth=0.1)
    assert smooth["mean"].notnull().all()


@pytest.mark.parametrize("along_time", [True, False])
def test_tuning_of_responses_and_of_orientations(calcium, along_time):
    if not along_time:
        mean = calcium["responses"].mean("time").assign_attrs(units="dF/F")
        calcium = calcium.assign(responses=mean).drop_vars(["valid", "time"])
    found = na.tuning_curve(calcium, "direction", period=180)
    values = calcium["responses"].values
    n = np.isfinite(values).sum(axis=1) if along_time else np.isfinite(values)
    total = np.nansum(values, axis=1) if along_time else np.nan_to_num(values)
    means = total / np.where(n, n, np.nan)
    means[calcium["withheld"].values] = np.nan
    for k, angle in enumerate(np.arange(8) * 45.0):
        np.testing.assert_allclose(
            found[:, k], np.nanmean(means[calcium["direction"].values == angle], axis=0)
        )
    assert found.attrs["units"] == "dF/F"
    assert found["preferred"][0] == pytest.approx(60, abs=3)
    assert found["selectivity"][0] == pytest.approx(0.5, abs=0.05)
    # the same responses, taken for a direction: two lobes, which cancel one another
    assert na.tuning_curve(calcium, "direction", period=360)["selectivity"][0] < 0.05
    assert found["selectivity"].max() <= 1  # also of responses below 0


def test_responses_without_time_have_no_histogram(calcium):
    still = calcium.assign(responses=calcium["responses"].mean("time")).drop_vars(["valid", "time"])
    with pytest.raises(SchemaError, match="responses has no time; na.tuning_curve averages"):
        na.psth(still)


def test_tuning_of_responses_to_behaviour(clock):
    area = clock[f"{SESSION}/adn"]
    counts = area.to_dataset()
    signal = counts.assign(responses=counts["spike_data"] / 0.02).drop_vars("spike_data")
    angle = area["head_direction"]["ry"]
    want = na.tuning_curve(area, "head_direction/ry")
    found = na.tuning_curve(signal, angle)
    np.testing.assert_allclose(found, want)
    np.testing.assert_allclose(found["preferred"], want["preferred"])


def test_one_of_two_features_is_circular(calcium):
    contrast = np.repeat([0.2, 0.8], 24)
    area = calcium.assign_coords(contrast=("presentation_id", contrast))
    both = na.tuning_curve(area, ["direction", "contrast"], period=180)
    assert both["preferred"].dims == ("unit_id", "contrast")
    for c in (0.2, 0.8):
        rows = np.flatnonzero(contrast == c)
        alone = na.tuning_curve(area.isel(presentation_id=rows), "direction", period=180)
        one = both.sel(contrast=c)
        for name in ("preferred", "selectivity"):
            np.testing.assert_allclose(one[name], alone[name])
        inside = (one["selectivity_low"] <= one["selectivity"]) & (
            one["selectivity"] <= one["selectivity_high"]
        )
        assert inside.all()
    turned = area.assign_coords(
        direction=("presentation_id", area["direction"].values, {"period": 180})
    )
    second = na.tuning_curve(turned, ["contrast", "direction"])
    np.testing.assert_allclose(second["preferred"], both["preferred"])


def test_a_map_of_which_one_feature_is_circular(clock):
    area = clock[f"{SESSION}/adn"]
    maps = na.tuning_curve(area, ["position/x", "head_direction/ry"], bins=(4, 24))
    assert maps["preferred"].dims == ("unit_id", "x")
    assert maps["x"].max() < 1  # metres: the turn of the angle is not theirs
    curve = maps.isel(unit_id=3, x=2).dropna("ry")
    vector = (curve.values * np.exp(1j * curve["ry"].values)).sum() / curve.values.sum()
    assert maps["selectivity"][3, 2] == pytest.approx(abs(vector))


def test_conditions_of_one_presentation_are_named(directions):
    few = directions.isel(presentation_id=[0, 1, 26, 60])
    with pytest.warns(
        UserWarning, match="direction 90.0, direction 180.0 have only one presentation"
    ):
        found = na.tuning_curve(few, "direction")
    assert found["sem"].sel(direction=90).isnull().all()
    assert found["sem"].sel(direction=0).notnull().all()
