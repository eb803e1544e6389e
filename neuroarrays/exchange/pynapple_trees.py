"""Convert objects of pynapple to trees."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import option
from neuroarrays.exchange.pynapple_nodes import metadata_of, node_of
from neuroarrays.exchange.pynapple_objects import PynappleObjects, pynapple_module, to_pynapple
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.trees import tree_of
from neuroarrays.schema.given import described
from neuroarrays.tree.intervals import merged
from neuroarrays.tree.observed import OF_SESSION, add_observed, with_stretches


def from_pynapple(objects: Mapping[str, Any], session: str | None = None) -> xr.DataTree:
    """Convert objects of pynapple to a recording tree.

    Parameters
    ----------
    objects : mapping of str to object
        Objects by name, with times in seconds. A name may be a path. A ``TsGroup`` becomes
        ``<name>/spikes``, or below ``presentations`` a table of starts and stops. If it holds
        ``Tsd``, their values become the variable `spike_values`. A ``Ts`` becomes spikes of one
        unit, or below ``events`` an event. An ``IntervalSet`` becomes the table
        ``presentations/<name>``. A ``Tsd``, ``TsdFrame`` or ``TsdTensor`` becomes a node ``<name>``
        on its own clock. If its columns are whole numbers, they are units of the area "unknown".
        A time support that was given becomes the recorded time; one that pynapple computed itself
        does not. A ``Folder`` of pynapple, or its ``NWBFile``, is such a mapping too. Each of those
        that are inside becomes a session, named after its path (``sub-A_ses-1``).
    session : str, optional
        Name of the session, if the names of the objects do not begin with it. Names that
        `to_pynapple` gives do.

    Returns
    -------
    xr.DataTree
        A recording tree, in memory. If `objects` were made by `to_pynapple`, it is the tree that
        they were made from. Objects that were replaced since are converted again, and the nodes of
        objects that were removed are removed.

    Raises
    ------
    TypeError
        If `objects` is not a mapping from names, or an object is of another type.
    ValueError
        If a name is not a path, or a group below ``presentations`` has more than two times in a row.

    Examples
    --------
    >>> import neuroarrays as na
    >>> import pynapple as nap
    >>> tree = na.from_pynapple({"speed": nap.Tsd([0.0, 0.5], [3.0, 4.0])})
    >>> tree["session/speed"]["speed"].values.tolist()
    [3.0, 4.0]
    """
    nap = pynapple_module()
    if not isinstance(objects, Mapping) or isinstance(
        objects, xr.Dataset | xr.DataTree | nap.TsGroup
    ):
        name, kind = ("CA1" if isinstance(objects, nap.TsGroup) else "signal"), type(objects)
        is_of_pynapple = kind.__module__.startswith("pynapple")
        what = f"a {kind.__name__}" if is_of_pynapple else described(objects)
        msg = f"expected objects of pynapple by name, such as {{{name!r}: ...}}, found {what}"
        raise TypeError(msg)
    if isinstance(objects, PynappleObjects) and objects.tree.parent is None:
        return _restored(objects)
    groups = {"/": xr.Dataset(attrs=schema.root_attrs(schema.RECORDING, source="pynapple"))}
    if session is not None:
        _check_name(session)
        if "/" in session:
            msg = f"{option('session', session)}: expected one name, not a path"
            raise ValueError(msg)
    for folder, inside in _by_folder(nap, objects).items():
        groups |= _sessions(inside, folder or session)
    return tree_of(groups)


def _by_folder(nap: Any, objects: Mapping[str, Any], folder: str = "") -> dict[str, dict[str, Any]]:
    """The objects of each folder and file, by the parts of its path joined with "_".

    Objects that are in no folder have the path "".
    """
    direct: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for name, value in objects.items():
        _check_name(name)
        if isinstance(value, nap.Folder | nap.NWBFile):
            inner |= _by_folder(nap, value, f"{folder}_{name}".strip("_"))
        elif isinstance(value, Mapping) and not isinstance(value, nap.TsGroup):
            below = {f"{name}/{key}": nap_object for key, nap_object in value.items()}
            for path in below:
                _check_name(path)
            direct |= below
        else:
            direct[name] = value
    return ({folder: direct} if direct or not inner else {}) | inner


def _sessions(objects: Mapping[str, Any], session: str | None) -> dict[str, xr.Dataset]:
    """The nodes of all sessions in the names of objects; `session` is used for other names."""
    groups: dict[str, xr.Dataset] = {}
    parts = {name: _split(name, objects, session) for name in objects}
    names = dict.fromkeys(part[0] for part in parts.values()) or [session or "session"]
    for session_name in names:
        inside = {
            part[1:]: objects[name] for name, part in parts.items() if part[0] == session_name
        }
        groups |= _session(inside, session_name)
    return groups


def _check_name(name: Any) -> None:
    """Refuse a name that cannot be the path of a node."""
    if not isinstance(name, str):
        msg = f"expected names as text, found {name!r:.60}; write str(name)"
        raise TypeError(msg)
    if any(part != schema.node_name(part) for part in name.strip("/").split("/")):
        msg = f"expected a name or a path, such as 'CA1/spikes', found {name!r:.60}"
        raise ValueError(msg)


def _split(name: str, names: Iterable[str], session: str | None) -> tuple[str, str, bool]:
    """Split the name of an object into session and path.

    Returns
    -------
    session : str
        Name of the session.
    path : str
        The path of the object below the session.
    of_tree : bool
        Whether the name is one that `to_pynapple` gives. This is so if another name of the session
        is that of spikes, a table or events, or if all names have a session, a node and a variable.
    """
    split = [other.strip("/").split("/") for other in names]
    first, _, rest = name.strip("/").partition("/")
    kinds = (schema.PRESENTATIONS, schema.EVENTS)
    known = session == first or any(
        len(parts) > 2 and parts[0] == first and (parts[1] in kinds or parts[-1] == schema.SPIKES)
        for parts in split
    )
    if rest and session in (None, first) and (known or all(len(parts) > 2 for parts in split)):
        return first, rest, True
    return session or "session", name.strip("/"), False


def _session(objects: Mapping[tuple[str, bool], Any], session: str) -> dict[str, xr.Dataset]:
    """The nodes of one session."""
    observed: dict[str, tuple[np.ndarray, bool]] = {}
    groups = {session: xr.Dataset(attrs={"session_id": session})}
    for (path, of_tree), nap_object in objects.items():
        node_path, node, clocks = node_of(path, nap_object, of_tree)
        node_path = f"{session}/{node_path}"
        if node_path in groups and schema.TIME in groups[node_path].dims:
            if _can_share(groups[node_path], node):
                node = groups[node_path].merge(_with_distinct_axes(groups[node_path], node))
            else:  # It has another clock or other units, so it gets a node of its own.
                node_path = f"{session}/{path}"
        groups[node_path] = node
        if clocks:
            observed[node_path] = _observed(nap_object, clocks)
    if any(stated for _, stated in observed.values()):
        stretches = merged(np.concatenate([rows for rows, _ in observed.values()]))
        groups[f"{session}/{schema.OBSERVED}"] = dataset(
            {
                name: schema.var("observed", name, column)
                for name, column in zip(OF_SESSION, stretches, strict=True)
            }
        )
    for path, (rows, stated) in observed.items():
        if stated and path.endswith(f"/{schema.SPIKES}"):
            groups[path] = with_stretches(groups[path], list(rows.T))
    return add_observed(groups, session)


def _can_share(group: xr.Dataset, node: xr.Dataset) -> bool:
    """Whether signals can share a node: they have the same clock, and the same units if any."""
    shared = [dim for dim in (schema.TIME, schema.UNIT) if dim in group.dims and dim in node.dims]
    return schema.TIME in shared and all(
        node.indexes[dim].equals(group.indexes[dim]) for dim in shared
    )


def _with_distinct_axes(group: xr.Dataset, node: xr.Dataset) -> xr.Dataset:
    """A signal, with axes and labels renamed that differ from those of the same name in `group`."""
    (name,) = node.data_vars
    axes = {
        dim: f"{name}_{dim}"
        for dim in node.dims
        if dim not in (schema.TIME, schema.UNIT)
        and dim in group.dims
        and not _same_axis(group, node, dim)
    }
    labels = {
        label: f"{name}_{label}"
        for label, values in node.coords.items()
        if label not in node.dims and label in group.variables
        if set(values.dims) & set(axes) or not values.variable.identical(group.variables[label])
    }
    return node.rename(axes | labels)


def _same_axis(group: xr.Dataset, node: xr.Dataset, dim: Hashable) -> bool:
    """Whether a dimension has the same length and labels in two nodes."""
    if dim in group.coords and dim in node.coords:
        return bool(group.indexes[dim].equals(node.indexes[dim]))
    has_labels = dim in group.coords or dim in node.coords
    return not has_labels and group.sizes[dim] == node.sizes[dim]


def _restored(objects: PynappleObjects) -> xr.DataTree:
    """The tree that objects were made from, with changed objects converted again."""
    before = to_pynapple(objects.tree)
    changed = {
        name: nap_object
        for name, nap_object in objects.items()
        if name not in before or not _are_equal(nap_object, before[name])
    }
    nodes = {path: node.to_dataset(inherit=False) for path, node in objects.tree.subtree_with_keys}
    nodes["/"] = nodes.pop(".")
    for name in before.keys() - (objects.keys() - changed.keys()):
        path, _, variable = name.rpartition("/")
        if name in nodes:
            del nodes[name]
        else:
            nodes[path] = nodes[path].drop_vars(variable)
            if not nodes[path].data_vars:
                del nodes[path]
    if changed:
        _replace(nodes, from_pynapple(changed), objects.tree)
    return tree_of(nodes)


def _replace(nodes: dict[str, xr.Dataset], rebuilt: xr.DataTree, tree: xr.DataTree) -> None:
    """Put rebuilt nodes among those of a tree, in place; attributes of the old nodes stay."""
    before = dict(tree.subtree_with_keys)
    for path, node in rebuilt.subtree_with_keys:
        new = node.to_dataset(inherit=False)
        session, _, below = path.partition("/")
        if not below or (below == schema.OBSERVED and session in tree.children):
            nodes.setdefault("/" if path == "." else path, new)
            continue
        old = before[path].to_dataset(inherit=False).variables if path in before else {}
        for name, variable in new.variables.items():
            if name in old:
                variable.attrs = variable.attrs | old[name].attrs
        current = nodes.get(path)
        if current is not None and schema.TIME in current.dims and schema.TIME in new.dims:
            if current.indexes[schema.TIME].equals(new.indexes[schema.TIME]):
                new = current.merge(new)
            else:
                path = f"{path}/{'_'.join(map(str, new.data_vars))}"
        nodes[path] = new


def _are_equal(first: Any, second: Any) -> bool:
    """Whether two objects of pynapple have the same type, times, values and metadata."""
    nap = pynapple_module()
    if type(first) is not type(second) or len(first) != len(second):
        return False
    columns, others = metadata_of(first), metadata_of(second)
    same_metadata = list(columns) == list(others) and all(
        pd.Series(columns[name]).equals(pd.Series(others[name])) for name in columns
    )
    if not same_metadata or not np.array_equal(_support_of(first), _support_of(second)):
        return False
    if isinstance(first, nap.IntervalSet):
        return True
    if isinstance(first, nap.TsGroup):
        return np.array_equal(first.index, second.index) and all(
            _are_equal(first[i], second[i]) for i in first.index
        )
    names, other_names = (list(getattr(series, "columns", ())) for series in (first, second))
    if not np.array_equal(first.index, second.index) or names != other_names:
        return False
    return isinstance(first, nap.Ts) or np.array_equal(
        first.values, second.values, equal_nan=first.values.dtype.kind == "f"
    )


def _support_of(nap_object: Any) -> np.ndarray:
    """Starts and stops of the time support of an object, or of an `IntervalSet`; (n, 2), s."""
    support = getattr(nap_object, "time_support", nap_object)
    return np.asarray(support.values, np.float64)


def _observed(nap_object: Any, clocks: list[np.ndarray]) -> tuple[np.ndarray, bool]:
    """The time support of an object, (n, 2) in s, and whether it was given explicitly.

    If it is not given, pynapple takes the time from the first to the last stamp of each clock.
    """
    ends = np.array([(clock.min(), clock.max()) for clock in clocks if clock.size]).reshape(-1, 2)
    support = nap_object.time_support
    if support is None:
        return ends, False
    rows = np.asarray(support.values, np.float64).reshape(-1, 2)
    guess = np.stack(merged(ends), axis=1)
    return rows, rows.shape != guess.shape or not np.allclose(rows, guess, rtol=0, atol=2e-6)
