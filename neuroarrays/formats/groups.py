"""What is mended in the groups of a file before they become a tree: clocks that clash, odd characters."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import printable


def apart(groups: dict[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Groups with a series and an area of one name as two nodes.

    A node shares its clock with the nodes below it, which two recordings cannot. The series is
    called ``<name>_series``, and the session's `notes` say so.
    """
    recording = schema.kind_of(groups["/"].attrs) == schema.RECORDING
    clashes: dict[str, str] = {}
    for path, node in groups.items():
        above = path.strip("/")
        while "/" in above:
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
    """A node without control characters in names and attributes.

    They come from a file and could steer a terminal.
    """
    everything: list[Any] = [node, *node.variables.values()]
    for labelled in everything:
        if not all(map(_is_plain, (*labelled.attrs, *labelled.attrs.values()))):
            labelled.attrs = {
                _cleaned(key): _cleaned(value) for key, value in labelled.attrs.items()
            }
    odd = {name: printable(name) for name in node.variables if not str(name).isprintable()}
    return node.rename(odd) if odd else node


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return not isinstance(value, str) or value.isprintable()


def _cleaned(value: Any) -> Any:
    """A text, or a list with texts, without control characters but line ends and tabs."""
    if isinstance(value, list):
        return [_cleaned(entry) for entry in value]
    return printable(value, keep="\n\t") if isinstance(value, str) else value
