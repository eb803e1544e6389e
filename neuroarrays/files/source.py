"""Files behind one interface: names, attributes, shapes, and reads by numpy index.

A `Source` is a location with a stamp (size, inode, modification time): it pickles in a few bytes,
opens its file once per process, and may be used from several threads and after a fork. Readers
never see a handle of h5py or zarr, nor whether the file is on this machine.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import openings, safety
from neuroarrays.files.location import Location, Stamp
from neuroarrays.files.outer import Key

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Info:
    """Shape, dtype and chunk shape of one array; text has dtype object and `text` True."""

    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...] | None
    text: bool = False


def in_order(names: Iterable[str]) -> list[str]:
    """Names sorted with their numbers as numbers, "part2" before "part10".

    For files that say no order themselves: HDF5 and Zarr list their names as text, or in none.
    """

    def key(name: str) -> tuple[list[Any], str]:
        parts: list[Any] = re.split(r"([0-9]+)", name)  # a text, a number, a text, ...
        parts[1::2] = [(len(number), number) for number in (p.lstrip("0") for p in parts[1::2])]
        return parts, name

    return sorted(names, key=key)


@dataclass(frozen=True)
class Source(ABC):
    """One file or folder of arrays. Hashable, picklable, equal when it is the same content."""

    location: Location
    stamp: Stamp

    @property
    def path(self) -> str:
        """The full path or URL, for messages."""
        return self.location.path

    @abstractmethod
    def names(self, group: str = "/") -> list[str]:
        """Names of the children of a group, `in_order`; [] if it is absent or an array."""

    @abstractmethod
    def info(self, name: str) -> Info | None:
        """Shape and dtype of an array; None for a group or nothing."""

    def known(self, name: str) -> Info:
        """Shape and dtype of an array that is there.

        Raises
        ------
        FormatError
            If it is not.
        """
        info = self.info(name)
        if info is None:
            raise FormatError(self.path, name, "an array", "a group or nothing")
        return info

    @abstractmethod
    def attrs(self, name: str = "/") -> dict[str, Any]:
        """Attributes as plain Python values, references as the path they point to."""

    def attr(self, name: str, key: str) -> Any:
        """One attribute, None if it is not there."""
        return self.attrs(name).get(key)

    @abstractmethod
    def read(self, name: str, key: Key = ()) -> np.ndarray:
        """Values of an array under an outer index (each axis by itself), text as str objects."""

    def ahead(self, name: str, stretches: Sequence[tuple[int, int]]) -> None:
        """Say which stretches of rows (first, end) are read next, for files where each read waits."""
        return

    def read_into(self, name: str, key: Key, out: np.ndarray) -> None:
        """Write values into an array of the shape that the key gives, cast to its dtype."""
        out[...] = self.read(name, key)

    def identity(self, name: str) -> object:
        """Equal for two names of the same stored array or group; None for nothing."""
        return name

    def link(self, name: str) -> str | None:
        """Where a link leads, as text; None for an array, a group or nothing."""
        return None

    def check_rows(self, name: str, count: int) -> None:
        """Refuse to number more rows than may be read on opening (8 bytes each)."""
        safety.check_whole(self.path, name, 8 * count, self.stamp[1])

    def check_scan(self, name: str, nbytes: int) -> None:
        """Refuse to read all of what the file cannot hold, also piece by piece."""
        safety.check_allocation(self.path, name, nbytes, self.stamp[1])

    def exists(self, name: str) -> bool:
        """Whether a group or array of that name is there."""
        return self.info(name) is not None or bool(self.names(name))


def check_unchanged(location: Location, known: Stamp) -> None:
    """Refuse a file that has changed since its stamp was `known`.

    In an `openings.opening` it is looked at the first time only.

    Raises
    ------
    FormatError
        If its stamp is another now.
    """
    under_way = openings.current()
    if under_way is None or (location, known) not in under_way.compared:
        location.check_unchanged(known)
        openings.trust(location, known)


def plain(value: Any) -> Any:
    """A plain Python value (str, int, float, bool, list of these) of an attribute."""
    if isinstance(value, bytes | np.bytes_):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.tolist()] if value.ndim else plain(value[()])
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def text_array(raw: np.ndarray) -> np.ndarray:
    """An object array of str from bytes, numpy strings or mixed objects."""
    raw = np.asarray(raw)
    out = np.empty(raw.shape, object)
    for index, value in np.ndenumerate(raw):
        out[index] = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return out
