"""Filters, envelopes and phases: equal to scipy's on the whole, whatever is indexed."""

import tracemalloc

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import neuroarrays as na
from neuroarrays.errors import SchemaError

scipy_signal = pytest.importorskip(
    "scipy.signal", reason="pip install 'neuroarrays[signals]' brings scipy"
)

RATE = 500.0
N = 6000


def signal(values=None, clock=None, **attrs):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(N, 3)) + 100 if values is None else values
    clock = 7 + np.arange(len(values)) / RATE if clock is None else clock
    coords = {"time": clock} | (
        {"channel": np.arange(values.shape[1]), "area": ("channel", list("abc"))}
        if values.ndim == 2
        else {}
    )
    dims = ("time", "channel")[: values.ndim]
    return xr.DataArray(values, coords, dims, "lfp", {"units": "V"} | attrs)


@pytest.fixture(scope="module")
def lfp():
    return signal()


EDGES = {
    "band": ({"low": 20, "high": 60}, ("bandpass", [20, 60])),
    "low": ({"high": 30}, ("lowpass", 30)),
    "high": ({"low": 30}, ("highpass", 30)),
}


@pytest.mark.parametrize("zero_phase", [True, False])
@pytest.mark.parametrize("band", EDGES)
def test_equals_scipy_on_the_whole(lfp, band, zero_phase):
    edges, (kind, at) = EDGES[band]
    sections = scipy_signal.butter(3, at, kind, fs=RATE, output="sos")
    if zero_phase:
        want = scipy_signal.sosfiltfilt(sections, lfp.values, axis=0)
    else:
        state = scipy_signal.sosfilt_zi(sections)[:, :, None] * lfp.values[0]
        want = scipy_signal.sosfilt(sections, lfp.values, axis=0, zi=state)[0]
    found = na.filter(lfp, **edges, order=3, zero_phase=zero_phase)
    known = np.isfinite(found.values[:, 0])
    before = round(found.attrs["settling_time"] * RATE)
    assert known.sum() == N - before * (1 + zero_phase)
    np.testing.assert_allclose(found.values[known], want[known], atol=1e-4 * want.std())
    assert found.attrs["units"] == "V"
    assert found["area"].values.tolist() == ["a", "b", "c"]


