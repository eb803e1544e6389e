"""SENSORIUM files as they are: opening, samples from a folder, a zip, an archive; one second of a clip.

5,000 trials of 8,000 units and 36 x 64 pixels, batches of 128 random trials, 4 kinds of files (images,
responses, behaviour, pupil centre; 7 labelled variables), warm. With torch and neuralpredictors installed
(or a checkout of it on PYTHONPATH), its reader runs beside ours: as it is, and normalised to tensors.
"""

import argparse
import collections
import collections.abc
import os
import shutil
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import threads  # isort: skip  before numpy

import numpy as np

import neuroarrays as na
from neuroarrays.synthetic.sensorium import (
    DynamicOptions,
    StaticOptions,
    write_dynamic,
    write_static,
    write_zip,
)

LINES = []
KINDS = ("images", "responses", "behavior", "pupil_center")


def say(text):
    print(text)
    LINES.append(text)


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
        session["stimulus"].variable,
        area["responses"].variable,
        area["speed"].variable,
        *(pupil[name].variable for name in names),
    ]


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


def opens_of(work, folder, samples):
    """Files and folders opened below a folder per sample, by Python's own audit."""
    seen = []

    def hook(event, arguments):
        if (
            event in ("open", "os.listdir", "os.scandir")
            and counting
            and str(folder) in str(arguments[0])
        ):
            seen.append(arguments[0])

    counting = True
    sys.addaudithook(hook)
    work()
    counting = False
    return len(seen) / samples


def peer():
    """Return datasets and transforms of neuralpredictors; None without it."""
    for name in ("Iterable", "Mapping"):  # its release is for Python < 3.10
        if not hasattr(collections, name):
            setattr(collections, name, getattr(collections.abc, name))
    try:
        import torch  # noqa: F401
        from neuralpredictors.data import datasets, transforms
    except ImportError:
        return None
    return datasets, transforms


def theirs(path, plan, normalised):
    """An epoch of neuralpredictors' reader, without its unbounded cache."""
    from torch.utils.data import DataLoader

    datasets, transforms = peer()
    data = datasets.FileTreeDataset(str(path), *KINDS, use_cache=False)
    made = [transforms.NeuroNormalizer(data)] if normalised else []
    data.transforms.extend([*made, transforms.ToTensor(cuda=False)])

    def work():
        for _ in DataLoader(data, batch_sampler=[rows.tolist() for rows in plan]):
            pass

    return work


def tensors(path, plan):
    """An epoch of ours as neuralpredictors' users want it: normalised, as tensors."""
    area = next(iter(next(iter(na.open_datatree(path).children.values())).children.values()))
    names = ["stimulus", "responses", "speed", "pupil/dilation", "pupil/dilation_derivative"]
    names += ["pupil/x", "pupil/y"]
    scale = na.torch.Normalize.stored(area, names)
    data = na.torch.TrialDataset(area, names, transform=scale, cache=False)

    def work():
        for rows in plan:
            data.batch(rows.tolist())

    return work


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
        train=int(trials * 0.7),
        validation=trials - int(trials * 0.7) - trials // 5,
        test=trials // 50,
        repeats=10,
        units=units,
        size=(36, 64),
    )
    path = folder / "static26872-17-20-GrayImageNet-94c6ff"
    write_static(path, options)
    plan = batches(trials)
    there = peer()
    say(
        f"\n{trials} trials, {units} units, 36 x 64, batches of 128, CPU (wall) per sample, best of 3"
    )
    open_cpu, open_wall = cpu(lambda: na.open_datatree(path))
    say(f"open the folder             {open_cpu:8.4f} s CPU {open_wall:8.4f} s wall")
    packed = write_zip(path)
    say(f"open the deflated zip       {cpu(lambda: na.open_datatree(packed))[0]:8.4f} s CPU")
    saved = na.save(na.open_datatree(path), folder / "saved.h5")
    say(f"open the archive            {cpu(lambda: na.open_datatree(saved))[0]:8.4f} s CPU")
    arrays, one = variables(path), plan[:1]
    na.release()
    opens = [opens_of(lambda: epoch(arrays, one), path, len(one[0])) for _ in range(2)]
    say(f"opens per sample            {opens[0]:8.2f} first, {opens[1]:.2f} then")
    if there:
        count = opens_of(theirs(path, one, normalised=True), path, len(one[0]))
        say(f"neuralpredictors opens      {count:8.2f}")
    na.release()
    timed("neuroarrays, first epoch", lambda: epoch(arrays, plan), trials, 1)
    rows = [
        ("neuroarrays, folder", lambda: epoch(arrays, plan)),
        ("np.load, np.stack", lambda: plainly(path, plan)),
    ]
    if there:
        rows.append(("neuralpredictors", theirs(path, plan, normalised=False)))
    for name, other in (("deflated zip", packed), ("archive", saved)):
        found = variables(other)
        rows.append((f"neuroarrays, {name}", lambda found=found: epoch(found, plan)))
    if there:
        rows.append(("neuralpredictors, normalised", theirs(path, plan, normalised=True)))
        for name, other in (("folder", path), ("archive", saved)):
            rows.append((f"{name}, normalised", tensors(other, plan)))
    for name, work in rows:
        timed(name, work, trials)
    batch = sum(array[plan[0]].nbytes for array in arrays) / 1e6
    say(f"peak memory of an epoch     {peak(arrays, plan):8.1f} MB; a batch has {batch:.1f} MB")
    shutil.rmtree(path)


