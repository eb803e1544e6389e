"""MATLAB files as named arrays: v5 to v7 are read with scipy, v7.3 as HDF5. No code in them is run.

Structs and cells are split into names: the field ``time`` of the fourth cell of ``spikes`` becomes
``spikes/3/time``. Axes have MATLAB's order in all versions. Classes that hold code or need MATLAB
(function handles, objects, tables) and sparse and complex arrays are not loaded; `left_out` lists
them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError, required
from neuroarrays.files import outer, safety, state, streams
from neuroarrays.files.hdf5 import HDF5Source
from neuroarrays.files.headers import Header, header_of
from neuroarrays.files.location import FILE
from neuroarrays.files.matlab5 import DTYPES, MAX_DEPTH, Variable, check_v5
from neuroarrays.files.members import MemberSource
from neuroarrays.files.outer import Key
from neuroarrays.files.placed import Member
from neuroarrays.files.source import Info, Source

#: The largest number of arrays in a file.
MAX_ARRAYS = 1_000_000
#: Classes of v5 files that are never loaded.
_NEVER = ("function", "object", "opaque", "sparse", "unknown", "complex")
#: Classes of v7.3 files that are read besides numbers; other programs than MATLAB write no class ("").
_READ_73 = ("char", "cell", "struct", "canonical empty", "")
#: The largest number of characters that are read of a text, and of texts that are read of an array.
_LONGEST = 4096
#: First bytes of files of version 5 to 7.3.
BEGINNINGS = (b"MATLAB 5.0", b"MATLAB 7.3")


def matlab_source(path: str | os.PathLike[str] | Header) -> Source:
    """Return the source of the arrays in a MATLAB file.

    Raises
    ------
    FormatError
        If the file is damaged, nested deeper than 32 levels, or of version 4.
    """
    header = header_of(path)
    header.check(FILE)
    if header.container == "hdf5":
        return Matlab73Source(header.location, header.stamp)
    if not header.head.startswith(BEGINNINGS):
        hint = "a file of version 4: load and save it again in MATLAB"
        raise header.unknown("a MATLAB file of version 5 to 7.3", hint)
    source = Matlab5Source(header.location, header.stamp)
    source.members()
    return source


# ------------------------------------------------------------------------------------ v5, v6, v7


@dataclass(frozen=True)
class Matlab5Source(MemberSource):
    """A MATLAB file before v7.3."""

    def _scan(self) -> dict[str, Member]:
        members: dict[str, Member] = {}
        for variable in _variables(self):
            name = variable.name
            if variable.kind in DTYPES:
                nbytes = 8 * int(np.prod(variable.shape, dtype=object))
                safety.check_allocation(self.path, name, nbytes, self.stamp[1])
                members[name] = Member(np.dtype(DTYPES[variable.kind]), variable.shape)
            elif variable.kind not in _NEVER:
                arrays = self._arrays_in(name)
                if len(members) + len(arrays) > MAX_ARRAYS:
                    raise FormatError(self.path, name, f"at most {MAX_ARRAYS:,} arrays", "more")
                self._keep(arrays)
                members |= {n: Member(a.dtype, a.shape) for n, a in arrays.items()}
        return members

    def left_out(self) -> dict[str, str]:
        reasons = {}
        for variable in _variables(self):
            if variable.kind in _NEVER:
                reasons[variable.name] = variable.kind
            elif variable.complex:
                leaves = _leaves(variable.name, self._load(variable.name), 0)
                reasons |= {name: "complex" for name, v in leaves if v.dtype.kind == "c"}
        return reasons

    def _part(self, name: str, member: Member, key: Key) -> np.ndarray | None:
        variable = next((v for v in _variables(self) if v.name == name), None)
        if variable is None or not variable.stored:
            return None
        with self.location.open(self.stamp) as file:
            packed = streams.pieces(file.stream(), *variable.packed, 15, self.path, name)
            values = streams.pick(
                packed, variable.skip, np.dtype(variable.stored), variable.shape, True, key
            )
        return None if values is None else values.astype(member.dtype)

    def _load(self, name: str) -> Any:
        """Return one variable as scipy loads it."""
        # With `mat_dtype` scipy would drop the imaginary parts.
        is_real = not any(
            variable.complex for variable in _variables(self) if variable.name == name
        )
        return self._scipy(name, variable_names=[name], mat_dtype=is_real)[name]

    def _arrays_in(self, name: str) -> dict[str, np.ndarray]:
        """Return name -> values of the real arrays in a variable."""
        leaves = _leaves(name, self._load(name), 0)
        return {n: v for n, v in leaves if v.dtype.kind != "c"}

    def _scipy(self, where: str, **options: Any) -> Any:
        """Return what `scipy.io.loadmat` reads from the file."""
        scipy_io = required("scipy.io", "matlab", "reading MATLAB files")
        expected = "a readable MATLAB file"
        with (
            self.location.open(self.stamp) as file,
            safety.readable(self.path, where, expected),
        ):
            return scipy_io.loadmat(file.stream(), **options)

    def _unpack(self, name: str, member: Member) -> np.ndarray:
        variable = name.partition("/")[0]
        if variable == name and member.dtype.kind in "biuf":
            return np.asarray(self._load(variable)).astype(member.dtype)
        arrays = self._arrays_in(variable)
        self._keep(arrays)
        return arrays[name]


def _leaves(name: str, value: Any, depth: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and values of each array inside a struct or cell."""
    if depth > MAX_DEPTH or type(value) is not np.ndarray:  # function handles are subclasses
        return
    if value.dtype.names is not None:
        for i, element in enumerate(value.ravel(order="F")):
            path = name if value.size == 1 else f"{name}/{i}"
            for field in value.dtype.names:
                yield from _leaves(f"{path}/{field}", element[field], depth + 1)
    elif value.dtype == object:
        for i, element in enumerate(value.ravel(order="F")):
            yield from _leaves(f"{name}/{i}", element, depth + 1)
    elif value.dtype.kind in "biufcU":
        yield name, value


