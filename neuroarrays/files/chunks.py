"""Chunks of an HDF5 dataset, read and decoded without HDF5's filter pipeline.

HDF5 decodes one chunk at a time under one lock per process. Where the filters of a dataset are zstd,
or shuffle and zstd, this module reads the chunks with `pread` and decodes them outside the lock, on
two threads when there are many. h5py offers no such way. All other filters are left to HDF5.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import outer, state
from neuroarrays.files.state import cached_property

if TYPE_CHECKING:
    import h5py

    from neuroarrays.files.outer import Key
    from neuroarrays.files.positioned import PositionedFile

#: The numbers by which HDF5 knows the two filters.
ZSTD, SHUFFLE = 32015, 2
#: Threads that decode, including the caller's.
THREADS = max(1, min(2, os.cpu_count() or 1))
#: Size of all chunks, and of one, below which a single thread is faster, bytes.
_WORTH_A_THREAD, _LARGE = 1 << 20, 1 << 15


@dataclass(frozen=True)
class ZstdChunks:
    """The chunks of one dataset: where each lies, and how it is decoded. Several threads may use it.

    Attributes
    ----------
    file : PositionedFile
        The HDF5 file.
    path, name : str
        Path of the file and name of the dataset, for errors.
    shape, chunk : tuple of int
        Shape of the dataset and of a chunk.
    dtype : np.dtype
        Of the values.
    fill : scalar
        The value of chunks that were never written.
    shuffled : bool
        Whether the bytes of each chunk were shuffled before zstd.
    address, stored : np.ndarray of int64
        By position in the grid of chunks: where the chunk begins in the file (-1 if it was never
        written), and how many bytes it has there.
    """

    file: PositionedFile
    path: str
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    chunk: tuple[int, ...]
    fill: Any
    shuffled: bool
    address: np.ndarray
    stored: np.ndarray

    @cached_property
    def _nbytes(self) -> int:
        """Bytes of an unpacked chunk."""
        return math.prod(self.chunk) * self.dtype.itemsize

    def read(
        self, key: Key, allowed: Callable[[int], None], out: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the values that a normalised outer key selects.

        Parameters
        ----------
        key : tuple of int, slice or (n,) int64 array
            One entry per axis, without negative positions.
        allowed : callable
            Called with a number of bytes; raises if the file cannot hold that many.
        out : np.ndarray, optional
            An array of the shape that the key selects; values are cast to its dtype.

        Returns
        -------
        np.ndarray
            `out`, or a new array of the dataset's dtype.
        """
        sizes = tuple(outer.length(k, n) for k, n in zip(key, self.shape, strict=True))
        allowed(math.prod(sizes) * self.dtype.itemsize)
        self.file.check_unchanged(self.name)
        dropped = tuple(axis for axis, k in enumerate(key) if isinstance(k, int))
        full = np.empty(sizes, self.dtype) if out is None else np.expand_dims(out, dropped)
        if full.size:
            allowed(self._nbytes)
            axes = [
                list(outer.parts(k, n, c))
                for k, n, c in zip(key, self.shape, self.chunk, strict=True)
            ]
            self._fill(full, list(product(*axes)))
        return full.squeeze(dropped) if out is None else out

    def _fill(self, out: np.ndarray, tasks: list[tuple[outer.Part, ...]]) -> None:
        """Decode the chunks of all tasks into `out`, on several threads if there is enough to do."""
        if self.file.waits:
            positions = [tuple(part[0] for part in parts) for parts in tasks]
            self.file.prefetch([(int(self.address[p]), int(self.stored[p])) for p in positions])
        share = -(-len(tasks) // THREADS)
        few = len(tasks) < 2 or len(tasks) * self._nbytes < _WORTH_A_THREAD
        if few or self._nbytes < _LARGE:
            self._work(out, tasks)
            return
        others = [
            state.pool("chunks", THREADS).submit(self._work, out, tasks[i : i + share])
            for i in range(share, len(tasks), share)
        ]
        try:
            self._work(out, tasks[:share])
        finally:
            failures = [other.exception() for other in others]  # waits until all have ended
        for failure in failures:
            if failure is not None:
                raise failure

    def _work(self, out: np.ndarray, tasks: list[tuple[outer.Part, ...]]) -> None:
        """Decode the chunks of some tasks into `out`."""
        import zstandard

        decoder = zstandard.ZstdDecompressor()
        for parts in tasks:
            position, take, put = zip(*parts, strict=True) if parts else ((), (), ())
            if sum(isinstance(t, np.ndarray) for t in take) > 1:
                take, put = outer.mesh(take, self.chunk), outer.mesh(put, out.shape)
            out[put] = self._chunk(decoder, position)[take]

    def _chunk(self, decoder: Any, position: tuple[int, ...]) -> np.ndarray:
        """Return the values of the chunk at a position of the grid."""
        address, stored = int(self.address[position]), int(self.stored[position])
        if address < 0:
            return np.broadcast_to(np.asarray(self.fill, self.dtype), self.chunk)
        import zstandard

        raw = self.file.read(address, stored)
        try:
            size = zstandard.frame_content_size(raw)
            if size not in (self._nbytes, -1) or len(raw) != stored:
                self._damaged(position, f"{len(raw):,} bytes that claim to hold {size:,}")
            values = decoder.decompress(raw, max_output_size=self._nbytes)
        except zstandard.ZstdError as error:
            self._damaged(position, str(error), error)
        if len(values) != self._nbytes:
            self._damaged(position, f"{len(values):,} bytes")
        if self.shuffled:
            return _joined(values, self.dtype).reshape(self.chunk)
        return np.frombuffer(values, self.dtype).reshape(self.chunk)

    def _damaged(
        self, position: tuple[int, ...], found: str, cause: Exception | None = None
    ) -> None:
        """Raise the error for a damaged chunk."""
        raise FormatError(
            self.path,
            self.name,
            expected=f"a zstd chunk of {self._nbytes:,} bytes at {position}",
            found=found,
            hint="the file is truncated or damaged",
        ) from cause


def _joined(values: bytes, dtype: np.dtype) -> np.ndarray:
    """Undo HDF5's shuffle filter, which stores the first bytes of all values, then the second, ..."""
    planes = np.frombuffer(values, np.uint8).reshape(dtype.itemsize, -1)
    joined: np.ndarray = planes[-1].astype(f"<u{dtype.itemsize}")
    for plane in planes[-2::-1]:  # shifting whole arrays is faster than copying byte by byte
        joined <<= 8
        joined |= plane
    return joined.view(dtype)


def zstd_chunks(
    dataset: h5py.Dataset, path: str, name: str, file: PositionedFile
) -> ZstdChunks | None:
    """Return the chunk reader of a dataset, or None where only HDF5 itself can read it.

    Call this under the lock of HDF5. It visits the index of the chunks once.
    """
    if dataset.chunks is None:
        return None
    dtype = dataset.dtype  # h5py makes it anew each time
    if dtype.kind not in "iuf" or not dtype.isnative:
        return None
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if filters not in ([ZSTD], [SHUFFLE, ZSTD]) or dataset.file.userblock_size:
        return None
    grid = tuple(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True))
    count = int(np.prod(grid, dtype=object))
    if count > file.size:  # a file with more chunks than bytes has a damaged shape
        return None
    address, stored = np.full(grid, -1, np.int64), np.zeros(grid, np.int64)
    masked = []  # chunks that some filter was skipped for

    def note(info: Any) -> None:
        """Note where a chunk lies, and whether a filter was skipped for it."""
        chunk = tuple(
            offset // c for offset, c in zip(info.chunk_offset, dataset.chunks, strict=True)
        )
        if all(i < n for i, n in zip(chunk, grid, strict=True)):
            address[chunk], stored[chunk] = info.byte_offset, info.size
            masked.extend([chunk] if info.filter_mask else [])

    if count:
        dataset.id.chunk_iter(note)
    if masked:
        return None
    return ZstdChunks(
        file,
        path,
        name,
        dataset.shape,
        dtype,
        dataset.chunks,
        dataset.fillvalue,
        SHUFFLE in filters,
        address,
        stored,
    )
