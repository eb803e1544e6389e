"""Where a dataset lies: paths, sessions as folders or as zips that are read in place."""

from __future__ import annotations

import io
import mmap
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from neuroarrays.errors import FormatError, MissingPath, NeuroArraysError
from neuroarrays.files import opening, safety, state
from neuroarrays.files.hdf5 import HDF5Source
from neuroarrays.files.source import Source, check_unchanged, stamp

if TYPE_CHECKING:
    import h5py

_LOCAL_HEADER = struct.Struct("<4s22xHH")


def existing(path: str | os.PathLike[str]) -> Path:
    """An absolute path to something that is there.

    Raises
    ------
    MissingPath
        If nothing is.
    """
    found = Path(os.path.abspath(path))
    if not found.exists():
        msg = f"{found}: no such file or folder"
        raise MissingPath(msg)
    return found


def folders(path: Path) -> list[Path]:
    """The folders right below one, in order; hidden ones are left out."""
    with os.scandir(path) as entries:  # says what is a folder without looking at every file
        return sorted(path / e.name for e in entries if e.name[0] not in "._" and e.is_dir())


def recognised(candidate: Any, holds: Callable[[Path], bool]) -> bool:
    """Whether a path is there and `holds` says yes to it; what cannot be read is a no."""
    try:
        if not isinstance(candidate, str | os.PathLike):
            return False
        return holds(existing(candidate))
    except (OSError, TypeError, ValueError, NeuroArraysError):
        return False


def any_of(paths: Iterable[Path], holds: Callable[[Path], bool]) -> bool:
    """Whether `holds` says yes to any of them; what cannot be read is a no, and hides no other."""
    return any(recognised(path, holds) for path in paths)


def members(path: Path) -> list[str]:
    """The files of a session by their paths inside it, without those of macOS.

    Raises
    ------
    FormatError
        On a zip that cannot be read.
    """
    if path.is_dir():
        return sorted(p.name for p in path.iterdir() if not p.is_dir() and p.name[0] != ".")
    found = [info.filename for info in _listing(path) if not info.is_dir()]
    kept = (n for n in found if "__MACOSX" not in n and not os.path.basename(n).startswith("."))
    return sorted(kept)


def one_each(
    path: str | os.PathLike[str], matching: Mapping[str, Sequence[str]], ending: str
) -> tuple[dict[str, str], list[str]]:
    """Session -> its one matching file, and notes on sessions that have none.

    Raises
    ------
    FormatError
        If a session has several.
    """
    for session, names in matching.items():
        if len(names) > 1:
            raise FormatError(
                path,
                session,
                f"one file that ends in {ending}",
                ", ".join(names),
                "leave out the session, or one of them",
            )
    notes = [f"{session} has no {ending}" for session, names in matching.items() if not names]
    return {session: names[0] for session, names in matching.items() if names}, notes


def member_source(path: Path, name: str) -> Source:
    """The HDF5 file of that name in a session.

    Raises
    ------
    FormatError
        If it is no HDF5 file, or in a zip that cannot be read.
    """
    if path.is_dir():
        return opening.open_source(path / name)
    made = ZippedSource(str(path), stamp(safety.regular_file(path)), name)
    try:
        made.names("/")
    except FormatError as error:  # which says the zip, not the file in it
        raise FormatError(path, name, error.expected, error.found, error.hint) from error
    return made


#: Unpacked members by zip and name (bytes on the disk of temporary files); entries of zips.
_mapped: state.Cache[mmap.mmap] = state.Cache(8 << 30, len)
_listed: state.Cache[list[zipfile.ZipInfo]] = state.Cache(64 << 20, state.entries)


def mapped_member(path: str, known: tuple[int, ...], name: str) -> mmap.mmap:
    """The bytes of a zip's member, from a nameless file that is unpacked to once per process.

    Raises
    ------
    FormatError
        On a zip that has changed since it was `known`, or cannot be read.
    """
    check_unchanged(path, known)

    def unpack() -> mmap.mmap:
        with _unpacked(Path(path), _member(Path(path), name)) as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    return _mapped.made((path, known, name), unpack)


def _listing(path: Path) -> list[zipfile.ZipInfo]:
    """The entries of a zip; read once, since every reader is asked whether it knows the file."""
    known = stamp(safety.regular_file(path))
    return _listed.made((str(path), known), lambda: _entries(path))


def _entries(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise FormatError(
            path, expected="a readable zip", found=f"{error}", hint="it is truncated or damaged"
        ) from error


@dataclass(frozen=True)
class ZippedSource(HDF5Source):
    """An HDF5 file inside a zip: where it lies if it is stored, else unpacked to a nameless file.

    Nothing is ever written beside the data; the nameless file is in the folder for temporary
    files (`TMPDIR`) and is gone when it is closed.
    """

    member: str = ""

    def _file(self) -> h5py.File:
        import h5py

        file = _unzipped(Path(self.path), self.member)
        try:
            return h5py.File(file, "r")
        except Exception:
            file.close()
            raise


def _unzipped(path: Path, name: str) -> IO[bytes] | io.RawIOBase:
    """A seekable file of the member's bytes."""
    info = _member(path, name)
    if info.compress_type == zipfile.ZIP_STORED:
        return _Window(path, *_place(path, info))
    return _unpacked(path, info)


def _member(path: Path, name: str) -> zipfile.ZipInfo:
    info = next((i for i in _listing(path) if i.filename == name), None)
    if info is None:
        raise FormatError(path, name, "a member of the zip", "nothing of that name")
    if info.flag_bits & 1:
        raise FormatError(path, name, "a plain member", "an encrypted one")
    return info


def _unpacked(path: Path, info: zipfile.ZipInfo) -> IO[bytes]:
    """A nameless file of the member's bytes."""
    name = info.filename
    safety.check_allocation(str(path), name, info.file_size, info.compress_size)
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the handle
    try:
        with zipfile.ZipFile(path) as archive, archive.open(info) as packed:
            left = info.file_size
            while block := packed.read(min(1 << 20, left + 1)):
                left -= len(block)
                if left < 0:
                    raise FormatError(path, name, f"{info.file_size:,} bytes", "more")
                unpacked.write(block)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError) as error:
        raise FormatError(
            path, name, "a readable member of the zip", f"{error}", "it is truncated or damaged"
        ) from error
    unpacked.seek(0)
    return unpacked


def _place(path: Path, info: zipfile.ZipInfo) -> tuple[int, int]:
    """Where the bytes of a stored member begin, and how many there are."""
    with open(path, "rb") as file:
        file.seek(info.header_offset)
        head = file.read(_LOCAL_HEADER.size)
    if len(head) < _LOCAL_HEADER.size or head[:4] != b"PK\x03\x04":
        raise FormatError(path, info.filename, "a local header", "none: the zip is damaged")
    _, name, extra = _LOCAL_HEADER.unpack(head)
    return info.header_offset + _LOCAL_HEADER.size + name + extra, info.file_size


class _Window(io.RawIOBase):
    """A stretch of a file as a file of its own, read-only."""

    def __init__(self, path: Path, start: int, size: int):
        self.file = open(path, "rb", buffering=0)  # noqa: SIM115  closed with the window
        self.start, self.size, self.at = start, size, 0

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
        view = memoryview(buffer)
        wanted = max(min(len(view), self.size - self.at), 0)
        self.file.seek(self.start + self.at)
        count = self.file.readinto(view[:wanted]) if wanted else 0
        self.at += count or 0
        return count or 0

    def close(self) -> None:
        if not self.closed:
            self.file.close()
        super().close()
