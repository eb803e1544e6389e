"""Convert signals to time series of pynwb: behaviour, fluorescence, voltages, movies."""

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
from neuroarrays.exchange.nwb_arrays import TEXT, stored
from neuroarrays.exchange.nwb_nodes import (
    Nodes,
    clean,
    column_vectors,
    picture_series,
    regular_clock,
    unit_of,
)
from neuroarrays.formats.nwb import layout

#: Unit of an electrode's signal -> its size in volts.
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
#: Names of variables that hold dF/F.
_DFF = re.compile(r"d\W?f\W?(/|over)?_?f|dff", re.I)
#: The most dimensions of a series that NWB allows.
_DIMENSIONS = 4
_COORDINATES = ("x", "y", "z")
#: The type of a pixel of a mask in NWB.
_PIXEL = np.dtype([("x", "u4"), ("y", "u4"), ("weight", "f4")])
#: The path of the table of electrodes in an NWB file.
_ELECTRODES = "general/extracellular_ephys/electrodes"


class SeriesNodes:
    """Adds nodes with a clock to a file.

    Parameters
    ----------
    file : NWBFile
        The file to add to.
    nodes : Nodes
        All nodes of the session and their records.
    with_spikes : set of str
        Areas whose units have spikes. Their signals are not fluorescence.
    """

    def __init__(self, file: NWBFile, nodes: Nodes, with_spikes: set[str]):
        self.file, self.nodes, self._with_spikes = file, nodes, with_spikes
        self._containers: dict[str, Any] = {}

    def write(self, path: str, node: xr.Dataset) -> None:
        """Add all variables along the clock of a node, and its labels."""
        clock, locations = node.variables[schema.TIME], dict[str, dict[str, Any]]()
        area = path.rpartition("/")[0] or schema.UNKNOWN_AREA
        rows: dict[str, Any] = {}
        first: TimeSeries | None = None
        for names in self._signals(path, node):
            variable = node.variables[names[0]]
            if (
                not rows
                and schema.UNIT in variable.dims[1:2]
                and area not in self._with_spikes
                and variable.ndim == 2
            ):
                rows = {schema.UNIT: self._rois(path, area, node, locations)}
            if not rows and schema.CHANNEL in variable.dims[1:2]:
                rows = {schema.CHANNEL: self._electrodes(node, locations)}
            # The other series of a node link to the time stamps of the first.
            shares_stamps = first is not None and not regular_clock(clock)
            times = {"timestamps": first} if shares_stamps else self._clock(clock)
            series, nwb_path = self._add_series(path, node, names, times, rows)
            if first is None:
                first = series
                is_regular = "rate" in times
                locations[schema.TIME] = (
                    {layout.CLOCK: nwb_path}
                    if is_regular
                    else {layout.AT: f"{nwb_path}/timestamps"}
                )
            for column, name in enumerate(names):
                locations[name] = {layout.AT: f"{nwb_path}/data"}
                if len(names) > 1:
                    locations[name][layout.COLUMN] = column
        self.nodes.record(path, locations, area if schema.UNIT in node.dims else "")

    def _signals(self, path: str, node: xr.Dataset) -> list[list[str]]:
        """The names of the variables along the clock, one list for each series.

        The coordinates x, y, z of a position are one series, as in NWB.
        """
        names = [
            str(name)
            for name, variable in node.variables.items()
            if variable.dims[:1] == (schema.TIME,)
            and name != schema.TIME
            and variable.ndim <= _DIMENSIONS
            and variable.dtype.kind in "iufb" + TEXT
        ]
        axes = [name for name in _COORDINATES if name in names and node[name].ndim == 1]
        kinds = {(node[name].dtype, str(node[name].attrs.get("units"))) for name in axes}
        if (
            not _is_position(path)
            or len(axes) < 2
            or len(kinds) > 1
            or axes != list(_COORDINATES[: len(axes)])
        ):
            return [[name] for name in names]
        return [axes, *([name] for name in names if name not in axes)]

    def _clock(self, clock: xr.Variable) -> dict[str, Any]:
        """The arguments of a series that give its times, s: start and rate, or time stamps."""
        regular = regular_clock(clock)
        if regular is not None:
            return {"starting_time": float(regular.start), "rate": float(regular.rate)}
        return {"timestamps": stored(clock, dtype="f8")}

    def _add_series(
        self,
        path: str,
        node: xr.Dataset,
        names: list[str],
        clock: Mapping[str, Any],
        rows: Mapping[str, Any],
    ) -> tuple[TimeSeries, str]:
        """Add a series to the part of the file in which NWB keeps its kind.

        Parameters
        ----------
        path : str
            Path of the node below the session.
        node : Dataset
            The node.
        names : list of str
            The variable of the series, or the coordinates of a position.
        clock : dict
            Arguments of the series that give its times.
        rows : dict
            Dimension -> the table and rows that describe the columns of the series.

        Returns
        -------
        series : TimeSeries
        nwb_path : str
            The path of the series in the file.
        """
        variable = node.variables[names[0]]
        description = str(
            variable.attrs.get("description")
            or variable.attrs.get("long_name")
            or f"{names[0]} of {path}"
        )
        common = {"unit": unit_of(variable), "description": description, **clock}
        column_dim = variable.dims[1:2]
        if schema.UNIT in column_dim and schema.UNIT in rows:
            kind = DfOverF if _DFF.search(names[0]) else Fluorescence
            container, nwb_path = self._container("ophys", kind, kind.__name__)
            name = self.nodes.name(names[0], nwb_path)
            series = RoiResponseSeries(
                name=name,
                data=stored(variable),
                rois=self._region("rois", rows[schema.UNIT]),
                **common,
            )
            container.add_roi_response_series(series)
            return series, f"{nwb_path}/{name}"
        volts = _VOLTS.get(common["unit"].lower())
        if schema.CHANNEL in column_dim and schema.CHANNEL in rows and volts is not None:
            name = self.nodes.name(path, "acquisition")
            region = self._region("electrodes", rows[schema.CHANNEL])
            del common["unit"]
            series = ElectricalSeries(
                name=name, data=stored(variable), electrodes=region, conversion=volts, **common
            )
            self.file.add_acquisition(series)
            return series, f"acquisition/{name}"
        if names[0] == schema.STIMULUS and variable.ndim > 2:
            name = self.nodes.name(path, "stimulus/presentation")
            series = picture_series(name, variable, description, clock)
            self.file.add_stimulus(series)
            return series, f"stimulus/presentation/{name}"
        return self._behaviour(path, node, names, common)

    def _behaviour(
        self, path: str, node: xr.Dataset, names: list[str], common: dict[str, Any]
    ) -> tuple[TimeSeries, str]:
        """Add a series of behaviour to the container for its kind; the series and its path."""
        node_name = path.rpartition("/")[2]
        variable = node.variables[names[0]]
        is_angle = bool(variable.attrs.get("period")) and variable.ndim == 1
        kind = BehavioralTimeSeries
        if node_name.startswith(schema.PUPIL):
            kind = PupilTracking
        elif _is_position(path) and len(names) > 1:
            kind = Position
        elif "direction" in node_name and is_angle and len(node.data_vars) == 1:
            kind = CompassDirection
        # A container Position may have the name of the node, so other signals get another one.
        is_other = kind is BehavioralTimeSeries and _is_position(path)
        container_name = f"{path}_signals" if is_other else path
        container, nwb_path = self._container("behavior", kind, clean(container_name))
        name = self.nodes.name(node_name if len(names) > 1 else names[0], nwb_path)
        if kind in (Position, CompassDirection):
            values = variable
            if len(names) > 1:
                values = xr.Variable.concat([node.variables[n] for n in names], "axis").T
            frame = str(variable.attrs.get("reference_frame") or "unknown")
            series: TimeSeries = SpatialSeries(
                name=name, data=stored(values), reference_frame=frame, **common
            )
            container.add_spatial_series(series)
        else:
            series = TimeSeries(name=name, data=stored(variable), **common)
            container.add_timeseries(series)
        return series, f"{nwb_path}/{name}"

    def _container(self, module: str, kind: Any, name: str) -> tuple[Any, str]:
        """A container in a processing module, and its path; it is made when it is first needed."""
        nwb_path = f"processing/{module}/{name}"
        if nwb_path not in self._containers:
            if module not in self.file.processing:
                self.file.create_processing_module(
                    name=module, description=f"{module} of the session"
                )
            self._containers[nwb_path] = kind(name=name)
            self.file.processing[module].add(self._containers[nwb_path])
        return self._containers[nwb_path], nwb_path

    # -------------------------------------------------------------------------- tables of columns

    @staticmethod
    def _region(name: str, rows: tuple[Any, list[int]]) -> DynamicTableRegion:
        """A reference to some rows of a table, one for each column of a series."""
        table, (start, end) = rows
        return DynamicTableRegion(
            name=name, data=list(range(start, end)), description="of each column", table=table
        )

    def _rois(
        self, path: str, area: str, node: xr.Dataset, locations: dict[str, dict[str, Any]]
    ) -> tuple[Any, list[int]]:
        """Add the table of the ROIs of a node; the table, and its first and last row + 1.

        The locations of the labels of the ROIs are added to `locations`.
        """
        segmentation, nwb_path = self._container("ophys", ImageSegmentation, "ImageSegmentation")
        name = self.nodes.name(path.replace("/", "_"), nwb_path)
        columns, column_locations = column_vectors(node, schema.UNIT, f"{nwb_path}/{name}")
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
        locations |= column_locations | {schema.UNIT: {layout.AT: f"{nwb_path}/{name}/id"}}
        return table, [0, node.sizes[schema.UNIT]]

    def _plane(self, area: str, node: xr.Dataset) -> Any:
        """The imaging plane of an area. NWB requires its optics, which a tree does not have."""
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
        self, node: xr.Dataset, locations: dict[str, dict[str, Any]]
    ) -> tuple[Any, list[int]]:
        """Add the channels of a node to NWB's table of electrodes.

        Returns the table, and the first and last row + 1 of these channels. The location of the
        labels of the channels is added to `locations`.
        """
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
            locations[schema.CHANNEL] = {
                layout.AT: _ELECTRODES + "/id",
                layout.ROWS: [start, start + size],
            }
        labels = [node.variables[n].values for n in ("location", schema.AREA) if _is_label(node, n)]
        areas = labels[0] if labels else np.full(size, "unknown", object)
        axes = [
            n for n in _COORDINATES if _is_label(node, n) and node.variables[n].dtype.kind in "iuf"
        ]
        for row in range(size):
            position = {axis: float(node.variables[axis].values[row]) for axis in axes}
            self.file.add_electrode(
                id=int(numbers[row]), location=str(areas[row]), group=group, **position
            )
        return self.file.electrodes, [start, start + size]


def _masks(node: xr.Dataset) -> list[Any]:
    """The columns with the pixels of the ROIs, which NWB requires.

    They are taken from suite2p's labels `xpix`, `ypix` and `lam`. Without these, the mask of each
    ROI is an image of one pixel that is NaN.
    """
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


def _is_label(node: xr.Dataset, name: str) -> bool:
    """Whether a node has a variable of this name along channels."""
    return name in node.variables and node.variables[name].dims == (schema.CHANNEL,)


def _is_position(path: str) -> bool:
    """Whether a node holds positions, by its name."""
    return path.rpartition("/")[2].startswith(schema.POSITION)
