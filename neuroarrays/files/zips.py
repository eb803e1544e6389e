"""Read zips in place: their directory, whole members, and members as files.

Python's `zipfile` reads the central directory. Members are read at their positions in the zip,
because a handle of `zipfile` cannot be shared by threads and forked processes, and needs 1.2 to 1.5
times as long for a member. Zips that would exhaust memory are refused first: members that overlap,
and sizes that deflate cannot make.
"""

from __future__ import annotations

import io
import mmap
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from neuroarrays.errors import FormatError
from neuroarrays.files import safety, state, store, streams
from neuroarrays.files.location import Location, Stamp
from neuroarrays.files.positioned import Part, PositionedFile, Stream
from neuroarrays.files.source import check_unchanged

MAGIC = b"PK\x03\x04"
#: The most members, and the most bytes that deflate can make of one.
MAX_MEMBERS, MAX_RATIO = 1 << 20, 1032
#: Bytes for the extra field of a local header, so that it is read together with the member.
_SLACK = 128
_LOCAL = struct.Struct("<4s5H3I2H")
_STORED, _DEFLATED = 0, 8


@dataclass(frozen=True)
class ZipMember:
    """Where a file lies in a zip.

    Attributes
    ----------
    name : str
        Name with its folders.
    offset : int
        Position of its local header in the zip, bytes.
    packed, size : int
        Bytes in the zip, and bytes when unpacked.
    method, flags, checksum : int
        As in the directory.
    name_bytes : int
        Bytes of its name in the zip.
    """

    name: str
    offset: int
    packed: int
    size: int
    method: int
    flags: int
    checksum: int
    name_bytes: int

    @property
    def stored(self) -> bool:
        """Whether its bytes are stored unpacked."""
        return self.method == _STORED


#: Directories by path and stamp, and unpacked members (mapped temporary files) by path, stamp and name.
_directories: state.Cache[dict[str, ZipMember]] = state.Cache(128 << 20, state.entries)
_mapped: state.Cache[mmap.mmap] = state.Cache(8 << 30, len)


def members(location: Location, known: Stamp) -> dict[str, ZipMember]:
    """Return the files in the central directory of a zip; it is read once per process.

    Parameters
    ----------
    location : Location
        The zip.
    known : tuple of int
        Its stamp.

    Raises
    ------
    FormatError
        If it is damaged, made to exhaust memory, or has changed.
    """
    return _directories.get_or_make((location, known), lambda: _directory(location, known))


def member(location: Location, known: Stamp, name: str) -> ZipMember:
    """Return the member of that name.

    Raises
    ------
    FormatError
        If there is none, or it is encrypted or packed in another way than deflate.
    """
    entry = members(location, known).get(name)
    if entry is None:
        raise FormatError(location.path, name, "a file in the zip", "nothing of that name")
    check_plain(location.path, entry)
    return entry


def check_plain(path: str, entry: ZipMember) -> None:
    """Refuse a member that is encrypted or packed in another way than deflate."""
    if entry.flags & 1 or entry.method not in (_STORED, _DEFLATED):
        raise FormatError(
            path,
            entry.name,
            "a member stored or deflated, not encrypted",
            f"method {entry.method}, flags {entry.flags}",
        )


def _directory(location: Location, known: Stamp) -> dict[str, ZipMember]:
    """Read the central directory of a zip."""
    path, hint = location.path, "it is truncated or damaged; download it again"
    with (
        location.open(known) as file,
        safety.readable(path, "", "a readable zip", hint),
        zipfile.ZipFile(file.stream()) as archive,
    ):
        entries = archive.infolist()
    if len(entries) > MAX_MEMBERS:
        raise FormatError(path, "", f"at most {MAX_MEMBERS:,} members", f"{len(entries):,}")
    by_name: dict[str, ZipMember] = {}
    for entry in entries:
        if entry.filename.endswith("/"):
            continue
        if entry.filename in by_name:
            raise FormatError(path, entry.filename, "one member of a name", "two of this name")
        by_name[entry.filename] = ZipMember(
            entry.filename,
            entry.header_offset,
            entry.compress_size,
            entry.file_size,
            entry.compress_type,
            entry.flag_bits,
            entry.CRC,
            len(entry.orig_filename.encode("utf-8", "surrogateescape")),
        )
    _check_sizes(path, by_name, known[1])
    return by_name


