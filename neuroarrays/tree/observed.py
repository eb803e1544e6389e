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
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.lazy.arrays import LazyArray, wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.tree.extents import Found, Part, hull, parts_of
from neuroarrays.tree.intervals import difference, merged
from neuroarrays.tree.invalid import cut_away, invalid_times

#: Names of the variables of a session's node, and of a spikes node.
OF_SESSION, OF_UNITS = ("start_time", "stop_time"), ("observed_start", "observed_stop")
#: Value of the attribute `ends` of stretches whose ends are those of the data.
FOUND = "found"
#: Share of a bin by which rounding may put it over an edge.
_ROUNDING = 1e-6


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
        The nodes of one session by path. Spikes nodes that have their stretches keep them.
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
        `groups` with ``<session>/observed``, if there is anything with times.
    """
    place = f"{session}/{schema.OBSERVED}".lstrip("/")
    if place in groups and schema.INTERVAL in groups[place].dims:
        return dict(groups)
    prefix = f"{session}/" if session else ""
    inside = {p.removeprefix(prefix): node for p, node in groups.items()
              if p != session and p.startswith(prefix)}  # fmt: skip
    spikes = {p: node for p, node in inside.items() if "row_size" in node}
    parts = (*(more or ()), *parts_of(inside, spikes=more is None))
    rows = (np.empty(0), np.empty(0)) if rows is None else rows
    if not parts and not rows[0].shape[0]:
        return dict(groups)
    if not epochs:
        parts = tuple(part for part in parts if part.ordered)
    made = dict(groups)
    for path in [p for p in made if p == place or p.startswith(place + "/")]:
        made[f"{place}_signal{path.removeprefix(place)}"] = made.pop(path)  # not ours
    found = [Found(parts, rows, column, bool(parts) and not epochs) for column in (0, 1)]
    lazy = any(isinstance(one, LazyArray) for one in (*rows, *(part.times for part in parts)))
    columns: list[Any] = [wrap(one) if lazy else one.load() for one in found]
    attrs = {"ends": FOUND} if epochs else {}
    made[place] = dataset({
        name: schema.var("observed", name, data, (schema.INTERVAL,), **attrs)
        for name, data in zip(OF_SESSION, columns, strict=True)
    })  # fmt: skip
    for path, node in spikes.items():
        if OF_UNITS[0] not in node:
            made[prefix + path] = with_stretches(node, columns, **attrs)
    return made


def with_stretches(node: xr.Dataset, columns: Sequence[Any], **attrs: Any) -> xr.Dataset:
    """A spikes node that says when its units were recorded.

    Parameters
    ----------
    node : Dataset
        A spikes node.
    columns : (starts, stops)
        Each (interval,) or (unit_id, interval), s.
    **attrs
        Attributes of the variables.
    """
    own = {
        name: schema.var("spikes", name, data, **attrs)
        for name, data in zip(OF_UNITS, columns, strict=True)
    }
    variables = {str(k): v for k, v in node.variables.items() if k not in node.coords}
    coords = {str(k): v for k, v in node.variables.items() if k in node.coords}
    return dataset(variables | own, coords, {str(k): v for k, v in node.attrs.items()})


# ---------------------------------------------------------------------------------- asking it


@dataclass(frozen=True, eq=False)
class Stretches:
    """Stretches of time, in order and apart.

    Attributes
    ----------
    rows : (n, 2) float64, s
        Half-open: a datum at the last moment of the recording lies within.
    found : bool
        Whether the first and the last moment are those of the data, and no file's.
    """

    rows: np.ndarray
    found: bool

    @property
    def extent(self) -> tuple[float, float]:
        """First and last moment; NaN without any."""
        if not len(self.rows):
            return np.nan, np.nan
        return float(self.rows[0, 0]), float(np.nextafter(self.rows[-1, 1], -np.inf))

    @property
    def seconds(self) -> float:
        """How long all of them last."""
        return float((self.rows[:, 1] - self.rows[:, 0]).sum())

    def without(self, table: Any) -> Stretches:
        """What of them is left."""
        if not len(table):
            return self
        return Stretches(np.stack(merged(difference(self.rows, table)), axis=1), self.found)

    def hold(self, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Whether half-open bins lie wholly within one of them.

        Where the ends are found, a bin that holds the first or last moment does.
        """
        if not len(self.rows):
            return np.zeros(np.shape(begin), bool)
        slack = _ROUNDING * (end - begin)
        some = np.ones(np.shape(begin), bool)
        if self.found:
            low, high = self.extent
            some = (end > low) & (begin <= high)
            begin, end = np.maximum(begin, low), np.minimum(end, high)
        place = np.searchsorted(self.rows[:, 0], begin + slack, side="right") - 1
        held: np.ndarray = some & (place >= 0) & (end - slack <= self.rows[np.maximum(place, 0), 1])
        return held


