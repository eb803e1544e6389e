"""Spikes and signals together, against slow twins."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import NotInTree, SchemaError

RATE = 200.0
CLOCK = 2 + np.arange(4000) / RATE


def phase(clock=CLOCK, **attrs):
    values = (2 * np.pi * 8 * clock) % (2 * np.pi)
    return xr.DataArray(values, {"time": clock}, "time", "phase", {"period": 2 * np.pi} | attrs)


def spikes(*trains):
    sizes = [len(train) for train in trains]
    return xr.Dataset(
        {"spike_times": ("spike", np.concatenate(trains)), "row_size": ("unit_id", sizes)},
        {
            "unit_id": np.arange(len(trains)) + 5,
            "depth": ("unit_id", np.arange(len(trains)) * 10.0),
        },
    )


def test_phase_locking_is_that_of_every_spike():
    rng = np.random.default_rng(0)
    locked = 3 + np.arange(100) / 8 + rng.normal(0, 0.01, 100)
    free = np.sort(rng.uniform(2.1, 21, 80))
    outside = np.array([0.5, 30.0])
    found = na.phase_locking(spikes(locked, free, outside, [5.0]), phase())
    for k, train in enumerate((locked, free)):
        train = train[(train >= CLOCK[0]) & (train <= CLOCK[-1])]
        vector = np.exp(2j * np.pi * 8 * train).mean()
        n = len(train)
        pairs = np.exp(2j * np.pi * 8 * (train[:, None] - train)).real
        assert found["n"].values[k] == n
        np.testing.assert_allclose(found["vector_length"][k], np.abs(vector), atol=1e-6)
        off = np.angle(np.exp(1j * (found["mean_phase"].values[k] - np.angle(vector))))
        assert abs(off) < 1e-6
        np.testing.assert_allclose(found["ppc"][k], (pairs.sum() - n) / n / (n - 1), atol=1e-6)
    assert found["p"][0] < 1e-10
    assert found["p"][1] > 0.01
    assert found["n"].values.tolist()[2:] == [0, 1]
    assert np.isnan(found["mean_phase"][2])
    assert np.isnan(found["ppc"][3])
    assert found["depth"].values.tolist() == [0, 10, 20, 30]
    degrees = xr.DataArray(
        np.rad2deg(phase().values), {"time": CLOCK}, "time", attrs={"period": 360.0, "units": "deg"}
    )
    turned = na.phase_locking(spikes(locked), degrees)
    np.testing.assert_allclose(turned["vector_length"], found["vector_length"][:1], atol=1e-6)
    assert turned["mean_phase"].attrs["units"] == "deg"


def test_spikes_in_gaps_of_the_phase_do_not_count():
    clock = np.concatenate([CLOCK[:1000], CLOCK[2000:]])
    found = na.phase_locking(spikes([3.0, 8.0, 15.0]), phase(clock))
    assert found["n"].values.tolist() == [2]
    valid = (CLOCK < 7) | (CLOCK > 9)
    found = na.phase_locking(spikes([3.0, 8.0, 15.0]), phase().assign_coords(valid=("time", valid)))
    assert found["n"].values.tolist() == [2]
    for wrong in (phase(period=None), phase().expand_dims("channel", 1)):
        with pytest.raises(SchemaError, match="attribute period"):
            na.phase_locking(spikes([3.0]), wrong)


def test_averages_around_events_are_those_of_each_event():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(4000, 2))
    values[1000:1010, 1] = np.nan
    signal = xr.DataArray(
        values, {"time": CLOCK, "channel": [3, 4]}, ("time", "channel"), "lfp", {"units": "V"}
    )
    times = np.array([3.0, 7.01, 12.345, 21.99, np.nan])
    found = na.event_triggered_average(times, signal, (-0.05, 0.1))
    np.testing.assert_allclose(found["lag"], np.arange(-10, 21) / RATE)
    for column in range(2):
        known = np.isfinite(values[:, column])
        for k, lag in enumerate(found["lag"].values):
            parts = []
            for t in times[:4] + lag:
                after = int(np.searchsorted(CLOCK, t - 1e-9))
                exact = after < 4000 and abs(CLOCK[after] - t) < 1e-9
                around = [after] if exact else [after - 1, after]
                if after < 4000 and known[around].all():
                    parts.append(np.interp(t, CLOCK, values[:, column]))
            assert found["n"].values[k, column] == len(parts)
            np.testing.assert_allclose(found["mean"].values[k, column], np.mean(parts), atol=1e-6)
            np.testing.assert_allclose(
                found["sem"].values[k, column],
                np.std(parts, ddof=1) / np.sqrt(len(parts)),
                atol=1e-6,
            )
    assert found["mean"].attrs["units"] == "V"
    with pytest.raises(ValueError, match="has no sample"):
        na.event_triggered_average(times, signal, (0.001, 0.002))


def test_averages_around_spikes_are_those_of_each_unit():
    rng = np.random.default_rng(2)
    valid = CLOCK < 20
    signal = xr.DataArray(rng.normal(size=4000), {"time": CLOCK, "valid": ("time", valid)}, "time")
    trains = [3.0, 4.0, 8.5], [], [21.0, 9.0]
    found = na.event_triggered_average(spikes(*trains), signal, (-0.05, 0.05))
    assert found["mean"].dims == ("unit_id", "lag")
    assert found["depth"].values.tolist() == [0, 10, 20]
    for k, train in enumerate((trains[0], [], [9.0])):
        alone = na.event_triggered_average(train, signal, (-0.05, 0.05))
        for name in ("mean", "sem", "n"):
            np.testing.assert_allclose(found[name][k], alone[name])
        assert (alone["n"] == len(train)).all()
    none = spikes([]).isel(unit_id=slice(0, 0))
    assert na.event_triggered_average(none, signal, (0, 1)).sizes["unit_id"] == 0
    for wrong in (0.1, (0.1, "a"), (0, np.inf)):
        with pytest.raises(ValueError, match="two times in seconds"):
            na.event_triggered_average([3.0], signal, wrong)


@pytest.fixture(scope="module")
def session():
    lfp = xr.Dataset({"lfp": ("time", np.cos(phase().values))}, {"time": CLOCK})
    invalid = xr.Dataset(
        {
            "start_time": ("presentation_id", [10.0]),
            "stop_time": ("presentation_id", [12.0]),
        },
        {"presentation_id": [0]},
    )
    return xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"neuroarrays_schema": "recording/1"}),
            "/s/presentations/invalid_times": invalid,
            "/s/LFP": lfp,
            "/s/theta": xr.Dataset({"phase": phase()}),
            "/s/CA1/spikes": spikes([3.0, 11.0], [14.0]),
            "/s/CA3/spikes": spikes([5.0, 6.0, 7.0]),
        }
    )


def test_areas_of_a_tree_are_asked_with_the_path_of_a_signal(session):
    locked = na.phase_locking(session, "theta/phase")
    assert locked["n"].values.tolist() == [1, 1, 3]  # 11 s is invalid
    assert locked["area"].values.tolist() == ["CA1", "CA1", "CA3"]
    around = na.event_triggered_average(session, "LFP/lfp", (-0.1, 0.1), areas="CA3")
    assert around["n"].dims == ("unit_id", "lag")
    assert (around["n"] == 3).all()
    together = na.coherence(session["s"], "LFP/lfp", 2.0)
    assert together["coherence"].sizes["unit_id"] == 3
    assert together["n"].values.tolist() == [1, 1, 3]
    with pytest.raises(NotInTree, match="LFP/lfp"):
        na.coherence(session["s/CA1"], "LFP/LFP")
    with pytest.raises(SchemaError, match="needs a node of a tree"):
        na.coherence(spikes([3.0]), "LFP/lfp")


def field_and_spikes():
    """Two channels, the second with a missing sample, and trains of which one follows 8 Hz."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=(4000, 2)) + np.cos(2 * np.pi * 8 * CLOCK)[:, None]
    values[3000, 1] = np.nan
    follows = 2.51 + np.arange(140) / 8 + rng.normal(0, 0.01, 140)
    dims = ("time", "channel")
    field = xr.DataArray(values, {"time": CLOCK, "channel": [0, 1]}, dims, "lfp")
    return field, [np.sort(rng.uniform(0, 25, 200)), follows, []]


