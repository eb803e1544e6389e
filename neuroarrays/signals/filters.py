"""`filter`: band-pass, high-pass, low-pass and notch filters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays.files.state import cached_property
from neuroarrays.schema import given
from neuroarrays.signals.overlap import Overlapped
from neuroarrays.signals.sampled import Sampled, Signal, each, sampled, scipy_signal

#: Samples outside the overlap change a value by less than this share of the largest sample.
TOLERANCE = 1e-7
#: A value counts as settled if the unknown time before its stretch changes it by less than this
#: share.
SETTLED = 0.01
#: The longest response of a recursive filter that is computed, in samples.
_LONGEST = 1 << 22
#: Half of the width of the notch, divided by its frequency.
_QUALITY = 30.0
_KINDS = ("butterworth", "fir")


@dataclass(frozen=True, eq=False)
class Recursive:
    """A recursive filter in second-order sections, (section, 6) float64."""

    sections: np.ndarray
    zero_phase: bool

    @cached_property
    def _tail(self) -> np.ndarray:
        """Share of the summed magnitude of the response that is n samples away or further."""
        response = impulse_response(self.sections)
        if self.zero_phase:  # filtered by the response and by its mirror image: its autocorrelation
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
        """The number of samples that scipy's `sosfiltfilt` mirrors at each end."""
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
    """A finite response, (tap,) float64, centred on each sample, or before it if it is causal."""

    taps: np.ndarray
    zero_phase: bool = True
    settled: int | None = None  # samples; None is half of the taps

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
    """The impulse response of a filter, until it has decayed.

    Parameters
    ----------
    sections : (section, 6) float64
        Second-order sections, without unit.

    Returns
    -------
    (n,) float64
        Output per unit of input, until the slowest pole has decayed to 1e-10; at most 2^22 samples.
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
    """Filter a signal, lazily: band-pass, high-pass, low-pass or notch.

    Parameters
    ----------
    signal : (time, ...) DataArray, Dataset or DataTree node
        A signal on a regular clock, in any unit. If it is a node of a tree, the invalid times of
        its session are treated as gaps.
    low, high : float, Hz, optional
        Frequencies below `low` and above `high` are removed. Both together make a band-pass filter,
        `low` alone a high-pass, `high` alone a low-pass filter.
    notch : float, Hz, optional
        Remove this frequency (power line); the width is 1/30 of it. Give it without `low` and
        `high`.
    kind : {"butterworth", "fir"}
        A recursive Butterworth filter, or a finite impulse response (Hamming window, 3.3 periods of
        the lower edge long).
    order : int
        Order of the Butterworth filter; `zero_phase` applies it twice.
    zero_phase : bool
        If True, filter forwards and backwards, without delay. If False, the filter is causal: it
        uses only earlier samples.

    Returns
    -------
    (time, ...) DataArray, or Dataset
        The filtered signal with the same unit and labels, lazy, or dask if the signal is. It is
        float32 for float32 and for integers up to 16 bits, else float64. The values do not depend
        on chunks. Values closer than `settling_time` (attribute, s) to an end, a gap or a missing
        sample are NaN. Other attributes: ``filter`` (a description), ``filter_low``,
        ``filter_high`` (Hz), and ``overlap`` (s): samples further away than this change a value by
        less than ``tolerance`` of the largest sample.

    Raises
    ------
    ValueError
        If the band is empty or above the Nyquist frequency, the filter needs longer to settle than
        the longest stretch between gaps, or the clock is missing or irregular.
    SchemaError
        If there are no numbers along time, or the signal is an angle.
    MissingDependency
        If scipy is not installed.

    Notes
    -----
    The filters are those of scipy (`butter`, `iirnotch`, `firwin`, `sosfiltfilt`). A zero-phase
    result equals `scipy.signal.sosfiltfilt` of the whole stretch. Beyond the overlap, the summed
    magnitude of the response is less than `tolerance` of its whole sum; beyond the settling time it
    is less than 1 %.

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
        msg = "give low=, high= or both in Hz, or notch= alone"
        raise ValueError(msg)
    if low is not None and high is not None and low >= high:
        msg = f"low={low:g} Hz is not below high={high:g} Hz: the band is empty"
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
    """Check a frequency, which is positive and finite, in Hz."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 < number < math.inf:
        msg = f"{name}={value!r:.60}: expected a frequency above 0 in Hz"
        raise ValueError(msg)
    return number


def below_nyquist(known: Sampled, edges: list[float]) -> None:
    """Refuse frequencies above the Nyquist frequency.

    Raises
    ------
    ValueError
        If one is; the message has the Nyquist frequency.
    """
    half = known.rate / 2
    # Sampling rates are known to 1e-6.
    if over := [edge for edge in edges if edge >= half * (1 - 1e-6)]:
        msg = (
            f"{known.name}: {max(over):g} Hz is not below {half:.6g} Hz, half of its "
            f"{known.rate:.6g} "
            "samples per second (the Nyquist frequency)"
        )
        raise ValueError(msg)


def long_enough(known: Sampled, kernel: Any, what: str) -> None:
    """Refuse a transformation that needs longer to settle than any stretch of the signal.

    Raises
    ------
    ValueError
        If it does; the message has both times.
    """
    if not known.longest:
        msg = f"{known.name}: none of its time is valid, so {what} has no data"
        raise ValueError(msg)
    before, after = kernel.settling
    needed = max(before + after, kernel.least)
    if known.longest <= needed:
        msg = (
            f"{known.name}: {what} needs {needed / known.rate:.4g} s to settle, but the longest "
            "stretch "
            f"between gaps has {known.longest / known.rate:.4g} s, so all values would be NaN. "
            "Use a "
            "higher or wider band, or a lower order"
        )
        raise ValueError(msg)


def overlap_attrs(known: Sampled, kernel: Any) -> dict[str, Any]:
    """The attributes of a result that describe its kernel: overlap, tolerance and settling time."""
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
    """Windowed taps; the transition is as wide as the lower edge (Hamming: 3.3 / transition)."""
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
