"""Pictures: labelled arrays in, matplotlib axes out, which the caller may go on to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import MissingDependency

try:
    import matplotlib.pyplot as plt
except ImportError as error:
    raise MissingDependency("matplotlib", "plot", "neuroarrays.plot") from error
from neuroarrays.pages import catalog, overview
from neuroarrays.strips import label_of, receptive_field, stimulus

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "behaviour", "catalog", "overview", "population", "psth", "raster", "rate_map",
    "receptive_field", "stimulus", "tuning",
]  # fmt: skip

#: Colours that colour-blind readers tell apart (Okabe & Ito 2008), without the yellow.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: Lines that a legend may name, and units that ticks may.
_LEGEND, _TICKS = 10, 30


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
        Of a recording tree, or its area.
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
    if isinstance(spikes, xr.DataTree):
        spikes = spikes.children.get(schema.SPIKES, spikes)
    node = spikes.to_dataset() if isinstance(spikes, xr.DataTree) else spikes
    units = node[schema.UNIT].values if order is None else np.asarray(order)
    trains = [node.sel({schema.UNIT: unit})["spike_times"].values for unit in units]
    shown = [train[(train >= window[0]) & (train < window[1])] for train in trains]
    kept = colors if colors is not None else "black"
    many = len(units) > _TICKS
    ax.eventplot(
        shown, colors=kept, linelengths=1.0 if many else 0.8, linewidths=0.5 if many else 0.7
    )
    ax.set(xlim=window, ylim=(-0.7, len(units) - 0.3), xlabel="time (s)", ylabel="unit_id")
    if many:
        ax.set(ylabel=f"units ({len(units):,})", yticks=[])
    else:
        ax.set_yticks(range(len(units)), [str(u) for u in units])
    _open(ax)
    return ax


def tuning(curves: xr.DataArray, colors: Any = None, ax: Axes | None = None) -> Axes:
    """Tuning curves over one feature: polar for an angle on polar axes, else lines.

    Parameters
    ----------
    curves : ([unit_id,] feature) DataArray
        From `neuroarrays.tuning_curve`; drawn as they are, with the standard error that those of
        trial parameters have.
    colors : sequence of colours, optional
        One per unit.
    ax : Axes, optional
        Where to draw; polar axes close the curve of an angle, a full turn of which is its
        attribute `period` (2 pi without).

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there are two features: these are a `rate_map`.
    """
    ax = plt.gca() if ax is None else ax
    curves = curves if schema.UNIT in curves.dims else curves.expand_dims(schema.UNIT)
    if curves.ndim != 2:
        msg = f"expected one feature, found dims {curves.dims}; two make a na.plot.rate_map"
        raise ValueError(msg)
    feature = str(curves.dims[-1])
    labels = curves[feature].values
    x = labels if labels.dtype.kind in "iuf" else np.arange(labels.size)
    polar = ax.name == "polar"
    turn = float(curves[feature].attrs.get("period", 2 * np.pi))
    x = x * (2 * np.pi / turn) if polar else x
    n = len(curves)
    colors = (PALETTE[:n] if n <= len(PALETTE) else ["0.3"] * n) if colors is None else colors
    sems = curves.coords["sem"].values.reshape(curves.shape) if "sem" in curves.coords else None
    for i, (curve, unit) in enumerate(
        zip(curves.values, np.atleast_1d(curves[schema.UNIT].values), strict=True)
    ):
        close = (np.append(x, x[0]), np.append(curve, curve[0])) if polar else (x, curve)
        ax.plot(*close, color=colors[i], lw=1.4 if n <= _LEGEND else 0.6, label=f"unit {unit}",
                alpha=1 if n <= _LEGEND else 0.5)  # fmt: skip
        if polar and n <= _LEGEND:
            ax.fill(*close, color=colors[i], alpha=0.15, lw=0)
        elif sems is not None and n <= _LEGEND:
            ax.fill_between(x, curve - sems[i], curve + sems[i], color=colors[i], alpha=0.2, lw=0)
    if polar:
        quarters = ["0", "π/2", "π", "3π/2"] if np.isclose(turn, 2 * np.pi) else [
            f"{k * turn / 4:.3g}" for k in range(4)]  # fmt: skip
        ax.set_xticks(np.arange(4) * np.pi / 2, quarters)
        ax.set_yticks(ax.get_yticks()[1::2])
        ax.tick_params(labelsize="small")
        if 1 < n <= _LEGEND:
            ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.05, 1))
        return ax
    ax.set(xlabel=label_of(curves[feature]), ylabel="rate (spikes/s)", ylim=(0, None))
    if labels.dtype.kind not in "iuf":
        ax.set_xticks(x, labels)
    if 1 < n <= _LEGEND:
        ax.legend(frameon=False, fontsize="small")
    _open(ax)
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
    names = lines[lines.dims[0]].values if lines.ndim == 2 else np.array([None])
    errors = response["sem"].transpose(..., schema.TIME).values.reshape(len(names), -1)
    colors = [color] if lines.ndim == 1 else _condition_colors(names)
    for name, c, mean, sem in zip(
        names, colors, lines.values.reshape(len(names), -1), errors, strict=True
    ):
        (line,) = ax.plot(time, mean, color=c, lw=1.4, label=None if name is None else f"{name}")
        if len(names) <= len(PALETTE):  # bands of more than that hide one another
            ax.fill_between(time, mean - sem, mean + sem, color=line.get_color(), alpha=0.25, lw=0)
    ax.axvline(0, color="0.6", lw=0.8, zorder=0)
    ax.set(xlabel="time from onset (s)", ylabel="rate (spikes/s)", xlim=(time[0], time[-1]))
    ax.set_ylim(bottom=0)
    if lines.ndim == 2:
        title = label_of(lines[lines.dims[0]])
        ax.legend(frameon=False, fontsize="small", title=title, ncols=1 + len(names) // _LEGEND)
    _open(ax)
    return ax


def _condition_colors(names: np.ndarray) -> list[Any]:
    """Colours of conditions: ordered for numbers, else ones that are told apart."""
    if names.dtype.kind in "iuf" or len(names) > len(PALETTE):
        return list(plt.get_cmap("viridis")(np.linspace(0, 0.88, len(names))))
    return list(PALETTE[: len(names)])


def rate_map(curve: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Rate of one unit over two features; grey where it is not known.

    Parameters
    ----------
    curve : (feature, feature) DataArray
        From `neuroarrays.tuning_curve` of two features, of one unit.
    ax : Axes, optional
        Where to draw; a colour bar is put beside it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there are not two features and one unit.
    """
    ax = plt.gca() if ax is None else ax
    if curve.ndim != 2 or schema.UNIT in curve.dims:
        msg = f"expected two features of one unit, found dims {curve.dims}; take .sel(unit_id=...)"
        raise ValueError(msg)
    across, up = (curve[dim] for dim in curve.dims)
    places = [v.values if v.dtype.kind in "iuf" else np.arange(v.size) for v in (across, up)]
    ax.set_facecolor("0.85")
    edges = [_edges(at) for at in places]
    mesh = ax.pcolormesh(*edges, curve.values.T, cmap="viridis", vmin=0)
    for axis, values, at in zip((ax.xaxis, ax.yaxis), (across, up), places, strict=True):
        if values.dtype.kind not in "iuf":
            axis.set_ticks(at, values.values)
    ax.set(xlabel=label_of(across), ylabel=label_of(up))
    if across.attrs.get("units") == up.attrs.get("units") and "occupancy" in curve.coords:
        ax.set_aspect("equal")
    ax.figure.colorbar(mesh, ax=ax, label="rate (spikes/s)", shrink=0.8)
    return ax


