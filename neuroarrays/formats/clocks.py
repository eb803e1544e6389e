"""Clocks as files have them: samples of a counter, to be divided by its rate."""

from __future__ import annotations

import numpy as np

from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.computed import Elementwise


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
