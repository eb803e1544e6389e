"""When a session was recorded: what divides by time, chooses a clock or checks a window asks here.

A session of a recording tree has a node ``observed``, a row for each stretch of time that was
recorded; its spikes nodes have `observed_start` and `observed_stop`, the same for all units along
``interval`` or, where the file says it of each unit, along ``(unit_id, interval)``. A stop belongs
to its stretch. Where the file says nothing, the one stretch goes from the first to the last time of
all clocks, events, tables and units of the file; the attribute ``ends="found"`` says so: recording
may have begun earlier and ended later, so that a bin that holds the first or last datum is whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.lazy.arrays import LazyArray, array_of, data_of, wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.tree.extents import FoundStretches, Part, hull, parts_of
from neuroarrays.tree.intervals import merged
from neuroarrays.tree.invalid import cut_away, invalid_times
from neuroarrays.tree.stretches import Stretches
from neuroarrays.tree.trains import trains_of

#: Names of the variables of a session's node, and of a spikes node.
OF_SESSION, OF_UNITS = (schema.START_TIME, schema.STOP_TIME), ("observed_start", "observed_stop")
#: Value of the attribute `ends` of stretches whose ends are those of the data.
FOUND = "found"


# ------------------------------------------------------------------------------ making a tree


def complete(
    groups: Mapping[str, xr.Dataset],
    session: str = "",
    more: Sequence[Part] | None = None,
    rows: tuple[Any, Any] | None = None,
    epochs: bool = True,
) -> dict[str, xr.Dataset]:
    """The nodes of a session with what was observed of it; nothing is read.

    Parameters
    ----------
    groups : dict of str to Dataset
        The nodes of one session by path, with times ``(time,)``, ``(spike,)``, ... in
        seconds. A node ``observed``, and spikes nodes that have their stretches, stay as
        they are.
    session : str
        Path of the session in `groups`.
    more : sequence of Part, optional
        All spikes of the file, and the clocks of what is not among `groups`: areas that were not
        asked for, units that a filter left out. In place of the spikes of `groups`.
    rows : pair of (n,) arrays or LazyArrays, s, optional
        Starts and stops that the file names.
    epochs : bool
        Of the session: they count if all data lie in them. False: of the units, and continuous
        signals tell for themselves.

    Returns
    -------
    dict of str to Dataset
        `groups` with ``<session>/observed``, ``(interval,)`` starts and stops in seconds,
        if there is anything with times.
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
        for path in [p for p in nodes if p == observed_path or p.startswith(observed_path + "/")]:
            nodes[f"{observed_path}_signal{path.removeprefix(observed_path)}"] = nodes.pop(
                path
            )  # not ours
        parts = (*(more or ()), *parts_of(inside, spikes=more is None))
        node = _found_node(parts, rows or (np.empty(0), np.empty(0)), epochs)
        if node is None:
            return nodes
        nodes[observed_path] = node
    columns = [nodes[observed_path].variables[name] for name in OF_SESSION]
    ends = {"ends": FOUND} if _found(nodes[observed_path], OF_SESSION[0]) else {}
    for path, node in inside.items():
        if schema.ROW_SIZE in node and OF_UNITS[0] not in node:
            nodes[prefix + path] = with_stretches(
                node, [data_of(column) for column in columns], **ends
            )
    return nodes


def _found_node(parts: tuple[Part, ...], rows: tuple[Any, Any], epochs: bool) -> xr.Dataset | None:
    """The node ``observed``, whose values are found when they are read; None without any times."""
    if not epochs:
        parts = tuple(part for part in parts if part.ordered)
    if not parts and not rows[0].shape[0]:
        return None
    ends = [FoundStretches(parts, rows, column, not epochs) for column in (0, 1)]
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
    """A spikes node that says when its units were recorded.

    Parameters
    ----------
    node : Dataset
        A spikes node, ``spike_times (spike,)`` in seconds.
    columns : (starts, stops)
        Each (interval,) or (unit_id, interval), s.
    **attrs
        Attributes of the variables.
    """
    stretches = {
        name: schema.var("spikes", name, data, **attrs)
        for name, data in zip(OF_UNITS, columns, strict=True)
    }
    variables = {str(k): v for k, v in node.variables.items() if k not in node.coords}
    coords = {str(k): v for k, v in node.variables.items() if k in node.coords}
    return dataset(variables | stretches, coords, {str(k): v for k, v in node.attrs.items()})


# ---------------------------------------------------------------------------------- asking it


