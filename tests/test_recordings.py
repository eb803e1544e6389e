"""The page about real recordings: its code runs, and its numbers are those of other readers."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parents[1] / "docs"


def test_a_page_without_recordings_says_so(tmp_path):
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert "was built with them" in generate.recordings(tmp_path)
    assert "the code below was not run" in generate.recordings(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def page(shared_data):
    mpl = pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    pytest.importorskip("scipy", reason="MATLAB files are read with scipy")
    mpl.use("Agg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROARRAYS_RECORDINGS", str(shared_data))
        patch.chdir(DOCS)
        namespace: dict = {}
        text = (DOCS / "recordings.md").read_text()
        for cell in re.findall(r"^```\{code-cell\} python\n(.*?)^```$", text, re.M | re.S):
            exec(compile(cell, "recordings.md", "exec"), namespace)
    for number in mpl.pyplot.get_fignums():
        mpl.pyplot.figure(number).canvas.draw()
    mpl.pyplot.close("all")
    return namespace


@pytest.mark.slow
def test_orientation_tuning_is_that_of_the_file(page, shared_data):
    scipy = pytest.importorskip("scipy.io")
    path = shared_data / "park2024_V1_pupil_running" / "230810_mrcuts29_fov2_grat-000_data.mat"
    stored = scipy.loadmat(path)
    time = stored["t"].ravel()
    trials = np.stack([trial.ravel() for trial in stored["D"][0, 0]["neuron6"].ravel()])
    evoked = trials[:, time >= 0].mean(axis=1) - trials[:, time <= 0].mean(axis=1)
    direction = stored["TE"][0, 0]["direction"].ravel().astype(float)
    for angle in np.unique(direction):
        mine = evoked[direction == angle]
        one = page["curves"].sel(unit_id=5, direction=angle)
        assert float(one) == pytest.approx(mine.mean())
        assert float(one["sem"]) == pytest.approx(mine.std(ddof=1) / np.sqrt(mine.size))
    assert page["best"][0] == 5


@pytest.mark.slow
def test_the_receptive_field_is_where_the_noise_and_the_calcium_covary(page, shared_data):
    h5py = pytest.importorskip("h5py")
    with h5py.File(shared_data / "rfest_rgc_dendrite_h5" / "RGC_dendrite.h5") as file:
        film, calcium = file["stimulus"][:], file["response"][:]
    calcium = calcium if calcium.shape[0] < calcium.shape[1] else calcium.T
    n = calcium.shape[1]
    film = (film if film.shape[0] == n else np.moveaxis(film, -1, 0)).reshape(n, -1)
    z = page["field"]["z"].sel(unit_id=10).isel(lag=3).values.ravel()
    place = int(np.abs(z).argmax())
    r = np.corrcoef(film[4:-3, place], calcium[10, 7:])[0, 1]  # 8 lags: the first 7 times lack some
    assert z[place] == pytest.approx(r * np.sqrt(n - 7), rel=0.01)
    assert abs(z[place]) > 6.5


@pytest.mark.slow
def test_selectivity_is_that_of_the_raster(page, shared_data):
    scipy = pytest.importorskip("scipy.io")
    stored = scipy.loadmat(shared_data / "zhang_desimone_IT" / "bp1014spk_03A_raster_data.mat")
    names = np.array(
        [str(name[0]) for name in stored["raster_labels"]["stimulus_ID"][0, 0].ravel()]
    )
    columns = np.floor((page["late"]["time"].values + 0.5) * 1000).astype(int)
    np.testing.assert_array_equal(columns, np.arange(600, 900))  # bins wholly in 0.1 to 0.4 s
    late = stored["raster_data"][:, columns]
    for name in np.unique(names):
        want = late[names == name].mean() * 1000
        assert float(page["objects"].sel(stimulus=name)[0]) == pytest.approx(want)


@pytest.mark.slow
def test_delay_activity_is_that_of_the_spikes(page, shared_data):
    h5py = pytest.importorskip("h5py")
    path = shared_data / "dandi000006_ALM_ephys" / "sub-anm372904_ses-20170619.nwb"
    with h5py.File(path) as file:
        trials, units = file["intervals/trials"], file["units"]
        cue = trials["start_time"][:] + trials["cue_start_time"][:]
        text = {
            k: np.array([v if isinstance(v, str) else v.decode() for v in trials[k][:]])
            for k in ("type", "response")
        }
        place = int(np.flatnonzero(units["id"][:] == page["unit"])[0])
        ends = units["spike_times_index"][:]
        begin = ends[place - 1] if place else 0
        train = np.sort(units["spike_times"][begin : ends[place]])
    good = text["response"] == "correct"
    for side in ("lick left", "lick right"):
        cues = cue[good & (text["type"] == side)]
        counts = np.searchsorted(train, cues - 1e-9) - np.searchsorted(train, cues - 1.2 - 1e-9)
        found = page["sides"].sel(unit_id=page["unit"], type=side)
        assert float(found) == pytest.approx(counts.mean() / 1.2, rel=0.01)
