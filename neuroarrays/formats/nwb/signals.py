"""Time series of an NWB session as nodes, one for each clock, and areas for series of ROIs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.files.source import Source
from neuroarrays.formats.nwb import columns, decode, vectors
from neuroarrays.formats.nwb.account import Account
from neuroarrays.formats.nwb.columns import free
from neuroarrays.formats.nwb.pose import is_pose, pose_node
from neuroarrays.formats.nwb.regions import channels, rows_of
from neuroarrays.formats.nwb.series import Series
from neuroarrays.formats.nwb.units import area_name
from neuroarrays.formats.nwb.values import attrs_of, clock_of, values_of
from neuroarrays.lazy.arrays import LazyArray, data_of, file_array, wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Taken, side_by_side

#: Components of a position or gaze, in the order the NWB schema gives them.
_AXES = ("x", "y", "z")


def series_nodes(
    account: Account, series: list[Series], wanted: Callable[[str], bool]
) -> dict[str, xr.Dataset]:
    """Return time series as nodes, with those of one container on one clock together."""
    source = account.source
    nodes: dict[str, xr.Dataset] = {}
    neurons: dict[tuple[str, str], list[Series]] = {}
    others = []
    for signal in series:
        if signal.path.startswith("stimulus/templates/"):
            with account.step(signal.path):
                name = decode.clean(signal.name)
                nodes[f"{schema.STIMULUS}/{name}"] = _template_node(account, signal)
            continue
        with account.step(signal.path):
            if _is_one_neuron(source, signal):
                key = (
                    signal.path.rpartition("/")[0],
                    _imaging_area(source, _roi_table(source, signal)),
                )
                neurons.setdefault(key, []).append(signal)
            elif signal.is_units:
                nodes |= _roi_node(account, signal, wanted, nodes)
            else:
                others.append(signal)
    for (container, area), members in neurons.items():
        others += _by_neuron(account, container, area, members, wanted, nodes)
    for path, members in decode.by_node(source, others).items():
        with account.step(members[0].path):
            if members[0].is_event:
                nodes[path] = _event_node(account, members)
            elif is_pose(account, members):
                nodes[path] = pose_node(account, members)
            else:
                nodes[path] = _clock_node(account, path, members)
        for signal in members:
            if path in nodes:
                account.take(*filter(None, [signal.data]))
            else:
                account.leave(signal.path, f"on the clock of {members[0].name}, which was left")
    return nodes


def _clock_node(account: Account, path: str, members: list[Series]) -> xr.Dataset:
    """Return a node of series that share a clock."""
    source = account.source
    variables: dict[str, xr.Variable] = {}
    coords: dict[str, xr.Variable] = {}  # of electrodes
    node = path.partition("/")[0]
    for series in members:
        name = "speed" if node == schema.RUNNING and len(members) == 1 else free(series.name)
        attrs, to_cm, factor = attrs_of(series), 1.0, series.cm_per_second
        if factor is not None and (node == schema.RUNNING or name == "speed"):
            attrs["units"], to_cm = "cm/s", factor
        elif name == "speed":
            name = "speed_signal"  # in a tree `speed` means running speed in cm/s
        if series.period is not None:
            attrs["period"] = series.period
        array = values_of(source, series, to_cm)
        if name == "speed" and (array.ndim != 1 or array.dtype.kind not in "iuf"):
            name = "speed_signal"
        is_place = node in ("position", schema.PUPIL) or "SpatialSeries" in series.kinds
        split = is_place and array.ndim == 2 and array.shape[1] <= 3
        if split:
            prefix = "" if len(members) == 1 else f"{name}_"
            for i, axis in zip(range(array.shape[1]), _AXES, strict=False):
                column = array.variable((schema.TIME, "axis"), attrs)[:, i]
                variables[f"{prefix}{axis}"] = column
        else:
            dims = (schema.TIME, *(f"{name}_axis{i}" for i in range(1, array.ndim)))
            if series.electrodes and array.ndim == 2:
                labels = _channel_coords(account, series, array.shape[1], coords)
                coords |= labels
                dims = (schema.TIME, schema.CHANNEL) if labels else dims
            variables[name] = schema.var("series", name, wrap(array), dims, **attrs)
        variables |= _extras(account, series, schema.TIME, "" if len(members) == 1 else f"{name}_")
    labels = {key: label for key, label in coords.items() if key not in variables}
    return dataset(variables, {schema.TIME: clock_of(source, members[0])} | labels)


def _channel_coords(
    account: Account, series: Series, n_columns: int, known: dict[str, xr.Variable]
) -> dict[str, xr.Variable]:
    """Return coordinates along `channel`, or none if the series of the node differ in channels."""
    ids, labels = channels(account, series, n_columns)
    if schema.CHANNEL in known and not np.array_equal(known[schema.CHANNEL].values, ids):
        account.remark(series.path, "other electrodes than those of a series on the same clock")
        return {}
    return {schema.CHANNEL: xr.Variable(schema.CHANNEL, ids)} | labels


def _extras(account: Account, series: Series, dim: str, prefix: str) -> dict[str, xr.Variable]:
    """Return further values of each sample as variables."""
    variables = {}
    for extra in series.extra:
        path = f"{series.path}/{extra}"
        with account.step(path):
            array = file_array(account.source, path)
            label = free(f"{prefix}{extra}")
            label = f"{label}_signal" if label == "speed" else label
            dims = (dim, *(f"{label}_axis{i}" for i in range(1, array.ndim)))
            variables[label] = array.variable(dims, columns.description(account.source, path))
            account.take(path)
    return variables


def _event_node(account: Account, members: list[Series]) -> xr.Dataset:
    """Return a node of point events."""
    source, first = account.source, members[0]
    times = clock_of(source, first)
    more = {} if first.data else {k: v for k, v in attrs_of(first).items() if k != "units"}
    variables = {
        schema.EVENT_TIME: xr.Variable((schema.EVENT,), data_of(times), more | times.attrs)
    }
    for member in members:
        prefix = "" if len(members) == 1 else f"{free(member.name)}_"
        if member.data is not None:
            array = values_of(source, member)
            name = "value" if len(members) == 1 else free(member.name)
            dims = (schema.EVENT, *(f"{name}_axis{i}" for i in range(1, array.ndim)))
            variables[name] = array.variable(dims, attrs_of(member))
            if member.labels and array.ndim == 1:
                codes = source.read(member.data)
                labels = columns.labels_of(account, member.data, codes, list(member.labels))
                variables[f"{prefix}label"] = xr.Variable((schema.EVENT,), labels)
        variables |= _extras(account, member, schema.EVENT, prefix)
    return dataset(variables)


def _template_node(account: Account, series: Series) -> xr.Dataset:
    """Return the frames of a stimulus template along `frame`; its clock is not that of the session."""
    array = values_of(account.source, series)
    account.take(str(series.data))
    name = free(series.name)
    dims = (schema.FRAME, *(f"{name}_axis{i}" for i in range(1, array.ndim)))
    variables = {name: schema.var("stimulus", name, wrap(array), dims, **attrs_of(series))}
    if not isinstance(series.clock, tuple):
        clock = vectors.times(account.source, series.clock)
        variables["frame_time"] = clock.variable((schema.FRAME,), {"units": "s"})
    return dataset(variables)


# ----------------------------------------------------------------------------------- by neuron


def _roi_node(
    account: Account, series: Series, wanted: Callable[[str], bool], nodes: dict[str, xr.Dataset]
) -> dict[str, xr.Dataset]:
    """Return a fluorescence series under its area, with ids and columns of the ROIs along unit_id."""
    source = account.source
    array = values_of(source, series)
    array = side_by_side([array]) if array.ndim == 1 else array
    n_rois = array.shape[1]
    table = _roi_table(source, series)
    area = _imaging_area(source, table)
    if not wanted(area):
        account.pass_over(series.path)
        account.pass_over(table)
        return {}
    ids, columns_ = _rois(account, [series], table, n_rois)
    name = free(series.name)
    name = f"{name}_signal" if name == "speed" else name
    rest = tuple(f"{name}_axis{i}" for i in range(2, array.ndim))
    dims = (schema.TIME, schema.UNIT, *rest)
    variables = {name: schema.var("series", name, wrap(array), dims, **attrs_of(series))}
    account.take(str(series.data))
    coords = {schema.TIME: clock_of(source, series), schema.UNIT: _identifiers(ids, table)}
    coords |= {key: c for key, c in columns_.items() if c.ndim == 1 and key != name}
    variables |= {key: c for key, c in columns_.items() if c.ndim > 1 and key != name}
    path = f"{area}/{decode.clean(name)}"
    if path in nodes:
        path = f"{area}/{decode.clean('_'.join(series.path.split('/')[-2:]))}"
    if path in nodes:
        path = f"{area}/{decode.clean(series.path.replace('/', '_'))}"
    return {path: dataset(variables, coords)}


def _identifiers(ids: np.ndarray, table: str) -> xr.Variable:
    """Return the coordinate `unit_id` with the table of its ROIs, because planes number ROIs alike."""
    return xr.Variable(schema.UNIT, ids, {schema.ROI_TABLE: table} if table else {})


def _rois(
    account: Account, members: list[Series], table: str, n_rois: int
) -> tuple[np.ndarray, dict[str, xr.Variable]]:
    """Return identifiers and columns of the ROIs of series; numbers from 0 if the ROIs are not known."""
    account.source.check_rows(members[0].rois or "", n_rois)
    if not all(member.rois for member in members):
        return np.arange(n_rois, dtype=np.int64), {}
    regions = [member.rois for member in members]
    return rows_of(account, regions, str(members[0].data), table, n_rois, schema.UNIT)


def _roi_table(source: Source, series: Series) -> str:
    """Return the table that has the ROIs of a series; "" if the series names none."""
    return str(source.attr(series.rois, "table") or "").strip("/") if series.rois else ""


def _is_one_neuron(source: Source, series: Series) -> bool:
    """Whether a series has one neuron, by its type or its name."""
    if series.info is None or not (
        series.is_units or decode.neuron_number(series.name) is not None
    ):
        return False
    shape = values_of(source, series).shape
    return len(shape) == 1 or (series.is_units and shape[1:] == (1,))


def _imaging_area(source: Source, table: str) -> str:
    """Return the location of the imaging plane of a plane segmentation, or "unknown"."""
    if not table:
        return schema.UNKNOWN_AREA
    plane = f"{table}/imaging_plane/location"
    info = source.info(plane)
    return area_name(str(source.read(plane))) if info else schema.UNKNOWN_AREA


def _by_neuron(
    account: Account,
    container: str,
    area: str,
    members: list[Series],
    wanted: Callable[[str], bool],
    nodes: dict[str, xr.Dataset],
) -> list[Series]:
    """Add series of one neuron each to the nodes, and return the series that are plain signals."""
    same = all(decode.same_clock(account.source, members[0], series) for series in members)
    if len(members) > 1 and same:
        with account.step(container):
            if wanted(area):
                nodes |= _neuron_node(account, container, area, members)
            else:
                account.pass_over(container)
        return []
    for series in members:
        if series.is_units:
            with account.step(series.path):
                nodes |= _roi_node(account, series, wanted, nodes)
    return [series for series in members if not series.is_units]


def _neuron_node(
    account: Account, container: str, area: str, members: list[Series]
) -> dict[str, xr.Dataset]:
    """Return series of one neuron each, side by side along unit_id."""
    source = account.source
    numbers = [decode.neuron_number(series.name) for series in members]
    ids, labels = _rois(account, members, _roi_table(source, members[0]), len(members))
    if not labels or np.unique(ids).size < ids.size:
        known = None not in numbers and len(set(numbers)) == len(numbers)
        ids = np.array(numbers if known else range(len(members)), np.int64)
    order = np.argsort(ids, kind="stable")
    ordered = [members[i] for i in order]
    array = side_by_side([_single(values_of(source, series)) for series in ordered])
    account.take(*(str(series.data) for series in ordered))
    name = decode.clean(container.rpartition("/")[2])
    name = f"{name}_signal" if name == "speed" else name
    attrs = attrs_of(ordered[0]) | {"nwb_path": container}
    coords = {
        schema.TIME: clock_of(source, ordered[0]),
        schema.UNIT: _identifiers(ids[order], _roi_table(source, members[0])),
        "name": xr.Variable(schema.UNIT, np.array([series.name for series in ordered], object)),
    }
    coords |= {k: c[order] for k, c in labels.items() if c.ndim == 1 and k not in coords}
    variable = array.variable((schema.TIME, schema.UNIT), attrs)
    return {f"{area}/{name}": dataset({name: variable}, coords)}


def _single(array: LazyArray) -> LazyArray:
    """Return the one column of (time, 1) as (time,)."""
    return array if array.ndim == 1 else Taken(array, 0, 1)
