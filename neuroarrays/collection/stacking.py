"""Stacking the tables of several recordings: the columns of the result, their types and units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from neuroarrays.collection.layout import IS_JSON, UNIT
from neuroarrays.collection.scanning import FIRST, LAST

if TYPE_CHECKING:
    import pyarrow as pa


def joined(tables: Sequence[pa.Table]) -> pa.Table:
    """Stack tables; the rows of a table that lacks a column have missing values in it.

    A column of numbers gets the widest type, and a column that is numeric in one table and text in
    another becomes text. If tables differ in the unit of measurement of a column, the result names
    all units ("um or mm").
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
    for field in schema:
        chunks: list[pa.Array] = []
        for table in tables:
            if field.name in table.column_names:
                column = table.column(field.name)
                if column.type != field.type:
                    column = _cast(column, field.type)
                chunks += column.chunks
            else:
                chunks.append(pa.nulls(table.num_rows, field.type))
        columns.append(pa.chunked_array(chunks, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _fields(tables: Sequence[pa.Table]) -> dict[str, pa.Field]:
    """Return name -> field (type and unit) of the columns of stacked tables."""
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
    """Return the type of a column that combines values of several types."""
    import pyarrow as pa

    known = list(dict.fromkeys(kind for kind in kinds if not pa.types.is_null(kind)))
    if len(known) <= 1:
        return known[0] if known else pa.null()
    numbers = [k for k in known if pa.types.is_integer(k) or pa.types.is_floating(k)]
    if len(numbers) == len(known):
        return pa.from_numpy_dtype(np.result_type(*(k.to_pandas_dtype() for k in known)))
    return pa.string()


def _cast(column: pa.ChunkedArray, to: pa.DataType) -> pa.ChunkedArray:
    """Convert a column to another type; numbers become text as `str` writes them."""
    import pyarrow as pa

    if pa.types.is_string(to) and not pa.types.is_dictionary(column.type):
        texts = [None if value is None else str(value) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])
    return column.cast(to, safe=False)
