"""Gathering one table from recordings, trees and indexes, and choosing rows and columns of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neuroarrays.collection import conditions, layout
from neuroarrays.collection.indexing import (
    Rows,
    ScanRequest,
    scan_recording,
    select_recordings,
    updated_rows,
)
from neuroarrays.collection.layout import Entry, IndexFile
from neuroarrays.collection.recordings import Recording, recordings_of, stamps_of
from neuroarrays.collection.scanning import CATALOG, TABLE, scan_nodes
from neuroarrays.collection.stacking import joined
from neuroarrays.errors import FormatError, QueryError, quoted
from neuroarrays.files.locating import locate
from neuroarrays.files.openings import opening
from neuroarrays.files.probe import Probe, probe_of
from neuroarrays.files.stamps import stamp_of, stamp_text
from neuroarrays.formats import registry, rows
from neuroarrays.formats.allen_binned import presentations as published
from neuroarrays.formats.door import checked_probe
from neuroarrays.schema import given
from neuroarrays.schema.names import chosen
from neuroarrays.tree import groups
from neuroarrays.tree.query import Query, check_columns, parse

if TYPE_CHECKING:
    import pandas as pd

    from neuroarrays.formats.reader import Reader

PathLike = str | os.PathLike[str]
#: What a table is made from.
PathOrTree = PathLike | xr.DataTree
_PATH_OR_TREE = (str, os.PathLike, xr.DataTree)
#: Options that choose rows -> (column, name of its values in errors).
_CHOICES = {
    "sessions": (rows.SESSION, "session"),
    "areas": (rows.AREA, "area"),
    "tables": (TABLE, "presentation table"),
}


@dataclass(frozen=True)
class TableQuery:
    """A query for rows and columns of a table.

    Attributes
    ----------
    table : str
        Name of the table, one of `scanning.TABLES`.
    condition : str, optional
        A condition on its rows.
    columns : sequence of str, optional
        Columns to return (default: all).
    cache : bool
        Whether rows are kept on disk.
    workers : int, optional
        Number of recordings to open at a time.
    """

    table: str
    condition: str | None = None
    columns: Sequence[str] | None = None
    cache: bool = True
    workers: int | None = None


def frame_of(
    query: TableQuery,
    paths: PathOrTree | Sequence[PathOrTree],
    engine: str | type[Reader] | None,
    options: dict[str, Any],
) -> pd.DataFrame:
    """Return the rows of a table, as `neuroarrays.units` and similar functions do.

    Parameters
    ----------
    query : TableQuery
        The table, and the rows and columns to return.
    paths : path, tree, or list of these
        The recordings.
    engine : str or type of Reader, optional
        The reader of all recordings.
    options : dict
        `skip_damaged`, choices by name (`sessions`, `areas`, `tables`), and options of the reader.
    """
    condition = None if query.condition is None else parse(query.condition)
    choices = {name: options.pop(name, None) for name in _CHOICES}
    with opening(query.cache):
        if layout.pyarrow_or_none() is None:
            return _without_arrow(query, as_list(paths), engine, options, condition, choices)
        parts, request = parts_of(query, paths, engine, options, choices)
    names = list(dict.fromkeys(name for part in parts for name in part.columns))
    if condition is not None:
        check_columns(condition.names, names, f"the {query.table}")
    check_columns(query.columns or (), names, f"the {query.table}")

    def read(columns: Sequence[str] | None) -> Any:
        return joined([part.read(columns) for part in parts])

    used = [] if condition is None else list(condition.names)
    used += [_CHOICES[name][0] for name, value in choices.items() if value is not None]
    used = [name for name in dict.fromkeys(used) if name in names] or names[:1]
    chooses = condition is not None or any(value is not None for value in choices.values())
    table = read(None if query.columns is None else list(dict.fromkeys([*query.columns, *used])))
    if condition is not None:
        check_units(condition, table)
    if chooses:
        frame = layout.to_pandas(layout.dictionary_encoded(table.select(used)))
        origin = [name for name in (rows.PATH, rows.BLOCK, rows.SESSION) if name in names]

        def with_origin() -> pd.DataFrame:
            return layout.to_pandas(layout.dictionary_decoded(read([*used, *origin])))

        table = table.filter(_mask(frame, condition, choices, query.table, with_origin))
    table = table if query.columns is None else table.select(list(query.columns))
    return _finished(layout.to_pandas(layout.dictionary_decoded(table)), query, request)


def check_units(condition: Query, table: Any) -> None:
    """Refuse a condition on a column whose unit of measurement differs between recordings.

    Raises
    ------
    QueryError
        If a column of the condition has several units.
    """
    for name in condition.names:
        stated = (table.schema.field(name).metadata or {}).get(layout.UNIT, b"").decode()
        units = [unit for unit in stated.split(" or ") if unit != "none"]
        if len(units) > 1:
            msg = (
                f"{quoted(condition.text)}: {name!r} is in "
                f"{' in some recordings and in '.join(units)} in others; list the recordings of "
                "each unit separately"
            )
            raise QueryError(msg)


def _finished(frame: pd.DataFrame, query: TableQuery, request: ScanRequest) -> pd.DataFrame:
    if query.table == CATALOG:
        about = frame.attrs
        frame = frame.convert_dtypes()
        frame.attrs = about
    if request.notes:
        frame.attrs["notes"] = request.notes
    return frame


def _mask(
    frame: pd.DataFrame,
    condition: Query | None,
    choices: dict[str, Any],
    table: str,
    with_origin: Callable[[], pd.DataFrame],
) -> np.ndarray:
    """Return which rows fit the condition and the choices, (row,) bool.

    `with_origin` returns all rows with their path, block and session, for the message if none fits.
    """
    mask = np.ones(len(frame), bool)
    for option, (column, kind) in _CHOICES.items():
        names = choices[option]
        if names is None:
            continue
        known = frame.get(column)
        if known is not None and known.dtype != "category":
            known = known.astype(str)
        present = [] if known is None else list(known[mask].dropna().unique())
        accepted = chosen([name for name in present if name], names, kind)
        if known is not None:
            mask &= known.isin(accepted).to_numpy()
    if condition is not None:
        candidates = frame if mask.all() else frame[mask]
        fits = conditions.fitting_rows(condition, candidates)
        if not fits.any():
            raise conditions.nothing_left(condition, with_origin()[mask], table)
        mask[mask] = fits
    return mask


# --------------------------------------------------------------------------- where rows come from


def as_list(paths: PathOrTree | Sequence[PathOrTree]) -> list[PathOrTree]:
    """Return paths and trees as a list.

    Raises
    ------
    TypeError
        If something is neither a path nor a tree.
    ValueError
        If the list is empty.
    """
    items = [paths] if isinstance(paths, _PATH_OR_TREE) else paths
    expected = "expected a path, a tree, or a list of these"
    given.check(items, list | tuple, expected, TypeError)
    if not items:
        msg = "expected at least one path, found an empty list"
        raise ValueError(msg)
    for item in items:
        given.check(item, _PATH_OR_TREE, expected, TypeError)
    return list(items)


def check_whole(
    tree: xr.DataTree, engine: str | type[Reader] | None, options: dict[str, Any]
) -> None:
    """Refuse a part of a tree, and options of a reader for a tree, which is open already."""
    if tree.parent is not None:
        msg = f"expected a whole tree, found {given.described(tree)}; give tree.root"
        raise TypeError(msg)
    if engine is not None or options:
        msg = f"a tree is open already; leave out {', '.join(options) or 'engine'}"
        raise TypeError(msg)


def parts_of(
    query: TableQuery,
    paths: PathOrTree | Sequence[PathOrTree],
    engine: str | type[Reader] | None,
    options: dict[str, Any],
    choices: dict[str, Any] | None = None,
    ignore_index: bool = False,
) -> tuple[list[Rows], ScanRequest]:
    """Return the rows of all paths and trees; those from a cache or an index are not read yet.

    The parameters are those of `frame_of`. With `ignore_index`, recordings are scanned even if their
    folder has an index.

    Raises
    ------
    NeuroArraysError
        As `neuroarrays.units`.
    """
    skip = bool(options.pop("skip_damaged", False))
    name = registry.address(engine) if isinstance(engine, type) else engine or ""
    request = ScanRequest(query.table, name, options, query.cache, query.workers, skip)
    parts: list[Rows] = []
    recordings: dict[str, Recording] = {}
    seen: set[str] = set()
    indexed: set[str] = set()
    inputs = as_list(paths)
    probes = _looked_at_together([item for item in inputs if not isinstance(item, xr.DataTree)])
    for item in inputs:
        if isinstance(item, xr.DataTree):
            used = {k: v for k, v in (choices or {}).items() if v is not None and k != "tables"}
            check_whole(item, engine, options | used)
            parts.append(_of_tree(item, query.table))
            continue
        probe = checked_probe(next(probes))
        if probe.path in seen:
            raise FormatError(probe.as_given, "", "each path of a list once", "it twice")
        seen.add(probe.path)
        index = None if ignore_index else _index_at(probe, query.table, options)
        if index is not None:
            parts += _of_index(index, probe, request)
            indexed |= {entry.path for entry in index.entries}
            continue
        listing = recordings_of(probe, engine, options, query.cache)
        request.notes += listing.notes
        recordings |= {recording.path: recording for recording in listing.recordings}
    fresh = [recording for path, recording in recordings.items() if path not in indexed]
    return parts + (updated_rows(fresh, request) if fresh else []), request


def _looked_at_together(paths: list[Any]) -> Iterator[Probe]:
    """Yield the probes of several paths; remote ones are looked at together."""
    if not paths:
        return iter(())
    probe = probe_of(paths)
    return iter(probe.children if probe.is_list else (probe,))


def _of_tree(tree: xr.DataTree, table: str) -> Rows:
    """Return the rows of an open tree."""
    path = str(tree.encoding.get("source", ""))
    content = layout.to_arrow(scan_nodes(table, path, groups.nodes_of(tree)))
    entries = [Entry(path, [], str(tree.attrs.get("source", "")), content.num_rows)]
    return select_recordings(
        entries, content.column_names, lambda names: layout.select_columns(content, names), [path]
    )


def _index_at(probe: Probe, table: str, options: dict[str, Any]) -> IndexFile | None:
    """Return the index at a path, or in the folder at a path; None if there is none."""
    name = f"{table}.parquet"
    if probe.is_file and probe.suffix == ".parquet":
        index = layout.open_index(probe)
        if index is not None and options:
            msg = f"{probe.as_given}: an index has its rows already; leave out {', '.join(options)}"
            raise TypeError(msg)
        if index is not None and index.name != table:
            hint = f"give the recordings, or an index of their {table}"
            raise FormatError(
                probe.as_given, "", f"a table of {table}", f"one of {index.name}", hint
            )
        return index
    if options or not probe.is_folder or name not in probe.listing:
        return None
    index = layout.open_index(probe.child(name))
    return index if index is not None and index.name == table else None


def _of_index(index: IndexFile, probe: Probe, request: ScanRequest) -> list[Rows]:
    """Return the rows of an index; recordings that have changed since are scanned again."""
    root = probe.path if probe.is_folder else probe.parent.path
    folders: dict[str, bool] = {}
    reachable = [entry for entry in index.entries if _is_reachable(entry.path, folders)]
    recordings = [Recording(locate(entry.path), entry.format, root) for entry in reachable]
    changed = [
        recording
        for recording, entry, stamp in zip(
            recordings, reachable, stamps_of(recordings), strict=True
        )
        if stamp and stamp != entry.stamp
    ]
    for entry in index.entries:
        request.notes += entry.notes if entry.notes and not entry.is_whole else []
    if not changed:
        return [
            select_recordings(
                index.entries, index.columns, index.read, [e.path for e in index.entries]
            )
        ]
    request.notes += [f"{r.path} changed since it was indexed; it was read again" for r in changed]
    others = {recording.path for recording in changed}
    same = [entry.path for entry in index.entries if entry.path not in others]
    rest = [select_recordings(index.entries, index.columns, index.read, same)] if same else []
    return rest + updated_rows(changed, request)


def _is_reachable(path: str, folders: dict[str, bool]) -> bool:
    """Return whether the folder of a recording exists, so that its stamp can be compared.

    `folders` remembers the answers by folder.
    """
    folder = path.rpartition("/")[0] or os.path.dirname(path)
    if "://" not in path and folder not in folders:
        folders[folder] = os.path.isdir(folder)
    return folders.get(folder, True)


def _without_arrow(
    query: TableQuery,
    inputs: Sequence[PathOrTree],
    engine: str | type[Reader] | None,
    options: dict[str, Any],
    condition: Query | None,
    choices: dict[str, Any],
) -> pd.DataFrame:
    """Return the rows of a table without pyarrow, which means without cache and index."""
    skip = bool(options.pop("skip_damaged", False))
    request = ScanRequest(query.table, "", options, skip_damaged=skip)
    frames = []
    for item in inputs:
        if isinstance(item, xr.DataTree):
            check_whole(item, engine, options)
            source = str(item.encoding.get("source", ""))
            frames.append(scan_nodes(query.table, source, groups.nodes_of(item)).frame())
            continue
        listing = recordings_of(item, engine, options, False)
        request.notes += listing.notes
        for recording in listing.recordings:
            try:
                probe = Probe(recording.location)
                columns = scan_recording(probe, query.table, recording.engine, options, skip)
                frame = columns[query.table].frame()
                stamp = stamp_text(stamp_of(recording.location, recording.status))
                frame.insert(list(frame.columns).index(rows.PATH), rows.STAMP, stamp)
                frames.append(frame)
            except FormatError as error:
                if not skip:
                    raise
                request.notes.append(f"left out: {error}")
    frame = published.joined(frames)
    for frame_ in frames:
        frame.attrs.setdefault("units", {}).update(frame_.attrs.get("units", {}))
    if condition is not None:
        check_columns(condition.names, frame.columns, f"the {query.table}")
    frame = frame[_mask(frame, condition, choices, query.table, lambda: frame)].reset_index(
        drop=True
    )
    if query.columns is not None:
        check_columns(query.columns, frame.columns, f"the {query.table}")
        frame = frame[list(query.columns)]
    return _finished(frame, query, request)
