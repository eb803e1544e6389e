"""Read NPZ files in place: stored members by their offset, deflated members when they are needed.

Only the directory of the zip and the headers of its members are read on opening. A member that is
read as a whole is compared with its checksum; a part of a stored member is not. Sizes are compared
with the file before memory is allocated. Members that overlap, are encrypted or have the same name
are refused. Python objects are read as plain values (`pickles`); nothing in them is run.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import npy, state, streams, zips
from neuroarrays.files.headers import Header, header_of
from neuroarrays.files.location import FILE
from neuroarrays.files.members import MemberSource
from neuroarrays.files.outer import Key
from neuroarrays.files.pickles import load_pickle
from neuroarrays.files.placed import Member
from neuroarrays.files.positioned import PositionedFile

#: The most bytes of a member of objects.
MAX_OBJECT = 64 << 20


@dataclass(frozen=True)
class Packed(Member):
    """An array in a zip.

    Attributes
    ----------
    file : zips.ZipMember
        The npy file in the zip that has the array.
    """

    file: zips.ZipMember | None = None

    @property
    def zipped(self) -> zips.ZipMember:
        """The npy file in the zip; a `Packed` always has one."""
        assert self.file is not None
        return self.file


@dataclass(frozen=True)
class NPZSource(MemberSource):
    """A numpy NPZ file."""

    def _scan(self) -> dict[str, Member]:
        return {name: packed for name, packed in _every(self).items() if _is_read(packed)}

    def left_out(self) -> dict[str, str]:
        return {
            name: f"{packed.dtype}"[:80]
            for name, packed in _every(self).items()
            if not _is_read(packed)
        }

    def every(self) -> dict[str, Packed]:
        """Every array of the file, also of types that are not read; only headers are read."""
        arrays: dict[str, Packed] = {}
        with self.location.open(self.stamp) as file:
            for name, zipped in zips.members(self.location, self.stamp).items():
                if name.startswith(("/", ".npy")):
                    raise FormatError(self.path, name, "the name of an array", "none")
                if name.endswith(".npy"):
                    arrays[name[:-4]] = self._member(file, zipped)
        return arrays

    def _member(self, file: PositionedFile, zipped: zips.ZipMember) -> Packed:
        """The array in a member of the zip, from its npy header."""
        zips.check_plain(self.path, zipped)
        begin = zips.start(file, zipped)

        def fetch(start: int, size: int) -> bytes:
            """Return bytes of a member, unpacked."""
            if zipped.stored:
                return file.read(begin + start, min(size, zipped.packed))
            raw = file.read(begin, min(zipped.packed, npy.LONGEST))
            return zips.inflate(raw, start + size, self.path, zipped.name)[start:]

        header = npy.header(fetch, self.path, zipped.name, any_kind=True)
        if header.dtype.hasobject:
            return Packed(np.dtype(object), header.shape, False, -1, zipped)
        if len(header.raw) + header.nbytes != zipped.size:
            raise FormatError(
                self.path,
                zipped.name,
                f"{header.nbytes:,} bytes of values, as {header} needs",
                f"{zipped.size - len(header.raw):,}",
                "the file is damaged",
            )
        offset = begin + len(header.raw) if zipped.stored else -1
        return Packed(header.dtype, header.shape, header.fortran, offset, zipped)

    def _bytes(self, member: Packed) -> bytes:
        """The bytes of a member, checked against its checksum."""
        return zips.content(self.location, self.stamp, member.zipped)

    def _part(self, name: str, member: Member, key: Key) -> np.ndarray | None:
        if not isinstance(member, Packed) or member.dtype == object or member.zipped.stored:
            return None
        packed = zips.pieces(self.location, self.stamp, member.zipped)
        skip = member.zipped.size - member.nbytes
        values = streams.pick(packed, skip, member.dtype, member.shape, member.fortran, key)
        return None if values is None else values.astype(member.dtype.newbyteorder("="))

    def _verify(self, name: str, member: Member, file: PositionedFile, values: np.ndarray) -> None:
        assert isinstance(member, Packed)
        zipped = member.zipped
        begin = zips.start(file, zipped)
        header = file.read(begin, member.offset - begin)
        if zlib.crc32(values.view(np.uint8).data, zlib.crc32(header)) != zipped.checksum:
            raise zips.differs(self.path, zipped, zipped.size)

    def _unpack(self, name: str, member: Member) -> np.ndarray:
        if not isinstance(member, Packed) or member.dtype == object:
            return self._objects(name, member)
        return npy.values(self._bytes(member), self.path, name)

    def _objects(self, name: str, member: Member) -> np.ndarray:
        """A member of Python objects as an object array of plain values."""
        value, objects = self._unpickled(name, ()), np.empty(member.shape, object)
        if member.shape == ():
            objects[()] = value
        elif isinstance(value, np.ndarray) and value.shape == member.shape:
            objects[...] = value
        else:
            raise FormatError(
                self.path,
                name,
                f"objects of shape {member.shape}, as its header says",
                f"{type(value).__name__} of shape {np.shape(value)}"
                if isinstance(value, np.ndarray)
                else type(value).__name__,
            )
        return objects

    def value(self, name: str) -> Any:
        """Read a member of Python objects as plain values: a dict, a list, text.

        An object of any other class becomes a `Record` of its stored attributes, without behaviour.

        Raises
        ------
        FormatError
            If it is damaged or larger than 64 MiB.
        """
        return self._unpickled(name, None)

    def _unpickled(self, name: str, allowed: tuple[str, ...] | None) -> Any:
        """The value of a member of Python objects; `allowed` as for `load_pickle`."""
        member = self.members().get(name)
        if not isinstance(member, Packed) or member.dtype != object:
            raise FormatError(self.path, name, "a member of Python objects", "none")
        size = member.zipped.size
        if size > MAX_OBJECT:
            raise FormatError(
                self.path, name, f"objects of at most {MAX_OBJECT:,} bytes", f"{size:,}"
            )
        data = self._bytes(member)
        pickled = data[npy.length(data[:12], self.path, name) :]
        value = load_pickle(pickled, allowed, where=name, path=self.path)
        return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value


#: The arrays of each source by name.
_arrays: state.Cache[dict[str, Packed]] = state.Cache(64 << 20, state.entries)


def _every(source: NPZSource) -> dict[str, Packed]:
    """Every array of a source, listed once per process."""
    return _arrays.get_or_make(source, source.every)


def _is_read(member: Member) -> bool:
    """Whether an array has numbers, bool, text, durations or objects.

    Complex numbers, dates and structured types are not read.
    """
    plain = member.dtype.kind in "biufUSO" and member.dtype.itemsize > 0
    return plain or npy.is_duration(member.dtype)


def npz_source(path: str | os.PathLike[str] | Header) -> NPZSource:
    """Open an NPZ file; its directory is read.

    Raises
    ------
    FormatError
        If it is damaged, or made to exhaust memory.
    """
    file = header_of(path)
    file.check(FILE)
    source = NPZSource(file.location, file.stamp)
    source.members()
    return source
