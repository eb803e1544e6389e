"""Lazy arrays of an archive whose stored form differs from their values."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from neuroarrays.archive.encoding import decode
from neuroarrays.archive.nodes import text_checksum
from neuroarrays.errors import FormatError
from neuroarrays.files import outer
from neuroarrays.files.outer import Key
from neuroarrays.files.source import Source
from neuroarrays.lazy.arrays import LazyArray, cached


@dataclass(frozen=True, repr=False, eq=False)
class Decoded(LazyArray):
    """An array that is small, or that is stored in another form (text, bool, float16).

    An array with a checksum is read whole, compared, and then indexed.

    Attributes
    ----------
    source, name : Source, str
        The archive, and the path of the array in it.
    shape, dtype : tuple of int, np.dtype
        Shape and dtype of the decoded values.
    kind : {"raw", "bool", "cast", "text"}
        How the values are stored, see `neuroarrays.archive.encoding`.
    missing : (str, str), optional
        The text that marks a missing value, and which value that is ("none" or "nan").
    checksum : int, optional
        CRC-32 of the stored values.
    """

    source: Source
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    kind: str
    missing: tuple[str, str] | None
    checksum: int | None

    def outer(self, key: Key) -> np.ndarray:
        if self.checksum is None:
            return decode(self.source.read(self.name, key), self.kind, self.dtype, self.missing)
        values = self.source.read(self.name, (slice(None),) * len(self.shape))
        is_text = self.kind == "text"
        checksum = text_checksum(values) if is_text else zlib.crc32(values.tobytes())
        if checksum != self.checksum:
            raise FormatError(
                self.source.path,
                self.name,
                "the values that were saved",
                "others (their checksum differs)",
                "the file is damaged",
            )
        return decode(outer.take(values, key), self.kind, self.dtype, self.missing)


@dataclass(frozen=True, repr=False, eq=False)
class Repeated(LazyArray):
    """Rows of which equal ones are stored once, such as the image of each presentation.

    Attributes
    ----------
    base : LazyArray
        The stored rows, (stored_row, ...).
    row_index : LazyArray
        The number of the stored row of each row, (row,) int64.
    source, name : Source, str
        The archive, and the path of the array in it, for errors.
    """

    base: LazyArray
    row_index: LazyArray
    source: Source
    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.row_index.shape[0], *self.base.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        return self.base.dtype

    def outer(self, key: Key) -> np.ndarray:
        return self.base.outer((self._stored(key[0]), *key[1:]))

    def into(self, key: Key, out: np.ndarray) -> None:
        self.base.into((self._stored(key[0]), *key[1:]), out)

    def _stored(self, rows: int | slice | np.ndarray) -> int | np.ndarray:
        """Return the numbers of the stored rows of some rows."""
        row_index = self.distinct()[1]
        return int(row_index[rows]) if isinstance(rows, int) else row_index[rows]

    def distinct(self) -> tuple[LazyArray, np.ndarray]:
        """Return the stored rows, and the number of the stored row of each row, (row,) int64."""
        (row_index,) = cached(self.row_index.__dask_tokenize__(), self._load_row_index)
        return self.base, row_index

    def _load_row_index(self) -> tuple[np.ndarray]:
        row_index, count = self.row_index.load(), self.base.shape[0]
        if row_index.size and not 0 <= row_index.min() <= row_index.max() < count:
            raise FormatError(
                self.source.path,
                self.name,
                f"positions among {count} stored rows",
                f"{row_index.min()} to {row_index.max()}",
                "the file is damaged",
            )
        return (row_index,)
