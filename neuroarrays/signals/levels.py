"""`smooth` and `normalize`: smooth a signal, z-score it, or compute dF/F."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays.files import outer
from neuroarrays.kernels.running import Moments
from neuroarrays.lazy.arrays import LazyArray, cached, exact_token
from neuroarrays.lazy.computed import Computed
from neuroarrays.schema.given import choice
from neuroarrays.signals.overlap import Overlapped
from neuroarrays.signals.sampled import Sampled, Signal, each, outside, sampled, scipy_signal
from neuroarrays.tree.columns import duration

#: A Gaussian is cut off at this many standard deviations.
_CUT = 4.0
#: The most bytes of float64 that are read at once to compute a mean.
_AT_ONCE = 32 << 20


@dataclass(frozen=True, eq=False)
class Gaussian:
    """The weighted mean of the existing samples around each sample."""

    taps: np.ndarray

    @property
    def before(self) -> int:
        return (self.taps.size - 1) // 2

    after = before
    settling = (0, 0)
    least = 1

    def apply(self, samples: np.ndarray) -> np.ndarray:
        from scipy import signal

        first = samples[:, :1]  # subtracted, so that a constant stays exact
        weights = np.ones((1, samples.shape[1]))
        parts = (samples - first, weights)
        total, known = (signal.oaconvolve(x, self.taps[None], mode="same", axes=-1) for x in parts)
        return np.asarray(first + total / known)


@dataclass(frozen=True, eq=False)
class Baseline:
    """The change from a running baseline, divided by the baseline."""

    half: int
    percentile: float

    @property
    def before(self) -> int:
        return self.half

    after = before
    settling = (0, 0)
    least = 1

    def apply(self, samples: np.ndarray) -> np.ndarray:
        from scipy import ndimage

        size, number = 2 * self.half + 1, samples.shape[1]
        # mirrored here: for arrays shorter than the window scipy 1.17 returns uninitialised values
        margin = self.half if number < size else 0
        mirrored = np.pad(samples, ((0, 0), (margin, margin)), "symmetric")
        baseline = ndimage.percentile_filter(
            mirrored, self.percentile, size=(1, size), mode="reflect"
        )[:, margin : margin + number]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(baseline > 0, (samples - baseline) / baseline, np.nan)


def _standardized(*arguments: Any) -> np.ndarray:
    """A z-scored signal, column by column; NaN outside its stretches.

    Mean and standard deviation are computed when the first value is needed, in one pass, and are
    kept.
    """
    *picked, base, stretches = arguments
    rows, rest = picked[0], tuple(picked[1:])
    token = "mean and sd", exact_token((base, stretches))
    moments = cached(token, lambda: _moments(base, stretches))
    mean, sd = (outer.take(moment, rest) for moment in moments)
    values = np.asarray(base.outer(tuple(map(outer.compact, picked))), np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.where((sd > 0) & np.isfinite(values), (values - mean) / sd, np.nan)
    scaled[outside(rows, stretches)] = np.nan
    return scaled


def _moments(base: LazyArray, stretches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the stretches, float64 in the shape of a sample."""
    rest = base.shape[1:]
    rows = max(1, _AT_ONCE // (8 * max(1, int(np.prod(rest, dtype=np.int64)))))
    moments = Moments(rest)
    every = (slice(None),) * len(rest)
    for begin, end in stretches.tolist():
        for low in range(begin, end, rows):
            key = outer.normalise((slice(low, min(low + rows, end)), *every), base.shape)
            part = np.asarray(base.outer(key), np.float64)
            moments.add(part, np.isfinite(part))
    with np.errstate(invalid="ignore", divide="ignore"):
        sd = np.sqrt(moments.squares / moments.n)  # ddof 0
    return np.where(moments.n > 0, moments.mean, np.nan), sd


def smooth(signal: Signal, sd: float) -> Any:
    """Smooth a signal with a Gaussian, lazily; it does not cross gaps.

    Parameters
    ----------
    signal : (time, ...) DataArray, Dataset or DataTree node
        A signal on a regular clock, in any unit.
    sd : float, s
        Standard deviation of the Gaussian, which is cut off at 4 standard deviations.

    Returns
    -------
    (time, ...) DataArray, or Dataset
        The smoothed signal in the same unit, float32 or float64. Near gaps and ends the weights of
        the existing samples are scaled to add up to 1. NaN where a sample is missing.

    Raises
    ------
    ValueError
        If `sd` is not positive or is shorter than a quarter of the sampling interval, or the clock
        is missing or irregular.
    SchemaError
        As `neuroarrays.filter`.

    Examples
    --------
    >>> import numpy as np, xarray as xr, neuroarrays as na
    >>> speed = xr.DataArray(np.ones(100), {"time": np.arange(100) / 50}, "time")
    >>> float(na.smooth(speed, 0.1)[0])
    1.0
    """
    scipy_signal("na.smooth")
    sd = duration(sd, "sd", ", e.g. 0.05 for 50 ms")

    def transform(array: xr.DataArray) -> xr.DataArray:
        known = sampled(array, "na.smooth")
        samples = sd * known.rate
        if samples < 0.25:
            msg = (
                f"sd={sd:g} s is less than a quarter of the sampling interval of "
                f"{known.name}, {1 / known.rate:.4g} s"
            )
            raise ValueError(msg)
        half = int(np.ceil(_CUT * samples))
        taps = np.exp(-0.5 * (np.arange(-half, half + 1) / samples) ** 2)
        lazy = Overlapped(known.base, Gaussian(taps / taps.sum()), known.stretches, known.dtype)
        return known.result(lazy, {"smoothed": f"Gaussian, sd {sd:g} s"})

    return each(signal, transform)


def normalize(
    signal: Signal, method: str = "zscore", *, window: float = 60.0, percentile: float = 10.0
) -> Any:
    """Z-score a signal, or compute its relative change from a running baseline (dF/F), lazily.

    Parameters
    ----------
    signal : (time, ...) DataArray, Dataset or DataTree node
        A signal in any unit; for "dff" fluorescence above 0.
    method : {"zscore", "dff"}
        "zscore" is ``(x - mean) / sd`` (ddof 0) over all valid samples of each column. "dff" is
        ``(F - F0) / F0``, where F0 is the running percentile.
    window : float, s
        Window of the running percentile, centred. The signal is mirrored at ends and gaps.
    percentile : float
        The percentile that is the baseline, from 0 to 100.

    Returns
    -------
    (time, ...) DataArray, or Dataset
        A lazy signal in unit "1", float32 or float64. NaN in a constant column ("zscore"), and
        where the baseline is not above 0 ("dff").

    Raises
    ------
    ValueError
        If the method is unknown, `window` is not positive, `percentile` is not from 0 to 100, or,
        for "dff", the clock is missing or irregular.
    SchemaError
        As `neuroarrays.filter`.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import neuroarrays as na
    >>> time = np.arange(0, 10, 0.001)
    >>> signal = xr.DataArray(np.sin(2 * np.pi * 8 * time), {"time": time}, name="LFP")
    >>> normalized = na.normalize(signal)
    >>> round(float(normalized.std()), 6)
    1.0
    """
    choice(method, "method", ("zscore", "dff"))
    window = duration(window, "window")
    if not 0 <= percentile <= 100:
        msg = f"percentile={percentile!r}: expected a number from 0 to 100"
        raise ValueError(msg)

    def transform(array: xr.DataArray) -> xr.DataArray:
        known = sampled(array, "na.normalize", regular=method == "dff")
        lazy: LazyArray
        if method == "zscore":
            arguments = (known.base, known.stretches)
            lazy = Computed(_standardized, known.base.shape, known.dtype, arguments)
            attrs = {"units": "1", "normalized": "z-score"}
        else:
            scipy_signal("na.normalize(method='dff')")
            lazy = _relative(known, window, percentile)
            attrs = {
                "units": "1",
                "normalized": f"dF/F, {percentile:g}th percentile of {window:g} s",
            }
        return known.result(lazy, attrs)

    return each(signal, transform)


def _relative(known: Sampled, window: float, percentile: float) -> LazyArray:
    half = max(1, round(window * known.rate / 2))
    return Overlapped(known.base, Baseline(half, percentile), known.stretches, known.dtype)
