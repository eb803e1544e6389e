"""Read and write npy files (numpy.lib.format); nothing in a header is ever run.

`numpy.load` is not used, because it opens, checks and copies, and accepts headers of any length. A
batch of trials with a file for each needs one open and one positioned read for each file, directly
into the memory of the batch.
"""

from __future__ import annotations

import ast
import math
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files.store import LARGEST, Store

MAGIC = b"\x93NUMPY"
#: Bytes that hold the header of nearly every file, and the longest header that is accepted.
HEAD, LONGEST = 128, 1 << 16
#: Kinds of dtypes that are read: numbers, bool and text.
_KINDS = "biufUS"
#: The most dimensions of an array.
_MAX_NDIM = 32


@dataclass(frozen=True)
class NpyHeader:
    """The header of an npy file.

    Attributes
    ----------
    raw : bytes
        The bytes of the header; the values follow it.
    dtype : np.dtype
        Type of the values, in the byte order of the file.
    shape : tuple of int
        Shape of the array.
    fortran : bool
        Whether the first axis varies fastest.
    """

    raw: bytes
    dtype: np.dtype
    shape: tuple[int, ...]
    fortran: bool

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def plain(self) -> bool:
        """Whether the values are numbers, bool, text or durations."""
        return (self.dtype.kind in _KINDS and self.dtype.itemsize > 0) or is_duration(self.dtype)

    def same_values(self, other: NpyHeader) -> bool:
        """Whether the values have the shape, dtype and order of another file."""
        return (self.dtype, self.shape, self.fortran) == (other.dtype, other.shape, other.fortran)

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}" + (" in Fortran order" if self.fortran else "")


def length(head: bytes, path: str, where: str = "") -> int:
    """Size of the header in bytes, from its first twelve bytes.

    Raises
    ------
    FormatError
        If they are not those of an npy file, its version is unknown, or the file is truncated.
    """
    if len(head) < 12 or head[:6] != MAGIC or head[6] not in (1, 2, 3):
        problem = "an empty file" if not head else f"{head[:8]!r}"
        raise FormatError(path, where, "an npy file", problem, "it is truncated or of another kind")
    if head[6] == 1:
        return 10 + int(struct.unpack("<H", head[8:10])[0])
    size = 12 + int(struct.unpack("<I", head[8:12])[0])
    if size > LONGEST:
        raise FormatError(path, where, f"a header of at most {LONGEST} bytes", f"one of {size}")
    return size


def is_duration(dtype: np.dtype) -> bool:
    """Whether values are durations (timedelta64) with a unit."""
    return dtype.kind == "m" and np.datetime_data(dtype)[0] not in ("generic", "Y", "M")


def parse(raw: bytes, path: str, where: str = "") -> NpyHeader:
    """Parse the header of an array that can be read.

    Raises
    ------
    FormatError
        If it is damaged, or the values are not numbers, bool, text or durations. Python objects are
        refused, because reading them would run the code that their pickle names.
    """
    header = declared(raw, path, where)
    if not header.plain:
        raise FormatError(
            path,
            where,
            "numbers, bool or text",
            "Python objects, which would have to be unpickled"
            if header.dtype.hasobject
            else f"values of dtype {header.dtype}",
            "objects are never unpickled; write the array again with a plain dtype"
            if header.dtype.hasobject
            else "write the array again with a plain dtype",
        )
    return header


