"""Objects of pynapple as trees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import option
from neuroarrays.exchange.object_nodes import metadata_of, node_of
from neuroarrays.exchange.objects import PynappleObjects, pynapple_module, to_pynapple
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.trees import tree_of
from neuroarrays.schema.given import described
from neuroarrays.tree.intervals import merged
from neuroarrays.tree.observed import OF_SESSION, add_observed, with_stretches


def from_pynapple(objects: Mapping[str, Any], session: str | None = None) -> xr.DataTree:
    """Pynapple objects as a recording tree.

    Parameters
    ----------
    objects : mapping of str to object
        By name. ``TsGroup`` becomes ``<name>/spikes``; below ``presentations`` it is a table of starts
        and stops. The values of its ``Tsd`` become the variable `spike_values`. ``Ts`` becomes the
        same with one unit, and below ``events`` an event. ``IntervalSet`` becomes the table
        ``presentations/<name>``. ``Tsd``, ``TsdFrame`` and ``TsdTensor`` become a node ``<name>`` on
        its own clock, s; columns that are whole numbers are taken for units, of the area "unknown".
        Names may be paths. Time supports that were given are the time that was recorded; those that
        pynapple worked out itself are not. A ``Folder`` of pynapple,
        or a file of its ``NWBFile``, is such a mapping; each one inside it is a session of its own,
        called by its path in it (``sub-A_ses-1``).
    session : str, optional
        Name of the session, for names that do not begin with that of a session; those that
        `to_pynapple` gives do.

    Returns
    -------
    xr.DataTree
        A recording tree, in memory. Of what `to_pynapple` returned, the tree that it was given:
        objects that were replaced in it are built anew, those that were taken out are gone.

    Raises
    ------
    TypeError
        If `objects` is no mapping from names, or an object is none of these.
    ValueError
        If a name is no path, or a group below ``presentations`` has more than two times in a row.

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
        own = kind.__module__.startswith("pynapple")
        what = f"a {kind.__name__}" if own else described(objects)
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
    """The objects of each folder and file in `objects`, by its path joined with "_"; of itself by ""."""
    own: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for name, value in objects.items():
        _check_name(name)
        if isinstance(value, nap.Folder | nap.NWBFile):
            inner |= _by_folder(nap, value, f"{folder}_{name}".strip("_"))
        elif isinstance(value, Mapping) and not isinstance(value, nap.TsGroup):
            below = {f"{name}/{key}": each for key, each in value.items()}
            for path in below:
                _check_name(path)
            own |= below
        else:
            own[name] = value
    return ({folder: own} if own or not inner else {}) | inner


def _sessions(objects: Mapping[str, Any], session: str | None) -> dict[str, xr.Dataset]:
    """The nodes of the sessions that the names of objects say; of `session` where they say none."""
    groups: dict[str, xr.Dataset] = {}
    parts = {name: _split(name, objects, session) for name in objects}
    for each in dict.fromkeys(part[0] for part in parts.values()) or [session or "session"]:
        inside = {part[1:]: objects[name] for name, part in parts.items() if part[0] == each}
        groups |= _session(inside, each)
    return groups


def _check_name(name: Any) -> None:
    """Refuse what is no path of a node."""
    if not isinstance(name, str):
        msg = f"expected names as text, found {name!r:.60}; write str(name)"
        raise TypeError(msg)
    if any(part != schema.node_name(part) for part in name.strip("/").split("/")):
        msg = f"expected a name or a path, such as 'CA1/spikes', found {name!r:.60}"
        raise ValueError(msg)


def _split(name: str, names: Iterable[str], session: str | None) -> tuple[str, str, bool]:
    """The session of an object, its path there, and whether the name is as of `to_pynapple`.

    It is where one of the session is of spikes, a table or events, or where all names have a
    session, a node and a variable.
    """
    split = [each.strip("/").split("/") for each in names]
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
        place, node, clocks = node_of(path, nap_object, of_tree)
        place = f"{session}/{place}"
        if place in groups and schema.TIME in groups[place].dims:
            if _fit(groups[place], node):
                node = groups[place].merge(_own_axes(groups[place], node))
            else:
                place = f"{session}/{path}"  # on a clock of its own, or of other units
        groups[place] = node
        if clocks:
            observed[place] = _observed(nap_object, clocks)
    if any(stated for _, stated in observed.values()):
        whole = merged(np.concatenate([rows for rows, _ in observed.values()]))
        groups[f"{session}/{schema.OBSERVED}"] = dataset(
            {
                name: schema.var("observed", name, column)
                for name, column in zip(OF_SESSION, whole, strict=True)
            }
        )
    for path, (rows, stated) in observed.items():
        if stated and path.endswith(f"/{schema.SPIKES}"):
            groups[path] = with_stretches(groups[path], list(rows.T))
    return add_observed(groups, session)


