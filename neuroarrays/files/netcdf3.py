"""Classic netCDF files (netCDF-3): arrays that lie in the file as they are, big-endian.

Only the header is read on opening. Variables along an unlimited dimension lie in pieces; they are left
out, and said so. Layout: docs.unidata.ucar.edu/netcdf-c, "File Format Specifications".
"""

from __future__ import annotations

import math
import os
import struct
from dataclasses import dataclass

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import state
from neuroarrays.files.headers import Header, header_of
from neuroarrays.files.location import FILE
from neuroarrays.files.members import MemberSource
from neuroarrays.files.placed import Member

_DTYPES = {1: "i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8"}
_DTYPES |= {7: "u1", 8: ">u2", 9: ">u4", 10: ">i8", 11: ">u8"}
#: Tags of the lists of a header.
_DIMS, _VARIABLES, _ATTRS = 10, 11, 12
#: Bytes that are read first, the most bytes of a header, and the most entries of one of its lists.
_HEADER, _MAX_HEADER, _MAX_ENTRIES = 1 << 16, 16 << 20, 100_000


@dataclass(frozen=True)
class Variable(Member):
    """An array, and the names of its dimensions; `unlimited` if it lies in pieces."""

    dims: tuple[str, ...] = ()
    unlimited: bool = False


_headers: state.Cache[dict[str, Variable]] = state.Cache(16 << 20, state.entries)


@dataclass(frozen=True)
class NetCDF3Source(MemberSource):
    """A classic netCDF file: versions 1, 2 (64-bit offsets) and 5 (64-bit data)."""

    def _scan(self) -> dict[str, Member]:
        return {name: member for name, member in self._all().items() if not member.unlimited}

    def left_out(self) -> dict[str, str]:
        return {
            name: "along an unlimited dimension" for name, v in self._all().items() if v.unlimited
        }

    def dims(self, name: str) -> tuple[str, ...]:
        """Names of the dimensions of an array, () of what is none."""
        variable = self._all().get(name.strip("/"))
        return () if variable is None else variable.dims

    def _all(self) -> dict[str, Variable]:
        known = _headers.get(self)
        if known is None:
            with self.location.open(self.stamp) as file:
                header = file.read(0, _HEADER)
                try:
                    known = _Header(self.path, header).variables()
                except FormatError:
                    if len(header) < _HEADER:
                        raise
                    known = _Header(self.path, file.read(0, _MAX_HEADER)).variables()
            _headers.put(self, known)
        return known


class _Header:
    """The bytes of a header, and where reading them is."""

    def __init__(self, path: str, header: bytes):
        self.path, self.header, self.at = path, header, 4
        version = header[3] if len(header) > 3 else 0
        if header[:3] != b"CDF" or version not in (1, 2, 5):
            raise FormatError(path, "", "a netCDF-3 file (version 1, 2 or 5)", f"version {version}")
        self.count, self.place = ("q" if version == 5 else "i"), ("i" if version == 1 else "q")

    def variables(self) -> dict[str, Variable]:
        """Every variable by its name."""
        self.number(self.count)  # of records
        dims = [(self.text(), self.number(self.count)) for _ in range(self.entries(_DIMS))]
        self.attributes()
        return dict(self.variable(dims) for _ in range(self.entries(_VARIABLES)))

    def variable(self, dims: list[tuple[str, int]]) -> tuple[str, Variable]:
        """The next variable: name, dimensions, attributes, type, size, place."""
        name = self.text()
        ids = [self.number(self.count) for _ in range(self.bounded(self.number(self.count)))]
        if any(not 0 <= i < len(dims) for i in ids):
            raise self.fault(f"{name}: dimension {ids}")
        self.attributes()
        dtype = self.dtype()
        self.number(self.count)  # its size, which is not kept where it is too large
        offset = self.number(self.place)
        shape = tuple(dims[i][1] for i in ids)
        if min(shape, default=0) < 0 or offset < 0 or math.prod(shape) >= 1 << 62:
            raise self.fault(f"{name}: shape {shape} at byte {offset}")
        unlimited = bool(shape) and shape[0] == 0 and dims[ids[0]][1] == 0
        names = tuple(dims[i][0] for i in ids)
        return name, Variable(dtype, shape, offset=offset, dims=names, unlimited=unlimited)

    def attributes(self) -> None:
        """Pass over a list of attributes."""
        for _ in range(self.entries(_ATTRS)):
            self.text()
            self.skip(self.dtype().itemsize * self.bounded(self.number(self.count), _MAX_HEADER))

    def entries(self, tag: int) -> int:
        """The length of the next list, which has a tag or is empty."""
        known, number = self.number("i"), self.bounded(self.number(self.count))
        if known != tag and (known, number) != (0, 0):
            raise self.fault(f"the tag {known} where {tag} was expected")
        return number

    def dtype(self) -> np.dtype:
        """The type of values that comes next."""
        code = self.number("i")
        if code not in _DTYPES:
            raise self.fault(f"values of type {code}")
        return np.dtype(_DTYPES[code])

    def text(self) -> str:
        """A name: its length, its bytes, filled up to four."""
        length = self.bounded(self.number(self.count), _MAX_HEADER)
        start = self.at
        self.skip(length)
        return self.header[start : start + length].decode("utf-8", "replace")

    def number(self, code: str) -> int:
        """A big-endian integer."""
        try:
            (value,) = struct.unpack_from(f">{code}", self.header, self.at)
        except struct.error:
            raise self.fault("its end within the header") from None
        self.at += struct.calcsize(f">{code}")
        return int(value)

    def skip(self, length: int) -> None:
        """Go on after so many bytes, filled up to four."""
        self.at += -(-length // 4) * 4
        if self.at > len(self.header):
            raise self.fault("its end within the header")

    def bounded(self, number: int, most: int = _MAX_ENTRIES) -> int:
        """A length that there can be."""
        if not 0 <= number <= most:
            raise self.fault(f"a list of {number} entries")
        return number

    def fault(self, found: str) -> FormatError:
        """The error about a header that says what cannot be."""
        hint = "the file is damaged or was not copied whole"
        return FormatError(self.path, "header", "a netCDF-3 header", found, hint)


def netcdf3_source(path: str | os.PathLike[str] | Header) -> NetCDF3Source:
    """Open a classic netCDF file.

    Raises
    ------
    FormatError
        If its header says what cannot be, or it is cut short.
    """
    file = header_of(path)
    file.check(FILE)
    opened = NetCDF3Source(file.location, file.stamp)
    for name, member in opened.members().items():
        if member.offset + member.nbytes > file.size:
            raise FormatError(
                file.path,
                name,
                f"{member.offset + member.nbytes:,} bytes",
                f"{file.size:,}",
                "the file is truncated; compare its size with the original",
            )
    return opened
