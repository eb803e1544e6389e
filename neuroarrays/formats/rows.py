"""From rows to a tree: just the sessions, areas and units that a table names, of as many files as it names.

Which columns say where a row lies stands here; `neuroarrays.collection` makes such tables.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, NotInTree, many, shorten
from neuroarrays.files.locating import locate
from neuroarrays.formats.groups import plain
from neuroarrays.schema.names import chosen
from neuroarrays.tree import groups
from neuroarrays.tree.selection import take_units

if TYPE_CHECKING:
    import pandas as pd

#: Columns that say where a row lies: the file, the reader of it, the group of sessions in it, the session,
#: the area, the path of the area's node, and the position of the unit in the area.
PATH, FORMAT, BLOCK, SESSION, AREA = "path", "format", "block", "session", "area"
NODE, ROW = "node", "row"
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


def tree_of(
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
        areas.
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
    """
    rows = _checked(table, options)
    opened: dict[str, dict[str, xr.Dataset]] = {}
    for path, of_path in rows.groupby(PATH, sort=False, observed=True):
        wanted: dict[str, Any] = {"sessions": list(of_path[SESSION].unique())}
        if AREA in of_path and _known(of_path[AREA]).all():
            wanted["areas"] = list(of_path[AREA].unique())
        format_ = str(of_path[FORMAT].iloc[0]) if FORMAT in of_path else ""
        nodes = {
            name.strip("/"): plain(node)
            for name, node in open_groups(str(path), format_, wanted).items()
        }
        opened[str(path)] = _cut(str(path), nodes, of_path)
    roots = {path: nodes.pop("").attrs for path, nodes in opened.items()}
    kinds = {schema.kind_of(attrs) for attrs in roots.values()}
    if len(kinds) > 1:
        msg = "recordings and aligned trees in one table; open the rows of each kind by themselves"
        raise ValueError(msg)
    root = _root(list(roots.values()))
    merged = {"/": xr.Dataset(attrs=root)}
    names = _names({path: _sessions(nodes, rows, path) for path, nodes in opened.items()})
    for path, nodes in opened.items():
        apart = {k: v for k, v in roots[path].items() if k not in (*root, *_OF_OPENING)}
        for name, node in nodes.items():
            new, session = _renamed(name, names[path])
            if session and name == session:
                own = apart | ({NAME_IN_FILE: _leaf(session)} if new != name else {})
                node = node.assign_attrs(own | node.attrs)
            merged[f"/{new}"] = node
    return xr.DataTree.from_dict(merged), list(opened)


def _checked(table: pd.DataFrame, options: dict[str, Any]) -> pd.DataFrame:
    """The rows that are asked for, with what all of them must have."""
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


def _key(*names: object) -> str:
    return "/".join(str(name) for name in names if isinstance(name, str) and name)


def _leaf(path: str) -> str:
    return path.rpartition("/")[2]


def _blocks(rows: pd.DataFrame) -> pd.Series:
    return rows[BLOCK].astype(object) if BLOCK in rows else rows[SESSION].map(lambda _: "")


def _sessions(nodes: Mapping[str, xr.Dataset], rows: pd.DataFrame, path: str) -> list[str]:
    """Paths of the sessions in a tree that the rows of a file name."""
    of_path = rows[rows[PATH] == path]
    keys = {_key(b, s) for b, s in zip(_blocks(of_path), of_path[SESSION], strict=True)}
    return [key for key in nodes if key in keys]


def _cut(path: str, nodes: groups.Groups, rows: pd.DataFrame) -> groups.Groups:
    """The nodes of the sessions, areas and units of some rows, which are all of one file."""
    blocks = _blocks(rows)
    sessions = {_key(b, s) for b, s in zip(blocks, rows[SESSION], strict=True)}
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
    if AREA not in rows:
        return kept
    areas = [_key(b, s, a) for b, s, a in zip(blocks, rows[SESSION], rows[AREA], strict=True)]
    wanted = {
        area: rows.iloc[positions]
        for area, positions in rows.assign(_area=areas).groupby("_area", sort=False).indices.items()
    }
    masks: dict[str, np.ndarray] = {}
    unseen = {area: set(_ids(of_area)) for area, of_area in wanted.items()}
    for owner in groups.owners(kept, schema.UNIT):
        size = kept[owner].sizes[schema.UNIT]
        area = next((a for a in wanted if owner == a or groups.below(owner, a)), None)
        if area is None:  # of a session that is wanted whole
            session = next((s for s in sessions if groups.below(owner, s)), "")
            masks[owner] = np.full(size, session in wanted)
            continue
        ids = kept[owner][schema.UNIT].values if schema.UNIT in kept[owner] else np.arange(size)
        masks[owner] = _mask(ids, wanted[area])
        unseen[area] -= set(_same_kind(ids[masks[owner]].tolist(), unseen[area]))
    for area, missing in unseen.items():
        if missing and area not in sessions:
            _refuse(path, area, sorted(missing, key=str))
    return groups.keep_rows(kept, masks, schema.UNIT, take_units)


def _ids(rows: pd.DataFrame) -> list[Any]:
    return rows[schema.UNIT].tolist() if schema.UNIT in rows else []


def _same_kind(ids: list[Any], wanted: Iterable[Any]) -> list[Any]:
    """Ids as text where those of the table are: a column of several files has one type."""
    as_text = any(isinstance(one, str) for one in wanted)
    return [str(one) for one in ids] if as_text else ids


def _mask(ids: np.ndarray, rows: pd.DataFrame) -> np.ndarray:
    """Which units of an area stand in some rows: (unit,) bool; all where the rows name none."""
    if schema.UNIT not in rows:
        return np.ones(ids.size, bool)
    wanted = _ids(rows)
    known = _same_kind(ids.tolist(), wanted)
    if len(set(known)) == len(known) or ROW not in rows:
        asked = set(wanted)
        return np.array([one in asked for one in known], bool)
    mask = np.zeros(ids.size, bool)  # a file that gives one id twice: by position
    for one, row in zip(wanted, rows[ROW].tolist(), strict=True):
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
