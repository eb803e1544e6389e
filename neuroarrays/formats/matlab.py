"""MATLAB files as named arrays: v5 to v7 through scipy, v7.3 through HDF5; nothing runs.

Structs and cells are taken apart into names: the field ``time`` of the fourth cell of ``spikes`` is
``spikes/3/time``. Axes come in MATLAB's order, for v7.3 too. Classes that hold code or need MATLAB
(function handles, objects, tables), sparse and complex arrays are listed by `left_out`, not loaded.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from neuroarrays import safety, source
from neuroarrays.errors import FormatError, MissingDependency
from neuroarrays.hdf5 import HDF5Source
from neuroarrays.members import Member, MemberSource
from neuroarrays.source import Info, Key, Source, normalise, stamp

#: Levels of cells and structs, arrays in a file, bytes of a variable that is unpacked.
MAX_DEPTH, MAX_ARRAYS, MAX_BYTES = 32, 1_000_000, 4 << 30
_MATRIX, _COMPRESSED = 14, 15
#: Bytes of a variable in which its class, shape and name stand.
_HEAD = 512
#: Classes of matrices in a v5 file, those that hold others, and bits beside the class.
_CLASSES = dict(enumerate((
    "cell", "struct", "object", "char", "sparse", "double", "single", "int8", "uint8", "int16",
    "uint16", "int32", "uint32", "int64", "uint64", "function", "opaque",
), 1))  # fmt: skip
_NESTING, _COMPLEX, _LOGICAL = (1, 2), 0x800, 0x200
_DTYPES = {
    "double": "f8", "single": "f4", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2",
    "int32": "i4", "uint32": "u4", "int64": "i8", "uint64": "u8", "logical": "?",
}  # fmt: skip
_NEVER = ("function", "object", "opaque", "sparse", "unknown", "complex")
#: Classes of a v7.3 file that are read besides numbers; "" is what other programs write.
_READ_73 = ("char", "cell", "struct", "canonical empty", "")
#: Characters of a text, and texts of an array, that are read.
_LONGEST = 4096


def is_matlab(path: str | os.PathLike[str]) -> bool:
    """Whether the file begins like a MATLAB file of version 5 to 7.3."""
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            return file.read(10) in (b"MATLAB 5.0", b"MATLAB 7.3")
    except OSError:
        return False


def matlab_source(path: str | os.PathLike[str]) -> Source:
    """The arrays of a MATLAB file.

    Raises
    ------
    FormatError
        If it is damaged, nested deeper than 32 levels, or of version 4.
    """
    path = os.path.abspath(path)
    known = stamp(safety.regular_file(path))
    if source.is_hdf5(path):
        return Matlab73Source(path, known)
    if not is_matlab(path):
        raise FormatError(path, "", "a MATLAB file of version 5 to 7.3", source.describe(path),
                          "a file of version 4: load and save it again in MATLAB")  # fmt: skip
    found = Matlab5Source(path, known)
    found.members()
    return found


# ------------------------------------------------------------------------------------ v5, v6, v7


@dataclass(frozen=True)
class Matlab5Source(MemberSource):
    """A MATLAB file before v7.3."""

    def _scan(self) -> dict[str, Member]:
        found: dict[str, Member] = {}
        for one in _variables(self):
            name = one.name
            if one.kind in _DTYPES:
                nbytes = 8 * int(np.prod(one.shape, dtype=object))
                safety.check_allocation(self.path, name, nbytes, self.stamp[1])
                found[name] = Member(np.dtype(_DTYPES[one.kind]), one.shape)
            elif one.kind not in _NEVER:
                inside = self._inside(name)
                if len(found) + len(inside) > MAX_ARRAYS:
                    raise FormatError(self.path, name, f"at most {MAX_ARRAYS:,} arrays", "more")
                self._keep(inside)
                found |= {n: Member(v.dtype, v.shape) for n, v in inside.items()}
        return found

    def left_out(self) -> dict[str, str]:
        found = {}
        for one in _variables(self):
            if one.kind in _NEVER:
                found[one.name] = one.kind
            elif one.complex:
                leaves = _leaves(one.name, self._load(one.name), 0)
                found |= {name: "complex" for name, v in leaves if v.dtype.kind == "c"}
        return found

    def _load(self, name: str) -> Any:
        # With its own dtypes scipy would drop the imaginary parts.
        real = not any(one.complex for one in _variables(self) if one.name == name)
        return self._scipy(name, variable_names=[name], mat_dtype=real)[name]

    def _inside(self, name: str) -> dict[str, np.ndarray]:
        leaves = _leaves(name, self._load(name), 0)
        return {n: v for n, v in leaves if v.dtype.kind != "c"}

    def _scipy(self, where: str, **options: Any) -> Any:
        try:
            import scipy.io
        except ImportError as error:
            raise MissingDependency("scipy", "matlab", "reading MATLAB files") from error
        try:
            with open(self.path, "rb") as file:
                return scipy.io.loadmat(file, **options)
        except (MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:  # scipy raises nearly anything on damaged files
            raise FormatError(
                self.path, where, "a readable MATLAB file", f"{type(error).__name__}: {error}"[:200],
                "the file is truncated or damaged",
            ) from error  # fmt: skip

    def _unpack(self, name: str, member: Member) -> np.ndarray:
        top = name.partition("/")[0]
        if top == name and member.dtype.kind in "biuf":
            return np.asarray(self._load(top)).astype(member.dtype)
        inside = self._inside(top)
        self._keep(inside)
        return inside[name]


def _leaves(name: str, value: Any, depth: int) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays inside a struct or cell, by name."""
    if depth > MAX_DEPTH or type(value) is not np.ndarray:  # function handles are subclasses
        return
    if value.dtype.names is not None:
        for i, element in enumerate(value.ravel(order="F")):
            place = name if value.size == 1 else f"{name}/{i}"
            for field in value.dtype.names:
                yield from _leaves(f"{place}/{field}", element[field], depth + 1)
    elif value.dtype == object:
        for i, element in enumerate(value.ravel(order="F")):
            yield from _leaves(f"{name}/{i}", element, depth + 1)
    elif value.dtype.kind in "biufcU":
        yield name, value


