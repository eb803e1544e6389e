"""What HDF5 will read of a file where each read waits: said beforehand, so that it comes at once."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

from neuroarrays.files import outer

if TYPE_CHECKING:
    import h5py

    from neuroarrays.files.outer import Key
    from neuroarrays.files.positioned import PositionedFile

#: Chunks that are asked for at once.
_MOST = 4096


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
