"""`select_units` and `trials`: select units and presentations of a tree by a condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import NothingLeft, quoted
from neuroarrays.lazy.arrays import LazyArray, array_of, wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Segments
from neuroarrays.tree import groups as _groups
from neuroarrays.tree.query import Column, Query, check_columns, missing, parse
from neuroarrays.tree.trains import check_order

#: The most parts of a condition that a message lists.
_PARTS = 6
#: What a message calls a row that a condition selects.
_UNITS, _PRESENTATIONS = "unit", "presentation"
#: A tree, a node of one, or a dataset: the result is of the kind that was given.
Tree = TypeVar("Tree", xr.DataTree, xr.Dataset)


def select_units(tree: Tree, query: str) -> Tree:
    """Keep the units that fit a condition, in all sessions and areas.

    Parameters
    ----------
    tree : DataTree, a node of one, or Dataset
        A recording or aligned tree.
    query : str
        A condition on variables and labels along `unit_id`, and on `unit_id`, `area`, `session`
        and `block`: ``"presence_ratio > 0.95 and area == 'VISp'"``. It may have names (between
        backticks if they have spaces), literals, comparisons (also chained), and/or/not, and `in`
        with a list.

    Returns
    -------
    DataTree or Dataset
        The same kind as `tree`. Every variable along ``(unit_id, ...)`` has only the units that
        fit; units of measurement and all other variables stay. Only the columns of the condition
        are read. Areas without a unit that fits, and sessions without such an area, are left out. A
        missing value fits neither a condition nor its `not`.

    Raises
    ------
    QueryError
        If the condition is made of anything else; names the part.
    NotInTree
        If no area has such a column.
    NothingLeft
        If no unit fits; says which condition emptied it.

    Examples
    --------
    >>> import neuroarrays as na
    >>> few = na.select_units(na.load_sample(), "area == 'adn' and unit_id in [0, 3]")
    >>> few["A2929-200711/adn/spikes"].sizes["unit_id"]
    2
    """
    condition = parse(query)
    if isinstance(tree, xr.Dataset):
        columns = {"": _groups.columns(tree, schema.UNIT)}
        rows = _fitting(condition, columns, _UNITS)[""]
        return take_units(tree, np.flatnonzero(rows))
    groups = _groups.nodes_of(tree)
    recording = _groups.is_recording(tree)
    columns_of = {
        path: _names_in(path, recording) | _groups.columns(groups[path], schema.UNIT)
        for path in _groups.owners(groups, schema.UNIT)
    }
    chosen = _fitting(condition, columns_of, _UNITS)
    return _groups.rebuilt(tree, _groups.keep_rows(groups, chosen, schema.UNIT, take_units))


def _names_in(path: str, recording: bool) -> dict[str, Any]:
    """The names of area, session and block, from the path of a node with units."""
    parts = path.split("/")
    parts = parts[:-1] if recording and len(parts) > 2 else parts
    return dict(zip(("area", "session", "block"), reversed(parts), strict=False))


def take_units(node: xr.Dataset, rows: np.ndarray) -> xr.Dataset:
    """Select units by position; a spikes node keeps their spikes, which are not read."""
    if schema.SPIKE not in node.dims or schema.ROW_SIZE not in node:
        return node.isel({schema.UNIT: rows})
    sizes = check_order(node)
    variables: dict[str, xr.Variable] = {}
    coords: dict[str, xr.Variable] = {}
    for name, variable in node.variables.items():
        selected = variable
        for dim in variable.dims:
            if dim == schema.UNIT:
                selected = selected.isel({dim: rows})
            elif dim == schema.SPIKE:
                selected = _take_spikes(selected, sizes, rows)
        (coords if name in node.coords else variables)[str(name)] = selected
    return dataset(variables, coords, {str(k): v for k, v in node.attrs.items()})


def _take_spikes(variable: xr.Variable, sizes: np.ndarray, rows: np.ndarray) -> xr.Variable:
    """Select the values along spikes of some units; a lazy array is not read.

    Parameters
    ----------
    variable : (spike, ...) Variable
        Values of all spikes, unit after unit.
    sizes : (unit,) int64
        Number of spikes of each unit.
    rows : (n,) int64
        Positions of the units to keep.
    """
    data, ends = array_of(variable), np.cumsum(sizes)
    if isinstance(data, LazyArray) and variable.dims[0] == schema.SPIKE:
        starts = ends - sizes
        if isinstance(data, Segments) and np.array_equal(data.sizes, sizes):
            starts, data = data.starts, data.base  # A selection of a selection becomes one view.
        chosen = Segments(data, starts[rows], sizes[rows])
        return xr.Variable(variable.dims, wrap(chosen), variable.attrs)
    parts = [np.arange(ends[row] - sizes[row], ends[row]) for row in rows]
    return variable.isel({schema.SPIKE: np.concatenate([np.arange(0), *parts])})


def trials(tree: Tree, query: str) -> Tree:
    """Keep the presentations that fit a condition.

    Parameters
    ----------
    tree : DataTree, a node of one, or Dataset
        A recording tree (each table that has the columns is cut), an aligned tree, a table of
        presentations, or an area.
    query : str
        A condition on the parameters of the presentations, on `presentation_id` and `session`:
        ``"orientation == 90 and contrast > .5"``. `select_units` lists what it may have.

    Returns
    -------
    DataTree or Dataset
        The same kind as `tree`. Responses, behaviour, masks and tables along ``(presentation_id,
        ...)`` have only the presentations that fit, in their order; units of measurement and all
        other variables stay. Sessions of an aligned tree without such presentations are left out. A
        missing parameter fits neither a condition nor its `not`.

    Raises
    ------
    QueryError
        If the condition is made of anything else; names the part.
    NotInTree
        If no table has such a parameter.
    NothingLeft
        If no presentation fits; says which condition emptied it.

    Examples
    --------
    >>> import neuroarrays as na
    >>> ripples = na.align(na.load_sample(), "sleep_ripples", 0.01, window=(-0.1, 0.2))
    >>> long = na.trials(ripples, "duration > 0.1")
    >>> long["A2929-200711/ca1"].sizes["presentation_id"]
    45
    """
    condition = parse(query)
    if isinstance(tree, xr.Dataset):
        columns = {"": _groups.columns(tree, schema.PRESENTATION)}
        rows = _fitting(condition, columns, _PRESENTATIONS)[""]
        return tree.isel({schema.PRESENTATION: np.flatnonzero(rows)})
    groups = _groups.nodes_of(tree)
    recording = _groups.is_recording(tree)
    columns_of = {
        path: {"session": _session(tree, path)} | _groups.parameters(path, groups)
        for path in _groups.owners(groups, schema.PRESENTATION)
    }
    chosen = _fitting(condition, columns_of, _PRESENTATIONS, skip_incomplete=recording)
    selected = _groups.keep_rows(groups, chosen, schema.PRESENTATION, keep_empty=recording)
    return _groups.rebuilt(tree, selected)


def _session(tree: xr.DataTree, path: str) -> str:
    """The name of the session of a node with presentations."""
    parts = path.split("/")
    if _groups.is_recording(tree) or len(parts) == 1:
        return parts[0]
    node = tree.root[path].to_dataset()
    return parts[-2] if schema.UNIT in node.sizes else parts[-1]


def _fitting(
    condition: Query,
    nodes: Mapping[str, Mapping[str, Any]],
    row_name: str,
    skip_incomplete: bool = False,
) -> dict[str, np.ndarray]:
    """Tell which rows of each node fit a condition.

    Parameters
    ----------
    condition : Query
        The condition.
    nodes : dict of str to dict
        The columns of each node, by path and name. At least one node has all columns of the
        condition.
    row_name : {"unit", "presentation"}
        What a message calls a row.
    skip_incomplete : bool
        Whether nodes that lack a column of the condition are left out of the result. By default
        none of their rows fits.

    Returns
    -------
    dict of str to (row,) bool
        True for the rows that fit, by path.

    Raises
    ------
    NotInTree
        If no node has a column of the condition.
    NothingLeft
        If no row fits.
    """
    known = dict.fromkeys(name for columns in nodes.values() for name in columns)
    check_columns(condition.names, known, f"the {row_name}s of this tree")
    sizes = {
        path: max((c.size for c in columns.values() if not isinstance(c, str)), default=0)
        for path, columns in nodes.items()
    }
    complete = {p: (c, sizes[p]) for p, c in nodes.items() if set(condition.names) <= set(c)}
    chosen: dict[str, np.ndarray] = {}
    for path, columns in nodes.items():
        if path in complete:
            chosen[path] = condition.where(_reader(columns), sizes[path])
        elif not skip_incomplete:
            chosen[path] = np.zeros(sizes[path], bool)
    if not any(rows.any() for rows in chosen.values()):
        total = f"{row_name} of {sum(sizes[path] for path in chosen)}"
        raise NothingLeft("; ".join(_why_nothing_fits(condition, complete, total)))
    return chosen


def _why_nothing_fits(
    condition: Query, nodes: Mapping[str, tuple[Mapping[str, Any], int]], total: str
) -> Iterator[str]:
    """Explain which parts of a condition fit no row, and which values the columns have."""
    parts = condition.conditions[:_PARTS]
    n_more = len(condition.conditions) - len(parts)
    counts = [
        sum(int(part.where(_reader(columns), size).sum()) for columns, size in nodes.values())
        for part in parts
    ]
    texts = [f"{p.text!r} alone fits {count}" for p, count in zip(parts, counts, strict=True)]
    texts += [f"{n_more} more conditions"] if n_more else []
    yield f"{quoted(condition.text)} fits no {total}: {', '.join(texts)}"
    names = [n for p, count in zip(parts, counts, strict=True) if not count for n in p.names]
    for name in list(dict.fromkeys(names))[:_PARTS]:
        yield range_of(name, [columns[name] for columns, _ in nodes.values()])


def range_of(name: str, columns: list[Any]) -> str:
    """Describe the values of a column: a range of numbers, or a few of its texts."""
    values = np.concatenate([np.atleast_1d(np.asarray(c)) for c in columns])
    values = values[~missing(values)]
    if not values.size:
        return f"{name!r} is missing in all of them"
    if values.dtype.kind in "iuf":
        return f"{name!r} goes from {values.min():g} to {values.max():g}"
    known = sorted({str(value) for value in values.tolist()})
    more = f" and {len(known) - 5} more" if len(known) > 5 else ""
    return f"{name!r} is {', '.join(quoted(text, 60) for text in known[:5])}{more}"


def _reader(columns: Mapping[str, Any]) -> Column:
    """A function from the name of a column to its values."""

    def read(name: str) -> Any:
        column = columns[name]
        return column if isinstance(column, str) else column.values

    return read
