"""The rows of one recording in the tables over many recordings: units, presentations, sessions, areas.

They are made from the nodes of a tree, without building the tree. If a file has a column with the name of
one of our own columns (such as ``session``), it is called ``<name>_in_file``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import printable
from neuroarrays.formats import rows
from neuroarrays.tree import contents, groups
from neuroarrays.tree.records import AreaRecord, SessionRecord, TreeContents

if TYPE_CHECKING:
    import pandas as pd

#: Names of the tables.
UNITS, PRESENTATIONS, SESSIONS, CATALOG = "units", "presentations", "sessions", "catalog"
TABLES = (UNITS, PRESENTATIONS, SESSIONS, CATALOG)
TABLE, SPIKES, DURATION = "table", "spikes", "duration"
#: Columns that tell where a row is from, at the front and at the end of each table. Long ones, such as
#: paths, are at the end, as pandas prints the first columns in full.
FIRST = (rows.BLOCK, rows.SESSION, rows.AREA, TABLE)
LAST = (rows.ROW, rows.NODE, rows.FORMAT, rows.STAMP, rows.PATH)
#: Attributes of a session that are not facts about the recording.
_NO_FACTS = ("notes", "metadata_in_file")
#: Some rows: column -> values, (row,), or one value for all rows.
Piece = dict[str, Any]


@dataclass
class Columns:
    """The rows of one recording as columns, which is faster than a DataFrame for each.

    Attributes
    ----------
    values : dict of str to (row,) array
        Columns in the order of the table.
    units : dict of str to str
        Column -> unit of measurement.
    notes : list of str
        Notes of the reader.
    """

    values: dict[str, np.ndarray]
    units: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def frame(self) -> pd.DataFrame:
        """Return the rows as a DataFrame, with units of measurement in ``attrs["units"]``."""
        import pandas as pd

        frame = pd.DataFrame(self.values)
        frame.attrs["units"] = self.units
        return frame


def scan_nodes(table: str, path: str, nodes: Mapping[str, xr.Dataset], source: str = "") -> Columns:
    """Return the rows of one tree in a table.

    Parameters
    ----------
    table : {"units", "presentations", "sessions", "catalog"}
        Name of the table.
    path : str
        Path of the recording, for the rows.
    nodes : mapping of str to Dataset
        All nodes by path; "/" or "" is the root.
    source : str, optional
        The format of the recording (default: what the root states).

    Returns
    -------
    Columns
    """
    by_path = {name.strip("/"): node for name, node in nodes.items()}
    facts = contents.of_groups({name or "/": node for name, node in by_path.items()})
    units: dict[str, str] = {}
    pieces: Iterator[Piece]
    if table == UNITS:
        pieces = _units(facts, by_path, units)
    elif table == PRESENTATIONS:
        pieces = _presentations(facts, by_path, units)
    elif table == SESSIONS:
        pieces = _sessions(facts, by_path)
    else:
        pieces = _catalog(facts.rows())
    content = columns_of(list(pieces), path, source or facts.source)
    content.units = {name: u for name, u in units.items() if u and name in content.values}
    return content


def columns_of(pieces: Sequence[Piece], path: str, source: str) -> Columns:
    """Stack pieces, add the path and format of the recording, and order the columns."""
    sizes = [_size(piece) for piece in pieces]
    names = dict.fromkeys(name for piece in pieces for name in piece)
    columns = {name: _column([piece.get(name) for piece in pieces], sizes) for name in names}
    total = sum(sizes)
    columns |= {
        rows.PATH: np.full(total, path, object),
        rows.FORMAT: np.full(total, source, object),
    }
    order = [*(n for n in FIRST if n in columns), *(n for n in columns if n not in (*FIRST, *LAST))]
    order += [name for name in LAST if name in columns]
    return Columns({name: columns[name] for name in order})


def _size(piece: Piece) -> int:
    """Return the number of rows of a piece."""
    return max((np.size(v) for v in piece.values() if isinstance(v, np.ndarray)), default=1)


def _column(values: Sequence[Any], sizes: Sequence[int]) -> np.ndarray:
    """Return a column of all pieces, (row,); it is NaN or None in the rows of pieces that lack it."""
    parts = []
    for value, size in zip(values, sizes, strict=True):
        if isinstance(value, np.ndarray):
            part = value if value.dtype.kind not in "US" else value.astype(object)
        elif value is None:
            part = np.full(size, None, object)
        elif isinstance(value, bool | int | float | np.number | np.bool_):
            part = np.full(size, value)
        else:
            part = np.empty(size, object)
            part.fill(value)
        parts.append(part)
    present = [p for p, value in zip(parts, values, strict=True) if value is not None]
    dtype_kinds = {part.dtype.kind for part in present}
    if len(present) < len(parts) and dtype_kinds <= set("iuf"):
        filled = [
            p if v is not None else np.full(p.size, np.nan)
            for p, v in zip(parts, values, strict=True)
        ]
        return np.concatenate(filled)
    if len(dtype_kinds) > 1 and not dtype_kinds <= set("iuf"):
        parts = [part.astype(object) for part in parts]
    return np.concatenate(parts)


def _renamed(columns: Mapping[str, Any], reserved: Sequence[str]) -> dict[str, Any]:
    """Rename the columns of a file that have the name of one of our columns."""
    return {
        f"{name}_in_file" if name in reserved else printable(name): column
        for name, column in columns.items()
    }


def _origin(session: SessionRecord) -> Piece:
    """Return the columns that tell which session a row is from."""
    block = {rows.BLOCK: session.block} if session.block else {}
    return block | {rows.SESSION: session.name}


# ------------------------------------------------------------------------------------------ units


def _units(
    facts: TreeContents, nodes: Mapping[str, xr.Dataset], measured: dict[str, str]
) -> Iterator[Piece]:
    """Yield the rows of each area; `measured` collects column -> unit of measurement."""
    for session in facts.sessions:
        for area in session.areas:
            origin = _origin(session) | {rows.AREA: area.name, rows.NODE: area.path}
            for columns in _of_area(nodes, area, measured):
                yield origin | columns


def _of_area(
    nodes: Mapping[str, xr.Dataset], area: AreaRecord, measured: dict[str, str]
) -> Iterator[Piece]:
    """Yield the columns along units in the nodes of an area; nodes with the same units share rows."""
    pieces: list[Piece] = []
    for path, node in nodes.items():
        in_area = path == area.path or groups.below(path, area.path)
        if not in_area or schema.UNIT not in node.sizes:
            continue
        size = node.sizes[schema.UNIT]
        along = {str(n): v for n, v in node.variables.items() if v.dims == (schema.UNIT,)}
        measured.update({n: str(v.attrs.get("units", "")) for n, v in along.items()})
        columns = {name: v.values for name, v in along.items()}
        ids = columns.pop(schema.UNIT, np.arange(size))
        counts = columns.pop(schema.ROW_SIZE, None)
        columns = _renamed(columns, (*FIRST, *LAST, SPIKES))
        columns |= {} if counts is None else {SPIKES: counts}
        same_units = next((p for p in pieces if np.array_equal(p[schema.UNIT], ids)), None)
        if same_units is None:
            pieces.append({schema.UNIT: ids} | columns | {rows.ROW: np.arange(size)})
        else:
            same_units.update({name: c for name, c in columns.items() if name not in same_units})
    yield from pieces


# ---------------------------------------------------------------------------------- presentations


def _presentations(
    facts: TreeContents, nodes: Mapping[str, xr.Dataset], measured: dict[str, str]
) -> Iterator[Piece]:
    """Yield the rows of each table; tables of an aligned tree have the name of the stimulus."""
    for session in facts.sessions:
        for name, columns in _tables(facts, session, nodes):
            measured.update(
                {n: str(column.attrs.get("units", "")) for n, column in columns.items()}
            )
            table = {n: column.values for n, column in columns.items()}
            start, stop = (table.get(n) for n in (schema.START_TIME, schema.STOP_TIME))
            if start is not None and stop is not None and DURATION not in table:
                table[DURATION] = stop - start
            first_columns = (schema.PRESENTATION, schema.START_TIME, schema.STOP_TIME, DURATION)
            ordered = {n: table[n] for n in first_columns if n in table} | table
            if ordered:
                yield _origin(session) | {TABLE: name} | _renamed(ordered, (*FIRST, *LAST))


def _tables(
    facts: TreeContents, session: SessionRecord, nodes: Mapping[str, xr.Dataset]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield name and columns of each table of presentations of a session."""
    if facts.kind == schema.RECORDING:
        for table in session.tables:
            node = nodes[f"{session.path}/{schema.PRESENTATIONS}/{table.name}"]
            yield table.name, groups.columns(node, schema.PRESENTATION)
        return
    in_session = {
        path: node
        for path, node in nodes.items()
        if path == session.path or groups.below(path, session.path)
    }
    stimulus = session.block or str(nodes[""].attrs.get("stimulus", ""))
    seen: list[np.ndarray] = []
    for path in groups.owners(in_session, schema.PRESENTATION):
        columns = groups.parameters(path, in_session)
        size = in_session[path].sizes[schema.PRESENTATION]
        column = columns.get(schema.PRESENTATION)
        ids = np.arange(size) if column is None else column.values
        if not any(np.array_equal(ids, other) for other in seen):  # areas share presentations
            seen.append(ids)
            yield stimulus, columns


