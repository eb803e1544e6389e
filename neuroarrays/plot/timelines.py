"""Rows over the time of a session: signals as traces, events as ticks, tables as bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from neuroarrays import schema
from neuroarrays.plot.drawing import PALETTE, frameless, nothing, text_of, trace
from neuroarrays.tree.intervals import merged

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from neuroarrays.tree.timelines import TimelineRow


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
    """Bars: a few one by one, many as the time they cover, none too thin to see."""
    starts, stops = intervals[np.isfinite(intervals[:, 0])].T
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
        bars, (height - 0.35, 0.7), facecolor=PALETTE[1], edgecolor=edge, lw=0.8, snap=False
    )
