"""Convert nodes of a session to objects of pynwb, and record where each variable is stored.

`formats.nwb.layout` describes the records, from which the reader restores the tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from hdmf.common import ElementIdentifiers, VectorData, VectorIndex
from pynwb import NWBFile
from pynwb.base import TimeSeries
from pynwb.epoch import TimeIntervals
from pynwb.event import DurationVectorData, EventsTable, TimestampVectorData
from pynwb.image import ImageSeries

from neuroarrays import schema
from neuroarrays.exchange.nwb_arrays import TEXT, stored
from neuroarrays.formats.nwb import layout
from neuroarrays.lazy.arrays import array_of
from neuroarrays.lazy.computed import RegularClock
from neuroarrays.tree.observed import OF_SESSION

#: The most values of a variable without a place in NWB that its record holds.
_MOST = 2000
#: Names of columns that have another meaning in NWB.
_NOT_COLUMNS = {
    "id",
    "description",
    "colnames",
    "object_id",
    "namespace",
    "neurodata_type",
    "meanings_tables",
    "electrodes",
    "electrode_group",
    "waveforms",
    "obs_intervals",
    "tags",
    "timeseries",
    "spike_times",
    "timestamp",
    "resolution",
    "group",
}
#: Tables that are attributes of an NWB file.
_NAMED_TABLES = ("trials", "epochs", "invalid_times")
#: The physical unit of a series whose unit is not known.
_NO_UNIT = "n.a."
#: Numbers of dimensions of pictures: (time, y, x) and (time, y, x, colour).
_PICTURES = (3, 4)


class Nodes:
    """Adds the nodes of a session to a file.

    Parameters
    ----------
    file : NWBFile
        The file to add to.
    nodes : dict of str to Dataset
        The nodes by path below the session.

    Attributes
    ----------
    records : dict
        For each node by path: where its variables are, as `formats.nwb.layout` describes.
    left_out : list of str
        What the file does not hold, and why.
    """

    def __init__(self, file: NWBFile, nodes: Mapping[str, xr.Dataset]):
        self.file, self.nodes = file, nodes
        self.records: dict[str, dict[str, Any]] = {}
        self.left_out: list[str] = []
        self._names: set[str] = set()

    # ------------------------------------------------------------------------------- records

    def record(self, path: str, locations: Mapping[str, dict[str, Any]], area: str = "") -> None:
        """Record where the variables of a node are in the file.

        The record itself holds the values of variables that are not in the file.

        Parameters
        ----------
        path : str
            Path of the node below the session.
        locations : dict of str to dict
            The location of each variable that is in the file, as `formats.nwb.layout` describes.
        area : str
            Name of the area whose units the node has; "" for none.
        """
        node = self.nodes[path]
        variables = {
            name: variable_record(node, name, **location) for name, location in locations.items()
        }
        for name in map(str, node.variables):
            variable = node.variables[name]
            if name in variables:
                continue
            if variable.size > _MOST or variable.dtype.kind not in "OUiufb":
                why = f"{variable.size:,} values along {', '.join(map(str, variable.dims)) or 'nothing'}"
                self.left_out.append(f"{path}/{name}: NWB has no place for {why}")
                continue
            variables[name] = variable_record(
                node,
                name,
                **{
                    layout.VALUES: variable.values.tolist(),
                    layout.DTYPE: variable.dtype.str,
                    layout.SHAPE: variable.shape,
                },
            )
        record = {layout.ATTRS: dict(node.attrs), layout.VARIABLES: variables}
        self.records[path] = record | ({layout.AREA: area} if area else {})

    def name(self, wanted: str, group: str) -> str:
        """A name that NWB allows and that nothing else in a group has; it is then in use."""
        name = clean(wanted)
        while f"{group}/{name}" in self._names:
            name += "_"
        self._names.add(f"{group}/{name}")
        return name

    # ---------------------------------------------------------------------------------- tables

    def table(self, path: str, node: xr.Dataset) -> None:
        """Add presentations, or the recorded stretches, as a table of intervals."""
        dim = schema.INTERVAL if path == schema.OBSERVED else schema.PRESENTATION
        name = self.name(path.rpartition("/")[2], "intervals")
        size, group = node.sizes[dim], f"intervals/{name}"
        columns, locations = [], {}
        for column, description in zip(OF_SESSION, ("start", "stop"), strict=True):
            known = column in node.variables
            times = node.variables[column] if known else xr.Variable(dim, np.full(size, np.nan))
            columns.append(
                VectorData(
                    name=column,
                    description=f"{description} of each, s",
                    data=stored(times, dtype="f8"),
                )
            )
            if known:
                locations[column] = {layout.AT: f"{group}/{column}"}
        for column, variable, nwb_name in _columns(node, dim, (dim, *OF_SESSION), OF_SESSION):
            columns.append(vector(nwb_name, variable))
            locations[column] = {layout.AT: f"{group}/{nwb_name}"}
        ids, ids_location = _identifiers(node, dim, group)
        table = TimeIntervals(
            name=name,
            description=description_of(node, path),
            id=ids,
            columns=columns,
            colnames=[column.name for column in columns],
        )
        if name in _NAMED_TABLES:
            setattr(self.file, name, table)
        else:
            self.file.add_time_intervals(table)
        self.record(path, locations | ids_location)

    def events(self, path: str, node: xr.Dataset) -> None:
        """Add point events as a table of events."""
        dim, name = schema.EVENT, self.name(path.rpartition("/")[2], "events")
        group, times = f"events/{name}", node.variables[schema.EVENT_TIME]
        columns = [
            TimestampVectorData(
                name="timestamp", description="when it happened, s", data=stored(times, dtype="f8")
            )
        ]
        locations = {schema.EVENT_TIME: {layout.AT: f"{group}/timestamp"}}
        for column, variable, nwb_name in _columns(node, dim, (schema.EVENT_TIME,)):
            is_duration = (
                nwb_name == "duration" and variable.dtype.kind in "iuf" and variable.ndim == 1
            )
            kind = DurationVectorData if is_duration else VectorData
            columns.append(vector(nwb_name, variable, kind=kind))
            locations[column] = {layout.AT: f"{group}/{nwb_name}"}
        table = EventsTable(
            name=name,
            description=description_of(node, path),
            columns=columns,
            id=ElementIdentifiers(name="id", data=np.arange(times.size)),
            colnames=[column.name for column in columns],
        )
        self.file.add_events_table(table)
        self.record(path, locations)

    # -------------------------------------------------------------------------------- templates

    def template(self, path: str, node: xr.Dataset) -> None:
        """Add pictures, or the frames of a movie, as stimulus templates."""
        locations: dict[str, dict[str, Any]] = {}
        times = node.variables.get("frame_time")
        for name in map(str, node.variables):
            variable = node.variables[name]
            is_large = variable.ndim > 1 and variable.dtype.kind in "iufb" and variable.size
            if not is_large:
                continue
            nwb_name = self.name(
                f"{clean(path)}_{name}" if locations else path.rpartition("/")[2],
                "stimulus/templates",
            )
            clock: dict[str, Any] = {"starting_time": 0.0, "rate": 1.0}
            has_times = times is not None and times.dims == variable.dims[:1]
            if times is not None and has_times:
                clock = {"timestamps": stored(times, dtype="f8")}
            description = description_of(node, path)
            if not has_times:
                description += ". The clock counts frames, not seconds."
            series = picture_series(nwb_name, variable, description, clock)
            self.file.add_stimulus_template(series)
            group = f"stimulus/templates/{nwb_name}"
            locations[name] = {layout.AT: f"{group}/data"}
            if has_times:
                locations["frame_time"] = {layout.AT: f"{group}/timestamps"}
        self.record(path, locations)


def picture_series(
    name: str, variable: xr.Variable, description: str, clock: Mapping[str, Any]
) -> TimeSeries:
    """A series of pictures, (time, y, x) or (time, y, x, colour); a plain series for other shapes."""
    arguments = {
        "name": name,
        "data": stored(variable),
        "unit": unit_of(variable),
        "description": description,
        **clock,
    }
    if variable.ndim in _PICTURES:
        return ImageSeries(**arguments, format="raw")
    return TimeSeries(**arguments)


def variable_record(node: xr.Dataset, name: str, **location: Any) -> dict[str, Any]:
    """The record of a variable: its location in the file, its dimensions and attributes."""
    variable = node.variables[name]
    return location | {
        layout.DIMS: list(map(str, variable.dims)),
        layout.ATTRS: dict(variable.attrs),
        layout.COORD: name in node.coords,
    }


def clean(name: str) -> str:
    """A name without the characters that NWB does not allow."""
    return re.sub(r"[/:]", "_", name) or "unnamed"


def unit_of(variable: xr.Variable) -> str:
    """The physical unit of a series, which NWB requires."""
    return str(variable.attrs.get("units") or _NO_UNIT)


def regular_clock(clock: xr.Variable) -> RegularClock | None:
    """The clock as a start and a rate; None if its time stamps are stored one by one."""
    array = array_of(clock)
    return array if isinstance(array, RegularClock) and array.rate > 0 else None


def description_of(node: xr.Dataset, path: str) -> str:
    """The description of a node, which NWB requires."""
    return str(node.attrs.get("description") or f"{path} of the recording tree")


def _columns(
    node: xr.Dataset, dim: str, skip: Sequence[str], used: Sequence[str] = ()
) -> Iterator[tuple[str, xr.Variable, str]]:
    """The variables whose first dimension is `dim`: name, variable, and name of the NWB column.

    The variables of `skip` are left out. The names of `used` are not given to a column.
    """
    used_names = set(used)
    for name in map(str, node.variables):
        variable = node.variables[name]
        if (
            name not in skip
            and variable.dims[:1] == (dim,)
            and variable.dtype.kind in "iufb" + TEXT
        ):
            nwb_name = free_name(name, used_names)
            used_names.add(nwb_name)
            yield name, variable, nwb_name


def column_vectors(
    node: xr.Dataset, dim: str, table: str
) -> tuple[list[VectorData], dict[str, dict[str, Any]]]:
    """Variables along a dimension as columns of a table, and the location of each."""
    columns, locations = [], {}
    for name, variable, nwb_name in _columns(node, dim, (dim,)):
        columns.append(vector(nwb_name, variable))
        locations[name] = {layout.AT: f"{table}/{nwb_name}"}
    return columns, locations


def free_name(name: str, used: set[str]) -> str:
    """A name of a column that is not in use and has no other meaning in NWB."""
    nwb_name = clean(name)
    while nwb_name in used or nwb_name in _NOT_COLUMNS or f"{nwb_name}_index" in used:
        nwb_name += "_"
    return nwb_name


def vector(name: str, *parts: xr.Variable, kind: Any = VectorData) -> Any:
    """Variables one after another as a column, (row, ...)."""
    attrs = parts[0].attrs
    text = str(attrs.get("description") or attrs.get("long_name") or name)
    units = attrs.get("units")
    return kind(name=name, description=f"{text}, {units}" if units else text, data=stored(*parts))


def index_of(column: VectorData, ends: np.ndarray) -> VectorIndex:
    """The index of a ragged column; `ends` (row,) int64 has the position after each row's values."""
    return VectorIndex(name=f"{column.name}_index", data=ends.astype(np.uint64), target=column)


def _identifiers(
    node: xr.Dataset, dim: str, table: str
) -> tuple[ElementIdentifiers, dict[str, Any]]:
    """The identifiers of the rows of a table, and their location.

    Without integer labels along `dim`, the rows are numbered and there is no location.
    """
    ids = node.variables.get(dim)
    if ids is None or ids.dtype.kind not in "iu":
        return ElementIdentifiers(name="id", data=np.arange(node.sizes[dim])), {}
    identifiers = ElementIdentifiers(name="id", data=ids.values.astype(np.int64))
    return identifiers, {dim: {layout.AT: f"{table}/id"}}
