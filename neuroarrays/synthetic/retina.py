"""Small faithful files of retina datasets, seeded, with units that respond to the stimulus.

::

    from neuroarrays.synthetic.retina import write_karamanlis

    write_karamanlis("data", frames=300)

Each unit has a Gaussian receptive field and a delay; its spikes are Poisson with a rate that grows
with the filtered stimulus, so that a spike-triggered average finds the field again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

#: Frames from the stimulus to the response.
DELAY = 2


def rates(movie: np.ndarray, units: int, rng: np.random.Generator) -> np.ndarray:
    """Spikes per frame of units that see a movie.

    Parameters
    ----------
    movie : (time, y, x) array
        What is shown.
    units : int
        How many, their centres spread at random, half of them preferring dark.
    rng : np.random.Generator
        Where centres come from.

    Returns
    -------
    (unit, time) float64, spikes per frame
    """
    frames, height, width = movie.shape
    flat = movie.reshape(frames, -1).astype(np.float64)
    flat = (flat - flat.mean()) / max(flat.std(), 1e-9)
    y, x = np.mgrid[:height, :width]
    made = np.empty((units, frames))
    for unit in range(units):
        centre = rng.uniform(0.2, 0.8, 2) * (height, width)
        field = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * 1.2**2)).ravel()
        drive = flat @ (field / np.sqrt((field**2).sum())) * (-1) ** unit
        drive = np.concatenate([np.zeros(DELAY), drive])[:frames]
        made[unit] = 0.3 * np.log1p(np.exp(2 * drive))
    return made


def noise(shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Black and white pixels: (time, y, x) uint8."""
    return (rng.random(shape) < 0.5).astype(np.uint8) * np.uint8(255)


def write_openretina(
    folder: str | os.PathLike[str], sessions: int = 2, frames: int = 600, seed: int = 0
) -> Path:
    """Sessions and shared stimuli in open-retina's own layout.

    Parameters
    ----------
    folder : str or path
        Where to; made if it is not there.
    sessions : int
        Number of session files.
    frames : int
        Of the first of three stimuli; each of the others is 50 longer.
    seed : int
        Of all random values.

    Returns
    -------
    Path
        The folder.
    """
    import h5py

    out = Path(folder)
    (out / "stimuli").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    movies = {f"noise_{k}": noise((frames + 50 * k, 8, 16), rng) for k in range(3)}
    for name, movie in movies.items():
        np.save(out / "stimuli" / f"{name}.npy", movie[None].astype("f4"))
    for session in range(sessions):
        units = 6 + 2 * session
        with h5py.File(out / f"session_{session}.h5", "w") as file:
            for name, movie in movies.items():
                drive = rates(movie, units, np.random.default_rng([seed, session]))
                file[f"responses_{name}"] = rng.poisson(drive).astype("f8")
            file["session_info/celltypes"] = np.arange(units) % 2
    return out


