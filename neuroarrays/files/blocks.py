"""An array in blocks: what is read, computed and written at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

#: Bytes of a block. Two are in memory.
BLOCK = 1 << 24

Key = tuple[slice, ...]


def blocks(shape: tuple[int, ...], chunk: tuple[int, ...], itemsize: int) -> Iterator[Key]:
    """Slices that cover an array in blocks of whole chunks, in order."""
    yield from grid(shape, block_shape(shape, chunk, itemsize))


def block_shape(shape: tuple[int, ...], chunk: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Shape of blocks of whole chunks, of at most `BLOCK` bytes or one chunk."""
    block = list(chunk)
    for axis in reversed(range(len(shape))):
        factor = max(1, BLOCK // max(1, math.prod(block) * itemsize))
        whole = -(-shape[axis] // chunk[axis])
        block[axis] = chunk[axis] * min(factor, max(whole, 1))
    return tuple(block)


def grid(shape: tuple[int, ...], step: tuple[int, ...]) -> Iterator[Key]:
    """Slices that cover an array in steps."""
    starts = [range(0, n, s) for n, s in zip(shape, step, strict=True)]
    for corner in product(*starts):
        yield tuple(slice(c, min(c + s, n)) for c, s, n in zip(corner, step, shape, strict=True))
