"""MATLAB files as named arrays: v5 to v7 through scipy, v7.3 through HDF5; nothing runs.

Structs and cells are taken apart into names: the field ``time`` of the fourth cell of ``spikes`` is
``spikes/3/time``. Axes come in MATLAB's order, for v7.3 too. Classes that hold code (function
handles, objects) are listed by `left_out` and never loaded.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays import safety, source
from neuroarrays.errors import FormatError, MissingDependency
from neuroarrays.hdf5 import HDF5Source
from neuroarrays.members import Member, MemberSource
from neuroarrays.source import Key, Source, normalise, stamp

#: Levels of cells and structs, arrays in a file, bytes of a variable that is unpacked.
MAX_DEPTH, MAX_ARRAYS, MAX_BYTES = 32, 1_000_000, 4 << 30
_MATRIX, _COMPRESSED = 14, 15
#: Classes of arrays in a v5 file.
_CLASSES = {
    1: "cell",
    2: "struct",
    3: "object",
    4: "char",
    5: "sparse",
    16: "function",
    17: "opaque",
}
_NESTING = (1, 2)
_DTYPES = {
    "double": "f8", "single": "f4", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2",
    "int32": "i4", "uint32": "u4", "int64": "i8", "uint64": "u8", "logical": "?",
}  # fmt: skip
_NEVER = ("function", "object", "opaque", "sparse", "unknown")


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
        check_v5(self.path, self.stamp[1])
        found: dict[str, Member] = {}
        for name, shape, kind in self._variables():
            if kind in _DTYPES:
                safety.check_allocation(
                    self.path, name, 8 * int(np.prod(shape, dtype=object)), self.stamp[1]
                )
                found[name] = Member(np.dtype(_DTYPES[kind]), tuple(shape))
            elif kind not in _NEVER:
                inside = dict(_leaves(name, self._load(name), 0))
                if len(found) + len(inside) > MAX_ARRAYS:
                    raise FormatError(self.path, name, f"at most {MAX_ARRAYS:,} arrays", "more")
                self._keep(inside)
                found |= {n: Member(v.dtype, v.shape) for n, v in inside.items()}
        return found

    def left_out(self) -> dict[str, str]:
        """Variables of classes that are never loaded: name -> class."""
        return {name: kind for name, _, kind in self._variables() if kind in _NEVER}

    def _variables(self) -> list[tuple[str, tuple[int, ...], str]]:
        found: list[tuple[str, tuple[int, ...], str]] = self._scipy("whosmat", "")
        return found

    def _load(self, name: str) -> Any:
        return self._scipy("loadmat", name, variable_names=[name], mat_dtype=True)[name]

    def _scipy(self, function: str, where: str, **options: Any) -> Any:
        try:
            import scipy.io
        except ImportError as error:
            raise MissingDependency("scipy", "matlab", "reading MATLAB files") from error
        try:
            with open(self.path, "rb") as file:
                return getattr(scipy.io, function)(file, **options)
        except (MemoryError, KeyboardInterrupt):
            raise
        except Exception as error:  # scipy raises nearly anything on damaged files
            raise FormatError(
                self.path, where, "a readable MATLAB file", f"{type(error).__name__}: {error}"[:200],
                "the file is truncated or damaged",
            ) from error  # fmt: skip

    def _unpack(self, name: str, member: Member) -> np.ndarray:
        top = name.partition("/")[0]
        values = self._load(top)
        if top == name and member.dtype.kind in "biuf":
            return np.asarray(values).astype(member.dtype)
        inside = dict(_leaves(top, values, 0))
        self._keep(inside)
        return inside[name]


def _leaves(name: str, value: Any, depth: int) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays inside a struct or cell, by name."""
    if depth > MAX_DEPTH or not isinstance(value, np.ndarray):
        return
    if value.dtype.names is not None:
        for i, element in enumerate(value.ravel(order="F")):
            place = name if value.size == 1 else f"{name}/{i}"
            for field in value.dtype.names:
                yield from _leaves(f"{place}/{field}", element[field], depth + 1)
    elif value.dtype == object:
        for i, element in enumerate(value.ravel(order="F")):
            yield from _leaves(f"{name}/{i}", element, depth + 1)
    elif value.dtype.kind in "biufU":
        yield name, value


