"""The layout of tables over many recordings in parquet files (for users: docs/many_sessions.md).

A file has a row per unit (presentation, session, area) and the columns of `scanning`. The key
``neuroarrays`` of its metadata has JSON with the version of the layout, the name of the table, and for
each recording, in the order of the rows, its path, stamp, format and number of rows. Paths of recordings
below the folder of the file are written relative to it, so that both can be moved together.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays._version import __version__
from neuroarrays.collection.scanning import Columns
from neuroarrays.errors import FormatError, required, warn
from neuroarrays.files import state
from neuroarrays.files.probe import Probe
from neuroarrays.files.stamps import stamp_text
from neuroarrays.files.writing import written
from neuroarrays.formats import rows
from neuroarrays.tree.columns import plain_column
from neuroarrays.tree.query import missing

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

#: Version of the layout, the key of our metadata, and the number of rows in a row group.
VERSION, KEY, ROW_GROUP = 1, b"neuroarrays", 1 << 18
#: Keys in the metadata of a column: for dicts that are stored as JSON, and for the unit of measurement.
IS_JSON, UNIT = b"json", b"units"
#: Number of values that are examined to find columns of dicts.
_EXAMINED = 64
#: Whether the warning about pyarrow was shown.
_warned: state.Cache[bool] = state.Cache(1, lambda _: 1)


@dataclass
class Entry:
    """One recording in a table.

    Attributes
    ----------
    path : str
        An absolute path, or an address without secrets.
    stamp : list of int
        Numbers that change with its content: size and time of change, or what the server states.
    format : str
        The reader.
    n_rows : int
        Number of its rows.
    notes : list of str
        What was left out of it.
    """

    path: str
    stamp: list[int]
    format: str
    n_rows: int
    notes: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether nothing damaged was left out of it."""
        return not any(" left out: " in note for note in self.notes)


def pyarrow_or_none() -> Any:
    """Return the package pyarrow; without it warn once and return None."""
    try:
        import pyarrow
    except ImportError:
        if not len(_warned):
            _warned.put("pyarrow", True)
            warn(
                "tables over many recordings are not kept, and are read again each time: "
                "install the package 'pyarrow' to keep them, pip install 'neuroarrays[parquet]'"
            )
        return None
    return pyarrow


def require_pyarrow(purpose: str) -> Any:
    """Return the package pyarrow, which is needed for some `purpose`.

    Raises
    ------
    MissingDependency
        If it is not installed.
    """
    return required("pyarrow", "parquet", purpose)


# --------------------------------------------------------------------------- frames and arrow tables


def to_arrow(content: Columns) -> pa.Table:
    """Convert columns to an arrow table, with units of measurement as metadata of its columns."""
    import pyarrow as pa

    arrays, fields = [], []
    for name, values in content.values.items():
        array, is_json = _array(values)
        about = {IS_JSON: b"1"} if is_json else {}
        if unit := content.units.get(name):
            about[UNIT] = str(unit).encode()
        arrays.append(array)
        fields.append(pa.field(str(name), array.type, metadata=about or None))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def from_pandas(frame: pd.DataFrame) -> pa.Table:
    """Convert a frame to an arrow table; units of measurement are those in ``attrs["units"]``."""
    columns = {str(name): np.asarray(frame[name]) for name in frame.columns}
    return to_arrow(Columns(columns, frame.attrs.get("units", {})))


