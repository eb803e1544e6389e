"""An object of pynapple as a node of a tree; `restoring` puts nodes together."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.exchange.objects import OF_COLUMNS, VALUES, pynapple_module
from neuroarrays.files.source import plain
from neuroarrays.lazy.indexes import dataset
from neuroarrays.tree.columns import plain_column
from neuroarrays.tree.observed import OF_UNITS

#: Names that metadata of pynapple cannot have in a tree.
_USED = (
    "start_time",
    "stop_time",
    "spike_times",
    "row_size",
    schema.UNIT,
    schema.PRESENTATION,
    schema.SPIKE,
    schema.TIME,
    *OF_UNITS,
)


def node_of(path: str, nap_object: Any, of_tree: bool) -> tuple[str, xr.Dataset, list[np.ndarray]]:
    """Where an object stands in its session, as what, and the clocks that tell its support."""
    nap = pynapple_module()
    first = path.partition("/")[0]
    if isinstance(nap_object, nap.Ts) and first in (schema.EVENTS, schema.PRESENTATIONS):
        times = np.asarray(nap_object.index, np.float64)
        name, dim = (
            (schema.EVENT_TIME, schema.EVENT)
            if first == schema.EVENTS
            else (schema.START_TIME, schema.PRESENTATION)
        )
        coords = {dim: np.arange(times.size)} if dim == schema.PRESENTATION else {}
        return path, xr.Dataset({name: (dim, times, {"units": "s"})}, coords), []
    if isinstance(nap_object, nap.TsGroup) and first == schema.PRESENTATIONS:
        return path, _overlapping(path, nap_object), []
    if isinstance(nap_object, nap.Ts | nap.TsGroup):
        group = nap_object
        if isinstance(nap_object, nap.Ts):
            group = nap.TsGroup({0: nap_object}, time_support=nap_object.time_support)
        clocks = [np.asarray(group[i].index, np.float64) for i in group.index]
        return f"{path.removesuffix(f'/{schema.SPIKES}')}/{schema.SPIKES}", _spikes(group), clocks
    if isinstance(nap_object, nap.IntervalSet):
        name = path.removeprefix(f"{schema.PRESENTATIONS}/")
        return f"{schema.PRESENTATIONS}/{name}", _table(nap_object), []
    if isinstance(nap_object, nap.Tsd | nap.TsdFrame | nap.TsdTensor):
        node, _, variable = path.rpartition("/")
        signal = _signal(nap_object, variable)
        if not (of_tree and node):
            node = path
        if schema.UNIT in signal.dims and "/" not in node and not of_tree:
            node = path if "/" in path else f"{schema.UNKNOWN_AREA}/{path}"  # units are of an area
        return node, signal, [np.asarray(nap_object.index, np.float64)]
    msg = f"{path} is a {type(nap_object).__name__}; expected an object of pynapple with times"
    raise TypeError(msg)


def _spikes(group: Any) -> xr.Dataset:
    ids = np.asarray(group.index, np.int64)
    trains = [np.asarray(group[i].index, np.float64) for i in group.index]
    coords: dict[str, xr.Variable] = {schema.UNIT: xr.Variable(schema.UNIT, ids)}
    coords |= _labels(metadata_of(group), schema.UNIT)
    sizes = np.array([train.size for train in trains], np.int64)
    times = np.concatenate(trains) if trains else np.empty(0)
    variables = {
        schema.SPIKE_TIMES: schema.var("spikes", schema.SPIKE_TIMES, times),
        schema.ROW_SIZE: schema.var(
            "spikes", schema.ROW_SIZE, sizes, sample_dimension=schema.SPIKE
        ),
    }
    values_by_unit = [getattr(group[i], "values", None) for i in group.index]
    if any(values is not None for values in values_by_unit):  # a group of Tsd
        columns = [
            np.full(train.size, np.nan) if values is None else np.asarray(values)
            for train, values in zip(trains, values_by_unit, strict=True)
        ]
        variables[VALUES] = xr.Variable(schema.SPIKE, np.concatenate(columns))
    return dataset(variables, coords)


def _overlapping(path: str, group: Any) -> xr.Dataset:
    """A table of a group of starts and stops, as `to_pynapple` makes it of rows that overlap.

    A row without a second time has no stop.
    """
    rows = {i: np.asarray(group[i].index, np.float64) for i in group.index}
    for i, times in rows.items():
        if times.size > 2:
            msg = (
                f"{path}: row {i} has {times.size} times, expected a start and a stop; below "
                f"{schema.PRESENTATIONS!r} a TsGroup is a table: give spikes another name"
            )
            raise ValueError(msg)
    starts = np.array([times[0] if times.size else np.nan for times in rows.values()])
    stops = np.array([times[1] if times.size > 1 else np.nan for times in rows.values()])
    columns = {
        name: schema.var("table", name, values, (schema.PRESENTATION,))
        for name, values in ((schema.START_TIME, starts), (schema.STOP_TIME, stops))
    }
    told = {name: values for name, values in metadata_of(group).items() if name != "rate"}
    columns |= _labels(told, schema.PRESENTATION)
    ids = np.asarray(group.index, np.int64)
    return dataset(columns, {schema.PRESENTATION: xr.Variable(schema.PRESENTATION, ids)})


def _table(intervals: Any) -> xr.Dataset:
    columns = {
        name: schema.var("table", name, np.asarray(values, np.float64), (schema.PRESENTATION,))
        for name, values in (
            (schema.START_TIME, intervals.start),
            (schema.STOP_TIME, intervals.end),
        )
    }
    columns |= _labels(metadata_of(intervals), schema.PRESENTATION)
    rows = np.arange(len(intervals))
    return dataset(columns, {schema.PRESENTATION: xr.Variable(schema.PRESENTATION, rows)})


def _signal(series: Any, name: str) -> xr.Dataset:
    values, times = np.asarray(series.values), np.asarray(series.index, np.float64)
    coords = {schema.TIME: xr.Variable(schema.TIME, times, {"units": "s"})}
    dims = [schema.TIME, *(f"axis_{i}" for i in range(1, values.ndim))]
    columns = np.asarray(getattr(series, "columns", ()))
    if values.ndim == 2 and columns.dtype.kind in "iu":
        dims[1] = schema.UNIT
        coords[schema.UNIT] = xr.Variable(schema.UNIT, columns)
    elif values.ndim == 2 and columns.size:
        coords["axis_1"] = xr.Variable("axis_1", columns.astype(str))
    metadata = metadata_of(series) if values.ndim == 2 else {}
    attrs = {
        key: plain(column[0])
        for key, column in metadata.items()
        if key in OF_COLUMNS and column.size and (column == column[0]).all()
    }
    rest = {key: column for key, column in metadata.items() if key not in attrs}
    coords |= _labels(rest, dims[-1])
    called = _free(name, {*_USED, *dims, *coords})
    return dataset({called: xr.Variable(dims, values, attrs)}, coords)


def metadata_of(nap_object: Any) -> dict[str, np.ndarray]:
    """The metadata of the units, intervals or columns of a pynapple object."""
    names = getattr(nap_object, "metadata_columns", None) or ()
    return {str(name): plain_column(nap_object.get_info(name)) for name in names}


def _labels(metadata: Mapping[str, np.ndarray], dim: str) -> dict[str, xr.Variable]:
    """Metadata along a dimension, by names that a tree can have and does not use itself."""
    labels: dict[str, xr.Variable] = {}
    for name, values in metadata.items():
        labels[_free(name, {*_USED, *labels})] = xr.Variable(dim, values)
    return labels


def _free(name: str, used: Container[str]) -> str:
    """A name that a variable of the tree can have; `name` itself where it can."""
    name = schema.node_name(name)
    while name in used:
        name = f"{name}_column"
    return name
