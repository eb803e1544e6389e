"""Pages about a whole tree, and about an archive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.colors import LogNorm
from pandas.api.types import is_numeric_dtype

from neuroarrays import schema
from neuroarrays.conditions import RATE, blocks_of, clock_of, trials_of
from neuroarrays.description import many, span
from neuroarrays.drawing import PALETTE, frameless, quantity_of, trace
from neuroarrays.intervals import merged

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

#: Sessions by areas up to which numbers are written into the map.
_WRITTEN = 300
#: Signals that a timeline has rows for.
_SIGNALS = 12


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

        Nothing is read but that timeline and, of an aligned tree, responses of the first session:
        to 100 presentations, or in 20 stretches of 1,000 bins.

    Raises
    ------
    SchemaError
        If it is neither kind of tree.
    """
    kind = schema.kind_of(tree)
    areas = [_Area(path, tree[path]) for path in schema.area_paths(tree) if "/" in path]
    sessions = list(dict.fromkeys(area.session for area in areas)) or list(tree.children)
    first = [area for area in areas if area.session == sessions[0]]
    if kind == schema.RECORDING:
        rows, over = _recorded(tree[sessions[0]]) if sessions else [], "time (s)"
    else:
        rows, over = _aligned(first)
    height = float(np.clip(1.4 + 0.22 * len(sessions), 2.6, 9))
    lower = 0.9 + 0.32 * max(len(rows), 2)
    figure = plt.figure(figsize=(10, height + lower + 0.3), layout="constrained")
    made: dict[str, Axes] = figure.subplot_mosaic(
        [["units", "rates"], ["timeline", "timeline"]], height_ratios=[height, lower]
    )
    names = list(dict.fromkeys(area.name for area in areas))
    _draw_units(made["units"], areas, sessions, names)
    if kind == schema.RECORDING:
        _draw_rates(made["rates"], _rates(tree, areas), "Rates of units, and their median")
    else:
        _draw_rates(made["rates"], _responses(first), f"Units of {_short(sessions[0])}")
    _draw_timeline(made["timeline"], rows, _short(sessions[0]) if sessions else "")
    made["timeline"].set_xlabel(over)
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
    ax.set_xticks(range(len(names)), names, rotation=90 if len(names) > 8 else 0)
    if len(sessions) < 2:
        bars = ax.bar(range(grid.size), np.nan_to_num(grid[0]), color=PALETTE[0], width=0.6)
        if grid.size <= _WRITTEN // 10:
            ax.bar_label(bars, fmt="{:,.0f}", padding=2, fontsize="small")
        ax.set(ylabel="units", xlim=_around(grid.size))
        ax.margins(y=0.12)
        frameless(ax)
        return
    image = ax.imshow(grid, aspect="auto", cmap="cividis", vmin=0, interpolation="none")
    middle = np.nanmax(grid, initial=0) / 2
    for (i, j), n in np.ndenumerate(grid) if grid.size <= _WRITTEN else ():
        if np.isfinite(n):
            ax.text(j, i, f"{n:.0f}", ha="center", va="center", fontsize="small",
                    color="black" if n > middle else "white")  # fmt: skip
    step = max(1, -(-len(sessions) // 40))
    ax.set_yticks(range(0, len(sessions), step), [_short(s) for s in sessions[::step]])
    ax.tick_params(length=0)
    if grid.size > _WRITTEN:
        ax.figure.colorbar(image, ax=ax, label="units")


def _rates(tree: xr.DataTree, areas: list[_Area]) -> dict[str, xr.DataArray]:
    """Mean rates by area of a recording tree: spikes by the length of the session."""
    found: dict[str, list[np.ndarray]] = {}
    spans = {area.session: span(tree[area.session]) for area in areas}
    for area in areas:
        low, high = spans[area.session]
        spikes = area.node.children.get(schema.SPIKES)
        if spikes is not None and high > low:
            found.setdefault(area.name, []).append(spikes["row_size"].values / (high - low))
    return {
        name: xr.DataArray(np.concatenate(rates), dims=schema.UNIT, attrs=RATE)
        for name, rates in found.items()
    }


def _responses(areas: list[_Area]) -> dict[str, xr.DataArray]:
    """Mean rates or responses by area of a session of an aligned tree, from some of its values."""
    found: dict[str, xr.DataArray] = {}
    for area in areas:
        node = area.node.to_dataset()
        if area.name in found or not {"spike_data", "responses"} & set(node.data_vars):
            continue
        trials = schema.PRESENTATION in node.sizes
        some = _some(
            node.sizes[schema.PRESENTATION if trials else schema.TIME], 1 if trials else 1000
        )
        _, response = (trials_of if trials else clock_of)(node)
        values = response.values
        node = node.isel({values.dims[0]: some})
        total, n = np.zeros((2, values.sizes[schema.UNIT]))
        for _, block, mask in blocks_of(node, node[values.name].transpose(*values.dims)):
            others = tuple(axis for axis in range(block.ndim) if axis != 1)
            seen = np.True_ if mask is None else mask
            n += np.broadcast_to(seen, block.shape).sum(axis=others)
            total += np.where(seen, block, 0).sum(axis=others)
        with np.errstate(invalid="ignore"):
            mean = total / n * response.scale
        found[area.name] = xr.DataArray(mean, dims=schema.UNIT, attrs=response.attrs)
    return found


def _some(n: int, length: int) -> np.ndarray:
    """Rows of up to 100 presentations, or of 20 stretches of a clock, evenly over all."""
    number = 100 if length == 1 else 20
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
    random = np.random.default_rng(0)
    counts = all(found.attrs.get("units") == RATE["units"] for found in rates.values())
    for i, found in enumerate(rates.values()):
        y = np.maximum(found.values, 1e-3) if counts else found.values
        x = i + random.uniform(-0.25, 0.25, y.size)
        size = 14 if y.size < 200 else 3
        ax.scatter(x, y, s=size, color=PALETTE[0], alpha=0.7 if y.size < 200 else 0.35, lw=0)
        if np.isfinite(y).any():
            ax.hlines(np.nanmedian(y), i - 0.35, i + 0.35, color=PALETTE[1], lw=2)
    if counts and rates:
        ax.set_yscale("log")
    labels = {quantity_of(found) for found in rates.values()}
    ax.set_xticks(range(len(rates)), list(rates), rotation=90 if len(rates) > 8 else 0)
    label = f"mean {labels.pop()}" if len(labels) == 1 else "mean response"
    ax.set(xlim=_around(len(rates)), ylabel=label)
    ax.set_title(title, loc="left", fontsize="medium")
    frameless(ax)


#: A row of a timeline: what it is called and how it is drawn.
_Row = tuple[str, Any]


def _recorded(session: Any) -> list[_Row]:
    """Signals, events and tables of a session of a recording tree, in this order."""
    series, events, tables = [], [], []
    for path, node in session.subtree_with_keys:
        if path == ".":
            continue
        name = path.rpartition("/")[2]
        if schema.PRESENTATION in node.sizes and "start_time" in node.data_vars:
            tables.append((f"{name} ({node.sizes[schema.PRESENTATION]:,})", _table_of(node)))
        elif node.sizes.get(schema.TIME, 0) > 1 and schema.TIME in node.coords:
            series += _signals(path, node)
        elif "event_time" in node.data_vars:
            times = node["event_time"].values
            events.append((f"{name} ({times.size:,})", times))
    return series + events + tables


def _signals(path: str, node: Any) -> list[_Row]:
    """The signals of a clock, one row each; of one that has several values a time, the clock."""
    signals = [
        (path if len(node.data_vars) == 1 else f"{path}/{name}", signal)
        for name, signal in node.data_vars.items()
        if signal.dims == (schema.TIME,) and signal.dtype.kind == "f"
    ]
    clock = node[schema.TIME].values[[0, -1]]
    return signals[:_SIGNALS] or [(path, (clock[:1], clock[1:]))]


def _table_of(node: Any) -> tuple[np.ndarray, np.ndarray]:
    starts = node["start_time"].values
    stops = node["stop_time"].values if "stop_time" in node.data_vars else starts
    return starts, np.where(np.isfinite(stops), stops, starts)


def _aligned(areas: list[_Area]) -> tuple[list[_Row], str]:
    """Behaviour and presentations of a session of an aligned tree, and what they are drawn over.

    Behaviour of trials is shown as its mean in each; trials of which the file does not say when
    they were, one after another.
    """
    signals: dict[str, xr.DataArray] = {}
    tables: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    over = "time (s)"
    for area in areas:
        if schema.PRESENTATION in area.node.sizes:
            node = area.node.children.get(schema.PRESENTATIONS, area.node)
            n = area.node.sizes[schema.PRESENTATION]
            starts, stops = np.arange(n), np.arange(n) + 1.0
            if "start_time" in node.data_vars and node["start_time"].notnull().any():
                starts, stops = _table_of(node)
            else:
                over = "presentations, one after another"
            tables[f"{area.block or 'presentations'} ({n:,})"] = starts, stops
        elif schema.TIME in area.node.coords:
            starts = area.node[schema.TIME].values
        else:
            continue
        for name, signal in _behaviour(area.node):
            if signal.sizes[signal.dims[0]] == starts.size:
                signals.setdefault(name, signal.assign_coords(at=(signal.dims[0], starts)))
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


def _draw_timeline(ax: Axes, rows: list[_Row], name: str) -> None:
    for row, (_, drawn) in enumerate(reversed(rows)):
        if isinstance(drawn, xr.DataArray):
            time = drawn["at" if "at" in drawn.coords else schema.TIME].values
            trace(ax, drawn, time, row)
        elif isinstance(drawn, tuple):
            _draw_table(ax, row, *drawn)
        else:
            ax.plot(drawn, np.full(drawn.size, row), "|", color=PALETTE[2], ms=7, mew=0.4)
    ax.set_yticks(range(len(rows)), [label for label, _ in reversed(rows)], fontsize="small")
    ax.set_ylim(-0.6, max(len(rows), 1) - 0.4)
    ax.set_title(f"When: {name}", loc="left", fontsize="medium")
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
    edge = {"edgecolor": "white", "lw": 0.8} if known.size <= 40 else {"lw": 0}
    bars = list(zip(starts, stops - starts, strict=True))
    ax.broken_barh(bars, (row - 0.35, 0.7), facecolor=PALETTE[1], snap=False, **edge)


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:14]}…{name[-8:]}"


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
        If the frame has no column of units or presentations.
    """
    columns = {"n_units": "units", "n_presentations": "presentations", "stimulus": "block"}
    frame = frame.rename(columns=columns)
    for needed in ("session", "area", "units", "presentations"):
        if needed not in frame:
            msg = f"expected a catalog with the column {needed!r}, found {list(frame.columns)}"
            raise ValueError(msg)
    block = frame["block"].replace("", "trials") if "block" in frame else "trials"
    frame = frame.assign(block=block, area=frame["area"].replace("", "none"))
    shown = frame if is_numeric_dtype(frame["presentations"]) else _tables(frame)
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
            vmin=0 if norm is None else None,
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
        n = grid.shape[1]
        stimuli = "1 stimulus" if n == 1 else f"{n:,} stimuli"
        kinds = many(n, "area") if name == "units" else stimuli
        above.set_title(f"{int(totals.sum()):,} {name}, {kinds}", fontsize="medium")
        frameless(above)
    step = 1 if names == "all" else max(1, -(-rows // 60))
    shown = range(0, rows, step)
    axes["units"].set_yticks(shown, [grids["units"].index[i] for i in shown])
    axes["presentations"].set_yticks([])
    axes["units"].set_ylabel(many(rows, "session"))
    return axes


def _tables(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per table of a catalog of recordings, which says "trials (274), epochs (2)"."""
    found = frame["presentations"].fillna("").str.findall(r"([^,]+?) \((\d+)\)")
    rows = frame.assign(table=found).explode("table").dropna(subset="table")
    if rows.empty:
        return frame.assign(block="none", presentations=0)
    names = [name.strip() for name, _ in rows["table"]]
    return rows.assign(block=names, presentations=[int(n) for _, n in rows["table"]])
