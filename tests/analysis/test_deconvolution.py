"""Events from fluorescence: against OASIS and DRIADA themselves, on traces whose events are known."""

import pickle
import sys
import warnings

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.errors import MissingDependency, NotInTree, SchemaError
from neuroarrays.lazy.arrays import LazyArray, array_of

RATE = 20.0
N, UNITS = 2000, 4
needs_oasis = pytest.mark.peers("oasis")
needs_driada = pytest.mark.peers("driada")


def simulated(noise=0.05, decay=1.0, rise=0.0, seed=0, spacing=45):
    """Traces (time, unit_id) and when their events are, in frames, for each unit."""
    rng = np.random.default_rng(seed)
    t = np.arange(400) / RATE
    kernel = np.exp(-t / decay) * (1 - np.exp(-t / rise) if rise else 1.0)
    traces, events = np.empty((N, UNITS)), []
    for unit in range(UNITS):
        at = np.cumsum(rng.integers(spacing, 2 * spacing, 100))
        at = at[at < N - spacing]
        train = np.zeros(N)
        train[at] = rng.uniform(0.8, 1.5, at.size)
        traces[:, unit] = 0.3 + np.convolve(train, kernel)[:N] + rng.normal(0, noise, N)
        events.append(at)
    coords = {"time": np.arange(N) / RATE, "unit_id": [2, 3, 5, 7]}
    attrs = {"units": "dF/F"}
    return xr.DataArray(traces, coords, ("time", "unit_id"), "fluorescence", attrs), events


def a_tree(traces, session=(), **variables):
    area = traces.rename("responses").to_dataset().assign(variables)
    return xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED)),
            "mouse": xr.Dataset(attrs=dict(session)),
            "mouse/CA1": area,
        }
    )


