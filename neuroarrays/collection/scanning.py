"""The rows that one recording adds to the tables over many: of its units, presentations, sessions, areas.

Made from the nodes of a tree, without building the tree. A column that a file has under the name of one
of the columns that say where a row lies is called ``<name>_in_file``.
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

#: The tables that there are.
UNITS, PRESENTATIONS, SESSIONS, CATALOG = "units", "presentations", "sessions", "catalog"
TABLES = (UNITS, PRESENTATIONS, SESSIONS, CATALOG)
TABLE, SPIKES, DURATION = "table", "spikes", "duration"
#: Columns that say where a row lies, at the front and at the end of each table. Paths are long, and
#: pandas prints the first columns of a table whole.
FIRST = (rows.BLOCK, rows.SESSION, rows.AREA, TABLE)
LAST = (rows.ROW, rows.NODE, rows.FORMAT, rows.STAMP, rows.PATH)
#: Attributes of a session that are no fact about the recording.
_NO_FACTS = ("notes", "metadata_in_file")
#: Some rows: the values of each column, (row,) each or one for all.
Piece = dict[str, Any]


@dataclass
class Columns:
    """The rows of one recording, column by column: no DataFrame is made of each.

    Attributes
    ----------
    values : dict of str to (row,) array
        In the order of the table.
    units : dict of str to str
        Column -> unit of measurement.
    notes : list of str
        What the reader says.
    """

    values: dict[str, np.ndarray]
    units: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def frame(self) -> pd.DataFrame:
        """The rows as a frame."""
        import pandas as pd

        frame = pd.DataFrame(self.values)
        frame.attrs["units"] = self.units
        return frame


def scan_nodes(table: str, path: str, nodes: Mapping[str, xr.Dataset], source: str = "") -> Columns:
    """The rows of one tree.

    Parameters
    ----------
    table : {"units", "presentations", "sessions", "catalog"}
        Which table.
    path : str
        Of the recording, as it stands in the rows.
    nodes : mapping of str to Dataset
        All nodes by path; "/" or "" is the root.
    source : str, optional
        The format; what the root says unless given.

    Returns
    -------
    Columns
    """
    named = {name.strip("/"): node for name, node in nodes.items()}
    facts = contents.of_groups({name or "/": node for name, node in named.items()})
    measured: dict[str, str] = {}
    pieces: Iterator[Piece]
    if table == UNITS:
        pieces = _units(facts, named, measured)
    elif table == PRESENTATIONS:
        pieces = _presentations(facts, named, measured)
    elif table == SESSIONS:
        pieces = _sessions(facts, named)
    else:
        pieces = _catalog(facts.rows())
    content = columns_of(list(pieces), path, source or facts.source)
    content.units = {n: u for n, u in measured.items() if u and n in content.values}
    return content


def columns_of(pieces: Sequence[Piece], path: str, source: str) -> Columns:
    """Pieces one below the other, with the path and format of all, in the order of columns of a table."""
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
    return max((np.size(v) for v in piece.values() if isinstance(v, np.ndarray)), default=1)


def _column(values: Sequence[Any], sizes: Sequence[int]) -> np.ndarray:
    """A column of all pieces: (row,); missing, NaN or None, in the rows of a piece that lacks it."""
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
    known = [p for p, value in zip(parts, values, strict=True) if value is not None]
    kinds = {part.dtype.kind for part in known}
    if len(known) < len(parts) and kinds <= set("iuf"):
        whole = [
            p if v is not None else np.full(p.size, np.nan)
            for p, v in zip(parts, values, strict=True)
        ]
        return np.concatenate(whole)
    if len(kinds) > 1 and not kinds <= set("iuf"):
        parts = [part.astype(object) for part in parts]
    return np.concatenate(parts)


def _own(columns: Mapping[str, Any], taken: Sequence[str]) -> dict[str, Any]:
    """Columns of a file, under names that no column of ours has."""
    return {f"{n}_in_file" if n in taken else printable(n): column for n, column in columns.items()}


def _place(session: SessionRecord) -> Piece:
    block = {rows.BLOCK: session.block} if session.block else {}
    return block | {rows.SESSION: session.name}


# ------------------------------------------------------------------------------------------ units


def _units(
    facts: TreeContents, nodes: Mapping[str, xr.Dataset], measured: dict[str, str]
) -> Iterator[Piece]:
    """The columns of each area."""
    for session in facts.sessions:
        for area in session.areas:
            place = _place(session) | {rows.AREA: area.name, rows.NODE: area.path}
            for columns in _of_area(nodes, area, measured):
                yield place | columns


def _of_area(
    nodes: Mapping[str, xr.Dataset], area: AreaRecord, measured: dict[str, str]
) -> Iterator[Piece]:
    """The columns along units of the nodes of an area; those of the same units together."""
    known: list[Piece] = []
    for path, node in nodes.items():
        inside = path == area.path or groups.below(path, area.path)
        if not inside or schema.UNIT not in node.sizes:
            continue
        size = node.sizes[schema.UNIT]
        along = {str(n): v for n, v in node.variables.items() if v.dims == (schema.UNIT,)}
        measured.update({n: str(v.attrs.get("units", "")) for n, v in along.items()})
        columns = {name: v.values for name, v in along.items()}
        ids = columns.pop(schema.UNIT, np.arange(size))
        counts = columns.pop(schema.ROW_SIZE, None)
        columns = _own(columns, (*FIRST, *LAST, SPIKES))
        columns |= {} if counts is None else {SPIKES: counts}
        together = next((c for c in known if np.array_equal(c[schema.UNIT], ids)), None)
        if together is None:
            known.append({schema.UNIT: ids} | columns | {rows.ROW: np.arange(size)})
        else:
            together.update({name: c for name, c in columns.items() if name not in together})
    yield from known


# ---------------------------------------------------------------------------------- presentations


def _presentations(
    facts: TreeContents, nodes: Mapping[str, xr.Dataset], measured: dict[str, str]
) -> Iterator[Piece]:
    """The columns of each table, those of an aligned tree under the name of the stimulus."""
    for session in facts.sessions:
        for name, columns in _tables(facts, session, nodes):
            measured.update(
                {n: str(column.attrs.get("units", "")) for n, column in columns.items()}
            )
            table = {n: column.values for n, column in columns.items()}
            start, stop = (table.get(n) for n in (schema.START_TIME, schema.STOP_TIME))
            if start is not None and stop is not None and DURATION not in table:
                table[DURATION] = stop - start
            first = (schema.PRESENTATION, schema.START_TIME, schema.STOP_TIME, DURATION)
            ordered = {n: table[n] for n in first if n in table} | table
            if ordered:
                yield _place(session) | {TABLE: name} | _own(ordered, (*FIRST, *LAST))


def _tables(
    facts: TreeContents, session: SessionRecord, nodes: Mapping[str, xr.Dataset]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if facts.kind == schema.RECORDING:
        for table in session.tables:
            node = nodes[f"{session.path}/{schema.PRESENTATIONS}/{table.name}"]
            yield table.name, groups.columns(node, schema.PRESENTATION)
        return
    inside = {p: n for p, n in nodes.items() if p == session.path or groups.below(p, session.path)}
    stimulus = session.block or str(nodes[""].attrs.get("stimulus", ""))
    seen: list[np.ndarray] = []
    for owner in groups.owners(inside, schema.PRESENTATION):
        columns = groups.parameters(owner, inside)
        ids = columns.get(schema.PRESENTATION)
        shown = np.arange(inside[owner].sizes[schema.PRESENTATION]) if ids is None else ids.values
        if not any(np.array_equal(shown, other) for other in seen):  # areas share presentations
            seen.append(shown)
            yield stimulus, columns


# ----------------------------------------------------------------------- sessions and their areas


def _sessions(facts: TreeContents, nodes: Mapping[str, xr.Dataset]) -> Iterator[Piece]:
    """What each session holds, and its attributes."""
    empty = xr.Dataset()
    for session in facts.sessions:
        known = nodes.get(session.path, empty).attrs
        attrs = {str(k): v for k, v in known.items() if k not in _NO_FACTS and np.ndim(v) == 0}
        contained = {
            "areas": ", ".join(area.name for area in session.areas),
            "units": sum(area.n_units for area in session.areas),
            "tables": ", ".join(table.name for table in session.tables),
            "signals": ", ".join(signal.path for signal in session.signals),
        }
        yield _place(session) | contained | _own(attrs, (*FIRST, *LAST, *contained))


def _catalog(records: Sequence[Mapping[str, Any]]) -> Iterator[Piece]:
    """Rows of a catalogue; the lengths of tables are kept as they are, a dict in each row."""
    for record in records:
        place = [str(record.get(name) or "") for name in (rows.BLOCK, rows.SESSION, rows.AREA)]
        node = "/".join(filter(None, place))
        row = {name: _printable(value) for name, value in record.items()}
        if not row.get(rows.BLOCK):
            row.pop(rows.BLOCK, None)
        yield row | {rows.NODE: node}


def scan_catalog(records: Sequence[Mapping[str, Any]], path: str, source: str) -> Columns:
    """The catalogue of a file whose reader lists it without opening sessions."""
    return columns_of(list(_catalog(records)), path, source)


def _printable(value: Any) -> Any:
    """A value of a catalogue without control characters: names come from a file and could steer a terminal."""
    if isinstance(value, dict):
        return {printable(name): number for name, number in value.items()}
    return printable(value) if isinstance(value, str) else value
