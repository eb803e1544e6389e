"""`hilbert`: the envelope and the phase of a band."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays.lazy.computed import Elementwise
from neuroarrays.signals.filters import (
    Taps,
    below_nyquist,
    frequency,
    long_enough,
    overlap_attrs,
)
from neuroarrays.signals.overlap import Overlapped
from neuroarrays.signals.sampled import Signal, each, sampled, scipy_signal


def hilbert(signal: Signal, lowest: float | None = None) -> Any:
    """Compute the envelope and the phase of a narrow band, lazily.

    Parameters
    ----------
    signal : (time, ...) DataArray, Dataset or DataTree node
        A narrow band on a regular clock, in any unit, such as the result of `na.filter`.
    lowest : float, Hz, optional
        The lowest frequency in the band (default: the attribute `filter_low`, which `na.filter`
        sets).

    Returns
    -------
    Dataset, or dict of these by the names of a node's variables
        ``envelope`` (time, ...) in the unit of the signal, and ``phase`` (time, ...) in rad from 0
        to 2 pi, 0 at a peak, with the attribute `period`. Lazy, or dask if the signal is. Values
        closer than two periods of `lowest` to an end or a gap are NaN.

    Raises
    ------
    ValueError
        If the lowest frequency is not known; also as `na.filter`.
    SchemaError
        As `na.filter`.

    Notes
    -----
    The analytic signal is ``x + i H(x)``. The Hilbert transformer is ``h(n) = 2 / (pi n)`` for odd
    n, with a Kaiser window (Oppenheim & Schafer 2010, Discrete-time signal processing, 12.4). It is
    exact to 1e-5 from a quarter of `lowest` to the same distance below the Nyquist frequency.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import neuroarrays as na
    >>> time = np.arange(0, 10, 0.001)
    >>> signal = xr.DataArray(np.sin(2 * np.pi * 8 * time), {"time": time}, name="LFP")
    >>> analytic = na.hilbert(na.filter(signal, 4, 12))
    >>> list(analytic.data_vars)
    ['envelope', 'phase']
    >>> round(float(analytic["envelope"].sel(time=5)), 3)
    1.0
    """
    scipy_signal("na.hilbert")

    def transform(array: xr.DataArray) -> xr.Dataset:
        known = sampled(array, "na.hilbert")
        stated = array.attrs.get("filter_low") if lowest is None else lowest
        if stated is None:
            msg = (
                f"{known.name}: the lowest frequency of the band is not known; give lowest= in "
                "Hz, or "
                "filter it first: na.hilbert(na.filter(signal, 4, 12))"
            )
            raise ValueError(msg)
        bottom = frequency(stated, "lowest")
        below_nyquist(known, [bottom])
        kernel = _transformer(known.rate, bottom)
        long_enough(known, kernel, "two periods of the band")
        turned = Overlapped(known.base, kernel, known.stretches, known.dtype)
        parts = (turned, known.base)
        attrs = overlap_attrs(known, kernel)
        envelope = Elementwise(_magnitude, parts, known.dtype)
        phase = Elementwise(_angle, parts, known.dtype)
        angle = attrs | {"units": "rad", "period": 2 * math.pi, "long_name": "phase"}
        return xr.Dataset(
            {
                "envelope": known.result(envelope, attrs | {"long_name": "envelope"}, "envelope"),
                "phase": known.result(phase, angle, "phase"),
            }
        )

    return each(signal, transform)


def _magnitude(turned: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.asarray(np.hypot(turned, values))


def _angle(turned: np.ndarray, values: np.ndarray) -> np.ndarray:
    angle = np.arctan2(turned, values)
    return np.asarray(np.where(angle < 0, angle + 2 * np.pi, angle))


def _transformer(rate: float, lowest: float) -> Taps:
    """A Hilbert transformer that is exact from a quarter of a frequency on."""
    from scipy.signal import kaiser_beta

    transition, ripple = 2 * math.pi * lowest / 4 / rate, 100.0
    half = math.ceil((ripple - 8) / (2.285 * transition) / 2)
    n = np.arange(-half, half + 1)
    with np.errstate(divide="ignore"):
        ideal = np.where(n % 2 == 1, 2 / (np.pi * n), 0.0)
    taps = ideal * np.kaiser(n.size, kaiser_beta(ripple))
    return Taps(taps, settled=min(half, math.ceil(2 / lowest * rate)))
