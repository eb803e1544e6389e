"""Plots of timelines: signals as traces, events as ticks, tables as bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.patches import Patch

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.plot.drawing import PALETTE, axes_of, frameless, nothing, text_of, trace
from neuroarrays.schema import given
from neuroarrays.tree import contents
from neuroarrays.tree.intervals import merged
from neuroarrays.tree.timelines import tables_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from neuroarrays.tree.timelines import TimelineRow


#: Colours of tables, one after another.
_COLOURS = (*PALETTE, "#999999", "#882255", "#44AA99", "#DDCC77", "#332288")
#: The most sessions whose names are shown.
_NAMES = 40


def timeline(tree: xr.DataTree, ax: Axes | None = None) -> Axes:
    """Plot when presentations took place: a row for each session, a colour for each table.

    Parameters
    ----------
    tree : DataTree
        A recording tree; starts and stops of its presentations are read. Tables that overlap, such
        as trials and epochs, share the height of the row.
    ax : Axes, optional
        Axes to draw on (default: the current ones).

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    SchemaError
        If it is not a recording tree, or no session has presentations with times.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> ax = na.plot.timeline(tree)
    """
    given.check(tree, xr.DataTree, "expected the tree of a recording")
    facts = contents.of_tree(tree)
    if facts.kind != schema.RECORDING:
        msg = (
            f"expected the tree of a recording, found {given.described(tree)}; "
            "na.plot.overview shows the presentations of an aligned tree"
        )
        raise SchemaError(msg)
    names = list(dict.fromkeys(session.name for session in facts.sessions))
    paths = {session.name: session.path for session in facts.sessions}
    intervals = {name: tables_of(tree.root[paths[name]]) for name in names}
    tables = list(dict.fromkeys(table for each in intervals.values() for table in each))
    if not tables:
        msg = f"no session has presentations with times; sessions: {', '.join(names) or 'none'}"
        raise SchemaError(msg)
    if ax is None and not plt.get_fignums():
        size = (8, float(np.clip(1 + 0.3 * len(names), 2, 12)))
        ax = plt.figure(figsize=size, layout="constrained").gca()
    ax = axes_of(ax)
    colours = {table: _COLOURS[i % len(_COLOURS)] for i, table in enumerate(tables)}
    ends = [rows[np.isfinite(rows)] for each in intervals.values() for rows in each.values()]
    reach = float(np.ptp(np.concatenate(ends))) or 1.0
    for height, name in enumerate(reversed(names)):
        share = 0.8 / max(len(intervals[name]), 1)
        for i, (table, rows) in enumerate(intervals[name].items()):
            _draw_bars(ax, (height + 0.4 - (i + 1) * share, share), rows, colours[table], reach)
    step = max(1, -(-len(names) // _NAMES))
    positions = range(len(names) - 1, -1, -step)
    ax.set_yticks(positions, [text_of(name) for name in names[::step]])
    ax.set(xlabel="time (s)", ylim=(-0.6, len(names) - 0.4))
    ax.ticklabel_format(axis="x", style="plain", useOffset=False)
    patches = [Patch(color=colours[table], label=text_of(table)) for table in tables]
    beside = (1.0, 1.02)
    ax.legend(
        handles=patches, frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=beside
    )
    frameless(ax)
    return ax


def _draw_bars(
    ax: Axes, row: tuple[float, float], rows: np.ndarray, colour: str, reach: float
) -> None:
    """Bars of the time that intervals cover, wide enough to see."""
    rows = rows[np.isfinite(rows).all(axis=1)]
    if not rows.size:
        return
    least = reach / 1000
    starts, stops = merged(np.stack([rows[:, 0], np.maximum(rows[:, 1], rows[:, 0] + least)], 1))
    bars = list(zip(starts, stops - starts, strict=True))
    ax.broken_barh(bars, row, facecolor=colour, edgecolor="none")


def draw(ax: Axes, rows: Sequence[TimelineRow]) -> None:
    """Draw rows from top to bottom."""
    if not rows:
        nothing(ax, "no signals, events or presentations with times")
        return
    for height, row in enumerate(reversed(rows)):
        if row.signal is not None:
            trace(ax, row.signal, row.signal[schema.TIME].values, height)
        elif row.clock is not None:
            ax.plot(row.clock, [height, height], color=PALETTE[0], lw=3)
        elif row.events is not None:
            heights = np.full(row.events.size, height)
            ax.plot(row.events, heights, "|", color=PALETTE[2], ms=7, mew=0.4)
        elif row.intervals is not None:
            _draw_intervals(ax, height, row.intervals)
    labels = [text_of(row.name) for row in reversed(rows)]
    ax.set_yticks(range(len(rows)), labels, fontsize="small")
    ax.set_ylim(-0.6, max(len(rows), 1) - 0.4)
    ax.ticklabel_format(axis="x", style="plain", useOffset=False)
    frameless(ax)


def _draw_intervals(ax: Axes, height: float, intervals: np.ndarray) -> None:
    """Draw bars, wide enough to see; many are joined to the time they cover."""
    starts, stops = intervals[np.isfinite(intervals[:, 0])].T
    if not starts.size:
        return
    least = (stops.max() - starts.min()) / 800
    stops = np.maximum(stops, starts + least)
    if starts.size > 40:
        starts, stops = merged(np.stack([starts, stops + least], axis=1))
    # White edges separate wide bars; thin bars have edges in their own colour.
    wide = (stops - starts).min() > (stops.max() - starts.min()) / 100
    edge = "white" if wide else PALETTE[1]
    bars = list(zip(starts, stops - starts, strict=True))
    ax.broken_barh(
        bars, (height - 0.35, 0.7), facecolor=PALETTE[1], edgecolor=edge, lw=0.8, snap=False
    )
