"""Bins of equal width, relative to the onset of each presentation or on the session clock.

`neuroarrays.alignment.spikes` counts spikes in bins; `neuroarrays.kernels.grid` defines the exact
edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import option
from neuroarrays.files.state import cached_property
from neuroarrays.tree.columns import duration, seconds

#: The least number of float64 values from one edge of a bin to the next.
_EDGES = 100


@dataclass(frozen=True, eq=False)
class Bins:
    """A number (`count`) of half-open bins from `start` on.

    Parameters
    ----------
    start : float, s
        First edge: relative to onset, or on the session clock if there are no `onsets`.
    count : int
        Number of bins.
    width : float, s
        Width of a bin.
    onsets : (presentation_id,) float64, s, optional
        Onsets on the session clock.
    stops : (presentation_id,) float64, s, optional
        Stops of the presentations; NaN if unknown. Spikes at or after a stop are not counted.
    event : str, optional
        The column of the onsets, if it is not that of the starts: "go_cue_time".
    """

    start: float
    count: int
    width: float
    onsets: np.ndarray | None = None
    stops: np.ndarray | None = None
    event: str | None = None

    @classmethod
    def within(
        cls,
        window: tuple[float, float],
        width: float,
        onsets: np.ndarray | None = None,
        stops: np.ndarray | None = None,
        event: str | None = None,
    ) -> Bins:
        """The bins that cover a window in seconds, relative to onsets or on the session clock.

        Raises
        ------
        ValueError
            If a bin is longer than the window; mostly because milliseconds were given.
        """
        from neuroarrays.kernels import grid

        begin, end = window
        _check_resolution(begin, end, width)
        if width > (end - begin) * (1 + 1e-9):
            msg = (
                f"bin_width: a bin of {width:g} s is longer than the window of {end - begin:g} s; "
                "bin_width is in seconds, 0.02 for 20 ms"
            )
            raise ValueError(msg)
        furthest = max(abs(begin), abs(end))
        count = grid.bins_to_cover(end - begin, width, furthest)
        return cls(begin, count, width, onsets, stops, event)

    @classmethod
    def covering(cls, low: float, high: float, width: float) -> Bins:
        """The bins on the grid of time 0 that hold the times `low` to `high` (s), both included.

        Raises
        ------
        ValueError
            If float64 numbers of this size cannot tell one bin from the next.
        """
        from neuroarrays.kernels import grid

        _check_resolution(low, high, width)
        rate = grid.bin_rate(width)
        first = int(np.floor(low * rate if rate else low / width))
        while grid.bin_edges(0.0, 0, width, first)[0] > low:
            first -= 1
        origin = float(grid.bin_edges(0.0, 0, width, first)[0])
        count = grid.bins_to_cover(high - origin, width)
        while grid.bin_edges(origin, count, width)[-1] <= high:
            count += 1
        return cls(origin, count, width)

    @property
    def dims(self) -> tuple[str, ...]:
        """The dimensions ``(presentation_id, time)`` or ``(time,)``."""
        return (schema.TIME,) if self.onsets is None else (schema.PRESENTATION, schema.TIME)

    @cached_property
    def centres(self) -> np.ndarray:
        """Centres (time,) float64 in s, relative to onset or on the session clock."""
        from neuroarrays.kernels import grid

        return grid.bin_centres(self.start, self.count, self.width)

    @cached_property
    def edges(self) -> np.ndarray:
        """Edges (..., time + 1) float64, s, session clock; a row for each presentation."""
        from neuroarrays.kernels import grid

        return grid.bin_edges(self._origins, self.count, self.width)

    @cached_property
    def middles(self) -> np.ndarray:
        """Centres (..., time) float64 in s on the session clock, from the same grid as `edges`."""
        from neuroarrays.kernels import grid

        return grid.bin_centres(self._origins, self.count, self.width)

    @property
    def _origins(self) -> float | np.ndarray:
        return self.start if self.onsets is None else self.onsets + self.start

    @property
    def limits(self) -> np.ndarray:
        """The stops (presentation_id,) float64 in s, infinite where unknown."""
        if self.stops is None:
            return np.full(0 if self.onsets is None else self.onsets.size, np.inf)
        return np.where(np.isnan(self.stops), np.inf, self.stops)

    @property
    def axis(self) -> xr.Variable:
        """The centres as the coordinate `time`; an attribute names any other reference."""
        attrs = {"units": "s", "long_name": "bin centre", "bin_width": self.width}
        attrs |= {"event": self.event} if self.event else {}
        return xr.Variable(schema.TIME, self.centres, attrs)

    def whole(self) -> np.ndarray | None:
        """The bins that end before their presentation, (presentation_id, time) bool.

        None on a session clock, where all bins are whole. A bin may end a millionth of its width
        after the stop, for rounding.
        """
        if self.onsets is None:
            return None
        ends = self.edges[:, 1:] - self.width * 1e-6
        whole: np.ndarray = (ends <= self.limits[:, None]) & np.isfinite(self.onsets)[:, None]
        return whole


def _check_resolution(low: float, high: float, width: float) -> None:
    """Refuse times that are so large that float64 has no numbers between the edges of a bin."""
    step = float(np.spacing(max(abs(low), abs(high))))
    if step * _EDGES > width:
        msg = (
            f"times from {low:g} to {high:g} s: float64 resolves such numbers to {step:.2g} s "
            "only, and bins "
            f"are {width:g} s wide. Expected times in seconds: multiply nanoseconds by 1e-9 "
            "(scale = 1e-9 in a mapping), and subtract the first value of a clock that starts "
            "far from 0"
        )
        raise ValueError(msg)


def check_bin_width(bin_width: float) -> float:
    """A positive, finite bin width in seconds.

    Raises
    ------
    ValueError
        Says what was given, and that seconds are expected.
    """
    return duration(bin_width, "bin_width", ", e.g. 0.02 for 20 ms")


def check_window(window: Sequence[float]) -> tuple[float, float]:
    """A window (start, stop) in seconds, start before stop.

    Raises
    ------
    ValueError
        Says what was given.
    """
    try:
        start, stop = (float(seconds(edge, "window")) for edge in window)
    except (TypeError, ValueError):
        start, stop = np.nan, np.nan
    if not (np.isfinite(start) and np.isfinite(stop) and start < stop):
        msg = f"{option('window', window)}: expected (start, stop) in seconds with start < stop"
        raise ValueError(msg)
    return start, stop


def longest_duration(starts: np.ndarray, stops: np.ndarray | None) -> float:
    """Duration of the longest presentation.

    Parameters
    ----------
    starts, stops : (presentation_id,) float64, s
        NaN where one is not known.

    Returns
    -------
    float, s

    Raises
    ------
    ValueError
        If no presentation has a stop; a window must be given then.
    """
    if not np.size(starts):
        msg = "there are no presentations: the table, or what was chosen of it, has no rows"
        raise ValueError(msg)
    durations = np.empty(0) if stops is None else stops - starts
    durations = durations[np.isfinite(durations)]
    if durations.size == 0:
        msg = (
            "no presentation has a stop time, so their durations are not known: give "
            f"{option('window', (0, 0.5))}, in seconds relative to each onset"
        )
        raise ValueError(msg)
    if durations.max() <= 0:
        msg = (
            f"the longest presentation lasts {durations.max()} s; give {option('window', (0, 0.5))}"
        )
        raise ValueError(msg)
    return float(durations.max())
