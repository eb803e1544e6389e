"""Where bytes lie: what the package knows of file systems, and the one place that asks them.

A reader is given a `Probe` (`neuroarrays.files.probe`), which asks a location. Another kind of place
(https, S3, a zip) is another `Location`, and `locate` picks it by how the path is written.
"""

from __future__ import annotations

import errno
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from io import RawIOBase

from neuroarrays.errors import FormatError, MissingPath
from neuroarrays.files.source import stamp

#: What can be at a location.
MISSING, FILE, FOLDER, OTHER = "missing", "file", "folder", "other"
#: What a listing says of a symbolic link, wherever it leads.
LINK = "link"
#: Of what may not be looked at or read, and what to do.
NO_PERMISSION, ASK = "no permission", "ask its owner, or: chmod u+rX {}"
#: Opened without waiting where a FIFO stands in the place of a file.
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))


@dataclass(frozen=True)
class Status:
    """What is at a location.

    Attributes
    ----------
    kind : {"missing", "file", "folder", "other"}
        "other" is what holds no bytes of its own: a FIFO, a socket, a device.
    size : int
        Bytes of a file, 0 of anything else.
    stamp : tuple of int
        Tells one content of a file from another; () where there is none.
    words : str
        What it is, for messages, where it is neither file nor folder.
    link : str
        Where a link leads that leads nowhere.
    """

    kind: str
    size: int = 0
    stamp: tuple[int, ...] = ()
    words: str = ""
    link: str = ""


class Location(ABC):
    """A place that may hold a file or a folder.

    Attributes
    ----------
    given : str
        As the user wrote it: messages say this.
    path : str
        In full: an absolute path or a URL. Sources and caches are known by it.
    """

    def __init__(self, given: str, path: str):
        self.given, self.path = given, path

    @property
    @abstractmethod
    def name(self) -> str:
        """The last part of the path."""

    @abstractmethod
    def status(self) -> Status:
        """What is there; never raises."""

    @abstractmethod
    def listing(self) -> dict[str, str]:
        """Name -> kind of everything in a folder, hidden files too.

        Also "link", and "" where only `status` knows.

        Raises
        ------
        OSError
            If it cannot be listed.
        """

    @abstractmethod
    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Bytes of a file, for each pair of start and count; fewer where the file ends.

        Raises
        ------
        OSError
            If it cannot be read.
        """

    @abstractmethod
    def child(self, name: str) -> Location:
        """The place of a name, or of several with / between them, in this folder."""

    @property
    @abstractmethod
    def parent(self) -> Location:
        """The folder that it is in."""


class LocalLocation(Location):
    """A path of this machine."""

    def __init__(self, given: str, path: str = ""):
        super().__init__(given, path or os.path.abspath(os.path.expanduser(given)))

    @property
    def name(self) -> str:
        return os.path.basename(self.path)

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
        """Why a path has no status: nothing is there, a dead link, or no permission."""
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

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        with open(os.open(self.path, _FLAGS), "rb", buffering=0) as file:
            pieces = []
            for start, count in ranges:
                file.seek(start)
                pieces.append(_read(file, count))
            return pieces

    def child(self, name: str) -> LocalLocation:
        path = os.path.normpath(os.path.join(self.path, name))
        return LocalLocation(_joined(self.given, name), path)

    @property
    def parent(self) -> LocalLocation:
        path = os.path.dirname(self.path)
        return LocalLocation(os.path.dirname(self.given.rstrip("/")) or path, path)


def words_of(error: Exception) -> str:
    """Why something cannot be read, in the system's words but for permissions."""
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
        return NO_PERMISSION
    return str(getattr(error, "strerror", "") or error)


def locate(path_or_url: str | os.PathLike[str]) -> Location:
    """The place that a path or URL means.

    Raises
    ------
    MissingPath
        On a URL: these are not read yet. On an empty path.
    """
    text = os.fsdecode(path_or_url)
    if not text:
        msg = 'an empty path; expected a file or folder, "." for the current folder'
        raise MissingPath(msg)
    if "://" in text:
        msg = f"{text}: URLs are not read yet; download the file and give its path"
        raise MissingPath(msg)
    return LocalLocation(text)


def check(location: Location, status: Status) -> None:
    """Refuse a path that is neither a file nor a folder.

    Raises
    ------
    MissingPath
        If there is nothing.
    FormatError
        If it is a FIFO, a socket or a device, or may not be looked at.
    """
    if status.kind == OTHER:
        hint = ASK.format(location.given) if status.words == NO_PERMISSION else ""
        raise FormatError(location.given, "", "a file or folder", status.words, hint)
    if status.kind == MISSING:
        words = f": {status.words}" if status.words != "nothing" else ""
        msg = f"{location.given}: no such file or folder{words}"
        raise MissingPath(msg)


def _read(file: RawIOBase, count: int) -> bytes:
    """So many bytes from where a file stands, fewer only where it ends: one read may give less."""
    pieces = [file.read(count) or b""]
    while pieces[-1] and (left := count - sum(map(len, pieces))) > 0:
        pieces.append(file.read(left) or b"")
    return b"".join(pieces)


def _kind(entry: os.DirEntry[str]) -> str:
    """What an entry of a folder is, as far as the listing says it without looking at the entry."""
    try:
        if entry.is_symlink():
            return LINK
        return FOLDER if entry.is_dir() else FILE if entry.is_file() else ""
    except OSError:
        return ""


def _joined(given: str, name: str) -> str:
    return f"{given.rstrip('/')}/{name}" if given not in ("", ".") else name
