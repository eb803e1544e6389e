"""The seal of an HDF5 archive: a checksum of everything in it that HDF5 itself goes by.

Chunks have checksums of their own. What is between them (headers, lists of chunks, heaps, small arrays) has
a seal, which is checked before HDF5 opens the file: on some damage there it would go round in circles for
ever, or read fill values. Behind an address HDF5 is given copies of all that (`neuroarrays.archive.structure`),
each with its own checksum: only that of the session that is read is fetched.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays.archive import structure
from neuroarrays.errors import FormatError
from neuroarrays.files.hdf5 import HDF5Source, open_file
from neuroarrays.files.positioned import PositionedFile
from neuroarrays.files.source import HDF5_MAGIC

if TYPE_CHECKING:
    import h5py

MAGIC = b"neuroarrays\x003"
#: Offset, length and checksum of the table of contents, then of the seal, then the mark.
FOOTER = struct.Struct(f"<QQIQQI{len(MAGIC)}s")
#: The seal: bytes of the HDF5 file, checksum of the sealed bytes, how many runs and copies; then the runs
#: (first byte, byte behind the last), and where the copies are.
_SEAL = struct.Struct("<QIII")
#: Of a superblock of version 2 or 3: signature, version, size of an offset, and where HDF5 ends.
_SUPERBLOCK = struct.Struct("<8sBB18xQ")


def footer_of(tail: bytes) -> tuple[Any, ...] | None:
    """The footer among the last bytes of a file, None if it has none."""
    footer = tail[-FOOTER.size :]
    if len(footer) != FOOTER.size or not footer.endswith(MAGIC):
        return None
    return FOOTER.unpack(footer)


def read_footer(file: PositionedFile) -> tuple[Any, ...] | None:
    """The footer of an open file, None if it has none."""
    return footer_of(file.read(max(0, file.size - FOOTER.size), FOOTER.size))


@dataclass(frozen=True)
class Seal:
    """What is sealed in a file.

    Attributes
    ----------
    size : int
        Bytes of the HDF5 file.
    runs : (run, 2) int64
        The parts that are sealed, all but the chunks: first byte, byte behind the last.
    checksum : int
        Of all their bytes.
    copies : list of Copied
        Where they stand once more.
    """

    size: int
    runs: np.ndarray
    checksum: int
    copies: list[structure.Copied]

    def packed(self) -> bytes:
        """The form in which it stands in the file."""
        head = _SEAL.pack(self.size, self.checksum, len(self.runs), len(self.copies))
        copies = [structure.ENTRY.pack(*astuple(copied)) for copied in self.copies]
        return zlib.compress(b"".join([head, self.runs.astype("<u8").tobytes(), *copies]), 6)

    @classmethod
    def of(cls, packed: bytes, most: int) -> Seal:
        """The seal of that form, which becomes at most some bytes.

        Raises
        ------
        ValueError
            If it is none.
        """
        try:
            content = zlib.decompressobj().decompress(packed, most)
            size, checksum, runs, copies = _SEAL.unpack_from(content)
            table = np.frombuffer(content, "<u8", 2 * runs, _SEAL.size).reshape(-1, 2)
            tail = content[_SEAL.size + 16 * runs :]
            places = [structure.Copied(*each) for each in structure.ENTRY.iter_unpack(tail)]
        except (zlib.error, struct.error) as error:
            raise ValueError(str(error)) from error
        if len(places) != copies:
            msg = f"{len(places)} copies where {copies} are said"
            raise ValueError(msg)
        return cls(size, table.astype(np.int64), checksum, places)


def extents_of(dataset: h5py.Dataset) -> list[tuple[int, int]]:
    """Where the chunks of a dataset lie: (offset, number of bytes) of each, in bytes."""
    runs: list[tuple[int, int]] = []
    if dataset.chunks is not None:
        dataset.id.chunk_iter(lambda info: runs.append((info.byte_offset, info.size)))
    return [(offset, nbytes) for offset, nbytes in runs if nbytes]


def checksum_of(file: PositionedFile, runs: np.ndarray) -> int:
    """The checksum of the bytes of some parts of a file: (run, 2) int64, bytes."""
    checksum = 0
    for first, end in runs.tolist():
        for piece in structure.pieces(file, first, end):
            checksum = zlib.crc32(piece, checksum)
    return checksum


def read(file: PositionedFile) -> Seal | None:
    """The seal of an open archive.

    A file without a footer, and that ends where HDF5 does, was written to by another program: it has no seal,
    which is None.

    Raises
    ------
    FormatError
        If it is cut short or damaged.
    """
    footer = read_footer(file)
    if footer is None:
        check_end(file.path, file.read(0, _SUPERBLOCK.size), file.size)
        return None
    packed = structure.take(file, *footer[3:6])
    try:
        if packed is not None:
            return Seal.of(packed, 2 * file.size)
    except ValueError:
        pass
    raise _damaged(file.path, "the seal at its end")


def check(file: PositionedFile, sealed: Seal) -> None:
    """Refuse an archive whose seal is broken.

    Raises
    ------
    FormatError
        If it is damaged.
    """
    if checksum_of(file, sealed.runs) != sealed.checksum or not all(
        structure.take(file, *astuple(copied)[1:]) is not None for copied in sealed.copies
    ):
        raise _damaged(file.path, "the bytes that were saved, outside of values")


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

    def _file(self) -> tuple[h5py.File, PositionedFile | None]:
        """As of any; HDF5 is given copies of what it goes by where each read waits.

        Raises
        ------
        FormatError
            If it is cut short or damaged, or has changed since the stamp was taken.
        """
        file = self.location.open(self.stamp)
        sealed = read(file)
        if sealed is None:
            file.close()
            return super()._file()
        if file.waits:
            copied = structure.CopiedFile(file, sealed.copies)
            return open_file(self.location, copied), copied
        with file:
            check(file, sealed)
        return super()._file()
