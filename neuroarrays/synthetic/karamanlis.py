"""Write a small session of images under eye movements in the layout of Karamanlis et al. 2024."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from neuroarrays.files.writing import new_hdf5
from neuroarrays.synthetic.cells import rates

#: Blocks of the train sequence, frames of each and of the test, frames that a gaze is held.
BLOCKS, FRAMES, HOLD = 3, 300, 20


def write_karamanlis(folder: str | os.PathLike[str], seed: int = 0) -> Path:
    """A mouse session: images under fixations on a screen of 60 x 80 pixels, with expdata.mat.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_karamanlis
    >>> path = write_karamanlis("karamanlis")
    >>> list(na.open_datatree(path).children)
    ['train', 'test']
    """
    from neuroarrays.kernels import fixations

    rng = np.random.default_rng(seed)
    out = Path(folder)
    session = out / "20210115_252MEA_mouse_left_half_dorsal"
    session.mkdir(parents=True, exist_ok=True)
    screen, units = (60, 80), 6
    with new_hdf5(session / "expdata.mat", replaced=True) as (file, _):
        file["projector/refreshrate"], file["projector/pixelsize"] = [[75.0]], [[75e-6]]
        file["projector/screen"] = np.array(screen, "f8")[:, None]
    with new_hdf5(session / "fixationmovie_data.mat", replaced=True) as (file, _):
        for prefix, images, rows in (("frozen", 3, 1), ("running", 12, BLOCKS)):
            coarse = rng.integers(0, 256, (images, 12, 10), dtype="u1")
            pictures = np.kron(coarse, np.ones((1, 10, 10), "u1"))  # (image, x, y)
            turn, turns = np.arange(FRAMES) // HOLD, FRAMES // HOLD + 1
            which = rng.integers(0, images, (rows, turns))[:, turn]
            centres = rng.integers([45, 35], [76, 66], (rows, turns, 2))[:, turn]
            gaze = np.concatenate([1 + which[..., None], centres], axis=2).astype("f8")
            drive = []
            for row in range(rows):
                shown = np.empty((FRAMES, 12, 16), "f4")
                for image in np.unique(which[row]):
                    frames = which[row] == image
                    gazes = centres[row, frames]
                    shown[frames] = fixations.render(pictures[image], gazes, screen, (12, 16))
                drive.append(rates(shown, units, np.random.default_rng([seed, 9])).T)
            repeated = np.repeat(drive, 6, axis=0) if prefix == "frozen" else np.array(drive)
            file[f"{prefix}Images"] = pictures
            file[f"{prefix}fixations"] = gaze[0] if prefix == "frozen" else gaze
            file[f"{prefix}bin"] = rng.poisson(repeated).astype("f8")
    return out
