"""The explorer in a headless browser: first paint, choosing, zooming, memory, the size of answers.

Times are wall-clock, from a key to the frame in which it is seen; beside them the CPU time of the server. There are two
rows for each: "choose" is done when the event raster and the mean, which names the unit in its legend, show the new unit,
and "zoom" when the session raster shows the new range; "all of it" is done when every view that follows is painted too.

"The least" is what the toolkit needs in this browser: a page of as many bare figures (axes, one line or one image each,
no legend, nothing computed), changed by the same key in one message, in the same run.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from neuroarrays.synthetic import write_nwb

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: Press a key, and wait for the frame after the values of some figures have changed, ms.
PRESS = """async ([key, names]) => {
  const sources = names.map((name) => Bokeh.documents.map((one) => one.get_model_by_name(name)).find(Boolean))
  const start = performance.now()
  const changes = sources.filter(Boolean).map((source) => new Promise((resolve, fail) => {
    const changed = source.properties.data.change
    const look = () => { changed.disconnect(look); resolve() }
    changed.connect(look)
    setTimeout(() => fail(new Error(source.name + " did not change")), 60_000)
  }))
  document.dispatchEvent(new KeyboardEvent("keydown", { key }))
  await Promise.all(changes)
  return new Promise((resolve) => requestAnimationFrame(
    () => requestAnimationFrame(() => resolve(performance.now() - start))))
}"""
#: What is pressed in turn, and the figures that are waited for: those looked at, and all that follow.
WORK = {
    "choose": (["ArrowUp"], ["trials rows", "psth"]),
    "choose, all of it": (
        ["ArrowUp"],
        ["trials rows", "psth", "tuning", "correlogram", "waveform"],
    ),
    "zoom": (["+", "+", "-", "-", "ArrowRight", "ArrowLeft"], ["session"]),
    "zoom, all of it": (["+", "+", "-", "-", "ArrowRight", "ArrowLeft"], ["session", "signals"]),
}
#: A bare figure for each of those, and what is in it.
LEAST = {
    "choose": ["image", "line"],
    "choose, all of it": ["image", "line", "line", "line", "line"],
    "zoom": ["session"],
    "zoom, all of it": ["session", "line"],
}
BARE = """
import sys
import numpy as np
import panel as pn
from bokeh.events import DocumentReady
from bokeh.models import ColumnDataSource, CustomJS
from bokeh.plotting import figure

def page():
    keys, sources = ColumnDataSource(), []
    rng, column = np.random.default_rng(0), pn.Column()
    def new(what):
        if what == "line":
            return {"x": np.arange(60.0), "y": rng.uniform(size=60)}
        shape = (500, 800) if what == "session" else (200, 200)
        ends = {"x": [0], "y": [0], "dw": [60], "dh": [1]}
        return {"image": [rng.integers(0, 255, shape, np.uint8)], **ends}
    for k, what in enumerate(sys.argv[1].split(",")):
        plot = figure(height=300, width=1100 if what == "session" else 600, x_range=(0, 60), y_range=(0, 1), title=None)
        source = ColumnDataSource(new(what), name=f"bare {k}")
        plot.line("x", "y", source=source) if what == "line" else plot.image("image", "x", "y", "dw", "dh", source=source)
        column.append(pn.pane.Bokeh(plot))
        sources.append((source, what))
    sources[0][0].tags = [keys]
    def change(attr, old, key):
        with pn.io.hold():
            for source, what in sources:
                source.data = new(what)
    keys.on_change("tags", change)
    code = 'document.addEventListener("keydown", (event) => { keys.tags = [event.key, Date.now()] })'
    pn.state.curdoc.js_on_event(DocumentReady, CustomJS(args={"keys": keys}, code=code))
    return column

server = pn.io.server.get_server({"/": page}, port=0, show=False, start=False)
print(f"http://localhost:{server.port}/", flush=True)
server.start()
server.io_loop.start()
"""


def make(path, n_units, n_spikes, duration):
    """Write a file with that many units and spikes, compressed, in chunks of 128 kB."""
    write_nwb(
        path,
        units=n_units,
        areas=("VISp",),
        trials=200,
        duration=duration,
        parts=("units", "trials", "running"),
    )
    rng = np.random.default_rng(0)
    sizes = np.maximum(1, (rng.gamma(1.0, 1.0, n_units) * n_spikes / n_units)).astype(int)
    with h5py.File(path, "r+") as file:
        units = file["units"]
        attrs = {name: dict(units[name].attrs) for name in ("spike_times", "spike_times_index")}
        del units["spike_times"]
        times = units.create_dataset(
            "spike_times",
            (sizes.sum(),),
            "f8",
            chunks=(min(16_384, int(sizes.sum())),),
            compression="gzip",
            compression_opts=1,
        )
        times.attrs.update(attrs["spike_times"])
        stop = 0
        for size in sizes:
            times[stop : stop + size] = np.sort(rng.uniform(0, duration, size)).round(4)
            stop += size
        index = units["spike_times_index"]
        del units["spike_times_index"]
        again = units.create_dataset("spike_times_index", data=np.cumsum(sizes))
        again.attrs.update({k: v for k, v in attrs["spike_times_index"].items() if k != "target"})
        again.attrs["target"] = times.ref
        del index
    return int(sizes.sum())


def memory(process, line="VmRSS"):
    """Resident memory of a process, MB: now, or with "VmHWM" the most so far."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(text.partition(f"{line}:")[2].split()[0]) / 1024


