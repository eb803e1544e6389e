"""Plots of many units, with a small panel for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.ticker import AutoLocator, MaxNLocator

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.plot.curves import tuning
from neuroarrays.plot.drawing import (
    PALETTE,
    check,
    frameless,
    label_of,
    name_of,
    quantity_of,
    text_of,
    time_label,
)
from neuroarrays.plot.histograms import psth
from neuroarrays.plot.images import rate_map
from neuroarrays.schema.labels import is_in_radians, turn_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The most panels of a page.
_PANELS = 100
#: The most units of a matrix of correlograms.
_PAIRS = 12


def grid(answer: xr.Dataset | xr.DataArray, polar: bool | None = None) -> dict[Any, Axes]:
    """Plot a panel for each unit: its PSTH, its tuning curve or its map of two features.

    Parameters
    ----------
    answer : Dataset or DataArray
        From `neuroarrays.psth` or `neuroarrays.tuning_curve` (of one or two features), along
        ``unit_id``. Select units with ``.sel(unit_id=[...])``. At most 100 units are drawn, the
        first ones; the title then tells so.
    polar : bool, optional
        Polar axes for tuning to an angle (default: if its full turn is known).

    Returns
    -------
    dict of the label of a unit to matplotlib.axes.Axes
        Panels of a new figure. Each has its own vertical range from 0, or its own colour scale for
        maps.

    Raises
    ------
    SchemaError
        If it is not such a result along ``unit_id``.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> clock = na.align(tree, bin_width=0.1, window=(671, 900))
    >>> curves = na.tuning_curve(clock["A2929-200711/adn"], "head_direction/ry")
    >>> panels = na.plot.grid(curves)
    """
    is_psth = isinstance(answer, xr.Dataset) and {"mean", "sem"} <= set(answer.data_vars)
    wanted = (xr.Dataset, xr.DataArray) if is_psth or isinstance(answer, xr.DataArray) else ()
    check(answer, wanted, "na.psth or na.tuning_curve", "na.plot.grid(na.psth(area))")
    if schema.UNIT not in answer.dims or not answer.sizes[schema.UNIT]:
        msg = (
            f"expected units along unit_id, found dims {tuple(answer.dims)}; draw one with "
            "na.plot.psth, na.plot.tuning or na.plot.rate_map"
        )
        raise SchemaError(msg)
    labels = answer[schema.UNIT].values
    shown = answer.isel({schema.UNIT: slice(_PANELS)}).drop_vars(schema.AREA, errors="ignore")
    features = [] if is_psth else [str(dim) for dim in answer.dims if dim != schema.UNIT]
    if polar is None:
        polar = len(features) == 1 and turn_of(answer[features[0]]) is not None
    figure, panels = _panels(shown.sizes[schema.UNIT], polar, square=len(features) == 2)
    for i, ax in enumerate(panels):
        part = shown.isel({schema.UNIT: i})
        if isinstance(part, xr.Dataset):
            psth(part, color=PALETTE[0], ax=ax)
        elif len(features) == 2:
            rate_map(part, ax=ax)
            ax.child_axes[-1].set_ylabel("")
        else:
            tuning(part.expand_dims(schema.UNIT), ax=ax)
        _tidy(ax, i, panels, polar)
        ax.set_title(f"unit {text_of(labels[i])}", fontsize="small")
    _name_axes(figure, panels, shown, is_psth, features, polar)
    if labels.size > _PANELS:
        figure.suptitle(f"the first {_PANELS} of {labels.size:,} units", fontsize="medium")
    return dict(zip(labels.tolist(), panels, strict=False))


def correlograms(answer: xr.DataArray) -> dict[tuple[Any, Any], Axes]:
    """Plot a matrix of correlograms: autocorrelograms on the diagonal, pairs above it.

    Parameters
    ----------
    answer : (unit_id, other_unit_id, lag) DataArray, spikes/s
        Result of `neuroarrays.crosscorrelogram`. At most 12 units are drawn, the first ones; the
        title then tells so. Select units with ``.sel(unit_id=units, other_unit_id=units)``.

    Returns
    -------
    dict of (unit_id, other_unit_id) to matplotlib.axes.Axes
        Panels of a new figure. Autocorrelograms have no bar at lag 0.

    Raises
    ------
    SchemaError
        If it is not such a result.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> answer = na.crosscorrelogram(tree["A2929-200711/ca1"])
    >>> units = [7, 9, 14]
    >>> panels = na.plot.correlograms(answer.sel(unit_id=units, other_unit_id=units))
    """
    line = "na.plot.correlograms(na.crosscorrelogram(area))"
    check(answer, xr.DataArray, "na.crosscorrelogram", line)
    other = f"other_{schema.UNIT}"
    if set(answer.dims) != {schema.UNIT, other, "lag"}:
        msg = f"expected (unit_id, other_unit_id, lag), found dims {answer.dims}; write {line}"
        raise SchemaError(msg)
    values = answer.transpose(schema.UNIT, other, "lag")
    shown = values.isel({schema.UNIT: slice(_PAIRS), other: slice(_PAIRS)})
    first, second = shown[schema.UNIT].values.tolist(), shown[other].values.tolist()
    lags = 1000 * shown["lag"].values
    width = float(lags[1] - lags[0]) if lags.size > 1 else 1.0
    side = np.clip(1.3 * max(len(first), len(second)), 3, 13)
    figure = plt.figure(figsize=(side, side), layout="constrained")
    axes: dict[tuple[Any, Any], Axes] = {}
    for i, unit in enumerate(first):
        for j, partner in enumerate(second):
            if j < i and partner in first and unit in second:
                continue  # the mirror image of the panel above the diagonal
            ax = figure.add_subplot(len(first), len(second), i * len(second) + j + 1)
            heights = shown.values[i, j]
            if unit == partner:
                heights = np.where(np.isclose(lags, 0), np.nan, heights)
            color = PALETTE[0] if unit == partner else "0.35"
            ax.bar(lags, heights, width, color=color, lw=0)
            ax.axvline(0, color="0.7", lw=0.6, zorder=0)
            ax.set(xlim=(lags[0], lags[-1]), xticks=[lags[0], 0, lags[-1]])
            ax.tick_params(labelsize="x-small", labelbottom=unit == partner)
            ax.yaxis.set_major_locator(MaxNLocator(2))
            if i == 0:
                ax.set_title(f"unit {text_of(partner)}", fontsize="small")
            if unit == partner:
                ax.set_ylabel(f"unit {text_of(unit)}", fontsize="small")
            frameless(ax)
            axes[unit, partner] = ax
    figure.supxlabel("lag (ms)", fontsize="medium")
    figure.supylabel(quantity_of(answer), fontsize="medium")
    if max(values.shape[:2]) > _PAIRS:
        figure.suptitle(f"the first {_PAIRS} of {max(values.shape[:2]):,} units", fontsize="medium")
    return axes


def _panels(n: int, polar: bool, square: bool) -> tuple[Figure, list[Axes]]:
    """A figure of `n` small axes, about four columns for three rows."""
    columns = int(np.ceil(np.sqrt(n * (1 if polar or square else 0.8))))
    rows = -(-n // columns)
    width, height = (1.5, 1.6) if polar else (2.1, 1.7) if square else (2.0, 1.4)
    size = (max(columns * width, 3), max(rows * height + 0.4, 2))
    figure = plt.figure(figsize=size, layout="constrained")
    kind = {"projection": "polar"} if polar else {}
    return figure, [figure.add_subplot(rows, columns, i + 1, **kind) for i in range(n)]


def _tidy(ax: Axes, i: int, panels: list[Axes], polar: bool) -> None:
    """Remove names of axes; the names of the lines of the last panel stand beside all panels."""
    ax.set(xlabel="", ylabel="")
    ax.tick_params(labelsize="x-small")
    if polar:
        ax.set_xticklabels([])
        ax.set_yticklabels([])
        return
    ax.yaxis.set_major_locator(MaxNLocator(3))
    if isinstance(ax.xaxis.get_major_locator(), AutoLocator):
        ax.xaxis.set_major_locator(MaxNLocator(3))
    named = ax.get_legend()
    if named is None:
        return
    named.remove()
    if i == len(panels) - 1:
        ax.figure.legend(
            [handle for handle in named.legend_handles if handle is not None],
            [text.get_text() for text in named.get_texts()],
            title=named.get_title().get_text(),
            loc="outside right upper",
            frameon=False,
            fontsize="small",
            title_fontsize="small",
        )


def _name_axes(
    figure: Figure, panels: list[Axes], shown: Any, is_psth: bool, features: list[str], polar: bool
) -> None:
    """Show the names of the axes once for the whole figure."""
    response = shown["mean"] if is_psth else shown
    if is_psth:
        figure.supxlabel(time_label(shown[schema.TIME]), fontsize="medium")
        figure.supylabel(quantity_of(response), fontsize="medium")
    elif len(features) == 2:
        figure.supxlabel(label_of(shown[features[0]]), fontsize="medium")
        figure.supylabel(label_of(shown[features[1]]), fontsize="medium")
        figure.suptitle(f"{quantity_of(response)}, a colour scale for each", fontsize="medium")
    elif polar:
        name = f"{name_of(shown[features[0]])}, 0° at the right; {quantity_of(response)}, each to its peak"
        figure.supxlabel(name, fontsize="small")
    else:
        along = shown[features[0]]
        name = name_of(along) if is_in_radians(along) else label_of(along)
        figure.supxlabel(name, fontsize="medium")
        figure.supylabel(quantity_of(response), fontsize="medium")
