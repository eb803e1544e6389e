"""Pictures of frames side by side: receptive fields over lags, and what was shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from neuroarrays import schema

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

#: Frames that a strip has room for.
_FRAMES = 12


def receptive_field(average: xr.DataArray, ax: Axes | None = None) -> Axes:
    """What a unit saw before it responded: lags in a row, on one scale that is even around 0.

    Parameters
    ----------
    average : (lag, y, x) or (lag, x) DataArray
        `average` or `z` from `neuroarrays.spike_triggered_average`, of one unit; dimensions of
        length 1 are dropped. Of more than 12 lags, 12 are shown.
    ax : Axes, optional
        Where to draw; a colour bar is put beside it.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there are other dimensions.
    """
    ax = plt.gca() if ax is None else ax
    frames = _frames(average, "lag")
    limit = float(np.nanmax(np.abs(frames.values), initial=0)) or 1.0
    lags = [f"{1000 * lag:.0f}" for lag in frames["lag"].values]
    image = _strip(frames, lags, ax, cmap="PuOr_r", vmin=-limit, vmax=limit)
    ax.set_xlabel("time before the response (ms)")
    name = "z (standard errors)" if average.name == "z" else label_of(average, "stimulus")
    ax.figure.colorbar(image, ax=ax, label=name, shrink=0.6)
    return ax


def stimulus(frames: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Frames of a stimulus in a strip, with their times.

    Parameters
    ----------
    frames : (time or frame or image_id, [channel,] y, x) DataArray
        Select those to show; of more than 12, 12 are shown. Dimensions of length 1 are dropped.
    ax : Axes, optional
        Where to draw.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there are other dimensions.
    """
    ax = plt.gca() if ax is None else ax
    along = str(frames.dims[0])
    shown = _frames(frames, along)
    labels = shown[along].values if along in shown.coords else np.arange(shown.sizes[along])
    texts = [f"{label:.4g}" if along == schema.TIME else f"{label}" for label in labels]
    low, high = float(np.nanmin(shown.values)), float(np.nanmax(shown.values))
    _strip(shown, texts, ax, cmap="gray", vmin=low, vmax=max(high, low + 1e-9))
    ax.set_facecolor("#9ecae1")  # frames may be black, white and grey themselves
    ax.set_xlabel("time (s)" if along == schema.TIME else along)
    return ax


def label_of(values: xr.DataArray, name: str | None = None) -> str:
    """The name of an array with its unit, to write at an axis."""
    name = str(values.name) if name is None else name
    units = values.attrs.get("units", "")
    return f"{name} ({units})" if units not in ("", "1") else name


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
