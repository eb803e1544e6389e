"""Masks of trials, and which show the same, computed from the files when they are asked for."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from neuroarrays.files.source import Key
from neuroarrays.lazy.arrays import LazyArray, cached

_ALL = slice(None)
#: Bytes of a trial that tell most that are not blank; of the others all is read, so many at a time.
_GLANCE, _BLOCK = 1 << 16, 1 << 25


@dataclass(frozen=True, repr=False, eq=False)
class Blank(LazyArray):
    """`(trial,)` bool: whether a trial's files hold nothing but zeros, and padding with NaN.

    Attributes
    ----------
    bases : tuple of LazyArray
        `(trial, ...)`; all of them must be blank.
    suspects : (trial,) bool
        Trials to look at; the others are False without a look.
    """

    bases: tuple[LazyArray, ...]
    suspects: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.suspects.shape

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(bool)

    def outer(self, key: Key) -> np.ndarray:
        rows = np.arange(self.shape[0])[key[0]]
        found = np.atleast_1d(self.suspects[rows]).copy()
        for base in self.bases:
            left = np.flatnonzero(found)
            found[left] = _blank(base, np.atleast_1d(rows)[left])
        return found if np.ndim(rows) else np.asarray(found[0])

    __hash__ = None  # type: ignore[assignment]


def _blank(base: LazyArray, rows: np.ndarray) -> np.ndarray:
    """`(rows,)` bool. A glance at the first units or signals, then at all of what that left open."""
    size = base.shape[1]
    each = max(1, math.prod(base.shape[2:]) * base.dtype.itemsize)
    first = min(size, max(1, _GLANCE // each))
    found = np.ones(rows.size, bool)
    for part in (slice(0, first), slice(first, size)):
        left = np.flatnonzero(found)
        some = max(1, _BLOCK // max(1, (part.stop - part.start) * each))
        for begin in range(0, left.size if part.start < part.stop else 0, some):
            those = left[begin : begin + some]
            values = base._raw((rows[those], part)).reshape(those.size, -1)
            other = values != 0
            if values.dtype.kind == "f":
                other &= ~np.isnan(values)
            found[those] = ~other.any(axis=1)
    return found


def _lines(movie: LazyArray, rows: np.ndarray) -> np.ndarray:
    """`(trial, frame)` of the first pixel, unit or signal: one short read per file."""
    middle = (0,) * (len(movie.shape) - 2)
    return movie._raw((rows, *middle, _ALL))


@dataclass(frozen=True, repr=False, eq=False)
class ValidLength(LazyArray):
    """`(trial,)` int64: frames before the padding with NaN, from the first pixel of a movie."""

    movie: LazyArray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.movie.shape[:1]

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.int64)

    def outer(self, key: Key) -> np.ndarray:
        rows = np.arange(self.shape[0])[key[0]]
        if self.movie.dtype.kind != "f":
            found = np.full(np.shape(np.atleast_1d(rows)), self.movie.shape[-1])
        else:
            known = ~np.isnan(_lines(self.movie, np.atleast_1d(rows)))
            found = known.shape[1] - np.argmax(known[:, ::-1], axis=1)
            found[~known.any(axis=1)] = 0
        found = found.astype(np.int64)
        return found if np.ndim(rows) else np.asarray(found[0])


@dataclass(frozen=True, repr=False, eq=False)
class Valid(LazyArray):
    """`(trial, frame)` bool: inside the movie, and no other stream has NaN there.

    A stream that is longer than the movie does not count; responses that are withheld are zeros
    over the whole width, and so do not either.
    """

    length: ValidLength
    streams: tuple[LazyArray, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.length.shape[0], self.length.movie.shape[-1])

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(bool)

    def outer(self, key: Key) -> np.ndarray:
        rows = np.atleast_1d(np.arange(self.shape[0])[key[0]])
        found = np.arange(self.shape[1]) < self.length._raw((rows,))[:, None]
        for stream in self.streams:
            if stream.dtype.kind == "f":
                found &= ~np.isnan(_lines(stream, rows))
        found = found[:, key[1]]
        return found[0] if isinstance(key[0], int) else found


@dataclass(frozen=True, repr=False, eq=False)
class Shown(LazyArray):
    """`(trial,)` int64: the first trial that shows the same, byte for byte.

    A line through the middle tells most apart; those of one line are read whole.

    Attributes
    ----------
    stimulus : LazyArray
        `(trial, ...)` as in the files.
    ids : (trial,) int64
        What each trial is called.
    """

    stimulus: LazyArray
    ids: np.ndarray
    dtype = np.dtype(np.int64)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stimulus.shape[:1]

    def outer(self, key: Key) -> np.ndarray:
        (found,) = cached(self.__dask_tokenize__(), lambda: (self._firsts(),))
        return np.array(found[key[0]])

    def _firsts(self) -> np.ndarray:
        rows = np.arange(self.shape[0])
        middle = tuple(size // 2 for size in self.stimulus.shape[1:-1])
        same = np.unique(_digests(self.stimulus._raw((rows, *middle, _ALL))), return_inverse=True)[
            1
        ]
        alike = np.flatnonzero(np.bincount(same)[same] > 1)
        whole = (_ALL,) * (len(self.stimulus.shape) - 1)
        each = math.prod(self.stimulus.shape[1:]) * self.stimulus.dtype.itemsize
        some = max(1, _BLOCK // max(1, each))
        told = np.full(rows.size, b"", "S32")
        for begin in range(0, alike.size, some):
            those = alike[begin : begin + some]
            told[those] = _digests(self.stimulus._raw((those, *whole)))
        _, first, group = np.unique(
            np.rec.fromarrays([same, told]), return_index=True, return_inverse=True
        )
        return self.ids[first[group]]

    __hash__ = None  # type: ignore[assignment]


def _digests(values: np.ndarray) -> np.ndarray:
    """`(row,)` of 32 letters each, which tell the bytes of rows apart."""
    found = [hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in values]
    return np.array(found, "S32")
