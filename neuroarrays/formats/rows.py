"""Open the sessions, areas and units that the rows of a table name, from all files in it, as one tree.

`neuroarrays.collection` makes such tables; the columns that locate a row are defined here.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, MissingPath, NotInTree, many, shorten
from neuroarrays.files.locating import locate
from neuroarrays.files.stamps import stamp_of, stamp_text
from neuroarrays.formats.groups import plain
from neuroarrays.lazy.trees import tree_of
from neuroarrays.schema.names import chosen
from neuroarrays.tree import groups
from neuroarrays.tree.selection import take_units

if TYPE_CHECKING:
    import pandas as pd

#: Columns that locate a row: the file, its reader, the block of sessions in it, the session, the area,
#: the path of the area's node, the position of the unit in the area, and the stamp of the file.
PATH, FORMAT, BLOCK, SESSION, AREA = "path", "format", "block", "session", "area"
NODE, ROW, STAMP = "node", "row", "stamp"
#: Attributes of a root that tell how a file was opened, not what it contains.
_OF_OPENING = ("source", "notes", schema.SESSIONS_ASKED)
#: Attribute of a session that has another name in the tree than in its file.
NAME_IN_FILE = "name_in_file"
#: A function that opens a path: it gets the path, the format and the options, and returns the nodes.
OpenGroups = Callable[[str, str, dict[str, Any]], dict[str, xr.Dataset]]


def is_table(value: object) -> bool:
    """Whether a value is a DataFrame of pandas; pandas is not imported for the answer."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def open_rows(
    table: pd.DataFrame, open_groups: OpenGroups, options: dict[str, Any]
) -> tuple[xr.DataTree, list[str]]:
    """Open the sessions, areas and units of the rows of a table as one lazy tree.

    Units are in the order of their file, not of the rows, so that neighbouring values are read
    together. A row that occurs twice counts once.

    Parameters
    ----------
    table : DataFrame
        A table with the columns ``path`` and ``session``, and optionally ``format``, ``block``,
        ``area``, ``unit_id`` and ``row``. Whole sessions are opened if there is no area, and whole
        areas if there is no unit, in the table or in a row of it.
    open_groups : callable
        A function that opens sessions and areas of one path.
    options : dict
        Options of the reader; ``sessions`` and ``areas`` are removed from it, and choose rows.

    Returns
    -------
    tree : DataTree
        The tree. If several files have a session of one name, the folder of each file, or else its
        file name, is put before the name; the attribute ``name_in_file`` has the original name.
    paths : list of str
        The paths of the files.

    Raises
    ------
    ValueError
        If a column is missing, there is no row, or the files have trees of both kinds.
    NotInTree
        If a file has no such session, area or unit.
    FormatError
        If a file changed since its rows were made.
    """
    rows_of = _rows_by_path(_wanted_rows(table, options))
    opened: dict[str, groups.Groups] = {}
    for path, rows in rows_of.items():
        _check_unchanged(path, rows.stamps)
        wanted: dict[str, Any] = {"sessions": list(dict.fromkeys(rows.names))}
        if rows.areas and all(rows.areas):
            wanted["areas"] = list(dict.fromkeys(rows.areas))
        nodes = {
            name.strip("/"): plain(node)
            for name, node in _opened(open_groups, path, rows.format, wanted).items()
        }
        opened[path] = _cut(path, nodes, rows)
    roots = {path: nodes.pop("").attrs for path, nodes in opened.items()}
    kinds = {schema.kind_of(attrs) for attrs in roots.values()}
    if len(kinds) > 1:
        msg = "recordings and aligned trees in one table; open the rows of each kind by themselves"
        raise ValueError(msg)
    root = _root(list(roots.values()))
    merged = {"/": xr.Dataset(attrs=root)}
    sessions = {
        path: [name for name in nodes if name in set(rows_of[path].sessions)]
        for path, nodes in opened.items()
    }
    names = _names(sessions)
    for path, nodes in opened.items():
        # Attributes of this root that the other roots do not share become those of its sessions.
        attrs = {k: v for k, v in roots[path].items() if k not in (*root, *_OF_OPENING)}
        for name, node in nodes.items():
            new, session = _renamed(name, names[path])
            if session and name == session:
                original = {NAME_IN_FILE: _leaf(session)} if new != name else {}
                node = node.assign_attrs(attrs | original | node.attrs)
            merged[f"/{new}"] = node
    return tree_of(merged), list(opened)


def _opened(
    open_groups: OpenGroups, path: str, source: str, wanted: dict[str, Any]
) -> dict[str, xr.Dataset]:
    """Open one file; the error for a missing relative path explains the paths of an index."""
    try:
        return open_groups(path, source, wanted)
    except MissingPath as error:
        if "://" in path or PurePath(path).is_absolute():
            raise
        msg = (
            f"{error}; paths in an index are relative to its folder: na.units of the index gives "
            "rows with paths in full"
        )
        raise MissingPath(msg) from error


