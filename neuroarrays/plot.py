"""Pictures: labelled arrays in, matplotlib axes out, which the caller may go on to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import MissingDependency

try:
    import matplotlib.pyplot as plt
    from matplotlib.colors import LogNorm
except ImportError as error:
    raise MissingDependency("matplotlib", "plot", "neuroarrays.plot") from error

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def raster(
    spikes: xr.DataTree | xr.Dataset,
    window: tuple[float, float],
    order: Any = None,
    colors: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Spikes of each unit as ticks, a row per unit.

    Parameters
    ----------
    spikes : spikes node
        Of a recording tree.
    window : (float, float), s
        Part of the session clock to show.
    order : sequence of int, optional
        Labels of the units from bottom to top; all in the order of the file unless given.
    colors : sequence of colours, optional
        One per row.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = plt.gca() if ax is None else ax
    node = spikes.to_dataset() if isinstance(spikes, xr.DataTree) else spikes
    units = node[schema.UNIT].values if order is None else np.asarray(order)
    trains = [node.sel({schema.UNIT: unit})["spike_times"].values for unit in units]
    shown = [train[(train >= window[0]) & (train < window[1])] for train in trains]
    kept = colors if colors is not None else "black"
    ax.eventplot(shown, colors=kept, linelengths=0.8, linewidths=0.7)
    ax.set(xlim=window, ylim=(-0.7, len(units) - 0.3), xlabel="time (s)", ylabel="unit_id")
    ax.set_yticks(range(len(units)), [str(u) for u in units])
    return ax


def tuning(curves: xr.DataArray, colors: Any = None, ax: Axes | None = None) -> Axes:
    """Tuning curves over one feature: polar for an angle on polar axes, else lines.

    Parameters
    ----------
    curves : (unit_id, feature) DataArray
        From `neuroarrays.tuning_curve`; drawn as they are.
    colors : sequence of colours, optional
        One per unit.
    ax : Axes, optional
        Where to draw; polar axes close the curve of an angle.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = plt.gca() if ax is None else ax
    feature = curves.dims[-1]
    x = curves[feature].values
    polar = ax.name == "polar"
    for i, curve in enumerate(curves.values):
        color = None if colors is None else colors[i]
        close = (np.append(x, x[0]), np.append(curve, curve[0])) if polar else (x, curve)
        ax.plot(*close, color=color, lw=1.4)
        if polar:
            ax.fill(*close, color=color, alpha=0.15, lw=0)
    if not polar:
        units = curves[feature].attrs.get("units", "")
        ax.set(xlabel=f"{feature} ({units})" if units else str(feature), ylabel="rate (spikes/s)")
    return ax


def psth(response: xr.Dataset, color: Any = None, ax: Axes | None = None) -> Axes:
    """Mean rate around an onset with its standard error, a line per condition.

    Parameters
    ----------
    response : Dataset
        From `neuroarrays.psth`, of one unit: ``mean`` and ``sem`` along ``([condition,] time)``.
    color : colour, optional
        Of the line, where there is one condition.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = plt.gca() if ax is None else ax
    time = response[schema.TIME].values
    lines = response["mean"].transpose(..., schema.TIME)
    if lines.ndim > 2 or schema.UNIT in lines.dims:
        msg = f"expected one unit, found dims {lines.dims}; take one with .sel(unit_id=...)"
        raise ValueError(msg)
    names = lines[lines.dims[0]].values if lines.ndim == 2 else [None]
    errors = response["sem"].transpose(..., schema.TIME).values.reshape(len(names), -1)
    for name, mean, sem in zip(names, lines.values.reshape(len(names), -1), errors, strict=True):
        (line,) = ax.plot(time, mean, color=color, lw=1.4, label=None if name is None else name)
        ax.fill_between(time, mean - sem, mean + sem, color=line.get_color(), alpha=0.25, lw=0)
    ax.axvline(0, color="0.6", lw=0.8, zorder=0)
    ax.set(xlabel="time from onset (s)", ylabel="rate (spikes/s)", xlim=(time[0], time[-1]))
    return ax


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
