"""Stimuli of the Brain Observatory: tables of presentations that end at frames of the imaging."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files.source import Source
from neuroarrays.formats.allen.stimuli import UNITS
from neuroarrays.lazy.arrays import LazyArray, file_array, wrap
from neuroarrays.lazy.computed import Computed, Elementwise
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Taken

_PRESENTATION, _TEMPLATES = "stimulus/presentation", "stimulus/templates"
_SPONTANEOUS = "spontaneous"
#: Names of columns that a feature cannot have.
_TAKEN = (
    schema.START_TIME,
    schema.STOP_TIME,
    "start_frame",
    "end_frame",
    "blank",
    schema.PRESENTATION,
)
#: Values of `data` where spontaneous activity begins and where it ends.
_BEGINS, _ENDS = 1, -1


def presentation_nodes(source: Source, clock: LazyArray, notes: list[str]) -> dict[str, xr.Dataset]:
    """Return the tables of presentations.

    Parameters
    ----------
    source : Source
        The source of the file.
    clock : (frame,) LazyArray, s
        Times of the frames of the imaging.
    notes : list of str
        A note is added to it for each group that is not a stimulus.
    """
    nodes = {}
    for name in source.names(_PRESENTATION):
        path, called = f"{_PRESENTATION}/{name}", name.removesuffix("_stimulus")
        if not source.names(path):
            notes.append(f"{path} not read: no group of a stimulus")
            continue
        columns = _columns(source, path, called, clock)
        rows = {
            column: schema.var(
                "table", column, wrap(array), (schema.PRESENTATION,), units=UNITS.get(column)
            )
            for column, array in columns.items()
        }
        ids = np.arange(columns[schema.START_TIME].shape[0])
        index = {schema.PRESENTATION: xr.Variable(schema.PRESENTATION, ids)}
        nodes[f"{schema.PRESENTATIONS}/{schema.node_name(called)}"] = dataset(rows, index)
    return nodes


def _columns(source: Source, path: str, called: str, clock: LazyArray) -> dict[str, LazyArray]:
    """Return the columns of a table: times, frames of the imaging, and the stimulus."""
    data = file_array(source, f"{path}/data")
    frames = file_array(source, f"{path}/frame_duration")
    count = data.shape[0] if data.ndim else 0
    if frames.shape != (count, 2) or frames.dtype.kind not in "iuf":
        where, expected = f"/{path}/frame_duration", f"first and last frame of {count} rows"
        raise FormatError(source.path, where, expected, f"{frames.dtype} {frames.shape}")
    starts, stops = (_whole(frames, column) for column in (0, 1))
    if called == _SPONTANEOUS:
        marks = np.asarray(data.load()).ravel()
        begins, ends = (np.flatnonzero(marks == mark) for mark in (_BEGINS, _ENDS))
        if begins.size != ends.size or (begins > ends).any():
            counts = f"{begins.size} of {_BEGINS} and {ends.size} of {_ENDS}"
            raise FormatError(source.path, f"/{path}/data", "a -1 after each 1", counts)
        starts, stops = Taken(starts, begins), Taken(starts, ends)
    columns = {
        schema.START_TIME: _times(clock, starts),
        schema.STOP_TIME: _times(clock, stops),
        "start_frame": starts,
        "end_frame": stops,
    }
    if called != _SPONTANEOUS:
        columns |= _shown(source, path, data)
    return columns


def _shown(source: Source, path: str, data: LazyArray) -> dict[str, LazyArray]:
    """Return the stimulus of each row: a column for each feature, or the number of a template frame."""
    if len(data.shape) == 1:
        blank = Elementwise(np.equal, (data,), np.dtype(bool), (-1,))
        return {"frame": data} | ({"blank": blank} if "natural_scenes" in path else {})
    info = source.info(f"{path}/features")
    names = [] if info is None else [str(name) for name in source.read(f"{path}/features").ravel()]
    if len(data.shape) != 2 or len(names) != data.shape[1]:
        expected = f"a name for each column of data {data.shape}"
        raise FormatError(source.path, f"/{path}/features", expected, f"{len(names)}")
    columns: dict[str, LazyArray] = {}
    for column, name in enumerate(map(schema.node_name, names)):
        while name in columns or name in _TAKEN:
            name += "_"
        columns[name] = Taken(data, column, 1)
    if "blank_sweep" in columns:
        sweep = columns["blank_sweep"]
        columns["blank"] = Elementwise(np.greater, (sweep,), np.dtype(bool), (0,))
    return columns


def _whole(frames: LazyArray, column: int) -> LazyArray:
    return Elementwise(_as_whole, (Taken(frames, column, 1),), np.dtype("i8"))


def _as_whole(frames: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # NaN is not a frame
        return frames.astype(np.int64)


def _times(clock: LazyArray, frames: LazyArray) -> LazyArray:
    """Return the times of frames, (row,) in s; NaN for the frame after the last, whose time is unknown."""
    return Computed(_times_at, frames.shape, np.dtype("f8"), (frames, clock))


def _times_at(rows: np.ndarray, frames: LazyArray, clock: LazyArray) -> np.ndarray:
    numbers = frames.outer((rows,))
    length = clock.shape[0]
    if numbers.size and not 0 <= numbers.min() <= numbers.max() <= length:
        wrong = numbers[(numbers < 0) | (numbers > length)][0]
        path = getattr(getattr(clock, "source", None), "path", "")
        raise FormatError(path, f"/{_PRESENTATION}", f"frames from 0 to {length}", f"{wrong}")
    times = np.append(np.asarray(clock.load(), float), np.nan)
    return np.asarray(times[numbers])


def template_nodes(source: Source, notes: list[str]) -> dict[str, xr.Dataset]:
    """Return the pictures and movies that were shown, (frame, y, x); others become notes."""
    nodes: dict[str, Any] = {}
    for name in source.names(_TEMPLATES):
        path = f"{_TEMPLATES}/{name}/data"
        info = source.info(path)
        if info is not None and len(info.shape) == 3:
            called = schema.node_name(name.removesuffix("_image_stack"))
            dims = (schema.FRAME, "y", "x")
            variable = schema.var("stimulus", called, wrap(file_array(source, path)), dims)
            nodes[f"{schema.STIMULUS}/{called}"] = dataset({called: variable})
        else:
            notes.append(f"{path} not read: no pictures (frame, y, x)")
    return nodes
