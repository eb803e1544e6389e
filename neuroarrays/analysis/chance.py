"""What a decoder has to beat: the best answer that is always the same."""

from __future__ import annotations

from typing import Any

import numpy as np


def chance_error(truth: Any, period: float | None = None) -> float:
    """The error of the best constant answer: what a decoder has to beat.

    Parameters
    ----------
    truth : (n,) array or DataArray
        The true values on held-out data, in any unit; NaN is left out.
    period : float, optional
        Of a value that goes round, in the unit of `truth`: 360 of directions in degrees, 180 of
        orientations.

    Returns
    -------
    float
        In the unit of `truth`: the smallest distance within which at least half of the values lie
        from one and the same answer, which is the median absolute error of that answer. It is a
        quarter of the period where all angles are equally likely, and less where they are not.

    Raises
    ------
    ValueError
        If no value is known, or the period is not positive.

    Examples
    --------
    >>> from neuroarrays.analysis.scoring import chance_error
    >>> chance_error([0.0, 1.0, 2.0, 10.0])
    0.5
    >>> chance_error(range(0, 360, 2), period=360)
    89.0
    """
    values = np.asarray(truth, np.float64).ravel()
    values = values[np.isfinite(values)]
    if not values.size:
        msg = "no value of the truth is known, so no answer to it has an error"
        raise ValueError(msg)
    if period is not None and not period > 0:
        msg = f"expected a period above 0, found {period!r}"
        raise ValueError(msg)
    half = (values.size + 1) // 2
    if period is None:
        ordered = np.sort(values)
    else:
        ordered = np.sort(values % period)
        ordered = np.concatenate([ordered, ordered[: half - 1] + period])
    # The shortest stretch with half of the values: its middle is the best answer.
    return float((ordered[half - 1 :] - ordered[: ordered.size - half + 1]).min() / 2)
