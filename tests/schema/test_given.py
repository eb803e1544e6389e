"""What a newcomer gives by mistake: every function says what it found, and a line that works."""

import re
import shutil

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.errors import NeuroArraysError
from neuroarrays.schema import given

PLACE = "A2929-200711/ca1"


@pytest.fixture(scope="module")
def trees():
    tree = na.load_sample()
    trials = na.align(tree, "sleep_ripples", 0.01, window=(-0.1, 0.2))
    return {"recording": tree, "trials": trials, "clock": na.align(tree, bin_width=0.1)}


WRONG = {
    "none": lambda t: None,
    "number": lambda t: 3,
    "text": lambda t: "x",
    "path": lambda t: na.sample_path(),
    "array": lambda t: np.zeros(3),
    "empty": lambda t: [],
    "variable": lambda t: t["trials"][PLACE]["spike_data"],
    "dataset": lambda t: xr.Dataset(),
    "bare": lambda t: xr.DataTree(),
    "recording": lambda t: t["recording"],
    "session": lambda t: t["recording"]["A2929-200711"],
    "area": lambda t: t["recording"][PLACE],
    "spikes": lambda t: t["recording"][PLACE]["spikes"],
    "series": lambda t: t["recording"]["A2929-200711/position"],
    "aligned": lambda t: t["trials"],
    "aligned session": lambda t: t["trials"]["A2929-200711"],
    "trials": lambda t: t["trials"][PLACE],
    "clock": lambda t: t["clock"][PLACE],
}
CALLS = {
    "describe": lambda x: na.describe(x),
    "validate": lambda x: na.validate(x),
    "align": lambda x: na.align(x, bin_width=0.1),
    "interpolate": lambda x: na.interpolate(x, np.arange(3.0)),
    "bin_spikes": lambda x: na.bin_spikes(x, [700.0], bin_width=0.1, window=(0, 1)),
    "select_units": lambda x: na.select_units(x, "unit_id > 1"),
    "trials": lambda x: na.trials(x, "duration > 0.1"),
    "restrict": lambda x: na.restrict(x, [(600, 1200)]),
    "psth": na.psth,
    "firing_rate": na.firing_rate,
    "tuning_curve": lambda x: na.tuning_curve(x, "position/x"),
    "spike_triggered_average": lambda x: na.spike_triggered_average(x, "stimulus"),
    "bayesian_decoder": lambda x: na.bayesian_decoder(x, "position/x", 3),
    "population_vector": lambda x: na.population_vector(x, "head_direction/rx", 6),
    "autocorrelogram": na.autocorrelogram,
    "signal_correlation": lambda x: na.signal_correlation(x, "tags"),
    "noise_correlation": lambda x: na.noise_correlation(x, "tags"),
    "reliability": lambda x: na.reliability(x, "tags"),
    "deconvolve": na.deconvolve,
    "save": lambda x: na.save(x, "no such folder/a.h5"),
    "open_datatree": lambda x: na.open_datatree(x),
    "catalog": lambda x: na.catalog(x),
    "intervals": lambda x: na.intervals.union(x, x),
}
PLOTS = {
    "psth": lambda x: na.plot.psth(x),
    "raster": lambda x: na.plot.raster(x, (700, 701)),
    "tuning": lambda x: na.plot.tuning(x),
    "behaviour": lambda x: na.plot.behaviour(x),
    "overview": lambda x: na.plot.overview(x),
    "catalog": lambda x: na.plot.catalog(x),
    "population": lambda x: na.plot.population(x),
    "rate_map": lambda x: na.plot.rate_map(x),
    "receptive_field": lambda x: na.plot.receptive_field(x),
    "stimulus": lambda x: na.plot.stimulus(x),
}
TORCH = {
    "TrialDataset": lambda x: na.torch.TrialDataset(x, ["spike_data"]),
    "ClipDataset": lambda x: na.torch.ClipDataset(x, ["spike_data"], 1.0),
    "SpikeWindowDataset": lambda x: na.torch.SpikeWindowDataset(x, 1.0, 0.05),
    "loaders": lambda x: na.torch.loaders(x, ["spike_data"]),
    "Stack": lambda x: na.torch.Stack([x]),
    "OnDevice": lambda x: na.torch.OnDevice(x, "cpu"),
    "cycle": lambda x: na.torch.cycle(x),
}
RASTER = lambda x: na.plot.raster(x, (0, 1))  # noqa: E731
#: What Python and others say when something of another kind gets far inside.
INSIDE = "has no attribute|not subscriptable|not iterable|indices must be|Could not find node|object is not"


def refused(call, wrong):
    """The error of a call, which says what was given rather than what broke inside; None without."""
    try:
        call(wrong)
    except (NeuroArraysError, TypeError, ValueError) as error:
        said = str(error)
    else:
        return None
    assert not re.search(INSIDE, said), said
    assert "\n<xarray" not in said
    return said


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CALLS)
def test_what_is_given_wrong_is_refused_in_words(trees, name):
    errors = [refused(CALLS[name], make(trees)) for make in WRONG.values()]
    assert any(errors)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", PLOTS)
