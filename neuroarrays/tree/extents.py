"""The first and last time of a session's data. It is lazy, because it may need all spikes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.files.outer import Key
from neuroarrays.lazy.arrays import FileArray, LazyArray, array_of, cached, exact_token
from neuroarrays.tree.columns import seconds
from neuroarrays.tree.invalid import INVALID_TIMES

#: The most values that are read at once.
_READ_AT_ONCE = 1 << 22
#: A datum this close to an epoch, in s, belongs to it: clocks and tables round differently.
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Part:
    """Times of one kind of data: spikes, a clock, a column of a table.

    Attributes
    ----------
    name : str
        Where the times are in the tree: "adn/spikes", "units/spike_times".
    times : (n,) LazyArray, Variable or ndarray, s
        Times on the session clock.
    ordered : bool
        True for a clock: its first and last stamp are its extent.
    stops : bool
        True for the stops of intervals. Intervals are half-open: a stop is not part of its
        interval.
    """

    name: str
    times: Any
    ordered: bool = False
    stops: bool = False

    @property
    def size(self) -> int:
        """Number of times."""
        return int(self.times.shape[0])

    def read(self, start: int, stop: int) -> np.ndarray:
        """Some of the times, (stop - start,) float64."""
        if isinstance(self.times, LazyArray):
            values = self.times.outer((slice(start, stop, 1),))
        elif isinstance(self.times, xr.Variable):
            # A copy, because a variable keeps the values that were read.
            values = self.times.copy(deep=False)[start:stop].values
        else:
            values = self.times[start:stop]
        return np.asarray(values, np.float64)

    def pieces(self) -> Iterator[np.ndarray]:
        """All finite times, in pieces of bounded size."""
        if isinstance(self.times, FileArray):
            self.times.source.check_scan(self.times.name, self.size * self.times.dtype.itemsize)
        for start in range(0, self.size, _READ_AT_ONCE):
            values = self.read(start, min(start + _READ_AT_ONCE, self.size))
            yield values[np.isfinite(values)]

    def extent(self) -> tuple[float, float]:
        """First and last finite time; NaN if there is none."""
        if self.ordered and self.size:
            first, last = float(self.read(0, 1)[0]), float(self.read(self.size - 1, self.size)[0])
            if np.isfinite([first, last]).all() and first <= last:
                return first, last
        ends = [(piece.min(), piece.max()) for piece in self.pieces() if piece.size]
        if not ends:
            return np.nan, np.nan
        low, high = min(low for low, _ in ends), max(high for _, high in ends)
        return float(low), float(np.nextafter(high, -np.inf) if self.stops else high)

    def any_between(self, begin: np.ndarray, end: np.ndarray) -> bool:
        """Whether any time lies within the stretches, which are in order."""
        for piece in self.pieces():
            stretch = np.searchsorted(begin, piece, side="right") - 1
            if ((stretch >= 0) & (piece < end[np.maximum(stretch, 0)])).any():
                return True
        return False

    def token(self) -> Any:
        """The key of the times in a cache."""
        if isinstance(self.times, LazyArray):
            return (self.times.__dask_tokenize__(), self.ordered, self.stops)
        return (exact_token(np.asarray(self.times)), self.ordered, self.stops)


def parts_of(nodes: Mapping[str, xr.Dataset], spikes: bool = True) -> list[Part]:
    """The times of a session's nodes.

    Parameters
    ----------
    nodes : dict of str to Dataset
        By path below the session; times, ``(time,)`` and the like, in seconds.
    spikes : bool
        Whether to include the spikes.
    """
    parts = []
    for path, node in nodes.items():
        if spikes and schema.ROW_SIZE in node and schema.SPIKE_TIMES in node.variables:
            parts.append(Part(path, _times(node, schema.SPIKE_TIMES)))
        clock = node.variables.get(schema.TIME)
        if clock is not None and clock.dims == (schema.TIME,):
            parts.append(Part(path, _times(node, schema.TIME), ordered=True))
        if schema.EVENT_TIME in node.variables and node.variables[schema.EVENT_TIME].ndim == 1:
            parts.append(Part(path, _times(node, schema.EVENT_TIME)))
        if schema.PRESENTATION in node.dims and path.rpartition("/")[2] != INVALID_TIMES:
            parts += [
                Part(f"{path}/{name}", _times(node, name), stops=name == schema.STOP_TIME)
                for name in (schema.START_TIME, schema.STOP_TIME)
                if name in node.variables and node.variables[name].ndim == 1
            ]
    return [part for part in parts if part.size and part.times.dtype.kind in "iuf"]


def _times(node: xr.Dataset, name: str) -> Any:
    """The times as a lazy array or numpy array; the variable itself if its data are neither."""
    variable = node.variables[name]
    data = array_of(variable)
    if isinstance(data, LazyArray):
        return data
    if variable.dtype.kind in "mMO":
        return seconds(variable, name)
    return data if isinstance(data, np.ndarray) else variable


def hull(parts: Sequence[Part]) -> tuple[float, float]:
    """First and last time of all parts; NaN if there is none."""
    ends = [end for end in (part.extent() for part in parts) if np.isfinite(end[0])]
    if not ends:
        return np.nan, np.nan
    return min(low for low, _ in ends), max(high for _, high in ends)


@dataclass(frozen=True, repr=False, eq=False)
class LazyStretches(LazyArray):
    """Starts or stops, (n,) in s, of the recorded time; computed when they are first read.

    Attributes
    ----------
    parts : tuple of Part
        The data of the session.
    rows : pair of (n,) arrays or LazyArrays, s
        Starts and stops that the file states. If it states none, there is one stretch from the
        first to the last datum.
    column : {0, 1}
        Starts or stops.
    apart : bool
        False for epochs of a session, in any order. They are joined to one stretch if a datum lies
        between them. True for the observed intervals of units. They stay as they are, and the
        extent of `parts` is one more stretch.
    """

    parts: tuple[Part, ...]
    rows: tuple[Any, Any]
    column: int
    apart: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        n_rows = int(self.rows[0].shape[0])
        return (n_rows + 1 if self.apart else max(n_rows, 1),)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype("f8")

    def outer(self, key: Key) -> np.ndarray:
        (positions,) = key
        (rows,) = cached(("observed", self._token()), lambda: (self._computed(),))
        ends: np.ndarray = rows[:, self.column][positions]
        return ends

    def stated_rows(self) -> np.ndarray:
        """The rows that the file states, (n, 2) float64, s."""
        columns = [
            column.load() if isinstance(column, LazyArray) else column for column in self.rows
        ]
        return np.stack(columns, axis=1).astype(np.float64)

    def _computed(self) -> np.ndarray:
        """Starts and stops of the recorded time, (n, 2) float64, s."""
        rows = self.stated_rows()
        low, high = hull(self.parts)
        if self.apart or not len(rows):
            return np.concatenate([rows, [[low, high]]])
        if not (np.isfinite(rows).all() and (rows[:, 0] <= rows[:, 1]).all()):
            rows[:] = np.nan  # These are no epochs. One row covers everything, the others nothing.
            rows[0] = low, high
            return rows
        rows = rows[np.argsort(rows[:, 0], kind="stable")]
        has_length = rows[:, 1] > rows[:, 0]  # Tables are half-open; here a stop is within.
        rows[has_length, 1] = np.nextafter(rows[has_length, 1], -np.inf)
        reach = np.maximum.accumulate(rows[:, 1])
        if np.isfinite(low):
            rows[0, 0] = min(low, rows[0, 0])
            rows[-1, 1] = max(high, reach[-1])
        gap = rows[1:, 0] - reach[:-1] > 2 * _ROUNDING
        begin, end = reach[:-1][gap] + _ROUNDING, rows[1:, 0][gap] - _ROUNDING
        if begin.size and any(part.any_between(begin, end) for part in self.parts):
            rows[:-1, 1] = np.maximum(rows[:-1, 1], rows[1:, 0])
        return rows

    def _token(self) -> Any:
        columns = [
            column.__dask_tokenize__() if isinstance(column, LazyArray) else exact_token(column)
            for column in self.rows
        ]
        return [part.token() for part in self.parts], columns, self.apart

    def depends(self) -> tuple[object, ...]:
        return self._token(), self.column
