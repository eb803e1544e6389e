"""Read classic netCDF files (netCDF-3), whose arrays are stored unpacked in big-endian order.

Only the header is read on opening. Variables along an unlimited dimension are stored in pieces. They
are not read, and `left_out` lists them. The layout is described in the netCDF-C documentation, "File
Format Specifications" (docs.unidata.ucar.edu/netcdf-c).
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
from neuroarrays.files.source import decoded

#: Code of a type in the header -> its dtype; those from 7 on are of version 5.
_DTYPES = {1: "i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8"}
_DTYPES |= {7: "u1", 8: ">u2", 9: ">u4", 10: ">i8", 11: ">u8"}
#: Tags of the lists of a header.
_DIMS, _VARIABLES, _ATTRS = 10, 11, 12
#: Bytes that are read first, the most bytes of a header, and the most entries of one of its lists.
_HEADER, _MAX_HEADER, _MAX_ENTRIES = 1 << 16, 16 << 20, 100_000


@dataclass(frozen=True)
class Variable(Member):
    """An array with the names of its dimensions; `unlimited` if it is stored in pieces."""

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
        """Names of the dimensions of an array; () if there is no such array."""
        variable = self._all().get(name.strip("/"))
        return () if variable is None else variable.dims

    def _all(self) -> dict[str, Variable]:
        """Every variable of the header, which is read once per process."""
        variables = _headers.get(self)
        if variables is None:
            with self.location.open(self.stamp) as file:
                header = file.read(0, _HEADER)
                try:
                    variables = _Header(self.path, header).variables()
                except FormatError:
                    if len(header) < _HEADER:
                        raise
                    variables = _Header(self.path, file.read(0, _MAX_HEADER)).variables()
            _headers.put(self, variables)
        return variables


class _Header:
    """The bytes of a header and the position from which it is read.

    Parameters
    ----------
    path : str
        Path of the file, for errors.
    header : bytes
        The first bytes of the file.
    """

    def __init__(self, path: str, header: bytes):
        self.path, self.header, self.position = path, header, 4
        version = header[3] if len(header) > 3 else 0
        if header[:3] != b"CDF" or version not in (1, 2, 5):
            raise FormatError(path, "", "a netCDF-3 file (version 1, 2 or 5)", f"version {version}")
        # Layouts of counts and of offsets, as for `struct`.
        self.count_layout = "q" if version == 5 else "i"
        self.offset_layout = "i" if version == 1 else "q"

    def variables(self) -> dict[str, Variable]:
        """Every variable by its name."""
        self.count()  # the number of records
        dims = [(self.text(), self.count()) for _ in range(self.entries(_DIMS))]
        self.attributes()
        return dict(self.variable(dims) for _ in range(self.entries(_VARIABLES)))

    def variable(self, dims: list[tuple[str, int]]) -> tuple[str, Variable]:
        """The name of the next variable, and where its values are."""
        name = self.text()
        ids = [self.count() for _ in range(self.bounded(self.count()))]
        if any(not 0 <= i < len(dims) for i in ids):
            raise self.fault(f"{name}: dimension {ids}")
        self.attributes()
        dtype = self.dtype()
        self.count()  # The size is not needed. It is wrong where it does not fit into 32 bits.
        offset = self.number(self.offset_layout)
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
            self.skip(self.dtype().itemsize * self.bounded(self.count(), _MAX_HEADER))

    def entries(self, tag: int) -> int:
        """The length of the next list; an error if it has another tag and is not empty."""
        stored_tag, length = self.number("i"), self.bounded(self.count())
        if stored_tag != tag and (stored_tag, length) != (0, 0):
            raise self.fault(f"the tag {stored_tag} where {tag} was expected")
        return length

    def dtype(self) -> np.dtype:
        """Read a type of values."""
        code = self.number("i")
        if code not in _DTYPES:
            raise self.fault(f"values of type {code}")
        return np.dtype(_DTYPES[code])

    def text(self) -> str:
        """Read a name: its length, and its bytes, which are padded to a multiple of four."""
        length = self.bounded(self.count(), _MAX_HEADER)
        start = self.position
        self.skip(length)
        return decoded(self.header[start : start + length])

    def count(self) -> int:
        """Read a count, which has 64 bits in version 5 and 32 bits in others."""
        return self.number(self.count_layout)

    def number(self, layout: str) -> int:
        """Read a big-endian integer, whose size is given as for `struct`."""
        try:
            (value,) = struct.unpack_from(f">{layout}", self.header, self.position)
        except struct.error:
            raise self.fault("its end within the header") from None
        self.position += struct.calcsize(f">{layout}")
        return int(value)

    def skip(self, length: int) -> None:
        """Move past some bytes, which are padded to a multiple of four."""
        self.position += -(-length // 4) * 4
        if self.position > len(self.header):
            raise self.fault("its end within the header")

    def bounded(self, length: int, most: int = _MAX_ENTRIES) -> int:
        """Return a length; an error if it is negative or too large."""
        if not 0 <= length <= most:
            raise self.fault(f"a list of {length} entries")
        return length

    def fault(self, found: str) -> FormatError:
        """The error for a damaged header."""
        hint = "the file is damaged or was not copied whole"
        return FormatError(self.path, "header", "a netCDF-3 header", found, hint)


def netcdf3_source(path: str | os.PathLike[str] | Header) -> NetCDF3Source:
    """Open a classic netCDF file.

    Raises
    ------
    FormatError
        If the header is damaged, or the file is truncated.
    """
    file = header_of(path)
    file.check(FILE)
    source = NetCDF3Source(file.location, file.stamp)
    for name, member in source.members().items():
        if member.offset + member.nbytes > file.size:
            raise FormatError(
                file.path,
                name,
                f"{member.offset + member.nbytes:,} bytes",
                f"{file.size:,}",
                "the file is truncated; compare its size with the original",
            )
    return source
