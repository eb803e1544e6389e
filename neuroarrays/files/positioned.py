"""Open files that are read at positions: local ones by the system's calls, remote ones by requests.

The readers of formats (npy, zip, HDF5's chunks) use a `PositionedFile` and never a file descriptor,
so that they read local and remote files in the same way.
"""

from __future__ import annotations

import io
import mmap
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, BinaryIO, Self

from neuroarrays.errors import FormatError
from neuroarrays.files import state

#: A position in a file, and the buffers that are filled with the bytes from there on.
Part = tuple[int, Sequence[Any]]
#: Flags to open a file; with O_NONBLOCK, opening a FIFO does not wait for a writer.
FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
#: Whether the system can read at a position; Windows cannot.
_POSITIONED = hasattr(os, "preadv")


class PositionedFile(ABC):
    """A file that is open for reading; several threads may read it at once.

    Attributes
    ----------
    path : str
        Path of the file, for messages.
    size : int
        Size of the file in bytes when it was opened.
    """

    path: str
    size: int
    #: Whether each read waits for a server, so that it pays to `prefetch`.
    waits: bool = False
    #: Whether no opening, of this process or an earlier one, has read anything of the file.
    is_new: bool = False

    @abstractmethod
    def fill(self, buffers: Sequence[Any], start: int) -> int:
        """Fill writable buffers one after another with the bytes from a position on.

        Returns
        -------
        int
            Number of bytes read; fewer than the buffers have only if the file ends.

        Raises
        ------
        FormatError
            If the file cannot be read, or has changed.
        """

    def read(self, start: int, count: int) -> bytes:
        """Read bytes from a position on; fewer if the file ends."""
        buffer = bytearray(max(0, min(count, self.size - start)))
        return bytes(memoryview(buffer)[: self.fill([buffer], start)]) if buffer else b""

    def readv(self, parts: Sequence[Part]) -> list[int]:
        """Fill the buffers of several positions; returns the number of bytes read for each."""
        return [self.fill(buffers, start) for start, buffers in parts]

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Fetch ranges of bytes (start, count) that are read next; does nothing for local files."""
        return

    def mapped(self) -> mmap.mmap | memoryview | None:
        """The file as memory, to be closed by ``with``; None for a remote file."""
        return None

    def stream(self) -> BinaryIO:
        """The file as a stream from its beginning. Closing the stream does not close the file."""
        return io.BufferedReader(Stream(self), 1 << 16)

    @abstractmethod
    def check_unchanged(self, where: str = "") -> None:
        """Refuse a file that has been written to since it was opened.

        Raises
        ------
        FormatError
            If its size or time of modification has changed.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LocalFile(PositionedFile):
    """A local file.

    Parameters
    ----------
    path : str
        Path of the file, for messages.
    descriptor : int
        Descriptor of the open file. It is closed with this object.
    """

    def __init__(self, path: str, descriptor: int):
        self.path, self.descriptor = path, descriptor
        status = os.fstat(descriptor)
        self.size, self.status = status.st_size, status
        self._lock = None if _POSITIONED else state.Lock()

    def fill(self, buffers: Sequence[Any], start: int) -> int:
        try:
            return self._fill(buffers, start)
        except OSError as error:
            raise self._unreadable(error) from error

    def _fill(self, buffers: Sequence[Any], start: int) -> int:
        if self._lock is not None:
            return self._fill_in_turn(buffers, start)
        capacity = sum(memoryview(buffer).nbytes for buffer in buffers)
        done = os.preadv(self.descriptor, buffers, start)
        if done in (0, capacity):
            return done
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        while done < capacity:
            filled, rest = done, []
            for view in views:
                if filled < len(view):
                    rest.append(view[filled:])
                filled = max(0, filled - len(view))
            more = os.preadv(self.descriptor, rest, start + done)
            if more == 0:
                break
            done += more
        return done

    def _fill_in_turn(self, buffers: Sequence[Any], start: int) -> int:
        """`fill` for Windows, which cannot read at a position: one thread after another."""
        done = 0
        with self._lock or nullcontext():
            os.lseek(self.descriptor, start, os.SEEK_SET)
            for buffer in buffers:
                view = memoryview(buffer).cast("B")
                while view and (piece := os.read(self.descriptor, min(len(view), 1 << 24))):
                    view[: len(piece)] = piece
                    view, done = view[len(piece) :], done + len(piece)
        return done

    def _unreadable(self, error: OSError) -> FormatError:
        """The error for a file that the system cannot read."""
        return FormatError(self.path, "", "a readable file", str(error.strerror))

    def mapped(self) -> mmap.mmap | None:
        try:
            return mmap.mmap(self.descriptor, 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise self._unreadable(error) from error

    def stream(self) -> BinaryIO:
        return open(self.descriptor, "rb", closefd=False)

    def check_unchanged(self, where: str = "") -> None:
        now = os.fstat(self.descriptor)
        before = self.status
        if (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise changed(self.path, where)

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    # `os.close` is a default, because at the end of the interpreter `os` is gone before this object.
    def __del__(self, _close: Callable[[int], None] = os.close) -> None:
        if getattr(self, "descriptor", -1) >= 0:
            _close(self.descriptor)


def changed(path: str, where: str = "") -> FormatError:
    """The error for a file that has changed since it was opened."""
    return FormatError(
        path,
        where,
        "the file as it was when it was opened",
        "another size or modification time",
        "open it again",
    )


class Stream(io.RawIOBase):
    """A positioned file as a stream.

    Parameters
    ----------
    file : PositionedFile
        The file, which is not closed with the stream.
    """

    def __init__(self, file: PositionedFile):
        self.file, self.at, self.size = file, 0, file.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.size}[whence]
        self.at = max(base + offset, 0)
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: Any) -> int:
        count = self.file.fill([buffer], self.at)
        self.at += count
        return count