# ----------------------------------------------------------------------- sessions and their areas


def _sessions(facts: TreeContents, nodes: Mapping[str, xr.Dataset]) -> Iterator[Piece]:
    """Yield the row of each session: the contents of the session, and its attributes."""
    empty = xr.Dataset()
    for session in facts.sessions:
        session_attrs = nodes.get(session.path, empty).attrs
        attrs = {
            str(k): v for k, v in session_attrs.items() if k not in _NO_FACTS and np.ndim(v) == 0
        }
        contained = {
            "areas": ", ".join(area.name for area in session.areas),
            "units": sum(area.n_units for area in session.areas),
            "tables": ", ".join(table.name for table in session.tables),
            "signals": ", ".join(signal.path for signal in session.signals),
        }
        yield _origin(session) | contained | _renamed(attrs, (*FIRST, *LAST, *contained))


def _catalog(records: Sequence[Mapping[str, Any]]) -> Iterator[Piece]:
    """Yield the rows of a catalogue; the numbers of presentations by table stay a dict."""
    for record in records:
        position = [str(record.get(name) or "") for name in (rows.BLOCK, rows.SESSION, rows.AREA)]
        node = "/".join(filter(None, position))
        row = {name: _printable(value) for name, value in record.items()}
        if not row.get(rows.BLOCK):
            row.pop(rows.BLOCK, None)
        yield row | {rows.NODE: node}


def scan_catalog(records: Sequence[Mapping[str, Any]], path: str, source: str) -> Columns:
    """Return the catalogue of a file whose reader lists it without opening sessions."""
    return columns_of(list(_catalog(records)), path, source)


def _printable(value: Any) -> Any:
    """Remove control characters from a value: a name in a file could otherwise control a terminal."""
    if isinstance(value, dict):
        return {printable(name): number for name, number in value.items()}
    return printable(value) if isinstance(value, str) else value
