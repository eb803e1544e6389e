"""Pages about a whole tree, and about an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.colors import LogNorm

from neuroarrays import schema
from neuroarrays.description import span
from neuroarrays.errors import SchemaError
from neuroarrays.intervals import merged

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: Sessions by areas up to which numbers are written into the map.
_WRITTEN = 300


def overview(tree: xr.DataTree) -> dict[str, Axes]:
    """One page about a recording tree: units, rates, and when what was recorded and shown.

    Parameters
    ----------
    tree : xr.DataTree
        A recording tree. No spikes are read.

    Returns
    -------
    dict of str to matplotlib.axes.Axes
        "units": number of units, sessions by areas; "rates": mean rates of the units of each area,
        a dot each; "timeline": when signals were recorded and presentations shown, in the first
        session.

    Raises
    ------
    SchemaError
        If it is no recording tree.
    """
    if schema.kind_of(tree) != schema.RECORDING:
        msg = "expected a recording tree, from na.open_datatree; this one is aligned"
        raise SchemaError(msg)
    paths = [path for path in schema.area_paths(tree) if "/" in path]
    sessions = list(dict.fromkeys(path.split("/")[0] for path in paths)) or list(tree.children)
    areas = list(dict.fromkeys(path.split("/")[1] for path in paths))
    lines = len(_timeline(tree[sessions[0]])) if sessions else 0
    height = float(np.clip(1.4 + 0.22 * len(sessions), 2.6, 9))
    figure = plt.figure(figsize=(10, height + 1.2 + 0.28 * max(lines, 2)), layout="constrained")
    made: dict[str, Axes] = figure.subplot_mosaic(
        [["units", "rates"], ["timeline", "timeline"]],
        height_ratios=[height, 0.9 + 0.28 * max(lines, 2)],
    )  # fmt: skip
    _draw_units(made["units"], tree, paths, sessions, areas)
    _draw_rates(made["rates"], tree, paths, areas)
    if sessions:
        _draw_timeline(made["timeline"], tree[sessions[0]], sessions[0])
    return made


def _draw_units(
    ax: Axes, tree: xr.DataTree, paths: list[str], sessions: list[str], areas: list[str]
) -> None:
    grid = np.full((len(sessions), max(len(areas), 1)), np.nan)
    for path in paths:
        session, area = path.split("/")[:2]
        n = max((c.sizes.get(schema.UNIT, 0) for c in tree[path].children.values()), default=0)
        grid[sessions.index(session), areas.index(area)] = n
    image = ax.imshow(grid, aspect="auto", cmap="cividis", vmin=0, interpolation="none")
    middle = np.nanmax(grid, initial=0) / 2
    for (i, j), n in np.ndenumerate(grid) if grid.size <= _WRITTEN else ():
        if np.isfinite(n):
            ax.text(j, i, f"{n:.0f}", ha="center", va="center", fontsize="small",
                    color="black" if n > middle else "white")  # fmt: skip
    ax.set_xticks(range(len(areas)), areas, rotation=90 if len(areas) > 8 else 0)
    step = max(1, -(-len(sessions) // 40))
    ax.set_yticks(range(0, len(sessions), step), [_short(s) for s in sessions[::step]])
    ax.tick_params(length=0)
    ax.set_title(f"Units: {int(np.nansum(grid)):,}", loc="left", fontsize="medium")
    if grid.size > _WRITTEN:
        ax.figure.colorbar(image, ax=ax, label="units")


def _draw_rates(ax: Axes, tree: xr.DataTree, paths: list[str], areas: list[str]) -> None:
    """A dot for the mean rate of each unit, by area, spread so that none hides another."""
    rates: dict[str, list[np.ndarray]] = {area: [] for area in areas}
    lengths: dict[str, float] = {}
    for path in paths:
        session, area = path.split("/")[:2]
        spikes: Any = tree[path].children.get(schema.SPIKES)
        if spikes is None:
            continue
        if session not in lengths:
            low, high = span(tree[session])
            lengths[session] = high - low
        if lengths[session] > 0:
            rates[area].append(spikes["row_size"].values / lengths[session])
    rates = {area: found for area, found in rates.items() if found}
    random = np.random.default_rng(0)
    for i, (_, found) in enumerate(rates.items()):
        y = np.concatenate(found)
        y = np.maximum(y, 1e-3)
        x = i + random.uniform(-0.25, 0.25, y.size)
        size = 14 if y.size < 200 else 3
        ax.scatter(x, y, s=size, color=_COLORS[0], alpha=0.7 if y.size < 200 else 0.35, lw=0)
        ax.hlines(np.median(y), i - 0.35, i + 0.35, color=_COLORS[1], lw=2)
    ax.set_yscale("log")
    ax.set_xticks(range(len(rates)), rates, rotation=90 if len(rates) > 8 else 0)
    ax.set(xlim=(-0.6, max(len(rates), 1) - 0.4), ylabel="mean rate (spikes/s)")
    ax.set_title("Rates of units, and their median", loc="left", fontsize="medium")
    ax.spines[["top", "right"]].set_visible(False)


def _timeline(session: Any) -> list[tuple[str, str, Any]]:
    """What has times: name, kind ("table", "series" or "events") and node."""
    found: list[tuple[str, str, Any]] = []
    for path, node in session.subtree_with_keys:
        if path == ".":
            continue
        if schema.PRESENTATION in node.sizes and "start_time" in node.data_vars:
            found.append((path.rpartition("/")[2], "table", node))
        elif node.sizes.get(schema.TIME, 0) > 1 and schema.TIME in node.coords:
            found.append((path, "series", node))
        elif "event_time" in node.data_vars:
            found.append((path.rpartition("/")[2], "events", node))
    return sorted(found, key=lambda item: ("series", "events", "table").index(item[1]))


def _draw_timeline(ax: Axes, session: Any, name: str) -> None:
    rows = _timeline(session)
    for row, (_, kind, node) in enumerate(reversed(rows)):
        if kind == "table":
            starts = node["start_time"].values
            stops = node["stop_time"].values if "stop_time" in node.data_vars else starts
            stops = np.where(np.isfinite(stops), stops, starts)
            _draw_table(ax, row, starts, stops)
        elif kind == "series":
            clock = node[schema.TIME]
            ax.plot([float(clock[0]), float(clock[-1])], [row, row], color=_COLORS[0], lw=3,
                    solid_capstyle="butt")  # fmt: skip
        else:
            times = node["event_time"].values
            ax.plot(times, np.full(times.size, row), "|", color=_COLORS[2], ms=7, mew=0.4)
    labels = [
        f"{label} ({node.sizes.get(schema.PRESENTATION, 0):,})" if kind == "table" else label
        for label, kind, node in reversed(rows)
    ]
    ax.set_yticks(range(len(rows)), labels, fontsize="small")
    ax.set(xlabel="time (s)", ylim=(-0.6, len(rows) - 0.4))
    ax.set_title(f"When: {_short(name)}", loc="left", fontsize="medium")
    ax.spines[["top", "right"]].set_visible(False)


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
    edge = {"edgecolor": "white", "lw": 0.8} if known.size <= 40 else {"lw": 0}
    bars = list(zip(starts, stops - starts, strict=True))
    ax.broken_barh(bars, (row - 0.35, 0.7), facecolor=_COLORS[1], snap=False, **edge)


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:14]}…{name[-8:]}"


def catalog(frame: pd.DataFrame, names: str = "auto") -> dict[str, Axes]:
    """What an archive holds: units by area, presentations by stimulus, a row per session.

    Parameters
    ----------
    frame : DataFrame
        From `neuroarrays.catalog`, of an archive of trials.
    names : {"auto", "all"}
        Names of sessions: as many as fit, or all.

    Returns
    -------
    dict of str to matplotlib.axes.Axes
        "units" and "presentations" (session x area, session x stimulus; white where there are
        none), above them "units_total" and "presentations_total".

    Raises
    ------
    ValueError
        If the frame has no column of units or presentations.
    """
    columns = {"n_units": "units", "n_presentations": "presentations", "stimulus": "block"}
    frame = frame.rename(columns=columns)
    for needed in ("session", "area", "units", "presentations"):
        if needed not in frame:
            msg = f"expected a catalog with the column {needed!r}, found {list(frame.columns)}"
            raise ValueError(msg)
    block = frame["block"].replace("", "trials") if "block" in frame else "trials"
    frame = frame.assign(block=block)
    grids = {
        "units": frame.pivot_table("units", "session", "area", "max"),
        "presentations": frame.pivot_table("presentations", "session", "block", "max"),
    }
    rows = len(grids["units"])
    widths = [max(grid.shape[1], 3) for grid in grids.values()]
    height = max(0.17 * rows, 1.8)
    size = (min(4.5 + 0.3 * sum(widths), 24), min(3.6 + height, 24))
    figure = plt.figure(figsize=size, layout="constrained")
    axes: dict[str, Axes] = figure.subplot_mosaic(
        [["units_total", "presentations_total"], ["units", "presentations"]],
        width_ratios=widths, height_ratios=[1.2, height],
    )  # fmt: skip
    for name, colors in (("units", "viridis"), ("presentations", "cividis")):
        grid = grids[name].astype(float)
        ax, above = axes[name], axes[f"{name}_total"]
        # Movies are shown ten times, gratings thousands of times.
        norm = LogNorm(1, max(np.nanmax(grid), 2)) if name == "presentations" else None
        image = ax.imshow(
            grid.where(grid > 0).to_numpy(),
            aspect="auto",
            cmap=colors,
            norm=norm,
            interpolation="none",
        )
        ax.set_xticks(range(grid.shape[1]), grid.columns, rotation=90)
        ax.tick_params(length=0)
        figure.colorbar(image, ax=ax, pad=0.02, label=name)
        totals = grid.sum()
        above.bar(range(grid.shape[1]), totals, color=plt.get_cmap(colors)(0.45))
        above.set(xlim=(-0.5, grid.shape[1] - 0.5), xticks=[], ylabel="total")
        if norm is not None:
            above.set(yscale="log", ylim=(0.7, None))
        above.set_title(f"{int(totals.sum()):,} {name}, {grid.shape[1]} "
                        f"{'areas' if name == 'units' else 'stimuli'}", fontsize="medium")  # fmt: skip
        above.spines[["top", "right"]].set_visible(False)
    step = 1 if names == "all" else max(1, -(-rows // 60))
    shown = range(0, rows, step)
    axes["units"].set_yticks(shown, [grids["units"].index[i] for i in shown])
    axes["presentations"].set_yticks([])
    axes["units"].set_ylabel(f"{rows} sessions")
    return axes
