"""Write sessions of recording trees as HDF5 files of temporaldata, for torch_brain and POYO."""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.exchange.one_session import one_session
from neuroarrays.exchange.temporaldata_groups import (
    describe,
    write_group,
    write_intervals,
    write_series,
)
from neuroarrays.files.writing import written
from neuroarrays.formats.temporaldata import layout
from neuroarrays.formats.temporaldata.units import OF_AREAS
from neuroarrays.lazy.arrays import array_of
from neuroarrays.lazy.computed import RegularClock
from neuroarrays.tree.observed import OF_SESSION, OF_UNITS
from neuroarrays.tree.trains import check_order

if TYPE_CHECKING:
    import h5py

#: Groups of metadata. An attribute of a session such as ``subject_age`` goes to its group.
_GROUPS = ("subject", "session", "device", "brainset")
#: Attributes of a session that describe the file it was read from.
_ABOUT_FILE = ("notes", "metadata_in_file")
#: Attributes of a session that are stored in another way.
_STORED_ELSEWHERE = ("domain", "absolute_start")
#: The most values of a variable without times that a file holds.
_MOST = 1000
#: Dimension of the columns of a series -> name of the table that describes them.
_TABLES = {schema.UNIT: "rois", schema.CHANNEL: "channels"}


def to_temporaldata(
    tree: xr.DataTree,
    path: str | os.PathLike[str],
    session: str | None = None,
    *,
    overwrite: bool = False,
) -> list[str]:
    """Write a session of a recording tree as a file of temporaldata (0.1), for torch_brain.

    temporaldata need not be installed. Spikes of all areas become ``spikes``, sorted by time. Their
    ``unit_index`` is the row of the unit in the table ``units``, which has the columns `unit_id` and
    `area`. Series with a regular clock become regular series, and others irregular ones. Tables of
    presentations become intervals, and `observed` becomes the domain.

    Parameters
    ----------
    tree : xr.DataTree
        A recording tree; times in s.
    path : str or path
        The file to write; torch_brain expects ``<session>.h5``.
    session : str, optional
        The name of the session; needed if there are several.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    list of str
        What was left out of the file, each with the reason: templates of stimuli, tables whose rows
        have no stop, values of spikes that only some areas have.

    Raises
    ------
    SchemaError
        If `tree` is not a recording tree, a clock goes backwards, or a spike time is NaN.
    NotInTree
        If there is no such session.
    PathExists, WriteFailed
        If `path` exists, or cannot be written.

    Examples
    --------
    >>> import neuroarrays as na
    >>> left_out = na.to_temporaldata(na.load_sample(), "A2929-200711.h5")
    >>> na.open_datatree("A2929-200711.h5")["A2929-200711/adn/spikes"].sizes["unit_id"]
    7
    """
    import h5py

    node = one_session(tree, session)
    writer = _Writer(node)
    with written(Path(path), overwrite=overwrite) as new, h5py.File(new, "x") as file:
        writer.write(file)
    return writer.left_out


