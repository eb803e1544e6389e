"""`decimate` and `resample`: bring a signal to a slower or a regular clock."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.interpolation import series_at
from neuroarrays.files import outer
from neuroarrays.kernels import sinc, steps
from neuroarrays.lazy.arrays import data_of, wrap
from neuroarrays.lazy.computed import Computed, RegularClock, as_dtype
from neuroarrays.schema import given
from neuroarrays.signals.filters import Taps, frequency, long_enough
from neuroarrays.signals.overlap import Overlapped
from neuroarrays.signals.sampled import (
    Sampled,
    Signal,
    check_numbers,
    each,
    regular,
    sampled,
    scipy_signal,
)
from neuroarrays.tree.columns import check_seconds, seconds

#: The share of the new Nyquist frequency up to which the filter is flat, and the damping above it.
_KEPT, _DAMPED = 0.8, 80.0
#: At most this many times half of the filter, or this many samples, are read at once.
_TIMES, _LEAST = 24, 1 << 15
#: A time this close to a sample, in samples, is on it: the difference is rounding.
_ROUNDING = 1e-6


def decimate(signal: Signal, factor: int) -> Any:
    """Keep every n-th sample of a signal after a low-pass filter, lazily.

    Parameters
    ----------
    signal : (time, ...) DataArray, Dataset or DataTree node
        A signal on a regular clock, in any unit.
    factor : int
        One sample in this many is kept, beginning with the first.

    Returns
    -------
    (time, ...) DataArray, or Dataset
        The signal at the times of the samples that are kept, in the same unit, float32 or float64.
        The filter is zero-phase FIR, flat up to 0.8 of the new Nyquist frequency, with 80 dB of
        damping from the Nyquist frequency on. Values closer than half its length (`settling_time`,
        s) to an end or a gap are NaN.

    Raises
    ------
    ValueError
        If `factor` is less than 1, the filter is longer than the longest stretch between gaps, or
        the clock is missing or irregular.
    SchemaError
        As `neuroarrays.filter`.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import neuroarrays as na
    >>> time = np.arange(0, 10, 0.001)
    >>> signal = xr.DataArray(np.sin(2 * np.pi * 8 * time), {"time": time}, name="LFP")
    >>> slow = na.decimate(signal, 10)
    >>> slow.sizes["time"]
    1000
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
    """Resample a signal to a regular clock of another rate, lazily.

    Parameters
    ----------
    signal : (time, ...) DataArray, Dataset or DataTree node
        A signal on any clock, regular or not, in any unit.
    rate : float, Hz
        New sampling rate. The new times are multiples of ``1 / rate`` from time 0 of the session
        clock.

    Returns
    -------
    (time, ...) DataArray, or Dataset
        The signal from the first to the last sample, in the same unit, float32 or float64. From a
        regular clock it is band-limited: flat up to 0.8 of the lower of both Nyquist frequencies,
        with 80 dB of damping from that Nyquist frequency on. Values closer than `settling_time`
        (attribute, s) to an end, a gap or a missing sample are NaN. An angle, or a signal on an
        irregular clock, is treated as by `na.interpolate`: each new value is the mean over its step
        if the new step is longer than the usual one, else linear interpolation (for an angle along
        the shorter arc), with NaN in gaps. The attribute ``resampled`` tells which was done.

    Raises
    ------
    ValueError
        If `rate` is not positive, there are fewer than 2 samples, there is no clock, or the filter
        is longer than the longest stretch between gaps.
    SchemaError
        If time is not the first dimension.

    Notes
    -----
    Each new value is a sum of samples weighted by a sinc with a Kaiser window (Smith & Gossett
    1984, ICASSP 2:112); the weights are scaled to add up to 1. If the new rate is the old one
    divided by an integer, `na.decimate` gives values at the old times.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import neuroarrays as na
    >>> time = np.arange(0, 10, 0.001)
    >>> signal = xr.DataArray(np.sin(2 * np.pi * 8 * time), {"time": time}, name="LFP")
    >>> resampled = na.resample(signal, 30)
    >>> resampled.sizes["time"]
    300
    """
    wanted = frequency(rate, "rate")

    def transform(array: xr.DataArray) -> xr.DataArray:
        name = check_numbers(array)
        if schema.TIME not in array.coords or array.sizes[schema.TIME] < 2:
            msg = f"{name}: expected a coordinate `time` in seconds with 2 samples or more"
            raise ValueError(msg)
        check_seconds(array[schema.TIME], f"the clock of {name}")
        known = None if "period" in array.attrs else regular(array)
        clock = seconds(array[schema.TIME][[0, -1]] if known else array[schema.TIME], "the clock")
        usual = 1 / known.rate if known else steps.usual_step(clock)
        if not usual > 0:
            msg = f"{name}: all time stamps are equal or missing; expected increasing seconds"
            raise ValueError(msg)
        bounds = np.array([np.nanmin(clock), np.nanmax(clock)]) * wanted
        first, last = math.ceil(bounds[0] - 1e-6), math.floor(bounds[1] + 1e-6)
        times = RegularClock(first / wanted, wanted, max(0, last - first + 1))
        new = _band_limited(known, times) if known else _interpolated(array, times, usual)
        coords = {k: c.variable for k, c in array.coords.items() if schema.TIME not in c.dims}
        coords[schema.TIME] = times.variable((schema.TIME,), {"units": "s"})
        out = xr.DataArray(new, name=array.name).assign_coords(coords)
        out.attrs = dict(array.attrs) | new.attrs | {"sampling_rate": wanted}
        if array.chunks is not None:
            along = dict(zip(array.dims, array.chunks, strict=True))
            samples = max(1, round(max(along[schema.TIME]) * usual * wanted))
            out = out.chunk({dim: along[dim] for dim in array.dims[1:]} | {schema.TIME: samples})
        return out

    return each(signal, transform)


