"""Transform signals by a kernel of limited length, with an overlap around what is indexed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from neuroarrays.files import outer
from neuroarrays.files.outer import Key
from neuroarrays.lazy.arrays import LazyArray

#: At most this many times the overlap, or this many samples, are transformed at once.
_TIMES, _LEAST = 24, 1 << 15
#: The most bytes of float64 that are transformed at once; columns are taken a few at a time.
_AT_ONCE = 24 << 20


class Kernel(Protocol):
    """A transformation of a stretch of samples; implement it as a frozen dataclass.

    Attributes
    ----------
    before, after : int
        Number of samples before and after a sample on which its value depends, to the stated
        tolerance.
    settling : (int, int)
        Number of samples that are not known after the beginning of a stretch, and before its end.
    least : int
        The shortest stretch of samples that can be transformed.
    """

    @property
    def before(self) -> int: ...
    @property
    def after(self) -> int: ...
    @property
    def settling(self) -> tuple[int, int]: ...
    @property
    def least(self) -> int: ...

    def apply(self, samples: np.ndarray) -> np.ndarray:
        """Transform (column, sample) float64 of one stretch; return the same shape."""


@dataclass(frozen=True, repr=False, eq=False)
class Overlapped(LazyArray):
    """A transformed signal that reads only the samples it needs and does not cross gaps.

    A missing sample (NaN) ends a stretch of its column, as a gap in the clock does for all columns.

    Attributes
    ----------
    base : LazyArray
        Samples (time, ...) in any unit.
    kernel : Kernel
        The transformation.
    stretches : (n, 2) int64
        The first sample of each stretch of the clock, and the sample after its last.
    dtype : np.dtype
        Dtype of the result.
    """

    base: LazyArray
    kernel: Kernel
    stretches: np.ndarray
    dtype: np.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape

    def outer(self, key: Key) -> np.ndarray:
        rows = outer.positions(key[0])
        rest = tuple(slice(k, k + 1) if isinstance(k, int) else k for k in key[1:])
        shape = outer.result_shape(rest, self.shape[1:])
        out = np.full((rows.size, *shape), np.nan, self.dtype)
        flat = out.reshape(rows.size, math.prod(shape))
        for numbers, stretch, window in self._windows(rows):
            self._fill(flat, rows, numbers, stretch, window, rest)
        return outer.take(out, (*outer.dropping_ints(key[:1]), *outer.dropping_ints(key[1:])))

    def _windows(
        self, rows: np.ndarray
    ) -> Iterator[tuple[np.ndarray, tuple[int, int], tuple[int, int]]]:
        """Group the rows to transform together: their numbers, stretch, first and last row + 1."""
        overlap = self.kernel.before + self.kernel.after
        most = max(_LEAST, _TIMES * overlap)
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        apart = np.flatnonzero(np.diff(ordered) > overlap + 1) + 1  # is read separately
        for begin, end in self.stretches.tolist():
            low, high = np.searchsorted(ordered, [begin, end])
            inner = apart[np.searchsorted(apart, low, "right") : np.searchsorted(apart, high)]
            for first, last in pairwise([low, *inner.tolist(), high]):
                while first < last:
                    stop = np.searchsorted(ordered[first:last], ordered[first] + most) + first
                    window = (int(ordered[first]), int(ordered[stop - 1]) + 1)
                    yield order[first:stop], (begin, end), window
                    first = stop

    def _fill(
        self,
        out: np.ndarray,
        rows: np.ndarray,
        numbers: np.ndarray,
        stretch: tuple[int, int],
        window: tuple[int, int],
        rest: Key,
    ) -> None:
        """Transform one window, some columns at a time."""
        first = max(stretch[0], window[0] - max(self.kernel.before, self.kernel.least))
        last = min(stretch[1], window[1] + max(self.kernel.after, self.kernel.least))
        read = self.base.outer((slice(first, last), *rest))
        columns = np.asarray(read).reshape(last - first, -1)
        ends = (first == stretch[0], last == stretch[1])
        wanted = rows[numbers] - first
        some = max(1, _AT_ONCE // (8 * max(1, last - first)))
        for low in range(0, columns.shape[1], some):
            part = np.array(columns[:, low : low + some].T, np.float64, order="C")
            out[numbers, low : low + some] = self._transformed(part, ends)[:, wanted].T

    def _transformed(self, samples: np.ndarray, ends: tuple[bool, bool]) -> np.ndarray:
        """Transform each run of known samples (column, sample); NaN where not settled."""
        known = np.isfinite(samples)
        whole = known.all(axis=1)
        if whole.all():
            return self._run(samples, ends)
        out = np.full(samples.shape, np.nan)
        if whole.any():
            out[whole] = self._run(samples[whole], ends)
        size = samples.shape[1]
        for column in np.flatnonzero(~whole):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], known[column], [0]])))
            for begin, end in edges.reshape(-1, 2):
                inner = (begin > 0 or ends[0], end < size or ends[1])
                out[column, begin:end] = self._run(samples[column : column + 1, begin:end], inner)[
                    0
                ]
        return out

    def _run(self, samples: np.ndarray, ends: tuple[bool, bool]) -> np.ndarray:
        """Transform samples without a gap; `ends` tells on which sides their stretch ends."""
        size = samples.shape[1]
        if size < self.kernel.least:
            return np.full(samples.shape, np.nan)
        out = self.kernel.apply(samples)
        before, after = self.kernel.settling
        if ends[0]:
            out[:, :before] = np.nan
        if ends[1] and after:
            out[:, max(0, size - after) :] = np.nan
        return out
