"""Plots of decoded features: the posterior, and the true value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.bins import check_window
from neuroarrays.errors import SchemaError
from neuroarrays.kernels.steps import longest_step
from neuroarrays.plot.drawing import (
    PALETTE,
    angle_axis,
    axes_of,
    check,
    edges,
    frameless,
    label_of,
    name_of,
    scale,
)
from neuroarrays.schema.labels import turn_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def decoder(
    decoded: xr.Dataset, window: tuple[float, float] | None = None, ax: Axes | None = None
) -> Axes:
    """Plot a decoded feature and its true value over time.

    Parameters
    ----------
    decoded : Dataset
        Result of `neuroarrays.bayesian_decoder` or `neuroarrays.population_vector` for one feature.
        A posterior is drawn in grey; at each time the most likely value is black.
    window : (float, float), s, optional
        Part of the session clock to show (default: all).
    ax : Axes, optional
        Axes to draw on (default: the current ones); a colour bar is added beside them.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    SchemaError
        If there is no feature, or more than one.
    ValueError
        If the window has no decoded value.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> clock = na.align(tree, bin_width=0.1, window=(671, 900))
    >>> decoded = na.bayesian_decoder(clock["A2929-200711/adn"], "head_direction/ry")
    >>> ax = na.plot.decoder(decoded, window=(860, 900))
    """
    line = "na.plot.decoder(na.bayesian_decoder(area, 'head_direction/ry'))"
    check(decoded, xr.Dataset, "na.bayesian_decoder", line)
    names = [str(name) for name in decoded.data_vars if f"{name}_decoded" in decoded.data_vars]
    if len(names) != 1:
        msg = (
            f"expected one feature and its decoded values, found {names or list(decoded)}; "
            f"write {line}"
        )
        raise SchemaError(msg)
    (name,) = names
    if window is not None:
        low, high = check_window(window)
        time = decoded[schema.TIME].values
        decoded = decoded.isel({schema.TIME: (time >= low) & (time < high)})
    time = decoded[schema.TIME].values
    if not time.size:
        msg = (
            f"nothing was decoded from {window[0]:g} to {window[1]:g} s"
            if window
            else "nothing was decoded"
        )
        raise ValueError(msg)
    ax = axes_of(ax)
    feature, turn = decoded[name], turn_of(decoded[name])
    if "posterior" in decoded:
        posterior = decoded["posterior"]
        bins = posterior[f"{name}_bin"]
        highest = posterior.max(f"{name}_bin")
        shares = (posterior / highest.where(highest > 0)).transpose(f"{name}_bin", schema.TIME)
        mesh = ax.pcolormesh(
            edges(time),
            edges(bins.values),
            shares.values,
            cmap="Greys",
            vmin=0,
            vmax=1,
            rasterized=True,
        )
        scale(ax, mesh, "posterior, share of its peak")
    decoded_values = decoded[f"{name}_decoded"].values
    ax.plot(time, decoded_values, ls="", marker=".", ms=3, color=PALETTE[1], label="decoded")
    ax.plot(*_unbroken(time, feature.values, turn), color=PALETTE[0], lw=1.2, label="true")
    ax.set(xlabel="time (s)", ylabel=label_of(feature), xlim=(time[0], time[-1]))
    if angle_axis(ax.yaxis, feature):
        ax.set(ylabel=name_of(feature), ylim=(0, turn) if float(feature.min()) >= 0 else None)
    ax.legend(frameon=False, fontsize="small", loc="lower right", ncols=2, bbox_to_anchor=(1, 1))
    frameless(ax)
    return ax


def _unbroken(
    time: np.ndarray, values: np.ndarray, turn: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a line that breaks at gaps in the clock, and where an angle wraps around."""
    if time.size < 2:
        return time, values
    steps = np.diff(time)
    ends = steps > longest_step(time)
    if turn is not None:
        ends |= np.abs(np.diff(values)) > turn / 2
    breaks = np.flatnonzero(ends) + 1
    return np.insert(time, breaks, time[breaks]), np.insert(values, breaks, np.nan)