@dataclass(frozen=True)
class Variable:
    """A variable of a v5 file, from its header; "complex" is a kind of its own for numbers.

    `complex` says whether it is, or has complex numbers in its cells or fields.
    """

    name: str
    shape: tuple[int, ...]
    kind: str
    complex: bool


@lru_cache(maxsize=64)
def _variables(source: Matlab5Source) -> tuple[Variable, ...]:
    return tuple(check_v5(source.path, source.stamp[1]))


def check_v5(path: str, size: int) -> list[Variable]:
    """Walk the tags of a file before scipy does: depth, sizes, and what deflate makes of them.

    scipy recurses in C, where a file nested deep enough would crash the interpreter. Of variables
    that are no cells or structs the header alone is unpacked.
    """
    found = []
    with open(path, "rb") as file:
        head = file.read(128)
        if len(head) < 128:
            raise FormatError(path, "", "a header of 128 bytes", f"{len(head)}: truncated")
        order = ">" if head[126:128] == b"MI" else "<"
        place = 128
        while place + 8 <= size:
            file.seek(place)
            kind, nbytes = struct.unpack(f"{order}II", file.read(8))
            if nbytes > size - place - 8:
                raise FormatError(path, f"byte {place}", f"{nbytes:,} bytes",
                                  f"{size - place - 8:,}: the file is truncated")  # fmt: skip
            if kind in (_MATRIX, _COMPRESSED):
                data = file.read(nbytes if kind == _COMPRESSED else min(nbytes, _HEAD))
                first = _inflated(path, place, data, _HEAD) if kind == _COMPRESSED else data
                nested = _flags(first, order) & 0xFF in _NESTING
                if nested and kind == _COMPRESSED:
                    first = _inflated(path, place, data, MAX_BYTES, whole=True)
                elif nested:
                    first = data + file.read(nbytes - len(data))
                has_complex = _check_matrix(path, place, first, order)
                one = _variable(first, order, has_complex)
                found += [one] if one.name else []  # without: what functions keep for themselves
            place += 8 + nbytes
    return found


