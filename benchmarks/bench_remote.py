"""Recordings behind an address: requests, bytes and seconds, on a loopback server of 50 ms and 40 MB/s.

A synthetic Allen session in the layout that is published (152 MB), an archive of ours made from it, a session
that pynwb wrote (pynwb does not read the former), and many small ones. Peers read the same files in the same run, in the environment that `make peers-remote` lays
over this one: pynwb over remfile and over fsspec's default, lazynwb, xarray with h5netcdf over fsspec.
Requests and bytes repeat exactly; seconds have the waiting in them, and whatever else the machine does.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import bench_archive
import bench_nwb
import h5py
import numpy as np

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
LINE = {"latency": 0.05, "bandwidth": 40e6}
PEERS = Path(f"{sys.prefix}-peers", "remote", "bin", "python")
#: Each step in a process of its own, which says what it counted between two marks.
BEGIN = "import sys, time, urllib.request, json, os\nurl, reset, *more = sys.argv[1:]\n"
COUNT = """
def counted(name, work):
    json.load(urllib.request.urlopen(reset))
    begun, used = time.perf_counter(), time.process_time()
    made = work()
    took, cpu = time.perf_counter() - begun, time.process_time() - used
    seen = json.load(urllib.request.urlopen(reset))
    print(f"{name}|{seen['requests']}|{seen['sent'] / 1e6:.2f}|{took:.2f}|{cpu:.2f}", flush=True)
    return made
"""
LOADED = """
import dask.array, h5py, hdf5plugin, numba, obstore, pandas, xarray
import numpy as np
import neuroarrays as na
from neuroarrays.formats.registry import FORMATS
for format_ in FORMATS:
    format_.load()
"""
OURS = (
    LOADED
    + """
tree = counted("neuroarrays: open the whole tree, " + more[0], lambda: na.open_datatree(url))
session = next(iter(tree.children.values()))
area = next(node for node in session.subtree if node.name == "spikes")
stops = np.cumsum(area["row_size"].values)
counted("  one unit's spikes", lambda: area["spike_times"][stops[1]:stops[2]].values)
stimulus = next(iter(session["presentations"].children))
counted("  PSTH of one area", lambda: na.align(tree, stimulus, bin_width=0.02)[area.parent.path]["spike_data"].mean("presentation_id").values)
"""
)
ARCHIVE = (
    LOADED
    + """
tree = counted("neuroarrays: open an archive of ours", lambda: na.open_datatree(url))
area = next(node for node in tree.subtree if "spike_data" in node.data_vars)
chosen = np.random.default_rng(0).permutation(area.sizes["presentation_id"])[:256]
counted("  256 random presentations", lambda: area["spike_data"][np.sort(chosen)].values)
"""
)
ONE = (
    LOADED
    + """
tree = counted(f"neuroarrays: open one session of {more[0]} of an archive", lambda: na.open_datatree(url, sessions=["session_1"]))
area = next(node for node in tree.subtree if "spike_data" in node.data_vars)
counted("  counts of an area", lambda: area["spike_data"].values)
counted("  and of its other areas", lambda: [n["spike_data"].values for n in tree.subtree if "spike_data" in n.data_vars])
"""
)
MANY = (
    LOADED
    + """
urls = [url.replace("0.nwb", f"{i}.nwb") for i in range(int(more[0]))]
counted(f"neuroarrays: catalog of {len(urls)} sessions, {more[1]}", lambda: na.catalog(urls))
"""
)
PYNWB = """
from pynwb import NWBHDF5IO
rows = [int(row) for row in more[1].split(",")]
nwb = counted(f"{NAME}: read()", lambda: NWBHDF5IO(file=h5py.File(opened(), "r"), load_namespaces=True).read())
counted("  one unit's spikes", lambda: nwb.units["spike_times"][rows[2]])
counted("  spikes of one area", lambda: [nwb.units["spike_times"][row] for row in rows])
"""
REMFILE = (
    """
import h5py, remfile
NAME, opened = "pynwb + remfile", lambda: remfile.File(url)
"""
    + PYNWB
)
FSSPEC = (
    """
