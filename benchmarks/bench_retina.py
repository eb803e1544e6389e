"""Retina movies: a second of a rendered one, clips in an order of their own, opening sessions.

Beside ours stands openretina itself (`--peers-python`, peer_openretina.py) on the same files: it
draws a whole block on the full screen, then resizes; every order of the clips is a copy of the
movie.
"""

import argparse
import json
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

import neuroarrays as na
from neuroarrays.testing.sources import close_all

RATE = 75


LINES = []


def say(line):
    """Print a line, and keep it."""
    LINES.append(line)
    print(line, flush=True)


def write_karamanlis(folder, name, images, blocks, frames, units=20):
    """A session of images of 860 x 1200 pixels under fixations of 0.3 s."""
    rng = np.random.default_rng(0)
    path = folder / name / "fixationmovie_data.mat"
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        for prefix, n in (("frozen", 2), ("running", images)):
            made = file.create_dataset(
                f"{prefix}Images", (n, 1200, 860), "u1", chunks=(1, 1200, 860)
            )
            for i in range(n):
                made[i] = rng.integers(0, 256, (1200, 860), dtype="u1")
        gaze = np.empty((blocks, frames, 3))
        gaze[..., 0] = 1 + (np.arange(frames) // 22) % images
        gaze[..., 1:] = rng.integers([500, 330], [701, 531], (blocks, frames, 2))
        file["runningfixations"], file["frozenfixations"] = gaze, gaze[0] * [0, 1, 1] + [1, 0, 0]
        file["runningbin"] = rng.poisson(0.3, (blocks, frames, units)).astype("f8")
        file["frozenbin"] = rng.poisson(0.3, (5, frames, units)).astype("f8")


def peer(args, *command):
    """What open-retina takes for the same, in a process of its own; None where it is not there."""
    script = Path(__file__).with_name("peer_openretina.py")
    done = subprocess.run(
        [args.peers_python, script, *map(str, command)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        error = (done.stderr.strip().splitlines() or ["killed"])[-1]
        say(f"  openretina did not run: {error[:90]}")
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def karamanlis(folder, args):
    images, blocks, frames = (4, 2, 150) if args.small else (60, 10, 3000)
    name = "20210115_252MEA_mouse_left_half_dorsal"
    write_karamanlis(folder, name, images, blocks, frames)
    close_all()
    np.asarray(na.open_datatree(folder)[f"train/{name}/stimulus"][:2])  # compiles
    before = resident("VmRSS")
    shown = na.open_datatree(folder)[f"train/{name}/stimulus"]
    for start in range(0, shown.sizes["time"] - RATE, shown.sizes["time"] // 7):
        np.asarray(shown[start : start + RATE])
    peak = resident("VmHWM") - before
    shown = na.open_datatree(folder, geometry="openretina")[f"train/{name}/stimulus"]
    begun = time.process_time()
    block = shown[:frames].values
    took = 1e3 * (time.process_time() - begun) / frames
    say(
        f"a frame of 60 x 80 of images under fixations, CPU: neuroarrays {took:9.3f} ms "
        f"({1e3 / took:,.0f} per second)"
    )
    say(
        f"any second of a session of {blocks * frames:,} frames, peak above imports: neuroarrays "
        f"{peak:9.1f} MB"
    )
    some = min(frames, 750)
    if theirs := peer(args, "karamanlis", folder, some):
        assert np.abs(block[:some, 0] - np.load(folder / "theirs.npy")).max() < 2e-3
        rate = 1e3 * theirs["cpu"] / some
        say(
            f"  openretina {theirs['version']}, a block of {some} frames, equal to 0.002: "
            f"{rate:9.3f} ms a frame, {theirs['peak']:9.1f} MB (a block of {frames}: "
            f"{theirs['peak'] * frames / some:,.0f} MB)"
        )


def write_hoefling(folder, units, scans, size):
    """Fields of both eyes and every order of the clips, and one movie."""
    rng = np.random.default_rng(0)
    movie = {
        "train": rng.standard_normal((2, 108 * 150, *size), dtype=np.float32),
        "test": rng.standard_normal((2, 750, *size), dtype=np.float32),
        "random_sequences": np.stack([rng.permutation(108) for _ in range(20)], 1).astype("u1"),
    }
    (folder / "movie.pkl").write_bytes(pickle.dumps(movie, protocol=4))
    with h5py.File(folder / "responses.h5", "w") as file:
        for scan in range(scans):
            for eye in ("left", "right"):
                group = file.create_group(f"session_{scan}_{eye}_20200226")
                group.attrs.update(eye=eye, scan_sequence_idx=scan)
                group["natural_spikes"] = rng.random((units, 5000), dtype=np.float32)
                group["natural_traces_t0"] = np.zeros(units)
                group["natural_traces_dt"] = np.full(units, 1 / 7.8125)
                triggers = 3 + 5.0 * np.arange(123)
                group["natural_trigger_times"] = np.repeat(triggers[None], units, 0)
                group["group_assignment"] = np.full(units, 5, "i4")
    return movie["train"].nbytes / 1e6


def hoefling(folder, args):
    size, scans = ((4, 4), 2) if args.small else ((18, 16), 20)
    movie = write_hoefling(folder, 3, scans, size)
    before = resident("VmRSS")
    tree = na.open_datatree(folder, units="all")
    for session in tree["train"].children:  # every session is used, a clip at a time
        shown = tree[f"train/{session}/stimulus"]
        for start in range(0, shown.sizes["time"], 150):
            np.asarray(shown[start : start + 150])
    most = resident("VmHWM") - before
    say(
        f"a movie of {movie:.0f} MB in {scans} orders for two eyes, all used, peak above imports: "
        f"neuroarrays {most:9.1f} MB, {most / movie:.2f} x"
    )
    if theirs := peer(args, "hoefling", folder):
        say(
            f"  openretina {theirs['version']}: {theirs['peak']:9.1f} MB, "
            f"{theirs['peak'] / movie:.1f} x"
        )


def write_sridhar(folder, images, trials, frames, session="02", units=20):
    """A film of images of 350 x 300 pixels, each held for 3.5 frames, and noise of 200 x 150."""
    rng = np.random.default_rng(0)
    film, grey = folder / "natural_movie", folder / "whitenoise"
    for name in ("responses", "fixations", "stimuli_padded_4"):
        (film / name).mkdir(parents=True, exist_ok=True)
    (grey / "responses").mkdir(parents=True, exist_ok=True)
    for i in range(images):
        pixels = rng.integers(0, 256, (350, 300), dtype="u1")
        np.save(film / "stimuli_padded_4" / f"{i:05d}_img_{i}.npy", pixels)
    gaze = rng.integers([50, 25], [201, 176], (frames * (trials + 1), 2))
    lines = (f"{int(t / 3.5) % images}.0 0 0 {x} {y} {t % 2}\n" for t, (x, y) in enumerate(gaze))
    (film / "fixations" / "fixations.txt").write_text("".join(lines))
    counts = {
        "train_responses": rng.poisson(0.1, (units, frames, trials)).astype("f4"),
        "test_responses": rng.poisson(0.1, (units, frames, 4)).astype("f4"),
    }
    for place, kind in ((film, "fixation_movie"), (grey, "wn")):
        name = f"cell_responses_{session}_{kind}.pkl"
        (place / "responses" / name).write_bytes(pickle.dumps(counts))
    trial = rng.choice(np.array([-1, 1], "i1"), (150, 200, frames))
    for name in (
        "repeating_stimuli_1",
        *(f"non_repeating_stimuli_1/trial_{k:03d}" for k in range(trials)),
    ):
        (grey / name).mkdir(parents=True)
        np.save(grey / name / "all_images.npy", trial)


def all_images_in_memory(folder, fixations):
    """Every image as float16, then a window of it for each frame."""
    paths = sorted((folder / "natural_movie" / "stimuli_padded_4").iterdir())
    held = np.zeros((len(paths), 350, 300), np.float16)
    for i, path in enumerate(paths):
        held[i] = np.load(path) / 255
    out = np.zeros((len(fixations), 150, 200), np.float32)
    for t, (k, x, y, flip) in enumerate(fixations.astype(int)):
        window = held[k].astype(np.float32)[x - 50 : x + 150, y - 25 : y + 125]
        out[t] = (window if flip else window[:, ::-1]).T
    return out


def resident(field):
    """What the kernel says of this process's memory, MB; the peak begins anew where it is asked to."""
    if field == "VmRSS":
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith(field))


def sridhar(folder, args):
    images, trials, frames = (20, 2, 170) if args.small else (1500, 2, 5100)
    write_sridhar(folder, images, trials, frames)
    for stimulus in ("natural_movie", "whitenoise"):
        np.asarray(na.open_datatree(folder, stimulus=stimulus)["train/02/stimulus"][:1])
        before = resident("VmRSS")
        shown = na.open_datatree(folder, stimulus=stimulus)["train/02/stimulus"]
        for start in range(0, shown.sizes["time"] - 85, shown.sizes["time"] // 7):
            np.asarray(shown[start : start + 85])
        say(
            f"one second of the {stimulus:<13s} of Sridhar et al., peak above imports "
            f"{resident('VmHWM') - before:9.1f} MB"
        )
    before, begun = resident("VmRSS"), time.process_time()
    session = na.open_datatree(folder)["train/02"]
    block = session["stimulus"][:frames].values
    ours, took = resident("VmHWM") - before, time.process_time() - begun
    words = [session[name].values[:frames] for name in ("image_id", "gaze_x", "gaze_y", "flip")]
    before, begun = resident("VmRSS"), time.process_time()
    theirs = all_images_in_memory(folder, np.stack(words, axis=1))
    memory, rate = resident("VmHWM") - before, frames / (time.process_time() - begun)
    assert np.array_equal((block[:, 0] / 255).astype("f2"), theirs)
    say(
        f"{frames} windows of 150 x 200: ours {frames / took:9.0f} frames per second of CPU, "
        f"{ours:.0f} MB; all {images} images in memory {rate:9.0f}, {memory:.0f} MB"
    )
    for i in range(9):
        name = f"cell_responses_{i:02d}x_fixation_movie.pkl"
        shutil.copy(
            folder / "natural_movie/responses/cell_responses_02_fixation_movie.pkl",
            folder / "natural_movie/responses" / name,
        )
    begun = time.process_time()
    tree = na.open_datatree(folder)
    say(
        f"{len(tree['train'].children)} sessions of it opened in "
        f"{1e3 * (time.process_time() - begun):9.1f} ms of CPU"
    )


def opening_ten(folder, args):
    for i in range(10):
        write_karamanlis(folder, f"2021010{i}_252MEA_mouse_left", 2 if args.small else 20, 2, 300)
    reads = []
    from neuroarrays.files.hdf5 import HDF5Source

    original = HDF5Source.read

    def counted(self, name, key=()):
        values = original(self, name, key)
        reads.append((name, values.nbytes))
        return values

    HDF5Source.read = counted
    try:
        before = time.process_time()
        na.open_datatree(folder)
        took = time.process_time() - before
    finally:
        HDF5Source.read = original
    pixels = sum(n for name, n in reads if "Images" in name or "stimulus" in name)
    say(f"ten sessions opened in {1e3 * took:9.1f} ms of CPU; {pixels} bytes of pixels read")


def main(argv=None):
    """Print memory and speed of each, and write them down at full size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="seconds instead of a minute")
    parser.add_argument(
        "--peers-python", default=sys.executable, help="an interpreter that has openretina"
    )
    args = parser.parse_args(argv)
    LINES.clear()
    for measure in (karamanlis, hoefling, opening_ten, sridhar):
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), args)
            close_all()
    if not args.small:
        results = Path(__file__).parent / "results" / f"{Path(__file__).stem}.txt"
        results.write_text("\n".join(LINES) + "\n")


if __name__ == "__main__":
    main()
