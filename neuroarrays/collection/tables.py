"""Tables over many recordings: a row per unit, per presentation and per session.

Everything is read from the files each time; nothing is kept. Where a row comes from is in its first
columns: ``na.open_datatree(path, sessions=session, areas=area)`` opens it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, option
from neuroarrays.files.probe import probe_of
from neuroarrays.formats.allen_binned import tables as mlynarski
from neuroarrays.formats.door import open_datatree
from neuroarrays.schema import given
from neuroarrays.schema.names import chosen
from neuroarrays.tree import contents, groups
from neuroarrays.tree.records import AreaRecord, SessionRecord, TreeContents

if TYPE_CHECKING:
    import pandas as pd

    from neuroarrays.formats.reader import Reader

PathLike = str | os.PathLike[str]
#: What a table is made from.
Given = PathLike | xr.DataTree
_ONE = (str, os.PathLike, xr.DataTree)
#: Attributes of a session that are no fact about the recording.
_NO_FACTS = ("notes", "metadata_in_file")


def units(
    paths: Given | Sequence[Given],
    engine: str | type[Reader] | None = None,
    *,
    compat: str | None = None,
    **options: Any,
) -> pd.DataFrame:
    """A row per unit of many recordings, with all that is known of it.

    Parameters
    ----------
    paths : path, tree, or list of these
        Files, folders and archives; each is opened by itself. Trees that are open, as `select_units`
        gives them, stay open.
    engine : str or type of Reader, optional
        As for `open_datatree`: the reader of all paths.
    compat : {"mlynarski"}, optional
        The columns of ``units.csv`` of the published binned archive of Allen Visual Coding, which
        are those of AllenSDK's `get_units`, as far as session files know them.
    **options
        Of the reader, and `sessions` and `areas`, as for `open_datatree`; none for trees.

    Returns
    -------
    pandas.DataFrame
        ``path``, ``block`` (of an archive with several stimuli), ``session``, ``area``,
        ``unit_id``, ``spikes`` (how many, of a recording), and every column along `unit_id`: (unit,)
        each, in the unit of measurement that the tree says. A column that a recording lacks is missing
        in its rows.

    Raises
    ------
    MissingPath, UnknownFormat, FormatError, NotInTree
        As `open_datatree`.
    ValueError
        If `compat` is none that there is, or `paths` is an empty list.
    TypeError
        If something else stands in the place of a path, or options come with a tree.
    SchemaError
        With `compat`, if it is no recording of Allen Visual Coding.

    Examples
    --------
    >>> import neuroarrays as na
    >>> na.units(na.sample_path())[["session", "area", "unit_id", "spikes"]].shape
    (15, 4)
    """
    _check(compat)
    trees = _trees(paths, engine, options)
    if compat is not None:
        return mlynarski.joined(mlynarski.units_of(tree) for _, tree in trees)
    return _frame(row for path, tree in trees for row in _units(path, tree))


def presentations(
    paths: Given | Sequence[Given],
    engine: str | type[Reader] | None = None,
    *,
    tables: str | Sequence[str] | None = None,
    compat: str | None = None,
    **options: Any,
) -> pd.DataFrame:
    """A row per presentation, trial or epoch of many recordings.

    Parameters
    ----------
    paths, engine
        As for `units`.
    tables : str or list of str, optional
        Names or globs of tables, of an aligned tree of stimuli; all unless given. Each has to be
        there in one recording at least.
    compat : {"mlynarski"}, optional
        The rows and columns of ``03_presentations_filtered_by_duration.csv`` of the published binned
        archive of Allen Visual Coding: whole movies, none of odd duration, medians over all `paths`.
        `neuroarrays.formats.allen_binned.tables` has the steps before, and the summary.
    **options
        As for `units`.

    Returns
    -------
    pandas.DataFrame
        ``path``, ``block``, ``session``, ``table``, ``presentation_id``, ``start_time``,
        ``stop_time`` and ``duration`` (s, session clock), and every other column of the tables.

    Raises
    ------
    MissingPath, UnknownFormat, FormatError, NotInTree, ValueError, TypeError, SchemaError
        As `units`.

    Examples
    --------
    >>> import neuroarrays as na
    >>> ripples = na.presentations(na.sample_path(), tables="sleep_ripples")
    >>> ripples[["start_time", "duration"]].shape
    (594, 2)
    """
    _check(compat)
    trees = _trees(paths, engine, options)
    if compat is not None:
        originals = mlynarski.joined(mlynarski.presentations_of(tree) for _, tree in trees)
        filtered = mlynarski.of_usual_length(mlynarski.whole_movies(originals))
        names = filtered["stimulus_name"].tolist() if len(filtered) else []
        kept = set(chosen(dict.fromkeys(names), tables, "stimulus"))
        return filtered[[name in kept for name in names]].reset_index(drop=True)
    rows = [row for path, tree in trees for row in _presentations(path, tree)]
    kept = set(chosen(dict.fromkeys(row["table"] for row in rows), tables, "presentation table"))
    return _frame(row for row in rows if row["table"] in kept)


def sessions(
    paths: Given | Sequence[Given],
    engine: str | type[Reader] | None = None,
    *,
    compat: str | None = None,
    **options: Any,
) -> pd.DataFrame:
    """A row per session of many recordings, with what its file says of it.

    Parameters
    ----------
    paths, engine
        As for `units`.
    compat : {"mlynarski"}, optional
        The columns of ``sessions.csv`` of the published binned archive of Allen Visual Coding, which
        are those of AllenSDK's `get_session_table`, as far as session files know them.
    **options
        As for `units`.

    Returns
    -------
    pandas.DataFrame
        ``path``, ``block``, ``session``, ``areas`` (names, joined by ", "), ``units`` (how many),
        ``tables`` and ``signals`` (names), and the attributes of the session.

    Raises
    ------
    MissingPath, UnknownFormat, FormatError, NotInTree, ValueError, TypeError, SchemaError
        As `units`.

    Examples
    --------
    >>> import neuroarrays as na
    >>> na.sessions(na.sample_path())["units"].tolist()
    [15]
    """
    _check(compat)
    trees = _trees(paths, engine, options)
    if compat is not None:
        return mlynarski.joined(mlynarski.sessions_of(tree) for _, tree in trees)
    return _frame(row for path, tree in trees for row in _sessions(path, tree))


def _check(compat: str | None) -> None:
    if compat not in (None, "mlynarski"):
        msg = f"{option('compat', compat)}: expected 'mlynarski' or None"
        raise ValueError(msg)


def _trees(
    paths: Given | Sequence[Given],
    engine: str | type[Reader] | None,
    options: dict[str, Any],
) -> Iterator[tuple[str, xr.DataTree]]:
    """Each path, as it is shown, and its tree; what was opened here is closed when the next is opened."""
    several = [paths] if isinstance(paths, _ONE) else paths
    expected = "expected a path, a tree, or a list of these"
    given.check(several, list | tuple, expected, TypeError)
    if not several:
        msg = "an empty list of paths; expected at least one"
        raise ValueError(msg)
    known: set[str] = set()
    for each in several:
        given.check(each, _ONE, expected, TypeError)
        if isinstance(each, xr.DataTree):
            _check_whole(each, engine, options)
            yield str(each.encoding.get("source", "")), each
            continue
        probe = probe_of(each)
        if probe.path in known:
            raise FormatError(probe.given, "", "each path of a list once", "it twice")
        known.add(probe.path)
        tree = open_datatree(probe, engine, **options)
        try:
            yield probe.given, tree
        finally:
            tree.close()


def _check_whole(
    tree: xr.DataTree, engine: str | type[Reader] | None, options: dict[str, Any]
) -> None:
    """Refuse a part of a tree, and options of a reader for one that is open."""
    if tree.parent is not None:
        msg = f"expected a whole tree, found {given.described(tree)}; give tree.root"
        raise TypeError(msg)
    if engine is not None or options:
        msg = f"a tree is open already: {', '.join(options) or 'engine'} is of no use there"
        raise TypeError(msg)


def _frame(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Rows as a frame: a dict of columns or single values each, joined by the names of columns."""
    import pandas as pd

    frames = [pd.DataFrame(row, index=None if _columns(row) else [0]) for row in rows]
    joined = mlynarski.joined(frames)
    if "block" in joined and not joined["block"].astype(bool).any():
        joined = joined.drop(columns="block")
    return joined


