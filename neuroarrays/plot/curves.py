"""Plots of tuning curves, as lines or on polar axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.ticker import MaxNLocator

from neuroarrays.plot.areas import are_several, mean_by_area
from neuroarrays.plot.drawing import (
    NAMED,
    PALETTE,
    UNIT_COLORS,
    axes_of,
    axis_label,
    check,
    frameless,
    from_zero,
    legend,
    name_lines,
    numbers_of,
    quantity_of,
    rows_of,
    text_of,
)
from neuroarrays.schema import UNIT
from neuroarrays.schema.labels import FULL_TURNS, is_in_degrees, turn_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D


def tuning(curves: xr.DataArray, colors: Any = None, ax: Axes | None = None) -> Axes:
    """Plot tuning curves over one feature, as lines or on polar axes.

    Parameters
    ----------
    curves : (unit_id, feature) or (feature,) DataArray, spikes/s or the unit of the responses
        Curves of units or events, from `neuroarrays.tuning_curve`. They are drawn with their
        standard error, if they have one (those of parameters do); of many units the mean is drawn
        too. For units of several areas, the mean of each area is drawn, with the standard error
        over units. The centre of polar axes is 0, or the lowest value if it is below 0; then 0 is a
        dashed circle.
    colors : sequence of colours, optional
        A colour for each unit.
    ax : Axes, optional
        Axes to draw on (default: the current ones). Polar axes close the curve of an angle, whose
        full turn is its attribute `period`, or that of its unit (default: 2 pi). Up to eight lines have their names
        beside them.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there are two features; use `rate_map` for them. Or if the axes are polar and the full
        turn of the feature is not known.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> clock = na.align(tree, bin_width=0.1, window=(671, 900))
    >>> curves = na.tuning_curve(clock["A2929-200711/adn"], "head_direction/ry")
    >>> ax = na.plot.tuning(curves)
    """
    line = "na.plot.tuning(na.tuning_curve(area, 'orientation'))"
    check(curves, xr.DataArray, "na.tuning_curve", line)
    ax = axes_of(ax)
    if are_several(curves):
        curves = mean_by_area(curves)
    rows = rows_of(curves)
    curves = curves if rows in curves.dims else curves.expand_dims(rows)
    if curves.ndim != 2:
        msg = (
            f"expected the result of na.tuning_curve for one feature, found dims {curves.dims}; "
            "plot two features with na.plot.rate_map"
        )
        raise ValueError(msg)
    along = curves[str(curves.dims[-1])]
    polar = ax.name == "polar"
    turn = _turn(along) if polar else 1.0
    if len(curves) <= NAMED:
        lines = _draw_few(ax, curves, colors, turn)
    else:
        lines = _draw_many(ax, curves, colors, turn)
    if polar:
        _polar_axes(ax, curves, turn)
        if len(curves) > 1:
            legend(ax, len(lines))
        return ax
    axis_label(ax, "x", along)
    ax.set_ylabel(quantity_of(curves))
    from_zero(ax, curves.values)
    frameless(ax)
    if 1 < len(curves) <= NAMED:
        name_lines(ax, lines, "end" if along.dtype.kind not in "iuf" else "peak")
    elif len(curves) > 1:
        legend(ax, 1)
    return ax


def _draw_few(ax: Axes, curves: xr.DataArray, colors: Any, turn: float) -> list[Line2D]:
    """Draw a coloured line for each of a few units, with its standard errors."""
    along, polar = curves[str(curves.dims[-1])], ax.name == "polar"
    x, is_text = numbers_of(along), along.dtype.kind not in "iuf"
    rows = str(curves.dims[0])
    noun = "unit " if rows == UNIT else ""
    colors = UNIT_COLORS if colors is None else colors
    sems = curves.coords["sem"].values.reshape(curves.shape) if "sem" in curves.coords else None
    style: dict[str, Any] = {"lw": 1.4}
    style |= {"ls": "", "marker": "o", "ms": 4} if is_text and not polar else {}
    lines: list[Line2D] = []
    for i, name in enumerate(np.atleast_1d(curves[rows].values)):
        at, curve = _at(x, curves.values[i], turn, polar)
        lines += ax.plot(at, curve, color=colors[i], label=f"{noun}{text_of(name)}", **style)
        if polar:
            ax.fill(at, curve, color=colors[i], alpha=0.15, lw=0)
        elif sems is not None and is_text:
            ax.vlines(at, curve - sems[i], curve + sems[i], color=colors[i], lw=1.4)
        elif sems is not None:
            ax.fill_between(x, curve - sems[i], curve + sems[i], color=colors[i], alpha=0.2, lw=0)
    return lines


def _draw_many(ax: Axes, curves: xr.DataArray, colors: Any, turn: float) -> list[Line2D]:
    """Draw thin lines, and their mean."""
    rows, n, polar = str(curves.dims[0]), len(curves), ax.name == "polar"
    x = numbers_of(curves[str(curves.dims[-1])])
    colors = ["0.5"] * n if colors is None else colors
    for curve, color in zip(curves.values, colors, strict=True):
        ax.plot(*_at(x, curve, turn, polar), color=color, lw=0.6, alpha=max(0.03, 4 / n))
    noun = "unit" if rows == UNIT else rows
    mean = _at(x, curves.mean(rows).values, turn, polar)
    return ax.plot(*mean, color=PALETTE[1], lw=2, label=f"mean of {n:,} {noun}s")


def _at(x: np.ndarray, y: np.ndarray, turn: float, polar: bool) -> tuple[np.ndarray, np.ndarray]:
    """The points of a curve; on polar axes they are angles, and the curve is closed."""
    if not polar:
        return x, y
    return np.append(x, x[0]) * (2 * np.pi / turn), np.append(y, y[0])


def _polar_axes(ax: Axes, curves: xr.DataArray, turn: float) -> None:
    """Label the quarters of the circle; the centre is 0, or the lowest value if it is below 0."""
    along = curves[str(curves.dims[-1])]
    in_radians = np.isclose(turn % np.pi, 0)
    quarter, sign = (np.degrees(turn) if in_radians else turn) / 4, ""
    if in_radians or is_in_degrees(along):
        sign = "\N{DEGREE SIGN}"
    quarters = [f"{k * quarter:.3g}{sign}" for k in range(4)]
    ax.set_xticks(np.arange(4) * np.pi / 2, quarters)
    lowest = float(np.nanmin(curves.values, initial=0))
    highest = float(np.nanmax(curves.values, initial=lowest)) or 1.0
    ax.set_ylim(lowest, lowest + 1.05 * (highest - lowest))
    if lowest < 0:
        ax.plot(np.linspace(0, 2 * np.pi, 200), np.zeros(200), color="0.4", lw=0.8, ls="--")
    rings = [
        ring for ring in MaxNLocator(3).tick_values(lowest, highest) if lowest < ring < highest
    ]
    ax.set_yticks(rings)
    ax.set_rlabel_position(22.5)  # type: ignore[attr-defined]
    ax.tick_params(labelsize="small", pad=0)
    ax.grid(lw=0.4)
    ax.set_title(quantity_of(curves), loc="center", fontsize="small")


def _turn(along: xr.DataArray) -> float:
    """The full turn that a circle represents, or as many turns as the values need.

    Orientations have a period of half a circle.
    """
    values = along.values if along.dtype.kind in "iuf" else np.zeros(1)
    reach = float(values.max() - values.min())
    period = turn_of(along) or FULL_TURNS.get(str(along.attrs.get("units", "")).lower())
    if period is None and reach > 2 * np.pi:
        name = text_of(along.name)
        msg = (
            f"{name}: polar axes need its full turn, and it has neither `period` nor a unit of "
            f"angles: na.tuning_curve(area, {name!r}, period=360)"
        )
        raise ValueError(msg)
    period = 2 * np.pi if period is None else period
    return period * (int(reach / period * (1 - 1e-9)) + 1)
