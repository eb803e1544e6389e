"""An open file that is read at positions: by the system's own calls here, by ranges elsewhere.

What understands bytes (npy, zip, HDF5's chunks) is given a `PositionedFile` and never a descriptor, so
that it reads a file of this machine and one behind an address in the same way.
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

#: A place in a file, and the buffers that the bytes from there go into, one after another.
Part = tuple[int, Sequence[Any]]
#: Without waiting for a writer where a FIFO stands in place of a file.
FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
#: Whether the system reads at positions; Windows does not.
_POSITIONED = hasattr(os, "preadv")


class PositionedFile(ABC):
    """A file that is open for reading; threads may read it at once.

    Attributes
    ----------
    path : str
        For messages.
    size : int
        Bytes of the file when it was opened.
    """

    path: str
    size: int
    #: Whether each read waits for an answer, so that it pays to say beforehand what is read.
    waits: bool = False
    #: Whether nothing of it was read before, in this process or an earlier one.
    is_new: bool = False

    @abstractmethod
    def fill(self, buffers: Sequence[Any], at: int) -> int:
        """Fill writable buffers one after another with the bytes from a position on.

        Returns
        -------
        int
            Bytes read: fewer than there is room for only where the file ends.

        Raises
        ------
        FormatError
            If the file cannot be read, or is another now.
        """

    def read(self, start: int, count: int) -> bytes:
        """Bytes from a position on; fewer where the file ends."""
        buffer = bytearray(max(0, min(count, self.size - start)))
        return bytes(memoryview(buffer)[: self.fill([buffer], start)]) if buffer else b""

    def readv(self, parts: Sequence[Part]) -> list[int]:
        """Fill the buffers of several positions; the bytes read for each."""
        return [self.fill(buffers, at) for at, buffers in parts]

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Say which bytes (start, count) are read next: where each read waits, they are fetched at once."""
        return  # a disk does not wait

    def mapped(self) -> mmap.mmap | memoryview | None:
        """The file as memory, to be let go of by ``with``; None where it is not on this machine."""
        return None

    def stream(self) -> BinaryIO:
        """The file as a stream from its beginning, for what reads it in order. Closing it closes nothing."""
        return io.BufferedReader(Stream(self), 1 << 16)

    @abstractmethod
    def check_unchanged(self, where: str = "") -> None:
        """Refuse a file that has been written to since it was opened.

        Raises
        ------
        FormatError
            If its size or time of modification is another.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class LocalFile(PositionedFile):
    """A file of this machine.

    Parameters
    ----------
    path : str
        For messages.
    descriptor : int
        Of the open file, which is closed with this.
    """

    def __init__(self, path: str, descriptor: int):
        self.path, self.descriptor = path, descriptor
        status = os.fstat(descriptor)
        self.size, self.status = status.st_size, status
        self._lock = None if _POSITIONED else state.Lock()

    def fill(self, buffers: Sequence[Any], at: int) -> int:
        try:
            return self._fill(buffers, at)
        except OSError as error:
            raise self._unreadable(error) from error

    def _fill(self, buffers: Sequence[Any], at: int) -> int:
        if self._lock is not None:
            return self._fill_in_turn(buffers, at)
        wanted = sum(memoryview(buffer).nbytes for buffer in buffers)
        got = os.preadv(self.descriptor, buffers, at)
        if got in (0, wanted):
            return got
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        while got < wanted:
            left, rest = got, []
            for view in views:
                if left < len(view):
                    rest.append(view[left:])
                left = max(0, left - len(view))
            more = os.preadv(self.descriptor, rest, at + got)
            if more == 0:
                break
            got += more
        return got

    def _fill_in_turn(self, buffers: Sequence[Any], at: int) -> int:
        """As `fill` where the system has no positioned reads (Windows): one thread after another."""
        got = 0
        with self._lock or nullcontext():
            os.lseek(self.descriptor, at, os.SEEK_SET)
            for buffer in buffers:
                view = memoryview(buffer).cast("B")
                while view and (piece := os.read(self.descriptor, min(len(view), 1 << 24))):
                    view[: len(piece)] = piece
                    view, got = view[len(piece) :], got + len(piece)
        return got

    def _unreadable(self, error: OSError) -> FormatError:
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

    # Bound here: at the end of the interpreter the module's names are gone before its objects.
    def __del__(self, _close: Callable[[int], None] = os.close) -> None:
        if getattr(self, "descriptor", -1) >= 0:
            _close(self.descriptor)


def changed(path: str, where: str = "") -> FormatError:
    """The error for a file that is another than it was when it was opened."""
    return FormatError(
        path,
        where,
        "the file as it was when it was opened",
        "another size or modification time",
        "open it again",
    )


class Stream(io.RawIOBase):
    """A positioned file in order."""

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
