"""The nodes of one NWB session, as lazy datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files.source import Source
from neuroarrays.formats.nwb import decode
from neuroarrays.formats.nwb.decode import Series
from neuroarrays.formats.nwb.observed import unit_stretches, with_observed
from neuroarrays.lazy.arrays import (
    LazyArray,
    Regular,
    Segments,
    Stacked,
    Transposed,
    file_array,
    wrap,
)
from neuroarrays.lazy.indexes import dataset
from neuroarrays.tree.observed import OF_UNITS

_GENERAL = ("session_id", "institution", "lab", "experimenter", "experiment_description",
            "keywords", "related_publications", "session_description", "identifier",
            "session_start_time", "timestamps_reference_time", "stimulus", "license")  # fmt: skip
_SUBJECT = {"subject_id": "subject", "species": "species", "sex": "sex", "age": "age",
            "genotype": "genotype", "strain": "strain"}  # fmt: skip
#: Characters of a text from the scratch space that become an attribute.
_LONGEST = 4096
#: A full turn of an angle in its unit: interpolation takes the shorter arc.
_FULL_TURN = {"rad": 2 * np.pi, "radian": 2 * np.pi, "radians": 2 * np.pi,
              "deg": 360.0, "degree": 360.0, "degrees": 360.0}  # fmt: skip
#: What files say in the place of a unit that they do not know.
_NO_UNIT = ("various", "unknown", "n/a", "none")
#: Components of a position or gaze, in the order the NWB schema gives them.
_AXES = ("x", "y", "z")


def session_groups(
    source: Source, version: str, wanted: Callable[[str], bool]
) -> dict[str, xr.Dataset]:
    """Node path below the session -> dataset; "" holds the session's attributes.

    `wanted` is asked for every area, and says whether to build it.
    """
    series, tables, left_out = decode.find(source)
    groups: dict[str, xr.Dataset] = {}
    groups |= unit_nodes(source, wanted, left_out)
    for table in tables:
        name = schema.node_name(table.rpartition("/")[2])
        groups[f"{schema.PRESENTATIONS}/{name}"] = table_node(source, table, left_out)
    groups |= series_nodes(source, series, wanted, left_out)
    attrs = session_attrs(source) | {"nwb_version": version}
    notes = [] if any(path.endswith("/spikes") for path in groups) else ["no units with spikes"]
    if left_out:
        notes.append("not in the tree: " + "; ".join(left_out))
    attrs |= {"notes": notes} if notes else {}
    return {"": xr.Dataset(attrs=attrs)} | with_observed(source, groups, series)


def session_attrs(source: Source) -> dict[str, Any]:
    """What the file says of session and subject, as text."""
    names = {name: f"general/{name}" for name in _GENERAL} | {
        target: f"general/subject/{name}" for name, target in _SUBJECT.items()
    }
    attrs = {}
    for target, place in names.items():
        path = place if source.info(place) else target
        if source.info(path) is not None:
            value = source.read(path)
            text = "; ".join(str(v) for v in np.atleast_1d(value).ravel())
            attrs[target] = text
    for name in source.names("scratch"):  # DRIADA keeps its metadata there, as JSON
        info = source.info(f"scratch/{name}")
        if info is not None and info.text and info.shape == ():
            attrs.setdefault(name, str(source.read(f"scratch/{name}"))[:_LONGEST])
    return {key: value for key, value in attrs.items() if value}


# ---------------------------------------------------------------------------------------- units


def unit_nodes(
    source: Source,
    wanted: Callable[[str], bool],
    left_out: list[str],
    labels: np.ndarray | None = None,
    order: np.ndarray | None = None,
    more: Mapping[str, xr.Variable] | None = None,
) -> dict[str, xr.Dataset]:
    """The spikes of every area.

    Parameters
    ----------
    source, wanted, left_out
        The file, which areas to build, and where to note what is not in the tree.
    labels : (unit,) object, optional
        Area of each row of the unit table; found in the file when not given.
    order : (n,) int64, optional
        Rows to keep, in their order in the tree; all of them, as in the file, when not given.
    more : dict of (unit_id,) variables, optional
        Further columns of the unit table.
    """
    columns = source.names("units")
    if "spike_times" not in columns or "spike_times_index" not in columns:
        if columns:
            left_out.append("units (no spike_times)")
        return {}
    starts, ends = decode.ragged_bounds(source, "units/spike_times")
    n_units = ends.size
    ids = source.read("units/id") if "id" in columns else np.arange(n_units)
    labels = decode.unit_areas(source, n_units) if labels is None else labels
    order = np.arange(n_units) if order is None else order
    coords, per_spike = _unit_columns(source, columns, ends, left_out)
    coords |= more or {}
    times = file_array(source, "units/spike_times")
    nodes = {}
    for area in filter(wanted, dict.fromkeys(labels[order])):
        rows = order[labels[order] == area]
        whole = np.array_equal(rows, np.arange(n_units))
        sizes = (ends - starts)[rows]
        spikes = {
            name: Segments(array, starts[rows], sizes)
            for name, array in {"spike_times": times, **per_spike}.items()
        }
        variables = {
            name: schema.var("spikes", name, wrap(array), (schema.SPIKE,))
            for name, array in spikes.items()
        }
        variables["row_size"] = schema.var(
            "spikes", "row_size", sizes, sample_dimension=schema.SPIKE
        )
        picked = {name: c if whole else c.isel({schema.UNIT: rows}) for name, c in coords.items()}
        variables |= {name: c for name, c in picked.items() if c.ndim > 1}
        unit = xr.Variable(schema.UNIT, ids[rows].astype(np.int64))
        one_dim = {name: c for name, c in picked.items() if c.ndim == 1}
        nodes[f"{area}/{schema.SPIKES}"] = dataset(variables, {schema.UNIT: unit, **one_dim})
    return nodes


def _unit_columns(
    source: Source, columns: list[str], ends: np.ndarray, left_out: list[str]
) -> tuple[dict[str, xr.Variable], dict[str, LazyArray]]:
    """Columns with a value per unit, and ragged ones with a value per spike."""
    coords: dict[str, xr.Variable] = {}
    per_spike: dict[str, LazyArray] = {}
    for name in columns:
        info = source.info(f"units/{name}")
        if name in ("id", "spike_times") or name.endswith("_index") or info is None:
            continue
        if name == "obs_intervals":
            coords |= unit_stretches(source, ends.size, left_out)
            continue
        array = file_array(source, f"units/{name}")
        if f"{name}_index" in columns:
            _, rows = decode.ragged_bounds(source, f"units/{name}")
            if np.array_equal(rows, ends) and len(info.shape) == 1 and info.dtype.kind in "iuf":
                per_spike[name] = array
            else:
                left_out.append(f"units/{name} (ragged)")
        elif info.shape[:1] == ends.shape and info.dtype.kind in "iufbO":
            dims = (schema.UNIT, *(f"{name}_axis{i}" for i in range(1, len(info.shape))))
            coords[_free(name)] = array.variable(dims, _description(source, f"units/{name}"))
        else:
            left_out.append(f"units/{name} (shape {info.shape}, {info.dtype})")
    return coords, per_spike


def _free(name: str) -> str:
    """A column's name, changed where the tree uses it for something else."""
    taken = {schema.UNIT, schema.SPIKE, schema.TIME, schema.PRESENTATION, "row_size", *OF_UNITS}
    return f"{name}_column" if name in taken else name


