"""What a recording tree holds, session by session: areas with units, series, times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.schema.names import chosen

#: Behaviour: the series that are aligned unless others are asked for.
BEHAVIOUR = (schema.RUNNING, schema.PUPIL, "position", "head_direction", "eye_tracker", "treadmill")


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

    Series of other units than the first (cells imaged beside neurons recorded, a second imaged
    plane) cannot share their `unit_id`: they become an area of their own, ``<area>_<series>``.
    """
    found: dict[str, dict[str, xr.Dataset]] = {}
    for name, area in session.children.items():
        leaves = {
            leaf: node.to_dataset()
            for leaf, node in sorted(area.children.items(), key=lambda c: c[0] != schema.SPIKES)
            if schema.UNIT in node.sizes
        }
        places: dict[str, xr.DataArray] = {}
        for leaf, node in leaves.items():
            units = node[schema.UNIT]
            place = next((p for p, known in places.items() if _same_units(known, units)), None)
            if place is None:
                place = f"{name}_{leaf}" if places else name
            places.setdefault(place, units)
            if place != name and place in session.children:
                msg = (
                    f"{area.path}/{leaf} has other units than its area, so it becomes the area "
                    f"{place!r}, which exists: rename one with tree[...].name"
                )
                raise SchemaError(msg)
            found.setdefault(place, {})[leaf] = node
    return found


def _same_units(one: xr.DataArray, other: xr.DataArray) -> bool:
    """By their identifiers; of ROIs also by the table that these number."""
    tables = [units.attrs.get(schema.ROI_TABLE) for units in (one, other)]
    return np.array_equal(one.values, other.values) and (None in tables or tables[0] == tables[1])


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
