"""Check a recording in a child process (`neuroarrays.files.guard`), by a part or all of its values."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays.errors import FormatError, SchemaError
from neuroarrays.files import guard
from neuroarrays.files.folders import size_of
from neuroarrays.files.probe import naming_as_given, probe_of
from neuroarrays.formats import door
from neuroarrays.schema.validation import validate

PathLike = str | os.PathLike[str]


def checked(path: PathLike | Sequence[PathLike], **options: Any) -> tuple[list[str], list[str]]:
    """Read all values of a recording in a child process, and return its notes and faults.

    Parameters
    ----------
    path : str, path or list of these
        The recording.
    **options
        As for `neuroarrays.open_datatree`.

    Returns
    -------
    notes, faults : list of str
        Notes of the readers and about the values, and faults of the values.

    Raises
    ------
    NeuroArraysError
        As `neuroarrays.open_datatree`; a `FormatError` if reading hangs, ends the process or exhausts
        memory.
    """
    probe = probe_of(path)
    nbytes = sum(size_of(member) for member in probe.paths if "://" not in member)
    options = {name: value for name, value in options.items() if value is not None}
    with naming_as_given(probe):
        result = guard.in_child(
            f"{__name__}:check", probe.addresses, nbytes=nbytes, options=options
        )
    return result["notes"], result["faults"]


# ----------------------------------------------------------------------------------- in the child


def touch(path: str | list[str], options: dict[str, Any]) -> None:
    """Open a recording and read the first and the last value of each variable along its first axis."""
    tree = door.open_datatree(path, **options)
    for node in tree.subtree:
        for variable in node.to_dataset(inherit=False).variables.values():
            for end in (0, -1) if variable.size else ():
                key = [end if axis == 0 else slice(0, 1) for axis in range(variable.ndim)]
                np.asarray(variable[tuple(key)].values)


def check(path: str | list[str], options: dict[str, Any]) -> dict[str, Any]:
    """Open a recording, read and check all values, and return its "notes" and "faults"."""
    tree = door.open_datatree(path, **options)
    notes = list(_notes(tree))
    try:
        return {"notes": notes + validate(tree, values=True), "faults": []}
    except SchemaError as error:
        return {"notes": notes, "faults": str(error).splitlines()[1:] or [str(error)]}
    except FormatError as error:
        return {"notes": notes, "faults": [str(error)]}


def _notes(tree: xr.DataTree) -> Iterator[str]:
    """Yield the notes of the readers, which tell what is not in the tree and why, with their node."""
    for node_path, node in tree.subtree_with_keys:
        notes = node.attrs.get("notes", [])
        for note in [notes] if isinstance(notes, str) else notes:
            yield str(note) if node_path == "." else f"{node_path}: {note}"
