"""Stretches of time in order and apart: what a session or a unit was recorded in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays.tree.intervals import difference, intersection, merged

#: Share of a bin by which rounding may put it over an edge.
ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Stretches:
    """Stretches of time, in order and apart.

    Attributes
    ----------
    rows : (n, 2) float64, s
        Half-open: a datum at the last moment of the recording lies within.
    from_data : bool
        Whether the first and the last moment are those of the data, since no file states them.
    """

    rows: np.ndarray
    from_data: bool

    @classmethod
    def of(cls, starts: np.ndarray, stops: np.ndarray, from_data: bool) -> Stretches:
        """Stretches from rows in any order; rows with NaN are padding and left out."""
        known = np.isfinite(starts) & np.isfinite(stops) & (starts <= stops)
        rows = np.stack([starts[known], np.nextafter(stops[known], np.inf)], axis=1)
        return cls(np.stack(merged(rows), axis=1), from_data)

    @property
    def extent(self) -> tuple[float, float]:
        """First and last moment; NaN without any."""
        if not len(self.rows):
            return np.nan, np.nan
        return float(self.rows[0, 0]), float(np.nextafter(self.rows[-1, 1], -np.inf))

    @property
    def seconds(self) -> float:
        """Total duration, rounded to the nanosecond, as stops are moved by their last bit."""
        return round(float((self.rows[:, 1] - self.rows[:, 0]).sum()), 9)

    def without(self, table: Any) -> Stretches:
        """The stretches without the time of some intervals."""
        if not len(table):
            return self
        return Stretches(np.stack(merged(difference(self.rows, table)), axis=1), self.from_data)

    def within(self, table: Any) -> Stretches:
        """The part of the stretches within some intervals."""
        return Stretches(np.stack(merged(intersection(self.rows, table)), axis=1), self.from_data)

    def hold(self, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Whether half-open bins lie wholly within one of them.

        Where the ends are found, a bin that holds the first or last moment does.
        """
        if not len(self.rows):
            return np.zeros(np.shape(begin), bool)
        slack = ROUNDING * (end - begin)
        some = np.ones(np.shape(begin), bool)
        if self.from_data:
            low, high = self.extent
            some = (end > low) & (begin <= high)
            begin, end = np.maximum(begin, low), np.minimum(end, high)
        stretch = np.searchsorted(self.rows[:, 0], begin + slack, side="right") - 1
        within: np.ndarray = (
            some & (stretch >= 0) & (end - slack <= self.rows[np.maximum(stretch, 0), 1])
        )
        return within
