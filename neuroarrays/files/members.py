"""Files that hold named arrays ("members"), which are stored either as plain bytes or packed.

Of a plain member only the selected bytes are read. A checksum covers the whole member, so it is
compared only when all of the member is read. A packed member (compressed, text, MATLAB) is unpacked
on its first read and cached. No file stays open.
"""

from __future__ import annotations

import os
import sys
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import npy, outer, placed, state, streams, zips
from neuroarrays.files.headers import Header, header_of
from neuroarrays.files.location import FILE
from neuroarrays.files.outer import Key
from neuroarrays.files.placed import Member
from neuroarrays.files.positioned import PositionedFile
from neuroarrays.files.source import Info, Source, check_unchanged, text_array

#: Members by source, and unpacked values by source and name.
_scanned: state.Cache[dict[str, Member]] = state.Cache(64 << 20, state.entries)
_unpacked: state.Cache[np.ndarray] = state.Cache(256 << 20, lambda values: values.nbytes)


@dataclass(frozen=True)
class MemberSource(Source):
    """A file of named members. Subclasses list the members (`_scan`) and unpack them (`_unpack`)."""

    @abstractmethod
    def _scan(self) -> dict[str, Member]:
        """Return all members by name; this reads headers only."""

    def _unpack(self, name: str, member: Member) -> np.ndarray:
        """Return the values of a packed member."""
        raise NotImplementedError

    def _part(self, name: str, member: Member, key: Key) -> np.ndarray | None:
        """Return the selected values of a large packed member, if that needs less than all of it.

        None if the whole member has to be unpacked.
        """
        return None

    def left_out(self) -> dict[str, str]:
        """Return name -> kind of what the file holds but is never loaded."""
        return {}

    def _verify(self, name: str, member: Member, file: PositionedFile, values: np.ndarray) -> None:
        """Compare all values of a plain member with its checksum, if there is one."""

    def value(self, name: str) -> Any:
        """Return a member that holds Python objects, as plain values."""
        raise FormatError(self.path, name, "a member of Python objects", "none")

    def members(self) -> Mapping[str, Member]:
        """Return all members by name; the file is scanned once per process."""
        members = _scanned.get(self)
        if members is None:
            check_unchanged(self.location, self.stamp)
            members = _scanned.put(self, self._scan())
        return members

    def names(self, group: str = "/") -> list[str]:
        prefix = group.strip("/")
        prefix += "/" if prefix else ""
        paths = (name[len(prefix) :] for name in self.members() if name.startswith(prefix))
        return list(dict.fromkeys(path.partition("/")[0] for path in paths))

    def info(self, name: str) -> Info | None:
        member = self.members().get(name.strip("/"))
        if member is None:
            return None
        is_text = member.dtype.kind in "SU"
        return Info(member.shape, np.dtype(object) if is_text else member.dtype, None, is_text)

    def attrs(self, name: str = "/") -> dict[str, Any]:
        return {}

    def read(self, name: str, key: Key = ()) -> np.ndarray:
        name = name.strip("/")
        member = self.members().get(name)
        if member is None:
            raise FormatError(self.path, name, "an array", "nothing of that name")
        check_unchanged(self.location, self.stamp)
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
            if (
                highest > sys.maxunicode
            ):  # numpy does not check this, and Python could not decode it
                raise FormatError(
                    self.path, name, "text", f"the character {highest}", "the file is damaged"
                )
        return text_array(values) if member.dtype.kind in "SUO" else values

    def _values(self, name: str, member: Member) -> np.ndarray:
        """Return all values of a packed member, which are cached while there is room."""
        values = _unpacked.get((self, name))
        if values is None:
            check_unchanged(self.location, self.stamp)
            values = _unpacked.put((self, name), self._unpack(name, member))
        return values

    def _keep(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Cache arrays that were unpacked together."""
        for name, values in arrays.items():
            _unpacked.put((self, name), values)

    def _placed(self, name: str, member: Member, key: Key) -> np.ndarray:
        """Return the selected values of a plain member."""
        return placed.read(
            self.location,
            self.stamp,
            name,
            member,
            key,
            lambda file, values: self._verify(name, member, file, values),
        )


@dataclass(frozen=True)
class ArraySource(MemberSource):
    """One array that is stored as plain bytes: in an npy file, a file of numbers, or a pickle.

    Attributes
    ----------
    name : str
        The name of the array.
    member : Member
        Its dtype, shape and position.
    inside : str
        The member of a zip file that holds it, which is unpacked to a nameless temporary file; "" if
        the array lies in the file itself.
    """

    name: str
    member: Member
    inside: str = ""

    def _scan(self) -> dict[str, Member]:
        return {self.name: self.member}

    def members(self) -> Mapping[str, Member]:
        return {self.name: self.member}

    def _placed(self, name: str, member: Member, key: Key) -> np.ndarray:
        if not self.inside or not member.nbytes:
            return super()._placed(name, member, key)
        return outer.copy(
            placed.view(zips.mapped(self.location, self.stamp, self.inside), member), key
        )


@dataclass(frozen=True)
class RecordsSource(MemberSource):
    """An npy file with a structured dtype; each of its fields is an array.

    Attributes
    ----------
    records : Member
        Dtype, shape and position of the records.
    """

    records: Member

    def members(self) -> Mapping[str, Member]:
        return {
            name: Member(field[0].newbyteorder("="), self.records.shape)
            for name, field in (self.records.dtype.fields or {}).items()
        }

    def _scan(self) -> dict[str, Member]:
        return dict(self.members())

    def read(self, name: str, key: Key = ()) -> np.ndarray:
        key = outer.normalise(key, self.known(name).shape)
        values = placed.read(self.location, self.stamp, name, self.records, key)[name.strip("/")]
        is_text = values.dtype.kind in "SU"
        return text_array(values) if is_text else np.array(values, values.dtype.newbyteorder("="))


def npy_records(path: str | os.PathLike[str] | Header) -> RecordsSource:
    """Return the source of the fields of an npy file with a structured dtype; only the header is read.

    Raises
    ------
    FormatError
        If it is not an npy file of records of numbers or text, or is truncated.
    """
    file = header_of(path)
    file.check(FILE)
    header = npy.header(file.beginning, file.path, any_kind=True)
    fields = (header.dtype.fields or {}).values()
    if not fields or any(field[0].kind not in "biufSU" for field in fields):
        raise FormatError(
            file.path, "", "records of numbers or text", f"values of dtype {header.dtype}"
        )
    return RecordsSource(file.location, file.stamp, _whole(file, header))


def npy_source(path: str | os.PathLike[str] | Header) -> ArraySource:
    """Return the source of an npy file; its array has the name of the file without suffix.

    Only the header is read.

    Raises
    ------
    FormatError
        If it is not an npy file of plain values, or is truncated.
    """
    file = header_of(path)
    file.check(FILE)
    member = _whole(file, npy.header(file.beginning, file.path))
    return ArraySource(file.location, file.stamp, os.path.splitext(file.name)[0], member)


def _whole(file: Header, header: npy.NpyHeader) -> Member:
    """Return the array that a header declares, after checking that the file has all its bytes."""
    begin = len(header.raw)
    if begin + header.nbytes > file.size:
        raise FormatError(
            file.path,
            "",
            f"{header.nbytes:,} bytes of values",
            f"{file.size - begin:,}",
            "the file is truncated; compare its size with the original",
        )
    return Member(header.dtype, header.shape, header.fortran, begin)
