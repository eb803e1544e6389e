"""A DRIADA NPZ opened in place, parts of it read, a pickle of 51 MB; beside DRIADA and np.load.

Every line is a process of its own: imports and a small file of the same kind come before, then CPU
time of all threads and the growth of the process's resident memory at its highest. That counts
pages of the file that were looked at, which the system takes back when it needs them. DRIADA is run
by `--peers-python`, where it is installed.
"""

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RESULT = Path(__file__).parent / "results" / "bench_driada.txt"


def write(folder, units, frames):
    """An NPZ as DRIADA's users have it, stored and deflated, and a pickle of arrays in objects."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    calcium = rng.random((units, frames), dtype="f4")
    features = {name: np.cumsum(rng.normal(size=frames)) for name in ("x", "y")}
    features["speed"] = rng.random(frames)
    facts = {"_metadata": np.array({"fps": 20.0}, object)}
    np.savez(folder / "stored.npz", calcium=calcium, **features, **facts)
    np.savez_compressed(
        folder / "deflated.npz", calcium=calcium[: units // 10], **features, **facts
    )
    n = min(units, max(1, 51_000_000 // (frames * 8)))
    neurons = [{"id": i, "trace": rng.random(frames)} for i in range(n)]
    with (folder / "experiment.pickle").open("wb") as file:
        pickle.dump({"neurons": neurons}, file, 4)


def area(folder, name="stored"):
    import neuroarrays as na

    return na.open_datatree(folder / f"{name}.npz")[f"{name}/unknown"]


def load_driada(folder):
    from driada.experiment import load_experiment

    with tempfile.TemporaryDirectory() as root:
        load_experiment(
            "lab",
            {"name": "s"},
            data_path=str(folder / "stored.npz"),
            root=root,
            reconstruct_spikes=False,
            verbose=False,
        )


def load_pickle(folder, stored):
    from neuroarrays.files.pickles import load_pickle

    return load_pickle(folder / "experiment.pickle", stored=stored)


CASES = {
    "open": lambda folder: area(folder),
    "open, deflated": lambda folder: area(folder, "deflated"),
    "open, read one neuron": lambda folder: area(folder)["responses"].isel(unit_id=7).values,
    "open, read 1,000 frames": lambda folder: area(folder)["responses"][:1000].values,
    "open, read all of it": lambda folder: area(folder)["responses"].values,
    "pickle, arrays left in it": lambda folder: load_pickle(folder, True),
    "pickle, all of it": lambda folder: load_pickle(folder, False),
    "np.load, all of it": lambda folder: dict(np.load(folder / "stored.npz", allow_pickle=True)),
    "DRIADA, load_experiment": load_driada,
}


def memory():
    """Memory of this process at its highest, MB; rusage would give the parent's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM"))


def run(case, folder):
    """CPU seconds and memory in MB of one case, after the same on small files."""
    CASES[case](folder / "small")
    highest, before = memory(), time.process_time()
    kept = CASES[case](folder / "large")
    seconds = time.process_time() - before
    grown = memory() - highest
    del kept
    return {"seconds": seconds, "mb": grown}


def main(argv=None):
    """Measure every case; without --small, write down what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a hundredth of the size")
    parser.add_argument("--peers-python", default=sys.executable, help="where DRIADA is installed")
    parser.add_argument("--case", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.case:
        print(json.dumps(run(options.case[0], Path(options.case[1]))))
        return
    units, frames = (50, 10_000) if options.small else (500, 100_000)
    with tempfile.TemporaryDirectory() as name:
        write(Path(name) / "small", 10, 2_000)
        write(Path(name) / "large", units, frames)
        npz = (Path(name) / "large" / "stored.npz").stat().st_size / 1e6
        stream = (Path(name) / "large" / "experiment.pickle").stat().st_size / 1e6
        lines = [
            f"{units} x {frames:,} float32, NPZ of {npz:.0f} MB, pickle of {stream:.0f} MB; CPU time, "
            "growth of resident memory at its highest (pages of the file that were read included)"
        ]
        for case in CASES:
            python = options.peers_python if case.startswith("DRIADA") else sys.executable
            done = subprocess.run(
                [python, __file__, "--case", case, name],
                check=False,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                lines.append(f"{case:<27} not measured: {done.stderr.strip().splitlines()[-1]:.60}")
                continue
            found = json.loads(done.stdout.strip().splitlines()[-1])
            lines.append(f"{case:<27}{1e3 * found['seconds']:>10,.1f} ms {found['mb']:>9,.1f} MB")
    text = "\n".join(lines)
    print(text)
    if not options.small:
        RESULT.write_text(text + "\n")


if __name__ == "__main__":
    main()