#: Variables of v5 files, by source.
_listed: state.Cache[tuple[Variable, ...]] = state.Cache(16 << 20, state.entries)


def _variables(source: Matlab5Source) -> tuple[Variable, ...]:
    """Return the variables of a v5 file; the file is checked once per process."""
    return _listed.get_or_make(source, lambda: _checked(source))


def _checked(source: Matlab5Source) -> tuple[Variable, ...]:
    """Check a file, and return its variables."""
    with source.location.open(source.stamp) as file:
        return tuple(check_v5(file.stream(), source.path, source.stamp[1]))


# ------------------------------------------------------------------------------------------ v7.3

#: Every array of v7.3 files, by source, including those that are not read.
_seen: state.Cache[tuple[tuple[str, Stored], ...]] = state.Cache(16 << 20, state.entries)


def _stored_arrays(source: Matlab73Source) -> tuple[tuple[str, Stored], ...]:
    """Return every array of a v7.3 file, including those that are not read."""
    return _seen.get_or_make(source, lambda: tuple(source._walk()))


@dataclass(frozen=True)
class Stored(Member):
    """An array of a v7.3 file.

    Attributes
    ----------
    stored : str
        The path of its dataset in the HDF5 file.
    text : tuple of str
        The values, if it holds text.
    left_out : str
        Why it is not read; "" if it is.
    """

    stored: str = ""
    text: tuple[str, ...] = ()
    left_out: str = ""


