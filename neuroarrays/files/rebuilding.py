"""Build what a pickle may contain: plain values, numpy arrays, and records in place of other objects.

`pickles` reads the stream. `BUILDERS` has the only names of classes and functions that have a meaning
in it, each with a function of this module. Nothing that a file names is imported or called.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: The most levels of nested containers, and the most parts of a tuple that is a key.
MAX_DEPTH, MAX_KEY = 200, 1_000
_SPEC = re.compile(r"[|<>=]?([?bBhHiIlLqQefdgFDGOSUVMm])\d{0,9}|[|<>=]?[biufcOSUVMm]\d{1,9}")


class Refused(ValueError):
    """The error for a value in a pickle that is refused; `expected` tells what is accepted."""

    def __init__(self, expected: str, found: str):
        self.expected, self.found = expected, found
        super().__init__(found)


@dataclass(frozen=True)
class Global:
    """The name of a class or function that a pickle refers to. It is never imported.

    Attributes
    ----------
    module, name : str
        As written in the file, such as "os" and "system".
    """

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, repr=False)
class Record:
    """The stored state of an object whose class is not imported.

    Attributes
    ----------
    cls : Global
        Name of the class (or function).
    args : tuple
        The arguments that it would be called with.
    state : object
        The attributes of the object, mostly a dict.
    items : list
        Values that the pickle adds as to a list or set.
    mapping : dict
        Values that the pickle adds as to a dict.
    """

    cls: Global
    args: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)
    mapping: dict[Any, Any] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute by name; `default` if it was not stored."""
        parts = self.state if isinstance(self.state, tuple) else (self.state,)  # dict, slots
        for part in parts:
            if isinstance(part, dict) and name in part:
                return part[name]
        return default

    def __repr__(self) -> str:
        return f"<Record of {self.cls}>"


@dataclass(frozen=True)
class StoredArray:
    """An array whose values are still in the file, `offset` bytes from its beginning."""

    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]
    fortran: bool


@dataclass(frozen=True)
class Blob:
    """Bytes that are still in the file: position and number."""

    offset: int
    size: int


class Pending:
    """A dtype or array whose state comes later in the stream; `keys` are its keys in the memo."""

    def __init__(self, kind: str, spec: str = ""):
        self.kind, self.spec = kind, spec
        self.keys: list[int] = []


class Budget:
    """A limit on the bytes that values may take beyond those stored in the stream itself."""

    def __init__(self, nbytes: int):
        self.left = nbytes

    def take(self, nbytes: int) -> None:
        """Take some bytes of the budget.

        Raises
        ------
        Refused
            If fewer are left, because the pickle copies the same bytes again and again.
        """
        self.left -= nbytes
        if self.left < 0:
            raise Refused("values no larger than the file", "values that multiply its size")


def settle(value: Any) -> Any:
    """Return the dtype of a pending one that needs no state, and any other value as it is."""
    if isinstance(value, Pending) and value.kind == "dtype":
        return np.dtype(value.spec)
    return value


def check_key(value: Any) -> None:
    """Refuse a key of a dict, or member of a set, that is nested so deep that hashing would crash."""
    todo, steps = [(value, 0)], 0
    while todo:
        item, depth = todo.pop()
        steps += 1
        if depth > 8 or steps > MAX_KEY:
            raise Refused("keys that are names or numbers", "a deeply nested key")
        if isinstance(item, tuple):
            todo.extend((part, depth + 1) for part in item)


def check_depth(value: Any) -> None:
    """Refuse containers nested so deep that recursive code would run out of stack."""
    seen: set[int] = set()
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for container in level:
            for child in children(container):
                if isinstance(child, list | tuple | dict | Record) and id(child) not in seen:
                    seen.add(id(child))
                    below.append(child)
        if not below:
            return
        level = below
    raise Refused(f"at most {MAX_DEPTH} levels", "containers nested deeper than that")


def children(value: Any) -> Iterator[Any]:
    """Yield the values directly inside a value."""
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list | tuple):
        yield from value
    elif isinstance(value, Record):
        yield from (value.args, value.state, value.items, value.mapping)
    elif isinstance(value, np.ndarray) and value.dtype == object:
        yield from value.flat