def _fit(kept: xr.Dataset, node: xr.Dataset) -> bool:
    """Whether signals can share a node: they have one clock, and the same units or none."""
    shared = [dim for dim in (schema.TIME, schema.UNIT) if dim in kept.dims and dim in node.dims]
    return schema.TIME in shared and all(
        node.indexes[dim].equals(kept.indexes[dim]) for dim in shared
    )


def _own_axes(kept: xr.Dataset, node: xr.Dataset) -> xr.Dataset:
    """A signal whose axes and their labels have names of their own where those of others differ."""
    (name,) = node.data_vars
    others = {
        dim: f"{name}_{dim}"
        for dim in node.dims
        if dim not in (schema.TIME, schema.UNIT) and dim in kept.dims
        if kept.sizes[dim] != node.sizes[dim] or (dim in kept.coords) != (dim in node.coords)
        or (dim in kept.coords and not kept.indexes[dim].equals(node.indexes[dim]))
    }  # fmt: skip
    labels = {
        label: f"{name}_{label}"
        for label, values in node.coords.items()
        if label not in node.dims and label in kept.variables
        if set(values.dims) & set(others) or not values.variable.identical(kept.variables[label])
    }
    return node.rename(others | labels)


def _restored(objects: PynappleObjects) -> xr.DataTree:
    """The tree that objects are of, with those built anew that are not as they were."""
    before = to_pynapple(objects.tree)
    changed = {k: v for k, v in objects.items() if k not in before or not _same(v, before[k])}
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
        _put(nodes, from_pynapple(changed), objects.tree)
    return tree_of(nodes)


def _put(nodes: dict[str, xr.Dataset], rebuilt: xr.DataTree, tree: xr.DataTree) -> None:
    """Put nodes that were built anew among those of a tree, with the attributes of the old."""
    before = dict(tree.subtree_with_keys)
    for path, node in rebuilt.subtree_with_keys:
        built = node.to_dataset(inherit=False)
        session, _, below = path.partition("/")
        if not below or (below == schema.OBSERVED and session in tree.children):
            nodes.setdefault("/" if path == "." else path, built)
            continue
        old = before[path].to_dataset(inherit=False).variables if path in before else {}
        for name, variable in built.variables.items():
            if name in old:
                variable.attrs = variable.attrs | old[name].attrs
        kept = nodes.get(path)
        if kept is not None and schema.TIME in kept.dims and schema.TIME in built.dims:
            same = kept.indexes[schema.TIME].equals(built.indexes[schema.TIME])
            path = path if same else f"{path}/{'_'.join(map(str, built.data_vars))}"
            built = kept.merge(built) if same else built
        nodes[path] = built


def _same(one: Any, other: Any) -> bool:
    """Whether two objects of pynapple hold the same."""
    nap = pynapple_module()
    if type(one) is not type(other) or len(one) != len(other):
        return False
    columns, others = metadata_of(one), metadata_of(other)
    alike = list(columns) == list(others) and all(
        pd.Series(columns[name]).equals(pd.Series(others[name])) for name in columns
    )
    if not alike or not np.array_equal(_support_of(one), _support_of(other)):
        return False
    if isinstance(one, nap.IntervalSet):
        return True
    if isinstance(one, nap.TsGroup):
        return np.array_equal(one.index, other.index) and all(
            _same(one[i], other[i]) for i in one.index
        )
    names = [list(getattr(each, "columns", ())) for each in (one, other)]
    if not np.array_equal(one.index, other.index) or names[0] != names[1]:
        return False
    return isinstance(one, nap.Ts) or np.array_equal(
        one.values, other.values, equal_nan=one.values.dtype.kind == "f"
    )


def _support_of(nap_object: Any) -> np.ndarray:
    """The rows of an object's time support, or of intervals themselves; (n, 2) s."""
    support = getattr(nap_object, "time_support", nap_object)
    return np.asarray(support.values, np.float64)


def _observed(nap_object: Any, clocks: list[np.ndarray]) -> tuple[np.ndarray, bool]:
    """The time support of an object, (n, 2) s, and whether it was given explicitly.

    Without, pynapple takes what lies between the first and the last of each clock.
    """
    ends = np.array([(clock.min(), clock.max()) for clock in clocks if clock.size]).reshape(-1, 2)
    support = nap_object.time_support
    if support is None:
        return ends, False
    rows = np.asarray(support.values, np.float64).reshape(-1, 2)
    guess = np.stack(merged(ends), axis=1)
    return rows, rows.shape != guess.shape or not np.allclose(rows, guess, rtol=0, atol=2e-6)
