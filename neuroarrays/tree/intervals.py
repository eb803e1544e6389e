"""Set operations on tables of intervals, whose rows may overlap and keep their labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError, many
from neuroarrays.tree.columns import plain_column, seconds

__all__ = ["difference", "intersection", "merge", "union"]


def __dir__() -> list[str]:
    return sorted(__all__)


_ROWS = schema.PRESENTATION


def spans(table: Any) -> tuple[np.ndarray, np.ndarray]:
    """Take the starts and stops of a table of intervals.

    Parameters
    ----------
    table : Dataset, DataTree node, DataFrame, or (n, 2) array, s
        A table with `start_time` and `stop_time`, or starts and stops side by side.

    Returns
    -------
    starts, stops : (n,) float64, s

    Raises
    ------
    SchemaError
        If `table` is not a table of intervals.
    ValueError
        If a start or stop is missing, or a stop is before its start; the message names the row.

    Examples
    --------
    >>> import neuroarrays as na
    >>> na.intervals.spans([(0.0, 2.0), (5.0, 6.0)])
    (array([0., 5.]), array([2., 6.]))
    """
    if isinstance(table, xr.DataTree):
        table = table.to_dataset()
    if isinstance(table, xr.Dataset | pd.DataFrame):
        for name in (schema.START_TIME, schema.STOP_TIME):
            if name not in table:
                msg = f"no {name!r} among {list(table)}; expected a table of intervals"
                raise SchemaError(msg)
        pair = np.stack([seconds(table[k], k) for k in (schema.START_TIME, schema.STOP_TIME)])
    else:
        try:
            rows = seconds(table, "intervals")
        except (TypeError, ValueError) as error:
            msg = (
                f"expected a table with start_time and stop_time, or (n, 2) starts and stops in "
                f"seconds; found {table!r:.60} ({error})"
            )
            raise SchemaError(msg) from error
        rows = rows[None] if rows.shape == (2,) else rows
        rows = np.empty((0, 2)) if rows.shape == (0,) else rows  # an empty list
        if rows.ndim != 2 or rows.shape[1] != 2:
            msg = f"intervals of shape {rows.shape}: expected (n, 2), starts and stops in seconds"
            raise SchemaError(msg)
        pair = rows.T
    bad = ~(np.isfinite(pair).all(axis=0) & (pair[0] <= pair[1]))
    if bad.any():
        row = int(np.argmax(bad))
        msg = (
            f"{int(bad.sum())} of {many(bad.size, 'interval')} with no valid extent: row {row} "
            f"goes from {pair[0, row]} to {pair[1, row]} s; expected a start in each row, and a stop "
            "that is not before it"
        )
        raise ValueError(msg)
    return pair[0], pair[1]


def merged(table: Any) -> tuple[np.ndarray, np.ndarray]:
    """Join overlapping and touching intervals, as two arrays.

    Parameters
    ----------
    table : Dataset, DataTree node, DataFrame, or (n, 2) array, s
        Intervals in any order; empty ones cover nothing.

    Returns
    -------
    starts, stops : (stretch,) float64, s
        Starts and stops of stretches that do not touch, in order.

    Examples
    --------
    >>> import neuroarrays as na
    >>> na.intervals.merged([(0.0, 2.0), (1.0, 3.0)])
    (array([0.]), array([3.]))
    """
    starts, stops = spans(table)
    has_length = stops > starts
    starts, stops = starts[has_length], stops[has_length]
    order = np.argsort(starts, kind="stable")
    starts, reach = starts[order], np.maximum.accumulate(stops[order])
    begins = np.ones(starts.size, bool)
    begins[1:] = starts[1:] > reach[:-1]
    ends = np.append(begins[1:], True)[: starts.size]
    return starts[begins], reach[ends]


def union(first: Any, second: Any) -> xr.Dataset:
    """Put the rows of two tables into one, in order of their starts.

    Parameters
    ----------
    first, second : Dataset, DataTree node, DataFrame, or (n, 2) array, s
        Interval tables.

    Returns
    -------
    Dataset
        Rows along ``(presentation_id,)`` with new numbers: `start_time` and `stop_time` in seconds,
        and the columns that both tables have. Overlapping rows stay separate; `merge` joins them.

    Examples
    --------
    >>> import neuroarrays as na
    >>> table = na.intervals.union([(0.0, 2.0)], [(1.0, 3.0)])
    >>> table["start_time"].values, table["stop_time"].values
    (array([0., 1.]), array([2., 3.]))
    """
    earlier, later = _rows(first), _rows(second)
    names = [name for name in earlier.data_vars if name in later.data_vars]
    both = [part[names].drop_vars(_ROWS) for part in (earlier, later)]
    joined = xr.concat(both, _ROWS, combine_attrs="drop_conflicts")
    order = np.argsort(joined[schema.START_TIME].values, kind="stable")
    return joined.isel({_ROWS: order}).assign_coords({_ROWS: np.arange(order.size)})


def merge(table: Any) -> xr.Dataset:
    """Join overlapping and touching intervals, as a table.

    Parameters
    ----------
    table : Dataset, DataTree node, DataFrame, or (n, 2) array, s
        An interval table.

    Returns
    -------
    Dataset
        `start_time` and `stop_time` ``(presentation_id,)`` in seconds, without other columns.

    Examples
    --------
    >>> import neuroarrays as na
    >>> table = na.intervals.merge([(0.0, 2.0), (1.0, 3.0)])
    >>> table["start_time"].values, table["stop_time"].values
    (array([0.]), array([3.]))
    """
    starts, stops = merged(table)
    return _table(starts, stops)


def intersection(first: Any, second: Any) -> xr.Dataset:
    """Keep the parts of intervals that a second table covers.

    Parameters
    ----------
    first : Dataset, DataTree node, DataFrame, or (n, 2) array, s
        Its rows keep their labels, and stay apart where they overlap.
    second : Dataset, DataTree node, DataFrame, or (n, 2) array, s
        Its rows are joined first; their labels are not used.

    Returns
    -------
    Dataset
        The columns ``(presentation_id,)`` of `first`, times in seconds. A row that is cut into
        several parts is repeated for each part, with the same ``presentation_id``. Parts of no
        length are left out.

    Examples
    --------
    >>> import neuroarrays as na
    >>> table = na.intervals.intersection([(0.0, 2.0)], [(1.0, 3.0)])
    >>> table["start_time"].values, table["stop_time"].values
    (array([1.]), array([2.]))
    """
    return _cut(first, *merged(second))


def difference(first: Any, second: Any) -> xr.Dataset:
    """Keep the parts of intervals that a second table does not cover.

    Parameters
    ----------
    first : Dataset, DataTree node, DataFrame, or (n, 2) array, s
        Its rows keep their labels, and stay apart where they overlap.
    second : Dataset, DataTree node, DataFrame, or (n, 2) array, s
        Its rows are joined first; their labels are not used.

    Returns
    -------
    Dataset
        The columns ``(presentation_id,)`` of `first`, times in seconds. A row that is cut into
        several parts is repeated for each part, with the same ``presentation_id``. Parts of no
        length are left out.

    Examples
    --------
    >>> import neuroarrays as na
    >>> table = na.intervals.difference([(0.0, 2.0)], [(1.0, 3.0)])
    >>> table["start_time"].values, table["stop_time"].values
    (array([0.]), array([1.]))
    """
    starts, stops = merged(second)
    return _cut(first, np.append(-np.inf, stops), np.append(starts, np.inf))


def _cut(table: Any, begins: np.ndarray, ends: np.ndarray) -> xr.Dataset:
    """The rows of a table, cut to stretches that are in order and do not overlap."""
    rows = _rows(table)
    starts, stops = spans(rows)
    low = np.searchsorted(ends, starts, side="right")
    high = np.searchsorted(begins, stops, side="left")
    n_parts = np.maximum(high - low, 0)
    row = np.repeat(np.arange(starts.size), n_parts)
    stretch = np.arange(row.size) - np.repeat(np.cumsum(n_parts) - n_parts, n_parts) + low[row]
    begin = np.maximum(starts[row], begins[stretch])
    end = np.minimum(stops[row], ends[stretch])
    has_length = begin < end
    parts = rows.isel({_ROWS: row[has_length]})
    columns = {schema.START_TIME: begin[has_length], schema.STOP_TIME: end[has_length]}
    if "duration" in parts:
        columns["duration"] = columns[schema.STOP_TIME] - columns[schema.START_TIME]
    return parts.assign({name: parts[name].copy(data=values) for name, values in columns.items()})


def _rows(table: Any) -> xr.Dataset:
    """A table of intervals as a Dataset along presentation_id."""
    if isinstance(table, xr.DataTree):
        table = table.to_dataset()
    starts, stops = spans(table)
    if isinstance(table, xr.Dataset):
        if table[schema.START_TIME].dims != (_ROWS,):
            msg = f"the table has dims {dict(table.sizes)}; expected presentation_id"
            raise SchemaError(msg)
        ids = np.arange(starts.size)
        return table if _ROWS in table.coords else table.assign_coords({_ROWS: ids})
    rows = _table(starts, stops)
    if isinstance(table, pd.DataFrame):
        others = [name for name in table if name not in rows]
        rows = rows.assign({str(name): (_ROWS, plain_column(table[name])) for name in others})
    return rows


def _table(starts: np.ndarray, stops: np.ndarray) -> xr.Dataset:
    """A table of intervals from starts and stops, (presentation_id,) in s."""
    columns = {schema.START_TIME: starts, schema.STOP_TIME: stops}
    variables = {name: schema.var("table", name, values) for name, values in columns.items()}
    return xr.Dataset(variables, {_ROWS: np.arange(starts.size)})