def of_session(session: xr.DataTree) -> Stretches:
    """When a session was recorded.

    Parameters
    ----------
    session : DataTree node
        A session of a recording tree. Without a node ``observed``, it goes from the first to the
        last of all its data. Spikes are read, once, where that is not known yet.

    Returns
    -------
    Stretches
        Without what `restrict` cut away.
    """
    node = session.children.get(schema.OBSERVED)
    if node is not None and schema.INTERVAL in node.dims:
        recorded = _stretches(node.to_dataset(), OF_SESSION)
    else:
        nodes = {
            path: node_below.to_dataset()
            for path, node_below in session.subtree_with_keys
            if path != "."
        }
        low, high = hull(parts_of(nodes))
        recorded = Stretches.of(np.array([low]), np.array([high]), True)
    return recorded.without(cut_away(session))


def of_units(spikes: xr.Dataset, session: xr.DataTree | None = None) -> list[Stretches]:
    """When each unit was recorded.

    Parameters
    ----------
    spikes : Dataset
        A spikes node, ``spike_times (spike,)`` in seconds. If it does not say when its
        units were recorded, its session does; without a session, recording went from its
        first spike to its last.
    session : DataTree node, optional
        The session that it is of.

    Returns
    -------
    list of Stretches
        Units that have the same have one object.
    """
    number = spikes.sizes.get(schema.UNIT, 1)
    if not all(name in spikes for name in OF_UNITS):
        return [_whole(spikes, session)] * number
    if spikes[OF_UNITS[0]].dims == (schema.INTERVAL,):
        return [_stretches(spikes, OF_UNITS)] * number
    same: dict[bytes, Stretches] = {}
    each = []
    for start, stop in zip(*(spikes[name].values for name in OF_UNITS), strict=True):
        key = start.tobytes() + stop.tobytes()
        if key not in same:
            same[key] = Stretches.of(start, stop, False)
        each.append(same[key])
    return each


def told_of_units(spikes: xr.Dataset | None) -> list[Stretches]:
    """When each unit was recorded, if the file states it; else an empty list. Reads no spikes."""
    if spikes is None or OF_UNITS[0] not in spikes or _found(spikes, OF_UNITS[0]):
        return []
    return of_units(spikes)


def counting(
    spikes: xr.Dataset, session: xr.DataTree | None = None, within: Any = None
) -> list[Stretches]:
    """The time in which spikes of each unit count: recorded, and to be trusted.

    Parameters
    ----------
    spikes : Dataset
        A spikes node, ``spike_times (spike,)`` in seconds.
    session : DataTree node, optional
        The session that it is of.
    within : table of intervals, s, optional
        Count nowhere else. Where no file says when units were recorded, these do.

    Returns
    -------
    list of Stretches
        Units that have the same have one object.
    """
    each = of_units(spikes, session)
    asked = None if within is None else Stretches(np.stack(merged(within), axis=1), False)
    left: dict[Any, Stretches] = {}
    for unit, invalid in enumerate(invalid_times(session, spikes)):
        recorded = each[unit]
        key = id(recorded), invalid.tobytes()
        if key not in left:
            if asked is not None:
                time = asked if recorded.from_data else recorded.within(asked.rows)
            else:
                time = recorded
            left[key] = time.without(invalid)
        each[unit] = left[key]
    return each


