"""`filter`: bands of a signal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays.files.state import cached_property
from neuroarrays.schema import given
from neuroarrays.signals.given import Sampled, Signal, each, sampled, scipy_signal
from neuroarrays.signals.overlap import Overlapped

#: What lies further away changes a value by less than this share of the largest sample.
TOLERANCE = 1e-7
#: Until what happened before a stretch changes a value by less than this share, it is not known.
SETTLED = 0.01
#: The longest response of a recursive filter that is followed, samples.
_LONGEST = 1 << 22
#: Half of the notch's width, by the frequency.
_QUALITY = 30.0
_KINDS = ("butterworth", "fir")


@dataclass(frozen=True, eq=False)
class Recursive:
    """A recursive filter in second-order sections, (section, 6) float64."""

    sections: np.ndarray
    zero_phase: bool

    @cached_property
    def _tail(self) -> np.ndarray:
        """Share of the response's sum of magnitudes that lies n samples away or further."""
        response = impulse_response(self.sections)
        if self.zero_phase:  # filtered by it and by its mirror image: its autocorrelation
            spectrum = np.fft.rfft(response, 2 * response.size)
            response = np.fft.irfft(np.abs(spectrum) ** 2)[: response.size]
        magnitudes = np.abs(response)
        tail = np.cumsum(magnitudes[::-1])[::-1]
        return np.asarray(tail / tail[0])

    def _until(self, share: float) -> int:
        below = np.flatnonzero(self._tail < share)
        return int(below[0]) if below.size else self._tail.size

    @cached_property
    def before(self) -> int:
        return self._until(TOLERANCE)

    @property
    def after(self) -> int:
        return self.before if self.zero_phase else 0

    @cached_property
    def settling(self) -> tuple[int, int]:
        number = self._until(SETTLED)
        return number, number if self.zero_phase else 0

    @property
    def least(self) -> int:
        """Scipy's `sosfiltfilt` mirrors this many samples at each end."""
        order = 2 * len(self.sections) + 1
        order -= min((self.sections[:, 2] == 0).sum(), (self.sections[:, 5] == 0).sum())
        return int(3 * order + 1) if self.zero_phase else 2

    def apply(self, samples: np.ndarray) -> np.ndarray:
        from scipy import signal

        if self.zero_phase:
            return np.asarray(signal.sosfiltfilt(self.sections, samples, axis=-1))
        state = signal.sosfilt_zi(self.sections)[:, None, :] * samples[None, :, :1]
        return np.asarray(signal.sosfilt(self.sections, samples, axis=-1, zi=state)[0])


@dataclass(frozen=True, eq=False)
class Taps:
    """A finite response: (tap,) float64, centred on each sample, or before it where it is causal."""

    taps: np.ndarray
    zero_phase: bool = True
    settled: int | None = None  # samples; half of the taps unless given

    @property
    def before(self) -> int:
        return (self.taps.size - 1) // 2 if self.zero_phase else self.taps.size - 1

    @property
    def after(self) -> int:
        return self.before if self.zero_phase else 0

    @property
    def settling(self) -> tuple[int, int]:
        number = self.before if self.settled is None else self.settled
        return number, number if self.zero_phase else 0

    @property
    def least(self) -> int:
        return 1

    def apply(self, samples: np.ndarray) -> np.ndarray:
        from scipy import signal

        whole = signal.oaconvolve(samples, self.taps[None, :], mode="full", axes=-1)
        begin = self.before if self.zero_phase else 0
        return np.asarray(whole[:, begin : begin + samples.shape[1]])


def impulse_response(sections: np.ndarray) -> np.ndarray:
    """The response of a filter to one sample of 1, until it has died away.

    Parameters
    ----------
    sections : (section, 6) float64
        Second-order sections; no unit.

    Returns
    -------
    (n,) float64
        Output per unit of input, long enough for its slowest pole to decay to 1e-10, at most 2^22 samples.
    """
    from scipy import signal

    poles = np.concatenate([np.roots(section[3:]) for section in sections])
    slowest = float(np.abs(poles).max(initial=0.0))
    needed = math.log(1e-10) / math.log(slowest) if 0 < slowest < 1 else 1.0
    impulse = np.zeros(min(_LONGEST, math.ceil(1.3 * needed) + 64))
    impulse[0] = 1.0
    return np.asarray(signal.sosfilt(sections, impulse))


