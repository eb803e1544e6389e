"""Read rows of an uncompressed HDF5 dataset directly from the file into the caller's memory.

A contiguous dataset, and one whose chunks are whole rows without compression, needs only its
addresses from HDF5. Rows are then read at their positions without HDF5's lock. Neighbouring rows are
read at once, and large ones without a copy. Chunks with HDF5's Fletcher checksum are checked when a
process first reads them. h5py reads rows one after another under its lock, and needs them sorted and
without repeats, which a batch of shuffled trials is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import outer

if TYPE_CHECKING:
    import h5py

    from neuroarrays.files.outer import Key
    from neuroarrays.files.positioned import PositionedFile

#: HDF5's number of the Fletcher filter, and the bytes of the checksum after each chunk.
FLETCHER, _SUM = 3, 4
#: Bytes of the rows of a contiguous dataset that are read at once.
_BLOCK = 1 << 20
#: Largest gap, in bytes, between two rows that are read at once.
_GAP = 1 << 14
#: Largest row, in bytes, that is read whole if only a part of it is needed.
_WIDE = 1 << 16
#: Smallest dataset, in bytes, that is read here and not by HDF5.
_SMALL = 1 << 14
#: Bytes of the largest numeric type.
_WIDEST = 16

#: Words of a row of the table that checksums are computed from: their sum fits into 32 bits.
_WIDTH = 512

#: Rows that are read at once: the first, their number, and the slice of the output that they fill. For
#: scattered rows, the last is a pair: positions in the output, and which of the rows go there.
Piece = tuple[int, int, slice | tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Rows:
    """The positions of the rows of a dataset in its file. Several threads may use it.

    Attributes
    ----------
    block : int
        Number of rows that follow each other in the file.
    address : (blocks,) int64
        Position of each block in the file, bytes.
    checked : (blocks,) bool or None
        Whether the checksum of a block was checked; None if there are no checksums.
    """

    file: PositionedFile
    path: str
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    block: int
    address: np.ndarray
    checked: np.ndarray | None
    nbytes: int

    def read(
        self, key: Key, allowed: Callable[[int], None], out: np.ndarray | None = None
    ) -> np.ndarray | None:
        """Return the values under a normalised outer key.

        Parameters
        ----------
        key : tuple of int, slice or (n,) int64 array
            One entry per axis, no negative positions.
        allowed : callable
            Called with the bytes of the result; raises if the file cannot hold so many.
        out : np.ndarray, optional
            An array of the shape of the result; values are cast to its dtype.

        Returns
        -------
        np.ndarray or None
            None for parts of large rows, which HDF5 reads faster.
        """
        sizes = tuple(outer.length(k, n) for k, n in zip(key, self.shape, strict=True))
        whole = outer.is_whole(key[1:], self.shape[1:])
        if not whole and self.nbytes > _WIDE:
            return None
        allowed(math.prod(sizes) * self.dtype.itemsize)
        self.file.check_unchanged(self.name)
        if out is None:
            out = np.empty(outer.result_shape(key, self.shape), self.dtype)
        if out.size:
            target = out[None] if isinstance(key[0], int) else out
            self._fill(target, key[0], None if whole else (slice(None), *key[1:]))
        return out

    def _fill(self, out: np.ndarray, rows: int | slice | np.ndarray, rest: Key | None) -> None:
        """Read rows into an array; `rest` is the key of the other axes, None for whole rows."""
        direct = rest is None and out.dtype == self.dtype and out.flags.c_contiguous
        memory = out.reshape(-1).view(np.uint8).data if direct else None
        scratch = np.empty(0, np.uint8)
        pieces = self._pieces(rows)
        if self.file.waits:
            pieces = iter(listed := list(pieces))
            self.file.prefetch([(self._position(p[0]), p[1] * self.nbytes) for p in listed])
        for first, count, put in pieces:
            self._check(first, count)
            position = self._position(first)
            if memory is not None and isinstance(put, slice):
                self._get(memory[put.start * self.nbytes : put.stop * self.nbytes], position)
                continue
            if scratch.size < count * self.nbytes:
                scratch = np.empty(count * self.nbytes, np.uint8)
            self._get(scratch[: count * self.nbytes].data, position)
            values = scratch[: count * self.nbytes].view(self.dtype)
            values = values.reshape(count, *self.shape[1:])
            where, chosen = (put, values) if isinstance(put, slice) else (put[0], values[put[1]])
            out[where] = chosen if rest is None else outer.take(chosen, rest)

    def _pieces(self, rows: int | slice | np.ndarray) -> Iterator[Piece]:
        """Yield the runs of rows that are read at once."""
        if isinstance(rows, int):
            yield rows, 1, slice(0, 1)
            return
        if isinstance(rows, slice) and rows.step in (1, None):
            low = rows.start
            while low < rows.stop:
                high = min((low // self.block + 1) * self.block, rows.stop)
                yield low, high - low, slice(low - rows.start, high - rows.start)
                low = high
            return
        positions = outer.positions(rows)
        for first, last, put in outer.groups(positions, self.block, max(1, _GAP // self.nbytes)):
            if put.size == 1:
                yield first, 1, slice(int(put[0]), int(put[0]) + 1)
            else:
                yield first, last - first + 1, (put, positions[put] - first)

    def _position(self, row: int) -> int:
        """Return the position of a row in the file, bytes."""
        return int(self.address[row // self.block]) + row % self.block * self.nbytes

    def _get(self, memory: memoryview, position: int) -> None:
        """Fill memory with the bytes at a position."""
        n_read = self.file.fill([memory], position)
        if n_read < len(memory):
            self._damaged(f"{len(memory):,} bytes at {position:,}", "the end of the file")

    def _check(self, first: int, count: int) -> None:
        """Compare the chunks of some rows with their checksums, once per process."""
        if self.checked is None:
            return
        for number in range(first // self.block, (first + count - 1) // self.block + 1):
            if not self.checked[number]:
                chunk = np.empty(self.block * self.nbytes + _SUM, np.uint8)
                self._get(chunk.data, int(self.address[number]))
                if not _intact(chunk):
                    row = number * self.block
                    self._damaged(
                        f"the values that were written, from row {row}",
                        "others (their checksum differs)",
                    )
                self.checked[number] = True

    def _damaged(self, expected: str, found: str) -> None:
        """Raise the error for a damaged file."""
        raise FormatError(self.path, self.name, expected, found, "the file is truncated or damaged")


def stored_rows(dataset: h5py.Dataset, path: str, name: str, file: PositionedFile) -> Rows | None:
    """Return the rows of a dataset, or None if only HDF5 itself can read it.

    Call this under the lock of HDF5. It goes through the index of the chunks once.
    """
    shape = dataset.shape
    if not shape or dataset.size < _SMALL // _WIDEST:  # most: without asking HDF5 for more
        return None
    dtype = dataset.dtype  # h5py makes it anew each time
    if dtype.kind not in "iuf" or not dtype.isnative or dataset.size * dtype.itemsize < _SMALL:
        return None
    if dataset.file.userblock_size:
        return None
    plist = dataset.id.get_create_plist()
    nbytes = dataset.size * dtype.itemsize // shape[0]
    if dataset.chunks is None:
        start = dataset.id.get_offset()
        if start is None or dataset.id.get_storage_size() != dataset.nbytes:
            return None
        block = max(1, _BLOCK // nbytes)
        address = start + np.arange(-(-shape[0] // block), dtype=np.int64) * block * nbytes
        return Rows(file, path, name, shape, dtype, block, address, None, nbytes)
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if filters not in ([], [FLETCHER]) or dataset.chunks[1:] != shape[1:]:
        return None
    block = dataset.chunks[0]
    count = -(-shape[0] // block)
    if count > file.size:  # more chunks than bytes: a damaged shape
        return None
    address = np.full(count, -1, np.int64)
    expected = block * nbytes + (_SUM if filters else 0)
    odd = []

    def note(info: Any) -> None:
        """Note the address of a chunk, and whether it has another size or filter."""
        number = info.chunk_offset[0] // block
        if number < count:
            address[number] = info.byte_offset
            odd.extend([number] if info.filter_mask or info.size != expected else [])

    dataset.id.chunk_iter(note)
    if odd or (address < 0).any():  # chunks that were never written have the fill value
        return None
    checked = np.zeros(count, bool) if filters else None
    return Rows(file, path, name, shape, dtype, block, address, checked, nbytes)


def _intact(chunk: np.ndarray) -> bool:
    """Whether a chunk agrees with HDF5's Fletcher-32 checksum behind it.

    The sums are those of RFC 1146 over big-endian words, modulo 65,535. Swapping the bytes of all words
    multiplies both sums by 256, so that the words are taken as this machine has them.
    """
    data, stored = chunk[:-_SUM], chunk[-_SUM:].view("<u4")[0]
    if data.size % 2:
        data = np.append(data, np.uint8(0))
    words = data.view("<u2")
    rows = words.size // _WIDTH
    table, tail = words[: rows * _WIDTH].reshape(rows, _WIDTH), words[rows * _WIDTH :]
    exact = np.uint32 if rows <= 1 << 16 else np.uint64
    by_row = table.sum(axis=1, dtype=np.uint32).astype(np.int64)
    by_column = table.sum(axis=0, dtype=exact).astype(np.int64)
    first = int(by_row.sum()) + int(tail.sum(dtype=np.int64))
    # The second sum counts each word as often as there are words from it to the end.
    after = (words.size - _WIDTH * np.arange(rows)) % 65535
    second = int((after * (by_row % 65535)).sum()) - int(by_column @ np.arange(_WIDTH))
    second += int(tail.astype(np.int64) @ np.arange(tail.size, 0, -1))
    sums = first * 256 % 65535, second * 256 % 65535
    return (int(stored) & 0xFFFF) % 65535 == sums[0] and (int(stored) >> 16) % 65535 == sums[1]