def build_dtype(pending: Pending, state: Any) -> np.dtype:
    """Return a dtype, built from its state: byte order, fields, unit of times."""
    if not isinstance(state, tuple) or len(state) < 5:
        raise Refused("the state of a dtype", type(state).__name__)
    order, sub, names, fields = state[1:5]
    if sub is not None:
        base, shape = sub
        dtype = np.dtype((settle(base), _shape(shape)))
    elif names is not None:
        parts = [fields[name] for name in names]
        dtype = np.dtype(
            {
                "names": [_text(name) for name in names],
                "formats": [settle(part[0]) for part in parts],
                "offsets": [part[1] for part in parts],
                "itemsize": state[5],
            }
        )
    else:
        dtype = np.dtype(pending.spec)
        if dtype.kind in "Mm" and isinstance(state[-1], tuple):
            unit, count = state[-1][-1][:2]
            dtype = np.dtype(f"{dtype.kind}8[{int(count)}{_text(unit)}]")
        elif dtype.kind in "SUV" and not dtype.itemsize:
            size = state[5] // 4 if dtype.kind == "U" else state[5]
            dtype = np.dtype(f"{dtype.kind}{size}") if size > 0 else dtype
        if order in ("<", ">"):
            dtype = dtype.newbyteorder(order)
    if dtype.itemsize > 1 << 30:
        raise Refused("a dtype of a believable size", f"{dtype.itemsize:,} bytes per value")
    return dtype


def build_array(state: Any, budget: Budget) -> np.ndarray | StoredArray:
    """Return an array, built from its state: shape, dtype, order and values."""
    if not isinstance(state, tuple) or len(state) not in (4, 5):
        raise Refused("the state of an array", type(state).__name__)
    shape, dtype, fortran, raw = state[-4:]
    return _array(raw, settle(dtype), _shape(shape), bool(fortran), budget)


