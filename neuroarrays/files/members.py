"""Files that hold many arrays by name, each lying in the file as it is, or packed.

A member that lies there as it is is read where it is indexed, which no checksum of the whole can
confirm; a read of all of it is checked where the file has one. A packed one (deflated, text, MATLAB)
is unpacked when it is first asked for, and kept for a while. Nothing stays open.
"""

from __future__ import annotations

import math
import mmap
import os
import sys
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedReader
from typing import Any, BinaryIO, Literal

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import outer, state, streams
from neuroarrays.files.source import Info, Key, Source, check_unchanged, text_array

#: Bytes from run to run from which on each is read by itself, and how many are.
_FAR, _RUNS = 1 << 14, 1 << 16
#: Tables of members by source, and unpacked values by source and name.
_scanned: state.Cache[dict[str, Member]] = state.Cache(64 << 20, state.entries)
_unpacked: state.Cache[np.ndarray] = state.Cache(256 << 20, lambda values: values.nbytes)


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


@dataclass(frozen=True)
class MemberSource(Source):
    """A file of named members. Subclasses say what there is (`_scan`) and unpack (`_unpack`)."""

    @abstractmethod
    def _scan(self) -> dict[str, Member]:
        """All members by name; reads headers only."""

    def _unpack(self, name: str, member: Member) -> np.ndarray:
        """The values of a packed member."""
        raise NotImplementedError

    def _part(self, name: str, member: Member, key: Key) -> np.ndarray | None:
        """What is indexed of a large packed member, without all of it in memory; None if it cannot."""
        return None

    def left_out(self) -> dict[str, str]:
        """What the file holds and is never loaded: name -> kind."""
        return {}

    def _verify(self, name: str, member: Member, file: BinaryIO, values: np.ndarray) -> None:
        """Compare a member that lies in the file as it is with its checksum, if there is one."""

    def value(self, name: str) -> Any:
        """A member that holds Python objects, as plain values."""
        raise FormatError(self.path, name, "a member of Python objects", "none")

    def members(self) -> Mapping[str, Member]:
        """All members by name, looked for once per process."""
        found = _scanned.get(self)
        if found is None:
            check_unchanged(self.path, self.stamp)
            found = _scanned.put(self, self._scan())
        return found

    def names(self, group: str = "/") -> list[str]:
        prefix = group.strip("/")
        prefix += "/" if prefix else ""
        inside = (name[len(prefix) :] for name in self.members() if name.startswith(prefix))
        return list(dict.fromkeys(name.partition("/")[0] for name in inside))

    def info(self, name: str) -> Info | None:
        member = self.members().get(name.strip("/"))
        if member is None:
            return None
        text = member.dtype.kind in "SU"
        return Info(member.shape, np.dtype(object) if text else member.dtype, None, text)

    def attrs(self, name: str = "/") -> dict[str, Any]:
        return {}

    def read(self, name: str, key: Key = ()) -> np.ndarray:
        name = name.strip("/")
        member = self.members().get(name)
        if member is None:
            raise FormatError(self.path, name, "an array", "nothing of that name")
        check_unchanged(self.path, self.stamp)
        key = outer.normalise(key, member.shape)
        values = self._placed(name, member, key) if member.offset >= 0 else None
        if (
            values is None
            and member.nbytes > streams.LARGE
            and not outer.is_whole(key, member.shape)
        ):
            values = self._part(name, member, key)
        if values is None:
            values = outer.copy(self._values(name, member), key)
        if member.dtype.kind == "U" and values.size:
            highest = int(np.atleast_1d(values).view(np.uint32).max())
            if highest > sys.maxunicode:  # numpy does not look, and Python cannot make text of it
                raise FormatError(
                    self.path, name, "text", f"the character {highest}", "the file is damaged"
                )
        return text_array(values) if member.dtype.kind in "SUO" else values

    def _values(self, name: str, member: Member) -> np.ndarray:
        """All values of a packed member; kept while there is room."""
        values = _unpacked.get((self, name))
        if values is None:
            check_unchanged(self.path, self.stamp)
            values = _unpacked.put((self, name), self._unpack(name, member))
        return values

    def _keep(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays that were unpacked together."""
        for name, values in arrays.items():
            _unpacked.put((self, name), values)

    def _whole(self, name: str, member: Member, file: BufferedReader) -> np.ndarray:
        """All values of a member, read at once: mapping each page costs more."""
        flat = np.empty(math.prod(member.shape), member.dtype)
        file.seek(member.offset)
        if file.readinto(flat.view(np.uint8).data) < flat.nbytes:
            raise FormatError(self.path, name, f"{flat.nbytes:,} bytes of values", "fewer")
        self._verify(name, member, file, flat)
        values = flat.reshape(member.shape, order="F" if member.fortran else "C")
        return values.astype(member.dtype.newbyteorder("="), order="C", copy=False)

    def _placed(self, name: str, member: Member, key: Key) -> np.ndarray:
        """What is indexed of values that lie in the file as they are."""
        nbytes = member.dtype.itemsize * int(np.prod(member.shape, dtype=object))
        if nbytes == 0:
            return outer.copy(np.empty(member.shape, member.dtype), key)
        with open(self.path, "rb") as file:
            check_unchanged(self.path, self.stamp, os.fstat(file.fileno()))
            if member.offset + nbytes > self.stamp[1]:
                raise FormatError(self.path, name, f"{nbytes:,} bytes of values", "fewer")
            apart = _runs_apart(file.fileno(), member, key)
            if apart is not None:
                return apart
            if outer.is_whole(key, member.shape):
                return self._whole(name, member, file)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                order: Literal["F", "C"] = "F" if member.fortran else "C"
                whole: Any = np.ndarray(
                    member.shape, member.dtype, mapped, member.offset, order=order
                )
                values = outer.copy(whole, key)
                del whole
                return values


def _runs_apart(descriptor: int, member: Member, key: Key) -> np.ndarray | None:
    """What is indexed of values that lie in short runs far apart, such as some frames of all units.

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
    found = np.empty((starts.size, run), member.dtype)
    for one, start in zip(found, starts.ravel().tolist(), strict=True):
        place = member.offset + (start * row + low * inside) * size
        if os.preadv(descriptor, [one.view(np.uint8).data], place) < one.nbytes:
            return None  # cut meanwhile: mapping it says so
    values = found.reshape(*starts.shape, high - low, *shape[axis + 1 :])
    wanted = (*outer.left(keys[:axis]), cut, *(slice(None) for _ in keys[axis + 1 :]))
    return outer.copy(values.T, wanted[::-1]) if member.fortran else outer.copy(values, wanted)