def _check_sizes(path: str, entries: dict[str, ZipMember], total: int) -> None:
    """Refuse members that overlap, are cut, or claim more than their bytes can become."""
    end = None
    for entry in sorted(entries.values(), key=lambda entry: entry.offset):
        if end is not None and entry.offset < end:
            raise FormatError(
                path,
                entry.name,
                "members one after another",
                "members that overlap",
                "the zip was made to exhaust memory",
            )
        end = entry.offset + _LOCAL.size + entry.name_bytes + entry.packed
        if end > total:
            raise FormatError(
                path, entry.name, "a whole member", "a cut one", "the file is truncated"
            )
        most = entry.packed if entry.stored else MAX_RATIO * entry.packed + 64
        if entry.method in (_STORED, _DEFLATED) and entry.size > most:
            raise FormatError(
                path,
                entry.name,
                "at most the bytes that its compressed ones can give",
                f"{entry.size:,} from {entry.packed:,}",
                "the zip is damaged",
            )


# ------------------------------------------------------------------------------ a member's bytes


def start(file: PositionedFile, entry: ZipMember) -> int:
    """Return where the bytes of a member begin in an open zip, after its local header.

    Raises
    ------
    FormatError
        If there is no local header.
    """
    raw = file.read(entry.offset, _LOCAL.size) if entry.offset >= 0 else b""
    return entry.offset + _after_header(raw, file.path, entry)


def _after_header(raw: bytes, path: str, entry: ZipMember) -> int:
    """Return the size of the local header of a member in bytes, with its name and extra field."""
    if len(raw) < _LOCAL.size or raw[:4] != MAGIC:
        raise FormatError(
            path,
            entry.name,
            "the beginning of a member",
            "other bytes",
            "the zip is truncated or damaged",
        )
    fields = _LOCAL.unpack_from(raw)
    return int(_LOCAL.size + fields[-2] + fields[-1])


def content(location: Location, known: Stamp, entry: ZipMember) -> bytes:
    """Return all bytes of a member, after comparing its checksum: one open and one read.

    Raises
    ------
    FormatError
        If the zip has changed or the member is damaged.
    """
    path = location.path
    check_plain(path, entry)
    safety.check_allocation(path, entry.name, entry.size, known[1])
    with location.open(known) as file:
        n_bytes = _LOCAL.size + entry.name_bytes + _SLACK + entry.packed
        raw = file.read(entry.offset, n_bytes) if entry.offset >= 0 else b""
        begin = _after_header(raw, path, entry)
        if len(raw) < begin + entry.packed:  # its extra field is long
            raw = file.read(entry.offset, begin + entry.packed)
    packed = memoryview(raw)[begin : begin + entry.packed]
    data = bytes(packed) if entry.stored else inflate(packed, entry.size + 1, path, entry.name)
    if len(data) != entry.size or zlib.crc32(data) != entry.checksum:
        raise differs(path, entry, len(data))
    return data


def inflate(packed: bytes | memoryview, size: int, path: str, where: str) -> bytes:
    """Return the inflated bytes, at most `size` of them.

    Raises
    ------
    FormatError
        If they are no deflated bytes.
    """
    try:
        return zlib.decompressobj(-15).decompress(packed, size)
    except zlib.error as error:
        raise FormatError(
            path, where, "deflated bytes", str(error), "the zip is damaged"
        ) from error


