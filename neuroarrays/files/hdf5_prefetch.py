"""Prefetching from remote HDF5 files: all ranges that HDF5 is about to read are requested together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

from neuroarrays.files import outer

if TYPE_CHECKING:
    import h5py

    from neuroarrays.files.outer import Key
    from neuroarrays.files.positioned import PositionedFile

#: The largest number of chunks that are requested together.
_MOST = 4096


def rows(file: PositionedFile, dataset: h5py.Dataset, stretches: Sequence[tuple[int, int]]) -> None:
    """Fetch the bytes of stretches of rows of a dataset, all at a time.

    Call this under the lock of HDF5. A stretch is a pair (first row, row after the last). Chunks that
    are compressed are fetched whole; datasets whose chunks do not span whole rows are left out.
    """
    if not dataset.shape or not dataset.size or dataset.file.userblock_size:
        return
    row = dataset.nbytes // dataset.shape[0]
    if dataset.chunks is None:
        start = dataset.id.get_offset()
        if start is not None:
            file.prefetch([(start + low * row, (high - low) * row) for low, high in stretches])
        return
    is_packed = dataset.id.get_create_plist().get_nfilters() > 0
    if dataset.chunks[1:] != dataset.shape[1:]:
        return
    length, ranges = dataset.chunks[0], []
    for low, high in stretches:
        for number in range(low // length, (high - 1) // length + 1):
            first = number * length
            info = dataset.id.get_chunk_info_by_coord((first, *(0 for _ in dataset.shape[1:])))
            if info.byte_offset is None:
                continue
            begin, end = max(low, first) - first, min(high, first + length) - first
            offset, count = (0, info.size) if is_packed else (begin * row, (end - begin) * row)
            ranges.append((info.byte_offset + offset, count))
            if len(ranges) > _MOST:
                return
    file.prefetch(ranges)


def values(file: PositionedFile, dataset: h5py.Dataset, key: Key) -> None:
    """Fetch the bytes of the values that a normalised outer key selects from a dataset.

    Call this under the lock of HDF5.
    """
    if not dataset.size or not dataset.shape:
        return
    if dataset.chunks is None:
        start, row = dataset.id.get_offset(), dataset.nbytes // dataset.shape[0]
        if start is not None:
            low, high, _ = outer.span(key[0])
            file.prefetch([(start + low * row, (high - low) * row)])
        return
    axes = [
        sorted({part[0] for part in outer.parts(k, n, c)})
        for k, n, c in zip(key, dataset.shape, dataset.chunks, strict=True)
    ]
    if not 1 < math.prod(map(len, axes)) <= _MOST:
        return
    ranges = []
    for position in product(*axes):
        corner = tuple(i * c for i, c in zip(position, dataset.chunks, strict=True))
        info = dataset.id.get_chunk_info_by_coord(corner)
        if info.byte_offset is not None:
            ranges.append((info.byte_offset, info.size))
    file.prefetch(ranges)
