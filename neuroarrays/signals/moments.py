"""Mean and variance of values that come a part at a time."""

from __future__ import annotations

import numpy as np


class Moments:
    """Number, mean and sum of squares of values along a first axis, of which some are missing.

    Attributes
    ----------
    n : array of int
        How many values there were, of the shape of one row.
    mean, squares : float64 arrays of that shape
        Their mean, in their unit (0 where there were none), and the sum of the squares of their
        distances from it, in its square.
    """

    def __init__(self, shape: tuple[int, ...]):
        self.n = np.zeros(shape, np.int64)
        self.mean, self.squares = np.zeros(shape), np.zeros(shape)

    def add(self, values: np.ndarray, known: np.ndarray) -> None:
        """Add values (row, ...) in any unit where they are `known` (row, ...), bool.

        Notes
        -----
        Chan, Golub & LeVeque 1983, Am. Stat. 37:242: two sets put together.
        """
        count = known.sum(axis=0)
        mean = np.where(known, values, 0).sum(axis=0) / np.maximum(count, 1)
        off = np.where(known, values - mean, 0)
        both = np.maximum(self.n + count, 1)
        shift = mean - self.mean
        self.squares += (off**2).sum(axis=0) + shift**2 * self.n * count / both
        self.mean += shift * count / both
        self.n += count
