"""Pictures: labelled arrays in, matplotlib axes out, which the caller may go on to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.bins import check_window
from neuroarrays.errors import MissingDependency
from neuroarrays.schema import given
from neuroarrays.tree.ticks import within

try:
    import matplotlib.pyplot as plt
    from matplotlib.colors import to_rgba_array
except ImportError as error:
    raise MissingDependency("matplotlib", "plot", "neuroarrays.plot") from error
from neuroarrays.plot.areas import are_several, mean_by_area
from neuroarrays.plot.drawing import (
    PALETTE,
    TICKS,
    check,
    frameless,
    from_zero,
    label_of,
    legend,
    numbers_of,
    quantity_of,
    rows_of,
    text_of,
    trace,
)
from neuroarrays.plot.histograms import psth
from neuroarrays.plot.images import population, rate_map, receptive_field, stimulus
from neuroarrays.plot.pages import catalog, overview
from neuroarrays.plot.signals import csd, phases, power, spectrogram, traces
from neuroarrays.plot.statistics import statistics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "behaviour",
    "catalog",
    "csd",
    "overview",
    "phases",
    "population",
    "power",
    "psth",
    "raster",
    "rate_map",
    "receptive_field",
    "spectrogram",
    "statistics",
    "stimulus",
    "traces",
    "tuning",
]

#: Signals that have room one above the other.
_SIGNALS = 12
#: Ticks of a raster that a vector graphic may hold.
_VECTORS = 20_000


def raster(
    spikes: xr.DataTree | xr.Dataset,
    window: tuple[float, float],
    order: Any = None,
    colors: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Spikes of each unit, or point events of each name, as ticks, a row for each.

    Parameters
    ----------
    spikes : spikes node
        Of a recording tree, or its area; or its node ``events``, or one of those below: events with
        a `label` have a row for all, and one for each label, ``<name>_<label>``.
    window : (float, float), s
        Part of the session clock to show.
    order : sequence of int, optional
        Labels of the units, or names of the events, from bottom to top; all in the order of the
        file unless given.
    colors : sequence of colours, optional
        One per row.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    SchemaError
        If there are no spike times and no events.
    NotInTree
        If `order` names a unit that is not there.
    """
    window = check_window(window)
    ticks = within(spikes, window, order)
    ax = plt.gca() if ax is None else ax
    units, number = ticks.labels, [times.size for times in ticks.times]
    rows = np.repeat(np.arange(len(units)), number)
    many = len(units) > TICKS
    half = 0.5 if many else 0.4
    drawn: Any = "black" if colors is None else np.repeat(to_rgba_array(colors), number, axis=0)
    ax.vlines(
        np.concatenate(ticks.times) if ticks.times else [],
        rows - half,
        rows + half,
        colors=drawn,
        lw=0.5 if many else 0.7,
        rasterized=rows.size > _VECTORS,
    )
    ax.set(xlim=window, ylim=(-0.7, len(units) - 0.3), xlabel="time (s)")
    ax.set(ylabel=schema.UNIT if ticks.kind == "unit" else "")
    if many:
        ax.set(ylabel=f"{ticks.kind}s ({len(units):,})", yticks=[])
    else:
        ax.set_yticks(range(len(units)), [text_of(unit) for unit in units])
    frameless(ax)
    return ax


