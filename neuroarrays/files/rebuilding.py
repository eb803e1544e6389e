"""What a pickle may make: plain values, numpy arrays, and inert records for everything else.

`pickles` reads the stream; here stands the only table of names that mean anything in it. Each of
them is answered by code of ours; nothing a file names is imported or called.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: Levels of containers in containers, and steps of hashing a tuple that is a key.
MAX_DEPTH, MAX_KEY = 200, 1_000
_SPEC = re.compile(r"[|<>=]?([?bBhHiIlLqQefdgFDGOSUVMm])\d{0,9}|[|<>=]?[biufcOSUVMm]\d{1,9}")


class Refused(ValueError):
    """Something in a pickle that is refused; `expected` says what would have been accepted."""

    def __init__(self, expected: str, found: str):
        self.expected, self.found = expected, found
        super().__init__(found)


@dataclass(frozen=True)
class Global:
    """The name of a class or function that a pickle refers to. Never imported.

    Attributes
    ----------
    module, name : str
        As in the file: "os", "system".
    """

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False, repr=False)
class Record:
    """An object whose class is not loaded: its stored state, without behaviour.

    Attributes
    ----------
    cls : Global
        The class (or function) by name.
    args : tuple
        What it was to be called with.
    state : object
        Its attributes, mostly a dict.
    items : list
        Values it was given as a list or set.
    mapping : dict
        Values it was given as a dict.
    """

    cls: Global
    args: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)
    mapping: dict[Any, Any] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute by name, `default` if it was not stored."""
        parts = self.state if isinstance(self.state, tuple) else (self.state,)  # dict, slots
        for part in parts:
            if isinstance(part, dict) and name in part:
                return part[name]
        return default

    def __repr__(self) -> str:
        return f"<Record of {self.cls}>"


@dataclass(frozen=True)
class StoredArray:
    """An array whose values were left in the file, `offset` bytes from its beginning."""

    offset: int
    dtype: np.dtype
    shape: tuple[int, ...]
    fortran: bool


@dataclass(frozen=True)
class Blob:
    """Bytes that were left in the file."""

    offset: int
    size: int


class Pending:
    """A dtype or array whose state comes later in the stream; `keys` are its places in the memo."""

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
            If there are not so many left: the same bytes are being copied again and again.
        """
        self.left -= nbytes
        if self.left < 0:
            raise Refused("values no larger than the file", "values that multiply its size")


def settle(value: Any) -> Any:
    """A dtype that needed no state; any other value as it is."""
    if isinstance(value, Pending) and value.kind == "dtype":
        return np.dtype(value.spec)
    return value


def check_key(value: Any) -> None:
    """Refuse a key of a dict, or member of a set, that is too deep to be hashed (in C: a crash)."""
    todo, steps = [(value, 0)], 0
    while todo:
        item, depth = todo.pop()
        steps += 1
        if depth > 8 or steps > MAX_KEY:
            raise Refused("keys that are names or numbers", "a deeply nested key")
        if isinstance(item, tuple):
            todo.extend((part, depth + 1) for part in item)


def check_depth(value: Any) -> None:
    """Refuse containers nested so deep that code which walks them would run out of stack."""
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
    """The values directly inside one."""
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list | tuple):
        yield from value
    elif isinstance(value, Record):
        yield from (value.args, value.state, value.items, value.mapping)
    elif isinstance(value, np.ndarray) and value.dtype == object:
        yield from value.flat


def build_dtype(pending: Pending, state: Any) -> np.dtype:
    """A dtype from its state: byte order, fields, unit of times."""
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
    """An array from its state: shape, dtype, order and values."""
    if not isinstance(state, tuple) or len(state) not in (4, 5):
        raise Refused("the state of an array", type(state).__name__)
    shape, dtype, fortran, raw = state[-4:]
    return _array(raw, settle(dtype), _shape(shape), bool(fortran), budget)


def _array(
    raw: Any, dtype: Any, shape: tuple[int, ...], fortran: bool, budget: Budget
) -> np.ndarray | StoredArray:
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
    shape = (shape,) if isinstance(shape, int) else shape
    good = isinstance(shape, tuple) and len(shape) <= 32
    if not good or not all(type(n) is int and 0 <= n < 1 << 62 for n in shape):
        raise Refused("a shape", f"{str(shape)[:60]}")
    return tuple(shape)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _dtype(args: tuple[Any, ...], budget: Budget) -> Any:
    spec = _text(args[0]) if args and isinstance(args[0], str | bytes) else ""
    if not _SPEC.fullmatch(spec):
        raise Refused("the letter of a dtype", f"{str(args[:1])[:60]}")
    return Pending("dtype", spec)


def _reconstruct(args: tuple[Any, ...], budget: Budget) -> Any:
    return Pending("array")


def _from_buffer(args: tuple[Any, ...], budget: Budget) -> Any:
    raw, dtype, shape, order = args
    raw = bytes(raw) if isinstance(raw, bytearray) else raw
    return _array(raw, settle(dtype), _shape(shape), order == "F", budget)


def _scalar(args: tuple[Any, ...], budget: Budget) -> Any:
    dtype, raw = settle(args[0]), args[1]
    if isinstance(dtype, np.dtype) and dtype.kind == "O":
        return raw
    array = _array(raw, dtype, (), False, budget)
    return array[()] if isinstance(array, np.ndarray) else array


def _encode(args: tuple[Any, ...], budget: Budget) -> bytes:
    text, coding = args[0], args[1] if len(args) > 1 else "utf-8"
    if coding not in ("latin1", "latin-1", "utf-8", "ascii") or not isinstance(text, str):
        raise Refused("text as latin-1 or utf-8", f"{coding!r}"[:60])
    budget.take(4 * len(text))
    return text.encode(coding)


def _copy(kind: Callable[[Any], Any]) -> Callable[[tuple[Any, ...], Budget], Any]:
    def copied(args: tuple[Any, ...], budget: Budget) -> Any:
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
    raw = args[0] if args else b""
    raw = _encode((raw, args[1]), budget) if isinstance(raw, str) and len(args) > 1 else raw
    if not isinstance(raw, bytes):
        raise Refused("bytes", type(raw).__name__)
    return raw


def _time(kind: Callable[..., Any]) -> Callable[[tuple[Any, ...], Budget], Any]:
    def moment(args: tuple[Any, ...], budget: Budget) -> Any:
        if any(not isinstance(a, int | bytes | datetime.tzinfo | datetime.timedelta) for a in args):
            raise Refused("a date or time", f"{str(args)[:60]}")
        return kind(*args)

    return moment


def _complex(args: tuple[Any, ...], budget: Budget) -> complex:
    return complex(*(float(part) for part in args[:2]))


def _reconstructor(args: tuple[Any, ...], budget: Budget) -> Any:
    """Protocols 0 and 1: class, its built-in base, and what the base holds."""
    if not args or not isinstance(args[0], Global):
        raise Refused("a class by name", "something else")
    record, content = Record(args[0], args[2:]), args[2] if len(args) > 2 else None
    if isinstance(content, dict):
        record.mapping = content
    elif isinstance(content, list):
        record.items = content
    return record


def _path(args: tuple[Any, ...], budget: Budget) -> str:
    return "/".join(_text(part) for part in args)[:4096].replace("//", "/")


def _first_empty(args: tuple[Any, ...], budget: Budget) -> dict[Any, Any]:
    return {}


Builder = Callable[[tuple[Any, ...], Budget], Any]
#: Every name that means something, and what is made for it.
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
#: Names as older versions wrote them.
RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg", "pathlib._local": "pathlib"}
