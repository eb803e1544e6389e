"""Units of an NWB file: their spikes by area, and the columns of their tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError, many
from neuroarrays.files.source import Source
from neuroarrays.formats.nwb import columns, ragged, tables, vectors, waveforms
from neuroarrays.formats.nwb.account import Account, printable
from neuroarrays.formats.nwb.columns import Table
from neuroarrays.formats.nwb.observed import unit_stretches
from neuroarrays.lazy.arrays import wrap
from neuroarrays.lazy.computed import as_lazy
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Segments

UNITS = "units"
ELECTRODES = "general/extracellular_ephys/electrodes"
#: Columns of the unit table that name the area; they are tried after the electrodes.
_AREA_COLUMNS = ("location", "brain_area", "area", "brain_region", "structure_acronym")
_NO_AREA = {"", "none", "n/a", "na", "nan", "unknown", "unspecified", "null"}
_REGION_KEY = re.compile(r"(?:brain_region|region|brain_area|area)\s*:\s*([^;,]+)", re.I)
#: Columns with the positions of electrodes in the brain and on the probe.
_AXES = ("x", "y", "z", "rel_x", "rel_y", "rel_z")
#: Children of a session that are not areas; an area with such a name gets another one.
_RESERVED = (
    schema.RUNNING,
    schema.PUPIL,
    schema.PRESENTATIONS,
    schema.STIMULUS,
    schema.EVENTS,
    schema.OBSERVED,
)


def unit_nodes(
    account: Account,
    wanted: Callable[[str], bool],
    labels: np.ndarray | None = None,
    order: np.ndarray | None = None,
    more: Mapping[str, xr.Variable] | None = None,
    path: str = UNITS,
) -> dict[str, xr.Dataset]:
    """Return the nodes of spikes of all areas.

    Parameters
    ----------
    account : Account
        The record of the file.
    wanted : callable
        Function from the name of an area to whether the caller wants it.
    labels : (unit,) object, optional
        Area of each row of the unit table (default: found in the file).
    order : (n,) int64, optional
        Rows to keep, in the order of the tree (default: all, in the order of the file).
    more : dict of (unit_id,) variables, optional
        Further columns of the unit table.
    path : str
        Path of the unit table.
    """
    table = columns.read_table(account, path)
    if "spike_times" not in table.names:
        if table.names:
            account.leave(path, "a table of units without spike_times")
        return {}
    starts, sizes = _trains(account, table)
    ids, more_columns = columns.read_ids(account, path, sizes.size, cut=True)
    labels = unit_areas(account, table, sizes.size) if labels is None else labels
    order = np.arange(sizes.size) if order is None else order
    coords, of_spikes = _unit_columns(account, table, starts + sizes)
    coords |= {name: xr.Variable(schema.UNIT, column) for name, column in more_columns.items()}
    coords |= more or {}
    times = vectors.times(account.source, f"{path}/spike_times")
    account.take(f"{path}/spike_times", *table.indexes.get("spike_times", ()))
    nodes = {}
    for area in filter(wanted, dict.fromkeys(labels[order])):
        rows = order[labels[order] == area]
        spikes = {schema.SPIKE_TIMES: times.variable((schema.SPIKE,)), **of_spikes}
        variables = {
            name: schema.var(
                "spikes",
                name,
                wrap(Segments(as_lazy(values), starts[rows], sizes[rows])),
                tuple(map(str, values.dims)),
                **values.attrs,
            )
            for name, values in spikes.items()
        }
        variables[schema.ROW_SIZE] = schema.var(
            "spikes", schema.ROW_SIZE, sizes[rows], sample_dimension=schema.SPIKE
        )
        whole = np.array_equal(rows, np.arange(sizes.size))
        picked = {
            name: column if whole else column.isel({schema.UNIT: rows}, missing_dims="ignore")
            for name, column in coords.items()
        }
        variables |= {name: c for name, c in picked.items() if c.ndim > 1}
        unit = xr.Variable(schema.UNIT, ids[rows])
        one_dim = {name: c for name, c in picked.items() if c.ndim == 1}
        nodes[f"{area}/{schema.SPIKES}"] = dataset(variables, {schema.UNIT: unit, **one_dim})
    return nodes


def _trains(account: Account, table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Return the first spike and the number of spikes of each unit, (unit,) int64 each.

    Raises
    ------
    FormatError
        If the times are not a list of numbers, or the index does not belong to them.
    """
    source, path = account.source, table.path
    info = vectors.list_info(source, f"{path}/spike_times")
    if info is None or len(info.shape) != 1 or info.dtype.kind not in "iuf":
        problem = "a group" if info is None else f"shape {info.shape}, {info.dtype}"
        raise FormatError(source.path, f"/{path}/spike_times", "(spike,) numbers, s", problem)
    if info.dtype.kind in "iu":
        account.remark(f"{path}/spike_times", "whole numbers, taken for seconds as NWB has it")
    n_ids = vectors.length(source, f"{path}/id")
    indexes = table.indexes.get("spike_times", [])
    if not indexes and n_ids == 1:  # all spikes are of the one unit
        return np.zeros(1, np.int64), np.array(info.shape, np.int64)
    if len(indexes) != 1:
        problem = "an index of an index" if indexes else f"none, for {n_ids} identifiers"
        expected = "spike_times_index, which tells whose spikes these are"
        raise FormatError(source.path, f"/{path}/spike_times", expected, problem)
    index = indexes[0]
    starts, ends = ragged.bounds(source, f"{path}/spike_times", index)
    ragged.past_the_end(account, f"{path}/spike_times", index, ends)
    if n_ids is not None and n_ids > ends.size:
        account.remark(
            index,
            f"ends of {ends.size} units for {n_ids} identifiers; of "
            f"the last {many(n_ids - ends.size, 'unit')} no spikes are known, they "
            "are not in the tree",
        )
    return starts, ends - starts


