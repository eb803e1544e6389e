"""Recordings that the tests of the explorer share, and a browser where there is one."""

import shutil
import subprocess
import sys
import time

import pytest

pytest.importorskip("panel", reason="panel is not installed (pip install 'neuroarrays[explore]')")

import neuroarrays as na
from neuroarrays.explorer.recording import Recording
from neuroarrays.synthetic import write_nwb

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="session")
def nwb(tmp_path_factory):
    """The path of a small file with units, trials, signals, licks and waveforms."""
    path = tmp_path_factory.mktemp("explorer") / "small.nwb"
    write_nwb(path)
    return path


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    """The path of a file with markup for names and texts, and many columns."""
    import h5py
    import numpy as np

    path = tmp_path_factory.mktemp("explorer") / "hostile.nwb"
    write_nwb(path, areas=("<img src=x onerror=boom()>", "CA1"), name_column=True)
    with h5py.File(path, "r+") as file:
        units, trials = file["units"], file["intervals/trials"]
        evil = "<script>boom()</script><img src=x onerror=boom()>"
        n_units, n_trials = units["id"].size, trials["id"].size
        names = [evil, "a\" onload='boom()'", *(f"column_{k}" for k in range(300))]
        for name in names:
            column = units.create_dataset(name.replace("/", ""), data=[evil] * n_units)
            column.attrs.update(units["id"].attrs)
        units.attrs["colnames"] = [*units.attrs["colnames"], *(n.replace("/", "") for n in names)]
        trials.create_dataset("<b onclick=boom()>", data=[evil, "b"] * (n_trials // 2))
        trials.attrs["colnames"] = [*trials.attrs["colnames"], "<b onclick=boom()>"]
        times = units["spike_times"]
        times[:3] = np.nan
    return path


def read(recording, state):
    """Wait until the spikes that a state needs are counted."""
    recording.pyramid(state)
    for _ in range(600):
        if not recording.reading(state):
            return
        time.sleep(0.01)
    raise AssertionError(recording.reading(state))


@pytest.fixture(scope="session")
def recordings(nwb):
    """The bundled recording, the synthetic one and aligned ones, opened."""
    small, sample = na.open_datatree(nwb), na.load_sample()
    trees = {
        "sample": sample,
        "small": small,
        "trials": na.align(small, "trials", 0.02, window=(0, 0.5)),
        "clock": na.align(small, bin_width=0.1),
    }
    return {name: Recording(tree, "# tree is given") for name, tree in trees.items()}


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium of this machine."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (pip install --group test)"
    )
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium on PATH (apt-get install chromium)")
    with playwright.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def serve():
    """Start the command on a path; gives the address. All are stopped at the end."""
    running = []

    def start(path, *options):
        command = [sys.executable, "-m", "neuroarrays", "explore", str(path), "--no-browser", "--port", "0"]  # fmt: skip
        process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
        running.append(process)
        return process.stdout.readline().split()[0], process

    yield start
    for process in running:
        process.terminate()
        process.wait(30)
        process.stdout.close()
