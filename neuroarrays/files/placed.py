"""Read parts of arrays that are stored unpacked: npy files, stored members of zips, pickled arrays.

From the shape, dtype, order and offset of an array, and an outer key, the reader computes the ranges
of bytes to read. Values that are close together are read at once. Short runs that are far apart are
read one by one. For all other keys the file is mapped into memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import outer
from neuroarrays.files.location import Location, Stamp
from neuroarrays.files.outer import Key
from neuroarrays.files.positioned import PositionedFile

#: Runs that are further apart than these bytes are read one by one, up to this number of runs.
_FAR, _RUNS = 1 << 14, 1 << 16


@dataclass(frozen=True)
class Member:
    """One array of a file.

    Attributes
    ----------
    dtype : np.dtype
        Type of the values, in the byte order of the file.
    shape : tuple of int
        Shape of the array.
    fortran : bool
        Whether the first axis varies fastest in the file.
    offset : int
        The position of the first value, in bytes; -1 for an array that has to be unpacked.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    fortran: bool = False
    offset: int = -1

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize


def read(
    location: Location,
    known: Stamp,
    name: str,
    member: Member,
    key: Key,
    verify: Callable[[PositionedFile, np.ndarray], None] = lambda _file, _values: None,
) -> np.ndarray:
    """Read the values that a normalised outer key picks of an unpacked array.

    Parameters
    ----------
    location, known : Location, tuple of int
        The file, and its stamp.
    name : str
        Name of the array, for messages.
    member : Member
        The array in the file.
    key : tuple of int, slice or (n,) int64 array
        One entry for each axis.
    verify : callable, optional
        Called with the open file and all values, in their order in the file, if all are read.

    Raises
    ------
    FormatError
        If the file has changed, or is shorter than the array.
    """
    if member.nbytes == 0:
        return outer.copy(np.empty(member.shape, member.dtype), key)
    with location.open(known) as file:
        if member.offset + member.nbytes > known[1]:
            raise FormatError(location.path, name, f"{member.nbytes:,} bytes of values", "fewer")
        if outer.is_whole(key, member.shape):
            return _whole(file, name, member, verify)
        picked = _stretch(file, member, key)
        if picked is None:
            picked = _runs_apart(file, member, key)
        if picked is not None:
            return picked
        mapped = file.mapped()
        if mapped is None:
            picked = _stretch(file, member, key, anyway=True)
            if picked is None:
                raise FormatError(
                    location.path, name, f"{member.nbytes:,} bytes of values", "fewer"
                )
            return picked
        with mapped:
            values = view(mapped, member)
            picked = outer.copy(values, key)
            del values  # A map cannot be closed while an array uses it.
            return picked


def view(buffer: Any, member: Member) -> np.ndarray:
    """The array as a view of the bytes of its file."""
    order: Literal["F", "C"] = "F" if member.fortran else "C"
    return np.ndarray(member.shape, member.dtype, buffer, member.offset, order=order)


def _whole(
    file: PositionedFile,
    name: str,
    member: Member,
    verify: Callable[[PositionedFile, np.ndarray], None],
) -> np.ndarray:
    """Read all values at once, which is faster than mapping the file."""
    flat = np.empty(math.prod(member.shape), member.dtype)
    if file.fill([flat.view(np.uint8).data], member.offset) < flat.nbytes:
        raise FormatError(file.path, name, f"{flat.nbytes:,} bytes of values", "fewer")
    verify(file, flat)
    values = flat.reshape(member.shape, order="F" if member.fortran else "C")
    return values.astype(member.dtype.newbyteorder("="), order="C", copy=False)


def _stretch(
    file: PositionedFile, member: Member, key: Key, anyway: bool = False
) -> np.ndarray | None:
    """Read the range of bytes that has all picked values, and pick them.

    Returns None if most of the range is not needed, unless `anyway` is True; and if the file ends
    before.
    """
    stretch = Stretch.of(member.dtype, member.shape, member.fortran, key)
    size = stretch.stop - stretch.start
    if not anyway and size > max(_FAR, 2 * math.prod(stretch.shape) * member.dtype.itemsize):
        return None
    buffer = np.empty(size, np.uint8)
    if file.fill([buffer.data], member.offset + stretch.start) < size:
        return None  # The file was cut; mapping it raises the error.
    values = stretch.select(buffer)
    return values.astype(values.dtype.newbyteorder("="), order="C", copy=False)


