"""The units of a file of temporaldata: their spikes by area, and the columns of their table."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, shorten
from neuroarrays.files.source import Source
from neuroarrays.formats.by_unit import UnitOfSpikes, by_unit
from neuroarrays.formats.nwb.units import area_name
from neuroarrays.formats.temporaldata.layout import DIMS, LABELS, NOT_ARRAYS, Layout
from neuroarrays.lazy.arrays import file_array, wrap
from neuroarrays.lazy.computed import as_lazy
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Segments, Taken
from neuroarrays.tree.observed import OF_UNITS

#: Columns of a table of units that name the area; the first that exists is used.
AREA_OF = ("area", "location", "brain_area", "brain_region", "structure_acronym")
#: Names of a node of spikes that no column may take.
_RESERVED = {
    schema.SPIKE,
    schema.TIME,
    schema.INTERVAL,
    schema.SPIKE_TIMES,
    schema.ROW_SIZE,
    *OF_UNITS,
}
#: Attribute of a column: the areas that have the column, if `to_temporaldata` wrote several areas.
OF_AREAS = "neuroarrays_areas"


def table_columns(layout: Layout, table: str, dim: str) -> dict[str, xr.Variable]:
    """Return the columns of a table of units or channels, lazy, by name.

    The coordinate `dim` is the column of that name if its values are different whole numbers, else the
    numbers of the rows. `area` is the area of each unit, if a column has it.
    """
    source, size = layout.source, layout.size(table)
    stated = layout.ours(table).get(DIMS, {})
    columns: dict[str, xr.Variable] = {}
    if not stated or dim in stated:
        columns[dim] = xr.Variable(dim, np.arange(size))
    for name in source.names(table):
        array = file_array(source, f"{table}/{name}")
        if name == dim and array.dtype.kind in "iu" and array.ndim == 1:
            ids = array.load()
            if np.unique(ids).size == size:
                if not stated or dim in stated:
                    columns[dim] = xr.Variable(dim, ids, source.attrs(f"{table}/{name}"))
                continue
        of_stretches = name in OF_UNITS and array.ndim == 2
        is_taken = name in (dim, schema.AREA) or (name in _RESERVED and not of_stretches)
        called = f"{name}_" if is_taken and name not in stated else name
        dims = [dim, *(f"{called}_axis{axis}" for axis in range(1, array.ndim))]
        dims = [dim, schema.INTERVAL] if of_stretches else dims
        columns[called] = array.variable(stated.get(name, dims), source.attrs(f"{table}/{name}"))
    area_column = next((n for n in AREA_OF if _is_text(source, f"{table}/{n}")), "")
    if dim == schema.UNIT and area_column:
        texts = source.read(f"{table}/{area_column}").tolist()
        areas = {text: area_name(str(text)) for text in dict.fromkeys(texts)}
        columns.pop(f"{schema.AREA}_" if area_column == schema.AREA else "", None)
        columns[schema.AREA] = xr.Variable(
            dim, np.array([areas[t] for t in texts] + [None], object)[:-1]
        )
    return columns


def _is_text(source: Source, path: str) -> bool:
    info = source.info(path)
    return info is not None and info.text and len(info.shape) == 1


def label_names(columns: Mapping[str, xr.Variable], ours: Mapping[str, Any]) -> set[str]:
    """Return which variables are labels: those named in the file, or those along one dimension."""
    if LABELS in ours:
        return set(ours[LABELS]) & columns.keys()
    return {name for name, column in columns.items() if column.ndim == 1}


def spikes_nodes(layout: Layout, path: str, table: str) -> dict[str, xr.Dataset]:
    """Return the spikes of a series with `unit_index`, by area.

    Parameters
    ----------
    layout : Layout
        The groups of the file. Notes about what is not in the tree are added to it.
    path : str
        Path of the series: `timestamps` (spike,) in s, sorted, and `unit_index` (spike,), rows of the
        table.
    table : str
        Path of the table of units; "" if there is none, so that only units with spikes are known.

    Raises
    ------
    FormatError
        If the table lacks the unit of a spike.
    """
    source, ours = layout.source, layout.ours(path)
    of_spikes = UnitOfSpikes(source, f"{path}/unit_index")
    ids, counts = of_spikes.units()
    if table:
        sizes = _sizes_of_rows(source, path, table, ids, counts)
        columns = table_columns(layout, table, schema.UNIT)
    else:
        layout.notes.append(f"{path}: no table of units; they are those that have spikes")
        sizes, columns = counts, {schema.UNIT: xr.Variable(schema.UNIT, ids)}
    each = area_rows(columns.pop(schema.AREA, None))
    per_spike: dict[str, xr.Variable] = {}
    for name in source.names(path):
        if name in (*NOT_ARRAYS, "unit_index"):
            continue
        values = by_unit(file_array(source, f"{path}/{name}"), of_spikes)
        called = schema.SPIKE_TIMES if name == "timestamps" else name
        called = f"{name}_" if called in (schema.SPIKE, schema.ROW_SIZE, *columns) else called
        dims = [schema.SPIKE, *(f"{called}_axis{axis}" for axis in range(1, values.ndim))]
        attrs = source.attrs(f"{path}/{name}")
        per_spike[called] = values.variable(ours.get(DIMS, {}).get(name, dims), attrs)
    labels = set(ours.get(LABELS, ())) | label_names(columns, layout.ours(table) if table else {})
    return {
        area: _spikes_node(area, rows, sizes, per_spike, columns, labels)
        for area, rows in each.items()
    }


def _sizes_of_rows(
    source: Source, path: str, table: str, ids: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Return the number of spikes of each row of a table of units, (unit,) int64."""
    names = source.names(table)
    size = source.known(f"{table}/{names[0]}").shape[0] if names else 0
    wrong = ids[(ids < 0) | (ids >= size)]
    if wrong.size:
        where, expected = f"/{path}/unit_index", f"rows of the {size} units in /{table}"
        raise FormatError(source.path, where, expected, shorten(wrong.tolist(), 4))
    sizes = np.zeros(size, np.int64)
    sizes[ids] = counts
    return sizes


