"""What a tree holds, as records: sessions, areas, signals, events, tables and notes, in numbers.

Everything that tells what is in a file is printed from these records: the catalogue, `describe`,
the command and the pictures. They are made from names and sizes alone; `timed` adds what has to be
read for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.tree import groups
from neuroarrays.tree.extents import hull, parts_of
from neuroarrays.tree.observed import known_without_spikes, mean_rates, of_session
from neuroarrays.tree.stretches import Stretches


@dataclass(frozen=True)
class NodeRecord:
    """The names and sizes of one node of a tree.

    Attributes
    ----------
    sizes : dict of str to int
        Dimension -> length.
    units : dict of str to str
        Variable -> its physical unit, "" without one. Coordinates are left out.
    attrs : dict
        Attributes of the node.
    """

    sizes: Mapping[Any, int]
    units: Mapping[str, str]
    attrs: Mapping[Any, Any]

    @classmethod
    def of(cls, dataset: xr.Dataset) -> NodeRecord:
        """The names and sizes of a dataset; nothing is read."""
        units = {str(name): str(dataset.variables[name].attrs.get("units", "")) for name in dataset}
        return cls(dict(dataset.sizes), units, dataset.attrs)


@dataclass(frozen=True)
class AreaRecord:
    """The units of one area.

    Attributes
    ----------
    name, path : str
        Name, and path in the tree.
    n_units : int
        Number of units.
    n_spikes, n_presentations, n_times : int or None
        Lengths along ``spike``, ``presentation_id`` and ``time``; None where there is no such.
    has_pupil : bool or None
        Of an aligned tree: whether the pupil stands below it.
    units : dict of str to str
        Variables of an aligned area -> their physical units.
    rate : float or None, spikes/s
        Mean over units of the firing rate; None while it is not read, NaN where no unit has one.
    """

    name: str
    path: str
    n_units: int = 0
    n_spikes: int | None = None
    n_presentations: int | None = None
    n_times: int | None = None
    has_pupil: bool | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    rate: float | None = None


@dataclass(frozen=True)
class SignalRecord:
    """Variables that share a clock of their own.

    Attributes
    ----------
    path : str
        Below the session.
    n_times : int
        Number of samples.
    units : dict of str to str
        Variable -> its physical unit.
    rate : float or None, Hz
        Samples per second of recorded time; None while it is not read or cannot be known.
    """

    path: str
    n_times: int
    units: Mapping[str, str]
    rate: float | None = None


@dataclass(frozen=True)
class EventsRecord:
    """Point events.

    Attributes
    ----------
    name : str
        Their name in the session.
    n_events : int or None
        How many; None where an aligned tree holds them counted in bins.
    units : dict of str to str
        Variable -> its physical unit.
    """

    name: str
    n_events: int | None
    units: Mapping[str, str]


@dataclass(frozen=True)
class TableRecord:
    """A table of presentations, trials or epochs.

    Attributes
    ----------
    name : str
        Its name in the session.
    n_rows : int
        Number of rows.
    units : dict of str to str
        Column -> its physical unit.
    """

    name: str
    n_rows: int
    units: Mapping[str, str]


@dataclass(frozen=True)
class SessionRecord:
    """What one session holds.

    Attributes
    ----------
    path : str
        Path in the tree.
    areas, signals, events, tables : tuple of records
        In the order of the tree.
    notes : tuple of str
        What the reader left out or had to guess.
    observed : tuple of (float, float), s, or None
        From when to when it was recorded, session clock; None while it is not read.
    is_whole : bool
        Whether `observed` is all that was recorded: without reading spikes only what clocks and
        tables cover may be known.
    """

    path: str
    areas: tuple[AreaRecord, ...] = ()
    signals: tuple[SignalRecord, ...] = ()
    events: tuple[EventsRecord, ...] = ()
    tables: tuple[TableRecord, ...] = ()
    notes: tuple[str, ...] = ()
    observed: tuple[tuple[float, float], ...] | None = None
    is_whole: bool = False

    @property
    def name(self) -> str:
        """Its name."""
        return self.path.rpartition("/")[2]

    @property
    def block(self) -> str:
        """The path of the group of sessions that it stands in, "" without one."""
        return self.path.rpartition("/")[0]

    @property
    def seconds(self) -> float | None:
        """How long was recorded, s; None while it is not read."""
        if self.observed is None:
            return None
        return round(sum(stop - start for start, stop in self.observed), 9)


@dataclass(frozen=True)
class TreeContents:
    """What a tree holds.

    Attributes
    ----------
    kind : {"recording", "aligned"}
        Kind of tree.
    source : str
        Name of the format that it was opened from, "" where that is not known.
    sessions : tuple of SessionRecord
        In the order of the tree.
    """

    kind: str
    source: str
    sessions: tuple[SessionRecord, ...]

    @property
    def areas(self) -> tuple[AreaRecord, ...]:
        """The areas of all sessions."""
        return tuple(area for session in self.sessions for area in session.areas)

    @property
    def n_units(self) -> int:
        """Number of units of all areas."""
        return sum(area.n_units for area in self.areas)

    @property
    def n_spikes(self) -> int:
        """Number of spikes of all areas."""
        return sum(area.n_spikes or 0 for area in self.areas)

    def rows(self) -> list[dict[str, Any]]:
        """The catalogue: a row for each session and area, one with area "" where there is none.

        Returns
        -------
        list of dict
            ``block``, ``session``, ``area`` (str) and ``units`` (int), then what there is of
            ``has_pupil`` (bool), ``spikes``, ``presentations`` and ``times`` (int). Of a recording
            ``presentations`` is a dict, the length of each table by its name.
        """
        rows = []
        for session in self.sessions:
            tables = {table.name: table.n_rows for table in session.tables}
            for area in session.areas or (AreaRecord("", ""),):
                row: dict[str, Any] = {
                    "block": session.block,
                    "session": session.name,
                    "area": area.name,
                    "units": area.n_units,
                    "has_pupil": area.has_pupil,
                    "spikes": area.n_spikes,
                    "presentations": tables or area.n_presentations,
                    "times": area.n_times,
                }
                rows.append({name: value for name, value in row.items() if value is not None})
        return rows


def of_groups(datasets: Mapping[str, xr.Dataset | NodeRecord]) -> TreeContents:
    """What a tree holds, from its nodes; nothing is read.

    Parameters
    ----------
    datasets : dict of str to Dataset or NodeRecord
        The nodes by path; "/" is the root.

    Returns
    -------
    TreeContents

    Raises
    ------
    SchemaError
        If the root is not marked as a recording or aligned tree.
    """
    nodes = {
        path.strip("/"): node if isinstance(node, NodeRecord) else NodeRecord.of(node)
        for path, node in datasets.items()
    }
    root = nodes.pop("", NodeRecord({}, {}, {}))
    kind = schema.kind_of(dict(root.attrs))
    above = {path.rpartition("/")[0] for path in nodes}
    roles = {
        path: schema.role_of(kind, path, node.units, node.sizes, path in above)
        for path, node in nodes.items()
    }
    inside: dict[str, dict[str, str]] = {}
    for path, session in _sessions(kind, roles, nodes):
        inside.setdefault(session, {})[path] = roles[path]
    sessions = [
        _session(kind, path, paths, {p: nodes[p] for p in paths}, nodes.get(path))
        for path, paths in inside.items()
    ]
    return TreeContents(kind, str(root.attrs.get("source", "")), tuple(sessions))


def of_tree(tree: xr.DataTree) -> TreeContents:
    """What a tree, or a branch of one, holds; nothing is read."""
    nodes = groups.own(tree)
    root = NodeRecord.of(nodes.pop("", xr.Dataset()))
    return of_groups({"/": replace(root, attrs=tree.root.attrs), **nodes})


def _sessions(
    kind: str, roles: Mapping[str, str], nodes: Mapping[str, NodeRecord]
) -> Iterator[tuple[str, str]]:
    """The session of each node: its first name in a recording, else what is above areas."""
    if kind == schema.RECORDING:
        yield from ((path, path.partition("/")[0]) for path in nodes)
        return
    sessions = {path.rpartition("/")[0] for path, role in roles.items() if role == "area"}
    sessions |= {path for path, role in roles.items() if role == "session"}
    events = (path.rpartition("/")[0] for path, role in roles.items() if role == "events")
    sessions |= {path for path in events if roles.get(path) != "area"}
    blocks = {path for path in nodes if any(groups.below(other, path) for other in sessions)}
    sessions |= {path for path in nodes if "/" not in path} - blocks - {""}
    for path in nodes:
        parts = path.split("/")
        owners = ("/".join(parts[:n]) for n in range(len(parts) + 1))
        session = next((owner for owner in owners if owner in sessions), None)
        if session is not None:
            yield path, session


def _session(
    kind: str,
    path: str,
    roles: Mapping[str, str],
    nodes: Mapping[str, NodeRecord],
    own: NodeRecord | None,
) -> SessionRecord:
    """The record of a session from its nodes."""
    areas: dict[str, AreaRecord] = {}
    signals: list[SignalRecord] = []
    events: list[EventsRecord] = []
    tables: list[TableRecord] = []
    for place, node in nodes.items():
        role, below = roles[place], place.removeprefix(path).strip("/")
        n_times = node.sizes.get(schema.TIME)
        if role == "statistics":
            continue
        if role in ("spikes", "area") or schema.UNIT in node.sizes:
            area = place if role == "area" else place.rpartition("/")[0]
            known = areas.get(area) or AreaRecord(area.removeprefix(path).strip("/"), area)
            areas[area] = _with_node(known, node, role == "area")
        if role == "table" and kind == schema.RECORDING:
            n_rows = node.sizes.get(schema.PRESENTATION, 0)
            tables.append(
                TableRecord(below.removeprefix(f"{schema.PRESENTATIONS}/"), n_rows, node.units)
            )
        elif role == "events":
            events += _events(kind, below, node)
        elif n_times and role in ("series", "behaviour", "stimulus", "events"):
            signals.append(SignalRecord(below, n_times, node.units))
    if kind == schema.ALIGNED:
        pupil = {area: f"{area}/{schema.PUPIL}" in nodes for area in areas}
        areas = {name: replace(area, has_pupil=pupil[name]) for name, area in areas.items()}
    notes = () if own is None else tuple(map(str, np.atleast_1d(own.attrs.get("notes", []))))
    return SessionRecord(
        path, tuple(areas.values()), tuple(signals), tuple(events), tuple(tables), notes
    )


def _with_node(area: AreaRecord, node: NodeRecord, is_area: bool) -> AreaRecord:
    """The record of an area with the sizes of one more of its nodes."""
    sizes = node.sizes
    return replace(
        area,
        n_units=max(area.n_units, sizes.get(schema.UNIT, 0)),
        n_spikes=sizes.get(schema.SPIKE, area.n_spikes),
        n_presentations=sizes.get(schema.PRESENTATION, area.n_presentations),
        n_times=sizes.get(schema.TIME, area.n_times),
        units=node.units if is_area else area.units,
    )


def _events(kind: str, below: str, node: NodeRecord) -> list[EventsRecord]:
    """The events of a node: one of a recording, of an aligned tree one for each count."""
    if kind == schema.ALIGNED:
        return [
            EventsRecord(name, None, {name: unit})
            for name, unit in node.units.items()
            if name != schema.VALID
        ]
    if schema.EVENT_TIME not in node.units:
        return []
    name = below.removeprefix(f"{schema.EVENTS}/").replace("/", "_")
    number = node.sizes.get(schema.EVENT, next(iter(node.sizes.values()), 0))
    return [EventsRecord(name, number, node.units)]


# ------------------------------------------------------------------------- what has to be read for


def timed(contents: TreeContents, tree: xr.DataTree, spikes: bool) -> TreeContents:
    """The records of a recording with when it was recorded, and the rates of signals and units.

    Parameters
    ----------
    contents : TreeContents
        Of the tree.
    tree : xr.DataTree
        A recording tree, or a branch of one.
    spikes : bool
        Whether to read all spikes. Without, the rates of units stay unknown, and of a session whose
        file does not say when it was recorded, the time that its clocks and tables cover is given.

    Returns
    -------
    TreeContents
    """
    sessions = [_timed(session, tree.root[session.path], spikes) for session in contents.sessions]
    return replace(contents, sessions=tuple(sessions))


def _timed(session: SessionRecord, node: Any, spikes: bool) -> SessionRecord:
    recorded, is_whole = (of_session(node), True) if spikes else known_without_spikes(node)
    areas = session.areas
    if spikes:
        areas = tuple(replace(area, rate=_mean_rate(node[area.name])) for area in areas)
    return replace(
        session,
        areas=areas,
        signals=tuple(
            replace(signal, rate=_sampling_rate(node[signal.path], recorded))
            for signal in session.signals
        ),
        observed=tuple((float(start), float(stop)) for start, stop in recorded.rows),
        is_whole=is_whole,
    )


def _mean_rate(area: xr.DataTree) -> float:
    """Mean over units of their firing rates, spikes/s."""
    rates = mean_rates(area)
    known = rates[np.isfinite(rates)]
    return float(known.mean()) if known.size else np.nan


def _sampling_rate(node: xr.DataTree, recorded: Stretches) -> float | None:
    """Samples per second of recorded time, from the ends of a clock, Hz."""
    if schema.TIME not in node.coords:
        return None
    first, last = hull(parts_of({"": node.to_dataset()}, spikes=False))
    seconds = recorded.within([(first, last)]).seconds if first < last else 0.0
    return (node.sizes[schema.TIME] - 1) / seconds if seconds > 0 else None
