"""Find the presentations to align to: their onsets, stops and clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.given_tables import one_row_each, table_of
from neuroarrays.errors import NotInTree, option
from neuroarrays.schema.given import choice
from neuroarrays.tree.columns import seconds
from neuroarrays.tree.query import check_columns
from neuroarrays.tree.sessions import SessionNodes, events_of

#: An event column is on a clock if this share of its times is possible on it.
_PLAUSIBLE = 0.95


@dataclass(frozen=True)
class Presentations:
    """The presentations of one session: onsets, stops and parameters.

    Attributes
    ----------
    name : str
        Name of their table.
    node : Dataset
        Their table, a column ``(presentation_id,)`` for each parameter; times are in seconds.
    onsets, stops : (presentation_id,) float64, s
        Times on the session clock; an unknown stop is NaN.
    clock : {"session", "presentation"}
        The clock of the column that has the onsets.
    """

    name: str
    node: xr.Dataset
    onsets: np.ndarray
    stops: np.ndarray
    clock: str

    def with_durations(self) -> xr.Dataset:
        """The table for the aligned tree: all columns, and `duration` in s."""
        if schema.STOP_TIME not in self.node.variables:
            return self.node
        start, stop = (
            self.node.variables[name].values for name in (schema.START_TIME, schema.STOP_TIME)
        )
        duration = (stop - start).astype(float)
        column = schema.var("table", "duration", duration, tree=schema.ALIGNED)
        return self.node.assign(duration=column)


def presentations_of(
    name: str, wanted: Any, event: str, event_clock: str | None, label: str = "your table"
) -> Presentations:
    """Take the presentations of one session.

    Parameters
    ----------
    name : str
        Name of the session.
    wanted : Dataset, DataFrame, mapping, (n,) onsets or (n, 2) starts and stops, s
        A table, or times on the session clock; see `given_tables.table_of`.
    event : str
        Column that has the onsets.
    event_clock : {"session", "presentation"} or None
        Clock of that column; None compares it with starts and stops.
    label : str
        Name of the table in an error.

    Raises
    ------
    NotInTree
        If the table has no such column.
    ValueError
        If the clock of the events cannot be decided.
    """
    node = table_of(wanted, event, label)
    where = f"{label!r} of session {name!r}"
    check_columns((schema.START_TIME, event), map(str, node.data_vars), where)
    start, times = (
        seconds(node[column], f"{column} of {label!r}") for column in (schema.START_TIME, event)
    )
    stop = np.full_like(start, np.nan)
    if schema.STOP_TIME in node:
        stop = seconds(node[schema.STOP_TIME], f"stop_time of {label!r}")
    clock = event_clock or _clock_of(event, times, start, stop)
    onsets = times if clock == "session" else start + times
    return Presentations(label, node, onsets, stop, clock)


def _clock_of(name: str, event: np.ndarray, start: np.ndarray, stop: np.ndarray) -> str:
    """Decide whether event times are on the session clock or relative to presentations.

    Raises
    ------
    ValueError
        If nearly all times are possible on neither clock, or on both.
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
        f"cannot decide the clock of {name!r}: its times are between start and stop for "
        f"{session:.0%} of the presentations "
        f"on the session clock, and for {relative:.0%} relative to start_time; give "
        f"{option('event_clock', 'session')} or {option('event_clock', 'presentation')}"
    )
    raise ValueError(msg)


