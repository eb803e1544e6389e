"""Against experanto itself: the same values; and its known faults, each with ours beside it.

The package index has its name only (version 0.0, without code). From a checkout:
``pip install --no-deps <checkout>`` and its dependencies hydra-core, opencv-python-headless, jaxtyping.
"""

import json

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.files.probe import probe_of
from neuroarrays.formats.experanto.folders import mapping
from neuroarrays.synthetic.experanto import write_experanto
from neuroarrays.testing import same_values

peer = pytest.importorskip(
    "experanto.interpolators", reason="experanto is not installed (it is not on the package index)"
)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
S = "17797-4-7"


@pytest.fixture
def session(tmp_path):
    truth = write_experanto(tmp_path / "one", phase_shifts=True, spikes=True)
    return tmp_path / "one", truth


def series_of(path, place):
    return na.open_datatree(path)[S][place].to_dataset()


def start_of(path):
    return na.open_datatree(path)[S].attrs["start_time_unix"]


@pytest.mark.parametrize("size", [(4, 6), (4, 6, 3)])
def test_the_same_frames(tmp_path, size):
    truth = write_experanto(tmp_path / "one", size=size)
    theirs = peer.Interpolator.create(tmp_path / "one" / "screen").interpolate(truth["flips"])
    ours = na.open_datatree(tmp_path / "one")[S]["screen"]["stimulus"].values
    theirs = np.moveaxis(theirs, 3, 1) if len(size) == 3 else theirs[:, None]
    assert same_values(ours.astype(np.float32), theirs)


@pytest.mark.parametrize(
    ("mode", "method"), [("nearest_neighbor", "previous"), ("linear", "linear")]
)
@pytest.mark.parametrize("place", ["unknown/responses", "treadmill"])
def test_the_same_values_between_samples(session, mode, method, place):
    """Responses with a phase shift each. Its nearest_neighbor is the sample before."""
    path, _ = session
    name = place.rpartition("/")[2]
    times = np.random.default_rng(0).uniform(1, 11, 200)
    made = peer.Interpolator.create(path / name, interpolation_mode=mode)
    theirs = made.interpolate(times + start_of(path))
    ours = na.interpolate(series_of(path, place), times, method=method)[name].values
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    nearest = na.interpolate(series_of(path, place), times, method="nearest")[name].values
    assert not np.allclose(nearest, theirs)


def test_the_same_counts_of_spikes(session):
    path, _ = session
    starts = np.random.default_rng(0).uniform(1, 11, 50)
    made = peer.Interpolator.create(
        path / "spikes", interpolation_window=0.1, interpolation_align="left"
    )
    theirs = made.interpolate(starts + start_of(path))
    ours = na.bin_spikes(series_of(path, "unknown/spikes"), starts, bin_width=0.1, window=(0, 0.1))
    ours = ours.transpose("presentation_id", "unit_id", "time").values[:, :, 0]
    assert same_values(ours.astype(np.float64), theirs)


def test_intervals_have_the_same_times_inside(session):
    path, _ = session
    times = np.linspace(0.5, 11, 300)
    theirs = peer.Interpolator.create(path / "quality").interpolate(times + start_of(path))[:, 0]
    table = na.open_datatree(path)[S]["presentations/quality_good"].to_dataset()
    starts, stops = table["start_time"].values, table["stop_time"].values
    ours = ((times[:, None] >= starts) & (times[:, None] < stops)).any(axis=1)
    assert same_values(ours, theirs)


# ------------------------------------------------------------------------------------- its faults


def test_the_time_of_a_sample_gives_that_sample(session):
    """Theirs: in float64 Unix times about half of the samples give the one before."""
    path, truth = session
    made, expected = peer.Interpolator.create(path / "treadmill"), truth["treadmill"]
    theirs = made.interpolate(made.start_time + np.arange(len(expected)) / 75)
    assert (theirs != expected).sum() > 100
    series = series_of(path, "treadmill")
    for method in ("previous", "nearest", "linear"):
        ours = na.interpolate(series, series["time"].values, method=method)["treadmill"].values
        assert same_values(ours, expected), method


def test_a_question_at_the_end_is_answered(session):
    """Theirs calls its own end_time valid, and fails there."""
    path, _ = session
    meta = path / "treadmill" / "meta.yml"
    exact = {"start_time": 1520193100.0, "sampling_rate": 64.0, "end_time": 1520193100 + 900 / 64}
    meta.write_text(json.dumps(mapping(probe_of(meta)) | exact))
    made = peer.Interpolator.create(path / "treadmill")
    with pytest.raises(IndexError):
        made.interpolate(np.array([made.end_time]))
    found = na.interpolate(
        series_of(path, "treadmill"), [made.end_time - start_of(path)], method="previous"
    )
    assert found["treadmill"].shape == (1, 1)


def test_a_time_outside_is_missing_and_not_dropped(session):
    """Theirs drops it, so that modalities differ in length."""
    path, _ = session
    times = np.array([-5.0, 3.0, 4.0, 500.0])
    theirs = peer.Interpolator.create(path / "treadmill").interpolate(times + start_of(path))
    assert len(theirs) == 2
    ours = na.interpolate(series_of(path, "treadmill"), times, method="previous")["treadmill"]
    assert np.isnan(ours.values[[0, 3]]).all()
    assert same_values(ours.values[[1, 2]], theirs)


def test_a_missing_sample_does_not_depend_on_what_else_is_asked(session):
    """Theirs fills it with the mean of the answers to the same question."""
    path, truth = session
    made = peer.Interpolator.create(path / "eye_tracker", interpolation_mode="linear")
    inside, other = made.start_time + 11.5 / 19, made.start_time + 40.5 / 19
    alone = made.interpolate(np.array([inside]))[0]
    with_another = made.interpolate(np.array([inside, other]))[0]
    assert np.isnan(alone).all()
    assert np.isfinite(with_another).all()
    times = np.array([inside, other]) - start_of(path)
    series = series_of(path, "eye_tracker")
    ours = [
        na.interpolate(series, asked, method="linear")["eye_tracker"].values[0]
        for asked in (times[:1], times)
    ]
    assert same_values(ours[0], ours[1])
    between = truth["eye_tracker"][[9, 13]].astype(float)
    expected = between[0] + (between[1] - between[0]) * 2.5 / 4
    np.testing.assert_allclose(ours[0], expected, rtol=1e-4)


def test_nothing_is_written_into_the_folder(session):
    """Theirs leaves a copy of the metadata; a folder that may not be written cannot be opened."""
    path, _ = session
    before = sorted(path.rglob("*"))
    na.open_datatree(path).load()
    assert sorted(path.rglob("*")) == before
    expected = na.open_datatree(path).load()
    peer.Interpolator.create(path / "screen")
    assert [p.name for p in sorted(path.rglob("*")) if p not in before] == ["combined_meta.json"]
    assert na.open_datatree(path).load().identical(expected)
