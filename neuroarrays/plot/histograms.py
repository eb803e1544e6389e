"""Pictures of PSTHs, a line for each condition or each area, and of histograms of phases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.plot.areas import are_labelled, mean_by_area
from neuroarrays.plot.drawing import (
    NAMED,
    PALETTE,
    UNIT_COLORS,
    axes_of,
    check,
    frameless,
    from_zero,
    label_of,
    legend,
    name_lines,
    quantity_of,
    scale,
    text_of,
    time_label,
)
from neuroarrays.schema import given

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Ordered colours, without the lightest, which are not visible on white.
_ORDERED = ListedColormap(mpl.colormaps["viridis"](np.linspace(0, 0.88, 256)), "ordered")
#: Cyclic colours, whose steps colour-blind readers can tell apart.
_CYCLIC = LinearSegmentedColormap.from_list(
    "angles", ["#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#0072B2"]
)
#: The most lines that a legend names.
_LEGEND = 10
#: The most bands of standard errors that can be told apart.
_BANDS = 4


def psth(response: xr.Dataset, color: Any = None, ax: Axes | None = None) -> Axes:
    """Plot PSTHs: the mean rate around an onset with its standard error.

    Parameters
    ----------
    response : Dataset
        Result of `neuroarrays.psth`: ``mean`` and ``sem`` in spikes/s or the unit of the responses.
        For one unit, ``(time,)`` or ``(condition, time)``; for up to eight units, a line for each.
        For a session or tree, along ``unit_id`` with the label `area`: the mean over units of each
        area, with the standard error over units, and a panel for each area if there are several
        conditions. Numeric conditions have ordered colours; angles (attribute `period`) have cyclic
        ones. More than four lines have no bands. For more than eight units use `grid`.
    color : colour, optional
        Colour of the line, if there is only one.
    ax : Axes, optional
        Axes to draw on (default: the current ones).

    Returns
    -------
    matplotlib.axes.Axes
        The axes; with several areas and conditions, its ``child_axes`` are the panels.

    Raises
    ------
    ValueError
        If there are more than eight units, or several parameters.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> ripples = na.align(tree, "sleep_ripples", 0.01, window=(-0.1, 0.2), clip=False)
    >>> response = na.psth(ripples["A2929-200711/ca1"], smooth=0.01)
    >>> ax = na.plot.psth(response.sel(unit_id=14))
    """
    is_answer = isinstance(response, xr.Dataset) and {"mean", "sem"} <= set(response.data_vars)
    call = "na.plot.psth(na.psth(area).sel(unit_id={unit}))"
    check(response, xr.Dataset if is_answer else (), "na.psth", call)
    ax = axes_of(ax)
    if are_labelled(response):
        response = mean_by_area(response)
        if response["mean"].ndim > 2:
            return _panels(response, ax)
    lines = response["mean"].transpose(..., schema.TIME)
    _check_lines(lines)
    time = lines[schema.TIME].values
    names = lines[lines.dims[0]].values if lines.ndim == 2 else np.array([None])
    errors = response["sem"].transpose(..., schema.TIME).values.reshape(len(names), -1)
    turn = lines[lines.dims[0]].attrs.get("period") if lines.ndim == 2 else None
    are_units = schema.UNIT in lines.dims
    if lines.ndim == 1:
        colors = [color]
    else:
        colors = list(UNIT_COLORS) if are_units else condition_colors(names, turn)
    noun = "unit " if are_units else ""
    means = lines.values.reshape(len(names), -1)
    drawn = []
    for name, c, mean, sem in zip(names, colors, means, errors, strict=False):
        label = None if name is None else _named(name, noun)
        drawn += ax.plot(time, mean, color=c, lw=1.4, label=label)
        if len(names) <= _BANDS:
            band = drawn[-1].get_color()
            ax.fill_between(time, mean - sem, mean + sem, color=band, alpha=0.25, lw=0)
    ax.axvline(0, color="0.6", lw=0.8, zorder=0)
    ax.set(xlabel=time_label(lines[schema.TIME]), ylabel=quantity_of(lines))
    ax.set_xlim(time[0], time[-1])
    from_zero(ax, lines.values)
    frameless(ax)
    if lines.ndim == 2 and len(names) > _LEGEND and names.dtype.kind in "iuf":
        limits = (0, turn) if turn else (names.min(), names.max())
        colours = ScalarMappable(Normalize(*limits), _CYCLIC if turn else _ORDERED)
        scale(ax, colours, label_of(lines[lines.dims[0]]))
    elif are_units:
        name_lines(ax, drawn)
    elif lines.ndim == 2:
        legend(ax, len(names), label_of(lines[lines.dims[0]]))
    return ax


def _check_lines(lines: xr.DataArray) -> None:
    """Raise a ValueError unless there is a line per condition, or for each of up to eight units."""
    if lines.ndim > 2:
        more = schema.UNIT if schema.UNIT in lines.dims else str(lines.dims[0])
        first = np.atleast_1d(lines[more].values)[:1].tolist()
        what = "unit" if more == schema.UNIT else "parameter"
        msg = f"expected one {what}, found dims {lines.dims}; take one: .sel({more}={first[0]!r})"
        if more == schema.UNIT and lines.ndim == 3:
            msg += ", or draw a panel for each: na.plot.grid(response)"
        raise ValueError(msg)
    if lines.sizes.get(schema.UNIT, 0) > NAMED:
        msg = (
            f"expected up to {NAMED} units, found {lines.sizes[schema.UNIT]:,}; choose some with "
            ".sel(unit_id=[...]), draw a panel for each with na.plot.grid(response), or all as "
            "rows "
            "of a map with na.plot.population(response)"
        )
        raise ValueError(msg)


def _panels(response: xr.Dataset, ax: Axes) -> Axes:
    """Draw a panel for each area on one scale; conditions are named beside the last."""
    names = response[schema.AREA].values
    columns = int(np.ceil(np.sqrt(names.size)))
    rows = -(-names.size // columns)
    ax.axis("off")
    panels = []
    for i, name in enumerate(names):
        row, column = divmod(i, columns)
        box = (column / columns, 1 - (row + 1) / rows, 0.82 / columns, 0.7 / rows)
        panel = psth(response.sel(area=name), ax=ax.inset_axes(box))
        panel.set_title(text_of(name), fontsize="medium")
        panels.append(panel)
    low, high = (f(panel.get_ylim()[i] for panel in panels) for i, f in enumerate((min, max)))
    for i, panel in enumerate(panels):
        panel.set_ylim(low, high)
        if i < len(panels) - columns:
            panel.set_xlabel("")
        if i % columns:
            panel.set_ylabel("")
        if i != min(columns, len(panels)) - 1:
            if (names_of_lines := panel.get_legend()) is not None:
                names_of_lines.remove()
            for bar in list(panel.child_axes):
                bar.remove()
    return ax


def _named(condition: Any, noun: str) -> str:
    """The name of a line from its condition or unit; numbers have no trailing zeros."""
    text = noun + (f"{condition:g}" if isinstance(condition, float) else text_of(condition))
    return f" {text}" if text.startswith("_") else text  # else no legend has it


def condition_colors(names: np.ndarray, turn: float | None) -> list[Any]:
    """Colours of conditions: cyclic for angles, ordered for numbers, else distinct."""
    if turn and names.dtype.kind in "iuf":
        return list(_CYCLIC(names % turn / turn))
    if names.dtype.kind in "iuf" or len(names) > len(PALETTE):
        ranks = np.linspace(0, 1, len(names))
        if names.dtype.kind in "iuf" and len(names) > _LEGEND:
            ranks = (names - names.min()) / np.ptp(names)
        return list(_ORDERED(ranks))
    return list(PALETTE[: len(names)])


def phases(angles: xr.DataArray, bins: int = 18, ax: Axes | None = None) -> Axes:
    """Plot how often each phase occurs, over two turns, with the wave above.

    Parameters
    ----------
    angles : (n,) DataArray
        Phases with the attribute `period`, such as those of spikes, which
        ``na.interpolate(phase, times)`` returns. NaN is left out.
    bins : int
        Number of bins of a full turn.
    ax : Axes, optional
        Axes to draw on (default: the current ones).

    Returns
    -------
    matplotlib.axes.Axes
        Axes with the fraction of all phases in each bin; the dotted wave is highest at phase 0.

    Raises
    ------
    SchemaError
        If there is no `period`, or no phase.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import neuroarrays as na
    >>> random = np.random.default_rng(0)
    >>> phases_of_spikes = random.vonmises(0.5, 1.5, 500)
    >>> angles = xr.DataArray(phases_of_spikes, dims="spike", attrs={"period": 2 * np.pi})
    >>> ax = na.plot.phases(angles)
    """
    given.check(angles, xr.DataArray, "angles: expected a DataArray of phases")
    period = angles.attrs.get("period")
    values = np.ravel(angles.values)
    values = values[np.isfinite(values)]
    if not period or not values.size:
        msg = (
            f"angles: {values.size} phases with period {period!r}: expected phases with that "
            "attribute, such as na.interpolate(phase, times)"
        )
        raise SchemaError(msg)
    ax = axes_of(ax)
    share = np.histogram(values % period, bins, (0, period))[0] / values.size
    middle = (np.arange(2 * bins) + 0.5) * 360 / bins
    ax.bar(middle, np.tile(share, 2), width=360 / bins, color=PALETTE[0], edgecolor="white", lw=0.5)
    wave = np.linspace(0, 720, 200)
    top = float(share.max())
    ax.plot(wave, top * (1.15 + 0.08 * np.cos(np.deg2rad(wave))), color="0.4", ls=":", lw=1)
    ax.set_xticks([0, 180, 360, 540, 720])
    ax.set_xlim(0, 720)
    ax.set_ylim(0, 1.3 * top)
    ax.set_xlabel("phase (deg)")
    ax.set_ylabel(f"share of {values.size:,} phases")
    frameless(ax)
    return ax
