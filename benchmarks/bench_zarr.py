"""Zarr archives: saving and reading, against xarray's `to_zarr` in the same run. CPU time and time, files, bytes.

Both sides have the same cores, first one and then two, and zarr as many threads as cores.

python benchmarks/bench_zarr.py           # full size, writes benchmarks/results/bench_zarr.txt
python benchmarks/bench_zarr.py --small   # seconds, prints only
"""

import argparse
import os
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import xarray as xr
from bench_archive import one_session

import neuroarrays as na

LINES = []


def say(text):
    print(text, flush=True)
    LINES.append(text)


def limit(cores):
    """Give this process, and the threads of zarr, some cores."""
    import zarr

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(min(cores, os.cpu_count() or 1)))
    zarr.config.set({"threading.max_workers": cores, "async.concurrency": max(2, cores)})


def timed(function):
    """CPU time of a call, all threads, and time by the clock, seconds, and its result; the best of three."""
    taken = []
    for _ in range(3):
        begin, used = time.perf_counter(), time.process_time()
        result = function()
        taken.append((time.process_time() - used, time.perf_counter() - begin))
    return (*(min(column) for column in zip(*taken, strict=True)), result)


def measure(name, path, save, opened, wanted):
    seconds, clock, _ = timed(save)
    files = [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    array = opened(path)["s/VISp/spike_data"].variable
    np.asarray(array[0])  # opened
    many, many_clock, got = timed(lambda: array[wanted].values)
    one, one_clock, _ = timed(lambda: [array[int(i)].values for i in wanted[:20]])
    whole, whole_clock, _ = timed(lambda: array[:].values)
    say(
        f"{name:20s} save {seconds:5.2f}/{clock:5.2f} s  {len(files):5d} files  {size / 1e6:6.1f} MB | "
        f"256 random {many * 1e3:7.1f}/{many_clock * 1e3:7.1f} ms | "
        f"one {one * 50:5.2f}/{one_clock * 50:5.2f} ms | all {whole * 1e3:7.1f}/{whole_clock * 1e3:7.1f} ms"
    )
    return got


def bench(folder, presentations, units, bins, cores):
    limit(cores)
    tree = one_session(presentations, units, bins)
    raw = tree["s/VISp/spike_data"].nbytes
    counts = (
        f"{presentations} presentations x {units} units x {bins} bins, uint8, {raw / 1e6:.0f} MB"
    )
    say(f"\n{counts}, {cores} core{'s' * (cores > 1)}; CPU/clock")
    wanted = np.random.default_rng(1).integers(0, presentations, 256)
    ours, theirs = folder / "ours.zarr", folder / "theirs.zarr"
    got = measure(
        "neuroarrays", ours, lambda: na.save(tree, ours, overwrite=True), na.open_datatree, wanted
    )
    peer = measure(
        "xarray",
        theirs,
        lambda: tree.to_zarr(theirs, mode="w"),
        lambda path: xr.open_datatree(path, engine="zarr", chunks=None),
        wanted,
    )
    assert np.array_equal(got, peer)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    args = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        sizes = [(2000, 20, 10)] if args.small else [(300_000, 20, 10), (4000, 300, 250)]
        for size in sizes:
            for cores in (1, 2):
                bench(Path(folder), *size, cores)
    if not args.small:
        name = Path(__file__).stem
        (Path(__file__).parent / "results" / f"{name}.txt").write_text("\n".join(LINES) + "\n")


if __name__ == "__main__":
    main()
