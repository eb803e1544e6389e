"""Lazy arrays made of others: squeezed, put together from many, joined, in another order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import outer
from neuroarrays.files.source import Key
from neuroarrays.lazy.arrays import LazyArray


@dataclass(frozen=True, repr=False)
class Squeezed(LazyArray):
    """A lazy array with only some of its axes; the others have length 1."""

    base: LazyArray
    kept: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.base.shape[axis] for axis in self.kept)

    @property
    def dtype(self) -> np.dtype:
        return self.base.dtype

    def outer(self, key: Key) -> np.ndarray:
        of_axis = dict(zip(self.kept, key, strict=True))
        return self.base.outer(tuple(of_axis.get(axis, 0) for axis in range(len(self.base.shape))))


@dataclass(frozen=True, repr=False)
class Column(LazyArray):
    """One place along the last axis of a lazy array."""

    base: LazyArray
    at: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape[:-1]

    @property
    def dtype(self) -> np.dtype:
        return self.base.dtype

    def outer(self, key: Key) -> np.ndarray:
        return self.base.outer((*key, self.at))


@dataclass(frozen=True, repr=False)
class Cast(LazyArray):
    """A lazy array in another dtype that holds its values exactly; others are an error."""

    base: LazyArray
    dtype: np.dtype
    path: str

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape

    def outer(self, key: Key) -> np.ndarray:
        values = np.asarray(self.base.outer(key))
        with np.errstate(invalid="ignore"):
            made = values.astype(self.dtype)
        if self.dtype.kind in "iub" and not np.array_equal(made, values):
            raise FormatError(
                self.path,
                "",
                f"values that {self.dtype} holds exactly",
                "others",
                "take another dtype in the mapping",
            )
        return made


@dataclass(frozen=True, repr=False)
class Grid(LazyArray):
    """Arrays of one shape as one: `lead` axes in front of theirs (one per neuron, per trial)."""

    bases: tuple[LazyArray, ...]
    lead: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.lead, *self.bases[0].shape)

    @property
    def dtype(self) -> np.dtype:
        kinds = {base.dtype for base in self.bases}
        return np.dtype(object) if object in kinds else np.result_type(*kinds)

    def outer(self, key: Key) -> np.ndarray:
        numbers = np.arange(math.prod(self.lead)).reshape(self.lead)
        places = outer.take(numbers, key[: len(self.lead)])
        inner = key[len(self.lead) :]
        flat = np.asarray(places).ravel()
        if not flat.size:
            rest = self.bases[0].outer(inner).shape
            return np.empty((*np.shape(places), *rest), self.dtype)
        dtype = self.dtype
        parts = [np.asarray(self.bases[int(i)].outer(inner), dtype) for i in flat]
        return np.stack(parts).reshape((*np.shape(places), *parts[0].shape))


@dataclass(frozen=True, repr=False, eq=False)
class Knots(LazyArray):
    """A clock given at some of its samples: straight lines between, (time,) float64, s.

    `samples` and `times` are (knot,) float64; the first sample is 0 and the last the last of all.
    """

    samples: np.ndarray
    times: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return (int(self.samples[-1]) + 1,)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype("f8")

    def outer(self, key: Key) -> np.ndarray:
        (k,) = key
        places = np.arange(*k.indices(self.shape[0])) if isinstance(k, slice) else k
        return np.asarray(np.interp(places, self.samples, self.times))


@dataclass(frozen=True, repr=False)
class Joined(LazyArray):
    """1-D arrays one after another: the spikes of units that are stored apart."""

    bases: tuple[LazyArray, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (sum(base.shape[0] for base in self.bases),)

    @property
    def dtype(self) -> np.dtype:
        kinds = {base.dtype for base in self.bases}
        return np.result_type(*kinds) if kinds else np.dtype("f8")

    def outer(self, key: Key) -> np.ndarray:
        (k,) = key
        one = isinstance(k, int)
        wanted = np.arange(self.shape[0])[k] if isinstance(k, slice) else np.atleast_1d(k)
        ends = np.cumsum([base.shape[0] for base in self.bases])
        owner = np.searchsorted(ends, wanted, side="right")
        order = np.argsort(owner, kind="stable")
        cuts = np.searchsorted(owner[order], np.arange(len(self.bases) + 1))
        out = np.empty(wanted.shape, self.dtype)
        for i, base in enumerate(self.bases):
            mine = order[cuts[i] : cuts[i + 1]]
            if mine.size:
                out[mine] = base._raw((wanted[mine] - (ends[i] - base.shape[0]),))
        return out[0] if one else out


@dataclass(frozen=True, repr=False, eq=False)
class Ordered(LazyArray):
    """A lazy array with the places of its first axis in another order: spikes put unit after unit."""

    base: LazyArray
    order: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.order.shape, *self.base.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        return self.base.dtype

    def outer(self, key: Key) -> np.ndarray:
        places = self.order[key[0]]
        return self.base._raw((int(places) if np.ndim(places) == 0 else places, *key[1:]))
