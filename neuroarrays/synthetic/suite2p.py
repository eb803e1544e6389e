"""Write small folders of suite2p."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

#: Pixels of a side of the picture, and frames of a plane per second.
SIDE, RATE = 64, 15.0


def write_suite2p(
    path: str | os.PathLike[str],
    planes: int = 2,
    rois: int = 8,
    seconds: float = 60.0,
    seed: int = 0,
    combined: bool = False,
) -> Path:
    """Write the folder of a run; ROIs answer to the phase (`phase`) of a slow rhythm.

    The last plane has a frame less than the others, as where a recording stops in a volume, and
    one ROI less.

    Parameters
    ----------
    path : str or path
        The folder to make: that of ``plane0``, ``plane1``, ...
    planes : int
        How many there are.
    rois : int
        Number of ROIs of each plane.
    seconds : float, s
        How long the recording is.
    seed : int
        Of all random values.
    combined : bool
        Whether there is a folder of all planes too.

    Returns
    -------
    Path
        The folder.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_suite2p
    >>> path = write_suite2p("suite2p", rois=4, seconds=5.0)
    >>> len(na.units(path))
    7
    """
    folder, rng = Path(path), np.random.default_rng(seed)
    frames = int(seconds * RATE)
    written: list[dict[str, Any]] = []
    for plane in range(planes):
        last = plane == planes - 1 and planes > 1
        arrays = _plane(rng, rois - last, frames - last)
        _save(folder / f"plane{plane}", arrays, planes)
        written.append(arrays)
    if combined:
        together: dict[str, Any] = {"iscell": np.concatenate([a["iscell"] for a in written])}
        for name in ("F", "Fneu", "spks"):
            padded = [np.pad(a[name], ((0, 0), (0, frames - a[name].shape[1]))) for a in written]
            together[name] = np.concatenate(padded)
        stat = [roi | {"iplane": plane} for plane, a in enumerate(written) for roi in a["stat"]]
        _save(folder / "combined", together | {"stat": np.array(stat, object)}, planes)
    return folder


def phase(times: np.ndarray) -> np.ndarray:
    """The phase, radians, of a rhythm that grows faster, from 0.1 Hz to 0.5 Hz after 60 s, at times (n,) in s."""
    return np.asarray(2 * np.pi * (0.1 * times + times**2 / 300))


def _plane(rng: np.random.Generator, rois: int, frames: int) -> dict[str, Any]:
    """Return the arrays of a plane, as suite2p has them."""
    preferred = np.linspace(0, 2 * np.pi, rois, endpoint=False)[:, None]
    drive = np.maximum(np.cos(phase(np.arange(frames) / RATE) - preferred), 0)
    spikes = drive * rng.exponential(20, (rois, frames))
    kernel = np.exp(-np.arange(30) / RATE)
    calcium = np.array([np.convolve(train, kernel)[:frames] for train in spikes])
    neuropil = rng.normal(200, 5, (rois, frames))
    probability = rng.uniform(0.1, 0.9, rois)
    return {
        "F": (500 + calcium + 0.7 * neuropil).reshape(rois, frames).astype(np.float32),
        "Fneu": neuropil.astype(np.float32),
        "spks": spikes.astype(np.float32),
        "iscell": np.stack([probability > 0.4, probability], 1),
        "stat": np.array([*[_roi(rng) for _ in range(rois)], None], object)[:-1],
    }


def _roi(rng: np.random.Generator) -> dict[str, Any]:
    """Return the properties of an ROI in suite2p, a disk of pixels."""
    radius, (y, x) = rng.uniform(2, 4), rng.integers(6, SIDE - 6, 2)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    ypix, xpix = np.nonzero((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)
    return {
        "ypix": ypix,
        "xpix": xpix,
        "lam": rng.uniform(0.5, 1.5, ypix.size).astype(np.float32),
        "med": [int(y), int(x)],
        "footprint": float(rng.integers(0, 3)),
        "npix": ypix.size,
        "overlap": np.zeros(ypix.size, bool),
        "soma_crop": np.ones(ypix.size, bool),
        "radius": np.float64(radius),
        "aspect_ratio": rng.uniform(1, 1.2),
        "compact": rng.uniform(1, 1.1),
        "npix_norm": np.float32(1.0),
        "skew": np.float32(rng.uniform(0, 3)),
        "std": np.float32(rng.uniform(5, 30)),
        "neuropil_mask": np.arange(20),
    }


def _save(folder: Path, arrays: dict[str, Any], planes: int) -> None:
    """Write the files of a folder; objects are pickled by numpy, as suite2p does."""
    folder.mkdir(parents=True)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values, allow_pickle=True)
    ops = {
        "fs": RATE,
        "nplanes": planes,
        "nchannels": 1,
        "tau": 1.0,
        "neucoeff": 0.7,
        "Ly": SIDE,
        "Lx": SIDE,
        "nframes": arrays["F"].shape[1],
        "meanImg": np.zeros((SIDE, SIDE), np.float32),
        "diameter": [12, 12],
        "save_path": folder.name,
    }
    np.save(folder / "ops.npy", ops, allow_pickle=True)  # type: ignore[arg-type]
