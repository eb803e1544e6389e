"""The session of a recording tree that a file of one session is written from."""

from __future__ import annotations

import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import NotInTree, SchemaError, shorten
from neuroarrays.schema import given


def one_session(tree: xr.DataTree, session: str | None) -> xr.DataTree:
    """Find the node of the session to write.

    Parameters
    ----------
    tree : DataTree
        A recording tree, or a session of one.
    session : str or None
        The name of the session. None is allowed if `tree` is a session or has only one.

    Raises
    ------
    SchemaError
        If `tree` is not a recording tree, or has several sessions and no name was given.
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