def population(
    response: xr.Dataset | xr.DataArray, by: str | None = None, ax: Axes | None = None
) -> Axes:
    """Units as rows of a heat map, each as a share of its highest rate.

    Parameters
    ----------
    response : Dataset or (unit_id, time or feature) DataArray
        From `neuroarrays.psth` (of one condition) or `neuroarrays.tuning_curve`.
    by : str, optional
        What the rows are sorted by, from bottom to top: a coordinate along `unit_id` such as
        `preferred`; where each has its peak unless given.
    ax : Axes, optional
        Where to draw; a colour bar is put beside it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If it is not units along one other dimension.
    """
    ax = plt.gca() if ax is None else ax
    rates = response["mean"] if isinstance(response, xr.Dataset) else response
    if rates.ndim != 2 or schema.UNIT not in rates.dims:
        msg = f"expected units along one other dimension, found dims {rates.dims}; select one"
        raise ValueError(msg)
    rates = rates.transpose(schema.UNIT, ...)
    values, along = rates.values, rates[rates.dims[1]]
    with np.errstate(all="ignore"):
        peak = np.max(np.where(np.isfinite(values), values, -np.inf), axis=1)
        share = np.where(peak[:, None] > 0, values / peak[:, None], 0)
    key = np.argmax(np.nan_to_num(share), axis=1) if by is None else rates[by].values
    order = np.argsort(key, kind="stable")
    x = along.values if along.dtype.kind in "iuf" else np.arange(along.size)
    mesh = ax.pcolormesh(
        _edges(x), np.arange(order.size + 1) - 0.5, share[order], cmap="cividis", vmin=0, vmax=1,
        rasterized=True,
    )  # fmt: skip
    if along.dtype.kind not in "iuf":
        ax.set_xticks(x, along.values)
    trials = rates.dims[1] == schema.TIME
    if trials and x[0] < 0 < x[-1]:
        ax.axvline(0, color="white", lw=0.8)
    sorted_by = "" if by is None else f", by {by}"
    ax.set(
        xlabel="time from onset (s)" if trials else label_of(along), ylim=(-0.5, order.size - 0.5)
    )
    if order.size <= _TICKS:
        ax.set_yticks(range(order.size), rates[schema.UNIT].values[order])
        ax.set_ylabel(f"unit_id{sorted_by}")
    else:
        ax.set(ylabel=f"units ({order.size:,}{sorted_by})", yticks=[])
    ax.figure.colorbar(mesh, ax=ax, label="share of peak rate")
    return ax


