"""Values that lie in a file as they are (npy, stored members of zips, pickled arrays): ranges of them.

One reader for all of them: from shape, dtype, order and offset, and an outer key, it makes the ranges
of bytes that are read. What lies together is read at once, short runs far apart run by run, the rest
is mapped.
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

#: Bytes from run to run from which on each is read by itself, and how many are.
_FAR, _RUNS = 1 << 14, 1 << 16


@dataclass(frozen=True)
class Member:
    """One array of a file.

    Attributes
    ----------
    dtype, shape, fortran : np.dtype, tuple of int, bool
        As in the file, in its byte order.
    offset : int
        Where the values begin, in bytes; -1 for a member that has to be unpacked.
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
    """What a normalised outer key picks of an array that lies in a file as it is.

    Parameters
    ----------
    location, known : Location, tuple of int
        The file, and its stamp.
    name : str
        Of the array, for messages.
    member : Member
        Where it lies.
    key : tuple of int, slice or (n,) int64 array
        One entry per axis.
    verify : callable, optional
        Told the open file and all values, as they lie there, when all are read.

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
        with mapped:  # a map, or a part of one
            values = view(mapped, member)
            picked = outer.copy(values, key)
            del values  # the map can be closed
            return picked


def view(buffer: Any, member: Member) -> np.ndarray:
    """The array over the bytes of its file."""
    order: Literal["F", "C"] = "F" if member.fortran else "C"
    return np.ndarray(member.shape, member.dtype, buffer, member.offset, order=order)


def _whole(
    file: PositionedFile,
    name: str,
    member: Member,
    verify: Callable[[PositionedFile, np.ndarray], None],
) -> np.ndarray:
    """All values in one read, which is faster than mapping every page."""
    flat = np.empty(math.prod(member.shape), member.dtype)
    if file.fill([flat.view(np.uint8).data], member.offset) < flat.nbytes:
        raise FormatError(file.path, name, f"{flat.nbytes:,} bytes of values", "fewer")
    verify(file, flat)
    values = flat.reshape(member.shape, order="F" if member.fortran else "C")
    return values.astype(member.dtype.newbyteorder("="), order="C", copy=False)


def _stretch(
    file: PositionedFile, member: Member, key: Key, anyway: bool = False
) -> np.ndarray | None:
    """The indexed values in one read of the range that holds them.

    None where most of it is not wanted, unless `anyway`; and where the file ends before.
    """
    stretch = Stretch.of(member.dtype, member.shape, member.fortran, key)
    size = stretch.stop - stretch.start
    if not anyway and size > max(_FAR, 2 * math.prod(stretch.shape) * member.dtype.itemsize):
        return None
    buffer = np.empty(size, np.uint8)
    if file.fill([buffer.data], member.offset + stretch.start) < size:
        return None  # cut meanwhile: mapping it says so
    values = stretch.select(buffer)
    return values.astype(values.dtype.newbyteorder("="), order="C", copy=False)


def _runs_apart(file: PositionedFile, member: Member, key: Key) -> np.ndarray | None:
    """The indexed values where they lie in short runs far apart, such as some frames of all units.

    A map of the file would bring in what lies between them. None where it is as good.
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
    inside, size = math.prod(shape[axis + 1 :]), member.dtype.itemsize
    run, row = (high - low) * inside, shape[axis] * inside
    if 2 * run > row or row * size < _FAR:
        return None
    starts = np.zeros((), np.int64)
    for k, n in zip(keys[:axis], shape, strict=False):
        starts = starts[..., None] * n + outer.positions(k)
    if not 0 < starts.size <= _RUNS:
        return None
    runs = np.empty((starts.size, run), member.dtype)
    places = (member.offset + (starts.ravel() * row + low * inside) * size).tolist()
    file.prefetch([(at, run * size) for at in places])
    parts = [(at, [run.view(np.uint8).data]) for at, run in zip(places, runs, strict=True)]
    if sum(file.readv(parts)) < runs.nbytes:
        return None  # cut meanwhile: mapping it says so
    values = runs.reshape(*starts.shape, high - low, *shape[axis + 1 :])
    wanted = (*outer.left(keys[:axis]), cut, *(slice(None) for _ in keys[axis + 1 :]))
    return outer.copy(values.T, wanted[::-1]) if member.fortran else outer.copy(values, wanted)


@dataclass(frozen=True)
class Stretch:
    """What an outer key takes of each of many files of one layout: one range of bytes, then a choice.

    Attributes
    ----------
    start, stop : int
        Bytes after the header.
    lengths : tuple of int
        Shape of the stretch, axes as they follow in the file.
    key : tuple
        Of the stretch, per axis in that order.
    shape : tuple of int
        Of the result, in the order of the array.
    fortran, whole : bool
        Whether the file's axes are reversed; whether a file's bytes are the result.
    dtype : np.dtype
        As in the file.
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
        """For the layout of the files and a normalised outer key."""
        result = outer.result_shape(key, shape)
        whole = outer.is_whole(key, shape) and not fortran and dtype.isnative
        lengths, kept = list(shape), list(key)
        if fortran:
            lengths.reverse()
            kept.reverse()
        start, step = 0, math.prod(shape) * dtype.itemsize
        stop = step
        for axis, n in enumerate(lengths):
            step = step // n if n else 0
            low, high, kept[axis] = outer.span(kept[axis])
            start, stop = start + low * step, start + high * step
            lengths[axis] = high - low
            if high - low != 1:
                break
        return cls(start, stop, tuple(lengths), tuple(kept), result, fortran, whole, dtype)

    def select(self, buffer: np.ndarray) -> np.ndarray:
        """The values asked for, from the bytes of the stretch."""
        values = outer.take(buffer.view(self.dtype).reshape(self.lengths), self.key)
        return values.T if self.fortran else values