def _interpolated(array: xr.DataArray, times: RegularClock, usual: float) -> xr.Variable:
    """Bring a signal of any clock to regular times: means over the new steps, or interpolation."""
    width = 1 / times.rate
    method = "mean" if width > usual * (1 + 1e-6) else "linear"
    named, dims = array.to_dataset(name="_signal"), (schema.TIME,)
    variable = series_at(named, None, times.load(), method, None, dims, width)["_signal"]
    return xr.Variable(variable.dims, data_of(variable), variable.attrs | {"resampled": method})


# -------------------------------------------------------------------------------- band-limited


def _band_limited(known: Sampled, times: RegularClock) -> xr.Variable:
    """Bring a signal of a regular clock to other regular times, lazily."""
    edge = min(known.rate, times.rate) / known.rate  # share of the Nyquist frequency of the samples
    number, beta = scipy_signal("na.resample").kaiserord(_DAMPED, (1 - _KEPT) * edge)
    half = math.ceil(number / 2)
    kernel = sinc.sinc((1 + _KEPT) / 2 * edge, half, beta)
    if known.longest <= 2 * half:
        msg = (
            f"{known.name}: the filter of {2 * half / known.rate:.4g} s is longer than the longest "
            f"stretch between gaps, {known.longest / known.rate:.4g} s"
        )
        raise ValueError(msg)
    bounds = known.stamps(known.stretches - [0, 1])
    whole = np.diff(known.stretches, axis=1)[:, 0] > 2 * half
    shape = (times.length, *known.base.shape[1:])
    arguments = (known.base, known.stretches[whole], bounds[whole], times, kernel)
    values = Computed(_at_times, shape, known.dtype, arguments)
    attrs = {"resampled": "band-limited", "settling_time": half / known.rate}
    return xr.Variable(known.signal.dims, wrap(values), attrs)


def _at_times(*arguments: Any) -> np.ndarray:
    """Values of a signal at some of the new times, (time, ...) float64; NaN near ends and gaps."""
    *picked, base, stretches, bounds, times, kernel = arguments
    rest = tuple(map(outer.compact, picked[1:]))
    shape = tuple(part.size for part in picked)
    out = np.full((shape[0], math.prod(shape[1:])), np.nan)
    order = np.argsort(picked[0], kind="stable")
    wanted = times.outer((picked[0][order],))
    for (begin, end), (start, stop) in zip(stretches.tolist(), bounds.tolist(), strict=True):
        places = (wanted - start) * ((end - begin - 1) / (stop - start))
        past = end - begin - 1 - kernel.half
        inside = (places >= kernel.half - _ROUNDING) & (places <= past + _ROUNDING)
        rows, places = np.flatnonzero(inside), places[inside]
        most = max(_LEAST, _TIMES * kernel.half)
        low = 0
        while low < rows.size:
            high = low + int(np.searchsorted(places[low:], places[low] + most, side="right"))
            apart = np.flatnonzero(np.diff(places[low:high]) > 2 * kernel.half + 1)
            high = low + int(apart[0]) + 1 if apart.size else high
            first = math.ceil(places[low] - kernel.half)
            last = math.floor(places[high - 1] + kernel.half) + 1
            read = base.outer((slice(begin + first, begin + last, 1), *rest))
            samples = np.array(read, np.float64).reshape(last - first, -1)
            samples[np.isinf(samples)] = np.nan
            out[order[rows[low:high]]] = sinc.evaluate(samples, first, places[low:high], kernel)
            low = high
    return out.reshape(shape)


def _anti_alias(rate: float, new: float) -> Taps:
    """Taps of the low-pass filter (Kaiser window) for a lower rate."""
    from scipy import signal

    edge = new / 2
    width = (1 - _KEPT) * edge / (rate / 2)
    number, beta = signal.kaiserord(_DAMPED, width)
    number += 1 - number % 2
    taps = signal.firwin(number, (1 + _KEPT) / 2 * edge, window=("kaiser", beta), fs=rate)
    return Taps(np.asarray(taps))
