"""Recordings as HDF5 files of temporaldata, which torch_brain and POYO train on, and which open here again."""

from __future__ import annotations

import json
import os
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.exchange.one_session import one_session
from neuroarrays.files.writing import written
from neuroarrays.formats.temporaldata import layout
from neuroarrays.formats.temporaldata.units import OF_AREAS
from neuroarrays.lazy.arrays import array_of
from neuroarrays.lazy.computed import RegularClock
from neuroarrays.tree.observed import OF_SESSION, OF_UNITS

if TYPE_CHECKING:
    import h5py

#: Groups of facts, whose names begin the attributes of a session that are theirs.
_GROUPS = ("subject", "session", "device", "brainset")
#: Attributes of a session that are about another file, or that this one says in another way.
_NOT_FACTS = ("notes", "metadata_in_file", "domain", "absolute_start")
#: Values without times that a series may have.
_MOST = 1000
#: Tables of what columns are, by the dimension.
_TABLES = {schema.UNIT: "rois", schema.CHANNEL: "channels"}


def to_temporaldata(
    tree: xr.DataTree,
    path: str | os.PathLike[str],
    session: str | None = None,
    *,
    overwrite: bool = False,
) -> list[str]:
    """Write a session of a recording tree as a file of temporaldata (0.1), for torch_brain. It is not needed here.

    Spikes of all areas become ``spikes`` in the order of time, with ``unit_index`` into the table
    ``units``, in which `unit_id` and `area` are columns; series become regular ones where their clock
    is, tables of presentations become intervals, and `observed` the domain.

    Parameters
    ----------
    tree : xr.DataTree
        A recording tree; times in s.
    path : str or path
        The file, ``<session>.h5`` for torch_brain.
    session : str, optional
        Its name; needed where there are several.
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    list of str
        What the file cannot hold, each with the reason: templates of stimuli, tables whose rows have
        no stop, values of spikes that only some areas have.

    Raises
    ------
    SchemaError
        If it is no recording tree, a clock goes backwards, or a spike time is not known.
    NotInTree
        If there is no such session.
    PathExists, WriteFailed
        If there is something at `path`, or it cannot be written.

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
    """A session on its way to a file.

    Attributes
    ----------
    left_out : list of str
        What the file does not hold, and why.
    """

    def __init__(self, session: xr.DataTree):
        self.session, self.left_out = session, list[str]()
        nodes = {path: node.to_dataset(inherit=False) for path, node in session.subtree_with_keys}
        self._nodes = {path: node for path, node in nodes.items() if path != "." and node.variables}
        self._taken = {"spikes", "units", "rois", "channels", "domain", *_GROUPS}

    def write(self, file: h5py.File) -> None:
        """Write all nodes; what each was goes into an attribute that temporaldata passes over."""
        self._facts(file)
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

    def _facts(self, file: h5py.File) -> None:
        names = {called: place for place, called in layout.FACTS.items()}
        groups: dict[str, dict[str, Any]] = {"": {}, "session": {}, "subject": {}}
        facts = {str(k): v for k, v in self.session.attrs.items() if k not in _NOT_FACTS[:2]}
        for key, value in facts.items():
            group, name = names.get(key, ("session", key))
            first, _, rest = key.partition("_")
            if key not in names and first in _GROUPS and rest:
                group, name = first, rest
            if key not in _NOT_FACTS:
                groups.setdefault(group, {})[name] = value
        for group, values in groups.items():
            place = file.create_group(group) if group else file
            place.attrs.update(values | {layout.KIND: layout.DATA, "absolute_start": 0.0})
        file.attrs["absolute_start"] = float(facts.get("absolute_start", 0.0))
        _tell(file, {"attrs": facts})

    def _domain(self, file: h5py.File) -> None:
        """When the session was recorded."""
        rows = np.zeros((0, 2))
        told: dict[str, Any] = {"attrs": {}, "ends": {}}
        observed = self._nodes.get(schema.OBSERVED)
        if observed is not None:
            columns = [observed.variables[name] for name in OF_SESSION]
            rows = np.stack([column.values for column in columns], axis=1)
            ends = columns[0].attrs.get("ends")
            told = {"attrs": observed.attrs, "ends": {"ends": ends} if ends else {}}
        _tell(_intervals(file, "domain", rows), told)

    def _spikes(self, file: h5py.File, areas: Mapping[str, xr.Dataset]) -> None:
        """The spikes of all areas in the order of time."""
        sizes = np.concatenate([node[schema.ROW_SIZE].values for node in areas.values()])
        flat = np.concatenate([node[schema.SPIKE_TIMES].values for node in areas.values()])
        if not np.isfinite(flat).all():
            msg = f"{self.session.path}: {(~np.isfinite(flat)).sum():,} spike times are not known"
            raise SchemaError(msg)
        order = np.argsort(flat, kind="stable")
        unit = np.repeat(np.arange(sizes.size), sizes)
        arrays = {"timestamps": flat[order], "unit_index": unit[order]}
        told = {"timestamps": dict(next(iter(areas.values()))[schema.SPIKE_TIMES].attrs)}
        for name, parts in _columns(areas, schema.SPIKE, (schema.SPIKE_TIMES,)).items():
            first = next(iter(parts.values()))
            if len(parts) < len(areas) or len({part.shape[1:] for part in parts.values()}) > 1:
                self.left_out.append(f"spikes/{name}: not in all areas, or of other shapes there")
                continue
            arrays[name] = np.concatenate([part.values for part in parts.values()])[order]
            told[name] = dict(first.attrs)
        ends = flat[order][[0, -1]] if flat.size else np.zeros(2)
        group = _irregular(
            file, "spikes", arrays, _domain_of(next(iter(areas.values())), ends), told
        )
        facts = _labels_of(areas.values(), arrays)
        facts["attrs"] = {area: node.attrs for area, node in areas.items()}
        facts["others"] = {
            area: self._others(f"{area}/{schema.SPIKES}", node, (schema.SPIKE, schema.UNIT))
            for area, node in areas.items()
        }
        _tell(group, facts)
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
        """The labels of the units of some areas, or of channels; a column of some areas says which."""
        count = {area: node.sizes[dim] for area, node in areas.items()}
        arrays, told = dict[str, np.ndarray](), dict[str, dict[str, Any]]()
        if all(dim in node.variables for node in areas.values()):
            arrays[dim] = np.concatenate([node.variables[dim].values for node in areas.values()])
            told[dim] = dict(next(iter(areas.values())).variables[dim].attrs)
        for name, parts in _columns(areas, dim, (dim,)).items():
            first = next(iter(parts.values()))
            if name in skip:
                continue
            if name == schema.AREA or len({part.shape[1:] for part in parts.values()}) > 1:
                self.left_out.append(
                    f"{table}/{name}: the name is taken, or other shapes in other areas"
                )
                continue
            told[name] = dict(first.attrs)
            if len(parts) < len(areas):
                told[name][OF_AREAS] = list(parts)
            missing = "" if first.dtype.kind in "OU" else np.zeros((), first.dtype)
            filled = [
                parts[area].values
                if area in parts
                else np.full((count[area], *first.shape[1:]), missing, first.dtype)
                for area in areas
            ]
            arrays[name] = np.concatenate(filled)
        if dim == schema.UNIT and list(areas) != [schema.UNKNOWN_AREA]:
            arrays[schema.AREA] = np.repeat(np.array(list(areas), object), list(count.values()))
        group = _object(file.create_group(table), layout.TABLE, arrays, told)
        _tell(group, _labels_of(areas.values(), arrays) | {"attrs": {}})

    def _series(self, file: h5py.File, path: str, node: xr.Dataset, clock: xr.Variable) -> None:
        """Samples, or point events."""
        arrays, told = {}, {}
        for name, variable in node.variables.items():
            is_clock = name in (schema.TIME, schema.EVENT_TIME)
            if variable.dims[:1] == clock.dims and not is_clock:
                arrays[str(name)], told[str(name)] = variable.values, dict(variable.attrs)
        facts = _labels_of([node], arrays)
        facts |= {"node": path, "attrs": node.attrs, "clock": clock.attrs}
        labelled = [d for d in _TABLES if any(v.dims[:1] == (d,) for v in node.variables.values())]
        facts["others"] = self._others(path, node, (clock.dims[0], *labelled[:1]))
        times, regular, name = clock.values.astype(float), array_of(clock), self._name(path)
        rows = _domain_of(node, times[[0, -1]] if times.size else np.zeros(2))
        if isinstance(regular, RegularClock) and arrays:
            rows[0, 0] = regular.start
            group = _object(file.create_group(name), layout.REGULAR, arrays, told)
            group.attrs["sampling_rate"] = regular.rate
            _intervals(group, "domain", rows)
        elif not (np.diff(times) >= 0).all():
            msg = f"{path}: its times go backwards, or are not known; temporaldata keeps them in order"
            raise SchemaError(msg)
        else:
            group = _irregular(file, name, {"timestamps": times} | arrays, rows, told)
        for dim in labelled[:1]:
            table = _TABLES[dim]
            facts["dim"] = dim
            facts["table"] = table if table not in file else f"{name}_{table}"
            area = path.rpartition("/")[0] or schema.UNKNOWN_AREA
            self._labels(file, facts["table"], dim, {area: node}, arrays)
        _tell(group, facts)

    def _others(self, path: str, node: xr.Dataset, dims: tuple[Any, ...]) -> dict[str, Any]:
        """What a node has that does not begin with one of `dims`, which have groups, as plain values."""
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
        """A table of presentations as intervals, which all need a start and an end."""
        names = {schema.START_TIME: "start", schema.STOP_TIME: "end"}
        arrays, told = {}, {}
        for name, variable in node.variables.items():
            called = names.get(str(name), str(name))
            arrays[called], told[called] = variable.values, dict(variable.attrs)
        ends = [arrays.get(end) for end in ("start", "end")]
        if any(end is None or np.isnan(end).any() for end in ends):
            self.left_out.append(f"{path}: not every row has a start and a stop, as intervals need")
            return
        group = file.create_group(self._name(path.partition("/")[2].replace(".", "_")))
        _object(group, layout.INTERVAL, arrays, told)
        group.attrs["timekeys"] = np.array(["start", "end", *node.attrs.get("timekeys", [])], "S")
        dims = {n: list(map(str, node.variables[n].dims)) for n in map(str, node.variables)}
        _tell(group, {"node": path, "attrs": node.attrs, "dims": dims})

    def _name(self, path: str) -> str:
        """A name at the root that is not taken."""
        name = path.removeprefix(f"{schema.UNKNOWN_AREA}/").replace("/", "_")
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


def _tell(group: h5py.Group, facts: Mapping[str, Any]) -> None:
    """Say what a group is of a tree, for the reader; temporaldata passes over it."""
    group.attrs[layout.OURS] = json.dumps(facts)


def _labels_of(nodes: Iterable[xr.Dataset], names: Iterable[str]) -> dict[str, Any]:
    """Of the variables that a group has, the dimensions, and which of them are labels."""
    facts: dict[str, Any] = {layout.DIMS: {}, layout.LABELS: []}
    each = list(nodes)
    for name in names:
        having = next((node for node in each if name in node.variables), None)
        if having is not None:
            facts[layout.DIMS][name] = list(map(str, having.variables[name].dims))
            facts[layout.LABELS] += [name] if name in having.coords else []
    return facts


def _domain_of(node: xr.Dataset, ends: np.ndarray) -> np.ndarray:
    """The domain of a series, (1, 2) float64, s: what its file said, else its first and last time."""
    stated = node.attrs.get("domain", [])
    return np.array([stated if len(stated) == 2 else ends], np.float64)


def _is_shared(name: str, areas: Mapping[str, xr.Dataset]) -> bool:
    """Whether the stretches in which units were recorded are the session's."""
    return all(schema.UNIT not in node[name].dims for node in areas.values() if name in node)


