"""Masks of trials, computed from the files when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuroarrays.lazy import LazyArray
from neuroarrays.source import Key

_ALL = slice(None)
#: Units looked at to tell a withheld movie trial: one whose 64 first units are zero throughout.
LOOKED_AT = 64


@dataclass(frozen=True, repr=False)
class Zeroed(LazyArray):
    """`(trial,)` bool: whether every value of a trial's files is exactly zero.

    Attributes
    ----------
    bases : tuple of LazyArray
        `(trial, ...)`; all of them must be zero.
    suspects : (trial,) bool
        Trials to look at; the others are False without a look.
    """

    bases: tuple[LazyArray, ...]
    suspects: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.suspects.shape

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        return np.dtype(bool)

    def outer(self, key: Key) -> np.ndarray:
        rows = np.arange(self.shape[0])[key[0]]
        found = np.atleast_1d(self.suspects[rows]).copy()
        looked = np.flatnonzero(found)
        for base in self.bases:
            item = tuple(
                slice(0, min(n, LOOKED_AT), 1) if base.dtype.kind == "f" and len(base.shape) > 2
                else _ALL
                for n in base.shape[1:2]
            )  # fmt: skip
            for some in np.array_split(looked, looked.size // 64 + 1):  # in bounded memory
                if some.size:
                    values = base._raw((np.atleast_1d(rows)[some], *item))
                    found[some] &= ~values.astype(bool).any(axis=tuple(range(1, values.ndim)))
        return found if np.ndim(rows) else np.asarray(found[0])

    def __dask_tokenize__(self) -> object:
        bases = [base.__dask_tokenize__() for base in self.bases]
        return (type(self).__name__, bases, self.suspects.tobytes())

    __hash__ = None  # type: ignore[assignment]


def _lines(movie: LazyArray, rows: np.ndarray) -> np.ndarray:
    """`(trial, frame)` of the first pixel, unit or signal: one short read per file."""
    middle = (0,) * (len(movie.shape) - 2)
    return movie._raw((rows, *middle, _ALL))


@dataclass(frozen=True, repr=False)
class ValidLength(LazyArray):
    """`(trial,)` int64: frames before the padding with NaN, from the first pixel of a movie."""

    movie: LazyArray

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.movie.shape[:1]

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
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

    def __dask_tokenize__(self) -> object:
        return (type(self).__name__, self.movie.__dask_tokenize__())


@dataclass(frozen=True, repr=False)
class Valid(LazyArray):
    """`(trial, frame)` bool: inside the movie, and no other stream has NaN there.

    A stream that is longer than the movie does not count; responses that are withheld are zeros
    over the whole width, and so do not either.
    """

    length: ValidLength
    streams: tuple[LazyArray, ...]

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return (self.length.shape[0], self.length.movie.shape[-1])

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        return np.dtype(bool)

    def outer(self, key: Key) -> np.ndarray:
        rows = np.atleast_1d(np.arange(self.shape[0])[key[0]])
        found = np.arange(self.shape[1]) < self.length._raw((rows,))[:, None]
        for stream in self.streams:
            if stream.dtype.kind == "f":
                found &= ~np.isnan(_lines(stream, rows))
        found = found[:, key[1]]
        return found[0] if isinstance(key[0], int) else found

    def __dask_tokenize__(self) -> object:
        streams = [stream.__dask_tokenize__() for stream in self.streams]
        return (type(self).__name__, self.length.__dask_tokenize__(), streams)
