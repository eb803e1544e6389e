"""Convert arrays of a tree to what pynwb writes: small ones whole, large ones in pieces, compressed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from hdmf.backends.hdf5.h5_utils import H5DataIO
from hdmf.data_utils import GenericDataChunkIterator

from neuroarrays.files.source import decoded
from neuroarrays.tree.query import missing

#: Bytes of a chunk of a dataset.
_CHUNK = 1 << 20
#: The most bytes that are read at once.
_READ = 1 << 25
#: Arrays of more bytes than this are written in pieces.
_WHOLE = 1 << 22
#: Kinds of dtypes that are text: objects, str, bytes, numpy's StringDType.
TEXT = "OUST"


class Pieces(GenericDataChunkIterator):  # type: ignore[misc]
    """Arrays one after another along their first dimension, of which some rows are read at a time.

    Parameters
    ----------
    parts : sequence of (row, ...) variables
        At least one; they differ only in the number of rows.
    dtype : numpy type, optional
        The type to convert them to (default: one that holds all of them).
    """

    def __init__(self, parts: Sequence[xr.Variable], dtype: Any = None):
        self._parts = list(parts)
        self._ends = np.cumsum([part.shape[0] for part in parts])
        self._type = np.dtype(dtype or np.result_type(*(part.dtype for part in parts)))
        rest = parts[0].shape[1:]
        row = max(int(np.prod(rest, dtype=object)) * self._type.itemsize, 1)
        rows = int(self._ends[-1])
        chunk = min(max(_CHUNK // row, 1), rows)
        buffer = min(max(_READ // (row * chunk), 1) * chunk, rows)
        super().__init__(buffer_shape=(buffer, *rest), chunk_shape=(chunk, *rest))

    def _get_data(self, selection: tuple[slice, ...]) -> np.ndarray:
        rows, *rest = selection
        pieces, start = [], 0
        for part, end in zip(self._parts, self._ends.tolist(), strict=True):
            low, high = max(rows.start, start), min(rows.stop, end)
            if low < high:
                # A copy, because a variable of the tree keeps the values that were read.
                piece = part.copy(deep=False)[(slice(low - start, high - start), *rest)]
                pieces.append(np.asarray(piece.values, self._type))
            start = end
        return np.concatenate(pieces)

    def _get_maxshape(self) -> tuple[int, ...]:
        return int(self._ends[-1]), *self._parts[0].shape[1:]

    def _get_dtype(self) -> np.dtype:
        return self._type


def stored(*parts: xr.Variable, dtype: Any = None) -> Any:
    """Join arrays along their first dimension, (row, ...), to data that pynwb writes.

    Parameters
    ----------
    *parts : (row, ...) variables
        They differ only in the number of rows.
    dtype : numpy type, optional
        The type to convert them to; times are converted to float64.
    """
    if any(part.dtype.kind in TEXT for part in parts):
        texts = [text for part in parts for text in _texts(part.values.ravel())]
        shape = (sum(part.shape[0] for part in parts), *parts[0].shape[1:])
        if not texts:
            return np.zeros(shape, "U1")
        column = np.empty(len(texts), object)
        column[:] = texts
        return column.reshape(shape)
    if sum(part.nbytes for part in parts) > _WHOLE:
        return H5DataIO(Pieces(parts, dtype), compression="gzip", compression_opts=1, shuffle=True)
    return np.concatenate([np.asarray(part.copy(deep=False).values, dtype) for part in parts])


def _texts(values: np.ndarray) -> list[str]:
    """Values (n,) as text; "" where one is missing (None or NaN), for which NWB has no other sign."""
    return [
        "" if gap else decoded(value) if isinstance(value, bytes) else str(value)
        for value, gap in zip(values.tolist(), missing(values), strict=True)
    ]
