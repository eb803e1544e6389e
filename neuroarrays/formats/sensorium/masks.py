"""Masks of trials, and which show the same, computed from the files when they are asked for."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from neuroarrays.lazy.arrays import LazyArray, cached, exact_token
from neuroarrays.lazy.computed import Computed

_ALL = slice(None)
#: Bytes of a trial that tell most that are not blank; of the others all is read, so many at a time.
_GLANCE, _BLOCK = 1 << 16, 1 << 25


def blank(bases: tuple[LazyArray, ...], suspects: np.ndarray) -> LazyArray:
    """`(trial,)` bool: whether a trial's files hold nothing but zeros, and padding with NaN.

    Parameters
    ----------
    bases : tuple of (trial, ...) LazyArray
        In any unit; all of them must be blank.
    suspects : (trial,) bool
        Trials to look at; the others are False without a look.
    """
    return Computed(_blanks, suspects.shape, np.dtype(bool), (bases, suspects))


def _blanks(rows: np.ndarray, bases: tuple[LazyArray, ...], suspects: np.ndarray) -> np.ndarray:
    still: np.ndarray = suspects[rows]
    for base in bases:
        left = np.flatnonzero(still)
        still[left] = _blank(base, rows[left])
    return still


def _blank(base: LazyArray, rows: np.ndarray) -> np.ndarray:
    """`(rows,)` bool. Looks at the first units or signals, then at all of those rows that may still be blank."""
    size = base.shape[1]
    each = max(1, math.prod(base.shape[2:]) * base.dtype.itemsize)
    first = min(size, max(1, _GLANCE // each))
    all_zero = np.ones(rows.size, bool)
    for part in (slice(0, first), slice(first, size)):
        left = np.flatnonzero(all_zero)
        some = max(1, _BLOCK // max(1, (part.stop - part.start) * each))
        for begin in range(0, left.size if part.start < part.stop else 0, some):
            those = left[begin : begin + some]
            values = base._raw((rows[those], part)).reshape(those.size, -1)
            other = values != 0
            if values.dtype.kind == "f":
                other &= ~np.isnan(values)
            all_zero[those] = ~other.any(axis=1)
    return all_zero


def _lines(movie: LazyArray, rows: np.ndarray) -> np.ndarray:
    """`(trial, frame)` of the first pixel, unit or signal: one short read per file."""
    middle = (0,) * (len(movie.shape) - 2)
    return movie._raw((rows, *middle, _ALL))


def valid_length(movie: LazyArray) -> LazyArray:
    """`(trial,)` int64: frames before the padding with NaN, from the first pixel of a movie."""
    return Computed(_lengths, movie.shape[:1], np.dtype(np.int64), (movie,))


def _lengths(rows: np.ndarray, movie: LazyArray) -> np.ndarray:
    if movie.dtype.kind != "f":
        return np.full(rows.shape, movie.shape[-1], np.int64)
    known = ~np.isnan(_lines(movie, rows))
    lengths: np.ndarray = known.shape[1] - np.argmax(known[:, ::-1], axis=1)
    lengths[~known.any(axis=1)] = 0
    return lengths


def valid(movie: LazyArray, streams: tuple[LazyArray, ...]) -> LazyArray:
    """`(trial, frame)` bool: inside the movie, and no other stream has NaN there.

    A stream that is longer than the movie does not count; responses that are withheld are zeros
    over the whole width, and so do not either.
    """
    shape = (movie.shape[0], movie.shape[-1])
    return Computed(_valid, shape, np.dtype(bool), (movie, streams))


def _valid(
    rows: np.ndarray, frames: np.ndarray, movie: LazyArray, streams: tuple[LazyArray, ...]
) -> np.ndarray:
    inside = np.arange(movie.shape[-1]) < _lengths(rows, movie)[:, None]
    for stream in streams:
        if stream.dtype.kind == "f":
            inside &= ~np.isnan(_lines(stream, rows))
    return np.asarray(inside[:, frames])


def same_as(stimulus: LazyArray, ids: np.ndarray) -> LazyArray:
    """`(trial,)` int64: the first trial that shows the same, byte for byte.

    A line through the middle tells most apart; those of one line are read whole.

    Parameters
    ----------
    stimulus : (trial, ...) LazyArray
        Grey levels, as in the files.
    ids : (trial,) int64
        What each trial is called.
    """
    return Computed(_first_alike, stimulus.shape[:1], np.dtype(np.int64), (stimulus, ids))


def _first_alike(rows: np.ndarray, stimulus: LazyArray, ids: np.ndarray) -> np.ndarray:
    token = ("first of the same", exact_token((stimulus, ids)))
    (firsts,) = cached(token, lambda: (_firsts(stimulus, ids),))
    return np.asarray(firsts[rows])


def _firsts(stimulus: LazyArray, ids: np.ndarray) -> np.ndarray:
    rows = np.arange(stimulus.shape[0])
    middle = tuple(size // 2 for size in stimulus.shape[1:-1])
    lines = _digests(stimulus._raw((rows, *middle, _ALL)))
    same = np.unique(lines, return_inverse=True)[1]
    alike = np.flatnonzero(np.bincount(same)[same] > 1)
    whole = (_ALL,) * (len(stimulus.shape) - 1)
    each = math.prod(stimulus.shape[1:]) * stimulus.dtype.itemsize
    some = max(1, _BLOCK // max(1, each))
    digests = np.full(rows.size, b"", "S32")
    for begin in range(0, alike.size, some):
        those = alike[begin : begin + some]
        digests[those] = _digests(stimulus._raw((those, *whole)))
    _, first, group = np.unique(
        np.rec.fromarrays([same, digests]), return_index=True, return_inverse=True
    )
    return ids[first[group]]


def _digests(values: np.ndarray) -> np.ndarray:
    """`(row,)` hashes of the bytes of rows, 32 letters each."""
    digests = [hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in values]
    return np.array(digests, "S32")
