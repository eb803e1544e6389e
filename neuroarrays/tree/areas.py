"""List the areas of a tree, each with its name and the name of its session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import xarray as xr

from neuroarrays import schema
from neuroarrays.schema import given
from neuroarrays.schema.names import matches


@dataclass(frozen=True)
class AreaPath:
    """The path of an area in its tree, and the names in it.

    Attributes
    ----------
    path : str
        Path from the root of the tree.
    block, session, area : str
        Names of the block (the node above the session, "" in a tree without blocks), of the session
        and of the area.
    """

    path: str
    block: str
    session: str
    area: str

    @property
    def of_session(self) -> str:
        """The path of the session of the area."""
        return f"{self.block}/{self.session}" if self.block else self.session


def list_areas(
    tree: xr.DataTree, wanted: str | None = None, areas: str | Sequence[str] | None = None
) -> list[AreaPath]:
    """List the areas at and below a node, session after session.

    Parameters
    ----------
    tree : DataTree
        A recording or aligned tree, or a node of one.
    wanted : str, optional
        What an area must have, as `neuroarrays.schema.given.has` names it (default: units).
    areas : str or list of str, optional
        Names or patterns (default: all).

    Returns
    -------
    list of AreaPath

    Raises
    ------
    SchemaError
        If the tree is not from `open_datatree` or `align`.
    """
    kind = schema.kind_of(tree)
    if wanted is not None:
        below = given.areas(tree, wanted)
    elif schema.UNIT in tree.sizes or schema.SPIKES in tree.children:
        below = ["."]
    else:
        below = schema.area_paths(tree)
    branch = tree.path.strip("/")
    paths = ["/".join(part for part in (branch, path) if part not in ("", ".")) for path in below]
    listed = [_area_path(kind, path) for path in paths if path]
    return [area for area in listed if areas is None or matches(area.area, areas)]


def sessions_without(tree: xr.DataTree, areas: Sequence[AreaPath]) -> list[str]:
    """List the sessions at and below a node that have none of the given areas.

    Parameters
    ----------
    tree : DataTree
        A recording or aligned tree, or a node of one.
    areas : sequence of AreaPath
        Areas of the tree. Only the sessions of their blocks are looked at.

    Returns
    -------
    list of str
        The paths of the sessions from the root of the tree.
    """
    with_area = {area.of_session for area in areas}
    branch = tree.path.strip("/")
    sessions: dict[str, None] = {}
    for block in dict.fromkeys(area.block for area in areas):
        node = tree.root[block] if block else tree.root
        sessions |= {f"{block}/{name}".strip("/"): None for name in node.children}
    return [
        path
        for path in sessions
        if path not in with_area and f"{path}/".startswith(f"{branch}/" if branch else "")
    ]


def _area_path(kind: str, path: str) -> AreaPath:
    """The names in the path of an area; in a recording tree an area may be nested."""
    parts = path.split("/")
    if kind == schema.RECORDING:
        return AreaPath(path, "", parts[0], "/".join(parts[1:]))
    session = parts[-2] if len(parts) > 1 else ""
    return AreaPath(path, "/".join(parts[:-2]), session, parts[-1])