def test_pictures_refuse_in_words(trees, name):
    plt = pytest.importorskip("matplotlib.pyplot")
    assert any([refused(PLOTS[name], make(trees)) for make in WRONG.values()])
    plt.close("all")


@pytest.mark.parametrize("name", TORCH)
def test_datasets_refuse_in_words(trees, name):
    pytest.importorskip("torch")
    assert any([refused(TORCH[name], make(trees)) for make in WRONG.values()])


@pytest.mark.parametrize(
    ("call", "wrong", "line"),
    [
        (RASTER, "recording", "tree['A2929-200711/adn']"),
        (RASTER, "session", "session['adn']"),
        (na.psth, "recording", "na.align(tree, 'epochs')['A2929-200711/adn']"),
        (na.psth, "spikes", "na.align(tree, 'epochs')['A2929-200711/ca1']"),
        (CALLS["tuning_curve"], "area", "na.align(tree, bin_width=0.02)['A2929-200711/ca1']"),
        (na.autocorrelogram, "series", "tree['A2929-200711/adn']"),
    ],
)
def test_the_line_works_when_it_is_pasted(trees, call, wrong, line):
    value = WRONG[wrong](trees)
    with pytest.raises(NeuroArraysError) as caught:
        call(value)
    assert line in str(caught.value)
    tree = value.root if isinstance(value, xr.DataTree) else trees["recording"]
    assert eval(line, {"na": na, "tree": tree, "session": value}) is not None


def test_a_picture_of_an_area_says_how_it_is_drawn(trees):
    pytest.importorskip("matplotlib")
    area = trees["trials"][PLACE]
    with pytest.raises(NeuroArraysError) as caught:
        na.plot.psth(area)
    line = re.search(r"write (na\..*)$", str(caught.value))[1]
    assert eval(line, {"na": na, "area": area}).get_xlabel() == "time from onset (s)"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.zeros((2, 3)), "an array of shape (2, 3)"),
        ({}, "an empty dict"),
        (range(3), "a range"),
        (OSError(), "an OSError"),
        ("x" * 300, "(300 characters)"),
    ],
)
def test_anything_is_named_in_a_few_words(value, said):
    assert said in given.described(value)
    assert len(given.described(value)) < 120


def test_a_list_for_a_reader_of_one_path_says_what_to_write(tmp_path):
    copy = shutil.copy(na.sample_path(), tmp_path)
    paths = [na.sample_path(), copy]
    with pytest.raises(na.UnknownFormat, match=r"\[na\.open_datatree\(path, engine='arrays'\)"):
        na.open_datatree(paths, engine="arrays")
    assert na.open_datatree(paths[:1]).identical(na.load_sample())


def test_a_value_that_an_option_does_not_have_is_named():
    given.choice("b", "way", ("a", "b"))
    for wrong in ("c", None, 0):
        with pytest.raises(ValueError, match=rf"^way={wrong!r}: expected 'a', 'b' or 'd'$"):
            given.choice(wrong, "way", ("a", "b", "d"))


def test_what_a_recording_without_spikes_has_instead():
    root = xr.Dataset(attrs={"neuroarrays_schema": "recording/1"})
    times = {"time": np.arange(20) / 10.0, "unit_id": [1, 2]}
    imaged = xr.Dataset({"dff": (("time", "unit_id"), np.ones((20, 2)))}, times)
    tree = xr.DataTree.from_dict({"/": root, "/m/V1/calcium": imaged})
    for wrong in (tree, tree["m/V1"]):
        with pytest.raises(NeuroArraysError, match=r"no spikes; .* such as tree\['m/V1/calcium'\]"):
            na.firing_rate(wrong)
    licks = xr.Dataset({"event_time": ("event", np.arange(5.0))})
    trials = xr.Dataset(
        {
            "start_time": ("presentation_id", [0.5, 2.5]),
            "stop_time": ("presentation_id", [1.5, 3.5]),
        },
        {"presentation_id": [0, 1]},
    )
    tree = xr.DataTree.from_dict(
        {"/": root, "/m/events/lick": licks, "/m/presentations/trials": trials}
    )
    with pytest.raises(NeuroArraysError, match="no units with spikes"):
        na.firing_rate(tree)
    with pytest.raises(NeuroArraysError, match=r"na.align\(tree, 'trials'\)\['m/events'\]"):
        na.psth(tree)
    aligned = na.align(tree, "trials", 0.1)
    with pytest.raises(NeuroArraysError, match=r"give its events: tree\['m/events'\]"):
        na.psth(aligned)
    assert na.psth(aligned["m/events"])["mean"].sizes["event"] == 1