def test_coherence_of_welch_is_that_of_scipy_on_counts():
    scipy_signal = pytest.importorskip("scipy.signal", reason="pip install scipy")
    field, trains = field_and_spikes()
    found = na.coherence(spikes(*trains), field, 1.0, method="welch")
    for k, train in enumerate(trains[:2]):
        edges = np.append(CLOCK, CLOCK[-1] + 1 / RATE) - 0.5 / RATE
        counts = np.histogram(train, edges)[0]
        of_scipy = scipy_signal.coherence(counts, field.values[:, 0], RATE, nperseg=200)[1]
        np.testing.assert_allclose(found["coherence"][k, :, 0], of_scipy, atol=1e-12)
        assert found["n"].values[k] == counts.sum()
    assert np.isnan(found["coherence"][2]).all()
    assert found["windows"].values.tolist() == [39, 37]
    short = na.coherence(spikes(*trains), field[:200], 1.0, method="welch")
    assert np.isnan(short["coherence"]).all()  # one window: always 1


def test_coherence_by_tapers_is_a_slow_sum():
    windows = pytest.importorskip("scipy.signal.windows", reason="pip install scipy")
    field, trains = field_and_spikes()
    found = na.coherence(spikes(*trains), field, 1.0, bandwidth=6.0)
    tapers = windows.dpss(200, 3.0, 5)
    turns = np.exp(-2j * np.pi * np.outer(np.arange(101), np.arange(200)) / 200)
    for channel in range(2):
        cross, power, spiking = 0, 0, 0
        for start in range(0, 4000, 200):
            x = field.values[start : start + 200, channel]
            if np.isnan(x).any():
                continue
            edges = CLOCK[start] + (np.arange(201) - 0.5) / RATE
            counts = np.histogram(trains[1], edges)[0]
            for taper in tapers:
                of_field = turns @ (taper * (x - x.mean()))
                of_spikes = turns @ (taper * (counts - counts.mean()))
                cross = cross + of_field * of_spikes.conj()
                power = power + np.abs(of_field) ** 2
                spiking = spiking + np.abs(of_spikes) ** 2
        slow = np.abs(cross) ** 2 / power / spiking
        np.testing.assert_allclose(found["coherence"][1, :, channel], slow, atol=1e-12)
    assert found["coherence"].sel(frequency=8).values[1, 0] > found["level"].values[0]
    assert found["coherence"].sel(frequency=50).values[1, 0] < 0.15
    off = found["phase"].sel(frequency=8).values[1, 0] - 2 * np.pi * 8 * 0.01  # after the peak
    assert abs(off) < 0.2
    with pytest.raises(ValueError, match="expected 'multitaper' or 'welch'"):
        na.coherence(spikes(*trains), field, method="fft")