def _columns(
    areas: Mapping[str, xr.Dataset], dim: str, skip: tuple[str, ...]
) -> dict[str, dict[str, xr.Variable]]:
    """The variables along a dimension, by name and area."""
    columns: dict[str, dict[str, xr.Variable]] = {}
    for area, node in areas.items():
        for name, variable in node.variables.items():
            if variable.dims[:1] == (dim,) and name not in skip:
                columns.setdefault(str(name), {})[area] = variable
    return columns


def _object(
    group: h5py.Group,
    kind: str,
    arrays: Mapping[str, np.ndarray],
    told: Mapping[str, Mapping[str, Any]],
) -> h5py.Group:
    """Arrays of a group with their attributes, which temporaldata passes over; text as it has it."""
    import h5py

    ascii_names = []
    for name, values in arrays.items():
        if values.dtype.kind not in "OU":
            group.create_dataset(name, data=values)
        else:
            texts = ["" if text is None else str(text) for text in values.ravel().tolist()]
            if texts and all(text.isascii() and text for text in texts):
                group.create_dataset(name, data=np.array(texts, "S").reshape(values.shape))
                ascii_names.append(name)
            else:
                array = np.array([*texts, None], object)[:-1].reshape(values.shape)
                group.create_dataset(name, data=array, dtype=h5py.string_dtype())
        group[name].attrs.update(told.get(name, {}))
    group.attrs[layout.KIND] = kind
    group.attrs["_unicode_keys"] = np.array(ascii_names, "S")
    return group


def _intervals(place: h5py.Group, name: str, rows: np.ndarray) -> h5py.Group:
    group = place.create_group(name)
    _object(group, layout.INTERVAL, {"start": rows[:, 0], "end": rows[:, 1]}, {})
    group.attrs["timekeys"] = np.array(["start", "end"], "S")
    return group


def _irregular(
    file: h5py.Group,
    name: str,
    arrays: Mapping[str, np.ndarray],
    domain: np.ndarray,
    told: Mapping[str, Mapping[str, Any]],
) -> h5py.Group:
    group = _object(file.create_group(name), layout.IRREGULAR, arrays, told)
    group.attrs["timekeys"] = np.array(["timestamps"], "S")
    _intervals(group, "domain", domain)
    first, last = (domain[0, 0], domain[-1, 1]) if len(domain) else (0.0, 0.0)
    grid = np.arange(first, last + 1.0)
    group["timestamp_indices_1s"] = np.searchsorted(arrays["timestamps"], grid)
    return group
