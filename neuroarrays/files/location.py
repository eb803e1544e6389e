"""Where bytes lie: what is asked of a place, whatever it is.

A reader is given a `Probe` (`neuroarrays.files.probe`), which asks a location; a source holds the location
that it reads. `local` has those of this machine, `remote` those behind an address, and `locating` picks
one by how the path is written. Nobody else knows which it is.
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
#: What a listing says of a symbolic link, wherever it leads.
LINK = "link"
#: Of what may not be looked at or read, and what to do.
NO_PERMISSION = "no permission"
#: What tells one content of a place from another; its second number is the size in bytes.
Stamp = tuple[int, ...]


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
    hint : str
        What to do, where it is neither file nor folder and that is known.
    """

    kind: str
    size: int = 0
    stamp: Stamp = ()
    words: str = ""
    link: str = ""
    hint: str = ""


class Folder(ABC):
    """The files in a folder and in the folders below it, by their names with / between.

    Attributes
    ----------
    path : str
        Of the folder.
    complete : bool
        Whether `files` has all of them; a server that lists nothing has files that only `read` finds.
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
            If they are others now.
        """

    def is_covered(self, name: str) -> bool:
        """Whether a document comes out of one that holds all of them, whose checksum is its own."""
        return False

    @abstractmethod
    def names(self, inner: str) -> list[str]:
        """What is in a folder below, "" for this one; [] where there is none."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is a file of that name now."""

    @abstractmethod
    def document(self, name: str) -> dict[str, Any] | None:
        """The mapping in a small file of JSON; None if there is no such file.

        Raises
        ------
        FormatError
            If it is a link, no regular file, too large, or no mapping.
        """

    @abstractmethod
    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes | None:
        """Bytes of a file, which has to be as it was listed; None if there was none and is none.

        Raises
        ------
        FormatError
            If it is another now, or was not there before.
        """

    def read_parts(self, parts: Sequence[tuple[str, int, int | None]]) -> list[bytes | None]:
        """Bytes of several files, or parts of them: name, start and size as of `read`.

        Raises
        ------
        FormatError
            As `read`.
        """
        return [self.read(*part) for part in parts]

    def ahead(self, names: Sequence[str]) -> None:
        """Say which small files are read next, for folders where each read waits."""
        return

    def not_ahead(self, names: list[str]) -> list[str]:
        """Those of some files that are not here yet: none where no read waits."""
        return []

    @abstractmethod
    def check(self, name: str) -> None:
        """Refuse a file that is not as it was listed, without reading it."""


class Location(ABC):
    """A place that may hold a file or a folder. Equal, and hashed, by its full path; pickles small.

    Attributes
    ----------
    given : str
        As the user wrote it, without what is secret: messages say this. Not kept by a pickle.
    path : str
        In full: an absolute path or a URL. Sources and caches are known by it.
    """

    #: Whether each look waits for an answer, so that it pays to look at several side by side.
    waits: bool = False

    def __init__(self, given: str, path: str):
        self.given, self.path = given, path

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

    # ----------------------------------------------------------------------------- where it is

    @property
    @abstractmethod
    def name(self) -> str:
        """The last part of the path."""

    @property
    def address(self) -> str:
        """What opens it again in another process of ours; may hold what is secret, so nobody prints it."""
        return self.path

    @property
    def local_path(self) -> str | None:
        """The path for libraries that open files by themselves; None where it is not on this machine."""
        return None

    @abstractmethod
    def child(self, name: str) -> Location:
        """The place of a name, or of several with / between them, in this folder."""

    @property
    @abstractmethod
    def parent(self) -> Location:
        """The folder that it is in."""

    # ---------------------------------------------------------------------------- what is there

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
    def folder(self, known: Stamp = (), follow: bool = False) -> Folder:
        """What is in a folder and below it, as it was when its stamp was `known`.

        Parameters
        ----------
        known : tuple of int
            From `folder_stamp`.
        follow : bool
            Whether links to files and folders count as these.
        """

    @abstractmethod
    def folder_stamp(self, follow: bool = False) -> Stamp:
        """What changes with any file in a folder or below it: of all files, the second number their size.

        Raises
        ------
        MissingPath, FormatError
            If it is not there, or cannot be looked through.
        """

    # -------------------------------------------------------------------------------- its bytes

    @abstractmethod
    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Bytes of a file, for each pair of start and count; fewer where the file ends.

        Raises
        ------
        OSError
            If it cannot be read.
        """

    @abstractmethod
    def open(self, known: Stamp | None = None) -> PositionedFile:
        """The file, open for reading.

        Raises
        ------
        FormatError
            If it cannot be read, or its stamp is not the one that was `known`.
        """

    @abstractmethod
    def check_unchanged(self, known: Stamp) -> None:
        """Refuse a file whose stamp is not the one that was `known`.

        Raises
        ------
        MissingPath, FormatError
            If it is gone, or another.
        """


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
        hint = status.hint
        if status.words == NO_PERMISSION and not hint:
            hint = ask_to_read(location.given)
        raise FormatError(location.given, "", "a file or folder", status.words, hint)
    if status.kind == MISSING:
        words = f": {status.words}" if status.words != "nothing" else ""
        hint = f"; {status.hint}" if status.hint else ""
        msg = f"{location.given}: no such file or folder{words}{hint}"
        raise MissingPath(msg)


def words_of(error: Exception) -> str:
    """Why something cannot be read, in the system's words but for permissions."""
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
        return NO_PERMISSION
    return str(getattr(error, "strerror", "") or error)


def joined(given: str, name: str) -> str:
    """The name below a folder, as the user wrote the folder."""
    return f"{given.rstrip('/')}/{name}" if given not in ("", ".") else name


def as_text(path_or_url: str | os.PathLike[str]) -> str:
    """A path or URL as text.

    Raises
    ------
    MissingPath
        On an empty one.
    """
    text = os.fsdecode(path_or_url)
    if not text:
        msg = 'expected a file or folder, found an empty path; "." is the current folder'
        raise MissingPath(msg)
    return text
