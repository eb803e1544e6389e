"""Write white noise and natural scenes in the layout of Maheswaranathan et al. 2023."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from neuroarrays.files.writing import new_hdf5
from neuroarrays.synthetic.cells import noise, rates

#: Frames of the test stimulus, and how often it is repeated; its responses have one bin more, as published.
TEST_FRAMES, REPEATS = 200, 5


def write_maheswaranathan(
    folder: str | os.PathLike[str], frames: int = 2000, seed: int = 0
) -> Path:
    """One session of white noise and one of natural scenes (noise that is held), 12 x 12 pixels.

    Parameters
    ----------
    folder : str or path
        Where to; made if it is not there.
    frames : int
        Of the train stimulus, at 100 Hz.
    seed : int
        Of all random values.

    Returns
    -------
    Path
        The folder.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_maheswaranathan
    >>> path = write_maheswaranathan("neural_code_data", frames=200)
    >>> list(na.open_datatree(path, stimulus="whitenoise").children)
    ['train', 'test']
    """
    out = Path(folder)
    cells = [f"cell{k:02d}" for k in range(1, 7)]
    for number, stimulus in enumerate(("whitenoise", "naturalscene")):
        rng = np.random.default_rng([seed, number])
        path = out / "ganglion_cell_data" / "15-10-07" / f"{stimulus}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_hdf5(path, replaced=True) as (file, _):
            for split, length in (("train", frames), ("test", TEST_FRAMES)):
                movie = noise((length, 12, 12), rng)[np.arange(length) // (1 + 4 * number)]
                file[f"{split}/stimulus"], file[f"{split}/time"] = movie, np.arange(length) / 100
                drive = rates(movie, len(cells), np.random.default_rng([seed, 9]))
                if split == "train":
                    counts = rng.poisson(drive)
                    for cell, row in zip(cells, counts, strict=True):
                        frame_times = np.repeat(np.arange(length), row) / 100
                        file[f"spikes/{cell}"] = np.sort(
                            frame_times + rng.uniform(0.001, 0.009, frame_times.size)
                        )
                    _responses(file, split, counts)
                else:
                    longer = np.concatenate([drive, drive[:, -1:]], axis=1)
                    trials = rng.poisson(longer, (REPEATS, *longer.shape)).astype("f8")
                    _responses(file, split, trials.mean(0))
                    for k, cell in enumerate(cells):
                        file[f"test/repeats/{cell}"] = trials[:, k]
    return out


def _responses(file: Any, split: str, counts: np.ndarray) -> None:
    """Write counts, and rates smoothed by Gaussians of 5, 10 and 20 ms."""
    file[f"{split}/response/binned"] = counts.astype("f8")
    for width in (5, 10, 20):
        kernel = np.exp(-0.5 * (np.arange(-8, 9) * 10 / width) ** 2)
        smooth = [np.convolve(row * 100.0, kernel / kernel.sum(), "same") for row in counts]
        file[f"{split}/response/firing_rate_{width}ms"] = np.array(smooth)
