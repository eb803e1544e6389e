"""Labels of the columns of a series that refer to rows of a table: ROIs or electrodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.formats.nwb import columns, vectors
from neuroarrays.formats.nwb.account import Account
from neuroarrays.formats.nwb.series import Series
from neuroarrays.formats.nwb.units import ELECTRODES, area_name

#: A column with at most so many values for each row gives a label for each value.
_LABELS = 16


def rows_of(
    account: Account, regions: list[str], data: str, table: str, n_columns: int, dim: str
) -> tuple[np.ndarray, dict[str, xr.Variable]]:
    """Return identifiers and labels of the rows of a table that the columns of `data` belong to.

    `regions` are the datasets of row numbers. If these are not valid, columns are numbered from 0, and a
    remark is added.
    """
    source, first = account.source, regions[0]
    numbers = np.arange(n_columns, dtype=np.int64)
    with account.step(first):
        rows = np.concatenate([vectors.read_list(source, region) for region in regions])
        account.take(*regions)
        if rows.shape != (n_columns,) or rows.dtype.kind not in "iu":
            account.remark(
                first,
                f"{rows.shape[0] if rows.ndim == 1 else rows.shape} rows for "
                f"{n_columns} columns of {data}: which row a column is of is not "
                f"known, {dim} only numbers them",
            )
            return numbers, {}
        rows = rows.astype(np.int64)
        size = vectors.length(source, f"{table}/id") if table else None
        if size is None:
            account.remark(first, f"rows of a table that is not in the file: {dim} is the row")
            return rows, {}
        if not columns.check_rows(account, first, rows, size, table):
            return numbers, {}
        ids, more = columns.read_ids(account, table, size)
        labels = _table_columns(account, table, size, dim)
        labels |= {name: xr.Variable(dim, column) for name, column in more.items()}
        return ids[rows], {name: column[rows] for name, column in labels.items()}
    return numbers, {}


def _table_columns(account: Account, path: str, size: int, dim: str) -> dict[str, xr.Variable]:
    """Return the columns of a table along `dim`, except masks, which are as large as the recording."""
    table = columns.read_table(account, path)
    again = replace(table, names=tuple(n for n in table.names if n not in table.indexes))
    for name in table.names:
        info = account.source.info(f"{path}/{name}")
        if name in table.indexes or (info is not None and len(info.shape) > 2):
            columns.leave_ragged(account, table, name, "a list of values for each row, or masks")
    read = columns.read_columns(account, again, size, dim)
    return {name: label for key, column in read.items() for name, label in _labels(key, column)}


def channels(
    account: Account, series: Series, n_columns: int
) -> tuple[np.ndarray, dict[str, xr.Variable]]:
    """Return identifiers and labels of the electrodes of a series, with `area` by their `location`."""
    source = account.source
    stated = str(source.attr(series.electrodes, "table") or "").strip("/")
    table = stated if source.info(f"{stated}/id") is not None else ELECTRODES
    data, dim = str(series.data), schema.CHANNEL
    ids, labels = rows_of(account, [series.electrodes], data, table, n_columns, dim)
    if np.unique(ids).size < ids.size:
        account.remark(series.electrodes, f"an electrode occurs twice: {dim} numbers the columns")
        ids = np.arange(n_columns, dtype=np.int64)
    coords = {name: label for name, label in labels.items() if name not in (schema.TIME, dim)}
    location = labels.get("location")
    if location is not None and schema.AREA not in coords and location.ndim == 1:
        areas = [area_name(str(text)) for text in location.values]
        coords[schema.AREA] = xr.Variable(dim, np.array([*areas, None], object)[:-1])
    return ids, coords


def _labels(name: str, column: xr.Variable) -> list[tuple[str, xr.Variable]]:
    """Return a column as labels of units; a column with several values per unit gives several labels.

    The two values of suite2p's `iscell` tell whether it is a cell, and how probable that is.
    """
    if column.ndim != 2 or column.shape[1] > _LABELS:
        return [(name, column)]
    names = ("iscell", "iscell_probability") if name == "iscell" and column.shape[1] == 2 else None
    return [(names[i] if names else f"{name}_{i}", column[:, i]) for i in range(column.shape[1])]
