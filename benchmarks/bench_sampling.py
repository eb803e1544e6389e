"""What a series at other times costs: access, bin means, interpolation; CPU seconds, best of several.

python benchmarks/bench_sampling.py           # full size, writes benchmarks/results/bench_sampling.txt
python benchmarks/bench_sampling.py --small   # a second, writes nothing

One thread. Beside ours: `numpy.interp`, and a plain mean over whole groups of samples (`reduceat`), which
reads memory once.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np
import xarray as xr

import neuroarrays as na

LINES = []


def say(line):
    print(line, flush=True)
    LINES.append(line)


def best(work, times=7):
    """CPU seconds of the quickest of several calls."""
    seconds = []
    for _ in range(times):
        begin = time.process_time()
        work()
        seconds.append(time.process_time() - begin)
    return min(seconds)


def stored(folder, n):
    """A recording with one running speed of n samples at 1 kHz, stored, as a tree."""
    import h5py

    path = Path(folder) / "s.nwb"
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        group = file.create_group("processing/running/running_speed")
        group.attrs["neurodata_type"] = "TimeSeries"
        group["data"] = np.random.default_rng(0).normal(size=n).astype("f4")
        group["data"].attrs["unit"] = "cm/s"
        group["timestamps"] = np.arange(n) / 1000
    return na.open_datatree(path)["s"]


def access(folder, n):
    speed = stored(folder, n)["running/speed"]
    ten = na.interpolate(speed, np.linspace(1, n / 1000 - 1, 10))
    ten.load()
    once = na.interpolate(speed, np.linspace(1, n / 1000 - 1, 10))
    say(
        f"ten points of a stored series of {n:.0e} samples: {1e3 * best(lambda: once.values, 200):.3f} ms"
    )
    m = min(n, 576_000)
    clock = np.arange(m) / 60
    running = xr.Dataset({"speed": ("time", np.sin(clock))}, {"time": clock})
    root = xr.Dataset(attrs={"neuroarrays_schema": "recording/1"})
    tree = xr.DataTree.from_dict({"/": root, "/s/running": running})
    onsets = np.linspace(1, clock[-1] - 2, 200)
    trials = na.align(tree, onsets, 0.02, (0, 1))["s/speed"]
    trials[0].load()
    say(
        f"one presentation's speed of {m:,} samples in memory: {1e3 * best(lambda: trials.variable[7].values, 200):.3f} ms"
    )


def whole(n):
    clock = np.arange(n) / 1000
    for columns in (1, 8):
        values = np.random.default_rng(0).normal(size=(n, columns))
        series = xr.DataArray(values, {"time": clock}, ("time", "column"))
        at = np.sort(np.random.default_rng(1).uniform(1, clock[-1] - 1, n // 2))
        ours = best(lambda: na.interpolate(series, at).values)  # noqa: B023
        theirs = best(lambda: [np.interp(at, clock, column) for column in values.T])  # noqa: B023
        say(
            f"interpolation of {columns} x {n:.0e} at {at.size:.0e}: {ours:.3f} s, numpy.interp {theirs:.3f} s"
        )
        bins = xr.DataArray(
            np.arange(0.01, clock[-1], 0.02), dims="time", attrs={"bin_width": 0.02}
        )
        means = best(lambda: na.interpolate(series, bins, "mean").values)  # noqa: B023
        reads = best(lambda: np.add.reduceat(values, np.arange(0, n, 20), axis=0))  # noqa: B023
        say(
            f"means of {columns} x {n:.0e} in bins of 20 samples: {means:.3f} s, reduceat {reads:.3f} s"
        )


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args(argv)
    n = 100_000 if options.small else 10_000_000
    with tempfile.TemporaryDirectory() as folder:
        access(folder, n)
        na.release()
    whole(n // 10)
    if not options.small:
        result = Path(__file__).parent / "results" / "bench_sampling.txt"
        result.write_text("\n".join(LINES) + "\n")


if __name__ == "__main__":
    main()