def _array(values: np.ndarray) -> tuple[pa.Array, bool]:
    """Convert a column, (row,); return it, and whether it has dicts as JSON."""
    import pyarrow as pa

    if values.dtype == object and any(isinstance(value, dict) for value in values[:_EXAMINED]):
        texts = [None if value is None else json.dumps(value) for value in values]
        return pa.array(texts, pa.string()), True
    if values.dtype.kind == "m":
        values = plain_column(values)  # durations in seconds
    try:
        return pa.array(values, from_pandas=True), False
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, UnicodeError):
        pass
    try:
        return pa.array(plain_column(values), from_pandas=True), False
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, UnicodeError):
        texts = [
            None if is_missing else str(value).encode("utf-8", "backslashreplace").decode()
            for value, is_missing in zip(values, missing(values), strict=True)
        ]
        return pa.array(texts, pa.string()), False


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Convert an arrow table to a frame, with units of measurement in ``attrs["units"]``.

    JSON becomes dicts again, and dictionary-encoded text becomes categories.
    """
    frame: pd.DataFrame = table.replace_schema_metadata(None).to_pandas()
    units: dict[str, str] = {}
    for column in table.schema:
        about = column.metadata or {}
        if about.get(IS_JSON):
            texts = frame[column.name]
            values = [json.loads(t) if isinstance(t, str) else t for t in texts]
            frame[column.name] = np.array([*values, None], object)[:-1]
        if UNIT in about:
            units[column.name] = about[UNIT].decode()
    if units:
        frame.attrs["units"] = units
    return frame


def _converted(table: pa.Table, type_for: Callable[[pa.DataType], pa.DataType | None]) -> pa.Table:
    """Convert the columns of a table to the types that `type_for` returns; None keeps a type."""
    import pyarrow as pa

    for index, column in enumerate(table.schema):
        kind = type_for(column.type)
        if kind is not None:
            field = pa.field(column.name, kind, metadata=column.metadata)
            table = table.set_column(index, field, table.column(index).cast(kind))
    return table


def dictionary_encoded(table: pa.Table) -> pa.Table:
    """Dictionary-encode the text columns of a table, as few values are distinct."""
    import pyarrow as pa

    texts = pa.dictionary(pa.int32(), pa.string())
    table = _converted(table, lambda kind: texts if pa.types.is_string(kind) else None)
    return table.unify_dictionaries()


def dictionary_decoded(table: pa.Table) -> pa.Table:
    """Convert the dictionary-encoded columns of a table to text."""
    import pyarrow as pa

    text = pa.string()
    return _converted(table, lambda kind: text if pa.types.is_dictionary(kind) else None)


def select_columns(table: pa.Table, columns: Sequence[str] | None) -> pa.Table:
    """Select columns of a table, of those that it has; None selects all."""
    names = table.column_names
    return table if columns is None else table.select([n for n in columns if n in names])


# ------------------------------------------------------------------------------------------- files


def write(path: Path, table: pa.Table, name: str, entries: Sequence[Entry], relative: bool) -> None:
    """Write a table to a parquet file, which appears only when it is complete.

    Parameters
    ----------
    path : Path
        The file; an existing one is replaced.
    table : pyarrow.Table
        The rows, recording by recording.
    name : str
        Name of the table, one of `scanning.TABLES`.
    entries : sequence of Entry
        The recordings, in the order of the rows.
    relative : bool
        Whether paths below the folder of the file are written relative to it.
    """
    if relative:
        entries = [Entry(**(asdict(e) | {"path": _relative(e.path, path.parent)})) for e in entries]
        table = with_paths(table, entries)
    metadata = {
        "version": VERSION,
        "made_by": f"neuroarrays {__version__}",
        "table": name,
        "recordings": [asdict(entry) for entry in entries],
    }
    key_value_metadata, table = (
        {KEY: json.dumps(metadata, separators=(",", ":")).encode()},
        dictionary_decoded(table),
    )
    with written(path, overwrite=True) as work:
        export(table.replace_schema_metadata(key_value_metadata), work)


def export(table: pa.Table, path: Path) -> None:
    """Write a table in large row groups, with dictionary-encoded text."""
    import pyarrow as pa
    from pyarrow import parquet

    text_columns = [c.name for c in table.schema if pa.types.is_string(c.type)]
    parquet.write_table(
        table, path, row_group_size=ROW_GROUP, compression="zstd", use_dictionary=text_columns
    )


def _relative(path: str, folder: Path) -> str:
    if "://" in path or not Path(path).is_relative_to(folder):
        return path
    return Path(path).relative_to(folder).as_posix()


def with_paths(table: pa.Table, entries: Iterable[Entry]) -> pa.Table:
    """Replace the column of paths of a table, if it has one, by the paths of the entries."""
    import pyarrow as pa

    if rows.PATH not in table.column_names:
        return table
    entries = list(entries)
    number = np.repeat(np.arange(len(entries), dtype=np.int32), [e.n_rows for e in entries])
    paths = pa.DictionaryArray.from_arrays(number, pa.array([e.path for e in entries], pa.string()))
    at = table.column_names.index(rows.PATH)
    field = table.schema.field(at)
    texts = paths if pa.types.is_dictionary(field.type) else paths.cast(field.type)
    return table.set_column(at, field, texts)


def with_stamp(table: pa.Table, stamp: Sequence[int]) -> pa.Table:
    """Add the stamp of a recording to its rows, by which a later opening notices a change."""
    import pyarrow as pa

    if rows.PATH not in table.column_names or rows.STAMP in table.column_names:
        return table
    texts = pa.array([stamp_text(stamp)], pa.string()).take(
        pa.array(np.zeros(table.num_rows, np.int8))
    )
    return table.add_column(table.column_names.index(rows.PATH), rows.STAMP, texts)


@dataclass
class IndexFile:
    """An open parquet file with a table over many recordings.

    Attributes
    ----------
    file : pyarrow.parquet.ParquetFile
        The open file.
    name : str
        Name of the table.
    entries : list of Entry
        Its recordings, with absolute paths.
    moved : bool
        Whether paths in the rows are relative to the folder of the file.
    columns : list of str
        Names of its columns.
    """

    file: Any
    name: str
    entries: list[Entry]
    moved: bool
    columns: list[str]

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows, with dictionary-encoded text; of `columns`, those that exist."""
        names = None if columns is None else [n for n in columns if n in self.columns]
        table = self.file.read(columns=names)
        table = table.replace_schema_metadata(None)
        return with_paths(table, self.entries) if self.moved else table


