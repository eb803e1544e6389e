"""Where readers meet xarray: lazy arrays, the two indexes, and the base of every reader.

The one module that imports half-private parts of xarray.
"""

from __future__ import annotations

import fnmatch
import inspect
import os
import threading
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import xarray as xr
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing
from xarray.core.indexes import Index, IndexSelResult, PandasIndex

from neuroarrays import schema
from neuroarrays.errors import FormatError, NotInTree, shorten
from neuroarrays.source import Key, Source, is_zarr, normalise

# --------------------------------------------------------------------------------- lazy arrays


class LazyArray(BackendArray):
    """An array that reads what is indexed. Subclasses give shape, dtype and `outer`.

    Picklable; a chunked dask graph holds the array itself (a path and a name), never its values.
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    @abstractmethod
    def outer(self, key: Key) -> np.ndarray:
        """Values under an outer index: one int, forward slice or int64 array per axis."""

    @abstractmethod
    def __dask_tokenize__(self) -> object:
        """What the values depend on."""

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
        if not isinstance(key, indexing.VectorizedIndexer):
            return self._raw(key.tuple)  # xarray's own way fails on empty backward slices
        if not isinstance(key, indexing.VectorizedIndexer):
            # Past xarray's own splitting of slices, which fails on an empty backward one.
            return self._raw(key.tuple)
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER, self._raw
        )

    def _raw(self, key: Key) -> np.ndarray:
        return self.outer(normalise(key, self.shape))

    def load(self) -> np.ndarray:
        """All values."""
        return self._raw((slice(None),) * len(self.shape))

    def variable(self, dims: Sequence[str], attrs: Mapping[str, Any] | None = None) -> xr.Variable:
        """The array as a lazy xarray variable."""
        return xr.Variable(dims, wrap(self), dict(attrs or {}))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.dtype} {self.shape}>"


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


#: Series kept in memory per process for repeated interpolation; the least recently used go first.
CACHE_BYTES = 512 << 20
_CACHE: OrderedDict[Hashable, tuple[np.ndarray, ...]] = OrderedDict()
_CACHE_LOCK = threading.Lock()


def cached(token: Hashable, load: Callable[[], tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    """The arrays that `load` gives, kept for the next caller with an equal token."""
    token = repr(token)
    with _CACHE_LOCK:
        if token in _CACHE:
            _CACHE.move_to_end(token)
            return _CACHE[token]
    arrays = load()
    with _CACHE_LOCK:
        _CACHE[token] = arrays
        while len(_CACHE) > 1 and sum(a.nbytes for v in _CACHE.values() for a in v) > CACHE_BYTES:
            _CACHE.popitem(last=False)
    return arrays


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

    def __dask_tokenize__(self) -> object:
        return (type(self).__name__, self.source, self.name, self.scale, self.offset)


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
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return self.base.shape[::-1]

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        return self.base.dtype

    def outer(self, key: Key) -> np.ndarray:
        return self.base.outer(key[::-1]).T

    def __dask_tokenize__(self) -> object:
        return (type(self).__name__, self.base.__dask_tokenize__())


@dataclass(frozen=True, repr=False)
class Stacked(LazyArray):
    """Lazy arrays of one shape side by side along a new last axis (one series per neuron)."""

    bases: tuple[LazyArray, ...]

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return (*self.bases[0].shape, len(self.bases))

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
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

    def __dask_tokenize__(self) -> object:
        return (type(self).__name__, [base.__dask_tokenize__() for base in self.bases])


@dataclass(frozen=True, repr=False, eq=False)
class Segments(LazyArray):
    """Stretches of a 1-D lazy array, one after another: the spikes of some of the units."""

    base: LazyArray
    starts: np.ndarray
    sizes: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return (int(self.sizes.sum()),)

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
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
        parts = []
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

    def __dask_tokenize__(self) -> object:
        return (type(self).__name__, self.base.__dask_tokenize__(), self.starts, self.sizes)


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
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return (len(self.places),)

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
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

    def __dask_tokenize__(self) -> object:
        return (type(self).__name__, self.base.__dask_tokenize__(), self.places)


@dataclass(frozen=True, repr=False)
class Regular(LazyArray):
    """The clock `start + k / rate` of `size` samples, computed where it is indexed."""

    start: float
    rate: float
    length: int

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return (self.length,)

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        return np.dtype("f8")

    def outer(self, key: Key) -> np.ndarray:
        (k,) = key
        steps = np.arange(k.start, k.stop, k.step) if isinstance(k, slice) else np.asarray(k)
        return self.start + steps / self.rate

    def __dask_tokenize__(self) -> object:
        return (type(self).__name__, self.start, self.rate, self.length)


def chunked(tree: xr.DataTree, chunks: Any) -> xr.DataTree:
    """Dask arrays on top of the data variables of a tree.

    Coordinates and tables of presentations stay: labels to group by may not be dask arrays.

    Parameters
    ----------
    tree : xr.DataTree
        Any tree.
    chunks : "auto", {} or dict
        As in xarray: {} takes the chunks of the file; dims that a node lacks are left out there.
    """
    from dask.base import tokenize

    def chunk(path: str, node: xr.DataTree) -> xr.Dataset:
        dataset = node.to_dataset(inherit=False)
        if schema.PRESENTATIONS in path.split("/"):
            return dataset
        made = {}
        for name, array in dataset.data_vars.items():
            sizes: Any = chunks
            if isinstance(chunks, Mapping):
                own = array.encoding.get("preferred_chunks", {})
                sizes = {dim: chunks.get(dim, own.get(dim, -1)) for dim in array.dims}
            data = unwrap(array.variable._data)
            token = f"{name}-{tokenize(data)}" if isinstance(data, LazyArray) else None
            made[name] = array.variable.chunk(sizes, name=token)
        return dataset.assign(made)

    return xr.DataTree.from_dict({p: chunk(p, node) for p, node in tree.subtree_with_keys})


# ------------------------------------------------------------------------------------- indexes


class _Aligned(type):
    """xarray aligns indexes only of equal types: to it, ours are a `PandasIndex`."""

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is PandasIndex

    def __hash__(cls) -> int:
        return hash(PandasIndex)


class ClockIndex(PandasIndex, metaclass=_Aligned):
    """An index over a clock that is read when somebody asks for a time, not on opening.

    Where its values are at hand (after a join, a concatenation, ...) xarray makes a plain
    `PandasIndex`, which it aligns with.
    """

    def __new__(cls, array: Any, dim: Hashable, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(array, LazyArray):
            return PandasIndex(array, dim, *args, **kwargs)
        return super().__new__(cls)

    def __init__(  # deliberately without super(): that would read the clock
        self,
        array: LazyArray,
        dim: Hashable,
        name: Hashable,
        attrs: Mapping[Any, Any] | None = None,
    ):
        self.array, self.dim, self.name, self.attrs = array, dim, name, dict(attrs or {})
        self.coord_dtype = array.dtype
        self._loaded: pd.Index | None = None

    @property
    def index(self) -> pd.Index:  # type: ignore[override]
        """The times; read here, once."""
        if self._loaded is None:
            self._loaded = pd.Index(self.array.load(), name=self.name)
        return self._loaded

    @classmethod
    def from_variables(
        cls, variables: Mapping[Any, xr.Variable], *, options: Mapping[str, Any]
    ) -> Any:
        ((name, variable),) = variables.items()
        data = unwrap(variable._data)
        if not isinstance(data, LazyArray):
            return PandasIndex.from_variables(variables, options=options)
        return cls(data, variable.dims[0], name, variable.attrs)

    def create_variables(
        self, variables: Mapping[Any, xr.Variable] | None = None
    ) -> dict[Any, xr.Variable]:
        old = (variables or {}).get(self.name)
        if old is not None and unwrap(old._data) is self.array:
            return {self.name: old}
        attrs = self.attrs if old is None else old.attrs
        return {self.name: self.array.variable((str(self.dim),), attrs)}

    def isel(self, indexers: Mapping[Any, Any]) -> PandasIndex | None:
        key = indexers[self.dim]
        if self._loaded is None and isinstance(key, slice):
            return type(self)(Sliced.of(self.array, key), self.dim, self.name, self.attrs)
        return super().isel(indexers)

    def equals(self, other: Index, **kwargs: Any) -> bool:
        if (
            isinstance(other, ClockIndex)
            and self.dim == other.dim
            and (self.array is other.array or self.array == other.array)
        ):
            return True
        return super().equals(other)

    def rename(
        self, name_dict: Mapping[Any, Hashable], dims_dict: Mapping[Any, Hashable]
    ) -> PandasIndex:
        dim, name = dims_dict.get(self.dim, self.dim), name_dict.get(self.name, self.name)
        return type(self)(self.array, dim, name, self.attrs)

    def _copy(self, deep: bool = True, memo: dict[int, Any] | None = None) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.array, self.dim, self.name, self.attrs)

    def _repr_inline_(self, max_width: int) -> str:
        return f"{type(self).__name__} ({self.array.shape[0]:,} times, read when needed)"

    def __repr__(self) -> str:
        return self._repr_inline_(80)


class UnitIndex(PandasIndex, metaclass=_Aligned):
    """An index over the units of a ragged array: a unit's label selects its spikes too.

    ``spikes.sel(unit_id=7)`` is one offset slice, O(units) memory and no labels per spike.
    ``spikes.isel(unit_id=...)`` takes rows and, as ``isel`` always does, leaves the spikes as they
    are; ``starts`` keeps where each unit's lie.
    """

    def __new__(cls, ids: Any, *args: Any, **kwargs: Any) -> Any:
        if "starts" not in kwargs:  # an index that xarray made from ours by a join or a roll
            return PandasIndex(ids, *args, **kwargs)
        return super().__new__(cls)

    def __init__(self, ids: Any, dim: Hashable, *, starts: np.ndarray, sizes: np.ndarray):
        super().__init__(ids, dim)
        self.starts, self.sizes = starts, sizes

    @classmethod
    def of(cls, ids: Any, dim: Hashable, sizes: np.ndarray) -> Self:
        """The index of units whose spikes lie one after another."""
        index: Self = cls(ids, dim, starts=np.cumsum(sizes, dtype=np.int64) - sizes, sizes=sizes)
        return index

    @classmethod
    def from_variables(
        cls, variables: Mapping[Any, xr.Variable], *, options: Mapping[str, Any]
    ) -> Self:
        ((name, variable),) = variables.items()
        ids = pd.Index(np.asarray(variable.values), name=name)
        return cls.of(ids, variable.dims[0], np.asarray(options["sizes"]))

    def sel(self, labels: dict[Any, Any], **options: Any) -> IndexSelResult:
        try:
            found = super().sel(labels, **options).dim_indexers[self.dim]
        except KeyError as error:
            (wanted,) = labels.values()
            missing = [k for k in np.atleast_1d(wanted).tolist() if k not in self.index]
            if not missing:
                raise
            raise NotInTree(
                "unit", missing[0] if len(missing) == 1 else missing, self.index
            ) from error
        if isinstance(found, xr.DataArray | xr.Variable):
            found = found.values
        if np.ndim(found) == 0 and not isinstance(found, slice):
            unit = int(found)
            spikes: Any = slice(int(self.starts[unit]), int(self.starts[unit] + self.sizes[unit]))
            return IndexSelResult({self.dim: found, schema.SPIKE: spikes})
        units = np.arange(self.sizes.size)[found]
        index = self.of(self.index[units], self.dim, self.sizes[units])
        name = self.index.name
        return IndexSelResult(
            {self.dim: found, schema.SPIKE: self._spikes(units)}, indexes={name: index}
        )

    def _spikes(self, units: np.ndarray) -> slice | np.ndarray:
        starts, ends = self.starts[units], self.starts[units] + self.sizes[units]
        if units.size and (starts[1:] == ends[:-1]).all():
            return slice(int(starts[0]), int(ends[-1]))
        parts = [np.arange(start, end) for start, end in zip(starts, ends, strict=True)]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def isel(self, indexers: Mapping[Any, Any]) -> PandasIndex | None:
        taken = super().isel(indexers)
        if taken is None or taken is self:
            return taken
        key = indexers[self.dim]
        key = key.values if isinstance(key, xr.Variable) else key
        starts, sizes = self.starts[key], self.sizes[key]
        return type(self)(taken.index, self.dim, starts=starts, sizes=sizes)

    def equals(self, other: Index, **kwargs: Any) -> bool:
        same = not isinstance(other, UnitIndex) or np.array_equal(self.sizes, other.sizes)
        return same and super().equals(other)

    def rename(
        self, name_dict: Mapping[Any, Hashable], dims_dict: Mapping[Any, Hashable]
    ) -> PandasIndex:
        renamed = super().rename(name_dict, dims_dict)
        return type(self)(renamed.index, renamed.dim, starts=self.starts, sizes=self.sizes)

    def _copy(self, deep: bool = True, memo: dict[int, Any] | None = None) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _unit_index, (self.index, self.dim, self.starts, self.sizes)

    def _repr_inline_(self, max_width: int) -> str:
        return (
            f"{type(self).__name__} ({self.sizes.size:,} units, {int(self.sizes.sum()):,} spikes)"
        )

    def __repr__(self) -> str:
        return self._repr_inline_(80)


def _unit_index(ids: Any, dim: Hashable, starts: np.ndarray, sizes: np.ndarray) -> UnitIndex:
    index: UnitIndex = UnitIndex(ids, dim, starts=starts, sizes=sizes)
    return index


def dataset(
    variables: Mapping[str, xr.Variable],
    coords: Mapping[str, xr.Variable] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """A node's dataset: no value is read, clocks on disk and units get their own indexes.

    Put together without xarray's merging: 0.05 ms instead of 1 ms, and archives have thousands.

    Raises
    ------
    ValueError
        If two variables differ in the size of a dimension.
    """
    made: dict[Hashable, Any] = dict(variables)
    indexes: dict[Hashable, Index] = {}
    for name, variable in (coords or {}).items():
        made[name] = variable
        if variable.dims == (name,):
            indexes[name] = index = _index_of(name, variable, variables)
            made |= index.create_variables({name: variable})
    sizes: dict[Hashable, int] = {}
    for name, variable in made.items():
        for dim, size in zip(variable.dims, variable.shape, strict=True):
            if sizes.setdefault(dim, size) != size:
                msg = f"{name} has {size} values along {dim}, others {sizes[dim]}"
                raise ValueError(msg)
    return xr.Dataset._construct_direct(
        made, set(coords or ()), dims=sizes, attrs=dict(attrs or {}), indexes=indexes
    )


def _index_of(name: str, variable: xr.Variable, others: Mapping[str, xr.Variable]) -> Index:
    """The index of a dimension's own coordinate."""
    one = {name: variable}
    if isinstance(unwrap(variable._data), LazyArray) and name == schema.TIME:
        return ClockIndex.from_variables(one, options={})
    if name == schema.UNIT and {"row_size", "spike_times"} <= set(others):
        sizes = others["row_size"].values
        if others["spike_times"].size == sizes.sum():
            return UnitIndex.from_variables(one, options={"sizes": sizes})
    return PandasIndex.from_variables(one, options={})


