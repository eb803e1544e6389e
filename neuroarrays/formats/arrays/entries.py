"""Entries of a mapping, each the name of an array or a table of its properties, after checking."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError, shorten


@dataclass(frozen=True)
class Entry:
    """One array of a mapping.

    Attributes
    ----------
    array : str
        Name of the array in the file; each "*" stands for one level.
    column : int or None
        Position along its last axis that is taken; None for all.
    dims : tuple of str
        Names of its axes; () if the kind of node decides them.
    dtype : str
        Dtype of the variable, which must hold all values exactly; "" keeps that of the array.
    scale, offset : float
        A value is ``scale * stored + offset``.
    units, long_name : str
        Attributes of the variable; `units` is its unit.
    """

    array: str
    column: int | None = None
    dims: tuple[str, ...] = ()
    dtype: str = ""
    scale: float = 1.0
    offset: float = 0.0
    units: str = ""
    long_name: str = ""


def read_entry(stated: Any, path: str, where: str) -> Entry:
    """Return an entry of a mapping, after checking it.

    Parameters
    ----------
    stated : str or mapping
        The name of an array, or a table with `Entry`'s attributes.
    path, where : str
        The file and the place in the mapping, for messages.

    Raises
    ------
    FormatError
        If it is neither, or a property has a wrong value.
    """
    stated = {"array": stated} if isinstance(stated, str) else stated
    if not isinstance(stated, Mapping) or not isinstance(stated.get("array"), str):
        raise FormatError(path, where, "the name of an array, or {array = ...}", f"{stated!r:.80}")
    known = [field.name for field in fields(Entry)]
    unknown = [key for key in stated if key not in known]
    if unknown:
        raise FormatError(
            path,
            where,
            f"keys among {shorten(known)}",
            f"{unknown[0]!r}{nearest(str(unknown[0]), known)}",
        )
    options: dict[str, Any] = {"array": stated["array"]}
    for key in set(stated) - {"array"}:
        options[key] = _READ[key](stated[key])
        if options[key] is None:
            raise FormatError(path, f"{where}/{key}", _EXPECTED[key], f"{stated[key]!r:.80}")
    return Entry(**options)


def nearest(name: str, names: Iterable[str]) -> str:
    """Return a question whether the most similar name was meant; "" if none is similar."""
    folded = {n.lower(): n for n in names}
    near = difflib.get_close_matches(name.lower(), folded, 1, 0.4)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""


def number(value: Any) -> float | None:
    """Return a finite number; None for anything else."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return float(value) if good and math.isfinite(value) else None
    except OverflowError:
        return None


def _column(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _dims(value: Any) -> tuple[str, ...] | None:
    value = [value] if isinstance(value, str) else value
    good = isinstance(value, list | tuple) and all(isinstance(d, str) and d for d in value)
    return tuple(value) if good and len(set(value)) == len(value) else None


def _dtype(value: Any) -> str | None:
    try:
        return str(value) if np.dtype(value).kind in "biuf" else None
    except (TypeError, ValueError):
        return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


_READ = {
    "column": _column,
    "dims": _dims,
    "dtype": _dtype,
    "scale": number,
    "offset": number,
    "units": _text,
    "long_name": _text,
}
_EXPECTED = {
    "column": "a place along the last axis: 0, 1, ...",
    "dims": 'different names of axes: ["time", "unit_id"]',
    "dtype": 'a dtype of numbers or bool: "uint8", "float32", "bool"',
    "scale": "a finite number",
    "offset": "a finite number",
    "units": "a text",
    "long_name": "a text",
}
