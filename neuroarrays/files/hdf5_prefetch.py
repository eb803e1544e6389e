"""What HDF5 will read of a file where each read waits: said beforehand, so that it comes at once."""

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

#: Chunks that are asked for at once.
_MOST = 4096


def rows(file: PositionedFile, dataset: h5py.Dataset, stretches: Sequence[tuple[int, int]]) -> None:
    """Fetch the bytes of stretches of rows (first, end) of a dataset that is not packed, side by side.

    To be called under the lock of HDF5.
    """
    if not dataset.shape or not dataset.size or dataset.file.userblock_size:
        return
    row = dataset.nbytes // dataset.shape[0]
    if dataset.chunks is None:
        start = dataset.id.get_offset()
        if start is not None:
            file.prefetch([(start + low * row, (high - low) * row) for low, high in stretches])
        return
    packed = dataset.id.get_create_plist().get_nfilters() > 0
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
            at = (0, info.size) if packed else (begin * row, (end - begin) * row)
            ranges.append((info.byte_offset + at[0], at[1]))
            if len(ranges) > _MOST:
                return
    file.prefetch(ranges)


def values(file: PositionedFile, dataset: h5py.Dataset, key: Key) -> None:
    """Fetch the bytes of the values that a normalised outer key picks of a dataset.

    To be called under the lock of HDF5.
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
    for place in product(*axes):
        corner = tuple(i * c for i, c in zip(place, dataset.chunks, strict=True))
        info = dataset.id.get_chunk_info_by_coord(corner)
        if info.byte_offset is not None:
            ranges.append((info.byte_offset, info.size))
    file.prefetch(ranges)
