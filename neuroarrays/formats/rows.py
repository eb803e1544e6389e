"""From rows to a tree: just the sessions, areas and units that a table names, of as many files as it names.

Which columns say where a row lies stands here; `neuroarrays.collection` makes such tables.
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

#: Columns that say where a row lies: the file, the reader of it, the group of sessions in it, the session,
#: the area, the path of the area's node, the position of the unit in the area, and the stamp of the file.
PATH, FORMAT, BLOCK, SESSION, AREA = "path", "format", "block", "session", "area"
NODE, ROW, STAMP = "node", "row", "stamp"
#: Attributes of a root that say how one file was opened, not what is in it.
_OF_OPENING = ("source", "notes", schema.SESSIONS_ASKED)
#: Attribute of a session that has another name in the tree than in its file.
NAME_IN_FILE = "name_in_file"
#: Path, format, what to open of it -> the nodes by path.
OpenGroups = Callable[[str, str, dict[str, Any]], dict[str, xr.Dataset]]


def is_table(given: object) -> bool:
    """Whether it is a DataFrame of pandas, which is loaded if it is."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(given, pandas.DataFrame)


def open_rows(
    table: pd.DataFrame, open_groups: OpenGroups, options: dict[str, Any]
) -> tuple[xr.DataTree, list[str]]:
    """The sessions, areas and units of the rows of a table as one lazy tree.

    Units stand in the order of their file, whatever the order of the rows, so that what is read lies
    together; a row that is there twice counts once.

    Parameters
    ----------
    table : DataFrame
        With the columns ``path`` and ``session``, and as far as they are there ``format``, ``block``,
        ``area``, ``unit_id`` and ``row``. Without areas whole sessions are opened, without units whole
        areas; so are those of rows where it is missing.
    open_groups : callable
        Opens some sessions and areas of one path.
    options : dict
        Options of the reader; ``sessions`` and ``areas`` are taken out, and choose rows.

    Returns
    -------
    tree : DataTree
        Sessions of one name and several files are called by the folder of each too, or else by its
        file; their attribute ``name_in_file`` is the name.
    paths : list of str
        The files.

    Raises
    ------
    ValueError
        If a column is missing, there is no row, or the files hold trees of both kinds.
    NotInTree
        If a file has no such session, area or unit.
    FormatError
        If a file changed since its rows were made.
    """
    named = _named(_checked(table, options))
    opened: dict[str, groups.Groups] = {}
    for path, rows in named.items():
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
    sessions = {path: set(rows.sessions) for path, rows in named.items()}
    names = _names({p: [n for n in nodes if n in sessions[p]] for p, nodes in opened.items()})
    for path, nodes in opened.items():
        apart = {k: v for k, v in roots[path].items() if k not in (*root, *_OF_OPENING)}
        for name, node in nodes.items():
            new, session = _renamed(name, names[path])
            if session and name == session:
                own = apart | ({NAME_IN_FILE: _leaf(session)} if new != name else {})
                node = node.assign_attrs(own | node.attrs)
            merged[f"/{new}"] = node
    return tree_of(merged), list(opened)


def _opened(
    open_groups: OpenGroups, path: str, source: str, wanted: dict[str, Any]
) -> dict[str, xr.Dataset]:
    """The nodes of one file; a relative path that leads nowhere is often that of an index."""
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
    """Refuse rows of a file that is another one now: they may name other units than they did."""
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
    """Refuse a table that does not say where its rows lie.

    Raises
    ------
    ValueError
        If a column is missing, a row says nothing in it, or there is no row.
    """
    for name in (PATH, SESSION):
        if name not in table:
            msg = (
                f"a table without the column {name!r}, which says where its rows lie; keep the columns "
                f"{PATH}, {FORMAT}, {SESSION}, {AREA} and {schema.UNIT} of na.units"
            )
            raise ValueError(msg)
    if not len(table):
        msg = "a table without rows: there is nothing to open"
        raise ValueError(msg)
    if not _known(table[PATH]).all() or not _known(table[SESSION]).all():
        msg = f"a row without {PATH} or {SESSION}: it says not where it lies"
        raise ValueError(msg)
    if AREA in table and schema.UNIT in table:
        lost = np.asarray(table[AREA].isna()) & _known(table[schema.UNIT])
        if lost.any():
            msg = (
                f"{many(int(lost.sum()), 'row')} with {schema.UNIT} and without {AREA}; pandas.read_csv "
                "takes names such as 'NA' for missing, unless keep_default_na=False"
            )
            raise ValueError(msg)


