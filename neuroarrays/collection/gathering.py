"""What paths, trees and written indexes have of one table, put together, and the rows of it that are wanted."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neuroarrays.collection import choosing, layout
from neuroarrays.collection.indexing import Asked, Rows, picked, rows_of, up_to_date
from neuroarrays.collection.layout import Entry, Stored
from neuroarrays.collection.recordings import Recording, recordings_of, stamps_of
from neuroarrays.collection.scanning import CATALOG, TABLE, scanned
from neuroarrays.collection.stacking import joined
from neuroarrays.errors import FormatError, NotInTree, QueryError, quoted
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
from neuroarrays.tree.query import Query, parse

if TYPE_CHECKING:
    import pandas as pd

    from neuroarrays.formats.reader import Reader

PathLike = str | os.PathLike[str]
#: What a table is made from.
Given = PathLike | xr.DataTree
_ONE = (str, os.PathLike, xr.DataTree)
#: Options that choose rows -> the column, and what it is called in errors.
_CHOICES = {
    "sessions": (rows.SESSION, "session"),
    "areas": (rows.AREA, "area"),
    "tables": (TABLE, "presentation table"),
}


@dataclass(frozen=True)
class Wanted:
    """What is wanted of a table.

    Attributes
    ----------
    table : str
        Which, of `scanning.TABLES`.
    condition : str, optional
        Which rows.
    columns : sequence of str, optional
        Which columns.
    cache : bool
        Whether rows are kept on disk.
    workers : int, optional
        Recordings that are opened at a time.
    """

    table: str
    condition: str | None = None
    columns: Sequence[str] | None = None
    cache: bool = True
    workers: int | None = None


def frame_of(
    wanted: Wanted,
    paths: Given | Sequence[Given],
    engine: str | type[Reader] | None,
    options: dict[str, Any],
) -> pd.DataFrame:
    """The rows of a table, as `neuroarrays.units` and its siblings give them.

    Parameters
    ----------
    wanted : Wanted
        Which rows of which table.
    paths : path, tree, or list of these
        Of the recordings.
    engine : str or type of Reader, optional
        Of all of them.
    options : dict
        `skip_damaged`, choices by name (`sessions`, `areas`, `tables`), and options of the reader.
    """
    condition = None if wanted.condition is None else parse(wanted.condition)
    choices = {name: options.pop(name, None) for name in _CHOICES}
    with opening(wanted.cache):
        if layout.arrow() is None:
            return _without_arrow(wanted, listed(paths), engine, options, condition, choices)
        parts, asked = parts_of(wanted, paths, engine, options, choices)
    names = list(dict.fromkeys(name for part in parts for name in part.columns))
    if condition is not None:
        choosing.check_names(condition, names, wanted.table)
    for name in wanted.columns or ():
        if name not in names:
            raise NotInTree(f"column of the {wanted.table}", name, names)

    def read(columns: Sequence[str] | None) -> Any:
        return joined([part.read(columns) for part in parts])

    looked_at = [] if condition is None else condition.names
    looked_at += [_CHOICES[name][0] for name, value in choices.items() if value is not None]
    looked_at = [name for name in dict.fromkeys(looked_at) if name in names] or names[:1]
    is_choice = condition is not None or any(value is not None for value in choices.values())
    some = (
        wanted.columns if wanted.columns is None else dict.fromkeys([*wanted.columns, *looked_at])
    )
    table = read(None if some is None else list(some))
    if condition is not None:
        check_units(condition, table)
    if is_choice:
        frame = layout.to_pandas(layout.coded(table.select(looked_at)))
        places = [name for name in (rows.PATH, rows.BLOCK, rows.SESSION) if name in names]
        mask = _mask(
            frame,
            condition,
            choices,
            wanted.table,
            lambda: layout.to_pandas(layout.plain(read([*looked_at, *places]))),
        )
        table = table.filter(mask)
    table = table if wanted.columns is None else table.select(list(wanted.columns))
    return _finished(layout.to_pandas(layout.plain(table)), wanted, asked)


def check_units(condition: Query, table: Any) -> None:
    """Refuse to compare numbers of several units of measurement with one.

    Raises
    ------
    QueryError
        Names the column and the units.
    """
    for name in condition.names:
        stated = (table.schema.field(name).metadata or {}).get(layout.UNIT, b"").decode()
        units = [unit for unit in stated.split(" or ") if unit != "none"]
        if len(units) > 1:
            msg = (
                f"{quoted(condition.text)}: {name!r} is in {' in some recordings and in '.join(units)} "
                "in "
                "others; list the recordings of each unit separately"
            )
            raise QueryError(msg)


def _finished(frame: pd.DataFrame, wanted: Wanted, asked: Asked) -> pd.DataFrame:
    if wanted.table == CATALOG:
        about = frame.attrs
        frame = frame.convert_dtypes()
        frame.attrs = about
    if asked.notes:
        frame.attrs["notes"] = asked.notes
    return frame


def _mask(
    frame: pd.DataFrame,
    condition: Query | None,
    choices: dict[str, Any],
    table: str,
    placed: Callable[[], pd.DataFrame],
) -> np.ndarray:
    """The rows that are wanted: (row,) bool; `placed` gives them with what says where they lie."""
    mask = np.ones(len(frame), bool)
    for option, (column, kind) in _CHOICES.items():
        names = choices[option]
        if names is None:
            continue
        known = frame.get(column)
        if known is not None and known.dtype != "category":
            known = known.astype(str)
        there = [] if known is None else list(known[mask].dropna().unique())
        wanted = chosen([name for name in there if name], names, kind)
        if known is not None:
            mask &= known.isin(wanted).to_numpy()
    if condition is not None:
        left = frame if mask.all() else frame[mask]
        fits = choosing.fitting(condition, left)
        if not fits.any():
            raise choosing.nothing_left(condition, placed()[mask], table)
        mask[mask] = fits
    return mask


# --------------------------------------------------------------------------- where rows come from


def listed(paths: Given | Sequence[Given]) -> list[Given]:
    """Paths and trees as a list.

    Raises
    ------
    TypeError
        If something else stands there.
    ValueError
        If there is none.
    """
    several = [paths] if isinstance(paths, _ONE) else paths
    expected = "expected a path, a tree, or a list of these"
    given.check(several, list | tuple, expected, TypeError)
    if not several:
        msg = "expected at least one path, found an empty list"
        raise ValueError(msg)
    for each in several:
        given.check(each, _ONE, expected, TypeError)
    return list(several)


def check_whole(
    tree: xr.DataTree, engine: str | type[Reader] | None, options: dict[str, Any]
) -> None:
    """Refuse a part of a tree, and options of a reader for one that is open."""
    if tree.parent is not None:
        msg = f"expected a whole tree, found {given.described(tree)}; give tree.root"
        raise TypeError(msg)
    if engine is not None or options:
        msg = f"a tree is open already; leave out {', '.join(options) or 'engine'}"
        raise TypeError(msg)


def parts_of(
    wanted: Wanted,
    paths: Given | Sequence[Given],
    engine: str | type[Reader] | None,
    options: dict[str, Any],
    choices: dict[str, Any] | None = None,
    looking: bool = False,
) -> tuple[list[Rows], Asked]:
    """The rows of everything that was given, unread where they are kept; `looking` past an index.

    Raises
    ------
    NeuroArraysError
        As `neuroarrays.units`.
    """
    skip = bool(options.pop("skip_damaged", False))
    name = registry.address(engine) if isinstance(engine, type) else engine or ""
    asked = Asked(wanted.table, name, options, wanted.cache, wanted.workers, skip)
    parts: list[Rows] = []
    todo: dict[str, Recording] = {}
    known: set[str] = set()
    indexed: set[str] = set()
    several = listed(paths)
    places = _looked_at_together([each for each in several if not isinstance(each, xr.DataTree)])
    for each in several:
        if isinstance(each, xr.DataTree):
            used = {k: v for k, v in (choices or {}).items() if v is not None and k != "tables"}
            check_whole(each, engine, options | used)
            parts.append(_of_tree(each, wanted.table))
            continue
        probe = checked_probe(next(places))
        if probe.path in known:
            raise FormatError(probe.given, "", "each path of a list once", "it twice")
        known.add(probe.path)
        index = None if looking else _published(probe, wanted.table, options)
        if index is not None:
            parts += _of_index(index, probe, asked)
            indexed |= {entry.path for entry in index.entries}
            continue
        listing = recordings_of(probe, engine, options, wanted.cache)
        asked.notes += listing.notes
        todo |= {recording.path: recording for recording in listing.recordings}
    fresh = [recording for path, recording in todo.items() if path not in indexed]
    return parts + (up_to_date(fresh, asked) if fresh else []), asked


def _looked_at_together(paths: list[Any]) -> Iterator[Probe]:
    """The probes of several paths; those behind addresses are asked for side by side."""
    if not paths:
        return iter(())
    probe = probe_of(paths)
    return iter(probe.children if probe.is_list else (probe,))


def _of_tree(tree: xr.DataTree, table: str) -> Rows:
    """The rows of a tree that is open."""
    path = str(tree.encoding.get("source", ""))
    content = layout.to_arrow(scanned(table, path, groups.nodes_of(tree)))
    entries = [Entry(path, [], str(tree.attrs.get("source", "")), content.num_rows)]
    return picked(entries, content.column_names, lambda names: layout.some(content, names), [path])


def _published(probe: Probe, table: str, options: dict[str, Any]) -> Stored | None:
    """The index that was given, or that lies in a folder that was given; None where there is none."""
    name = f"{table}.parquet"
    if probe.is_file and probe.suffix == ".parquet":
        index = layout.stored(probe)
        if index is not None and options:
            msg = f"{probe.given}: an index has its rows already; leave out {', '.join(options)}"
            raise TypeError(msg)
        if index is not None and index.name != table:
            hint = f"give the recordings, or an index of their {table}"
            raise FormatError(probe.given, "", f"a table of {table}", f"one of {index.name}", hint)
        return index
    if options or not probe.is_folder or name not in probe.listing:
        return None
    index = layout.stored(probe.child(name))
    return index if index is not None and index.name == table else None


def _of_index(index: Stored, probe: Probe, asked: Asked) -> list[Rows]:
    """The rows of an index; of recordings that are within reach and have changed, those of today."""
    root = probe.path if probe.is_folder else probe.parent.path
    folders: dict[str, bool] = {}
    near = [entry for entry in index.entries if _is_near(entry.path, folders)]
    recordings = [Recording(locate(entry.path), entry.format, root) for entry in near]
    changed = [
        recording
        for recording, entry, stamp in zip(recordings, near, stamps_of(recordings), strict=True)
        if stamp and stamp != entry.stamp
    ]
    for entry in index.entries:
        asked.notes += entry.notes if entry.notes and not entry.is_whole else []
    if not changed:
        return [picked(index.entries, index.columns, index.read, [e.path for e in index.entries])]
    asked.notes += [f"{r.path} changed since it was indexed; it was read again" for r in changed]
    others = {recording.path for recording in changed}
    same = [entry.path for entry in index.entries if entry.path not in others]
    rest = [picked(index.entries, index.columns, index.read, same)] if same else []
    return rest + up_to_date(changed, asked)


def _is_near(path: str, folders: dict[str, bool]) -> bool:
    """Whether a recording may be within reach: `folders` says of those asked before if they are there."""
    folder = path.rpartition("/")[0] or os.path.dirname(path)
    if "://" not in path and folder not in folders:
        folders[folder] = os.path.isdir(folder)
    return folders.get(folder, True)


def _without_arrow(
    wanted: Wanted,
    several: Sequence[Given],
    engine: str | type[Reader] | None,
    options: dict[str, Any],
    condition: Query | None,
    choices: dict[str, Any],
) -> pd.DataFrame:
    """The rows made anew, where pyarrow is not installed."""
    skip = bool(options.pop("skip_damaged", False))
    asked = Asked(wanted.table, "", options, skip_damaged=skip)
    frames = []
    for each in several:
        if isinstance(each, xr.DataTree):
            check_whole(each, engine, options)
            source = str(each.encoding.get("source", ""))
            frames.append(scanned(wanted.table, source, groups.nodes_of(each)).frame())
            continue
        listing = recordings_of(each, engine, options, False)
        asked.notes += listing.notes
        for recording in listing.recordings:
            try:
                probe = Probe(recording.location)
                made = rows_of(probe, wanted.table, recording.engine, options, skip)
                frame = made[wanted.table].frame()
                stamp = stamp_text(stamp_of(recording.location, recording.status))
                frame.insert(list(frame.columns).index(rows.PATH), rows.STAMP, stamp)
                frames.append(frame)
            except FormatError as error:
                if not skip:
                    raise
                asked.notes.append(f"left out: {error}")
    frame = published.joined(frames)
    for frame_ in frames:
        frame.attrs.setdefault("units", {}).update(frame_.attrs.get("units", {}))
    if condition is not None:
        choosing.check_names(condition, list(frame.columns), wanted.table)
    frame = frame[_mask(frame, condition, choices, wanted.table, lambda: frame)].reset_index(
        drop=True
    )
    if wanted.columns is not None:
        frame = frame[list(wanted.columns)]
    return _finished(frame, wanted, asked)
