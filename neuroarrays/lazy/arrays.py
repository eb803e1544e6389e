"""Lazy arrays: what is indexed is what is read. Imports half-private parts of xarray."""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from neuroarrays.errors import FormatError, NeuroArraysError
from neuroarrays.files import outer, safety, state
from neuroarrays.files.source import Key, Source


class LazyArray(BackendArray):
    """An array that reads what is indexed. Subclasses give shape, dtype and `outer`.

    Picklable; a chunked dask graph holds the array itself (a path and a name), never its values.
    """

    if TYPE_CHECKING:  # a subclass has them as fields or as properties

        @property
        def shape(self) -> tuple[int, ...]: ...

        @property
        def dtype(self) -> np.dtype: ...

    @abstractmethod
    def outer(self, key: Key) -> np.ndarray:
        """Values under an outer index: one int, forward slice or int64 array per axis."""

    def into(self, key: Key, out: np.ndarray) -> None:
        """Write values under an outer index into an array of its shape, cast to its dtype."""
        out[...] = self.outer(key)

    def depends(self) -> tuple[Any, ...]:
        """What the values depend on: every field. A class of its own has fewer, or shorter ones."""
        return tuple(getattr(self, field.name) for field in fields(self))  # type: ignore[arg-type]

    def __dask_tokenize__(self) -> object:
        return type(self).__module__, type(self).__qualname__, *exact_token(self.depends())

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        if not isinstance(key, indexing.VectorizedIndexer):
            return self._raw(key.tuple)  # xarray's own way fails on empty backward slices
        found: np.ndarray = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._raw
        )
        return found

    def _raw(self, key: Key) -> np.ndarray:
        key = outer.normalise(key, self.shape)
        try:
            return self.outer(key)
        except (NeuroArraysError, MemoryError):
            raise
        except Exception:  # from inside a library, which knows neither file nor place
            place = origin(self)
            with safety.named(place) if place else nullcontext():
                raise

    def load(self) -> np.ndarray:
        """All values."""
        return self._raw((slice(None),) * len(self.shape))

    def variable(self, dims: Sequence[str], attrs: Mapping[str, Any] | None = None) -> xr.Variable:
        """The array as a lazy xarray variable."""
        return xr.Variable(dims, wrap(self), dict(attrs or {}))

    def __repr__(self) -> str:
        place = origin(self)
        found = f", not read: {place}" if place else ", made where it is indexed"
        return f"<{type(self).__name__} {self.dtype} {self.shape}{found}>"


def origin(part: Any, depth: int = 5) -> str:
    """Where values come from, "name of file", as far as an array or what it is made of tells."""
    path, name = getattr(part, "path", None), getattr(part, "name", None)
    if isinstance(path, str | os.PathLike):
        return os.fspath(path)
    if isinstance(part, tuple | list):
        inside = list(part[:1])
    else:
        inside = list(getattr(part, "__dict__", {}).values()) if depth else []
    place = next(filter(None, (origin(one, depth - 1) for one in inside)), "")
    named = isinstance(name, str) and name and " of " not in place
    return f"{name} of {place}" if place and named else place


def exact_token(token: Any) -> Any:
    """A token with arrays as checksums of their bytes: dask takes it as text, and cuts long ones."""
    if isinstance(token, np.ndarray) and token.dtype != object:
        digest = hashlib.blake2b(np.ascontiguousarray(token).tobytes(), digest_size=16).hexdigest()
        return "array", str(token.dtype), token.shape, digest
    if isinstance(token, np.ndarray):
        return "array", "object", token.shape, str(token.ravel().tolist())
    if isinstance(token, tuple | list):
        return tuple(exact_token(one) for one in token)
    if hasattr(token, "__dask_tokenize__") and not isinstance(token, type):
        return token.__dask_tokenize__()
    return token


def wrap(array: LazyArray) -> indexing.LazilyIndexedArray:
    """An array as data of an `xr.Variable` that stays lazy when it is indexed."""
    return indexing.LazilyIndexedArray(array)


def unwrap(data: Any) -> Any:
    """The `LazyArray` (or other array) under xarray's wrappers, if nothing was indexed."""
    while isinstance(data, indexing.ExplicitlyIndexed) and not isinstance(data, LazyArray):
        if isinstance(data, indexing.LazilyIndexedArray) and any(
            not (isinstance(k, slice) and k == slice(None)) for k in data.key.tuple
        ):
            return data
        data = getattr(data, "array", None)
    return data


def identity(variable: xr.Variable) -> Hashable:
    """Equal for variables of one array: in memory, in a file, or of one dask name."""
    data = unwrap(variable._data)
    if isinstance(data, LazyArray):
        try:
            hash(data)
        except TypeError:
            return id(data)
        return data
    return str(data.name) if hasattr(data, "__dask_graph__") else id(data)


#: Series kept in memory for repeated interpolation.
_series: state.Cache[tuple[np.ndarray, ...]] = state.Cache(
    512 << 20, lambda arrays: sum(one.nbytes for one in arrays)
)


