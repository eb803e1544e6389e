"""Convert one object of pynapple to a node of a tree; `pynapple_trees` joins the nodes."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.exchange.pynapple_objects import OF_COLUMNS, VALUES, pynapple_module
from neuroarrays.files.source import plain
from neuroarrays.lazy.indexes import dataset
from neuroarrays.tree.columns import plain_column
from neuroarrays.tree.observed import OF_UNITS

#: Names that metadata of pynapple cannot have in a tree.
_USED = (
    schema.START_TIME,
    schema.STOP_TIME,
    schema.SPIKE_TIMES,
    schema.ROW_SIZE,
    schema.UNIT,
    schema.PRESENTATION,
    schema.SPIKE,
    schema.TIME,
    *OF_UNITS,
)


def node_of(path: str, nap_object: Any, of_tree: bool) -> tuple[str, xr.Dataset, list[np.ndarray]]:
    """Convert an object of pynapple to a node.

    Parameters
    ----------
    path : str
        The name of the object, which may be a path below the session.
    nap_object : object of pynapple
        The object.
    of_tree : bool
        Whether the path is one that `to_pynapple` gives, which ends with the name of a variable.

    Returns
    -------
    path : str
        The path of the node below the session.
    node : Dataset
        The node; times are in seconds.
    clocks : list of (n,) float64, s
        The times from which pynapple takes a time support if none is given.

    Raises
    ------
    TypeError
        If it is not an object of pynapple with times.
    """
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
            node = path if "/" in path else f"{schema.UNKNOWN_AREA}/{path}"  # Units need an area.
        return node, signal, [np.asarray(nap_object.index, np.float64)]
    msg = f"{path} is a {type(nap_object).__name__}; expected an object of pynapple with times"
    raise TypeError(msg)


def _spikes(group: Any) -> xr.Dataset:
    """A spikes node from a `TsGroup`; values of a group of `Tsd` become `spike_values`."""
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
    """A table from a `TsGroup` with a start and a stop in each row.

    `to_pynapple` makes such a group from a table whose rows overlap. A row with one time has no
    stop.
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
    metadata = {name: values for name, values in metadata_of(group).items() if name != "rate"}
    columns |= _labels(metadata, schema.PRESENTATION)
    ids = np.asarray(group.index, np.int64)
    return dataset(columns, {schema.PRESENTATION: xr.Variable(schema.PRESENTATION, ids)})


def _table(intervals: Any) -> xr.Dataset:
    """A table of presentations from an `IntervalSet`."""
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
    """A node with one variable along time from a `Tsd`, `TsdFrame` or `TsdTensor`."""
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
    labels = {key: column for key, column in metadata.items() if key not in attrs}
    coords |= _labels(labels, dims[-1])
    variable = _free_name(name, {*_USED, *dims, *coords})
    return dataset({variable: xr.Variable(dims, values, attrs)}, coords)


def metadata_of(nap_object: Any) -> dict[str, np.ndarray]:
    """The metadata of the units, intervals or columns of a pynapple object."""
    names = getattr(nap_object, "metadata_columns", None) or ()
    return {str(name): plain_column(nap_object.get_info(name)) for name in names}


def _labels(metadata: Mapping[str, np.ndarray], dim: str) -> dict[str, xr.Variable]:
    """Metadata as variables along a dimension, with names that are free in a tree."""
    labels: dict[str, xr.Variable] = {}
    for name, values in metadata.items():
        labels[_free_name(name, {*_USED, *labels})] = xr.Variable(dim, values)
    return labels


def _free_name(name: str, used: Container[str]) -> str:
    """The name, or one like it if a tree cannot have it or it is in use."""
    name = schema.node_name(name)
    while name in used:
        name = f"{name}_column"
    return name
