"""Mean and variance of values that arrive in parts."""

from __future__ import annotations

import numpy as np


class Moments:
    """Number, mean and sum of squares of values along the first axis, without missing ones.

    Attributes
    ----------
    n : array of int
        Number of values, in the shape of one row.
    mean, squares : float64 arrays of that shape
        The mean in the unit of the values (0 without values), and the sum of squared distances from
        it, in the squared unit.
    """

    def __init__(self, shape: tuple[int, ...]):
        self.n = np.zeros(shape, np.int64)
        self.mean, self.squares = np.zeros(shape), np.zeros(shape)

    def add(self, values: np.ndarray, known: np.ndarray) -> None:
        """Add values (row, ...) in any unit where `known` (row, ...), bool, is True.

        Notes
        -----
        Chan, Golub & LeVeque 1983, Am. Stat. 37:242: combining two sets.
        """
        count = known.sum(axis=0)
        mean = np.where(known, values, 0).sum(axis=0) / np.maximum(count, 1)
        off = np.where(known, values - mean, 0)
        both = np.maximum(self.n + count, 1)
        shift = mean - self.mean
        self.squares += (off**2).sum(axis=0) + shift**2 * self.n * count / both
        self.mean += shift * count / both
        self.n += count
