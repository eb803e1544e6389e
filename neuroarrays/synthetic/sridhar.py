"""Write small files of Sridhar et al. 2025, with units that respond to both stimuli."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np

from neuroarrays.synthetic.cells import noise, rates

SESSION = "02"
#: Pixels around an image; images are 7 x 6 of these, the window on them 4 x 3.
PADDING = 4
#: Trials of the test, lags of the averages, frames that an image and a gaze are held.
REPEATS, LAGS, HOLD = 6, 5, 3
UNITS, IMAGES = 6, 12


def write_sridhar(
    folder: str | os.PathLike[str], trials: int = 10, frames: int = 240, seed: int = 0
) -> Path:
    """One session: white noise, and windows of 12 x 16 pixels on images, with the same units.

    Parameters
    ----------
    folder : str or path
        Where to; made if it is not there.
    trials, frames : int
        Of the train stimuli, and frames of each; the test has half as many, six times.
    seed : int
        Of all random values.

    Returns
    -------
    Path
        The folder.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_sridhar
    >>> path = write_sridhar("sridhar", trials=5)
    >>> list(na.open_datatree(path).children)
    ['train', 'test']
    """
    film, grey = Path(folder) / "natural_movie", Path(folder) / "whitenoise"
    for name in ("responses", "stas", "fixations", "stimuli_padded_4"):
        (film / name).mkdir(parents=True, exist_ok=True)
    for name in ("responses", "stas"):
        (grey / name).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    test, total = frames // 2, frames // 2 + frames * trials
    shown = noise((total, 3 * PADDING, 4 * PADDING), rng)
    counts = _respond(
        grey / "responses" / f"cell_responses_{SESSION}_wn.pkl", shown, (test, trials), seed, rng
    )
    _write_noise(grey, np.where(shown.transpose(1, 2, 0), 1, -1).astype(np.int8), test, trials)
    windows = _write_windows(film, total, rng)
    # The averages are those of the noise, to which the film stands upside down.
    _respond(
        film / "responses" / f"cell_responses_{SESSION}_fixation_movie.pkl",
        windows[:, ::-1],
        (test, trials),
        seed,
        rng,
    )
    contrast = np.where(shown, 1.0, -1.0)
    for unit, spikes in enumerate(counts):
        lagged = [np.tensordot(spikes[lag:], contrast[: total - lag], 1) for lag in range(LAGS)]
        for stimulus_folder in (film, grey):
            name = f"cell_data_{SESSION}_WN_stas_cell_{unit}.npy"
            np.save(stimulus_folder / "stas" / name, np.array(lagged) / spikes.sum())
    return Path(folder)


def _respond(
    path: Path, movie: np.ndarray, sizes: tuple[int, int], seed: int, rng: np.random.Generator
) -> np.ndarray:
    """Write responses to a test and then to train trials; spikes of one of each, (unit, time)."""
    test, trials = sizes
    drive = rates(movie, UNITS, np.random.default_rng([seed, 9]))
    repeats = rng.poisson(drive[:, :test, None], (UNITS, test, REPEATS))
    train = rng.poisson(drive[:, test:])
    contents = {
        "train_responses": train.reshape(UNITS, trials, -1).swapaxes(1, 2).astype("f4"),
        "test_responses": repeats.astype("f4"),
    }
    path.write_bytes(pickle.dumps(contents))
    return np.concatenate([repeats[..., 0], train], axis=1)


def _write_noise(folder: Path, shown: np.ndarray, test: int, trials: int) -> None:
    """Write a file for the test and one for each train trial, (y, x, time)."""
    parts = {"repeating_stimuli_1": shown[..., :test]}
    for trial, part in enumerate(np.split(shown[..., test:], trials, axis=2)):
        parts[f"non_repeating_stimuli_1/trial_{trial:03d}"] = part
    for name, part in parts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        np.save(folder / name / "all_images.npy", part)


def _write_windows(folder: Path, total: int, rng: np.random.Generator) -> np.ndarray:
    """Write images and fixations, and return what they show, (time, y, x)."""
    height, width = 3 * PADDING, 4 * PADDING
    pictures = rng.integers(0, 256, (IMAGES, 7 * PADDING // 2, 3 * PADDING), dtype="u1")
    pictures = pictures.repeat(2, axis=1).repeat(2, axis=2)  # (image, x, y)
    for number, picture in enumerate(pictures):
        np.save(folder / "stimuli_padded_4" / f"{number:05d}_img_{10088 + number}.npy", picture)
    turns = -(-total // HOLD)
    which = rng.integers(0, IMAGES, turns).repeat(HOLD)[:total]
    corner = rng.integers(0, 3 * PADDING + 1, (turns, 2)).repeat(HOLD, axis=0)[:total]
    flip = (rng.random(turns) < 0.8).repeat(HOLD)[:total]
    windows = np.empty((total, height, width), "u1")
    lines = []
    for frame, (image, (left, top), as_stored) in enumerate(zip(which, corner, flip, strict=True)):
        window = pictures[image, left : left + width, top : top + height].T
        windows[frame] = window if as_stored else window[::-1]
        x, y = left + width // 2 - PADDING, top + height // 2 - PADDING
        lines.append(f"{float(image)} 0 0 {x} {y} {int(as_stored)}\n")
    (folder / "fixations" / "complete_fixations_seed_2022_s4.txt").write_text("".join(lines))
    return windows
