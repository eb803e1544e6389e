"""The session of a recording tree that a file of one session is written from."""

from __future__ import annotations

import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import NotInTree, SchemaError, shorten
from neuroarrays.schema import given


def one_session(tree: xr.DataTree, session: str | None) -> xr.DataTree:
    """The node of a session, by its name; of a tree of one session, and of a session, that one.

    Raises
    ------
    SchemaError
        If it is no recording tree, or there are several sessions and no name.
    NotInTree
        If there is no such session.
    """
    if schema.kind_of(tree) != schema.RECORDING:
        msg = f"expected a recording tree, found {given.described(tree)}"
        raise SchemaError(msg)
    if tree.parent is not None and tree.parent.parent is None and session is None:
        return tree
    names = list(tree.root.children)
    if session is None and len(names) != 1:
        msg = f"there are {len(names)} sessions, {shorten(names)}; say session="
        raise SchemaError(msg)
    name = names[0] if session is None else session
    if name not in names:
        raise NotInTree("session", name, names)
    return tree.root.children[name]
