"""Write a small file of movement: poses of tracked animals in netCDF-4."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from neuroarrays.files.writing import new_hdf5

#: Body parts and animals, and frames per second.
KEYPOINTS, INDIVIDUALS, FPS = ("snout", "centre", "tail"), ("mouse_a", "mouse_b"), 50.0


def write_movement(
    path: str | os.PathLike[str],
    frames: int = 500,
    seed: int = 0,
    time_unit: str = "seconds",
    plural: bool = False,
) -> Path:
    """Write poses of two animals that walk at random; a tenth of a part's positions is missing.

    Parameters
    ----------
    path : str or path
        The file; replaced if it is there.
    frames : int
        Number of frames at 50 Hz.
    seed : int
        Of all random values.
    time_unit : {"seconds", "frames"}
        What its clock counts.
    plural : bool
        Whether dimensions are called as before movement 0.17: ``keypoints``, ``individuals``.

    Returns
    -------
    Path
        The file.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_movement
    >>> path = write_movement("poses.nc", frames=50)
    >>> dict(na.open_datatree(path)["poses/pose/position"].sizes)
    {'time': 50, 'individual': 2, 'keypoint': 3, 'space': 2}
    """
    rng, end = np.random.default_rng(seed), "s" if plural else ""
    keypoint, individual = f"keypoint{end}", f"individual{end}"
    shape = (frames, 2, len(KEYPOINTS), len(INDIVIDUALS))
    walk = np.cumsum(rng.normal(size=(frames, 2, 1, len(INDIVIDUALS))), axis=0)
    position = 300 + walk + rng.normal(scale=0.2, size=shape) + 20 * np.arange(3)[:, None]
    position[rng.random(frames) < 0.1, :, 2, 1] = np.nan
    labels = {
        "time": np.arange(frames) / (FPS if time_unit == "seconds" else 1),
        "space": np.array(["x", "y"], object),
        keypoint: np.array(KEYPOINTS, object),
        individual: np.array(INDIVIDUALS, object),
    }
    values = {
        "position": (position.astype(np.float32), ("time", "space", keypoint, individual)),
        "confidence": (
            rng.uniform(0.5, 1, (frames, *shape[2:])).astype(np.float32),
            ("time", keypoint, individual),
        ),
    }
    with new_hdf5(path, replaced=True) as (file, _):
        for name, label in labels.items():
            file[name] = label
            file[name].make_scale(name)
        for name, (array, dims) in values.items():
            file[name] = array
            file[name].attrs["_FillValue"] = np.array([np.nan], np.float32)
            for axis, dim in zip(file[name].dims, dims, strict=True):
                axis.attach_scale(file[dim])
        facts = {"ds_type": "poses", "time_unit": time_unit, "source_software": "DeepLabCut"}
        file.attrs.update(facts | {"fps": np.array([FPS])})
    return Path(path)
