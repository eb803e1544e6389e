"""`restrict`: select intervals of time in a tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import NothingLeft, NotInTree, many
from neuroarrays.lazy.arrays import LazyArray, array_of, wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Segments
from neuroarrays.tree import groups as _groups
from neuroarrays.tree.breaks import step
from neuroarrays.tree.columns import seconds
from neuroarrays.tree.groups import Groups
from neuroarrays.tree.intervals import merged
from neuroarrays.tree.invalid import INVALID_TIMES, RESTRICTED
from neuroarrays.tree.observed import clipped, of_session
from neuroarrays.tree.trains import check_order

#: A bin may extend over the edge of an interval by this share of its width, for rounding.
_ROUNDING = 1e-6


def restrict(tree: xr.DataTree, intervals: Any) -> xr.DataTree:
    """Keep the parts of a tree that are within intervals of time.

    Parameters
    ----------
    tree : DataTree or a node of one
        A recording or aligned tree.
    intervals : str, Dataset, DataTree node, DataFrame, or (n, 2) array, s
        The name of a table in each session, a table with `start_time` and `stop_time` on the
        session clock, or starts and stops. Rows may overlap; they are joined to half-open
        stretches.

    Returns
    -------
    DataTree
        From a recording tree: spikes, samples and events within the intervals, and presentations
        that are wholly within. Spikes are read. The node `observed` is cut to the intervals. The
        time that was cut out is added to the session's table `presentations/invalid_times`, so that
        `align` and `firing_rate` do not count it as time without spikes. From an aligned tree with
        presentations: the presentations that are wholly within. From an aligned tree on one clock:
        the bins from the first to the last one that is wholly within; bins between them that are
        not within stay, and `valid` is False in them.

    Raises
    ------
    NothingLeft
        If nothing is within the intervals.
    ValueError
        If a start or stop is missing, or a stop is before its start; the message names the row.
    NotInTree
        If a session has no table of the given name.

    See Also
    --------
    neuroarrays.intervals : union, intersection and difference of interval tables.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> wake = na.restrict(tree, [(600.0, 1200.0)])
    >>> wake["A2929-200711/ca1/spikes"].sizes["spike"]
    10804
    """
    groups = _groups.nodes_of(tree)
    sessions: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def within(path: str) -> tuple[np.ndarray, np.ndarray]:
        session = path.split("/")[0]
        if session not in sessions:
            table = intervals
            if isinstance(intervals, str):
                table = table_of_intervals(tree.root.children[session], intervals)
            sessions[session] = merged(table)
        return sessions[session]

    if _groups.is_recording(tree):
        cut = {path: _cut(node, within(path)) if path else node for path, node in groups.items()}
        if not _amount(cut.values()):
            raise _nothing_within(next(iter(sessions.values())))
        for session in {path.split("/")[0] for path in groups if path}:
            extent = of_session(tree.root.children[session]).extent
            _add_invalid_times(cut, session, extent, within(session), groups)
        return _groups.rebuilt(tree, cut)
    owners = _groups.owners(groups, schema.PRESENTATION)
    if owners:
        rows = {}
        for path in owners:
            columns = _groups.parameters(path, groups)
            rows[path] = _rows_within(
                columns[schema.START_TIME], columns.get(schema.STOP_TIME), within(path)
            )
        if not any(is_within.any() for is_within in rows.values()):
            raise _nothing_within(within(owners[0]))
        return _groups.rebuilt(tree, _groups.keep_rows(groups, rows, schema.PRESENTATION))
    return _groups.rebuilt(tree, _cut_clocks(groups, within))


def table_of_intervals(session: xr.DataTree, name: str) -> xr.DataTree:
    """The table of a session that has a name.

    Raises
    ------
    NotInTree
        If there is none.
    """
    node = session.children.get(schema.PRESENTATIONS)
    tables = {} if node is None else node.children
    if name not in tables:
        raise NotInTree("table of intervals", name, tables, where=f"session {session.name!r}")
    return tables[name]


def _inside(times: np.ndarray, within: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Whether times are in one of the stretches, which are in order and do not touch."""
    starts, stops = within
    if not starts.size:
        return np.zeros(times.shape, bool)
    stretch = np.searchsorted(starts, times, side="right") - 1
    inside: np.ndarray = (stretch >= 0) & (times < stops[np.maximum(stretch, 0)])
    return inside


