"""What a recording tree holds, session by session: areas with units, series, times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.schema.names import chosen

#: Behaviour: the series that are aligned unless others are asked for.
BEHAVIOUR = (
    schema.RUNNING, schema.PUPIL, "position", "head_direction", "eye_tracker", "treadmill"
)  # fmt: skip


def sessions_of(tree: xr.DataTree) -> dict[str, xr.DataTree]:
    """The sessions of a recording tree by name, or the one session that is given.

    Raises
    ------
    SchemaError
        If a node is a part of a session, or a session has nothing with times: there is nothing to
        align.
    """
    if tree.level > 1:
        above = tree.path.strip("/").partition("/")[0]
        msg = f"{tree.path} is a part of a session; give the whole tree, or tree[{above!r}]"
        raise SchemaError(msg)
    sessions = {str(tree.name): tree} if tree.level == 1 else dict(tree.children)
    if not sessions:
        msg = "the tree has no sessions"
        raise SchemaError(msg)
    for name, session in sessions.items():
        if not any(_holds_times(node) for _, node in session.subtree_with_keys):
            hint = (
                ". Leave it out with sessions= when you open the tree" if len(sessions) > 1 else ""
            )
            msg = (
                f"session {name!r} has no units, signals or events to align: found "
                f"{', '.join(session.children) or 'nothing'}{hint}"
            )
            raise SchemaError(msg)
    return sessions


def _holds_times(node: xr.DataTree) -> bool:
    return (
        "row_size" in node.data_vars or schema.TIME in node.dims or "event_time" in node.data_vars
    )


def areas_of(session: xr.DataTree) -> dict[str, dict[str, xr.Dataset]]:
    """Area -> its spikes node ("spikes") and its series with units, as datasets.

    A series of other units than the spikes (cells imaged beside neurons recorded, two imaged
    planes) cannot share their `unit_id`: it becomes an area of its own, ``<area>_<series>``.
    """
    found: dict[str, dict[str, xr.Dataset]] = {}
    for name, area in session.children.items():
        leaves = {
            leaf: node.to_dataset()
            for leaf, node in sorted(area.children.items(), key=lambda c: c[0] != schema.SPIKES)
            if schema.UNIT in node.sizes
        }
        units = [node[schema.UNIT].values for node in leaves.values()]
        for leaf, node in leaves.items():
            same = np.array_equal(units[0], node[schema.UNIT].values)
            place = name if same else f"{name}_{leaf}"
            if not same and place in session.children:
                msg = (
                    f"{area.path}/{leaf} has other units than its area, so it becomes the area "
                    f"{place!r}, which exists: rename one with tree[...].name"
                )
                raise SchemaError(msg)
            found.setdefault(place, {})[leaf] = node
    return found


def events_of(session: xr.DataTree) -> dict[str, xr.Dataset]:
    """Point events of a session (licks, rewards) by name: nodes with `event_time`."""
    return (
        events_below(session.children[schema.EVENTS]) if schema.EVENTS in session.children else {}
    )


def events_below(node: xr.DataTree) -> dict[str, xr.Dataset]:
    """Point events in the branch of a node of a recording tree, the node itself among it."""
    return {
        str(one.name) if path == "." else path.replace("/", "_"): one.to_dataset()
        for path, one in node.subtree_with_keys
        if "event_time" in one.data_vars
    }


def series_of(session: xr.DataTree, wanted: str | Sequence[str] | None) -> dict[str, xr.Dataset]:
    """Series of the session by path: those asked for, else behaviour; without units, all."""
    paths = {
        path: node
        for path, node in session.subtree_with_keys
        if schema.TIME in node.dims
        and schema.UNIT not in node.dims
        and path != "."
        and "stimulus" not in node.data_vars
    }
    if wanted is None:
        usual = [p for p in paths if p.partition("/")[0] in BEHAVIOUR or not areas_of(session)]
        return {path: paths[path].to_dataset() for path in usual}
    return {path: paths[path].to_dataset() for path in chosen(paths, wanted, "series")}


def stimuli_of(session: xr.DataTree) -> dict[str, xr.Dataset]:
    """Nodes with frames of a stimulus on a clock, by the name they have in an aligned tree."""
    found = {
        path.replace("/", "_"): node.to_dataset()
        for path, node in session.subtree_with_keys
        if "stimulus" in node.data_vars and schema.TIME in node.dims
    }
    return {"stimulus": next(iter(found.values()))} if len(found) == 1 else found
