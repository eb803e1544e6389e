"""Changes to the groups of a file before they become a tree: separate clocks, and printable text."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import printable


def apart(groups: dict[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Rename series that have the name of an area with another clock.

    In a tree a node shares its coordinates with the nodes below it, so a series and an area of one
    name would share a clock. The series becomes ``<name>_series``, and the session's `notes` tell it.
    """
    recording = schema.kind_of(groups["/"].attrs) == schema.RECORDING
    clashes: dict[str, str] = {}
    for path, node in groups.items():
        above = path.strip("/")
        while above.count("/") > 1:  # a session itself is not renamed
            above = above.rpartition("/")[0]
            parent = groups.get(above)
            shared = set() if parent is None else set(parent.dims) & set(node.dims)
            if parent is not None and (
                (recording and schema.TIME in shared)
                or any(parent.sizes[d] != node.sizes[d] for d in shared)
            ):
                clashes.setdefault(above, path)
    if not clashes:
        return groups
    renamed: dict[str, xr.Dataset] = {}
    for path, node in groups.items():
        name = path
        while name in clashes or (name != path and name in groups):
            name += "_series"
        renamed[name] = node
        if name != path:
            session = path.partition("/")[0]
            note = f"{path} is called {name.rpartition('/')[2]}: {clashes[path]} has another clock"
            notes = np.atleast_1d(groups[session].attrs.get("notes", [])).tolist()
            renamed[session] = renamed[session].assign_attrs(notes=[*notes, note])
    return renamed


def plain(node: xr.Dataset) -> xr.Dataset:
    """Return a node without control characters in names and attributes.

    Text of a file could otherwise send control sequences to a terminal.
    """
    owners: list[Any] = [node, *node.variables.values()]
    for owner in owners:
        if not all(map(_is_plain, (*owner.attrs, *owner.attrs.values()))):
            owner.attrs = {_cleaned(key): _cleaned(value) for key, value in owner.attrs.items()}
    odd = {name: printable(name) for name in node.variables if not str(name).isprintable()}
    return node.rename(odd) if odd else node


def _is_plain(value: Any) -> bool:
    """Whether a value, or a list of values, has no text with control characters."""
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return not isinstance(value, str) or value.isprintable()


def _cleaned(value: Any) -> Any:
    """Return a text, or a list with texts, without control characters except line ends and tabs."""
    if isinstance(value, list):
        return [_cleaned(entry) for entry in value]
    return printable(value, keep="\n\t") if isinstance(value, str) else value