def _unit_columns(
    account: Account, table: Table, ends: np.ndarray
) -> tuple[dict[str, xr.Variable], dict[str, xr.Variable]]:
    """Return columns with a value per unit, and ragged ones with a value per spike."""
    source, path = account.source, table.path
    of_spikes: dict[str, xr.Variable] = {}
    of_units: dict[str, xr.Variable] = {}
    sizes: dict[str, int] = {}
    for name, levels in table.indexes.items():
        column = f"{path}/{name}"
        if name == "spike_times" or column == f"{UNITS}/obs_intervals":
            continue
        with account.step(column):
            values = waveforms.of_spikes(account, table, name, ends)
            if values is not None:
                array, attrs = values
                axes = waveforms.dims_of(name, array.shape, sizes)
                of_spikes[columns.free(name)] = array.variable((schema.SPIKE, *axes), attrs)
                account.take(column, *levels)
            elif columns.is_list(source, table, name):
                listed = columns.read_column(account, table, name, ends.size, schema.UNIT)
                of_units |= {} if listed is None else {columns.free(name): listed}
                account.take(column, *levels, *filter(None, [table.elements.get(name)]))
            else:
                columns.leave_ragged(account, table, name, "arrays of values for each unit")
    skip = ["spike_times", *table.indexes]
    stretches: dict[str, xr.Variable] = {}
    if path == UNITS and "obs_intervals" in table.names:
        skip.append("obs_intervals")
        stretches = unit_stretches(account, ends.size)
    read = tables.labels_of_rows(account, table, ends.size, schema.UNIT)
    read |= columns.read_columns(account, table, ends.size, schema.UNIT, skip)
    read = _places(account, table, ends.size) | read | of_units
    read = waveforms.with_axes(source, table, read, sizes)
    return read | stretches, of_spikes


# ---------------------------------------------------------------------------------------- areas


def unit_areas(account: Account, table: Table, n_units: int) -> np.ndarray:
    """Return the area of each unit, (n_units,) str; "unknown" if the file does not have it."""
    for read in (_areas_by_electrodes, _areas_by_peak_channel, _areas_by_column, _areas_by_group):
        labels: list[str] | None = None
        with account.step(f"{table.path}/{_READS[read.__name__]}"):
            labels = read(account, table)
        if labels is not None and len(labels) == n_units:
            short = {label: area_name(label) for label in set(labels)}
            return np.array([*(short[label] for label in labels), None], object)[:-1]
    return np.full(n_units, schema.UNKNOWN_AREA, object)


def _locations(source: Source) -> np.ndarray | None:
    """Return the location of each electrode, (electrode,) str, or None if the file has none."""
    name = f"{ELECTRODES}/location"
    return vectors.read_list(source, name) if vectors.length(source, name) is not None else None


def _areas_by_electrodes(account: Account, table: Table) -> list[str] | None:
    locations, first = _locations(account.source), _first_electrodes(account, table)
    if locations is None or first is None:
        return None
    lost = sum(row >= len(locations) for row in first)
    if lost:
        reason = f"{len(locations)} locations of electrodes, {many(lost, 'unit')} on others: area unknown"
        account.remark(f"{ELECTRODES}/location", reason)
    return [str(locations[row]) if 0 <= row < len(locations) else "" for row in first]


