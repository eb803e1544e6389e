"""Make the nodes of a session from a file of temporaldata: spikes, series, events and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import shorten
from neuroarrays.files.source import Source
from neuroarrays.formats.temporaldata.layout import (
    DIMS,
    INTERVAL,
    IRREGULAR,
    LABELS,
    REGULAR,
    TABLE,
    Layout,
)
from neuroarrays.formats.temporaldata.units import (
    area_rows,
    label_names,
    rows_of,
    spikes_nodes,
    table_columns,
)
from neuroarrays.lazy.arrays import file_array, wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.tree.observed import OF_SESSION

#: Table whose rows are the columns of a series -> the dimension that it labels.
_TABLES = {"rois": schema.UNIT, "units": schema.UNIT, "channels": schema.CHANNEL}
_OF_TABLES = {"start": schema.START_TIME, "end": schema.STOP_TIME}
#: Names of nodes of a session that mean something else.
_TAKEN = (
    schema.PRESENTATIONS,
    schema.STIMULUS,
    schema.EVENTS,
    schema.OBSERVED,
    schema.UNKNOWN_AREA,
)
_SECONDS = {"units": "s"}


class Session:
    """The contents of a file, by the kinds of its groups.

    Attributes
    ----------
    domain : pair of (n,) arrays or LazyArrays, s, or None
        Starts and ends of the domain of the session; None if it has none.
    """

    def __init__(self, source: Source):
        self.source, self.layout = source, Layout(source)
        self.domain: tuple[Any, Any] | None = None
        self._used: set[str] = set()
        self._areas: set[str] = set()

    def groups(self, name: str) -> dict[str, xr.Dataset]:
        """Return the nodes of the session by path below it; "" has its attributes."""
        layout, nodes = self.layout, dict[str, xr.Dataset]()
        spikes = layout.spikes()
        for path in spikes:
            nodes |= self._spikes(path)
        self._areas = {path.rpartition("/")[0] for path in nodes}
        for path, kind in layout.kinds.items():
            if kind in (IRREGULAR, REGULAR):
                nodes |= {} if path in spikes else self._series(path)
                if self._has_several_stretches(path):
                    nodes |= self._table(f"{path}/domain")
            elif kind == INTERVAL:
                nodes |= self._session_domain() if path == "domain" else self._table(path)
        left = [p for p, kind in layout.kinds.items() if kind == TABLE and p not in self._used]
        notes = layout.notes + ([f"not read, without times: {shorten(left)}"] if left else [])
        attrs = dict(layout.facts) if layout.written_here else {"session_id": name} | layout.facts
        attrs |= {"notes": notes} if notes else {}
        return {"": xr.Dataset(attrs=attrs)} | nodes

    def _session_domain(self) -> dict[str, xr.Dataset]:
        """Return the recorded time of the session as an attribute or a table."""
        size, ours = self.layout.size("domain"), self.layout.ours("domain")
        ends = tuple(file_array(self.source, f"domain/{end}") for end in ("start", "end"))
        if ours:
            columns = {
                name: schema.var("observed", name, wrap(array), **ours.get("ends", {}))
                for name, array in zip(OF_SESSION, ends, strict=True)
            }
            return {schema.OBSERVED: dataset(columns, attrs=ours.get("attrs"))} if size else {}
        if size != 1:
            self.domain = (ends[0], ends[1]) if size else None
            return self._table("domain") if size else {}
        start, stop = (array.load() for array in ends)
        self.domain = start, stop
        self.layout.facts["domain"] = [float(start[0]), float(stop[0])]
        return {}

    def _has_several_stretches(self, path: str) -> bool:
        """Whether the domain of a series needs a table of its own."""
        known = not self.layout.ours(path) and self.source.names(f"{path}/domain")
        return bool(known) and self.layout.size(f"{path}/domain") > 1

    def _spikes(self, path: str) -> dict[str, xr.Dataset]:
        self.layout.size(path)
        has_units = self.layout.kinds.get("units") == TABLE and self.layout.arrays("units")
        table = "units" if has_units else ""
        if table:
            self.layout.size(table)
            self._used.add(table)
        domain, ours = self.layout.domain(path), self.layout.ours(path)
        nodes = spikes_nodes(self.layout, path, table)
        for area, others in ours.get("others", {}).items():
            labels, rest = _others(others)
            nodes[area] = nodes[area].assign_coords(labels).assign(rest)
        for area, node in nodes.items():
            node.attrs = dict(ours["attrs"][area] if ours else {"domain": domain} if domain else {})
        prefix = "" if path == "spikes" else f"{schema.node_name(path)}_"
        return {f"{prefix}{area}/{schema.SPIKES}": node for area, node in nodes.items()}

    def _series(self, path: str) -> dict[str, xr.Dataset]:
        """Return a series as a node, or as point events if it has no numbers."""
        layout, ours = self.layout, self.layout.ours(path)
        size, names = layout.size(path), layout.arrays(path)
        infos = {name: self.source.known(f"{path}/{name}") for name in names}
        domain = layout.domain(path)
        attrs: dict[str, Any] = ours["attrs"] if ours else {"domain": domain} if domain else {}
        values = [name for name in names if name != "timestamps"]
        numbers = [n for n in values if infos[n].dtype.kind in "iufc" and not infos[n].text]
        is_events = not numbers and layout.kinds[path] == IRREGULAR
        if ours:
            is_events = str(ours["node"]).startswith(f"{schema.EVENTS}/")
        clock = layout.clock(path, size)
        layout.check_domain(path, size, domain)
        clock_attrs: dict[str, Any] = dict(_SECONDS)
        if layout.kinds[path] == REGULAR:
            clock_attrs |= {"sampling_rate": clock.rate, "sampling_rate_source": "file"}
        clock_attrs = ours.get("clock", clock_attrs)
        if is_events:
            variables = {n: self._variable(path, n, schema.EVENT) for n in values}
            variables[schema.EVENT_TIME] = clock.variable((schema.EVENT,), clock_attrs)
            node = ours.get("node", f"{schema.EVENTS}/{schema.node_name(path.replace('/', '.'))}")
            return {str(node): dataset(variables, attrs=attrs)}
        coords = {schema.TIME: clock.variable((schema.TIME,), clock_attrs)}
        table = str(ours.get("table", "")) or self._labelling([infos[n].shape for n in values])
        self._used.add(table)
        variables = {
            self._called(path, n): self._variable(path, n, schema.TIME, table) for n in values
        }
        labels, rest = _others(ours.get("others", {}))
        coords, variables = coords | labels, variables | rest
        coords |= {n: variables.pop(n) for n in ours.get(LABELS, ()) if n in variables}
        node = str(ours.get("node", self._node(path)))
        if not table:
            return {node: dataset(variables, coords, attrs)}
        dim = str(ours.get("dim", _TABLES.get(table)))
        labels = table_columns(layout, table, dim)
        areas = labels.pop(schema.AREA, None) if dim == schema.UNIT else None
        each = {"": None} if ours else area_rows(areas)
        free = {name: label for name, label in labels.items() if name not in variables}
        of_table = label_names(free, layout.ours(table))
        coords |= {name: label for name, label in free.items() if name in of_table}
        variables |= {name: label for name, label in free.items() if name not in of_table}
        return self._by_area(node, variables, coords, attrs, each)

    def _by_area(
        self, node: str, variables: Any, coords: Any, attrs: Any, each: Any
    ) -> dict[str, xr.Dataset]:
        """Return a series as a node; a series of units as a node of each area."""
        if schema.UNIT not in coords:
            return {node: dataset(variables, coords, attrs)}
        nodes, leaf = {}, node.replace("/", "_")
        for area, rows in each.items():
            part = {name: rows_of(variable, rows) for name, variable in variables.items()}
            of_part = {name: rows_of(variable, rows) for name, variable in coords.items()}
            path = f"{area}/{leaf}" if area else node
            nodes[path] = dataset(part, of_part, attrs)
        return nodes

    def _labelling(self, shapes: Sequence[tuple[int, ...]]) -> str:
        """Return the table whose rows are the columns of a series, or ""."""
        widths = {shape[1] for shape in shapes if len(shape) > 1}
        for table in _TABLES:
            known = self.layout.kinds.get(table) == TABLE and self.layout.size(table) in widths
            if known and not (table == "units" and self.layout.spikes()):
                return table
        return ""

    def _node(self, path: str) -> str:
        """Return the path of the node of a series, changed if a name in it is a reserved one."""
        parts = [schema.node_name(part) for part in path.split("/")]
        parts[0] += "_series" if parts[0] in self._areas.union(_TAKEN) else ""
        return "/".join(parts)

    def _called(self, path: str, name: str) -> str:
        """Return the name of a variable; `speed` is reserved, as it is in cm/s in a tree."""
        is_other = self.source.attr(f"{path}/{name}", "units") != "cm/s"
        is_taken = name == schema.TIME or (name == "speed" and is_other)
        return f"{name}_signal" if is_taken and not self.layout.ours(path) else name

    def _variable(self, path: str, name: str, dim: str, table: str = "") -> xr.Variable:
        array, ours = file_array(self.source, f"{path}/{name}"), self.layout.ours(path)
        dims = [dim, *(f"{name}_axis{axis}" for axis in range(1, array.ndim))]
        if ours:
            dims = ours[DIMS][name]
        elif table and array.ndim > 1 and array.shape[1] == self.layout.size(table):
            dims[1] = _TABLES[table]
        return array.variable(dims, self.source.attrs(f"{path}/{name}"))

    def _table(self, path: str) -> dict[str, xr.Dataset]:
        """Return intervals as presentations; the parts of the path are joined by dots."""
        size, ours, variables = self.layout.size(path), self.layout.ours(path), {}
        for name in self.layout.arrays(path):
            array = file_array(self.source, f"{path}/{name}")
            called = _OF_TABLES.get(name, f"{name}_" if name in _OF_TABLES.values() else name)
            dims = [schema.PRESENTATION, *(f"{called}_axis{i}" for i in range(1, array.ndim))]
            dims = ours[DIMS][called] if ours else dims
            attrs_of_column = self.source.attrs(f"{path}/{name}")
            variables[called] = schema.var(
                "table", called, wrap(array), tuple(dims), **attrs_of_column
            )
        ids = xr.Variable(schema.PRESENTATION, np.arange(size))
        if ours and schema.PRESENTATION in variables:
            stored = variables.pop(schema.PRESENTATION)
            ids = xr.Variable(schema.PRESENTATION, stored.values, stored.attrs)
        attrs: dict[str, Any] = dict(ours.get("attrs", {}))
        stated = self.source.attr(path, "timekeys")
        names = stated if isinstance(stated, list) else []
        times = [name for name in names if name not in _OF_TABLES]
        if times and not ours:
            attrs["timekeys"] = times
        node = f"{schema.PRESENTATIONS}/{schema.node_name(path.replace('/', '.'))}"
        return {str(ours.get("node", node)): dataset(variables, {schema.PRESENTATION: ids}, attrs)}


def _others(stated: Mapping[str, Any]) -> tuple[dict[str, xr.Variable], dict[str, xr.Variable]]:
    """Variables whose values `na.to_temporaldata` wrote as text: labels, and others."""
    labels: dict[str, xr.Variable] = {}
    others: dict[str, xr.Variable] = {}
    for name, each in stated.items():
        values = np.array(each["values"], each["dtype"])
        into = labels if each["coord"] else others
        into[name] = xr.Variable(each["dims"], values, each["attrs"])
    return labels, others
