"""Headers of MATLAB v5 to v7 files, checked before scipy reads the values.

scipy recurses in C, where a deeply nested file would crash the interpreter, and allocates as many
cells as a header declares. This module walks through the headers without recursion, and refuses a
header that declares more than the bytes of the file can hold. The layout is that of "MAT-File Format"
by The MathWorks.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass, replace
from typing import BinaryIO

from neuroarrays.errors import FormatError

#: The deepest nesting of cells and structs.
MAX_DEPTH = 32
#: A compressed cell or struct may always grow to `ALWAYS` bytes, and to `MAX_RATIO` times its size.
ALWAYS, MAX_RATIO = 256 << 20, 100
#: Bytes of a tag, which begins every element of a file.
_TAG = 8
#: Types of elements: a variable, and a compressed variable.
_MATRIX, _COMPRESSED = 14, 15
#: Bytes at the start of a variable in which its class, shape and name stand.
_HEAD = 512
#: Classes of matrices, by number.
_CLASSES = dict(
    enumerate(
        (
            "cell",
            "struct",
            "object",
            "char",
            "sparse",
            "double",
            "single",
            "int8",
            "uint8",
            "int16",
            "uint16",
            "int32",
            "uint32",
            "int64",
            "uint64",
            "function",
            "opaque",
        ),
        1,
    )
)
_CELL, _STRUCT, _OBJECT, _SPARSE, _OPAQUE = 1, 2, 3, 5, 17
#: Bits beside the class of a matrix.
_COMPLEX, _LOGICAL = 0x800, 0x200
#: Classes of variables that are loaded: cells, structs, char and numbers.
_LOADED = (_CELL, _STRUCT, 4, *range(6, 16))
#: Class of a matrix that holds matrices (also functions, opaque) -> elements that precede these.
_LEAD = {1: 3, 2: 5, 3: 6, 16: 3, _OPAQUE: 4}
#: Types of all elements that are not matrices.
_PLAIN = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18}
#: Number of a type in a tag -> dtype of the values.
_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
#: Class of a numeric variable -> dtype in which it is loaded.
DTYPES = {
    "double": "f8",
    "single": "f4",
    "int8": "i1",
    "uint8": "u1",
    "int16": "i2",
    "uint16": "u2",
    "int32": "i4",
    "uint32": "u4",
    "int64": "i8",
    "uint64": "u8",
    "logical": "?",
}


@dataclass(frozen=True)
class Variable:
    """A variable of a v5 file, from its header.

    Attributes
    ----------
    name : str
        Its name.
    shape : tuple of int
        Its shape.
    kind : str
        Its class; "complex" for numbers that are complex, "logical" for booleans.
    complex : bool
        Whether it is complex, or has complex numbers in its cells or fields.
    packed : tuple of int
        Of compressed numbers: where the bytes begin in the file, and how many there are.
    stored : str
        Of compressed numbers: the dtype in the file.
    skip : int
        Of compressed numbers: how many unpacked bytes precede the values.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    complex: bool
    packed: tuple[int, int] = (0, 0)
    stored: str = ""
    skip: int = 0


def check_v5(file: BinaryIO, path: str, size: int) -> list[Variable]:
    """Check nesting and sizes of all variables, and return the variables that have a name.

    Cells and structs are unpacked whole, of all other variables only the header.

    Parameters
    ----------
    file : stream of bytes
        The file.
    path : str
        Its path, for errors.
    size : int
        Its size, bytes.

    Raises
    ------
    FormatError
        If the file is truncated or nested too deep, or if a cell or struct declares more elements
        than it has room for.
    """
    variables = []
    head = file.read(128)
    if len(head) < 128:
        raise FormatError(path, "", "a header of 128 bytes", f"{len(head)}: truncated")
    order = ">" if head[126:128] == b"MI" else "<"
    position = 128
    while position + 8 <= size:
        file.seek(position)
        kind, nbytes = struct.unpack(f"{order}II", file.read(8))
        if nbytes > size - position - 8:
            raise FormatError(
                path,
                f"byte {position}",
                f"{nbytes:,} bytes",
                f"{size - position - 8:,}: the file is truncated",
            )
        if kind in (_MATRIX, _COMPRESSED):
            data = file.read(nbytes if kind == _COMPRESSED else min(nbytes, _HEAD))
            first = _inflated(path, position, data, _HEAD) if kind == _COMPRESSED else data
            is_nested = _flags(first, order) & 0xFF in (_CELL, _STRUCT)
            if is_nested and kind == _COMPRESSED:
                most = max(ALWAYS, MAX_RATIO * nbytes)
                first = _inflated(path, position, data, most, whole=True)
            elif is_nested:
                first = data + file.read(nbytes - len(data))
            has_complex = _check_matrix(path, position, first, order)
            variable = _variable(first, order, has_complex)
            if kind == _COMPRESSED and variable.kind in DTYPES:
                variable = _with_position(variable, first, order, (position + 8, nbytes))
            if variable.name:  # function handles store variables without a name
                variables.append(variable)
        position += 8 + nbytes
    return variables


