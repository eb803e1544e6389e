"""Means and variances of values that arrive in parts.

Two sets are put together by their means and squared distances from these, so that no digits are lost
where the mean is large (Chan, Golub & LeVeque 1983, Am. Stat. 37:242).
"""

from __future__ import annotations

from typing import Any

import numpy as np


class Moments:
    """Number, mean and sum of squared distances from the mean, of values that arrive in parts.

    Parameters
    ----------
    shape : tuple of int
        Shape of a row; () grows to the shape of the first part.

    Attributes
    ----------
    n : (...) int64
        Number of values.
    mean : (...) float64
        Mean in the unit of the values; 0 without values.
    squares : (...) float64
        Sum of the squared distances from the mean, in the squared unit.
    """

    def __init__(self, shape: tuple[int, ...]):
        self.n = np.zeros(shape, np.int64)
        self.mean, self.squares = np.zeros(shape), np.zeros(shape)

    def add(self, values: np.ndarray, known: np.ndarray) -> None:
        """Add values (row, ...) in any unit where `known` (row, ...), bool, is True.

        With an infinite value among them, mean and squares are NaN.
        """
        n = known.sum(axis=0)
        with np.errstate(invalid="ignore"):
            mean = np.where(known, values, 0).sum(axis=0, dtype=np.float64) / np.maximum(n, 1)
            away = np.where(known, values - mean, 0)
            # The mean was rounded; the sum of the distances from it corrects this.
            left = away.sum(axis=0) / np.maximum(n, 1)
            self.merge(n, mean + left, (away**2).sum(axis=0) - n * left**2)

    def merge(self, n: Any, mean: Any, squares: Any) -> None:
        """Put another part's number, mean and sum of squares to these; no NaN where `n` is 0."""
        both = self.n + n
        apart, share = mean - self.mean, n / np.maximum(both, 1)
        self.squares = self.squares + squares + apart**2 * self.n * share
        self.mean, self.n = self.mean + apart * share, both

    def deviation(self, ddof: int) -> np.ndarray:
        """The standard deviation (...) in the unit of the values: 0 of fewer than two."""
        return np.asarray(np.sqrt(self.squares / np.maximum(self.n - ddof, 1)))
