"""Pick some values of a large compressed array while it is unpacked in pieces.

Only the picked values are kept, so that memory does not grow with the array: a file of megabytes can
hold gigabytes of zeros. Neither numpy nor scipy can pick values from a stream.
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
    engine, n_left, tail = zlib.decompressobj(wbits), packed, b""
    file.seek(start)
    while not engine.eof and (n_left or tail):
        if not tail:
            tail = file.read(min(n_left, _PIECE))
            n_left -= len(tail)
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
        None if the array should be unpacked as a whole, because most of it is picked or its rows are
        large; also if the stream ends early.
    """
    if fortran:
        picked = pick(stream, skip, dtype, shape[::-1], False, key[::-1])
        return None if picked is None else picked.T
    axis = next((i for i, n in enumerate(shape) if n > 1), 0)
    row = math.prod(shape[axis + 1 :]) * dtype.itemsize
    k = key[axis]
    positions, which = np.unique(outer.positions(k), return_inverse=True)
    if not 0 < row <= _ROW or 2 * positions.size > shape[axis]:
        return None
    rows = np.empty((positions.size, row), np.uint8)
    if not _fill(stream, skip, rows, positions):
        return None
    values = rows.view(dtype).reshape(*shape[:axis], positions.size, *shape[axis + 1 :])
    inner = list(key)
    inner[axis] = int(which[0]) if isinstance(k, int) else which
    return outer.take(values, tuple(inner))


def _fill(stream: Iterator[bytes], skip: int, rows: np.ndarray, positions: np.ndarray) -> bool:
    """Copy rows at ascending positions out of a stream; False if it ends before the last."""
    row_bytes, position, done = rows.shape[1], -skip, 0
    buffer = bytearray()
    for piece in stream:
        buffer += piece
        while done < positions.size:
            begin = int(positions[done]) * row_bytes - position
            if begin >= len(buffer):  # The row is in a later piece.
                position += len(buffer)
                buffer.clear()
                break
            if begin + row_bytes > len(buffer):
                del buffer[:begin]
                position += begin
                break
            rows[done] = np.frombuffer(buffer, np.uint8, row_bytes, begin)
            done += 1
        if done == positions.size:
            return True
    return False