def differs(path: str, entry: ZipMember, size: int) -> FormatError:
    """Return the error for a member whose bytes differ from what the directory says."""
    return FormatError(
        path,
        entry.name,
        f"{entry.size:,} bytes and their checksum",
        f"{size:,} that differ",
        "the zip is damaged; download it again",
    )


def pieces(location: Location, known: Stamp, entry: ZipMember) -> Iterator[bytes]:
    """Yield the unpacked bytes of a member in pieces of at most 1 MiB; the checksum is not compared."""
    check_plain(location.path, entry)
    with location.open(known) as file:
        begin = start(file, entry)
        yield from streams.pieces(
            file.stream(), begin, entry.packed, -15, location.path, entry.name
        )


# ------------------------------------------------------------------------------ a member as a file


def open_member(location: Location, known: Stamp, name: str) -> IO[bytes] | io.RawIOBase:
    """Open a member as a seekable file: in the zip if it is stored, else unpacked to a nameless file.

    Nothing is written beside the data: the nameless file is in the folder for temporary files
    (``TMPDIR``) and is gone when it is closed.
    """
    entry = member(location, known, name)
    if not entry.stored:
        return _unpacked(location, known, entry)
    file = location.open(known)
    return _Window(file, start(file, entry), entry.size)


def mapped(location: Location, known: Stamp, name: str) -> mmap.mmap:
    """Return the bytes of a member, mapped from a nameless file that is made once per process.

    Raises
    ------
    FormatError
        If the stamp of the zip is not the `known` one, or it cannot be read.
    """
    check_unchanged(location, known)

    def unpack() -> mmap.mmap:
        """Unpack the member to a nameless file, and map that."""
        with _unpacked(location, known, member(location, known, name)) as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    return _mapped.get_or_make((location, known, name), unpack)


def _unpacked(location: Location, known: Stamp, entry: ZipMember) -> IO[bytes]:
    """Unpack a member to a temporary file without a name, and compare its checksum."""
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the handle
    size = checksum = 0
    whole = [content(location, known, entry)] if entry.stored else pieces(location, known, entry)
    for piece in whole:
        size += len(piece)
        if size > entry.size:
            break
        checksum = zlib.crc32(piece, checksum)
        unpacked.write(piece)
    if size != entry.size or checksum != entry.checksum:
        unpacked.close()
        raise differs(location.path, entry, size)
    unpacked.flush()
    unpacked.seek(0)
    return unpacked


class _Window(Stream):
    """A part of a file as a stream. Closing it closes the file."""

    def __init__(self, file: PositionedFile, begin: int, size: int):
        super().__init__(file)
        self.begin, self.size = begin, size

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        n_bytes = max(min(len(view), self.size - self.at), 0)
        count = self.file.fill([view[:n_bytes]], self.begin + self.at) if n_bytes else 0
        self.at += count
        return count

    def close(self) -> None:
        if not self.closed:
            self.file.close()
        super().close()


@dataclass(frozen=True)
class ZipStore(store.Store):
    """Files below one folder of a zip, read in place: nothing is unpacked to the disk."""

    prefix: str = ""

    def listing(self) -> store.Listing:
        files: store.Listing = {"": []}
        for name in members(self.location, self.stamp):
            if name.startswith(self.prefix):
                folder, _, leaf = name[len(self.prefix) :].rpartition("/")
                files.setdefault(folder, []).append(leaf)
        return files

    def size(self, name: str) -> int:
        return member(self.location, self.stamp, self.prefix + name).size

    def path_of(self, name: str) -> str:
        return f"{self.path}/{self.prefix}{name}"

    def readv(self, name: str, parts: Sequence[Part]) -> list[int]:
        entry = member(self.location, self.stamp, self.prefix + name)
        data = memoryview(content(self.location, self.stamp, entry))
        counts = []
        for begin, buffers in parts:
            position = begin
            for buffer in buffers:
                view = memoryview(buffer).cast("B")
                piece = data[position : position + len(view)]
                view[: len(piece)] = piece
                position += len(piece)
            counts.append(position - begin)
        return counts
