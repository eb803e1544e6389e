"""Small two-photon sessions as the Allen Brain Observatory published them, in NWB 1."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from neuroarrays.files.writing import new_hdf5

#: Frames of the imaging per second, and frames of a grating and of the grey after it.
RATE, SHOWN, GREY = 30.0, 20, 10
_PIPELINE = "processing/brain_observatory_pipeline"
_PLANE = "imaging_plane_1"


def write_allen_ophys(
    path: str | os.PathLike[str], units: int = 6, trials: int = 60, seed: int = 0
) -> Path:
    """Write a session of drifting gratings, natural scenes and spontaneous activity.

    Each unit prefers one of eight directions; every tenth grating is a blank sweep.

    Parameters
    ----------
    path : str or path
        The file to make.
    units : int
        Number of ROIs.
    trials : int
        Number of gratings.
    seed : int
        Of all random values; the session has the number 501271265 + `seed`.

    Returns
    -------
    Path
        The file.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_allen_ophys
    >>> path = write_allen_ophys("501271265.nwb")
    >>> list(na.open_datatree(path).children)
    ['501271265']
    """
    rng = np.random.default_rng(seed)
    starts = 30 + np.arange(trials) * (SHOWN + GREY)
    frames = int(starts[-1]) + 20 * SHOWN
    clock = 8.5 + np.arange(frames) / RATE
    directions = rng.integers(0, 8, trials) * 45.0
    blank = np.arange(trials) % 10 == 9
    traces = rng.normal(0, 0.1, (units, frames))
    preferred = np.arange(units) * 45.0
    for start, direction in zip(starts[~blank], directions[~blank], strict=True):
        drive = np.exp(2 * np.cos(np.deg2rad(direction - preferred)) - 2)
        traces[:, start : start + SHOWN] += drive[:, None]
    with new_hdf5(path, replaced=True) as (file, _):
        _facts(file, str(501_271_265 + seed))
        plane = f"{_PIPELINE}/Fluorescence/{_PLANE}"
        _series(file, f"{_PIPELINE}/DfOverF/{_PLANE}", traces.astype(np.float32), clock)
        _series(file, plane, (100 + 50 * traces).astype(np.float32), clock)
        for name in ("neuropil_response", "demixed_signal"):
            _series(file, f"{plane}_{name}", (80 + 20 * traces).astype(np.float32), clock)
        file[f"{plane}/r"], file[f"{plane}/rmse"] = rng.random((2, units))
        segmentation = f"{_PIPELINE}/ImageSegmentation"
        file[f"{segmentation}/cell_specimen_ids"] = 517_410_000 + np.arange(units) * 17
        file[f"{segmentation}/roi_ids"] = [b"%d" % (589_755_795 + n) for n in range(units)]
        mask = np.array([[3, 4], [4, 4]], np.int16)
        for number in range(units):
            file[f"{segmentation}/{_PLANE}/roi_{number}/pix_mask"] = mask
        speed = np.abs(rng.normal(5, 3, (frames, 1)))
        _series(file, f"{_PIPELINE}/BehavioralTimeSeries/running_speed", speed, clock)
        gaze = rng.normal(0, 2, (frames, 2))
        _series(file, f"{_PIPELINE}/EyeTracking/pupil_location", gaze, clock)
        _series(file, f"{_PIPELINE}/EyeTracking/pupil_location_spherical", 3 * gaze, clock)
        _series(file, f"{_PIPELINE}/PupilTracking/pupil_size", rng.random(frames) + 20, clock)
        shift = np.zeros((frames, 2))
        _series(file, f"{_PIPELINE}/MotionCorrection/2p_image_series/xy_translation", shift, clock)
        shown = np.stack([np.full(trials, 2.0), directions, blank], axis=1)
        shown[blank, :2] = np.nan
        names = [b"temporal_frequency", b"orientation", b"blank_sweep"]
        _stimulus(file, "drifting_gratings", shown, (starts, starts + SHOWN), clock, names)
        last = int(starts[-1]) + 2 * SHOWN
        scenes = last + np.arange(12) * 7
        picture = np.resize(np.arange(-1, 5), 12)
        _stimulus(file, "natural_scenes", picture, (scenes, scenes + 7), clock)
        pause = np.array([last + 100, frames - 1])
        _stimulus(file, "spontaneous", np.array([1, -1]), (pause, pause), clock)
        pictures = rng.integers(0, 256, (5, 8, 10)).astype(np.uint8)
        file["stimulus/templates/natural_scenes_image_stack/data"] = pictures
        file.create_group("epochs")
    return Path(path)


def _facts(file: Any, session: str) -> None:
    """Write the facts about the session."""
    plane = f"general/optophysiology/{_PLANE}"
    facts = {
        "nwb_version": "NWB-1.0.5",
        "session_start_time": "Mon Jun 13 10:00:00 2016",
        "identifier": session,
        "general/session_id": session,
        "general/session_type": "three_session_A",
        "general/experiment_container_id": "511510736",
        "general/subject/age": "103 days",
        "general/subject/sex": "male",
        "general/subject/genotype": "Cux2-CreERT2/wt",
        "general/subject/species": "Mus musculus",
        f"{plane}/location": "VISp",
        f"{plane}/imaging depth": "175 microns",
        f"{plane}/indicator": "GCaMP6f",
    }
    for path, value in facts.items():
        file[path] = value


def _series(file: Any, path: str, data: np.ndarray, clock: np.ndarray) -> None:
    """Write a series: values and times, s."""
    file[f"{path}/data"], file[f"{path}/timestamps"] = data, clock


def _stimulus(
    file: Any,
    name: str,
    data: np.ndarray,
    frames: tuple[np.ndarray, np.ndarray],
    clock: np.ndarray,
    features: list[bytes] | None = None,
) -> None:
    """Write a stimulus, with the first and the last imaging frame of each row."""
    path = f"stimulus/presentation/{name}_stimulus"
    _series(file, path, data, clock[frames[0]])
    file[f"{path}/frame_duration"] = np.stack(frames, axis=1).astype(np.int64)
    if features is not None:
        file[f"{path}/features"] = features
