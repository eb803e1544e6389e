"""Shapes of the chunks of arrays in an archive, chosen by how the arrays are read."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

from neuroarrays import schema

#: Arrays below this size are neither chunked nor compressed, bytes.
SMALL = 4096
#: Size of a chunk of an array, and of a 1-D array, bytes; the most presentations in a chunk. With 300
#: units x 250 bins, one presentation per chunk (75 kB) instead of three reads 256 random
#: presentations twice as fast, and all of them at 80-90 % of the speed
#: (benchmarks/bench_archive.py).
CHUNK, LONG_CHUNK, MOST_PRESENTATIONS = 1 << 17, 1 << 20, 16
#: Size of a chunk of presentations of floats, bytes. Floats compress little and are read at random:
#: one image of 36 x 64 is decoded in a third of the time of three. It is also the smallest chunk of
#: any presentations, as many tiny chunks cost more time than decoding values that nobody needs.
RANDOM_CHUNK = 1 << 13


def chunk_shape(
    dims: Sequence[Hashable], shape: tuple[int, ...], itemsize: int
) -> tuple[int, ...] | None:
    """Return the shape of the compressed chunks of an array.

    A chunk has whole rows of the first dimension, 128 kB of them, or 1 MB of a 1-D array. Along
    presentations a chunk has 1 to 16 rows, or more if they are small, up to 8 kB; floats have chunks
    of 8 kB.

    Returns
    -------
    tuple of int or None
        None for arrays below 4 kB, which are stored in one piece, uncompressed.
    """
    if int(np.prod(shape, dtype=object)) * itemsize < SMALL:
        return None
    if len(shape) == 1:
        return (min(shape[0], LONG_CHUNK // itemsize),)
    row = int(np.prod(shape[1:], dtype=object)) * itemsize
    if row > LONG_CHUNK:
        return (1, *(chunk_shape(dims[1:], shape[1:], itemsize) or shape[1:]))
    rows = max(1, CHUNK // row)
    if dims[0] == schema.PRESENTATION:
        if itemsize >= 4:
            rows = max(1, RANDOM_CHUNK // row)
        rows = min(rows, max(MOST_PRESENTATIONS, RANDOM_CHUNK // row))
    return (min(rows, shape[0]), *shape[1:])


def raw_chunk_shape(
    dims: Sequence[Hashable], shape: tuple[int, ...], itemsize: int
) -> tuple[int, ...]:
    """Return the shape of uncompressed chunks: whole rows, 128 kB along presentations, else 1 MB.

    Our reader reads any part of an uncompressed chunk. Only other programs, and checksums, gain from
    smaller chunks.
    """
    row = max(1, int(np.prod(shape[1:], dtype=object)) * itemsize)
    if row > LONG_CHUNK:
        return chunk_shape(dims, shape, itemsize) or shape
    most = CHUNK if dims[0] == schema.PRESENTATION else LONG_CHUNK
    return (max(1, min(shape[0], most // row)), *shape[1:])