def processor(process):
    """CPU time of a process so far, s."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def everything():
    """CPU time so far of this process and of all that it started, browser and server, s."""
    parents, times = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except OSError:  # it ended meanwhile
            continue
        pid = int(stat.parent.name)
        parents[pid], times[pid] = int(fields[1]), int(fields[11]) + int(fields[12])
    ours, more = set(), {os.getpid()}
    while more:
        ours |= more
        more = {pid for pid, parent in parents.items() if parent in more} - ours
    return sum(times.get(pid, 0) for pid in ours) / os.sysconf("SC_CLK_TCK")


@contextmanager
def served(command):
    """A server that is ended whatever happens meanwhile: else a failure would wait for its end for ever."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


def measure(browser, path, repeats):
    """Open a recording and use it: times in ms, memory in MB, sizes in MB, foreign requests."""
    words = ["-m", "neuroarrays", "explore", str(path), "--no-browser", "--port", "0"]
    command = [sys.executable, *words]
    found = {"answers": [], "files": [], "foreign": []}
    with served(command) as process:
        address = process.stdout.readline().split()[0]
        last = None
        for _ in range(2):  # the first page loads what the process needs
            if last is not None:
                last.close()
            page = browser.new_page(viewport={"width": 1500, "height": 1300})
            page.set_default_timeout(300_000)
            page.on(
                "request",
                lambda r: (
                    found["foreign"].append(r.url)
                    if "//localhost" not in r.url and r.url.startswith("http")
                    else None
                ),
            )
            page.on(
                "response",
                lambda r: found["files"].append(int(r.headers.get("content-length", 0))),
            )
            page.on(
                "websocket",
                lambda w: w.on("framereceived", lambda data: found["answers"].append(len(data))),
            )
            before = time.perf_counter()
            page.goto(address)
            page.wait_for_selector(".bk-Figure")
            found["first paint"] = 1e3 * (time.perf_counter() - before)
            page.wait_for_function(
                "Bokeh.documents.some((one) => one.get_model_by_name('correlogram'))"
            )
            page.wait_for_function("!document.body.innerText.includes('reading spikes')")
            while (now := processor(process)) and (time.sleep(2) or processor(process) - now > 0.2):
                pass  # the spikes are read
            last = page
        for name, (keys, sources) in WORK.items():
            last.evaluate(PRESS, [keys[0], sources])
            start, whole = processor(process), everything()
            times = []
            for k in range(repeats):
                times.append(last.evaluate(PRESS, [keys[k % len(keys)], sources]))
                last.wait_for_timeout(300)  # what follows is painted, too
            found[name] = times
            found[f"{name} cpu"] = 1e3 * (processor(process) - start) / repeats
            found[f"{name} all"] = 1e3 * (everything() - whole) / repeats
        found["memory"], found["most"] = memory(process), memory(process, "VmHWM")
    return found


def least(browser, figures, repeats):
    """Change a page of bare figures in one message, ms."""
    command = [sys.executable, "-c", BARE, ",".join(figures)]
    with served(command) as process:
        page = browser.new_page(viewport={"width": 1500, "height": 1300})
        page.goto(process.stdout.readline().strip())
        page.wait_for_function(
            "window.Bokeh && Bokeh.documents.some((one) => one.get_model_by_name('bare 0'))"
        )
        page.wait_for_timeout(1000)
        names = [f"bare {k}" for k in range(len(figures))]
        times = []
        for _ in range(repeats + 1):
            times.append(page.evaluate(PRESS, ["a", names]))
            page.wait_for_timeout(300)
        page.close()
    return times[1:]


def main(argv=None):
    """Print what was measured, beside the budgets."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="20 units in place of 1,000")
    small = parser.parse_args(argv).small
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        print("no browser: pip install --group test, and Chromium on PATH")
        return
    n_units, n_spikes, repeats = (20, 20_000, 3) if small else (1_000, 36_000_000, 30)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        few, many = Path(folder, "few.nwb"), Path(folder, "many.nwb")
        make(few, 10, 1_000, 3600.0)
        written = make(many, n_units, n_spikes, 3600.0)
        base, found = measure(browser, few, 2), measure(browser, many, repeats)
        bare = {name: least(browser, figures, repeats) for name, figures in LEAST.items()}
        browser.close()
    print(
        f"{n_units:,} units, {written:,} spikes in a gzip file; load of the machine {os.getloadavg()[0]:.1f}"
    )
    print(f"first paint          {found['first paint']:8.0f} ms    (budget 2,000)")
    for name in WORK:
        times, budget = np.array(found[name]), "" if "all" in name else " (budget 150)"
        print(
            f"{name:<20} {np.median(times):8.0f} ms    p95 {np.percentile(times, 95):.0f}{budget}; "
            f"server {found[f'{name} cpu']:.0f} ms of CPU, with the browser {found[f'{name} all']:.0f}; "
            f"the least {np.median(bare[name]):.0f}, p95 {np.percentile(bare[name], 95):.0f}"
        )
    for name, words in (("memory", "now"), ("most", "at most")):
        more = found[name] - base["memory"]
        print(f"memory {words:<13} {more:8.0f} MB    above a recording of 10 units (budget 200)")
    print(f"largest answer       {max(found['answers']) / 1e6:8.2f} MB    (budget 1.5)")
    print(f"largest script       {max(found['files']) / 1e6:8.2f} MB    (budget 1.5)")
    print(f"requests to others   {len(found['foreign']):8d}       (budget 0)")


if __name__ == "__main__":
    main()
