"""Plots of rows over time: spikes and events as ticks, signals as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.colors import to_rgba_array

from neuroarrays import schema
from neuroarrays.alignment.bins import check_window
from neuroarrays.plot.drawing import TICKS, axes_of, frameless, ink, label_of, text_of, trace
from neuroarrays.schema import given
from neuroarrays.schema.labels import brief
from neuroarrays.tree.ticks import within

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: The most signals in one plot.
_SIGNALS = 12
#: The most ticks of a raster in a vector graphic.
_VECTORS = 20_000


def raster(
    spikes: xr.DataTree | xr.Dataset,
    window: tuple[float, float],
    order: Any = None,
    colors: Any = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot a raster: the spikes of each unit, or the point events of each name, as rows of ticks.

    Parameters
    ----------
    spikes : spikes node
        A spikes node of a recording tree, or its area; or the node ``events``, or one below. Events
        with a `label` have a row for all, and one for each label, ``<name>_<label>``.
    window : (float, float), s
        Part of the session clock to show.
    order : sequence of int, optional
        Labels of the units, or names of the events, from bottom to top (default: all, in the order
        of the file).
    colors : sequence of colours, optional
        A colour for each row.
    ax : Axes, optional
        Axes to draw on (default: the current ones).

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    SchemaError
        If there are no spike times and no events.
    NotInTree
        If `order` has a unit that does not exist.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> ax = na.plot.raster(tree["A2929-200711/adn"], (900, 910))
    """
    window = check_window(window)
    ticks = within(spikes, window, order)
    ax = axes_of(ax)
    units, number = ticks.labels, [times.size for times in ticks.times]
    rows = np.repeat(np.arange(len(units)), number)
    many = len(units) > TICKS
    half = 0.5 if many else 0.4
    drawn: Any = ink() if colors is None else np.repeat(to_rgba_array(colors), number, axis=0)
    ax.vlines(
        np.concatenate(ticks.times) if ticks.times else [],
        rows - half,
        rows + half,
        colors=drawn,
        lw=0.5 if many else 0.7,
        rasterized=rows.size > _VECTORS,
    )
    ax.set(xlim=window, ylim=(-0.7, len(units) - 0.3), xlabel="time (s)")
    ax.set(ylabel="unit" if ticks.kind == "unit" else "")
    if many:
        ax.set(ylabel=f"{ticks.kind}s ({len(units):,})", yticks=[])
    else:
        ax.set_yticks(range(len(units)), [text_of(unit) for unit in units])
    if not rows.size:
        why = f"no {'spike' if ticks.kind == 'unit' else 'event'} in this window"
        ax.text(0.5, 0.5, why, ha="center", va="center", transform=ax.transAxes, color="0.5")
    frameless(ax)
    return ax


def behaviour(
    tree: xr.DataTree, window: tuple[float, float] | None = None, ax: Axes | None = None
) -> Axes:
    """Plot signals over time, one above the other, each with its own range.

    Parameters
    ----------
    tree : DataTree node
        A session, or an area on one clock. All signals ``(time,)`` in and below it are drawn.
    window : (float, float), s, optional
        Part of the session clock to show (default: all).
    ax : Axes, optional
        Axes to draw on (default: the current ones).

    Returns
    -------
    matplotlib.axes.Axes
        Axes with names, units and ranges at the left. Signals without values in the window are left
        out. At most 12 signals are shown, the first ones; for others give a node below.

    Raises
    ------
    ValueError
        If there is no such signal, or none has a value in the window.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> ax = na.plot.behaviour(tree["A2929-200711"], window=(860, 920))
    """
    given.check(tree, xr.DataTree, "expected a node, tree['session'] or an area on one clock")
    window = None if window is None else check_window(window)
    ax = axes_of(ax)
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
        hint = "it is aligned to presentations; give the recording, or a tree aligned to one clock"
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
            f"{label_of(signal, name)}\n{brief(low, high - low)} to {brief(high, high - low)}"
        )
    ax.set_yticks(np.arange(len(shown)), labels, fontsize="small")
    ax.set(xlabel="time (s)", ylim=(-0.6, len(shown) - 0.4))
    ax.tick_params(axis="y", length=0)
    if window is not None:
        ax.set_xlim(window)
    frameless(ax)
    return ax
