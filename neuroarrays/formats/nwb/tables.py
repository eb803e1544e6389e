"""Tables with times: presentations (start and stop), events (timestamp), samples (timestamps)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.formats.nwb import columns, ragged, vectors
from neuroarrays.formats.nwb.account import Account
from neuroarrays.lazy.arrays import data_of
from neuroarrays.lazy.indexes import dataset

#: The column that holds the times of a table, and the kind of table that it makes.
KINDS = {
    "start_time": "presentations",
    "spike_times": "units",
    "timestamp": "events",
    "event_times": "events of kinds",
    "timestamps": "samples",
}
EVENT = schema.EVENT
_CLOCK = {"units": "s", "long_name": "session clock"}


def kind_of(account: Account, path: str, names: list[str], stated: str) -> str:
    """Return the kind of table of a group: one of `KINDS`, "" without times, "none" for no table.

    `stated` is its neurodata type.
    """
    is_table = "id" in names
    if not is_table and "data" not in names:
        is_table = account.source.attr(path, "colnames") is not None
    if "start_time" in names and (is_table or "stop_time" in names):
        return "presentations"
    if not is_table and "spike_times_index" not in names:
        return "none"
    kind = next((KINDS[name] for name in KINDS if name in names), "")
    if kind == "samples" and re.search("event", stated, re.I):
        return "events"
    if not kind and is_table and times_columns(names):
        return "events by column"
    return kind


def times_columns(names: list[str]) -> list[str]:
    """Return columns with a time per row, which NWB calls ``<what happened>_times``."""
    return [n for n in names if n.endswith("_times") and f"{n}_index" not in names]


def _size(account: Account, path: str) -> int:
    """Return the number of rows of a table, by its times.

    Raises
    ------
    FormatError
        If the times are not a list of numbers.
    """
    source = account.source
    stored, info = source.info(path), vectors.list_info(source, path)
    n_ids = vectors.length(source, f"{path.rpartition('/')[0]}/id")
    is_one_of_many = stored is not None and stored.shape == () and n_ids not in (None, 1)
    if info is None or len(info.shape) != 1 or info.dtype.kind not in "iuf" or is_one_of_many:
        problem = "a group" if stored is None else f"shape {stored.shape}, {stored.dtype}"
        raise FormatError(account.source.path, f"/{path}", "(row,) numbers, s", problem)
    return info.shape[0]


def table_node(account: Account, path: str) -> xr.Dataset:
    """Return an interval table with a row per presentation; ragged columns are read, others lazy."""
    size = _size(account, f"{path}/start_time")
    table = columns.read_table(account, path)
    ids, more = columns.read_ids(account, path, size)
    if np.unique(ids).size < size:
        account.remark(f"{path}/id", "an identifier stands twice; rows are numbered instead")
        ids = np.arange(size)
    variables: dict[str, xr.Variable] = {}
    for name in ("start_time", "stop_time"):
        with account.step(f"{path}/{name}"):
            if name in table.names and _size(account, f"{path}/{name}") == size:
                array = vectors.times(account.source, f"{path}/{name}")
                variables[name] = array.variable((schema.PRESENTATION,))
                account.take(f"{path}/{name}")
    read = columns.read_columns(account, table, size, schema.PRESENTATION, tuple(variables))
    variables |= read
    variables |= {name: xr.Variable(schema.PRESENTATION, column) for name, column in more.items()}
    rows = {
        name: schema.var(
            "table", name, data_of(variable), tuple(map(str, variable.dims)), **variable.attrs
        )
        for name, variable in variables.items()
    }
    index = xr.Variable(schema.PRESENTATION, ids)
    attrs = columns.description(account.source, path)
    return dataset(rows, {schema.PRESENTATION: index}, attrs)


def events_node(
    account: Account, path: str, times: str = "timestamp", skip: Sequence[str] = ()
) -> xr.Dataset:
    """Return a table with a row per event: `event_time`, and its columns except `skip`."""
    size = _size(account, f"{path}/{times}")
    table = columns.read_table(account, path)
    array = vectors.times(account.source, f"{path}/{times}")
    account.take(f"{path}/{times}")
    variables = {schema.EVENT_TIME: array.variable((EVENT,), _CLOCK)}
    variables |= labels_of_rows(account, table, size, EVENT)
    read = columns.read_columns(account, table, size, EVENT, (times, *skip))
    variables |= {_free_name(name): column for name, column in read.items()}
    _, more = columns.read_ids(account, path, size)
    account.take(f"{path}/id")
    variables |= {name: xr.Variable(EVENT, column) for name, column in more.items()}
    return dataset(variables, attrs=columns.description(account.source, path))


def events_by_column(account: Account, path: str, names: list[str]) -> dict[str, xr.Dataset]:
    """Return point events for each column of times of a table, by "" or ``_<column>``."""
    columns_of_times = times_columns(names)
    return {
        f"_{name}" if len(columns_of_times) > 1 else "": events_node(
            account, path, name, columns_of_times
        )
        for name in columns_of_times
    }


def _free_name(name: str) -> str:
    """Return the name of a column, changed if the times of events have the same name."""
    return "event_time_column" if name == schema.EVENT_TIME else name


def labels_of_rows(
    account: Account, table: columns.Table, size: int, dim: str
) -> dict[str, xr.Variable]:
    """Return text of the tables that columns of row numbers refer to, as ``<column>_<text column>``."""
    source, labels = account.source, {}
    for name in table.names:
        path = f"{table.path}/{name}"
        target = str(source.attr(path, "table") or "").strip("/")
        if not target or name in table.indexes:
            continue
        with account.step(path):
            if vectors.length(source, path) != size:
                continue
            other = columns.read_table(account, target)
            rows = vectors.read_list(source, path)
            for label in other.names:
                texts = source.info(f"{target}/{label}")
                if texts is None or not texts.text or len(texts.shape) != 1:
                    continue
                values = columns.labels_of(account, path, rows, source.read(f"{target}/{label}"))
                labels[columns.free(f"{name}_{label}")] = xr.Variable(dim, values)
                account.take(f"{target}/{label}", f"{target}/id")
    return labels


def events_of_kinds_node(account: Account, path: str) -> xr.Dataset:
    """Return the events of a table with a row per kind and ragged times, in order of time.

    Columns of the table are repeated for each event of a kind; `kind` is the number of its row.
    """
    source, times = account.source, f"{path}/event_times"
    table = columns.read_table(account, path)
    if "event_times" not in table.indexes:
        raise FormatError(source.path, f"/{times}", "a ragged column", "one without an index")
    index = table.indexes["event_times"][0]
    starts, ends = ragged.bounds(source, times, index)
    ragged.past_the_end(account, times, index, ends)
    row = np.repeat(np.arange(ends.size), ends - starts)
    stored = vectors.times(source, times).load()
    values = [stored[s:e] for s, e in zip(starts, ends, strict=True)]
    flat = np.concatenate([np.empty(0), *values])
    order = np.argsort(flat, kind="stable")
    account.take(times, *table.indexes["event_times"])
    variables = {schema.EVENT_TIME: xr.Variable(EVENT, flat[order], _CLOCK)}
    ids, more = columns.read_ids(account, path, ends.size)
    by_kind = {"kind": xr.Variable(EVENT, ids)}
    by_kind |= {name: xr.Variable(EVENT, column) for name, column in more.items()}
    by_kind |= columns.read_columns(account, table, ends.size, EVENT, ("event_times",))
    for name, column in by_kind.items():
        picked: Any = column[row[order]]
        variables[_free_name(name)] = picked
    return dataset(variables, attrs=columns.description(source, path))


def samples_node(account: Account, path: str) -> xr.Dataset:
    """Return the columns of a table with a row per sample as series on the clock `timestamps`."""
    size = _size(account, f"{path}/timestamps")
    table = columns.read_table(account, path)
    clock = vectors.times(account.source, f"{path}/timestamps")
    account.take(f"{path}/timestamps", f"{path}/id")
    variables = {}
    for name, column in columns.read_columns(
        account, table, size, schema.TIME, ("timestamps",)
    ).items():
        unit = str(account.source.attr(f"{path}/{name}", "unit") or "")
        attrs = ({"units": unit} if unit else {}) | column.attrs | {"nwb_path": f"{path}/{name}"}
        column.attrs = attrs
        variables["speed_signal" if name == "speed" else name] = column
    return dataset(
        variables,
        {schema.TIME: clock.variable((schema.TIME,), _CLOCK)},
        columns.description(account.source, path),
    )
