"""Copies of HDF5's metadata in an archive, one for each session, for reading over a network.

HDF5 finds a value by way of headers, lists of chunks and heaps, which lie scattered among the values of
a session. In a remote file each step would be a request. An archive therefore has a second copy of all
bytes between the chunks of a session (small arrays and text are among them) after the last byte of
HDF5, compressed and with a checksum, so that one request brings them. For local files the copies are
not used.
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

#: HDF5 reads this much of a header before it knows the header's length, bytes.
_AHEAD = 512
_COUNT = struct.Struct("<Q")
#: The entry of a copy: the first byte that it copies, its offset, length and checksum.
ENTRY = struct.Struct("<QQQI")
#: Bytes that are read at a time.
_PIECE = 1 << 22


@dataclass(frozen=True)
class Copied:
    """The entry of a copy in the seal.

    Attributes
    ----------
    begin : int
        First byte of the part of the file that it copies; the part ends where the next one begins.
    offset, length : int
        Where the copy lies in the file, bytes.
    checksum : int
        CRC-32 of the copy.
    """

    begin: int
    offset: int
    length: int
    checksum: int


def take(file: PositionedFile, offset: int, length: int, checksum: int) -> bytes | None:
    """Return bytes at an offset of a file; None if their checksum differs from the stored one."""
    if offset + length > file.size:
        return None
    packed = file.read(offset, length)
    return packed if zlib.crc32(packed) == checksum else None


def between(extents: Iterable[tuple[int, int]], size: int) -> np.ndarray:
    """Return the parts of a file between its chunks.

    Parameters
    ----------
    extents : iterable of (int, int)
        Offset and size of each chunk, bytes.
    size : int
        Size of the file, bytes.

    Returns
    -------
    (run, 2) int64
        First byte and last byte + 1 of each part.
    """
    chunks = np.array(sorted(extents), np.int64).reshape(-1, 2)
    begins, ends = chunks[:, 0], chunks.sum(axis=1)
    runs = np.stack([np.concatenate([[0], ends]), np.concatenate([begins, [size]])], axis=1)
    return runs[runs[:, 0] < runs[:, 1]]


def pieces(file: PositionedFile, first: int, end: int) -> Iterable[bytes]:
    """Yield the bytes of a part of a file, a few MB at a time; fewer where the file ends."""
    while first < end and (piece := file.read(first, min(_PIECE, end - first))):
        yield piece
        first += len(piece)


def packed(file: PositionedFile, runs: np.ndarray, begin: int, end: int) -> bytes:
    """Return the compressed copy of the HDF5 metadata in one part of a file.

    Parameters
    ----------
    file : PositionedFile
        The finished HDF5 file.
    runs : (run, 2) int64
        The parts without chunks, from `between`.
    begin, end : int
        First byte and last byte + 1 of the part.
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
    """Return the ranges of a file, with their bytes, from a compressed copy.

    Parameters
    ----------
    raw : bytes
        The copy.
    most : int
        Largest size that it may unpack to, bytes.

    Raises
    ------
    ValueError
        If the bytes are not a copy, or unpack to more than `most`.
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
    ranges, at = ByteRanges(), _COUNT.size + 16 * count
    for start, stop in spans:
        ranges.starts.append(start)
        ranges.pieces.append(bytes(content[at : at + stop - start]))
        at += stop - start
    if at != len(content):
        msg = f"{len(content)} bytes where {at} are said"
        raise ValueError(msg)
    return ranges


class CopiedFile(PositionedFile):
    """A remote archive in which HDF5 reads metadata from the copies, and chunks where they lie.

    Parameters
    ----------
    file : PositionedFile
        The remote file.
    copies : sequence of Copied
        The entries of its copies, in the order of the parts that they copy, from the first byte on.
    """

    waits = True

    def __init__(self, file: PositionedFile, copies: Sequence[Copied]):
        self.file, self.copies, self.path, self.size = file, copies, file.path, file.size
        self.begins = [copied.begin for copied in copies]
        #: Number of a copy -> its ranges, for copies that were fetched.
        self.fetched: dict[int, ByteRanges] = {}

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
        """Return bytes from a copy; None if no copy has them, as for chunks."""
        number = bisect_right(self.begins, at) - 1
        if number < 0:
            return None
        if number not in self.fetched:
            self.fetched[number] = self._read(self.copies[number])
        return self.fetched[number].get(at, count)

    def _read(self, copied: Copied) -> ByteRanges:
        """Fetch a copy and unpack it."""
        raw = take(self.file, copied.offset, copied.length, copied.checksum)
        if raw is None:
            self._refuse("others (their checksum differs)")
        try:
            return unpacked(raw, 2 * self.size + _PIECE)
        except ValueError as error:
            self._refuse(str(error))

    def _refuse(self, found: str) -> NoReturn:
        expected = "the copy of a session's HDF5 metadata"
        hint = "the file is damaged; copy it again, or save it anew"
        raise FormatError(self.path, "", expected, found, hint)
