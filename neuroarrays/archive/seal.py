"""The seal of an HDF5 archive: a checksum of all its bytes outside of chunks.

Chunks have their own checksums. The bytes between them (headers, lists of chunks, heaps, small arrays)
have a seal, which is compared before HDF5 opens the file, because some damage there would make HDF5
loop for ever or read fill values. For a remote file the seal is not computed; HDF5 gets copies of these
bytes (`neuroarrays.archive.structure`), each with its own checksum, and only the copies of the sessions
that are read are fetched.
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

#: The last bytes of an archive.
MAGIC = b"neuroarrays\x003"
#: The footer: offset, length and checksum of the table of contents and of the seal, then `MAGIC`.
FOOTER = struct.Struct(f"<QQIQQI{len(MAGIC)}s")
#: The beginning of the seal: size of the HDF5 file, checksum of the sealed bytes, numbers of runs and
#: copies. The runs (first byte, last byte + 1) and the entries of the copies follow.
_SEAL = struct.Struct("<QIII")
#: A superblock of version 2 or 3 of the HDF5 file format specification: signature, version, size of an
#: offset, and the end of the file.
_SUPERBLOCK = struct.Struct("<8sBB18xQ")


def footer_of(tail: bytes) -> tuple[Any, ...] | None:
    """Return the footer among the last bytes of a file; None if there is none."""
    footer = tail[-FOOTER.size :]
    if len(footer) != FOOTER.size or not footer.endswith(MAGIC):
        return None
    return FOOTER.unpack(footer)


def read_footer(file: PositionedFile) -> tuple[Any, ...] | None:
    """Return the footer of an open file; None if it has none."""
    return footer_of(file.read(max(0, file.size - FOOTER.size), FOOTER.size))


@dataclass(frozen=True)
class Seal:
    """The seal of a file.

    Attributes
    ----------
    size : int
        Size of the HDF5 file without the index, bytes.
    runs : (run, 2) int64
        The sealed parts, which are all but the chunks: first byte and last byte + 1 of each.
    checksum : int
        CRC-32 of the bytes of all runs.
    copies : list of Copied
        Where the copies of these bytes are.
    """

    size: int
    runs: np.ndarray
    checksum: int
    copies: list[structure.Copied]

    def packed(self) -> bytes:
        """Return the seal as bytes for the file."""
        head = _SEAL.pack(self.size, self.checksum, len(self.runs), len(self.copies))
        copies = [structure.ENTRY.pack(*astuple(copied)) for copied in self.copies]
        return zlib.compress(b"".join([head, self.runs.astype("<u8").tobytes(), *copies]), 6)

    @classmethod
    def of(cls, packed: bytes, most: int) -> Seal:
        """Return the seal in the bytes from `packed`, which may unpack to `most` bytes.

        Raises
        ------
        ValueError
            If the bytes are not a seal.
        """
        try:
            content = zlib.decompressobj().decompress(packed, most)
            size, checksum, runs, copies = _SEAL.unpack_from(content)
            table = np.frombuffer(content, "<u8", 2 * runs, _SEAL.size).reshape(-1, 2)
            tail = content[_SEAL.size + 16 * runs :]
            entries = [structure.Copied(*fields) for fields in structure.ENTRY.iter_unpack(tail)]
        except (zlib.error, struct.error) as error:
            raise ValueError(str(error)) from error
        if len(entries) != copies:
            msg = f"{len(entries)} copies where {copies} are said"
            raise ValueError(msg)
        return cls(size, table.astype(np.int64), checksum, entries)


def extents_of(dataset: h5py.Dataset) -> list[tuple[int, int]]:
    """Return the offset and the size of each chunk of a dataset, bytes."""
    runs: list[tuple[int, int]] = []
    if dataset.chunks is not None:
        dataset.id.chunk_iter(lambda info: runs.append((info.byte_offset, info.size)))
    return [(offset, nbytes) for offset, nbytes in runs if nbytes]


def checksum_of(file: PositionedFile, runs: np.ndarray) -> int:
    """Return the CRC-32 of the bytes in some parts of a file.

    Parameters
    ----------
    file : PositionedFile
        The file.
    runs : (run, 2) int64
        First byte and last byte + 1 of each part.
    """
    checksum = 0
    for first, end in runs.tolist():
        for piece in structure.pieces(file, first, end):
            checksum = zlib.crc32(piece, checksum)
    return checksum


def read(file: PositionedFile) -> Seal | None:
    """Return the seal of an open archive; None if it has none.

    A file without a footer that ends where HDF5 ends was changed by another program, which removed
    the seal.

    Raises
    ------
    FormatError
        If the file is truncated or damaged.
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
    """Refuse an archive whose bytes outside of chunks have changed.

    Raises
    ------
    FormatError
        If the checksum of these bytes, or of a copy, differs.
    """
    if checksum_of(file, sealed.runs) != sealed.checksum or not all(
        structure.take(file, *astuple(copied)[1:]) is not None for copied in sealed.copies
    ):
        raise _damaged(file.path, "the bytes that were saved, outside of values")


def check_end(path: str, head: bytes, size: int) -> None:
    """Refuse an HDF5 file without an index that does not end where its superblock says.

    Parameters
    ----------
    path : str
        Path of the file, for errors.
    head : bytes
        The first bytes of the file.
    size : int
        Size of the file, bytes.

    Raises
    ------
    FormatError
        If the file is truncated, or its index is damaged.
    """
    head = head[: _SUPERBLOCK.size]
    if len(head) < _SUPERBLOCK.size or not head.startswith(HDF5_MAGIC):
        return  # the file has a user block, or is not HDF5
    _, version, width, end = _SUPERBLOCK.unpack(head)
    if version not in (2, 3) or width != 8 or end == size:
        return
    actual = f"{size:,} bytes, of which HDF5 knows {end:,}"
    if size < end:
        actual = f"{size:,} bytes: it is truncated"
    raise FormatError(
        path, "", f"the index of an archive after {end:,} bytes of HDF5", actual, _DAMAGED
    )


_DAMAGED = "the file is truncated or damaged; copy it again, or save it anew"


def _damaged(path: str, expected: str) -> FormatError:
    return FormatError(path, "", expected, "others (their checksum differs)", _DAMAGED)


@dataclass(frozen=True)
class SealedSource(HDF5Source):
    """An HDF5 archive whose seal is checked each time before HDF5 opens it."""

    def _file(self) -> tuple[h5py.File, PositionedFile | None]:
        """Open the file after its seal was checked; HDF5 reads copies of a remote file's metadata.

        Raises
        ------
        FormatError
            If the file is truncated or damaged, or has changed since it was first looked at.
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
