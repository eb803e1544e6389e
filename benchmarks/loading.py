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
    everything is warm. With workers their CPU time is counted, their memory is not.
    """
    Path("/proc/self/clear_refs").write_text("5")  # peak memory starts anew
    imports = _memory("VmRSS")
    begun = time.perf_counter()
    loader = make()
    running = iter(loader)
    size_of(next(running))
    first = time.perf_counter() - begun
    for _, _batch in zip(range(n_batches // 4), running, strict=False):
        pass
    del running
    cpu, wall, samples, batches = _cpu(), time.perf_counter(), 0, 0
    while batches < n_batches:
        for batch in loader:
            samples += size_of(batch)
            batches += 1
            if batches == n_batches:
                break
    del batch
    cpu, wall = _cpu() - cpu, time.perf_counter() - wall
    return {
        "cpu_ms": 1e3 * cpu / batches, "cpu_us_sample": 1e6 * cpu / samples,
        "per_s": samples / cpu, "wall_per_s": samples / wall, "first_s": first,
        "peak_mb": _memory("VmHWM") - imports,
    }  # fmt: skip


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
              f"machine ({os.cpu_count()} cores, load {os.getloadavg()[0]:.1f})")  # fmt: skip
        print(
            f"{'':<46}{'CPU ms':>9}{'CPU µs':>9}{'samples':>10}{'samples':>11}{'first':>8}{'peak MB':>9}"
        )
        print(
            f"{'':<46}{'/batch':>9}{'/sample':>9}{'/s CPU':>10}{'/s wall':>11}{'s':>8}{'-imports':>9}"
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
                  f"{got['wall_per_s']:>11,.0f}{got['first_s']:>8.2f}{got['peak_mb']:>9,.0f}", flush=True)  # fmt: skip