def test_a_notch_and_finite_taps(lfp):
    time = lfp["time"].values
    hum = signal(np.sin(2 * np.pi * 50 * time) + np.sin(2 * np.pi * 20 * time))
    for kind in ("butterworth", "fir"):
        left = na.filter(hum, notch=50, kind=kind).values
        known = np.isfinite(left)
        known[:600] = known[-600:] = False
        assert known.any()
        np.testing.assert_allclose(
            left[known], np.sin(2 * np.pi * 20 * time)[known], atol=0.02, err_msg=kind
        )
    taps = scipy_signal.firwin(
        2 * int(np.ceil(3.3 * RATE / 20 / 2)) + 1, [20, 60], pass_zero="bandpass", fs=RATE
    )
    found = na.filter(lfp, 20, 60, kind="fir").values[:, 1]
    want = np.convolve(lfp.values[:, 1], taps, "same")
    known = np.isfinite(found)
    assert known.sum() == N - (taps.size - 1)
    np.testing.assert_allclose(found[known], want[known], atol=1e-9)
    causal = na.filter(lfp, 20, 60, kind="fir", zero_phase=False).values[:, 1]
    np.testing.assert_allclose(
        causal[taps.size :],
        want[taps.size // 2 + 1 : -(taps.size // 2)][: N - taps.size],
        atol=1e-9,
    )


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_every_chunking_gives_the_same(data):
    values = np.random.default_rng(1).normal(size=(2000, 3))
    holes = data.draw(st.lists(st.tuples(st.integers(0, 1999), st.integers(1, 40)), max_size=3))
    for begin, length in holes:
        values[begin : begin + length, data.draw(st.integers(0, 2))] = np.nan
    clock = np.arange(2000) / RATE + np.where(
        np.arange(2000) >= data.draw(st.integers(1, 2000)), 3, 0
    )
    array = signal(values, clock)
    zero_phase = data.draw(st.booleans())
    whole = na.filter(array, 30, 80, order=2, zero_phase=zero_phase).values
    chunk = {"time": data.draw(st.integers(300, 2100)), "channel": data.draw(st.integers(1, 3))}
    parts = na.filter(array.chunk(chunk), 30, 80, order=2, zero_phase=zero_phase)
    assert parts.chunks is not None
    np.testing.assert_allclose(parts.values, whole, atol=1e-6)
    low = data.draw(st.integers(0, 1990))
    picked = na.filter(array, 30, 80, order=2, zero_phase=zero_phase)[low : low + 5, 1]
    np.testing.assert_allclose(picked.values, whole[low : low + 5, 1], atol=1e-6)


def test_gaps_and_missing_samples_start_anew(lfp):
    """After a gap nothing of what was before it is left, and what is not settled is NaN."""
    values, clock = lfp.values.copy(), lfp["time"].values.copy()
    clock[3000:] += 1.0
    values[:3000] += 1e6  # would leak into what comes after
    found = na.filter(signal(values, clock), 20, 60)
    settling = round(found.attrs["settling_time"] * RATE)
    alone = na.filter(signal(values[3000:], clock[3000:]), 20, 60).values
    np.testing.assert_allclose(found.values[3000:], alone, atol=1e-6)
    assert np.isnan(found.values[3000 - settling : 3000 + settling]).all()
    values = lfp.values.copy()
    values[1000:1003, 1] = np.nan
    found = na.filter(signal(values), 20, 60).values
    assert np.isnan(found[1000 - settling : 1003 + settling, 1]).all()
    assert np.isfinite(found[1003 + settling : N - settling, 1]).all()
    whole = na.filter(lfp, 20, 60).values
    np.testing.assert_allclose(found[:, [0, 2]], whole[:, [0, 2]], atol=1e-9)
    valid = signal().assign_coords(valid=("time", np.arange(N) < 4000))
    assert np.isnan(na.filter(valid, 20, 60).values[4000 - settling :]).all()


@pytest.mark.parametrize(
    ("dtype", "want"), [("i2", "f4"), ("f4", "f4"), ("i4", "f8"), ("f8", "f8")]
)
def test_whole_numbers_are_not_truncated(dtype, want):
    values = (np.random.default_rng(0).normal(size=(N, 3)) * 100).astype(dtype)
    found = na.filter(signal(values), 20, 60)
    assert found.dtype == want
    exact = na.filter(signal(values.astype(float)), 20, 60).values
    np.testing.assert_allclose(found.values, exact, atol=1e-5 * 100)


def test_a_long_clock_is_not_copied():
    n = 1_000_000
    clock = np.arange(n) / 2500
    lfp = xr.DataArray(np.zeros((n, 1), "i2"), {"time": clock}, ("time", "channel"))
    na.filter(lfp[:10_000], 4, 12)  # compiles and imports
    tracemalloc.start()
    band = na.filter(lfp, 4, 12)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < clock.nbytes / 2
    assert band.sizes["time"] == n


def test_a_constant_channel_and_a_single_one():
    flat = na.filter(signal(np.full(N, 5.0)), 20, 60).values
    assert np.nanmax(np.abs(flat)) < 1e-9
    assert np.isfinite(flat).any()
    assert na.filter(signal(np.ones((N, 1))[:, 0]), 20).ndim == 1


def test_nodes_are_filtered_variable_by_variable_without_invalid_time():
    node = xr.Dataset({"lfp": signal(), "state": ("time", ["a"] * N)})
    tree = xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"neuroarrays_schema": "recording/1"}),
            "/s/LFP": node,
            "/s/presentations/invalid_times": xr.Dataset(
                {"start_time": ("presentation_id", [9.0]), "stop_time": ("presentation_id", [9.5])},
                {"presentation_id": [0]},
            ),
        }
    )
    found = na.filter(tree["s/LFP"], 20, 60)
    assert list(found.data_vars) == ["lfp"]
    lost = np.isnan(found["lfp"].sel(time=slice(9.0, 9.498)).values)
    assert lost.all()
    assert np.isfinite(found["lfp"].sel(time=slice(8, 8.5)).values).all()


