"""Recordings behind an address: requests, bytes and seconds, on a loopback server of 50 ms and 40 MB/s.

A synthetic Allen session in the layout that is published (152 MB); peers read the same file where they are
installed: pynwb over remfile, and over fsspec with its default. Seconds are of a machine with other work
to do; requests and bytes repeat exactly.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import neuroarrays as na
from neuroarrays.synthetic.allen import write_allen
from neuroarrays.testing.loopback import process

FULL = {
    "units": 375,
    "probes": 6,
    "channels": 384,
    "rate": 13.0,
    "movie": (12, 900),
    "rows": {
        "gabors": 500,
        "flashes": 30,
        "drifting_gratings": 50,
        "static_gratings": 600,
        "natural_scenes": 700,
    },
}
SMALL = {"units": 20, "channels": 48}
#: Each step in a process of its own, which says what it counted between two marks.
BEGIN = "import sys, time, urllib.request, json, os\nurl, reset = sys.argv[1:3]\n"
COUNT = """
def counted(name, work):
    json.load(urllib.request.urlopen(reset))
    begun = time.perf_counter()
    made = work()
    took = time.perf_counter() - begun
    seen = json.load(urllib.request.urlopen(reset))
    print(f"{name}|{seen['requests']}|{seen['sent'] / 1e6:.2f}|{took:.2f}", flush=True)
    return made
"""
OURS = """
import dask.array, h5py, hdf5plugin, numba, obstore, pandas, xarray
import numpy as np
import neuroarrays as na
from neuroarrays.formats.registry import FORMATS
for format_ in FORMATS:
    format_.load()
tree = counted("open the whole tree, " + sys.argv[3], lambda: na.open_datatree(url))
session = next(iter(tree.children.values()))
area = next(node for node in session.subtree if node.name == "spikes")
stops = np.cumsum(area["row_size"].values)
counted("one unit's spikes", lambda: area["spike_times"][stops[4]:stops[5]].values)
stimulus = next(iter(session["presentations"].children))
counted("PSTH of one area", lambda: na.align(tree, stimulus, bin_width=0.02)[area.parent.path]["spike_data"].mean("presentation_id").values)
"""
ARCHIVE = """
import dask.array, h5py, hdf5plugin, numba, obstore, pandas, xarray
import numpy as np
import neuroarrays as na
from neuroarrays.formats.registry import FORMATS
for format_ in FORMATS:
    format_.load()
tree = counted("archive: open", lambda: na.open_datatree(url))
area = next(node for node in tree.subtree if "spike_data" in node.data_vars)
chosen = np.random.default_rng(0).permutation(area.sizes["presentation_id"])[:256]
counted("archive: 256 random presentations", lambda: area["spike_data"][np.sort(chosen)].values)
"""
PYNWB_REMFILE = """
import h5py, remfile
from pynwb import NWBHDF5IO
counted("pynwb + remfile: read()", lambda: NWBHDF5IO(file=h5py.File(remfile.File(url), "r"), load_namespaces=True).read())
"""
PYNWB_FSSPEC = """
import fsspec, h5py
from pynwb import NWBHDF5IO
counted("pynwb + fsspec: read()", lambda: NWBHDF5IO(file=h5py.File(fsspec.open(url).open(), "r"), load_namespaces=True).read())
"""


def run(code, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + COUNT + code, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stdout.splitlines():
        name, requests, sent, took = line.split("|")
        print(f"{name:34} {requests:>5} requests {sent:>8} MB {took:>7} s")
    if done.returncode:
        print(f"  not measured: {done.stderr.strip().splitlines()[-1]}")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--file", help="a session to read in place of a synthetic one")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(args.file or Path(folder, "session.nwb"))
        if not args.file:
            write_allen(path, **(SMALL if args.small else FULL))
        cache = {"NEUROARRAYS_CACHE": str(Path(folder, "cache"))}
        print(f"{path.stat().st_size / 1e6:.0f} MB")
        with process(path.parent, latency=0.05, bandwidth=40e6) as server:
            given = (server.url(path.name), f"{server.base}/_/reset")
            run(OURS, *given, "cold", **cache)
            run(OURS, *given, "again", **cache)
            tree = na.open_datatree(path)
            stimulus = next(iter(next(iter(tree.children.values()))["presentations"].children))
            na.save(na.align(tree, stimulus, bin_width=0.02), Path(folder, "aligned.h5"))
            with process(folder, latency=0.05, bandwidth=40e6) as archives:
                there = (archives.url("aligned.h5"), f"{archives.base}/_/reset")
                run(ARCHIVE, *there, **cache)
            run(PYNWB_REMFILE, *given)
            if not args.small:
                run(PYNWB_FSSPEC, *given)


if __name__ == "__main__":
    main()
