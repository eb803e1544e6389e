"""Read tars in place: a list of their members, and locations in them that act as files and folders.

A tar has no directory; the header of each member tells where the next one begins. Python's `tarfile`
reads the headers, once per process. The members are read at their positions in the tar, and nothing
is unpacked.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from neuroarrays.errors import FormatError
from neuroarrays.files import safety, state
from neuroarrays.files.folders import changed
from neuroarrays.files.location import (
    FILE,
    FOLDER,
    MISSING,
    OTHER,
    Folder,
    Location,
    Stamp,
    Status,
    joined,
)
from neuroarrays.files.positioned import PositionedFile

#: The most members, and levels of folders.
_MAX_MEMBERS, _MAX_DEPTH = 1 << 20, 32


@dataclass
class Contents:
    """The members of a tar.

    Attributes
    ----------
    files : dict of str to (int, int)
        Name -> position of the first byte, and number of bytes, of each file.
    others : dict of str to str
        Name -> what it is, in words, for members that are neither file nor folder, such as links.
    folders : dict of str to dict of str to str
        Folder ("" for the tar itself) -> names in it with their kind.
    """

    files: dict[str, tuple[int, int]] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    folders: dict[str, dict[str, str]] = field(default_factory=lambda: {"": {}})
    _below: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)

    def add(self, name: str, kind: str) -> None:
        """Note a name in its folder, and the folders above it."""
        above, _, leaf = name.rpartition("/")
        if kind == FOLDER:
            self.folders.setdefault(name, {})
        if name:
            if above not in self.folders:
                self.add(above, FOLDER)
            self.folders[above][leaf] = kind

    def below(self, folder: str) -> dict[str, tuple[int, int]]:
        """Return the files in a folder and below it, by their paths relative to it."""
        if folder not in self._below:
            prefix = f"{folder}/" if folder else ""
            self._below[folder] = {
                name[len(prefix) :]: where
                for name, where in self.files.items()
                if name.startswith(prefix)
            }
        return self._below[folder]


_contents: state.Cache[Contents] = state.Cache(
    128 << 20, lambda contents: 512 * (1 + len(contents.files) + len(contents.others))
)


def contents(tar: Location, known: Stamp) -> Contents:
    """List the members of a tar; its headers are read once per process.

    If two members have the same name, the last one counts, as it does on unpacking.

    Raises
    ------
    FormatError
        If it is damaged, cut short, made to exhaust memory, or has changed.
    """
    return _contents.get_or_make((tar, known), lambda: _listed(tar, known))


def _listed(tar: Location, known: Stamp) -> Contents:
    """Read all headers of a tar."""
    listed, hint = Contents(), "it is truncated or damaged; get it again"
    with (
        tar.open(known) as file,
        safety.readable(tar.path, "", "a readable tar", hint),
        tarfile.open(fileobj=file.stream(), mode="r:", errorlevel=2) as archive,
    ):
        number = 0
        while (member := archive.next()) is not None:
            number += 1
            if number > _MAX_MEMBERS:
                raise FormatError(tar.path, "", f"at most {_MAX_MEMBERS:,} members", "more")
            vars(archive)["members"].clear()  # so that tarfile does not keep all of them
            _note(tar, listed, member, file.size)
        _check_end(tar, file, archive.offset, hint)
    return listed


def _note(tar: Location, listed: Contents, member: tarfile.TarInfo, size: int) -> None:
    """Add a member; names that lead out of the tar are errors."""
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    name = "/".join(parts)
    if member.name.startswith("/") or ".." in parts or len(parts) > _MAX_DEPTH:
        raise FormatError(
            tar.path, member.name[:200], "names below the tar", "one that leads out of it"
        )
    if member.isdir():
        listed.add(name, FOLDER)
    elif member.isreg() and not member.issparse():
        if member.offset_data + member.size > size:
            raise FormatError(
                tar.path,
                name,
                f"{member.size:,} bytes",
                "fewer",
                "the tar is truncated; get it again",
            )
        listed.files[name] = member.offset_data, member.size
        listed.others.pop(name, None)
        listed.add(name, FILE)
    else:
        is_link = member.issym() or member.islnk()
        listed.others[name] = (
            "a link in a tar; links are not followed"
            if is_link
            else "a sparse or special file in a tar"
        )
        listed.files.pop(name, None)
        listed.add(name, OTHER)


def _check_end(tar: Location, file: PositionedFile, end: int, hint: str) -> None:
    """Refuse a tar without the zeros at its end; `tarfile` accepts one that was cut."""
    last = file.read(end, tarfile.BLOCKSIZE)
    if last != bytes(tarfile.BLOCKSIZE):
        content = "other bytes" if last else "nothing more"
        raise FormatError(tar.path, "", "zeros at the end of a tar", content, hint)


class InTar(Location):
    """The location of a member or folder in a tar, or of the tar itself as a folder.

    Parameters
    ----------
    tar : Location
        The file.
    known : tuple of int
        Its stamp.
    inner : str
        The name of a member or folder, "" for the tar itself.
    """

    def __init__(self, tar: Location, known: Stamp, inner: str = ""):
        shown, path = (joined(text, inner) if inner else text for text in (tar.as_given, tar.path))
        super().__init__(shown, path)
        self.tar, self.known, self.inner = tar, known, inner
        self.waits = tar.waits

    def __reduce__(self) -> tuple[Any, ...]:
        return InTar, (self.tar, self.known, self.inner)

    @property
    def contents(self) -> Contents:
        """The members of the tar."""
        return contents(self.tar, self.known)

    @property
    def name(self) -> str:
        return self.inner.rpartition("/")[2] or self.tar.name.removesuffix(".tar")

    @property
    def address(self) -> str:
        return self.tar.address

    def child(self, name: str) -> InTar:
        parts: list[str] = []
        for part in f"{self.inner}/{name}".split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part not in ("", "."):
                parts.append(part)
        return InTar(self.tar, self.known, "/".join(parts))

    @property
    def parent(self) -> Location:
        if not self.inner:
            return self.tar.parent
        return InTar(self.tar, self.known, self.inner.rpartition("/")[0])

    def status(self) -> Status:
        listed = self.contents
        if self.inner in listed.files:
            return Status(FILE, listed.files[self.inner][1], self._stamp())
        if self.inner in listed.folders:
            return Status(FOLDER, stamp=self.known)
        words = listed.others.get(self.inner)
        return Status(OTHER, words=words) if words else Status(MISSING, words="nothing")

    def _stamp(self) -> Stamp:
        """Position and size of a member. The stamp of the tar is compared on each read."""
        return self.contents.files[self.inner]

    def listing(self) -> dict[str, str]:
        return {
            name: kind if kind != OTHER else ""
            for name, kind in self.contents.folders.get(self.inner, {}).items()
        }

    def folder(self, known: Stamp = (), follow: bool = False) -> Folder:
        return FolderInTar(self)

    def folder_stamp(self, follow: bool = False) -> Stamp:
        return self.known

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        with self.open() as file:
            file.prefetch(ranges)
            return [file.read(start, count) for start, count in ranges]

    def open(self, known: Stamp | None = None) -> PositionedFile:
        if self.inner not in self.contents.files:
            raise FormatError(
                self.tar.path, self.inner, "a file in the tar", "nothing of that name"
            )
        if known is not None and known != self._stamp():
            raise changed(self.path, "another member")
        begin, size = self.contents.files[self.inner]
        return _Window(self.tar.open(self.known), self.path, begin, size)

    def check_unchanged(self, known: Stamp) -> None:
        self.tar.check_unchanged(self.known)


class FolderInTar(Folder):
    """A folder in a tar and what is below it."""

    def __init__(self, location: InTar):
        self.location, self.path = location, location.path

    @property
    def files(self) -> Mapping[str, Stamp]:
        return self.location.contents.below(self.location.inner)

    def names(self, inner: str) -> list[str]:
        return list(self.location.child(inner).listing())

    def has(self, name: str) -> bool:
        return self.location.child(name).inner in self.location.contents.files

    def document(self, name: str) -> dict[str, Any] | None:
        raw = self.read(name)
        if raw is None:
            return None
        try:
            content = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{self.path}/{name}", "", "JSON", f"{error}"[:200]) from error
        if not isinstance(content, dict):
            raise FormatError(f"{self.path}/{name}", "", "a mapping", type(content).__name__)
        return content

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes | None:
        if not self.has(name):
            return None
        with self.location.child(name).open() as file:
            start = max(0, start + file.size) if start < 0 else start
            return file.read(start, file.size if size is None else size)

    def check(self, name: str) -> None:
        self.location.tar.check_unchanged(self.location.known)


class _Window(PositionedFile):
    """A range of bytes of an open file as a file. Closing it closes the open file."""

    def __init__(self, file: PositionedFile, path: str, begin: int, size: int):
        self.file, self.path, self.begin, self.size = file, path, begin, size
        self.waits, self.is_new = file.waits, file.is_new

    def fill(self, buffers: Sequence[Any], start: int) -> int:
        n_left, cut = max(0, self.size - start), []
        for buffer in buffers:
            view = memoryview(buffer).cast("B")[:n_left]
            n_left -= len(view)
            cut.append(view)
        return self.file.fill(cut, self.begin + start) if any(cut) else 0

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        inside = [
            (start, min(count, self.size - start)) for start, count in ranges if start < self.size
        ]
        self.file.prefetch([(self.begin + start, count) for start, count in inside])

    def mapped(self) -> memoryview | None:
        whole = self.file.mapped()
        return None if whole is None else memoryview(whole)[self.begin : self.begin + self.size]

    def check_unchanged(self, where: str = "") -> None:
        self.file.check_unchanged(where)

    def close(self) -> None:
        self.file.close()
