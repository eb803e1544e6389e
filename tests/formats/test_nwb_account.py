"""Every dataset of an NWB file is in the tree, or in the notes by its path or that of its group.

What is there is found by h5py and json alone; what is in the tree, by the stored arrays that its
variables read, and by values where these were read on opening.
"""

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.files import source
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.synthetic import write_nwb
from neuroarrays.testing.reads import innermost

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SAMPLE = Path(na.__file__).parent / "demo" / "_sample" / "A2929-200711.nwb"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
REAL = sorted(SHARED.glob("*/*.nwb"))
FILES = [GOLDEN / "nwb/session.nwb", GOLDEN / "nwb/session_zarr.nwb", SAMPLE,
         GOLDEN / "allen/session_715093703.nwb", *REAL]  # fmt: skip


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
    return sorted(found)


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
        held = [v.values for v in node.variables.values()
                if not isinstance(innermost(v._data), LazyArray)]  # fmt: skip
        held += list(node.attrs.values()) + [
            a for v in node.variables.values() for a in v.attrs.values()
        ]
        for value in held:
            for one in np.ravel(np.asarray(value, object)).tolist():
                found.update([str(one)], str(one).split("; "), str(one).split(", "))
    return found


def unaccounted(path, session, stored=datasets):
    notes = "; ".join(np.atleast_1d(session.attrs.get("notes", [])).tolist())
    lazy = in_the_tree(session)
    lost = []
    for name in stored(path):
        parents = ["/".join(name.split("/")[:n]) for n in range(1, name.count("/") + 2)]
        said = (rf"(^|[ ;,:]){re.escape(parent)}($|[ ;,:])" for parent in parents)
        if name not in lazy and not any(re.search(one, notes) for one in said):
            lost.append(name)
    return lost


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_dataset_is_accounted_for(path):
    """Lazy, in the notes, or read on opening and found again by value (ids, tags, metadata).

    Bounds of rows (`_index`) become sizes, and the start of a clock its first time.
    """
    session = next(iter(na.open_datatree(path).children.values()))
    known, lazy = read_on_opening(session), in_the_tree(session)
    file = source.open_source(path)
    clocks = {file.read(name).tobytes() for name in lazy if name.endswith("timestamps")}
    lost = []
    for name in unaccounted(path, session):
        values = file.read(name)
        texts = {str(value) for value in np.ravel(values)[:1000].tolist()} - {""}
        same_clock = name.endswith("timestamps") and values.tobytes() in clocks
        derived = name.endswith(("_index", "/id", "starting_time"))
        if texts and not texts & known and not same_clock and not derived:
            lost.append(name)
    assert lost == []
    source.close_all()


def test_this_test_notices_what_is_lost(tmp_path):
    path = tmp_path / "s.nwb"
    write_nwb(path)
    session = na.open_datatree(path)["s"]
    more = lambda p: [*datasets(p), "acquisition/unheard/of"]  # noqa: E731
    assert "acquisition/unheard/of" in unaccounted(path, session, more)
