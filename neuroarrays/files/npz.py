"""NPZ files and single npy files read in place: stored members by offset, deflated ones on demand.

The zip's directory and the headers are all that is read on opening. A member that is read whole is
compared with its checksum; a part of a stored one cannot be, and is not. Sizes are checked against the
file before memory is taken; members that overlap, are encrypted or named twice are refused; objects
are read as plain values (`pickles`), and never run.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import npy, safety, state, streams
from neuroarrays.files.members import Member, MemberSource
from neuroarrays.files.pickles import load_pickle
from neuroarrays.files.source import Key, check_unchanged, stamp

#: Members of a zip, bytes of an object member, and what deflate can at most make of a byte.
MAX_MEMBERS, MAX_OBJECT, MAX_RATIO = 1 << 16, 64 << 20, 1032
_LOCAL = struct.Struct("<4s5H3I2H")


@dataclass(frozen=True)
class Packed(Member):
    """A member of a zip that is deflated or holds objects.

    Attributes
    ----------
    start, packed, size : int
        Where its bytes begin in the file, how many there are, and how many they become.
    method, checksum : int
        Of the zip.
    """

    start: int = 0
    packed: int = 0
    size: int = 0
    method: int = 0
    checksum: int = 0


@dataclass(frozen=True)
class NPZSource(MemberSource):
    """A numpy NPZ file."""

    def _scan(self) -> dict[str, Member]:
        return {name: one for name, one in _every(self).items() if _is_read(one)}

    def left_out(self) -> dict[str, str]:
        return {
            name: f"{one.dtype}"[:80] for name, one in _every(self).items() if not _is_read(one)
        }

    def every(self) -> dict[str, Packed]:
        """Every array of the file, of kinds that are not read too; reads headers only."""
        entries = self._entries()
        found: dict[str, Packed] = {}
        with open(self.path, "rb") as file:
            end = 0
            for entry in sorted(entries, key=lambda e: e.header_offset):
                start = self._start(file, entry)
                if entry.header_offset < end:
                    raise FormatError(
                        self.path,
                        entry.filename,
                        "members one after another",
                        "members that overlap",
                        "the zip is made to exhaust memory",
                    )
                end = start + entry.compress_size
                if end > self.stamp[1]:
                    raise FormatError(
                        self.path,
                        entry.filename,
                        "a whole member",
                        "a cut one",
                        "the file is truncated",
                    )
                if entry.filename.endswith(".npy"):
                    found[entry.filename[:-4]] = self._member(file, entry, start)
        return {
            entry.filename[:-4]: found[entry.filename[:-4]]
            for entry in entries
            if entry.filename.endswith(".npy")
        }

    def _entries(self) -> list[zipfile.ZipInfo]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                entries = archive.infolist()
        except MemoryError:
            raise
        except Exception as error:  # zipfile lets struct.error, IndexError, ... through
            raise FormatError(
                self.path,
                "",
                "a readable NPZ (zip) file",
                f"{type(error).__name__}: {error}",
                "it is truncated or damaged; compare its size with the original",
            ) from error
        if len(entries) > MAX_MEMBERS:
            raise FormatError(
                self.path, "", f"at most {MAX_MEMBERS:,} members", f"{len(entries):,}"
            )
        names = [entry.filename for entry in entries]
        for name in names if len(set(names)) < len(names) else ():
            if names.count(name) > 1:
                raise FormatError(self.path, name, "one member of a name", "two of this name")
        for entry in entries:
            if entry.filename.startswith(("/", ".npy")):
                raise FormatError(self.path, entry.filename, "the name of an array", "none")
            if entry.flag_bits & 1 or entry.compress_type not in (0, 8):
                raise FormatError(
                    self.path,
                    entry.filename,
                    "a member stored or deflated, not encrypted",
                    f"method {entry.compress_type}, flags {entry.flag_bits}",
                )
            most = MAX_RATIO * entry.compress_size + 64 if entry.compress_type else None
            if entry.file_size > (entry.compress_size if most is None else most):
                raise FormatError(
                    self.path,
                    entry.filename,
                    "no more bytes than its packed ones can make",
                    f"{entry.file_size:,} from {entry.compress_size:,}",
                    "the zip is damaged",
                )
        return entries

    def _start(self, file: BinaryIO, entry: zipfile.ZipInfo) -> int:
        """Where the bytes of a member begin, after its local header."""
        raw = b""
        if 0 <= entry.header_offset < self.stamp[1]:
            file.seek(entry.header_offset)
            raw = file.read(_LOCAL.size)
        if len(raw) < _LOCAL.size or raw[:4] != b"PK\x03\x04":
            raise FormatError(
                self.path,
                entry.filename,
                "the beginning of a member",
                "other bytes",
                "the zip is truncated or damaged",
            )
        said = _LOCAL.unpack(raw)
        return entry.header_offset + _LOCAL.size + int(said[-2]) + int(said[-1])

    def _member(self, file: BinaryIO, entry: zipfile.ZipInfo, start: int) -> Packed:
        name = entry.filename
        file.seek(start)
        head = file.read(min(entry.compress_size, npy.LONGEST))
        if entry.compress_type:
            head = self._inflate(head, npy.LONGEST, name)
        size = npy.length(head[:12], self.path, name)
        place = (start, entry.compress_size, entry.file_size, entry.compress_type, entry.CRC)
        header = npy.declared(head[:size], self.path, name)
        if header.dtype.hasobject:
            return Packed(np.dtype(object), header.shape, False, -1, *place)
        if size + header.nbytes != entry.file_size:
            raise FormatError(
                self.path,
                name,
                f"{header.nbytes:,} bytes of values, as {header} needs",
                f"{entry.file_size - size:,}",
                "the file is damaged",
            )
        offset = -1 if entry.compress_type else start + size
        return Packed(header.dtype, header.shape, header.fortran, offset, *place)

    def _inflate(self, raw: bytes, size: int, name: str) -> bytes:
        try:
            return zlib.decompressobj(-15).decompress(raw, size)
        except zlib.error as error:
            raise FormatError(
                self.path, name, "deflated bytes", str(error), "the zip is damaged"
            ) from error

    def _bytes(self, name: str, member: Packed) -> bytes:
        """The bytes of a member, checked against its checksum."""
        safety.check_allocation(self.path, name, member.size, self.stamp[1])
        with open(self.path, "rb") as file:
            file.seek(member.start)
            raw = file.read(member.packed)
        data = self._inflate(raw, member.size + 1, name) if member.method else raw
        if len(data) != member.size or zlib.crc32(data) != member.checksum:
            raise self._differs(name, member, len(data))
        return data

    def _part(self, name: str, member: Member, key: Key) -> np.ndarray | None:
        if not isinstance(member, Packed) or member.dtype == object or member.method != 8:
            return None
        check_unchanged(self.path, self.stamp)
        with open(self.path, "rb") as file:
            packed = streams.pieces(file, member.start, member.packed, -15, self.path, name)
            skip = member.size - member.nbytes
            found = streams.pick(packed, skip, member.dtype, member.shape, member.fortran, key)
        return None if found is None else found.astype(member.dtype.newbyteorder("="))

    def _verify(self, name: str, member: Member, file: BinaryIO, values: np.ndarray) -> None:
        assert isinstance(member, Packed)
        file.seek(member.start)
        header = file.read(member.offset - member.start)
        if zlib.crc32(values.view(np.uint8).data, zlib.crc32(header)) != member.checksum:
            raise self._differs(name, member, member.size)

    def _differs(self, name: str, member: Packed, found: int) -> FormatError:
        return FormatError(
            self.path,
            name,
            f"{member.size:,} bytes and their checksum",
            f"{found:,} that differ",
            "the zip is damaged: get the file again",
        )

    def _unpack(self, name: str, member: Member) -> np.ndarray:
        if not isinstance(member, Packed) or member.dtype == object:
            return self._objects(name, member)
        return npy.values(self._bytes(name, member), self.path, name)

    def _objects(self, name: str, member: Member) -> np.ndarray:
        value, made = self._unpickled(name, ()), np.empty(member.shape, object)
        if member.shape == ():
            made[()] = value
        elif isinstance(value, np.ndarray) and value.shape == member.shape:
            made[...] = value
        else:
            raise FormatError(
                self.path,
                name,
                f"objects of shape {member.shape}, as its header says",
                f"{type(value).__name__} of shape {np.shape(value)}"
                if isinstance(value, np.ndarray)
                else type(value).__name__,
            )
        return made

    def value(self, name: str) -> Any:
        """A member that holds Python objects, as plain values: a dict, a list, text.

        What is none of these is a `Record` of what was stored, which does nothing.

        Raises
        ------
        FormatError
            If it is damaged or larger than 64 MiB.
        """
        return self._unpickled(name, None)

    def _unpickled(self, name: str, allowed: tuple[str, ...] | None) -> Any:
        member = self.members().get(name)
        if not isinstance(member, Packed) or member.dtype != object:
            raise FormatError(self.path, name, "a member of Python objects", "none")
        if member.size > MAX_OBJECT:
            raise FormatError(
                self.path, name, f"objects of at most {MAX_OBJECT:,} bytes", f"{member.size:,}"
            )
        data = self._bytes(name, member)
        found = load_pickle(
            data[npy.length(data[:12], self.path, name) :], allowed, where=name, path=self.path
        )
        return found.item() if isinstance(found, np.ndarray) and found.ndim == 0 else found


_listed: state.Cache[dict[str, Packed]] = state.Cache(64 << 20, state.entries)


def _every(source: NPZSource) -> dict[str, Packed]:
    return _listed.made(source, source.every)


def _is_read(member: Member) -> bool:
    """Whether it holds numbers, bool, text, durations or objects: no complex numbers, dates, structs."""
    plain = member.dtype.kind in "biufUSO" and member.dtype.itemsize > 0
    return plain or npy.is_duration(member.dtype)


@dataclass(frozen=True)
class NPYSource(MemberSource):
    """A single npy file; its array has the name of the file without suffix."""

    def _scan(self) -> dict[str, Member]:
        with open(self.path, "rb") as file:
            head = file.read(npy.LONGEST)
        size = npy.length(head[:12], self.path)
        header = npy.parse(head[:size], self.path)
        if size + header.nbytes > self.stamp[1]:
            raise FormatError(
                self.path,
                "",
                f"{header.nbytes:,} bytes of values",
                f"{self.stamp[1] - size:,}",
                "the file is truncated",
            )
        name = os.path.splitext(os.path.basename(self.path))[0]
        return {name: Member(header.dtype, header.shape, header.fortran, size)}


def npz_source(path: str | os.PathLike[str]) -> NPZSource:
    """The source of an NPZ file; its directory is read at once.

    Raises
    ------
    FormatError
        If it is damaged or made to do harm.
    """
    path = os.path.abspath(path)
    safety.check_pointer(path)
    source = NPZSource(path, stamp(safety.regular_file(path)))
    source.members()
    return source


def is_zip(path: str | os.PathLike[str]) -> bool:
    """Whether the file begins like a zip."""
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except OSError:
        return False
