"""Opening a DRIADA NPZ in place, one neuron of it, and a pickled experiment of 51 MB."""

import argparse
import pickle
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np

import neuroarrays as na
from neuroarrays.pickles import load_pickle


def measured(function):
    """Result, wall seconds and peak of allocated bytes of a call (of the second and third one)."""
    function()
    before = time.perf_counter()
    function()
    seconds = time.perf_counter() - before
    tracemalloc.start()
    result = function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result, seconds, peak


def write(folder, units, frames):
    """An NPZ as DRIADA's users have it, stored and deflated, and a pickle of arrays in objects."""
    rng = np.random.default_rng(0)
    calcium = rng.random((units, frames), dtype="f4")
    features = {name: rng.random(frames) for name in ("x", "y", "speed")}
    facts = {"_metadata": np.array({"fps": 20.0}, object)}
    np.savez(folder / "stored.npz", calcium=calcium, **features, **facts)
    few = calcium[: max(1, units // 10)]
    np.savez_compressed(folder / "deflated.npz", calcium=few, **features, **facts)
    n = max(1, min(units, 51_000_000 // (frames * 8)))
    traces = [rng.random(frames) for _ in range(n)]
    facts = {"neurons": [{"id": i, "trace": trace} for i, trace in enumerate(traces)]}
    with (folder / "experiment.pickle").open("wb") as file:
        pickle.dump(facts, file, 4)


def main(argv=None):
    """Print time and memory of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a hundredth of the size")
    small = parser.parse_args(argv).small
    units, frames = (50, 10_000) if small else (500, 100_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, units, frames)
        size = (folder / "stored.npz").stat().st_size / 1e6
        print(
            f"{units} x {frames:,} float32, {size:.0f} MB NPZ; wall time, peak of what is allocated"
        )
        tree, seconds, peak = measured(lambda: na.open_datatree(folder / "stored.npz"))
        print(f"open                       {1e3 * seconds:9.1f} ms  {peak / 1e6:8.2f} MB")
        area = tree["stored/unknown"]["responses"]
        _, seconds, peak = measured(lambda: area.isel(unit_id=units // 2).values)
        print(f"one neuron                 {1e3 * seconds:9.1f} ms  {peak / 1e6:8.2f} MB")
        _, seconds, peak = measured(lambda: area.isel(time=slice(0, 1000)).values)
        print(f"1,000 frames of all        {1e3 * seconds:9.1f} ms  {peak / 1e6:8.2f} MB")
        _, seconds, peak = measured(lambda: na.open_datatree(folder / "deflated.npz"))
        print(f"open, deflated             {1e3 * seconds:9.1f} ms  {peak / 1e6:8.2f} MB")
        path = folder / "experiment.pickle"
        for stored in (False, True):
            _, seconds, peak = measured(lambda stored=stored: load_pickle(path, stored=stored))
            kind = "arrays left in it" if stored else "all of it"
            label = f"pickle, {kind}"
            print(f"{label:<27}{1e3 * seconds:9.1f} ms  {peak / 1e6:8.2f} MB")
        print(
            "DRIADA 1.2.2 loads such an NPZ in 63 s with 5,750 MB (measured by itself, another run)"
        )


if __name__ == "__main__":
    sys.exit(main())
