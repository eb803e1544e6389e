"""Sort the nodes of a session of a recording tree: areas with units, series, events, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.schema.names import chosen

#: Behaviour: the series that are aligned by default.
BEHAVIOUR = (schema.RUNNING, schema.PUPIL, "position", "head_direction", "eye_tracker", "treadmill")
#: If events have more distinct labels than this, the labels are not used as kinds of event.
_LABELS = 50


@dataclass(frozen=True)
class SessionNodes:
    """The nodes of one session of a recording tree, sorted by content.

    Attributes
    ----------
    name : str
        Name of the session.
    node : DataTree node
        The session itself.
    areas : dict of str to dict of str to Dataset
        Area -> its spikes node ("spikes") and its series of units, by the names of these nodes.
        Series that have other units than the first (imaged cells beside recorded units, a second
        imaged plane) cannot share its `unit_id`: they become an area, ``<area>_<series>``.
    series : dict of str to Dataset
        Signals without units, ``(time, ...)`` on their own clock in their physical units, by path:
        running, pupil, temperature, ...
    frames : dict of str to Dataset
        Frames of stimuli, ``(time, ...)`` on a clock in seconds, by path.
    events : dict of str to Dataset
        Point events (licks, rewards) by name: nodes with `event_time`, ``(event,)`` in
        seconds.
    tables : dict of str to Dataset
        Presentations ``(presentation_id,)``, times in seconds, by the name of the table.
    """

    name: str
    node: xr.DataTree
    areas: dict[str, dict[str, xr.Dataset]]
    series: dict[str, xr.Dataset]
    frames: dict[str, xr.Dataset]
    events: dict[str, xr.Dataset]
    tables: dict[str, xr.Dataset]

    @classmethod
    def from_node(cls, name: str, node: xr.DataTree) -> SessionNodes:
        """Sort the nodes below the node of a session.

        Raises
        ------
        SchemaError
            If an area must be split in two, and the name of the new one is taken.
        """
        leaves: dict[str, dict[str, xr.Dataset]] = {}
        series: dict[str, xr.Dataset] = {}
        frames: dict[str, xr.Dataset] = {}
        events: dict[str, xr.Dataset] = {}
        tables: dict[str, xr.Dataset] = {}
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
    def has_data(self) -> bool:
        """Whether the session has anything to align."""
        return bool(self.areas or self.series or self.frames or self.events)

    def chosen_series(self, wanted: str | Sequence[str] | None) -> dict[str, xr.Dataset]:
        """Choose series by their names.

        Parameters
        ----------
        wanted : str, list of str or None
            Names or patterns. None stands for the behaviour, or for all series if the session has
            no areas.

        Returns
        -------
        dict of str to Dataset
            The series by path.

        Raises
        ------
        NotInTree
            If a name or pattern matches no series.
        """
        if wanted is not None:
            return {path: self.series[path] for path in chosen(self.series, wanted, "series")}
        return {
            path: node
            for path, node in self.series.items()
            if not self.areas or path.partition("/")[0] in BEHAVIOUR
        }


def sessions_of(tree: xr.DataTree) -> dict[str, SessionNodes]:
    """The sessions of a recording tree, sorted by content.

    Parameters
    ----------
    tree : DataTree
        A recording tree, or the node of a session.

    Returns
    -------
    dict of str to SessionNodes
        The sessions by name.

    Raises
    ------
    SchemaError
        If the tree is aligned already, the node is a part of a session, or a session has nothing to
        align.
    """
    if schema.kind_of(tree) != schema.RECORDING:
        msg = (
            "this tree is aligned already; na.align needs a recording tree, as "
            "na.open_datatree gives"
        )
        raise SchemaError(msg)
    if tree.level > 1:
        above = tree.path.strip("/").partition("/")[0]
        msg = f"{tree.path} is a part of a session; give the whole tree, or tree[{above!r}]"
        raise SchemaError(msg)
    nodes = {str(tree.name): tree} if tree.level == 1 else dict(tree.children)
    if not nodes:
        msg = "the tree has no sessions"
        raise SchemaError(msg)
    sessions = {name: SessionNodes.from_node(name, node) for name, node in nodes.items()}
    for name, session in sessions.items():
        if not session.has_data:
            hint = (
                ". Leave it out with sessions= when you open the tree" if len(sessions) > 1 else ""
            )
            msg = (
                f"session {name!r} has no units, signals or events to align; it has "
                f"{', '.join(session.node.children) or 'nothing'}{hint}"
            )
            raise SchemaError(msg)
    return sessions


def _areas(
    session: xr.DataTree, leaves: Mapping[str, Mapping[str, xr.Dataset]]
) -> dict[str, dict[str, xr.Dataset]]:
    """Area -> its nodes with units; nodes with other units than the first become new areas."""
    areas: dict[str, dict[str, xr.Dataset]] = {}
    for name, nodes in leaves.items():
        units_of: dict[str, xr.DataArray] = {}
        spikes_first = sorted(nodes.items(), key=lambda pair: pair[0] != schema.SPIKES)
        for leaf, node in spikes_first:
            units = node[schema.UNIT]
            area = next((a for a, known in units_of.items() if _same_units(known, units)), None)
            if area is None:
                area = f"{name}_{leaf}" if units_of else name
            units_of.setdefault(area, units)
            if area != name and area in session.children:
                msg = (
                    f"{session.path}/{name}/{leaf} has other units than its area, so it would "
                    f"become the area {area!r}, which exists already; rename one of them with "
                    "tree[...].name"
                )
                raise SchemaError(msg)
            areas.setdefault(area, {})[leaf] = node
    return areas


def _same_units(units: xr.DataArray, others: xr.DataArray) -> bool:
    """Whether units are the same, by their identifiers, and for ROIs also by their table."""
    table, other_table = units.attrs.get(schema.ROI_TABLE), others.attrs.get(schema.ROI_TABLE)
    same_table = table is None or other_table is None or table == other_table
    return same_table and np.array_equal(units.values, others.values)


def events_of(session: xr.DataTree) -> dict[str, xr.Dataset]:
    """Point events of a session (licks, rewards) by name: nodes with `event_time`."""
    return (
        events_below(session.children[schema.EVENTS]) if schema.EVENTS in session.children else {}
    )


def events_below(node: xr.DataTree) -> dict[str, xr.Dataset]:
    """Point events at and below a node of a recording tree."""
    return {
        str(child.name) if path == "." else path.replace("/", "_"): child.to_dataset()
        for path, child in node.subtree_with_keys
        if schema.EVENT_TIME in child.data_vars
    }


def times_by_name(events: Mapping[str, xr.Dataset]) -> dict[str, xr.Variable]:
    """The times of point events, followed by those of each label, as ``<name>_<label>``.

    Parameters
    ----------
    events : dict of str to Dataset
        Events by name, each with `event_time`, ``(event,)`` in seconds. They are split by label if
        their variable `label` holds texts, of which 2 to 50 are distinct.

    Returns
    -------
    dict of str to (event,) Variable, s
        Times on the session clock, in the order of the file.
    """
    times = {name: node.variables[schema.EVENT_TIME] for name, node in events.items()}
    for name, node in events.items():
        for label, of_label in _by_label(node).items():
            times.setdefault(schema.node_name(f"{name}_{label}"), of_label)
    return times


def _by_label(node: xr.Dataset) -> dict[str, xr.Variable]:
    """The times, (event,) in s, of each label of a node of events."""
    column = node.variables.get("label")
    if column is None or column.ndim != 1 or column.dtype.kind not in "OU":
        return {}
    labels = np.array([str(label or "") for label in column.values], object)
    kinds = sorted(set(labels) - {""})
    if not 1 < len(kinds) <= _LABELS:
        return {}
    times = node.variables[schema.EVENT_TIME].load()
    return {kind: times[labels == kind] for kind in kinds}
