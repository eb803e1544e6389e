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
from neuroarrays.tree.extents import FoundStretches, Part, hull, parts_of
from neuroarrays.tree.intervals import merged
from neuroarrays.tree.invalid import cut_away, invalid_times
from neuroarrays.tree.stretches import Stretches
from neuroarrays.tree.trains import trains_of

#: Names of the variables of the node ``observed``, and of those of a spikes node.
OF_SESSION, OF_UNITS = (schema.START_TIME, schema.STOP_TIME), ("observed_start", "observed_stop")
#: Value of the attribute `ends` if the stretches end where the data end.
FOUND = "found"


# ------------------------------------------------------------------------------ making a tree


def complete(
    groups: Mapping[str, xr.Dataset],
    session: str = "",
    more: Sequence[Part] | None = None,
    rows: tuple[Any, Any] | None = None,
    epochs: bool = True,
) -> dict[str, xr.Dataset]:
    """Add to the nodes of a session when it was recorded; no values are read.

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
        if they are those of the units; continuous signals then have their own extent.

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
    """The node ``observed``, computed when it is read; None without any times."""
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
    """Add to a spikes node when its units were recorded.

    Parameters
    ----------
    node : Dataset
        A spikes node, ``spike_times (spike,)`` in seconds.
    columns : (starts, stops)
        Each (interval,) or (unit_id, interval), s.
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


# ---------------------------------------------------------------------------------- asking it


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
            path: node_below.to_dataset()
            for path, node_below in session.subtree_with_keys
            if path != "."
        }
        low, high = hull(parts_of(nodes))
        recorded = Stretches.of(np.array([low]), np.array([high]), True)
    return recorded.without(cut_away(session))


def of_units(spikes: xr.Dataset, session: xr.DataTree | None = None) -> list[Stretches]:
    """Tell when each unit was recorded.

    Parameters
    ----------
    spikes : Dataset
        A spikes node, ``spike_times (spike,)`` in seconds. If it does not state when its units were
        recorded, the time of its session is used. Without a session, it is the time from the first
        spike to the last.
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
    """When each unit was recorded, if the file states it, else []; no spikes are read."""
    if spikes is None or OF_UNITS[0] not in spikes or _found(spikes, OF_UNITS[0]):
        return []
    return of_units(spikes)


def counting(
    spikes: xr.Dataset, session: xr.DataTree | None = None, within: Any = None
) -> list[Stretches]:
    """The time in which the spikes of each unit count: recorded and not invalid.

    Parameters
    ----------
    spikes : Dataset
        A spikes node, ``spike_times (spike,)`` in seconds.
    session : DataTree node, optional
        The session that it is of.
    within : table of intervals, s, optional
        Count only in these intervals. If no file states when units were recorded, these do.

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
    """Count the spikes of each unit in the time in which they count, and measure this time.

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
    """The number of times to read to know when a session was recorded; 0 if the file states it."""
    node = session.children.get(schema.OBSERVED)
    if node is None or schema.INTERVAL not in node.sizes:
        return 0
    data = array_of(node[OF_SESSION[0]].variable)
    parts = data.parts if isinstance(data, FoundStretches) else ()
    return sum(part.size for part in parts if not part.ordered)


def mean_rates(area: xr.DataTree) -> np.ndarray:
    """Firing rate of each unit of an area of a recording; all its spikes are read.

    Parameters
    ----------
    area : DataTree node
        An area of a recording tree.

    Returns
    -------
    (unit_id,) float64, spikes/s
        Spikes divided by the time in which they count; NaN without such time, empty without spikes.
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
        None if all bins are. Spikes are read only if tables and clocks do not decide it.
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
        if isinstance(data, np.ndarray | LazyArray) and not isinstance(data, FoundStretches):
            return of_session(session), True
        if isinstance(data, FoundStretches) and node.sizes[schema.INTERVAL] > 1:
            rows = data.named_rows()  # joined or not, they are within the recorded time
            return Stretches.of(rows[:, 0], rows[:, 1], False), False
    low, high = at_least(session)
    return Stretches.of(np.array([low]), np.array([high]), True), False


def at_least(session: xr.DataTree) -> tuple[float, float]:
    """A stretch of time within the session, from clocks and tables; no spikes are read."""
    nodes = {
        path: node.to_dataset()
        for path, node in session.subtree_with_keys
        if path != "." and (schema.TIME in node.coords or schema.PRESENTATION in node.sizes)
    }
    return hull(parts_of(nodes, spikes=False))


def clipped(node: xr.Dataset, starts: np.ndarray, stops: np.ndarray) -> xr.Dataset:
    """A node with its observed time, if it has any, cut to stretches that do not overlap."""
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
