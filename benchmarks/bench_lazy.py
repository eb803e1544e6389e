"""Parts of a lazily aligned session: one presentation, one unit, next to a dask graph."""

import argparse
import time

import numpy as np
import xarray as xr

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.lazy.indexes import dataset


def make(n_units, n_trials, duration, rate=5.0, seed=0):
    """Draw a spikes node in memory, on a 30 kHz clock."""
    rng = np.random.default_rng(seed)
    trains = [
        np.sort(rng.integers(0, int(duration * 30_000), int(duration * rate))) / 30_000
        for _ in range(n_units)
    ]
    variables = {
        "spike_times": schema.var("spikes", "spike_times", np.concatenate(trains)),
        "row_size": schema.var("spikes", "row_size", np.array([t.size for t in trains])),
    }
    node = dataset(variables, {"unit_id": xr.Variable("unit_id", np.arange(n_units))})
    return node, np.linspace(1, duration - 6, n_trials)


def best(function, repeats):
    """Least CPU time of a call, in milliseconds, after one to warm up."""
    function(0)
    times = []
    for i in range(1, repeats + 1):
        before = time.process_time()
        function(i)
        times.append(time.process_time() - before)
    return 1e3 * float(np.median(times))


def main(argv=None):
    """Print the time of each kind of access, and of the same through dask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a second instead of half a minute")
    small = parser.parse_args(argv).small
    n_units, n_trials, n_bins = (30, 600, 25) if small else (300, 6_000, 250)
    node, starts = make(n_units, n_trials, 900.0 if small else 9_000.0)
    window = (0.0, n_bins * 0.02)
    lazy = na.bin_spikes(node, starts, 0.02, window)
    before = time.process_time()
    node_units = lazy.isel(presentation_id=0).values.shape[0]
    first = time.process_time() - before
    dask = lazy.chunk(presentation_id=max(1, n_trials // 60))
    print(f"{node_units} units x {n_trials:,} presentations x {n_bins} bins; median CPU, ms")
    print(f"first access, which reads and checks all trains   {1e3 * first:10.3f}")
    rows = {
        "one presentation": lambda array, i: array[i % n_trials].values,
        "one unit": lambda array, i: array[:, i % n_units].values,
    }
    for name, get in rows.items():
        ours = best(lambda i, get=get: get(lazy, i), 50)
        theirs = best(lambda i, get=get: get(dask, i), 3)
        print(f"{name:<18} ours {ours:8.3f}   a dask graph {theirs:9.3f}   {theirs / ours:7.1f} x")


if __name__ == "__main__":
    main()
