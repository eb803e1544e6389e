"""Calls that are made and written down at once, so that the copied code cannot differ; what panels show."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import xarray as xr

import neuroarrays as na

#: Values that are kept for the next view, lazy trees and small answers: those of two units in all panels.
_KEPT = 160


class Kept:
    """Values by the code that made them; the least recently used go."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def get(self, code: str, make: Callable[[], Any]) -> Any:
        """The value of some code, made if it is not there."""
        value = self._values.pop(code) if code in self._values else make()
        self._values[code] = value  # the last one now: a dict keeps the order of insertion
        while len(self._values) > _KEPT:
            del self._values[next(iter(self._values))]
        return value


@dataclass(frozen=True)
class Call:
    """A value, the expression that gives it, and the lines of code that come before."""

    value: Any
    text: str
    kept: Kept
    lines: tuple[str, ...] = ()

    def __getitem__(self, key: Any) -> Call:
        """``value[key]``."""
        return self._next(f"{self.text}[{key!r}]", lambda: self.value[key])

    def then(self, method: str, /, *args: Any, **options: Any) -> Call:
        """``value.method(...)``."""
        text = f"{self.text}.{method}({_arguments(args, options)})"
        return self._next(text, lambda: getattr(self.value, method)(*args, **options))

    def named(self, variable: str) -> Call:
        """The same value, as a variable; one name stands for one value in the code of a panel."""
        if self.text == variable:
            return self
        return replace(self, text=variable, lines=(*self.lines, f"{variable} = {self.text}"))

    def _next(self, text: str, make: Callable[[], Any]) -> Call:
        value = self.kept.get("\n".join([*self.lines, text]), make)
        return replace(self, value=value, text=text)


def call(variable: str, function: str, /, *args: Any, known: Any = None, **options: Any) -> Call:
    """``variable = na.function(...)`` of one `Call` or more; what is `known` is not computed again."""
    options = {name: option for name, option in options.items() if option is not None}
    parts = [p for arg in args for p in (arg if isinstance(arg, list) else [arg]) if _is(p)]
    text = f"na.{function}({_arguments(args, options)})"
    before = Call(known, text, parts[0].kept, _lines(parts))
    if known is None:
        before = before._next(text, lambda: getattr(na, function)(*map(_value, args), **options))
    return before.named(variable)


def together(parts: dict[str, Call], kept: Kept) -> Call:
    """``{"name": value, ...}``."""
    text = ", ".join(f"{name!r}: {part.text}" for name, part in parts.items())
    values = {name: part.value for name, part in parts.items()}
    return Call(values, f"{{{text}}}", kept, _lines(list(parts.values())))


def _is(argument: Any) -> bool:
    return isinstance(argument, Call)


def _lines(parts: list[Call]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line for part in parts for line in part.lines))


def _value(argument: Any) -> Any:
    if isinstance(argument, list):
        return [_value(part) for part in argument]
    return argument.value if isinstance(argument, Call) else argument


def _arguments(args: tuple[Any, ...], options: dict[str, Any]) -> str:
    def text(argument: Any) -> str:
        if isinstance(argument, list):
            return f"[{', '.join(map(text, argument))}]"
        return argument.text if isinstance(argument, Call) else repr(argument)

    return ", ".join([*map(text, args), *(f"{name}={text(v)}" for name, v in options.items())])


@dataclass
class View:
    """What one panel shows: a value or None, a line beside it, the code that returns it, facts for drawing."""

    value: Any = None
    note: str = ""
    code: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, made: Call, note: str = "", **facts: Any) -> View:
        """The view of what a call returned, which is the last variable of its code."""
        shown = made if made.text.isidentifier() else made.named("shown")
        return cls(made.value, note, shown.lines, facts)

    def table(self) -> Any:
        """The value as a DataFrame, for CSV."""
        value = self.value
        if isinstance(value, dict):
            return pd.concat([View(part.rename(name)).table() for name, part in value.items()])
        if isinstance(value, xr.DataArray):
            value = value.to_dataset(name=value.name or "value")
        return value.to_dataframe().reset_index() if isinstance(value, xr.Dataset) else value


class Nothing(ValueError):
    """A view whose data are absent; the message says why in one line."""