def _checked(table: pd.DataFrame, options: dict[str, Any]) -> pd.DataFrame:
    """The rows that are asked for."""
    check(table)
    for option, column in (("sessions", SESSION), ("areas", AREA)):
        wanted = options.pop(option, None)
        if wanted is not None and column in table:
            names = table[column].astype(str)
            table = table[names.isin(chosen(names.unique(), wanted, column)).to_numpy()]
    return table


def _known(column: pd.Series) -> np.ndarray:
    """Where a column of names has one."""
    known: np.ndarray = np.asarray(column.notna()) & np.asarray(column.astype(str) != "")
    return known


@dataclass
class _Rows:
    """The rows of one file, column by column.

    Attributes
    ----------
    format : str
        The reader, "" where the table does not say.
    names, areas : list of str
        The session and the area of each; no areas where the table has none.
    sessions : list of str
        The path of the session of each: with its block.
    ids, rows : list
        The unit (None for all of the area) and its position of each, where the table has them.
    stamps : list of str
        The stamps that the rows have of the file, each once.
    """

    format: str
    names: list[str]
    areas: list[str]
    sessions: list[str]
    ids: list[Any]
    rows: list[int]
    stamps: list[str] = field(default_factory=list)

    def by_area(self) -> dict[str, _Rows]:
        """The rows of each area by its path in the tree."""
        areas: dict[str, list[int]] = {}
        for at, (session, area) in enumerate(zip(self.sessions, self.areas, strict=True)):
            areas.setdefault(_key(session, area), []).append(at)
        return {path: self._units(places) for path, places in areas.items()}

    def _units(self, places: Sequence[int]) -> _Rows:
        """The units of some rows; those of an area that a row names as a whole are all."""
        ids = [self.ids[at] for at in places] if self.ids else []
        rows = [self.rows[at] for at in places] if self.rows else []
        return _Rows(self.format, [], [], [], [] if None in ids else ids, rows)


def _named(table: pd.DataFrame) -> dict[str, _Rows]:
    """The rows of each file."""

    def column(name: str, of_file: np.ndarray) -> list[Any]:
        return values[name][of_file].tolist() if name in values else []

    wanted = (PATH, FORMAT, STAMP, BLOCK, SESSION, AREA, schema.UNIT, ROW)
    values = {name: table[name].to_numpy(object) for name in wanted if name in table}
    if schema.UNIT in values:
        values[schema.UNIT] = np.where(_known(table[schema.UNIT]), values[schema.UNIT], None)
    places: dict[str, list[int]] = {}
    for at, path in enumerate(values[PATH].tolist()):
        places.setdefault(str(path), []).append(at)
    named = {}
    for path, positions in places.items():
        of_file = np.array(positions)
        sessions = [str(name) for name in column(SESSION, of_file)]
        blocks = column(BLOCK, of_file) or [""] * len(sessions)
        formats = column(FORMAT, of_file)
        named[path] = _Rows(
            formats[0] if formats and isinstance(formats[0], str) else "",
            sessions,
            [area if isinstance(area, str) else "" for area in column(AREA, of_file)],
            [_key(block, name) for block, name in zip(blocks, sessions, strict=True)],
            column(schema.UNIT, of_file),
            column(ROW, of_file),
            [s for s in dict.fromkeys(column(STAMP, of_file)) if isinstance(s, str) and s],
        )
    return named


def _key(*names: object) -> str:
    return "/".join(name for name in names if isinstance(name, str) and name)


def _leaf(path: str) -> str:
    return path.rpartition("/")[2]


