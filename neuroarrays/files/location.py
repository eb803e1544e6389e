"""Locations: the common interface of files and folders on this machine and on servers.

A reader gets a `Probe` (`neuroarrays.files.probe`), which asks a location; a source holds the location
that it reads. `local` has the locations on this machine, `remote` those of addresses, and `locating`
chooses one of the two by the form of the path. No other module needs to know which it is.
"""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from neuroarrays.errors import FormatError, MissingPath
from neuroarrays.files.positioned import PositionedFile
from neuroarrays.files.safety import ask_to_read

#: What can be at a location.
MISSING, FILE, FOLDER, OTHER = "missing", "file", "folder", "other"
#: The kind of a symbolic link in a listing, wherever it leads.
LINK = "link"
#: The words for something that this user may not read.
NO_PERMISSION = "no permission"
#: Numbers that change with the content of a file or folder; the second is the size in bytes.
Stamp = tuple[int, ...]


@dataclass(frozen=True)
class Status:
    """What is at a location.

    Attributes
    ----------
    kind : {"missing", "file", "folder", "other"}
        "other" is something without bytes of its own (a FIFO, a socket, a device), or something that
        this user may not look at.
    size : int
        Size of a file, bytes; 0 for anything else.
    stamp : tuple of int
        Numbers that change with the content of a file; () where there is none.
    words : str
        What is there, for messages, if it is neither file nor folder.
    link : str
        The target of a dead link.
    hint : str
        What the user can do if it is neither file nor folder.
    """

    kind: str
    size: int = 0
    stamp: Stamp = ()
    words: str = ""
    link: str = ""
    hint: str = ""


class Folder(ABC):
    """The files in a folder and in all folders below it, by relative path with slashes.

    Attributes
    ----------
    path : str
        Path of the folder.
    complete : bool
        Whether `files` lists all files. A plain web server lists none; only `read` finds its files.
    """

    path: str
    complete: bool = True

    @property
    @abstractmethod
    def files(self) -> Mapping[str, Stamp]:
        """Name -> stamp of each file, as they were when the folder was opened.

        Raises
        ------
        FormatError
            If the files have changed since.
        """

    def is_covered(self, name: str) -> bool:
        """Return whether `document` takes this name from a document that combines several.

        The combined document (Zarr's consolidated metadata) has its own checksum, and the file of
        this name is not read.
        """
        return False

    @abstractmethod
    def names(self, inner: str) -> list[str]:
        """Return the names in a folder below this one ("" is this folder); [] where there is none."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Return whether there is a file of this name now."""

    @abstractmethod
    def document(self, name: str) -> dict[str, Any] | None:
        """Return the mapping in a small JSON file; None if there is no such file.

        Raises
        ------
        FormatError
            If it is a link, not a regular file or too large, or holds no mapping.
        """

    @abstractmethod
    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes | None:
        """Return bytes of a file that has not changed since it was listed; None if it does not exist.

        Raises
        ------
        FormatError
            If the file has changed, or was added since the folder was opened.
        """

    def read_parts(self, parts: Sequence[tuple[str, int, int | None]]) -> list[bytes | None]:
        """Return bytes of several files. Each part is (name, start, size) as for `read`.

        Raises
        ------
        FormatError
            As `read`.
        """
        return [self.read(*part) for part in parts]

    def prefetch(self, names: Sequence[str]) -> None:
        """Prefetch small files that are read next, for folders where each read is a request."""
        return

    def not_prefetched(self, names: list[str]) -> list[str]:
        """Return those of some files that a prefetch would have to request; [] for local folders."""
        return []

    @abstractmethod
    def check(self, name: str) -> None:
        """Refuse a file that has changed since it was listed, without reading it."""


