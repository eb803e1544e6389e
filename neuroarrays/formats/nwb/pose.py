"""Poses: the positions of body parts over time, as the extension ndx-pose stores them.

https://github.com/rly/ndx-pose. A group `PoseEstimation` has a `PoseEstimationSeries` for each body
part, with positions (time, 2 or 3) and `confidence` (time,) from 0 to 1. The series on one clock
become one node with ``position`` (time, keypoint, space) and ``confidence`` (time, keypoint).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import many
from neuroarrays.files.source import plain
from neuroarrays.formats.nwb import columns
from neuroarrays.formats.nwb.account import Account, printable, unreadable
from neuroarrays.formats.nwb.series import Series
from neuroarrays.formats.nwb.values import attrs_of, clock_of, values_of
from neuroarrays.lazy.arrays import LazyArray, file_array, wrap
from neuroarrays.lazy.computed import missing
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Arranged, Stacked, side_by_side

_AXES = ("x", "y", "z")
#: Attributes of a keypoint that hold for all keypoints of a node.
_SHARED_ATTRS = ("units", "sampling_rate", "reference_frame")
#: The most values of a dataset of a group of keypoints that becomes an attribute.
_SMALL = 32


def is_pose(account: Account, members: list[Series]) -> bool:
    """Whether series on one clock are keypoints of one kind, which fit into one array.

    If their columns or units differ, a remark is added to the account, and each series stays a
    variable.
    """
    if not all(member.is_keypoint for member in members):
        return False
    kinds = {
        (*values_of(account.source, member).shape[1:], member.unit.lower()) for member in members
    }
    first = next(iter(kinds))
    if len(kinds) == 1 and len(first) == 2 and first[0] in (2, 3):
        return True
    account.remark(
        members[0].path.rpartition("/")[0],
        "keypoints of different units, or not of x, y and z: a variable for each",
    )
    return False


def pose_node(account: Account, members: list[Series]) -> xr.Dataset:
    """Return a node of keypoints on one clock: ``position`` in their unit, ``confidence`` if any."""
    source, container = account.source, members[0].path.rpartition("/")[0]
    nodes, facts = _skeleton(account, container)
    if {member.name for member in members} <= set(nodes):
        members = sorted(members, key=lambda member: nodes.index(member.name))
    first = members[0]
    positions = [values_of(source, member) for member in members]
    stacked = Arranged(Stacked(tuple(positions), (len(positions),)), (1, 0, 2))
    attrs = {key: value for key, value in attrs_of(first).items() if key in _SHARED_ATTRS}
    variables = {
        schema.POSITION: xr.Variable(
            (schema.TIME, schema.KEYPOINT, schema.SPACE),
            wrap(stacked),
            attrs | facts | _facts(account, container) | {"nwb_path": container},
        )
    }
    columns_of = [_confidence(account, member) for member in members]
    if any(column is not None for column in columns_of):
        unknown = missing((first.size,))
        confidence = side_by_side([unknown if c is None else c for c in columns_of])
        definition = source.attr(f"{first.path}/{schema.CONFIDENCE}", "definition")
        attrs = {"definition": printable(str(definition))} if definition else {}
        variables[schema.CONFIDENCE] = confidence.variable((schema.TIME, schema.KEYPOINT), attrs)
    names = np.array([printable(member.name) for member in members], object)
    described = [str(member.attrs.get("description", "")) for member in members]
    coords = {
        schema.TIME: clock_of(source, first),
        schema.KEYPOINT: xr.Variable(schema.KEYPOINT, names),
        schema.SPACE: xr.Variable(schema.SPACE, np.array(_AXES[: stacked.shape[2]], object)),
    }
    if any(described):
        coords["description"] = xr.Variable(schema.KEYPOINT, np.array(described, object))
    return dataset(variables | _others(account, members), coords)


def _confidence(account: Account, member: Series) -> LazyArray | None:
    """Return the confidence in a keypoint, (time,) from 0 to 1, or None if the file has none."""
    path = f"{member.path}/{schema.CONFIDENCE}"
    info = account.source.info(path)
    if info is None:
        return None
    if reason := unreadable(info):
        account.leave(path, reason)
        return None
    if info.shape != (member.size,) or info.dtype.kind not in "iuf":
        account.leave(
            path, f"shape {info.shape}, {info.dtype}: expected {many(member.size, 'number')}"
        )
        return None
    account.take(path)
    return file_array(account.source, path)


def _others(account: Account, members: list[Series]) -> dict[str, xr.Variable]:
    """Return further values of each sample of keypoints, as variables."""
    variables = {}
    for member in members:
        for name in member.extra:
            if name == schema.CONFIDENCE:
                continue
            path = f"{member.path}/{name}"
            array = file_array(account.source, path)
            label = columns.free(f"{member.name}_{name}")
            dims = (schema.TIME, *(f"{label}_axis{i}" for i in range(1, array.ndim)))
            variables[label] = array.variable(dims, columns.description(account.source, path))
            account.take(path)
    return variables


def _facts(account: Account, container: str) -> dict[str, Any]:
    """Return the facts about a group of keypoints (software, scorer, videos, ...) as attributes."""
    source = account.source
    facts: dict[str, Any] = {}
    for name in source.names(container):
        path = f"{container}/{name}"
        with account.step(path):
            info = source.info(path)
            if info is None or unreadable(info) or np.prod(info.shape, dtype=object) > _SMALL:
                continue
            if name not in ("nodes", "edges"):  # these are the skeleton
                facts[name] = plain(source.read(path))
            if version := source.attr(path, "version"):
                facts[f"{name}_version"] = printable(str(version))
            account.take(path)
    return facts


def _skeleton(account: Account, container: str) -> tuple[list[str], dict[str, Any]]:
    """Return the names of body parts in the order of the skeleton, and its edges as pairs of names.

    The group links to the skeleton; before ndx-pose 0.2 the group itself has the two arrays.
    """
    source = account.source
    paths = [f"{container}/{name}" for name in source.names(container)]
    linked = [path for path in paths if source.attr(path, "neurodata_type") == "Skeleton"]
    for skeleton in [*map(account.first_name, linked), container]:
        with account.step(f"{skeleton}/nodes"):
            if source.info(f"{skeleton}/nodes") is None:
                continue
            nodes = [str(name) for name in source.read(f"{skeleton}/nodes")]
            account.take(f"{skeleton}/nodes")
            if source.info(f"{skeleton}/edges") is None:
                return nodes, {}
            with account.step(f"{skeleton}/edges"):
                pairs = np.asarray(source.read(f"{skeleton}/edges")).tolist()
                edges = [printable(f"{nodes[start]}-{nodes[end]}") for start, end in pairs]
                account.take(f"{skeleton}/edges")
                return nodes, {"edges": edges}
            return nodes, {}
    return [], {}
