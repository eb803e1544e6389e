"""Read parquet files: names and types of columns from the footer, values column by column."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError, required
from neuroarrays.files import safety
from neuroarrays.files.headers import Header, header_of
from neuroarrays.files.location import FILE
from neuroarrays.files.members import MemberSource
from neuroarrays.files.placed import Member

#: The beginning of the names of columns that pandas writes for its index.
_INDEX = "__index_level_"


@dataclass(frozen=True)
class ParquetSource(MemberSource):
    """The columns of a parquet file: numbers (NaN if missing), bool and text."""

    def _scan(self) -> dict[str, Member]:
        return {name: m for name, m in self._columns().items() if m.dtype.kind != "V"}

    def left_out(self) -> dict[str, str]:
        return {
            name: "values of another kind"
            for name, member in self._columns().items()
            if member.dtype.kind == "V"
        }

    def _columns(self) -> dict[str, Member]:
        """Every column; those that are neither numbers, bool nor text have a void dtype."""
        with self._opened() as file:
            rows, metadata = file.metadata.num_rows, file.metadata
            for name in file.schema_arrow.names:
                safety.check_allocation(self.path, name, 8 * rows, self.stamp[1])
            gaps = {
                column.path_in_schema
                for group in map(metadata.row_group, range(metadata.num_row_groups))
                for column in map(group.column, range(group.num_columns))
                if not _is_whole(column.statistics)
            }
            return {
                field.name: Member(_dtype(field.type, field.name in gaps), (rows,))
                for field in file.schema_arrow
                if not field.name.startswith(_INDEX)
            }

    def _unpack(self, name: str, member: Member) -> np.ndarray:
        with self._opened() as file:
            # No threads: in a process that was forked while pyarrow's threads ran, it would hang.
            column = file.read(columns=[name], use_threads=False).column(0)
            if member.dtype.kind == "U":
                return np.array(["" if text is None else text for text in column.to_pylist()], "U")
            values = column.to_pandas(use_threads=False)
        return np.asarray(values.where(values.notna()).to_numpy(member.dtype))

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """The file as pyarrow opens it."""
        parquet = required("pyarrow.parquet", "parquet", "reading parquet files")
        with (
            self.location.open(self.stamp) as file,
            safety.readable(self.path, "", "a parquet file"),
            parquet.ParquetFile(file.stream()) as opened,
        ):
            yield opened


def _is_whole(statistics: Any) -> bool:
    """Whether the statistics of a column say that no value is missing."""
    return bool(statistics and statistics.has_null_count and not statistics.null_count)


def _dtype(arrow_type: Any, has_missing: bool) -> np.dtype:
    """The dtype of a column; whole numbers and bool with missing values are float64."""
    from pyarrow import types

    if (
        types.is_string(arrow_type)
        or types.is_large_string(arrow_type)
        or types.is_dictionary(arrow_type)
    ):
        return np.dtype("U1")
    is_number = types.is_integer(arrow_type) or types.is_floating(arrow_type)
    if not (is_number or types.is_boolean(arrow_type)):
        return np.dtype("V1")
    dtype = np.dtype(arrow_type.to_pandas_dtype())
    return np.dtype("f8") if has_missing and dtype.kind in "iub" else dtype


def parquet_source(path: str | os.PathLike[str] | Header) -> ParquetSource:
    """Open a parquet file; nothing is read before a column is needed.

    Raises
    ------
    MissingPath
        If there is no such file.
    FormatError
        If it is a folder, or shorter than any parquet file.
    """
    file = header_of(path)
    file.check(FILE)
    if file.size < 12:
        raise FormatError(file.path, "", "a parquet file", f"{file.size} bytes")
    return ParquetSource(file.location, file.stamp)
