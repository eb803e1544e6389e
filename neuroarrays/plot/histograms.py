"""Pictures of PSTHs: a line for each condition, or for each area; areas side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, ListedColormap, Normalize

from neuroarrays import schema
from neuroarrays.plot.areas import are_labelled, mean_by_area
from neuroarrays.plot.drawing import (
    PALETTE,
    check,
    frameless,
    from_zero,
    label_of,
    legend,
    quantity_of,
    scale,
    text_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours in order, without the lightest, which white paper swallows.
_ORDERED = ListedColormap(plt.get_cmap("viridis")(np.linspace(0, 0.88, 256)), "ordered")
#: Colours that go round, each step one that colour-blind readers can tell.
_CYCLIC = LinearSegmentedColormap.from_list(
    "angles", ["#0072B2", "#009E73", "#E69F00", "#D55E00", "#CC79A7", "#0072B2"]
)
#: Lines that a legend may name.
_LEGEND = 10


def psth(response: xr.Dataset, color: Any = None, ax: Axes | None = None) -> Axes:
    """Mean rate around an onset with its standard error, a line per condition.

    Parameters
    ----------
    response : Dataset
        From `neuroarrays.psth`, of one unit: ``mean`` and ``sem``, spikes/s or the unit of the
        responses, along ``(time,)`` or ``(condition, time)``. Or of a session or tree, along
        ``unit_id`` with its label `area`: the mean over units of each area, with the standard
        error over units; of several conditions a panel for each area. Conditions that are numbers have colours in order; angles, with the attribute `period`,
        colours that go round.
    color : colour, optional
        Of the line, where there is one condition.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes
        Of several areas and conditions its ``child_axes`` are the panels.
    """
    is_answer = isinstance(response, xr.Dataset) and {"mean", "sem"} <= set(response.data_vars)
    call = "na.plot.psth(na.psth(area).sel(unit_id={unit}))"
    check(response, xr.Dataset if is_answer else (), "na.psth", call)
    ax = plt.gca() if ax is None else ax
    if are_labelled(response):
        response = mean_by_area(response)
        if response["mean"].ndim > 2:
            return _panels(response, ax)
    time = response[schema.TIME].values
    lines = response["mean"].transpose(..., schema.TIME)
    if lines.ndim > 2 or schema.UNIT in lines.dims:
        what = "unit" if schema.UNIT in lines.dims else "parameter"
        more = schema.UNIT if what == "unit" else lines.dims[0]
        first = np.atleast_1d(lines[more].values)[:1].tolist()
        msg = f"expected one {what}, found dims {lines.dims}; take one: .sel({more}={first[0]!r})"
        raise ValueError(msg)
    names = lines[lines.dims[0]].values if lines.ndim == 2 else np.array([None])
    errors = response["sem"].transpose(..., schema.TIME).values.reshape(len(names), -1)
    turn = lines[lines.dims[0]].attrs.get("period") if lines.ndim == 2 else None
    colors = [color] if lines.ndim == 1 else _condition_colors(names, turn)
    for name, c, mean, sem in zip(
        names, colors, lines.values.reshape(len(names), -1), errors, strict=True
    ):
        (line,) = ax.plot(time, mean, color=c, lw=1.4, label=_named(name))
        if len(names) <= len(PALETTE):  # bands of more than that hide one another
            ax.fill_between(time, mean - sem, mean + sem, color=line.get_color(), alpha=0.25, lw=0)
    ax.axvline(0, color="0.6", lw=0.8, zorder=0)
    ax.set(xlabel="time from onset (s)", ylabel=quantity_of(lines), xlim=(time[0], time[-1]))
    from_zero(ax, lines.values)
    if lines.ndim == 2:
        title = label_of(lines[lines.dims[0]])
        if len(names) > _LEGEND and names.dtype.kind in "iuf":
            limits = (0, turn) if turn else (names.min(), names.max())
            colours = ScalarMappable(Normalize(*limits), _CYCLIC if turn else _ORDERED)
            scale(ax, colours, title)
        else:
            legend(ax, len(names), title)
    frameless(ax)
    return ax


def _panels(response: xr.Dataset, ax: Axes) -> Axes:
    """A panel for each area, on one scale; conditions are named beside the last."""
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


def _named(condition: Any) -> str | None:
    """A condition in a legend: numbers without needless zeros."""
    if condition is None:
        return None
    text = f"{condition:g}" if isinstance(condition, float) else text_of(condition)
    return f" {text}" if text.startswith("_") else text  # such labels are left out of legends


def _condition_colors(names: np.ndarray, turn: float | None) -> list[Any]:
    """Colours of conditions: around a circle for angles, ordered for numbers, else told apart."""
    if turn and names.dtype.kind in "iuf":
        return list(_CYCLIC(names % turn / turn))
    if names.dtype.kind in "iuf" or len(names) > len(PALETTE):
        ranks = np.linspace(0, 1, len(names))
        if names.dtype.kind in "iuf" and len(names) > _LEGEND:
            ranks = (names - names.min()) / np.ptp(names)
        return list(_ORDERED(ranks))
    return list(PALETTE[: len(names)])