def _rows_within(start: Any, stop: Any, within: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Whether presentations are wholly within one stretch, (presentation_id,) bool.

    If the stop of a presentation is not known, its start decides.
    """
    starts, stops = within
    start = seconds(start, schema.START_TIME)
    stop = np.full(start.size, np.nan) if stop is None else seconds(stop, schema.STOP_TIME)
    inside = _inside(start, within)
    end = np.where(np.isnan(stop), start, stop)
    stretch = np.maximum(np.searchsorted(starts, start, side="right") - 1, 0)
    return inside & (end <= stops[stretch]) if starts.size else inside


def _cut(node: xr.Dataset, within: tuple[np.ndarray, np.ndarray]) -> xr.Dataset:
    """Cut a node of a recording tree to its spikes, samples, events or presentations within."""
    if schema.SPIKE in node.dims and schema.ROW_SIZE in node:
        return clipped(_cut_spikes(node, within), *within)
    if schema.PRESENTATION in node.dims and schema.START_TIME in node:
        rows = _rows_within(node[schema.START_TIME].values, node.get(schema.STOP_TIME), within)
        return node.isel({schema.PRESENTATION: np.flatnonzero(rows)})
    if schema.INTERVAL in node.dims:
        return clipped(node, *within)
    if schema.TIME in node.coords:
        return node.isel({schema.TIME: _positions(_inside(seconds(node[schema.TIME]), within))})
    if schema.EVENT_TIME in node:
        inside = _inside(seconds(node[schema.EVENT_TIME], schema.EVENT_TIME), within)
        return node.isel({node[schema.EVENT_TIME].dims[0]: np.flatnonzero(inside)})
    return node


def _cut_spikes(node: xr.Dataset, within: tuple[np.ndarray, np.ndarray]) -> xr.Dataset:
    """Cut a spikes node to the spikes within; the units stay."""
    # A copy, so that the tree of the user does not keep the values that are read.
    times = node.variables[schema.SPIKE_TIMES].copy(deep=False)
    inside = _inside(seconds(times, schema.SPIKE_TIMES), within)
    n_inside = np.concatenate([[0], np.cumsum(inside)])
    sizes = check_order(node)
    last = np.cumsum(sizes)
    variables = {
        str(name): _take(variable, inside) if variable.dims[:1] == (schema.SPIKE,) else variable
        for name, variable in node.variables.items()
    }
    row_size = n_inside[last] - n_inside[last - sizes]
    variables[schema.ROW_SIZE] = variables[schema.ROW_SIZE].copy(data=row_size)
    coords = {name: variables.pop(name) for name in map(str, node.coords)}
    return dataset(variables, coords, {str(k): v for k, v in node.attrs.items()})


def _take(variable: xr.Variable, inside: np.ndarray) -> xr.Variable:
    """Select values along spikes by a mask, (spike,) bool; a lazy array is not read."""
    data = array_of(variable)
    if not isinstance(data, LazyArray):
        return variable.isel({schema.SPIKE: np.flatnonzero(inside)})
    steps = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]])))
    stretches = Segments(data, steps[::2], steps[1::2] - steps[::2])
    return xr.Variable(variable.dims, wrap(stretches), variable.attrs)


def _add_invalid_times(
    cut: Groups,
    session: str,
    extent: tuple[float, float],
    within: tuple[np.ndarray, np.ndarray],
    groups: Groups,
) -> None:
    """Add the time that was cut out of a session to its table of invalid times, in place.

    Parameters
    ----------
    cut : dict of str to Dataset
        The nodes after the cut, by path. The table is added or replaced.
    session : str
        Name of the session.
    extent : (float, float), s
        First and last recorded time of the session before the cut.
    within : (starts, stops), s
        The stretches that were kept.
    groups : dict of str to Dataset
        The nodes before the cut. All rows of an existing table of invalid times are kept.
    """
    low, high = extent
    if not low < high:
        return
    starts, stops = np.append(low, within[1]), np.append(within[0], high)
    has_length = starts < stops
    if not has_length.any():
        return
    columns = {
        schema.START_TIME: starts[has_length],
        schema.STOP_TIME: stops[has_length],
        "applies_to": np.full(has_length.sum(), "", object),
        "reason": np.full(has_length.sum(), RESTRICTED, object),
    }
    table = xr.Dataset({name: (schema.PRESENTATION, c) for name, c in columns.items()})
    path = f"{session}/{schema.PRESENTATIONS}/{INVALID_TIMES}"
    if path in groups:
        old = groups[path].drop_vars(schema.PRESENTATION, errors="ignore")
        empty = xr.full_like(old[schema.START_TIME], "", dtype=object).drop_attrs()
        added = {name: empty for name in ("applies_to", "reason") if name not in old}
        table = xr.concat([old.assign(added), table], schema.PRESENTATION, data_vars="all")
    else:
        table[schema.START_TIME].attrs["units"] = table[schema.STOP_TIME].attrs["units"] = "s"
    cut.setdefault(f"{session}/{schema.PRESENTATIONS}", xr.Dataset())
    ids = np.arange(table.sizes[schema.PRESENTATION])
    cut[path] = table.assign_coords({schema.PRESENTATION: ids})


def _positions(inside: np.ndarray) -> Any:
    """The positions that are True; a slice if contiguous, so that a lazy clock stays lazy."""
    positions = np.flatnonzero(inside)
    if positions.size and positions[-1] - positions[0] + 1 == positions.size:
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return positions


def _amount(nodes: Iterable[xr.Dataset]) -> int:
    """The number of spikes, samples, events and presentations."""
    dims = (schema.SPIKE, schema.TIME, schema.PRESENTATION, schema.EVENT)
    return sum(node.sizes.get(dim, 0) for node in nodes for dim in dims)


def _cut_clocks(groups: Groups, within: Callable[[str], Any]) -> Groups:
    """Cut aligned nodes on one clock from the first to the last bin that is wholly within.

    The bins between them that are not within stay, and `valid` is False in them.
    """
    clocks = _groups.owners(groups, schema.TIME)
    masks: dict[str, np.ndarray] = {}
    for owner in clocks:
        time = groups[owner][schema.TIME]
        half = step(time) / 2 if "bin_width" in time.attrs else 0.0
        slack = 2 * half * _ROUNDING
        starts, stops = within(owner)
        whole = stops - starts >= 2 * half - 2 * slack
        late = stops[whole] - half + slack
        masks[owner] = _inside(time.values, (starts[whole] + half - slack, late))
    if not any(mask.any() for mask in masks.values()):
        raise _nothing_within(within(clocks[0]) if clocks else (np.empty(0), np.empty(0)))
    emptied = {owner for owner, mask in masks.items() if not mask.any()}
    for owner in set(clocks) - emptied:
        mask = masks[owner]
        span = slice(int(np.argmax(mask)), mask.size - int(np.argmax(mask[::-1])))
        has_areas_below = any(
            schema.UNIT in node.sizes for path, node in groups.items() if _groups.below(path, owner)
        )
        for path, node in groups.items():
            if path != owner and not _groups.below(path, owner):
                continue
            if schema.TIME in node.sizes:
                groups[path] = node = node.isel({schema.TIME: span})
            is_masked = schema.UNIT in node.sizes if has_areas_below else path == owner
            if is_masked or path.rpartition("/")[2] == schema.EVENTS:
                old = node[schema.VALID].values if schema.VALID in node else True
                valid = schema.var(
                    "area", schema.VALID, mask[span] & old, (schema.TIME,), "aligned"
                )
                groups[path] = node.assign(valid=valid)
    return _groups.without(groups, emptied, set(clocks))


def _nothing_within(within: tuple[np.ndarray, np.ndarray]) -> NothingLeft:
    """The error if nothing is within the stretches, which are (starts, stops) in s."""
    starts, stops = within
    spans = (
        f"{many(starts.size, 'stretch', 'stretches')} from {starts[0]:g} to {stops[-1]:g} s"
        if starts.size
        else "0 s"
    )
    return NothingLeft(f"nothing is within the intervals, which cover {spans}")