def tuning(curves: xr.DataArray, colors: Any = None, ax: Axes | None = None) -> Axes:
    """Tuning curves over one feature: polar for an angle on polar axes, else lines.

    Parameters
    ----------
    curves : (unit_id, feature) or (feature,) DataArray, spikes/s or the unit of the responses
        From `neuroarrays.tuning_curve`, of units or events. They are drawn as they are, with
        their standard error where they have one (those of trial parameters do); of many units
        also the mean. Of a session or tree, units of several areas: the mean of each area, with
        the standard error over units. On polar axes the middle is 0, or the lowest value if that is below 0;
        then 0 is a dashed circle.
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
    line = "na.plot.tuning(na.tuning_curve(area, 'orientation'))"
    check(curves, xr.DataArray, "na.tuning_curve", line)
    ax = plt.gca() if ax is None else ax
    if are_several(curves):
        curves = mean_by_area(curves)
    along_rows = rows_of(curves)
    curves = curves if along_rows in curves.dims else curves.expand_dims(along_rows)
    noun = "unit " if along_rows == schema.UNIT else ""
    if curves.ndim != 2:
        msg = (
            f"expected what na.tuning_curve gives of one feature, found dims {curves.dims}; two "
            "features make a na.plot.rate_map"
        )
        raise ValueError(msg)
    along = curves[str(curves.dims[-1])]
    x, n, polar = numbers_of(along), len(curves), ax.name == "polar"
    turn = _turn(along) if polar else 1.0
    few = n <= len(PALETTE)
    colors = (PALETTE[:n] if few else ["0.4"] * n) if colors is None else colors
    sems = curves.coords["sem"].values.reshape(curves.shape) if "sem" in curves.coords else None
    how: dict[str, Any] = {"lw": 1.4} if few else {"lw": 0.6, "alpha": max(0.03, 4 / n)}
    text = along.dtype.kind not in "iuf"
    how |= {"ls": "", "marker": "o", "ms": 4} if text and few and not polar else {}
    for i, unit in enumerate(np.atleast_1d(curves[along_rows].values)):
        at, curve = (
            _closed(x * (2 * np.pi / turn), curves.values[i]) if polar else (x, curves.values[i])
        )
        ax.plot(at, curve, color=colors[i], label=f"{noun}{text_of(unit)}" if few else None, **how)
        if few and polar:
            ax.fill(at, curve, color=colors[i], alpha=0.15, lw=0)
        elif few and sems is not None and text:
            ax.vlines(at, curve - sems[i], curve + sems[i], color=colors[i], lw=1.4)
        elif few and sems is not None:
            ax.fill_between(x, curve - sems[i], curve + sems[i], color=colors[i], alpha=0.2, lw=0)
    if not few:
        mean = curves.mean(along_rows).values
        at, mean = _closed(x * (2 * np.pi / turn), mean) if polar else (x, mean)
        ax.plot(
            at, mean, color=PALETTE[1], lw=2, label=f"mean of {n:,} {noun.strip() or along_rows}s"
        )
    if n > 1:
        legend(ax, n if few else 1)
    if polar:
        _polar_axes(ax, curves, turn)
        return ax
    ax.set(xlabel=label_of(along), ylabel=quantity_of(curves))
    from_zero(ax, curves.values)
    if text:
        ax.set_xticks(x, [text_of(label) for label in along.values])
    frameless(ax)
    return ax


def _polar_axes(ax: Axes, curves: xr.DataArray, turn: float) -> None:
    """Label the quarters of the circle, let the middle be 0 or the lowest value below it."""
    quarters = (
        ["0", "π/2", "π", "3π/2"]
        if np.isclose(turn, 2 * np.pi)
        else [f"{k * turn / 4:.3g}" for k in range(4)]
    )
    ax.set_xticks(np.arange(4) * np.pi / 2, quarters)
    lowest = float(np.nanmin(curves.values, initial=0))
    ax.set_ylim(lowest, None)
    if lowest < 0:
        ax.plot(np.linspace(0, 2 * np.pi, 200), np.zeros(200), color="0.4", lw=0.8, ls="--")
    ax.set_yticks(ax.get_yticks()[1:-1:2])
    ax.set_rlabel_position(22.5)  # type: ignore[attr-defined]
    ax.tick_params(labelsize="small")
    ax.set_title(quantity_of(curves), fontsize="small")


def _turn(along: xr.DataArray) -> float:
    """The full turn that a circle stands for, or as many turns as the values need.

    Directions that were summed up as orientations have a period of half a circle.
    """
    period = float(along.attrs.get("period", 2 * np.pi))
    reach = float(along.max() - along.min()) if along.dtype.kind in "iuf" else 0.0
    return period * (int(reach / period * (1 - 1e-9)) + 1)


def _closed(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A curve that ends where it begins."""
    return np.append(x, x[0]), np.append(y, y[0])


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
        Names, units and ranges stand at the left; what has no value in the window is left out. Of
        more than 12 signals the first are shown; give a node below for others.

    Raises
    ------
    ValueError
        If there is no such signal, or none has a value in the window.
    """
    given.check(tree, xr.DataTree, "expected a node, tree['session'] or an area on one clock")
    window = None if window is None else check_window(window)
    ax = plt.gca() if ax is None else ax
    signals = [
        (f"{path}/{name}" if path != "." else str(name), signal)
        for path, node in tree.subtree_with_keys
        for name, signal in node.data_vars.items()
        if signal.dims == (schema.TIME,)
        and signal.dtype.kind == "f"
        and signal.size
        and schema.TIME in signal.coords
    ]
    if not signals:
        trials = any(
            schema.PRESENTATION in n.sizes and schema.TIME in n.sizes for n in tree.subtree
        )
        hint = "it is aligned to presentations, and signals are those of the recording, or of one clock"
        hint = hint if trials else "give a session, or an area on one clock"
        msg = f"no signal along time in {tree.path!r}; {hint}"
        raise ValueError(msg)
    shown = []
    for name, signal in signals:
        time = signal[schema.TIME].values
        low, high = window or (-np.inf, np.inf)
        inside = (time >= low) & (time < high)
        if np.isfinite(signal.values[inside]).any():
            shown.append((name, signal[inside]))
    if not shown:
        when = f" from {window[0]:g} to {window[1]:g} s" if window else ""
        msg = f"no signal of {tree.path!r} has a value{when}"
        raise ValueError(msg)
    labels = []
    if len(shown) > _SIGNALS:
        ax.set_title(f"{_SIGNALS} of {len(shown)} signals", loc="left", fontsize="medium")
    shown = shown[:_SIGNALS]
    for row, (name, signal) in enumerate(reversed(shown)):
        low, high = trace(ax, signal, signal[schema.TIME].values, row)
        labels.append(
            f"{label_of(signal, name)}\n{_brief(low, high - low)} to {_brief(high, high - low)}"
        )
    ax.set_yticks(np.arange(len(shown)), labels, fontsize="small")
    ax.set(xlabel="time (s)", ylim=(-0.6, len(shown) - 0.4))
    ax.tick_params(axis="y", length=0)
    if window is not None:
        ax.set_xlim(window)
    frameless(ax)
    return ax


def _brief(number: float, reach: float) -> str:
    """A number with three digits that say something; 0 where it is next to nothing of the range."""
    return "0" if abs(number) < 0.005 * reach else f"{number:.3g}"