def _spikes_node(
    area: str,
    rows: np.ndarray | None,
    sizes: np.ndarray,
    per_spike: Mapping[str, xr.Variable],
    columns: Mapping[str, xr.Variable],
    labels: Container[str],
) -> xr.Dataset:
    """Return the spikes of the units of an area, which are some rows of the table."""
    starts, variables = np.cumsum(sizes) - sizes, dict[str, xr.Variable]()
    for name, values in per_spike.items():
        array = as_lazy(values)
        array = array if rows is None else Segments(array, starts[rows], sizes[rows])
        dims = tuple(map(str, values.dims))
        variables[name] = schema.var("spikes", name, wrap(array), dims, **values.attrs)
    of_area = sizes if rows is None else sizes[rows]
    variables[schema.ROW_SIZE] = schema.var(
        "spikes", schema.ROW_SIZE, of_area, sample_dimension=schema.SPIKE
    )
    variables |= {
        name: rows_of(_without_areas(column), rows)
        for name, column in columns.items()
        if area in column.attrs.get(OF_AREAS, [area])
    }
    coords = {name: variables.pop(name) for name in list(variables) if name in labels}
    return dataset(variables, coords)


def area_rows(areas: xr.Variable | None) -> dict[str, np.ndarray | None]:
    """Return the rows of the units of each area, (n,) int64; None for all rows of the only area."""
    names = [] if areas is None else areas.values.tolist()
    each = list(dict.fromkeys(names)) or [schema.UNKNOWN_AREA]
    if len(each) == 1:
        return {each[0]: None}
    return {area: np.flatnonzero(np.array(names, object) == area) for area in each}


def rows_of(variable: xr.Variable, rows: np.ndarray | None) -> xr.Variable:
    """Return a variable of some units, lazily; of all units for None."""
    if rows is None or schema.UNIT not in variable.dims:
        return variable
    if variable.dims[0] == schema.UNIT:
        return variable.isel({schema.UNIT: rows})
    axis = variable.dims.index(schema.UNIT)
    return Taken(as_lazy(variable), rows, axis).variable(
        list(map(str, variable.dims)), variable.attrs
    )


def _without_areas(column: xr.Variable) -> xr.Variable:
    plain = column.copy(deep=False)
    plain.attrs = {key: value for key, value in column.attrs.items() if key != OF_AREAS}
    return plain