def _array(
    raw: Any, dtype: Any, shape: tuple[int, ...], fortran: bool, budget: Budget
) -> np.ndarray | StoredArray:
    """Return an array from its bytes (or, for objects, a list of values); the sizes must agree."""
    if not isinstance(dtype, np.dtype):
        raise Refused("a dtype", type(dtype).__name__)
    size = math.prod(shape)
    if dtype.kind == "O":
        if not isinstance(raw, list) or len(raw) != size:
            raise Refused(f"{size:,} values for shape {shape}", "another number of values")
        budget.take(8 * size)
        values = np.empty(size, object)
        for i, value in enumerate(raw):
            values[i] = value
        return values.reshape(shape, order="F" if fortran else "C")
    if isinstance(raw, str):  # written by Python 2
        budget.take(len(raw))
        raw = raw.encode("latin-1")
    nbytes = raw.size if isinstance(raw, Blob) else len(raw) if isinstance(raw, bytes) else -1
    if nbytes != size * dtype.itemsize or (not dtype.itemsize and size):
        raise Refused(f"{size * dtype.itemsize:,} bytes for {dtype} {shape}", f"{nbytes:,} bytes")
    if isinstance(raw, Blob):
        return StoredArray(raw.offset, dtype, shape, fortran)
    flat = np.frombuffer(raw, dtype) if size else np.empty(0, dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def _shape(shape: Any) -> tuple[int, ...]:
    """Return a shape as a tuple, after checking it."""
    shape = (shape,) if isinstance(shape, int) else shape
    good = isinstance(shape, tuple) and len(shape) <= 32
    if not good or not all(type(n) is int and 0 <= n < 1 << 62 for n in shape):
        raise Refused("a shape", f"{str(shape)[:60]}")
    return tuple(shape)


def _text(value: Any) -> str:
    """Return text that Python 2 may have stored as bytes."""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _dtype(args: tuple[Any, ...], budget: Budget) -> Any:
    """Build `numpy.dtype(letter, ...)`."""
    spec = _text(args[0]) if args and isinstance(args[0], str | bytes) else ""
    if not _SPEC.fullmatch(spec):
        raise Refused("the letter of a dtype", f"{str(args[:1])[:60]}")
    return Pending("dtype", spec)


def _reconstruct(args: tuple[Any, ...], budget: Budget) -> Any:
    """Build an array whose shape, dtype and values come as its state."""
    return Pending("array")


def _from_buffer(args: tuple[Any, ...], budget: Budget) -> Any:
    """Build an array from a buffer, as protocol 5 stores it."""
    raw, dtype, shape, order = args
    raw = bytes(raw) if isinstance(raw, bytearray) else raw
    return _array(raw, settle(dtype), _shape(shape), order == "F", budget)


def _scalar(args: tuple[Any, ...], budget: Budget) -> Any:
    """Build a numpy scalar."""
    dtype, raw = settle(args[0]), args[1]
    if isinstance(dtype, np.dtype) and dtype.kind == "O":
        return raw
    array = _array(raw, dtype, (), False, budget)
    return array[()] if isinstance(array, np.ndarray) else array


def _encode(args: tuple[Any, ...], budget: Budget) -> bytes:
    """Build bytes from text, as old protocols store them."""
    text, coding = args[0], args[1] if len(args) > 1 else "utf-8"
    if coding not in ("latin1", "latin-1", "utf-8", "ascii") or not isinstance(text, str):
        raise Refused("text as latin-1 or utf-8", f"{coding!r}"[:60])
    budget.take(4 * len(text))
    return text.encode(coding)


def _copy(kind: Callable[[Any], Any]) -> Callable[[tuple[Any, ...], Budget], Any]:
    """Return the builder of a built-in container, such as `set`."""

    def copied(args: tuple[Any, ...], budget: Budget) -> Any:
        """Build the container from its values."""
        values = args[0] if args else ()
        if not isinstance(values, list | tuple | dict | set | frozenset):
            raise Refused("a list of values", type(values).__name__)
        budget.take(64 * len(values))
        if kind in (set, frozenset):
            for value in values:
                check_key(value)
        if kind is dict and not isinstance(values, dict):
            for key, _ in values:
                check_key(key)
        return kind(values)

    return copied


def _bytes(args: tuple[Any, ...], budget: Budget) -> bytes:
    """Build bytes, also from text and an encoding."""
    raw = args[0] if args else b""
    raw = _encode((raw, args[1]), budget) if isinstance(raw, str) and len(args) > 1 else raw
    if not isinstance(raw, bytes):
        raise Refused("bytes", type(raw).__name__)
    return raw


def _time(kind: Callable[..., Any]) -> Callable[[tuple[Any, ...], Budget], Any]:
    """Return the builder of a class of `datetime`."""

    def moment(args: tuple[Any, ...], budget: Budget) -> Any:
        """Build the date or time from numbers or packed bytes."""
        if any(not isinstance(a, int | bytes | datetime.tzinfo | datetime.timedelta) for a in args):
            raise Refused("a date or time", f"{str(args)[:60]}")
        return kind(*args)

    return moment


def _complex(args: tuple[Any, ...], budget: Budget) -> complex:
    """Build a complex number from its two parts."""
    return complex(*(float(part) for part in args[:2]))


def _reconstructor(args: tuple[Any, ...], budget: Budget) -> Any:
    """Build a record from a class, its built-in base, and the content of this base (protocols 0 and 1)."""
    if not args or not isinstance(args[0], Global):
        raise Refused("a class by name", "something else")
    record, content = Record(args[0], args[2:]), args[2] if len(args) > 2 else None
    if isinstance(content, dict):
        record.mapping = content
    elif isinstance(content, list):
        record.items = content
    return record


def _path(args: tuple[Any, ...], budget: Budget) -> str:
    """Build the text of a path from its parts."""
    return "/".join(_text(part) for part in args)[:4096].replace("//", "/")


def _first_empty(args: tuple[Any, ...], budget: Budget) -> dict[Any, Any]:
    """Build an empty dict, to which the pickle adds items later."""
    return {}


Builder = Callable[[tuple[Any, ...], Budget], Any]
#: Each name that has a meaning, and the function that builds its value.
BUILDERS: dict[str, Builder] = {
    "numpy.dtype": _dtype,
    "numpy.ndarray": _reconstruct,
    "_codecs.encode": _encode,
    "collections.OrderedDict": _copy(dict),
    "collections.defaultdict": _first_empty,
    "collections.deque": _copy(list),
    "copyreg._reconstructor": _reconstructor,
    "datetime.datetime": _time(datetime.datetime),
    "datetime.date": _time(datetime.date),
    "datetime.time": _time(datetime.time),
    "datetime.timedelta": _time(datetime.timedelta),
    "datetime.timezone": _time(datetime.timezone),
    **{f"pathlib.{name}": _path for name in ("PosixPath", "WindowsPath", "PurePosixPath", "Path")},
    **{f"builtins.{kind.__name__}": _copy(kind) for kind in (set, frozenset, list, tuple, dict)},
    **dict.fromkeys(("builtins.bytes", "builtins.bytearray"), _bytes),
    "builtins.complex": _complex,
}
for _core in ("numpy.core", "numpy._core"):
    BUILDERS[f"{_core}.multiarray._reconstruct"] = _reconstruct
    BUILDERS[f"{_core}.multiarray.scalar"] = _scalar
    BUILDERS[f"{_core}.numeric._frombuffer"] = _from_buffer
#: Modules that had another name in older versions -> their name now.
RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg", "pathlib._local": "pathlib"}