class Location(ABC):
    """Where a file or folder lies, whether it exists or not.

    Locations of the same full path are equal, and a pickle of one holds only this path.

    Attributes
    ----------
    as_given : str
        The path as the user wrote it, without secrets, for messages. A pickle has the full path
        in its place.
    path : str
        The full path: an absolute path or a URL without secrets. It identifies the location in caches.
    """

    #: Whether each look is a request over a network, so that several should be made at a time.
    waits: bool = False

    def __init__(self, as_given: str, path: str):
        self.as_given, self.path = as_given, path

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and getattr(other, "path", None) == self.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.path)

    def __dask_tokenize__(self) -> object:
        return type(self).__qualname__, self.path

    # ----------------------------------------------------------------------------------- names

    @property
    @abstractmethod
    def name(self) -> str:
        """The last part of the path."""

    @property
    def address(self) -> str:
        """The path or URL by which another process of ours opens it; never print it, for its secrets."""
        return self.path

    @property
    def local_path(self) -> str | None:
        """The path for libraries that open files themselves; None if it is not on this machine."""
        return None

    @abstractmethod
    def child(self, name: str) -> Location:
        """Return the location of a name, or a relative path with slashes, in this folder."""

    @property
    @abstractmethod
    def parent(self) -> Location:
        """The folder that it is in."""

    # ------------------------------------------------------------------------ files and folders

    @abstractmethod
    def status(self) -> Status:
        """Return what is there; this never raises."""

    @abstractmethod
    def listing(self) -> dict[str, str]:
        """Return name -> kind of everything in a folder, hidden files too.

        Besides the kinds of `Status` there are "link", and "" for entries that only `status` can tell.

        Raises
        ------
        OSError
            If the folder cannot be listed.
        """

    @abstractmethod
    def folder(self, known: Stamp = (), follow: bool = False) -> Folder:
        """Return the files in a folder and below it, as they were when its stamp was `known`.

        Parameters
        ----------
        known : tuple of int
            A stamp from `folder_stamp`.
        follow : bool
            Whether links count as the files and folders that they lead to.
        """

    @abstractmethod
    def folder_stamp(self, follow: bool = False) -> Stamp:
        """Return a stamp that changes with any file in a folder or below it.

        Its second number is the size of all files, bytes.

        Raises
        ------
        MissingPath, FormatError
            If the folder does not exist, or cannot be read.
        """

    # ------------------------------------------------------------------------------------ bytes

    @abstractmethod
    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of each range (start, count) of a file; fewer where the file ends.

        Raises
        ------
        OSError
            If the file cannot be read.
        """

    @abstractmethod
    def open(self, known: Stamp | None = None) -> PositionedFile:
        """Open the file for reading.

        Raises
        ------
        FormatError
            If the file cannot be read, or if its stamp is not the `known` one.
        """

    @abstractmethod
    def check_unchanged(self, known: Stamp) -> None:
        """Refuse a file whose stamp is not the `known` one.

        Raises
        ------
        MissingPath, FormatError
            If the file is gone, or has changed.
        """


def check(location: Location, status: Status) -> None:
    """Refuse a path that is neither a file nor a folder.

    Raises
    ------
    MissingPath
        If there is nothing.
    FormatError
        If it is a FIFO, a socket or a device, or if this user may not look at it.
    """
    if status.kind == OTHER:
        hint = status.hint
        if status.words == NO_PERMISSION and not hint:
            hint = ask_to_read(location.as_given)
        raise FormatError(location.as_given, "", "a file or folder", status.words, hint)
    if status.kind == MISSING:
        words = f": {status.words}" if status.words != "nothing" else ""
        hint = f"; {status.hint}" if status.hint else ""
        msg = f"{location.as_given}: no such file or folder{words}{hint}"
        raise MissingPath(msg)


def words_of(error: Exception) -> str:
    """Return why something cannot be read: the system's words, or `NO_PERMISSION`."""
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
        return NO_PERMISSION
    return str(getattr(error, "strerror", "") or error)


def joined(folder: str, name: str) -> str:
    """Join a name to a folder as the user wrote it."""
    return f"{folder.rstrip('/')}/{name}" if folder not in ("", ".") else name


def as_text(path_or_url: str | os.PathLike[str]) -> str:
    """Return a path or URL as text.

    Raises
    ------
    MissingPath
        If it is empty.
    """
    text = os.fsdecode(path_or_url)
    if not text:
        msg = 'expected a file or folder, found an empty path; "." is the current folder'
        raise MissingPath(msg)
    return text
