"""Lazy arrays that the retina readers need: converted, joined, cut and scaled numbers."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import members
from neuroarrays.files.headers import Header
from neuroarrays.lazy.arrays import FileArray, LazyArray, file_array
from neuroarrays.lazy.computed import Computed, Elementwise, as_dtype
from neuroarrays.lazy.views import Joined, Taken, sliced


def npy_array(path: str | os.PathLike[str] | Header) -> FileArray:
    """Return the lazy array of an npy file; only its header is read.

    Raises
    ------
    FormatError
        If it is no npy file of numbers, or is cut short.
    """
    source = members.npy_source(path)
    if source.member.dtype.kind not in "iufb":
        problem = f"values of dtype {source.member.dtype}"
        raise FormatError(source.path, expected="numbers", found=problem)
    return file_array(source, source.name)


def floats(array: LazyArray) -> LazyArray:
    """Return an array as floats: float32 for one- and two-byte integers, float64 for larger ones."""
    if array.dtype.kind == "f":
        return array
    return as_dtype(array, np.dtype("f4" if array.dtype.itemsize <= 2 else "f8"))


def pixels(array: LazyArray) -> LazyArray:
    """Return an array if it has floats or unsigned integers, otherwise as float32."""
    return array if array.dtype.kind in "uf" else as_dtype(array, np.dtype("f4"))


def scaled(array: LazyArray, factor: float) -> LazyArray:
    """Return an array of floats multiplied by a number."""
    return Elementwise(_times, (array,), array.dtype, (factor,))


def _times(values: np.ndarray, factor: float) -> np.ndarray:
    return np.asarray(values * factor)


def column(table: LazyArray, number: int, dtype: np.dtype) -> LazyArray:
    """Return a column of a table (row, column) in another dtype; NaN becomes 0 in integers."""
    return Elementwise(_numbers, (Taken(table, number, 1),), dtype, (dtype,))


def _numbers(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return np.where(np.isfinite(values), values, 0) if dtype.kind in "iu" else values


def repeated(values: np.ndarray, times: int) -> LazyArray:
    """Return labels of trials as labels of their frames, (trial x frame,)."""
    return Computed(_repeated, (values.size * times,), values.dtype, (values, times))


def _repeated(frames: np.ndarray, values: np.ndarray, times: int) -> np.ndarray:
    return np.asarray(values[frames // times])


def cut(array: LazyArray, length: int) -> LazyArray:
    """Return the first rows of an array."""
    return array if array.shape[0] <= length else sliced(array, slice(length))


def joined(parts: Sequence[LazyArray], path: str | os.PathLike[str], where: str) -> LazyArray:
    """Concatenate arrays along their first axis.

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
