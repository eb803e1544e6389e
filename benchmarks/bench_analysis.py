"""Answers against their peers on the same data: PSTHs, tuning, averages of a film, correlograms."""

import argparse
import contextlib
import io
import time
import tracemalloc
from pathlib import Path

import threads  # isort: skip  before numpy

import numpy as np
import pynapple as nap
import xarray as xr

import neuroarrays as na

try:
    import flox
except ImportError:
    flox = None

RESULTS = Path(__file__).parent / "results" / "bench_analysis.txt"


def best(function, repeats=3):
    """Least processor time of a function, s, over all its threads, and what it gives."""
    found, times = None, []
    for _ in range(repeats):
        begun = time.process_time()
        found = function()
        times.append(time.process_time() - begun)
    return min(times), found


def memory(function):
    """The most memory that a function takes on top of what there was, MB."""
    tracemalloc.start()
    function()
    most = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return most


def histograms(presentations, units, bins):
    """PSTHs by condition of counts in memory."""
    random = np.random.default_rng(0)
    counts = random.poisson(0.3, (presentations, units, bins)).astype(np.uint8)
    labels = random.integers(0, 8, presentations)
    area = xr.Dataset(
        {"spike_data": (("presentation_id", "unit_id", "time"), counts)},
        {
            "presentation_id": np.arange(presentations),
            "unit_id": np.arange(units),
            "time": ("time", np.arange(bins) / 100, {"bin_width": 0.01}),
            "orientation": ("presentation_id", labels * 45.0),
        },
    )
    na.psth(area.isel(presentation_id=slice(0, 200)), by="orientation")  # compiles
    ours, mine = best(lambda: na.psth(area, by="orientation"), 7)
    grown = memory(lambda: na.psth(area, by="orientation"))
    print(f"PSTHs by 8 conditions of {counts.shape} uint8; CPU s, and memory above the data")
    print(f"  na.psth               {ours:7.3f} {grown:7.0f} MB   mean, standard error and n")
    means = {"groupby mean, numpy": False} | ({"groupby mean, flox": True} if flox else {})
    for name, use_flox in means.items():

        def peer(use_flox=use_flox):
            with xr.set_options(use_flox=use_flox, use_numbagg=False, use_bottleneck=False):
                return area["spike_data"].groupby("orientation").mean("presentation_id")

        theirs, yours = best(peer, 3)
        same = np.allclose(mine["mean"].transpose(*yours.dims) * 0.01, yours)
        print(f"  {name:21s} {theirs:7.3f} {memory(peer):7.0f} MB   mean   same: {same}")
    if flox is None:
        print("  (flox is not installed)")


def tuning(units, duration):
    """Tuning to head direction, from counts on one clock and from spikes."""
    random = np.random.default_rng(0)
    n = int(duration * 50)
    time_ = (np.arange(n) + 0.5) / 50
    angle = np.cumsum(random.normal(0, 0.2, n)) % (2 * np.pi)
    trains = [np.sort(random.uniform(0, duration, int(5 * duration))) for _ in range(units)]
    node = xr.Dataset(
        {
            "spike_times": ("spike", np.concatenate(trains)),
            "row_size": ("unit_id", [len(t) for t in trains]),
        },
        {"unit_id": np.arange(units)},
    )
    group = nap.TsGroup({u: nap.Ts(t) for u, t in enumerate(trains)})
    feature = nap.Tsd(t=time_, d=angle)
    signal = ("time", angle, {"period": 2 * np.pi})

    counts = na.bin_spikes(node, None, 0.02, (0, duration))

    def ours(counts):
        area = counts.to_dataset().assign(ry=signal)
        return na.tuning_curve(area, "ry", bins=60, min_occupancy=0)

    def anew():  # a handle that has not read its spikes, nor seen whether they are in order
        return ours(na.bin_spikes(node, None, 0.02, (0, duration)))

    anew()  # compiles
    first, mine = best(anew, 5)
    from_spikes, _ = best(lambda: ours(counts), 5)
    counted = counts.load()
    from_counts, _ = best(lambda: ours(counted), 5)
    frame = nap.TsdFrame(t=time_, d=counted.values.astype(float))
    whole = {"bins": 60, "range": [(0, 2 * np.pi)], "fs": 50.0}
    nap.compute_tuning_curves(group[[0]], feature, **whole)
    spikes, _ = best(lambda: nap.compute_tuning_curves(group, feature, **whole), 3)
    theirs, yours = best(lambda: nap.compute_tuning_curves(frame, feature, **whole), 2)
    same = np.allclose(yours.values * 50, mine.values)
    print(f"tuning curves of {units} units, {duration:,.0f} s at 50 Hz, 60 directions; CPU s")
    print(
        f"  ours, from spikes      {from_spikes:7.3f}   from counts {from_counts:7.3f}   "
        f"the first time, spikes checked {first:.3f}"
    )
    print(f"  pynapple, from spikes  {spikes:7.3f}   from counts {theirs:7.3f}   same: {same}")


