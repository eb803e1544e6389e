"""Tables over many recordings, brought up to date: each recording is opened once and never again.

A table is kept as parquet in the user's cache folder (`recordings.Shelf`), one for each folder of
recordings, and extended when there are more. A recording whose stamp is another one is opened again.
Several are opened at a time, in child processes that a damaged file may end without harm
(`neuroarrays.files.guard`).
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from neuroarrays.collection import layout
from neuroarrays.collection.layout import Entry, Stored
from neuroarrays.collection.recordings import Recording, Shelf, stamps_of
from neuroarrays.collection.scanning import (
    CATALOG,
    PRESENTATIONS,
    SESSIONS,
    UNITS,
    Columns,
    catalogued,
    scanned,
)
from neuroarrays.collection.stacking import joined
from neuroarrays.errors import FormatError, NeuroArraysError, option
from neuroarrays.files import guard, openings, state
from neuroarrays.files.locating import locate
from neuroarrays.files.probe import Probe
from neuroarrays.files.progress import Bar
from neuroarrays.files.stamps import stamp_of
from neuroarrays.formats import registry
from neuroarrays.formats.door import reader_of
from neuroarrays.schema import given

if TYPE_CHECKING:
    import pyarrow as pa

#: Recordings that are opened in this process: a child takes a second to begin.
_FEW = 4
#: Child processes at a time unless a number is given, and where their numbers begin.
_WORKERS, _FIRST_CHILD = 4, 1000
#: Recordings by path, and their rows of one table.
Fresh = dict[str, tuple[Entry, Any]]
#: Bytes of rows that a child may be busy with besides opening: what it reads is tables.
_NBYTES = 100 << 20


@dataclass
class Asked:
    """What is wanted of recordings.

    Attributes
    ----------
    table : str
        Which table, of `scanning.TABLES`.
    engine : str
        The reader, or "".
    options : dict
        Of the reader.
    keeps : bool
        Whether tables are kept in the user's cache folder, and those that are there used.
    workers : int, optional
        Child processes at a time.
    skip_damaged : bool
        Whether a recording that cannot be read is left out, with a note.
    notes : list of str
        What was left out, and what was made anew.
    """

    table: str
    engine: str
    options: dict[str, Any]
    keeps: bool = True
    workers: int | None = None
    skip_damaged: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass
class Rows:
    """The rows of some recordings: from one or several places, in order.

    Attributes
    ----------
    entries : list of Entry
        Each recording, with its number of rows.
    columns : list of str
        Names of all columns.
    read : callable
        Gives the rows, of some columns or (None) all.
    """

    entries: list[Entry]
    columns: list[str]
    read: Callable[[Sequence[str] | None], pa.Table]


def up_to_date(recordings: Sequence[Recording], asked: Asked) -> list[Rows]:
    """The rows of all recordings, from what is kept and, where nothing or something else is, from them.

    Raises
    ------
    FormatError, MissingPath
        If a recording cannot be read, unless `skip_damaged`; the others are kept.
    """
    by_root: dict[str, list[Recording]] = {}
    for recording in recordings:
        by_root.setdefault(recording.root, []).append(recording)
    stamps = dict(zip((r.path for r in recordings), stamps_of(recordings), strict=True))
    kept = {root: _kept(root, asked) for root in by_root}
    todo = []
    for root, members in by_root.items():
        stored = kept[root]
        entries = [] if stored is None else stored.entries
        usable = [entry for entry in entries if entry.is_whole or asked.skip_damaged]
        known = {entry.path: entry.stamp for entry in usable}
        for recording in members:
            stamp = known.get(recording.path)
            if stamp is None or not stamp or stamp != stamps[recording.path]:
                todo.append(recording)
                if stamp is not None:
                    asked.notes.append(
                        f"{recording.path} changed since it was indexed; it was read again"
                    )
    fresh, error = scan_all(todo, stamps, asked)
    error = error and _hinted(error, len(recordings))
    results = [
        _extended(root, kept[root], members, fresh[asked.table], asked)
        for root, members in by_root.items()
    ]
    for table in [name for name in fresh if name != asked.table and asked.keeps]:
        also = replace(asked, table=table)
        for root, members in by_root.items():
            _extended(root, _kept(root, also), members, fresh[table], also)
    if error is not None:
        raise error
    asked.notes += [n for rows in results for e in rows.entries for n in e.notes if not e.is_whole]
    return results


def _kept(root: str, asked: Asked) -> Stored | None:
    """What is kept of the recordings of a folder; None where nothing is, or it is damaged."""
    shelf = Shelf(root, asked.engine, asked.options)
    path = shelf.table(asked.table) if asked.keeps else None
    if path is None or not path.is_file():
        return None
    shelf.used()
    try:
        return layout.stored(Probe(locate(path)))
    except NeuroArraysError:
        return None


def _extended(
    root: str,
    kept: Stored | None,
    members: Sequence[Recording],
    fresh: Fresh,
    asked: Asked,
) -> Rows:
    """The rows of the recordings of one folder; what is new is added to what is kept."""
    entries = [] if kept is None else kept.entries
    added = {r.path: fresh[r.path] for r in members if r.path in fresh}
    wanted = [r.path for r in members]
    if not added and kept is not None:
        return picked(kept.entries, kept.columns, kept.read, wanted)
    before: dict[str, tuple[Entry, pa.Table]] = {}
    if kept is not None and kept.entries:
        whole, start = kept.read(None), 0
        for entry in entries:
            gone = entry.path not in wanted and not stamp_of(locate(entry.path))
            if entry.path not in fresh and not gone:
                before[entry.path] = entry, whole.slice(start, entry.n_rows)
            start += entry.n_rows
    every = before | added
    order = sorted(every, key=lambda path: (path not in wanted, path))
    if set(wanted) >= set(order):
        order = [path for path in wanted if path in every]
    table = joined([every[path][1] for path in order])
    together = [every[path][0] for path in order]
    shelf = Shelf(root, asked.engine, asked.options)
    path = shelf.table(asked.table) if asked.keeps else None
    if path is not None:
        with contextlib.suppress(OSError, NeuroArraysError):  # a full disk loses no answer
            path.parent.mkdir(parents=True, exist_ok=True)
            if kept is not None:  # some systems replace no file that is open
                kept.file.close()
            layout.write(path, table, asked.table, together, relative=False)
            shelf.bound()
    read = partial(layout.some, table)
    return picked(together, table.column_names, read, wanted)


def picked(
    entries: Sequence[Entry],
    columns: list[str],
    read: Callable[[Sequence[str] | None], pa.Table],
    wanted: Sequence[str],
) -> Rows:
    """The rows of the wanted recordings, in their order."""
    starts, start = {}, 0
    for entry in entries:
        starts[entry.path] = start, entry
        start += entry.n_rows
    order = [starts[path] for path in wanted if path in starts]
    chosen = [entry for _, entry in order]
    if [entry.path for entry in entries] == [entry.path for entry in chosen]:
        return Rows(chosen, columns, read)

    def pick(names: Sequence[str] | None) -> pa.Table:
        import pyarrow as pa

        whole = read(names)
        parts = [whole.slice(first, entry.n_rows) for first, entry in order]
        return pa.concat_tables(parts) if parts else whole.slice(0, 0)

    return Rows(chosen, columns, pick)


# --------------------------------------------------------------------------------- opening them


def scan_all(
    recordings: Sequence[Recording], stamps: dict[str, list[int]], asked: Asked
) -> tuple[dict[str, Fresh], NeuroArraysError | None]:
    """The rows of recordings by table, and the first error; with `skip_damaged` errors are notes."""
    if asked.workers is not None:
        given.whole_number(asked.workers, "workers", 1)
    fresh: dict[str, Fresh] = {asked.table: {}}
    first: NeuroArraysError | None = None
    few = len(recordings) <= _FEW and asked.workers is None
    run = _here if few or not _is_plain(asked.options) else _in_children
    with Bar(None, f"indexing {asked.table}", len(recordings), of_bytes=False) as bar:
        for recording, outcome in run(recordings, asked):
            bar.at(recording.location.name)
            bar.add(1)
            if not isinstance(outcome, NeuroArraysError):
                stamp = stamps[recording.path]
                for table, (unstamped, notes) in outcome.items():
                    rows = layout.with_stamp(unstamped, stamp)
                    entry = Entry(recording.path, stamp, _format_of(rows), rows.num_rows, notes)
                    fresh.setdefault(table, {})[recording.path] = entry, rows
            elif asked.skip_damaged:
                asked.notes.append(f"left out: {outcome}")
            else:
                first = first or outcome
    return fresh, first


def _is_plain(options: dict[str, Any]) -> bool:
    """Whether options can be sent to another process as text."""
    try:
        json.dumps(options)
    except (TypeError, ValueError):
        return False
    return True


def _hinted(error: NeuroArraysError, total: int) -> NeuroArraysError:
    """An error that says how to go on without its recording, where there are others."""
    hint = f"{option('skip_damaged', True)} leaves it out"
    if total > 1 and isinstance(error, FormatError) and "skip_damaged" not in error.hint:
        hint = "; ".join(filter(None, (error.hint, hint)))
        return type(error)(error.path, error.where, error.expected, error.found, hint)
    return error


def _format_of(table: pa.Table) -> str:
    named = table.column("format") if "format" in table.column_names else []
    return str(named[0]) if len(named) else ""


#: Of a recording its rows and notes by table, or why there are none.
Outcome = tuple[Recording, dict[str, tuple[Any, list[str]]] | NeuroArraysError]


def _here(recordings: Sequence[Recording], asked: Asked) -> Iterator[Outcome]:
    """Open recordings one after another in this process."""
    for recording in recordings:
        contents: dict[str, tuple[Any, list[str]]] | NeuroArraysError
        try:
            with state.passing():
                frames = rows_of(
                    Probe(recording.location, recording.status),
                    asked.table,
                    recording.engine,
                    asked.options,
                    asked.skip_damaged,
                )
            contents = {n: (layout.to_arrow(f), f.notes) for n, f in frames.items()}
        except NeuroArraysError as error:
            contents = error
        yield recording, contents


def _in_children(recordings: Sequence[Recording], asked: Asked) -> Iterator[Outcome]:
    """Open recordings in child processes, several at a time."""
    count = min(asked.workers or min(_WORKERS, os.cpu_count() or 1), max(1, len(recordings)))
    numbers: SimpleQueue[int] = SimpleQueue()
    for number in range(count):
        numbers.put(_FIRST_CHILD + number)
    openings.keep_now()  # of files behind an address: a child need not fetch again what was looked at
    with tempfile.TemporaryDirectory(prefix="neuroarrays-") as folder:

        def scan(task: tuple[int, Recording]) -> Outcome:
            position, recording = task
            out, number = str(Path(folder, str(position))), numbers.get()
            try:
                notes: dict[str, list[str]] = guard.in_child(
                    f"{__name__}:scan_to",
                    recording.location.address,
                    nbytes=_NBYTES,
                    number=number,
                    out=out,
                    table=asked.table,
                    engine=recording.engine,
                    options=asked.options,
                    skip_damaged=asked.skip_damaged,
                )
                return recording, {n: (_received(f"{out}-{n}"), kept) for n, kept in notes.items()}
            except NeuroArraysError as error:
                return recording, error
            finally:
                numbers.put(number)

        try:
            with ThreadPoolExecutor(count) as threads:
                yield from threads.map(scan, enumerate(recordings))
        finally:
            guard.end(range(_FIRST_CHILD, _FIRST_CHILD + count))


def _received(path: str) -> pa.Table:
    """The rows that a child wrote."""
    import pyarrow as pa

    with pa.memory_map(path) as file, pa.ipc.open_stream(file) as stream:
        table = stream.read_all()
    os.unlink(path)
    return table


def rows_of(
    probe: Probe, table: str, engine: str, options: dict[str, Any], skip_damaged: bool = False
) -> dict[str, Columns]:
    """The rows of one recording by table, from its file: those asked for, and what costs little more.

    Raises
    ------
    NeuroArraysError
        As `neuroarrays.open_datatree`.
    """
    if not probe.exists:
        raise probe.unknown("a recording", probe.status.hint or "get it again, or leave it out")
    reader = reader_of(probe, engine or None)
    checked = reader._checked(dict(options))
    if skip_damaged and "skip_damaged" in reader.options():
        checked["skip_damaged"] = True
    source = registry.address(type(reader))
    has_list = reader._writes("list_rows")
    if table == CATALOG and has_list:
        return {CATALOG: catalogued(reader.catalog(probe, **checked), probe.path, source)}
    groups = reader.open_groups_as_dict(probe, **checked)
    notes = groups["/"].attrs.get("notes", [])
    tables = (table,) if table == PRESENTATIONS else (UNITS, SESSIONS, CATALOG)
    contents = {name: scanned(name, probe.path, groups, source) for name in tables}
    for content in contents.values():
        content.notes = [notes] if isinstance(notes, str) else [str(note) for note in notes]
    return contents


# ---------------------------------------------------------------------------------- in the child


def scan_to(
    path: str, out: str, table: str, engine: str, options: dict[str, Any], skip_damaged: bool
) -> dict[str, list[str]]:
    """Write the rows of one recording to a file per table; returns the notes by table."""
    import pyarrow as pa

    frames = rows_of(Probe(locate(path)), table, engine, options, skip_damaged)
    for name, frame in frames.items():
        content = layout.to_arrow(frame)
        with (
            pa.OSFile(f"{out}-{name}", "wb") as file,
            pa.ipc.new_stream(file, content.schema) as to,
        ):
            to.write_table(content)
    return {name: frame.notes for name, frame in frames.items()}
