"""HDF5 archives of several sessions, written so that an interrupted save goes on where it was.

HDF5 cannot read a file whose writing was interrupted. So what has been written is closed now and
then, as a part, with the sessions that are complete in it, and the chunks of all parts are copied
into the archive at the end. A save that is faster writes its archive at once.
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

#: Session path -> its nodes; None the nodes above and beside the sessions.
Units = dict[str | None, list[Node]]
#: Seconds after which a part is closed, once its session is complete.
PART = 120.0
_FINISHED = "finished.json"


def write_hdf5(partial: Partial, units: Units, compression: str | None, bar: Bar) -> Path:
    """The archive, in the folder of an unfinished save whose finished parts are used.

    Parameters
    ----------
    partial : Partial
        The folder, with what an interrupted save of the same tree left.
    units : dict
        All nodes by session.
    compression : {"zstd", "portable", None}
        As `neuroarrays.save` has it.
    bar : Bar
        Told the bytes that are written.

    Returns
    -------
    Path
        The finished file in that folder.
    """
    whole, unfinished = partial.folder / "whole.h5", partial.folder / "unfinished.h5"
    finished = _finished(partial.folder)
    while left := {name: nodes for name, nodes in units.items() if name not in finished}:
        complete, contents, failure = _write_part(
            unfinished, left, compression, bar, alone=not finished
        )
        if contents is not None:
            os.replace(unfinished, whole)
            break
        if any(name is not None for name in complete):
            part = partial.folder / f"{len(set(finished.values()))}.h5"
            os.replace(unfinished, part)
            finished |= dict.fromkeys(complete, part)
            _note(partial.folder, finished)
            partial.keep = True
        if failure is not None:
            unfinished.unlink(missing_ok=True)
            raise failure
    else:
        contents = copied(whole, units, finished, compression, bar)
    index.append(whole, contents)
    flush(whole)
    return whole


def _write_part(
    path: Path, units: Units, compression: str | None, bar: Bar, *, alone: bool
) -> tuple[list[str | None], Written | None, BaseException | None]:
    """Write sessions until all are there, `PART` seconds have passed, or something fails.

    Returns
    -------
    complete : list of str or None
        The sessions that the file holds.
    contents : Written, optional
        What stands in it, if that is all, and it stands `alone`.
    failure : BaseException, optional
        What ended the writing. A file that is itself the fault raises instead: nothing of it holds.
    """
    complete: list[str | None] = []
    contents: Written | None = None
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
                contents = writer.finish() if alone else None
        except BaseException as error:  # Ctrl-C too: what is complete is kept
            failure = error
    return complete, contents, failure


def copied(
    path: Path,
    units: Units,
    parts: Mapping[str | None, Path],
    compression: str | None,
    bar: Bar,
) -> Written:
    """Write a file by copying the chunks that finished parts hold as they are.

    Parameters
    ----------
    path : Path
        The file.
    units : dict
        All nodes by session.
    parts : mapping
        Session -> the file that has it; the nodes of those that are not in it are written anew.
    compression, bar
        As for `write_hdf5`.

    Returns
    -------
    Written
        What stands in the file.
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


def _begin(writer: HDF5Writer, units: Units) -> None:
    """Make the groups of all sessions, and those above and beside them."""
    beside = [node.path for node in units.get(None, ())]
    writer.begin(dict.fromkeys([*beside, *(name for name in units if name)]))


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
    """Report bytes as written once they are."""

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
    """Session -> the part that holds it, of an interrupted save."""
    note = folder / _FINISHED
    if not note.is_file():
        return {}
    parts: dict[str, list[str | None]] = json.loads(note.read_text(encoding="utf-8"))
    return {name: folder / part for part, names in parts.items() for name in names}


def _note(folder: Path, finished: Mapping[str | None, Path]) -> None:
    """Put on the disk which part holds which sessions."""
    parts: dict[str, list[str | None]] = {}
    for name, part in finished.items():
        parts.setdefault(part.name, []).append(name)
    new = folder / f"{_FINISHED}.new"
    new.write_text(json.dumps(parts), encoding="utf-8")
    os.replace(new, folder / _FINISHED)