def _cut(path: str, nodes: groups.Groups, rows: _Rows) -> groups.Groups:
    """The nodes of the sessions, areas and units of some rows, which are all of one file."""
    sessions = dict.fromkeys(rows.sessions)
    for session in sessions:
        if session not in nodes:
            raise NotInTree("session", session, [name for name in nodes if name], f"in {path}")
    kept = {
        name: node
        for name, node in nodes.items()
        if any(
            name == session or groups.below(name, session) or groups.below(session, name)
            for session in sessions
        )
    }
    if not rows.areas:
        return kept
    wanted = rows.by_area()
    masks: dict[str, np.ndarray] = {}
    unseen = {area: set(of_area.ids) for area, of_area in wanted.items()}
    for owner in groups.owners(kept, schema.UNIT):
        size = kept[owner].sizes[schema.UNIT]
        area = next((a for a in wanted if owner == a or groups.below(owner, a)), None)
        if area is None or area in sessions:  # of a session that is wanted whole, or not at all
            masks[owner] = np.full(size, area is not None)
            continue
        has_ids = schema.UNIT in kept[owner].variables
        ids = kept[owner].variables[schema.UNIT].values if has_ids else np.arange(size)
        masks[owner] = _mask(ids.tolist(), wanted[area])
        unseen[area] -= set(_same_kind(ids[masks[owner]].tolist(), wanted[area].ids))
    for area, missing in unseen.items():
        if missing and area not in sessions:
            _refuse(path, area, sorted(missing, key=str))
    return groups.keep_rows(kept, masks, schema.UNIT, take_units)


def _same_kind(ids: list[Any], wanted: Sequence[Any]) -> list[Any]:
    """Ids as text where those of the table are: a column of several files has one type."""
    return [str(one) for one in ids] if wanted and isinstance(wanted[0], str) else ids


def _mask(ids: list[Any], rows: _Rows) -> np.ndarray:
    """Which units of an area stand in some rows: (unit,) bool; all where the rows name none."""
    if not rows.ids:
        return np.ones(len(ids), bool)
    known = _same_kind(ids, rows.ids)
    if len(set(known)) == len(known) or not rows.rows:
        asked = set(rows.ids)
        return np.array([one in asked for one in known], bool)
    mask = np.zeros(len(ids), bool)  # a file that gives one id twice: by position
    for one, row in zip(rows.ids, rows.rows, strict=True):
        if 0 <= row < len(known) and known[int(row)] == one:
            mask[int(row)] = True
    return mask


def _refuse(path: str, area: str, missing: Sequence[Any]) -> None:
    raise FormatError(
        path,
        area,
        f"the units of the table, {shorten(missing, 6)} among them",
        f"{many(len(missing), 'unit')} that it does not have",
        "it changed since the table was made: make it again with na.units; or the table was made with "
        "options of the reader: give them here too",
    )


def _root(roots: list[dict[str, Any]]) -> dict[str, Any]:
    """Attributes of the root: those that all files have; notes of all."""
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
    """For each file the path of each session in it -> its path in the tree of all, each another."""
    count = Counter(name for names in sessions.values() for name in names)

    def distinct(prefix: Callable[[str], str]) -> dict[str, dict[str, str]]:
        named: dict[str, dict[str, str]] = {}
        for path, names in sessions.items():
            named[path] = {}
            for name in names:
                block, _, leaf = name.rpartition("/")
                new = schema.node_name(f"{prefix(path)}_{leaf}") if count[name] > 1 else leaf
                named[path][name] = _key(block, new)
        return named

    numbers = {path: str(number) for number, path in enumerate(sessions)}
    ways = (
        lambda path: locate(path).parent.name,
        lambda path: locate(path).name.partition(".")[0],
        lambda path: numbers[path],
    )
    for way in ways:
        named = distinct(way)
        all_names = [new for names in named.values() for new in names.values()]
        if len(set(all_names)) == len(all_names):
            break
    return named


def _renamed(name: str, sessions: Mapping[str, str]) -> tuple[str, str]:
    """The path of a node in the tree of all, and the session that it belongs to, "" for none."""
    session = next((s for s in sessions if name == s or groups.below(name, s)), "")
    return (sessions[session] + name[len(session) :] if session else name), session