def _first_electrodes(account: Account, table: Table) -> list[int] | None:
    """Return the row of the first electrode of each unit, -1 for none; None without such a column."""
    source, column = account.source, _column_of_electrodes(account.source, table)
    n_electrodes = vectors.length(source, f"{ELECTRODES}/id")
    if n_electrodes is None:
        n_electrodes = vectors.length(source, f"{ELECTRODES}/location")
    if not column or n_electrodes is None:
        return None
    path = f"{table.path}/{column}"
    rows = vectors.read_list(source, path)
    if rows.dtype == object:  # region references: an array of rows for each unit
        return [int(r[0]) if np.size(r) else -1 for r in rows]
    if column in table.indexes:
        columns.check_rows(account, path, rows, n_electrodes, ELECTRODES)
        starts, ends = ragged.bounds(source, path, table.indexes[column][0])
        return [int(rows[s]) if e > s else -1 for s, e in zip(starts, ends, strict=True)]
    return [int(row) for row in rows]


def _places(account: Account, table: Table, n_units: int) -> dict[str, xr.Variable]:
    """Return the position of the first electrode of each unit: ``electrode_x``, ..., (unit_id,)."""
    first: list[int] | None = None
    with account.step(f"{table.path}/electrodes"):
        first = _first_electrodes(account, table)
    if first is None or len(first) != n_units:
        return {}
    rows, places = np.array(first, np.int64), {}
    for axis in _AXES:
        path = f"{ELECTRODES}/{axis}"
        info = vectors.list_info(account.source, path)
        if info is None or len(info.shape) != 1 or info.dtype.kind not in "iuf":
            continue
        values = np.append(vectors.read_list(account.source, path).astype(np.float64), np.nan)
        known = (rows >= 0) & (rows < values.size - 1)
        of_units = values[np.where(known, rows, -1)]
        if np.isfinite(of_units).any():
            attrs = {"description": f"{axis} of the first electrode of each unit"}
            places[f"electrode_{axis}"] = xr.Variable(schema.UNIT, of_units, attrs)
    return places


def _column_of_electrodes(source: Source, table: Table) -> str:
    """Return the name of the column with the electrodes of each unit, or ""."""
    if "electrodes" in table.names:
        return "electrodes"
    targets = ((name, source.attr(f"{table.path}/{name}", "table")) for name in table.names)
    return next((name for name, target in targets if str(target).strip("/") == ELECTRODES), "")


def _areas_by_peak_channel(account: Account, table: Table) -> list[str] | None:
    source = account.source
    locations = _locations(source)
    if locations is None or "peak_channel_id" not in table.names:
        return None
    ids = vectors.read_list(source, f"{ELECTRODES}/id").tolist()
    area = dict(zip(ids, locations, strict=True))
    channels = vectors.read_list(source, f"{table.path}/peak_channel_id")
    return [str(area.get(int(channel), "")) for channel in channels]


def _areas_by_column(account: Account, table: Table) -> list[str] | None:
    for name in _AREA_COLUMNS:
        path = f"{table.path}/{name}"
        info = account.source.info(path) if name in table.names else None
        if info is not None and info.text and name not in table.indexes:
            return [str(label) for label in vectors.read_list(account.source, path)]
    return None


def _areas_by_group(account: Account, table: Table) -> list[str] | None:
    if "electrode_group" not in table.names:
        return None
    source = account.source
    groups = vectors.read_list(source, f"{table.path}/electrode_group")
    where = {str(group): _location(source, str(group)) for group in set(groups.tolist())}
    return [where[str(group)] for group in groups]


def _location(source: Source, group: str) -> str:
    """Return the location of an electrode group, from an attribute or a dataset in it."""
    stated = source.attrs(group).get("location") if group else None
    if not stated and group and source.info(f"{group}/location") is not None:
        stated = source.read(f"{group}/location")
    return str(stated or "")


#: The column that each way to find an area reads, for a note where that fails.
_READS = {
    "_areas_by_electrodes": "electrodes",
    "_areas_by_peak_channel": "peak_channel_id",
    "_areas_by_column": "location",
    "_areas_by_group": "electrode_group",
}


def area_name(label: str) -> str:
    """Return the short name of an area, fit for a node: "brain_region: ALM; layer: 5" gives "ALM"."""
    match = _REGION_KEY.search(label)
    name = (match.group(1) if match else label).strip()
    if name.lower() in _NO_AREA:
        return schema.UNKNOWN_AREA
    name = printable(schema.node_name(name))
    return f"{name}_area" if name in _RESERVED else name
