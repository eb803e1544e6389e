"""Spikes and signals together: phase locking, and signals around spikes or events."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.interpolation import interpolate
from neuroarrays.analysis.conditions import dataset_of
from neuroarrays.analysis.over import Over, over_areas
from neuroarrays.errors import SchemaError
from neuroarrays.schema import given
from neuroarrays.signals.given import sampled
from neuroarrays.tree.columns import seconds
from neuroarrays.tree.trains import spikes_node

#: Samples of a signal that are gathered at once.
_AT_ONCE = 1 << 21


@over_areas("spikes")
def phase_locking(
    area: xr.DataTree | xr.Dataset, phase: xr.DataArray, **over: Unpack[Over]
) -> xr.Dataset:
    """How the spikes of each unit are locked to the phase of a signal.

    Parameters
    ----------
    area : DataTree node or Dataset
        An area of a recording tree, or its spikes: ``spike_times (spike,)`` in seconds.
    phase : (time,) DataArray
        With the attribute `period`, such as ``na.hilbert(band)["phase"].sel(channel=7)``; where it
        is NaN or has a gap, spikes do not count.

    Returns
    -------
    xr.Dataset
        Along ``unit_id``: ``n`` spikes that count, ``mean_phase`` (in the unit of the phase),
        ``vector_length`` R from 0 to 1, ``ppc`` and ``p``. NaN of a unit without such spikes, `ppc`
        with fewer than two.

    Raises
    ------
    SchemaError
        If there are no spikes, or the phase has channels or no period.

    Notes
    -----
    ``R exp(i m) = mean exp(i phase)``. Pairwise phase consistency ``(n R² - 1) / (n - 1)`` does not
    grow when there are few spikes (Vinck et al. 2010, NeuroImage 51:112). `p` is that of Rayleigh's
    test, ``exp(sqrt(1 + 4n + 4(n² - (nR)²)) - (1 + 2n))`` (Zar 1999, Biostatistical analysis,
    eq. 27.4). Phases between samples are interpolated along the shorter arc.
    """
    given.check(phase, xr.DataArray, "phase: expected a DataArray (time,)")
    period = phase.attrs.get("period")
    if not period or phase.dims != (schema.TIME,):
        msg = (
            f"phase has dims {phase.dims} and period {period!r}: expected one (time,) with the "
            "attribute period, such as na.hilbert(band)['phase'].sel(channel=7)"
        )
        raise SchemaError(msg)
    node = dataset_of(spikes_node(area, "spikes"))
    ids = np.atleast_1d(node[schema.UNIT].values)
    sizes = np.atleast_1d(node[schema.ROW_SIZE].values)
    gap = 1.5 / sampled(phase.drop_attrs(), "na.phase_locking").rate
    angle = interpolate(phase, node[schema.SPIKE_TIMES].values, "linear", gap).values
    turned = np.exp(2j * np.pi * angle / period)
    known = np.isfinite(angle)
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


def event_triggered_average(
    signal: xr.DataArray, times: Any, window: tuple[float, float]
) -> xr.Dataset:
    """The mean of a signal around events: spikes, ripples, rewards.

    Parameters
    ----------
    signal : (time, ...) DataArray
        On a regular clock, in any unit. Only what lies around the events is read.
    times : (n,) array, s
        Of the events, session clock.
    window : (float, float), s
        From when to when around each; lags are whole steps of the signal's clock.

    Returns
    -------
    xr.Dataset
        ``mean``, its standard error ``sem`` (ddof 1) in the unit of the signal, and ``n``, the number
        of events whose sample is there, along ``(lag, ...)``, `lag` in s. The signal is interpolated
        linearly between its samples; where it is missing or has a gap an event does not count.

    Raises
    ------
    ValueError
        If the window is empty or the clock is missing or irregular.
    SchemaError
        As `neuroarrays.filter`.

    Notes
    -----
    ``mean(l) = sum_k x(t_k + l) / n`` (spike-triggered average of the field: Fries et al. 1997, PNAS
    94:12699).
    """
    given.check(signal, xr.DataArray, "signal: expected a DataArray (time, ...)")
    known = sampled(signal, "na.event_triggered_average")
    begin, end = (float(value) for value in window)
    lags = np.arange(np.ceil(begin * known.rate - 1e-6), np.floor(end * known.rate + 1e-6) + 1)
    if not lags.size:
        msg = f"window={window!r}: holds no sample of {known.name}, {1 / known.rate:g} s apart"
        raise ValueError(msg)
    lags = lags / known.rate
    at = seconds(times)
    at = at[np.isfinite(at)]
    shape = (lags.size, *signal.shape[1:])
    n, mean, squares = np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape)
    some = max(1, _AT_ONCE // max(1, int(np.prod(shape))))
    for low in range(0, at.size, some):
        when = at[low : low + some, None] + lags
        part = interpolate(signal, when.ravel(), "linear", 1.5 / known.rate).values
        part = part.reshape(len(when), *shape).astype(float)
        for values in part:  # Welford 1962: one event after another
            there = np.isfinite(values)
            n += there
            step = np.where(there, values - mean, 0)
            mean += step / np.maximum(n, 1)
            squares += step * np.where(there, values - mean, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        sem = np.where(n > 1, np.sqrt(squares / (n - 1) / n), np.nan)
    unit = {"units": signal.attrs["units"]} if "units" in signal.attrs else {}
    dims = (schema.LAG, *signal.dims[1:])
    coords = {k: c.variable for k, c in signal.coords.items() if schema.TIME not in c.dims}
    return xr.Dataset(
        {
            "mean": (dims, np.where(n > 0, mean, np.nan), unit),
            "sem": (dims, sem, unit | {"long_name": "standard error"}),
            "n": (dims, n, {"long_name": "events"}),
        },
        coords | {schema.LAG: xr.Variable(schema.LAG, lags, {"units": "s"})},
    )
