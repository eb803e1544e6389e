"""Stores: they list files, know their sizes and stamps, and read ranges of their bytes.

A folder is a store, and so is a zip (`zips`). The readers of formats (npy, NPZ, MATLAB, HDF5, ...)
use stores and do not open files themselves.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from typing import TextIO

from neuroarrays.errors import FormatError, NeuroArraysError
from neuroarrays.files.location import FILE, FOLDER, LINK, Location, Stamp, check, words_of
from neuroarrays.files.positioned import Part

#: The largest file that is read whole on opening (labels of trials and units), bytes.
LARGEST = 1 << 28
#: Folder ("data/responses", "" for the store itself) -> names of its files.
Listing = dict[str, list[str]]
#: Folders of a store, and levels of folders in folders.
_MAX_FOLDERS, _MAX_DEPTH = 10_000, 8


@dataclass(frozen=True)
class Store(ABC):
    """Files by name, below one path.

    Picklable in a few bytes; threads may read at once, and so may forked processes.

    Attributes
    ----------
    location : Location
        The folder or container.
    stamp : tuple of int
        Its stamp; () if changes are not looked for.
    """

    location: Location
    stamp: Stamp

    @property
    def path(self) -> str:
        """The full path of the folder or container, for messages."""
        return self.location.path

    @abstractmethod
    def listing(self) -> Listing:
        """Return all files by folder; each call scans the store."""

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
        """Return bytes of a file from a position on; fewer if the file ends."""
        buffer = bytearray(size)
        (count,) = self.readv(name, [(start, [buffer])])
        return bytes(buffer[:count])

    def prefetch(self, names: Sequence[str]) -> None:
        """Fetch small files that are read next; does nothing for local stores."""
        return

    def path_of(self, name: str) -> str:
        """The path of a file, for messages."""
        return f"{self.path}/{name}"


@dataclass(frozen=True)
class FolderStore(Store):
    """Files of a folder; each read opens the file and reads at the positions."""

    def listing(self) -> Listing:
        if self.stamp and self.location.waits:  # listed as a whole, for the stamp
            return _by_folder(self.location.folder(self.stamp, follow=True).files)
        listing: Listing = {}
        todo = [""]
        while todo:
            folder = todo.pop()
            names = listing.setdefault(folder, [])
            location = self.location.child(folder) if folder else self.location
            try:
                kinds = location.listing()
            except OSError as error:
                raise FormatError(
                    location.path, "", "a readable folder", words_of(error)
                ) from error
            for name, kind in kinds.items():
                if kind in (LINK, ""):
                    kind = location.child(name).status().kind
                if kind == FOLDER:
                    todo.append(f"{folder}/{name}".lstrip("/"))
                else:
                    names.append(name)
            if len(listing) > _MAX_FOLDERS or folder.count("/") > _MAX_DEPTH:
                raise FormatError(self.path, folder, "a session's folders", "folders without end")
        return listing

    def prefetch(self, names: Sequence[str]) -> None:
        if not self.location.waits:
            return
        from neuroarrays.files import network  # brings http along

        def begin(name: str) -> None:
            """Read the beginning of a file into the cache."""
            with contextlib.suppress(NeuroArraysError, OSError):  # raised when the file is read
                self.readv(name, [])

        for _ in network.side_by_side(begin, names, "places"):
            pass

    def size(self, name: str) -> int:
        file = self.location.child(name)
        status = file.status()
        check(file, status)
        if status.kind != FILE:
            raise FormatError(file.path, "", "a regular file", "a folder")
        return status.size

    def readv(self, name: str, parts: Sequence[Part]) -> list[int]:
        known: Stamp | None = None
        if self.stamp:
            known = self.location.folder(self.stamp, follow=True).files.get(name, ())
        with self.location.child(name).open(known) as file:
            return file.readv(parts)


def _by_folder(names: Iterable[str]) -> Listing:
    """Return the names of files by folder, also for folders that have only folders in them."""
    listing: Listing = {"": []}
    for name in names:
        folder, _, file = name.rpartition("/")
        parts = folder.split("/") if folder else []
        for depth in range(1, len(parts) + 1):
            listing.setdefault("/".join(parts[:depth]), [])
        listing[folder].append(file)
    return listing


@contextmanager
def text_stream(
    location: Location, encoding: str, errors: str = "strict", known: Stamp | None = None
) -> Iterator[TextIO]:
    """Open a regular file as a stream of text.

    Raises
    ------
    FormatError
        If it cannot be read, or its stamp is not the `known` one.
    """
    with location.open(known) as file:
        text = TextIOWrapper(file.stream(), encoding, errors)
        yield text
        text.detach()
