"""The folders of suite2p: their planes, options and signals."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, shorten
from neuroarrays.files.probe import Probe
from neuroarrays.files.source import in_order
from neuroarrays.formats.npy import npy, objects
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.views import transposed

#: Signals and their meaning. All files must have the shape of the first.
SIGNALS = {
    "F": "fluorescence", "Fneu": "fluorescence of the neuropil", "spks": "deconvolved fluorescence",
    "F_chan2": "fluorescence, second channel", "Fneu_chan2": "neuropil, second channel",
}  # fmt: skip
_OPTIONS = ("settings.npy", "ops.npy", "db.npy")
_READ = {*(f"{name}.npy" for name in (*SIGNALS, "iscell", "redcell", "stat")), *_OPTIONS}
_PLANE, _COMBINED = re.compile(r"plane(\d+)"), "combined"
HINT = "say sampling_rate=30, say, if you know it"


def planes_of(probe: Probe) -> list[Probe]:
    """Return the folders of planes, in order of their numbers; ``combined`` only if it is alone."""
    if is_plane(probe):
        return [probe]
    run = probe.child("suite2p") if probe.has("suite2p") else probe
    names = [child.name for child in run.children if _PLANE.fullmatch(child.name)]
    folders = [run.child(name) for name in in_order(names)]
    combined = run.child(_COMBINED)
    return folders if any(map(is_plane, folders)) or not combined.is_folder else [combined]


def is_plane(folder: Probe) -> bool:
    """Whether a folder has the signals or the ROIs of a plane, and another file of suite2p."""
    of_suite2p = ("stat.npy", "iscell.npy", *_OPTIONS, "Fneu.npy", "spks.npy")
    return folder.is_folder and any(
        folder.has(name) and any(folder.has(other) for other in of_suite2p if other != name)
        for name in ("F.npy", "stat.npy")
    )


def options_of(folder: Probe, notes: list[str]) -> dict[str, Any]:
    """Return the options in settings.npy, ops.npy and db.npy that are numbers or text.

    The first file that has an option counts. A note is added for arrays (images, shifts, bad frames),
    which are not read.
    """
    options: dict[str, Any] = {}
    for file in map(folder.child, _OPTIONS):
        stated = objects(file) if file.is_file else {}
        if not isinstance(stated, dict):
            raise FormatError(file.as_given, "", "a dict of options", f"{stated!r:.80}")
        unread = []
        for key, value in stated.items():
            is_scalar = isinstance(value, np.ndarray | np.generic) and value.size == 1
            plain = value.item() if is_scalar else value
            if isinstance(plain, str | int | float):
                options.setdefault(key, plain)
            elif isinstance(value, np.ndarray) and value.size:
                unread.append(str(key))
        if unread:
            notes.append(f"{folder.name}/{file.name}: arrays not read: {shorten(sorted(unread))}")
    return options


def rate_of(folder: Probe, options: dict[str, Any]) -> float:
    """Return the frames of a plane per second, Hz, after checking them."""
    rate = options.get("fs")
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate < math.inf:
        expected = "fs, the frames of a plane per second"
        raise FormatError(
            folder.as_given, "settings.npy or ops.npy", expected, f"{rate!r:.80}", HINT
        )
    return float(rate)


def signals_of(folder: Probe, notes: list[str]) -> dict[str, LazyArray]:
    """Return the signals of a plane by name, (frame, ROI) each."""
    first, *others = (folder.child(f"{name}.npy") for name in SIGNALS)
    signals = {"F": transposed(npy(first, 2))}
    for file in filter(lambda file: file.is_file, others):
        signal = transposed(npy(file, 2))
        if signal.shape != signals["F"].shape:
            expected = f"shape {signals['F'].shape[::-1]}, as F.npy"
            raise FormatError(file.as_given, "", expected, f"{signal.shape[::-1]}")
        signals[file.stem] = signal
    notes += [f"{folder.name}: no {name}.npy" for name in ("Fneu", "spks") if name not in signals]
    return signals


def labels_of_planes(
    planes: list[Probe], sizes: list[int], has_planes: bool
) -> dict[str, xr.Variable]:
    """Return the plane of each ROI, unless the ROIs have it already, and its number in the plane."""
    matches = [_PLANE.fullmatch(folder.name) for folder in planes]
    labels: dict[str, xr.Variable] = {}
    if not has_planes and all(matches):
        numbers = [int(match[1]) for match in matches if match]
        labels["plane"] = xr.Variable(schema.UNIT, np.repeat(numbers, sizes))
    if len(planes) > 1:
        labels["roi"] = xr.Variable(schema.UNIT, np.concatenate([np.arange(n) for n in sizes]))
    return labels


def passed_over(session: Probe, planes: list[Probe]) -> list[str]:
    """Return notes about files in the folders that are not read."""
    names = dict.fromkeys(
        child.name for folder in planes for child in folder.children if child.name not in _READ
    )
    notes = [f"not read: {shorten(names)}"] if names else []
    if is_plane(session):
        return notes
    run = session.child("suite2p") if session.has("suite2p") else session
    beside = [child.name for child in run.children if not _PLANE.fullmatch(child.name)]
    if others := [name for name in beside if name != _COMBINED]:
        notes.append(f"passed over beside the planes: {shorten(others)}")
    if run.has(_COMBINED) and planes[0].name != _COMBINED:
        notes.append(
            "combined was passed over: it repeats the planes; open it for its own iscell.npy"
        )
    return notes