def timed(name, work, count, repeats=3):
    used, wall = cpu(work, repeats)
    say(f"{name:<30}{used / count * 1e6:8.1f} us ({wall / count * 1e6:.1f})")


def dynamic(folder, small):
    units, frames = (200, 60) if small else (7863, 324)
    options = DynamicOptions(train=6, repeats=1, units=units, frames=frames, size=(36, 64))
    path = folder / "dynamic29515-10-12-Video-9b4f6a"
    write_dynamic(path, options)
    tree = na.open_datatree(path)
    session = next(iter(tree.children.values()))
    area = next(iter(session.children.values()))
    responses, shown = area["responses"].variable, session["stimulus"].variable
    small_ones = [area["speed"].variable, *(v.variable for v in area["pupil"].data_vars.values())]
    size = os.path.getsize(path / "data" / "responses" / "0.npy") / 1e6
    say(
        f"\nmovies: {units} units x {frames} frames, {size:.1f} MB a file of responses, CPU (wall), best of 3"
    )
    second = slice(10, 40)

    def clip():
        for array in (responses, shown, *small_ones):
            key = (2, slice(None), second) if array is responses else (2, second)
            _ = array[key].values

    works = [
        ("one second, one unit", lambda: responses[2, 50, second].values),
        ("one second, 100 neighbours", lambda: responses[2, slice(50, 150), second].values),
        ("one second, all units", lambda: responses[2, :, second].values),
        ("the whole trial, responses", lambda: responses[2].values),
        ("one second of all, neuroarrays", clip),
    ]
    if there := peer():
        datasets, transforms = there
        data = datasets.MovieFileTreeDataset(str(path), "videos", *KINDS[1:], use_cache=False)
        if hasattr(transforms, "CutVideos"):
            axes = dict.fromkeys(data.data_keys, -1)
            cut = {"frame_axis": axes, "target_groups": [*axes]}
            data.transforms.append(transforms.CutVideos(10, 40, **cut))
        works.append(("one second of all, neuralpred.", lambda: data[2]))
    for name, work in works:
        used, wall = cpu(lambda work=work: [work() for _ in range(50)])
        say(f"{name:<30}{used / 50 * 1e3:8.3f} ms ({wall / 50 * 1e3:.3f})")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--peer", help="which neuralpredictors this is, for the record")
    options = parser.parse_args(argv)
    if peer() and options.peer:
        say(f"neuralpredictors: {options.peer}")
    say(threads.SAID)
    with tempfile.TemporaryDirectory() as folder:
        static(Path(folder), options.small)
        dynamic(Path(folder), options.small)
    if not options.small:
        results = Path(__file__).parent / "results" / "bench_sensorium.txt"
        results.write_text("\n".join(LINES) + "\n")


if __name__ == "__main__":
    main()