class _Writer:
    """Writes one session to a file.

    Parameters
    ----------
    session : DataTree node
        The session of a recording tree.

    Attributes
    ----------
    left_out : list of str
        What the file does not hold, and why.
    """

    def __init__(self, session: xr.DataTree):
        self.session, self.left_out = session, list[str]()
        nodes = {path: node.to_dataset(inherit=False) for path, node in session.subtree_with_keys}
        self._nodes = {path: node for path, node in nodes.items() if path != "." and node.variables}
        self._names = {"spikes", "units", "rois", "channels", "domain", *_GROUPS}

    def write(self, file: h5py.File) -> None:
        """Write all nodes.

        Each group has an attribute that describes its node, so that the tree can be restored.
        temporaldata ignores it.
        """
        self._attributes(file)
        self._domain(file)
        spikes = {path: node for path, node in self._nodes.items() if schema.ROW_SIZE in node}
        if spikes:
            self._spikes(file, {path.rpartition("/")[0]: node for path, node in spikes.items()})
        for path, node in self._nodes.items():
            if path in spikes or path == schema.OBSERVED:
                continue
            if path.startswith(f"{schema.PRESENTATIONS}/"):
                self._table(file, path, node)
            elif schema.EVENT_TIME in node:
                self._series(file, path, node, node.variables[schema.EVENT_TIME])
            elif schema.TIME in node.variables:
                self._series(file, path, node, node.variables[schema.TIME])
            else:
                self.left_out.append(f"{path}: neither times nor units")

    def _attributes(self, file: h5py.File) -> None:
        """Write the attributes of the session to the groups of metadata."""
        group_of = {name: group_and_name for group_and_name, name in layout.FACTS.items()}
        groups: dict[str, dict[str, Any]] = {"": {}, "session": {}, "subject": {}}
        attrs = {str(k): v for k, v in self.session.attrs.items() if k not in _ABOUT_FILE}
        for key, value in attrs.items():
            group, name = group_of.get(key, ("session", key))
            first, _, rest = key.partition("_")
            if key not in group_of and first in _GROUPS and rest:
                group, name = first, rest
            if key not in _STORED_ELSEWHERE:
                groups.setdefault(group, {})[name] = value
        for name, values in groups.items():
            group_or_root = file.create_group(name) if name else file
            group_or_root.attrs.update(values | {layout.KIND: layout.DATA, "absolute_start": 0.0})
        file.attrs["absolute_start"] = float(attrs.get("absolute_start", 0.0))
        describe(file, {"attrs": attrs})

    def _domain(self, file: h5py.File) -> None:
        """Write the recorded time of the session as the domain of the file."""
        rows = np.zeros((0, 2))
        description: dict[str, Any] = {"attrs": {}, "ends": {}}
        observed = self._nodes.get(schema.OBSERVED)
        if observed is not None:
            columns = [observed.variables[name] for name in OF_SESSION]
            rows = np.stack([column.values for column in columns], axis=1)
            ends = columns[0].attrs.get("ends")
            description = {"attrs": observed.attrs, "ends": {"ends": ends} if ends else {}}
        describe(write_intervals(file, "domain", rows), description)

    def _spikes(self, file: h5py.File, areas: Mapping[str, xr.Dataset]) -> None:
        """Write the spikes of all areas, sorted by time, and the table of units."""
        sizes = np.concatenate([check_order(node) for node in areas.values()])
        times = np.concatenate([node[schema.SPIKE_TIMES].values for node in areas.values()])
        if not np.isfinite(times).all():
            msg = f"{self.session.path}: {(~np.isfinite(times)).sum():,} spike times are NaN"
            raise SchemaError(msg)
        order = np.argsort(times, kind="stable")
        unit = np.repeat(np.arange(sizes.size), sizes)
        arrays = {"timestamps": times[order], "unit_index": unit[order]}
        attrs = {"timestamps": dict(next(iter(areas.values()))[schema.SPIKE_TIMES].attrs)}
        for name, parts in _columns(areas, schema.SPIKE, (schema.SPIKE_TIMES,)).items():
            first = next(iter(parts.values()))
            if len(parts) < len(areas) or len({part.shape[1:] for part in parts.values()}) > 1:
                self.left_out.append(f"spikes/{name}: not in all areas, or of other shapes there")
                continue
            arrays[name] = np.concatenate([part.values for part in parts.values()])[order]
            attrs[name] = dict(first.attrs)
        ends = times[order][[0, -1]] if times.size else np.zeros(2)
        group = write_series(
            file, "spikes", arrays, _domain_of(next(iter(areas.values())), ends), attrs
        )
        description = _dims_and_labels(areas.values(), arrays)
        description["attrs"] = {area: node.attrs for area, node in areas.items()}
        description["others"] = {
            area: self._others(f"{area}/{schema.SPIKES}", node, (schema.SPIKE, schema.UNIT))
            for area, node in areas.items()
        }
        describe(group, description)
        skip = {schema.ROW_SIZE, *(name for name in OF_UNITS if _is_shared(name, areas))}
        self._labels(file, "units", schema.UNIT, areas, skip)

    def _labels(
        self,
        file: h5py.File,
        table: str,
        dim: str,
        areas: Mapping[str, xr.Dataset],
        skip: Container[str],
    ) -> None:
        """Write the labels of the units of some areas, or of channels, as a table.

        A column that only some areas have gets an attribute with the names of these areas.
        """
        sizes = {area: node.sizes[dim] for area, node in areas.items()}
        arrays, attrs = dict[str, np.ndarray](), dict[str, dict[str, Any]]()
        if all(dim in node.variables for node in areas.values()):
            arrays[dim] = np.concatenate([node.variables[dim].values for node in areas.values()])
            attrs[dim] = dict(next(iter(areas.values())).variables[dim].attrs)
        for name, parts in _columns(areas, dim, (dim,)).items():
            first = next(iter(parts.values()))
            if name in skip:
                continue
            if name == schema.AREA or len({part.shape[1:] for part in parts.values()}) > 1:
                self.left_out.append(
                    f"{table}/{name}: the name is in use, or other areas have other shapes"
                )
                continue
            attrs[name] = dict(first.attrs)
            if len(parts) < len(areas):
                attrs[name][OF_AREAS] = list(parts)
            missing = "" if first.dtype.kind in "OU" else np.zeros((), first.dtype)
            columns = [
                parts[area].values
                if area in parts
                else np.full((sizes[area], *first.shape[1:]), missing, first.dtype)
                for area in areas
            ]
            arrays[name] = np.concatenate(columns)
        if dim == schema.UNIT and list(areas) != [schema.UNKNOWN_AREA]:
            arrays[schema.AREA] = np.repeat(np.array(list(areas), object), list(sizes.values()))
        group = write_group(file.create_group(table), layout.TABLE, arrays, attrs)
        describe(group, _dims_and_labels(areas.values(), arrays) | {"attrs": {}})

    def _series(self, file: h5py.File, path: str, node: xr.Dataset, clock: xr.Variable) -> None:
        """Write samples or point events as a series."""
        arrays, attrs = {}, {}
        for name, variable in node.variables.items():
            is_clock = name in (schema.TIME, schema.EVENT_TIME)
            if variable.dims[:1] == clock.dims and not is_clock:
                arrays[str(name)], attrs[str(name)] = variable.values, dict(variable.attrs)
        description = _dims_and_labels([node], arrays)
        description |= {"node": path, "attrs": node.attrs, "clock": clock.attrs}
        first_dims = {variable.dims[:1] for variable in node.variables.values()}
        column_dim = next((dim for dim in _TABLES if (dim,) in first_dims), None)
        stored_dims = (clock.dims[0],) if column_dim is None else (clock.dims[0], column_dim)
        description["others"] = self._others(path, node, stored_dims)
        times, regular, name = clock.values.astype(float), array_of(clock), self._name(path)
        rows = _domain_of(node, times[[0, -1]] if times.size else np.zeros(2))
        if isinstance(regular, RegularClock) and arrays:
            rows[0, 0] = regular.start
            group = write_group(file.create_group(name), layout.REGULAR, arrays, attrs)
            group.attrs["sampling_rate"] = regular.rate
            write_intervals(group, "domain", rows)
        elif not (np.diff(times) >= 0).all():
            msg = f"{path}: its times go backwards, or are NaN; temporaldata needs them in order"
            raise SchemaError(msg)
        else:
            group = write_series(file, name, {"timestamps": times} | arrays, rows, attrs)
        if column_dim is not None:
            table = _TABLES[column_dim]
            description["dim"] = column_dim
            description["table"] = table if table not in file else f"{name}_{table}"
            area = path.rpartition("/")[0] or schema.UNKNOWN_AREA
            self._labels(file, description["table"], column_dim, {area: node}, arrays)
        describe(group, description)

    def _others(self, path: str, node: xr.Dataset, dims: tuple[Any, ...]) -> dict[str, Any]:
        """The variables that do not have one of `dims` first, as values that JSON can hold.

        Variables that have one of `dims` first are stored in groups.
        """
        others = {}
        for name, variable in node.variables.items():
            if variable.dims[:1] in [(dim,) for dim in dims] or name in OF_UNITS:
                continue
            if variable.size > _MOST or variable.dtype.kind not in "OUiufb":
                self.left_out.append(f"{path}/{name}: {variable.size:,} values without times")
                continue
            others[str(name)] = {
                "dims": list(map(str, variable.dims)),
                "values": variable.values.tolist(),
                "dtype": variable.dtype.str,
                "attrs": variable.attrs,
                "coord": name in node.coords,
            }
        return others

    def _table(self, file: h5py.File, path: str, node: xr.Dataset) -> None:
        """Write a table of presentations as intervals; it is left out if a start or stop is NaN."""
        names = {schema.START_TIME: "start", schema.STOP_TIME: "end"}
        arrays, attrs = {}, {}
        for name, variable in node.variables.items():
            column = names.get(str(name), str(name))
            arrays[column], attrs[column] = variable.values, dict(variable.attrs)
        ends = [arrays.get(end) for end in ("start", "end")]
        if any(end is None or np.isnan(end).any() for end in ends):
            self.left_out.append(f"{path}: not every row has a start and a stop, as intervals need")
            return
        group = file.create_group(self._name(path.partition("/")[2].replace(".", "_")))
        write_group(group, layout.INTERVAL, arrays, attrs)
        group.attrs["timekeys"] = np.array(["start", "end", *node.attrs.get("timekeys", [])], "S")
        dims = {str(name): list(map(str, v.dims)) for name, v in node.variables.items()}
        describe(group, {"node": path, "attrs": node.attrs, "dims": dims})

    def _name(self, path: str) -> str:
        """A name for a group at the root that no other group has."""
        name = path.removeprefix(f"{schema.UNKNOWN_AREA}/").replace("/", "_")
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name


