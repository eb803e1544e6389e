"""The chance level of a decoder: the error of the best constant answer."""

from __future__ import annotations

from typing import Any

import numpy as np


def chance_error(truth: Any, period: float | None = None) -> float:
    """Compute the chance level of a decoder: the error of the best constant answer.

    Parameters
    ----------
    truth : (n,) array or DataArray
        True values on held-out data, in any unit; NaN is left out.
    period : float, optional
        Full turn of a circular value, in the unit of `truth`: 360 for directions in degrees, 180
        for orientations.

    Returns
    -------
    float
        The median absolute error of the best constant answer, in the unit of `truth`: the smallest
        distance from one answer that has at least half of the values within it. It is a quarter of
        the period if all angles are equally likely, and less if they are not.

    Raises
    ------
    ValueError
        If all values are NaN, or the period is not positive.

    Examples
    --------
    >>> import neuroarrays as na
    >>> na.scoring.chance_error([0.0, 1.0, 2.0, 10.0])
    0.5
    >>> na.scoring.chance_error(range(0, 360, 2), period=360)
    89.0
    """
    values = np.asarray(truth, np.float64).ravel()
    values = values[np.isfinite(values)]
    if not values.size:
        msg = "all values of the truth are NaN; expected at least one number"
        raise ValueError(msg)
    if period is not None and not period > 0:
        msg = f"period={period!r}: expected a number above 0"
        raise ValueError(msg)
    half = (values.size + 1) // 2
    if period is None:
        ordered = np.sort(values)
    else:
        ordered = np.sort(values % period)
        ordered = np.concatenate([ordered, ordered[: half - 1] + period])
    # The middle of the shortest interval with half of the values is the best answer.
    return float((ordered[half - 1 :] - ordered[: ordered.size - half + 1]).min() / 2)
