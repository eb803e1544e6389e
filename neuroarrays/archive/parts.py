"""Writing HDF5 archives of several sessions so that an interrupted save can be resumed.

HDF5 cannot read a file whose writing was interrupted. A save that takes long therefore closes its
file every two minutes, as a part with the sessions that are complete. At the end it copies the chunks
of all parts into the archive. A save that takes less time writes the archive directly.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from neuroarrays.archive import index
from neuroarrays.archive.encoding import Node
from neuroarrays.archive.hdf5_writer import HDF5Writer, create_hdf5
from neuroarrays.archive.nodes import Written
from neuroarrays.files.partials import Partial
from neuroarrays.files.progress import Bar
from neuroarrays.files.writing import flush

if TYPE_CHECKING:
    import h5py

#: Path of a session -> its nodes; None -> the nodes that belong to no session.
SessionNodes = dict[str | None, list[Node]]
#: Time after which a part is closed, as soon as a session in it is complete, s.
PART = 120.0
#: The file that lists the finished parts and their sessions.
_FINISHED = "finished.json"


def write_hdf5(partial: Partial, units: SessionNodes, compression: str | None, bar: Bar) -> Path:
    """Write an archive in the folder of a save, using the parts that an interrupted save finished.

    Parameters
    ----------
    partial : Partial
        The folder, with the parts that an interrupted save of the same tree left.
    units : dict
        All nodes by session.
    compression : {"zstd", "portable", None}
        As for `neuroarrays.save`.
    bar : Bar
        The progress bar.

    Returns
    -------
    Path
        The finished file in that folder.
    """
    whole, unfinished = partial.folder / "whole.h5", partial.folder / "unfinished.h5"
    finished = _finished(partial.folder)
    while remaining := {name: nodes for name, nodes in units.items() if name not in finished}:
        complete, written, failure = _write_part(
            unfinished, remaining, compression, bar, is_only=not finished
        )
        if written is not None:
            os.replace(unfinished, whole)
            break
        if any(name is not None for name in complete):
            part = partial.folder / f"{len(set(finished.values()))}.h5"
            os.replace(unfinished, part)
            finished |= dict.fromkeys(complete, part)
            _record(partial.folder, finished)
            partial.keep = True
        if failure is not None:
            unfinished.unlink(missing_ok=True)
            raise failure
    else:
        written = copy_parts(whole, units, finished, compression, bar)
    index.append(whole, written)
    flush(whole)
    return whole


def _write_part(
    path: Path, units: SessionNodes, compression: str | None, bar: Bar, *, is_only: bool
) -> tuple[list[str | None], Written | None, BaseException | None]:
    """Write sessions until all are written, `PART` seconds have passed, or something fails.

    Returns
    -------
    complete : list of str or None
        The sessions that the file has completely.
    written : Written, optional
        What was written, if the file has all sessions and no other part is needed (`is_only`).
    failure : BaseException, optional
        The error that ended the writing. If the file itself cannot be written or closed, the error
        is raised instead, as then no session in it can be used.
    """
    complete: list[str | None] = []
    written: Written | None = None
    failure: BaseException | None = None
    path.unlink(missing_ok=True)
    with create_hdf5(path) as (file, check):
        writer = HDF5Writer(file, compression, _both(bar.add, check))
        _begin(writer, units)
        deadline = time.monotonic() + PART
        try:
            for name, nodes in units.items():
                if time.monotonic() > deadline and any(done is not None for done in complete):
                    break
                _write_nodes(writer, nodes, None, bar, check)
                complete.append(name)
            else:
                written = writer.finish() if is_only else None
        except BaseException as error:  # also for Ctrl-C, complete sessions are kept
            failure = error
    return complete, written, failure


def copy_parts(
    path: Path,
    units: SessionNodes,
    parts: Mapping[str | None, Path],
    compression: str | None,
    bar: Bar,
) -> Written:
    """Write a file by copying chunks from finished parts, without decompressing them.

    Parameters
    ----------
    path : Path
        The file to write.
    units : dict
        All nodes by session.
    parts : mapping
        Session -> the part that has it. Nodes of sessions without a part are written anew.
    compression, bar
        As for `write_hdf5`.

    Returns
    -------
    Written
        What was written.
    """
    path.unlink(missing_ok=True)
    with create_hdf5(path) as (file, check):
        writer = HDF5Writer(file, compression, _both(bar.add, check))
        _begin(writer, units)
        for part, names in itertools.groupby(units, parts.get):
            with _opened(part) as source:
                for name in names:
                    _write_nodes(writer, units[name], source, bar, check)
        return writer.finish()


def _begin(writer: HDF5Writer, units: SessionNodes) -> None:
    """Create the groups of all sessions, and of the nodes that belong to no session."""
    other_paths = [node.path for node in units.get(None, ())]
    writer.begin(dict.fromkeys([*other_paths, *(name for name in units if name)]))


def _write_nodes(
    writer: HDF5Writer,
    nodes: list[Node],
    part: h5py.File | None,
    bar: Bar,
    check: Callable[[], None],
) -> None:
    for node in nodes:
        bar.at(node.path)
        writer.node(node, part)
        check()
    writer.settle()


def _both(report: Callable[[int], None], check: Callable[[], None]) -> Callable[[int], None]:
    """Return a function that checks that a write succeeded, and then reports its bytes."""

    def add(nbytes: int) -> None:
        check()
        report(nbytes)

    return add


@contextmanager
def _opened(path: Path | None) -> Iterator[h5py.File | None]:
    if path is None:
        yield None
        return
    import h5py

    with h5py.File(path, "r") as file:
        yield file


def _finished(folder: Path) -> dict[str | None, Path]:
    """Return session -> the part that has it, for the parts of an interrupted save."""
    note = folder / _FINISHED
    if not note.is_file():
        return {}
    parts: dict[str, list[str | None]] = json.loads(note.read_text(encoding="utf-8"))
    return {name: folder / part for part, names in parts.items() for name in names}


def _record(folder: Path, finished: Mapping[str | None, Path]) -> None:
    """Write to the disk which part has which sessions."""
    parts: dict[str, list[str | None]] = {}
    for name, part in finished.items():
        parts.setdefault(part.name, []).append(name)
    new = folder / f"{_FINISHED}.new"
    new.write_text(json.dumps(parts), encoding="utf-8")
    os.replace(new, folder / _FINISHED)
