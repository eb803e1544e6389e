"""Tables of several recordings one below the other: which columns, of which type, in which unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from neuroarrays.collection.layout import IS_JSON, UNIT
from neuroarrays.collection.scanning import FIRST, LAST

if TYPE_CHECKING:
    import pyarrow as pa


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables one below the other; a column that one lacks is missing in its rows.

    Of numbers the wider type is taken; where one table has numbers and another text, both are text. A
    unit of measurement in which tables differ is written with all of theirs.
    """
    import pyarrow as pa

    tables = [table for table in tables if table.num_columns]
    if len(tables) <= 1:
        return tables[0] if tables else pa.table({})
    fields = _fields(tables)
    order = [*(n for n in FIRST if n in fields), *(n for n in fields if n not in (*FIRST, *LAST))]
    order += [name for name in LAST if name in fields]
    schema = pa.schema([fields[name] for name in order])
    columns = []
    for wanted in schema:
        chunks: list[pa.Array] = []
        for table in tables:
            if wanted.name in table.column_names:
                column = table.column(wanted.name)
                if column.type != wanted.type:
                    column = _cast(column, wanted.type)
                chunks += column.chunks
            else:
                chunks.append(pa.nulls(table.num_rows, wanted.type))
        columns.append(pa.chunked_array(chunks, wanted.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _fields(tables: Sequence[pa.Table]) -> dict[str, pa.Field]:
    """The type and unit of each column of several tables."""
    import pyarrow as pa

    types: dict[str, list[pa.DataType]] = {}
    abouts: dict[str, list[dict[bytes, bytes]]] = {}
    for table in tables:
        for column in table.schema:
            types.setdefault(column.name, []).append(column.type)
            abouts.setdefault(column.name, []).append(column.metadata or {})
    fields = {}
    for name, kinds in types.items():
        units = dict.fromkeys(about.get(UNIT, b"") for about in abouts[name])
        about = {IS_JSON: b"1"} if any(IS_JSON in each for each in abouts[name]) else {}
        if any(units):
            about[UNIT] = b" or ".join(unit or b"none" for unit in units)
        fields[name] = pa.field(name, _common(kinds), metadata=about or None)
    return fields


def _common(kinds: Sequence[pa.DataType]) -> pa.DataType:
    """The type that values of several types have in one column."""
    import pyarrow as pa

    known = list(dict.fromkeys(kind for kind in kinds if not pa.types.is_null(kind)))
    if len(known) <= 1:
        return known[0] if known else pa.null()
    numbers = [k for k in known if pa.types.is_integer(k) or pa.types.is_floating(k)]
    if len(numbers) == len(known):
        return pa.from_numpy_dtype(np.result_type(*(k.to_pandas_dtype() for k in known)))
    return pa.string()


def _cast(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    import pyarrow as pa

    if pa.types.is_string(wanted) and not pa.types.is_dictionary(column.type):
        texts = [None if value is None else str(value) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])
    return column.cast(wanted, safe=False)
