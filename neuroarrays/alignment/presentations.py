"""The presentations that spikes are aligned to: onsets, stops, and whose clock they are on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment import bins
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.tree.columns import plain_column, seconds
from neuroarrays.tree.sessions import events_of

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
    name: str, wanted: Any, event: str, event_clock: str | None, label: str = "your table"
) -> Presentations:
    """The presentations of one session.

    Parameters
    ----------
    name : str
        The session.
    wanted : Dataset, DataFrame, or (n,) onsets
        Its table.
    event : str
        Column that onsets are taken from.
    event_clock : {"session", "presentation"} or None
        Whose clock that column is on; found by comparing it with starts and stops for None.
    label : str
        What to call the table in an error.

    Raises
    ------
    NotInTree
        If there is no such column.
    ValueError
        If it cannot be told whose clock the events are on.
    """
    node = _own_table(wanted)
    for needed in {"start_time", event}:
        if needed not in node.data_vars:
            where = f"{label!r} of session {name!r}"
            raise NotInTree("column", needed, node.data_vars, where=where)
    start, times = (
        seconds(node[column], f"{column} of {label!r}") for column in ("start_time", event)
    )
    stop = np.full_like(start, np.nan)
    if "stop_time" in node:
        stop = seconds(node["stop_time"], f"stop_time of {label!r}")
    clock = event_clock or _clock_of(event, times, start, stop)
    onsets = times if clock == "session" else start + times
    return Presentations(label, node, onsets, stop, clock)


def _own_table(table: xr.Dataset | pd.DataFrame) -> xr.Dataset:
    """A user's table, or bare onsets, as a node: along presentation_id, in plain numpy, seconds."""
    if isinstance(table, xr.Dataset):
        if schema.PRESENTATION not in table.dims:
            msg = f"a table of dims {dict(table.sizes)}: expected presentation_id"
            raise SchemaError(msg)
        odd = {
            name: column.variable.copy(data=plain_column(column))
            for name, column in table.data_vars.items()
            if column.dims == (schema.PRESENTATION,)
            and not (isinstance(column.dtype, np.dtype) and column.dtype.kind in "biufSU")
        }
        return table.assign(odd)
    plain = not isinstance(table, pd.DataFrame | Mapping) and np.ndim(table) == 1
    frame = pd.DataFrame({"start_time": seconds(table, "onsets")} if plain else table)
    ids = frame.index.to_numpy()
    ids = ids if ids.dtype.kind in "iu" else np.arange(len(frame))
    columns = {
        str(name): (schema.PRESENTATION, plain_column(column)) for name, column in frame.items()
    }
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
    return bins.longest(onsets, stops)


def as_rows(table: Presentations) -> xr.Dataset:
    """The table of an aligned tree: onset, stop and duration in full precision, all parameters."""
    rows = table.node
    if "stop_time" in rows:
        duration = (rows["stop_time"].values - rows["start_time"].values).astype(float)
        made = schema.var("table", "duration", duration, tree=schema.ALIGNED)
        rows = rows.assign(duration=made)
    return rows


def tables_of(
    sessions: Mapping[str, xr.DataTree], wanted: Any, blanks: str = "drop"
) -> tuple[dict[str, Any], dict[str, str]]:
    """The table of each session, and what was done to it.

    Parameters
    ----------
    sessions : dict of str to DataTree node
        Sessions by name.
    wanted : str, callable, mapping, table or onsets
        As `align` takes them.
    blanks : {"drop", "keep"}
        What becomes of rows that a table marks as `blank`.

    Returns
    -------
    tables, dropped : dict of str to table, dict of str to str
        By session; what was dropped and how many, only where something was.
    """
    if isinstance(wanted, str):
        found = select(sessions, wanted, blanks=blanks)
        said = {name: str(table.attrs.pop("dropped", "")) for name, table in found.items()}
        return dict(found), {name: text for name, text in said.items() if text}
    if callable(wanted):
        return {name: wanted(session) for name, session in sessions.items()}, {}
    own = isinstance(wanted, Mapping) and not isinstance(wanted, xr.Dataset | pd.DataFrame)
    if own and wanted and set(wanted) & set(sessions):
        for name in sessions:
            if name not in wanted:
                raise NotInTree("table for the session", name, wanted)
        return {name: wanted[name] for name in sessions}, {}
    return dict.fromkeys(sessions, wanted), {}