def write_maheswaranathan(
    folder: str | os.PathLike[str], frames: int = 2000, repeats: int = 5, seed: int = 0
) -> Path:
    """One session of white noise and one of natural scenes (noise that is held), 12 x 12 pixels.

    Parameters
    ----------
    folder : str or path
        Where to; made if it is not there.
    frames : int
        Of the train stimulus, at 100 Hz.
    repeats : int
        Of the test stimulus, of 200 frames; its responses have one bin more, as published.
    seed : int
        Of all random values.

    Returns
    -------
    Path
        The folder.
    """
    import h5py

    out = Path(folder)
    cells = [f"cell{k:02d}" for k in range(1, 7)]
    for number, stimulus in enumerate(("whitenoise", "naturalscene")):
        rng = np.random.default_rng([seed, number])
        path = out / "ganglion_cell_data" / "15-10-07" / f"{stimulus}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            for split, length in (("train", frames), ("test", 200)):
                movie = noise((length, 12, 12), rng)[np.arange(length) // (1 + 4 * number)]
                file[f"{split}/stimulus"], file[f"{split}/time"] = movie, np.arange(length) / 100
                drive = rates(movie, len(cells), np.random.default_rng([seed, 9]))
                if split == "train":
                    counts = rng.poisson(drive)
                    for cell, row in zip(cells, counts, strict=True):
                        at = np.repeat(np.arange(length), row) / 100
                        file[f"spikes/{cell}"] = np.sort(at + rng.uniform(0.001, 0.009, at.size))
                    _responses(file, split, counts)
                else:
                    longer = np.concatenate([drive, drive[:, -1:]], axis=1)
                    trials = rng.poisson(longer, (repeats, *longer.shape)).astype("f8")
                    _responses(file, split, trials.mean(0))
                    for k, cell in enumerate(cells):
                        file[f"test/repeats/{cell}"] = trials[:, k]
    return out


def _responses(file: Any, split: str, counts: np.ndarray) -> None:
    """Counts, and rates smoothed by Gaussians of 5, 10 and 20 ms."""
    file[f"{split}/response/binned"] = counts.astype("f8")
    for width in (5, 10, 20):
        kernel = np.exp(-0.5 * (np.arange(-8, 9) * 10 / width) ** 2)
        smooth = [np.convolve(row * 100.0, kernel / kernel.sum(), "same") for row in counts]
        file[f"{split}/response/firing_rate_{width}ms"] = np.array(smooth)


def write_karamanlis(
    folder: str | os.PathLike[str], blocks: int = 3, frames: int = 300, seed: int = 0
) -> Path:
    """A mouse session: images under fixations on a screen of 60 x 80 pixels, with expdata.mat.

    Parameters
    ----------
    folder : str or path
        Where to; made if it is not there.
    blocks, frames : int
        Of the train sequence, and frames of each block and of the test.
    seed : int
        Of all random values.

    Returns
    -------
    Path
        The folder.
    """
    import h5py

    from neuroarrays.kernels import fixations

    rng = np.random.default_rng(seed)
    out = Path(folder)
    session = out / "20210115_252MEA_mouse_left_half_dorsal"
    session.mkdir(parents=True, exist_ok=True)
    screen, units = (60, 80), 6
    with h5py.File(session / "expdata.mat", "w") as file:
        file["projector/refreshrate"], file["projector/pixelsize"] = [[75.0]], [[75e-6]]
        file["projector/screen"] = np.array(screen, "f8")[:, None]
    with h5py.File(session / "fixationmovie_data.mat", "w") as file:
        for prefix, images, rows in (("frozen", 3, 1), ("running", 12, blocks)):
            coarse = rng.integers(0, 256, (images, 12, 10), dtype="u1")
            pictures = np.kron(coarse, np.ones((1, 10, 10), "u1"))  # (image, x, y)
            hold = np.arange(frames) // 20
            which = rng.integers(0, images, (rows, frames // 20 + 1))[:, hold]
            centres = rng.integers([45, 35], [76, 66], (rows, frames // 20 + 1, 2))[:, hold]
            gaze = np.concatenate([1 + which[..., None], centres], axis=2).astype("f8")
            drive = []
            for row in range(rows):
                shown = [fixations.render(pictures[k], c[None], screen, (12, 16))[0]
                         for k, c in zip(which[row], centres[row], strict=True)]  # fmt: skip
                drive.append(rates(np.array(shown), units, np.random.default_rng([seed, 9])).T)
            repeated = np.repeat(drive, 6, axis=0) if prefix == "frozen" else np.array(drive)
            file[f"{prefix}Images"] = pictures
            file[f"{prefix}fixations"] = gaze[0] if prefix == "frozen" else gaze
            file[f"{prefix}bin"] = rng.poisson(repeated).astype("f8")
    return out


#: Layout -> its writer, as `neuroarrays create-data` knows them.
WRITERS = {
    "openretina": write_openretina,
    "maheswaranathan_2023": write_maheswaranathan,
    "karamanlis_2024": write_karamanlis,
}