def stretches(starts: np.ndarray, stops: np.ndarray, found: bool) -> Stretches:
    """Stretches of rows in any order, whose stops belong to them; rows with NaN are padding."""
    known = np.isfinite(starts) & np.isfinite(stops) & (starts <= stops)
    rows = np.stack([starts[known], np.nextafter(stops[known], np.inf)], axis=1)
    return Stretches(np.stack(merged(rows), axis=1), found)


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
        found = _stretches(node.to_dataset(), OF_SESSION)
    else:
        nodes = {path: one.to_dataset() for path, one in session.subtree_with_keys if path != "."}
        low, high = hull(parts_of(nodes))
        found = stretches(np.array([low]), np.array([high]), True)
    return found.without(cut_away(session))


def of_units(spikes: xr.Dataset, session: xr.DataTree | None = None) -> list[Stretches]:
    """When each unit was recorded.

    Parameters
    ----------
    spikes : Dataset
        A spikes node. If it does not say, its session does; without one, recording went from its
        first spike to its last.
    session : DataTree node, optional
        The session that it is of.

    Returns
    -------
    list of Stretches
        Without times that are not to be trusted; units that have the same have one object.
    """
    number = spikes.sizes.get(schema.UNIT, 1)
    if all(name in spikes for name in OF_UNITS):
        starts, stops = (np.asarray(spikes[name].values, float) for name in OF_UNITS)
        if spikes[OF_UNITS[0]].dims == (schema.INTERVAL,):
            each = [_stretches(spikes, OF_UNITS)] * number
        else:
            same: dict[bytes, Stretches] = {}
            each = []
            for start, stop in zip(starts, stops, strict=True):
                key = start.tobytes() + stop.tobytes()
                if key not in same:
                    same[key] = stretches(start, stop, False)
                each.append(same[key])
            if any(not len(one.rows) for one in each):  # of some units the file does not say it
                whole = of_session(session) if session is not None else _own(spikes)
                each = [one if len(one.rows) else whole for one in each]
    elif session is not None:
        each = [of_session(session)] * number
    else:
        each = [_own(spikes)] * number
    left: dict[Any, Stretches] = {}
    invalid = invalid_times(session, spikes)
    for unit, (one, rows) in enumerate(zip(each, invalid, strict=True)):
        key = id(one), rows.tobytes()
        if key not in left:
            left[key] = one.without(rows)
        each[unit] = left[key]
    return each


def _own(spikes: xr.Dataset) -> Stretches:
    low, high = hull(parts_of({"": spikes}))
    return stretches(np.array([low]), np.array([high]), True)


def _stretches(node: xr.Dataset, names: tuple[str, str]) -> Stretches:
    starts, stops = (np.atleast_1d(np.asarray(node[name].values, float)) for name in names)
    return stretches(starts, stops, node[names[0]].attrs.get("ends") == FOUND)


def extent_of(session: xr.DataTree) -> tuple[float, float]:
    """First and last moment of a session, s; NaN if it has no data."""
    return of_session(session).extent
