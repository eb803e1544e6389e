"""Compression of an archive's chunks, and rows that repeat earlier ones."""

from __future__ import annotations

import math
import threading
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np

from neuroarrays.archive.encoding import Encoded
from neuroarrays.files import blocks

#: Levels of compression.
ZSTD_LEVEL, GZIP_LEVEL = 3, 4
#: Number of chunks that are compressed on trial, and the fraction of bytes that may remain for
#: compression to be worth it. Noise-like floats keep 90 %, and decoding them takes ten times as long
#: as reading them.
SAMPLES, WORTH = 3, 0.75

Block = tuple[blocks.Key, np.ndarray]


class Packing:
    """Compresses the chunks of an archive.

    Parameters
    ----------
    compression : {"zstd", "portable", None}
        "portable" is gzip, for readers without the zstd plugin; None compresses nothing.
    shuffles : bool
        Whether the file format has the shuffle filter.
    """

    def __init__(self, compression: str | None, shuffles: bool = True):
        self.compression, self.shuffles = compression, shuffles
        self.local = threading.local()

    def shuffled(self, dtype: np.dtype) -> bool:
        """Return whether chunks of a dtype are shuffled (all first bytes, all second bytes, ...).

        With zstd, integers such as sparse counts and identifiers are smaller without it.
        """
        pays = dtype.itemsize > 1 and (self.compression != "zstd" or dtype.kind == "f")
        return self.shuffles and pays

    def is_worthwhile(self, encoded: Encoded) -> bool:
        """Return whether compressing a variable saves enough, judged by a sample of its chunks."""
        chunk = encoded.chunks
        if self.compression is None or chunk is None:
            return False
        counts = [-(-n // c) for n, c in zip(encoded.variable.shape, chunk, strict=True)]
        raw_bytes = packed_bytes = 0
        for number in np.unique(np.linspace(0, math.prod(counts) - 1, SAMPLES).round()):
            corner = np.unravel_index(int(number), counts)
            key = tuple(
                slice(int(i) * c, (int(i) + 1) * c) for i, c in zip(corner, chunk, strict=True)
            )
            values = encoded.block(key)
            raw_bytes += values.nbytes
            packed_bytes += len(self.pack(values, values.shape))
        return packed_bytes <= WORTH * raw_bytes

    def pack(self, values: np.ndarray, chunk: tuple[int, ...]) -> bytes:
        """Return the stored bytes of a chunk; HDF5 stores full chunks at the edges of an array too."""
        data: Any = padded(values, chunk)
        if self.shuffled(values.dtype):
            data = np.ascontiguousarray(data.reshape(-1, 1).view(np.uint8).T)
        return self.compress(data)

    def compress(self, data: Any) -> bytes:
        """Compress bytes, with zstd and a checksum, or with zlib."""
        if self.compression == "portable":
            return zlib.compress(data, GZIP_LEVEL)
        compressor = getattr(self.local, "compressor", None)
        if compressor is None:
            import zstandard

            compressor = self.local.compressor = zstandard.ZstdCompressor(
                ZSTD_LEVEL, write_checksum=True, write_content_size=True
            )
        packed: bytes = compressor.compress(data)
        return packed


def padded(values: np.ndarray, chunk: tuple[int, ...]) -> np.ndarray:
    """Return values as a full chunk in C order, with zeros beyond the edge of the array."""
    if values.shape != chunk:
        full = np.zeros(chunk, values.dtype)
        full[tuple(slice(n) for n in values.shape)] = values
        values = full
    return np.ascontiguousarray(values)


class Distinct:
    """The distinct rows of a variable. Two rows are equal if their bytes are.

    Attributes
    ----------
    row_index : (row,) int64
        The number of the distinct row that each row equals, from 0. It is complete after the last
        of `blocks`.
    known : dict
        Hash of a distinct row -> its number.
    """

    def __init__(self, encoded: Encoded):
        self.encoded = encoded
        self.row_index = np.zeros(encoded.variable.shape[0], np.int64)
        self.known: dict[bytes, int] = {}

    @staticmethod
    def applies(encoded: Encoded) -> bool:
        """Return whether the rows of a variable may repeat, and one row fits into a block."""
        nbytes = math.prod(encoded.variable.shape[1:]) * encoded.stored.itemsize
        return encoded.index is not None and encoded.chunks is not None and nbytes <= blocks.BLOCK

    def blocks(self, chunk: tuple[int, ...]) -> Iterator[Block]:
        """Yield the distinct rows in blocks of whole chunks, each with its key in the stored array."""
        shape = self.encoded.variable.shape
        nbytes = math.prod(shape[1:]) * self.encoded.stored.itemsize
        step = max(1, blocks.BLOCK // nbytes // chunk[0]) * chunk[0]
        pending: list[np.ndarray] = []
        written = 0
        for start in range(0, shape[0], step):
            rows = slice(start, min(start + step, shape[0]))
            pending += self._new_rows(self.encoded.block((rows, *_whole(shape))), start)
            while len(pending) >= step:
                yield _block(written, pending[:step])
                written += step
                del pending[:step]
        if pending:
            yield _block(written, pending)

    def _new_rows(self, values: np.ndarray, start: int) -> list[np.ndarray]:
        """Return the rows that no earlier row equals, and record the number of each row."""
        new_rows = []
        for i, row in enumerate(values):
            digest = blake2b(row.tobytes(), digest_size=16).digest()
            if digest not in self.known:
                self.known[digest] = len(self.known)
                new_rows.append(row.copy())
            self.row_index[start + i] = self.known[digest]
        return new_rows


def _whole(shape: tuple[int, ...]) -> list[slice]:
    """Return the slices of whole rows, for all axes but the first."""
    return [slice(0, n) for n in shape[1:]]


def _block(first: int, rows: list[np.ndarray]) -> Block:
    """Return rows as a block that begins at row `first` of the stored array."""
    values = np.stack(rows)
    return (slice(first, first + len(rows)), *_whole(values.shape)), values