import fsspec, h5py
NAME, opened = "pynwb + fsspec", lambda: fsspec.open(url).open()
"""
    + PYNWB
)
#: Spikes it reads over https only, so that they are not measured here.
LAZYNWB = """
import warnings
import lazynwb
warnings.simplefilter("ignore")
counted(f"lazynwb: names of all arrays, {more[0]}", lambda: lazynwb.get_internal_paths(url))
units = counted(f"  table of units, {more[0]}", lambda: lazynwb.get_df([url], "/units", exclude_array_columns=True, disable_progress=True))
"""
LAZYNWB_MANY = """
import lazynwb
urls = [url.replace("0.nwb", f"{i}.nwb") for i in range(int(more[0]))]
counted(f"lazynwb: units of {len(urls)} sessions, {more[1]}", lambda: lazynwb.get_df(urls, "/units", exclude_array_columns=True, disable_progress=True))
"""
H5NETCDF = """
import fsspec, h5netcdf, hdf5plugin, xarray as xr
import numpy as np
tree = counted("xarray + h5netcdf + fsspec: open the archive", lambda: xr.open_datatree(fsspec.open(url).open(), engine="h5netcdf"))
area = next(node for node in tree.subtree if "spike_data" in node.data_vars)
chosen = np.random.default_rng(0).permutation(area.sizes["presentation_id"])[:256]
counted("  256 random presentations", lambda: area["spike_data"][np.sort(chosen)].values)
"""


def run(code, *arguments, peer=False, **environment):
    """Run a step; what it counted is printed."""
    if peer and not PEERS.exists():
        print(f"  not measured: no {PEERS}; `make peers-remote` makes it")
        return
    done = subprocess.run(
        [str(PEERS) if peer else sys.executable, "-c", BEGIN + COUNT + code, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stdout.splitlines():
        name, requests, sent, took, cpu = line.split("|")
        print(f"{name:46} {requests:>5} requests {sent:>8} MB {took:>7} s, {cpu:>6} s CPU")
    if done.returncode:
        print(f"  not measured: {done.stderr.strip().splitlines()[-1]}")
    sys.stdout.flush()


def session(folder, path, readers):
    """Read one session by us and by some peers, each for the first time and again where it keeps something."""
    cache = {"NEUROARRAYS_CACHE": str(folder / "cache"), "XDG_CACHE_HOME": str(folder / "xdg")}
    tree = na.open_datatree(path)
    area = next(node for node in tree.subtree if node.name == "spikes")
    with h5py.File(path) as file:
        chosen = np.isin(file["units/id"][()], area["unit_id"].values)
    rows = ",".join(map(str, np.flatnonzero(chosen)))
    with process(path.parent, **LINE) as server:
        given = (server.url(path.name), f"{server.base}/_/reset")
        for way in ("cold", "again"):
            run(OURS, *given, way, **cache)
        for code in readers:
            run(code, *given, "", rows, peer=True)
        for way in ("cold", "again"):
            run(LAZYNWB, *given, way, peer=True, **cache)


def archive(folder, path, count):
    """Read an archive of ours, made from a session, by us and by xarray; and one session of an archive of many."""
    tree = na.open_datatree(path)
    stimulus = next(iter(next(iter(tree.children.values()))["presentations"].children))
    na.save(na.align(tree, stimulus, bin_width=0.02), folder / "aligned.h5")
    with process(folder, **LINE) as server:
        given = (server.url("aligned.h5"), f"{server.base}/_/reset")
        run(ARCHIVE, *given, NEUROARRAYS_CACHE="off")
        run(H5NETCDF, *given, peer=True)
    na.save(bench_archive.many_sessions(count, 6), folder / "many.h5")
    with process(folder, **LINE) as server:
        given = (server.url("many.h5"), f"{server.base}/_/reset", str(count))
        run(ONE, *given, NEUROARRAYS_CACHE="off")


def link(path, other):
    """Give a file another name, or a copy where that cannot be."""
    try:
        os.link(path, other)
    except OSError:
        shutil.copy(path, other)


def sessions(folder, count):
    """Catalogue many small sessions, for the first time and again."""
    cache = {"NEUROARRAYS_CACHE": str(folder / "cache"), "XDG_CACHE_HOME": str(folder / "xdg")}
    small, many = folder / "small.nwb", folder / "many"
    bench_nwb.write(small, 20, 20_000)
    many.mkdir()
    for number in range(count):
        link(small, many / f"s{number}.nwb")
    print(f"{count} sessions of {small.stat().st_size / 1e6:.1f} MB that pynwb wrote")
    with process(many, **LINE) as server:
        given = (server.url("s0.nwb"), f"{server.base}/_/reset", str(count))
        for way in ("cold", "again"):
            run(MANY, *given, way, **cache)
        for way in ("cold", "again"):
            run(LAZYNWB_MANY, *given, way, peer=True, **cache)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--file", help="a session to read in place of a synthetic one")
    parser.add_argument(
        "--sessions", type=int, help="how many are catalogued; 1,000, or 8 if small"
    )
    args = parser.parse_args(argv)
    count = args.sessions if args.sessions is not None else 8 if args.small else 1000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = Path(args.file or folder / "session.nwb")
        if not args.file:
            write_allen(path, **(SMALL if args.small else FULL))
        print(f"{path.stat().st_size / 1e6:.0f} MB in the layout that Allen published")
        session(folder, path, ())
        archive(folder, path, 4 if args.small else 58)
        written = folder / "pynwb.nwb"
        bench_nwb.write(written, *((20, 20_000) if args.small else (375, 13_000_000)))
        print(f"{written.stat().st_size / 1e6:.0f} MB as pynwb writes it")
        session(folder, written, (REMFILE,) if args.small else (REMFILE, FSSPEC))
        if count:
            sessions(folder, count)


if __name__ == "__main__":
    main()
