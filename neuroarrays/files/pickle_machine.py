"""The virtual machine that a pickle is a program for: its stack, its memo and its position.

A pickle is a sequence of opcodes (see the standard library's `pickletools`). `opcodes` has what each of
them does to this machine, which builds plain values and records and never calls what a pickle names.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Collection
from typing import Any

from neuroarrays.errors import FormatError
from neuroarrays.files.rebuilding import (
    BUILDERS,
    RENAMED,
    Blob,
    Budget,
    Global,
    Pending,
    Record,
    Refused,
    settle,
)

#: Memory that values may take in addition to twice the size of the stream, bytes.
SPARE = 1 << 20
#: Size from which bytes are left in the file if arrays are requested as `StoredArray`, bytes.
_LARGE = 1 << 12


class Machine:
    """The stack, the memo and the position of a pickle that is being read.

    Parameters
    ----------
    data : bytes or mmap
        The pickle.
    path, where : str
        Path of the file and position in it, for errors.
    allowed : collection of str or None
        Names of classes that may occur besides those that are rebuilt; None allows any, as a record.
    stored : bool
        Whether large arrays stay in the file.
    """

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
        self.position, self.size = 0, len(data)
        self.stack: list[Any] = []
        #: The stacks below the marks.
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.budget = Budget(2 * self.size + SPARE)

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes of the stream."""
        start = self._skip(size)
        return bytes(self.data[start : start + size])

    def _skip(self, size: int) -> int:
        """Move past `size` bytes, and return where they begin."""
        start = self.position
        if size < 0 or size > self.size - start:
            raise Refused(f"{size:,} bytes", f"{self.size - start:,}: the stream ends")
        self.position = start + size
        return start

    def number(self, layout: str) -> Any:
        """Read a number, whose type is given as for `struct`."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> bytes:
        """Read the bytes up to a newline."""
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise Refused("a line", "none: the stream ends")
        line = self.take(end - self.position)
        self.position += 1
        return line

    def raw(self, size: int) -> bytes | Blob:
        """Read bytes as a value; many bytes are left in the file if arrays stay there."""
        if self.stored and size >= _LARGE:
            return Blob(self._skip(size), size)
        return self.take(size)

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def marked(self) -> list[Any]:
        """Take the values since the last mark off the stack."""
        values, self.stack = self.stack, self.below.pop()
        return [settle(v) for v in values]

    def pop(self) -> Any:
        """Take the top value off the stack."""
        return settle(self.stack.pop())

    def remember(self, key: int) -> None:
        """Remember the top value of the stack in the memo."""
        value = self.stack[-1]
        self.memo[key] = value
        if isinstance(value, Pending):
            value.keys.append(key)

    def named(self, module: Any, name: Any) -> Global:
        """Return a global (a class or function that the stream names), if it is allowed."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise Refused("the name of a class", f"{module!r}.{name!r}"[:100])
        reference = Global(RENAMED.get(module, module), name)
        has_builder = str(reference) in BUILDERS
        if not has_builder and self.allowed is not None and str(reference) not in self.allowed:
            raise Refused("plain values and arrays", f"the global {str(reference)[:100]}")
        return reference

    def call(self, function: Any, args: Any) -> None:
        """Push a value in place of a call that the pickle asks for.

        It is the value of our own builder, where there is one for the name, or else a record of the
        name and its arguments. Nothing that the pickle names is called.
        """
        if not isinstance(args, tuple):
            raise Refused("arguments as a tuple", type(args).__name__)
        builder = BUILDERS.get(str(function)) if isinstance(function, Global) else None
        if builder is not None:
            self.push(builder(tuple(settle(a) for a in args), self.budget))
        elif isinstance(function, Global):
            self.push(Record(function, args))
        elif self.allowed is not None:
            raise Refused("plain values and arrays", "a call of a value")
        else:
            self.push(Record(Global("", "a call of a value"), (function, *args)))

    def error(self, position: int, expected: str, found: str) -> FormatError:
        """Return the error for a position of the stream."""
        where = f"{self.where}, byte {position}" if self.where else f"byte {position}"
        hint = "the file is damaged or made to do harm; nothing in it was run"
        return FormatError(self.path, where, expected, found, hint)