class Counting(LazyArray):
    """Traces that note which units were read."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.read = []

    def outer(self, key):
        self.read.append(np.atleast_1d(np.arange(self.shape[1])[key[1]]).tolist())
        found = self.values[key[0]]
        return found[..., key[1]]

    def __dask_tokenize__(self):
        return ("Counting", id(self))


def counting(traces):
    array = Counting(traces.values)
    return array, traces.copy(data=None).to_dataset().assign(
        fluorescence=array.variable(traces.dims, traces.attrs)
    )["fluorescence"]


# All methods


def test_nothing_is_read_before_it_is_asked_for_and_one_unit_reads_one():
    traces, _ = simulated()
    array, lazy = counting(traces)
    events = na.deconvolve(lazy, "threshold")
    assert array.read == []
    assert isinstance(array_of(events.variable), LazyArray)
    one = events.sel(unit_id=5).values
    assert array.read == [[2]]
    events.sel(unit_id=5).isel(time=slice(10, 20)).load()
    assert array.read == [[2]], "a unit was computed twice"
    whole = events.values
    np.testing.assert_array_equal(whole[:, 2], one)


def test_the_result_is_what_responses_are():
    traces, _ = simulated()
    tree = a_tree(traces)
    before = tree["mouse/CA1/responses"].values.copy()
    events = na.deconvolve(tree["mouse/CA1"], "threshold")
    assert events.dims == ("time", "unit_id")
    assert events.name == "responses"
    assert events.attrs == {
        "long_name": "deconvolved events",
        "method": "threshold",
        "units": "dF/F",
    }
    by_dataset = na.deconvolve(tree["mouse/CA1"].to_dataset(), "threshold")
    xr.testing.assert_identical(by_dataset, events)
    tree["mouse/CA1"] = tree["mouse/CA1"].to_dataset().assign(responses=events)
    na.validate(tree)
    np.testing.assert_array_equal(traces.values, before)
    for key in [(slice(3, 90, 7), [3, 0]), (50, 1), ([4, 4, 2], slice(None)), (slice(0), slice(0))]:
        part = events.isel(time=key[0], unit_id=key[1])
        by_axis = np.ix_(
            *[np.atleast_1d(np.arange(n)[k]) for n, k in zip(events.shape, key, strict=True)]
        )
        np.testing.assert_array_equal(part.values, events.values[by_axis].reshape(part.shape))


def test_the_type_of_the_traces_stays():
    traces, _ = simulated()
    assert na.deconvolve(traces.astype("f4"), "threshold").values.dtype == np.float32
    counts = (traces * 1000).astype("i2")
    assert na.deconvolve(counts, "threshold").values.dtype == np.float64


def test_chunks_of_units_give_the_same():
    traces, _ = simulated()
    events = na.deconvolve(traces, "threshold")
    chunked = events.chunk(unit_id=2)
    np.testing.assert_array_equal(chunked.compute().values, events.values)


@pytest.mark.parametrize("method", ["threshold", pytest.param("oasis", marks=needs_oasis)])
def test_gaps_are_gaps_and_stretches_are_on_their_own(method):
    traces, _ = simulated()
    traces[500:520, 1] = np.nan
    traces[0, 1] = np.nan
    traces[900:903, 1] = np.nan
    traces[906, 1] = np.inf  # three good frames before it are too few
    valid = xr.DataArray(np.ones(N, bool), dims="time")
    valid[1500:1600] = False
    found = na.deconvolve(a_tree(traces, valid=valid)["mouse/CA1"], method, decay=1.0).values
    gone = np.isnan(found[:, 1])
    assert gone[[0, *range(500, 520), *range(900, 907), *range(1500, 1600)]].all()
    assert np.isnan(found[1500:1600]).all()
    edge = 0 if method == "oasis" else 5
    assert not gone[520 + edge : 900 - edge].any()
    if method == "threshold":  # which looks at a few frames only: elsewhere nothing changes
        whole = na.deconvolve(simulated()[0], method).values
        assert (found[50:450, 0] > 0).sum() == (whole[50:450, 0] > 0).sum()


def test_masks_of_units_are_gaps_of_these_units():
    traces, _ = simulated()
    mask = xr.DataArray(np.ones((N, UNITS), bool), dims=("time", "unit_id"))
    mask[500:520, 1] = False
    expected = na.deconvolve(traces.where(mask.values), "threshold").values
    node = a_tree(traces, valid_units=mask)["mouse/CA1"]
    found = na.deconvolve(node, "threshold")
    np.testing.assert_array_equal(found.values, expected)
    np.testing.assert_array_equal(found.isel(unit_id=[1, 0]), expected[:, [1, 0]])
    assert np.isnan(expected[500:520, 1]).all()
    assert np.isfinite(expected[500:520, 0]).all()


def test_a_jump_of_the_clock_is_a_gap():
    traces, _ = simulated()
    time = traces["time"].values.copy()
    time[1000:] += 60.0
    found = na.deconvolve(traces.assign_coords(time=time), "threshold").values
    assert np.isnan(found[996:1004]).all()
    assert not np.isnan(na.deconvolve(traces, "threshold").values[996:1004]).any()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda a: na.deconvolve(a, "magic"), ValueError, "expected one of 'oasis', 'threshold'"),
        (lambda a: na.deconvolve(a, "threshold", threshold=0), ValueError, "threshold=0: expected"),
        (lambda a: na.deconvolve(a, "threshold", rise=np.nan), ValueError, "rise=nan: expected"),
        (lambda a: na.deconvolve(a.T, "threshold"), SchemaError, "expected .time, unit_id."),
        (lambda a: na.deconvolve(a.drop_vars("time"), "threshold"), SchemaError, "sampling_rate="),
        (lambda a: na.deconvolve(a[::-1], "threshold"), SchemaError, "does not always increase"),
        (
            lambda a: na.deconvolve(a.to_dataset(name="dff"), "threshold"),
            NotInTree,
            "no variable 'responses'",
        ),
    ],
)
def test_what_cannot_be(change, error, text):
    with pytest.raises(error, match=text):
        change(simulated()[0])


@pytest.mark.parametrize(
    ("method", "package", "extra"),
    [("oasis", "oasis", "deconvolve"), ("wavelet", "driada", "driada")],
)
def test_a_missing_package_is_named_with_how_to_get_it(monkeypatch, method, package, extra):
    for name in [n for n in sys.modules if n.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependency, match=rf"pip install 'neuroarrays\[{extra}\]'"):
        na.deconvolve(simulated()[0], method)


# Threshold


def hits(found, events, slack):
    """How many events have something found nearby, and how much of what was found is one."""
    places = np.flatnonzero(np.nan_to_num(found) > 0)
    hit = sum(np.abs(places - e).min(initial=N) <= slack for e in events)
    true = sum(np.abs(events - p).min(initial=N) <= slack for p in places)
    return hit / len(events), true / max(places.size, 1)


def test_threshold_finds_the_events_of_simulated_traces():
    traces, events = simulated()
    found = na.deconvolve(traces, "threshold").values
    for unit in range(UNITS):
        recall, precision = hits(found[:, unit], events[unit], 1)
        assert recall > 0.95
        assert precision > 0.95
        sizes = found[:, unit][found[:, unit] > 0]
        assert 0.7 < np.median(sizes) < 1.3  # jumps of 0.8 to 1.5, less a little decay


@given(st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
@settings(max_examples=10)
def test_threshold_does_not_depend_on_unit_and_baseline(factor, offset):
    traces, _ = simulated()
    plain = na.deconvolve(traces, "threshold").values
    found = na.deconvolve(traces * factor + offset, "threshold").values
    np.testing.assert_allclose(found, plain * factor, rtol=1e-6, atol=1e-9 * factor)


def test_a_lazy_result_travels():
    traces, _ = simulated()
    events = na.deconvolve(traces, "threshold")
    again = pickle.loads(pickle.dumps(events))
    np.testing.assert_array_equal(again.values, events.values)


def test_threshold_finds_little_in_noise_and_less_above_higher_ones():
    noise, _ = simulated()
    noise = noise.copy(data=np.random.default_rng(0).normal(size=noise.shape))
    rates = [(na.deconvolve(noise, "threshold", threshold=k) > 0).values.mean() for k in (2, 3, 4)]
    assert rates[0] > rates[1] > rates[2]
    assert rates[2] < 1e-3


def test_the_rise_comes_from_the_argument_the_unit_the_session_or_a_quarter_second():
    traces, _ = simulated()

    def unknown(of, **options):
        """Frames at the beginning that have too few before them: those of a rise."""
        return np.isnan(na.deconvolve(of, "threshold", **options).values).argmin(axis=0).tolist()

    labelled = traces.assign_coords(t_rise=("unit_id", [0.1, 0.5, np.nan, 0.0]))
    tree = a_tree(labelled, {"t_rise_sec": 1.0})
    assert unknown(traces) == [5] * 4
    assert unknown(labelled) == [2, 10, 5, 5]
    assert unknown(tree["mouse/CA1"]) == [2, 10, 20, 20]
    assert unknown(tree["mouse/CA1"], rise=0.2) == [4] * 4


# OASIS


@needs_oasis
def test_oasis_is_what_the_package_gives_for_each_trace():
    from oasis.functions import deconvolve

    traces, _ = simulated()
    found = na.deconvolve(traces, "oasis").values
    for unit in range(UNITS):
        np.testing.assert_allclose(found[:, unit], deconvolve(traces.values[:, unit]).s, atol=1e-9)


@needs_oasis
def test_oasis_with_the_time_constants_of_the_file():
    from oasis.functions import deconvolve

    traces, _ = simulated(rise=0.1)
    decays, rises = [0.9, 1.0, 1.1, 1.2], [0.1, 0.1, 0.2, 0.05]
    labelled = traces.assign_coords(t_off=("unit_id", decays), t_rise=("unit_id", rises))
    found = na.deconvolve(labelled, "oasis").values
    for unit, (d, r) in enumerate(zip(decays, rises, strict=True)):
        # (1 - exp(-t/r)) exp(-t/d) has the time constants d and 1 / (1/r + 1/d)
        own = deconvolve(traces.values[:, unit], tau_d=d, tau_r=1 / (1 / r + 1 / d), framerate=RATE)
        np.testing.assert_allclose(found[:, unit], own.s, atol=1e-9)
    session = a_tree(traces, {"t_off_sec": 1.0})["mouse/CA1"]
    by_session = na.deconvolve(session, "oasis").values[:, 0]
    own = deconvolve(traces.values[:, 0], tau_d=1.0, framerate=RATE)
    np.testing.assert_allclose(by_session, own.s, atol=1e-9)


@needs_oasis
@pytest.mark.parametrize("rise", [None, 0.1])
def test_oasis_finds_the_events_of_simulated_traces(rise):
    traces, events = simulated(rise=rise or 0.0)
    found = na.deconvolve(traces, "oasis", decay=1.0, rise=rise).values
    for unit in range(UNITS):
        within = np.convolve(found[:, unit], np.ones(3), "same")  # one event may be two frames
        # With a rise of 2 frames, 1 per event makes 0.37 in the units of OASIS' kernel.
        recall, precision = hits(within > (0.15 if rise else 0.4), events[unit], 3)
        assert recall > 0.9
        assert precision > 0.9


@needs_oasis
def test_oasis_does_not_see_an_event_behind_a_gap():
    traces, _ = simulated(noise=0.02)
    decaying = np.exp(-np.arange(N - 1000) / RATE)
    traces[:, 0] = np.random.default_rng(0).normal(0.0, 0.02, N)
    traces[1000:, 0] += decaying  # the event itself was in the gap
    traces[980:1000, 0] = np.nan
    found = na.deconvolve(traces, "oasis", decay=1.0).values[:, 0]
    assert np.nanmax(found[1000:]) < 0.2


@needs_oasis
def test_oasis_without_a_decay_in_the_trace_says_so():
    traces, _ = simulated()
    traces[:, 1] = np.random.default_rng(0).normal(size=N)  # its estimate is below 0
    traces[:, 3] = 1.0
    events = na.deconvolve(traces, "oasis")
    with pytest.warns(UserWarning, match=r"trace of unit 3 does not .* give decay= in seconds"):
        assert np.isnan(events.sel(unit_id=3).values).all()
    with pytest.warns(UserWarning, match="trace of unit 7"):
        assert np.isnan(events.sel(unit_id=7).values).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(na.deconvolve(traces, "oasis", decay=1.0).values).all()


@needs_oasis
def test_oasis_does_not_take_noise_for_a_decay():
    """Its own estimate of the decay is between 0 and 1 for one half of white noise."""
    noise = np.random.default_rng(0).normal(size=(600, 40))
    coords = {"time": np.arange(600) / RATE, "unit_id": np.arange(40)}
    events = na.deconvolve(xr.DataArray(noise, coords, ("time", "unit_id")), "oasis")
    with pytest.warns(UserWarning, match="does not show how fast it decays"):
        assert np.isnan(events.values).all()


@needs_oasis
def test_oasis_needs_a_clock_for_seconds_and_a_decay_beside_a_rise():
    traces, _ = simulated()
    bare = traces.drop_vars("time")
    np.testing.assert_allclose(
        na.deconvolve(bare, "oasis").values, na.deconvolve(traces, "oasis").values, atol=1e-9
    )
    with pytest.raises(SchemaError, match="the sampling rate is not known"):
        na.deconvolve(bare, "oasis", decay=1.0)
    with pytest.raises(ValueError, match="give decay= too"):
        na.deconvolve(traces, "oasis", rise=0.1)


# Wavelets


@needs_driada
def test_wavelets_are_what_driada_gives():
    from driada.experiment import extract_wvt_events
    from driada.experiment.wavelet_event_detection import events_to_ts_array

    traces, _ = simulated(noise=0.02, rise=0.2)
    traces[700:710, 0] = np.nan
    found = na.deconvolve(traces, "wavelet")
    assert found.attrs["units"] == "1"
    for unit, part in [(0, slice(0, 700)), (0, slice(710, N)), (1, slice(None))]:
        one = traces.values[part, unit]
        starts, ends, _ = extract_wvt_events(one[None], {"fps": RATE})
        expected = events_to_ts_array(one.size, starts, ends, RATE)[0]
        assert expected.any()
        np.testing.assert_array_equal(found.isel(unit_id=unit).values[part], expected)
    assert np.isnan(found.isel(unit_id=0).values[700:710]).all()
    traces[:, 2] = 0.0
    assert not na.deconvolve(traces, "wavelet").isel(unit_id=2).values.any()
