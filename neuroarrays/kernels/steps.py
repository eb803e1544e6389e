"""How far the samples of a clock lie apart, and from where on two of them have a hole between them."""

from __future__ import annotations

import math

import numpy as np

#: Of a regular clock, a step of more than so many usual ones is a hole.
HOLE = 1.5
#: By how much of a step a clock may be off a regular one, root mean square.
JITTER = 0.02
#: Of a clock that is not regular, a step of more than so many usual ones is a hole.
FAR = 10.0


def usual_step(times: np.ndarray) -> float:
    """The usual time from one sample to the next: the median of the steps forwards.

    Parameters
    ----------
    times : (sample,) float64, s
        In any order; NaN is passed over.

    Returns
    -------
    float, s
        NaN where there are not two different times.
    """
    steps = _forwards(times)
    return float(np.median(steps)) if steps.size else math.nan


def longest_step(times: np.ndarray) -> float:
    """How far apart two samples may lie that follow one another; further apart there is a hole.

    Parameters
    ----------
    times : (sample,) float64, s
        In any order; NaN is passed over.

    Returns
    -------
    float, s
        `HOLE` usual steps of a clock that is regular but for its holes, `FAR` of another one; infinite
        where there are not two different times.
    """
    steps = _forwards(times)
    if not steps.size:
        return math.inf
    usual = float(np.median(steps))
    within = steps[steps <= HOLE * usual]
    mean = within.mean()
    is_regular = float(np.sqrt(np.mean((within - mean) ** 2))) <= JITTER * mean
    return (HOLE if is_regular else FAR) * usual


def _forwards(times: np.ndarray) -> np.ndarray:
    steps = np.diff(np.sort(times[np.isfinite(times)]))
    return steps[steps > 0]