def _description(source: Source, name: str) -> dict[str, Any]:
    text = str(source.attr(name, "description") or "")
    return {"description": text} if text and text != "no description" else {}


# --------------------------------------------------------------------------------------- tables


def table_node(source: Source, path: str, left_out: list[str]) -> xr.Dataset:
    """An interval table, a row per presentation; ragged columns are read, others lazy."""
    names = source.names(path)
    size = source.info(f"{path}/start_time").shape[0]  # type: ignore[union-attr]
    ids = np.arange(size)
    if "id" in names and source.info(f"{path}/id").shape == (size,):  # type: ignore[union-attr]
        stored = source.read(f"{path}/id")
        ids = stored if np.unique(stored).size == size else ids
    variables = {}
    for name in names:
        if name == "id" or name.endswith("_index"):
            continue
        info = source.info(f"{path}/{name}")
        attrs = _description(source, f"{path}/{name}")
        if info is None or info.dtype.kind == "V":
            left_out.append(f"{path}/{name} (compound values)")
        elif f"{name}_index" in names:
            data = _ragged_column(source, f"{path}/{name}", size)
            dims = (schema.PRESENTATION, f"{name}_axis1")[: data.ndim]
            variables[_free(name)] = schema.var("table", name, data, dims, **attrs)
        elif info.shape[:1] == (size,):
            dims = (schema.PRESENTATION, *(f"{name}_axis{i}" for i in range(1, len(info.shape))))
            array = file_array(source, f"{path}/{name}")
            if name in ("start_time", "stop_time") and info.dtype != np.float64:
                array = file_array(source, f"{path}/{name}")
            variables[_free(name)] = schema.var("table", name, wrap(array), dims, **attrs)
        else:
            left_out.append(f"{path}/{name} (shape {info.shape} for {size} rows)")
    index = xr.Variable(schema.PRESENTATION, ids.astype(np.int64))
    return dataset(variables, {schema.PRESENTATION: index}, _description(source, path))


