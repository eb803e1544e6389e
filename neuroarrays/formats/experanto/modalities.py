"""Modalities of a session with samples or spikes, and the labels of their signals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files import npy
from neuroarrays.files.members import ArraySource
from neuroarrays.files.placed import Member
from neuroarrays.files.probe import Probe
from neuroarrays.files.store import FolderStore
from neuroarrays.lazy.arrays import LazyArray, file_array

MOTOR = ("motor_x", "motor_y", "motor_z")
#: Names of files in meta/ with a value for each signal -> names of the labels in the tree.
_LABELS = {"means": "mean", "stds": "std", "phase_shifts": schema.SHIFT, "unit_ids": schema.UNIT}


@dataclass(frozen=True)
class Sequence:
    """A modality of regular samples, from its meta.yml."""

    name: str
    array: LazyArray
    rate: float
    start: float
    labels: dict[str, np.ndarray] = field(default_factory=dict)


def sequence(folder: Probe, meta: dict[str, Any], notes: list[str]) -> Sequence:
    """Read a modality of samples, and check its meta.yml; notes are added for unread files."""
    path = folder.child("meta.yml").as_given
    try:
        rate, start = float(meta["sampling_rate"]), float(meta["start_time"])
        size = int(meta["n_signals"])
        length = int(meta.get("n_timestamps", -1))
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(
            path,
            "",
            "numbers sampling_rate, start_time, n_timestamps, n_signals",
            f"{type(error).__name__}: {error}",
        ) from error
    if not (np.isfinite([rate, start]).all() and rate > 0 and size >= 0):
        raise FormatError(path, "", "a positive rate and sizes", f"rate {rate}, {size} signals")
    if meta.get("is_mem_mapped"):
        if length < 0:
            raise FormatError(path, "", "n_timestamps, the length of data.mem", f"{length}")
        array = _plain(folder.child("data.mem"), str(meta.get("dtype")), (length, size))
    else:
        array = _npy(folder.child("data.npy"), lambda n: (n if length < 0 else length, size))
    return Sequence(folder.name, array, rate, start, _labels(folder, size, notes))


@dataclass(frozen=True)
class SpikeModality:
    """Spike times (Unix times) of units, one after another, and the number of each."""

    name: str
    times: LazyArray
    sizes: np.ndarray
    start: float
    labels: dict[str, np.ndarray]


def spikes(folder: Probe, meta: dict[str, Any], notes: list[str]) -> SpikeModality:
    """Read the spikes of a modality of ragged times."""
    path = folder.child("meta.yml").as_given
    try:
        ends = np.array(meta["spike_indices"], np.int64)
        start = float(meta["start_time"])
        units = int(meta.get("n_signals", ends.size - 1))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(
            path,
            "",
            "start_time, and whole numbers spike_indices",
            f"{type(error).__name__}: {error}",
        ) from error
    if ends.ndim != 1 or ends.size == 0 or ends[0] != 0 or (np.diff(ends) < 0).any():
        raise FormatError(
            path, "", "spike_indices from 0 upwards, one more than units", f"{ends.tolist()!r:.60}"
        )
    if units != ends.size - 1:
        raise FormatError(path, "", f"n_signals of {ends.size - 1}, as spike_indices", f"{units}")
    shape = (int(ends[-1]),)
    if meta.get("is_mem_mapped"):
        times = _plain(folder.child("spikes.mem"), str(meta.get("dtype", "float64")), shape)
    else:
        times = _npy(folder.child("spikes.npy"), lambda _: shape)
    return SpikeModality(folder.name, times, np.diff(ends), start, _labels(folder, units, notes))


def _plain(file: Probe, name: str, shape: tuple[int, ...]) -> LazyArray:
    """Return the array of a file that has numbers and no header."""
    try:
        dtype = np.dtype(name)
    except TypeError as error:
        raise FormatError(file.as_given, "", "a dtype in meta.yml", name) from error
    file.check("file")
    wanted = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if dtype.kind not in "iuf" or file.size != wanted:
        raise FormatError(
            file.as_given,
            "",
            f"{wanted:,} bytes for {shape} of {dtype}, as meta.yml says",
            f"{file.size:,}",
        )
    return _placed(file, Member(dtype, shape, False, 0))


def _npy(file: Probe, shape_of: Callable[[int], tuple[int, ...]]) -> LazyArray:
    """Return the array of an npy file, after checking its shape by meta.yml and its rows."""
    file.check("file")
    header = npy.header_in(FolderStore(file.parent.location, ()), file.name)
    shape = shape_of(header.shape[0] if header.shape else 0)
    if header.shape not in (shape, shape[:1]) or header.dtype.kind not in "iuf":
        raise FormatError(
            file.as_given, "", f"numbers of shape {shape}, as meta.yml says", str(header)
        )
    if file.size < len(header.raw) + header.nbytes:
        raise FormatError(
            file.as_given,
            "",
            f"{len(header.raw) + header.nbytes:,} bytes",
            f"{file.size:,}: truncated",
        )
    return _placed(file, Member(header.dtype, shape, header.fortran, len(header.raw)))


def _placed(file: Probe, member: Member) -> LazyArray:
    """Return the lazy array of values that a file has without compression."""
    return file_array(ArraySource(file.location, file.stamp, file.name, member), file.name)


def _labels(folder: Probe, size: int, notes: list[str]) -> dict[str, np.ndarray]:
    """Return the labels of signals in meta/: mean, std, phase shift, ids, coordinates."""
    labels: dict[str, np.ndarray] = {}
    files = FolderStore(folder.location, ())
    for file in folder.glob("meta/*.npy"):
        values, name = npy.values_in(files, f"meta/{file.name}"), file.stem
        is_whole = values.dtype.kind in "iuf" and bool((values % 1 == 0).all())  # NaN is not
        if name == "unit_ids" and not (values.size == size and is_whole):
            expected = f"a whole number for each of {size} units"
            raise FormatError(
                file.as_given, "", expected, f"{values.dtype} of shape {values.shape}"
            )
        if values.shape == (size, 3) and name == "cell_motor_coordinates":
            labels |= dict(zip(MOTOR, values.T.copy(), strict=True))
        elif values.size == size and values.ndim in (1, 2) and values.dtype.kind in "iufbU":
            labels[_LABELS.get(name, name)] = values.reshape(size)
        elif name == "phase_shifts":
            raise FormatError(
                file.as_given, "", f"a shift for each of {size} signals", f"{values.shape}"
            )
        else:
            other = f"{values.dtype} of shape {values.shape} for {size} signals"
            notes.append(f"{folder.name}/meta/{file.name} not read: {other}")
    return labels
