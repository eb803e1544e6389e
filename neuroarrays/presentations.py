"""The presentations that spikes are aligned to: onsets, stops, and whose clock they are on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays import binning, schema
from neuroarrays.errors import NotInTree, SchemaError

#: Share of presentations in which event times must make sense on a clock to be taken for it.
_PLAUSIBLE = 0.95


@dataclass(frozen=True)
class Presentations:
    """The presentations of one session: onsets, stops and what is known of each."""

    name: str
    node: xr.Dataset
    onsets: np.ndarray
    stops: np.ndarray
    clock: str


def presentations_of(
    name: str, session: xr.DataTree, wanted: Any, event: str, event_clock: str | None
) -> Presentations:
    """The presentations of one session.

    Parameters
    ----------
    name, session : str, DataTree node
        The session.
    wanted : str, Dataset or DataFrame
        Name of a table of the session, or a table of one's own.
    event : str
        Column that onsets are taken from.
    event_clock : {"session", "presentation"} or None
        Whose clock that column is on; found by comparing it with starts and stops for None.

    Raises
    ------
    NotInTree
        If there is no such table or column.
    ValueError
        If it cannot be told whose clock the events are on.
    """
    if isinstance(wanted, str):
        known = session.children.get(schema.PRESENTATIONS)
        tables = {} if known is None else dict(known.children)
        if wanted not in tables:
            raise NotInTree("presentation table", wanted, tables, where=f"session {name!r}")
        label, node = wanted, tables[wanted].to_dataset()
    else:
        label, node = "your table", _own_table(wanted)
    for needed in {"start_time", event}:
        if needed not in node.data_vars:
            where = f"{label!r} of session {name!r}"
            raise NotInTree("column", needed, node.data_vars, where=where)
    start = node["start_time"].values.astype(float)
    stop = node["stop_time"].values.astype(float) if "stop_time" in node else np.full_like(
        start, np.nan
    )  # fmt: skip
    times = node[event].values.astype(float)
    clock = event_clock or _clock_of(event, times, start, stop)
    onsets = times if clock == "session" else start + times
    return Presentations(label, node, onsets, stop, clock)


def _own_table(table: xr.Dataset | pd.DataFrame) -> xr.Dataset:
    """A user's table, or bare onsets, as a node: along presentation_id, text as object."""
    if isinstance(table, xr.Dataset):
        if schema.PRESENTATION not in table.dims:
            msg = f"a table of dims {dict(table.sizes)}: expected presentation_id"
            raise SchemaError(msg)
        return table
    plain = not isinstance(table, pd.DataFrame | Mapping) and np.ndim(table) == 1
    frame = pd.DataFrame({"start_time": np.asarray(table, float)} if plain else table)
    ids = frame.index.to_numpy()
    ids = ids if ids.dtype.kind in "iu" else np.arange(len(frame))
    columns = {
        str(name): (schema.PRESENTATION, np.asarray(column, object)
                    if pd.api.types.is_string_dtype(column) else column.to_numpy())
        for name, column in frame.items()
    }  # fmt: skip
    return xr.Dataset(columns, {schema.PRESENTATION: ids})


def _clock_of(name: str, event: np.ndarray, start: np.ndarray, stop: np.ndarray) -> str:
    """Whether event times are on the session clock or relative to each presentation's start.

    Raises
    ------
    ValueError
        If neither makes sense of nearly all of them, or both do.
    """
    known = np.isfinite(event) & np.isfinite(start)
    if not known.any() or np.array_equal(event[known], start[known]):
        return "session"
    event, start = event[known], start[known]
    stop = np.where(np.isfinite(stop[known]), stop[known], np.inf)
    session = float(np.mean((event >= start) & (event <= stop)))
    relative = float(np.mean((event >= 0) & (event <= stop - start)))
    if session >= _PLAUSIBLE and session > relative:
        return "session"
    if relative >= _PLAUSIBLE and relative > session:
        return "presentation"
    msg = (
        f"the times in {name!r} lie between start and stop for {session:.0%} of the presentations "
        f"on the session clock, and for {relative:.0%} relative to start_time: say "
        "event_clock='session' or event_clock='presentation'"
    )
    raise ValueError(msg)


def longest(tables: Iterable[Presentations]) -> float:
    """Duration of the longest presentation of all sessions, in seconds."""
    tables = list(tables)
    onsets = np.concatenate([table.onsets for table in tables])
    stops = np.concatenate([table.stops for table in tables])
    return binning.longest(onsets, stops)


def as_rows(table: Presentations) -> xr.Dataset:
    """The table of an aligned tree: onset, stop and duration in full precision, all parameters."""
    rows = table.node.drop_vars(schema.PRESENTATION)
    start = rows["start_time"].astype(float) if "start_time" in rows else None
    if "stop_time" in rows and start is not None:
        duration = (rows["stop_time"].values - start.values).astype(float)
        rows["duration"] = schema.var("table", "duration", duration, tree=schema.ALIGNED)
    return rows.drop_vars([k for k in rows.coords])