def _ragged_column(source: Source, path: str, size: int) -> np.ndarray:
    """A ragged column as text joined by ", ", or numbers padded with NaN."""
    starts, ends = decode.ragged_bounds(source, path)
    values = source.read(path)
    if starts.size != size:
        raise FormatError(source.path, path, f"{size} rows", f"an index of {starts.size}")
    rows = [values[s:e] for s, e in zip(starts, ends, strict=True)]
    if values.dtype == object:
        return np.array([", ".join(str(v) for v in row) for row in rows], object)
    if values.ndim > 1 or values.dtype.kind not in "iufb":
        return np.array([str(row.tolist()) for row in rows], object)
    out = np.full((size, max((len(row) for row in rows), default=0)), np.nan)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out


# --------------------------------------------------------------------------------------- series


def series_nodes(
    source: Source,
    series: list[Series],
    wanted: Callable[[str], bool],
    left_out: list[str],
) -> dict[str, xr.Dataset]:
    """Time series as nodes, those of one container on one clock together."""
    nodes: dict[str, xr.Dataset] = {}
    neurons: dict[str, list[Series]] = {}
    others = []
    for one in series:
        if decode.neuron_number(one.name) is not None and one.info and len(one.info.shape) == 1:
            neurons.setdefault(one.path.rpartition("/")[0], []).append(one)
        elif one.rois or one.transposed:
            nodes |= _roi_node(source, one, wanted, nodes)
        else:
            others.append(one)
    for container, members in neurons.items():
        if len(members) > 1 and all(decode.same_clock(source, members[0], m) for m in members):
            if wanted(schema.UNKNOWN_AREA):
                nodes |= _neuron_node(source, container, members)
        else:
            others += members
    for path, members in decode.by_node(source, others).items():
        role = "events" if members[0].is_event else "series"
        if members[0].clock is None:
            left_out += [f"{one.path} (no time stamps and no rate)" for one in members]
        elif role == "events":
            nodes[path] = _event_node(source, members)
        else:
            nodes[path] = _clock_node(source, path, members)
    return nodes


def _clock(source: Source, one: Series) -> xr.Variable:
    if isinstance(one.clock, tuple):
        array: LazyArray = Regular(*one.clock, one.size)
    else:
        array = file_array(source, str(one.clock))
    return array.variable((schema.TIME,), {"units": "s", "long_name": "session clock"})


def _values(source: Source, one: Series, factor: float = 1.0) -> LazyArray:
    array: LazyArray = file_array(source, str(one.data), one.scale * factor, one.offset * factor)
    return Transposed(array) if one.transposed else array


def _attrs(one: Series) -> dict[str, Any]:
    rate = one.clock[1] if isinstance(one.clock, tuple) else None
    unit = "" if one.unit.lower() in _NO_UNIT else one.unit
    found = {"units": unit, "nwb_path": one.path, "sampling_rate": rate, **one.attrs}
    return {key: value for key, value in found.items() if value not in (None, "")}


def _clock_node(source: Source, path: str, members: list[Series]) -> xr.Dataset:
    variables: dict[str, xr.Variable] = {}
    node = path.partition("/")[0]
    for one in members:
        name = "speed" if node == schema.RUNNING and len(members) == 1 else _free(one.name)
        attrs, to_cm = _attrs(one), 1.0
        if one.unit == "m/s" and (node == schema.RUNNING or name == "speed"):
            attrs["units"], to_cm = "cm/s", 100.0
        elif name == "speed" and one.unit != "cm/s":
            name = "speed_signal"  # the tree's `speed` is running speed, cm/s
        if node == "head_direction" and one.unit.lower() in _FULL_TURN:
            attrs["period"] = _FULL_TURN[one.unit.lower()]
        array = _values(source, one, to_cm)
        split = node in ("position", schema.PUPIL) and array.ndim == 2 and array.shape[1] <= 3
        if split:
            prefix = "" if len(members) == 1 else f"{name}_"
            for i, axis in zip(range(array.shape[1]), _AXES, strict=False):
                column = array.variable((schema.TIME, "axis"), attrs)[:, i]
                variables[f"{prefix}{axis}"] = column
        else:
            dims = (schema.TIME, *(f"{name}_axis{i}" for i in range(1, array.ndim)))
            variables[name] = schema.var("series", name, wrap(array), dims, **attrs)
        for extra in one.extra:
            array = file_array(source, f"{one.path}/{extra}")
            label = extra if len(members) == 1 else f"{name}_{extra}"
            dims = (schema.TIME, *(f"{label}_axis{i}" for i in range(1, array.ndim)))
            variables[label] = array.variable(dims, _description(source, f"{one.path}/{extra}"))
    return dataset(variables, {schema.TIME: _clock(source, members[0])})


