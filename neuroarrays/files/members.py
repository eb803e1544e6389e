"""Files that hold many arrays by name, each lying in the file as it is, or packed.

A member that lies there as it is is read where it is indexed, which no checksum of the whole can
confirm; a read of all of it is checked where the file has one. A packed one (deflated, text, MATLAB)
is unpacked when it is first asked for, and kept for a while. Nothing stays open.
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

#: Tables of members by source, and unpacked values by source and name.
_scanned: state.Cache[dict[str, Member]] = state.Cache(64 << 20, state.entries)
_unpacked: state.Cache[np.ndarray] = state.Cache(256 << 20, lambda values: values.nbytes)


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
        """The indexed values of a large packed member without unpacking all of it; None if it needs all."""
        return None

    def left_out(self) -> dict[str, str]:
        """What the file holds and is never loaded: name -> kind."""
        return {}

    def _verify(self, name: str, member: Member, file: PositionedFile, values: np.ndarray) -> None:
        """Compare a member that lies in the file as it is with its checksum, if there is one."""

    def value(self, name: str) -> Any:
        """A member that holds Python objects, as plain values."""
        raise FormatError(self.path, name, "a member of Python objects", "none")

    def members(self) -> Mapping[str, Member]:
        """All members by name, looked for once per process."""
        members = _scanned.get(self)
        if members is None:
            check_unchanged(self.location, self.stamp)
            members = _scanned.put(self, self._scan())
        return members

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
            if highest > sys.maxunicode:  # numpy does not look, and Python cannot make text of it
                raise FormatError(
                    self.path, name, "text", f"the character {highest}", "the file is damaged"
                )
        return text_array(values) if member.dtype.kind in "SUO" else values

    def _values(self, name: str, member: Member) -> np.ndarray:
        """All values of a packed member; cached while there is room."""
        values = _unpacked.get((self, name))
        if values is None:
            check_unchanged(self.location, self.stamp)
            values = _unpacked.put((self, name), self._unpack(name, member))
        return values

    def _keep(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep arrays that were unpacked together."""
        for name, values in arrays.items():
            _unpacked.put((self, name), values)

    def _placed(self, name: str, member: Member, key: Key) -> np.ndarray:
        """The indexed values of a member that is stored unpacked."""
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
    """One array that lies in a file as it is: an npy file, plain numbers, an array of a pickle.

    Attributes
    ----------
    name : str
        Of the array.
    member : Member
        Where it lies.
    inside : str
        The member of a zip that it lies in, which is unpacked to a nameless file; "" for the file.
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
    """An npy file of records, of a structured dtype: each field is an array.

    Attributes
    ----------
    records : Member
        Where the records lie.
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
        return np.array(values, self.members()[name.strip("/")].dtype)


def npy_records(path: str | os.PathLike[str] | Header) -> RecordsSource:
    """The fields of an npy file of records (a structured dtype); only the header is read.

    Raises
    ------
    FormatError
        If it is no npy file of records of numbers, or is cut short.
    """
    file = header_of(path)
    file.check(FILE)
    header = npy.header(file.beginning, file.path, any_kind=True)
    fields = (header.dtype.fields or {}).values()
    if not fields or any(field[0].kind not in "biuf" for field in fields):
        raise FormatError(file.path, "", "records of numbers", f"values of dtype {header.dtype}")
    return RecordsSource(file.location, file.stamp, _whole(file, header))


def npy_source(path: str | os.PathLike[str] | Header) -> ArraySource:
    """The source of a single npy file; its array has the name of the file without suffix.

    Only the header is read.

    Raises
    ------
    FormatError
        If it is no npy file of plain values, or is cut short.
    """
    file = header_of(path)
    file.check(FILE)
    member = _whole(file, npy.header(file.beginning, file.path))
    return ArraySource(file.location, file.stamp, os.path.splitext(file.name)[0], member)


def _whole(file: Header, header: npy.NpyHeader) -> Member:
    """The values that a header declares, all of which the file has."""
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
