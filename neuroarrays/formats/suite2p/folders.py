"""The folders of suite2p: which are planes, what their options say, the signals in them."""

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

#: Signals, with their meaning; the first is that by which the others are measured.
SIGNALS = {
    "F": "fluorescence", "Fneu": "fluorescence of the neuropil", "spks": "deconvolved fluorescence",
    "F_chan2": "fluorescence, second channel", "Fneu_chan2": "neuropil, second channel",
}  # fmt: skip
_OPTIONS = ("settings.npy", "ops.npy", "db.npy")
_READ = {*(f"{name}.npy" for name in (*SIGNALS, "iscell", "redcell", "stat")), *_OPTIONS}
_PLANE, _COMBINED = re.compile(r"plane(\d+)"), "combined"
HINT = "say sampling_rate=30, say, if you know it"


def planes_of(probe: Probe) -> list[Probe]:
    """The folders of planes, by their numbers; that of all planes where it stands alone."""
    if is_plane(probe):
        return [probe]
    run = probe.child("suite2p") if probe.has("suite2p") else probe
    names = [child.name for child in run.children if _PLANE.fullmatch(child.name)]
    folders = [run.child(name) for name in in_order(names)]
    alone = run.child(_COMBINED)
    return folders if any(map(is_plane, folders)) or not alone.is_folder else [alone]


def is_plane(folder: Probe) -> bool:
    """Whether a folder has the signals or the ROIs of a plane, and another file of suite2p."""
    of_suite2p = ("stat.npy", "iscell.npy", *_OPTIONS, "Fneu.npy", "spks.npy")
    return folder.is_folder and any(
        folder.has(name) and any(folder.has(other) for other in of_suite2p if other != name)
        for name in ("F.npy", "stat.npy")
    )


def options_of(folder: Probe, notes: list[str]) -> dict[str, Any]:
    """What settings.npy, ops.npy and db.npy say in plain values; the first that says it counts.

    `notes` take the names of what else they hold: pictures, shifts, bad frames.
    """
    options: dict[str, Any] = {}
    for file in map(folder.child, _OPTIONS):
        stated = objects(file) if file.is_file else {}
        if not isinstance(stated, dict):
            raise FormatError(file.given, "", "a dict of options", f"{stated!r:.80}")
        unread = []
        for key, value in stated.items():
            one = isinstance(value, np.ndarray | np.generic) and value.size == 1
            plain = value.item() if one else value
            if isinstance(plain, str | int | float):
                options.setdefault(key, plain)
            elif isinstance(value, np.ndarray) and value.size:
                unread.append(str(key))
        if unread:
            notes.append(f"{folder.name}/{file.name}: arrays not read: {shorten(sorted(unread))}")
    return options


def rate_of(folder: Probe, options: dict[str, Any]) -> float:
    """Frames of a plane per second."""
    rate = options.get("fs")
    if not isinstance(rate, int | float) or isinstance(rate, bool) or not 0 < rate < math.inf:
        expected = "fs, the frames of a plane per second"
        raise FormatError(folder.given, "settings.npy or ops.npy", expected, f"{rate!r:.80}", HINT)
    return float(rate)


def signals_of(folder: Probe, notes: list[str]) -> dict[str, LazyArray]:
    """The signals of a plane, (frame, ROI) each."""
    first, *others = (folder.child(f"{name}.npy") for name in SIGNALS)
    signals = {"F": transposed(npy(first, 2))}
    for file in filter(lambda file: file.is_file, others):
        signals[file.stem] = transposed(npy(file, 2))
        if signals[file.stem].shape != signals["F"].shape:
            expected, found = (tuple(reversed(signals[n].shape)) for n in ("F", file.stem))
            raise FormatError(file.given, "", f"shape {expected}, as F.npy", f"{found}")
    missing = [name for name in ("Fneu", "spks") if name not in signals]
    notes += [f"{folder.name}: no {name}.npy" for name in missing]
    return signals


def labels_of_planes(planes: list[Probe], sizes: list[int], known: bool) -> dict[str, xr.Variable]:
    """The number of the plane of each ROI, and the number that it has there."""
    numbers = [_PLANE.fullmatch(folder.name) for folder in planes]
    labels: dict[str, xr.Variable] = {}
    if not known and all(numbers):
        of_each = [int(number[1]) for number in numbers if number]
        labels["plane"] = xr.Variable(schema.UNIT, np.repeat(of_each, sizes))
    if len(planes) > 1:
        labels["roi"] = xr.Variable(schema.UNIT, np.concatenate([np.arange(n) for n in sizes]))
    return labels


def passed_over(session: Probe, planes: list[Probe]) -> list[str]:
    """Notes on what lies in the folders and is not read."""
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
