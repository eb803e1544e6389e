"""SENSORIUM files as they are: opening, samples from a folder, a zip, an archive; one second of a clip.

5,000 trials of 8,000 units and 36 x 64 pixels, batches of 128 random trials, 4 kinds of files (images,
responses, behaviour, pupil centre; 7 labelled variables), warm.
"""

import argparse
import os
import shutil
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np

import neuroarrays as na
from neuroarrays.formats.sensorium.files import FolderFiles
from neuroarrays.synthetic.sensorium import (
    DynamicOptions,
    StaticOptions,
    write_dynamic,
    write_static,
    write_zip,
)

KINDS = ("images", "responses", "behavior", "pupil_center")


def cpu(work, repeats=3):
    """Return the least CPU and wall seconds of several runs."""
    best, wall = np.inf, np.inf
    for _ in range(repeats):
        before, began = time.process_time(), time.perf_counter()
        work()
        best = min(best, time.process_time() - before)
        wall = min(wall, time.perf_counter() - began)
    return best, wall


def batches(trials, size=128):
    order = np.random.default_rng(0).permutation(trials)
    return [order[i : i + size] for i in range(0, trials, size)]


def variables(path):
    """Return the lazy arrays of a sample, as one who trains on it takes them."""
    tree = na.open_datatree(path)
    session = next(iter(tree.children.values()))
    area = next(iter(session.children.values()))
    pupil = area["pupil"]
    names = ("dilation", "dilation_derivative", "x", "y")
    return [
        session["stimulus"].variable, area["responses"].variable, area["speed"].variable,
        *(pupil[name].variable for name in names),
    ]  # fmt: skip


def epoch(arrays, plan):
    for rows in plan:
        for array in arrays:
            _ = array[rows].values


def plainly(path, plan):
    """np.load per file and np.stack per batch: what one writes by hand."""
    for rows in plan:
        for kind in KINDS:
            folder = path / "data" / kind
            np.stack([np.load(folder / f"{row}.npy") for row in rows.tolist()])


def opens_of(arrays, rows):
    """Files opened per sample of a batch."""
    real, seen = FolderFiles.readv, []

    def counted(self, name, parts):
        seen.append(name)
        return real(self, name, parts)

    FolderFiles.readv = counted
    try:
        epoch(arrays, [rows])
    finally:
        FolderFiles.readv = real
    return len(seen) / len(rows)


def peak(arrays, plan):
    """Return the most MB that an epoch holds at once, by numpy's and Python's own count."""
    tracemalloc.start()
    try:
        epoch(arrays, plan[:8])
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def static(folder, small):
    trials, units = (300, 200) if small else (5000, 8000)
    options = StaticOptions(
        train=int(trials * 0.7), validation=trials - int(trials * 0.7) - trials // 5,
        test=trials // 50, repeats=10, units=units, size=(36, 64),
    )  # fmt: skip
    path = folder / "static26872-17-20-GrayImageNet-94c6ff"
    write_static(path, options)
    plan = batches(trials)
    print(
        f"\n{trials} trials, {units} units, 36 x 64, batches of 128, CPU (wall) per sample, best of 3"
    )
    open_cpu, open_wall = cpu(lambda: na.open_datatree(path))
    print(f"open the folder             {open_cpu:8.4f} s CPU {open_wall:8.4f} s wall")
    rows = [("np.load, np.stack", lambda: plainly(path, plan))]
    packed = write_zip(path)
    print(f"open the deflated zip       {cpu(lambda: na.open_datatree(packed))[0]:8.4f} s CPU")
    arrays = variables(path)
    print(f"opens per sample            {opens_of(arrays, plan[0]):8.2f} first, "
          f"{opens_of(arrays, plan[0]):.2f} then")  # fmt: skip
    saved = na.save(na.open_datatree(path), folder / "saved.h5")
    rows += [("neuroarrays, folder", lambda: epoch(arrays, plan))]
    for name, other in (("deflated zip", packed), ("archive", saved)):
        found = variables(other)
        rows.append((f"neuroarrays, {name}", lambda found=found: epoch(found, plan)))
    for name, work in rows:
        used, wall = cpu(work)
        print(f"{name:<28}{used / trials * 1e6:8.1f} us ({wall / trials * 1e6:.1f})")
    batch = sum(array[plan[0]].nbytes for array in arrays) / 1e6
    print(f"peak memory of an epoch     {peak(arrays, plan):8.1f} MB; a batch has {batch:.1f} MB")
    shutil.rmtree(path)


def dynamic(folder, small):
    units, frames = (200, 60) if small else (7863, 324)
    options = DynamicOptions(train=6, repeats=1, units=units, frames=frames, size=(36, 64))
    path = folder / "dynamic29515-10-12-Video-9b4f6a"
    write_dynamic(path, options)
    tree = na.open_datatree(path)
    session = next(iter(tree.children.values()))
    responses = next(iter(session.children.values()))["responses"].variable
    size = os.path.getsize(path / "data" / "responses" / "0.npy") / 1e6
    print(
        f"\nmovies: {units} units x {frames} frames, {size:.1f} MB a file of responses, CPU (wall), best of 3"
    )
    second = slice(10, 40)
    for name, key in (
        ("one second, one unit", (2, 50, second)),
        ("one second, 100 neighbours", (2, slice(50, 150), second)),
        ("one second, all units", (2, slice(None), second)),
        ("the whole trial", (2,)),
    ):
        used, wall = cpu(lambda key=key: [responses[key].values for _ in range(50)])
        print(f"{name:<28}{used / 50 * 1e3:8.3f} ms ({wall / 50 * 1e3:.3f})")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    small = parser.parse_args(argv).small
    with tempfile.TemporaryDirectory() as folder:
        static(Path(folder), small)
        dynamic(Path(folder), small)


if __name__ == "__main__":
    main()
