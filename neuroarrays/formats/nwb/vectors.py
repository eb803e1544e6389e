"""Lists of numbers in an NWB file: ids, row numbers, ends of rows, and times in s.

MATLAB has no lists: what it writes may be one row, one column, or a single value of shape ().
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files.source import Info, Source
from neuroarrays.formats.clocks import seconds, units_per_second
from neuroarrays.lazy.arrays import LazyArray, file_array
from neuroarrays.lazy.views import InMemory, Taken


def as_list(info: Info) -> Info:
    """Return the shape of one row, one column or one value as that of a list; others as they are."""
    is_matrix = len(info.shape) == 2 and 1 in info.shape
    if info.shape != () and not is_matrix:
        return info
    return replace(info, shape=(int(np.prod(info.shape, dtype=object)),), chunks=None)


def list_info(source: Source, path: str) -> Info | None:
    """Return shape and dtype of a list of values; None if there is no array."""
    info = source.info(path)
    return None if info is None else as_list(info)


def length(source: Source, path: str) -> int | None:
    """Return the number of values of a list; None if there is no list."""
    info = list_info(source, path)
    return info.shape[0] if info is not None and len(info.shape) == 1 else None


def read_list(source: Source, path: str) -> np.ndarray:
    """Return the values of a list, (n,); of an array of more axes, all values as they are."""
    values = source.read(path)
    return values.reshape(as_list(Info(values.shape, values.dtype, None)).shape)


def list_array(source: Source, path: str) -> LazyArray:
    """Return a list as a lazy array, (n,); an array of more axes as it is."""
    array = file_array(source, path)
    if array.shape == ():
        return InMemory(np.reshape(source.read(path), 1))
    if len(array.shape) == 2 and 1 in array.shape:
        return Taken(array, 0, 1 if array.shape[1] == 1 else 0)
    return array


def times(source: Source, path: str) -> LazyArray:
    """Return times as a lazy list, (n,) float in s.

    They may be stored as whole numbers, or in a unit that the attribute `unit` states, such as ms.

    Raises
    ------
    FormatError
        If it holds no numbers.
    """
    array = list_array(source, path)
    if array.dtype.kind not in "iuf":
        raise FormatError(source.path, f"/{path}", "numbers", f"values of type {array.dtype}")
    rate = units_per_second(source.attr(path, "unit"))
    if rate != 1.0 or array.dtype.kind != "f":
        return seconds(array, rate)
    return array
