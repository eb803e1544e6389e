"""Record which stored arrays are read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest

from neuroarrays.files import source
from neuroarrays.lazy.arrays import LazyArray


def record_reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[source.Source, str]]:
    """Record every `Source.read` from now on, as (source, name)."""
    reads: list[tuple[source.Source, str]] = []

    def patched(original: Any) -> Any:
        """Return a method that notes each read before it does it."""

        def read(self: source.Source, name: str, key: Any = ()) -> np.ndarray:
            """Note the array, and read its values."""
            reads.append((self, name.strip("/")))
            values: np.ndarray = original(self, name, key)
            return values

        return read

    kinds = [source.Source]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if "read" in vars(kind):
            monkeypatch.setattr(kind, "read", patched(vars(kind)["read"]))
    return reads


def innermost(data: Any) -> Any:
    """Return the array under xarray's wrappers, also if it was indexed."""
    while not isinstance(data, LazyArray | np.ndarray) and hasattr(data, "array"):
        data = data.array
    return data


def stored(array: Any) -> set[tuple[source.Source, str]]:
    """Return the stored arrays that a lazy array reads."""
    if hasattr(array, "source") and hasattr(array, "name"):
        return {(array.source, array.name.strip("/"))}
    if isinstance(array, tuple):
        parts: Iterable[Any] = array
    elif is_dataclass(array) and not isinstance(array, type | source.Source):
        parts = (getattr(array, field.name) for field in fields(array))
    else:
        parts = ()
    return set().union(*map(stored, parts))


def build(array: Any) -> Any:
    """Return the types that an array is built of, with those of nested arrays and sources."""
    if isinstance(array, LazyArray | source.Source):
        return type(array), *(build(getattr(array, field.name)) for field in fields(array))
    if isinstance(array, tuple):
        return frozenset(map(build, array))
    return type(array)
