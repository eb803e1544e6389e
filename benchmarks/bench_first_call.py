"""What first calls compile on a new machine: CPU of each step without and with a cache of compiled code.

python benchmarks/bench_first_call.py           # writes benchmarks/results/bench_first_call.txt
python benchmarks/bench_first_call.py --small   # once, writes nothing
python benchmarks/bench_first_call.py --alm sub-anm372904_ses-20170619.nwb   # of DANDI 000006, too
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "bench_first_call.txt"


class Compiled:
    """A listener of numba: CPU of compiling each function, s, without that of what it calls."""

    def __init__(self):
        self.running, self.functions = [], {}

    def notify(self, event):
        """Called as each function begins and ends to be compiled."""
        if event.is_start:
            self.running.append([time.process_time(), 0.0])
            return
        begun, of_others = self.running.pop()
        taken = time.process_time() - begun
        if self.running:
            self.running[-1][1] += taken
        function = event.data["dispatcher"].py_func
        ours = function.__module__.startswith("neuroarrays.")
        module = function.__module__.rpartition(".")[2]
        name = f"{module}.{function.__name__}" if ours else "parts of numba"
        self.functions[name] = self.functions.get(name, 0.0) + taken - of_others


def first_calls(alm):
    """Open, align, read, batch, average, tune; return CPU of the steps and of the functions, s."""
    steps = {}

    def step(name, work):
        begun = time.process_time()
        answer = work()
        steps[name] = time.process_time() - begun
        return answer

    step("import torch", lambda: __import__("torch"))
    step("import neuroarrays.torch", lambda: __import__("neuroarrays.torch"))
    step("import numba", lambda: __import__("numba"))
    from numba.core import event

    import neuroarrays as na

    compiled = Compiled()
    event.Listener.register(Compiled)
    event.register("numba:compile", compiled)

    def first_batch(samples):
        return next(iter(na.torch.Loader(samples, na.torch.Batches(len(samples), 16))))

    tree = step("open", lambda: na.open_datatree(alm) if alm else na.load_sample())
    if alm:
        area, names = f"{next(iter(tree.children))}/ALM", ["spike_data"]
        how = {"event": "cue_start_time", "window": (-2.5, 1.5), "clip": False}
        trials = step("align on trials", lambda: na.align(tree, "trials", 0.01, **how)[area])
    else:
        area, names = "A2929-200711/adn", ["spike_data", "head_direction/ry"]
        how = {"window": (-0.1, 0.2)}
        trials = step("align on trials", lambda: na.align(tree, "sleep_ripples", 0.01, **how)[area])
    step("counts of trials", lambda: trials["spike_data"].values)
    clock = step("align on a clock", lambda: na.align(tree, bin_width=0.02)[area])
    for name in names:
        step(f"{name} on a clock", lambda name=name: clock[name].values)
    inputs = ["spike_data"]
    step("first batch", lambda: first_batch(na.torch.TrialDataset(trials, inputs=inputs)))
    step("psth", lambda: na.psth(trials, by="type" if alm else None))
    step(
        "tuning curve",
        lambda: na.tuning_curve(*((trials, "type") if alm else (clock, "head_direction/ry"))),
    )
    return steps, compiled.functions


def in_a_process(cache, alm):
    """The same in a process of its own, with a folder for compiled code."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    code = [sys.executable, __file__, "--child", *(["--alm", alm] if alm else [])]
    environment = os.environ | threads | {"NUMBA_CACHE_DIR": cache}
    done = subprocess.run(code, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def least(tables):
    """The least of each row over several runs."""
    return {name: min(table[name] for table in tables) for name in tables[0]}


def measure(title, repeats, alm=None):
    """Lines of a table: steps with an empty and a full cache, and functions."""
    cold, warm = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as cache:
            cold.append(in_a_process(cache, alm))
            warm.append(in_a_process(cache, alm))
    empty, full = (least([steps for steps, _ in runs]) for runs in (cold, warm))
    functions = least([functions for _, functions in cold])
    yield f"{title}; s of CPU, least of {repeats}"
    yield f"  {'step':<30}{'empty':>8}{'full':>8}{'compiles':>10}"
    for name in empty:
        more = "" if name.startswith("import") else f"{empty[name] - full[name]:10.2f}"
        yield f"  {name:<30}{empty[name]:8.2f}{full[name]:8.2f}{more}"
    total = sum(empty[name] - full[name] for name in empty if not name.startswith("import"))
    yield f"  {'compiled in all':<46}{total:10.2f}"
    for name, spent in sorted(functions.items(), key=lambda pair: -pair[1]):
        yield f"    {name:<44}{spent:10.2f}"


def main(argv=None):
    """Print, and write down, what is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="once, writes nothing")
    parser.add_argument("--alm", help="an NWB file of DANDI 000006")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.child:
        print(json.dumps(first_calls(arguments.alm)))
        return
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load not known"
    repeats = 1 if arguments.small else 3
    lines = [f"first calls with an empty and a full cache of compiled code ({load}), one thread"]
    lines += measure("the bundled recording", repeats)
    if arguments.alm:
        lines += measure("motor cortex, NWB", repeats, str(Path(arguments.alm).resolve()))
    print("\n".join(lines))
    if not arguments.small:
        RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