def spikes_and_seconds(
    spikes: xr.Dataset, session: xr.DataTree | None = None, within: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Spikes of each unit in the time in which they count, and how long that is.

    Parameters
    ----------
    spikes, session, within
        As for `counting`.

    Returns
    -------
    number, seconds : (unit,) float64, spikes and s
    """
    trains = trains_of(spikes)
    times = trains.load(np.arange(trains.first.size))
    number, seconds = np.zeros((2, trains.first.size))
    for unit, counted in enumerate(counting(spikes, session, within)):
        train = times[trains.first[unit] : trains.last[unit]]
        begin, end = (np.searchsorted(train, column) for column in counted.rows.T)
        number[unit], seconds[unit] = (end - begin).sum(), counted.seconds
    return number, seconds


def times_to_read(session: xr.DataTree) -> int:
    """How many times have to be read to know when a session was recorded; 0 if a file says it."""
    node = session.children.get(schema.OBSERVED)
    if node is None or schema.INTERVAL not in node.sizes:
        return 0
    data = array_of(node[OF_SESSION[0]].variable)
    parts = data.parts if isinstance(data, FoundStretches) else ()
    return sum(part.size for part in parts if not part.ordered)


def mean_rates(area: xr.DataTree) -> np.ndarray:
    """Firing rate of each unit of an area of a recording; all of its spikes are read.

    Parameters
    ----------
    area : DataTree node
        An area of a recording tree.

    Returns
    -------
    (unit_id,) float64, spikes/s
        Spikes divided by the time in which they count; NaN without any, empty without spikes.
    """
    node = area.children.get(schema.SPIKES)
    if node is None:
        return np.empty(0)
    number, seconds = spikes_and_seconds(node.to_dataset(), area.parent)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates: np.ndarray = number / seconds
    return rates


def _whole(spikes: xr.Dataset, session: xr.DataTree | None) -> Stretches:
    return _own(spikes) if session is None else of_session(session)


def _own(spikes: xr.Dataset) -> Stretches:
    low, high = hull(parts_of({"": spikes}))
    return Stretches.of(np.array([low]), np.array([high]), True)


def _stretches(node: xr.Dataset, names: tuple[str, str]) -> Stretches:
    starts, stops = (np.atleast_1d(np.asarray(node[name].values, float)) for name in names)
    return Stretches.of(starts, stops, _found(node, names[0]))


def valid_bins(session: xr.DataTree, begin: np.ndarray, end: np.ndarray) -> np.ndarray | None:
    """Bins that lie within the time that was recorded.

    Parameters
    ----------
    session : DataTree node
        A session of a recording tree.
    begin, end : (...,) float64, s
        Edges of half-open bins, session clock; NaN where there is no bin.

    Returns
    -------
    (...,) bool or None
        None if all do. No spikes are read if tables and clocks tell that.
    """
    known = np.isfinite(begin)
    if not known.any():
        return None
    if known_without_spikes(session)[0].hold(begin[known], end[known]).all():
        return None
    valid = of_session(session).hold(begin, end)
    return None if valid[known].all() else valid


def _found(node: Any, name: str) -> bool:
    return bool(node[name].attrs.get("ends") == FOUND)


def known_without_spikes(session: xr.DataTree) -> tuple[Stretches, bool]:
    """When a session was recorded as far as that is known without reading spikes.

    Parameters
    ----------
    session : DataTree node
        A session of a recording tree.

    Returns
    -------
    known : Stretches
        Each lies in the time that was recorded.
    is_all : bool
        Whether they are all of it.
    """
    node = session.children.get(schema.OBSERVED)
    if node is not None and schema.INTERVAL in node.sizes:
        data = array_of(node[OF_SESSION[0]].variable)
        if isinstance(data, np.ndarray | LazyArray) and not isinstance(data, FoundStretches):
            return of_session(session), True
        if isinstance(data, FoundStretches) and node.sizes[schema.INTERVAL] > 1:
            rows = data.named_rows()  # whether they are joined or not
            return Stretches.of(rows[:, 0], rows[:, 1], False), False
    low, high = at_least(session)
    return Stretches.of(np.array([low]), np.array([high]), True), False


def at_least(session: xr.DataTree) -> tuple[float, float]:
    """A stretch of time within the session, from its clocks and tables; no spikes are read."""
    nodes = {
        path: node.to_dataset()
        for path, node in session.subtree_with_keys
        if path != "." and (schema.TIME in node.coords or schema.PRESENTATION in node.sizes)
    }
    return hull(parts_of(nodes, spikes=False))


def clipped(node: xr.Dataset, starts: np.ndarray, stops: np.ndarray) -> xr.Dataset:
    """A node whose observed time, if it has any, is cut to stretches that do not overlap."""
    if schema.INTERVAL not in node.dims:
        return node
    names = OF_UNITS if OF_UNITS[0] in node else OF_SESSION
    within = np.stack([starts, stops], axis=1)
    columns = [np.asarray(node[name].values, float) for name in names]
    each = [
        Stretches.of(low, high, False).within(within).rows
        for low, high in zip(*(np.atleast_2d(column) for column in columns), strict=True)
    ]
    most = max((len(rows) for rows in each), default=0)
    cut = np.full((len(each), most, 2), np.nan)
    for unit, rows in enumerate(each):
        cut[unit, : len(rows)] = np.stack([rows[:, 0], np.nextafter(rows[:, 1], -np.inf)], axis=1)
    cut = cut if columns[0].ndim == 2 else cut[0]
    kept = node.drop_dims(schema.INTERVAL)
    return kept.assign(
        {
            name: xr.Variable(node[name].dims, cut[..., i], node[name].attrs)
            for i, name in enumerate(names)
        }
    )
