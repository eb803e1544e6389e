"""Short labels that a tree shows where it is printed. Uses half-private parts of xarray."""

from __future__ import annotations

from dataclasses import fields
from html import escape
from typing import Any

import numpy as np
import xarray as xr
from xarray.core import formatting, indexing

from neuroarrays.errors import NeuroArraysError
from neuroarrays.files.source import Source
from neuroarrays.lazy.arrays import LazyArray, array_of, is_behind_address, unwrap
from neuroarrays.lazy.computed import RegularClock

#: Labels along more entries are not read where a tree is printed.
SHORT = 1_000
#: Nor are those for which more values of a file have to be read: a unit's area in the table of all units.
READ = 10_000


class Labels(indexing.ExplicitlyIndexedNDArrayMixin):
    """Values along one dimension that are kept once they are read, and printed if that is cheap.

    xarray prints ``...`` for everything lazy. Whoever looks at a tree wants to see which areas and
    which orientations there are, and a short array of a local file takes a tenth of a millisecond.

    As in xarray's own wrapper, values that were read stand in place of the lazy array. A regular clock
    stays: it is still known as one after somebody has looked at its times. The class is no
    `MemoryCachedArray`, which `Variable.copy` takes apart: a copied tree shows its labels too.
    """

    __slots__ = ("array",)

    def __init__(self, array: Any) -> None:
        self.array = indexing.as_indexable(array)

    def get_duck_array(self) -> Any:
        values = self.array.get_duck_array()
        if not isinstance(unwrap(self.array), RegularClock):
            self.array = indexing.as_indexable(values)
        return values

    async def async_get_duck_array(self) -> Any:
        return self.get_duck_array()

    def _own(self) -> None:
        """Put the values in place of the lazy array, because one of them is set."""
        self.array = indexing.as_indexable(np.array(self.get_duck_array()))

    def __getitem__(self, indexer: Any) -> Labels:
        return type(self)(self.array[indexer])

    def _oindex_get(self, indexer: Any) -> Labels:
        return type(self)(self.array.oindex[indexer])

    def _vindex_get(self, indexer: Any) -> Labels:
        return type(self)(self.array.vindex[indexer])

    def transpose(self, order: Any) -> Any:
        return self.array.transpose(order)

    def __setitem__(self, indexer: Any, value: Any) -> None:
        self._own()
        self.array[indexer] = value

    def _oindex_set(self, indexer: Any, value: Any) -> None:
        self._own()
        self.array.oindex[indexer] = value

    def _vindex_set(self, indexer: Any, value: Any) -> None:
        self._own()
        self.array.vindex[indexer] = value

    def _printable(self) -> np.ndarray | None:
        """The values if they may be read to be printed; None where they are many or the file is gone."""
        if self.size > SHORT or not is_cheap(self.array):
            return None
        try:
            return np.asarray(self)
        except (NeuroArraysError, OSError):  # whoever asks for values is told
            return None

    def _repr_inline_(self, max_width: int) -> str:
        values = self._printable()
        text: str = "..." if values is None else formatting.format_array_flat(values, max_width)
        return text

    def _repr_html_(self) -> str:
        """What a notebook shows of one variable; for printed text xarray asks its own classes only."""
        values = self._printable()
        if values is None:
            text = f"[{self.size} values with dtype={self.dtype}]"
        else:
            text = formatting.short_array_repr(values)
        return f"<pre>{escape(text)}</pre>"


def is_cheap(array: Any) -> bool:
    """Whether all values may be read to print them: in memory, or few and in a local file."""
    while isinstance(array, indexing.ExplicitlyIndexed) and not isinstance(array, LazyArray):
        array = getattr(array, "array", None)
    if isinstance(array, LazyArray):
        return _values_to_read(array) <= READ and not is_behind_address(array)
    return isinstance(array, np.ndarray)


def _values_to_read(part: Any) -> float:
    """How many values of files an array is made of; infinite where that cannot be told."""
    if isinstance(part, LazyArray):
        parts = [getattr(part, field.name) for field in fields(part)]
        if any(isinstance(inner, Source) for inner in parts):
            return float(np.prod(part.shape))
        return sum(map(_values_to_read, parts)) if len(parts) else np.inf
    if isinstance(part, tuple | list):
        return sum(map(_values_to_read, part))
    return 0 if isinstance(part, _PLAIN) else np.inf


_PLAIN = (np.ndarray, np.generic, np.dtype, int, float, str, bytes, slice, type(None))


def show_labels(node: xr.DataTree) -> None:
    """Have the short variables of a new node along one dimension shown where it is printed.

    Regular clocks are wrapped at any length, so that reading their times does not make them irregular.
    """
    labels: Any = Labels  # xarray's own class has no types
    for variable in node.to_dataset(inherit=False)._variables.values():
        data: Any = variable._data
        if len(variable._dims) != 1:
            continue
        if variable.shape[0] > SHORT and not isinstance(array_of(variable), RegularClock):
            continue
        if isinstance(data, Labels | indexing.MemoryCachedArray):  # each tree has values of its own
            variable._data = labels(data.array)
        elif isinstance(data, indexing.LazilyIndexedArray):
            variable._data = labels(data)
