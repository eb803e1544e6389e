"""Types of features of a million samples, next to DRIADA's; random walks taken for angles; events.

python benchmarks/bench_features.py           # full size, writes benchmarks/results/bench_features.txt
python benchmarks/bench_features.py --small   # a few seconds, writes nothing

DRIADA and oasis-deconv are left out where they are not installed.
"""

import argparse
import importlib.util
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import xarray as xr

import neuroarrays as na
from neuroarrays import schema

LINES = []
TURN = 2 * np.pi


def say(line):
    print(line)
    LINES.append(line)


def seconds(function, repeats=5):
    """Return the median CPU time of a call, after one to warm up."""
    function()
    times = []
    for _ in range(repeats):
        before = time.process_time()
        function()
        times.append(time.process_time() - before)
    return float(np.median(times))


def scaled(x, low, high):
    return low + (x - x.min()) / np.ptp(x) * (high - low)


def signals(n):
    rng = np.random.default_rng(0)
    walk = np.cumsum(rng.normal(0, 0.1, n))
    return {
        "position, a random walk": scaled(walk, 0, 100),
        "head direction": walk % TURN,
        "speed, mostly zero": np.where(rng.random(n) < 0.95, 0.0, rng.gamma(2.0, size=n)),
        "spike counts": rng.poisson(3, n),
        "image shown": np.repeat(rng.integers(0, 118, n // 50 + 1), 50)[:n],
        "licks": (rng.random(n) < 0.01).astype(int),
        "time": np.arange(n) / 30,
    }


def tree_of(values):
    area = xr.Dataset(
        {
            "feature": ("time", values),
            "responses": (("time", "unit_id"), np.zeros((values.size, 1))),
        },
        {"time": np.arange(values.size) / 30, "unit_id": [0]},
    )
    root = xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED))
    return xr.DataTree.from_dict({"/": root, "mouse/area": area})


def ours(tree):
    return na.feature_types(tree)["mouse/area/feature"].attrs["feature_type"]


def driada():
    """Return a function that gives DRIADA's type of an array, None where it is not installed."""
    if importlib.util.find_spec("driada") is None:
        return None
    from driada.information.time_series_types import analyze_time_series_type

    def type_of(values):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = analyze_time_series_type(np.asarray(values, float))
        return found.subtype or found.primary_type

    return type_of


def types(n, peer):
    say(f"type of a feature of {n:,} samples, as float64 in memory; median CPU")
    total = [0.0, 0.0]
    for name, values in signals(n).items():
        tree = tree_of(values)
        spent = seconds(lambda tree=tree: ours(tree))
        total[0] += spent
        line = f"  {name:<26}{1e3 * spent:8.1f} ms {ours(tree):<12}"
        if peer is not None:
            other = seconds(lambda values=values: peer(values), 1)
            total[1] += other
            line += f"DRIADA {1e3 * other:8.1f} ms {peer(values)}"
        say(line)
    end = f"   DRIADA {1e3 * total[1]:10.1f} ms {total[1] / total[0]:8.1f} x" if peer else ""
    say(f"  all of them             {1e3 * total[0]:10.1f} ms{end}")


def walks(n, how_many, peer):
    say(f"random walks of {n:,} samples that are taken for angles, of {how_many} each")
    kinds = {
        "scaled to 0 to 6.2": lambda w: scaled(w, 0, 6.2),
        "folded at 0 and 360": lambda w: np.abs((5 * w + 360) % 720 - 360),
        "wrapped at 2 pi": lambda w: 0.3 * w % TURN,
    }
    for name, make in kinds.items():
        drawn = [make(np.cumsum(np.random.default_rng(s).normal(size=n))) for s in range(how_many)]
        mine = sum(ours(tree_of(x)) == "circular" for x in drawn)
        theirs = "" if peer is None else f"   DRIADA {sum(peer(x) == 'circular' for x in drawn):5d}"
        say(f"  {name:<26}{mine:8d}{theirs}")


def heavy_tails(how_many):
    """Walks with steps that now and then are as long as all others together, ours alone."""
    from neuroarrays.kernels.features import classify

    draw = {
        "normal": lambda rng, n: rng.normal(size=n),
        "t(2)": lambda rng, n: rng.standard_t(2, n),
        "t(1.5)": lambda rng, n: rng.standard_t(1.5, n),
        "Cauchy": lambda rng, n: rng.standard_cauchy(n),
    }
    say("walks scaled to 0 to 6.2 that are taken for angles; 100, 300 and 3,000 samples")
    for name, steps in draw.items():
        found = 0
        for n in (100, 300, 3000):
            for seed in range(how_many):
                walk = np.cumsum(steps(np.random.default_rng(seed), n))
                found += classify(scaled(walk, 0, 6.2))[0] == "circular"
        say(f"  {name + ' steps':<26}{found:8d} of {3 * how_many:,}")


def events(n, units):
    rng = np.random.default_rng(0)
    kernel = np.exp(-np.arange(400) / 30)
    traces = np.stack([np.convolve(rng.random(n) < 0.005, kernel)[:n] for _ in range(units)], 1)
    traces += rng.normal(0, 0.1, traces.shape)
    coords = {"time": np.arange(n) / 30, "unit_id": np.arange(units)}
    array = xr.DataArray(traces, coords, ("time", "unit_id"))
    say(f"events of {units} units x {n:,} frames; median CPU")
    for method in ("threshold", "oasis"):
        if method == "oasis" and importlib.util.find_spec("oasis") is None:
            continue
        whole = seconds(lambda method=method: na.deconvolve(array, method, decay=1.0).values, 3)
        one = seconds(lambda method=method: na.deconvolve(array, method, decay=1.0)[:, 3].values, 3)
        say(f"  {method:<26}{1e3 * whole:8.1f} ms, one unit of them {1e3 * one:8.2f} ms")
    if importlib.util.find_spec("oasis") is not None:
        from oasis.functions import deconvolve

        def direct():
            for trace in traces.T:
                deconvolve(np.ascontiguousarray(trace), tau_d=1.0, framerate=30.0)

        say(f"  {'oasis-deconv, in a loop':<26}{1e3 * seconds(direct, 3):8.1f} ms")


def main(argv=None):
    """Print, and write down, what is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a few seconds")
    small = parser.parse_args(argv).small
    LINES.clear()
    peer = driada()
    types(10_000 if small else 1_000_000, peer)
    walks(2_000, 5 if small else 200, peer)
    heavy_tails(20 if small else 4_000)
    events(2_000 if small else 20_000, 10 if small else 100)
    if not small:
        results = Path(__file__).parent / "results" / "bench_features.txt"
        results.write_text("\n".join(LINES) + "\n")


if __name__ == "__main__":
    sys.exit(main())
