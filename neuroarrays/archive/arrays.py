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
    """A small array, or one that is stored in another form (text, bool, float16).

    If it has a checksum, it is read whole and checked.
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
        text = self.kind == "text"
        checksum = text_checksum(values) if text else zlib.crc32(values.tobytes())
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
    """Rows that are stored once if they are equal: images by presentation.

    `places` (row,) is the number of the stored row of each row.
    """

    base: LazyArray
    places: LazyArray
    source: Source
    name: str

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.places.shape[0], *self.base.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        return self.base.dtype

    def outer(self, key: Key) -> np.ndarray:
        return self.base.outer((self._stored(key[0]), *key[1:]))

    def into(self, key: Key, out: np.ndarray) -> None:
        self.base.into((self._stored(key[0]), *key[1:]), out)

    def _stored(self, rows: int | slice | np.ndarray) -> int | np.ndarray:
        places = self.distinct()[1]
        return int(places[rows]) if isinstance(rows, int) else places[rows]

    def distinct(self) -> tuple[LazyArray, np.ndarray]:
        """The rows that are stored, and (row,) which of them each row is."""
        (places,) = cached(self.places.__dask_tokenize__(), self._places)
        return self.base, places

    def _places(self) -> tuple[np.ndarray]:
        places, count = self.places.load(), self.base.shape[0]
        if places.size and not 0 <= places.min() <= places.max() < count:
            raise FormatError(
                self.source.path,
                self.name,
                f"positions among {count} stored rows",
                f"{places.min()} to {places.max()}",
                "the file is damaged",
            )
        return (places,)
