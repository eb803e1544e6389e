"""Chunks of an archive: what is worth compressing, how, and which rows repeat earlier ones."""

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

ZSTD_LEVEL, GZIP_LEVEL = 3, 4
#: Chunks that are compressed to see whether it is worth it, and the share of bytes it may leave.
#: Noise-like floats keep 90 %: decoding them costs ten times what reading them does.
SAMPLES, WORTH = 3, 0.75

Block = tuple[blocks.Key, np.ndarray]


class Packing:
    """How the chunks of a file are compressed.

    Parameters
    ----------
    compression : {"zstd", "portable", None}
        zstd; gzip for readers without its plugin; nothing.
    shuffles : bool
        Whether the format has the filter shuffle.
    """

    def __init__(self, compression: str | None, shuffles: bool = True):
        self.compression, self.shuffles = compression, shuffles
        self.local = threading.local()

    def shuffled(self, dtype: np.dtype) -> bool:
        """Whether first bytes, second bytes, ... of values stand together.

        Sparse counts and identifiers are smaller and faster as they are under zstd.
        """
        pays = dtype.itemsize > 1 and (self.compression != "zstd" or dtype.kind == "f")
        return self.shuffles and pays

    def worth(self, encoded: Encoded) -> bool:
        """Whether compressing a variable saves enough, by chunks from all of it."""
        chunk = encoded.chunks
        if self.compression is None or chunk is None:
            return False
        counts = [-(-n // c) for n, c in zip(encoded.variable.shape, chunk, strict=True)]
        whole = packed = 0
        for number in np.unique(np.linspace(0, math.prod(counts) - 1, SAMPLES).round()):
            corner = np.unravel_index(int(number), counts)
            key = tuple(
                slice(int(i) * c, (int(i) + 1) * c) for i, c in zip(corner, chunk, strict=True)
            )
            values = encoded.block(key)
            whole += values.nbytes
            packed += len(self.pack(values, values.shape))
        return packed <= WORTH * whole

    def pack(self, values: np.ndarray, chunk: tuple[int, ...]) -> bytes:
        """The stored bytes of a chunk, which HDF5 has whole at the edges too."""
        data: Any = padded(values, chunk)
        if self.shuffled(values.dtype):
            data = np.ascontiguousarray(data.reshape(-1, 1).view(np.uint8).T)
        return self.compress(data)

    def compress(self, data: Any) -> bytes:
        """Bytes, compressed: by zstd with a checksum, or by zlib."""
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
    """Values as a whole chunk in C order, zeros where it reaches over the edge of the array."""
    if values.shape != chunk:
        whole = np.zeros(chunk, values.dtype)
        whole[tuple(slice(n) for n in values.shape)] = values
        values = whole
    return np.ascontiguousarray(values)


class Distinct:
    """The rows of a variable without those that repeat an earlier one, by their bytes.

    Attributes
    ----------
    places : (row,) int64
        Number of the distinct row that each row equals, from 0; complete when `blocks` has
        come to its end.
    """

    def __init__(self, encoded: Encoded):
        self.encoded = encoded
        self.places = np.zeros(encoded.variable.shape[0], np.int64)
        self.known: dict[bytes, int] = {}

    @staticmethod
    def applies(encoded: Encoded) -> bool:
        """Whether rows may repeat: frames shown in presentations, of which one fits in memory."""
        nbytes = math.prod(encoded.variable.shape[1:]) * encoded.stored.itemsize
        return encoded.index is not None and encoded.chunks is not None and nbytes <= blocks.BLOCK

    def blocks(self, chunk: tuple[int, ...]) -> Iterator[Block]:
        """The distinct rows in blocks of whole chunks, and where they go."""
        shape = self.encoded.variable.shape
        nbytes = math.prod(shape[1:]) * self.encoded.stored.itemsize
        step = max(1, blocks.BLOCK // nbytes // chunk[0]) * chunk[0]
        pending: list[np.ndarray] = []
        written = 0
        for start in range(0, shape[0], step):
            rows = slice(start, min(start + step, shape[0]))
            pending += self._new(self.encoded.block((rows, *_whole(shape))), start)
            while len(pending) >= step:
                yield _block(written, pending[:step])
                written += step
                del pending[:step]
        if pending:
            yield _block(written, pending)

    def _new(self, values: np.ndarray, start: int) -> list[np.ndarray]:
        new_rows = []
        for i, row in enumerate(values):
            mark = blake2b(row.tobytes(), digest_size=16).digest()
            if mark not in self.known:
                self.known[mark] = len(self.known)
                new_rows.append(row.copy())
            self.places[start + i] = self.known[mark]
        return new_rows


def _whole(shape: tuple[int, ...]) -> list[slice]:
    return [slice(0, n) for n in shape[1:]]


def _block(first: int, rows: list[np.ndarray]) -> Block:
    values = np.stack(rows)
    return (slice(first, first + len(rows)), *_whole(values.shape)), values