def open_index(probe: Probe) -> IndexFile | None:
    """Open the table in a parquet file; None if the file is not one of ours.

    Raises
    ------
    FormatError
        If the file is damaged, or was made by a newer version.
    MissingDependency
        If pyarrow is not installed.
    """
    pa = require_pyarrow("reading an index")
    from pyarrow import parquet

    local = probe.location.local_path
    source = local if local is not None else pa.py_buffer(probe.read_bytes())
    try:
        file = parquet.ParquetFile(source)
        columns = file.schema_arrow
        about = (columns.metadata or {}).get(KEY)
        if about is None:
            return None
        content = json.loads(about)
        version = int(content["version"])
        if version > VERSION:
            raise FormatError(
                probe.as_given,
                "",
                f"an index of version {VERSION}, which this version of neuroarrays reads",
                f"one of version {version}, made by {content.get('made_by')}",
                "update neuroarrays, or index the recordings again",
            )
        entries = [Entry(**entry) for entry in content["recordings"]]
        name = str(content["table"])
        texts = [column.name for column in columns if pa.types.is_string(column.type)]
        file = parquet.ParquetFile(source, metadata=file.metadata, read_dictionary=texts)
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        if isinstance(error, FormatError):
            raise
        problem = f"{type(error).__name__}: {error}"[:200]
        raise FormatError(probe.as_given, "", "a parquet file", problem, "index again") from error
    if not _in_order(file, entries):
        raise FormatError(
            probe.as_given,
            "",
            "the rows of each recording as they were written",
            "rows that another program sorted or left out",
            "index again; filter or sort what na.units gives, or write it without this metadata",
        )
    folder, moved = probe.location.parent, False
    for entry in entries:
        if "://" not in entry.path and not os.path.isabs(entry.path):
            entry.path, moved = folder.child(entry.path).path, True
    return IndexFile(file, name, entries, moved, list(columns.names))


def _in_order(file: pq.ParquetFile, entries: Sequence[Entry]) -> bool:
    """Return whether the rows of a file are still those of its recordings, in their order."""
    if file.metadata.num_rows != sum(entry.n_rows for entry in entries):
        return False
    if "path" not in file.schema_arrow.names:
        return True
    start, paths = 0, file.read(columns=["path"])["path"]
    for entry in entries:
        if paths.slice(start, entry.n_rows).unique().to_pylist() not in ([entry.path], []):
            return False
        start += entry.n_rows
    return True
