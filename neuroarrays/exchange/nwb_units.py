"""The spikes of all areas of a session as the one table of units that NWB has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from hdmf.common import ElementIdentifiers, VectorData, VectorIndex
from pynwb.misc import Units

from neuroarrays import schema
from neuroarrays.exchange.nwb_nodes import Nodes, free, index_of, vector
from neuroarrays.exchange.nwb_streams import TEXT, stored
from neuroarrays.formats.nwb import layout
from neuroarrays.formats.nwb.waveforms import COLUMNS, ELECTRODE, SAMPLE, WAVEFORMS
from neuroarrays.lazy.computed import as_lazy
from neuroarrays.lazy.views import Folded
from neuroarrays.tree.observed import FOUND, OF_SESSION, OF_UNITS


class UnitNodes:
    """Puts nodes of spikes into a file, area after area.

    Parameters
    ----------
    nodes : Nodes
        All nodes of the session, and what is told of them.
    """

    def __init__(self, nodes: Nodes):
        self.nodes = nodes

    def write(self, areas: Mapping[str, xr.Dataset]) -> None:
        """The spikes of all areas in one table, area after area; `areas` are by path of the node."""
        nodes = list(areas.values())
        sizes = np.concatenate(
            [np.asarray(node[schema.ROW_SIZE].values, np.int64) for node in nodes]
        )
        ends = np.cumsum(sizes)
        units = np.cumsum([0, *(node.sizes[schema.UNIT] for node in nodes)]).tolist()
        rows = {path: [units[i], units[i + 1]] for i, path in enumerate(areas)}
        spikes = VectorData(
            name="spike_times",
            description="when each spike was, s",
            data=stored(*(node.variables[schema.SPIKE_TIMES] for node in nodes), dtype="f8"),
        )
        columns: list[Any] = [spikes, index_of(spikes, ends)]
        places: dict[str, dict[str, Any]] = {path: {} for path in areas}
        for path in areas:
            trains = {layout.AT: "units/spike_times", layout.TRAINS: rows[path]}
            places[path] = {schema.SPIKE_TIMES: trains, schema.ROW_SIZE: {layout.SIZES: rows[path]}}
        taken = {"spike_times", "spike_times_index"}
        for name, parts, called in self._joined(areas, schema.SPIKE, (schema.SPIKE_TIMES,), taken):
            told: dict[str, Any] = {}
            if name == WAVEFORMS and parts[0].dims == (schema.SPIKE, ELECTRODE, SAMPLE):
                called, told = WAVEFORMS, {layout.BLOCK: parts[0].shape[1]}
                columns += _waveforms(parts, ends)
            else:
                column = vector(called, *parts)
                columns += [column, index_of(column, ends)]
            told[layout.AT] = f"units/{called}"
            for path in areas:
                places[path][name] = told | {layout.TRAINS: rows[path]}
        columns += self._observed(areas, rows, places)
        skip = (schema.UNIT, schema.ROW_SIZE, *OF_UNITS)
        for name, parts, called in self._joined(areas, schema.UNIT, skip, taken):
            columns.append(vector(called, *parts))
            for path in areas:
                if name in areas[path].variables:
                    places[path][name] = {layout.AT: f"units/{called}", layout.ROWS: rows[path]}
        names = [path.rpartition("/")[0] for path in areas]
        if names != [schema.UNKNOWN_AREA]:
            called = next(n for n in ("location", "brain_area", "area", "area_") if n not in taken)
            labels = np.repeat(np.array([*names, None], object)[:-1], np.diff(units))
            columns.append(VectorData(name=called, description="area of the brain", data=labels))
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
            places[path][schema.UNIT] = {layout.AT: "units/id", layout.ROWS: rows[path]}
            self.nodes.tell(path, places[path], area)

    def _joined(
        self, areas: Mapping[str, xr.Dataset], dim: str, skip: Sequence[str], taken: set[str]
    ) -> Iterator[tuple[str, list[xr.Variable], str]]:
        """Variables of all areas along a dimension, one after another, and the column that has them.

        Where an area does not have one, its rows are NaN, "", 0 or False; of spikes all areas have to have it.
        """
        names = dict.fromkeys(str(name) for node in areas.values() for name in node.variables)
        for name in names:
            found = {
                path: node.variables[name] for path, node in areas.items() if name in node.variables
            }
            first = next(iter(found.values()))
            if name in skip or any(part.dims[:1] != (dim,) for part in found.values()):
                continue
            alike = {(part.shape[1:], part.dtype.kind in TEXT) for part in found.values()}
            lacking = len(found) < len(areas) or 0 in first.shape[1:]  # HDF5 does not say how many
            if len(alike) > 1 or (dim == schema.SPIKE and lacking):
                continue  # told by itself, if it is small
            called = free(name, taken)
            taken |= {called, f"{called}_index"}
            parts = [
                found[path] if path in found else _nothing(first, node.sizes[dim])
                for path, node in areas.items()
            ]
            yield name, parts, called

    def _observed(
        self,
        areas: Mapping[str, xr.Dataset],
        rows: Mapping[str, list[int]],
        places: dict[str, dict[str, Any]],
    ) -> list[Any]:
        """When each unit was recorded: `obs_intervals`, where the tree says it of units, or of the session."""
        each = [
            np.stack([_stretches(node, name) for name in OF_UNITS], 2)
            for node in areas.values()
            if _is_stated(node)
        ]
        if len(each) < len(areas):
            return self._of_session(areas, places)
        known = [[row[np.isfinite(row).all(1)] for row in node] for node in each]
        counts = np.array([len(row) for node in known for row in node])
        if not counts.all():  # obs_intervals without a row say nothing of a unit
            return self._of_session(areas, places)
        for path, node in areas.items():
            for column, name in enumerate(OF_UNITS):
                if node[name].dims == (schema.UNIT, schema.INTERVAL):
                    places[path][name] = {
                        layout.STRETCHES: column,
                        layout.ROWS: rows[path],
                        layout.WIDTH: node.sizes[schema.INTERVAL],
                    }
        flat = np.concatenate([row for node in known for row in node])
        intervals = VectorData(
            name="obs_intervals", description="when each unit was recorded, s", data=flat
        )
        return [intervals, index_of(intervals, np.cumsum(counts)), *self._of_session(areas, places)]

    def _of_session(
        self, areas: Mapping[str, xr.Dataset], places: dict[str, dict[str, Any]]
    ) -> list[Any]:
        """Units that say of the session when they were recorded have the columns of its table."""
        table = self.nodes.nodes.get(schema.OBSERVED)
        for path, node in areas.items():
            for name, column in zip(OF_UNITS, OF_SESSION, strict=True):
                if (
                    name in node.variables
                    and node[name].dims == (schema.INTERVAL,)
                    and table is not None
                    and np.array_equal(node[name].values, table[column].values)
                ):
                    places[path][name] = {layout.AT: f"intervals/{schema.OBSERVED}/{column}"}
        return []


def _waveforms(parts: Sequence[xr.Variable], ends: np.ndarray) -> list[Any]:
    """Waveforms (spike, electrode, sample) as NWB has them: a row per electrode, ragged twice."""
    flat = [Folded(as_lazy(part)).variable(("row", SAMPLE), part.attrs) for part in parts]
    column, electrodes = vector(WAVEFORMS, *flat), parts[0].shape[1]
    of_spikes = index_of(column, electrodes * np.arange(1, sum(map(len, parts)) + 1))
    return [column, of_spikes, index_of(of_spikes, ends)]


def _of_waveforms(nodes: Sequence[xr.Dataset]) -> dict[str, Any]:
    """What NWB says of all waveforms: their unit and rate (Hz), and when the spike is (ms)."""
    stated: dict[str, Any] = {}
    for node in nodes:
        for name in (name for name in node.variables if name in COLUMNS):
            attrs = node.variables[name].attrs
            pairs = (("waveform_unit", "units"), ("waveform_rate", "sampling_rate"))
            stated |= {key: attrs[attr] for key, attr in pairs if attrs.get(attr)}
    return stated


def _nothing(like: xr.Variable, rows: int) -> xr.Variable:
    """Rows of a column that an area does not have."""
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
    """Whether the stretches in which units were recorded are stated, not found in the data."""
    return all(
        name in node.variables and node[name].attrs.get("ends") != FOUND for name in OF_UNITS
    )
