"""Times of clocks that files store as sample numbers, or as times of some samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.computed import Computed, Elementwise

#: Units of time in a second, by the names of the unit.
_PER_SECOND = {
    1e3: ("ms", "msec", "msecs", "millisecond", "milliseconds"),
    1e6: (
        "us",
        "\N{MICRO SIGN}s",
        "\N{GREEK SMALL LETTER MU}s",
        "usec",
        "microsecond",
        "microseconds",
    ),
    1e9: ("ns", "nsec", "nanosecond", "nanoseconds"),
}


def units_per_second(unit: Any) -> float:
    """Return how many of the units of time that a file states are in a second: 1000 for "ms".

    It is 1 for seconds, and where the file states no unit of time.
    """
    name = unit.strip().lower() if isinstance(unit, str) else ""
    return next((rate for rate, names in _PER_SECOND.items() if name in names), 1.0)


def seconds(samples: LazyArray, rate: float) -> LazyArray:
    """Return the times of samples of a clock, float64 in s.

    Sample numbers are divided by the rate, as ``n / 30000``. The product ``n * (1 / 30000)`` is
    rounded twice, which moves spikes across the edges of bins.

    Parameters
    ----------
    samples : (...) LazyArray
        Sample numbers.
    rate : float, Hz
        Samples per second.

    Returns
    -------
    (...) LazyArray of float64, s
        The times.

    Raises
    ------
    ValueError
        If the rate is not positive and finite.
    """
    if not (np.isfinite(rate) and rate > 0):
        msg = f"sampling rate: expected a positive number of samples per second, found {rate}"
        raise ValueError(msg)
    return Elementwise(np.true_divide, (samples,), np.dtype("f8"), (np.float64(rate),))


def knots(path: str, where: str, rows: np.ndarray, length: int) -> LazyArray:
    """Return the times of a clock that is stored as rows (sample, time), as ALF does.

    Parameters
    ----------
    path, where : str
        The file, and the position in it, for messages.
    rows : (n, 2) float64
        Sample numbers from 0 to ``length - 1``, ascending, and times in s.
    length : int
        Number of samples.

    Returns
    -------
    (length,) LazyArray of float64, s
        Times, interpolated linearly between the rows.

    Raises
    ------
    FormatError
        If the rows are of another kind.
    """
    samples, times = rows.T
    spans_signal = samples.size > 0 and samples[0] == 0 and samples[-1] == length - 1
    are_numbers = (np.diff(samples) > 0).all() and (samples % 1 == 0).all()
    if not (spans_signal and are_numbers and np.isfinite(times).all()):
        raise FormatError(
            path,
            where,
            f"times along one axis, or rows of (sample, time) from 0 to {length - 1:,}",
            f"shape {rows.shape}, the first {rows[:1].tolist()}, the last {rows[-1:].tolist()}",
        )
    return Computed(_between, (length,), np.dtype("f8"), (samples, times))


def _between(wanted: np.ndarray, samples: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Interpolate the times of samples, (n,) float64 in s, between those that are given."""
    return np.asarray(np.interp(wanted, samples, times))
