"""Overview figures of a tree, and of an archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import MaxNLocator
from pandas import DataFrame

from neuroarrays import schema
from neuroarrays.analysis.activity import rates_by_area, responses_by_area
from neuroarrays.analysis.conditions import RATE
from neuroarrays.errors import SchemaError, many
from neuroarrays.plot.drawing import PALETTE, check, frameless, nothing, quantity_of, text_of
from neuroarrays.plot.timelines import draw
from neuroarrays.schema import given
from neuroarrays.tree import contents, timelines
from neuroarrays.tree.records import TreeContents

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.axes import Axes

#: Up to this many cells (sessions by areas), numbers are written into the map.
_WRITTEN = 300
#: The most sessions of an aligned tree whose responses are read.
_SESSIONS = 10


def overview(tree: xr.DataTree) -> dict[str, Axes]:
    """Plot an overview of a tree: numbers of units, their rates, and a timeline.

    Parameters
    ----------
    tree : xr.DataTree
        A recording or aligned tree.

    Returns
    -------
    dict of str to matplotlib.axes.Axes
        "units": number of units of each session and area; "rates": a dot for each unit, its mean
        rate or response, by area; "timeline": signals, events and presentations of the first
        session. An empty panel is left out: a recording of spikes alone has no "timeline".

        For a recording, all spikes are read. For an aligned tree, responses of up to 10 sessions
        are read, evenly spread from first to last: of each up to 100 presentations, or 20 stretches
        of 1,000 bins.

    Raises
    ------
    SchemaError
        If it is neither kind of tree, or has no session.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> axes = na.plot.overview(tree)
    """
    facts = contents.of_tree(tree)
    if not facts.sessions:
        msg = (
            f"the tree has no session; found {given.described(tree)}: give the tree, or a "
            "session of it"
        )
        raise SchemaError(msg)
    names = list(dict.fromkeys(session.name for session in facts.sessions))
    first = [session for session in facts.sessions if session.name == names[0]]
    if facts.kind == schema.RECORDING:
        rows, along = timelines.of_recording(tree.root[first[0].path]), "time (s)"
        rates = rates_by_area(tree.root, facts.sessions)
        title = "Rates of units, and their median"
    else:
        nodes = [
            (session.block if session.areas else "", tree.root[path])
            for session in first
            for path in [area.path for area in session.areas] or [session.path]
        ]
        rows, along = timelines.of_aligned(nodes)
        positions = np.unique(np.linspace(0, len(names) - 1, _SESSIONS).round().astype(int))
        chosen = {names[i] for i in positions}
        rates = responses_by_area(tree.root, [s for s in facts.sessions if s.name in chosen])
        of_sessions = "" if len(chosen) == len(names) else f" of {len(chosen)} sessions"
        title = f"Responses of units{of_sessions}, and their median"
    numbers = _numbers_of_units(facts, names)
    above = [name for name, has in (("units", numbers), ("rates", rates)) if has]
    axes = _panels(above, bool(rows), len(names), len(rows))
    if "units" in axes:
        _draw_units(axes["units"], numbers, names)
    if "rates" in axes:
        _draw_rates(axes["rates"], rates, title)
    if "timeline" in axes:
        draw(axes["timeline"], rows)
        axes["timeline"].set_xlabel(along)
        axes["timeline"].set_title(f"When: {_short(names[0])}", loc="left", fontsize="medium")
    return axes


def _panels(above: list[str], has_rows: bool, n_sessions: int, n_rows: int) -> dict[str, Axes]:
    """A new figure with the panels that have content; if none has, an empty timeline."""
    height = float(np.clip(1.4 + 0.22 * n_sessions, 2.6, 9)) if above else 0
    lower = 0.9 + 0.32 * max(n_rows, 2) if has_rows or not above else 0
    width = max(len(above), 1)
    lines = [(above, height), (["timeline"] * width, lower)]
    mosaic: list[Any] = [names for names, tall in lines if tall]
    figure = plt.figure(figsize=(10, height + lower + 0.3), layout="constrained")
    axes: dict[str, Axes] = figure.subplot_mosaic(
        mosaic, height_ratios=[tall for _, tall in lines if tall]
    )
    return axes


def _numbers_of_units(facts: TreeContents, names: list[str]) -> dict[str, np.ndarray]:
    """Number of units (session,) by area; NaN if a session has no such area."""
    numbers: dict[str, np.ndarray] = {}
    for session in facts.sessions:
        for area in session.areas:
            column = numbers.setdefault(area.name, np.full(len(names), np.nan))
            column[names.index(session.name)] = area.n_units
    return numbers


def _draw_units(ax: Axes, numbers: dict[str, np.ndarray], sessions: list[str]) -> None:
    """Draw numbers of units: bars for one session, a map by area for several."""
    grid = np.stack([*numbers.values()], axis=1)
    ax.set_title(f"Units: {int(np.nansum(grid)):,}", loc="left", fontsize="medium")
    labels = [text_of(name) for name in numbers]
    ax.set_xticks(range(len(labels)), labels, rotation=90 if len(labels) > 8 else 0)
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


def _around(n: int) -> tuple[float, float]:
    """Limits around columns at 0 to n - 1; one or two columns do not fill the axes."""
    room = 0.6 + 0.4 * max(0, 3 - n)
    return -room, n - 1 + room


def _draw_rates(ax: Axes, rates: dict[str, xr.DataArray], title: str) -> None:
    """Draw a dot for the mean of each unit, by area, spread so that dots do not overlap."""
    ax.set_title(title, loc="left", fontsize="medium")
    random = np.random.default_rng(0)
    counts = all(means.attrs.get("units") == RATE["units"] for means in rates.values())
    for i, means in enumerate(rates.values()):
        y = means.values
        x = i + random.uniform(-0.25, 0.25, y.size)
        size = 14 if y.size < 200 else 3
        ax.scatter(x, y, s=size, color=PALETTE[0], alpha=0.7 if y.size < 200 else 0.35, lw=0)
        if np.isfinite(y).any():
            ax.hlines(np.nanmedian(y), i - 0.35, i + 0.35, color=PALETTE[1], lw=2)
    if counts and any((means == 0).any() for means in rates.values()):
        ax.set_yscale("symlog", linthresh=0.01)  # silent units are at 0
        ax.set_ylim(bottom=0)
    elif counts:
        ax.set_yscale("log")
        _plain_numbers(ax)
    labels = {quantity_of(means) for means in rates.values()}
    names = [text_of(name) for name in rates]
    ax.set_xticks(range(len(rates)), names, rotation=90 if len(rates) > 8 else 0)
    label = f"mean {labels.pop()}" if len(labels) == 1 else "mean response"
    ax.set(xlim=_around(len(rates)), ylabel=label)
    frameless(ax)


def _plain_numbers(ax: Axes) -> None:
    """Show ticks of a logarithmic axis as 0.2 and 20, not as 2e-01 or 2 x 10^1, and not too many of them."""
    low, high = ax.get_ylim()
    decades = np.log10(high / low)
    digits = "" if decades > 3 else "25" if decades > 1 else "23457"
    ax.yaxis.set_major_formatter(lambda rate, _: f"{rate:g}")
    ax.yaxis.set_minor_formatter(lambda rate, _: f"{rate:g}" if f"{rate:e}"[0] in digits else "")


def _short(name: str) -> str:
    return text_of(name if len(name) <= 24 else f"{name[:14]}…{name[-8:]}")


def catalog(frame: pd.DataFrame, names: str = "auto") -> dict[str, Axes]:
    """Plot the content of an archive: units by area, presentations by stimulus.

    Parameters
    ----------
    frame : DataFrame
        Result of `neuroarrays.catalog`, for aligned archives or recordings.
    names : {"auto", "all"}
        Which names of sessions to show: as many as fit, or all.

    Returns
    -------
    dict of str to matplotlib.axes.Axes
        "units" and "presentations" (session x area, session x stimulus; white where there are
        none), above them "units_total" and "presentations_total".

    Raises
    ------
    ValueError
        If the frame has no column of sessions, areas or units.

    Examples
    --------
    >>> import neuroarrays as na
    >>> axes = na.plot.catalog(na.catalog(na.sample_path()))
    """
    check(frame, DataFrame, "na.catalog", "na.plot.catalog(na.catalog(path))")
    frame = _named(frame)
    is_recording = "presentations" in frame and any(
        isinstance(number, dict) for number in frame["presentations"]
    )
    shown = by_stimulus(frame)
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
        noun = "area" if name == "units" else "table" if is_recording else "stimulus"
        _draw_grid(axes[name], axes[f"{name}_total"], grid.astype(float), name, noun)
    step = 1 if names == "all" else max(1, -(-rows // 60))
    shown = range(0, rows, step)
    axes["units"].set_yticks(shown, [text_of(grids["units"].index[i]) for i in shown])
    axes["presentations"].set_yticks([])
    axes["units"].set_ylabel(many(rows, "session"))
    return axes


def _draw_grid(ax: Axes, above: Axes, grid: pd.DataFrame, name: str, noun: str) -> None:
    """Draw numbers of units or presentations, sessions by columns, and their sums above.

    `name` is what is counted, `noun` what a column is.
    """
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
    above.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    if name == "presentations":
        above.set(yscale="log", ylim=(0.7, None))
    kinds = many(n, noun, "stimuli" if noun == "stimulus" else "")
    above.set_title(f"{int(totals.sum()):,} {name}, {kinds}", fontsize="medium")
    frameless(above)


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """A catalogue with the names of columns of `na.catalog`, also for a table of the published archive."""
    columns = {
        "n_units": "units",
        "n_presentations": "presentations",
        "stimulus": "block",
        "stimulus_type": "block",
        "session_id": "session",
        "brain_structure": "area",
    }
    frame = frame.rename(columns={o: n for o, n in columns.items() if n not in frame})
    for needed in ("session", "area", "units"):
        if needed not in frame:
            msg = f"expected a catalog with the column {needed!r}, found {list(frame.columns)}"
            raise ValueError(msg)
    block = frame["block"].replace("", "trials") if "block" in frame else "trials"
    area = frame["area"].astype(str).replace("", "none")
    return frame.assign(block=block, area=area, session=frame["session"].astype(str))


def by_stimulus(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per session, area and stimulus or table of a catalogue; empty if none has presentations."""
    frame = _named(frame)
    return _by_table(frame) if "presentations" in frame else frame.iloc[:0]


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
