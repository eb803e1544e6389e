"""Which datasets of an NWB file are neither in the tree nor in the notes."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.testing.reads import innermost
from neuroarrays.testing.sources import open_source


def datasets(path):
    """Paths of all datasets of a file, each once, however many links lead to it."""
    if Path(path).is_dir():
        marks = (".zarray", "zarr.json")
        return sorted(
            str(mark.parent.relative_to(path))
            for mark in Path(path).rglob("*")
            if mark.name in marks
            and (mark.name == ".zarray" or json.loads(mark.read_text())["node_type"] == "array")
        )
    found = []
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
        )
    return sorted(
        name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name
        for name in found
    )


def in_the_tree(session):
    """Names of stored arrays that the variables of a session read."""
    names = set()

    def of(array):
        if hasattr(array, "name") and hasattr(array, "source"):
            names.add(array.name.strip("/"))
        for value in getattr(array, "__dict__", {}).values():
            for one in value if isinstance(value, tuple | list) else [value]:
                if isinstance(one, LazyArray):
                    of(one)

    for node in session.subtree:
        for variable in node.variables.values():
            of(innermost(variable._data))
    return names


def read_on_opening(session):
    """Values at hand: what attributes say, and columns that are not lazy, as text."""
    found = set()
    for node in session.subtree:
        held = [
            v.values
            for v in node.variables.values()
            if not isinstance(innermost(v._data), LazyArray)
        ]
        held += list(node.attrs.values()) + [
            a for v in node.variables.values() for a in v.attrs.values()
        ]
        for value in held:
            for one in np.ravel(np.asarray(value, object)).tolist():
                found.update([str(one)], str(one).split("; "), str(one).split(", "))
    return found


def unaccounted(path, session, stored=datasets):
    said = [session.attrs.get(name, []) for name in ("notes", "metadata_in_file")]
    notes = "; ".join(note for notes in said for note in np.atleast_1d(notes).tolist())
    lazy = in_the_tree(session)
    lost = []
    for name in stored(path):
        parents = ["/".join(name.split("/")[:n]) for n in range(1, name.count("/") + 2)]
        said = (rf"(^|[ ;,:]){re.escape(parent)}($|[ ;,:])" for parent in parents)
        if name not in lazy and not any(re.search(one, notes) for one in said):
            lost.append(name)
    return lost


def lost(path, session):
    """Datasets that are neither in the tree, nor in the notes, nor read on opening."""
    known, lazy = read_on_opening(session), in_the_tree(session)
    file = open_source(path)
    clocks = {file.read(name).tobytes() for name in lazy if name.endswith("timestamps")}
    found = []
    for name in unaccounted(path, session):
        values = file.read(name)
        texts = {str(value) for value in np.ravel(values)[:1000].tolist()} - {""}
        same_clock = name.endswith("timestamps") and values.tobytes() in clocks
        derived = name.endswith(("_index", "/id", "starting_time"))
        if texts and not texts & known and not same_clock and not derived:
            found.append(name)
    return found


@pytest.fixture(scope="session")
def accounts():
    return SimpleNamespace(datasets=datasets, unaccounted=unaccounted, lost=lost)
