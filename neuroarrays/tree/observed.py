"""When a session was recorded. Rates, clocks and the checks of windows are based on this.

A session of a recording tree has a node ``observed`` with a row for each stretch of recorded time.
Its spikes nodes have `observed_start` and `observed_stop`: along ``interval`` if they are the same
for all units, along ``(unit_id, interval)`` if the file states them for each unit. A stop belongs
to its stretch. If the file states nothing, there is one stretch, from the first to the last time of
all clocks, events, tables and units of the file, with the attribute ``ends="found"``. Recording may
then have begun earlier and ended later, so a bin that holds the first or last datum counts as
whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.lazy.arrays import LazyArray, array_of, data_of, wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.tree.extents import LazyStretches, Part, hull, parts_of
from neuroarrays.tree.invalid import cut_away
from neuroarrays.tree.stretches import Stretches

#: Names of the starts and stops in the node ``observed``, and of those in a spikes node.
OF_SESSION, OF_UNITS = (schema.START_TIME, schema.STOP_TIME), ("observed_start", "observed_stop")
#: Value of the attribute `ends` if the stretches begin and end where the data do.
FOUND = "found"


# ------------------------------------------------------------------------------ making a tree


def add_observed(
    groups: Mapping[str, xr.Dataset],
    session: str = "",
    more: Sequence[Part] | None = None,
    rows: tuple[Any, Any] | None = None,
    epochs: bool = True,
) -> dict[str, xr.Dataset]:
    """Add the observed time to the nodes of a session; no values are read.

    Parameters
    ----------
    groups : dict of str to Dataset
        The nodes of one session by path, with times ``(time,)``, ``(spike,)``, ... in
        seconds. An existing node ``observed``, and spikes nodes with stretches, are kept.
    session : str
        Path of the session in `groups`.
    more : sequence of Part, optional
        All spikes of the file, and clocks that are not in `groups`: areas that were not asked for,
        units that a filter left out. They replace the spikes of `groups`.
    rows : pair of (n,) arrays or LazyArrays, s, optional
        Starts and stops that the file states.
    epochs : bool
        True if the rows are epochs of the session: they are used if all data are within them. False
        if they are the observed intervals of units: the extent of the continuous signals is then
        one more stretch.

    Returns
    -------
    dict of str to Dataset
        `groups`, with ``<session>/observed``, starts and stops ``(interval,)`` in seconds, if
        anything has times.
    """
    observed_path = f"{session}/{schema.OBSERVED}".lstrip("/")
    prefix = f"{session}/" if session else ""
    inside = {
        p.removeprefix(prefix): node
        for p, node in groups.items()
        if p != session and p.startswith(prefix)
    }
    nodes = dict(groups)
    if observed_path not in groups or schema.INTERVAL not in groups[observed_path].dims:
        # A signal of the file may have the name "observed" too. It gets another name.
        for path in [p for p in nodes if p == observed_path or p.startswith(observed_path + "/")]:
            below = path.removeprefix(observed_path)
            nodes[f"{observed_path}_signal{below}"] = nodes.pop(path)
        parts = (*(more or ()), *parts_of(inside, spikes=more is None))
        node = _observed_node(parts, rows or (np.empty(0), np.empty(0)), epochs)
        if node is None:
            return nodes
        nodes[observed_path] = node
    columns = [data_of(nodes[observed_path].variables[name]) for name in OF_SESSION]
    ends = {"ends": FOUND} if _is_from_data(nodes[observed_path], OF_SESSION[0]) else {}
    for path, node in inside.items():
        if schema.ROW_SIZE in node and OF_UNITS[0] not in node:
            nodes[prefix + path] = with_stretches(node, columns, **ends)
    return nodes


def _observed_node(
    parts: tuple[Part, ...], rows: tuple[Any, Any], epochs: bool
) -> xr.Dataset | None:
    """The node ``observed``, lazy if its parts or rows are; None if there are no times."""
    if not epochs:
        parts = tuple(part for part in parts if part.ordered)
    if not parts and not rows[0].shape[0]:
        return None
    ends = [LazyStretches(parts, rows, column, not epochs) for column in (0, 1)]
    lazy = any(isinstance(values, LazyArray) for values in (*rows, *(part.times for part in parts)))
    columns: list[Any] = [wrap(values) if lazy else values.load() for values in ends]
    if not parts and not epochs:
        columns = list(rows)
    attrs: dict[str, Any] = {"ends": FOUND} if epochs else {}
    return dataset(
        {
            name: schema.var("observed", name, data, **attrs)
            for name, data in zip(OF_SESSION, columns, strict=True)
        }
    )


def with_stretches(node: xr.Dataset, columns: Sequence[Any], **attrs: Any) -> xr.Dataset:
    """Add to a spikes node the stretches in which its units were recorded.

    Parameters
    ----------
    node : Dataset
        A spikes node, ``spike_times (spike,)`` in seconds.
    columns : (starts, stops)
        Starts and stops, each (interval,) or (unit_id, interval), s.
    **attrs
        Attributes of the new variables.
    """
    stretches = {
        name: schema.var("spikes", name, data, **attrs)
        for name, data in zip(OF_UNITS, columns, strict=True)
    }
    variables = {str(k): v for k, v in node.variables.items() if k not in node.coords}
    coords = {str(k): v for k, v in node.variables.items() if k in node.coords}
    return dataset(variables | stretches, coords, {str(k): v for k, v in node.attrs.items()})


# ------------------------------------------------------------------------- reading a tree


def of_session(session: xr.DataTree) -> Stretches:
    """When a session was recorded.

    Parameters
    ----------
    session : DataTree node
        A session of a recording tree. Without a node ``observed``, the time goes from the first to
        the last of all its data. Spikes are read once, if this is not known yet.

    Returns
    -------
    Stretches
        The recorded time, without the time that `restrict` cut out.
    """
    node = session.children.get(schema.OBSERVED)
    if node is not None and schema.INTERVAL in node.dims:
        recorded = _stretches(node.to_dataset(), OF_SESSION)
    else:
        nodes = {
            path: child.to_dataset() for path, child in session.subtree_with_keys if path != "."
        }
        recorded = _extent(parts_of(nodes))
    return recorded.without(cut_away(session))


def of_units(spikes: xr.Dataset, session: xr.DataTree | None = None) -> list[Stretches]:
    """When each unit was recorded.

    Parameters
    ----------
    spikes : Dataset
        A spikes node, ``spike_times (spike,)`` in seconds. If it does not state when its units were
        recorded, the time of its session is used. Without a session, it is the time from the first
        spike to the last.
    session : DataTree node, optional
        The session of the spikes node.

    Returns
    -------
    list of Stretches
        One for each unit; units with the same stretches share one object.
    """
    n_units = spikes.sizes.get(schema.UNIT, 1)
    if not all(name in spikes for name in OF_UNITS):
        recorded = _extent(parts_of({"": spikes})) if session is None else of_session(session)
        return [recorded] * n_units
    if spikes[OF_UNITS[0]].dims == (schema.INTERVAL,):
        return [_stretches(spikes, OF_UNITS)] * n_units
    distinct: dict[bytes, Stretches] = {}
    by_unit = []
    for start, stop in zip(*(spikes[name].values for name in OF_UNITS), strict=True):
        key = start.tobytes() + stop.tobytes()
        if key not in distinct:
            distinct[key] = Stretches.of(start, stop, False)
        by_unit.append(distinct[key])
    return by_unit


def stated_of_units(spikes: xr.Dataset | None) -> list[Stretches]:
    """When each unit was recorded, if the file states it, else []; no spikes are read."""
    if spikes is None or OF_UNITS[0] not in spikes or _is_from_data(spikes, OF_UNITS[0]):
        return []
    return of_units(spikes)


def times_to_read(session: xr.DataTree) -> int:
    """The number of times to read to know when a session was recorded; 0 if the file states it."""
    node = session.children.get(schema.OBSERVED)
    if node is None or schema.INTERVAL not in node.sizes:
        return 0
    data = array_of(node[OF_SESSION[0]].variable)
    parts = data.parts if isinstance(data, LazyStretches) else ()
    return sum(part.size for part in parts if not part.ordered)


def _extent(parts: Sequence[Part]) -> Stretches:
    """One stretch, from the first to the last time of all parts; none if they have no times."""
    low, high = hull(parts)
    return Stretches.of(np.array([low]), np.array([high]), True)


def _stretches(node: xr.Dataset, names: tuple[str, str]) -> Stretches:
    """The stretches that a node has in its variables of these names."""
    starts, stops = (np.atleast_1d(np.asarray(node[name].values, float)) for name in names)
    return Stretches.of(starts, stops, _is_from_data(node, names[0]))


def valid_bins(session: xr.DataTree, begin: np.ndarray, end: np.ndarray) -> np.ndarray | None:
    """Mark the bins that are wholly within the recorded time.

    Parameters
    ----------
    session : DataTree node
        A session of a recording tree.
    begin, end : (...,) float64, s
        Edges of half-open bins on the session clock; NaN where there is no bin.

    Returns
    -------
    (...,) bool or None
        None if all bins are. Spikes are read only if tables and clocks are not enough to decide.
    """
    is_bin = np.isfinite(begin)
    if not is_bin.any():
        return None
    if known_without_spikes(session)[0].covers(begin[is_bin], end[is_bin]).all():
        return None
    valid = of_session(session).covers(begin, end)
    return None if valid[is_bin].all() else valid


def _is_from_data(node: Any, name: str) -> bool:
    """Whether starts or stops were taken from the data, because the file states none."""
    return bool(node[name].attrs.get("ends") == FOUND)


def known_without_spikes(session: xr.DataTree) -> tuple[Stretches, bool]:
    """Tell when a session was recorded, as far as this is known without reading spikes.

    Parameters
    ----------
    session : DataTree node
        A session of a recording tree.

    Returns
    -------
    known : Stretches
        Stretches that are within the recorded time.
    is_all : bool
        Whether `known` is all the recorded time.
    """
    node = session.children.get(schema.OBSERVED)
    if node is not None and schema.INTERVAL in node.sizes:
        data = array_of(node[OF_SESSION[0]].variable)
        if isinstance(data, np.ndarray | LazyArray) and not isinstance(data, LazyStretches):
            return of_session(session), True
        if isinstance(data, LazyStretches) and node.sizes[schema.INTERVAL] > 1:
            rows = data.stated_rows()  # They are within the recorded time, joined or not.
            return Stretches.of(rows[:, 0], rows[:, 1], False), False
    low, high = at_least(session)
    return Stretches.of(np.array([low]), np.array([high]), True), False


def at_least(session: xr.DataTree) -> tuple[float, float]:
    """The first and last time of clocks and tables of a session, s; no spikes are read."""
    nodes = {
        path: node.to_dataset()
        for path, node in session.subtree_with_keys
        if path != "." and (schema.TIME in node.coords or schema.PRESENTATION in node.sizes)
    }
    return hull(parts_of(nodes, spikes=False))


def clipped(node: xr.Dataset, starts: np.ndarray, stops: np.ndarray) -> xr.Dataset:
    """Cut the observed time of a node, if it has any, to stretches that do not overlap, in s."""
    if schema.INTERVAL not in node.dims:
        return node
    names = OF_UNITS if OF_UNITS[0] in node else OF_SESSION
    within = np.stack([starts, stops], axis=1)
    columns = [np.asarray(node[name].values, float) for name in names]
    rows_of_units = [
        Stretches.of(low, high, False).within(within).rows
        for low, high in zip(*(np.atleast_2d(column) for column in columns), strict=True)
    ]
    n_rows = max((len(rows) for rows in rows_of_units), default=0)
    cut = np.full((len(rows_of_units), n_rows, 2), np.nan)
    for unit, rows in enumerate(rows_of_units):
        cut[unit, : len(rows)] = np.stack([rows[:, 0], np.nextafter(rows[:, 1], -np.inf)], axis=1)
    cut = cut if columns[0].ndim == 2 else cut[0]
    return node.drop_dims(schema.INTERVAL).assign(
        {
            name: xr.Variable(node[name].dims, cut[..., i], node[name].attrs)
            for i, name in enumerate(names)
        }
    )
