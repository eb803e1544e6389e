"""Some values of a large packed array: unpacked piece by piece, what is not asked for is not kept.

A file of megabytes can declare, and really hold, gigabytes of zeros: two values of it take two values.
By hand: zlib unpacks, but nothing in numpy or scipy picks values of what passes by.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import outer
from neuroarrays.files.outer import Key

#: Bytes of an array from which on it is unpacked in pieces; of a piece, and the most of a row of it.
LARGE, _PIECE, _ROW = 128 << 20, 1 << 20, 16 << 20


def pieces(
    file: BinaryIO, start: int, packed: int, wbits: int, path: str, where: str
) -> Iterator[bytes]:
    """The inflated bytes of a deflated stream, in pieces.

    Raises
    ------
    FormatError
        If they are no deflated bytes.
    """
    engine, left, tail = zlib.decompressobj(wbits), packed, b""
    file.seek(start)
    while not engine.eof and (left or tail):
        if not tail:
            tail = file.read(min(left, _PIECE))
            left -= len(tail)
            if not tail:
                return
        try:
            piece = engine.decompress(tail, _PIECE)
        except zlib.error as error:
            raise FormatError(
                path, where, "deflated bytes", str(error), "the file is damaged"
            ) from error
        tail = engine.unconsumed_tail
        if piece:
            yield piece


def pick(
    stream: Iterator[bytes],
    skip: int,
    dtype: np.dtype,
    shape: tuple[int, ...],
    fortran: bool,
    key: Key,
) -> np.ndarray | None:
    """The values that an outer key picks of an array whose bytes arrive in pieces.

    Parameters
    ----------
    stream : iterator of bytes
        The array after `skip` other bytes, in its order.
    skip : int
        Bytes before it.
    dtype, shape, fortran : np.dtype, tuple of int, bool
        Of the array as it is stored.
    key : tuple
        One int, slice or array of positions per axis, none negative.

    Returns
    -------
    array or None
        None where it is better unpacked as a whole: most of it is asked for, or its rows are large;
        also where the stream ends early.
    """
    if fortran:
        picked = pick(stream, skip, dtype, shape[::-1], False, key[::-1])
        return None if picked is None else picked.T
    axis = next((i for i, n in enumerate(shape) if n > 1), 0)
    row = math.prod(shape[axis + 1 :]) * dtype.itemsize
    k = key[axis]
    wanted, which = np.unique(outer.positions(k), return_inverse=True)
    if not 0 < row <= _ROW or 2 * wanted.size > shape[axis]:
        return None
    rows = np.empty((wanted.size, row), np.uint8)
    if not _fill(stream, skip, rows, wanted):
        return None
    values = rows.view(dtype).reshape(*shape[:axis], wanted.size, *shape[axis + 1 :])
    inner = list(key)
    inner[axis] = int(which[0]) if isinstance(k, int) else which
    return outer.take(values, tuple(inner))


def _fill(stream: Iterator[bytes], skip: int, rows: np.ndarray, wanted: np.ndarray) -> bool:
    """Copy the rows at places in ascending order out of a stream; False if it ends before."""
    row, at, done = rows.shape[1], -skip, 0
    kept = bytearray()
    for piece in stream:
        kept += piece
        while done < wanted.size:
            begin = int(wanted[done]) * row - at
            if begin >= len(kept):  # further on
                at += len(kept)
                kept.clear()
                break
            if begin + row > len(kept):
                del kept[:begin]
                at += begin
                break
            rows[done] = np.frombuffer(kept, np.uint8, row, begin)
            done += 1
        if done == wanted.size:
            return True
    return False
