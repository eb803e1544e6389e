"""`statistics`: bars of the size of an archive by area, stimulus, session and session type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame

from neuroarrays.plot.drawing import PALETTE, check, frameless, text_of
from neuroarrays.plot.pages import by_stimulus

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: The most names on an axis, and in a legend.
_TICKS, _LEGEND = 60, 30


def statistics(
    frame: pd.DataFrame, session_types: Mapping[str, str] | pd.DataFrame | None = None
) -> dict[str, Axes]:
    """Plot the numbers of units, presentations and sessions of an archive.

    Parameters
    ----------
    frame : DataFrame
        Result of `neuroarrays.catalog`, for aligned archives or recordings.
    session_types : mapping of str to str, or DataFrame, optional
        Session -> its type, or a table with ``session_type`` and ``session`` or ``id``, as from
        `neuroarrays.sessions`. Sessions are then sorted by type.

    Returns
    -------
    dict of str to matplotlib.axes.Axes
        "units_stacked" and "units" show numbers of units by area, with a colour for each stimulus,
        as stacked bars and as bars side by side. "presentations_stacked" and "presentations" show the
        same of presentations. "units_by_session" has a colour for each area. "sessions" shows how
        many sessions had each stimulus, by session type. For each stimulus, "units_<stimulus>" and
        "presentations_<stimulus>" show numbers by session, with a colour for each area.

        Units and presentations count once for each stimulus and area, as they are stored.

    Raises
    ------
    ValueError
        If the frame has no column of sessions, areas, units or presentations, or no row.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_archive
    >>> axes = na.plot.statistics(na.catalog(write_archive("archive.h5")))
    """
    check(frame, DataFrame, "na.catalog", "na.plot.statistics(na.catalog(path))")
    rows = by_stimulus(frame)
    if not len(rows):
        columns = list(frame.columns) if len(frame) else "a table without rows"
        msg = f"expected a catalog with rows and the column 'presentations', found {columns}"
        raise ValueError(msg)
    rows = rows.astype({"units": float, "presentations": float})
    kinds = _kinds(rows, session_types)
    sessions = _sessions(rows, kinds)
    stimuli = rows["block"].drop_duplicates().sort_values().tolist()
    panels: list[Any] = [
        ["units_stacked", "units"],
        ["presentations_stacked", "presentations"],
        ["units_by_session", "sessions"],
        *([f"units_{name}", f"presentations_{name}"] for name in stimuli),
    ]
    heights = [3.0] * 3 + [1.3] * len(stimuli)
    figure = plt.figure(figsize=(18, sum(heights) + 2), layout="constrained")
    axes: dict[str, Axes] = figure.subplot_mosaic(panels, height_ratios=heights)
    for value in ("units", "presentations"):
        areas = _ordered(rows, "area", value)
        grid = _grid(rows, "area", "block", value, areas, _ordered(rows, "block", value))
        title = f"{value.capitalize()} by area and stimulus"
        _bars(axes[f"{value}_stacked"], grid, value, title, stacked=True)
        _bars(axes[value], grid, value, f"{title}, side by side", stacked=False)
        for name in stimuli:
            shown = rows[rows["block"] == name]
            grid = _grid(shown, "session", "area", value, sessions, areas)
            last = name == stimuli[-1]
            title = f"{value.capitalize()} by session: {text_of(name)}"
            _bars(axes[f"{value}_{name}"], grid, value, title, named=last, legend=False)
    grid = _grid(rows, "session", "area", "units", sessions, _ordered(rows, "area", "units"))
    order = ", then ".join(dict.fromkeys(text_of(kinds[name]) for name in sessions))
    _bars(axes["units_by_session"], grid, "units", f"Units by session and area: {order}")
    showed = rows[rows["presentations"] > 0].assign(kind=rows["session"].map(kinds))
    counts = showed.groupby(["block", "kind"])["session"].nunique().unstack(fill_value=0)
    order = counts.sum(axis=1).sort_values(ascending=False, kind="stable").index
    _bars(axes["sessions"], counts.loc[order], "sessions", "Sessions by stimulus and kind")
    return axes


def _kinds(rows: pd.DataFrame, given: Mapping[str, str] | pd.DataFrame | None) -> dict[str, str]:
    """The type of each session, or "unknown"."""
    if given is None and "session_type" in rows:
        given = rows
    named: dict[str, str] = {}
    if isinstance(given, DataFrame):
        key = "session" if "session" in given else "id"
        for needed in (key, "session_type"):
            if needed not in given:
                msg = f"session_types: expected the column {needed!r}, found {list(given.columns)}"
                raise ValueError(msg)
        pairs = zip(given[key], given["session_type"], strict=True)
        named = {str(name): str(kind) for name, kind in pairs}
    elif given is not None:
        named = {str(name): str(kind) for name, kind in given.items()}
    sessions = rows["session"].unique()
    return {
        name: named.get(name, named.get(str(name).removeprefix("session_"), "unknown"))
        for name in sessions
    }


def _sessions(rows: pd.DataFrame, kinds: Mapping[str, str]) -> list[str]:
    """Sessions sorted by type, then by number of units, the most first."""
    totals = rows.groupby("session")["units"].sum()
    return sorted(totals.index, key=lambda name: (kinds[name], -totals[name], name))


def _ordered(rows: pd.DataFrame, column: str, value: str) -> list[str]:
    """The names in a column, the most frequent first."""
    totals = rows.groupby(column)[value].sum().sort_values(ascending=False, kind="stable")
    return [str(name) for name in totals.index]


def _grid(
    rows: pd.DataFrame, index: str, columns: str, value: str, order: list[str], names: list[str]
) -> pd.DataFrame:
    """Sums of a value, by name on the axis and by colour."""
    sums = rows.pivot_table(value, index, columns, "sum", fill_value=0)
    return sums.reindex(index=order, columns=names, fill_value=0)


def _bars(
    ax: Axes,
    grid: pd.DataFrame,
    value: str,
    title: str,
    stacked: bool = True,
    named: bool = True,
    legend: bool = True,
) -> None:
    """Draw a bar for each row of the grid, with a colour for each column."""
    n, k = grid.shape
    several = plt.get_cmap("tab20")(range(20))
    colors = PALETTE if k <= len(PALETTE) else several
    width = 0.85 if stacked else 0.85 / max(k, 1)
    bottom = np.zeros(n)
    for i, name in enumerate(grid.columns):
        heights = grid[name].to_numpy(float)
        at = np.arange(n) + (0 if stacked else (i - (k - 1) / 2) * width)
        color = colors[i % len(colors)]
        low = bottom if stacked else np.zeros(n)
        left, high = at - width / 2, low + heights
        # One collection for each colour: single rectangles would take a minute to draw.
        corners = np.array([[left, low], [left, high], [left + width, high], [left + width, low]])
        boxes = corners.transpose(2, 0, 1)[heights > 0]
        drawn = PolyCollection(boxes, facecolor=color, label=text_of(str(name)), linewidth=0)
        if i >= len(colors):
            drawn.set_hatch("////")  # the colours repeat
        ax.add_collection(drawn)
        bottom = bottom + heights
    highest = float((grid.sum(axis=1) if stacked else grid.max(axis=1)).max())
    legend = legend and k <= _LEGEND
    room = 1.05 + 0.11 * -(-k // 5) * legend
    step = max(1, -(-n // _TICKS))
    labels = [text_of(str(name)) for name in grid.index[::step]] if named else []
    ax.set_xticks(range(0, n, step) if named else [], labels, rotation=90, fontsize="small")
    ax.set(xlim=(-0.6, n - 0.4), ylim=(0, room * highest or 1), ylabel=value)
    ax.set_title(title, loc="left", fontsize="medium")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    if legend:
        ax.legend(fontsize="x-small", ncols=5, frameon=False, loc="upper right")
    frameless(ax)
