"""The files of a folder or zip, as one thing: names, and bytes from a place on."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from neuroarrays.errors import FormatError
from neuroarrays.files import folders, npy, safety, state
from neuroarrays.files.source import stamp

#: The largest file that is read whole on opening (labels of trials and units).
LARGEST = 1 << 28
#: A place in a file, and the buffers that the bytes from there go into, one after another.
Part = tuple[int, Sequence[Any]]
#: Folder below the session ("data/responses") -> names of its files.
Listing = dict[str, list[str]]
#: Without waiting for a writer where a FIFO stands in place of a file.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
#: What a local header of a zip may hold beyond a name: read with the member, so in one go.
_SLACK = 128
_LOCAL = struct.Struct("<4s5H3I2H")
_STORED, _DEFLATED = 0, 8


@dataclass(frozen=True)
class Files(ABC):
    """A session's files: the path of their container, and what tells its content from another.

    Picklable in a few bytes; threads may read at once, and so may forked processes.
    """

    path: str
    stamp: tuple[int, ...]

    @abstractmethod
    def listing(self) -> Listing:
        """All files, by folder: one scan."""

    @abstractmethod
    def readv(self, name: str, parts: Sequence[Part]) -> list[int]:
        """Read from places of a file into buffers.

        Parameters
        ----------
        name : str
            As ``folder/name`` of the listing.
        parts : sequence of (int, sequence of buffers)
            Where to begin, and writable buffers to fill from there on.

        Returns
        -------
        list of int
            Bytes read for each part; fewer than asked for only where the file ends.

        Raises
        ------
        FormatError
            If the file is not there or cannot be read.
        """

    def place(self, name: str) -> str:
        """How a file is called in an error."""
        return os.path.join(self.path, name)

    def values(self, name: str) -> Any:
        """A whole small array (labels of trials, of units)."""
        header = self.header(name)
        if header.nbytes > LARGEST:
            raise FormatError(
                self.place(name), "", f"at most {LARGEST:,} bytes", f"{header.nbytes:,}"
            )
        body = bytearray(header.nbytes)
        (got,) = self.readv(name, [(len(header.raw), [body])])
        return npy.values(header.raw + bytes(body[:got]), self.place(name))

    def header(self, name: str) -> npy.Header:
        """The header of an npy file."""
        head = bytearray(npy.HEAD)
        (got,) = self.readv(name, [(0, [head])])
        size = npy.length(bytes(head[:got]), self.place(name))
        if size > npy.HEAD:
            head = bytearray(size)
            (got,) = self.readv(name, [(0, [head])])
        return npy.parse(bytes(head[:got]), self.place(name))


@dataclass(frozen=True)
class FolderFiles(Files):
    """Files of a folder: one open and one positioned read for each place."""

    def listing(self) -> Listing:
        found: Listing = {}
        todo = [""]
        while todo:
            folder = todo.pop()
            names = found.setdefault(folder, [])
            try:
                with os.scandir(os.path.join(self.path, folder)) as entries:
                    for entry in entries:
                        if entry.is_dir():
                            todo.append(f"{folder}/{entry.name}".lstrip("/"))
                        else:
                            names.append(entry.name)
            except OSError as error:
                raise FormatError(
                    os.path.join(self.path, folder), "", "a readable folder", str(error.strerror)
                ) from error
            if len(found) > 10_000 or folder.count("/") > 8:
                raise FormatError(self.path, folder, "a session's folders", "folders without end")
        return found

    def readv(self, name: str, parts: Sequence[Part]) -> list[int]:
        path = f"{self.path}/{name}"
        known = folders.listing(self.path, self.stamp, follow=True) if self.stamp else None
        try:
            descriptor = os.open(path, _FLAGS)
        except OSError as error:
            raise FormatError(
                path, "", "a readable file", f"{error.strerror}", "restore it from the original"
            ) from error
        try:
            if known is not None:
                folders.check_status(path, os.fstat(descriptor), known.get(name))
            return [_preadv(descriptor, buffers, at) for at, buffers in parts]
        except OSError as error:
            mode = os.fstat(descriptor).st_mode
            found = error.strerror if stat.S_ISREG(mode) else "no regular file"
            raise FormatError(path, "", "a readable file", str(found)) from error
        finally:
            os.close(descriptor)


def _preadv(descriptor: int, buffers: Sequence[Any], at: int) -> int:
    """Fill buffers, one after another; a short read is gone on with until the file ends."""
    wanted = sum(memoryview(buffer).nbytes for buffer in buffers)
    got = os.preadv(descriptor, buffers, at)
    if got in (0, wanted):
        return got
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    while got < wanted:
        left, rest = got, []
        for view in views:
            if left < len(view):
                rest.append(view[left:])
            left = max(0, left - len(view))
        more = os.preadv(descriptor, rest, at + got)
        if more == 0:
            break
        got += more
    return got


# --------------------------------------------------------------------------------------------- zip


@dataclass(frozen=True)
class Member:
    """Where a file lies in a zip: place, sizes, method and checksum."""

    offset: int
    stored: int
    size: int
    method: int
    checksum: int
    name_bytes: int


@dataclass(frozen=True)
class ZipFiles(Files):
    """Files below one folder of a zip, read in place: nothing is unpacked."""

    prefix: str = ""

    def listing(self) -> Listing:
        found: Listing = {"": []}
        for name in zip_members(self.path, self.stamp):
            if name.startswith(self.prefix):
                folder, _, leaf = name[len(self.prefix) :].rpartition("/")
                found.setdefault(folder, []).append(leaf)
        return found

    def place(self, name: str) -> str:
        return f"{self.path}/{self.prefix}{name}"

    def readv(self, name: str, parts: Sequence[Part]) -> list[int]:
        data = memoryview(self._member(self.prefix + name))
        done = []
        for start, buffers in parts:
            at = start
            for buffer in buffers:
                view = memoryview(buffer).cast("B")
                piece = data[at : at + len(view)]
                view[: len(piece)] = piece
                at += len(piece)
            done.append(at - start)
        return done

    def _member(self, name: str) -> bytes:
        """The checked content of a member."""
        member = zip_members(self.path, self.stamp).get(name)
        if member is None:
            raise FormatError(self.path, name, "a file in the zip", "none")
        length = _LOCAL.size + member.name_bytes + _SLACK + member.stored
        try:
            with _opened(self.path, self.stamp) as descriptor:
                raw = os.pread(descriptor, length, member.offset)
                begin = _body(raw, self.path, name)
                if len(raw) < begin + member.stored:  # a long extra field
                    raw = os.pread(descriptor, begin + member.stored, member.offset)
        except OSError as error:
            raise FormatError(self.path, name, "a readable zip", str(error.strerror)) from error
        packed = memoryview(raw)[begin : begin + member.stored]
        return _unpacked(packed, member, self.path, name)


def _body(raw: bytes, path: str, name: str) -> int:
    """Where the content begins after the local header."""
    if len(raw) < _LOCAL.size or raw[:4] != b"PK\x03\x04":
        raise FormatError(
            path,
            name,
            "the beginning of a file in the zip",
            "other bytes",
            "the zip is truncated or damaged",
        )
    said = _LOCAL.unpack_from(raw)
    return int(_LOCAL.size + said[-2] + said[-1])


def _unpacked(packed: memoryview, member: Member, path: str, name: str) -> bytes:
    try:
        if member.method == _STORED:
            data = bytes(packed)
        else:
            data = zlib.decompressobj(-15).decompress(packed, member.size + 1)
    except zlib.error as error:
        raise FormatError(path, name, "deflated bytes", str(error), "the zip is damaged") from error
    if len(data) != member.size or zlib.crc32(data) != member.checksum:
        raise FormatError(
            path,
            name,
            f"{member.size:,} bytes of checksum {member.checksum:08x}",
            f"{len(data):,} of checksum {zlib.crc32(data):08x}",
            "the zip is damaged; download it again",
        )
    return data


#: Central directories by path and stamp.
_directories: state.Cache[dict[str, Member]] = state.Cache(128 << 20, state.entries)


def zip_members(path: str, known: tuple[int, ...]) -> dict[str, Member]:
    """What the central directory of a zip lists, folders left out; kept for the process.

    Raises
    ------
    FormatError
        If it is damaged, encrypted, packed in another way than deflate, or has changed.
    """
    return _directories.made((path, known), lambda: _directory(path, known))


def _directory(path: str, known: tuple[int, ...]) -> dict[str, Member]:
    if stamp(safety.regular_file(path)) != known:
        raise FormatError(
            path, "", "the zip as it was when it was opened", "another", "open it again"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise FormatError(
            path,
            "",
            "a zip",
            f"{type(error).__name__}: {error}",
            "it is truncated or damaged; download it again",
        ) from error
    found = {}
    for entry in entries:
        if entry.filename.endswith("/") or not entry.filename.endswith((".npy", ".json")):
            continue
        if entry.flag_bits & 1 or entry.compress_type not in (_STORED, _DEFLATED):
            raise FormatError(
                path,
                entry.filename,
                "a file stored or deflated, not encrypted",
                f"method {entry.compress_type}, flags {entry.flag_bits}",
            )
        safety.check_allocation(path, entry.filename, entry.file_size, known[1])
        found[entry.filename] = Member(
            entry.header_offset,
            entry.compress_size,
            entry.file_size,
            entry.compress_type,
            entry.CRC,
            len(entry.orig_filename.encode("utf-8", "surrogateescape")),
        )
    return found


@contextmanager
def _opened(path: str, known: tuple[int, ...]) -> Iterator[int]:
    """The descriptor of a zip for one read."""
    descriptor = os.open(path, _FLAGS)
    try:
        if stamp(os.fstat(descriptor)) != known:
            raise FormatError(
                path, "", "the zip as it was when it was opened", "another", "open it again"
            )
        yield descriptor
    finally:
        os.close(descriptor)
