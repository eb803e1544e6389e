"""The public names, pinned; and what is asked of each."""

import inspect
import pickle

import pytest

import neuroarrays as na
from neuroarrays import errors

PUBLIC = {
    "BrokenReader",
    "FormatError",
    "MissingDependency",
    "MissingPath",
    "NeuroArraysError",
    "NotInTree",
    "aggregate",
    "batches",
    "circular_components",
    "deconvolve",
    "feature_types",
    "from_pynapple",
    "to_driada",
    "to_pynapple",
    "to_nwb",
    "to_temporaldata",
    "PathExists",
    "SchemaError",
    "ThreadEnded",
    "WriteFailed",
    "UnknownFormat",
    "__version__",
    "align",
    "bin_spikes",
    "CountPyramid",
    "build",
    "over",
    "pool",
    "catalog",
    "index",
    "units",
    "presentations",
    "sessions",
    "describe",
    "explore",
    "firing_rate",
    "bayesian_decoder",
    "population_vector",
    "spike_triggered_average",
    "autocorrelogram",
    "crosscorrelogram",
    "signal_correlation",
    "noise_correlation",
    "reliability",
    "interpolate",
    "filter",
    "hilbert",
    "smooth",
    "normalize",
    "reference",
    "csd",
    "phase_locking",
    "event_triggered_average",
    "coherence",
    "power",
    "spectrogram",
    "decimate",
    "resample",
    "events_of",
    "extremes",
    "load_sample",
    "open_datatree",
    "plot",
    "psth",
    "NothingLeft",
    "QueryError",
    "intervals",
    "driada",
    "openretina",
    "scoring",
    "sensorium",
    "restrict",
    "select_units",
    "trials",
    "sample_path",
    "release",
    "save",
    "torch",
    "tuning_curve",
    "validate",
}
ADAPTERS = {"plot": "matplotlib", "torch": "torch", "explore": "panel"}


def public(name):
    if name in ADAPTERS:
        pytest.importorskip(ADAPTERS[name])
    return getattr(na, name)


def test_names_are_pinned():
    assert set(na.__all__) == PUBLIC
    assert len(na.__all__) == len(PUBLIC)
    assert set(dir(na)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__"}))
def test_everything_is_documented(name):
    found = public(name)
    text = inspect.getdoc(found)
    assert text
    if inspect.isfunction(found):
        for parameter in inspect.signature(found).parameters:
            assert parameter in text, f"{name} does not document {parameter}"


MODULES = ["plot", "torch", "batches", "batches.splits", "intervals", "scoring"]
MODULES += ["driada", "openretina", "sensorium"]


@pytest.mark.parametrize("name", MODULES)
def test_modules_complete_to_their_public_names(name):
    """A tab after the dot shows what is for users, each documented in one plain line first."""
    module = public(name.partition(".")[0])
    module = getattr(module, name.partition(".")[2]) if "." in name else module
    assert dir(module) == sorted(module.__all__)
    for each in module.__all__:
        first, *more = inspect.getdoc(getattr(module, each)).split("\n")
        assert first.endswith("."), each
        assert not more or not more[0], f"the first line of {each} is more than one"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'open_everything'"):
        _ = na.open_everything


@pytest.mark.parametrize(
    "error",
    [
        errors.NeuroArraysError("a"),
        errors.FormatError("p.nwb", "/units", "a group", "a dataset", "look"),
        errors.UnknownFormat("p.nwb", expected="x", found="y"),
        errors.MissingPath("gone: no such file"),
        errors.SchemaError("not a valid tree"),
        errors.NotInTree("area", "VISP", ["VISp", "CA1"], "look", "session 'a'"),
        errors.QueryError("'f()' is a function call"),
        errors.NothingLeft("no unit fits"),
        errors.BrokenReader("gridlab", "gridlab-reader 1.2", "gridlab cannot be imported"),
        errors.MissingDependency("zarr", "zarr", "reading"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_pickle(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize(
    "error",
    [
        errors.UnknownFormat("p.nwb", "/units", "a group", "a dataset", "look"),
        errors.NotInTree("area", "VISP", ["VISp", "CA1"], "look", "session 'a'"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_are_raised_again_with_more_and_lose_nothing(error):
    again = error.with_hint("", "or leave it out")
    assert type(again) is type(error)
    assert vars(again) | {"message": ""} == vars(error) | {
        "hint": "look; or leave it out",
        "message": "",
    }
    assert "look; or leave it out" in str(again)
    assert vars(again.changed(hint="look")) == vars(error)


def test_every_error_is_ours_and_a_builtin():
    builtins = {
        errors.FormatError: ValueError,
        errors.SchemaError: ValueError,
        errors.MissingPath: FileNotFoundError,
        errors.NotInTree: KeyError,
        errors.MissingDependency: ImportError,
        errors.BrokenReader: ImportError,
    }
    for error, builtin in builtins.items():
        assert issubclass(error, errors.NeuroArraysError)
        assert issubclass(error, builtin)


@pytest.mark.parametrize(
    "call",
    [
        lambda path: na.align(path, "trials"),
        lambda path: na.extremes(path),
        lambda path: na.events_of(path, 1.0),
        lambda path: na.scoring.repeats(path),
        lambda path: na.scoring.repeat_average(path),
    ],
)
def test_a_path_in_place_of_a_tree_is_named(call):
    with pytest.raises(errors.SchemaError, match=r"expected .* found the text 'recording.nwb'"):
        call("recording.nwb")
    with pytest.raises(TypeError, match="expected a function that takes an area"):
        na.over(na.load_sample(), "firing_rate")
