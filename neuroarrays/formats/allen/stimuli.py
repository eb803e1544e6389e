"""Stimulus tables of an Allen session: ids, blanks, numbers stored as text, whole movies.

Presentations are numbered as AllenSDK does it, by the rank of `start_time` over all tables. AllenSDK itself
is not used. The tables are those of the files of June 2020.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files.source import Source
from neuroarrays.formats.nwb import columns, ragged, vectors
from neuroarrays.formats.nwb.account import Account, unreadable
from neuroarrays.formats.nwb.tables import table_node
from neuroarrays.lazy.arrays import file_array, wrap
from neuroarrays.lazy.indexes import dataset

SUFFIX = "_presentations"
#: Stimulus -> its parameters, which differ between presentations.
PARAMETERS: dict[str, tuple[str, ...]] = {
    "gabors": ("orientation", "y_position", "x_position"),
    "flashes": ("color",),
    "drifting_gratings": ("temporal_frequency", "orientation"),
    "static_gratings": ("phase", "spatial_frequency", "orientation"),
    "natural_scenes": ("frame",),
    "natural_movie_one": ("frame",),
    "natural_movie_three": ("frame",),
    "natural_movie_one_more_repeats": ("frame",),
    "natural_movie_one_shuffled": ("frame",),
    "drifting_gratings_contrast": ("contrast", "orientation"),
    "drifting_gratings_75_repeats": ("contrast", "orientation"),
    "dot_motion": ("Speed", "Dir"),
}
#: How far a duration may be from the median of its stimulus, s; a frame of the monitor is 17 ms.
MAX_DEVIATION, MAX_DEVIATION_OF_MOVIES = 0.001, 0.01
#: Texts that mean a missing value, in lower case.
_NOTHING = {"n/a", "na", "null", "none", "nan", ""}
#: Columns that hold numbers as text in some tables.
_NUMBERS_AS_TEXT = ("phase", "spatial_frequency")
#: Units of parameters. Files state none: these are those of the white papers of Visual Coding.
UNITS = {
    "orientation": "degrees",
    "Dir": "degrees",
    "x_position": "degrees",
    "y_position": "degrees",
    "temporal_frequency": "Hz",
    "spatial_frequency": "cycles/degree",
}
#: Attributes of columns.
_MEANING = {name: {"units": unit} for name, unit in UNITS.items()} | {
    "blank": {"description": "nothing was shown"},
    "invalid": {"description": "overlaps a time that the file calls invalid for stimuli"},
    "n_frames": {"description": "frames of this showing"},
}
_OF_INVALID_TIMES = ("id", "start_time", "stop_time", "tags", "tags_index")
_LEFT_OUT = ("tags", "timeseries")
FRAMES = "_frames"


@dataclass(frozen=True)
class Interval:
    """A row of ``/intervals/invalid_times``: start, stop, and what it applies to ("" for everything)."""

    start: float
    stop: float
    tags: tuple[str, ...]

    @property
    def label(self) -> str:
        """The label in the file: stimulus, all_probes, probeA, optotagging, ..."""
        return self.tags[-1] if self.tags else ""

    @property
    def applies_to(self) -> str:
        """The probe or part of the session that is invalid; "" for all of it."""
        return "" if self.label in ("stimulus", "all_probes") else self.label


def is_movie(name: str) -> bool:
    """Whether a stimulus is a movie whose frames were shown in their order."""
    return name.startswith("natural_movie") and not name.endswith(("shuffled", FRAMES))


def tables(account: Account) -> dict[str, xr.Dataset]:
    """Return all interval tables below `presentations`, by their names in the tree."""
    source = account.source
    names = source.names("intervals")
    names = [name for name in names if source.info(f"intervals/{name}/start_time")]
    shown = [name for name in names if name.endswith(SUFFIX)]
    if not shown and "epochs" in names:
        raise FormatError(
            source.path,
            "/intervals",
            expected="a table of each stimulus, <stimulus>_presentations",
            found="one table, epochs, as in files from before June 2020",
            hint="download the session again: DANDI 000021 or 000022, or AllenSDK's cache",
        )
    intervals: list[Interval] = []
    if "invalid_times" in names:
        with account.step("intervals/invalid_times"):
            intervals = invalid_times(source)
            account.take(*(f"intervals/invalid_times/{name}" for name in _OF_INVALID_TIMES))
    masked = [interval for interval in intervals if interval.label == "stimulus"]
    starts: dict[str, np.ndarray] = {}
    for name in shown:
        with account.step(f"intervals/{name}"):
            starts[name] = vectors.times(source, f"intervals/{name}/start_time").load()
    nodes: dict[str, xr.Dataset] = {}
    for name, ids in presentation_ids(starts).items():
        stimulus, rows = name.removesuffix(SUFFIX), None
        with account.step(f"intervals/{name}"):
            rows = _stimulus_table(account, f"intervals/{name}", starts[name], ids, masked)
        if rows is None:
            continue
        if is_movie(stimulus) and "frame" in rows:
            nodes[stimulus + FRAMES] = rows
            rows = whole_movies(rows)
        if stimulus in PARAMETERS:
            limit = MAX_DEVIATION_OF_MOVIES if is_movie(stimulus) else MAX_DEVIATION
            rows.attrs["max_deviation"] = limit
        nodes[stimulus] = rows
    if intervals:
        nodes["invalid_times"] = _invalid_table(intervals)
    for name in names:
        if name not in shown and name != "invalid_times":
            with account.step(f"intervals/{name}"):
                nodes[name] = table_node(account, f"intervals/{name}")
    return {schema.node_name(name): rows for name, rows in nodes.items()}


def presentation_ids(starts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return ids as AllenSDK does: (n,) int64 per table, the rank of each start among all.

    Equal starts keep the order of the tables.
    """
    if not starts:
        return {}
    everything = np.concatenate(list(starts.values()))
    rank = np.empty(everything.size, np.int64)
    rank[np.argsort(everything, kind="stable")] = np.arange(everything.size)
    ends = np.cumsum([times.size for times in starts.values()])
    return dict(zip(starts, np.split(rank, ends[:-1]), strict=True))


