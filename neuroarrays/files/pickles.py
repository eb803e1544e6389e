"""Pickles read without running anything: our own small machine for the stream of opcodes.

Python's unpickler imports and calls whatever a file names. This one knows no import and no call:
plain values and numpy arrays are rebuilt by our own code (`rebuilding.BUILDERS`), every other name
becomes an inert `Record` that holds what was stored. It needs none of the packages that wrote the
file, takes no more memory than the file can fill, and does not recurse.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Collection
from typing import Any

from neuroarrays.errors import FormatError
from neuroarrays.files import safety
from neuroarrays.files.opcodes import STEPS
from neuroarrays.files.rebuilding import (
    BUILDERS,
    RENAMED,
    Blob,
    Budget,
    Global,
    Pending,
    Record,
    Refused,
    StoredArray,
    check_depth,
    settle,
)

__all__ = ["Global", "Record", "StoredArray", "load_pickle"]

#: Opcodes that are carried out; what a stream may make besides its own bytes.
MAX_STEPS, SPARE = 10_000_000, 1 << 20
#: Bytes left in the file when arrays are asked for as `StoredArray`.
_LARGE = 1 << 12
_STOP = ord(".")


def load_pickle(
    path_or_bytes: str | os.PathLike[str] | bytes | mmap.mmap,
    allowed: Collection[str] | None = None,
    *,
    stored: bool = False,
    where: str = "",
    path: str = "<bytes>",
) -> Any:
    r"""What a pickle holds, without running anything in it.

    Parameters
    ----------
    path_or_bytes : path, bytes or mmap
        A file, or the stream itself. One object is read: what follows it is not looked at.
    allowed : collection of str, optional
        Names ("package.module.Class") that may occur besides plain values and numpy arrays; any
        other is refused by name. None allows all: each becomes a `Record`, which does nothing.
    stored : bool, default False
        Leave arrays of 4 KiB and more in the file: they come as `StoredArray` (offset, dtype,
        shape). With False they are read-only arrays over the bytes read.
    where : str, optional
        Place of the stream inside a file, for messages.
    path : str, optional
        File that bytes come from, for messages.

    Returns
    -------
    object
        Plain values, numpy arrays, `Record` for objects of other classes, `Global` for classes.

    Raises
    ------
    FormatError
        If it is damaged, deeper than 200 levels, longer than 10 million steps, declares arrays
        that its bytes do not fill, or names what is not allowed.

    Examples
    --------
    >>> import pickle
    >>> load_pickle(pickle.dumps({"fps": 20.0}))
    {'fps': 20.0}
    >>> load_pickle(b"cos\nsystem\n(S'ls'\ntR.")
    <Record of os.system>
    """
    if isinstance(path_or_bytes, bytes | mmap.mmap):
        return Machine(path_or_bytes, path, where, allowed, stored).run()
    path = os.fspath(path_or_bytes)
    safety.check_pointer(path)
    size = safety.regular_file(path).st_size
    with open(path, "rb") as file:
        if not stored or not size:
            return Machine(file.read(), path, where, allowed, False).run()
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as data:
            return Machine(data, path, where, allowed, stored).run()


class Machine:
    """The stack, the memo and the place in the stream."""

    def __init__(
        self,
        data: bytes | mmap.mmap,
        path: str,
        where: str,
        allowed: Collection[str] | None,
        stored: bool,
    ):
        self.data, self.path, self.where = data, path, where
        self.allowed, self.stored = allowed, stored
        self.place, self.size = 0, len(data)
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.budget = Budget(2 * self.size + SPARE)

    def run(self) -> Any:
        """Carry out the opcodes up to STOP."""
        place = 0
        try:
            for _ in range(MAX_STEPS):
                place = self.place
                code = self.data[place] if place < self.size else -1
                self.place = place + 1
                if code == _STOP:
                    value = settle(self.stack.pop())
                    check_depth(value)
                    return value
                step = STEPS.get(code)
                if step is None:
                    raise Refused("an opcode of a pickle", _named(code))
                step(self)
            raise Refused(f"at most {MAX_STEPS:,} steps", "more")
        except Refused as error:
            raise self._error(place, error.expected, error.found) from error
        except FormatError:
            raise
        except MemoryError:
            raise
        except Exception as error:  # a damaged stream can go wrong in any way that values can
            found = f"{type(error).__name__}: {error}"[:200]
            raise self._error(place, "a readable pickle", found) from error

    def _error(self, place: int, expected: str, found: str) -> FormatError:
        spot = f"{self.where}, byte {place}" if self.where else f"byte {place}"
        hint = "the file is damaged or made to do harm; nothing in it was run"
        return FormatError(self.path, spot, expected, found, hint)

    def take(self, size: int) -> bytes:
        """The next bytes of the stream."""
        start = self._skip(size)
        return bytes(self.data[start : start + size])

    def _skip(self, size: int) -> int:
        start = self.place
        if size < 0 or size > self.size - start:
            raise Refused(f"{size:,} bytes", f"{self.size - start:,}: the stream ends")
        self.place = start + size
        return start

    def number(self, layout: str) -> Any:
        """A number of the stream."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> bytes:
        """The bytes up to a newline."""
        end = self.data.find(b"\n", self.place)
        if end < 0:
            raise Refused("a line", "none: the stream ends")
        found = self.take(end - self.place)
        self.place += 1
        return found

    def raw(self, size: int) -> bytes | Blob:
        """Bytes as a value; left in the file when they are many and arrays stay there."""
        if self.stored and size >= _LARGE:
            return Blob(self._skip(size), size)
        return self.take(size)

    def push(self, value: Any) -> None:
        """A value on the stack."""
        self.stack.append(value)

    def marked(self) -> list[Any]:
        """The values since the last mark, off the stack."""
        values, self.stack = self.stack, self.below.pop()
        return [settle(v) for v in values]

    def pop(self) -> Any:
        """The top of the stack."""
        return settle(self.stack.pop())

    def remember(self, key: int) -> None:
        """Put the top of the stack into the memo."""
        value = self.stack[-1]
        self.memo[key] = value
        if isinstance(value, Pending):
            value.keys.append(key)

    def named(self, module: Any, name: Any) -> Global:
        """A global of the stream, if it may occur."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise Refused("the name of a class", f"{module!r}.{name!r}"[:100])
        found = Global(RENAMED.get(module, module), name)
        known = str(found) in BUILDERS
        if not known and self.allowed is not None and str(found) not in self.allowed:
            raise Refused("plain values and arrays", f"the global {str(found)[:100]}")
        return found

    def call(self, what: Any, args: Any) -> None:
        """Push what stands for a call: a value of ours, or a record of what was asked for."""
        if not isinstance(args, tuple):
            raise Refused("arguments as a tuple", type(args).__name__)
        builder = BUILDERS.get(str(what)) if isinstance(what, Global) else None
        if builder is not None:
            self.push(builder(tuple(settle(a) for a in args), self.budget))
        elif isinstance(what, Global):
            self.push(Record(what, args))
        elif self.allowed is not None:
            raise Refused("plain values and arrays", "a call of a value")
        else:
            self.push(Record(Global("", "a call of a value"), (what, *args)))


def _named(code: int) -> str:
    return "the end of the stream" if code < 0 else f"opcode 0x{code:02x}"
