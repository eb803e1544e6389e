"""Zarr archives: saving and reading, against xarray's `to_zarr` in the same run. CPU time, files, bytes.

python benchmarks/bench_zarr.py           # full size, writes benchmarks/results/bench_zarr.txt
python benchmarks/bench_zarr.py --small   # seconds, prints only
"""

import argparse
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


def timed(function):
    """CPU time of a call, all threads, seconds, and its result."""
    begin = time.process_time()
    result = function()
    return time.process_time() - begin, result


def measure(name, path, save, opened, wanted):
    seconds, _ = timed(save)
    files = [file for file in path.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    array = opened(path)["s/VISp/spike_data"].variable
    np.asarray(array[0])  # opened
    many, got = timed(lambda: array[wanted].values)
    one, _ = timed(lambda: [array[int(i)].values for i in wanted[:20]])
    whole, _ = timed(lambda: array[:].values)
    say(
        f"{name:20s} save {seconds:6.2f} s  {len(files):6d} files  {size / 1e6:7.1f} MB | "
        f"256 random {many * 1e3:7.1f} ms | one {one * 50:6.2f} ms | all {whole * 1e3:7.1f} ms"
    )
    return got


def bench(folder, presentations, units, bins):
    tree = one_session(presentations, units, bins)
    raw = tree["s/VISp/spike_data"].nbytes
    say(f"\n{presentations} presentations x {units} units x {bins} bins, uint8, {raw / 1e6:.0f} MB")
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
            bench(Path(folder), *size)
    if not args.small:
        name = Path(__file__).stem
        (Path(__file__).parent / "results" / f"{name}.txt").write_text("\n".join(LINES) + "\n")


if __name__ == "__main__":
    main()
