"""The seal of an HDF5 archive: a checksum of everything in it that HDF5 itself goes by.

Chunks and small arrays have checksums of their own. What is between them (headers, lists of
chunks, heaps) has a seal, which is checked before HDF5 opens the file: on some damage there it
would go round in circles for ever, or read fill values.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files.hdf5 import HDF5Source
from neuroarrays.files.locating import locate
from neuroarrays.files.location import Location, Stamp
from neuroarrays.files.positioned import PositionedFile
from neuroarrays.files.source import HDF5_MAGIC

if TYPE_CHECKING:
    import h5py

MAGIC = b"neuroarrays\x002"
#: Offset, length and checksum of the table of contents, then of the seal, then the mark.
FOOTER = struct.Struct(f"<QQIQQI{len(MAGIC)}s")
#: The seal: bytes of the HDF5 file and of a page, checksum of the sealed pages; then their runs.
_SEAL = struct.Struct("<QQI")
#: Of a superblock of version 2 or 3: signature, version, size of an offset, and where HDF5 ends.
_SUPERBLOCK = struct.Struct("<8sBB18xQ")
_PIECE = 1 << 22


def footer_of(tail: bytes) -> tuple[Any, ...] | None:
    """The footer among the last bytes of a file, None if it has none."""
    footer = tail[-FOOTER.size :]
    if len(footer) != FOOTER.size or not footer.endswith(MAGIC):
        return None
    return FOOTER.unpack(footer)


def read_footer(file: PositionedFile) -> tuple[Any, ...] | None:
    """The footer of an open file, None if it has none."""
    return footer_of(file.read(max(0, file.size - FOOTER.size), FOOTER.size))


def take(file: PositionedFile, offset: int, length: int, checksum: int) -> bytes | None:
    """Bytes at an offset of a file; None if their checksum differs from the stored one."""
    if offset + length > file.size:
        return None
    packed = file.read(offset, length)
    return packed if zlib.crc32(packed) == checksum else None


def make(path: str, page: int, extents: Iterable[tuple[int, int]]) -> bytes:
    """The seal of a finished file: all of its pages in which there are no values.

    Parameters
    ----------
    path : str
        The file.
    page : int
        Bytes of one of its pages.
    extents : iterable of (int, int)
        Where values lie: offset and number of bytes, both in bytes.
    """
    with locate(path).open() as raw:
        size = raw.size
        values = np.zeros(-(-size // page) + 1, bool)
        for offset, nbytes in extents:
            values[offset // page : (offset + nbytes - 1) // page + 1] = True
        values[-1] = True
        edges = np.flatnonzero(np.diff(values, prepend=True))
        runs = edges.reshape(-1, 2).astype("<u8")
        checksum = _checksum(raw, runs, page, size)
    return zlib.compress(_SEAL.pack(size, page, checksum) + runs.tobytes(), 6)


def extents_of(dataset: h5py.Dataset) -> list[tuple[int, int]]:
    """Where the values of a dataset lie: (offset, number of bytes) of each piece, in bytes."""
    runs: list[tuple[int, int]] = []
    if dataset.chunks is not None:
        dataset.id.chunk_iter(lambda info: runs.append((info.byte_offset, info.size)))
    elif (offset := dataset.id.get_offset()) is not None:
        runs.append((offset, dataset.id.get_storage_size()))
    return [(offset, nbytes) for offset, nbytes in runs if nbytes]


def _checksum(file: PositionedFile, runs: np.ndarray, page: int, size: int) -> int:
    checksum = 0
    file.prefetch([(first * page, (last - first) * page) for first, last in runs.tolist()])
    for first, last in runs.tolist():
        at, end = first * page, min(last * page, size)
        while at < end and (piece := file.read(at, min(_PIECE, end - at))):
            checksum = zlib.crc32(piece, checksum)
            at += len(piece)
    return checksum


def check(location: Location, known: Stamp) -> None:
    """Refuse an archive whose seal is broken.

    A file without a footer, and that ends where HDF5 does, was written to by another program:
    it has no seal.

    Raises
    ------
    FormatError
        If it is cut short or damaged, or has changed since its stamp was `known`.
    """
    path = location.path
    with location.open(known) as file:
        footer = read_footer(file)
        if footer is None:
            check_end(path, file.read(0, _SUPERBLOCK.size), file.size)
            return
        packed = take(file, *footer[3:6])
        if packed is None:
            raise _damaged(path, "the seal at its end")
        content = zlib.decompress(packed)
        size, page, checksum = _SEAL.unpack_from(content)
        runs = np.frombuffer(content, "<u8", offset=_SEAL.size).reshape(-1, 2)
        if _checksum(file, runs, page, size) != checksum:
            raise _damaged(path, "the bytes that were saved, outside of values")


def check_end(path: str, head: bytes, size: int) -> None:
    """Refuse an HDF5 file without an index that does not end where HDF5 says.

    Parameters
    ----------
    path : str
        For messages.
    head : bytes
        The first of the file.
    size : int
        Bytes of the file.

    Raises
    ------
    FormatError
        If it was cut short, or its index is damaged.
    """
    head = head[: _SUPERBLOCK.size]
    if len(head) < _SUPERBLOCK.size or not head.startswith(HDF5_MAGIC):
        return  # a user block, or nothing that HDF5 would open
    _, version, width, end = _SUPERBLOCK.unpack(head)
    if version not in (2, 3) or width != 8 or end == size:
        return
    actual = f"{size:,} bytes, of which HDF5 knows {end:,}"
    if size < end:
        actual = f"{size:,} bytes: it was cut short"
    raise FormatError(
        path, "", f"the index of an archive after {end:,} bytes of HDF5", actual, _DAMAGED
    )


_DAMAGED = "the file is truncated or damaged; copy it again, or save it anew"


def _damaged(path: str, expected: str) -> FormatError:
    return FormatError(path, "", expected, "others (their checksum differs)", _DAMAGED)


@dataclass(frozen=True)
class SealedSource(HDF5Source):
    """An HDF5 archive, whose seal is checked each time before HDF5 opens it."""

    def _file(self) -> h5py.File:
        check(self.location, self.stamp)
        return super()._file()
