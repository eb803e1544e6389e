"""Clocks as files have them: samples of a counter, to be divided by its rate."""

from __future__ import annotations

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.computed import Computed, Elementwise


def seconds(samples: LazyArray, rate: float) -> LazyArray:
    """The times of samples of a clock, float64, s.

    Divided, as ``n / 30000``: ``n * (1 / 30000)`` rounds twice and moves spikes across edges of bins.

    Parameters
    ----------
    samples : LazyArray
        Numbers of samples, of any shape.
    rate : float, 1/s
        Samples per second.

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
    """A clock as the Open Neurophysiology Environment (ALF) writes it: rows of (sample, time).

    Parameters
    ----------
    path, where : str
        The file, and the place in it, for messages.
    rows : (n, 2) float64
        Numbers of samples, the first 0 and the last that of the last sample; times in s.
    length : int
        Number of samples.

    Returns
    -------
    (length,) LazyArray of float64, s
        On straight lines between the times that are given.

    Raises
    ------
    FormatError
        If the rows are not such.
    """
    samples, times = rows.T
    good = samples.size > 0 and samples[0] == 0 and (np.diff(samples) > 0).all()
    if (
        not good
        or (samples % 1 != 0).any()
        or samples[-1] != length - 1
        or not np.isfinite(times).all()
    ):
        raise FormatError(
            path,
            where,
            f"times along one axis, or rows of (sample, time) from 0 to {length - 1:,}",
            f"shape {rows.shape}, the first {rows[:1].tolist()}, the last {rows[-1:].tolist()}",
        )
    return Computed(_between, (length,), np.dtype("f8"), (samples, times))


def _between(wanted: np.ndarray, samples: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Times of samples, (n,) float64, s: on straight lines between those that are given."""
    return np.asarray(np.interp(wanted, samples, times))
