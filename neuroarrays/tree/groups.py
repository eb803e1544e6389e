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
#: Nodes that tell when their session was recorded, and when it is valid.
_WHEN = (schema.OBSERVED, f"{schema.PRESENTATIONS}/{INVALID_TIMES}")


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
    about = _WHEN if kind == schema.RECORDING and session else ()
    always = {f"{session}/{name}" for name in about}
    return {
        path.strip("/"): node.to_dataset(inherit=False)
        for path, node in ((node.path, node) for node in tree.root.subtree)
        if not prefix
        or path.strip("/") == prefix
        or below(path.strip("/"), prefix)
        or below(prefix, path.strip("/"))
        or path.strip("/") in always
    }


def below(path: str, other: str) -> bool:
    """Whether a path is inside the branch of another."""
    return path != other and (not other or path.startswith(other + "/"))


def above(path: str) -> list[str]:
    """The paths of the nodes above a path, the nearest first, without the root ""."""
    paths = []
    while path := path.rpartition("/")[0]:
        paths.append(path)
    return paths


def rebuilt(tree: xr.DataTree, groups: Groups) -> xr.DataTree:
    """A tree of the groups; returns the node at the path of the given one."""
    whole = tree_of({"/" + path: node for path, node in groups.items()})
    path = tree.path.strip("/")
    branch = whole[path] if path else whole
    assert isinstance(branch, xr.DataTree)
    return branch


def without(groups: Groups, dropped: set[str], owners: set[str]) -> Groups:
    """Drop nodes with all below them, and nodes above that then have no such node left."""
    parents = {path.rpartition("/")[0] for path in dropped}
    dropped = set(dropped)
    while parents := {p for p in parents if p}:
        for parent in parents:
            inside = [path for path in owners if below(path, parent)]
            if inside and all(path in dropped or _in(path, dropped) for path in inside):
                dropped.add(parent)
        parents = {path.rpartition("/")[0] for path in parents}
    return {p: node for p, node in groups.items() if p not in dropped and not _in(p, dropped)}


def _in(path: str, dropped: set[str]) -> bool:
    """Whether a node above a path was dropped."""
    return any(node in dropped for node in above(path))


def columns(node: xr.Dataset, dim: str) -> dict[str, xr.DataArray]:
    """The variables and coordinates with one value per entry of a dimension."""
    return {str(name): node[name] for name, v in node.variables.items() if v.dims == (dim,)}


def owners(groups: Mapping[str, xr.Dataset], dim: str) -> list[str]:
    """The highest nodes that have a dimension; all nodes below them share it."""
    highest: dict[str, None] = {}
    for path, node in groups.items():
        if dim in node.sizes and not any(owner in highest for owner in _or_root(path)):
            highest[path] = None
    return list(highest)


def _or_root(path: str) -> list[str]:
    """The paths above one, and the root."""
    return [*above(path), ""] if path else []


def parameters(owner: str, groups: Mapping[str, xr.Dataset]) -> dict[str, Any]:
    """The columns along presentations at or below a node, those of a table first."""
    paths = [path for path in groups if path == owner or below(path, owner)]
    paths.sort(key=lambda path: not path.endswith(schema.PRESENTATIONS))
    named: dict[str, Any] = {}
    for path in paths:
        for name, column in columns(groups[path], schema.PRESENTATION).items():
            named.setdefault(name, column)
    return named


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
    kept = {
        owner: np.flatnonzero(rows)
        for owner, rows in chosen.items()
        if owner not in emptied and not rows.all()
    }
    for path, node in groups.items():
        for owner in (path, *_or_root(path)):
            if owner in kept and dim in node.sizes:
                places = kept[owner]
                groups[path] = node = take(node, places) if take else node.isel({dim: places})
    return without(groups, emptied, set(chosen))
