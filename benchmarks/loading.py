"""How loaders are measured: each case in a process of its own, CPU time per batch."""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def _memory(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1e3
    return float("nan")


def _cpu():
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def measure(make, n_batches, size_of):
    """Run a case: `make()` gives a loader, `size_of(batch)` the samples of a batch.

    Two passes: the first says when the first batch came, the second what a batch costs when
    everything is warm. With workers their CPU time is counted, their memory is not. The memory
    is that of the process, above what it was with everything imported and compiled.
    """
    Path("/proc/self/clear_refs").write_text("5")  # peak memory starts anew
    imports = _memory("VmRSS")
    begun = time.perf_counter()
    loader = make()
    made = _memory("VmRSS") - imports
    first, _, _ = _pass(loader, n_batches // 4, size_of, begun)
    cpu, wall = _cpu(), time.perf_counter()
    _, samples, batches = _pass(loader, n_batches, size_of, wall)
    cpu, wall = _cpu() - cpu, time.perf_counter() - wall
    return {
        "cpu_ms": 1e3 * cpu / batches, "cpu_us_sample": 1e6 * cpu / samples,
        "per_s": samples / cpu, "wall_per_s": samples / wall, "first_s": first,
        "made_mb": made, "peak_mb": _memory("VmHWM") - imports,
    }  # fmt: skip


def _pass(loader, n_batches, size_of, begun):
    """Go through some batches, over as many epochs as that takes; no batch is held afterwards."""
    first, samples, batches = None, 0, 0
    while batches < max(n_batches, 1):
        for batch in loader:
            first = first or time.perf_counter() - begun
            samples += size_of(batch)
            batches += 1
            if batches == n_batches:
                break
    return first, samples, batches


def compile_kernels():
    """Load what ours compiles, so that it does not count as memory of the data."""
    import numpy as np

    from neuroarrays.kernels import events

    sizes, places = events.compress(np.ones((2, 3), np.uint8))
    first = np.concatenate([[0], np.cumsum(sizes)])
    for dtype in (np.uint8, np.float32):
        events.expand(first, places, np.arange(2), np.empty((2, 3), dtype))
    spikes = events.slice_by_time(np.arange(4.0), np.array([0]), np.array([4]))
    events.count_windows(spikes, np.zeros(1), 0.02, np.empty((1, 5, 1), np.uint8))


def run(cases, write, script, doc, sizes, argv):
    """Write the data, run every case in its own process, print a table.

    `cases`: name -> (function of folder and sizes that measures, whether it needs the peers).
    """
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--small", action="store_true", help="seconds instead of minutes")
    parser.add_argument("--peers-python", default=sys.executable,
                        help="an interpreter that has the peers")  # fmt: skip
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    size = sizes[1 if args.small else 0]
    if args.case:
        print("\n" + json.dumps(cases[args.case][0](Path(args.folder), size)))
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), size)
        print(doc.splitlines()[0])
        print(", ".join(f"{key}={value}" for key, value in size.items()))
        print("CPU time of all threads and workers, warm; wall time suffers from other work on the "
              f"machine ({os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}). Memory above imports and\n"
              "compiled kernels: when the data set was made, and at its highest")  # fmt: skip
        print(
            f"{'':<46}{'CPU ms':>9}{'CPU µs':>9}{'samples':>10}{'samples':>11}{'first':>8}{'made':>7}{'peak':>7}"
        )
        print(
            f"{'':<46}{'/batch':>9}{'/sample':>9}{'/s CPU':>10}{'/s wall':>11}{'s':>8}{'MB':>7}{'MB':>7}"
        )
        for name, (_, peer) in cases.items():
            python = args.peers_python if peer else sys.executable
            command = [python, script, "--case", name, "--folder", folder]
            done = subprocess.run(
                [*command, *(["--small"] if args.small else [])],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                error = (done.stderr.strip().splitlines() or ["killed"])[-1]
                print(f"{name:<46} did not run: {error[:90]}", flush=True)
                continue
            got = json.loads(done.stdout.strip().splitlines()[-1])
            print(f"{name:<46}{got['cpu_ms']:>9.2f}{got['cpu_us_sample']:>9.1f}{got['per_s']:>10,.0f}"
                  f"{got['wall_per_s']:>11,.0f}{got['first_s']:>8.2f}{got['made_mb']:>7,.0f}{got['peak_mb']:>7,.0f}", flush=True)  # fmt: skip