def session_tables(
    sessions: Mapping[str, SessionNodes],
    wanted: Any,
    blanks: str = "drop",
    missing: str = "raise",
) -> tuple[dict[str, Any], dict[str, str]]:
    """Take the table of each session that has one, and list what was left out.

    Parameters
    ----------
    sessions : dict of str to SessionNodes
        Sessions by name.
    wanted : str, callable, mapping, table or onsets
        The presentations, as `align` takes them.
    blanks : {"drop", "keep"}
        Whether to leave out rows that a table marks as `blank`.
    missing : {"raise", "skip"}
        What to do with sessions without the table: raise an error, or leave them out.

    Returns
    -------
    tables, left_out : dict of str to table, dict of str to str
        The tables by session; and, by session, which rows were left out, or that the session has no
        such table. A name among several joined by "+" that no session has is listed too.

    Raises
    ------
    NotInTree
        If a session has no table and `missing` is "raise", or if no session has one.
    """
    if isinstance(wanted, str):
        known = {name: session.events | session.tables for name, session in sessions.items()}
        tables = _selected(known, wanted, blanks, "stated", {}, missing)
        dropped = {name: str(table.attrs.pop("dropped", "")) for name, table in tables.items()}
        lacking = {name: f"no table {wanted!r}" for name in sessions if name not in tables}
        names = {table for of_session in known.values() for table in of_session}
        parts = [] if wanted in names else parts_of_name(wanted)
        lacking |= {part: "no session has this table" for part in parts if part not in names}
        return dict(tables), {name: text for name, text in dropped.items() if text} | lacking
    is_table = isinstance(wanted, xr.Dataset | xr.DataTree | pd.DataFrame)
    mapping = isinstance(wanted, Mapping) and not is_table
    if callable(wanted):
        given = {name: wanted(session.node) for name, session in sessions.items()}
    elif mapping and wanted and set(wanted) & set(sessions):
        given = {name: wanted.get(name) for name in sessions}
    else:
        return dict.fromkeys(sessions, wanted), {}
    tables = {name: table for name, table in given.items() if table is not None}
    lacking = {name: "no table given" for name in sessions if name not in tables}
    if lacking and (missing == "raise" or not tables):
        raise NotInTree("table for the session", next(iter(lacking)), tables)
    return tables, lacking


def select(
    sessions: Mapping[str, xr.DataTree] | xr.DataTree,
    name: str,
    *,
    blanks: str = "drop",
    max_deviation: float | str | None = "stated",
    medians: Mapping[str, float] | None = None,
    missing: str = "raise",
) -> dict[str, xr.Dataset]:
    """Take the presentations of one table in each session, without blanks and odd durations.

    Parameters
    ----------
    sessions : DataTree, or dict of str to DataTree node
        A recording tree, or sessions by name.
    name : str
        Name of a table. Tables whose names are joined by "+" are taken one after another.
    blanks : {"drop", "keep"}
        Whether to leave out rows that a table marks as `blank`.
    max_deviation : float, s, or "stated", optional
        Rows whose duration differs from the median by this much or more are left out. "stated" uses
        the value that the reader states for the table; None keeps all rows.
    medians : dict of str to float, s, optional
        Median duration of each table (default: the median over all `sessions`, with blanks).
    missing : {"raise", "skip"}
        What to do with sessions that have none of the tables: raise an error, or leave them out.

    Returns
    -------
    dict of str to Dataset
        Tables ``(presentation_id,)`` by session, times in seconds, which `align` takes. The
        attribute ``dropped`` tells what was left out.

    Raises
    ------
    NotInTree
        If a session has none of the tables and `missing` is "raise"; if no session has any.
    ValueError
        If `blanks` or `missing` has another value.
    """
    choice(blanks, "blanks", ("drop", "keep"))
    choice(missing, "missing", ("skip", "raise"))
    nodes = dict(sessions.children) if isinstance(sessions, xr.DataTree) else sessions
    known: dict[str, dict[str, xr.Dataset]] = {}
    for session, node in nodes.items():
        tables = node.children.get(schema.PRESENTATIONS, xr.DataTree()).children
        known[session] = events_of(node) | {n: table.to_dataset() for n, table in tables.items()}
    return _selected(known, name, blanks, max_deviation, medians or {}, missing)


