"""Small sessions in open-retina's own HDF5 layout."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from neuroarrays.files.writing import new_hdf5
from neuroarrays.synthetic.cells import noise, rates

#: Frames of each stimulus.
FRAMES = (600, 650, 700)


def write_openretina(folder: str | os.PathLike[str], seed: int = 0) -> Path:
    """Two sessions and three stimuli that they share, in open-retina's own layout."""
    out = Path(folder)
    (out / "stimuli").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    movies = {f"noise_{k}": noise((n, 8, 16), rng) for k, n in enumerate(FRAMES)}
    for name, movie in movies.items():
        np.save(out / "stimuli" / f"{name}.npy", movie[None].astype("f4"))
    for session in range(2):
        units = 6 + 2 * session
        with new_hdf5(out / f"session_{session}.h5", replaced=True) as (file, _):
            for name, movie in movies.items():
                drive = rates(movie, units, np.random.default_rng([seed, session]))
                file[f"responses_{name}"] = rng.poisson(drive).astype("f8")
            file["session_info/celltypes"] = np.arange(units) % 2
    return out
