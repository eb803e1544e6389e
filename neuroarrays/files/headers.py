"""What is at a location (an HDF5 file, a zip, a folder, ...), as far as its first bytes tell."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Self

from neuroarrays.errors import FormatError, MissingPath, UnknownFormat, many
from neuroarrays.files import location, safety
from neuroarrays.files.locating import locate
from neuroarrays.files.location import FILE, FOLDER, Location, Status
from neuroarrays.files.neighbours import Neighbours
from neuroarrays.files.source import HDF5_MAGIC
from neuroarrays.files.state import cached_property

#: The kind of a list of paths.
LIST = "list"
#: The file of checksums in a Zarr archive that `neuroarrays.save` wrote.
CHECKSUMS = ".checksums"
#: Attribute at the root of every archive that `neuroarrays.save` wrote.
SAVED_BY = "_saved_by"
#: Offset and text of the mark in the header of a tar file.
_TAR_AT, _TAR = 257, b"ustar"
#: A folder with one of these files is a Zarr store; with checksums even if its metadata are lost.
_ZARR = (".zgroup", ".zmetadata", "zarr.json", CHECKSUMS)
#: First bytes of a file -> (container, name of the container in messages).
_MAGIC = {
    HDF5_MAGIC: ("hdf5", "an HDF5 file"),
    b"PK\x03\x04": ("zip", "a zip file"),
    b"PK\x05\x06": ("zip", "an empty zip file"),
    b"\x93NUMPY": ("npy", "an npy file"),
    b"MATLAB 5.0": ("mat5", "a MATLAB v5 file"),
    b"MATLAB 7.3": ("", "a MATLAB v7.3 file"),
    b"CDF": ("netcdf3", "a netCDF-3 file"),
    b"\x1f\x8b": ("", "a file packed with gzip"),
    b"\x80": ("pickle", "a pickle or other binary file"),
}
#: Bytes that are read from the start of a file, and the offsets at which HDF5 may begin: the format
#: allows a "user block" of 512 bytes times a power of two before it.
_HEAD, _USER_BLOCKS = 4096, tuple(512 << n for n in range(7))


class Header:
    """What is at a location, or at the locations of a list. Each answer is looked up only once.

    Parameters
    ----------
    target : Location
        The location; of a list, the location of the first member.
    status : Status, optional
        The status, if it is known already.
    kind : str, optional
        The kind, if the listing of the folder told it.
    members : sequence of Probe, optional
        The members of a list.
    """

    def __init__(
        self,
        target: Location,
        status: Status | None = None,
        kind: str = "",
        members: Iterable[Self] | None = None,
    ):
        self.location = target
        self._known_status, self._known_kind = status, kind
        self._members = None if members is None else tuple(members)
        if self._members is not None:
            self._gather(self._members)

    #: The members that are looked at together with this one, as each look over a network takes long.
    _neighbours: Neighbours[Header] | None = None

    @staticmethod
    def _gather(members: Sequence[Header]) -> None:
        """Have these members looked at together from now on."""
        neighbours = Neighbours(members)
        for member in members:
            member._neighbours = neighbours

    # -------------------------------------------------------------------------------------- names

    @property
    def as_given(self) -> str:
        """The path as the user wrote it, for messages."""
        return self.location.as_given

    @property
    def path(self) -> str:
        """The absolute path, or a URL."""
        return self.location.path

    @property
    def paths(self) -> list[str]:
        """The path, or the paths of the members of a list."""
        return [member.path for member in self._members or (self,)]

    @property
    def addresses(self) -> list[str]:
        """The addresses by which another process opens the members; they may contain secrets."""
        return [member.location.address for member in self._members or (self,)]

    @cached_property
    def name(self) -> str:
        """The last part of the path."""
        return self.location.name

    @cached_property
    def stem(self) -> str:
        """The name without its last suffix."""
        return self.name.removesuffix(self.suffix)

    @cached_property
    def suffix(self) -> str:
        """The last suffix, with its dot; "" where there is none."""
        stem, _, ending = self.name.rpartition(".")
        return f".{ending}" if stem and ending else ""

    def __str__(self) -> str:
        return self.as_given

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.as_given!r})"

    # ------------------------------------------------------------------------ kind and first bytes

    @cached_property
    def status(self) -> Status:
        """Kind, size and stamp."""
        if self._known_status is None and self._look_together("status", _look):
            status: Status | None = vars(self).get("status")
            if status is not None:
                return status
        return self._known_status or self.location.status()

    @property
    def status_if_known(self) -> Status | None:
        """The status if it was looked up already, else None: looking up a remote one is a request."""
        return vars(self).get("status")

    def _look_together(self, what: str, look: Callable[[Header], object]) -> bool:
        """Call `look` for the members beside this one as well; return whether there are any."""
        if self._neighbours is not None:
            self._neighbours.look_at(self, what, look)
        return self._neighbours is not None

    @cached_property
    def kind(self) -> str:
        """One of "missing", "file", "folder", "other" (a FIFO, a device) and "list"."""
        if self._members is not None:
            return LIST
        return self._known_kind or self.status.kind

    @property
    def is_list(self) -> bool:
        """Whether it is a list of paths."""
        return self.kind == LIST

    @property
    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.kind == FILE

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder other than a Zarr store."""
        return self.kind == FOLDER and self.container != "zarr"

    @property
    def exists(self) -> bool:
        """Whether anything is there."""
        return self.kind != location.MISSING

    @property
    def size(self) -> int:
        """Bytes of a file, 0 of anything else."""
        return self.status.size if self.is_file else 0

    @property
    def stamp(self) -> tuple[int, ...]:
        """A stamp that changes with the content of a file: inode, bytes, time of change in ns."""
        return self.status.stamp

    @cached_property
    def head(self) -> bytes:
        """The first 4096 bytes of a file, or all of a shorter one; b"" if there is no readable file."""
        return self._beginning[0]

    def beginning(self, start: int, size: int) -> bytes:
        """Return bytes near the beginning of a file; they are only read if `head` does not have them."""
        if start + size <= len(self.head) or len(self.head) < _HEAD:
            return self.head[start : start + size]
        with safety.named(self.as_given):
            return self.location.read([(start, size)])[0]

    @cached_property
    def _beginning(self) -> tuple[bytes, bool, str]:
        """The first bytes, whether the file is HDF5 (also after a user block), and the text of an error."""
        if not self.is_file:
            return b"", False, ""
        if self.location.waits:
            self._look_together("status", _look)
            if "_beginning" in vars(self):
                beginning: tuple[bytes, bool, str] = vars(self)["_beginning"]
                return beginning
            self.status  # noqa: B018  this caches the first bytes of a remote file
        ranges = [(0, _HEAD), *((start, 8) for start in _USER_BLOCKS if start + 8 > _HEAD)]
        try:
            head, *later = self.location.read(ranges)
        except OSError as error:
            return b"", False, location.words_of(error)
        pieces = [
            head[start : start + 8] for start in (0, *_USER_BLOCKS) if start + 8 <= _HEAD
        ] + later
        return head, HDF5_MAGIC in pieces, ""

    @cached_property
    def container(self) -> str:
        """The kind of container that holds the values; "" if it is unknown or there is nothing.

        One of "hdf5" (netCDF-4, NWB and MATLAB 7.3 too), "zarr", "zip" (NPZ too), "tar", "npy",
        "pickle", "mat5" and "netcdf3".
        """
        if self.kind == FOLDER:
            return "zarr" if any(marker in self.listing for marker in _ZARR) else ""
        head, is_hdf5, _ = self._beginning
        if is_hdf5:
            return "hdf5"
        if head[_TAR_AT:].startswith(_TAR):
            return "tar"
        return next((kind for magic, (kind, _) in _MAGIC.items() if head.startswith(magic)), "")

    @cached_property
    def listing(self) -> dict[str, str]:
        """Name -> kind of all entries of a folder, sorted; {} if there is no readable folder."""
        try:
            return dict(sorted(self.location.listing().items())) if self.kind == FOLDER else {}
        except OSError:
            return {}

    def check_listing(self) -> None:
        """Refuse a folder that cannot be listed, which would otherwise look empty."""
        if not self.listing:
            with safety.named(self.as_given):
                self.location.listing()

    # ------------------------------------------------------------------------------------- errors

    def check(self, kind: str = "") -> None:
        """Refuse a path that does not exist, or is of another kind ("file", "folder") than expected.

        Raises
        ------
        MissingPath
            If there is nothing.
        FormatError
            If there is a pointer of git-annex or Git LFS, something that is neither file nor folder,
            or something of another `kind`.
        """
        if self.is_list:
            for member in self._members or ():
                member.check(kind)
            return
        self.check_pointer()
        if self.kind in (location.MISSING, location.OTHER):
            location.check(self.location, self.status)
        if kind and self.kind != kind:
            words = {FILE: "a regular file", FOLDER: "a folder"}[kind]
            raise FormatError(self.as_given, "", words, self.described(full=False))

    def check_pointer(self) -> None:
        """Refuse a pointer that git-annex or Git LFS left in place of a file's content.

        Raises
        ------
        FormatError
            If there is a pointer. The error names the command that gets the content.
        """
        if self.is_file:
            safety.refuse_pointer(self.as_given, "", self.head)
        elif self.kind == location.MISSING:
            safety.refuse_pointer(self.as_given, self.status.link, b"")

    @property
    def pointer(self) -> str:
        """A description of the git-annex or Git LFS pointer that is there; "" if there is none."""
        try:
            self.check_pointer()
        except FormatError as error:
            return f"{error.found}; {error.hint}"
        return ""

    def described(self, full: bool = True) -> str:
        """Return a description of what is at the path, for messages.

        A probe, which can look inside a file, adds the names at its root if `full`.
        """
        if self.is_list:
            return f"a list of {many(len(self._members or ()), 'path')}"
        if self.kind == FOLDER:
            try:
                self.check_listing()
            except (FormatError, MissingPath) as error:
                return f"something unreadable ({getattr(error, 'found', error)})"
            if not self.listing:
                return "an empty folder"
            count, first = many(len(self.listing), "entry", "entries"), next(iter(self.listing))
            return f"a folder with {count}, the first {first!r}"
        if not self.is_file:
            return self.status.words
        if not self.head:
            problem = self._beginning[2]
            return f"something unreadable ({problem})" if problem else "an empty file"
        words = next((words for m, (_, words) in _MAGIC.items() if self.head.startswith(m)), "")
        if not words and self.container in ("hdf5", "tar"):
            words = {"hdf5": "an HDF5 file", "tar": "a tar file"}[self.container]
        if not words:
            is_text = all(byte >= 32 or byte in (9, 10, 13) for byte in self.head[:512])
            words = "a text file" if is_text else "a binary file of an unknown kind"
            if self.head[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
                words = "a web page (HTML), as servers send it to log in or to say that a file is missing"
        return words

    @property
    def denied(self) -> str:
        """What to do if there is no permission to read the path; "" if there is permission."""
        words = (self.status.words, self._beginning[2])
        return safety.ask_to_read(self.as_given) if location.NO_PERMISSION in words else ""

    def unknown(self, expected: str, hint: str = "get it again, or leave it out") -> FormatError:
        """Return the error for a path whose format is not the expected one."""
        hint = self.denied or hint
        return UnknownFormat(self.as_given, "", expected, self.described(), hint)


def _look(header: Header) -> None:
    """Look up the status and the first bytes of a location."""
    header.status, header.head  # noqa: B018  both are remembered


def header_of(path: str | os.PathLike[str] | Location | Header) -> Header:
    """Return the header of a path, URL or location; a header (or probe) is returned unchanged."""
    return path if isinstance(path, Header) else Header(locate(path))
