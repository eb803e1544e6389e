"""The nodes of a tree as datasets by path: split a tree, cut its nodes, join them again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.lazy.trees import tree_of
from neuroarrays.tree.invalid import INVALID_TIMES

Groups = dict[str, xr.Dataset]
#: Nodes that tell when their session was recorded, and when it is valid; relative to the session.
_RECORDED_TIME = (schema.OBSERVED, f"{schema.PRESENTATIONS}/{INVALID_TIMES}")


def is_recording(tree: xr.DataTree) -> bool:
    """Whether a tree holds raw clocks."""
    return schema.kind_of(tree) == schema.RECORDING


def nodes_of(tree: xr.DataTree) -> Groups:
    """The stored nodes of a tree by path; for a branch, its nodes and those above it.

    A branch of a recording comes with the nodes that tell when its session was recorded and is
    valid.
    """
    kind = schema.kind_of(tree)
    prefix = tree.path.strip("/")
    session = prefix.partition("/")[0]
    names = _RECORDED_TIME if kind == schema.RECORDING and session else ()
    always = {prefix, *(f"{session}/{name}" for name in names)}
    nodes = {node.path.strip("/"): node for node in tree.root.subtree}
    return {
        path: node.to_dataset(inherit=False)
        for path, node in nodes.items()
        if path in always or below(path, prefix) or below(prefix, path)
    }


def below(path: str, branch: str) -> bool:
    """Whether a path is below a branch; the branch itself is not."""
    return path != branch and (not branch or path.startswith(branch + "/"))


def above(path: str) -> list[str]:
    """The paths of the nodes above a path, the nearest first, without the root ""."""
    paths = []
    while path := path.rpartition("/")[0]:
        paths.append(path)
    return paths


def rebuilt(tree: xr.DataTree, groups: Groups) -> xr.DataTree:
    """Join groups to a tree; returns its node at the path of `tree`."""
    root = tree_of({"/" + path: node for path, node in groups.items()})
    path = tree.path.strip("/")
    branch = root[path] if path else root
    assert isinstance(branch, xr.DataTree)
    return branch


def without(groups: Groups, dropped: set[str], owners: set[str]) -> Groups:
    """Drop nodes with all that is below them, and parents whose owners were all dropped.

    Parameters
    ----------
    groups : dict of str to Dataset
        All nodes by path.
    dropped : set of str
        The paths of the nodes to drop.
    owners : set of str
        The paths of the nodes that keep their parent in the tree, such as the areas.
    """
    parents = {path.rpartition("/")[0] for path in dropped}
    dropped = set(dropped)
    while parents := {p for p in parents if p}:
        for parent in parents:
            inside = [path for path in owners if below(path, parent)]
            if inside and all(_is_dropped(path, dropped) for path in inside):
                dropped.add(parent)
        parents = {path.rpartition("/")[0] for path in parents}
    return {path: node for path, node in groups.items() if not _is_dropped(path, dropped)}


def _is_dropped(path: str, dropped: set[str]) -> bool:
    """Whether a node or one above it was dropped."""
    return path in dropped or any(parent in dropped for parent in above(path))


def columns(node: xr.Dataset, dim: str) -> dict[str, xr.DataArray]:
    """The variables and coordinates with one value per entry of a dimension."""
    return {name: node[name] for name in names_along(node, dim)}


def names_along(node: xr.Dataset, dim: str) -> list[str]:
    """Names of the variables and coordinates with one value per entry of a dimension."""
    return [str(name) for name, v in node.variables.items() if v.dims == (dim,)]


def owners(groups: Mapping[str, xr.Dataset], dim: str) -> list[str]:
    """The highest nodes that have a dimension; all nodes below them share it."""
    highest: dict[str, None] = {}
    for path, node in groups.items():
        if dim in node.sizes and not any(parent in highest for parent in _above_and_root(path)):
            highest[path] = None
    return list(highest)


def _above_and_root(path: str) -> list[str]:
    """The paths above one, the nearest first, and the root at the end."""
    return [*above(path), ""] if path else []


def parameters(owner: str, groups: Mapping[str, xr.Dataset]) -> dict[str, Any]:
    """The columns along presentations at or below a node; a column of a table comes first."""
    paths = [path for path in groups if path == owner or below(path, owner)]
    paths.sort(key=lambda path: not path.endswith(schema.PRESENTATIONS))
    columns_by_name: dict[str, Any] = {}
    for path in paths:
        for name, column in columns(groups[path], schema.PRESENTATION).items():
            columns_by_name.setdefault(name, column)
    return columns_by_name


def keep_rows(
    groups: Groups,
    chosen: Mapping[str, np.ndarray],
    dim: str,
    take: Callable[[xr.Dataset, np.ndarray], xr.Dataset] | None = None,
    *,
    keep_empty: bool = False,
) -> Groups:
    """Keep the chosen entries of a dimension, in each node that owns it and all below.

    Parameters
    ----------
    groups : dict of str to Dataset
        All nodes by path.
    chosen : mapping of str to (dim,) bool
        Path of each node of `owners` -> the entries to keep.
    dim : str
        Name of the dimension, such as ``"presentation_id"``.
    take : callable, optional
        Function that cuts a node to entries by position (default: ``node.isel``).
    keep_empty : bool
        If True, owners without any entry left are kept.
    """
    emptied = {path for path, rows in chosen.items() if not rows.any()} if not keep_empty else set()
    positions_of = {
        owner: np.flatnonzero(rows)
        for owner, rows in chosen.items()
        if owner not in emptied and not rows.all()
    }
    for path, node in groups.items():
        for owner in (path, *_above_and_root(path)):
            if owner in positions_of and dim in node.sizes:
                rows = positions_of[owner]
                groups[path] = node = take(node, rows) if take else node.isel({dim: rows})
    return without(groups, emptied, set(chosen))