@dataclass(frozen=True)
class Matlab73Source(MemberSource):
    """A MATLAB v7.3 file: HDF5 with the axes in reverse order, and cells as references."""

    @property
    def _file(self) -> HDF5Source:
        """The file as a source of HDF5."""
        return HDF5Source(self.location, self.stamp)

    def _scan(self) -> dict[str, Member]:
        return {name: member for name, member in _stored_arrays(self) if not member.left_out}

    def left_out(self) -> dict[str, str]:
        return {name: member.left_out for name, member in _stored_arrays(self) if member.left_out}

    def _walk(self) -> Iterator[tuple[str, Stored]]:
        """Yield every array in the order of the file, including those that are not read."""
        file = self._file
        todo = [(name, name, 0) for name in file.names("/")[::-1] if not name.startswith("#")]
        count = 0
        known: dict[
            str, tuple[dict[str, Any], Info | None]
        ] = {}  # several cells may share a dataset
        while todo:
            name, path, depth = todo.pop()
            count += 1
            if depth > MAX_DEPTH or count > MAX_ARRAYS:
                raise FormatError(self.path, name, f"at most {MAX_DEPTH} levels of cells", "more")
            if path not in known:
                known[path] = file.attrs(path), file.info(path)
            attrs, info = known[path]
            kind = str(attrs.get("MATLAB_class") or "")
            if "MATLAB_sparse" in attrs or kind not in (*DTYPES, *_READ_73):
                reason = "sparse" if "MATLAB_sparse" in attrs else kind
                yield name, Stored(np.dtype("f8"), (), stored=path, left_out=reason)
            elif info is None:
                todo += self._fields(name, path, depth + 1)[::-1]
            elif info.dtype == object and not info.text and not attrs.get("MATLAB_empty"):
                cells = file.read(path).ravel()  # reversed axes: already in MATLAB's order
                elements = [(f"{name}/{i}", str(c), depth + 1) for i, c in enumerate(cells) if c]
                todo += elements[::-1]
            else:
                yield name, self._stored(path, kind, info, bool(attrs.get("MATLAB_empty")))

    def _fields(self, name: str, path: str, depth: int) -> list[tuple[str, str, int]]:
        """Return name, path and depth of each field of a struct.

        In an array of structs the dataset of a field holds a reference for each element.
        """
        file, fields = self._file, []
        for field in file.names(path):
            inner = f"{path}/{field}"
            info = file.info(inner)
            has_references = info is not None and info.dtype == object and not info.text
            if has_references and not file.attr(inner, "MATLAB_class"):
                elements = enumerate(file.read(inner).ravel())
                fields += [
                    (f"{name}/{i}/{field}", str(reference), depth)
                    for i, reference in elements
                    if reference
                ]
            else:
                fields.append((f"{name}/{field}", inner, depth))
        return fields

    def _stored(self, path: str, kind: str, info: Info, is_empty: bool) -> Stored:
        """Return dtype and shape of a dataset as MATLAB has them, and its text."""
        if is_empty:  # the dataset holds the shape instead of values
            sizes = self._file.read(path).ravel()[:32] if info.dtype.kind in "iu" else ()
            shape = tuple(int(n) for n in sizes) if 0 in sizes else (0, 0)
            dtype = np.dtype("U1" if kind == "char" else DTYPES.get(kind, "f8"))
            return Stored(
                dtype,
                (1,) if kind == "char" else shape,
                stored=path,
                text=("",) if kind == "char" else (),
            )
        if info.text or kind == "char":
            text = self._text(path, info)
            return Stored(
                np.dtype(f"U{max(map(len, text), default=1) or 1}"),
                (len(text),),
                stored=path,
                text=text,
            )
        if info.dtype.kind not in "biuf":
            reason = "complex" if info.dtype.names == ("real", "imag") else str(info.dtype)
            return Stored(np.dtype("f8"), (), stored=path, left_out=reason)
        dtype = np.dtype(bool) if kind == "logical" else info.dtype
        return Stored(dtype, info.shape[::-1], stored=path)

    def _text(self, path: str, info: Info) -> tuple[str, ...]:
        """Return each row of a character array as text; long texts are cut."""
        if info.text:
            return tuple(str(t) for t in self._file.read(path).ravel()[:_LONGEST])
        if info.dtype.kind not in "iu" or len(info.shape) != 2:
            return ("",)
        length, rows = (min(n, _LONGEST) for n in info.shape)
        codes = self._file.read(path, (slice(length), slice(rows))).T
        return tuple("".join(chr(c) for c in row if 0 < c < 0x110000).rstrip() for row in codes)

    def read(self, name: str, key: Key = ()) -> np.ndarray:
        member = self.members().get(name.strip("/"))
        if not isinstance(member, Stored):
            raise FormatError(self.path, name, "an array", "nothing of that name")
        key = outer.normalise(key, member.shape)
        if member.dtype.kind == "U":
            return np.array(member.text, object)[key]
        if not np.prod(member.shape, dtype=object):
            return np.empty(outer.result_shape(key, member.shape), member.dtype)
        values = self._file.read(member.stored, key[::-1]).T
        return values.astype(member.dtype.newbyteorder("="), copy=False)
