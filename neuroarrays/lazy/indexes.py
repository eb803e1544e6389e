"""The two indexes of the trees, over clocks and units. Imports half-private parts of xarray."""

from __future__ import annotations

from collections.abc import Container, Hashable, Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
import xarray as xr
from xarray.core.indexes import Index, PandasIndex
from xarray.core.indexing import IndexSelResult

from neuroarrays import schema
from neuroarrays.errors import NotInTree, many
from neuroarrays.lazy.arrays import LazyArray, array_of
from neuroarrays.lazy.views import sliced


class _Aligned(type):
    """xarray aligns indexes only of equal types: to it, ours are a `PandasIndex`."""

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is PandasIndex

    def __hash__(cls) -> int:
        return hash(PandasIndex)


class ClockIndex(PandasIndex, metaclass=_Aligned):
    """An index over a clock. The clock is read when a time is looked up, not on opening.

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
    def index(self) -> pd.Index:
        """The times; read here, once."""
        if self._loaded is None:
            self._loaded = pd.Index(self.array.load(), name=self.name)
        return self._loaded

    @classmethod
    def from_variables(
        cls, variables: Mapping[Any, xr.Variable], *, options: Mapping[str, Any]
    ) -> Any:
        ((name, variable),) = variables.items()
        data = array_of(variable)
        if not isinstance(data, LazyArray):
            return PandasIndex.from_variables(variables, options=options)
        return cls(data, variable.dims[0], name, variable.attrs)

    def create_variables(
        self, variables: Mapping[Any, xr.Variable] | None = None
    ) -> dict[Any, xr.Variable]:
        old = (variables or {}).get(self.name)
        if old is not None and array_of(old) is self.array:
            return {self.name: old}
        attrs = self.attrs if old is None else old.attrs
        return {self.name: self.array.variable((str(self.dim),), attrs)}

    def isel(self, indexers: Mapping[Any, Any]) -> PandasIndex | None:
        key = indexers[self.dim]
        if self._loaded is None and isinstance(key, slice):
            return type(self)(sliced(self.array, key), self.dim, self.name, self.attrs)
        return super().isel(indexers)

    def equals(self, other: Index, **kwargs: Any) -> bool:
        if (
            isinstance(other, ClockIndex)
            and self.dim == other.dim
            and (self.array is other.array or self.array == other.array)
        ):
            return True
        return bool(super().equals(other))

    def rename(self, name_dict: Mapping[Any, Hashable], dims_dict: Mapping[Any, Hashable]) -> Self:
        dim, name = dims_dict.get(self.dim, self.dim), name_dict.get(self.name, self.name)
        return type(self)(self.array, dim, name, self.attrs)

    def _copy(self, deep: bool = True, memo: dict[int, Any] | None = None) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.array, self.dim, self.name, self.attrs)

    def _repr_inline_(self, max_width: int) -> str:
        return repr(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__} ({many(self.array.shape[0], 'time')}, read when needed)"


class _Spikes(str):
    """The dimension of spikes, as xarray's error quotes it where an array is selected that has no spikes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return (
            f"{str(self)!r} (this array has no spikes, which a unit's label selects too: select from "
            f"the dataset first, as in node.sel({schema.UNIT}=7)[name], or take rows by isel)"
        )


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

    def sel(
        self, labels: dict[Any, Any], method: Any = None, tolerance: Any = None
    ) -> IndexSelResult:
        try:
            positions = super().sel(labels, method, tolerance).dim_indexers[self.dim]
        except KeyError as error:
            (wanted,) = labels.values()
            if isinstance(wanted, slice):
                wanted = [end for end in (wanted.start, wanted.stop) if end is not None]
            missing = [k for k in np.ravel(wanted).tolist() if k not in self.index]
            if not missing:
                raise
            raise NotInTree(
                "unit", missing[0] if len(missing) == 1 else missing, self.index
            ) from error
        if isinstance(positions, xr.DataArray | xr.Variable):
            positions = positions.values
        if np.ndim(positions) == 0 and not isinstance(positions, slice):
            unit = int(positions)
            spikes: Any = slice(int(self.starts[unit]), int(self.starts[unit] + self.sizes[unit]))
            return IndexSelResult({self.dim: positions, _Spikes(schema.SPIKE): spikes})
        units = np.arange(self.sizes.size)[positions]
        index = self.of(self.index[units], self.dim, self.sizes[units])
        name = self.index.name
        return IndexSelResult(
            {self.dim: positions, _Spikes(schema.SPIKE): self._spikes(units)},
            indexes={name: index},
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

    def reindex_like(self, other: Any, method: Any = None, tolerance: Any = None) -> dict[Any, Any]:
        """Positions of the units of another index, and of their spikes: units take their spikes along."""
        positions = super().reindex_like(other, method, tolerance)[self.dim]
        units = np.asarray(positions)
        if np.array_equal(units, np.arange(self.sizes.size)):
            return {self.dim: positions}
        spikes = self._spikes(units[units >= 0])
        rows = np.arange(spikes.start, spikes.stop) if isinstance(spikes, slice) else spikes
        return {self.dim: positions, schema.SPIKE: rows}

    def roll(self, shifts: Mapping[Any, int]) -> Self:
        order = np.roll(np.arange(self.sizes.size), shifts[self.dim])
        starts, sizes = self.starts[order], self.sizes[order]
        return type(self)(self.index[order], self.dim, starts=starts, sizes=sizes)

    @property
    def in_turn(self) -> bool:
        """Whether the spikes of the units lie one after another, as they do in a spikes node.

        They do not where ``isel``, ``sortby`` or ``roll`` moved the units and left the spikes.
        """
        return np.array_equal(self.starts, np.cumsum(self.sizes) - self.sizes)

    def equals(self, other: Index, **kwargs: Any) -> bool:
        same = not isinstance(other, UnitIndex) or np.array_equal(self.sizes, other.sizes)
        return same and bool(super().equals(other))

    def rename(self, name_dict: Mapping[Any, Hashable], dims_dict: Mapping[Any, Hashable]) -> Self:
        renamed = super().rename(name_dict, dims_dict)  # type: ignore[no-untyped-call]
        return type(self)(renamed.index, renamed.dim, starts=self.starts, sizes=self.sizes)

    def _copy(self, deep: bool = True, memo: dict[int, Any] | None = None) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _unit_index, (self.index, self.dim, self.starts, self.sizes)

    def _repr_inline_(self, max_width: int) -> str:
        return repr(self)

    def __repr__(self) -> str:
        units, spikes = many(self.sizes.size, "unit"), many(int(self.sizes.sum()), "spike")
        return f"{type(self).__name__} ({units}, {spikes})"


def _unit_index(ids: Any, dim: Hashable, starts: np.ndarray, sizes: np.ndarray) -> UnitIndex:
    index: UnitIndex = UnitIndex(ids, dim, starts=starts, sizes=sizes)
    return index


def form_of(index: Index) -> str:
    """The kind of an index: "clock", "units", or "plain" for one of xarray's own."""
    if type(index) is ClockIndex:  # by identity: `_Aligned` makes them equal to a `PandasIndex`
        return "clock"
    return "units" if type(index) is UnitIndex else "plain"


def usual_form(name: Hashable, names: Container[Hashable], lazy_clock: bool) -> str:
    """Which index a dimension's coordinate has when a node of these variables is opened."""
    if name == schema.TIME and lazy_clock:
        return "clock"
    ragged = name == schema.UNIT and schema.ROW_SIZE in names and schema.SPIKE_TIMES in names
    return "units" if ragged else "plain"


def dataset(
    variables: Mapping[str, xr.Variable],
    coords: Mapping[str, xr.Variable] | None = None,
    attrs: Mapping[str, Any] | None = None,
    plain: Container[str] = (),
) -> xr.Dataset:
    """A node's dataset: no value is read, clocks on disk and units get their own indexes.

    Put together without xarray's merging: 0.05 ms instead of 1 ms, and archives have thousands.
    Coordinates in `plain` get an index of xarray's own all the same.

    Raises
    ------
    ValueError
        If two variables differ in the size of a dimension.
    """
    members: dict[Hashable, Any] = {}
    members.update(variables)
    indexes: dict[Hashable, Index] = {}
    for name, variable in (coords or {}).items():
        members[name] = variable
        if variable.dims == (name,):
            others = {} if name in plain else variables
            indexes[name] = index = _index_of(name, variable, others)
            members |= index.create_variables({name: variable})
    sizes: dict[Hashable, int] = {}
    for label, variable in members.items():
        for dim, size in zip(variable.dims, variable.shape, strict=True):
            if sizes.setdefault(dim, size) != size:
                msg = f"{label} has {size} values along {dim}, others {sizes[dim]}"
                raise ValueError(msg)
    return xr.Dataset._construct_direct(
        members, set(coords or ()), dims=sizes, attrs=dict(attrs or {}), indexes=indexes
    )


def _index_of(name: str, variable: xr.Variable, others: Mapping[str, xr.Variable]) -> Index:
    """The index of a dimension's own coordinate."""
    coordinate = {name: variable}
    form = usual_form(name, others, isinstance(array_of(variable), LazyArray))
    if form == "clock":
        clock: Index = ClockIndex.from_variables(coordinate, options={})
        return clock
    if form == "units":
        sizes = others[schema.ROW_SIZE].values
        if others[schema.SPIKE_TIMES].size == sizes.sum():
            return UnitIndex.from_variables(coordinate, options={"sizes": sizes})
    index: Index = PandasIndex.from_variables(coordinate, options={})
    return index
