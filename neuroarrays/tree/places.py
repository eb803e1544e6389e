"""List the areas of a tree, each with its name and the name of its session."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import xarray as xr

from neuroarrays import schema
from neuroarrays.schema import given
from neuroarrays.schema.names import matches


@dataclass(frozen=True)
class Place:
    """The position of an area in its tree.

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
        """The path of its session."""
        return f"{self.block}/{self.session}" if self.block else self.session


def places_of(
    tree: xr.DataTree, wanted: str | None = None, areas: str | Sequence[str] | None = None
) -> list[Place]:
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
    list of Place

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
    above = tree.path.strip("/")
    paths = ["/".join(part for part in (above, path) if part not in ("", ".")) for path in below]
    places = [_place(kind, path) for path in paths if path]
    return [area for area in places if areas is None or matches(area.area, areas)]


def without_any(tree: xr.DataTree, places: Sequence[Place]) -> list[str]:
    """Paths of the sessions that have none of the given areas."""
    having = {area.of_session for area in places}
    inside = tree.path.strip("/")
    beside: dict[str, None] = {}
    for block in dict.fromkeys(area.block for area in places):
        node = tree.root[block] if block else tree.root
        beside |= {f"{block}/{name}".strip("/"): None for name in node.children}
    return [
        path
        for path in beside
        if path not in having and f"{path}/".startswith(f"{inside}/" if inside else "")
    ]


def _place(kind: str, path: str) -> Place:
    parts = path.split("/")
    if kind == schema.RECORDING:  # nodes below the session may be nodes of an area
        return Place(path, "", parts[0], "/".join(parts[1:]))
    session = parts[-2] if len(parts) > 1 else ""
    return Place(path, "/".join(parts[:-2]), session, parts[-1])