def behaviour(
    tree: xr.DataTree, window: tuple[float, float] | None = None, ax: Axes | None = None
) -> Axes:
    """Signals along time, one above the other, each over its own range.

    Parameters
    ----------
    tree : DataTree node
        A session, or an area on one clock: every signal along `time` alone in and below it.
    window : (float, float), s, optional
        Part of the session clock to show; all of it unless given.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        Names, units and ranges stand at the left.

    Raises
    ------
    ValueError
        If there is no such signal.
    """
    ax = plt.gca() if ax is None else ax
    signals = [
        (f"{path}/{name}" if path != "." else str(name), signal)
        for path, node in tree.subtree_with_keys
        for name, signal in node.data_vars.items()
        if signal.dims == (schema.TIME,) and signal.dtype.kind == "f" and signal.size
        and schema.TIME in signal.coords
    ]  # fmt: skip
    if not signals:
        msg = f"no signal along time in {tree.path!r}; give a session, or an area on one clock"
        raise ValueError(msg)
    labels = []
    for row, (name, signal) in enumerate(reversed(signals)):
        time, values = signal[schema.TIME].values, signal.values.astype(float)
        if window is not None:
            inside = (time >= window[0]) & (time < window[1])
            time, values = time[inside], values[inside]
        low, high = (np.nanmin(values), np.nanmax(values)) if np.isfinite(values).any() else (0, 0)
        labels.append(f"{label_of(signal, name)}\n{low:.3g} to {high:.3g}")
        at, drawn = _thinned(time, values, "period" in signal.attrs)
        height = 0.8 / (high - low) if high > low else 0.0
        how = {"ls": "", "marker": ".", "ms": 1.0} if signal.attrs.get("period") else {"lw": 0.7}
        ax.plot(at, row + (drawn - low) * height, color=PALETTE[0], rasterized=True, **how)
    ax.set_yticks(np.arange(len(signals)) + 0.4, labels, fontsize="small")
    ax.set(xlabel="time (s)", ylim=(-0.1, len(signals)))
    ax.tick_params(axis="y", length=0)
    if window is not None:
        ax.set_xlim(window)
    _open(ax)
    return ax


def _thinned(
    time: np.ndarray, values: np.ndarray, angle: bool, most: int = 4000
) -> tuple[np.ndarray, np.ndarray]:
    """A signal with no more points than a page can show: its extremes, or, of an angle, samples."""
    step = -(-values.size // most)
    if step <= 1:
        return time, values
    if angle:
        return time[::step], values[::step]
    n = values.size // step * step
    low, high = (f(values[:n].reshape(-1, step), axis=1) for f in (np.min, np.max))
    return np.repeat(time[:n:step], 2), np.stack([low, high], axis=1).ravel()


def _edges(centres: np.ndarray) -> np.ndarray:
    """Edges half way between centres."""
    if centres.size < 2:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def _open(ax: Axes) -> None:
    """Without the frame's upper and right side."""
    ax.spines[["top", "right"]].set_visible(False)
