"""Open an NWB file of 800 units and read one of them: raw h5py, neuroarrays, pynwb, lazynwb."""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

#: Each in a process of its own: the file opened and one unit's spikes read, twice, CPU seconds.
CODE = {
    "h5py, by hand": """
import h5py
def read(path, unit):
    with h5py.File(path) as f:
        ends = f["units/spike_times_index"][:]
        first = int(ends[unit - 1]) if unit else 0
        return f["units/spike_times"][first:int(ends[unit])]
""",
    "h5py, looking at all": """
import h5py
def read(path, unit):
    found = {}
    with h5py.File(path) as f:
        f.visititems(lambda name, node: found.update({name: (
            dict(node.attrs), getattr(node, "shape", None), getattr(node, "dtype", None))}))
        labels = f["units/id"][:], f["units/location"][:], f["intervals/trials/id"][:]
        ends = f["units/spike_times_index"][:]
        first = int(ends[unit - 1]) if unit else 0
        return f["units/spike_times"][first:int(ends[unit])]
""",
    "neuroarrays, the tree": """
import neuroarrays as na
from neuroarrays.files import source
from neuroarrays.testing.sources import close_all
def read(path, unit):
    close_all()
    tree = na.open_datatree(path)
    name, = tree.children
    return tree[f"{name}/CA1/spikes"].to_dataset().sel(unit_id=unit)["spike_times"].values
""",
    "pynwb": """
from pynwb import NWBHDF5IO
def read(path, unit):
    with NWBHDF5IO(path, "r") as io:
        return io.read().units["spike_times"][unit]
""",
    "lazynwb": """
import lazynwb
def read(path, unit):
    frame = lazynwb.get_df(path, "/units", exact_path=True)
    return lazynwb.get_df(path, "/units", include_column_names="spike_times",
                          exact_path=True)["spike_times"][unit]
""",
}
TIMER = """
import sys, time, warnings
warnings.filterwarnings("ignore")
path, unit = sys.argv[1], int(sys.argv[2])
{code}
times = []
for _ in range(6):
    before = time.process_time()
    got = read(path, unit)
    times.append(time.process_time() - before)
print(min(times[1:]), len(got), float(got[0]))
"""


def write(path, n_units, n_spikes, seed=0):
    """Write an NWB file with pynwb's layout, valid for pynwb and lazynwb."""
    from datetime import UTC, datetime

    from pynwb import NWBHDF5IO, NWBFile

    rng = np.random.default_rng(seed)
    file = NWBFile("bench", "bench", datetime(2020, 1, 1, tzinfo=UTC))
    file.add_unit_column("location", "area")
    for column in ("snr", "presence_ratio", "amplitude_cutoff", "isi_violations"):
        file.add_unit_column(column, column)
    for _ in range(n_units):
        times = np.sort(rng.uniform(0, 9000, n_spikes // n_units))
        file.add_unit(
            spike_times=times,
            location="CA1",
            snr=1.0,
            presence_ratio=1.0,
            amplitude_cutoff=0.0,
            isi_violations=0.0,
        )
    for start in np.arange(0, 100, 0.25):
        file.add_trial(start_time=start, stop_time=start + 0.25)
    with NWBHDF5IO(path, "w") as io:
        io.write(file)


def main(argv=None):
    """Print CPU time of each way, and its ratio to raw h5py."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="seconds instead of a minute")
    parser.add_argument(
        "--peers-python",
        default=sys.executable,
        help="an interpreter with lazynwb, which wants another zarr",
    )
    args = parser.parse_args(argv)
    n_units, n_spikes = (20, 20_000) if args.small else (800, 36_000_000)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "bench.nwb"))
        write(path, n_units, n_spikes)
        print(f"{n_units} units, {n_spikes:,} spikes; open and read one unit, best of 5, CPU ms")
        print("by hand: the path and layout are known. looking at all: names, shapes, dtypes and")
        print("attributes of everything in the file, which is what a tree shows")
        base = None
        for name, code in CODE.items():
            python = args.peers_python if name == "lazynwb" else sys.executable
            same = python == sys.executable
            if name == "lazynwb" and same and importlib.util.find_spec("lazynwb") is None:
                print(f"  {name:<24} not installed here; see --peers-python")
                continue
            run = subprocess.run(
                [python, "-c", TIMER.format(code=code), path, str(n_units // 2)],
                capture_output=True,
                text=True,
                check=False,
            )
            if run.returncode:
                print(f"  {name:<24} failed: {run.stderr.strip().splitlines()[-1]}")
                continue
            seconds, size, first = run.stdout.split()
            base = base or (float(seconds), size, first)
            assert (size, first) == base[1:], f"{name} read other spikes"
            print(f"  {name:<24} {1e3 * float(seconds):9.2f}   {float(seconds) / base[0]:7.1f} x")


if __name__ == "__main__":
    main()