@pytest.fixture(scope="module")
def aligned():
    clock = np.arange(0, 40, 0.05) + 0.025
    table = xr.Dataset(
        {
            "start_time": ("presentation_id", [1.0, 11.0, 21.0, 31.0]),
            "stop_time": ("presentation_id", [3.0, 13.0, 23.0, 32.0]),
            "side": ("presentation_id", list("abab")),
        },
        {"presentation_id": np.arange(4)},
    )
    lfp = xr.Dataset(
        {"lfp": (("time", "channel"), np.stack([clock, -clock], 1), {"units": "V"})},
        {"time": clock, "channel": [7, 9]},
    )
    heading = xr.Dataset(
        {"angle": ("time", np.where(clock < 16, 350.0, 20.0), {"period": 360.0})}, {"time": clock}
    )
    tree = xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"neuroarrays_schema": "recording/1"}),
            "/s/presentations/trials": table,
            "/s/LFP": lfp,
            "/s/heading": heading,
            "/s/CA1/spikes": spikes([1.5, 11.2, 22.0]),
        }
    )
    return na.align(tree, "trials", 0.1, (0, 2), series="*")


def test_signals_around_events_are_averaged_as_counts_are(aligned):
    found = na.psth(aligned["s/CA1"], signal="LFP/lfp")
    assert found["mean"].dims == ("channel", "time")
    assert found["channel"].values.tolist() == [7, 9]
    middles = found["time"].values
    onsets = np.array([1.0, 11, 21, 31])
    early = onsets.mean() + middles[:10]
    np.testing.assert_allclose(found["mean"].sel(channel=7)[:10], early)
    np.testing.assert_allclose(found["mean"].sel(channel=9)[:10], -early)
    # The last presentation ends after 1 s: what is later does not count.
    np.testing.assert_allclose(found["mean"].sel(channel=7)[10:], 11 + middles[10:])
    assert found["n"].sel(channel=7).values.tolist() == [4] * 10 + [3] * 10
    np.testing.assert_allclose(found["sem"].sel(channel=7)[:10], onsets.std(ddof=1) / 2)
    assert found["mean"].attrs["units"] == "V"
    by_side = na.psth(aligned["s/CA1"], "side", signal="LFP/lfp")
    assert by_side["mean"].dims == ("side", "channel", "time")
    np.testing.assert_allclose(by_side["mean"].sel(side="a", channel=7), 11 + middles)


