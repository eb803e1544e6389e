"""How far the samples of a clock lie apart, and from where on two of them have a hole between them."""

from __future__ import annotations

import math

import numpy as np

#: In a regular clock, a step of more than this number of usual steps is a hole.
HOLE = 1.5
#: Longest step that is interpolated, in usual steps: one sample is lost, or its time is not known.
BRIDGED = 2.5
#: Largest deviation of a clock from a regular one, root mean square, as a fraction of a step.
JITTER = 0.02
#: In an irregular clock, a step of more than this number of usual steps is a hole.
FAR = 10.0
#: A clock is irregular if more than this share of its steps would be holes.
_MANY = 0.25
#: Steps of about two usual ones are the rounding of a clock where that share of the distances between
#: them, at least so many, are as many steps, but for so many.
_EVENLY, _FEW, _OFF = 0.9, 4, 2
#: Number of times of a clock that are checked together.
_BLOCK = 1 << 16


def even_step(times: np.ndarray) -> float | None:
    """Return the step of a regular clock: no hole, no missing time, no step off by more than `JITTER`.

    The clock is looked at block by block, so an hour of samples costs no copies of its clock.

    Parameters
    ----------
    times : (sample,) float64, s

    Returns
    -------
    float or None, s
        The mean step; None where a step is not like the others, or there is none.
    """
    n = len(times)
    if n < 2:
        return None
    step = float((times[-1] - times[0]) / (n - 1))
    if not (math.isfinite(step) and step > 0):
        return None
    for begin in range(0, n - 1, _BLOCK):
        steps = np.diff(times[begin : begin + _BLOCK + 1])
        if not (steps.min() >= (1 - JITTER) * step and steps.max() <= (1 + JITTER) * step):
            return None
    return step


def usual_step(times: np.ndarray) -> float:
    """Return the usual time from one sample to the next: the median of the steps forwards.

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
    """Return the longest time between neighbouring samples that is not a hole.

    Parameters
    ----------
    times : (sample,) float64, s
        In any order; NaN is passed over.

    Returns
    -------
    float, s
        `HOLE` usual steps of a clock that is regular but for its holes, `FAR` of another one; infinite
        where there are not two different times.

    Notes
    -----
    A clock whose stamps are rounded to hardly less than its step (700 Hz in whole milliseconds, float32
    late in a long session) has steps of one and two units. It is not regular: none of these is a hole.
    """
    even = even_step(times)
    if even is not None:
        return HOLE * even
    steps = _forwards(times)
    if not steps.size:
        return math.inf
    usual = float(np.median(steps))
    within = steps[steps <= HOLE * usual]
    is_regular = _deviation(within) <= JITTER and not has_mixed(steps)
    return (HOLE if is_regular else FAR) * usual


def has_mixed(steps: np.ndarray) -> bool:
    """Whether long steps belong to the clock: they are many, or come as evenly as rounding makes them.

    Parameters
    ----------
    steps : (step,) float64, s
        Forwards: more than 0; one or more.
    """
    relative = steps / np.median(steps)
    if np.mean(relative > HOLE) >= _MANY:
        return True
    apart = np.diff(np.flatnonzero((relative > HOLE) & (relative < HOLE + 1)))
    if apart.size < _FEW:
        return False
    return bool(np.mean(np.abs(apart - np.median(apart)) <= _OFF) >= _EVENLY)


def _deviation(steps: np.ndarray) -> float:
    """How far steps are off their mean: root mean square, in means."""
    mean = steps.mean()
    return float(np.sqrt(np.mean((steps - mean) ** 2)) / mean)


def _forwards(times: np.ndarray) -> np.ndarray:
    """Return the steps above 0 between the sorted finite times, in their unit."""
    steps = np.diff(np.sort(times[np.isfinite(times)]))
    return steps[steps > 0]
