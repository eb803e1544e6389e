"""What a session of a recording tree holds, found in one walk: areas with units, series, times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.schema.names import chosen

#: Behaviour: the series that are aligned unless others are asked for.
BEHAVIOUR = (schema.RUNNING, schema.PUPIL, "position", "head_direction", "eye_tracker", "treadmill")
#: Labels of events up to which each is a kind of event.
_LABELS = 50


@dataclass(frozen=True)
class SessionNodes:
    """The nodes of one session of a recording tree, by what they hold.

    Attributes
    ----------
    name : str
        Of the session.
    node : DataTree node
        The session itself.
    areas : dict of str to dict of str to Dataset
        Area -> its spikes node ("spikes") and its series of units, by the names of these nodes.
        Series of other units than the first (cells imaged beside neurons recorded, a second imaged
        plane) cannot share their `unit_id`: they are an area of their own, ``<area>_<series>``.
    series : dict of str to Dataset
        Signals of no unit on their own clock, ``(time, ...)`` in their units, by path:
        running, pupil, temperature, ...
    frames : dict of str to Dataset
        What was shown, ``(time, ...)`` on a clock in seconds, by path.
    events : dict of str to Dataset
        Point events (licks, rewards) by name: nodes with `event_time`, ``(event,)`` in
        seconds.
    tables : dict of str to Dataset
        Presentations, ``(presentation_id,)`` with times in seconds, by the name of their
        table.
    """

    name: str
    node: xr.DataTree
    areas: dict[str, dict[str, xr.Dataset]]
    series: dict[str, xr.Dataset]
    frames: dict[str, xr.Dataset]
    events: dict[str, xr.Dataset]
    tables: dict[str, xr.Dataset]

    @classmethod
    def walked(cls, name: str, node: xr.DataTree) -> SessionNodes:
        """The session at a node.

        Raises
        ------
        SchemaError
            If units of an area that is two areas would get the name of a third.
        """
        leaves: dict[str, dict[str, xr.Dataset]] = {}
        series: dict[str, xr.Dataset] = {}
        frames, events, tables = dict(series), dict(series), dict(series)
        for path, role, child in schema.roles(node):
            if role == "group":
                continue
            above, _, leaf = path.rpartition("/")
            data = child.to_dataset()
            dims, variables = data.sizes, data.variables
            if above and "/" not in above and schema.UNIT in dims:
                leaves.setdefault(above, {})[leaf] = data
            if role == "table":
                tables[leaf] = data
            elif schema.EVENT_TIME in variables and f"{path}/".startswith(f"{schema.EVENTS}/"):
                events[path.removeprefix(f"{schema.EVENTS}/").replace("/", "_")] = data
            elif schema.TIME in dims and schema.STIMULUS in variables:
                frames[path] = data
            elif schema.TIME in dims and schema.UNIT not in dims:
                series[path] = data
        return cls(name, node, _areas(node, leaves), series, frames, events, tables)

    @property
    def holds_times(self) -> bool:
        """Whether there is anything to align."""
        return bool(self.areas or self.series or self.frames or self.events)

    def chosen_series(self, wanted: str | Sequence[str] | None) -> dict[str, xr.Dataset]:
        """The series by path that a name, list or glob picks; else behaviour, or all without areas.

        Raises
        ------
        NotInTree
            If something asked for picks nothing.
        """
        if wanted is not None:
            return {path: self.series[path] for path in chosen(self.series, wanted, "series")}
        return {
            path: node
            for path, node in self.series.items()
            if not self.areas or path.partition("/")[0] in BEHAVIOUR
        }


def sessions_of(tree: xr.DataTree) -> dict[str, SessionNodes]:
    """The sessions of a recording tree by name, or the one session that is given.

    Raises
    ------
    SchemaError
        If the tree is aligned already, a node is a part of a session, or a session has nothing with
        times: there is nothing to align.
    """
    if schema.kind_of(tree) != schema.RECORDING:
        msg = "this tree is aligned already; na.align takes a recording tree"
        raise SchemaError(msg)
    if tree.level > 1:
        above = tree.path.strip("/").partition("/")[0]
        msg = f"{tree.path} is a part of a session; give the whole tree, or tree[{above!r}]"
        raise SchemaError(msg)
    nodes = {str(tree.name): tree} if tree.level == 1 else dict(tree.children)
    if not nodes:
        msg = "the tree has no sessions"
        raise SchemaError(msg)
    sessions = {name: SessionNodes.walked(name, node) for name, node in nodes.items()}
    for name, session in sessions.items():
        if not session.holds_times:
            hint = (
                ". Leave it out with sessions= when you open the tree" if len(sessions) > 1 else ""
            )
            msg = (
                f"session {name!r} has no units, signals or events to align: found "
                f"{', '.join(session.node.children) or 'nothing'}{hint}"
            )
            raise SchemaError(msg)
    return sessions


def _areas(
    session: xr.DataTree, leaves: Mapping[str, Mapping[str, xr.Dataset]]
) -> dict[str, dict[str, xr.Dataset]]:
    """Area -> its nodes with units, those of other units than the first as areas of their own."""
    areas: dict[str, dict[str, xr.Dataset]] = {}
    for name, nodes in leaves.items():
        units_of: dict[str, xr.DataArray] = {}
        for leaf, node in sorted(nodes.items(), key=lambda pair: pair[0] != schema.SPIKES):
            units = node[schema.UNIT]
            area = next((a for a, known in units_of.items() if _same_units(known, units)), None)
            if area is None:
                area = f"{name}_{leaf}" if units_of else name
            units_of.setdefault(area, units)
            if area != name and area in session.children:
                msg = (
                    f"{session.path}/{name}/{leaf} has other units than its area, so it becomes the "
                    f"area {area!r}, which exists: rename one with tree[...].name"
                )
                raise SchemaError(msg)
            areas.setdefault(area, {})[leaf] = node
    return areas


def _same_units(units: xr.DataArray, others: xr.DataArray) -> bool:
    """Whether units are the same: by their identifiers, and for ROIs by the table they number."""
    tables = [each.attrs.get(schema.ROI_TABLE) for each in (units, others)]
    same = np.array_equal(units.values, others.values)
    return same and (None in tables or tables[0] == tables[1])


def events_of(session: xr.DataTree) -> dict[str, xr.Dataset]:
    """Point events of a session (licks, rewards) by name: nodes with `event_time`."""
    return (
        events_below(session.children[schema.EVENTS]) if schema.EVENTS in session.children else {}
    )


def events_below(node: xr.DataTree) -> dict[str, xr.Dataset]:
    """Point events in the branch of a node of a recording tree, the node itself among it."""
    return {
        str(child.name) if path == "." else path.replace("/", "_"): child.to_dataset()
        for path, child in node.subtree_with_keys
        if schema.EVENT_TIME in child.data_vars
    }


def times_by_name(events: Mapping[str, xr.Dataset]) -> dict[str, xr.Variable]:
    """The times of point events, and behind them those of each label, as ``<name>_<label>``.

    Parameters
    ----------
    events : dict of str to Dataset
        By name, each with `event_time`, ``(event,)`` in seconds. Where one has no texts
        along `label`, only one, or so many that they are no kinds of event, its events
        stand alone.

    Returns
    -------
    dict of str to (event,) Variable, s
        On the session clock, in the order of the file.
    """
    times = {name: node.variables[schema.EVENT_TIME] for name, node in events.items()}
    for name, node in events.items():
        for label, of_label in _by_label(node).items():
            times.setdefault(schema.node_name(f"{name}_{label}"), of_label)
    return times


def _by_label(node: xr.Dataset) -> dict[str, xr.Variable]:
    """The times of each label."""
    column = node.variables.get("label")
    if column is None or column.ndim != 1 or column.dtype.kind not in "OU":
        return {}
    labels = np.array([str(label or "") for label in column.values], object)
    kinds = sorted(set(labels) - {""})
    if not 1 < len(kinds) <= _LABELS:
        return {}
    times = node.variables[schema.EVENT_TIME].load()
    return {kind: times[labels == kind] for kind in kinds}
