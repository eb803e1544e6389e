"""How loaders are measured: each case in a process of its own, CPU time per batch."""

import argparse
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import threads

HEAD = """\
CPU time of all threads and workers, warm, {threads} of torch and BLAS on both sides; wall time suffers
from other work on the machine ({cores} cores, load {load:.1f}). Memory of the process above imports and compiled kernels: with what the data
set keeps, and at its highest, batches included.
                                                 CPU ms   CPU µs   samples    samples   first   made   peak
                                                 /batch  /sample    /s CPU    /s wall       s     MB     MB"""
ROW = (
    "{name:<46}{cpu_ms:>9.2f}{cpu_us_sample:>9.1f}{per_s:>10,.0f}{wall_per_s:>11,.0f}{first_s:>8.2f}"
    "{made_mb:>7,.0f}{peak_mb:>7,.0f}"
)


def _memory(field):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1e3
    return float("nan")


def _cpu():
    """CPU time of this process, of children that have ended and of those that run, s."""
    ticks = sum(
        sum(map(int, Path(f"/proc/{child.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
        for child in multiprocessing.active_children()
    )
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


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
    if type(loader).__module__.startswith("neuroarrays"):
        loader.dataset.load()
    made = _memory("VmRSS") - imports
    first, _, _ = _pass(loader, n_batches // 4, size_of, begun)
    cpu, wall = _cpu(), time.perf_counter()
    _, samples, batches = _pass(loader, n_batches, size_of, wall)
    cpu, wall = _cpu() - cpu, time.perf_counter() - wall
    return {
        "cpu_ms": 1e3 * cpu / batches,
        "cpu_us_sample": 1e6 * cpu / samples,
        "per_s": samples / cpu,
        "wall_per_s": samples / wall,
        "first_s": first,
        "made_mb": made,
        "peak_mb": _memory("VmHWM") - imports,
    }


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

    from neuroarrays.kernels import events, tokens

    sizes, places = events.compress(np.ones((2, 3), np.uint8))
    first = np.concatenate([[0], np.cumsum(sizes)])
    for dtype in (np.uint8, np.float32):
        events.expand(first, places, np.arange(2), np.empty((2, 3), dtype))
    spikes = events.slice_by_time(np.arange(4.0), np.array([0]), np.array([4]))
    events.count_windows(spikes, np.zeros(1), 0.02, np.empty((1, 5, 1), np.uint8))
    begin, end = tokens.find(tokens.in_order(spikes), np.zeros(1), np.ones(1))
    arrays = tokens.Tokens(*(np.empty(3, kind) for kind in ("f4", "i4", "i4", "?")))
    windows, places = (begin, end, np.zeros(1), 1.0), (np.zeros(1, int), np.full(1, 3))
    tokens.write(spikes, windows, np.ones(1, np.int32), places, arrays)


def run(cases, write, script, doc, sizes, argv):
    """Write the data, run every case in its own process, print a table and, full size, keep it.

    `cases`: name -> (function of folder and sizes that measures, the peer's package or None).
    """
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("--small", action="store_true", help="seconds instead of minutes")
    parser.add_argument(
        "--peers-python", default=sys.executable, help="an interpreter that has the peers"
    )
    parser.add_argument("--threads", type=int, default=1, help="of torch and BLAS, in every case")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    size = sizes[1 if args.small else 0]
    if args.case:
        print("\n" + json.dumps(cases[args.case][0](Path(args.folder), size)))
        return
    lines = []

    def say(line):
        lines.append(line)
        print(line, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), size)
        peers = dict.fromkeys(["torch", "xarray", *(peer for _, peer in cases.values() if peer)])
        say(doc.splitlines()[0])
        say(", ".join(f"{key}={value}" for key, value in size.items()))
        say(f"peers: {', '.join(_version(args.peers_python, peer) for peer in peers)}")
        number = f"{args.threads} thread{'s' * (args.threads > 1)}"
        say(HEAD.format(cores=os.cpu_count(), load=os.getloadavg()[0], threads=number))
        environment = os.environ | dict.fromkeys(threads.NAMES, str(args.threads))
        for name, (_, peer) in cases.items():
            python = args.peers_python if peer else sys.executable
            command = [python, script, "--case", name, "--folder", folder]
            done = subprocess.run(
                [*command, *(["--small"] if args.small else [])],
                capture_output=True,
                text=True,
                check=False,
                env=environment,
            )
            if done.returncode:
                error = (done.stderr.strip().splitlines() or ["killed"])[-1]
                say(f"{name:<46} did not run: {error[:90]}")
            else:
                say(ROW.format(name=name, **json.loads(done.stdout.strip().splitlines()[-1])))
    if not args.small:
        more = "" if args.threads == 1 else f"_{args.threads}_threads"
        results = Path(__file__).parent / "results" / f"{Path(script).stem}{more}.txt"
        results.write_text("\n".join(lines) + "\n")


def _version(python, package):
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return f"{package} {done.stdout.strip() or '(none)'}"
