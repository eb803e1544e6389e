"""Records of the content of a tree, made from names and sizes only.

The catalogue, `describe`, the command and the pictures use these records. `timed` adds the facts
for which values must be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.tree import groups
from neuroarrays.tree.counted import mean_rates
from neuroarrays.tree.extents import hull, parts_of
from neuroarrays.tree.observed import known_without_spikes, of_session
from neuroarrays.tree.records import (
    AreaRecord,
    EventsRecord,
    NodeRecord,
    SessionRecord,
    SignalRecord,
    TableRecord,
    TreeContents,
)
from neuroarrays.tree.stretches import Stretches


def of_groups(datasets: Mapping[str, xr.Dataset | NodeRecord]) -> TreeContents:
    """Make the records of a tree from its nodes; no values are read.

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
        If the attributes of the root do not name a recording or aligned tree.
    """
    nodes = {
        path.strip("/"): node if isinstance(node, NodeRecord) else NodeRecord.of(node)
        for path, node in datasets.items()
    }
    root = nodes.pop("", NodeRecord({}, {}, {}))
    kind = schema.kind_of(dict(root.attrs))
    parents = {path.rpartition("/")[0] for path in nodes}
    roles = {
        path: schema.role_of(kind, path, node.units, node.sizes, path in parents)
        for path, node in nodes.items()
    }
    paths_of: dict[str, list[str]] = {}
    for path, session in _sessions(kind, roles, nodes):
        paths_of.setdefault(session, []).append(path)
    sessions = [
        _session(kind, session, roles, {path: nodes[path] for path in paths}, nodes.get(session))
        for session, paths in paths_of.items()
    ]
    return TreeContents(kind, str(root.attrs.get("source", "")), tuple(sessions))


def of_tree(tree: xr.DataTree) -> TreeContents:
    """Make the records of a tree or of a branch of one; no values are read."""
    nodes = groups.nodes_of(tree)
    root = NodeRecord.of(nodes.pop("", xr.Dataset()))
    return of_groups({"/": replace(root, attrs=tree.root.attrs), **nodes})


def _sessions(
    kind: str, roles: Mapping[str, str], nodes: Mapping[str, NodeRecord]
) -> Iterator[tuple[str, str]]:
    """Each node with its session, as (path of the node, path of the session).

    In a recording tree the session is the first name of the path. In an aligned tree it is the node
    above the areas or the events.
    """
    if kind == schema.RECORDING:
        yield from ((path, path.partition("/")[0]) for path in nodes)
        return
    sessions = {path.rpartition("/")[0] for path, role in roles.items() if role == "area"}
    sessions |= {path for path, role in roles.items() if role == "session"}
    events = (path.rpartition("/")[0] for path, role in roles.items() if role == "events")
    sessions |= {path for path in events if roles.get(path) != "area"}
    blocks = {above for session in sessions for above in groups.above(session)}
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
    session_node: NodeRecord | None,
) -> SessionRecord:
    """The record of a session from the nodes at and below it."""
    areas: dict[str, AreaRecord] = {}
    signals: list[SignalRecord] = []
    events: list[EventsRecord] = []
    tables: list[TableRecord] = []
    for node_path, node in nodes.items():
        role, below = roles[node_path], node_path.removeprefix(path).strip("/")
        n_times = node.sizes.get(schema.TIME)
        if role == "statistics":
            continue
        if role in ("spikes", "area") or schema.UNIT in node.sizes:
            area = node_path if role == "area" else node_path.rpartition("/")[0]
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
    notes = (
        ()
        if session_node is None
        else tuple(map(str, np.atleast_1d(session_node.attrs.get("notes", []))))
    )
    return SessionRecord(
        path, tuple(areas.values()), tuple(signals), tuple(events), tuple(tables), notes
    )


def _with_node(area: AreaRecord, node: NodeRecord, is_area: bool) -> AreaRecord:
    """The record of an area, extended by the sizes of another of its nodes."""
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
    """The event records of a node: one in a recording, one for each count in an aligned tree."""
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


# ------------------------------------------------------------------ facts that need values


def timed(contents: TreeContents, tree: xr.DataTree, spikes: bool) -> TreeContents:
    """Add the recorded time, and the rates of signals and units, to the records of a recording.

    Parameters
    ----------
    contents : TreeContents
        The records of the tree.
    tree : xr.DataTree
        A recording tree, or a branch of one.
    spikes : bool
        If True, all spikes are read. If False, the rates of units stay unknown; and if the file
        does not say when a session was recorded, the time that its clocks and tables cover is used.

    Returns
    -------
    TreeContents
    """
    sessions = [_timed(session, tree.root[session.path], spikes) for session in contents.sessions]
    return replace(contents, sessions=tuple(sessions))


def _timed(session: SessionRecord, node: Any, spikes: bool) -> SessionRecord:
    """The record of a session with its recorded time and the rates of its signals and units."""
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
    """Mean firing rate over units, spikes/s."""
    rates = mean_rates(area)
    known = rates[np.isfinite(rates)]
    return float(known.mean()) if known.size else np.nan


def _sampling_rate(node: xr.DataTree, recorded: Stretches) -> float | None:
    """Samples per second of recorded time, from the first and last stamp of a clock, Hz."""
    if schema.TIME not in node.coords:
        return None
    first, last = hull(parts_of({"": node.to_dataset()}, spikes=False))
    seconds = recorded.within([(first, last)]).seconds if first < last else 0.0
    return (node.sizes[schema.TIME] - 1) / seconds if seconds > 0 else None
