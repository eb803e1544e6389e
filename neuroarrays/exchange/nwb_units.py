"""Write the spikes of all areas of a session to the table of units of an NWB file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from hdmf.common import ElementIdentifiers, VectorData, VectorIndex
from pynwb.misc import Units

from neuroarrays import schema
from neuroarrays.exchange.nwb_arrays import TEXT, stored
from neuroarrays.exchange.nwb_nodes import Nodes, free_name, index_of, vector
from neuroarrays.formats.nwb import layout
from neuroarrays.formats.nwb.waveforms import COLUMNS, ELECTRODE, SAMPLE, WAVEFORMS
from neuroarrays.lazy.computed import as_lazy
from neuroarrays.lazy.views import Folded
from neuroarrays.tree.observed import FOUND, OF_SESSION, OF_UNITS
from neuroarrays.tree.trains import check_order


class UnitNodes:
    """Adds nodes of spikes to a file, area after area.

    Parameters
    ----------
    nodes : Nodes
        All nodes of the session and their records.
    """

    def __init__(self, nodes: Nodes):
        self.nodes = nodes

    def write(self, areas: Mapping[str, xr.Dataset]) -> None:
        """Add the spikes of all areas as one table, area after area.

        Parameters
        ----------
        areas : dict of str to Dataset
            The spikes nodes by path.
        """
        nodes = list(areas.values())
        sizes = np.concatenate([check_order(node) for node in nodes])
        ends = np.cumsum(sizes)
        units = np.cumsum([0, *(node.sizes[schema.UNIT] for node in nodes)]).tolist()
        rows = {path: [units[i], units[i + 1]] for i, path in enumerate(areas)}
        spikes = VectorData(
            name="spike_times",
            description="when each spike was, s",
            data=stored(*(node.variables[schema.SPIKE_TIMES] for node in nodes), dtype="f8"),
        )
        columns: list[Any] = [spikes, index_of(spikes, ends)]
        locations: dict[str, dict[str, Any]] = {}
        for path in areas:
            trains = {layout.AT: "units/spike_times", layout.TRAINS: rows[path]}
            sizes_location = {layout.SIZES: rows[path]}
            locations[path] = {schema.SPIKE_TIMES: trains, schema.ROW_SIZE: sizes_location}
        used = {"spike_times", "spike_times_index"}
        for name, parts, column_name in self._joined(
            areas, schema.SPIKE, (schema.SPIKE_TIMES,), used
        ):
            location: dict[str, Any] = {}
            if name == WAVEFORMS and parts[0].dims == (schema.SPIKE, ELECTRODE, SAMPLE):
                column_name, location = WAVEFORMS, {layout.BLOCK: parts[0].shape[1]}
                columns += _waveforms(parts, ends)
            else:
                column = vector(column_name, *parts)
                columns += [column, index_of(column, ends)]
            location[layout.AT] = f"units/{column_name}"
            for path in areas:
                locations[path][name] = location | {layout.TRAINS: rows[path]}
        columns += self._observed(areas, rows, locations)
        skip = (schema.UNIT, schema.ROW_SIZE, *OF_UNITS)
        for name, parts, column_name in self._joined(areas, schema.UNIT, skip, used):
            columns.append(vector(column_name, *parts))
            location = {layout.AT: f"units/{column_name}"}
            for path in areas:
                if name in areas[path].variables:
                    locations[path][name] = location | {layout.ROWS: rows[path]}
        names = [path.rpartition("/")[0] for path in areas]
        if names != [schema.UNKNOWN_AREA]:
            columns.append(_areas(names, np.diff(units), used))
        ids = np.concatenate([node.variables[schema.UNIT].values for node in nodes])
        self.nodes.file.units = Units(
            name="units",
            description="spikes of each unit",
            columns=columns,
            id=ElementIdentifiers(name="id", data=ids.astype(np.int64)),
            **_of_waveforms(nodes),
            colnames=[column.name for column in columns if not isinstance(column, VectorIndex)],
        )
        for path, area in zip(areas, names, strict=True):
            locations[path][schema.UNIT] = {layout.AT: "units/id", layout.ROWS: rows[path]}
            self.nodes.record(path, locations[path], area)

    def _joined(
        self, areas: Mapping[str, xr.Dataset], dim: str, skip: Sequence[str], used: set[str]
    ) -> Iterator[tuple[str, list[xr.Variable], str]]:
        """The variables along a dimension that can be one column for all areas.

        Parameters
        ----------
        areas : dict of str to Dataset
            The spikes nodes by path.
        dim : str
            ``"spike"`` or ``"unit_id"``.
        skip : sequence of str
            Variables that are left out.
        used : set of str
            Names that columns already have; the new ones are added.

        Yields
        ------
        name : str
            Name of the variable.
        parts : list of Variable
            Its values in each area. An area without the variable has rows of NaN, "", 0 or False
            for its units. A variable along spikes must be in all areas, else it is left out.
        column_name : str
            Name of the column.
        """
        names = dict.fromkeys(str(name) for node in areas.values() for name in node.variables)
        for name in names:
            by_area = {
                path: node.variables[name] for path, node in areas.items() if name in node.variables
            }
            first = next(iter(by_area.values()))
            if name in skip or any(part.dims[:1] != (dim,) for part in by_area.values()):
                continue
            kinds = {(part.shape[1:], part.dtype.kind in TEXT) for part in by_area.values()}
            # HDF5 does not store the number of rows of a column whose rows have no values.
            is_incomplete = len(by_area) < len(areas) or 0 in first.shape[1:]
            if len(kinds) > 1 or (dim == schema.SPIKE and is_incomplete):
                continue  # The record of the node holds its values, if there are few.
            column_name = free_name(name, used)
            used |= {column_name, f"{column_name}_index"}
            parts = [
                by_area[path] if path in by_area else _missing(first, node.sizes[dim])
                for path, node in areas.items()
            ]
            yield name, parts, column_name

    def _observed(
        self,
        areas: Mapping[str, xr.Dataset],
        rows: Mapping[str, list[int]],
        locations: dict[str, dict[str, Any]],
    ) -> list[Any]:
        """The column `obs_intervals`, s, with its index, if each unit states when it was recorded.

        The locations of the observed starts and stops are added to `locations`.
        """
        self._locate_in_session(areas, locations)
        if not all(_is_stated(node) for node in areas.values()):
            return []
        stretches = [
            np.stack([_stretches(node, name) for name in OF_UNITS], 2) for node in areas.values()
        ]
        of_units = [unit[np.isfinite(unit).all(1)] for node in stretches for unit in node]
        counts = np.array([len(rows) for rows in of_units])
        if not counts.all():  # A unit without rows in obs_intervals would count as never recorded.
            return []
        for path, node in areas.items():
            for column, name in enumerate(OF_UNITS):
                if node[name].dims == (schema.UNIT, schema.INTERVAL):
                    locations[path][name] = {
                        layout.STRETCHES: column,
                        layout.ROWS: rows[path],
                        layout.WIDTH: node.sizes[schema.INTERVAL],
                    }
        intervals = VectorData(
            name="obs_intervals",
            description="when each unit was recorded, s",
            data=np.concatenate(of_units),
        )
        return [intervals, index_of(intervals, np.cumsum(counts))]

    def _locate_in_session(
        self, areas: Mapping[str, xr.Dataset], locations: dict[str, dict[str, Any]]
    ) -> None:
        """Observed starts and stops that are those of the session are located in its table."""
        table = self.nodes.nodes.get(schema.OBSERVED)
        for path, node in areas.items():
            for name, column in zip(OF_UNITS, OF_SESSION, strict=True):
                if (
                    name in node.variables
                    and node[name].dims == (schema.INTERVAL,)
                    and table is not None
                    and np.array_equal(node[name].values, table[column].values)
                ):
                    locations[path][name] = {layout.AT: f"intervals/{schema.OBSERVED}/{column}"}


def _areas(names: Sequence[str], sizes: np.ndarray, used: set[str]) -> VectorData:
    """The column with the area of each unit, of `sizes` (area,) units; it has a name that is not used."""
    columns = ("location", "brain_area", "area", "area_")
    labels = np.repeat(np.array([*names, None], object)[:-1], sizes)
    free = next(name for name in columns if name not in used)
    return VectorData(name=free, description="area of the brain", data=labels)


def _waveforms(parts: Sequence[xr.Variable], ends: np.ndarray) -> list[Any]:
    """The column of waveforms (spike, electrode, sample) and its two indexes, as in NWB.

    The column has a row for each electrode of each spike. The first index gives the rows of each
    spike, the second the spikes of each unit.
    """
    flat = [Folded(as_lazy(part)).variable(("row", SAMPLE), part.attrs) for part in parts]
    column, electrodes = vector(WAVEFORMS, *flat), parts[0].shape[1]
    of_spikes = index_of(column, electrodes * np.arange(1, sum(map(len, parts)) + 1))
    return [column, of_spikes, index_of(of_spikes, ends)]


def _of_waveforms(nodes: Sequence[xr.Dataset]) -> dict[str, Any]:
    """The attributes of NWB's table of units for all waveforms: their unit and rate (Hz)."""
    arguments: dict[str, Any] = {}
    for node in nodes:
        for name in (name for name in node.variables if name in COLUMNS):
            attrs = node.variables[name].attrs
            pairs = (("waveform_unit", "units"), ("waveform_rate", "sampling_rate"))
            arguments |= {key: attrs[attr] for key, attr in pairs if attrs.get(attr)}
    return arguments


def _missing(like: xr.Variable, rows: int) -> xr.Variable:
    """The rows of an area that does not have a column: NaN, "", 0 or False."""
    shape = (rows, *like.shape[1:])
    if like.dtype.kind in TEXT:
        return xr.Variable(like.dims, np.full(shape, "", object))
    missing: Any = np.nan if like.dtype.kind == "f" else 0
    return xr.Variable(like.dims, np.full(shape, missing, like.dtype))


def _stretches(node: xr.Dataset, name: str) -> np.ndarray:
    """Starts or stops of the stretches of each unit, (unit, interval) float64, s."""
    values = np.asarray(node[name].values, np.float64)
    return np.broadcast_to(values, (node.sizes[schema.UNIT], values.shape[-1]))


def _is_stated(node: xr.Dataset) -> bool:
    """Whether the file stated when units were recorded, so that it was not taken from the data."""
    return all(
        name in node.variables and node[name].attrs.get("ends") != FOUND for name in OF_UNITS
    )
