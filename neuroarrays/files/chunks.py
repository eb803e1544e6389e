"""Chunks of an HDF5 dataset read past HDF5's filter pipeline: bytes from the file, zstd, numpy.

HDF5 decodes one chunk at a time under one lock per process. Where a dataset's filters are zstd,
or shuffle and zstd, its chunks are read with `pread` and decoded outside the lock, on two threads
when there are many. By hand because h5py has no such door; all that HDF5 alone can decode is left to it.
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

#: HDF5's numbers of the filters.
ZSTD, SHUFFLE = 32015, 2
#: Threads that decode, the caller's among them.
THREADS = max(1, min(2, os.cpu_count() or 1))
#: Bytes of all chunks, and of each, below which one thread is faster than handing work over.
_WORTH_A_THREAD, _LARGE = 1 << 20, 1 << 15


@dataclass(frozen=True)
class ZstdChunks:
    """Where the chunks of one dataset lie, and how to decode them. Safe from several threads."""

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
        return math.prod(self.chunk) * self.dtype.itemsize

    def read(
        self, key: Key, allowed: Callable[[int], None], out: np.ndarray | None = None
    ) -> np.ndarray:
        """Values under a normalised outer key.

        Parameters
        ----------
        key : tuple of int, slice or (n,) int64 array
            One entry per axis, no negative positions.
        allowed : callable
            Raises when asked for more bytes than the file can hold.
        out : np.ndarray, optional
            Of the shape that the key gives; values are cast to its dtype.

        Returns
        -------
        np.ndarray
            `out`, or a new one of the dataset's dtype.
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
        if self.file.waits:
            places = [tuple(part[0] for part in parts) for parts in tasks]
            self.file.prefetch([(int(self.address[at]), int(self.stored[at])) for at in places])
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
            failures = [other.exception() for other in others]  # nobody writes into out any more
        for failure in failures:
            if failure is not None:
                raise failure

    def _work(self, out: np.ndarray, tasks: list[tuple[outer.Part, ...]]) -> None:
        import zstandard

        decoder = zstandard.ZstdDecompressor()
        for parts in tasks:
            position, take, put = zip(*parts, strict=True) if parts else ((), (), ())
            if sum(isinstance(t, np.ndarray) for t in take) > 1:
                take, put = outer.mesh(take, self.chunk), outer.mesh(put, out.shape)
            out[put] = self._chunk(decoder, position)[take]

    def _chunk(self, decoder: Any, position: tuple[int, ...]) -> np.ndarray:
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
        raise FormatError(
            self.path,
            self.name,
            expected=f"a zstd chunk of {self._nbytes:,} bytes at {position}",
            found=found,
            hint="the file is truncated or damaged",
        ) from cause


def _joined(values: bytes, dtype: np.dtype) -> np.ndarray:
    """Values from their first bytes, their second bytes, and so on."""
    planes = np.frombuffer(values, np.uint8).reshape(dtype.itemsize, -1)
    joined: np.ndarray = planes[-1].astype(
        f"<u{dtype.itemsize}"
    )  # shifted whole: faster than byte by byte
    for plane in planes[-2::-1]:
        joined <<= 8
        joined |= plane
    return joined.view(dtype)


def zstd_chunks(
    dataset: h5py.Dataset, path: str, name: str, file: PositionedFile
) -> ZstdChunks | None:
    """The chunk reader of a dataset, or None where only HDF5 itself can read it.

    To be called under the lock. Visits the index of the chunks once.
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
    if count > file.size:  # more chunks than bytes: a damaged shape
        return None
    address, stored = np.full(grid, -1, np.int64), np.zeros(grid, np.int64)
    masked = []

    def note(info: Any) -> None:
        at = tuple(offset // c for offset, c in zip(info.chunk_offset, dataset.chunks, strict=True))
        if all(i < n for i, n in zip(at, grid, strict=True)):
            address[at], stored[at] = info.byte_offset, info.size
            masked.extend([at] if info.filter_mask else [])

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