def filter(
    signal: Signal,
    low: float | None = None,
    high: float | None = None,
    *,
    notch: float | None = None,
    kind: str = "butterworth",
    order: int = 4,
    zero_phase: bool = True,
) -> Any:
    """A band of a signal: lazily, the same for every chunking, new after every gap.

    Parameters
    ----------
    signal : (time, ...) DataArray, Dataset or DataTree node
        On a regular clock, in any unit. Of a node of a tree the session's invalid times break it.
    low, high : float, Hz, optional
        What is slower than `low` and faster than `high` is taken away: both make a band, one
        alone a high-pass or a low-pass filter.
    notch : float, Hz, optional
        Alone: take this frequency away (power line), 1/30 of it wide.
    kind : {"butterworth", "fir"}
        A recursive Butterworth filter, or a finite one (Hamming window, 3.3 periods of the lower
        edge long).
    order : int
        Of the Butterworth filter; `zero_phase` applies it twice.
    zero_phase : bool
        Forwards and backwards, so that nothing is delayed; else causal: only what was before.

    Returns
    -------
    (time, ...) DataArray, or Dataset
        Lazy, or dask where the signal is; same unit and labels, float32 of whole numbers up to 16
        bits and of float32, else float64. NaN within `settling_time` (attribute, s) of the ends, of
        gaps in the clock and of missing samples. Attributes: ``filter`` (what was done),
        ``filter_low``, ``filter_high`` (Hz), ``overlap`` (s): further away, samples change a
        value by less than ``tolerance`` of the largest.

    Raises
    ------
    ValueError
        If the band is empty, above the Nyquist frequency, or the filter settles longer than the
        longest stretch between gaps; if the clock is missing or irregular.
    SchemaError
        If there is no number along time, or the signal is an angle.
    MissingDependency
        Without scipy.

    Notes
    -----
    scipy filters (`butter`, `iirnotch`, `firwin`, `sosfiltfilt`); zero-phase equals
    `scipy.signal.sosfiltfilt` of the whole stretch. The overlap is where the sum of the magnitudes
    of the response beyond it falls under `tolerance` of the whole, the settling time where it
    falls under 1 %.

    Examples
    --------
    >>> import numpy as np, xarray as xr, neuroarrays as na
    >>> time = np.arange(0, 10, 0.001)
    >>> lfp = xr.DataArray(np.sin(2 * np.pi * 8 * time), {"time": time}, "time")
    >>> theta = na.filter(lfp, 4, 12)
    >>> round(float(theta.sel(time=5.03125, method="nearest")), 1)
    1.0
    """
    library = scipy_signal("na.filter")
    if kind not in _KINDS:
        msg = f"kind={kind!r}: expected one of {', '.join(map(repr, _KINDS))}"
        raise ValueError(msg)
    order = given.whole_number(order, "order", least=1)
    low, high, notch = (
        None if value is None else frequency(value, name)
        for value, name in ((low, "low"), (high, "high"), (notch, "notch"))
    )
    if (low is None and high is None) == (notch is None):
        msg = "give low=, high= (Hz) or both, or notch= alone"
        raise ValueError(msg)
    if low is not None and high is not None and low >= high:
        msg = f"low={low:g} Hz is not below high={high:g} Hz: an empty band"
        raise ValueError(msg)

    def transform(array: xr.DataArray) -> xr.DataArray:
        known = sampled(array, "na.filter")
        below_nyquist(known, [edge for edge in (low, high, notch) if edge is not None])
        if kind == "fir":
            kernel: Recursive | Taps = _finite(library, known.rate, (low, high, notch), zero_phase)
        else:
            sections = _sections(library, known.rate, (low, high, notch), order)
            kernel = Recursive(sections, zero_phase)
        long_enough(known, kernel, "the filter")
        band = f"notch {notch:g}" if notch is not None else f"{low or 0:g}-{high or np.inf:g}"
        done = f"{kind} {band} Hz" + ("" if kind == "fir" else f", order {order}")
        attrs = overlap_attrs(known, kernel) | {
            "filter": f"{done}, {'zero-phase' if zero_phase else 'causal'}",
            "filter_low": low if notch is None else None,
            "filter_high": high if notch is None else None,
        }
        lazy = Overlapped(known.base, kernel, known.stretches, known.dtype)
        return known.result(lazy, attrs)

    return each(signal, transform)


