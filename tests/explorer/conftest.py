"""Recordings that the tests of the explorer share, and a browser where there is one."""

import asyncio
import gc
import multiprocessing
import shutil
import threading
import time

import pytest

pytest.importorskip("panel", reason="panel is not installed (pip install 'neuroarrays[explore]')")

import neuroarrays as na
from neuroarrays.explorer.recording import Recording
from neuroarrays.explorer.server import make_server
from neuroarrays.synthetic import write_nwb

#: A name in which Bokeh would find TeX, for which it loads a script from another host.
TEX = "$$x$$ \\(y\\) \\[z\\]"
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
        trials.create_dataset(TEX, data=["$$x$$", "\\[y\\]"] * (n_trials // 2))
        trials.attrs["colnames"] = [*trials.attrs["colnames"], "<b onclick=boom()>", TEX]
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
        # A process that was forked meanwhile has the pipes of the browser's driver, which waits until
        # they are closed: workers of a torch loop that failed live until its error is collected.
        gc.collect()
        for child in multiprocessing.active_children():
            child.terminate()
            child.join()


@pytest.fixture(scope="session")
def serve():
    """Serve a recording in a thread of this process; gives the address."""
    running = []

    def start(recording):
        ready, made = threading.Event(), []

        def loop():
            asyncio.set_event_loop(asyncio.new_event_loop())
            server = make_server(recording, port=0)
            server.start()
            made.append(server)
            ready.set()
            server.io_loop.start()

        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        assert ready.wait(60)
        running.append((made[0], thread))
        return f"http://localhost:{made[0].port}/"

    yield start
    for server, thread in running:
        server.io_loop.add_callback(server.io_loop.stop)
        thread.join(30)
