"""Stores: what lists files, tells their size and stamp, and reads ranges of their bytes.

The lower floor of this folder. A folder is one, a zip is another (`zips`); what understands bytes
(npy, NPZ, MATLAB, HDF5, ...) stands on them and opens no file by itself.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Any, BinaryIO, TextIO

from neuroarrays.errors import FormatError
from neuroarrays.files import folders, safety
from neuroarrays.files.source import check_unchanged

#: The largest file that is read whole on opening (labels of trials and units), bytes.
LARGEST = 1 << 28
#: A place in a file, and the buffers that the bytes from there go into, one after another.
Part = tuple[int, Sequence[Any]]
#: Folder ("data/responses", "" for the store itself) -> names of its files.
Listing = dict[str, list[str]]
#: Without waiting for a writer where a FIFO stands in place of a file.
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
#: Folders of a store, and levels of folders in folders.
_MAX_FOLDERS, _MAX_DEPTH = 10_000, 8


@dataclass(frozen=True)
class Store(ABC):
    """Files by name, below one path.

    Picklable in a few bytes; threads may read at once, and so may forked processes.

    Attributes
    ----------
    path : str
        Of the folder or container.
    stamp : tuple of int
        What tells its content from another; () where nothing is compared.
    """

    path: str
    stamp: tuple[int, ...]

    @abstractmethod
    def listing(self) -> Listing:
        """All files, by folder: one scan."""

    @abstractmethod
    def size(self, name: str) -> int:
        """Bytes of a file.

        Raises
        ------
        FormatError
            If there is none of that name.
        """

    @abstractmethod
    def readv(self, name: str, parts: Sequence[Part]) -> list[int]:
        """Read from several positions of a file into buffers.

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

    def read(self, name: str, start: int, size: int) -> bytes:
        """Bytes of a file from a position on; fewer where it ends."""
        buffer = bytearray(size)
        (got,) = self.readv(name, [(start, [buffer])])
        return bytes(buffer[:got])

    def path_of(self, name: str) -> str:
        """The path of a file, for messages."""
        return os.path.join(self.path, name)


@dataclass(frozen=True)
class FolderStore(Store):
    """Files of a folder: one open and one positioned read for each place."""

    def listing(self) -> Listing:
        listing: Listing = {}
        todo = [""]
        while todo:
            folder = todo.pop()
            names = listing.setdefault(folder, [])
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
            if len(listing) > _MAX_FOLDERS or folder.count("/") > _MAX_DEPTH:
                raise FormatError(self.path, folder, "a session's folders", "folders without end")
        return listing

    def size(self, name: str) -> int:
        return safety.regular_file(self.path_of(name)).st_size

    def readv(self, name: str, parts: Sequence[Part]) -> list[int]:
        path = f"{self.path}/{name}"
        known = folders.listing(self.path, self.stamp, follow=True) if self.stamp else None
        with opened(path) as descriptor:
            if known is not None:
                folders.check_status(path, os.fstat(descriptor), known.get(name))
            return [fill(descriptor, buffers, at) for at, buffers in parts]


@contextmanager
def opened(path: str, known: tuple[int, ...] | None = None) -> Iterator[int]:
    """The descriptor of a regular file for one read.

    Raises
    ------
    FormatError
        If it cannot be read, or is another than was `known`.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        raise FormatError(
            path, "", "a readable file", f"{error.strerror}", "restore it from the original"
        ) from error
    try:
        if known is not None:
            check_unchanged(path, known, os.fstat(descriptor))
        yield descriptor
    except OSError as error:
        mode = os.fstat(descriptor).st_mode
        problem = error.strerror if stat.S_ISREG(mode) else "no regular file"
        raise FormatError(path, "", "a readable file", str(problem)) from error
    finally:
        os.close(descriptor)


@contextmanager
def stream(path: str, known: tuple[int, ...] | None = None) -> Iterator[BinaryIO]:
    """A regular file as a stream of bytes, for what reads it in order.

    Raises
    ------
    FormatError
        If it cannot be read, or is another than was `known`.
    """
    with opened(path, known) as descriptor, open(descriptor, "rb", closefd=False) as file:
        yield file


@contextmanager
def text_stream(
    path: str, encoding: str, errors: str = "strict", known: tuple[int, ...] | None = None
) -> Iterator[TextIO]:
    """A regular file as a stream of text, as `stream`."""
    with stream(path, known) as raw:
        text = TextIOWrapper(raw, encoding, errors)
        yield text
        text.detach()


def fill(descriptor: int, buffers: Sequence[Any], at: int) -> int:
    """Fill buffers one after another, continuing after short reads until the file ends."""
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


def head(path: str | os.PathLike[str], size: int) -> bytes:
    """The first bytes of a file, b"" if it is no regular file or cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return b""
        with opened(os.fspath(path)) as descriptor:
            return os.read(descriptor, size)
    except (OSError, ValueError, FormatError):
        return b""


def content(path: str | os.PathLike[str], largest: int) -> bytes:
    """All bytes of a regular file.

    Raises
    ------
    MissingPath
        If there is nothing.
    FormatError
        If it is no regular file, cannot be read, or has more bytes than `largest`.
    """
    size = safety.regular_file(path).st_size
    if size > largest:
        raise FormatError(path, "", f"at most {largest:,} bytes", f"{size:,}")
    buffer = bytearray(size)
    with opened(os.fspath(path)) as descriptor:
        return bytes(buffer[: fill(descriptor, [buffer], 0)]) if size else b""


def text(path: str | os.PathLike[str], largest: int) -> str:
    """The text of a file in UTF-8, as `content`.

    Raises
    ------
    FormatError
        Also if it is no UTF-8.
    """
    try:
        return content(path, largest).decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(path, "", "readable text", str(error)) from error
