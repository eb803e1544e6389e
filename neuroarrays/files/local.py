"""Files and folders on this machine, as locations."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping, Sequence
from io import RawIOBase
from typing import Any

from neuroarrays.errors import FormatError
from neuroarrays.files import folders, safety
from neuroarrays.files.location import (
    FILE,
    FOLDER,
    LINK,
    MISSING,
    NO_PERMISSION,
    OTHER,
    Folder,
    Location,
    Stamp,
    Status,
    joined,
    words_of,
)
from neuroarrays.files.positioned import FLAGS, LocalFile, changed
from neuroarrays.files.state import cached_property


def stamp(status: os.stat_result) -> Stamp:
    """Return the stamp of a file's content: inode, size in bytes, time of change in ns."""
    return status.st_ino, status.st_size, status.st_mtime_ns


class LocalLocation(Location):
    """A path on this machine."""

    def __init__(self, as_given: str, path: str = ""):
        super().__init__(as_given, path or os.path.abspath(os.path.expanduser(as_given)))

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

    @property
    def local_path(self) -> str:
        return self.path

    def child(self, name: str) -> LocalLocation:
        path = os.path.normpath(os.path.join(self.path, name))
        return LocalLocation(joined(self.as_given, name), path)

    @property
    def parent(self) -> LocalLocation:
        path = os.path.dirname(self.path)
        return LocalLocation(os.path.dirname(self.as_given.rstrip("/")) or path, path)

    def status(self) -> Status:
        try:
            status = os.stat(self.path)
        except (OSError, ValueError) as error:
            return self._missing(error)
        if stat.S_ISDIR(status.st_mode):
            return Status(FOLDER, stamp=stamp(status))
        if stat.S_ISREG(status.st_mode):
            return Status(FILE, status.st_size, stamp(status))
        kinds = {stat.S_ISFIFO: "a FIFO", stat.S_ISSOCK: "a socket"}
        words = next((name for test, name in kinds.items() if test(status.st_mode)), "a device")
        return Status(OTHER, words=words)

    def _missing(self, error: OSError | ValueError) -> Status:
        """Return the status of a path that cannot be looked at: nothing, a dead link, no permission."""
        try:
            target = os.readlink(self.path)
        except (OSError, ValueError, AttributeError):
            target = ""
        if words_of(error) == NO_PERMISSION:
            return Status(OTHER, words=NO_PERMISSION)
        if isinstance(error, OSError) and error.errno == errno.ELOOP:
            return Status(MISSING, words=f"a link to {target!r}, which leads in a circle")
        if target:
            words = f"a link to {target!r}, where there is nothing"
            return Status(MISSING, words=words, link=target)
        return Status(MISSING, words="nothing")

    def listing(self) -> dict[str, str]:
        with os.scandir(self.path) as entries:
            return {entry.name: _kind(entry) for entry in entries}

    def folder(self, known: Stamp = (), follow: bool = False) -> Folder:
        return LocalFolder(self.path, known, follow)

    def folder_stamp(self, follow: bool = False) -> Stamp:
        return folders.stamp(self.path, follow)

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        with open(os.open(self.path, FLAGS), "rb", buffering=0) as file:
            pieces = []
            for start, count in ranges:
                file.seek(start)
                pieces.append(_read(file, count))
            return pieces

    def open(self, known: Stamp | None = None) -> LocalFile:
        try:
            descriptor = os.open(self.path, FLAGS)
        except OSError as error:
            raise FormatError(
                self.path,
                "",
                "a readable file",
                f"{error.strerror}",
                "restore it from the original",
            ) from error
        file = LocalFile(self.path, descriptor)
        if not stat.S_ISREG(file.status.st_mode):
            file.close()
            raise FormatError(self.path, "", "a readable file", "no regular file")
        if known is not None and stamp(file.status) != known:
            file.close()
            raise changed(self.path)
        return file

    def check_unchanged(self, known: Stamp) -> None:
        if stamp(safety.regular_file(self.path)) != known:
            raise changed(self.path)


class LocalFolder(Folder):
    """The files in a folder on this machine.

    Parameters
    ----------
    path : str
        The folder.
    known : tuple of int
        The stamp of the folder when it was opened.
    follow : bool
        Whether links count as the files and folders that they lead to.
    """

    def __init__(self, path: str, known: Stamp, follow: bool):
        self.path, self.known, self.follow = path, known, follow

    @cached_property
    def files(self) -> Mapping[str, Stamp]:
        return folders.listing(self.path, self.known, self.follow)

    def names(self, inner: str) -> list[str]:
        try:
            return os.listdir(os.path.join(self.path, inner))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def has(self, name: str) -> bool:
        return os.path.isfile(os.path.join(self.path, name))

    def document(self, name: str) -> dict[str, Any] | None:
        return folders.read_json(os.path.join(self.path, name))

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes | None:
        if name not in self.files:
            folders.check_absent(self.path, name)
            return None
        return folders.read(self.path, name, self.files, start, size)

    def check(self, name: str) -> None:
        folders.check(self.path, name, self.files)


def _read(file: RawIOBase, count: int) -> bytes:
    """Read `count` bytes, fewer only at the end of the file; a single system call may return less."""
    pieces = [file.read(count) or b""]
    while pieces[-1] and (left := count - sum(map(len, pieces))) > 0:
        pieces.append(file.read(left) or b"")
    return b"".join(pieces)


def _kind(entry: os.DirEntry[str]) -> str:
    """Return the kind of an entry of a folder; "" where the listing alone does not tell."""
    try:
        if entry.is_symlink():
            return LINK
        return FOLDER if entry.is_dir() else FILE if entry.is_file() else ""
    except OSError:
        return ""