def test_the_analytic_signal_equals_scipys():
    rng = np.random.default_rng(2)
    frequency = np.fft.rfftfreq(20_000, 1 / RATE)
    spectrum = np.where((frequency > 20) & (frequency < 60), rng.normal(size=frequency.size), 0)
    values = np.fft.irfft(spectrum * np.exp(2j * np.pi * rng.uniform(size=spectrum.size)))
    band = signal(values)
    found = na.hilbert(band, lowest=20)
    want = scipy_signal.hilbert(values)  # of a periodic signal it is exact up to the ends
    inner = slice(200, -200)
    assert np.isfinite(found["phase"].values[inner]).all()
    inner, close = slice(1000, -1000), 1e-4 * values.std()
    np.testing.assert_allclose(found["envelope"][inner], np.abs(want)[inner], atol=close)
    off = np.angle(np.exp(1j * (found["phase"].values - np.angle(want))))
    assert np.abs(np.abs(want) * off)[inner].max() < close
    assert found["phase"].attrs["period"] == 2 * np.pi
    assert float(found["phase"].min()) >= 0
    assert float(found["phase"].max()) < 2 * np.pi
    chunked = na.hilbert(band.chunk(time=700), lowest=20)
    np.testing.assert_allclose(chunked["envelope"][inner], found["envelope"][inner], atol=1e-6)


jitter = np.random.default_rng(0).uniform(0, 1e-3, N)


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (
            lambda: na.filter(signal(), 20, 250),
            ValueError,
            "250 Hz is not below 250 Hz, half of its 500",
        ),
        (lambda: na.filter(signal(), 60, 20), ValueError, "low=60 Hz is not below high=20 Hz"),
        (lambda: na.filter(signal(), 20, 20), ValueError, "the band is empty"),
        (lambda: na.filter(signal()), ValueError, "give low=, high="),
        (lambda: na.filter(signal(), 20, notch=50), ValueError, "notch= alone"),
        (lambda: na.filter(signal(), -1), ValueError, "low=-1: expected a frequency above 0"),
        (lambda: na.filter(signal(), "theta"), ValueError, "low='theta'"),
        (lambda: na.filter(signal(), 20, order=0), ValueError, "order=0: expected at least 1"),
        (
            lambda: na.filter(signal(), 20, kind="cheby"),
            ValueError,
            "expected one of 'butterworth', 'fir'",
        ),
        (
            lambda: na.filter(signal(), 0.1, 0.2),
            ValueError,
            "s to settle, but the longest stretch between gaps has 12 s",
        ),
        (lambda: na.filter(signal()[:0], 20), ValueError, "0 samples; expected at least 2"),
        (lambda: na.filter(signal().drop_vars("time"), 20), ValueError, "'lfp' has no clock"),
        (
            lambda: na.filter(signal(clock=7 + np.arange(N) / RATE + jitter), 20),
            ValueError,
            r"not regular: steps from .* median 0.00.* na.resample\(signal",
        ),
        (lambda: na.filter(signal(clock=np.zeros(N)), 20), ValueError, "not regular"),
        (
            lambda: na.filter(signal(clock=np.round(np.arange(N) / 700, 3)), 20),
            ValueError,
            r"steps from 0.001 to 0.002 s.* na.resample\(signal, 700\)",
        ),
        (lambda: na.filter(signal(clock=np.full(N, np.nan)), 20), ValueError, "6,000 time stamps"),
        (lambda: na.filter(signal().T, 20), SchemaError, "expected time first"),
        (lambda: na.filter(signal(period=360.0), 20), SchemaError, "is an angle"),
        (lambda: na.filter("lfp.nwb", 20), SchemaError, "expected a variable or node along time"),
        (
            lambda: na.filter(xr.Dataset({"x": ("y", [1.0])}), 20),
            SchemaError,
            "expected a variable or node",
        ),
        (lambda: na.filter(signal().astype(str), 20), SchemaError, "expected numbers"),
        (lambda: na.hilbert(signal()), ValueError, "give lowest="),
        (lambda: na.hilbert(signal(), 300), ValueError, "Nyquist"),
    ],
)
def test_what_cannot_be_says_why(ask, error, message):
    with pytest.raises(error, match=message):
        ask()