def _check_unchanged(path: str, stamps: Sequence[str]) -> None:
    """Raise an error if a file changed since its rows were made, as they may name other units now."""
    today = stamp_text(stamp_of(locate(path))) if stamps else ""
    if today and any(stamp != today for stamp in stamps):
        raise FormatError(
            path,
            "",
            "the recording that the table was made from",
            "one that changed since",
            f"make the table again with na.units; without its column {STAMP!r} rows open as the "
            "recording is now",
        )


def check(table: pd.DataFrame) -> None:
    """Check that a table has rows, and that it locates all of them.

    Raises
    ------
    ValueError
        If a column or one of its values is missing, or there is no row.
    """
    for name in (PATH, SESSION):
        if name not in table:
            msg = (
                f"a table without the column {name!r}, which locates its rows; keep the columns "
                f"{PATH}, {FORMAT}, {SESSION}, {AREA} and {schema.UNIT} of na.units"
            )
            raise ValueError(msg)
    if not len(table):
        msg = "a table without rows: there is nothing to open"
        raise ValueError(msg)
    if not _known(table[PATH]).all() or not _known(table[SESSION]).all():
        msg = f"a row has no {PATH} or no {SESSION}, so that it cannot be located"
        raise ValueError(msg)
    if AREA in table and schema.UNIT in table:
        lost = np.asarray(table[AREA].isna()) & _known(table[schema.UNIT])
        if lost.any():
            msg = (
                f"{many(int(lost.sum()), 'row')} with {schema.UNIT} and without {AREA}; pandas.read_csv "
                "takes names such as 'NA' for missing, unless keep_default_na=False"
            )
            raise ValueError(msg)


def _wanted_rows(table: pd.DataFrame, options: dict[str, Any]) -> pd.DataFrame:
    """Return the rows of the wanted sessions and areas, which are removed from the options."""
    check(table)
    for option, column in (("sessions", SESSION), ("areas", AREA)):
        wanted = options.pop(option, None)
        if wanted is not None and column in table:
            names = table[column].astype(str)
            table = table[names.isin(chosen(names.unique(), wanted, column)).to_numpy()]
    return table


def _known(column: pd.Series) -> np.ndarray:
    """Return whether each entry of a column of names has a name, (row,) bool."""
    known: np.ndarray = np.asarray(column.notna()) & np.asarray(column.astype(str) != "")
    return known


@dataclass
class _Rows:
    """The rows of one file, column by column.

    Attributes
    ----------
    format : str
        Name of the reader, or "" if the table does not have it.
    names, areas : list of str
        Session and area of each row; `areas` is empty if the table has none.
    sessions : list of str
        Path of the session of each row, with its block.
    ids, rows : list
        Unit of each row (None for the whole area) and its position; empty if the table has none.
    stamps : list of str
        The different stamps of the file in the rows.
    """

    format: str
    names: list[str]
    areas: list[str]
    sessions: list[str]
    ids: list[Any]
    rows: list[int]
    stamps: list[str] = field(default_factory=list)

    def by_area(self) -> dict[str, _Rows]:
        """Return the units of each area, by the path of the area in the tree."""
        positions: dict[str, list[int]] = {}
        for i, (session, area) in enumerate(zip(self.sessions, self.areas, strict=True)):
            positions.setdefault(_joined(session, area), []).append(i)
        return {path: self._units(of_area) for path, of_area in positions.items()}

    def _units(self, positions: Sequence[int]) -> _Rows:
        """Return the units at some positions; no ids, for all units, if one row is a whole area."""
        ids = [self.ids[i] for i in positions] if self.ids else []
        rows = [self.rows[i] for i in positions] if self.rows else []
        return _Rows(self.format, [], [], [], [] if None in ids else ids, rows)


def _rows_by_path(table: pd.DataFrame) -> dict[str, _Rows]:
    """Return the rows of each file, by its path."""

    def column(name: str, positions: list[int]) -> list[Any]:
        return values[name][positions].tolist() if name in values else []

    columns = (PATH, FORMAT, STAMP, BLOCK, SESSION, AREA, schema.UNIT, ROW)
    values = {name: table[name].to_numpy(object) for name in columns if name in table}
    if schema.UNIT in values:
        values[schema.UNIT] = np.where(_known(table[schema.UNIT]), values[schema.UNIT], None)
    positions_of: dict[str, list[int]] = {}
    for i, path in enumerate(values[PATH].tolist()):
        positions_of.setdefault(str(path), []).append(i)
    by_path = {}
    for path, positions in positions_of.items():
        sessions = [str(name) for name in column(SESSION, positions)]
        blocks = column(BLOCK, positions) or [""] * len(sessions)
        formats = column(FORMAT, positions)
        by_path[path] = _Rows(
            formats[0] if formats and isinstance(formats[0], str) else "",
            sessions,
            [area if isinstance(area, str) else "" for area in column(AREA, positions)],
            [_joined(block, name) for block, name in zip(blocks, sessions, strict=True)],
            column(schema.UNIT, positions),
            column(ROW, positions),
            [s for s in dict.fromkeys(column(STAMP, positions)) if isinstance(s, str) and s],
        )
    return by_path


