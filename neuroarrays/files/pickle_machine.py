"""The machine that a pickle runs on: its stack, its memo and its place in the stream.

What each opcode does to it stands in `opcodes`.
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

#: Bytes that a stream may make besides its own.
SPARE = 1 << 20
#: Bytes left in the file when arrays are asked for as `StoredArray`.
_LARGE = 1 << 12


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
        self.position, self.size = 0, len(data)
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.budget = Budget(2 * self.size + SPARE)

    def take(self, size: int) -> bytes:
        """The next bytes of the stream."""
        start = self._skip(size)
        return bytes(self.data[start : start + size])

    def _skip(self, size: int) -> int:
        start = self.position
        if size < 0 or size > self.size - start:
            raise Refused(f"{size:,} bytes", f"{self.size - start:,}: the stream ends")
        self.position = start + size
        return start

    def number(self, layout: str) -> Any:
        """A number of the stream."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> bytes:
        """The bytes up to a newline."""
        end = self.data.find(b"\n", self.position)
        if end < 0:
            raise Refused("a line", "none: the stream ends")
        line = self.take(end - self.position)
        self.position += 1
        return line

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
        reference = Global(RENAMED.get(module, module), name)
        known = str(reference) in BUILDERS
        if not known and self.allowed is not None and str(reference) not in self.allowed:
            raise Refused("plain values and arrays", f"the global {str(reference)[:100]}")
        return reference

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

    def error(self, position: int, expected: str, found: str) -> FormatError:
        """What is wrong at a place of the stream."""
        spot = f"{self.where}, byte {position}" if self.where else f"byte {position}"
        hint = "the file is damaged or made to do harm; nothing in it was run"
        return FormatError(self.path, spot, expected, found, hint)