def _selected(
    tables: Mapping[str, Mapping[str, xr.Dataset]],
    name: str,
    blanks: str,
    max_deviation: float | str | None,
    medians: Mapping[str, float],
    missing: str,
) -> dict[str, xr.Dataset]:
    """The rows to keep of the tables of one name, by session."""
    asked = _named(tables, name)
    for session, known in tables.items():
        if session not in asked and missing == "raise":
            others = " has it" if len(asked) == 1 else " have it"
            hint = f"{len(asked)} of {len(tables)} sessions{others}: {option('missing', 'skip')}"
            where = f"session {session!r}"
            hint += " aligns those"
            raise NotInTree("presentation table", name, known, hint, where)
    usual = median_durations(asked.values()) | dict(medians)
    selected = {}
    for session, parts in asked.items():
        kept = {
            part: _kept(table, blanks, max_deviation, usual.get(part))
            for part, table in parts.items()
        }
        selected[session] = next(iter(kept.values())) if len(kept) == 1 else _joined(kept)
    return selected


def median_durations(tables: Iterable[Mapping[str, xr.Dataset]]) -> dict[str, float]:
    """Median duration of each table over all sessions, in s; tables without stops are left out."""
    durations: dict[str, list[np.ndarray]] = {}
    for session in tables:
        for name, table in session.items():
            if schema.STOP_TIME in table and schema.START_TIME in table:
                lengths = table[schema.STOP_TIME].values - table[schema.START_TIME].values
                durations.setdefault(name, []).append(lengths[np.isfinite(lengths)])
    pooled = {name: np.concatenate(parts) for name, parts in durations.items()}
    return {name: float(np.median(values)) for name, values in pooled.items() if values.size}


def parts_of_name(name: str) -> list[str]:
    """The names that "+" joins."""
    return [part.strip() for part in name.split("+")]


def _named(
    tables: Mapping[str, Mapping[str, xr.Dataset]], name: str
) -> dict[str, dict[str, xr.Dataset]]:
    """The tables of a name, or of names joined by "+", in each session that has any of them.

    Raises
    ------
    NotInTree
        If no session has any of them.
    """
    known = dict.fromkeys(table for session in tables.values() for table in session)
    names = [name] if name in known else parts_of_name(name)
    if "" in names:
        msg = f"{option('presentations', name)}: expected a name on either side of each '+'"
        raise ValueError(msg)
    named = {}
    for session, session_tables in tables.items():
        if parts := {
            part: one_row_each(session_tables[part]) for part in names if part in session_tables
        }:
            named[session] = parts
    if not named:
        where = f"session {next(iter(tables))!r}" if len(tables) == 1 else "any session"
        raise NotInTree("presentation table", names[0], known, where=where)
    return named


def _kept(
    table: xr.Dataset, blanks: str, max_deviation: float | str | None, median: float | None
) -> xr.Dataset:
    keep = np.ones(table.sizes.get(schema.PRESENTATION, 0), bool)
    dropped = []
    limit = table.attrs.get("max_deviation") if max_deviation == "stated" else max_deviation
    if limit is not None and median is not None and schema.STOP_TIME in table:
        lengths = table[schema.STOP_TIME].values - table[schema.START_TIME].values
        keep = np.abs(lengths - median) < float(limit)
        dropped.append((int((~keep).sum()), f"of odd duration (median {median:.4f} s)"))
    if blanks == "drop" and "blank" in table:
        blank = table["blank"].values.astype(bool)
        dropped.append((int((keep & blank).sum()), "blank"))
        keep = keep & ~blank
        table = table.drop_vars("blank")
    if not keep.all():
        table = table.isel({schema.PRESENTATION: np.flatnonzero(keep)})
    text = ", ".join(f"{count} {why}" for count, why in dropped if count)
    attrs = {key: value for key, value in table.attrs.items() if key != "max_deviation"}
    return table.drop_attrs(deep=False).assign_attrs(attrs | ({"dropped": text} if text else {}))


def _joined(parts: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Tables one after another: their common columns, and `table`, the name of each row's table."""
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
    dropped = [
        f"{name}: {part.attrs['dropped']}"
        for name, part in parts.items()
        if part.attrs.get("dropped")
    ]
    attrs = {"dropped": "; ".join(dropped)} if dropped else {}
    return xr.Dataset(columns, {schema.PRESENTATION: ids}, attrs=attrs)
