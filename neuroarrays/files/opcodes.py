"""The opcodes of a pickle: what each of them does to the machine, and the loop that runs them.

`pickletools` of the standard library documents the opcodes.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files.pickle_machine import Machine
from neuroarrays.files.rebuilding import (
    Global,
    Pending,
    Record,
    Refused,
    build_array,
    build_dtype,
    check_depth,
    check_key,
    settle,
)

#: The most opcodes that are run.
MAX_STEPS = 10_000_000
_STOP = ord(".")
#: Opcode -> the function that applies it to the machine. STOP is not in it; it ends the loop.
STEPS: dict[int, Callable[[Machine], None]] = {}


def _step(codes: bytes) -> Callable[[Callable[[Machine], None]], Callable[[Machine], None]]:
    """Decorate the function that applies some opcodes."""

    def register(step: Callable[[Machine], None]) -> Callable[[Machine], None]:
        """Add a step to `STEPS`."""
        for code in codes:
            STEPS[code] = step
        return step

    return register


def _pushes(code: bytes, value: Callable[[Machine], Any]) -> None:
    """Register an opcode that only pushes a value."""
    STEPS[code[0]] = lambda m: m.push(value(m))


def _integer(line: bytes) -> int | bool:
    """The integer, or the bool that protocol 0 writes as 00 or 01, in a line."""
    if line in (b"00", b"01"):
        return line == b"01"
    return int(line.rstrip(b"L"))


def _little(raw: bytes) -> int:
    """A signed little-endian integer of any length."""
    return int.from_bytes(raw, "little", signed=True)


def _quoted(line: bytes) -> str:
    """The text in quotes of a line, with its escapes."""
    line = line.strip()
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in b"'\"":
        raise Refused("a quoted string", f"{line[:40]!r}")
    return codecs.escape_decode(line[1:-1])[0].decode("latin-1")


def _utf8(m: Machine, size: int) -> str:
    """A text of some bytes."""
    return m.take(size).decode("utf-8", "surrogatepass")


for _code, _make in {
    b"N": lambda m: None,
    b"\x88": lambda m: True,
    b"\x89": lambda m: False,
    b"I": lambda m: _integer(m.line()),
    b"L": lambda m: _integer(m.line()),
    b"J": lambda m: m.number("<i"),
    b"K": lambda m: m.number("<B"),
    b"M": lambda m: m.number("<H"),
    b"\x8a": lambda m: _little(m.take(m.number("<B"))),
    b"\x8b": lambda m: _little(m.take(m.number("<i"))),
    b"F": lambda m: float(m.line()),
    b"G": lambda m: m.number(">d"),
    b"S": lambda m: _quoted(m.line()),
    b"T": lambda m: m.take(m.number("<i")).decode("latin-1"),
    b"U": lambda m: m.take(m.number("<B")).decode("latin-1"),
    b"V": lambda m: m.line().decode("raw-unicode-escape"),
    b"X": lambda m: _utf8(m, m.number("<I")),
    b"\x8c": lambda m: _utf8(m, m.number("<B")),
    b"\x8d": lambda m: _utf8(m, m.number("<Q")),
    b"B": lambda m: m.raw(m.number("<I")),
    b"C": lambda m: m.raw(m.number("<B")),
    b"\x8e": lambda m: m.raw(m.number("<Q")),
    b"\x96": lambda m: m.raw(m.number("<Q")),
    b"]": lambda m: [],
    b"}": lambda m: {},
    b"\x8f": lambda m: set(),
    b")": lambda m: (),
    b"l": lambda m: m.marked(),
    b"t": lambda m: tuple(m.marked()),
    b"\x91": lambda m: _filled(set(), m.marked(), frozenset),
    b"d": lambda m: _paired({}, m.marked()),
    b"\x85": lambda m: (m.pop(),),
    b"\x86": lambda m: (m.pop(), m.pop())[::-1],
    b"\x87": lambda m: (m.pop(), m.pop(), m.pop())[::-1],
    b"2": lambda m: m.stack[-1],
    b"g": lambda m: m.memo[int(m.line())],
    b"h": lambda m: m.memo[m.number("<B")],
    b"j": lambda m: m.memo[m.number("<I")],
    b"c": lambda m: m.named(m.line().decode(), m.line().decode()),
    b"P": lambda m: Record(Global("", "persistent id"), (m.line().decode("latin-1"),)),
    b"Q": lambda m: Record(Global("", "persistent id"), (m.pop(),)),
    b"\x82": lambda m: m.named("copyreg.extension", str(m.number("<B"))),
    b"\x83": lambda m: m.named("copyreg.extension", str(m.number("<H"))),
    b"\x84": lambda m: m.named("copyreg.extension", str(m.number("<i"))),
}.items():
    _pushes(_code, _make)


def _filled(into: Any, values: list[Any], kind: Callable[[Any], Any] = lambda v: v) -> Any:
    """Add values to a set, or to a record of a class that is like a set."""
    if isinstance(into, Record):
        into.items.extend(values)
        return into
    if not isinstance(into, set):
        raise Refused("a set to add to", type(into).__name__)
    for value in values:
        check_key(value)
        into.add(value)
    return kind(into)


def _paired(into: Any, values: list[Any]) -> Any:
    """Put keys and values, which alternate, into a dict or a record of a class that is like one."""
    target = into.mapping if isinstance(into, Record) else into
    if not isinstance(target, dict) or len(values) % 2:
        raise Refused("a dict and pairs to put into it", type(into).__name__)
    for key, value in zip(values[::2], values[1::2], strict=True):
        check_key(key)
        target[key] = value
    return into


def _appended(into: Any, values: list[Any]) -> None:
    """Append values to a list, or to a record of a class that is like a list."""
    target = into.items if isinstance(into, Record) else into
    if not isinstance(target, list):
        raise Refused("a list to append to", type(into).__name__)
    target.extend(values)


@_step(b"\x80")
def _protocol(m: Machine) -> None:
    """Check the protocol of the pickle."""
    if m.number("<B") > 5:
        raise Refused("a pickle of protocol 0 to 5", "a later one")


@_step(b"\x95")
def _frame(m: Machine) -> None:
    """Skip the size of a frame."""
    m.take(8)


@_step(b"\x97\x98")
def _buffer(m: Machine) -> None:
    """Refuse a buffer outside the stream."""
    raise Refused("a pickle in one piece", "a buffer that is kept outside the stream")


@_step(b"(")
def _mark(m: Machine) -> None:
    """Begin a new stack, for the values up to the next opcode that takes them."""
    m.below.append(m.stack)
    m.stack = []


@_step(b"0")
def _pop(m: Machine) -> None:
    """Drop the top value, or the values since the mark."""
    if m.stack:
        m.stack.pop()
    else:
        m.marked()


@_step(b"1")
def _pop_mark(m: Machine) -> None:
    """Drop the values since the mark."""
    m.marked()


@_step(b"p")
def _put(m: Machine) -> None:
    """Remember the top value under a number in text."""
    m.remember(int(m.line()))


@_step(b"q")
def _binput(m: Machine) -> None:
    """Remember the top value under a number of one byte."""
    m.remember(m.number("<B"))


@_step(b"r")
def _long_binput(m: Machine) -> None:
    """Remember the top value under a number of four bytes."""
    m.remember(m.number("<I"))


@_step(b"\x94")
def _memoize(m: Machine) -> None:
    """Remember the top value under the next number."""
    m.remember(len(m.memo))


@_step(b"a")
def _append(m: Machine) -> None:
    """Append a value to the list below it."""
    value = m.pop()
    _appended(m.stack[-1], [value])


@_step(b"e")
def _appends(m: Machine) -> None:
    """Append the values since the mark to the list below them."""
    values = m.marked()
    _appended(m.stack[-1], values)


@_step(b"s")
def _setitem(m: Machine) -> None:
    """Set a key of the dict below to a value."""
    value, key = m.pop(), m.pop()
    _paired(m.stack[-1], [key, value])


@_step(b"u")
def _setitems(m: Machine) -> None:
    """Set keys of the dict below to the values since the mark."""
    values = m.marked()
    _paired(m.stack[-1], values)


@_step(b"\x90")
def _additems(m: Machine) -> None:
    """Add the values since the mark to the set below them."""
    values = m.marked()
    _filled(m.stack[-1], values)


@_step(b"\x93")
def _stack_global(m: Machine) -> None:
    """Push a class or function by its module and name."""
    name, module = m.pop(), m.pop()
    m.push(m.named(module, name))


@_step(b"R\x81")
def _reduce(m: Machine) -> None:
    """Call a function with a tuple of arguments."""
    args, what = m.pop(), m.pop()
    m.call(what, args)


@_step(b"\x92")
def _newobj_ex(m: Machine) -> None:
    """Make an object with arguments and keywords."""
    keywords, args, what = m.pop(), m.pop(), m.pop()
    m.call(what, args)
    if isinstance(m.stack[-1], Record) and isinstance(keywords, dict):
        m.stack[-1].mapping.update(keywords)


@_step(b"i")
def _inst(m: Machine) -> None:
    """Make an object of a class that is named in text."""
    what = m.named(m.line().decode(), m.line().decode())
    m.call(what, tuple(m.marked()))


@_step(b"o")
def _obj(m: Machine) -> None:
    """Make an object of a class on the stack."""
    what, *args = m.marked()
    m.call(what, tuple(args))


@_step(b"b")
def _build(m: Machine) -> None:
    """Set the state of the object below."""
    state = m.pop()
    target = m.stack[-1]
    if isinstance(target, Pending):
        built: Any
        if target.kind == "dtype":
            built = build_dtype(target, state)
        else:
            built = build_array(state, m.budget)
        for key in target.keys:
            m.memo[key] = built
        m.stack[-1] = built
    elif isinstance(target, Record):
        target.state = state if target.state is None else (target.state, state)
    elif not isinstance(target, dict | list | set | np.ndarray):
        raise Refused("an object to give a state", type(target).__name__)


def run(machine: Machine) -> Any:
    """Run the opcodes up to STOP, and return the value on top of the stack."""
    position = 0
    try:
        for _ in range(MAX_STEPS):
            position = machine.position
            code = machine.data[position] if position < machine.size else -1
            machine.position = position + 1
            if code == _STOP:
                value = settle(machine.stack.pop())
                check_depth(value)
                return value
            step = STEPS.get(code)
            if step is None:
                raise Refused("an opcode of a pickle", _named(code))
            step(machine)
        raise Refused(f"at most {MAX_STEPS:,} steps", "more")
    except Refused as error:
        raise machine.error(position, error.expected, error.found) from error
    except FormatError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # A damaged stream can raise any error.
        problem = f"{type(error).__name__}: {error}"[:200]
        raise machine.error(position, "a readable pickle", problem) from error


def _named(code: int) -> str:
    """An opcode as an error names it; -1 is the end of the stream."""
    return "the end of the stream" if code < 0 else f"opcode 0x{code:02x}"