def select(
    sessions: Mapping[str, xr.DataTree] | xr.DataTree,
    name: str,
    *,
    blanks: str = "drop",
    max_deviation: float | str | None = "stated",
    medians: Mapping[str, float] | None = None,
) -> dict[str, xr.Dataset]:
    """The presentations of one table in every session, blank and odd ones left out.

    Parameters
    ----------
    sessions : DataTree, or dict of str to DataTree node
        A recording tree, or sessions by name.
    name : str
        A table; several joined by "+" are taken one after another, where a session has them.
    blanks : {"drop", "keep"}
        What becomes of rows that a table marks as `blank`.
    max_deviation : float, s, or "stated", optional
        Rows whose duration is this far from the median, or further, are left out; what the reader
        states for the table ("stated"), or none (None).
    medians : dict of str to float, s, optional
        Median duration by table; pooled over `sessions`, blanks included, where not given.

    Returns
    -------
    dict of str to Dataset
        By session, along ``presentation_id``, to give to `align`; attribute ``dropped`` says what
        was left out.

    Raises
    ------
    NotInTree
        If a session has none of the tables.
    ValueError
        If `blanks` is neither.
    """
    if blanks not in ("drop", "keep"):
        msg = f"blanks={blanks!r}: expected 'drop' or 'keep'"
        raise ValueError(msg)
    sessions = dict(sessions.children) if isinstance(sessions, xr.DataTree) else sessions
    tables = {session: _named(session, node, name) for session, node in sessions.items()}
    known = median_durations(tables.values()) | dict(medians or {})
    found = {}
    for session, parts in tables.items():
        kept = [
            _kept(part, blanks, max_deviation, known.get(label)) for label, part in parts.items()
        ]
        found[session] = kept[0] if len(kept) == 1 else _joined(dict(zip(parts, kept, strict=True)))
    return found


def median_durations(tables: Iterable[Mapping[str, xr.Dataset]]) -> dict[str, float]:
    """Median duration of each table over all sessions, s; tables without stops are left out."""
    durations: dict[str, list[np.ndarray]] = {}
    for session in tables:
        for name, table in session.items():
            if "stop_time" in table and "start_time" in table:
                lengths = table["stop_time"].values - table["start_time"].values
                durations.setdefault(name, []).append(lengths[np.isfinite(lengths)])
    pooled = {name: np.concatenate(parts) for name, parts in durations.items()}
    return {name: float(np.median(values)) for name, values in pooled.items() if values.size}


def _named(session: str, node: xr.DataTree, name: str) -> dict[str, xr.Dataset]:
    """The tables of a session that a name or names joined by "+" mean."""
    known = node.children.get(schema.PRESENTATIONS)
    tables: dict[str, xr.Dataset | xr.DataTree] = dict(events_of(node))
    tables |= {} if known is None else known.children
    names = [name] if name in tables else [part.strip() for part in name.split("+")]
    found = {part: _rows_of(tables[part]) for part in names if part in tables}
    if not found:
        where = f"session {session!r}"
        raise NotInTree("presentation table", names[0], tables, where=where)
    return found


def _rows_of(node: xr.Dataset | xr.DataTree) -> xr.Dataset:
    """A table, or point events as one: each of them starts a presentation."""
    table = node.to_dataset() if isinstance(node, xr.DataTree) else node
    if "event_time" not in table:
        return table
    (along,) = table["event_time"].dims
    columns = [
        n for n, v in table.data_vars.items() if v.dims[:1] == (along,) and n != "start_time"
    ]
    rows = table[columns].reset_coords(drop=True)
    rows = rows.rename({along: schema.PRESENTATION, "event_time": "start_time"})
    return rows.assign_coords({schema.PRESENTATION: np.arange(rows.sizes[schema.PRESENTATION])})


def _kept(
    table: xr.Dataset, blanks: str, max_deviation: float | str | None, median: float | None
) -> xr.Dataset:
    keep = np.ones(table.sizes.get(schema.PRESENTATION, 0), bool)
    dropped = []
    limit = table.attrs.get("max_deviation") if max_deviation == "stated" else max_deviation
    if limit is not None and median is not None and "stop_time" in table:
        lengths = table["stop_time"].values - table["start_time"].values
        keep = np.abs(lengths - median) < float(limit)
        dropped.append((int((~keep).sum()), f"of odd duration (median {median:.4f} s)"))
    if blanks == "drop" and "blank" in table:
        blank = table["blank"].values.astype(bool)
        dropped.append((int((keep & blank).sum()), "blank"))
        keep = keep & ~blank
        table = table.drop_vars("blank")
    if not keep.all():
        table = table.isel({schema.PRESENTATION: np.flatnonzero(keep)})
    said = ", ".join(f"{count} {why}" for count, why in dropped if count)
    attrs = {key: value for key, value in table.attrs.items() if key != "max_deviation"}
    return table.drop_attrs(deep=False).assign_attrs(attrs | ({"dropped": said} if said else {}))


def _joined(parts: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Tables one after another: the columns they share, and `table`, which each row is from."""
    first = next(iter(parts.values()))
    shared = [
        column
        for column in first.data_vars
        if all(column in part and part[column].ndim == 1 for part in parts.values())
    ]
    columns = {
        str(column): xr.Variable(
            schema.PRESENTATION,
            np.concatenate([part[column].values for part in parts.values()]),
            first[column].attrs,
        )
        for column in shared
    }
    labels = [
        np.full(part.sizes[schema.PRESENTATION], name, object) for name, part in parts.items()
    ]
    columns["table"] = xr.Variable(schema.PRESENTATION, np.concatenate(labels))
    ids = np.concatenate([part[schema.PRESENTATION].values for part in parts.values()])
    said = [
        f"{name}: {part.attrs['dropped']}"
        for name, part in parts.items()
        if part.attrs.get("dropped")
    ]
    attrs = {"dropped": "; ".join(said)} if said else {}
    return xr.Dataset(columns, {schema.PRESENTATION: ids}, attrs=attrs)