# ------------------------------------------------------------------------------------- readers


class Reader(BackendEntrypoint):
    """Base of every reader: an xarray backend for one family of datasets.

    A reader writes two methods, `guess_can_open` and `open_groups_as_dict`, and names its
    options as keyword-only parameters of the second, each with a default; they are stated
    nowhere else. `catalog` may be overridden where it can be had without opening groups.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    url: ClassVar[str] = ""
    supports_groups: ClassVar[bool] = True
    open_dataset_parameters: ClassVar[Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "open_groups_as_dict" in vars(cls):
            names = ["filename_or_obj", "drop_variables", "group", *cls.options()]
            cls.open_dataset_parameters = tuple(names)

    @classmethod
    def options(cls) -> dict[str, Any]:
        """The reader's options and their defaults."""
        parameters = inspect.signature(cls.open_groups_as_dict).parameters.values()
        keyword = inspect.Parameter.KEYWORD_ONLY
        hidden = ("drop_variables",)
        return {p.name: p.default for p in parameters if p.kind is keyword and p.name not in hidden}

    @abstractmethod
    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Whether this reader reads the path; looks at a header or marker, never raises."""

    @abstractmethod
    def open_groups_as_dict(
        self, filename_or_obj: Any, *, drop_variables: Any = None
    ) -> dict[str, xr.Dataset]:
        """Node path -> dataset, lazy; "/" holds the attributes of the tree."""

    def open_datatree(self, filename_or_obj: Any, **options: Any) -> xr.DataTree:
        """The whole tree."""
        groups = self.open_groups_as_dict(filename_or_obj, **self._checked(options))
        return xr.DataTree.from_dict(groups)

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: Any = None,
        group: str | None = None,
        **options: Any,
    ) -> xr.Dataset:
        """One node; `group` is its path."""
        options = self._checked(options)
        groups = self.open_groups_as_dict(filename_or_obj, drop_variables=drop_variables, **options)
        wanted = "/" + (group or "").strip("/")
        by_path = {"/" + path.strip("/"): node for path, node in groups.items()}
        if wanted not in by_path:
            raise NotInTree("group", wanted, by_path)
        return by_path[wanted]

    def _checked(self, options: dict[str, Any]) -> dict[str, Any]:
        unknown = set(options) - set(self.options()) - {"drop_variables"}
        if unknown:
            msg = (
                f"the reader {self.name!r} has no option {shorten(sorted(unknown))}; its options "
                f"are {shorten(self.options())}"
            )
            raise TypeError(msg)
        return options

    def catalog(self, filename_or_obj: Any) -> list[dict[str, Any]]:
        """A row per session and area, from metadata only."""
        return catalog_rows(self.open_groups_as_dict(filename_or_obj))


def catalog_rows(groups: Mapping[str, xr.Dataset]) -> list[dict[str, Any]]:
    """Rows of the catalog from opened groups: what is in each area, in numbers."""
    kind = schema.kind_of(groups["/"].attrs)
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    sessions: dict[str, dict[str, Any]] = {}
    clean = {path.strip("/"): node for path, node in groups.items() if path.strip("/")}
    for path, node in clean.items():
        has_children = any(other.startswith(path + "/") for other in clean)
        role = schema.role_of(kind, path, node.data_vars, node.dims, has_children)
        parent, _, leaf = path.rpartition("/")
        area = path if role == "area" else parent
        if role == "table" and kind == schema.RECORDING:
            session = sessions.setdefault(parent.rpartition("/")[0], {})
            session.setdefault("presentations", {})[leaf] = node.sizes.get(schema.PRESENTATION, 0)
        elif role in ("spikes", "area") or schema.UNIT in node.sizes:
            session_path, _, area_name = area.rpartition("/")
            block, _, name = session_path.rpartition("/")
            row = rows.setdefault((session_path, area_name), {
                "block": block, "session": name, "area": area_name, "units": 0,
            })  # fmt: skip
            row["units"] = max(row["units"], node.sizes.get(schema.UNIT, 0))
            for dim, column in (
                (schema.SPIKE, "spikes"), (schema.PRESENTATION, "presentations"),
                (schema.TIME, "times"),
            ):  # fmt: skip
                if dim in node.sizes:
                    row[column] = node.sizes[dim]
        elif role == "session" or "/" not in path:
            sessions.setdefault(path, {})
    for session_path, facts in sessions.items():
        block, _, name = session_path.rpartition("/")
        mine = [row for key, row in rows.items() if key[0] == session_path]
        if not mine:
            mine = [{"block": block, "session": name, "area": "", "units": 0}]
            if not any(key[0].startswith(session_path + "/") for key in rows):
                rows[session_path, ""] = mine[0]
        tables = facts.get("presentations", {})
        for row in mine if tables else ():
            row["presentations"] = ", ".join(f"{name} ({n})" for name, n in tables.items())
    return list(rows.values())


def chosen(names: Iterable[str], wanted: str | Sequence[str] | None, kind: str) -> list[str]:
    """The names that a name, list or glob picks; all for None.

    Raises
    ------
    NotInTree
        If something asked for picks nothing.
    """
    names = list(names)
    if wanted is None:
        return names
    for pattern in [wanted] if isinstance(wanted, str) else wanted:
        if not any(matches(name, pattern) for name in names):
            raise NotInTree(kind, pattern, names)
    return [name for name in names if matches(name, wanted)]


def matches(name: str, wanted: str | Sequence[str]) -> bool:
    """Whether a name is one asked for, or fits a glob asked for."""
    patterns = [wanted] if isinstance(wanted, str) else wanted
    return any(name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def paths_of(path_or_paths: Any, accepts: Callable[[Path], bool]) -> list[Path]:
    """The files a path stands for: itself, the members of a list, or those found in a folder."""
    if isinstance(path_or_paths, str | os.PathLike):
        path = Path(path_or_paths)
        if path.is_dir() and not accepts(path) and not is_zarr(path):  # a store is one file
            return sorted(child for child in path.iterdir() if accepts(child))
        return [path]
    return [Path(path) for path in path_or_paths]
