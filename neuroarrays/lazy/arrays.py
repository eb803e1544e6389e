"""Lazy arrays: what is indexed is what is read. Imports half-private parts of xarray."""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, is_dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from neuroarrays.errors import FormatError, NeuroArraysError
from neuroarrays.files import outer, safety, state
from neuroarrays.files.outer import Key
from neuroarrays.files.source import Source


@dataclass(frozen=True, repr=False, eq=False)
class LazyArray(BackendArray):
    """An array that reads only what is indexed. Subclasses give shape, dtype and `outer`.

    A subclass is a frozen dataclass with ``eq=False``: its fields say what its values depend on,
    and arrays of equal fields are equal. Picklable; a chunked dask graph holds the array itself
    (a path and a name), never its values.
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
        """What the values depend on: every field, unless a subclass names fewer or shorter ones."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def __dask_tokenize__(self) -> object:
        return type(self).__module__, type(self).__qualname__, *exact_token(self.depends())

    @state.cached_property
    def _digest(self) -> bytes:
        """A checksum of the token, computed once: an array does not change."""
        token = repr(self.__dask_tokenize__()).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(token, digest_size=16).digest()

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, LazyArray) and self._digest == other._digest)

    def __hash__(self) -> int:
        return hash(self._digest)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        if not isinstance(key, indexing.VectorizedIndexer):
            return self._raw(key.tuple)  # xarray's own way fails on empty backward slices
        values: np.ndarray = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._raw
        )
        return values

    def _raw(self, key: Key) -> np.ndarray:
        key = outer.normalise(key, self.shape)
        try:
            return self.outer(key)
        except (NeuroArraysError, MemoryError):
            raise
        except Exception:  # from inside a library, which knows neither file nor place
            source = origin(self)
            with safety.named(source) if source else nullcontext():
                raise

    def prefetch(self, stretches: Sequence[tuple[int, int]]) -> None:
        """Say which stretches of rows (first, end) are read next, for files where each read waits."""

    def load(self) -> np.ndarray:
        """All values."""
        return self._raw((slice(None),) * len(self.shape))

    def variable(self, dims: Sequence[str], attrs: Mapping[str, Any] | None = None) -> xr.Variable:
        """The array as a lazy xarray variable."""
        return xr.Variable(dims, wrap(self), dict(attrs or {}))

    def __repr__(self) -> str:
        source = origin(self)
        where = f", not read: {source}" if source else ", made where it is indexed"
        return f"<{type(self).__name__} {self.dtype} {self.shape}{where}>"


def origin(part: Any, depth: int = 5) -> str:
    """Where values come from, "name of file", as far as an array or what it is made of tells."""
    path, name = getattr(part, "path", None), getattr(part, "name", None)
    if isinstance(path, str | os.PathLike):
        return os.fspath(path)
    if isinstance(part, tuple | list):
        inside = list(part[:1])
    else:
        inside = list(getattr(part, "__dict__", {}).values()) if depth else []
    source = next(filter(None, (origin(inner, depth - 1) for inner in inside)), "")
    named = isinstance(name, str) and name and " of " not in source
    return f"{name} of {source}" if source and named else source


def is_behind_address(array: LazyArray) -> bool:
    """Whether the values of an array are read from behind an address: http, a bucket, ..."""
    return "://" in origin(array)


def exact_token(token: Any) -> Any:
    """A token with arrays as checksums of their bytes: dask takes it as text, and cuts long ones."""
    if isinstance(token, np.ndarray):
        is_text = token.dtype == object
        content = (
            repr(token.tolist()).encode() if is_text else np.ascontiguousarray(token).tobytes()
        )
        digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        return str(token.dtype), token.shape, digest
    if isinstance(token, tuple | list):
        return tuple(exact_token(inner) for inner in token)
    if isinstance(token, FunctionType) and "<" not in token.__qualname__:
        return token.__module__, token.__qualname__
    if hasattr(token, "__dask_tokenize__") and not isinstance(token, type):
        inner_token = token.__dask_tokenize__()
        return inner_token if isinstance(token, LazyArray) else exact_token(inner_token)
    if is_dataclass(token) and not isinstance(token, type):
        parts = (getattr(token, field.name) for field in fields(token) if field.compare)
        return type(token).__module__, type(token).__qualname__, *map(exact_token, parts)
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


def array_of(variable: xr.Variable) -> Any:
    """What holds a variable's values: its `LazyArray`, its numpy or its dask array.

    Nothing is read. Of something lazy that was indexed it is xarray's own wrapper.
    """
    return unwrap(variable._data)


def data_of(variable: xr.Variable) -> Any:
    """The data of a variable, for a second variable of other dimensions; nothing is read."""
    return variable._data


def identity(variable: xr.Variable) -> Hashable:
    """Equal for variables of one array: in memory, in a file, or of one dask name."""
    data = array_of(variable)
    if isinstance(data, LazyArray):
        return data
    return str(data.name) if hasattr(data, "__dask_graph__") else id(data)


#: Series kept in memory for repeated interpolation.
_series: state.Cache[tuple[np.ndarray, ...]] = state.Cache(
    512 << 20, lambda arrays: sum(array.nbytes for array in arrays)
)


def cached(token: Hashable, load: Callable[[], tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    """The arrays that `load` gives, kept for the next caller with an equal token."""
    return _series.get_or_make(repr(token), load)


@dataclass(frozen=True, repr=False, eq=False)
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
            return np.asarray(values, self.dtype)  # big-endian files
        return np.asarray(values * self.scale + self.offset, self.dtype)

    def prefetch(self, stretches: Sequence[tuple[int, int]]) -> None:
        self.source.prefetch(self.name, stretches)

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
