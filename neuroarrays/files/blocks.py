"""Arrays divided into blocks, which are read, computed and written one after another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

#: Largest size of a block, bytes. Two blocks are in memory at a time.
BLOCK = 1 << 24

Key = tuple[slice, ...]


def blocks(shape: tuple[int, ...], chunk: tuple[int, ...], itemsize: int) -> Iterator[Key]:
    """Yield the slices of blocks of whole chunks that cover an array, in C order."""
    yield from grid(shape, block_shape(shape, chunk, itemsize))


def block_shape(shape: tuple[int, ...], chunk: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the shape of a block of whole chunks that has at most `BLOCK` bytes, or is one chunk."""
    block = list(chunk)
    for axis in reversed(range(len(shape))):
        factor = max(1, BLOCK // max(1, math.prod(block) * itemsize))
        n_chunks = -(-shape[axis] // chunk[axis])
        block[axis] = chunk[axis] * min(factor, max(n_chunks, 1))
    return tuple(block)


def grid(shape: tuple[int, ...], step: tuple[int, ...]) -> Iterator[Key]:
    """Yield the slices of blocks of shape `step` that cover an array, in C order."""
    starts = [range(0, n, s) for n, s in zip(shape, step, strict=True)]
    for corner in product(*starts):
        yield tuple(slice(c, min(c + s, n)) for c, s, n in zip(corner, step, shape, strict=True))
