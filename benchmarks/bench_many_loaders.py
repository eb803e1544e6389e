"""Loaders over many aligned sessions, in one archive and in a file each: time, files, memory.

python benchmarks/bench_many_loaders.py [SESSIONS] [--small]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "bench_many_loaders.txt"
BATCH, TRIALS = 64, 160
BATCHES = 3000


def write(folder, count):
    """One aligned session under many names: an archive of all, and one of each."""
    import xarray as xr

    import neuroarrays as na
    from neuroarrays.synthetic import write_nwb

    parts = ("units", "trials")
    write_nwb(folder / "m.nwb", units=20, trials=TRIALS, duration=600.0, parts=parts, areas=("V1",))
    tree = na.align(na.open_datatree(folder / "m.nwb"), "trials", 0.02, (0, 1.0))
    nodes = {path: n.to_dataset(inherit=False).load() for path, n in tree.subtree_with_keys}
    root = nodes.pop(".")
    every = {"/": root}
    (folder / "files").mkdir()
    for number in range(count):
        name = f"s{number:04d}"
        session = {f"/{name}{path[1:]}": node for path, node in nodes.items()}
        every |= session
        one = xr.DataTree.from_dict({"/": root} | session)
        na.save(one, folder / "files" / f"{name}.h5", progress=False)
    na.save(xr.DataTree.from_dict(every), folder / "all.h5", progress=False)


def measure(path, count):
    """Print what opening, making loaders, and batches take."""
    import numpy as np

    import neuroarrays as na

    def memory():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def files():
        links = [os.path.realpath(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")]
        return sum(link.endswith(".h5") for link in links)

    begun = [time.process_time(), time.perf_counter()]
    assert na.torch.loaders  # imports torch
    spent = time.process_time() - begun[0]
    print(f"{'torch imported':28s} {spent:7.2f} s CPU")
    before, begun = memory(), [time.process_time(), time.perf_counter()]

    def lap(what, samples=0):
        cpu, wall = time.process_time() - begun[0], time.perf_counter() - begun[1]
        rate = f"{samples / cpu:12,.0f} trials per s of CPU" if samples else ""
        used = (memory() - before) / 1e6
        print(
            f"{what:28s} {cpu:7.2f} s CPU {wall:7.2f} s   {files():4d} descriptors {used:+7.0f} MB {rate}"
        )
        begun[:] = time.process_time(), time.perf_counter()

    is_folder = Path(path).is_dir()
    tree = na.open_datatree(sorted(map(str, Path(path).iterdir())) if is_folder else path)
    lap("open")
    loaders = na.torch.loaders(
        tree,
        [],
        ["spike_data"],
        batch_size=BATCH,
        split=lambda area: {"train": np.arange(BATCH * 2), "test": np.arange(BATCH * 2, TRIALS)},
    )
    lap("loaders made")
    run = na.torch.cycle(loaders["train"], "sampled", temperature=2.0)

    def forever():
        while True:
            yield from run

    batches = forever()
    next(batches)
    lap("first batch")
    taken = sum(len(next(batches)[1]["spike_data"]) for _ in range(count))
    lap("first epochs, read", taken)
    run.dataset.load()  # sessions that were not drawn yet
    lap("the rest read")
    for prefetch in (run.prefetch, 0):
        run.prefetch = prefetch
        for _ in range(len(run)):  # to the end of the epoch, and into the next one
            next(batches)
        for _ in range(2):
            begun[:] = time.process_time(), time.perf_counter()
            taken = sum(len(next(batches)[1]["spike_data"]) for _ in range(count))
            lap(f"from memory, prefetch={prefetch}", taken)
    floor(tree, count, begun, lap)


def floor(tree, count, begun, lap):
    """The least that such batches take: rows of dense float32 arrays, which are 4 times the memory."""
    import numpy as np
    import torch

    sessions = [node for node in tree.subtree if "spike_data" in node.data_vars]
    dense = [
        node["spike_data"].values.astype(np.float32).reshape(TRIALS, -1)[: 2 * BATCH]
        for node in sessions
    ]
    random = np.random.default_rng(0)
    turns = random.integers(0, len(dense), count)
    rows = [random.permutation(2 * BATCH)[:BATCH] for _ in range(count)]
    out = np.empty((BATCH, dense[0].shape[1]), np.float32)
    for _ in range(2):
        begun[:] = time.process_time(), time.perf_counter()
        for turn, row in zip(turns, rows, strict=True):
            torch.from_numpy(np.take(dense[turn], row, axis=0, out=out, mode="clip"))
        lap("floor: np.take, from_numpy", BATCH * count)


def main(argv=None):
    """Write, then measure each way in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sessions", type=int, nargs="?", default=1000)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args(argv)
    count, batches = (4, 5) if options.small else (options.sessions, BATCHES)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    lines = [
        f"{count} sessions of {TRIALS} trials, 20 units, 50 bins; batches of {BATCH}; load {load}\n"
    ]
    print(lines[0], end="")
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), count)
        for what in ("all.h5", "files"):
            command = [sys.executable, __file__, "--measure", str(Path(folder, what)), str(batches)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            lines.append(f"\n{what}\n{done.stdout}")
            print(lines[-1], end="", flush=True)
    if not options.small:
        RESULTS.write_text("".join(lines))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        measure(sys.argv[2], int(sys.argv[3]))
    else:
        main()
