"""`decimate` and `resample`: a signal on a slower or a regular clock."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.interpolation import series_at
from neuroarrays.errors import SchemaError
from neuroarrays.lazy.computed import RegularClock, as_dtype
from neuroarrays.schema import given
from neuroarrays.signals.filters import Taps, frequency, long_enough
from neuroarrays.signals.given import Signal, each, sampled, scipy_signal
from neuroarrays.signals.overlap import Overlapped
from neuroarrays.tree.columns import seconds

#: What is kept of the band below the new Nyquist frequency, and by how much the rest is damped.
_KEPT, _DAMPED = 0.8, 80.0


def decimate(signal: Signal, factor: int) -> Any:
    """Every so many samples of a signal, after what they cannot hold was filtered away: lazily.

    Parameters
    ----------
    signal : (time, ...) DataArray, Dataset or DataTree node
        On a regular clock, in any unit.
    factor : int
        One sample of so many is kept, the first among them.

    Returns
    -------
    (time, ...) DataArray, or Dataset
        At the times of the samples that are kept, in the same unit, float32 or float64. Zero-phase
        FIR filter, flat up to 0.8 of the new Nyquist frequency, 80 dB down from there on; NaN
        within half its length (`settling_time`, s) of ends and gaps.

    Raises
    ------
    ValueError
        If `factor` is less than 1, or the filter is longer than the longest stretch; on a clock
        that is missing or irregular.
    SchemaError
        As `neuroarrays.filter`.
    """
    scipy_signal("na.decimate")
    factor = given.whole_number(factor, "factor", least=1)

    def transform(array: xr.DataArray) -> xr.DataArray:
        known = sampled(array, "na.decimate")
        if factor == 1:
            return known.result(as_dtype(known.base, known.dtype), {})
        rate = known.rate / factor
        kernel = _anti_alias(known.rate, rate)
        long_enough(known, kernel, "the filter before decimation")
        lazy = Overlapped(known.base, kernel, known.stretches, known.dtype)
        attrs = {"sampling_rate": rate, "settling_time": kernel.before / known.rate}
        return known.result(lazy, attrs).isel({schema.TIME: slice(None, None, factor)})

    return each(signal, transform)


def resample(signal: Signal, rate: float) -> Any:
    """A signal on a regular clock of another rate: lazily, also from an irregular clock.

    Parameters
    ----------
    signal : (time, ...) DataArray, Dataset or DataTree node
        On any clock, in any unit.
    rate : float, Hz
        Samples per second; times are whole numbers of samples from time 0 of the session.

    Returns
    -------
    (time, ...) DataArray, or Dataset
        From the first to the last sample, in the same unit: the mean of each new step where that is
        longer than the usual one (see `na.interpolate`), else interpolated linearly; an angle along
        the shorter arc. NaN in holes of more than one and a half usual and new steps.

    Raises
    ------
    ValueError
        If `rate` is not positive, or there are fewer than 2 samples or no clock.
    SchemaError
        If time is not the first dimension.

    Notes
    -----
    From a regular clock to one that is a whole number of times slower, `na.decimate` is exact
    to a higher frequency: a mean over steps damps by 3.9 dB at the new Nyquist frequency and
    does not take away all that is above it.
    """
    wanted = frequency(rate, "rate")

    def transform(array: xr.DataArray) -> xr.DataArray:
        name = repr(array.name or "the signal")
        if array.dims[:1] != (schema.TIME,):
            msg = f"{name} has dims {array.dims}: expected time first"
            raise SchemaError(msg)
        if schema.TIME not in array.coords or array.sizes[schema.TIME] < 2:
            msg = f"{name}: expected a coordinate `time` in seconds with 2 samples or more"
            raise ValueError(msg)
        clock = seconds(array[schema.TIME], "the clock")
        clock = clock[np.isfinite(clock)]
        steps = np.diff(np.sort(clock))
        usual = float(np.median(steps[steps > 0])) if (steps > 0).any() else math.nan
        if not usual > 0:
            msg = f"{name}: all time stamps are the same or missing"
            raise ValueError(msg)
        first = math.ceil(float(clock.min()) * wanted - 1e-6)
        last = math.floor(float(clock.max()) * wanted + 1e-6)
        times = RegularClock(first / wanted, wanted, max(0, last - first + 1))
        width = 1 / wanted
        named = array.to_dataset(name="_signal")
        method = "mean" if width > usual * (1 + 1e-6) else "linear"
        gap = 1.5 * max(usual, width)
        dims = (schema.TIME,)
        at = series_at(named, None, times.load(), method, gap, dims, width)["_signal"]
        coords = {k: c.variable for k, c in array.coords.items() if schema.TIME not in c.dims}
        coords[schema.TIME] = times.variable(dims, {"units": "s"})
        out = xr.DataArray(at, coords, name=array.name)
        out.attrs = dict(array.attrs) | {"sampling_rate": wanted}
        if array.chunks is not None:
            along = dict(zip(array.dims, array.chunks, strict=True))
            samples = max(1, round(max(along[schema.TIME]) * usual * wanted))
            out = out.chunk({dim: along[dim] for dim in array.dims[1:]} | {schema.TIME: samples})
        return out

    return each(signal, transform)


def _anti_alias(rate: float, new: float) -> Taps:
    """Low-pass taps (Kaiser window) before a signal is taken at a lower rate."""
    from scipy import signal

    edge = new / 2
    width = (1 - _KEPT) * edge / (rate / 2)
    number, beta = signal.kaiserord(_DAMPED, width)
    number += 1 - number % 2
    taps = signal.firwin(number, (1 + _KEPT) / 2 * edge, window=("kaiser", beta), fs=rate)
    return Taps(np.asarray(taps))
