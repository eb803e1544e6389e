"""Plots of presentations: a raster above the PSTH."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.ticker import MaxNLocator

from neuroarrays import schema
from neuroarrays.analysis.conditions import dataset_of
from neuroarrays.analysis.rates import psth as rates_around
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.plot.drawing import axes_of, frameless, ink
from neuroarrays.plot.histograms import condition_colors, psth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: The most ticks in a vector graphic.
_VECTORS = 20_000


def peri_event(
    area: xr.DataTree | xr.Dataset,
    unit: Any = None,
    by: str | None = None,
    smooth: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot the raster of one unit over presentations, above its PSTH.

    Parameters
    ----------
    area : DataTree node or Dataset
        An area with ``spike_data (presentation_id, unit_id, time)``, spikes per bin. There is a
        tick for each bin with spikes, so use bins of 1 to 5 ms.
    unit : int or str, optional
        Label of the unit; needed if there are several.
    by : str, optional
        A parameter of the presentations. They are sorted by it, and each of its values has a colour
        in both panels.
    smooth : float, s, optional
        Standard deviation of a Gaussian that smooths the PSTH, as in `neuroarrays.psth`.
    ax : Axes, optional
        Axes to draw on (default: the current ones).

    Returns
    -------
    matplotlib.axes.Axes
        Axes whose ``child_axes`` are the raster and the PSTH.

    Raises
    ------
    SchemaError
        If there are no counts along presentations.
    NotInTree
        If the unit does not exist, or there are several and none is given.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> ripples = na.align(tree, "sleep_ripples", 0.01, window=(-0.1, 0.2), clip=False)
    >>> ax = na.plot.peri_event(ripples["A2929-200711/ca1"], unit=14, smooth=0.01)
    """
    counts = dataset_of(area, "trials")
    if schema.SPIKE_DATA not in counts or schema.PRESENTATION not in counts[schema.SPIKE_DATA].dims:
        msg = (
            "expected spike_data (presentation_id, unit_id, time), counts around "
            "presentations; write "
            "na.align(tree, 'trials', bin_width=0.005, window=(-0.5, 1))"
        )
        raise SchemaError(msg)
    labels = np.atleast_1d(counts[schema.UNIT].values)
    unit = labels[0] if unit is None and labels.size == 1 else unit
    if unit is None or unit not in labels:
        raise NotInTree("unit", unit, labels.tolist())
    one = counts.sel({schema.UNIT: [unit]})
    response = rates_around(one, by=by, smooth=smooth).isel({schema.UNIT: 0})
    ax = axes_of(ax)
    ax.axis("off")
    upper, lower = ax.inset_axes((0, 0.46, 1, 0.54)), ax.inset_axes((0, 0, 1, 0.42))
    _ticks(upper, one, by)
    psth(response, ax=lower)
    lower.set_ylabel(lower.get_ylabel().replace(" (", "\n("))  # half as high as an axis
    upper.sharex(lower)
    upper.tick_params(labelbottom=False)
    ax.set_title(f"unit {unit}", loc="left", fontsize="medium")
    return ax


def _ticks(ax: Axes, counts: xr.Dataset, by: str | None) -> None:
    """Draw a row for each presentation, in the order of `by`; grey where bins are not valid."""
    spikes = counts[schema.SPIKE_DATA].transpose(schema.PRESENTATION, schema.UNIT, schema.TIME)
    values, time = spikes.values[:, 0], spikes[schema.TIME].values
    order, colors = np.arange(len(values)), np.full(len(values), ink(), object)
    if by is not None:
        column = counts[by]
        names, codes = np.unique(column.values, return_inverse=True)
        order = np.argsort(codes, kind="stable")
        shades = condition_colors(names, column.attrs.get("period"))
        colors = np.array([*shades, None], object)[:-1][codes[order]]
    rows, bins = np.nonzero(values[order] > 0)
    half = max(0.4, len(values) / 200)  # high enough to see
    ax.vlines(
        time[bins],
        rows - half,
        rows + half,
        colors=list(colors[rows]),
        lw=1,
        rasterized=rows.size > _VECTORS,
    )
    if schema.VALID in counts:
        valid = counts[schema.VALID].transpose(schema.PRESENTATION, schema.TIME).values[order]
        shade = np.where(valid, np.nan, 0.88)
        extent = (*_reach(time), -0.5, len(values) - 0.5)
        ax.imshow(
            shade,
            cmap="gray",
            vmin=0,
            vmax=1,
            aspect="auto",
            extent=extent,
            origin="lower",
            zorder=0,
            interpolation="none",
        )
    ax.axvline(0, color="0.6", lw=0.8, zorder=0)
    ax.set(
        ylim=(-0.7, len(values) - 0.3),
        ylabel="presentation" if by is None else f"presentation, by {by}",
    )
    ax.yaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    frameless(ax)


def _reach(time: np.ndarray) -> tuple[float, float]:
    """Outer edges of the bins around these centres."""
    half = (time[1] - time[0]) / 2 if time.size > 1 else 0.5
    return float(time[0] - half), float(time[-1] + half)
