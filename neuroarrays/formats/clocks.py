"""Clocks as files have them: samples of a counter, to be divided by its rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuroarrays.files.source import Key
from neuroarrays.lazy.arrays import LazyArray


@dataclass(frozen=True, repr=False)
class Seconds(LazyArray):
    """Samples of a clock, divided by its rate where they are indexed."""

    base: LazyArray
    rate: float

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape

    @property
    def dtype(self) -> np.dtype:
        return np.dtype("f8")

    def outer(self, key: Key) -> np.ndarray:
        return np.asarray(self.base.outer(key) / np.float64(self.rate))


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
    return Seconds(samples, float(rate))