# ------------------------------------------------------------------------------- what is asked


def frequency(value: Any, name: str) -> float:
    """A frequency in Hz: positive and finite."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        msg = f"{name}={value!r:.60}: expected a frequency above 0 in Hz"
        raise ValueError(msg)
    return number


def below_nyquist(known: Sampled, edges: list[float]) -> None:
    """Refuse frequencies that the clock cannot hold.

    Raises
    ------
    ValueError
        Names the Nyquist frequency.
    """
    half = known.rate / 2
    if over := [edge for edge in edges if edge >= half * (1 - 1e-6)]:  # a rate is told to that
        msg = (
            f"{known.name}: {max(over):g} Hz is not below {half:.6g} Hz, half of its {known.rate:.6g} "
            "samples per second (the Nyquist frequency)"
        )
        raise ValueError(msg)


def long_enough(known: Sampled, kernel: Any, what: str) -> None:
    """Refuse a transformation that settles longer than any stretch of the signal.

    Raises
    ------
    ValueError
        Says how long both are.
    """
    if not known.longest:
        msg = f"{known.name}: none of its time is valid, {what} has nothing to take"
        raise ValueError(msg)
    before, after = kernel.settling
    needed = max(before + after, kernel.least)
    if known.longest <= needed:
        msg = (
            f"{known.name}: {what} takes {needed / known.rate:.4g} s to settle, and the longest stretch "
            f"between gaps has {known.longest / known.rate:.4g} s: nothing would be left. Take a "
            "higher or wider band, or a lower order"
        )
        raise ValueError(msg)


def overlap_attrs(known: Sampled, kernel: Any) -> dict[str, Any]:
    """What a result says of its kernel: how far it reaches, to what tolerance, until when it settles."""
    return {
        "overlap": max(kernel.before, kernel.after) / known.rate,
        "tolerance": TOLERANCE,
        "settling_time": max(kernel.settling) / known.rate,
    }


# ----------------------------------------------------------------------------------- designs

Edges = tuple[float | None, float | None, float | None]


def _sections(library: Any, rate: float, edges: Edges, order: int) -> np.ndarray:
    low, high, notch = edges
    if notch is not None:
        return np.asarray(library.tf2sos(*library.iirnotch(notch, _QUALITY, rate)))
    band, kind = (
        ([low, high], "bandpass")
        if low is not None and high is not None
        else (low, "highpass")
        if low is not None
        else (high, "lowpass")
    )
    return np.asarray(library.butter(order, band, kind, fs=rate, output="sos"))


def _finite(library: Any, rate: float, edges: Edges, zero_phase: bool) -> Taps:
    """Windowed taps whose transition is as wide as the lower edge (Hamming: 3.3 / transition)."""
    low, high, notch = edges
    if notch is not None:
        width = notch / _QUALITY
        band, kind = [notch - width, notch + width], "bandstop"
    elif low is not None and high is not None:
        width, band, kind = min(low, rate / 2 - high), [low, high], "bandpass"
    elif low is not None:
        width, band, kind = low, [low], "highpass"
    else:
        assert high is not None, "one of them is given"
        width, band, kind = min(high, rate / 2 - high), [high], "lowpass"
    number = 2 * math.ceil(3.3 * rate / width / 2) + 1
    return Taps(library.firwin(number, band, pass_zero=kind, fs=rate), zero_phase)
