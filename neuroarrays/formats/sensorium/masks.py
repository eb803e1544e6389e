"""Masks of trials, and labels of equal stimuli, which are computed from the files when they are read."""

from __future__ import annotations

import hashlib
import math

import numpy as np

from neuroarrays.lazy.arrays import LazyArray, cached, exact_token
from neuroarrays.lazy.computed import Computed

_ALL = slice(None)
#: Bytes of a trial that are read first, which suffices for most trials that are not blank; bytes that
#: are read together of the other trials.
_GLANCE, _BLOCK = 1 << 16, 1 << 25


def blank(bases: tuple[LazyArray, ...], suspects: np.ndarray) -> LazyArray:
    """Return whether the files of each trial have only zeros, and padding with NaN: (trial,) bool.

    Parameters
    ----------
    bases : tuple of (trial, ...) LazyArray
        Values in any unit; a trial is blank if all arrays are.
    suspects : (trial,) bool
        Trials that are read; the others are False.
    """
    return Computed(_blanks, suspects.shape, np.dtype(bool), (bases, suspects))


def _blanks(rows: np.ndarray, bases: tuple[LazyArray, ...], suspects: np.ndarray) -> np.ndarray:
    """Compute `blank` for some rows."""
    may_be_blank: np.ndarray = suspects[rows]
    for base in bases:
        unread = np.flatnonzero(may_be_blank)
        may_be_blank[unread] = _is_blank(base, rows[unread])
    return may_be_blank


def _is_blank(base: LazyArray, rows: np.ndarray) -> np.ndarray:
    """Return whether rows of an array are blank, (n,) bool.

    The first units or signals of all rows are read, then the rest of the rows that may be blank.
    """
    size = base.shape[1]
    unit_bytes = max(1, math.prod(base.shape[2:]) * base.dtype.itemsize)
    first = min(size, max(1, _GLANCE // unit_bytes))
    all_zero = np.ones(rows.size, bool)
    for part in (slice(0, first), slice(first, size)):
        if part.start == part.stop:
            continue
        candidates = np.flatnonzero(all_zero)
        step = max(1, _BLOCK // ((part.stop - part.start) * unit_bytes))
        for begin in range(0, candidates.size, step):
            block = candidates[begin : begin + step]
            values = base._raw((rows[block], part)).reshape(block.size, -1)
            is_value = values != 0
            if values.dtype.kind == "f":
                is_value &= ~np.isnan(values)
            all_zero[block] = ~is_value.any(axis=1)
    return all_zero


def _first_pixels(movie: LazyArray, rows: np.ndarray) -> np.ndarray:
    """Read the first pixel, unit or signal in each frame: (trial, frame), one short read per file."""
    first = (0,) * (len(movie.shape) - 2)
    return movie._raw((rows, *first, _ALL))


def valid_length(movie: LazyArray) -> LazyArray:
    """Return the number of frames before the padding with NaN, by the first pixel: (trial,) int64."""
    return Computed(_lengths, movie.shape[:1], np.dtype(np.int64), (movie,))


def _lengths(rows: np.ndarray, movie: LazyArray) -> np.ndarray:
    """Compute `valid_length` for some rows."""
    if movie.dtype.kind != "f":
        return np.full(rows.shape, movie.shape[-1], np.int64)
    known = ~np.isnan(_first_pixels(movie, rows))
    lengths: np.ndarray = known.shape[1] - np.argmax(known[:, ::-1], axis=1)
    lengths[~known.any(axis=1)] = 0
    return lengths


def valid(movie: LazyArray, streams: tuple[LazyArray, ...]) -> LazyArray:
    """Return which frames are inside the movie and not NaN in another stream: (trial, frame) bool.

    Withheld responses are zeros in all frames, so they make no frame invalid.
    """
    shape = (movie.shape[0], movie.shape[-1])
    return Computed(_valid, shape, np.dtype(bool), (movie, streams))


def _valid(
    rows: np.ndarray, frames: np.ndarray, movie: LazyArray, streams: tuple[LazyArray, ...]
) -> np.ndarray:
    """Compute `valid` for some rows and frames."""
    inside = np.arange(movie.shape[-1]) < _lengths(rows, movie)[:, None]
    for stream in streams:
        if stream.dtype.kind == "f":
            inside &= ~np.isnan(_first_pixels(stream, rows))
    return np.asarray(inside[:, frames])


def same_as(stimulus: LazyArray, ids: np.ndarray) -> LazyArray:
    """Return the id of the first trial with the same stimulus, byte for byte: (trial,) int64.

    A line through the middle distinguishes most stimuli; those with equal lines are read whole.

    Parameters
    ----------
    stimulus : (trial, ...) LazyArray
        Grey levels, as in the files.
    ids : (trial,) int64
        Id of each trial.
    """
    return Computed(_first_alike, stimulus.shape[:1], np.dtype(np.int64), (stimulus, ids))


def _first_alike(rows: np.ndarray, stimulus: LazyArray, ids: np.ndarray) -> np.ndarray:
    """Compute `same_as` for some rows; the answer for all rows is computed once."""
    token = ("first of the same", exact_token((stimulus, ids)))
    (firsts,) = cached(token, lambda: (_firsts(stimulus, ids),))
    return np.asarray(firsts[rows])


def _firsts(stimulus: LazyArray, ids: np.ndarray) -> np.ndarray:
    """Compute `same_as` for all rows."""
    rows = np.arange(stimulus.shape[0])
    middle = tuple(size // 2 for size in stimulus.shape[1:-1])
    lines = _digests(stimulus._raw((rows, *middle, _ALL)))
    line_number = np.unique(lines, return_inverse=True)[1]
    alike = np.flatnonzero(np.bincount(line_number)[line_number] > 1)
    whole = (_ALL,) * (len(stimulus.shape) - 1)
    trial_bytes = math.prod(stimulus.shape[1:]) * stimulus.dtype.itemsize
    step = max(1, _BLOCK // max(1, trial_bytes))
    digests = np.full(rows.size, b"", "S32")
    for begin in range(0, alike.size, step):
        block = alike[begin : begin + step]
        digests[block] = _digests(stimulus._raw((block, *whole)))
    _, first, group = np.unique(
        np.rec.fromarrays([line_number, digests]), return_index=True, return_inverse=True
    )
    return ids[first[group]]


def _digests(values: np.ndarray) -> np.ndarray:
    """Return hashes of the bytes of rows, (row,) text of 32 letters."""
    digests = [hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in values]
    return np.array(digests, "S32")