def declared(raw: bytes, path: str, where: str = "") -> NpyHeader:
    """Parse the header of an array of any type, which may be one that cannot be read.

    Raises
    ------
    FormatError
        If it is damaged, or the array could not fit into any memory.
    """
    size = length(raw, path, where)
    if len(raw) < size:
        raise FormatError(path, where, f"a header of {size} bytes", f"{len(raw)} bytes: truncated")
    start = 10 if raw[6] == 1 else 12
    try:
        fields = ast.literal_eval(raw[start:size].decode("utf-8" if raw[6] == 3 else "latin-1"))
        dtype, fortran, shape = np.dtype(fields["descr"]), fields["fortran_order"], fields["shape"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise FormatError(path, where, "the header of an npy file", problem) from error
    is_shape = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not is_shape or not isinstance(fortran, bool):
        raise FormatError(path, where, "a shape and an order", f"{shape!r:.80} and {fortran!r:.80}")
    # A length of 0 counts as 1, so that the other lengths of an empty array are checked, too.
    nbytes = math.prod(max(n, 1) for n in shape) * dtype.itemsize
    if len(shape) > _MAX_NDIM or nbytes >= 1 << 63:
        raise FormatError(
            path,
            where,
            f"at most {_MAX_NDIM} axes, and sizes that fit into memory",
            f"{len(shape)} axes, {shape!r:.80}",
        )
    return NpyHeader(raw[:size], dtype, shape, fortran and len(shape) > 1)


def header(
    fetch: Callable[[int, int], bytes], path: str, where: str = "", any_kind: bool = False
) -> NpyHeader:
    """Read the header of an npy file, which may be a member of a zip or a stream.

    Parameters
    ----------
    fetch : callable
        ``fetch(start, size)`` returns bytes from a position on, fewer if the file ends before.
    path, where : str
        The file, and the position in it, for messages.
    any_kind : bool, default False
        Whether arrays of types that are never read, such as objects, are accepted.
    """
    raw = fetch(0, HEAD)
    size = length(raw, path, where)
    if size > len(raw):
        raw = fetch(0, size)
    return (declared if any_kind else parse)(raw, path, where)


def header_in(files: Store, name: str) -> NpyHeader:
    """The header of an npy file in a store."""
    return header(lambda start, size: files.read(name, start, size), files.path_of(name))


def values_in(files: Store, name: str) -> np.ndarray:
    """Read all values of a small npy file in a store, such as labels of trials or units.

    Raises
    ------
    FormatError
        If it is damaged, larger than `store.LARGEST`, or has objects.
    """
    path, head = files.path_of(name), header_in(files, name)
    if head.nbytes > LARGEST:
        raise FormatError(path, "", f"at most {LARGEST:,} bytes", f"{head.nbytes:,}")
    body = files.read(name, len(head.raw), head.nbytes)
    return values(head.raw + body, path)


def values(data: bytes, path: str, where: str = "") -> np.ndarray:
    """Parse a whole npy file that is in memory; returns a writable array in native byte order.

    Raises
    ------
    FormatError
        If it is damaged, truncated, or has objects.
    """
    header = parse(data, path, where)
    body = memoryview(data)[len(header.raw) :]
    if len(body) < header.nbytes:
        raise FormatError(
            path, where, f"{header.nbytes:,} bytes of values", f"{len(body):,}: truncated"
        )
    flat = np.frombuffer(body[: header.nbytes], header.dtype)
    array = flat.reshape(header.shape, order="F" if header.fortran else "C")
    return array.astype(header.dtype.newbyteorder("="))


def write(
    path: Path,
    shape: tuple[int, ...],
    dtype: np.dtype,
    blocks: Iterable[tuple[tuple[slice, ...], np.ndarray]],
) -> None:
    """Write a new npy file, in C order, from blocks of the array.

    Parameters
    ----------
    path : Path
        The file, which must not exist.
    shape, dtype : tuple of int, np.dtype
        Shape and type of the array.
    blocks : iterable of (slices, values)
        The blocks in any order: their positions, a slice for each axis, and their values. Together
        they cover the array.
    """
    steps = [math.prod(shape[axis + 1 :]) * dtype.itemsize for axis in range(len(shape))]
    with open(path, "xb") as file:
        fields = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, fields)
        begin = file.tell()
        file.truncate(begin + math.prod(shape) * dtype.itemsize)
        for key, values in blocks:
            spans = [k.indices(n)[:2] for k, n in zip(key, shape, strict=True)]
            is_whole = [span == (0, n) for span, n in zip(spans, shape, strict=True)]
            # The values along the last axis that is cut and all axes after it are contiguous.
            cut = max((axis for axis, whole in enumerate(is_whole) if not whole), default=0)
            values = np.ascontiguousarray(values, dtype)
            for corner in np.ndindex(*values.shape[:cut]):
                first = [low for low, _ in spans[: cut + 1]]
                index = [low + i for low, i in zip(first, (*corner, 0), strict=False)]
                file.seek(begin + sum(i * step for i, step in zip(index, steps, strict=False)))
                file.write(values[corner].data)
