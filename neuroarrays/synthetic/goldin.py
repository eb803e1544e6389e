"""Write small sessions of flashed images in the layout of Goldin et al. 2022."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from neuroarrays.files.writing import new_hdf5
from neuroarrays.synthetic.cells import rates

#: Images shown once, images that are repeated, and how often.
IMAGES, REPEATED, REPEATS = 900, 30, 20


def write_goldin(folder: str | os.PathLike[str], seed: int = 0) -> Path:
    """A mouse and an axolotl that were shown images of 12 x 12 pixels.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_goldin
    >>> path = write_goldin("goldin")
    >>> list(na.open_datatree(path).children)
    ['train', 'test']
    """
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(("axolotl-session-1", "mouse-session-1")):
        rng = np.random.default_rng([seed, number])
        units = 6 + 2 * number
        with new_hdf5(out / f"{name}_structured_data.h5", replaced=True) as (file, _):
            shown = rng.integers(0, 256, (IMAGES + REPEATED, 12, 12), dtype="u1")
            drive = 4 * rates(shown, units, rng, delay=0)
            file["train/stimulus"], file["test/stimulus"] = shown[:IMAGES], shown[IMAGES:]
            file["train/response/binned"] = rng.poisson(drive[:, :IMAGES]).astype("f8")
            trials = rng.poisson(drive[:, IMAGES:], (REPEATS, units, REPEATED)).astype("f8")
            file["test/response/binned"] = trials.mean(0)
            for unit in range(units):
                file[f"test/repeats/cell{unit + 1:02d}"] = trials[:, unit]
    return out
