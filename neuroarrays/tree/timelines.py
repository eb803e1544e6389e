"""Rows of a timeline: the times of the signals, events and stimuli of a session."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.tree.observed import OF_SESSION, of_session

#: The most signals that a timeline has rows for.
SIGNALS = 12


@dataclass(frozen=True, eq=False)
class TimelineRow:
    """One row of a timeline; it has at most one of the last three attributes.

    Attributes
    ----------
    name : str
        The title of the row.
    signal : (n,) DataArray, optional
        Values in any unit, with the coordinate `time` in s.
    clock : (float, float), s, optional
        First and last time of a signal that has several values per sample.
    events : (n,) float64, s, optional
        Times of point events on the session clock.
    intervals : (n, 2) float64, s, optional
        Starts and stops; an unknown stop equals the start.
    """

    name: str
    signal: xr.DataArray | None = None
    clock: tuple[float, float] | None = None
    events: np.ndarray | None = None
    intervals: np.ndarray | None = None


def of_recording(session: Any) -> list[TimelineRow]:
    """List the signals, events and tables of a session of a recording tree.

    A row with the recorded time is added if it has more than one stretch. Of more than 12 signals
    only the first are listed, with a row that tells the number of the others.

    Parameters
    ----------
    session : DataTree node
        A session of a recording tree; its signals, events and tables are read.

    Returns
    -------
    list of TimelineRow
    """
    signals: list[TimelineRow] = []
    events: list[TimelineRow] = []
    tables: list[TimelineRow] = []
    for path, node in session.subtree_with_keys:
        if path == "." or not all(node.sizes.values()):
            continue
        name = path.rpartition("/")[2]
        if schema.PRESENTATION in node.sizes and schema.START_TIME in node.data_vars:
            title = f"{name} ({node.sizes[schema.PRESENTATION]:,})"
            tables.append(TimelineRow(title, intervals=_intervals(node)))
        elif node.sizes.get(schema.TIME, 0) > 1 and schema.TIME in node.coords:
            signals += _signals(path, node)
        elif schema.EVENT_TIME in node.data_vars:
            times = node[schema.EVENT_TIME].values
            events.append(TimelineRow(f"{name} ({times.size:,})", events=times))
    # The signals of the session come before those of a camera, whose paths are longer.
    signals.sort(key=lambda row: row.name.count("/"))
    if len(signals) > SIGNALS:
        more = len(signals) - SIGNALS + 1
        signals = [*signals[: SIGNALS - 1], TimelineRow(f"and {more} more signals")]
    stretches = of_session(session).rows
    recorded = [TimelineRow(schema.OBSERVED, intervals=stretches)] if len(stretches) > 1 else []
    return signals + events + tables + recorded


def tables_of(session: Any) -> dict[str, np.ndarray]:
    """Read the starts and stops of the tables of a session.

    Parameters
    ----------
    session : DataTree node
        A session of a recording tree; onsets and ends of its tables are read.

    Returns
    -------
    dict of str to (n, 2) float64, s
        Name of the table -> its intervals; an unknown stop equals the start.
    """
    return {
        path.rpartition("/")[2]: _intervals(node)
        for path, node in session.subtree_with_keys
        if path != "."
        and node.sizes.get(schema.PRESENTATION, 0)
        and schema.START_TIME in node.data_vars
    }


def _signals(path: str, node: Any) -> list[TimelineRow]:
    """A row for each signal of a node with one value per sample.

    If the node has no such signal, there is one row with the first and last time of its clock.
    """
    rows = [
        TimelineRow(path if len(node.data_vars) == 1 else f"{path}/{name}", signal)
        for name, signal in node.data_vars.items()
        if signal.dims == (schema.TIME,) and signal.dtype.kind == "f"
    ]
    return rows or [TimelineRow(path, clock=_ends(node))]


def _ends(node: Any) -> tuple[float, float]:
    """The first and last time of the clock of a node, s."""
    first, last = node[schema.TIME].isel({schema.TIME: [0, -1]}).values
    return float(first), float(last)


def _intervals(node: Any) -> np.ndarray:
    """Starts and stops of a table, (presentation_id, 2) float64 in s."""
    starts = node[OF_SESSION[0]].values
    stops = node[OF_SESSION[1]].values if OF_SESSION[1] in node.data_vars else starts
    return np.stack([starts, np.where(np.isfinite(stops), stops, starts)], axis=1)


def of_aligned(areas: Sequence[tuple[str, Any]]) -> tuple[list[TimelineRow], str]:
    """List the behaviour and presentations of a session of an aligned tree.

    Behaviour aligned to presentations is shown as its mean in each, from the first area of a block.
    If the times of presentations are not known, they are put one after another.

    Parameters
    ----------
    areas : sequence of (str, DataTree node)
        Block and node of each area.

    Returns
    -------
    rows : list of TimelineRow
        Up to 12 signals, then tables and clocks.
    along : str
        The label of the time axis, with its unit.
    """
    signals: dict[str, TimelineRow] = {}
    tables: dict[str, TimelineRow] = {}
    along = "time (s)"
    for block, area in areas:
        if schema.PRESENTATION in area.sizes:
            node = area.children.get(schema.PRESENTATIONS, area)
            n = area.sizes[schema.PRESENTATION]
            title = f"{block or schema.PRESENTATIONS} ({n:,})"
            if title in tables:
                continue
            intervals = np.arange(n)[:, None] + np.array([0.0, 1.0])
            if schema.START_TIME in node.data_vars and node[schema.START_TIME].notnull().any():
                intervals = _intervals(node)
            else:
                along = "presentations, one after another"
            tables[title], starts = TimelineRow(title, intervals=intervals), intervals[:, 0]
        elif schema.TIME in area.coords:
            starts = area[schema.TIME].values
            title = f"{block or 'clock'} ({starts.size:,} bins)"
            tables[title] = TimelineRow(title, clock=_ends(area))
        else:
            continue
        for name, signal in _behaviour(area):
            if signal.size == starts.size:
                order = np.argsort(starts, kind="stable")
                over_time = xr.DataArray(
                    signal.values[order], {schema.TIME: starts[order]}, attrs=signal.attrs
                )
                signals.setdefault(name, TimelineRow(name, over_time))
    return [*list(signals.values())[:SIGNALS], *tables.values()], along


def _behaviour(area: Any) -> Iterator[tuple[str, xr.DataArray]]:
    """The paths and values of the signals of an aligned area; empty signals are left out.

    A signal along presentations and time is averaged over the time of each presentation.
    """
    for path, node in area.subtree_with_keys:
        if path.startswith(schema.PRESENTATIONS):
            continue
        for name, signal in node.data_vars.items():
            along = {schema.PRESENTATION, schema.TIME}
            if signal.dtype.kind != "f" or not signal.dims or not set(signal.dims) <= along:
                continue
            means = signal.mean(schema.TIME, keep_attrs=True) if signal.ndim > 1 else signal
            if means.notnull().any():
                yield (f"{path}/{name}" if path != "." else str(name)), means
