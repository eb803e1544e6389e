"""Plots as images: rate maps, populations, and frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.analysis.activity import shares_of_peak
from neuroarrays.errors import NotInTree
from neuroarrays.plot.drawing import (
    TICKS,
    axes_of,
    axis_label,
    check,
    edges,
    label_of,
    numbers_of,
    quantity_of,
    rows_of,
    scale,
    text_of,
    time_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

#: The most frames of a strip.
_FRAMES = 12


def rate_map(curve: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Plot the response of one unit over two features; grey where it is not known.

    Parameters
    ----------
    curve : (feature, feature) DataArray
        From `neuroarrays.tuning_curve` of two features, of one unit.
    ax : Axes, optional
        Axes to draw on (default: the current ones); a colour bar is added beside them.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there are not two features and one unit.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> clock = na.align(tree, bin_width=0.1, window=(671, 1199))
    >>> ca1 = clock["A2929-200711/ca1"]
    >>> maps = na.tuning_curve(ca1, ["position/x", "position/z"], bins=14)
    >>> ax = na.plot.rate_map(maps.sel(unit_id=12))
    """
    line = (
        "na.plot.rate_map(na.tuning_curve(area, ['position/x', 'position/y']).sel(unit_id={unit}))"
    )
    check(curve, xr.DataArray, "na.tuning_curve", line)
    ax = axes_of(ax)
    if curve.ndim != 2 or schema.UNIT in curve.dims:
        msg = f"expected two features of one unit, found dims {curve.dims}; take .sel(unit_id=...)"
        raise ValueError(msg)
    across, up = (curve[dim] for dim in curve.dims)
    centres = [numbers_of(labels) for labels in (across, up)]
    ax.set_facecolor("0.85")
    least = min(0.0, float(np.nanmin(curve.values, initial=0)))
    mesh = ax.pcolormesh(*map(edges, centres), curve.values.T, cmap="viridis", vmin=least)
    axis_label(ax, "x", across)
    axis_label(ax, "y", up)
    if across.attrs.get("units") == up.attrs.get("units") and "occupancy" in curve.coords:
        ax.set_aspect("equal")
    scale(ax, mesh, quantity_of(curve))
    return ax


def population(
    response: xr.Dataset | xr.DataArray, by: str | None = None, ax: Axes | None = None
) -> Axes:
    """Plot units as rows of a heat map, each divided by its peak; grey where it is not known.

    Parameters
    ----------
    response : Dataset or (unit_id, time or feature) DataArray
        Result of `neuroarrays.psth` (of one condition) or `neuroarrays.tuning_curve`, in spikes/s
        or any other unit. Events may take the place of units.
    by : str, optional
        Coordinate along `unit_id` that the rows are sorted by, from bottom to top, such as
        `preferred` (default: the position of the peak).
    ax : Axes, optional
        Axes to draw on (default: the current ones); a colour bar is added beside them.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If it is not units along one other dimension.
    NotInTree
        If there is no such coordinate along `unit_id`.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> clock = na.align(tree, bin_width=0.1, window=(671, 900))
    >>> curves = na.tuning_curve(clock["A2929-200711/adn"], "head_direction/ry")
    >>> ax = na.plot.population(curves, by="preferred")
    """
    is_answer = isinstance(response, xr.DataArray) or (
        isinstance(response, xr.Dataset) and "mean" in response
    )
    wanted = (xr.Dataset, xr.DataArray) if is_answer else ()
    check(response, wanted, "na.psth or na.tuning_curve", "na.plot.population(na.psth(area))")
    ax = axes_of(ax)
    rates = response["mean"] if isinstance(response, xr.Dataset) else response
    rows = rows_of(rates)
    if rates.ndim != 2 or rows not in rates.dims:
        msg = f"expected units along one other dimension, found dims {rates.dims}; select one"
        raise ValueError(msg)
    known = [str(name) for name, c in rates.coords.items() if c.dims == (rows,)]
    if by is not None and by not in known:
        raise NotInTree("coordinate of the units", by, known)
    rates = rates.transpose(rows, ...)
    along = rates[rates.dims[1]]
    share, peak = shares_of_peak(rates)
    order = np.argsort(peak if by is None else rates[by].values, kind="stable")
    x = numbers_of(along)
    ax.set_facecolor("0.85")
    mesh = ax.pcolormesh(
        edges(x),
        np.arange(order.size + 1) - 0.5,
        share.values[order],
        cmap="cividis",
        vmin=0,
        vmax=1,
        rasterized=True,
    )
    # An area of a tree that has units along its last dimension is on a clock.
    trials = rates.dims[1] == schema.TIME and rates.name not in (
        schema.SPIKE_DATA,
        schema.RESPONSES,
    )
    if trials and x[0] < 0 < x[-1]:
        ax.axvline(0, color="white", lw=0.8)
    sorted_by = "" if by is None else f", by {text_of(by)}"
    if trials:
        ax.set_xlabel(time_label(along))
    else:
        axis_label(ax, "x", along)
    ax.set_ylim(-0.5, order.size - 0.5)
    if order.size <= TICKS:
        ax.set_yticks(range(order.size), [text_of(row) for row in rates[rows].values[order]])
        ax.set_ylabel(f"{'unit' if rows == schema.UNIT else rows}{sorted_by}")
    else:
        ax.set(ylabel=f"units ({order.size:,}{sorted_by})", yticks=[])
    scale(ax, mesh, "share of peak")
    return ax


