"""Tables of presentations as users give them: pandas, xarray, columns, intervals or bare onsets."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.schema.given import described
from neuroarrays.tree.columns import plain_column, seconds

#: Names of an index that only numbers the rows.
_NUMBERS = (None, schema.PRESENTATION, "id", "index")
#: Dates, and periods such as a day or a month.
_DATES = (datetime.date, pd.Period)
#: What `table_of` takes besides tables.
_ARRAYS = (list, tuple, range, np.ndarray, pd.Index, pd.Series, xr.DataArray)


def table_of(given: Any, event: str, label: str = "your table") -> xr.Dataset:
    """Convert presentations in any form to a table along presentation_id.

    Parameters
    ----------
    given : Dataset, DataTree node, DataFrame, mapping, (n,) onsets or (n, 2) starts and stops, s
        Presentations, or point events, each of which is an onset. Whole numbers in the index of a frame, or in its column `presentation_id`,
        number the rows; any other index becomes columns.
    event : str
        Column that has the onsets; like start and stop it is kept as it is, to be read as seconds.
    label : str
        Name of the table in an error.

    Returns
    -------
    Dataset
        Columns ``(presentation_id,)`` of numbers, bool or text; durations are in seconds, and dates
        become text (ISO 8601). Other columns keep their units.

    Raises
    ------
    SchemaError
        If it is no table, or two columns have one name.
    ValueError
        If onsets are no times.
    """
    times = (schema.START_TIME, schema.STOP_TIME, event)
    if isinstance(given, xr.DataTree):
        given = given.to_dataset()
    if isinstance(given, xr.Dataset):
        return _plain_dataset(one_row_each(given), times)
    frame = _as_frame(given, label)
    frame, ids = _rows(frame, label)
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        msg = f"{label!r} has two columns {twice!r}: rename or drop one"
        raise SchemaError(msg)
    columns = {
        name: (schema.PRESENTATION, _column(frame.iloc[:, i], is_time=name in times))
        for i, name in enumerate(names)
    }
    return xr.Dataset(columns, {schema.PRESENTATION: ids})


def one_row_each(table: xr.Dataset) -> xr.Dataset:
    """A table, or point events as a table, in which each event starts a presentation."""
    if schema.EVENT_TIME not in table.variables:
        return table
    (along,) = table.variables[schema.EVENT_TIME].dims
    columns = [
        name
        for name, column in table.data_vars.items()
        if column.dims[:1] == (along,) and name != schema.START_TIME
    ]
    rows = table[columns].reset_coords(drop=True)
    rows = rows.rename({along: schema.PRESENTATION, schema.EVENT_TIME: schema.START_TIME})
    return rows.assign_coords({schema.PRESENTATION: np.arange(rows.sizes[schema.PRESENTATION])})


def _plain_dataset(table: xr.Dataset, times: tuple[str, ...]) -> xr.Dataset:
    """A Dataset along presentation_id with columns of plain types."""
    if schema.PRESENTATION not in table.dims:
        msg = f"the table has dims {dict(table.sizes)}; expected presentation_id"
        raise SchemaError(msg)
    boxed = {
        name: table.variables[name]
        for name in set(table.variables) - set(table.coords)
        if table.variables[name].dims == (schema.PRESENTATION,)
        and not _is_plain(table.variables[name].dtype)
    }
    plain = {
        name: column.copy(data=_column(column, is_time=name in times))
        for name, column in boxed.items()
    }
    return table.assign(plain) if plain else table


def _as_frame(given: Any, label: str) -> pd.DataFrame:
    """A frame of columns, of starts and stops, or of onsets.

    Raises
    ------
    SchemaError
        If it is none of these.
    """
    if isinstance(given, pd.DataFrame):
        return given
    problem = ""
    if isinstance(given, Mapping):
        try:
            return pd.DataFrame(dict(given))
        except (TypeError, ValueError) as error:
            problem = f": {error}"
    elif isinstance(given, _ARRAYS):
        values = seconds(given, "onsets")
        index = given.index if isinstance(given, pd.Series) else None
        names = [schema.START_TIME, schema.STOP_TIME]
        if values.ndim == 1:
            return pd.DataFrame({schema.START_TIME: values}, index)
        if values.shape[1:] == (2,):
            return pd.DataFrame(values, index, names)
    msg = (
        f"{label!r}: expected a table with start_time and stop_time, onsets (n,), or starts and stops "
        f"(n, 2) in seconds; found {described(given)}{problem}"
    )
    raise SchemaError(msg)


def _rows(frame: pd.DataFrame, label: str) -> tuple[pd.DataFrame, np.ndarray]:
    """The frame with all labels of its rows as columns, and the numbers of its rows.

    Raises
    ------
    SchemaError
        If a column `presentation_id` has no whole numbers.
    """
    if schema.PRESENTATION in frame.columns:
        ids = plain_column(frame[schema.PRESENTATION])
        if ids.dtype.kind not in "iu":
            msg = f"{label!r}: presentation_id has {ids.dtype}; expected whole numbers"
            raise SchemaError(msg)
        frame = frame.drop(columns=schema.PRESENTATION)
    else:
        ids = frame.index.to_numpy()
    is_number = frame.index.nlevels == 1 and frame.index.dtype.kind in "iu"
    if not is_number or frame.index.name not in _NUMBERS:
        names = [
            f"level_{i}" if name is None and frame.index.nlevels > 1 else name or "index"
            for i, name in enumerate(frame.index.names)
        ]
        frame = frame.assign(
            **{
                str(name): frame.index.get_level_values(i).to_numpy()
                for i, name in enumerate(names)
                if name not in frame.columns
            }
        )
    return frame, ids if ids.dtype.kind in "iu" else np.arange(len(frame))


def _column(column: Any, is_time: bool) -> np.ndarray:
    """A column as plain numpy; dates become text, except where times are expected."""
    if is_time and getattr(column.dtype, "kind", "O") in "MO":
        return np.asarray(column)
    values = plain_column(column)
    missing = np.asarray(pd.isna(values))
    known = values[~missing]
    is_date = values.dtype.kind == "O" and all(isinstance(v, _DATES) for v in known)
    if values.dtype.kind == "M" or (is_date and known.size):
        texts = np.full(values.shape, None, object)
        texts[~missing] = [
            value.isoformat() if isinstance(value, datetime.date) else str(value) for value in known
        ]
        return texts
    return values


def _is_plain(dtype: Any) -> bool:
    """Whether a column has numbers or text, not objects, durations or a type of pandas."""
    return isinstance(dtype, np.dtype) and dtype.kind in "biufSU"
