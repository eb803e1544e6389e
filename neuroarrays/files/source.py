"""Sources: one interface to the arrays of a file, whatever its format and wherever it is.

A `Source` is a location with a stamp (size, inode, modification time). It pickles in a few bytes,
opens its file once per process, and may be used from several threads and after a fork. Readers of
formats never see a handle of h5py or zarr, and need not know whether the file is local.
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
    """Shape, dtype and chunk shape of an array; for text, the dtype is object and `text` is True."""

    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...] | None
    text: bool = False


def in_order(names: Iterable[str]) -> list[str]:
    """Sort names, with the numbers in them as numbers: "part2" comes before "part10".

    HDF5 and Zarr list names in the order of text, or in no order.
    """

    def key(name: str) -> tuple[list[Any], str]:
        parts: list[Any] = re.split(r"([0-9]+)", name)  # a text, a number, a text, ...
        parts[1::2] = [(len(number), number) for number in (p.lstrip("0") for p in parts[1::2])]
        return parts, name

    return sorted(names, key=key)


@dataclass(frozen=True)
class Source(ABC):
    """A file or folder of arrays. It can be hashed and pickled; equal sources have equal content."""

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
        """Shape and dtype of an array.

        Raises
        ------
        FormatError
            If there is no such array.
        """
        info = self.info(name)
        if info is None:
            raise FormatError(self.path, name, "an array", "a group or nothing")
        return info

    @abstractmethod
    def attrs(self, name: str = "/") -> dict[str, Any]:
        """Attributes as plain Python values, references as the path they point to."""

    def attr(self, name: str, key: str) -> Any:
        """One attribute; None if there is none of that name."""
        return self.attrs(name).get(key)

    @abstractmethod
    def read(self, name: str, key: Key = ()) -> np.ndarray:
        """Values of an array under an outer index (each axis by itself), text as str objects."""

    def value(self, name: str) -> Any:
        """Values of an array of Python objects, or of an array in each cell, as plain values."""
        return self.read(name)

    def prefetch(self, name: str, stretches: Sequence[tuple[int, int]]) -> None:
        """Fetch stretches of rows (first, end) that are read next; does nothing for local files."""
        return

    def read_into(self, name: str, key: Key, out: np.ndarray) -> None:
        """Read values into an array, which has the shape of the result; they are cast to its dtype."""
        out[...] = self.read(name, key)

    def unwritten(self, name: str) -> str:
        """What of an array the file has no values for, such as "1 of 4 chunks"; "" if that is not known.

        Such values are read as the fill value, mostly 0.
        """
        return ""

    def identity(self, name: str) -> object:
        """An object that is equal for two names of the same array or group; None if there is none."""
        return name

    def link(self, name: str) -> str | None:
        """The target of a link, as text; None for an array, a group or nothing."""
        return None

    def check_rows(self, name: str, count: int) -> None:
        """Refuse more rows than may be read on opening, at 8 bytes each."""
        safety.check_whole(self.path, name, 8 * count, self.stamp[1])

    def check_scan(self, name: str, nbytes: int) -> None:
        """Refuse to read an array that is larger than the file can hold, also in pieces."""
        safety.check_allocation(self.path, name, nbytes, self.stamp[1])

    def exists(self, name: str) -> bool:
        """Whether there is a group or array of that name."""
        return self.info(name) is not None or bool(self.names(name))


def check_unchanged(location: Location, known: Stamp) -> None:
    """Refuse a file that has changed since its stamp was `known`.

    During an `openings.opening` each file is compared only once.

    Raises
    ------
    FormatError
        If its stamp has changed.
    """
    under_way = openings.current()
    if under_way is None or (location, known) not in under_way.compared:
        location.check_unchanged(known)
        openings.trust(location, known)


def decoded(raw: bytes) -> str:
    """Decode bytes of a file as text: UTF-8, else Latin-1, which MATLAB and older programs write.

    Latin-1 has a letter for each byte, so that two different labels never become one.
    """
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        is_cut = error.reason == "unexpected end of data" and not raw[: error.start].isascii()
        if is_cut:  # UTF-8 that ends within its last letter, as a fixed length of bytes does
            return raw.decode("utf-8", "replace")
        return raw.decode("latin-1")


def plain(value: Any) -> Any:
    """Convert the value of an attribute to a str, int, float or bool, or a list of these."""
    if isinstance(value, bytes | np.bytes_):
        return decoded(value)
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.tolist()] if value.ndim else plain(value[()])
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def text_array(raw: np.ndarray) -> np.ndarray:
    """Convert bytes, numpy strings or mixed objects to an object array of str."""
    raw = np.asarray(raw)
    out = np.empty(raw.shape, object)
    for index, value in np.ndenumerate(raw):
        out[index] = decoded(value) if isinstance(value, bytes) else str(value)
    return out
