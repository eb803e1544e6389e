"""Spectra, lower rates and events: equal to scipy's on the whole, and by hand."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import SchemaError

scipy_signal = pytest.importorskip(
    "scipy.signal", reason="pip install 'neuroarrays[signals]' brings scipy"
)
RATE = 200.0


def signal(values, start=3.0, clock=None):
    dims = ("time", "channel")[: values.ndim]
    clock = start + np.arange(len(values)) / RATE if clock is None else clock
    return xr.DataArray(values, {"time": clock}, dims, "lfp", {"units": "V"})


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).normal(size=(4000, 3)) + 5


def test_power_is_that_of_scipy(noise):
    found = na.power(signal(noise), 1.0)
    frequency, want = scipy_signal.welch(noise, RATE, nperseg=200, axis=0)
    np.testing.assert_allclose(found["frequency"], frequency)
    np.testing.assert_allclose(found, want, rtol=1e-9)
    assert found.attrs["units"] == "V²/Hz"
    counts = na.power(signal(noise).assign_attrs(units="1"), 1.0)
    assert counts.attrs["units"] == "1/Hz"
    assert found["windows"].values.tolist() == [39, 39, 39]
    np.testing.assert_allclose(na.power(signal(noise).chunk(time=333), 1.0), found)


def test_windows_do_not_cross_gaps_and_missing_samples_do_not_count(noise):
    values = noise.copy()
    values[700, 1] = np.nan
    clock = 3 + np.arange(4000) / RATE + np.where(np.arange(4000) >= 1000, 2.0, 0)
    found = na.power(signal(values, clock=clock), 1.0)
    assert found["windows"].values.tolist() == [9 + 29, 9 + 29 - 2, 9 + 29]
    gram = na.spectrogram(signal(values, clock=clock), 1.0, 0.5)
    known = np.isfinite(gram.values).all(axis=1)
    assert known.sum(axis=0).tolist() == [38, 36, 38]
    np.testing.assert_allclose(
        found.values[:, 1], gram.values[known[:, 1], :, 1].mean(axis=0), rtol=1e-9
    )
    middles = gram["time"].values
    assert middles[0] == pytest.approx(3 + 0.4975)
    assert not ((middles > 8 - 0.49) & (middles < 10 + 0.49)).any()


def test_a_spectrogram_is_that_of_scipy_whatever_is_indexed(noise):
    found = na.spectrogram(signal(noise), 0.5, 0.1)
    frequency, _, want = scipy_signal.spectrogram(
        noise, RATE, "hann", nperseg=100, noverlap=80, axis=0
    )
    want = want.transpose(2, 0, 1)
    assert found.dims == ("time", "frequency", "channel")
    np.testing.assert_allclose(found["frequency"], frequency)
    np.testing.assert_allclose(found, want, rtol=1e-8)
    np.testing.assert_allclose(found[[5, 190, 2], 3:6, 1], want[[5, 190, 2], 3:6, 1], rtol=1e-8)
    np.testing.assert_allclose(found[7, 4, 2], want[7, 4, 2], rtol=1e-8)
    assert na.spectrogram(signal(noise.astype("i2"))).dtype == np.float32


def test_multitaper_spectra_have_the_power_of_the_signal():
    time = np.arange(4000) / RATE
    tone = signal(2 * np.sin(2 * np.pi * 20 * time))
    found = na.power(tone, 2.0, method="multitaper", bandwidth=3.0)
    assert found.attrs["tapers"] == 5
    power = float(found.sum() * (found["frequency"][1] - found["frequency"][0]))
    assert power == pytest.approx(2.0, rel=0.01)  # half the square of the amplitude
    assert abs(float(found.idxmax("frequency")) - 20) <= 1.5
    inside = found.sel(frequency=slice(18, 22)).sum() / found.sum()
    assert inside > 0.99


def test_decimation_keeps_what_is_slow_and_takes_the_rest_away():
    time = np.arange(8000) / RATE
    slow, fast = np.sin(2 * np.pi * 5 * time), np.sin(2 * np.pi * 35 * time)
    found = na.decimate(signal(slow + fast, 0.0), 5)
    assert found.attrs["sampling_rate"] == 40
    np.testing.assert_array_equal(found["time"], time[::5])
    known = np.isfinite(found.values)
    assert known.sum() > 1500
    np.testing.assert_allclose(found.values[known], slow[::5][known], atol=1e-3)
    parts = na.decimate(signal(slow + fast, 0.0).chunk(time=999), 5)
    np.testing.assert_allclose(parts, found, atol=1e-9)


def test_an_irregular_clock_becomes_a_regular_one():
    rng = np.random.default_rng(0)
    clock = np.sort(rng.uniform(0, 20, 2000))
    array = signal(np.sin(clock), clock=clock)
    found = na.resample(array, 50.0)
    steps = found["time"].values * 50
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-9)
    known = np.isfinite(found.values)
    assert known.mean() > 0.7
    np.testing.assert_allclose(found.values[known], np.sin(found["time"].values[known]), atol=0.03)
    assert na.filter(found.interpolate_na("time"), 1, 5).sizes == found.sizes


@pytest.mark.parametrize("rate", [50.0, 133.3, 200.0, 1000.0])
def test_a_regular_clock_is_resampled_within_its_band(rate):
    """What both rates hold comes through, what the new one does not is gone, and holes stay."""
    clock = 0.1234 + np.arange(6000) / RATE
    slow, fast = np.sin(2 * np.pi * 8 * clock), np.sin(2 * np.pi * 90 * clock)
    array = signal(np.stack([slow, fast], axis=1), clock=clock)
    found = na.resample(array, rate)
    values, times = found.values, found["time"].values
    known = np.isfinite(values[:, 0])
    edge = found.attrs["settling_time"]
    np.testing.assert_array_equal(
        known, (times >= clock[0] + edge - 1e-9) & (times <= clock[-1] - edge + 1e-9)
    )
    np.testing.assert_allclose(values[known, 0], np.sin(2 * np.pi * 8 * times[known]), atol=1e-4)
    if rate < 180:
        assert np.abs(values[known, 1]).max() < 2e-4
    picked = [700, 3, 250, 251, 40]
    np.testing.assert_array_equal(found[picked].values, values[picked])
    parts = na.resample(array.chunk(time=700), rate)
    np.testing.assert_array_equal(parts.values, values)
    constant = na.resample(array * 0 + 3.5, rate).values
    np.testing.assert_allclose(constant[known], 3.5, rtol=1e-12)


def test_holes_and_missing_samples_stay_when_a_clock_is_resampled():
    values = np.sin(np.arange(4000) / 20)
    holes = np.delete(np.arange(4000), np.s_[2000:2100])
    found = na.resample(signal(values[holes], clock=holes / RATE), 100)
    edge, times = found.attrs["settling_time"], found["time"].values
    beside = (times > 1999 / RATE - edge + 1e-9) & (times < 2100 / RATE + edge - 1e-9)
    assert np.isnan(found.values[beside]).all()
    ends = (times < edge - 1e-9) | (times > 3999 / RATE - edge + 1e-9)
    np.testing.assert_array_equal(np.isnan(found.values), beside | ends)
    values[1000] = np.nan
    gone = np.isnan(na.resample(signal(values, 0.0), 100).values)
    assert gone[round(1000 / RATE * 100)]
    assert np.abs(times[np.flatnonzero(gone[30:-30]) + 30] - 1000 / RATE).max() <= edge
    with pytest.raises(ValueError, match="longer than the longest stretch"):
        na.resample(signal(np.arange(10.0), 0.0), 400)


def test_events_are_found_with_their_peaks_across_parts(monkeypatch):
    from neuroarrays.signals import detection

    values = np.zeros(1000)
    values[100:140] = 3
    values[120] = 9
    values[150:160] = 4
    values[400:402] = 5
    values[600:700] = 2.5
    values[990:] = 6
    array = signal(values, 0.0)
    for at_once in (1 << 20, 37):
        monkeypatch.setattr(detection, "_AT_ONCE", at_once)
        table = na.events_of(array, 3, edge=2)
        np.testing.assert_allclose(table["start_time"] * RATE, [99.5, 149.5, 399.5, 989.5])
        np.testing.assert_allclose(table["stop_time"] * RATE, [139.5, 159.5, 401.5, 999.5])
        np.testing.assert_allclose(table["peak_time"][0] * RATE, 120)
        assert table["peak"].values.tolist() == [9, 4, 5, 6]
        assert table["peak"].attrs["units"] == "V"
        table = na.events_of(array, 3, join=0.06, shortest=0.02, longest=0.4)
        np.testing.assert_allclose(table["start_time"] * RATE, [99.5, 989.5])
        np.testing.assert_allclose(table["duration"] * RATE, [60, 10])
    values[130] = np.nan
    assert na.events_of(signal(values), 3)["start_time"].size == 5
    assert na.events_of(array, 100)["start_time"].size == 0


def test_bursts_of_a_known_signal_are_found_again():
    """Ripples put into noise come back: filter, envelope, z-score, events."""
    rng = np.random.default_rng(3)
    rate, n = 1000.0, 60_000
    time = np.arange(n) / rate
    centres = np.arange(2, 58, 4.0) + rng.uniform(0, 1, 14)
    burst = np.exp(-0.5 * ((time[:, None] - centres) / 0.02) ** 2)
    values = (burst * np.sin(2 * np.pi * 150 * (time[:, None] - centres))).sum(axis=1)
    lfp = xr.DataArray(
        values * 5 + rng.normal(size=n) + 10 * np.sin(2 * np.pi * 8 * time), {"time": time}, "time"
    )
    envelope = na.hilbert(na.filter(lfp, 100, 200))["envelope"]
    table = na.events_of(na.normalize(na.smooth(envelope, 0.005)), 3, edge=1, shortest=0.02)
    np.testing.assert_allclose(table["peak_time"], centres, atol=0.015)


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda x: na.power(x, 100), ValueError, "longer than the longest stretch of 'lfp' between gaps, 20 s"),
        (lambda x: na.power(x, 0.01), ValueError, "window=0.01 s has 2 samples"),
        (lambda x: na.power(x, method="fft"), ValueError, "expected 'welch' or 'multitaper'"),
        (lambda x: na.spectrogram(x, method="welch"), ValueError, "expected 'hann' or 'multitaper'"),
        (lambda x: na.spectrogram(x, bandwidth=3), ValueError, "bandwidth= belongs to method='multitaper'"),
        (lambda x: na.power(x, method="multitaper", bandwidth=0.1), ValueError, "expected from 1 Hz"),
        (lambda x: na.decimate(x, 0), ValueError, "factor=0"),
        (lambda x: na.decimate(x, 1000), ValueError, "the filter before decimation needs"),
        (lambda x: na.resample(x, -1), ValueError, "rate=-1"),
        (lambda x: na.resample(x.drop_vars("time"), 10), ValueError, "expected a coordinate `time`"),
        (lambda x: na.resample(x[:1], 10), ValueError, "2 samples or more"),
        (lambda x: na.resample(x.T, 10), SchemaError, "expected time first"),
        (lambda x: na.events_of(x, 1), SchemaError, "expected \\(time,\\)"),
        (lambda x: na.events_of(x[:, 0], 1, edge=2), ValueError, "edge=2 is above the threshold"),
        (lambda x: na.events_of(x[:, 0], 1, join=-1), ValueError, "join"),
        (lambda x: na.events_of(x[:, 0].values, 1), SchemaError, "expected one signal"),
    ],
)  # fmt: skip
def test_what_cannot_be_says_why(noise, ask, error, message):
    with pytest.raises(error, match=message):
        ask(signal(noise))


def test_clocks_are_seconds_durations_or_refused(noise):
    lfp = signal(noise[:, 0])
    durations = lfp.assign_coords(time=(lfp["time"].values * 1e9).round().astype("timedelta64[ns]"))
    for of in (
        lambda x: na.spectrogram(x, 1.0)["time"],
        lambda x: na.events_of(x, 6.0)["start_time"],
        lambda x: na.smooth(x, 0.1)["time"],
    ):
        np.testing.assert_allclose(of(durations), of(lfp))
    in_ms = lfp.assign_coords(time=("time", lfp["time"].values * 1e3, {"units": "ms"}))
    with pytest.raises(ValueError, match="the clock of 'lfp': its unit is 'ms'"):
        na.power(in_ms)
    with pytest.raises(ValueError, match="sortby"):
        na.power(lfp[::-1])
    twice = signal(noise[:200, 0], clock=np.repeat(np.arange(100) / 50, 2))
    with pytest.raises(ValueError, match=r"100 steps of 199 not forward; .* 50\)"):
        na.power(twice)
    with pytest.raises(SchemaError, match="transpose"):
        na.power(signal(noise).T)


def test_what_asks_no_rate_takes_any_clock(noise):
    clock = np.sort(np.random.default_rng(1).uniform(0, 9, 4000))
    values = signal(noise, clock=clock)
    scaled = (noise - noise.mean(axis=0)) / noise.std(axis=0)
    np.testing.assert_allclose(na.normalize(values), scaled, atol=1e-9)
    np.testing.assert_allclose(na.reference(values), noise - noise.mean(axis=1, keepdims=True))
    valid = np.arange(4000) < 1000
    found = na.normalize(values.assign_coords(valid=("time", valid)))
    early = noise[:1000]
    want = (early - early.mean(axis=0)) / early.std(axis=0)
    np.testing.assert_allclose(found[:1000], want, atol=1e-9)
    assert np.isnan(found[1000:]).all()


def test_a_dask_array_gives_one_whatever_its_clock_becomes(noise):
    parts = signal(noise).chunk(time=500, channel=1)
    for of in (lambda x: na.spectrogram(x, 1.0), lambda x: na.resample(x, 50.0)):
        found = of(parts)
        assert found.chunks is not None
        assert len(found.chunks[0]) > 4
        np.testing.assert_allclose(found, of(signal(noise)))


def test_a_signal_of_which_nothing_is_valid(noise):
    never = signal(noise[:, 0]).assign_coords(valid=("time", np.zeros(4000, bool)))
    assert np.isnan(na.normalize(never)).all()
    assert na.events_of(never, 1.0).sizes["presentation_id"] == 0
    with pytest.raises(ValueError, match="none of its time is valid"):
        na.filter(never, 4, 12)
    with pytest.raises(ValueError, match="above=nan: expected a number"):
        na.events_of(never, np.nan)
    assert na.decimate(signal(noise.astype("i2")), 1).values.dtype == np.float32