def receptive_field(average: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Plot the average stimulus before a response: lags in a row, on one scale centred at 0.

    Parameters
    ----------
    average : (lag, y, x) or (lag, x) DataArray
        `average` or `z` from `neuroarrays.spike_triggered_average`, of one unit; dimensions of
        length 1 are dropped. Of more than 12 lags, 12 are shown.
    ax : Axes, optional
        Axes to draw on (default: the current ones); a colour bar is added beside them.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there are other dimensions.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_maheswaranathan
    >>> path = write_maheswaranathan("neural_code_data")
    >>> tree = na.open_datatree(path, stimulus="whitenoise", response="binned")
    >>> session = tree["train/15-10-07"]
    >>> average = na.spike_triggered_average(session["retina"], session["stimulus"], lags=5)
    >>> ax = na.plot.receptive_field(average["z"].sel(unit_id=1))
    """
    call = "na.spike_triggered_average(area)"
    line = f"na.plot.receptive_field({call}['average'].sel(unit_id={{unit}}))"
    check(average, xr.DataArray, "na.spike_triggered_average", line)
    ax = axes_of(ax)
    frames = _frames(average, "lag")
    limit = float(np.nanmax(np.abs(frames.values), initial=0)) or 1.0
    seconds = frames["lag"].attrs.get("units", "s") == "s"
    lags = [f"{(1000 if seconds else 1) * lag:.0f}" for lag in frames["lag"].values]
    image = _strip(frames, lags, ax, cmap="PuOr_r", vmin=-limit, vmax=limit)
    ax.set_xlabel("time before the response (ms)" if seconds else "frames before the response")
    name = "z" if average.name == "z" else label_of(average, "stimulus")
    scale(ax, image, name)
    return ax


def stimulus(frames: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Plot frames of a stimulus in a strip, with their times.

    Parameters
    ----------
    frames : (time or frame or image_id, [channel,] y, x) DataArray
        Frames in any unit; select those to show. Of more than 12, 12 are shown. Dimensions of
        length 1 are dropped.
    ax : Axes, optional
        Axes to draw on (default: the current ones).

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there are other dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import neuroarrays as na
    >>> noise = np.random.default_rng(0).random((6, 12, 16))
    >>> times = {"time": np.arange(6) / 30}
    >>> ax = na.plot.stimulus(xr.DataArray(noise, times, ("time", "y", "x")))
    """
    line = "na.plot.stimulus(tree['session']['stimulus'][:12])"
    check(frames, xr.DataArray, "a stimulus, a variable of frames,", line)
    ax = axes_of(ax)
    along = str(frames.dims[0])
    shown = _frames(frames, along)
    labels = shown[along].values if along in shown.coords else np.arange(shown.sizes[along])
    texts = [f"{label:.3f}" if labels.dtype.kind == "f" else text_of(label) for label in labels]
    low, high = float(np.nanmin(shown.values)), float(np.nanmax(shown.values))
    _strip(shown, texts, ax, cmap="gray", vmin=low, vmax=max(high, low + 1e-9))
    ax.set_facecolor("#9ecae1")  # frames may be black, white or grey
    clock = along == schema.TIME and along in shown.coords
    ax.set_xlabel("time (s)" if clock else "frame" if along == schema.TIME else text_of(along))
    return ax


def _frames(values: xr.DataArray, along: str) -> xr.DataArray:
    """Up to twelve frames as (along, y, x)."""
    if along not in values.dims:
        msg = f"expected frames along {along!r}, found dims {values.dims}"
        raise ValueError(msg)
    ones = [dim for dim in values.dims if values.sizes[dim] == 1 and dim not in (along, "y", "x")]
    values = values.squeeze(ones, drop=True).transpose(along, ...)
    if values.ndim not in (2, 3):
        msg = f"expected ({along}, y, x) of one unit and channel, found dims {values.dims}"
        raise ValueError(msg)
    n = values.sizes[along]
    if n > _FRAMES:
        values = values.isel({along: np.linspace(0, n - 1, _FRAMES).round().astype(int)})
    return values if values.ndim == 3 else values.expand_dims("y", axis=1)


def _strip(
    frames: xr.DataArray, labels: list[str], ax: Axes, cmap: str, vmin: float, vmax: float
) -> AxesImage:
    """Frames side by side in one image, with a gap between them and a label below each."""
    n, height, width = frames.shape
    gap = max(1, round(0.06 * width))
    page = np.full((height, n * (width + gap) - gap), np.nan)
    for i, frame in enumerate(frames.values):
        page[:, i * (width + gap) : i * (width + gap) + width] = frame
    image = ax.imshow(page, cmap=cmap, vmin=vmin, vmax=vmax, interpolation="none")
    ax.set_xticks([i * (width + gap) + (width - 1) / 2 for i in range(n)], labels)
    ax.set_yticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return image
