"""Continuous signals of a session as time series of pynwb: behaviour, fluorescence, voltages, movies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from hdmf.common import DynamicTableRegion, ElementIdentifiers, VectorData, VectorIndex
from pynwb import NWBFile
from pynwb.base import TimeSeries
from pynwb.behavior import (
    BehavioralTimeSeries,
    CompassDirection,
    Position,
    PupilTracking,
    SpatialSeries,
)
from pynwb.ecephys import ElectricalSeries
from pynwb.ophys import (
    DfOverF,
    Fluorescence,
    ImageSegmentation,
    OpticalChannel,
    PlaneSegmentation,
    RoiResponseSeries,
)

from neuroarrays import schema
from neuroarrays.exchange.nwb_nodes import (
    Nodes,
    clean,
    column_vectors,
    picture_series,
    regular_clock,
    unit_of,
)
from neuroarrays.exchange.nwb_streams import TEXT, stored
from neuroarrays.formats.nwb import layout

#: Volts of the units in which an electrode's signal may stand.
_VOLTS = {
    "v": 1.0,
    "volt": 1.0,
    "volts": 1.0,
    "mv": 1e-3,
    "millivolt": 1e-3,
    "uv": 1e-6,
    "µv": 1e-6,
    "microvolt": 1e-6,
    "microvolts": 1e-6,
}
_DFF = re.compile(r"d\W?f\W?(/|over)?_?f|dff", re.I)
#: Dimensions of the values of a series that NWB allows.
_DIMENSIONS = 4
_COORDINATES = ("x", "y", "z")


class SeriesNodes:
    """Puts nodes with a clock into a file.

    Parameters
    ----------
    file : NWBFile
        Where they go.
    nodes : Nodes
        All nodes of the session, and what is told of them.
    with_spikes : set of str
        Areas whose units have spikes: their signals are no fluorescence.
    """

    def __init__(self, file: NWBFile, nodes: Nodes, with_spikes: set[str]):
        self.file, self.nodes, self._with_spikes = file, nodes, with_spikes
        self._containers: dict[str, Any] = {}

    def write(self, path: str, node: xr.Dataset) -> None:
        """All variables along the clock of a node, and what else it has."""
        clock, places = node.variables[schema.TIME], dict[str, dict[str, Any]]()
        area = path.rpartition("/")[0] or schema.UNKNOWN_AREA
        signals = self._signals(path, node)
        of_units = schema.UNIT in node.dims
        rows: dict[str, Any] = {}
        first: TimeSeries | None = None
        for names in signals:
            variable = node.variables[names[0]]
            if (
                not rows
                and schema.UNIT in variable.dims[1:2]
                and area not in self._with_spikes
                and variable.ndim == 2
            ):
                rows = {schema.UNIT: self._rois(path, area, node, places)}
            if not rows and schema.CHANNEL in variable.dims[1:2]:
                rows = {schema.CHANNEL: self._electrodes(node, places)}
            told = self._clock(clock) if first is None else {"timestamps": first}
            if first is not None and regular_clock(clock):
                told = self._clock(clock)
            series, at = self._one(path, node, names, told, rows)
            if first is None:
                first = series
                where = {layout.CLOCK: at} if "rate" in told else {layout.AT: f"{at}/timestamps"}
                places[schema.TIME] = where
            for column, name in enumerate(names):
                places[name] = {layout.AT: f"{at}/data"} | (
                    {layout.COLUMN: column} if len(names) > 1 else {}
                )
        self.nodes.tell(path, places, area if of_units else "")

    def _signals(self, path: str, node: xr.Dataset) -> list[list[str]]:
        """Variables along the clock; the coordinates of a position together, as NWB has them."""
        names = [
            str(name)
            for name, variable in node.variables.items()
            if variable.dims[:1] == (schema.TIME,)
            and name != schema.TIME
            and variable.ndim <= _DIMENSIONS
            and variable.dtype.kind in "iufb" + TEXT
        ]
        place = [name for name in _COORDINATES if name in names and node[name].ndim == 1]
        alike = {(node[name].dtype, str(node[name].attrs.get("units"))) for name in place}
        if (
            not _is_position(path)
            or len(place) < 2
            or len(alike) > 1
            or place != list(_COORDINATES[: len(place)])
        ):
            return [[name] for name in names]
        return [place, *([name] for name in names if name not in place)]

    def _clock(self, clock: xr.Variable) -> dict[str, Any]:
        regular = regular_clock(clock)
        if regular is not None:
            return {"starting_time": float(regular.start), "rate": float(regular.rate)}
        return {"timestamps": stored(clock, dtype="f8")}

    def _one(
        self,
        path: str,
        node: xr.Dataset,
        names: list[str],
        clock: Mapping[str, Any],
        rows: Mapping[str, Any],
    ) -> tuple[TimeSeries, str]:
        """A series where it belongs in the file, and its path there."""
        variable = node.variables[names[0]]
        told = str(
            variable.attrs.get("description")
            or variable.attrs.get("long_name")
            or f"{names[0]} of {path}"
        )
        common = {"unit": unit_of(variable), "description": told, **clock}
        second = variable.dims[1:2]
        if schema.UNIT in second and schema.UNIT in rows:
            kind = DfOverF if _DFF.search(names[0]) else Fluorescence
            holder, at = self._container("ophys", kind, kind.__name__)
            name = self.nodes.name(names[0], at)
            series = RoiResponseSeries(
                name=name,
                data=stored(variable),
                rois=self._region("rois", rows[schema.UNIT]),
                **common,
            )
            holder.add_roi_response_series(series)
            return series, f"{at}/{name}"
        volts = _VOLTS.get(common["unit"].lower())
        if schema.CHANNEL in second and schema.CHANNEL in rows and volts is not None:
            name, region = (
                self.nodes.name(path, "acquisition"),
                self._region("electrodes", rows[schema.CHANNEL]),
            )
            del common["unit"]
            series = ElectricalSeries(
                name=name, data=stored(variable), electrodes=region, conversion=volts, **common
            )
            self.file.add_acquisition(series)
            return series, f"acquisition/{name}"
        if names[0] == schema.STIMULUS and variable.ndim > 2:
            name = self.nodes.name(path, "stimulus/presentation")
            series = picture_series(name, variable, told, clock)
            self.file.add_stimulus(series)
            return series, f"stimulus/presentation/{name}"
        return self._behaviour(path, node, names, common)

    def _behaviour(
        self, path: str, node: xr.Dataset, names: list[str], common: dict[str, Any]
    ) -> tuple[TimeSeries, str]:
        """A series of a node in the container for it."""
        last = path.rpartition("/")[2]
        variable = node.variables[names[0]]
        is_angle = bool(variable.attrs.get("period")) and variable.ndim == 1
        kind = BehavioralTimeSeries
        if last.startswith(schema.PUPIL):
            kind = PupilTracking
        elif _is_position(path) and len(names) > 1:
            kind = Position
        elif "direction" in last and is_angle and len(node.data_vars) == 1:
            kind = CompassDirection
        is_spatial = kind in (Position, CompassDirection)
        called = (
            path
            if kind is not BehavioralTimeSeries or not _is_position(path)
            else f"{path}_signals"
        )
        holder, at = self._container("behavior", kind, clean(called))
        name = self.nodes.name(last if len(names) > 1 else names[0], at)
        if is_spatial:
            data = (
                stored(xr.Variable.concat([node.variables[n] for n in names], "axis").T)
                if len(names) > 1
                else stored(variable)
            )
            frame = str(variable.attrs.get("reference_frame") or "unknown")
            series: TimeSeries = SpatialSeries(
                name=name, data=data, reference_frame=frame, **common
            )
            (holder.add_spatial_series)(series)
        else:
            series = TimeSeries(name=name, data=stored(variable), **common)
            holder.add_timeseries(series)
        return series, f"{at}/{name}"

    def _container(self, module: str, kind: Any, name: str) -> tuple[Any, str]:
        """A container in a processing module, and its path; made where it is not there yet."""
        at = f"processing/{module}/{name}"
        if at not in self._containers:
            if module not in self.file.processing:
                self.file.create_processing_module(
                    name=module, description=f"{module} of the session"
                )
            self._containers[at] = kind(name=name)
            self.file.processing[module].add(self._containers[at])
        return self._containers[at], at

    # -------------------------------------------------------------------------- tables of columns

    @staticmethod
    def _region(name: str, rows: tuple[Any, list[int]]) -> DynamicTableRegion:
        table, (start, end) = rows
        return DynamicTableRegion(
            name=name, data=list(range(start, end)), description="of each column", table=table
        )

    def _rois(
        self, path: str, area: str, node: xr.Dataset, places: dict[str, dict[str, Any]]
    ) -> tuple[Any, list[int]]:
        """The table of the ROIs of a node."""
        segmentation, at = self._container("ophys", ImageSegmentation, "ImageSegmentation")
        name = self.nodes.name(path.replace("/", "_"), at)
        columns, where = column_vectors(node, schema.UNIT, f"{at}/{name}")
        columns += _masks(node)
        table = PlaneSegmentation(
            name=name,
            description=f"ROIs of {path}",
            imaging_plane=self._plane(area, node),
            columns=columns,
            id=ElementIdentifiers(
                name="id", data=node.variables[schema.UNIT].values.astype(np.int64)
            ),
            colnames=[column.name for column in columns if not isinstance(column, VectorIndex)],
        )
        segmentation.add_plane_segmentation(table)
        places |= where | {schema.UNIT: {layout.AT: f"{at}/{name}/id"}}
        return table, [0, node.sizes[schema.UNIT]]

    def _plane(self, area: str, node: xr.Dataset) -> Any:
        """The imaging plane of an area; NWB asks for its optics, of which trees say nothing."""
        name = clean(area)
        if name not in self.file.imaging_planes:
            device = self.file.devices.get("microscope") or self.file.create_device(
                name="microscope"
            )
            channel = OpticalChannel(name="channel", description="unknown", emission_lambda=np.nan)
            self.file.create_imaging_plane(
                name=name,
                optical_channel=channel,
                description=f"plane in {area}",
                device=device,
                excitation_lambda=np.nan,
                indicator="unknown",
                location=area,
            )
        return self.file.imaging_planes[name]

    def _electrodes(
        self, node: xr.Dataset, places: dict[str, dict[str, Any]]
    ) -> tuple[Any, list[int]]:
        """The electrodes of a node: rows of the one table that NWB has for them."""
        device = self.file.devices.get("probe") or self.file.create_device(name="probe")
        groups = self.file.electrode_groups
        group = groups.get("electrodes") or self.file.create_electrode_group(
            name="electrodes",
            description="all electrodes",
            location="see electrodes",
            device=device,
        )
        start = 0 if self.file.electrodes is None else len(self.file.electrodes)
        size = node.sizes[schema.CHANNEL]
        ids = node.variables.get(schema.CHANNEL)
        numbers = (
            ids.values
            if ids is not None and ids.dtype.kind in "iu"
            else np.arange(start, start + size)
        )
        if start and np.isin(numbers, self.file.electrodes.id[:]).any():
            numbers = np.arange(start, start + size) + int(max(self.file.electrodes.id[:])) + 1
        elif ids is not None and ids.dtype.kind in "iu":
            places[schema.CHANNEL] = {
                layout.AT: _ELECTRODES + "/id",
                layout.ROWS: [start, start + size],
            }
        labels = [node.variables[n].values for n in ("location", schema.AREA) if _is_label(node, n)]
        where = labels[0] if labels else np.full(size, "unknown", object)
        axes = [
            n for n in _COORDINATES if _is_label(node, n) and node.variables[n].dtype.kind in "iuf"
        ]
        for row in range(size):
            place = {axis: float(node.variables[axis].values[row]) for axis in axes}
            self.file.add_electrode(
                id=int(numbers[row]), location=str(where[row]), group=group, **place
            )
        return self.file.electrodes, [start, start + size]


def _masks(node: xr.Dataset) -> list[Any]:
    """Pixels of the ROIs, which NWB asks for: those of suite2p's labels, else NaN in an image of one pixel."""
    if not all(name in node.variables and node[name].ndim == 2 for name in ("xpix", "ypix")):
        unknown = np.full((node.sizes[schema.UNIT], 1, 1), np.nan, np.float32)
        return [VectorData(name="image_mask", description="not known", data=unknown)]
    x, y = (np.asarray(node[name].values, np.float64) for name in ("xpix", "ypix"))
    has_weights = "lam" in node.variables and node["lam"].shape == x.shape
    weight = np.asarray(node["lam"].values, np.float32) if has_weights else np.ones_like(x)
    known = np.isfinite(x) & np.isfinite(y)
    rows = np.zeros(int(known.sum()), _PIXEL)
    rows["x"], rows["y"], rows["weight"] = x[known], y[known], weight[known]
    masks = VectorData(name="pixel_mask", description="pixels of each ROI", data=rows)
    ends = np.cumsum(known.sum(1)).astype(np.uint64)
    return [masks, VectorIndex(name="pixel_mask_index", data=ends, target=masks)]


_PIXEL = np.dtype([("x", "u4"), ("y", "u4"), ("weight", "f4")])
_ELECTRODES = "general/extracellular_ephys/electrodes"


def _is_label(node: xr.Dataset, name: str) -> bool:
    return name in node.variables and node.variables[name].dims == (schema.CHANNEL,)


def _is_position(path: str) -> bool:
    return path.rpartition("/")[2].startswith(schema.POSITION)