def _inflated(path: str, place: int, data: bytes, most: int, whole: bool = False) -> bytes:
    """A matrix without its own tag, or its beginning."""
    try:
        engine = zlib.decompressobj()
        found = engine.decompress(data, most)
    except zlib.error as error:
        raise FormatError(path, f"byte {place}", "deflated bytes", str(error),
                          "the file is damaged") from error  # fmt: skip
    if whole and engine.unconsumed_tail:
        raise FormatError(path, f"byte {place}", f"at most {most:,} bytes", "more")
    return found[8:]


def _flags(view: bytes | memoryview, order: str, start: int = 0) -> int:
    """Class of a matrix (the lowest byte), and what it is besides."""
    if len(view) < start + 12:
        return 0
    return int(struct.unpack_from(f"{order}I", view, start + 8)[0])


def _variable(data: bytes, order: str, has_complex: bool) -> Variable:
    """A variable from its header: flags, shape, name. An opaque one has no shape."""
    flags, at = _flags(data, order), 16
    kind = _CLASSES.get(flags & 0xFF, "unknown")
    shape: tuple[int, ...] = ()
    try:
        if kind != "opaque":
            raw, at = _element(data, order, at)
            shape = struct.unpack(f"{order}{len(raw) // 4}i", raw[: len(raw) // 4 * 4])
        name = _element(data, order, at)[0].decode("latin-1")
    except struct.error:
        return Variable("", (), "unknown", False)
    if kind in _DTYPES:
        kind = "complex" if flags & _COMPLEX else "logical" if flags & _LOGICAL else kind
        kind = "unknown" if min(shape, default=0) < 0 else kind
    return Variable(name, shape, kind, has_complex)


def _element(data: bytes, order: str, at: int) -> tuple[bytes, int]:
    """The bytes of an element of a variable, and where the next one begins."""
    tag, size = struct.unpack_from(f"{order}II", data, at)
    if tag >> 16:  # a small element: size, type and bytes in one
        return data[at + 4 : at + 4 + min(tag >> 16, 4)], at + 8
    size = min(size, _HEAD)
    return data[at + 8 : at + 8 + size], at + 8 + size + (-size % 8)


def _check_matrix(path: str, place: int, data: bytes, order: str) -> bool:
    """Depth of cells and structs in one variable, without recursion; whether any is complex."""
    view = memoryview(data)
    todo, any_complex = [(0, len(view), 0)], False
    while todo:
        start, end, depth = todo.pop()
        if depth > MAX_DEPTH:
            raise FormatError(path, f"byte {place}", f"at most {MAX_DEPTH} levels of cells",
                              "more: the file is made to exhaust the stack")  # fmt: skip
        flags = _flags(view[:end], order, start)
        any_complex |= bool(flags & _COMPLEX)
        if flags & 0xFF not in _NESTING:
            continue
        at = start
        while at + 8 <= end:
            tag, nbytes = struct.unpack_from(f"{order}II", view, at)
            if tag >> 16:  # a small element: type and size in one word
                at += 8
                continue
            if tag == _MATRIX:
                todo.append((at + 8, min(end, at + 8 + nbytes), depth + 1))
            at += 8 + nbytes + (-nbytes % 8)
    return any_complex


# ------------------------------------------------------------------------------------------ v7.3


@dataclass(frozen=True)
class Stored(Member):
    """An array of a v7.3 file, and where it lies in the HDF5 file; texts and why it is not read."""

    stored: str = ""
    text: tuple[str, ...] = ()
    left_out: str = ""


@dataclass(frozen=True)
class Matlab73Source(MemberSource):
    """A MATLAB v7.3 file: HDF5 with axes the other way round, cells as references."""

    @property
    def _file(self) -> HDF5Source:
        return HDF5Source(self.path, self.stamp)

    def _scan(self) -> dict[str, Member]:
        return {name: one for name, one in self._walk() if not one.left_out}

    def left_out(self) -> dict[str, str]:
        return {name: one.left_out for name, one in self._walk() if one.left_out}

    def _walk(self) -> Iterator[tuple[str, Stored]]:
        """Every array in the order of the file, those of classes that are not read too."""
        file = self._file
        todo = [(name, name, 0) for name in file.names("/")[::-1] if not name.startswith("#")]
        found = 0
        while todo:
            name, place, depth = todo.pop()
            found += 1
            if depth > MAX_DEPTH or found > MAX_ARRAYS:
                raise FormatError(self.path, name, f"at most {MAX_DEPTH} levels of cells", "more")
            attrs, info = file.attrs(place), file.info(place)
            kind = str(attrs.get("MATLAB_class") or "")
            if "MATLAB_sparse" in attrs or kind not in (*_DTYPES, *_READ_73):
                why = "sparse" if "MATLAB_sparse" in attrs else kind
                yield name, Stored(np.dtype("f8"), (), stored=place, left_out=why)
            elif info is None:
                todo += self._fields(name, place, depth + 1)[::-1]
            elif info.dtype == object and not info.text and not attrs.get("MATLAB_empty"):
                cells = file.read(place).ravel()  # stored the other way round: already in order
                inner = [(f"{name}/{i}", str(c), depth + 1) for i, c in enumerate(cells) if c]
                todo += inner[::-1]
            else:
                yield name, self._stored(place, kind, info, bool(attrs.get("MATLAB_empty")))

    def _fields(self, name: str, place: str, depth: int) -> list[tuple[str, str, int]]:
        """What is in a struct. In an array of structs a field holds a reference for each."""
        file, found = self._file, []
        for field in file.names(place):
            inner = f"{place}/{field}"
            info = file.info(inner)
            refs = info is not None and info.dtype == object and not info.text
            if refs and not file.attr(inner, "MATLAB_class"):
                elements = enumerate(file.read(inner).ravel())
                found += [(f"{name}/{i}/{field}", str(one), depth) for i, one in elements if one]
            else:
                found.append((f"{name}/{field}", inner, depth))
        return found

    def _stored(self, place: str, kind: str, info: Info, empty: bool) -> Stored:
        if empty:  # the values are the shape
            sizes = self._file.read(place).ravel()[:32] if info.dtype.kind in "iu" else ()
            shape = tuple(int(n) for n in sizes) if 0 in sizes else (0, 0)
            dtype = np.dtype("U1" if kind == "char" else _DTYPES.get(kind, "f8"))
            return Stored(dtype, (1,) if kind == "char" else shape, stored=place,
                          text=("",) if kind == "char" else ())  # fmt: skip
        if info.text or kind == "char":
            text = self._text(place, info)
            return Stored(np.dtype(f"U{max(map(len, text), default=1) or 1}"), (len(text),),
                          stored=place, text=text)  # fmt: skip
        if info.dtype.kind not in "biuf":
            why = "complex" if info.dtype.names == ("real", "imag") else str(info.dtype)
            return Stored(np.dtype("f8"), (), stored=place, left_out=why)
        dtype = np.dtype(bool) if kind == "logical" else info.dtype
        return Stored(dtype, info.shape[::-1], stored=place)

    def _text(self, place: str, info: Info) -> tuple[str, ...]:
        """Rows of characters as texts; the beginning of long ones."""
        if info.text:
            return tuple(str(t) for t in self._file.read(place).ravel()[:_LONGEST])
        if info.dtype.kind not in "iu" or len(info.shape) != 2:
            return ("",)
        length, rows = (min(n, _LONGEST) for n in info.shape)
        codes = self._file.read(place, (slice(length), slice(rows))).T
        return tuple("".join(chr(c) for c in row if 0 < c < 0x110000).rstrip() for row in codes)

    def read(self, name: str, key: Key = ()) -> np.ndarray:
        member = self.members().get(name.strip("/"))
        if not isinstance(member, Stored):
            raise FormatError(self.path, name, "an array", "nothing of that name")
        key = normalise(key, member.shape)
        if member.dtype.kind == "U":
            return np.array(member.text, object)[key]
        if not np.prod(member.shape, dtype=object):
            return np.empty(member.shape, member.dtype)[np.ix_(*(np.arange(n)[k] for n, k in zip(
                member.shape, key, strict=True)))]  # fmt: skip
        found = self._file.read(member.stored, key[::-1]).T
        return found.astype(member.dtype.newbyteorder("="), copy=False)
