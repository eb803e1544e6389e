"""Ordered stretches of time in which a session or a unit was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays.tree.intervals import difference, intersection, merged

#: A bin may extend over an edge by this share of its width, for rounding.
ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Stretches:
    """Stretches of time that are in order and do not touch.

    Attributes
    ----------
    rows : (n, 2) float64, s
        Starts and stops of half-open stretches. A stop is one floating-point number after the last
        datum, so that the datum is within.
    from_data : bool
        Whether the first start and the last stop come from the data, because the file states none.
    """

    rows: np.ndarray
    from_data: bool

    @classmethod
    def of(cls, starts: np.ndarray, stops: np.ndarray, from_data: bool) -> Stretches:
        """Stretches from rows in any order; rows with NaN are padding and are left out."""
        known = np.isfinite(starts) & np.isfinite(stops) & (starts <= stops)
        rows = np.stack([starts[known], np.nextafter(stops[known], np.inf)], axis=1)
        return cls(np.stack(merged(rows), axis=1), from_data)

    @property
    def extent(self) -> tuple[float, float]:
        """First and last time; NaN if there are no stretches."""
        if not len(self.rows):
            return np.nan, np.nan
        return float(self.rows[0, 0]), float(np.nextafter(self.rows[-1, 1], -np.inf))

    @property
    def seconds(self) -> float:
        """Total duration in s, rounded to 1 ns, because stops are moved by their last bit."""
        return round(float((self.rows[:, 1] - self.rows[:, 0]).sum()), 9)

    def without(self, table: Any) -> Stretches:
        """Remove the intervals of a table, in s, from the stretches."""
        if not len(table):
            return self
        return Stretches(np.stack(merged(difference(self.rows, table)), axis=1), self.from_data)

    def within(self, table: Any) -> Stretches:
        """Keep the parts of the stretches that are within the intervals of a table, in s."""
        return Stretches(np.stack(merged(intersection(self.rows, table)), axis=1), self.from_data)

    def covers(self, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Tell which half-open bins are wholly within one stretch.

        Parameters
        ----------
        begin, end : (...,) float64, s
            Edges of the bins. If the stretches are from the data, a bin that holds the first or
            last time of the data is within.

        Returns
        -------
        (...,) bool
        """
        if not len(self.rows):
            return np.zeros(np.shape(begin), bool)
        slack = ROUNDING * (end - begin)
        overlaps = np.ones(np.shape(begin), bool)
        if self.from_data:
            low, high = self.extent
            overlaps = (end > low) & (begin <= high)
            begin, end = np.maximum(begin, low), np.minimum(end, high)
        stretch = np.searchsorted(self.rows[:, 0], begin + slack, side="right") - 1
        within: np.ndarray = (
            overlaps & (stretch >= 0) & (end - slack <= self.rows[np.maximum(stretch, 0), 1])
        )
        return within