def _stimulus_table(
    account: Account, path: str, start: np.ndarray, ids: np.ndarray, masked: list[Interval]
) -> xr.Dataset:
    """Return one table, with times, parameters and block in memory and other columns lazy."""
    source, stimulus = account.source, path.rpartition("/")[2].removesuffix(SUFFIX)
    table = columns.read_table(account, path)
    names = table.names
    account.take(f"{path}/id", f"{path}/start_time", f"{path}/stop_time")
    stop = source.read(f"{path}/stop_time") if "stop_time" in names else np.full(start.size, np.nan)
    wanted = (*PARAMETERS.get(stimulus, ()), *_NUMBERS_AS_TEXT, "stimulus_block")
    here: dict[str, Any] = {
        schema.START_TIME: start.astype(float),
        schema.STOP_TIME: stop.astype(float),
    }
    variables: dict[str, xr.Variable] = {}
    for name in names:
        if name not in here:
            with account.step(f"{path}/{name}"):
                variables |= _stimulus_column(account, table, name, start.shape, wanted)
    blank = blanks(stimulus, {name: v.values for name, v in variables.items() if name in wanted})
    here |= {} if blank is None else {"blank": blank}
    here["invalid"] = overlaps(here[schema.START_TIME], here[schema.STOP_TIME], masked)
    times = {
        name: schema.var("table", name, values, (schema.PRESENTATION,), **_MEANING.get(name, {}))
        for name, values in here.items()
    }
    return dataset(times | variables, {schema.PRESENTATION: xr.Variable(schema.PRESENTATION, ids)})


def _stimulus_column(
    account: Account, table: columns.Table, name: str, shape: tuple[int, ...], wanted: Sequence[str]
) -> dict[str, xr.Variable]:
    """Return one column with its name, if it has a value per row."""
    source, path = account.source, f"{table.path}/{name}"
    info = source.info(path)
    if info is None:
        return {}
    reason = "as in AllenSDK's tables" if name in _LEFT_OUT else unreadable(info)
    if not reason and (name in table.indexes or info.shape != shape):
        reason = f"shape {info.shape} for {shape[0]} rows"
    if reason:
        columns.leave_ragged(account, table, name, reason)
        return {}
    account.take(path)
    attrs = dict(_MEANING.get(name, {}))
    if name not in wanted:
        array = file_array(source, path)
        attrs = {} if info.text else attrs
        return {name: schema.var("table", name, wrap(array), (schema.PRESENTATION,), **attrs)}
    values = source.read(path)
    number = as_numbers(values) if info.text else None
    if number is not None:
        attrs["comment"] = "text in the file; NaN where it says nothing"
    elif info.text:
        attrs = {}
    values = values if number is None else number
    return {name: schema.var("table", name, values, (schema.PRESENTATION,), **attrs)}


