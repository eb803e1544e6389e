"""`statistics`: bars of the size of an archive by area, stimulus, session and session type."""

from __future__ import annotations

import textwrap
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
#: Width of a column of panels in inches: the least, the most, what each name on an axis adds. A page shrinks a wide
#: figure with its texts, so it is no wider than its names need.
_NARROW, _WIDE, _PER_NAME = 4.5, 9.0, 0.17
#: Inches that a letter of a small text takes.
_LETTER = 0.08
#: The type of a session of which nothing is known.
_UNKNOWN = "unknown"


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
    >>> import pandas as pd
    >>> import neuroarrays as na
    >>> rows = [
    ...     {
    ...         "session": session,
    ...         "area": area,
    ...         "block": stimulus,
    ...         "units": units,
    ...         "presentations": n,
    ...     }
    ...     for session, units in (("mouse 1", 40), ("mouse 2", 65), ("mouse 3", 30))
    ...     for area in ("VISp", "CA1")
    ...     for stimulus, n in (("gratings", 600), ("scenes", 1180))
    ... ]
    >>> axes = na.plot.statistics(pd.DataFrame(rows))  # or na.catalog("archive")
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
    heights = [2.8] * 3 + [1.5] * len(stimuli)
    names = min(max(len(sessions), rows["area"].nunique(), len(stimuli)), _TICKS)
    width = float(np.clip(1.0 + _PER_NAME * names, _NARROW, _WIDE))
    figure = plt.figure(figsize=(2 * width, sum(heights) + 1), layout="constrained")
    axes: dict[str, Axes] = figure.subplot_mosaic(panels, height_ratios=heights)
    # One order in all panels, so that each stimulus and area keeps its colour.
    areas, shades = _ordered(rows, "area"), _ordered(rows, "block")
    for value in ("units", "presentations"):
        grid = _grid(rows, "area", "block", value, areas, shades)
        title = f"{value.capitalize()} by area"
        _bars(axes[f"{value}_stacked"], grid, value, f"{title} and stimulus", stacked=True)
        _bars(axes[value], grid, value, f"{title}, stimuli side by side", stacked=False)
        for name in stimuli:
            shown = rows[rows["block"] == name]
            grid = _grid(shown, "session", "area", value, sessions, areas)
            last = name == stimuli[-1]
            title = f"{value.capitalize()} by session: {text_of(name)}"
            _bars(axes[f"{value}_{name}"], grid, value, title, named=last, legend=False)
    grid = _grid(rows, "session", "area", "units", sessions, areas)
    order = list(dict.fromkeys(text_of(kinds[name]) for name in sessions))
    is_typed = order != [_UNKNOWN]
    title = "Units by session and area" + f": {', then '.join(order)}" * is_typed
    _bars(axes["units_by_session"], grid, "units", title)
    showed = rows[rows["presentations"] > 0].assign(kind=rows["session"].map(kinds))
    counts = showed.groupby(["block", "kind"])["session"].nunique().unstack(fill_value=0)
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    title = "Sessions by stimulus" + " and type" * is_typed
    _bars(axes["sessions"], counts, "sessions", title, legend=is_typed)
    return axes


def _kinds(rows: pd.DataFrame, given: Mapping[str, str] | pd.DataFrame | None) -> dict[str, str]:
    """The type of each session, or `_UNKNOWN`."""
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
        name: named.get(name, named.get(str(name).removeprefix("session_"), _UNKNOWN))
        for name in sessions
    }


def _sessions(rows: pd.DataFrame, kinds: Mapping[str, str]) -> list[str]:
    """Sessions sorted by type, then by number of units, the most first."""
    totals = rows.groupby("session")["units"].sum()
    return sorted(totals.index, key=lambda name: (kinds[name], -totals[name], name))


def _ordered(rows: pd.DataFrame, column: str) -> list[str]:
    """The names in a column, those with the most units first."""
    totals = rows.groupby(column)["units"].sum().sort_values(ascending=False, kind="stable")
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
    longest = max(len(str(name)) for name in grid.columns)
    inches = ax.figure.bbox.width / ax.figure.dpi / 2 - 0.8
    columns = max(1, min(k, int(inches / (_LETTER * longest + 0.6))))
    room = 1.05 / (1 - min(0.1 * -(-k // columns) * legend, 0.6))
    step = max(1, -(-n // _TICKS))
    labels = [text_of(str(name)) for name in grid.index[::step]] if named else []
    upright = 90 if n * _LETTER * max(map(len, labels), default=0) > inches else 0
    ax.set_xticks(range(0, n, step) if named else [], labels, rotation=upright, fontsize="small")
    ax.set(xlim=(-0.6, n - 0.4), ylim=(0, room * highest or 1), ylabel=value)
    ax.set_title(textwrap.fill(title, int(inches / _LETTER)), loc="left", fontsize="medium")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    if legend:
        ax.legend(fontsize="small", ncols=columns, frameon=False, loc="upper right")
    frameless(ax)