def _columns(row: Mapping[str, Any]) -> bool:
    return any(isinstance(value, np.ndarray) for value in row.values())


def _place(path: str, session: SessionRecord) -> dict[str, Any]:
    return {"path": path, "block": session.block, "session": session.name}


def _units(path: str, tree: xr.DataTree) -> Iterator[dict[str, Any]]:
    """The columns of each area."""
    nodes = groups.nodes_of(tree)
    for session in contents.of_tree(tree).sessions:
        for area in session.areas:
            place = _place(path, session) | {"area": area.name}
            for columns in _of_units(nodes, area):
                yield place | columns


def _of_units(nodes: groups.Groups, area: AreaRecord) -> Iterator[dict[str, Any]]:
    """The columns along units of the nodes of an area; those of the same units together."""
    known: list[dict[str, Any]] = []
    for path, node in nodes.items():
        if schema.UNIT not in node.sizes or not (
            path == area.path or groups.below(path, area.path)
        ):
            continue
        columns = {name: c.values for name, c in groups.columns(node, schema.UNIT).items()}
        columns.setdefault(schema.UNIT, np.arange(node.sizes[schema.UNIT]))
        if schema.ROW_SIZE in columns:
            columns["spikes"] = columns.pop(schema.ROW_SIZE)
        ids = {schema.UNIT: columns.pop(schema.UNIT)}
        same = (c for c in known if np.array_equal(c[schema.UNIT], ids[schema.UNIT]))
        together = next(same, None)
        if together is None:
            known.append(ids | columns)
        else:
            together.update({name: c for name, c in columns.items() if name not in together})
    yield from known