def _event_node(source: Source, members: list[Series]) -> xr.Dataset:
    one = members[0]
    times = _clock(source, one)
    variables = {"event_time": xr.Variable(("event",), times._data, dict(times.attrs))}
    for member in members:
        if member.data is not None:
            array = _values(source, member)
            name = "value" if len(members) == 1 else member.name
            dims = ("event", *(f"{name}_axis{i}" for i in range(1, array.ndim)))
            variables[name] = array.variable(dims, _attrs(member))
    return dataset(variables)


def _roi_node(
    source: Source, one: Series, wanted: Callable[[str], bool], nodes: dict[str, xr.Dataset]
) -> dict[str, xr.Dataset]:
    """A fluorescence series under its area, with the ROIs' ids and columns along unit_id."""
    array = _values(source, one)
    n_rois = array.shape[1] if array.ndim == 2 else 1
    table = str(source.attrs(one.rois).get("table") or "") if one.rois else ""
    rows = np.arange(n_rois)
    if one.rois:
        stored = source.read(one.rois)
        rows = stored.astype(np.int64) if stored.shape == (n_rois,) else rows
    ids, columns = rows, {}
    if table and source.info(f"{table}/id"):
        size = source.info(f"{table}/id").shape[0]  # type: ignore[union-attr]
        if rows.size and rows.max() < size:
            ids = source.read(f"{table}/id")[rows]
            columns = _roi_columns(source, table, rows, size)
    area = _imaging_area(source, table)
    if not wanted(area):
        return {}
    dims = (schema.TIME, schema.UNIT)[: array.ndim]
    name = _free(one.name)
    variables = {name: schema.var("series", name, wrap(array), dims, **_attrs(one))}
    coords = {schema.TIME: _clock(source, one)}
    if array.ndim == 2:
        coords[schema.UNIT] = xr.Variable(schema.UNIT, ids.astype(np.int64))
        coords |= {key: c for key, c in columns.items() if c.ndim == 1}
        variables |= {key: c for key, c in columns.items() if c.ndim > 1 and key != name}
    path = f"{area}/{decode._clean(name)}"
    if path in nodes:
        path = f"{area}/{decode._clean(one.path.replace('/', '_'))}"
    return {path: dataset(variables, coords)}


def _roi_columns(source: Source, table: str, rows: np.ndarray, size: int) -> dict[str, xr.Variable]:
    names = source.names(table)
    columns = {}
    for name in names:
        info = source.info(f"{table}/{name}")
        plain = info is not None and info.shape[:1] == (size,) and info.dtype.kind in "iufbO"
        if plain and name != "id" and not name.endswith("_index") and f"{name}_index" not in names:
            if len(info.shape) > 2:  # type: ignore[union-attr]
                continue  # image masks: as large as the recording
            dims = (schema.UNIT, *(f"{name}_axis{i}" for i in range(1, len(info.shape))))  # type: ignore[union-attr]
            array = file_array(source, f"{table}/{name}")
            columns[_free(name)] = array.variable(dims)[rows]
    return columns


def _imaging_area(source: Source, table: str) -> str:
    """The location of the imaging plane of a plane segmentation, or "unknown"."""
    if not table:
        return schema.UNKNOWN_AREA
    plane = f"{table}/imaging_plane/location"
    found = source.info(plane)
    return decode.area_name(str(source.read(plane))) if found else schema.UNKNOWN_AREA


def _neuron_node(source: Source, container: str, members: list[Series]) -> dict[str, xr.Dataset]:
    """Series of one neuron each, side by side along unit_id."""
    ordered = sorted(members, key=lambda one: decode.neuron_number(one.name) or 0)
    ids = np.array([decode.neuron_number(one.name) for one in ordered], np.int64)
    array = Stacked(tuple(_values(source, one) for one in ordered))
    name = decode._clean(container.rpartition("/")[2])
    attrs = _attrs(ordered[0]) | {"nwb_path": container}
    variable = array.variable((schema.TIME, schema.UNIT), attrs)
    coords = {
        schema.TIME: _clock(source, ordered[0]),
        schema.UNIT: xr.Variable(schema.UNIT, ids),
        "name": xr.Variable(schema.UNIT, np.array([one.name for one in ordered], object)),
    }
    return {f"{schema.UNKNOWN_AREA}/{name}": dataset({name: variable}, coords)}
