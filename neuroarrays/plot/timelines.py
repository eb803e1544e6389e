"""When what was recorded, done and shown in a session: rows over its time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.plot.drawing import PALETTE, frameless, nothing, text_of, trace
from neuroarrays.tree.intervals import merged
from neuroarrays.tree.observed import of_session

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Signals that a timeline has rows for.
_SIGNALS = 12
#: A row of a timeline: what it is called and how it is drawn.
_Row = tuple[str, Any]


def recorded(session: Any) -> list[_Row]:
    """Signals, events and tables of a session of a recording tree, in this order.

    And when it was recorded, if that is more than one stretch.
    """
    series, events, tables = [], [], []
    for path, node in session.subtree_with_keys:
        if path == "." or not all(node.sizes.values()):
            continue
        name = path.rpartition("/")[2]
        if schema.PRESENTATION in node.sizes and "start_time" in node.data_vars:
            tables.append((f"{name} ({node.sizes[schema.PRESENTATION]:,})", _table_of(node)))
        elif node.sizes.get(schema.TIME, 0) > 1 and schema.TIME in node.coords:
            series += _signals(path, node)
        elif "event_time" in node.data_vars:
            times = node["event_time"].values
            events.append((f"{name} ({times.size:,})", times))
    series.sort(key=lambda row: row[0].count("/"))  # those of the session before those of a camera
    if len(series) > _SIGNALS:
        more = len(series) - _SIGNALS + 1
        series = [*series[: _SIGNALS - 1], (f"and {more} more signals", None)]
    rows = of_session(session).rows
    observed = [("observed", (rows[:, 0], rows[:, 1]))] if len(rows) > 1 else []
    return series + events + tables + observed


def _signals(path: str, node: Any) -> list[_Row]:
    """The signals of a clock, one row each; of one that has several values a time, the clock."""
    signals = [
        (path if len(node.data_vars) == 1 else f"{path}/{name}", signal)
        for name, signal in node.data_vars.items()
        if signal.dims == (schema.TIME,) and signal.dtype.kind == "f"
    ]
    return signals or [(path, node[schema.TIME])]


def _table_of(node: Any) -> tuple[np.ndarray, np.ndarray]:
    starts = node["start_time"].values
    stops = node["stop_time"].values if "stop_time" in node.data_vars else starts
    return starts, np.where(np.isfinite(stops), stops, starts)


def aligned(areas: list[tuple[str, Any]]) -> tuple[list[_Row], str]:
    """Behaviour and presentations of a session of an aligned tree, and what they are drawn over.

    `areas` holds the block and the node of each. Behaviour of trials is shown as its mean in each,
    of the first area of a block; trials whose times the file does not say, one after another.
    """
    signals: dict[str, xr.DataArray] = {}
    tables: dict[str, Any] = {}
    over = "time (s)"
    for block, area in areas:
        if schema.PRESENTATION in area.sizes:
            node = area.children.get(schema.PRESENTATIONS, area)
            n = area.sizes[schema.PRESENTATION]
            title = f"{block or 'presentations'} ({n:,})"
            if title in tables:
                continue
            starts, stops = np.arange(n), np.arange(n) + 1.0
            if "start_time" in node.data_vars and node["start_time"].notnull().any():
                starts, stops = _table_of(node)
            else:
                over = "presentations, one after another"
            tables[title] = starts, stops
        elif schema.TIME in area.coords:
            starts = area[schema.TIME].values
            tables[f"{block or 'clock'} ({starts.size:,} bins)"] = area[schema.TIME]
        else:
            continue
        for name, signal in _behaviour(area):
            if signal.sizes[signal.dims[0]] == starts.size:
                order = np.argsort(starts, kind="stable")
                at = signal.assign_coords(at=(signal.dims[0], starts))
                signals.setdefault(name, at.isel({signal.dims[0]: order}))
    return [*list(signals.items())[:_SIGNALS], *tables.items()], over


def _behaviour(area: Any) -> Iterator[tuple[str, xr.DataArray]]:
    """Signals of an aligned area, of trials their means, those without any value left out."""
    for path, node in area.subtree_with_keys:
        for name, signal in node.data_vars.items():
            along = {schema.PRESENTATION, schema.TIME}
            if signal.dtype.kind != "f" or not signal.dims or not set(signal.dims) <= along:
                continue
            if path.startswith(schema.PRESENTATIONS):
                continue
            means = signal.mean(schema.TIME, keep_attrs=True) if signal.ndim > 1 else signal
            if means.notnull().any():
                yield (f"{path}/{name}" if path != "." else str(name)), means


def draw(ax: Axes, rows: list[_Row]) -> None:
    """Draw rows from top to bottom: signals as traces, events as ticks, tables as bars."""
    if not rows:
        nothing(ax, "no signals, events or presentations with times")
        return
    for row, (_, drawn) in enumerate(reversed(rows)):
        if drawn is None:
            continue
        if isinstance(drawn, xr.DataArray) and drawn.name == schema.TIME:
            ax.plot(drawn.values[[0, -1]], [row, row], color=PALETTE[0], lw=3)
        elif isinstance(drawn, xr.DataArray):
            time = drawn["at" if "at" in drawn.coords else schema.TIME].values
            trace(ax, drawn, time, row)
        elif isinstance(drawn, tuple):
            _draw_table(ax, row, *drawn)
        else:
            ax.plot(drawn, np.full(drawn.size, row), "|", color=PALETTE[2], ms=7, mew=0.4)
    labels = [text_of(label) for label, _ in reversed(rows)]
    ax.set_yticks(range(len(rows)), labels, fontsize="small")
    ax.set_ylim(-0.6, max(len(rows), 1) - 0.4)
    ax.ticklabel_format(axis="x", style="plain", useOffset=False)
    frameless(ax)


def _draw_table(ax: Axes, row: int, starts: np.ndarray, stops: np.ndarray) -> None:
    """Presentations as bars: a few one by one, many as the time they cover, none too thin to see."""
    known = np.isfinite(starts)
    starts, stops = starts[known], stops[known]
    if not starts.size:
        return
    least = (stops.max() - starts.min()) / 800
    stops = np.maximum(stops, starts + least)
    if starts.size > 40:
        starts, stops = merged(np.stack([starts, stops + least], axis=1))
    # White edges part bars that are wide; thin ones are drawn in their own colour, or not seen.
    wide = (stops - starts).min() > (stops.max() - starts.min()) / 100
    edge = "white" if wide else PALETTE[1]
    bars = list(zip(starts, stops - starts, strict=True))
    ax.broken_barh(
        bars, (row - 0.35, 0.7), facecolor=PALETTE[1], edgecolor=edge, lw=0.8, snap=False
    )
