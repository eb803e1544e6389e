"""Pages about a whole tree, and about an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame

from neuroarrays import schema
from neuroarrays.analysis.conditions import RATE, clock_of, totals, trials_of
from neuroarrays.errors import SchemaError
from neuroarrays.plot import timelines
from neuroarrays.plot.drawing import PALETTE, check, frameless, nothing, quantity_of, text_of
from neuroarrays.schema import given
from neuroarrays.tree.description import many
from neuroarrays.tree.observed import mean_rates

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: Sessions by areas up to which numbers are written into the map.
_WRITTEN = 300
#: Sessions of an aligned tree that responses are read of.
_SESSIONS = 10


def overview(tree: xr.DataTree) -> dict[str, Axes]:
    """One page about a tree: units, their rates, and when what was recorded and shown.

    Parameters
    ----------
    tree : xr.DataTree
        A recording or aligned tree.

    Returns
    -------
    dict of str to matplotlib.axes.Axes
        "units": number of units, sessions by areas; "rates": mean rate, or response, of each unit
        by area, a dot each; "timeline": signals, events and presentations of the first session.

        Nothing is read but that timeline and, of an aligned tree, responses of up to 10 sessions
        from first to last: to 100 presentations, or in 20 stretches of 1,000 bins.

    Raises
    ------
    SchemaError
        If it is neither kind of tree, or holds no session.
    """
    kind = schema.kind_of(tree)
    areas = [_Area(path, tree[path]) for path in schema.area_paths(tree) if "/" in path]
    sessions = list(dict.fromkeys(area.session for area in areas)) or list(tree.children)
    if not sessions:
        msg = (
            f"the tree has no session; found {given.found(tree)}: give the tree, or a session of it"
        )
        raise SchemaError(msg)
    first = [area for area in areas if area.session == sessions[0]]
    if kind == schema.RECORDING:
        rows, over = timelines.recorded(tree[sessions[0]]), "time (s)"
    else:
        rows, over = timelines.aligned(
            [(area.block, area.node) for area in first] or [("", tree[sessions[0]])]
        )
    height = float(np.clip(1.4 + 0.22 * len(sessions), 2.6, 9))
    lower = 0.9 + 0.32 * max(len(rows), 2)
    figure = plt.figure(figsize=(10, height + lower + 0.3), layout="constrained")
    made: dict[str, Axes] = figure.subplot_mosaic(
        [["units", "rates"], ["timeline", "timeline"]], height_ratios=[height, lower]
    )
    names, first_name = list(dict.fromkeys(area.name for area in areas)), _short(sessions[0])
    _draw_units(made["units"], areas, sessions, names)
    if kind == schema.RECORDING:
        _draw_rates(made["rates"], _rates(areas), "Rates of units, and their median")
    else:
        places = np.unique(np.linspace(0, len(sessions) - 1, _SESSIONS).round().astype(int))
        chosen = [sessions[i] for i in places]
        which = "" if len(chosen) == len(sessions) else f" of {len(chosen)} sessions"
        title = f"Responses of units{which}, and their median"
        _draw_rates(made["rates"], _responses(areas, chosen), title)
    timelines.draw(made["timeline"], rows)
    made["timeline"].set_xlabel(over)
    made["timeline"].set_title(f"When: {first_name}", loc="left", fontsize="medium")
    return made


class _Area:
    """An area of either tree: where it stands and how many units it has."""

    def __init__(self, path: str, node: Any) -> None:
        *above, self.session, self.name = path.split("/")
        self.block, self.node = "/".join(above), node
        nodes = [node, *node.children.values()]
        self.units = max(n.sizes.get(schema.UNIT, 0) for n in nodes)


def _draw_units(ax: Axes, areas: list[_Area], sessions: list[str], names: list[str]) -> None:
    grid = np.full((len(sessions), max(len(names), 1)), np.nan)
    for area in areas:
        grid[sessions.index(area.session), names.index(area.name)] = area.units
    ax.set_title(f"Units: {int(np.nansum(grid)):,}", loc="left", fontsize="medium")
    labels = [text_of(name) for name in names]
    ax.set_xticks(range(len(names)), labels, rotation=90 if len(names) > 8 else 0)
    if not areas:
        nothing(ax, "no units")
        return
    if len(sessions) < 2:
        bars = ax.bar(range(grid.size), np.nan_to_num(grid[0]), color=PALETTE[0], width=0.6)
        if grid.size <= _WRITTEN // 10:
            ax.bar_label(bars, fmt="{:,.0f}", padding=2, fontsize="small")
        ax.set(ylabel="units", xlim=_around(grid.size))
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        ax.margins(y=0.12)
        frameless(ax)
        return
    image = ax.imshow(grid, aspect="auto", cmap="cividis", vmin=0, interpolation="none")
    middle = np.nanmax(grid, initial=0) / 2
    for (i, j), n in np.ndenumerate(grid) if grid.size <= _WRITTEN else ():
        if np.isfinite(n):
            ax.text(
                j,
                i,
                f"{n:.0f}",
                ha="center",
                va="center",
                fontsize="small",
                color="black" if n > middle else "white",
            )
    step = max(1, -(-len(sessions) // 40))
    ax.set_yticks(range(0, len(sessions), step), [_short(s) for s in sessions[::step]])
    ax.tick_params(length=0)
    if grid.size > _WRITTEN:
        ax.figure.colorbar(image, ax=ax, label="units")


def _rates(areas: list[_Area]) -> dict[str, xr.DataArray]:
    """Mean rates by area of a recording tree, as `firing_rate` has them."""
    found: dict[str, list[np.ndarray]] = {}
    for area in areas:
        rates = mean_rates(area.node)
        if rates.size:
            found.setdefault(area.name, []).append(rates)
    return {
        name: xr.DataArray(np.concatenate(rates), dims=schema.UNIT, attrs=RATE)
        for name, rates in found.items()
    }


def _responses(areas: list[_Area], sessions: list[str]) -> dict[str, xr.DataArray]:
    """Mean rates or responses by area of sessions of an aligned tree, from some of its values."""
    found: dict[str, dict[str, xr.DataArray]] = {}
    for area in areas:
        node = area.node.to_dataset()
        done = area.session in found.get(area.name, ())  # in another block
        if done or area.session not in sessions or not {"spike_data", "responses"} & set(node):
            continue
        trials = schema.PRESENTATION in node.sizes
        _, response = (trials_of if trials else clock_of)(node)
        dims = response.values.dims
        some = _some(node.sizes[dims[0]], *((100, 1) if trials else (20, 1000)))
        node = node.isel({dims[0]: some})
        total, n = totals(node, node[response.values.name].transpose(*dims))
        with np.errstate(invalid="ignore"):
            mean = total / n * response.scale
        made = xr.DataArray(mean, dims=schema.UNIT, attrs=response.attrs)
        found.setdefault(area.name, {})[area.session] = made
    return {
        name: xr.concat(list(each.values()), schema.UNIT, combine_attrs="drop_conflicts")
        for name, each in found.items()
    }


def _some(n: int, number: int, length: int) -> np.ndarray:
    """Rows of a number of stretches of one length, evenly over all `n`; all if there are no more."""
    if n <= number * length:
        return np.arange(n)
    starts = np.linspace(0, n - length, number).astype(int)
    return (starts[:, None] + np.arange(length)).ravel()


def _around(n: int) -> tuple[float, float]:
    """Limits around columns at 0 to n - 1; one or two do not fill the page."""
    room = 0.6 + 0.4 * max(0, 3 - n)
    return -room, n - 1 + room


def _draw_rates(ax: Axes, rates: dict[str, xr.DataArray], title: str) -> None:
    """A dot for the mean of each unit, by area, spread so that none hides another."""
    ax.set_title(title, loc="left", fontsize="medium")
    if not rates:
        nothing(ax, "no spikes")
        return
    random = np.random.default_rng(0)
    counts = all(found.attrs.get("units") == RATE["units"] for found in rates.values())
    for i, found in enumerate(rates.values()):
        y = found.values
        x = i + random.uniform(-0.25, 0.25, y.size)
        size = 14 if y.size < 200 else 3
        ax.scatter(x, y, s=size, color=PALETTE[0], alpha=0.7 if y.size < 200 else 0.35, lw=0)
        if np.isfinite(y).any():
            ax.hlines(np.nanmedian(y), i - 0.35, i + 0.35, color=PALETTE[1], lw=2)
    if counts and any((found == 0).any() for found in rates.values()):
        ax.set_yscale("symlog", linthresh=0.01)  # silent units are at 0
        ax.set_ylim(bottom=0)
    elif counts:
        ax.set_yscale("log")
    labels = {quantity_of(found) for found in rates.values()}
    names = [text_of(name) for name in rates]
    ax.set_xticks(range(len(rates)), names, rotation=90 if len(rates) > 8 else 0)
    label = f"mean {labels.pop()}" if len(labels) == 1 else "mean response"
    ax.set(xlim=_around(len(rates)), ylabel=label)
    frameless(ax)


def _short(name: str) -> str:
    return text_of(name if len(name) <= 24 else f"{name[:14]}…{name[-8:]}")


def catalog(frame: pd.DataFrame, names: str = "auto") -> dict[str, Axes]:
    """What an archive holds: units by area, presentations by stimulus, a row per session.

    Parameters
    ----------
    frame : DataFrame
        From `neuroarrays.catalog`, of trials or recordings.
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
        If the frame has no column of sessions, areas or units.
    """
    check(frame, DataFrame, "na.catalog", "na.plot.catalog(na.catalog(path))")
    columns = {"n_units": "units", "n_presentations": "presentations", "stimulus": "block"}
    frame = frame.rename(columns=columns)
    for needed in ("session", "area", "units"):
        if needed not in frame:
            msg = f"expected a catalog with the column {needed!r}, found {list(frame.columns)}"
            raise ValueError(msg)
    block = frame["block"].replace("", "trials") if "block" in frame else "trials"
    frame = frame.assign(block=block, area=frame["area"].replace("", "none"))
    shown = _by_table(frame) if "presentations" in frame else frame.iloc[:0]
    shown = shown if len(shown) else frame.assign(presentations=0, block="none")
    grids = {
        "units": frame.assign(units=frame["units"].fillna(0)).pivot_table(
            "units", "session", "area", "max"
        ),
        "presentations": shown.pivot_table("presentations", "session", "block", "max"),
    }
    grids = {name: grid.reindex(frame["session"].unique()) for name, grid in grids.items()}
    rows = len(grids["units"])
    widths = [max(grid.shape[1], 3) for grid in grids.values()]
    height = max(0.17 * rows, 1.8)
    size = (min(4.5 + 0.3 * sum(widths), 24), min(3.6 + height, 24))
    figure = plt.figure(figsize=size, layout="constrained")
    axes: dict[str, Axes] = figure.subplot_mosaic(
        [["units_total", "presentations_total"], ["units", "presentations"]],
        width_ratios=widths,
        height_ratios=[1.2, height],
    )
    for name, grid in grids.items():
        _draw_grid(axes[name], axes[f"{name}_total"], grid.astype(float), name)
    step = 1 if names == "all" else max(1, -(-rows // 60))
    shown = range(0, rows, step)
    axes["units"].set_yticks(shown, [text_of(grids["units"].index[i]) for i in shown])
    axes["presentations"].set_yticks([])
    axes["units"].set_ylabel(many(rows, "session"))
    return axes


def _draw_grid(ax: Axes, above: Axes, grid: pd.DataFrame, name: str) -> None:
    """Numbers of units or presentations, sessions by columns, and above them their sums."""
    if name == "presentations" and not grid.to_numpy(na_value=0).any():
        above.axis("off")
        nothing(ax, "no presentations")
        return
    colors = {"units": "viridis", "presentations": "cividis"}[name]
    most = max(np.nanmax(grid.to_numpy(), initial=0), 2)
    # Movies are shown ten times, gratings thousands of times.
    norm = LogNorm(1, most) if name == "presentations" else Normalize(0, most)
    image = ax.imshow(
        grid.where(grid > 0).to_numpy(), aspect="auto", cmap=colors, norm=norm, interpolation="none"
    )
    n = grid.shape[1]
    ax.set_xticks(range(n), [text_of(name) for name in grid.columns], rotation=90)
    ax.tick_params(length=0)
    ax.figure.colorbar(image, ax=ax, pad=0.02, label=name)
    totals = grid.sum()
    above.bar(range(n), totals, color=plt.get_cmap(colors)(0.45))
    above.set(xlim=(-0.5, n - 0.5), xticks=[], ylabel="total")
    if name == "presentations":
        above.set(yscale="log", ylim=(0.7, None))
    stimuli = "1 stimulus" if n == 1 else f"{n:,} stimuli"
    kinds = many(n, "area") if name == "units" else stimuli
    above.set_title(f"{int(totals.sum()):,} {name}, {kinds}", fontsize="medium")
    frameless(above)


def _by_table(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per table of a catalogue of recordings, whose presentations are counted by table."""
    lengths = [
        list(number.items()) if isinstance(number, dict) else [(block, number)]
        for number, block in zip(frame["presentations"], frame["block"], strict=True)
    ]
    rows = frame.assign(table=lengths).explode("table")
    names, numbers = zip(*rows["table"], strict=True) if len(rows) else ((), ())
    rows = rows.assign(block=names, presentations=numbers).dropna(subset="presentations")
    return rows.astype({"presentations": float})