def test_an_angle_around_events_has_its_circular_mean(aligned):
    found = na.psth(aligned["s/CA1"], signal="heading/angle")
    assert found["mean"].dims == ("time",)
    np.testing.assert_allclose(found["mean"][:10], 5.0)
    assert found["mean"].attrs["period"] == 360.0
    with pytest.raises(NotInTree, match="LFP/lfp"):
        na.psth(aligned["s/CA1"], signal="LFP/LFP")


def test_phase_tuning_is_spikes_by_time_at_each_phase():
    """A tuning curve against an aligned phase, bin by bin in plain Python."""
    pytest.importorskip("scipy", reason="pip install 'neuroarrays[signals]' brings scipy")
    rng = np.random.default_rng(5)
    clock = np.arange(0, 40, 0.002)
    lfp = xr.DataArray(np.cos(2 * np.pi * 7.3 * clock), {"time": clock}, "time", "lfp")
    lfp[5000:5600] = np.nan  # the phase is missing there, and beside it
    phase = na.hilbert(lfp, lowest=6)["phase"]
    moments = np.sort(rng.uniform(0, 40, 4000))
    times = moments[rng.random(4000) < 0.5 + 0.5 * np.cos(2 * np.pi * 7.3 * moments - 2)]
    spikes = xr.Dataset(
        {"spike_times": ("spike", times), "row_size": ("unit_id", [times.size])}, {"unit_id": [3]}
    )
    tree = xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"neuroarrays_schema": "recording/1"}),
            "/s/CA1/spikes": spikes,
            "/s/theta": phase.to_dataset(name="phase"),
        }
    )
    area = na.align(tree, bin_width=0.004, window=(0, 40), series="theta")["s/CA1"]
    found = na.tuning_curve(area, "theta/phase", bins=12)

    number, occupied = np.zeros(12), np.zeros(12)
    values = phase.values
    for k in range(10_000):
        low, high = round(k * 0.004, 9), round((k + 1) * 0.004, 9)
        x = y = weights = 0.0
        for sample in range(2 * k, min(2 * k + 3, clock.size)):  # half of the outer two lies inside
            weight = 1.0 if sample == 2 * k + 1 else 0.5
            if np.isfinite(values[sample]):
                x += weight * np.cos(values[sample])
                y += weight * np.sin(values[sample])
                weights += weight
        if weights:
            place = int(np.arctan2(y, x) % (2 * np.pi) / (2 * np.pi) * 12)
            occupied[place] += 0.004
            number[place] += ((times >= low) & (times < high)).sum()
    np.testing.assert_allclose(found.occupancy, occupied, atol=0.0041)
    np.testing.assert_allclose(found.values[0], number / occupied, rtol=0.03)
    assert abs(found.preferred.item() - 2) < 0.1
