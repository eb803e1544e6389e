"""Tables over many recordings, cached so that each recording is opened only once.

The rows of all recordings in a folder are cached as a parquet file in the user's cache folder
(`recordings.TableCache`), to which the rows of new recordings are added. A recording whose stamp has
changed is opened again. Several recordings are opened at a time, in child processes that a damaged
file may crash without harm (`neuroarrays.files.guard`).
"""

from __future__ import annotations

import contextlib
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
from neuroarrays.collection.layout import Entry, IndexFile
from neuroarrays.collection.recordings import Recording, TableCache, stamps_of
from neuroarrays.collection.scanning import (
    CATALOG,
    PRESENTATIONS,
    SESSIONS,
    UNITS,
    Columns,
    scan_catalog,
    scan_nodes,
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

#: Up to this number recordings are opened in this process, as a child takes a second to start; default
#: number of child processes, and the number of the first.
_FEW, _WORKERS, _FIRST_CHILD = 4, 4, 1000
#: Path of a recording -> its entry, and its rows of one table.
Fresh = dict[str, tuple[Entry, Any]]
#: Size of the tables of a recording, for the time limit of a child, bytes.
_NBYTES = 100 << 20


@dataclass
class ScanRequest:
    """How recordings are scanned.

    Attributes
    ----------
    table : str
        Name of the table, one of `scanning.TABLES`.
    engine : str
        The reader; "" for the one that recognises a recording.
    options : dict
        Options of the reader.
    keeps : bool
        Whether cached tables are used, and new rows are cached.
    workers : int, optional
        Number of child processes.
    skip_damaged : bool
        Whether a recording that cannot be read is left out, with a note.
    notes : list of str
        Collects what was left out, and what was scanned again.
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
    """The rows of some recordings, which are read only when `read` is called.

    Attributes
    ----------
    entries : list of Entry
        The recordings, in the order of their rows.
    columns : list of str
        Names of all columns.
    read : callable
        Takes a sequence of names of columns, or None for all, and returns the rows.
    """

    entries: list[Entry]
    columns: list[str]
    read: Callable[[Sequence[str] | None], pa.Table]


def updated_rows(recordings: Sequence[Recording], request: ScanRequest) -> list[Rows]:
    """Return the rows of all recordings: cached ones, and scanned ones of new and changed recordings.

    Raises
    ------
    FormatError, MissingPath
        If a recording cannot be read, unless `skip_damaged`. The rows of the others are cached.
    """
    by_root: dict[str, list[Recording]] = {}
    for recording in recordings:
        by_root.setdefault(recording.root, []).append(recording)
    stamps = dict(zip((r.path for r in recordings), stamps_of(recordings), strict=True))
    cached = {root: _cached(root, request) for root in by_root}
    outdated = []
    for root, group in by_root.items():
        table = cached[root]
        cached_stamps = {
            entry.path: entry.stamp
            for entry in (table.entries if table is not None else ())
            if entry.is_whole or request.skip_damaged
        }
        for recording in group:
            path = recording.path
            if not cached_stamps.get(path) or cached_stamps[path] != stamps[path]:
                outdated.append(recording)
                if path in cached_stamps:
                    request.notes.append(f"{path} changed since it was indexed; it was read again")
    fresh, error = scan_recordings(outdated, stamps, request)
    results = [
        _extended(root, cached[root], group, fresh[request.table], request)
        for root, group in by_root.items()
    ]
    for name in [name for name in fresh if name != request.table and request.keeps]:
        other = replace(request, table=name)
        for root, group in by_root.items():
            _extended(root, _cached(root, other), group, fresh[name], other)
    if error is not None:
        raise _hinted(error, len(recordings))
    damaged = [entry for rows in results for entry in rows.entries if not entry.is_whole]
    request.notes += [note for entry in damaged for note in entry.notes]
    return results


def _cached(root: str, request: ScanRequest) -> IndexFile | None:
    """Return the cached table of the recordings in a folder; None if there is no intact one."""
    cache = TableCache(root, request.engine, request.options)
    path = cache.table(request.table) if request.keeps else None
    if path is None or not path.is_file():
        return None
    cache.touch()
    try:
        return layout.open_index(Probe(locate(path)))
    except NeuroArraysError:
        return None


def _extended(
    root: str,
    cached: IndexFile | None,
    members: Sequence[Recording],
    fresh: Fresh,
    request: ScanRequest,
) -> Rows:
    """Return the rows of the recordings in one folder, and add new rows to the cached table."""
    added = {r.path: fresh[r.path] for r in members if r.path in fresh}
    paths = [r.path for r in members]
    if not added and cached is not None:
        return select_recordings(cached.entries, cached.columns, cached.read, paths)
    before: dict[str, tuple[Entry, pa.Table]] = {}
    if cached is not None and cached.entries:
        table_before, start = cached.read(None), 0
        for entry in cached.entries:
            is_gone = entry.path not in paths and not stamp_of(locate(entry.path))
            if entry.path not in fresh and not is_gone:
                before[entry.path] = entry, table_before.slice(start, entry.n_rows)
            start += entry.n_rows
    all_rows = before | added
    order = sorted(all_rows, key=lambda path: (path not in paths, path))
    if set(paths) >= set(order):
        order = [path for path in paths if path in all_rows]
    table = joined([all_rows[path][1] for path in order])
    kept_entries = [all_rows[path][0] for path in order]
    cache = TableCache(root, request.engine, request.options)
    path = cache.table(request.table) if request.keeps else None
    if path is not None:
        with contextlib.suppress(OSError, NeuroArraysError):  # the rows are returned in any case
            path.parent.mkdir(parents=True, exist_ok=True)
            if cached is not None:  # Windows cannot replace an open file
                cached.file.close()
            layout.write(path, table, request.table, kept_entries, relative=False)
            cache.evict()
    read = partial(layout.select_columns, table)
    return select_recordings(kept_entries, table.column_names, read, paths)


def select_recordings(
    entries: Sequence[Entry],
    columns: list[str],
    read: Callable[[Sequence[str] | None], pa.Table],
    wanted: Sequence[str],
) -> Rows:
    """Return the rows of the wanted recordings, in their order."""
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


def scan_recordings(
    recordings: Sequence[Recording], stamps: dict[str, list[int]], request: ScanRequest
) -> tuple[dict[str, Fresh], NeuroArraysError | None]:
    """Return the rows of recordings by table, and the first error.

    With `skip_damaged` there is a note for each error instead.
    """
    if request.workers is not None:
        given.whole_number(request.workers, "workers", 1)
    fresh: dict[str, Fresh] = {request.table: {}}
    first_error: NeuroArraysError | None = None
    is_few = len(recordings) <= _FEW and request.workers is None
    run_all = _here if is_few or not guard.is_json(request.options) else _in_children
    with Bar(None, f"indexing {request.table}", len(recordings), of_bytes=False) as bar:
        for recording, outcome in run_all(recordings, request):
            bar.at(recording.location.name)
            bar.add(1)
            if not isinstance(outcome, NeuroArraysError):
                stamp = stamps[recording.path]
                for table, (unstamped, notes) in outcome.items():
                    rows = layout.with_stamp(unstamped, stamp)
                    entry = Entry(recording.path, stamp, _format_of(rows), rows.num_rows, notes)
                    fresh.setdefault(table, {})[recording.path] = entry, rows
            elif request.skip_damaged:
                request.notes.append(f"left out: {outcome}")
            else:
                first_error = first_error or outcome
    return fresh, first_error


def _hinted(error: NeuroArraysError, total: int) -> NeuroArraysError:
    """Add to the error of one of several recordings how to leave the recording out."""
    hint = f"{option('skip_damaged', True)} leaves it out"
    if total > 1 and isinstance(error, FormatError) and "skip_damaged" not in error.hint:
        return error.with_hint(hint)
    return error


def _format_of(table: pa.Table) -> str:
    """Return the format that the rows of a recording state."""
    formats = table.column("format") if "format" in table.column_names else []
    return str(formats[0]) if len(formats) else ""


#: A recording with its rows and notes by table, or with the error.
Outcome = tuple[Recording, dict[str, tuple[Any, list[str]]] | NeuroArraysError]


def _here(recordings: Sequence[Recording], request: ScanRequest) -> Iterator[Outcome]:
    """Open recordings one after another in this process."""
    for recording in recordings:
        contents: dict[str, tuple[Any, list[str]]] | NeuroArraysError
        try:
            with state.passing():
                frames = scan_recording(
                    Probe(recording.location, recording.status),
                    request.table,
                    recording.engine,
                    request.options,
                    request.skip_damaged,
                )
            contents = {n: (layout.to_arrow(f), f.notes) for n, f in frames.items()}
        except NeuroArraysError as error:
            contents = error
        yield recording, contents


def _in_children(recordings: Sequence[Recording], request: ScanRequest) -> Iterator[Outcome]:
    """Open recordings in child processes, several at a time."""
    count = min(request.workers or min(_WORKERS, os.cpu_count() or 1), max(1, len(recordings)))
    numbers: SimpleQueue[int] = SimpleQueue()
    for number in range(count):
        numbers.put(_FIRST_CHILD + number)
    openings.keep_now()  # so that children need not fetch again what this process has fetched
    with tempfile.TemporaryDirectory(prefix="neuroarrays-") as folder:

        def scan(task: tuple[int, Recording]) -> Outcome:
            position, recording = task
            out, number = str(Path(folder, str(position))), numbers.get()
            try:
                notes: dict[str, list[str]] = guard.in_child(
                    f"{__name__}:scan_to_file",
                    recording.location.address,
                    nbytes=_NBYTES,
                    number=number,
                    out=out,
                    table=request.table,
                    engine=recording.engine,
                    options=request.options,
                    skip_damaged=request.skip_damaged,
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
    """Return the rows that a child wrote to a file, and delete the file."""
    import pyarrow as pa

    with pa.memory_map(path) as file, pa.ipc.open_stream(file) as stream:
        table = stream.read_all()
    os.unlink(path)
    return table


def scan_recording(
    probe: Probe, table: str, engine: str, options: dict[str, Any], skip_damaged: bool = False
) -> dict[str, Columns]:
    """Return the rows of one recording by table: the requested one, and others that cost little more.

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
        return {CATALOG: scan_catalog(reader.catalog(probe, **checked), probe.path, source)}
    groups = reader.open_groups_as_dict(probe, **checked)
    notes = groups["/"].attrs.get("notes", [])
    tables = (table,) if table == PRESENTATIONS else (UNITS, SESSIONS, CATALOG)
    contents = {name: scan_nodes(name, probe.path, groups, source) for name in tables}
    for content in contents.values():
        content.notes = [notes] if isinstance(notes, str) else [str(note) for note in notes]
    return contents


# ---------------------------------------------------------------------------------- in the child


def scan_to_file(
    path: str, out: str, table: str, engine: str, options: dict[str, Any], skip_damaged: bool
) -> dict[str, list[str]]:
    """Write the rows of one recording to one file for each table, and return the notes by table."""
    import pyarrow as pa

    frames = scan_recording(Probe(locate(path)), table, engine, options, skip_damaged)
    for name, frame in frames.items():
        content = layout.to_arrow(frame)
        with (
            pa.OSFile(f"{out}-{name}", "wb") as file,
            pa.ipc.new_stream(file, content.schema) as to,
        ):
            to.write_table(content)
    return {name: frame.notes for name, frame in frames.items()}