def averages(frames, height, width, units, lags):
    """A spike-triggered average, against the matrix product that it cannot do without."""
    random = np.random.default_rng(0)
    clock = {"time": ("time", np.arange(frames) / 60, {"bin_width": 1 / 60})}
    film = random.integers(0, 256, (frames, height, width), dtype=np.uint8)
    film = xr.DataArray(film, clock, ("time", "y", "x"))
    counts = random.poisson(0.2, (frames, units)).astype(np.uint8)
    area = xr.Dataset({"spike_data": (("time", "unit_id"), counts)}, clock)
    area = area.assign_coords(unit_id=np.arange(units))
    ours, _ = best(lambda: na.spike_triggered_average(area, film, lags), 2)
    block = max(lags, (64 << 20) // (4 * height * width))
    left = random.random((units * lags, block), dtype=np.float32)
    right = random.random((block, height * width), dtype=np.float32)
    product, _ = best(lambda: left @ right)
    limit = product * frames / block
    work = 2e-9 * units * lags * frames * height * width
    print(
        f"average of {units} units over ({frames:,}, {height}, {width}) uint8, {lags} lags; CPU s"
    )
    print(f"  spike_triggered_average {ours:7.2f}   {work / ours:5.0f} Gflop/s")
    print(
        f"  its matrix products     {limit:7.2f}   {work / limit:5.0f} Gflop/s   "
        f"{limit / ours:.0%} of the limit"
    )


def correlograms(units, duration, rate=10):
    """Correlograms of every pair."""
    random = np.random.default_rng(0)
    trains = [np.sort(random.uniform(0, duration, int(rate * duration))) for _ in range(units)]
    node = xr.Dataset(
        {
            "spike_times": ("spike", np.concatenate(trains)),
            "row_size": ("unit_id", [len(t) for t in trains]),
        },
        {"unit_id": np.arange(units)},
    )
    group = nap.TsGroup({u: nap.Ts(t) for u, t in enumerate(trains)})
    few = na.select_units(node, "unit_id < 2")
    na.crosscorrelogram(few)
    nap.compute_crosscorrelogram(group[[0, 1]], 0.001, 0.05, norm=False)
    ours, mine = best(lambda: na.crosscorrelogram(node, 0.001, 0.05))
    theirs, yours = best(lambda: nap.compute_crosscorrelogram(group, 0.001, 0.05, norm=False), 1)
    apart = max(np.abs(mine.values[a, b] - c.values).max() for (a, b), c in yours.items())
    pairs = units * (units - 1) // 2
    print(
        f"crosscorrelograms of {units} units, {duration:,.0f} s at {rate} Hz, 1 ms to 50 ms; CPU s"
    )
    print(f"  crosscorrelogram {ours:7.3f}   both ways of {pairs:,} pairs, and each with itself")
    print(
        f"  pynapple         {theirs:7.3f}   one way of each pair   most apart by "
        f"{apart * rate * duration * 0.001:.2g} of a count"
    )


def main(argv=None):
    """Print a table for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="seconds instead of minutes")
    small = parser.parse_args(argv).small
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        print(threads.SAID)
        histograms(*((300, 40, 50) if small else (3_000, 200, 250)))
        tuning(*((20, 60.0) if small else (800, 1_200.0)))
        averages(*((600, 12, 16, 5, 4) if small else (50_000, 72, 64, 60, 20)))
        correlograms(*((5, 60.0) if small else (100, 1_800.0)))
    print(shown.getvalue(), end="")
    if not small:
        RESULTS.write_text(shown.getvalue())


if __name__ == "__main__":
    main()
