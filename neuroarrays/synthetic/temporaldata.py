"""Write small files of temporaldata and brainsets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neuroarrays.files.writing import new_hdf5
from neuroarrays.synthetic.phy import phase
from neuroarrays.synthetic.sessions import session_name

#: Samples per second of the cursor and of the field potential.
CURSOR_RATE, FIELD_RATE = 100.0, 50.0


def write_temporaldata(
    path: str | os.PathLike[str],
    units: int = 6,
    seconds: float = 30.0,
    seed: int = 0,
    rois: bool = False,
) -> Path:
    """Write a session; units prefer a phase of a slow rhythm (`neuroarrays.synthetic.phy.phase`) each.

    Of two areas, with a cursor, a field potential on its own clock, licks, trials, three splits and a
    last unit that is silent.

    Parameters
    ----------
    path : str or path
        The file to make.
    units : int
        Number of units, at least 2.
    seconds : float, s
        How long the recording is.
    seed : int
        Of all random values; the session is "made" for seed 0, and "made-1" and so on for others.
    rois : bool
        Whether there are traces of imaged units too.

    Returns
    -------
    Path
        The file.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_temporaldata
    >>> path = write_temporaldata("session.h5", seconds=5.0)
    >>> "cursor" in na.open_datatree(path)["session"]
    True
    """
    rng = np.random.default_rng(seed)
    candidate = np.sort(rng.uniform(0, seconds, int((units - 1) * 12 * seconds)))
    unit = rng.integers(0, units - 1, candidate.size)
    preferred = 2 * np.pi * unit / (units - 1)
    fired = rng.random(candidate.size) < 0.5 + 0.5 * np.cos(phase(candidate) - preferred)
    whole = np.array([[0.0, seconds]])
    trials = np.stack([np.arange(0, seconds - 2, 2.0), np.arange(1.5, seconds - 0.5, 2.0)], axis=1)
    with new_hdf5(path, replaced=True) as (file, _):
        _object(file, "Data", {}, absolute_start=0.0)
        _object(
            file.create_group("session"),
            "Data",
            {},
            absolute_start=0.0,
            id=session_name("made", seed),
            task="RHYTHM",
        )
        _object(
            file.create_group("subject"), "Data", {}, absolute_start=0.0, id="m1", species="MUS"
        )
        _intervals(file, "domain", whole)
        spikes = {"timestamps": candidate[fired], "unit_index": unit[fired]}
        _series(file, "spikes", spikes, whole)
        areas = np.array([b"M1", b"PMd"])[np.arange(units) % 2]
        names = np.array([f"probe/unit_{number}" for number in range(units)], "S")
        _object(file.create_group("units"), "ArrayDict", {"id": names, "location": areas})
        times = np.arange(int(seconds * CURSOR_RATE)) / CURSOR_RATE
        position = np.stack([np.cos(phase(times)), np.sin(phase(times))], axis=1)
        _series(file, "cursor", {"timestamps": times, "pos": position}, whole)
        field = rng.normal(size=(int(seconds * FIELD_RATE), 3)).astype(np.float32)
        _series(file, "lfp", {"raw": field}, whole, FIELD_RATE)
        channels = {"id": np.array([b"a", b"b", b"c"]), "depth": np.array([0.0, 20.0, 40.0])}
        _object(file.create_group("channels"), "ArrayDict", channels)
        _series(file, "licks", {"timestamps": np.sort(rng.uniform(0, seconds, 7))}, whole)
        columns = {
            "go_cue_time": trials[:, 0] + 0.5,
            "result": np.resize([b"R", b"F"], len(trials)),
        }
        _intervals(file, "trials", trials, columns)
        third = seconds / 3
        for number, split in enumerate(("train", "valid", "test")):
            _intervals(file, f"{split}_domain", np.array([[number, number + 1]]) * third)
        if rois:
            traces = rng.normal(size=(int(seconds * 10), 4))
            _series(file, "calcium_traces", {"df_over_f": traces}, whole, 10.0)
            _object(
                file.create_group("rois"),
                "ArrayDict",
                {"id": np.array([b"r%d" % n for n in range(4)])},
            )
    return Path(path)


def _object(group: Any, kind: str, arrays: Mapping[str, np.ndarray], **attrs: Any) -> None:
    """Write arrays and attributes of a group, with its kind and text as bytes, as temporaldata does."""
    for name, values in arrays.items():
        group.create_dataset(name, data=values)
    text = [name for name, values in arrays.items() if values.dtype.kind == "S"]
    group.attrs["object"] = kind
    if kind != "Data":
        group.attrs["_unicode_keys"] = np.array(text, "S")
    for name, value in attrs.items():
        group.attrs[name] = value


def _intervals(
    file: Any, name: str, rows: np.ndarray, columns: Mapping[str, np.ndarray] | None = None
) -> None:
    """Write a table of intervals."""
    arrays = {"start": rows[:, 0], "end": rows[:, 1], **(columns or {})}
    times = [key for key in arrays if key in ("start", "end") or key.endswith("_time")]
    _object(file.create_group(name), "Interval", arrays, timekeys=np.array(times, "S"))


def _series(
    file: Any, name: str, arrays: Mapping[str, np.ndarray], domain: np.ndarray, rate: float = 0.0
) -> None:
    """Write a series, regular with a rate in Hz, or with the index of each second of its times."""
    group = file.create_group(name)
    if rate:
        _object(group, "RegularTimeSeries", arrays, sampling_rate=rate)
    else:
        keys = np.array(["timestamps"], "S")
        _object(group, "IrregularTimeSeries", arrays, timekeys=keys)
        grid = np.arange(domain[0, 0], domain[-1, 1] + 1)
        group["timestamp_indices_1s"] = np.searchsorted(arrays["timestamps"], grid)
    _intervals(group, "domain", domain)
