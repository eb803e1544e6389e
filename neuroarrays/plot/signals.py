"""Pictures of continuous signals: traces, spectra, current sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from matplotlib.ticker import EngFormatter

from neuroarrays import schema
from neuroarrays.alignment.bins import check_window
from neuroarrays.errors import SchemaError
from neuroarrays.plot.drawing import (
    PALETTE,
    TICKS,
    UNIT_COLORS,
    axes_of,
    frameless,
    ink,
    label_of,
    legend,
    text_of,
)
from neuroarrays.schema import given

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: The most lines of a spectrum; of more, the median and quartiles are drawn.
_LINES = 8
#: This many traces or more are thin; height of a label in points.
_MANY, _LABEL = 100, 12
#: Units that take a prefix on a scale bar, by how files write them.
_PREFIXED = {"V": "V", "volt": "V", "volts": "V", "A": "A", "ampere": "A", "amperes": "A"}
#: Percentiles that limit the colours of a spectrogram, and those of current sources.
_COLOURS = (2.0, 99.5)


def traces(
    signal: xr.DataArray,
    window: tuple[float, float],
    percentile: float = 99.5,
    ax: Axes | None = None,
) -> Axes:
    """Plot the channels of a signal, one trace above the other.

    Parameters
    ----------
    signal : (time, channel) or (time,) DataArray
        A signal in any unit; only the window is read.
    window : (float, float), s
        Part of the session clock to show.
    percentile : float
        The distance between neighbouring traces, and the length of the scale bar, are twice this
        percentile of the magnitudes (distances from the median of each trace).
    ax : Axes, optional
        Axes to draw on (default: the current ones).

    Returns
    -------
    matplotlib.axes.Axes
        Axes with the channels from bottom to top, in the order of the signal, named by label, area
        and depth (`rel_y`), and coloured by area.

    Raises
    ------
    SchemaError
        If the signal is not along time and at most one other dimension, or the window has no
        sample.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import neuroarrays as na
    >>> time = np.arange(0, 4, 0.001)
    >>> noise = np.random.default_rng(0).normal(size=(time.size, 4))
    >>> theta = np.sin(2 * np.pi * 8 * time)[:, None] * [4.0, 3.0, 2.0, 1.0]
    >>> coords = {"time": time, "rel_y": ("channel", [0.0, 20.0, 40.0, 60.0])}
    >>> lfp = xr.DataArray(
    ...     1e-4 * (theta + noise), coords, ("time", "channel"), "LFP", {"units": "V"}
    ... )
    >>> ax = na.plot.traces(lfp, window=(0, 1))
    """
    begin, end = check_window(window)
    _check_dims(signal, (schema.TIME,), "signal", "tree['session/LFP/LFP']")
    shown = signal.sel({schema.TIME: slice(begin, end)})
    if not shown.sizes[schema.TIME]:
        msg = f"window: {text_of(signal.name)} has no sample from {begin:g} to {end:g} s"
        raise SchemaError(msg)
    values = shown.values.reshape(shown.sizes[schema.TIME], -1).astype(float)
    known = np.isfinite(values).any(axis=0)
    middle = np.zeros(values.shape[1])
    middle[known] = np.nanmedian(values[:, known], axis=0)
    values = values - middle
    finite = np.abs(values[np.isfinite(values)])
    step = 2 * float(np.percentile(finite, percentile)) if finite.size else 1.0
    step = step or 1.0
    ax = axes_of(ax)
    names, colours = _channels(shown)
    rows = np.arange(values.shape[1])
    for row in rows:
        width = 0.6 if rows.size < _MANY else 0.2
        ax.plot(shown[schema.TIME], values[:, row] / step + row, color=colours[row], lw=width)
    several = rows.size > 1
    points = ax.get_window_extent().height / ax.figure.dpi * 72
    every = max(1, -(-rows.size // max(1, min(TICKS, int(points / _LABEL)))))
    ax.set_yticks(rows[::every] if several else [], names[::every] if several else [])
    ax.set_ylim(-1.2, rows.size + 0.2)
    ax.set_xlim(begin, end)
    ax.set_xlabel("time (s)")
    rows_are = str(signal.dims[-1]).removesuffix("_id")
    ax.set_ylabel(text_of(signal.name or rows_are) if several else label_of(signal))
    unit = signal.attrs.get("units", "")
    ax.plot([end, end], [-0.9, 0.1], color=ink(), lw=2, clip_on=False, solid_capstyle="butt")
    label = text_of(_length(float(step), unit))
    ax.annotate(label, (end, -0.4), (4, 0), textcoords="offset points", va="center", fontsize=8)
    frameless(ax)
    return ax


def _length(step: float, unit: str) -> str:
    """The length of a scale bar with two digits: 480 and not 4.8e+02, 66 µV and not 6.6e-05 V."""
    rounded = float(f"{step:.2g}")
    if unit in _PREFIXED and rounded < 0.1:
        return EngFormatter(_PREFIXED[unit])(rounded)
    return f"{rounded:,g} {unit}".strip()


def _channels(signal: xr.DataArray) -> tuple[list[str], list[str]]:
    """The name and the colour of each channel."""
    if signal.ndim == 1:
        return [""], [ink()]
    dim = str(signal.dims[1])
    number = signal.sizes[dim]
    labels = signal[dim].values if dim in signal.coords else np.arange(number)
    names = [str(label) for label in labels]
    areas = signal.coords.get(schema.AREA)
    depth = signal.coords.get("rel_y")
    colours = [ink()] * number
    if areas is not None and areas.dims == (dim,):
        known = list(dict.fromkeys(areas.values.astype(str).tolist()))
        names = [f"{name} {area}" for name, area in zip(names, areas.values, strict=True)]
        if len(known) > 1:
            colours = [PALETTE[known.index(str(area)) % len(PALETTE)] for area in areas.values]
    if depth is not None and depth.dims == (dim,):
        names = [f"{name}, {value:g} µm" for name, value in zip(names, depth.values, strict=True)]
    return [text_of(name) for name in names], colours


def spectrogram(spectra: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Plot power over time and frequency, in decibels.

    Parameters
    ----------
    spectra : (time, frequency) DataArray
        Result of `na.spectrogram` for one channel, in unit²/Hz.
    ax : Axes, optional
        Axes to draw on (default: the current ones).

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    SchemaError
        If it has other dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import neuroarrays as na
    >>> time = np.arange(0, 10, 0.001)
    >>> noise = np.random.default_rng(0).normal(size=time.size)
    >>> theta = np.sin(2 * np.pi * 8 * time) * (time % 4 < 2)  # two of four seconds
    >>> lfp = xr.DataArray(1e-4 * (theta + noise), {"time": time}, name="LFP", attrs={"units": "V"})
    >>> ax = na.plot.spectrogram(na.spectrogram(lfp).sel(frequency=slice(0, 40)))
    """
    line = "na.spectrogram(signal.sel(channel=0))"
    _check_dims(spectra, (schema.TIME, "frequency"), "spectra", line, exactly=True)
    ax = axes_of(ax)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = 10 * np.log10(spectra.values.astype(float))
    finite = level[np.isfinite(level)]
    low, high = np.percentile(finite, _COLOURS) if finite.size else (0.0, 1.0)
    time, frequency = spectra[schema.TIME].values, spectra["frequency"].values
    mesh = ax.pcolormesh(
        time, frequency, level.T, vmin=low, vmax=high, cmap="viridis", shading="nearest",
        rasterized=True,
    )  # fmt: skip
    ax.set_xlabel("time (s)")
    ax.set_ylabel("frequency (Hz)")
    unit = str(spectra.attrs.get("units") or "1/Hz")
    of = unit if unit.startswith("1/") else f"1 {unit}"
    ax.figure.colorbar(mesh, ax=ax, label=text_of(f"power (dB re {of})"))
    return ax


