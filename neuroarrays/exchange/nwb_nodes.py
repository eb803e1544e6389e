"""The nodes of a session as objects of pynwb, and what NWB has no place for (`formats.nwb.layout`)."""

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
from neuroarrays.exchange.nwb_streams import TEXT, stored
from neuroarrays.formats.nwb import layout
from neuroarrays.lazy.arrays import array_of
from neuroarrays.lazy.computed import RegularClock
from neuroarrays.tree.observed import OF_SESSION

#: Values for which NWB has no place and that the text beside it holds, per variable.
_MOST = 2000
#: Names of columns that mean something else to NWB.
_NOT_COLUMNS = {
    "id",
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
#: Tables that a file of NWB has a place of its own for.
_OWN_TABLES = ("trials", "epochs", "invalid_times")
#: What stands in the place of a unit that is not known.
_NO_UNIT = "n.a."
#: Pictures and movies, without and with colour.
_PICTURES = (3, 4)


class Nodes:
    """Puts the nodes of a session into a file.

    Parameters
    ----------
    file : NWBFile
        Where they go.
    nodes : dict of str to Dataset
        By path below the session.

    Attributes
    ----------
    told : dict
        Of each node what `formats.nwb.layout` says.
    left_out : list of str
        What the file does not hold, and why.
    """

    def __init__(self, file: NWBFile, nodes: Mapping[str, xr.Dataset]):
        self.file, self.nodes = file, nodes
        self.told: dict[str, dict[str, Any]] = {}
        self.left_out: list[str] = []
        self._names: set[str] = set()

    # ---------------------------------------------------------------------------- what is told

    def tell(self, path: str, places: Mapping[str, dict[str, Any]], area: str = "") -> None:
        """Say where the variables of a node are; those that are nowhere are told themselves."""
        node = self.nodes[path]
        variables = {name: place(node, name, **where) for name, where in places.items()}
        for name in map(str, node.variables):
            variable = node.variables[name]
            if name in variables:
                continue
            if variable.size > _MOST or variable.dtype.kind not in "OUiufb":
                why = f"{variable.size:,} values along {', '.join(map(str, variable.dims)) or 'nothing'}"
                self.left_out.append(f"{path}/{name}: NWB has no place for {why}")
                continue
            variables[name] = place(
                node,
                name,
                **{
                    layout.VALUES: variable.values.tolist(),
                    layout.DTYPE: variable.dtype.str,
                    layout.SHAPE: variable.shape,
                },
            )
        told = {layout.ATTRS: dict(node.attrs), layout.VARIABLES: variables}
        self.told[path] = told | ({layout.AREA: area} if area else {})

    def name(self, wanted: str, group: str) -> str:
        """A name in a group that NWB allows and that is not taken there."""
        name = clean(wanted)
        while f"{group}/{name}" in self._names:
            name += "_"
        self._names.add(f"{group}/{name}")
        return name

    # ---------------------------------------------------------------------------------- tables

    def table(self, path: str, node: xr.Dataset) -> None:
        """Presentations, or the stretches that were recorded, as a table of intervals."""
        dim = schema.INTERVAL if path == schema.OBSERVED else schema.PRESENTATION
        name = self.name(path.rpartition("/")[2], "intervals")
        size, at = node.sizes[dim], f"intervals/{name}"
        named = {schema.START_TIME: schema.START_TIME, schema.STOP_TIME: schema.STOP_TIME}
        columns, places = [], {}
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
                places[column] = {layout.AT: f"{at}/{column}"}
        for column, variable, called in _columns(node, dim, (dim, *OF_SESSION), named):
            columns.append(vector(called, variable))
            places[column] = {layout.AT: f"{at}/{called}"}
        ids, where = _identifiers(node, dim, at)
        table = TimeIntervals(
            name=name,
            description=description_of(node, path),
            id=ids,
            columns=columns,
            colnames=[column.name for column in columns],
        )
        if name in _OWN_TABLES:
            setattr(self.file, name, table)
        else:
            self.file.add_time_intervals(table)
        self.tell(path, places | where)

    def events(self, path: str, node: xr.Dataset) -> None:
        """Point events as a table of events."""
        dim, name = schema.EVENT, self.name(path.rpartition("/")[2], "events")
        at, times = f"events/{name}", node.variables[schema.EVENT_TIME]
        columns = [
            TimestampVectorData(
                name="timestamp", description="when it happened, s", data=stored(times, dtype="f8")
            )
        ]
        places = {schema.EVENT_TIME: {layout.AT: f"{at}/timestamp"}}
        for column, variable, called in _columns(node, dim, (schema.EVENT_TIME,)):
            is_duration = (
                called == "duration" and variable.dtype.kind in "iuf" and variable.ndim == 1
            )
            kind = DurationVectorData if is_duration else VectorData
            columns.append(vector(called, variable, kind=kind))
            places[column] = {layout.AT: f"{at}/{called}"}
        table = EventsTable(
            name=name,
            description=description_of(node, path),
            columns=columns,
            id=ElementIdentifiers(name="id", data=np.arange(times.size)),
            colnames=[column.name for column in columns],
        )
        self.file.add_events_table(table)
        self.tell(path, places)

    # -------------------------------------------------------------------------------- templates

    def template(self, path: str, node: xr.Dataset) -> None:
        """Pictures, or the frames of a movie, that were shown."""
        places: dict[str, dict[str, Any]] = {}
        times = node.variables.get("frame_time")
        for name in map(str, node.variables):
            variable = node.variables[name]
            is_large = variable.ndim > 1 and variable.dtype.kind in "iufb" and variable.size
            if not is_large:
                continue
            called = self.name(
                path.rpartition("/")[2] if not places else f"{clean(path)}_{name}",
                "stimulus/templates",
            )
            clock: dict[str, Any] = {"starting_time": 0.0, "rate": 1.0}
            has_times = times is not None and times.dims == variable.dims[:1]
            if times is not None and has_times:
                clock = {"timestamps": stored(times, dtype="f8")}
            told = description_of(node, path) + (
                "" if has_times else ". The clock counts frames: it is no time."
            )
            series = picture_series(called, variable, told, clock)
            self.file.add_stimulus_template(series)
            places[name] = {layout.AT: f"stimulus/templates/{called}/data"}
            if has_times:
                places["frame_time"] = {layout.AT: f"stimulus/templates/{called}/timestamps"}
        self.tell(path, places)


def picture_series(
    name: str, variable: xr.Variable, description: str, clock: Mapping[str, Any]
) -> TimeSeries:
    """A series of pictures; of another number of dimensions, a plain series."""
    common = {
        "name": name,
        "data": stored(variable),
        "unit": unit_of(variable),
        "description": description,
        **clock,
    }
    if variable.ndim in _PICTURES:
        return ImageSeries(**common, format="raw")
    return TimeSeries(**common)


def place(node: xr.Dataset, name: str, **where: Any) -> dict[str, Any]:
    """What is told of a variable: where it is, its dimensions and attributes."""
    variable = node.variables[name]
    facts = {layout.DIMS: list(map(str, variable.dims)), layout.ATTRS: dict(variable.attrs)}
    return where | facts | {layout.COORD: name in node.coords}


def clean(name: str) -> str:
    """A name as NWB allows it."""
    return re.sub(r"[/:]", "_", name) or "unnamed"


def unit_of(variable: xr.Variable) -> str:
    """The unit of a series, which NWB asks for."""
    return str(variable.attrs.get("units") or _NO_UNIT)


def regular_clock(clock: xr.Variable) -> RegularClock | None:
    """The regular clock of samples, where it is computed from start and rate."""
    array = array_of(clock)
    return array if isinstance(array, RegularClock) and array.rate > 0 else None


def description_of(node: xr.Dataset, path: str) -> str:
    """What is said of a node, which NWB asks for."""
    return str(node.attrs.get("description") or f"{path} of the recording tree")


def _columns(
    node: xr.Dataset, dim: str, skip: Sequence[str], named: Mapping[str, str] | None = None
) -> Iterator[tuple[str, xr.Variable, str]]:
    """Variables with a row for each of a dimension, and how the column is called."""
    taken = set(named or ())
    for name in map(str, node.variables):
        variable = node.variables[name]
        if (
            name not in skip
            and variable.dims[:1] == (dim,)
            and variable.dtype.kind in "iufb" + TEXT
        ):
            called = free(name, taken)
            taken.add(called)
            yield name, variable, called


def column_vectors(
    node: xr.Dataset, dim: str, at: str
) -> tuple[list[VectorData], dict[str, dict[str, Any]]]:
    """Variables along a dimension as columns of a table at a path, and where their values are."""
    columns, places = [], {}
    for name, variable, called in _columns(node, dim, (dim,)):
        columns.append(vector(called, variable))
        places[name] = {layout.AT: f"{at}/{called}"}
    return columns, places


def free(name: str, taken: set[str]) -> str:
    """A name of a column that is not taken and means nothing else to NWB."""
    called = clean(name)
    while called in taken or called in _NOT_COLUMNS or f"{called}_index" in taken:
        called += "_"
    return called


def vector(name: str, *parts: xr.Variable, kind: Any = VectorData) -> Any:
    """Variables one after another as a column, (row, ...)."""
    attrs = parts[0].attrs
    told = str(attrs.get("description") or attrs.get("long_name") or name)
    units = attrs.get("units")
    return kind(name=name, description=f"{told}, {units}" if units else told, data=stored(*parts))


def index_of(column: VectorData, ends: np.ndarray) -> VectorIndex:
    """The index of a ragged column: where the values of each row end, (row,) int64."""
    return VectorIndex(name=f"{column.name}_index", data=ends.astype(np.uint64), target=column)


def _identifiers(node: xr.Dataset, dim: str, at: str) -> tuple[ElementIdentifiers, dict[str, Any]]:
    """The identifiers of the rows of a table, and where they are; the numbers of the rows without any."""
    ids = node.variables.get(dim)
    is_known = ids is not None and ids.dtype.kind in "iu"
    data = (
        ids.values.astype(np.int64) if is_known and ids is not None else np.arange(node.sizes[dim])
    )
    where = {dim: {layout.AT: f"{at}/id"}} if is_known else {}
    return ElementIdentifiers(name="id", data=data), where
