"""Relate spikes and signals: phase locking, and signals around spikes or events."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.interpolation import interpolate
from neuroarrays.analysis.conditions import dataset_of
from neuroarrays.analysis.over import Over, over_areas
from neuroarrays.analysis.signals import series_of
from neuroarrays.errors import SchemaError
from neuroarrays.kernels.running import Moments
from neuroarrays.signals.sampled import Sampled, sampled
from neuroarrays.tree.columns import seconds
from neuroarrays.tree.trains import check_order, spikes_node

#: The most samples of a signal that are gathered at once.
_AT_ONCE = 1 << 21


@over_areas("spikes")
def phase_locking(
    area: xr.DataTree | xr.Dataset, phase: str | xr.DataArray, **over: Unpack[Over]
) -> xr.Dataset:
    """Measure how the spikes of each unit are locked to the phase of a signal.

    Parameters
    ----------
    area : DataTree node or Dataset
        An area of a recording tree, or its spikes: ``spike_times (spike,)`` in seconds.
    phase : (time,) DataArray or str
        A phase with the attribute `period`, such as ``na.hilbert(band)["phase"].sel(channel=7)``,
        or its path in the session of the area. Spikes do not count where it is NaN, has a gap or is
        not `valid`.

    Returns
    -------
    xr.Dataset
        Variables along ``(unit_id,)``: ``n``, the spikes that count; ``mean_phase`` in the unit of
        the phase; ``vector_length`` R from 0 to 1; ``ppc``; and ``p``. NaN for a unit without such
        spikes; `ppc` also with only one.

    Raises
    ------
    SchemaError
        If there are no spikes, or the phase has channels or has no attribute `period`.

    Notes
    -----
    ``R exp(i m) = mean exp(i phase)``. The pairwise phase consistency, `ppc`, is ``(n R² - 1) / (n
    - 1)``; unlike R it is not larger when there are few spikes (Vinck et al. 2010, NeuroImage
    51:112). `p` is that of Rayleigh's test, ``exp(sqrt(1 + 4n + 4(n² - (nR)²)) - (1 + 2n))`` (Zar
    1999, Biostatistical analysis, eq. 27.4). Phases between samples are interpolated along the
    shorter arc.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> import numpy as np
    >>> import xarray as xr
    >>> time = np.arange(671, 700, 0.01)
    >>> phase = xr.DataArray(2 * np.pi * 8 * time % (2 * np.pi), {"time": time}, name="phase")
    >>> phase.attrs["period"] = 2 * np.pi
    >>> ca1 = tree["A2929-200711/ca1"]
    >>> locking = na.phase_locking(ca1, phase)
    >>> list(locking.data_vars)
    ['n', 'mean_phase', 'vector_length', 'ppc', 'p']
    """
    phase = series_of(area, phase, "phase")
    period = phase.attrs.get("period")
    if not period or phase.dims != (schema.TIME,):
        msg = (
            f"phase has dims {phase.dims} and period {period!r}; expected dims (time,) and the "
            "attribute period, such as na.hilbert(band)['phase'].sel(channel=7)"
        )
        raise SchemaError(msg)
    node = dataset_of(spikes_node(area, "spikes"))
    ids = np.atleast_1d(node[schema.UNIT].values)
    sizes = check_order(node)
    clock = sampled(phase.drop_attrs(deep=False), "na.phase_locking")
    times = seconds(node[schema.SPIKE_TIMES])
    angle = interpolate(phase, times, "linear", 1.5 / clock.rate).values
    turned = np.exp(2j * np.pi * angle / period)
    known = np.isfinite(angle) & clock.counts(times)
    unit = np.repeat(np.arange(ids.size), sizes)[known]
    n = np.bincount(unit, minlength=ids.size)
    parts = (turned.real[known], turned.imag[known])
    x, y = (np.bincount(unit, weights=part, minlength=ids.size) for part in parts)
    with np.errstate(divide="ignore", invalid="ignore"):
        length = np.hypot(x, y) / n
        ppc = np.where(n > 1, (n * length**2 - 1) / (n - 1), np.nan)
        p = np.exp(np.sqrt(1 + 4 * n + 4 * (n**2 - (n * length) ** 2)) - (1 + 2 * n))
    mean = np.where(n > 0, (np.arctan2(y, x) * period / (2 * np.pi)) % period, np.nan)
    turn = {"units": phase.attrs.get("units", ""), "period": period, "long_name": "mean phase"}
    labels = {k: c.variable for k, c in node.coords.items() if c.dims == (schema.UNIT,)}
    return xr.Dataset(
        {
            "n": (schema.UNIT, n, {"long_name": "spikes"}),
            "mean_phase": (schema.UNIT, mean, turn),
            "vector_length": (schema.UNIT, length, {"units": "1"}),
            "ppc": (schema.UNIT, ppc, {"units": "1", "long_name": "pairwise phase consistency"}),
            "p": (schema.UNIT, np.minimum(p, 1.0), {"units": "1", "long_name": "Rayleigh test"}),
        },
        labels | {schema.UNIT: xr.Variable(schema.UNIT, ids)},
    )


@over_areas("spikes")
def event_triggered_average(
    times: Any, signal: str | xr.DataArray, window: tuple[float, float], **over: Unpack[Over]
) -> xr.Dataset:
    """Average a signal around events: spikes, ripples, rewards.

    Parameters
    ----------
    times : (n,) array, s, or DataTree node or Dataset
        Times of the events on the session clock, or a node of point events; or an area of a
        recording tree, for the spikes of each of its units.
    signal : (time, ...) DataArray or str
        A signal on a regular clock, in any unit, or its path in the session of the area. Only
        samples around the events are read.
    window : (float, float), s
        Start and stop relative to each event. Lags are whole steps of the signal's clock.

    Returns
    -------
    xr.Dataset
        ``mean`` and its standard error ``sem`` (ddof 1) in the unit of the signal, and ``n``, the
        number of events that count, along ``(lag, ...)``, `lag` in s; for an area along ``(unit_id,
        lag, ...)``. The signal is interpolated linearly between its samples. An event does not
        count at lags where the signal is missing, has a gap or is not `valid`.

    Raises
    ------
    ValueError
        If the window has no sample, or the clock is missing or irregular.
    SchemaError
        As `neuroarrays.filter`.
    NotInTree
        If there is no signal at the path.

    Notes
    -----
    ``mean(l) = sum_k x(t_k + l) / n`` (spike-triggered average of the field: Fries et al. 1997, PNAS
    94:12699).

    Examples
    --------
    >>> import numpy as np, xarray as xr, neuroarrays as na
    >>> clock = np.arange(0, 10, 0.01)
    >>> lfp = xr.DataArray(np.cos(2 * np.pi * 5 * clock), {"time": clock}, "time")
    >>> around = na.event_triggered_average([2.0, 4.0], lfp, (-0.1, 0.1))
    >>> around["mean"].sel(lag=[-0.1, 0, 0.1], method="nearest").values.round(2)
    array([-1.,  1., -1.])
    """
    signal = series_of(times, signal, "signal")
    known = sampled(signal, "na.event_triggered_average")
    lags = _lags(window, known)
    parts = {"mean": signal.attrs.get("units"), "sem": signal.attrs.get("units"), "n": None}
    dims = (schema.LAG, *signal.dims[1:])
    coords = {k: c.variable for k, c in signal.coords.items() if schema.TIME not in c.dims}
    coords[schema.LAG] = xr.Variable(schema.LAG, lags, {"units": "s"})
    if isinstance(times, xr.DataTree | xr.Dataset) and schema.EVENT_TIME in times.variables:
        times = times[schema.EVENT_TIME]
    if isinstance(times, xr.DataTree | xr.Dataset):
        node = dataset_of(spikes_node(times, "spikes"))
        sizes = check_order(node)
        trains = np.split(seconds(node[schema.SPIKE_TIMES]), np.cumsum(sizes))[: sizes.size]
        shape = (0, lags.size, *signal.shape[1:])
        rows = [_around(known, train, lags) for train in trains]
        values = [np.stack(part) for part in zip(*rows, strict=True)] or [np.empty(shape)] * 3
        dims = (schema.UNIT, *dims)
        coords |= {k: c.variable for k, c in node.coords.items() if c.dims == (schema.UNIT,)}
    else:
        values = list(_around(known, seconds(times).ravel(), lags))
    data = {
        name: xr.Variable(dims, value, {"units": unit} if unit else {})
        for (name, unit), value in zip(parts.items(), values, strict=True)
    }
    data["sem"].attrs["long_name"] = "standard error"
    data["n"].attrs["long_name"] = "events"
    return xr.Dataset(data, coords)


def _lags(window: Any, known: Sampled) -> np.ndarray:
    """The whole steps of a clock within a window, (lag,) float64 in s."""
    try:
        begin, end = (float(edge) for edge in window)
    except (TypeError, ValueError):
        begin = end = np.nan
    if not np.isfinite(end - begin):
        msg = f"window={window!r:.60}: expected two times in seconds, such as (-0.1, 0.1)"
        raise ValueError(msg)
    lags = np.arange(np.ceil(begin * known.rate - 1e-6), np.floor(end * known.rate + 1e-6) + 1)
    if not lags.size:
        msg = (
            f"window={window!r}: has no sample of {known.name}, whose samples are {1 / known.rate:g} "
            "s apart"
        )
        raise ValueError(msg)
    return lags / known.rate


def _around(
    known: Sampled, events: np.ndarray, lags: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard error and number of a signal's values around events (n,) in s: (lag, ...)."""
    shape = (lags.size, *known.signal.shape[1:])
    moments = Moments(shape)
    events = events[np.isfinite(events)]
    some = max(1, _AT_ONCE // max(1, int(np.prod(shape))))
    for low in range(0, events.size, some):
        when = events[low : low + some, None] + lags
        values = interpolate(known.signal, when.ravel(), "linear", 1.5 / known.rate).values
        values = values.reshape(len(when), *shape).astype(float)
        counted = known.counts(when).reshape(*when.shape, *[1] * (len(shape) - 1))
        moments.add(values, np.isfinite(values) & counted)
    n = moments.n
    with np.errstate(divide="ignore", invalid="ignore"):
        sem = np.where(n > 1, np.sqrt(moments.squares / (n - 1) / n), np.nan)
    return np.where(n > 0, moments.mean, np.nan), sem, n