def power(spectra: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Plot power spectra on logarithmic axes.

    Parameters
    ----------
    spectra : (frequency,) or (frequency, channel) DataArray
        Result of `na.power`, in unit²/Hz.
    ax : Axes, optional
        Axes to draw on (default: the current ones).

    Returns
    -------
    matplotlib.axes.Axes
        A line for each channel; of more than 8 the median, and the quartiles as a band.

    Raises
    ------
    SchemaError
        If it has other dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import neuroarrays as na
    >>> time = np.arange(0, 10, 0.001)
    >>> noise = np.random.default_rng(0).normal(size=time.size)
    >>> theta = np.sin(2 * np.pi * 8 * time)
    >>> lfp = xr.DataArray(1e-4 * (theta + noise), {"time": time}, name="LFP", attrs={"units": "V"})
    >>> ax = na.plot.power(na.power(lfp).sel(frequency=slice(1, 100)))
    """
    _check_dims(spectra, ("frequency",), "spectra", "na.power(signal)")
    ax = axes_of(ax)
    above = spectra.isel(frequency=spectra["frequency"].values > 0)
    frequency = above["frequency"].values
    values = above.values.reshape(frequency.size, -1)
    _lines(ax, frequency, values, _channels(above)[0], "channels")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("frequency (Hz)")
    unit = spectra.attrs.get("units")
    ax.set_ylabel(text_of(f"power density ({unit})" if unit else "power density"))
    frameless(ax)
    return ax


def coherence(follow: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Plot the spike-field coherence of units, with the level of chance.

    Parameters
    ----------
    follow : Dataset
        Result of `na.coherence` for one channel: ``coherence (unit_id, frequency)`` from 0 to 1,
        frequency in Hz, and ``level ()``.
    ax : Axes, optional
        Axes to draw on (default: the current ones).

    Returns
    -------
    matplotlib.axes.Axes
        A line for each unit; of more than 8 the median, and the quartiles as a band. The level
        is dashed.

    Raises
    ------
    SchemaError
        If it has other dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import neuroarrays as na
    >>> times = np.arange(0, 60, 0.001)
    >>> random = np.random.default_rng(0)
    >>> noisy = np.sin(2 * np.pi * 8 * times) + random.normal(0, 1, times.size)
    >>> lfp = xr.DataArray(noisy, {"time": times}, ("time",), "LFP", {"units": "V"})
    >>> spikes = xr.Dataset(
    ...     {"spike_times": ("spike", np.arange(1, 59, 0.125)), "row_size": ("unit_id", [464])},
    ...     {"unit_id": [1]},
    ... )
    >>> follow = na.coherence(spikes, lfp).sel(frequency=slice(1, 60))
    >>> ax = na.plot.coherence(follow)
    """
    line = "na.coherence(area, signal.sel(channel=7))"
    given.check(follow, xr.Dataset, f"follow: expected the result of {line}")
    values: Any = follow.data_vars.get("coherence")
    _check_dims(values, (schema.UNIT, "frequency"), "coherence", line, exactly=True)
    ax = axes_of(ax)
    names = [text_of(unit) for unit in follow[schema.UNIT].values]
    _lines(ax, follow["frequency"].values, values.values.T, names, "units")
    ax.axhline(float(follow["level"]), color="0.4", ls="--", lw=1)
    ax.set_xlabel("frequency (Hz)")
    ax.set_ylabel("coherence")
    highest = max([float(follow["level"]), *values.values[np.isfinite(values.values)].tolist()])
    ax.set_ylim(0, min(1.0, 1.2 * highest))
    frameless(ax)
    return ax


def csd(sources: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Plot current sources and sinks along a probe; sinks are blue.

    Parameters
    ----------
    sources : (time, channel) or (lag, channel) DataArray
        Result of `na.csd`, or its mean around events, in A/m³ if the signal was in volts.
    ax : Axes, optional
        Axes to draw on (default: the current ones).

    Returns
    -------
    matplotlib.axes.Axes
        Axes with the channels at their position (`rel_y`, um), if they have one.

    Raises
    ------
    SchemaError
        If it has other dimensions.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import neuroarrays as na
    >>> time, depth = np.arange(0, 4, 0.001), 20.0 * np.arange(12)
    >>> theta = np.sin(2 * np.pi * 8 * time)[:, None] * np.exp(-(((depth - 110) / 40) ** 2))
    >>> coords = {"time": time, "rel_y": ("channel", depth)}
    >>> lfp = xr.DataArray(1e-4 * theta, coords, ("time", "channel"), "LFP", {"units": "V"})
    >>> ax = na.plot.csd(na.csd(lfp).sel(time=slice(1, 1.5)))
    """
    line = "na.event_triggered_average(times, na.csd(lfp), (-0.1, 0.1))['mean']"
    first = schema.LAG if schema.LAG in getattr(sources, "dims", ()) else schema.TIME
    _check_dims(sources, (first,), "sources", line)
    if sources.ndim != 2:
        msg = f"sources has dims {sources.dims}: expected ({first}, channel), such as {line}"
        raise SchemaError(msg)
    ax = axes_of(ax)
    dim = sources.dims[1]
    depth: Any = sources.coords.get("rel_y")
    where = depth.values if depth is not None else np.arange(sources.sizes[dim])
    values = sources.values
    finite = np.abs(values[np.isfinite(values)])
    most = float(np.percentile(finite, _COLOURS[1])) if finite.size else 1.0
    mesh = ax.pcolormesh(
        sources[first], where, values.T, vmin=-most, vmax=most, cmap="RdBu_r", shading="nearest",
        rasterized=True,
    )  # fmt: skip
    ax.set_xlabel(f"{first} (s)")
    ax.set_ylabel("position (µm)" if depth is not None else str(dim))
    ax.figure.colorbar(mesh, ax=ax, label=label_of(sources, "current source density"))
    return ax


def _lines(ax: Axes, frequency: np.ndarray, values: np.ndarray, names: list[str], of: str) -> None:
    """Draw the columns of (frequency, column) as lines; of more than 8 the median and quartiles."""
    number = values.shape[1]
    if number <= _LINES:
        for column in range(number):
            colour = UNIT_COLORS[column % len(UNIT_COLORS)]
            ax.plot(frequency, values[:, column], color=colour, lw=1, label=names[column])
        if number > 1:
            legend(ax, number, of.removesuffix("s"))
        return
    known = np.isfinite(values).any(axis=1)
    low, middle, high = np.full((3, len(values)), np.nan)
    low[known], middle[known], high[known] = np.nanpercentile(values[known], (25, 50, 75), axis=1)
    ax.fill_between(frequency, low, high, color=PALETTE[0], alpha=0.3, lw=0)
    ax.plot(frequency, middle, color=PALETTE[0], lw=1)
    ax.set_title(f"median and quartiles of {number} {of}", fontsize=9)


def _check_dims(
    array: Any, first: tuple[str, ...], what: str, line: str, exactly: bool = False
) -> None:
    """Refuse an array with other dimensions; one more is allowed unless `exactly`."""
    given.check(array, xr.DataArray, f"{what}: expected a DataArray, such as {line}")
    most = len(first) + (not exactly)
    if array.dims[: len(first)] != first or array.ndim > most:
        more = "" if exactly else ", and channels"
        msg = f"{what} has dims {array.dims}: expected {first}{more}, such as {line}"
        raise SchemaError(msg)