def check_v5(path: str, size: int) -> None:
    """Walk the tags of a file before scipy does: depth, sizes, and what deflate makes of them.

    scipy recurses in C, where a file nested deep enough would crash the interpreter.
    """
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
                data = file.read(nbytes)
                if kind == _COMPRESSED:
                    data = _inflated(path, place, data)[8:]
                _check_matrix(path, place, data, order)
            place += 8 + nbytes


def _inflated(path: str, place: int, data: bytes) -> bytes:
    try:
        engine = zlib.decompressobj()
        found = engine.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise FormatError(path, f"byte {place}", "deflated bytes", str(error),
                          "the file is damaged") from error  # fmt: skip
    if engine.unconsumed_tail:
        raise FormatError(path, f"byte {place}", f"at most {MAX_BYTES:,} bytes", "more")
    return found


def _check_matrix(path: str, place: int, data: bytes, order: str) -> None:
    """Depth of cells and structs in one variable, without recursion."""
    view = memoryview(data)
    todo = [(0, len(view), 0)]
    while todo:
        start, end, depth = todo.pop()
        if depth > MAX_DEPTH:
            raise FormatError(path, f"byte {place}", f"at most {MAX_DEPTH} levels of cells",
                              "more: the file is made to exhaust the stack")  # fmt: skip
        flags = view[start + 8 : start + 9]
        kind = (flags[0] if order == "<" else view[start + 11]) if end - start >= 12 else 0
        if kind not in _NESTING:
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


# ------------------------------------------------------------------------------------------ v7.3


@dataclass(frozen=True)
class Matlab73Source(MemberSource):
    """A MATLAB v7.3 file: HDF5 with axes the other way round, cells as references."""

    @property
    def _file(self) -> HDF5Source:
        return HDF5Source(self.path, self.stamp)

    def _scan(self) -> dict[str, Member]:
        file = self._file
        found: dict[str, Member] = {}
        todo = [(name, name, 0) for name in file.names("/")[::-1] if not name.startswith("#")]
        while todo:
            name, stored, depth = todo.pop()
            if depth > MAX_DEPTH or len(found) > MAX_ARRAYS:
                raise FormatError(self.path, name, f"at most {MAX_DEPTH} levels of cells", "more")
            kind = file.attr(stored, "MATLAB_class")
            info = file.info(stored)
            if info is None:
                inside = file.names(stored)[::-1]
                todo += [(f"{name}/{n}", f"{stored}/{n}", depth + 1) for n in inside]
            elif file.attr(stored, "MATLAB_empty"):
                found[name] = Stored(np.dtype("f8"), (0, 0), stored=stored)
            elif info.dtype == object and not info.text:
                cells = file.read(stored).ravel()  # stored the other way round: already in order
                todo += [(f"{name}/{i}", str(c), depth + 1) for i, c in enumerate(cells)][::-1]
            elif kind == "char":
                text = "".join(chr(c) for c in file.read(stored).T.ravel(order="F")[:4096])
                dtype = np.dtype(f"U{max(len(text), 1)}")
                found[name] = Stored(dtype, (1,), stored=stored, text=text)
            elif info.dtype.kind in "biuf":
                dtype = np.dtype(bool) if kind == "logical" else info.dtype
                found[name] = Stored(dtype, info.shape[::-1], stored=stored)
        return found

    def left_out(self) -> dict[str, str]:
        """Variables of classes that are never loaded: name -> class."""
        kinds = {n: str(self._file.attr(n, "MATLAB_class") or "") for n in self._file.names("/")}
        return {
            n: k for n, k in kinds.items() if k in ("function_handle", "table", "containers.Map")
        }

    def read(self, name: str, key: Key = ()) -> np.ndarray:
        member = self.members().get(name.strip("/"))
        if not isinstance(member, Stored):
            raise FormatError(self.path, name, "an array", "nothing of that name")
        key = normalise(key, member.shape)
        if member.dtype.kind == "U":
            return np.array([member.text], object)[key]
        if not np.prod(member.shape, dtype=object):
            return np.empty(member.shape, member.dtype)[np.ix_(*(np.arange(n)[k] for n, k in zip(
                member.shape, key, strict=True)))]  # fmt: skip
        found = self._file.read(member.stored, key[::-1]).T
        return found.astype(member.dtype.newbyteorder("="), copy=False)


@dataclass(frozen=True)
class Stored(Member):
    """An array of a v7.3 file, and where it lies in the HDF5 file; short texts as they are."""

    stored: str = ""
    text: str = ""