def as_numbers(text: np.ndarray) -> np.ndarray | None:
    """Return text as (n,) float64, with NaN for "N/A" and the like; None if it is not all numbers."""
    out = np.full(text.size, np.nan)
    cache: dict[str, float] = {}
    for i, value in enumerate(text.tolist()):
        if value not in cache:
            try:
                cache[value] = float(value)
            except ValueError:
                if value.strip().lower() not in _NOTHING:
                    return None
                cache[value] = np.nan
        out[i] = cache[value]
    return None if np.isnan(out).all() else out


def blanks(stimulus: str, columns: dict[str, np.ndarray]) -> np.ndarray | None:
    """Return which presentations showed nothing, (n,) bool; None for a stimulus without blanks."""
    if stimulus == "natural_scenes" and "frame" in columns:
        return np.asarray(columns["frame"] == -1)
    if "gratings" not in stimulus and stimulus != "dot_motion":
        return None
    chosen = [columns[name] for name in PARAMETERS.get(stimulus, ()) if name in columns]
    numbers = [column for column in chosen if column.dtype.kind == "f"]
    return np.isnan(np.stack(numbers)).any(axis=0) if numbers else None


def overlaps(start: np.ndarray, stop: np.ndarray, intervals: list[Interval]) -> np.ndarray:
    """Return whether each closed span meets one of the closed intervals; touching counts."""
    out = np.zeros(start.size, bool)
    for interval in intervals:
        out |= (start <= interval.stop) & (stop >= interval.start)
    return out


def whole_movies(frames: xr.Dataset) -> xr.Dataset:
    """Return the showings of a movie, from the rows of its frames.

    A showing ends where the frame number decreases, where the next frame is late by more than a
    frame, and where the block changes: a gap in the table never joins two showings.
    """
    start, stop = frames[schema.START_TIME].values, frames[schema.STOP_TIME].values
    number = frames["frame"].values
    if not start.size:
        return frames[[schema.START_TIME, schema.STOP_TIME, "invalid"]]
    longest_pause = np.nanmedian(stop - start)
    new = np.ones(start.size, bool)
    new[1:] = (np.diff(number) < 0) | (start[1:] - stop[:-1] > longest_pause)
    if "stimulus_block" in frames:
        new[1:] |= np.diff(frames["stimulus_block"].values.astype(float)) != 0
    first = np.flatnonzero(new)
    columns: dict[str, np.ndarray] = {
        schema.START_TIME: start[first],
        schema.STOP_TIME: np.maximum.reduceat(stop, first),
        "n_frames": np.diff(first, append=start.size),
        "invalid": np.logical_or.reduceat(frames["invalid"].values, first),
    }
    if "stimulus_block" in frames:
        columns["stimulus_block"] = frames["stimulus_block"].values[first]
    variables = {
        name: schema.var("table", name, values, (schema.PRESENTATION,), **_MEANING.get(name, {}))
        for name, values in columns.items()
    }
    ids = frames[schema.PRESENTATION].values[first]
    return dataset(variables, {schema.PRESENTATION: xr.Variable(schema.PRESENTATION, ids)})


def invalid_times(source: Source) -> list[Interval]:
    """Return the rows of ``/intervals/invalid_times`` in order of time."""
    path = "intervals/invalid_times"
    start, stop = source.read(f"{path}/start_time"), source.read(f"{path}/stop_time")
    tags: list[tuple[str, ...]] = [()] * start.size
    if {"tags", "tags_index"} <= set(source.names(path)):
        first, last = ragged.bounds(source, f"{path}/tags")
        values = source.read(f"{path}/tags")
        tags = [tuple(values[a:b]) for a, b in zip(first, last, strict=True)]
    rows = [Interval(float(a), float(b), t) for a, b, t in zip(start, stop, tags, strict=True)]
    return sorted(rows, key=lambda interval: interval.start)


def _invalid_table(intervals: list[Interval]) -> xr.Dataset:
    columns = {
        schema.START_TIME: np.array([interval.start for interval in intervals]),
        schema.STOP_TIME: np.array([interval.stop for interval in intervals]),
        "label": np.array([interval.label for interval in intervals], object),
        "tags": np.array([", ".join(interval.tags) for interval in intervals], object),
        "applies_to": np.array([interval.applies_to for interval in intervals], object),
    }
    meaning = {"applies_to": '"" for everything, or the name of a probe'}
    variables = {
        name: schema.var(
            "table", name, values, (schema.PRESENTATION,), description=meaning.get(name)
        )
        for name, values in columns.items()
    }
    ids = xr.Variable(schema.PRESENTATION, np.arange(len(intervals)))
    return dataset(variables, {schema.PRESENTATION: ids})
