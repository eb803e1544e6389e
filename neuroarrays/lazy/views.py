"""Views: lazy arrays that are made of others as numpy would make them, and read what is indexed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from neuroarrays.files import outer
from neuroarrays.files.outer import Key
from neuroarrays.files.state import cached_property
from neuroarrays.lazy.arrays import LazyArray


@dataclass(frozen=True, repr=False, eq=False)
class InMemory(LazyArray):
    """An array in memory."""

    values: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def dtype(self) -> np.dtype:
        return self.values.dtype.newbyteorder("=")

    def outer(self, key: Key) -> np.ndarray:
        return outer.copy(self.values, key)


# --------------------------------------------------------------------------- of one array


@dataclass(frozen=True, repr=False, eq=False)
class Taken(LazyArray):
    """Some positions along one axis, as `numpy.take` gives them; a repeated row is read once.

    Attributes
    ----------
    base : LazyArray
        The array.
    places : int, range or (...) int64
        Positions along the axis. An int removes the axis; an array puts its own axes in
        place of it. -1 in an array stands for no position and gives NaN.
    axis : int
        Which axis of the base.
    """

    base: LazyArray
    places: int | range | np.ndarray
    axis: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        before, after = self.base.shape[: self.axis], self.base.shape[self.axis + 1 :]
        if isinstance(self.places, np.ndarray):
            return (*before, *self.places.shape, *after)
        return (*before, *(() if isinstance(self.places, int) else (len(self.places),)), *after)

    @cached_property
    def dtype(self) -> np.dtype:
        return np.result_type(self.base.dtype, np.float32) if self._gaps else self.base.dtype

    @cached_property
    def _gaps(self) -> bool:
        return isinstance(self.places, np.ndarray) and bool((self.places < 0).any())

    def outer(self, key: Key) -> np.ndarray:
        before, places = key[: self.axis], self.places
        if isinstance(places, int):
            return self.base.outer((*before, places, *key[self.axis :]))
        if isinstance(places, range):
            k = _of_range(places, key[self.axis])
            return self.base.outer((*before, k, *key[self.axis + 1 :]))
        along, after = key[self.axis : self.axis + places.ndim], key[self.axis + places.ndim :]
        wanted = np.asarray(outer.take(places, along))
        if wanted.ndim == 0 and wanted >= 0:
            values = self.base.outer((*before, int(wanted), *after))
            return np.asarray(values, self.dtype)
        lead = sum(not isinstance(k, int) for k in before)
        if self._different and not any(isinstance(k, np.ndarray) for k in along):
            rows = outer.compact(wanted.ravel())
            values = self.base.outer((*before, rows, *after))
        else:
            values = self._rows(before, wanted.ravel(), after, lead)
        return values.reshape((*values.shape[:lead], *wanted.shape, *values.shape[lead + 1 :]))

    @cached_property
    def _different(self) -> bool:
        """Whether no position repeats, or the array is 1-D, where rereading values is quick."""
        line = len(self.base.shape) == 1
        return not self._gaps and (line or np.unique(self.places).size == np.size(self.places))

    def _rows(self, before: Key, wanted: np.ndarray, after: Key, lead: int) -> np.ndarray:
        """Rows at positions in any order, along axis `lead` of the result; each is read once."""
        distinct, which = np.unique(wanted, return_inverse=True)
        known = distinct >= 0
        read = self.base.outer((*before, outer.compact(distinct[known]), *after))
        if not known.all():
            shape = (*read.shape[:lead], distinct.size, *read.shape[lead + 1 :])
            filled = np.full(shape, np.nan, self.dtype)
            filled[(slice(None),) * lead + (known,)] = read
            read = filled
        return np.asarray(read, self.dtype).take(which.ravel(), axis=lead)


def _of_range(places: range, k: int | slice | np.ndarray) -> int | slice | np.ndarray:
    """An index into the chosen positions, as an index into the axis that they are chosen from."""
    if isinstance(k, int):
        return places[k]
    if isinstance(k, np.ndarray):
        return places.start + k * places.step
    part = places[k]
    if part.step < 0:
        return np.arange(part.start, part.stop, part.step, dtype=np.int64)
    return slice(part.start, part.stop, part.step)


def sliced(array: LazyArray, key: slice, axis: int = 0) -> LazyArray:
    """A slice of an array along one axis; slicing a slice gives one slice again."""
    if isinstance(array, Taken) and array.axis == axis and isinstance(array.places, range):
        return Taken(array.base, array.places[key], axis)
    return Taken(array, range(array.shape[axis])[key], axis)


@dataclass(frozen=True, repr=False, eq=False)
class Arranged(LazyArray):
    """An array with its axes in another order, and new ones of length 1 where `axes` has NEW."""

    NEW: ClassVar[int] = -1

    base: LazyArray
    axes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(1 if axis == self.NEW else self.base.shape[axis] for axis in self.axes)

    @property
    def dtype(self) -> np.dtype:
        return self.base.dtype

    def outer(self, key: Key) -> np.ndarray:
        of_axis = {axis: k for axis, k in zip(self.axes, key, strict=True) if axis != self.NEW}
        values = self.base.outer(tuple(of_axis[axis] for axis in sorted(of_axis)))
        left = [axis for axis in sorted(of_axis) if not isinstance(of_axis[axis], int)]
        values = values.transpose([left.index(axis) for axis in self.axes if axis in left])
        position = 0
        for axis, k in zip(self.axes, key, strict=True):
            if axis == self.NEW:
                values = np.expand_dims(values, position)[(slice(None),) * position + (k,)]
            position += not isinstance(k, int)
        return values


def transposed(array: LazyArray) -> LazyArray:
    """An array with its axes reversed, such as a series that was written as ROI x time."""
    return Arranged(array, tuple(reversed(range(len(array.shape)))))


@dataclass(frozen=True, repr=False, eq=False)
class Folded(LazyArray):
    """An array (block, time, ...) with its blocks one after another: (block x time, ...)."""

    base: LazyArray

    @property
    def shape(self) -> tuple[int, ...]:
        blocks, times, *rest = self.base.shape
        return (blocks * times, *rest)

    @property
    def dtype(self) -> np.dtype:
        return self.base.dtype

    def outer(self, key: Key) -> np.ndarray:
        k, *rest = key
        times = self.base.shape[1]
        if isinstance(k, int):
            return self.base.outer((k // times, k % times, *rest))
        picked = outer.positions(k)
        blocks = range(picked[0] // times, picked[-1] // times + 1) if picked.size else range(0)
        if picked.size == len(blocks) * times and isinstance(outer.compact(picked), slice):
            whole = (slice(blocks.start, blocks.stop, 1), slice(0, times, 1))  # in one read
            values = self.base.outer((*whole, *rest))
            return values.reshape((picked.size, *values.shape[2:]))
        out = np.empty(outer.result_shape(key, self.shape), self.dtype)
        for first, _, places in outer.groups(picked, max(times, 1)):
            block = first // times
            within = outer.compact(picked[places] - block * times)
            out[places] = self.base.outer((block, within, *rest))
        return out


@dataclass(frozen=True, repr=False, eq=False)
class Blocks(LazyArray):
    """An array (time, ...) cut into blocks: (block, time, ...); an incomplete last one is left out.

    Attributes
    ----------
    base : LazyArray
        The array.
    length : int
        Places of a block.
    """

    base: LazyArray
    length: int

    @property
    def shape(self) -> tuple[int, ...]:
        times, *rest = self.base.shape
        return (times // self.length, self.length, *rest)

    @property
    def dtype(self) -> np.dtype:
        return self.base.dtype

    def outer(self, key: Key) -> np.ndarray:
        block, within, *rest = key
        places = outer.positions(block)[:, None] * self.length + outer.positions(within)
        values = self.base.outer((outer.compact(places.ravel()), *rest))
        values = values.reshape(*places.shape, *values.shape[1:])
        return values[outer.dropping_ints((block, within))]


@dataclass(frozen=True, repr=False, eq=False)
class Segments(LazyArray):
    """Stretches of rows of an array, one after another: the spikes of some of the units.

    Attributes
    ----------
    base : (n, ...) LazyArray
        The array.
    starts, sizes : (stretch,) int64
        Number of the first row of each stretch, and its number of rows.
    """

    base: LazyArray
    starts: np.ndarray
    sizes: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return (int(self.sizes.sum()), *self.base.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        return self.base.dtype

    def outer(self, key: Key) -> np.ndarray:
        k, rest = key[0], tuple(key[1:])
        ends = np.cumsum(self.sizes)
        if isinstance(k, slice) and k.step == 1:
            return self._range(k.start, k.stop, ends, rest)
        wanted = outer.positions(k)
        segment = np.searchsorted(ends, wanted, side="right")
        places = self.starts[segment] + wanted - (ends - self.sizes)[segment]
        return self.base.outer((int(places[0]) if isinstance(k, int) else places, *rest))

    def _range(self, start: int, stop: int, ends: np.ndarray, rest: Key) -> np.ndarray:
        parts: list[tuple[int, int]] = []
        first = int(np.searchsorted(ends, start, side="right"))
        begins = ends - self.sizes
        for i in range(first, int(np.searchsorted(begins, stop))):
            low = self.starts[i] + max(start - begins[i], 0)
            high = self.starts[i] + min(stop - begins[i], self.sizes[i])
            if parts and parts[-1][1] == low:
                parts[-1] = (parts[-1][0], high)  # neighbours in the file are one read
            elif high > low:
                parts.append((low, high))
        if len(parts) > 1:
            self.base.prefetch([(int(low), int(high)) for low, high in parts])
        pieces = [self.base.outer((slice(int(low), int(high), 1), *rest)) for low, high in parts]
        if not pieces:
            return np.empty(outer.result_shape((slice(0, 0, 1), *rest), self.shape), self.dtype)
        return np.concatenate(pieces)


@dataclass(frozen=True, repr=False, eq=False)
class ByRow(LazyArray):
    """An array that is read row by row, because the values asked for are scattered in the file."""

    base: LazyArray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape

    @property
    def dtype(self) -> np.dtype:
        return self.base.dtype

    def outer(self, key: Key) -> np.ndarray:
        k, *rest = key
        if isinstance(k, int):
            return self.base.outer(key)
        out = np.empty(outer.result_shape(key, self.shape), self.dtype)
        for row, base_row in enumerate(outer.positions(k).tolist()):
            out[row, ...] = self.base.outer((base_row, *rest))
        return out


# ------------------------------------------------------------------------------ of several


@dataclass(frozen=True, repr=False, eq=False)
class Stacked(LazyArray):
    """Arrays of one shape stacked along `lead` new first axes (one per neuron or per trial)."""

    bases: tuple[LazyArray, ...]
    lead: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.lead, *self.bases[0].shape)

    @cached_property
    def dtype(self) -> np.dtype:
        return np.result_type(*{base.dtype for base in self.bases})

    def outer(self, key: Key) -> np.ndarray:
        n = len(self.lead)
        numbers = np.arange(math.prod(self.lead)).reshape(self.lead)
        numbers = np.asarray(outer.take(numbers, key[:n]))
        out = np.empty(outer.result_shape(key, self.shape), self.dtype)
        if out.size:
            rows = out.reshape(numbers.size, *out.shape[numbers.ndim :])
            for row, number in enumerate(numbers.ravel().tolist()):
                rows[row, ...] = self.bases[number].outer(key[n:])
        return out


def side_by_side(arrays: Sequence[LazyArray]) -> LazyArray:
    """Arrays of one shape along a new last axis: one series per neuron."""
    behind = range(1, len(arrays[0].shape) + 1)
    return Arranged(Stacked(tuple(arrays), (len(arrays),)), (*behind, 0))


@dataclass(frozen=True, repr=False, eq=False)
class Joined(LazyArray):
    """Arrays joined along an axis; only those that are indexed are read."""

    bases: tuple[LazyArray, ...]
    axis: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        first = self.bases[0].shape
        return (*first[: self.axis], int(self._ends[-1]), *first[self.axis + 1 :])

    @cached_property
    def dtype(self) -> np.dtype:
        return np.result_type(*{base.dtype for base in self.bases})

    @cached_property
    def _ends(self) -> np.ndarray:
        """(base,) int64: the place after the last one of each."""
        return np.cumsum([base.shape[self.axis] for base in self.bases])

    def outer(self, key: Key) -> np.ndarray:
        before, k, after = key[: self.axis], key[self.axis], key[self.axis + 1 :]
        picked = outer.positions(k)
        lead: tuple[Any, ...] = (slice(None),) * sum(not isinstance(other, int) for other in before)
        one_each = (*before, slice(0, picked.size, 1), *after)
        sizes = (*self.shape[: self.axis], picked.size, *self.shape[self.axis + 1 :])
        out = np.empty(outer.result_shape(one_each, sizes), self.dtype)
        owner = np.searchsorted(self._ends, picked, side="right")
        for number, _, places in outer.groups(owner, 1):
            start = self._ends[number] - self.bases[number].shape[self.axis]
            within = outer.compact(picked[places] - start)
            out[(*lead, places)] = self.bases[number].outer((*before, within, *after))
        return out[(*lead, 0, ...)] if isinstance(k, int) else out