def _inflated(path: str, position: int, data: bytes, most: int, whole: bool = False) -> bytes:
    """Decompress a matrix, or up to `most` bytes of it, and return it without its tag."""
    try:
        engine = zlib.decompressobj()
        inflated = engine.decompress(data, most)
    except zlib.error as error:
        raise FormatError(
            path, f"byte {position}", "deflated bytes", str(error), "the file is damaged"
        ) from error
    if whole and engine.unconsumed_tail:
        raise FormatError(
            path,
            f"byte {position}",
            f"at most {most:,} bytes, unpacked, of a cell or struct",
            "more",
            "save it again with -v7.3 if it is that large",
        )
    return inflated[8:]


def _flags(view: bytes | memoryview, order: str, start: int = 0) -> int:
    """Return the flags of a matrix: its class in the lowest byte, then bits such as `_COMPLEX`."""
    if len(view) < start + 12:
        return 0
    return int(struct.unpack_from(f"{order}I", view, start + 8)[0])


def _shape(data: bytes | memoryview, order: str) -> tuple[int, ...]:
    """Return the shape of a matrix, from the element after its flags."""
    raw = bytes(_element(data, order, 16)[0])
    return struct.unpack(f"{order}{len(raw) // 4}i", raw[: len(raw) // 4 * 4])


def _variable(data: bytes, order: str, has_complex: bool) -> Variable:
    """Read the header of a variable: flags, shape and name. An opaque variable has no shape."""
    flags, offset = _flags(data, order), 16
    kind = _CLASSES.get(flags & 0xFF, "unknown")
    shape: tuple[int, ...] = ()
    try:
        if kind != "opaque":
            shape, offset = _shape(data, order), _element(data, order, offset)[1]
        name = bytes(_element(data, order, offset)[0]).decode("latin-1")
    except struct.error:
        return Variable("", (), "unknown", False)
    if kind in DTYPES:
        kind = "complex" if flags & _COMPLEX else "logical" if flags & _LOGICAL else kind
        kind = "unknown" if min(shape, default=0) < 0 else kind
    return Variable(name, shape, kind, has_complex)


def _with_position(
    variable: Variable, data: bytes, order: str, packed: tuple[int, int]
) -> Variable:
    """Add to a compressed numeric variable where its values lie, if the header shows it."""
    try:
        offset = _element(data, order, _element(data, order, 16)[1])[1]
        tag, nbytes = struct.unpack_from(f"{order}II", data, offset)
    except struct.error:
        return variable
    stored = _TYPES.get(tag)
    if stored is None or nbytes != math.prod(variable.shape) * int(stored[1]):
        return variable
    return replace(variable, packed=packed, stored=order + stored, skip=16 + offset)


def _element(data: bytes | memoryview, order: str, offset: int) -> tuple[bytes | memoryview, int]:
    """Return the bytes of an element of a variable, and where the next element begins."""
    tag, size = struct.unpack_from(f"{order}II", data, offset)
    if tag >> 16:  # a small element: its tag and bytes share 8 bytes
        return data[offset + 4 : offset + 4 + min(tag >> 16, 4)], offset + 8
    return data[offset + 8 : offset + 8 + min(size, _HEAD)], offset + 8 + size + (-size % 8)


def _elements(data: memoryview, order: str) -> int:
    """Return how many matrices a cell, struct or object declares; -1 if the header is damaged."""
    try:
        shape, offset = _shape(data, order), _element(data, order, 16)[1]
        count = math.prod(shape) if min(shape, default=0) >= 0 else -1
        kind = _flags(data, order) & 0xFF
        if kind != _CELL:
            for _ in range(_LEAD[kind] - 4):  # the name, and an object's class name
                offset = _element(data, order, offset)[1]
            raw, offset = _element(data, order, offset)
            (longest,) = struct.unpack_from(f"{order}i", raw)
            tag, size = struct.unpack_from(f"{order}II", data, offset)
            count = count * ((tag >> 16 or size) // longest) if longest > 0 else -1
    except struct.error:
        return -1
    return count


def _tags(view: memoryview, order: str, start: int, end: int) -> list[tuple[int, int, int]]:
    """Return type, first byte and last byte + 1 of each element of a matrix."""
    tags, offset = [], start
    while offset + _TAG <= end:
        tag, nbytes = struct.unpack_from(f"{order}II", view, offset)
        if tag >> 16:  # a small element: its tag and bytes share 8 bytes
            tags.append((tag & 0xFFFF, offset + _TAG, offset + _TAG))
            offset += _TAG
        else:
            tags.append((tag, offset + _TAG, offset + _TAG + nbytes))
            offset += _TAG + nbytes + (-nbytes % 8)
    return tags


def _is_sound(tags: list[tuple[int, int, int]], flags: int, count: int, end: int) -> bool:
    """Return whether a matrix has the elements that scipy expects, as scipy does not check them."""
    kind, types = flags & 0xFF, [tag for tag, _, _ in tags]
    if len(tags) < 3 or any(stop > end for _, _, stop in tags):
        return False
    if kind != _OPAQUE and (tags[1][2] - tags[1][1]) not in range(8, 129, 4):
        return False  # 2 to 32 sizes
    if kind not in _LEAD:
        least = 4 + bool(flags & _COMPLEX) + 2 * (kind == _SPARSE)
        return len(types) >= least and set(types) <= _PLAIN
    lead = _LEAD[kind]
    return set(types[:lead]) <= _PLAIN and types[lead:] == [_MATRIX] * count


def _check_matrix(path: str, position: int, data: bytes, order: str) -> bool:
    """Check the nesting and the elements of one variable; return whether any matrix is complex."""
    view = memoryview(data)
    todo, any_complex = [(0, len(view), 0)], False
    while todo:
        start, end, depth = todo.pop()
        if depth > MAX_DEPTH:
            raise FormatError(
                path,
                f"byte {position}",
                f"at most {MAX_DEPTH} levels of cells",
                "more: the file is made to exhaust the stack",
            )
        flags = _flags(view[:end], order, start)
        any_complex |= bool(flags & _COMPLEX)
        kind = flags & 0xFF
        if end == start or (depth == 0 and kind not in _LOADED):
            continue
        count = _elements(view[start:end], order) if kind in (_CELL, _STRUCT, _OBJECT) else 1
        if not 0 <= count <= (end - start) // _TAG:
            raise FormatError(
                path,
                f"byte {position}",
                f"a cell or struct of {end - start:,} bytes",
                f"one of {count:,} elements",
                "the file is damaged",
            )
        tags = _tags(view, order, start, end)
        if depth == 0 and kind not in _LEAD:  # `data` is only its beginning: its values may be cut
            tags = [
                (tag, first, min(stop, end)) if i > 2 else (tag, first, stop)
                for i, (tag, first, stop) in enumerate(tags[:4])
            ]
            flags &= ~_COMPLEX
        if not _is_sound(tags, flags, count, end):
            raise FormatError(
                path,
                f"byte {position}",
                "the elements of a matrix",
                "others",
                "the file is damaged",
            )
        todo += [(first, stop, depth + 1) for tag, first, stop in tags if tag == _MATRIX]
    return any_complex
