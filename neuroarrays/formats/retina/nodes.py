"""Make the nodes of an aligned tree from the arrays of one block of one session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files.source import text_array
from neuroarrays.lazy.arrays import LazyArray, wrap
from neuroarrays.lazy.computed import RegularClock
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import sliced

RETINA = "retina"
TRAIN, TEST = "train", "test"
_Blocks = dict[str, dict[str, xr.Dataset]]
_STIMULUS = (schema.TIME, "channel", "y", "x")
_CUT = 'mismatch="cut" drops what is over at the end, and records it'


@dataclass
class BlockData:
    """The arrays of one block of one session.

    Attributes
    ----------
    path : str
        The file it comes from, for messages.
    responses : (time, unit) lazy float array, optional
        Responses of the units, in the unit that the reader states.
    by_trial : (trial, time, unit) lazy float array, optional
        Responses of each repeat, in the same unit.
    stimulus : (time, channel, y, x) lazy array, optional
        What was shown, in grey levels. Its length may differ from that of the responses only with
        `mismatch="cut"`.
    time : (time,) lazy float64 array or None, s
        Times of the frames; None if the rate is not known.
    frames : dict of str to (time,) array or lazy array
        Labels of frames: `block_id`, `clip_id`, ...
    units : dict of str to (unit,) array
        Labels of the units. Without `unit_id` among them, units are counted from 0.
    trials : (trial,) int array, optional
        Identifiers of the repeats; counted from 0 when not given.
    attrs, area_attrs : dict
        Attributes of the session and of its retina.
    """

    path: str
    responses: LazyArray | None = None
    by_trial: LazyArray | None = None
    stimulus: LazyArray | None = None
    time: LazyArray | None = None
    frames: dict[str, Any] = field(default_factory=dict)
    units: dict[str, Any] = field(default_factory=dict)
    trials: np.ndarray | None = None
    attrs: dict[str, Any] = field(default_factory=dict)
    area_attrs: dict[str, Any] = field(default_factory=dict)

    def lengths(self) -> dict[str, int]:
        """Number of frames of each array along time."""
        lengths = {}
        for name, array, axis in (
            ("stimulus", self.stimulus, 0),
            (schema.RESPONSES, self.responses, 0),
            ("responses_by_trial", self.by_trial, 1),
            (schema.TIME, self.time, 0),
        ):
            if array is not None:
                lengths[name] = array.shape[axis]
        return lengths


def check_lengths(part: BlockData, where: str, mismatch: str | None) -> int:
    """Return the number of frames that all arrays have; "cut" takes the shortest length, with a note.

    `mismatch` is None where the reader has no such option.

    Raises
    ------
    FormatError
        If lengths differ and `mismatch` is not "cut".
    """
    lengths = part.lengths()
    shortest = min(lengths.values())
    if len(set(lengths.values())) > 1:
        if mismatch != "cut":
            raise FormatError(
                part.path,
                where,
                expected="as many frames of responses as of the stimulus",
                found=", ".join(f"{name} {n:,}" for name, n in lengths.items()),
                hint=_CUT if mismatch else "",
            )
        dropped = {name: n - shortest for name, n in lengths.items() if n > shortest}
        part.attrs |= {f"dropped_trailing_frames_{name}": n for name, n in dropped.items()}
    return shortest


def part_nodes(block: str, part: BlockData, mismatch: str | None = None) -> dict[str, xr.Dataset]:
    """Return the session and retina nodes of one block.

    Parameters
    ----------
    block : str
        Path of the session, ``<block>/<session>``.
    part : BlockData
        The arrays of the block.
    mismatch : {"error", "cut"}, optional
        What to do if stimulus and responses differ in length; None if the reader has no such
        option.

    Raises
    ------
    FormatError
        If the lengths or the numbers of units differ.
    """
    frames = check_lengths(part, block, mismatch)
    shown: dict[str, xr.Variable] = {}
    if part.stimulus is not None:
        _check_axes(part.path, block, "stimulus", part.stimulus, 4)
        shown["stimulus"] = variable("session", "stimulus", part.stimulus, _STIMULUS)[:frames]
    area: dict[str, xr.Variable] = {}
    if part.responses is not None:
        _check_axes(part.path, block, schema.RESPONSES, part.responses, 2)
        dims = (schema.TIME, schema.UNIT)
        area[schema.RESPONSES] = variable("area", schema.RESPONSES, part.responses, dims)[:frames]
    if part.by_trial is not None:
        _check_axes(part.path, block, "responses_by_trial", part.by_trial, 3)
        dims3 = (schema.TRIAL, schema.TIME, schema.UNIT)
        area["responses_by_trial"] = variable("area", "responses_by_trial", part.by_trial, dims3)[
            :, :frames
        ]
    count = {array.shape[-1] for array in (part.responses, part.by_trial) if array is not None}
    if len(count) > 1:
        raise FormatError(
            part.path,
            block,
            "as many units by trial as on average",
            " and ".join(str(n) for n in sorted(count)),
        )
    labels = {name: along(schema.TIME, values)[:frames] for name, values in part.frames.items()}
    coords = dict(labels)
    if part.time is not None:
        whole = (
            part.time.shape[0] == frames
        )  # if xarray sliced it, it would read the whole array for its index
        coords[schema.TIME] = clock(part.time if whole else sliced(part.time, slice(0, frames)))
    nodes = {block: dataset(shown, coords, part.attrs)}
    if area:
        below = dict(labels) | unit_coords(part.path, block, part.units, next(iter(count)))
        if part.by_trial is not None:
            trials = np.arange(part.by_trial.shape[0]) if part.trials is None else part.trials
            below[schema.TRIAL] = along(schema.TRIAL, trials)
        nodes[f"{block}/{RETINA}"] = dataset(area, below, part.area_attrs)
    return nodes


def unit_coords(
    path: str, block: str, units: Mapping[str, Any], count: int
) -> dict[str, xr.Variable]:
    """Return labels of units as coordinates; `unit_id` counts from 0 unless it is given.

    Raises
    ------
    FormatError
        If there is not a value for each unit.
    """
    for name, values in units.items():
        if len(values) != count:
            raise FormatError(
                path, f"{block}: {name}", f"a value for each of {count} units", f"{len(values)}"
            )
    labels = {schema.UNIT: np.arange(count)} | dict(units)
    return {name: along(schema.UNIT, values) for name, values in labels.items()}


def _check_axes(path: str, block: str, name: str, array: LazyArray, ndim: int) -> None:
    if len(array.shape) != ndim:
        raise FormatError(path, f"{block}/{name}", f"{ndim} axes", f"shape {array.shape}")


def variable(role: str, name: str, array: LazyArray, dims: tuple[str, ...]) -> xr.Variable:
    """Return a lazy variable of an aligned tree, with preferred chunks."""
    labelled = schema.var(role, name, wrap(array), dims, tree=schema.ALIGNED)
    labelled.encoding["preferred_chunks"] = dict(zip(dims, chunks_of(array, dims), strict=True))
    return labelled


def chunks_of(array: LazyArray, dims: tuple[str, ...]) -> tuple[int, ...]:
    """Return chunks of whole frames, of about 8 MB."""
    shape = tuple(max(n, 1) for n in array.shape)
    if schema.TIME not in dims:
        return shape
    axis = dims.index(schema.TIME)
    row = int(np.prod(shape, dtype=object)) // shape[axis] * array.dtype.itemsize
    frames = max(1, min(shape[axis], (8 << 20) // max(row, 1)))
    return (*shape[:axis], frames, *shape[axis + 1 :])


def along(dim: str, values: Any) -> xr.Variable:
    """Return a label along a dimension: integers as int64, bytes as text, lazy arrays as they are."""
    if isinstance(values, LazyArray):
        return values.variable((dim,))
    values = np.asarray(values)
    if values.dtype.kind == "S":
        values = text_array(values)
    if values.dtype.kind == "U":
        values = values.astype(object)
    if values.dtype.kind in "iu":
        values = values.astype(np.int64)
    return xr.Variable((dim,), values)


def clock(array: LazyArray) -> xr.Variable:
    """Return the time coordinate."""
    return xr.Variable((schema.TIME,), wrap(array), {"units": "s", "long_name": "onset of a frame"})


def regular_clock(rate: float | None, frames: int) -> RegularClock | None:
    """Return frame onsets k / rate in s; None without a rate."""
    return None if rate is None else RegularClock(0.0, float(rate), frames)


def rate_attrs(rate: float | None, default: float | None, where: str = "file") -> dict[str, Any]:
    """Return the attributes `sampling_rate` (Hz) and its source."""
    if rate is not None:
        check_rate(rate)
        return {"sampling_rate": float(rate), "sampling_rate_source": "argument"}
    if default is not None:
        return {"sampling_rate": float(default), "sampling_rate_source": where}
    return {"sampling_rate_source": "unknown"}


def check_rate(rate: float) -> None:
    """Raise ValueError unless a rate is positive and finite."""
    if not (np.isfinite(rate) and rate > 0):
        msg = f"sampling_rate: expected a positive number of frames per second, got {rate}"
        raise ValueError(msg)


def choice(name: str, value: str, allowed: Sequence[str]) -> None:
    """Raise ValueError unless an option has one of its values."""
    if value not in allowed:
        msg = f"{name}: expected one of {', '.join(map(repr, allowed))}, got {value!r}"
        raise ValueError(msg)