def _runs_apart(file: PositionedFile, member: Member, key: Key) -> np.ndarray | None:
    """Read picked values that are in short runs far apart, such as some frames of all units.

    A map of the file would read all that is between the runs. Returns None if a map is as good.
    """
    shape, keys = member.shape, key
    if member.fortran:
        shape, keys = shape[::-1], key[::-1]
    axis = len(shape) - 1
    while axis > 0 and outer.is_whole(keys[axis:], shape[axis:]):
        axis -= 1
    if axis < 1:
        return None
    low, high, cut = outer.span(keys[axis])
    n_inner, itemsize = math.prod(shape[axis + 1 :]), member.dtype.itemsize
    run_length, row_length = (high - low) * n_inner, shape[axis] * n_inner
    if 2 * run_length > row_length or row_length * itemsize < _FAR:
        return None
    rows = np.zeros((), np.int64)
    for k, n in zip(keys[:axis], shape, strict=False):
        rows = rows[..., None] * n + outer.positions(k)
    if not 0 < rows.size <= _RUNS:
        return None
    runs = np.empty((rows.size, run_length), member.dtype)
    first_values = rows.ravel() * row_length + low * n_inner
    offsets = (member.offset + first_values * itemsize).tolist()
    file.prefetch([(offset, run_length * itemsize) for offset in offsets])
    parts = [(offset, [run.view(np.uint8).data]) for offset, run in zip(offsets, runs, strict=True)]
    if sum(file.readv(parts)) < runs.nbytes:
        return None  # The file was cut; mapping it raises the error.
    values = runs.reshape(*rows.shape, high - low, *shape[axis + 1 :])
    inner_key = (*outer.dropping_ints(keys[:axis]), cut, *(slice(None) for _ in keys[axis + 1 :]))
    if member.fortran:
        return outer.copy(values.T, inner_key[::-1])
    return outer.copy(values, inner_key)


@dataclass(frozen=True)
class Stretch:
    """The range of bytes that has all values of an outer key, and the key of the values in it.

    It is the same for all files of one layout.

    Attributes
    ----------
    start, stop : int
        First byte of the range, and the byte after its last, counted from the first value.
    lengths : tuple of int
        Shape of the values in the range, with the axes in the order of the file.
    key : tuple
        Outer key of the picked values in the range, with the axes in the order of the file.
    shape : tuple of int
        Shape of the result.
    fortran : bool
        Whether the axes of the file are in reversed order.
    whole : bool
        Whether the result has all bytes of the file in their order.
    dtype : np.dtype
        Type of the values, in the byte order of the file.
    """

    start: int
    stop: int
    lengths: tuple[int, ...]
    key: Key
    shape: tuple[int, ...]
    fortran: bool
    whole: bool
    dtype: np.dtype

    @classmethod
    def of(cls, dtype: np.dtype, shape: tuple[int, ...], fortran: bool, key: Key) -> Stretch:
        """Compute the range for the layout of a file and a normalised outer key."""
        result = outer.result_shape(key, shape)
        whole = outer.is_whole(key, shape) and not fortran and dtype.isnative
        lengths, entries = list(shape), list(key)
        if fortran:
            lengths.reverse()
            entries.reverse()
        start, step = 0, math.prod(shape) * dtype.itemsize
        stop = step
        for axis, n in enumerate(lengths):
            step = step // n if n else 0
            low, high, entries[axis] = outer.span(entries[axis])
            start, stop = start + low * step, start + high * step
            lengths[axis] = high - low
            if high - low != 1:
                break
        return cls(start, stop, tuple(lengths), tuple(entries), result, fortran, whole, dtype)

    def select(self, buffer: np.ndarray) -> np.ndarray:
        """Pick the values from the bytes of the range."""
        values = outer.take(buffer.view(self.dtype).reshape(self.lengths), self.key)
        return values.T if self.fortran else values
