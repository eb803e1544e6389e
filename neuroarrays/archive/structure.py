"""Copies of what HDF5 goes by in an archive, one for each session, for readers that wait for each answer.

HDF5 finds a value by headers, lists of chunks and heaps, which lie among the values of all of a session.
Behind an address each step of that way would be a request. So the bytes between the chunks of a session
(small arrays and text are among them) stand once more behind the last byte of HDF5, packed, with a checksum:
one request brings them. On a disk of this machine they are not used.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files.byte_ranges import ByteRanges
from neuroarrays.files.positioned import PositionedFile

#: HDF5 reads that much of a header before it knows how long it is, bytes.
_AHEAD = 512
_COUNT = struct.Struct("<Q")
#: A copy: the first byte of HDF5 that it stands for, its offset, length and checksum.
ENTRY = struct.Struct("<QQQI")
#: Bytes read at once.
_PIECE = 1 << 22


@dataclass(frozen=True)
class Copied:
    """Where a copy is.

    Attributes
    ----------
    begin : int
        The first byte of the part of the file that it stands for; it ends where the next begins.
    offset, length, checksum : int
        Of the copy, bytes.
    """

    begin: int
    offset: int
    length: int
    checksum: int


def take(file: PositionedFile, offset: int, length: int, checksum: int) -> bytes | None:
    """Bytes at an offset of a file; None if their checksum differs from the stored one."""
    if offset + length > file.size:
        return None
    packed = file.read(offset, length)
    return packed if zlib.crc32(packed) == checksum else None


def between(extents: Iterable[tuple[int, int]], size: int) -> np.ndarray:
    """The parts of a file in which there are no chunks.

    Parameters
    ----------
    extents : iterable of (int, int)
        Where chunks lie: offset and number of bytes.
    size : int
        Bytes of the file.

    Returns
    -------
    (run, 2) int64
        First byte of each part, and the one behind its last, bytes.
    """
    chunks = np.array(sorted(extents), np.int64).reshape(-1, 2)
    begins, ends = chunks[:, 0], chunks.sum(axis=1)
    runs = np.stack([np.concatenate([[0], ends]), np.concatenate([begins, [size]])], axis=1)
    return runs[runs[:, 0] < runs[:, 1]]


def pieces(file: PositionedFile, first: int, end: int) -> Iterable[bytes]:
    """The bytes of a part of a file, a few MB at once; fewer where the file ends."""
    while first < end and (piece := file.read(first, min(_PIECE, end - first))):
        yield piece
        first += len(piece)


def packed(file: PositionedFile, runs: np.ndarray, begin: int, end: int) -> bytes:
    """The copy for a part of a file.

    Parameters
    ----------
    file : PositionedFile
        The finished HDF5 file.
    runs : (run, 2) int64
        As of `between`, bytes.
    begin, end : int
        Which part, bytes.
    """
    first, last = runs[:, 1].searchsorted(begin, "right"), runs[:, 0].searchsorted(end)
    spans: list[list[int]] = []
    for start, stop in runs[first:last].clip(begin, end).tolist():
        stop = min(stop + _AHEAD, file.size)
        if spans and start <= spans[-1][1]:
            spans[-1][1] = stop
        else:
            spans.append([start, stop])
    import zstandard

    table = np.array(spans, "<u8").reshape(-1, 2)
    content = [piece for span in spans for piece in pieces(file, *span)]
    compressor = zstandard.ZstdCompressor(3, write_content_size=True)
    return compressor.compress(b"".join([_COUNT.pack(len(spans)), table.tobytes(), *content]))


def unpacked(raw: bytes, most: int) -> ByteRanges:
    """Parts of a file and their bytes, from a copy.

    Parameters
    ----------
    raw : bytes
        The copy.
    most : int
        Bytes that it may become.

    Raises
    ------
    ValueError
        If it is none.
    """
    import zstandard

    try:
        if zstandard.frame_content_size(raw) > most:
            msg = f"more than {most:,} bytes"
            raise ValueError(msg)
        content = memoryview(zstandard.ZstdDecompressor().decompress(raw))
        (count,) = _COUNT.unpack_from(content)
        spans = np.frombuffer(content, "<u8", 2 * count, _COUNT.size).reshape(-1, 2).tolist()
    except (zstandard.ZstdError, struct.error) as error:
        raise ValueError(str(error)) from error
    kept, at = ByteRanges(), _COUNT.size + 16 * count
    for start, stop in spans:
        kept.starts.append(start)
        kept.pieces.append(bytes(content[at : at + stop - start]))
        at += stop - start
    if at != len(content):
        msg = f"{len(content)} bytes where {at} are said"
        raise ValueError(msg)
    return kept


class CopiedFile(PositionedFile):
    """An archive behind an address, of which HDF5 is given the copies; chunks are read where they lie.

    Parameters
    ----------
    file : PositionedFile
        The file.
    copies : sequence of Copied
        Its copies, in the order of the parts that they stand for; the first stands for the beginning.
    """

    waits = True

    def __init__(self, file: PositionedFile, copies: Sequence[Copied]):
        self.file, self.copies, self.path, self.size = file, copies, file.path, file.size
        self.begins = [copied.begin for copied in copies]
        self.known: dict[int, ByteRanges] = {}

    def fill(self, buffers: Sequence[Any], at: int) -> int:
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        data = self._copy(at, sum(map(len, views)))
        if data is None:
            return self.file.fill(buffers, at)
        done = 0
        for view in views:
            view[:] = data[done : done + len(view)]
            done += len(view)
        return done

    def readv(self, parts: Sequence[tuple[int, Sequence[Any]]]) -> list[int]:
        sizes = [sum(memoryview(buffer).nbytes for buffer in buffers) for _, buffers in parts]
        self.prefetch([(at, size) for (at, _), size in zip(parts, sizes, strict=True)])
        return super().readv(parts)

    def prefetch(self, ranges: Sequence[tuple[int, int]]) -> None:
        self.file.prefetch([part for part in ranges if self._copy(*part) is None])

    def check_unchanged(self, where: str = "") -> None:
        self.file.check_unchanged(where)

    def close(self) -> None:
        self.file.close()

    def _copy(self, at: int, count: int) -> memoryview | None:
        """The bytes in a copy; None of a chunk."""
        number = bisect_right(self.begins, at) - 1
        if number < 0:
            return None
        if number not in self.known:
            self.known[number] = self._read(self.copies[number])
        return self.known[number].get(at, count)

    def _read(self, copied: Copied) -> ByteRanges:
        raw = take(self.file, copied.offset, copied.length, copied.checksum)
        if raw is None:
            self._refuse("others (their checksum differs)")
        try:
            return unpacked(raw, 2 * self.size + _PIECE)
        except ValueError as error:
            self._refuse(str(error))

    def _refuse(self, found: str) -> NoReturn:
        expected = "the copy of what HDF5 goes by in a session"
        hint = "the file is damaged; copy it again, or save it anew"
        raise FormatError(self.path, "", expected, found, hint)