def cached(token: Hashable, load: Callable[[], tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    """The arrays that `load` gives, kept for the next caller with an equal token."""
    return _series.made(repr(token), load)


@dataclass(frozen=True, repr=False)
class FileArray(LazyArray):
    """An array of a file, `scale * stored + offset` where the file gives these."""

    source: Source
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    scale: float = 1.0
    offset: float = 0.0

    def outer(self, key: Key) -> np.ndarray:
        values = self.source.read(self.name, key)
        if self.scale == 1.0 and self.offset == 0.0:
            return values.astype(self.dtype, copy=False)  # big-endian files
        return (values * self.scale + self.offset).astype(self.dtype)

    def into(self, key: Key, out: np.ndarray) -> None:
        if self.scale == 1.0 and self.offset == 0.0:
            self.source.read_into(self.name, key, out)
        else:
            super().into(key, out)


def file_array(source: Source, name: str, scale: float = 1.0, offset: float = 0.0) -> FileArray:
    """The lazy array of `name` in a source.

    Raises
    ------
    FormatError
        If there is no array of that name.
    """
    info = source.info(name)
    if info is None:
        raise FormatError(source.path, name, expected="an array", found="nothing or a group")
    scaled = (scale, offset) != (1.0, 0.0) and info.dtype.kind in "iufb"
    dtype = np.dtype("f4" if info.dtype.itemsize <= 2 else "f8") if scaled else info.dtype
    if scaled and info.dtype.kind == "f":
        dtype = info.dtype
    if not scaled:
        scale, offset = 1.0, 0.0
    return FileArray(source, name, info.shape, dtype.newbyteorder("="), scale, offset)


@dataclass(frozen=True, repr=False)
class Transposed(LazyArray):
    """A lazy array with its axes reversed (series written as ROI x time)."""

    base: LazyArray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.base.shape[::-1]

    @property
    def dtype(self) -> np.dtype:
        return self.base.dtype

    def outer(self, key: Key) -> np.ndarray:
        return self.base.outer(key[::-1]).T


@dataclass(frozen=True, repr=False)
class Arranged(LazyArray):
    """A lazy array with its axes in another order, and new ones of length 1 where `axes` has NEW."""

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
        place = 0
        for axis, k in zip(self.axes, key, strict=True):
            if axis == self.NEW:
                values = np.expand_dims(values, place)[(slice(None),) * place + (k,)]
            place += not isinstance(k, int)
        return values


@dataclass(frozen=True, repr=False)
class Stacked(LazyArray):
    """Lazy arrays of one shape side by side along a new last axis (one series per neuron)."""

    bases: tuple[LazyArray, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.bases[0].shape, len(self.bases))

    @property
    def dtype(self) -> np.dtype:
        return np.result_type(*(base.dtype for base in self.bases))

    def outer(self, key: Key) -> np.ndarray:
        *rest, last = key
        if isinstance(last, int):
            return self.bases[last].outer(tuple(rest)).astype(self.dtype, copy=False)
        chosen = range(len(self.bases))[last] if isinstance(last, slice) else last
        parts = [self.bases[i].outer(tuple(rest)) for i in chosen]
        if not parts:
            shape = self.bases[0].outer(tuple(rest)).shape
            return np.empty((*shape, 0), self.dtype)
        return np.stack(parts, axis=-1).astype(self.dtype, copy=False)


@dataclass(frozen=True, repr=False, eq=False)
class Segments(LazyArray):
    """Stretches of a 1-D lazy array, one after another: the spikes of some of the units."""

    base: LazyArray
    starts: np.ndarray
    sizes: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return (int(self.sizes.sum()),)

    @property
    def dtype(self) -> np.dtype:
        return self.base.dtype

    def outer(self, key: Key) -> np.ndarray:
        (k,) = key
        ends = np.cumsum(self.sizes)
        if isinstance(k, slice) and k.step == 1:
            return self._range(k.start, k.stop, ends)
        wanted = np.arange(self.shape[0])[k] if isinstance(k, slice) else np.asarray(k)
        segment = np.searchsorted(ends, wanted, side="right")
        place = self.starts[segment] + wanted - (ends - self.sizes)[segment]
        return self.base.outer((int(place) if place.ndim == 0 else place,))

    def _range(self, start: int, stop: int, ends: np.ndarray) -> np.ndarray:
        parts: list[tuple[int, int]] = []
        first = int(np.searchsorted(ends, start, side="right"))
        begins = ends - self.sizes
        for i in range(first, ends.size):
            if begins[i] >= stop:
                break
            low = self.starts[i] + max(start - begins[i], 0)
            high = self.starts[i] + min(stop - begins[i], self.sizes[i])
            if parts and parts[-1][1] == low:
                parts[-1] = (parts[-1][0], high)  # neighbours in the file are one read
            elif high > low:
                parts.append((low, high))
        pieces = [self.base.outer((slice(int(low), int(high), 1),)) for low, high in parts]
        return np.concatenate(pieces) if pieces else np.empty(0, self.dtype)


@dataclass(frozen=True, repr=False, eq=False)
class Sliced(LazyArray):
    """Every so many values of a 1-D lazy array: a clock that was cut."""

    base: LazyArray
    places: range

    @classmethod
    def of(cls, array: LazyArray, key: slice) -> LazyArray:
        """The slice of an array; of a slice, one slice."""
        if isinstance(array, Sliced):
            return cls(array.base, array.places[key])
        return cls(array, range(array.shape[0])[key])

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.places),)

    @property
    def dtype(self) -> np.dtype:
        return self.base.dtype

    def outer(self, key: Key) -> np.ndarray:
        (k,) = key
        if isinstance(k, slice):
            part = self.places[k]
            stop = part.stop if part.stop >= 0 else None
            return self.base._raw((slice(part.start, stop, part.step) if part else slice(0, 0),))
        places = self.places.start + np.asarray(k) * self.places.step
        return self.base.outer((int(places) if places.ndim == 0 else places,))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sliced) and self.places == other.places and self.base == other.base

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, repr=False)
class Regular(LazyArray):
    """The clock `start + k / rate` of `size` samples, computed where it is indexed."""

    start: float
    rate: float
    length: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.length,)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype("f8")

    def outer(self, key: Key) -> np.ndarray:
        (k,) = key
        steps = np.arange(k.start, k.stop, k.step) if isinstance(k, slice) else np.asarray(k)
        return self.start + steps / self.rate
