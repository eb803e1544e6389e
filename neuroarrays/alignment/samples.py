"""The samples of a series: kept in memory if they are few, else read where they are needed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

import numpy as np
import xarray as xr

from neuroarrays.files.state import cached_property
from neuroarrays.kernels import steps
from neuroarrays.lazy.arrays import LazyArray, cached
from neuroarrays.lazy.computed import RegularClock

if TYPE_CHECKING:  # loads the compiler
    from neuroarrays.kernels.resample import Prepared

#: A stored series of fewer bytes is read whole when its first value is needed.
WHOLE = 256 << 20
#: The most bytes that are read at once of a larger series.
_AT_ONCE = 64 << 20
#: The samples of times that are closer than this many samples are read together.
_APART = 1024
#: Number of stamps at the beginning, middle and end of a clock from which its step is estimated.
_FEW = 1025

#: A function that evaluates prepared samples at times that are given by their numbers.
Evaluate: TypeAlias = "Callable[[Prepared, Any], np.ndarray]"


@dataclass(frozen=True, repr=False, eq=False)
class Samples:
    """Samples on a clock, prepared once for any number of evaluations.

    Attributes
    ----------
    values : LazyArray, ndarray or variable
        Values (time, ...) in any unit.
    clock : LazyArray or (time,) float64, s
        Time stamps on the session clock.
    shifted : bool
        Whether each column is evaluated at its own times.
    every : bool
        Whether missing samples, and all samples at the same time, are kept: see `resample.prepare`.
    """

    values: Any
    clock: Any
    shifted: bool = False
    every: bool = False

    @property
    def n_columns(self) -> int:
        """Number of values per sample."""
        return math.prod(self.values.shape[1:])

    @cached_property
    def step(self) -> float:
        """The usual time from one sample to the next in s; NaN if there are fewer than two samples.

        It comes from the rate, or is the median of the first steps.
        """
        if isinstance(self.clock, RegularClock):
            return 1 / self.clock.rate
        return steps.usual_step(self._first_stamps)

    @cached_property
    def longest_step(self) -> float:
        """The longest step in s that is not a gap: see `kernels.steps`."""
        if isinstance(self.clock, RegularClock):
            return steps.HOLE / self.clock.rate
        size = int(self.clock.shape[0])
        begins = sorted({0, max(0, (size - _FEW) // 2), max(0, size - _FEW)})
        parts = [self._first_stamps, *map(self._few_stamps, begins[1:])]
        longest = [step for part in parts if np.isfinite(step := steps.longest_step(part))]
        return max(longest, default=math.inf)  # the rate may change during a recording

    @property
    def longest_bridge(self) -> float:
        """The default longest gap to interpolate over, in s.

        On a regular clock one lost sample is interpolated over; two are a gap.
        """
        return max(self.longest_step, steps.BRIDGED * self.step)

    @cached_property
    def _first_stamps(self) -> np.ndarray:
        return self._few_stamps(0)

    def _few_stamps(self, begin: int) -> np.ndarray:
        picked = slice(begin, begin + _FEW)
        if isinstance(self.clock, LazyArray):
            return np.asarray(self.clock._raw((picked,)), float)
        return np.asarray(self.clock[picked], float)

    def evaluate(self, begin: np.ndarray, end: np.ndarray, evaluate: Evaluate) -> np.ndarray:
        """Evaluate the samples at some times.

        Parameters
        ----------
        begin, end : (n,) or (n, column) float64, s
            Each value depends on the samples between these times, and on the next finite sample on
            either side.
        evaluate : callable
            ``evaluate(prepared, rows)`` returns the values (m, column) at the times with numbers
            `rows`.

        Returns
        -------
        (n, column) float32 or float64
            Values in the unit of the samples.
        """
        if self._is_held:
            return evaluate(self._prepared(), slice(None))
        if begin.ndim == 2:
            begin, end = begin.min(axis=1), end.max(axis=1)
        out = None
        for rows, first, last in self._pieces(begin, end):
            prepared = self._part(first, last, float(begin[rows].min()), float(end[rows].max()))
            values = evaluate(prepared, rows)
            if out is None:
                out = np.full((begin.size, self.n_columns), np.nan, values.dtype)
            out[rows] = values
        return np.full((begin.size, self.n_columns), np.nan) if out is None else out

    # ------------------------------------------------------------------------------ all samples

    @property
    def _is_held(self) -> bool:
        """Whether all samples are, or will be, in memory; also if they must be sorted."""
        if isinstance(self.values, np.ndarray):
            return True
        size = math.prod(self.values.shape) * self.values.dtype.itemsize
        return size <= WHOLE or not self._in_order

    @cached_property
    def _key(self) -> Any:
        """The cache key of the prepared samples: the source of a stored series."""
        if isinstance(self.values, np.ndarray):
            return uuid4().hex  # without a source, a new key each time
        from dask.base import normalize_token

        tokens = (normalize_token(self.values), normalize_token(self.clock))
        return repr(("series", *tokens, self.shifted, self.every))

    def _prepared(self) -> Prepared:
        return cached(self._key, self._load)

    def _load(self) -> Prepared:
        """All usable samples, in the order of time."""
        from neuroarrays.kernels import resample

        times, values = np.asarray(_all(self.clock), float), np.asarray(_all(self.values))
        if values.dtype.kind != "f" or values.dtype.itemsize < 4:
            values = values.astype(float)
        if not _in_order(times):
            timed = np.isfinite(times)  # a sample without a time is left out
            times, values = times[timed], values[timed]
            order = np.argsort(times, kind="stable")
            times, values = times[order], values[order]
        columns = values.reshape(values.shape[0], self.n_columns)
        return resample.prepare(times, columns, apart=self.shifted, every=self.every)

    # ------------------------------------------------------------------------- some samples

    @cached_property
    def _in_order(self) -> bool:
        if isinstance(self.clock, RegularClock):
            return True
        return _in_order(self._stamps())

    def _stamps(self) -> np.ndarray:
        """All time stamps of a clock that is not regular."""
        if not isinstance(self.clock, LazyArray):
            return np.asarray(self.clock, float)
        clock = self.clock
        return cached(
            ("clock", repr(clock.__dask_tokenize__())),
            lambda: (np.asarray(clock.load(), float),),
        )[0]

    def _numbers(self, times: np.ndarray, side: str) -> np.ndarray:
        """The positions of finite times (s) among the samples; of a regular clock, within two."""
        size = int(self.values.shape[0])
        if isinstance(self.clock, RegularClock):
            start, rate = self.clock.start, self.clock.rate
            number = np.floor((np.clip(times, start, start + size / rate) - start) * rate)
            number += 2 if side == "right" else -2
            return np.asarray(np.clip(number, 0, size), np.int64)
        stamps = self._stamps()
        if side == "left":
            number = np.searchsorted(stamps, times, side="left") - 1
        else:
            number = np.searchsorted(stamps, times, side="right") + 1
        return np.asarray(np.clip(number, 0, size))

    def _pieces(self, begin: np.ndarray, end: np.ndarray) -> Iterator[tuple[np.ndarray, int, int]]:
        """Group the times by the samples they need: numbers of times, first sample and end."""
        known = np.isfinite(begin) & np.isfinite(end)
        rows = np.flatnonzero(known)
        rows = rows[np.argsort(begin[rows], kind="stable")]
        first, last = self._numbers(begin[rows], "left"), self._numbers(end[rows], "right")
        last = np.maximum.accumulate(last) if last.size else last
        new = np.ones(rows.size, bool)
        new[1:] = first[1:] > last[:-1] + _APART
        most = max(1, _AT_ONCE // max(1, self.n_columns * self.values.dtype.itemsize))
        bounds = [*np.flatnonzero(new).tolist(), rows.size]
        for low, high in pairwise(bounds):
            while low < high:
                stop = int(np.searchsorted(last[low:high], first[low] + most, side="right")) + low
                stop = min(max(stop, low + 1), high)
                yield rows[low:stop], int(first[low]), int(last[stop - 1])
                low = stop

    def _part(self, first: int, last: int, begin: float, end: float) -> Prepared:
        """The usable samples of a range, extended to a finite sample on either side of it."""
        from neuroarrays.kernels import resample

        size = int(self.values.shape[0])
        reach = max(2, last - first)
        while True:
            picked = slice(first, last)
            if isinstance(self.clock, RegularClock):
                times = np.asarray(self.clock._raw((picked,)), float)
            else:
                times = self._stamps()[picked]
            values = _rows(self.values, picked)
            if values.dtype.kind != "f" or values.dtype.itemsize < 4:
                values = values.astype(float)
            columns = values.reshape(times.size, self.n_columns)
            finite = np.isfinite(columns)
            before = finite[times <= begin].any(axis=0).all() or first == 0
            after = finite[times >= end].any(axis=0).all() or last == size
            if before and after:
                return resample.prepare(times, columns, apart=self.shifted, every=self.every)
            first = first if before else max(0, first - reach)
            last = last if after else min(size, last + reach)
            reach *= 2


def _in_order(times: np.ndarray) -> bool:
    """Whether time stamps are finite and never decrease."""
    from neuroarrays.kernels import resample

    return resample.is_nondecreasing(times) and bool(np.isfinite([*times[:1], *times[-1:]]).all())


def _all(data: Any) -> np.ndarray:
    return data.load() if isinstance(data, LazyArray) else np.asarray(data)


def _rows(data: Any, picked: slice) -> np.ndarray:
    if isinstance(data, LazyArray):
        return np.asarray(data._raw((picked, *(slice(None),) * (len(data.shape) - 1))))
    part = data[picked]
    return np.asarray(part.values if isinstance(part, xr.Variable) else part)