def _presentations(path: str, tree: xr.DataTree) -> Iterator[dict[str, Any]]:
    """The columns of each table, those of an aligned tree under the name of the stimulus."""
    nodes = groups.nodes_of(tree)
    facts = contents.of_tree(tree)
    for session in facts.sessions:
        for name, columns in _tables(facts, session, nodes, tree):
            table = {str(n): column.values for n, column in columns.items()}
            start, stop = (table.get(n) for n in (schema.START_TIME, schema.STOP_TIME))
            if start is not None and stop is not None and "duration" not in table:
                table["duration"] = stop - start
            first = (schema.PRESENTATION, schema.START_TIME, schema.STOP_TIME, "duration")
            ordered = {n: table[n] for n in first if n in table} | table
            if ordered:
                yield _place(path, session) | {"table": name} | ordered


def _tables(
    facts: TreeContents, session: SessionRecord, nodes: groups.Groups, tree: xr.DataTree
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if facts.kind == schema.RECORDING:
        for table in session.tables:
            node = nodes[f"{session.path}/{schema.PRESENTATIONS}/{table.name}"]
            yield table.name, groups.columns(node, schema.PRESENTATION)
        return
    inside = {p: n for p, n in nodes.items() if p == session.path or groups.below(p, session.path)}
    stimulus = session.block or str(tree.attrs.get("stimulus", ""))
    seen: list[np.ndarray] = []
    for owner in groups.owners(inside, schema.PRESENTATION):
        columns = groups.parameters(owner, inside)
        ids = columns.get(schema.PRESENTATION)
        shown = np.arange(inside[owner].sizes[schema.PRESENTATION]) if ids is None else ids.values
        if not any(np.array_equal(shown, other) for other in seen):  # areas share presentations
            seen.append(shown)
            yield stimulus, columns


def _sessions(path: str, tree: xr.DataTree) -> Iterator[dict[str, Any]]:
    """What each session holds, and its attributes."""
    nodes = groups.nodes_of(tree)
    for session in contents.of_tree(tree).sessions:
        known = nodes.get(session.path, xr.Dataset()).attrs
        facts = {str(k): v for k, v in known.items() if k not in _NO_FACTS and np.ndim(v) == 0}
        contained = {
            "areas": ", ".join(area.name for area in session.areas),
            "units": sum(area.n_units for area in session.areas),
            "tables": ", ".join(table.name for table in session.tables),
            "signals": ", ".join(signal.path for signal in session.signals),
        }
        yield (
            _place(path, session)
            | contained
            | {k: v for k, v in facts.items() if k not in contained}
        )
