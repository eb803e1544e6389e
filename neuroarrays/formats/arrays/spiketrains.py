"""Spike trains of a mapping: an array per unit, or all spikes with a label each or counts per unit.

Columns along `spike` are sorted as the spikes are, and units are in the order of the table that lists
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, shorten
from neuroarrays.formats.arrays.entries import read_entry
from neuroarrays.formats.arrays.mapping import (
    Arrays,
    check_stars,
    integers,
    squeezed,
    together,
    variable,
)
from neuroarrays.formats.arrays.times import as_times
from neuroarrays.lazy.arrays import LazyArray, wrap
from neuroarrays.lazy.computed import as_lazy
from neuroarrays.lazy.views import InMemory, Joined, Taken

#: Keys of a node of spikes that tell the unit of each spike, and are not columns.
_OWN = (schema.SPIKE_TIMES, "unit", schema.ROW_SIZE, schema.UNIT)


@dataclass(frozen=True)
class Owners:
    """The units of spikes: ids and sizes (unit,), and the order (spike,) that sorts spikes by unit.

    `order` is None where they lie unit after unit already.
    """

    ids: np.ndarray
    sizes: np.ndarray
    order: np.ndarray | None = None


def spikes(arrays: Arrays, node: str, entries: Mapping[str, Any]) -> xr.Dataset:
    """Return a node of spike trains."""
    times, sizes = _times(arrays, node, entries)
    columns = {
        name: variable(arrays, schema.RECORDING, "spikes", (node, name), value)
        for name, value in entries.items()
        if name not in _OWN
    }
    rows = next(
        (column.sizes[schema.UNIT] for column in columns.values() if schema.UNIT in column.dims), 0
    )
    n_spikes = times.shape[0]
    owners = _owners(arrays, node, entries, sizes, n_spikes, rows)
    if owners.order is not None:
        times = Taken(times, owners.order)
        columns = {
            name: _moved(arrays, f"{node}/{name}", column, owners.order, n_spikes)
            for name, column in columns.items()
        }
    variables = {
        schema.SPIKE_TIMES: schema.var("spikes", schema.SPIKE_TIMES, wrap(times)),
        schema.ROW_SIZE: schema.var(
            "spikes", schema.ROW_SIZE, owners.sizes, sample_dimension=schema.SPIKE
        ),
    }
    coords = {schema.UNIT: xr.Variable(schema.UNIT, owners.ids), **columns}
    return together(arrays, node, variables, coords)


def _times(arrays: Arrays, node: str, entries: Mapping[str, Any]) -> tuple[LazyArray, np.ndarray]:
    """Return all spike times in the order of the file, and the number of each array."""
    path, where = arrays.source.path, f"{node}/spike_times"
    entry = read_entry(entries.get(schema.SPIKE_TIMES), path, where)
    names = arrays.matching(entry.array, where)
    check_stars(arrays, node, entries)
    arrays.unit_in_file(entry, where, is_time=True)
    trains = []
    for name in names.values():
        train = squeezed(arrays.lazy_array(name, where, entry.scale, entry.offset), 1)
        if len(train.shape) != 1 and 0 not in train.shape:
            raise FormatError(path, name, "spike times along one axis", f"shape {train.shape}")
        if train.dtype.kind not in "biuf":
            raise FormatError(path, name, "spike times as numbers", f"{train.dtype}")
        trains.append(as_times(train, path))
    nonempty = [train for train in trains if len(train.shape) == 1]
    sizes = np.array([t.shape[0] if len(t.shape) == 1 else 0 for t in trains], np.int64)
    if not nonempty:
        return InMemory(np.empty(0)), sizes
    return nonempty[0] if len(trains) == 1 else Joined(tuple(nonempty)), sizes


def _owners(
    arrays: Arrays,
    node: str,
    entries: Mapping[str, Any],
    sizes: np.ndarray,
    n_spikes: int,
    rows: int,
) -> Owners:
    """Return the owners of the spikes by the entries of the mapping; `rows` is the length of its columns."""
    listed = (
        integers(arrays, entries[schema.UNIT], f"{node}/unit_id")
        if schema.UNIT in entries
        else None
    )
    if "unit" in entries:
        labels = integers(arrays, entries["unit"], f"{node}/unit")
        if labels.size != n_spikes:
            raise FormatError(
                arrays.source.path,
                f"{node}/unit",
                "a unit for each spike",
                f"{labels.size:,} for {n_spikes:,} spikes",
            )
        if listed is None:
            return _by_label(arrays, node, labels, rows)
        return _by_table(arrays, node, labels, listed)
    if schema.ROW_SIZE in entries:
        sizes = integers(arrays, entries[schema.ROW_SIZE], f"{node}/row_size")
        if sizes.sum() != n_spikes or (sizes < 0).any():
            raise FormatError(
                arrays.source.path, f"{node}/row_size", f"a sum of {n_spikes}", str(sizes.sum())
            )
    return Owners(np.arange(sizes.size) if listed is None else listed, sizes)


def _by_label(arrays: Arrays, node: str, labels: np.ndarray, rows: int) -> Owners:
    """Return units in the order of their labels; columns must have a row for each, or for each number."""
    ids, sizes = np.unique(labels, return_counts=True)
    order = np.argsort(labels, kind="stable")
    numbered = ids.size == 0 or bool(ids[0] >= 0 and ids[-1] < rows)
    if rows and rows != ids.size and numbered:
        arrays.notes.append(
            f"{node}: row i of the columns is taken for unit i; {rows - ids.size:,} "
            "units have no spikes. unit_id = says it otherwise"
        )
        return Owners(np.arange(rows), np.bincount(labels, minlength=rows), order)
    if rows and rows != ids.size:
        raise FormatError(
            arrays.source.path,
            f"{node}/unit",
            f"labels of {rows:,} units, as its columns have",
            f"{ids.size:,}",
            'say unit_id = the array that says whose row is whose; or dims = ["spike"] of a column '
            "with a value for each spike",
        )
    if rows and not np.array_equal(ids, np.arange(rows)):
        arrays.notes.append(
            f"{node}: the columns are taken to be in ascending order of the labels; "
            "unit_id = says it otherwise"
        )
    return Owners(ids, sizes.astype(np.int64), order)


def _by_table(arrays: Arrays, node: str, labels: np.ndarray, listed: np.ndarray) -> Owners:
    """Return units in the order of a table; spikes of units that it does not have are left out."""
    ranked = np.argsort(listed, kind="stable")
    if (twice := listed[ranked][1:] == listed[ranked][:-1]).any():
        raise FormatError(
            arrays.source.path,
            f"{node}/unit_id",
            "each unit once",
            f"{listed[ranked][1:][twice][0]} twice",
        )
    rows = np.full(labels.size, -1, np.int64)
    if listed.size:
        rank = np.minimum(np.searchsorted(listed[ranked], labels), listed.size - 1)
        rows = np.where(listed[ranked][rank] == labels, ranked[rank], -1)
    unlisted = labels[rows < 0]
    if unlisted.size:
        arrays.notes.append(
            f"{node}: {unlisted.size:,} of {labels.size:,} spikes left out; unit_id does not list their "
            f"units {shorten(np.unique(unlisted).tolist())}"
        )
    order = np.argsort(rows, kind="stable")[unlisted.size :]
    sizes = np.bincount(rows[rows >= 0], minlength=listed.size)
    return Owners(listed, sizes.astype(np.int64), order)


def _moved(
    arrays: Arrays, where: str, column: xr.Variable, order: np.ndarray, n_spikes: int
) -> xr.Variable:
    """Return a column along `spike` in the order of the spikes."""
    if schema.SPIKE not in column.dims:
        return column
    if column.dims[0] != schema.SPIKE or column.shape[0] != n_spikes:
        raise FormatError(
            arrays.source.path,
            where,
            f"{n_spikes:,} along spike, first",
            f"shape {column.shape} along {column.dims}",
        )
    return xr.Variable(column.dims, wrap(Taken(as_lazy(column), order)), column.attrs)
