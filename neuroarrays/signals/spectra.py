"""`power` and `spectrogram`: the power of each frequency, over a whole signal or over time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import many
from neuroarrays.files import outer
from neuroarrays.files.outer import Key
from neuroarrays.lazy.arrays import LazyArray, wrap
from neuroarrays.schema.given import choice
from neuroarrays.signals.sampled import Sampled, Signal, each, sampled, scipy_signal
from neuroarrays.tree.columns import duration

#: The most bytes of float64 samples, times the number of tapers, that are transformed at once.
_AT_ONCE = 16 << 20


@dataclass(frozen=True, repr=False, eq=False)
class Periodograms(LazyArray):
    """The spectrum of each window of a signal, (window, frequency, ...).

    Attributes
    ----------
    base : LazyArray
        Samples (time, ...) in any unit.
    starts : (window,) int64
        First sample of each window, in order.
    tapers : (taper, sample) float64
        Tapers with a sum of squares of 1.
    rate : float, Hz
        Sampling rate.
    dtype : np.dtype
        Dtype of the result.
    """

    base: LazyArray
    starts: np.ndarray
    tapers: np.ndarray
    rate: float
    dtype: np.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.starts.size, self.tapers.shape[1] // 2 + 1, *self.base.shape[1:])

    def outer(self, key: Key) -> np.ndarray:
        rows = outer.positions(key[0])
        rest = tuple(slice(k, k + 1, 1) if isinstance(k, int) else k for k in key[2:])
        shape = outer.result_shape(rest, self.shape[2:])
        bins = slice(key[1], key[1] + 1, 1) if isinstance(key[1], int) else key[1]
        out = np.empty((rows.size, outer.length(bins, self.shape[1]), *shape), self.dtype)
        for places, spectra in self.batches(rows, rest):
            out[places] = outer.take_after(spectra, (bins,), 1)
        return outer.take(out, outer.dropping_ints(key))

    def gathered(
        self, windows: np.ndarray, rest: Key, some: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Read the samples of some windows, `some` windows at a time.

        Parameters
        ----------
        windows : (n,) int64
            Numbers of windows.
        rest : tuple
            Keys of the other axes; not ints.
        some : int
            Number of windows to read at once.

        Yields
        ------
        places : (m,) int64
            Positions in `windows` of the windows that are returned together.
        samples : (m, ..., sample) float64
            Their samples, in the unit of the signal.
        """
        n = self.tapers.shape[1]
        order = np.argsort(self.starts[windows], kind="stable")
        for low in range(0, order.size, some):
            places = order[low : low + some]
            starts = self.starts[windows[places]]
            first = int(starts[0])
            span = int(starts[-1]) + n - first
            if span <= 4 * n * places.size:
                read = np.asarray(self.base.outer((slice(first, first + span, 1), *rest)))
                taken = read[(starts - first)[:, None] + np.arange(n)]
            else:  # far apart: read one by one
                each_window = (
                    self.base.outer((slice(s, s + n, 1), *rest)) for s in starts.tolist()
                )
                taken = np.stack([np.asarray(part) for part in each_window])
            yield places, np.moveaxis(taken.astype(np.float64), 1, -1)

    def batches(self, windows: np.ndarray, rest: Key) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Compute the spectra of some windows, a few at a time.

        Parameters
        ----------
        windows : (n,) int64
            Numbers of windows.
        rest : tuple
            Keys of the other axes; not ints.

        Yields
        ------
        places : (m,) int64
            Positions in `windows` of the windows that are returned together.
        spectra : (m, frequency, ...) float64
            One-sided power densities in unit²/Hz; NaN if a sample of the window is missing.
        """
        columns = int(np.prod(outer.result_shape(rest, self.shape[2:]), dtype=np.int64))
        some = max(1, _AT_ONCE // (8 * max(1, columns) * self.tapers.size))
        for places, samples in self.gathered(windows, rest, some):
            yield places, self._spectra(samples)

    def _spectra(self, samples: np.ndarray) -> np.ndarray:
        """Power densities (window, frequency, ...) of samples (window, ..., sample)."""
        samples = np.where(np.isfinite(samples), samples, np.nan)
        samples = samples - samples.mean(axis=-1, keepdims=True)
        total = np.zeros((*samples.shape[:-1], self.shape[1]))
        for taper in self.tapers:
            spectrum = np.fft.rfft(samples * taper, axis=-1)
            total += spectrum.real**2 + spectrum.imag**2
        total /= len(self.tapers) * self.rate
        # The negative frequencies are added; 0 and Nyquist have none.
        total[..., 1 : (self.tapers.shape[1] + 1) // 2] *= 2
        return np.moveaxis(total, -1, 1)


def spectrogram(
    signal: Signal,
    window: float = 0.5,
    step: float | None = None,
    *,
    method: str = "hann",
    bandwidth: float | None = None,
) -> Any:
    """Compute the power spectrum of a signal over time, lazily.

    Parameters
    ----------
    signal : (time, ...) DataArray, Dataset or DataTree node
        A signal on a regular clock, in any unit.
    window : float, s
        Length of a window; the frequency resolution is 1 / `window`.
    step : float, s, optional
        Time from one window to the next (default: half a window).
    method : {"hann", "multitaper"}
        A Hann window, or the mean over several tapers (discrete prolate spheroidal sequences).
    bandwidth : float, Hz, optional
        Full bandwidth of the multitaper method (default: 4 / `window`).

    Returns
    -------
    (time, frequency, ...) DataArray, or Dataset
        One-sided power density in unit²/Hz, float32 or float64. `time` (s) is the centre of each
        window, `frequency` is in Hz. Windows do not cross gaps, and are NaN if a sample is missing.
        The mean of each window is subtracted.

    Raises
    ------
    ValueError
        If the method is unknown, `window` is longer than the longest stretch between gaps, or the
        clock is missing or irregular.
    SchemaError
        As `neuroarrays.filter`.

    Notes
    -----
    Power densities equal those of `scipy.signal.spectrogram` with ``detrend="constant"``.
    Multitaper: Thomson 1982, Proc. IEEE 70:1055.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import neuroarrays as na
    >>> time = np.arange(0, 10, 0.001)
    >>> signal = xr.DataArray(np.sin(2 * np.pi * 8 * time), {"time": time}, name="LFP")
    >>> spectrum = na.spectrogram(signal)
    >>> float(spectrum.mean("time").idxmax("frequency"))
    8.0
    """
    scipy_signal("na.spectrogram")

    def transform(array: xr.DataArray) -> xr.DataArray:
        known = sampled(array, "na.spectrogram")
        spectra, coords, attrs = windows_of(known, window, step, method, bandwidth)
        n = spectra.tapers.shape[1]
        middle = known.stamps(spectra.starts) + (n - 1) / 2 / known.rate
        coords |= {schema.TIME: xr.Variable(schema.TIME, middle, {"units": "s"})}
        dims = (schema.TIME, "frequency", *array.dims[1:])
        variable = xr.Variable(dims, wrap(spectra), attrs)
        if array.chunks is not None:
            hop = int(np.median(np.diff(spectra.starts))) if spectra.starts.size > 1 else n
            windows = max(1, max(array.chunks[0]) // hop)
            variable = known.chunked(variable, {schema.TIME: windows})
        return xr.DataArray(variable, name=array.name).assign_coords(coords)

    return each(signal, transform)


def power(
    signal: Signal,
    window: float = 2.0,
    *,
    method: str = "welch",
    bandwidth: float | None = None,
) -> Any:
    """Compute the power spectrum of a signal, averaged over windows.

    Parameters
    ----------
    signal : (time, ...) DataArray, Dataset or DataTree node
        A signal on a regular clock, in any unit. It is read once, in parts.
    window : float, s
        Length of a window; windows overlap by half. The frequency resolution is 1 / `window`.
    method : {"welch", "multitaper"}
        A Hann window, or the mean over several tapers (discrete prolate spheroidal sequences).
    bandwidth : float, Hz, optional
        Full bandwidth of the multitaper method (default: 4 / `window`).

    Returns
    -------
    (frequency, ...) DataArray, or Dataset
        One-sided power density in unit²/Hz, float64, computed at once; `frequency` is in Hz. The
        coordinate `windows` is the number of windows without a missing sample; NaN if it is 0.

    Raises
    ------
    ValueError, SchemaError
        As `spectrogram`.

    Notes
    -----
    Welch 1967, IEEE Trans. Audio Electroacoust. 15:70; for a signal without gaps the result equals
    `scipy.signal.welch`. Multitaper: Thomson 1982, Proc. IEEE 70:1055.

    Examples
    --------
    >>> import numpy as np, xarray as xr, neuroarrays as na
    >>> time = np.arange(0, 60, 0.002)
    >>> lfp = xr.DataArray(np.sin(2 * np.pi * 8 * time), {"time": time}, "time")
    >>> float(na.power(lfp).idxmax("frequency"))
    8.0
    """
    scipy_signal("na.power")
    choice(method, "method", ("welch", "multitaper"))

    def transform(array: xr.DataArray) -> xr.DataArray:
        known = sampled(array, "na.power")
        taper = "hann" if method == "welch" else method
        spectra, coords, attrs = windows_of(known, window, None, taper, bandwidth)
        total = np.zeros(spectra.shape[1:])
        number = np.zeros(spectra.shape[2:], np.int64)
        rest = outer.normalise((), spectra.shape[2:])
        for _, part in spectra.batches(np.arange(spectra.starts.size), rest):
            whole = np.isfinite(part).all(axis=1)
            total += np.where(whole[:, None], part, 0).sum(axis=0)
            number += whole.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / number
        coords |= {"windows": xr.Variable(array.dims[1:], number)}
        return xr.DataArray(mean, coords, ("frequency", *array.dims[1:]), array.name, attrs)

    return each(signal, transform)


def _squared(unit: str) -> str:
    return f"{unit}²" if unit.isalpha() else f"({unit})²"


def windows_of(
    known: Sampled, window: float, step: float | None, method: str, bandwidth: float | None
) -> tuple[Periodograms, dict[Any, xr.Variable], dict[str, Any]]:
    """The spectra of all windows of a signal, with their common coordinates and attributes."""
    window = duration(window, "window", ", e.g. 0.5 for 500 ms")
    n = round(window * known.rate)
    if n < 4:
        msg = (
            f"window={window:g} s has {many(n, 'sample')} of {known.name} ({known.rate:g} per "
            "second); expected at least 4"
        )
        raise ValueError(msg)
    if n > known.longest:
        msg = (
            f"window={window:g} s is longer than the longest stretch of {known.name} between "
            f"gaps, {known.longest / known.rate:.4g} s"
        )
        raise ValueError(msg)
    hop = n - n // 2 if step is None else max(1, round(duration(step, "step") * known.rate))
    tapers = _tapers(n, known.rate, method, bandwidth)
    starts = [np.arange(begin, end - n + 1, hop) for begin, end in known.stretches.tolist()]
    spectra = Periodograms(known.base, np.concatenate(starts), tapers, known.rate, known.dtype)
    frequency = np.fft.rfftfreq(n, 1 / known.rate)
    array = known.signal
    coords = {key: c.variable for key, c in array.coords.items() if schema.TIME not in c.dims}
    coords["frequency"] = xr.Variable("frequency", frequency, {"units": "Hz"})
    unit = str(array.attrs.get("units", ""))
    attrs = dict(array.attrs) | {
        "units": "1/Hz" if unit == "1" else f"{_squared(unit)}/Hz" if unit else "",
        "long_name": "power density",
        "window": n / known.rate,
        "tapers": len(tapers),
    }
    attrs.pop("sampling_rate", None)
    return spectra, coords, attrs


def _tapers(n: int, rate: float, method: str, bandwidth: float | None) -> np.ndarray:
    """Tapers (taper, sample) float64 with a sum of squares of 1."""
    from scipy.signal import windows

    if method == "hann":
        if bandwidth is not None:
            msg = (
                "bandwidth= belongs to method='multitaper'; the length of a Hann window "
                "decides its bandwidth"
            )
            raise ValueError(msg)
        taper = windows.hann(n, sym=False)
        return np.asarray(taper / np.sqrt((taper**2).sum()))[None]
    choice(method, "method", ("hann", "multitaper"))
    half = 2.0 if bandwidth is None else bandwidth * n / rate / 2
    number = int(2 * half) - 1
    if number < 1 or half >= n / 2:
        msg = (
            f"bandwidth={bandwidth:g} Hz: expected from {2 * rate / n:.4g} Hz (two divided by "
            f"the window) to {rate:g} Hz"
        )
        raise ValueError(msg)
    return np.asarray(windows.dpss(n, half, number))