def _joined(*names: object) -> str:
    """Return a path of the names that are text and not empty."""
    return "/".join(name for name in names if isinstance(name, str) and name)


def _leaf(path: str) -> str:
    """Return the last name of a path."""
    return path.rpartition("/")[2]


def _cut(path: str, nodes: groups.Groups, rows: _Rows) -> groups.Groups:
    """Return the nodes of a file with just the sessions, areas and units of some rows."""
    sessions = dict.fromkeys(rows.sessions)
    for session in sessions:
        if session not in nodes:
            raise NotInTree("session", session, [name for name in nodes if name], f"in {path}")
    in_sessions = {
        name: node
        for name, node in nodes.items()
        if any(
            name == session or groups.below(name, session) or groups.below(session, name)
            for session in sessions
        )
    }
    if not rows.areas:
        return in_sessions
    by_area = rows.by_area()
    masks: dict[str, np.ndarray] = {}
    missing = {area: set(units.ids) for area, units in by_area.items()}
    for owner in groups.owners(in_sessions, schema.UNIT):
        size = in_sessions[owner].sizes[schema.UNIT]
        area = next((a for a in by_area if owner == a or groups.below(owner, a)), None)
        if area is None or area in sessions:  # no unit is wanted, or all of a whole session
            masks[owner] = np.full(size, area is not None)
            continue
        has_ids = schema.UNIT in in_sessions[owner].variables
        ids = in_sessions[owner].variables[schema.UNIT].values if has_ids else np.arange(size)
        masks[owner] = _unit_mask(ids.tolist(), by_area[area])
        missing[area] -= set(_same_type(ids[masks[owner]].tolist(), by_area[area].ids))
    for area, absent in missing.items():
        if absent and area not in sessions:
            raise FormatError(
                path,
                area,
                f"the units of the table, {shorten(sorted(absent, key=str), 6)} among them",
                f"{many(len(absent), 'unit')} that it does not have",
                "it changed since the table was made: make it again with na.units; or the table was "
                "made with options of the reader: give them here too",
            )
    return groups.keep_rows(in_sessions, masks, schema.UNIT, take_units)


def _same_type(ids: list[Any], table_ids: Sequence[Any]) -> list[Any]:
    """Return ids as text if those of the table are: a column of several files has one type."""
    return [str(unit) for unit in ids] if table_ids and isinstance(table_ids[0], str) else ids


def _unit_mask(ids: list[Any], rows: _Rows) -> np.ndarray:
    """Return which units of an area some rows name, (unit,) bool; all if the rows name none."""
    if not rows.ids:
        return np.ones(len(ids), bool)
    ids = _same_type(ids, rows.ids)
    if len(set(ids)) == len(ids) or not rows.rows:
        wanted = set(rows.ids)
        return np.array([unit in wanted for unit in ids], bool)
    mask = np.zeros(len(ids), bool)  # the file has an id twice, so units are located by position
    for unit, row in zip(rows.ids, rows.rows, strict=True):
        if 0 <= row < len(ids) and ids[int(row)] == unit:
            mask[int(row)] = True
    return mask


def _root(roots: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the attributes of the root: those that all files share, and the notes of all files."""
    notes = [note for attrs in roots for note in np.atleast_1d(attrs.get("notes", [])).tolist()]
    first = roots[0]
    common = {
        name: value
        for name, value in first.items()
        if name not in _OF_OPENING
        and all(name in attrs and np.array_equal(attrs[name], value) for attrs in roots)
    }
    sources = ", ".join(dict.fromkeys(str(attrs.get("source", "")) for attrs in roots))
    common |= {"source": sources} if sources else {}
    return common | ({"notes": list(dict.fromkeys(notes))} if notes else {})


def _names(sessions: Mapping[str, Sequence[str]]) -> dict[str, dict[str, str]]:
    """Return, for each file, a different path in the merged tree for the path of each of its sessions."""
    count = Counter(name for names in sessions.values() for name in names)

    def distinct(prefix: Callable[[str], str]) -> dict[str, dict[str, str]]:
        named: dict[str, dict[str, str]] = {}
        for path, names in sessions.items():
            named[path] = {}
            for name in names:
                block, _, leaf = name.rpartition("/")
                new = schema.node_name(f"{prefix(path)}_{leaf}") if count[name] > 1 else leaf
                named[path][name] = _joined(block, new)
        return named

    numbers = {path: str(number) for number, path in enumerate(sessions)}
    prefixes = (
        lambda path: locate(path).parent.name,
        lambda path: locate(path).name.partition(".")[0],
        lambda path: numbers[path],
    )
    for prefix in prefixes:
        named = distinct(prefix)
        all_names = [new for names in named.values() for new in names.values()]
        if len(set(all_names)) == len(all_names):
            break
    return named


def _renamed(name: str, sessions: Mapping[str, str]) -> tuple[str, str]:
    """Return the path of a node in the merged tree, and the session that it belongs to, or ""."""
    session = next((s for s in sessions if name == s or groups.below(name, s)), "")
    return (sessions[session] + name[len(session) :] if session else name), session
