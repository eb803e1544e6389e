"""What is done with a file in a child process (`neuroarrays.files.guard`): touched, or checked."""

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
    """Notes and faults of a recording, after reading all of its values.

    Parameters
    ----------
    path : str, path or list of these
        Of the recording.
    **options
        As for `neuroarrays.open_datatree`.

    Returns
    -------
    notes, faults : list of str
        Of the readers and of the values.

    Raises
    ------
    NeuroArraysError
        As `neuroarrays.open_datatree`; a `FormatError` if reading hangs, ends the process or exhausts
        memory.
    """
    probe = probe_of(path)
    nbytes = sum(size_of(member) for member in probe.paths if "://" not in member)
    given = {name: value for name, value in options.items() if value is not None}
    with naming_as_given(probe):
        done = guard.in_child(f"{__name__}:check", probe.addresses, nbytes=nbytes, options=given)
    return done["notes"], done["faults"]


# ----------------------------------------------------------------------------------- in the child


def touch(path: str | list[str], options: dict[str, Any]) -> None:
    """Open and read the first and the last value of every variable along its first dimension."""
    tree = door.open_datatree(path, **options)
    for node in tree.subtree:
        for variable in node.to_dataset(inherit=False).variables.values():
            for end in (0, -1) if variable.size else ():
                key = [end if axis == 0 else slice(0, 1) for axis in range(variable.ndim)]
                np.asarray(variable[tuple(key)].values)


def check(path: str | list[str], options: dict[str, Any]) -> dict[str, Any]:
    """Open a recording, read all values and check them."""
    tree = door.open_datatree(path, **options)
    notes = list(_notes(tree))
    try:
        return {"notes": notes + validate(tree, values=True), "faults": []}
    except SchemaError as error:
        return {"notes": notes, "faults": str(error).splitlines()[1:] or [str(error)]}
    except FormatError as error:
        return {"notes": notes, "faults": [str(error)]}


def _notes(tree: xr.DataTree) -> Iterator[str]:
    """What the readers say about the sessions: what is not in the tree, and why."""
    for node_path, node in tree.subtree_with_keys:
        notes = node.attrs.get("notes", [])
        for note in [notes] if isinstance(notes, str) else notes:
            yield str(note) if node_path == "." else f"{node_path}: {note}"