def _dims_and_labels(nodes: Iterable[xr.Dataset], names: Iterable[str]) -> dict[str, Any]:
    """The dimensions of the variables of a group, and the names of those that are coordinates."""
    description: dict[str, Any] = {layout.DIMS: {}, layout.LABELS: []}
    nodes = list(nodes)
    for name in names:
        owner = next((node for node in nodes if name in node.variables), None)
        if owner is not None:
            description[layout.DIMS][name] = list(map(str, owner.variables[name].dims))
            description[layout.LABELS] += [name] if name in owner.coords else []
    return description


def _domain_of(node: xr.Dataset, ends: np.ndarray) -> np.ndarray:
    """The domain of a series, (1, 2) float64, s: as its file stated it, or its first and last time."""
    stated = node.attrs.get("domain", [])
    return np.array([stated if len(stated) == 2 else ends], np.float64)


def _is_shared(name: str, areas: Mapping[str, xr.Dataset]) -> bool:
    """Whether observed starts or stops are the same for all units, which are those of the session."""
    return all(schema.UNIT not in node[name].dims for node in areas.values() if name in node)


def _columns(
    areas: Mapping[str, xr.Dataset], dim: str, skip: tuple[str, ...]
) -> dict[str, dict[str, xr.Variable]]:
    """The variables whose first dimension is `dim`, by name and then by area."""
    columns: dict[str, dict[str, xr.Variable]] = {}
    for area, node in areas.items():
        for name, variable in node.variables.items():
            if variable.dims[:1] == (dim,) and name not in skip:
                columns.setdefault(str(name), {})[area] = variable
    return columns
