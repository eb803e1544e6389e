"""Lazy arrays that the retina readers share: joined, folded and averaged, files of numpy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import members, outer
from neuroarrays.files.source import Key
from neuroarrays.lazy.arrays import FileArray, LazyArray, file_array


@dataclass(frozen=True, repr=False, eq=False)
class Derived(LazyArray):
    """A lazy array made of another: of its shape and dtype unless a subclass has its own."""

    base: LazyArray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape

    @property
    def dtype(self) -> np.dtype:
        return self.base.dtype


@dataclass(frozen=True, repr=False, eq=False)
class Held(LazyArray):
    """A small array in memory."""

    values: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def dtype(self) -> np.dtype:
        return self.values.dtype

    def outer(self, key: Key) -> np.ndarray:
        return outer.copy(self.values, key)


@dataclass(frozen=True, repr=False, eq=False)
class Joined(LazyArray):
    """Lazy arrays one after another along an axis."""

    bases: tuple[LazyArray, ...]
    axis: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        first = self.bases[0].shape
        length = sum(base.shape[self.axis] for base in self.bases)
        return (*first[: self.axis], length, *first[self.axis + 1 :])

    @property
    def dtype(self) -> np.dtype:
        return np.result_type(*(base.dtype for base in self.bases))

    def outer(self, key: Key) -> np.ndarray:
        before, k, after = key[: self.axis], key[self.axis], key[self.axis + 1 :]
        picked = outer.positions(k)
        place = sum(not isinstance(other, int) for other in before)
        lead: tuple[Any, ...] = (slice(None),) * place
        sizes = [
            outer.positions(other).size for other in (*before, *after) if not isinstance(other, int)
        ]
        out = np.empty((*sizes[:place], picked.size, *sizes[place:]), self.dtype)
        start = 0
        for base in self.bases:
            stop = start + base.shape[self.axis]
            rows = np.flatnonzero((picked >= start) & (picked < stop))
            if rows.size:
                own = outer.compact(picked[rows] - start)
                out[(*lead, rows)] = base.outer((*before, own, *after))
            start = stop
        return out[(*lead, 0)] if isinstance(k, int) else out


@dataclass(frozen=True, repr=False, eq=False)
class Folded(Derived):
    """A lazy array (block, time, ...) with its blocks one after another: (block x time, ...)."""

    @property
    def shape(self) -> tuple[int, ...]:
        blocks, times, *rest = self.base.shape
        return (blocks * times, *rest)

    def outer(self, key: Key) -> np.ndarray:
        k, *rest = key
        times = self.base.shape[1]
        if isinstance(k, int):
            return self.base.outer((k // times, k % times, *rest))
        picked = outer.positions(k)
        sizes = [outer.positions(other).size for other in rest if not isinstance(other, int)]
        out = np.empty((picked.size, *sizes), self.dtype)
        blocks = picked // times if times else picked
        for block in np.unique(blocks):
            rows = np.flatnonzero(blocks == block)
            own = outer.compact(picked[rows] - block * times)
            out[rows] = self.base.outer((int(block), own, *rest))
        return out


@dataclass(frozen=True, repr=False, eq=False)
class Segments(Derived):
    """Stretches of a lazy array (time, ...), one in each period: (period, time, ...).

    Attributes
    ----------
    base : LazyArray
        Samples; what is left after the last whole period is left out.
    period, start, length : int
        Samples of a period, and where in it the stretch begins and how long it is.
    """

    period: int
    start: int
    length: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.base.shape[0] // self.period, self.length, *self.base.shape[1:])

    def outer(self, key: Key) -> np.ndarray:
        k, within, *rest = key
        rows = outer.positions(k)[:, None] * self.period + self.start + outer.positions(within)
        values = self.base.outer((outer.compact(rows.ravel()), *rest))
        shape = [n for n, i in zip(rows.shape, (k, within), strict=True) if not isinstance(i, int)]
        return values.reshape(*shape, *values.shape[1:])


@dataclass(frozen=True, repr=False, eq=False)
class Averaged(Derived):
    """The mean of a lazy array over its first axis (trials), of its floating-point type."""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape[1:]

    def outer(self, key: Key) -> np.ndarray:
        trials = slice(0, self.base.shape[0], 1)
        return np.asarray(self.base.outer((trials, *key)).mean(axis=0), self.dtype)


def npy_array(path: str | os.PathLike[str]) -> FileArray:
    """The lazy array of an npy file; only its header is read.

    Raises
    ------
    FormatError
        If it is no npy file of numbers, or is cut short.
    """
    source = members.npy_source(path)
    if source.member.dtype.kind not in "iufb":
        found = f"values of dtype {source.member.dtype}"
        raise FormatError(source.path, expected="numbers", found=found)
    return file_array(source, source.name)


@dataclass(frozen=True, repr=False, eq=False)
class As(Derived):
    """A lazy array in another dtype."""

    to: np.dtype

    @property
    def dtype(self) -> np.dtype:
        return self.to

    def outer(self, key: Key) -> np.ndarray:
        return np.asarray(self.base.outer(key)).astype(self.dtype, copy=False)


def floats(array: LazyArray) -> LazyArray:
    """The array if it holds floats, else in float32 (one- and two-byte integers) or float64."""
    if array.dtype.kind == "f":
        return array
    return As(array, np.dtype("f4" if array.dtype.itemsize <= 2 else "f8"))


def pixels(array: LazyArray) -> LazyArray:
    """The array if it holds floats or unsigned integers, else in float32."""
    return array if array.dtype.kind in "uf" else As(array, np.dtype("f4"))


@dataclass(frozen=True, repr=False, eq=False)
class First(Derived):
    """The first so many rows of a lazy array."""

    length: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.length, *self.base.shape[1:])

    def outer(self, key: Key) -> np.ndarray:
        return self.base.outer(key)


@dataclass(frozen=True, repr=False, eq=False)
class Scaled(Derived):
    """A lazy float array times a number."""

    factor: float

    def outer(self, key: Key) -> np.ndarray:
        values = np.asarray(self.base.outer(key))
        return np.asarray(values * self.factor, self.dtype)


def cut(array: LazyArray, length: int) -> LazyArray:
    """The array without what it has along its first axis after so many rows."""
    return array if array.shape[0] <= length else First(array, length)


def joined(parts: Sequence[LazyArray], path: str | os.PathLike[str], where: str) -> LazyArray:
    """Arrays one after another along their first axis.

    Raises
    ------
    FormatError
        If they differ along another; `path` and `where` say whose they are.
    """
    sizes = dict.fromkeys(part.shape[1:] for part in parts)
    if len(sizes) > 1:
        raise FormatError(
            path,
            where,
            "parts of one size along all axes but the first",
            " and ".join(map(str, sizes)),
        )
    return parts[0] if len(parts) == 1 else Joined(tuple(parts))
