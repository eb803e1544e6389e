"""Trees put together from the datasets of their nodes. Uses a half-private part of xarray."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr

from neuroarrays.lazy.labels import show_labels


def tree_of(groups: Mapping[str, xr.Dataset]) -> xr.DataTree:
    """The tree of some nodes, as `xr.DataTree.from_dict` makes it in nearly twice the time.

    What takes longer there is that each node is copied a second time when it gets its parent.

    Parameters
    ----------
    groups : mapping of str to Dataset
        The nodes by path, "", "/" or "." the root. Nodes above them that are missing are made, empty.

    Returns
    -------
    xr.DataTree

    Raises
    ------
    ValueError
        If the sizes or labels of a node differ from those that it inherits.
    KeyError
        If a node is named as a variable of the node above it.
    """
    datasets = {"" if path == "." else path.strip("/"): node for path, node in groups.items()}
    nodes = {"": xr.DataTree(datasets.pop("", None))}
    for path in sorted(datasets, key=lambda path: path.count("/")):
        above = ""
        *names, name = path.split("/")
        for name_above in names:
            parent = nodes[above]
            above = f"{above}/{name_above}".lstrip("/")
            if above not in nodes:
                nodes[above] = xr.DataTree()
                nodes[above]._set_parent(parent, name_above)
        nodes[path] = xr.DataTree(datasets[path])
        nodes[path]._set_parent(nodes[above], name)
    for node in nodes.values():
        show_labels(node)
    return nodes[""]
