"""Write small files of the Neural Latents Benchmark: NWB of reaches, with held-out units."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from neuroarrays.files.writing import new_hdf5
from neuroarrays.synthetic.nwb_options import NWBOptions
from neuroarrays.synthetic.nwb_pieces import NWBPieces
from neuroarrays.synthetic.sessions import session_name

#: Samples per second of behaviour, s of a trial, and of the pause after it.
RATE, LENGTH, PAUSE = 1000.0, 1.0, 0.2
#: Place of electrodes, as "M1" of MC_Maze, and the two arrays.
_AREAS = ["PMd", "M1"]


def write_nlb(
    path: str | os.PathLike[str],
    units: int = 8,
    trials: int = 40,
    seed: int = 0,
    test: bool = False,
) -> dict[str, Any]:
    """Write a session of center-out reaches as MC_Maze has it; each unit prefers a direction.

    Every fourth unit is held out and every fourth trial is of the split "val". Units were observed
    while trials ran, one stretch for each.

    Parameters
    ----------
    path : str or path
        The file to write; replaced if it is there.
    units, trials : int
        How many.
    seed : int
        Of all random values; the session is "full" for seed 0, and "full-1" and so on for others.
    test : bool
        Whether it is the file of the test split: without held-out units, behaviour and times of
        movement.

    Returns
    -------
    dict
        ``"trains"``, a list of (spike,) float64, s, for each unit, ``"heldout"`` (unit,) bool,
        ``"split"``, a list of str, and ``"move_onset_time"`` (trial,) s.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_nlb
    >>> truth = write_nlb("session.nwb", trials=10)
    >>> list(na.open_datatree("session.nwb").children)
    ['session']
    """
    rng = np.random.default_rng(seed)
    start = np.arange(trials) * (LENGTH + PAUSE)
    onset = start + np.round(rng.uniform(0.3, 0.4, trials), 3)
    angle = rng.integers(0, 8, trials) * np.pi / 4
    heldout = np.arange(units) % 4 == 3
    held_in = np.flatnonzero(~heldout) if test else np.arange(units)
    trains = [_train(rng, unit, angle, onset) for unit in range(units)]
    split = ["test" if test else "val" if n % 4 == 3 else "train" for n in range(trials)]
    with new_hdf5(path, replaced=True) as (file, _):
        pieces = NWBPieces(file, NWBOptions(seed=seed), Path(path))
        file.attrs.update(
            {"nwb_version": "2.3.0", "neurodata_type": "NWBFile", "namespace": "core"}
        )
        file["identifier"] = session_name("made", seed)
        file["general/session_id"] = session_name("full", seed)
        file["session_start_time"] = "2009-09-18T00:00:00+00:00"
        file["general/subject/subject_id"], file["general/subject/species"] = "J", "Macaca mulatta"
        electrodes = "general/extracellular_ephys/electrodes"
        pieces.table(electrodes, "DynamicTable", {"location": _AREAS}, np.arange(2))
        sizes = [trains[unit].size for unit in held_in]
        stretches = np.stack([start, start + LENGTH], axis=1)
        columns: dict[str, Any] = {
            "spike_times": np.concatenate([trains[unit] for unit in held_in]),
            "spike_times_index": pieces.index(sizes),
            "obs_intervals": np.tile(stretches, (held_in.size, 1)),
            "obs_intervals_index": pieces.index([trials] * held_in.size),
            "heldout": heldout[held_in],
            "electrodes": held_in % 2,
            "electrodes_index": pieces.index([1] * held_in.size),
        }
        pieces.table("units", "Units", columns, 1000 + held_in)
        rows: dict[str, Any] = {
            "start_time": start,
            "stop_time": start + LENGTH,
            "go_cue_time": start + 0.1,
            "move_onset_time": np.full(trials, np.nan) if test else onset,
            "trial_type": (angle / np.pi * 4).astype(np.int64),
            "split": split,
        }
        pieces.table("intervals/trials", "TimeIntervals", rows, np.arange(trials))
        if not test:
            _behaviour(pieces, onset, angle, start[-1] + LENGTH)
    return {"trains": trains, "heldout": heldout, "split": split, "move_onset_time": onset}


def _train(rng: np.random.Generator, unit: int, angle: np.ndarray, onset: np.ndarray) -> np.ndarray:
    """Return spikes in the half second after each movement, more in the unit's preferred direction."""
    counts = rng.poisson(4 + 8 * np.exp(2 * np.cos(angle - unit * np.pi / 4) - 2))
    times = np.repeat(onset, counts) + rng.uniform(0, 0.5, counts.sum())
    return np.asarray(np.sort(np.round(times, 3)))


def _behaviour(pieces: NWBPieces, onset: np.ndarray, angle: np.ndarray, stop: float) -> None:
    """Write the velocity and position of the hand, and the position of the cursor."""
    times = np.arange(round(stop * RATE)) / RATE
    velocity = np.zeros((times.size, 2))
    for begin, direction in zip(onset, angle, strict=True):
        near = slice(*np.searchsorted(times, [begin - 0.75, begin + 1.25]))  # still all else
        speed = np.exp(-(((times[near] - begin - 0.25) / 0.08) ** 2))
        velocity[near] += speed[:, None] * [np.cos(direction), np.sin(direction)]
    position = np.cumsum(velocity, axis=0) / RATE
    for name, values in {
        "hand_vel": velocity,
        "hand_pos": position,
        "cursor_pos": position,
    }.items():
        group = pieces.series(f"processing/behavior/{name}", "TimeSeries", values, "m")
        group["timestamps"] = times
        group.attrs["comments"] = "columns=[x,y]"
