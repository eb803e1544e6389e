"""Calls of the library that are made and written down at once, so that the copied code cannot differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pandas as pd
import xarray as xr

import neuroarrays as na

#: Values that are kept for the next view, lazy trees and small answers: those of two units in all panels.
_KEPT = 160


@dataclass
class View:
    """What one panel shows.

    Attributes
    ----------
    value : Dataset, DataArray, DataFrame, dict of str to DataArray, or None
        What the last call returned.
    note : str
        A line to show: what is not drawn, or why there is nothing.
    code : list of str
        The calls that return `value`, as its last variable.
    facts : dict
        What drawing needs to know beside it.
    """

    value: Any = None
    note: str = ""
    code: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def table(self) -> Any:
        """The value as a DataFrame, for CSV."""
        value = self.value
        if isinstance(value, dict):
            return pd.concat([View(part.rename(name)).table() for name, part in value.items()])
        if isinstance(value, xr.DataArray):
            value = value.to_dataset(name=value.name or "value")
        return value.to_dataframe().reset_index() if isinstance(value, xr.Dataset) else value


class Nothing(Exception):
    """A view whose data are absent; the message says why in one line."""


class Named(NamedTuple):
    """A value, the variable it has in the code, and the whole expression that made it."""

    variable: str
    value: Any
    expression: str


class Kept:
    """Values by the expression that made them; the least recently used go."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def get(self, expression: str, make: Any) -> Any:
        """The value of an expression, made if it is not there."""
        value = self._values.pop(expression) if expression in self._values else make()
        self._values[expression] = value  # the last one now: a dict keeps the order of insertion
        while len(self._values) > _KEPT:
            del self._values[next(iter(self._values))]
        return value


class Recipe:
    """Lines of code, each of which has been run.

    Parameters
    ----------
    tree : DataTree
        The tree that the code calls ``tree``.
    kept : Kept
        Values of earlier recipes over the same tree.
    """

    def __init__(self, tree: xr.DataTree, kept: Kept):
        self.tree = Named("tree", tree, "tree")
        self.lines: list[str] = []
        self._kept = kept
        self._bound: dict[str, str] = {}

    def item(self, variable: str, of: Named, key: Any) -> Named:
        """``variable = of[key]``."""
        return self._do(variable, of, f"[{key!r}]", lambda: of.value[key])

    def method(self, variable: str, of: Named, name: str, *args: Any, **options: Any) -> Named:
        """``variable = of.name(...)``."""
        text = _arguments(args, options)
        values = [_value(arg) for arg in args]
        named = {key: _value(option) for key, option in options.items()}
        return self._do(
            variable, of, f".{name}({text})", lambda: getattr(of.value, name)(*values, **named)
        )

    def call(
        self, variable: str, name: str, *args: Any, known: Any = None, **options: Any
    ) -> Named:
        """``variable = na.name(...)``; options that are None are left out.

        What is `known` is what the call would return, and is not computed again.
        """
        options = {key: option for key, option in options.items() if option is not None}
        whole = f"na.{name}({_arguments(args, options, whole=True)})"
        values = [_value(arg) for arg in args]
        named = {key: _value(option) for key, option in options.items()}
        if known is None:
            known = self._kept.get(whole, lambda: getattr(na, name)(*values, **named))
        return self._write(f"na.{name}({_arguments(args, options)})", Named(variable, known, whole))

    def together(self, variable: str, parts: dict[str, Named]) -> Named:
        """``variable = {"name": part, ...}``."""
        text = ", ".join(f"{name!r}: {part.variable}" for name, part in parts.items())
        values = {name: part.value for name, part in parts.items()}
        return self._write(f"{{{text}}}", Named(variable, values, f"{{{text}}}"))

    def _do(self, variable: str, of: Named, text: str, make: Any) -> Named:
        whole = of.expression + text
        return self._write(
            f"{of.variable}{text}", Named(variable, self._kept.get(whole, make), whole)
        )

    def _write(self, text: str, named: Named) -> Named:
        """Write a line down, unless its variable holds that value already."""
        if self._bound.get(named.variable) != named.expression:
            self.lines.append(f"{named.variable} = {text}")
            self._bound[named.variable] = named.expression
        return named


def _value(argument: Any) -> Any:
    if isinstance(argument, list) and any(isinstance(part, Named) for part in argument):
        return [_value(part) for part in argument]
    return argument.value if isinstance(argument, Named) else argument


def _arguments(args: tuple[Any, ...], options: dict[str, Any], whole: bool = False) -> str:
    """Arguments as they are written; a named value by its variable, or by its whole expression."""

    def text(argument: Any) -> str:
        if isinstance(argument, Named):
            return argument.expression if whole else argument.variable
        if isinstance(argument, list) and any(isinstance(part, Named) for part in argument):
            return f"[{', '.join(text(part) for part in argument)}]"
        return repr(argument)

    return ", ".join([*map(text, args), *(f"{key}={text(v)}" for key, v in options.items())])
