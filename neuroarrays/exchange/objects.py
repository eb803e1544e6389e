"""Trees as objects of pynapple; `restoring` has the way back."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import MissingDependency, SchemaError
from neuroarrays.schema.given import described
from neuroarrays.tree.intervals import merged
from neuroarrays.tree.observed import of_session, of_units
from neuroarrays.tree.stretches import Stretches

#: The shortest stretch that pynapple keeps, s.
_SHORTEST = 1e-6
#: What is said of a variable that the metadata of its columns can hold.
OF_COLUMNS = ("units", "period")
#: Values along `spike`: those of a `TsGroup` of `Tsd`.
VALUES = "spike_values"


def pynapple_module() -> Any:
    """The package; an error that says how to get it, if it is not installed."""
    try:
        import pynapple
    except ImportError as error:
        msg = "exchanging data with pynapple"
        raise MissingDependency("pynapple", "pynapple", msg) from error
    return pynapple


class PynappleObjects(dict[str, Any]):
    """Objects of pynapple by path, and the tree that they are of.

    Attributes
    ----------
    tree : xr.DataTree
        What pynapple has no place for (attributes, periods of angles, text along time, tables that
        overlap) is still there; `from_pynapple` takes it from here.
    """

    tree: xr.DataTree


def to_pynapple(tree: xr.DataTree) -> PynappleObjects:
    """A tree as pynapple objects, loaded into memory.

    Parameters
    ----------
    tree : xr.DataTree
        A recording tree, or an aligned tree on a continuous clock.

    Returns
    -------
    PynappleObjects
        A dict, with the time that was recorded as their time support. By path: ``TsGroup`` for spikes (NaN
        times left out), ``Tsd``, ``TsdFrame`` or ``TsdTensor``
        for each numeric variable along time (path of the node and name), ``IntervalSet`` for each
        table with finite, ordered start and stop times (s; pynapple takes 1 us from intervals that
        touch), ``TsGroup`` of starts and stops where rows overlap. What is said of units and
        presentations, one value each, is their metadata, as `units` and `period` of a variable are
        of its columns.
        ``Ts`` for events and for tables without stops. Text along time has no object. `valid`
        frames of an aligned tree are the time support of its signals. `from_pynapple` makes the
        tree of them again.

    Raises
    ------
    SchemaError
        If responses are cut into presentations, which have no clock, or `unit_id` has text or an
        identifier twice.
    MissingDependency
        If pynapple is not installed.

    Examples
    --------
    >>> import neuroarrays as na
    >>> objects = na.to_pynapple(na.load_sample())
    >>> objects["A2929-200711/adn/spikes"].index.size
    7
    """
    nap = pynapple_module()
    objects = PynappleObjects()
    objects.tree = tree
    for path, role, node in schema.roles(tree):
        if role == "area" and schema.PRESENTATION in node.sizes:
            msg = (
                f"{path}: cut into presentations, which pynapple has no object for: give the "
                "recording, whose tables become IntervalSets, or align it on one clock "
                "(na.align(tree, bin_width=...))"
            )
            raise SchemaError(msg)
        contents = node.to_dataset(inherit=False)
        if role == "spikes":
            objects[path] = _group(nap, contents, node.parent and node.parent.parent)
        elif role == "table":
            intervals = _intervals(nap, contents)
            if intervals is not None:
                objects[path] = intervals
        elif role == "events" and schema.EVENT_TIME in contents:
            times = contents[schema.EVENT_TIME].values
            objects[path] = nap.Ts(np.sort(times[np.isfinite(times)]))
        elif schema.TIME in node.coords and schema.PRESENTATION not in node.dims:
            times = np.asarray(node.coords[schema.TIME].values, np.float64)
            kept = np.flatnonzero(np.isfinite(times))
            kept = kept[np.argsort(times[kept], kind="stable")]  # pynapple sorts the times alone
            if kept.size < times.size or (np.diff(kept) < 0).any():
                contents, times = contents.isel({schema.TIME: kept}), times[kept]
            support = _of_valid(nap, contents, times) or _of_clock(nap, tree, path, times)
            for name, array in contents.data_vars.items():
                if array.dims[:1] == (schema.TIME,) and array.dtype.kind in "biuf":
                    objects[f"{path}/{name}"] = _series(nap, times, array, support)
    return objects


def _of_valid(nap: Any, contents: xr.Dataset, times: np.ndarray) -> Any:
    """The stretches of a clock whose frames are valid; None where nothing says which are."""
    valid = contents.get(schema.VALID)
    if valid is None or valid.dims != (schema.TIME,) or not times.size or valid.values.all():
        return None
    half = float(np.median(np.diff(times))) / 2 if times.size > 1 else 0.5
    good = np.asarray(valid.values, bool)
    if not good.any():
        return None
    edges = np.diff(good.astype(np.int8), prepend=0, append=0)
    first, past = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)
    return nap.IntervalSet(times[first] - half, times[past - 1] + half)


def _support(nap: Any, each: list[Stretches]) -> Any:
    """The time support of objects: all time in which any of them was recorded."""
    rows = np.concatenate([stretches.rows for stretches in each] or [np.empty((0, 2))])
    starts, stops = merged(rows)
    some = stops - starts > _SHORTEST  # its own guess loses units with a single spike
    if not some.any():
        first = float(starts[0]) if starts.size else 0.0
        return nap.IntervalSet(first, first + 1.0)
    return nap.IntervalSet(starts[some], stops[some])


def _group(nap: Any, node: xr.Dataset, session: xr.DataTree | None) -> Any:
    ends = np.cumsum(node[schema.ROW_SIZE].values, dtype=np.int64)
    times = node[schema.SPIKE_TIMES].values
    trains = np.split(times, ends[:-1]) if ends.size else []
    whole = session is not None and schema.kind_of(session) == schema.RECORDING
    support = _support(nap, of_units(node, session if whole else None))
    ids = node[schema.UNIT].values
    if ids.dtype.kind not in "iu":
        msg = (
            f"unit_id holds {described(ids.tolist()[0] if ids.size else ids)}, where pynapple takes "
            "whole numbers: assign other ones"
        )
        raise SchemaError(msg)
    if np.unique(ids).size < ids.size:
        msg = "unit_id holds an identifier twice, which pynapple cannot have: assign other ones"
        raise SchemaError(msg)
    values = node[VALUES].values if VALUES in node else None
    told = [None] * len(trains) if values is None else np.split(values, ends[:-1])
    units = {
        int(unit): _train(nap, train, shown, support)
        for unit, train, shown in zip(ids, trains, told, strict=True)
    }
    order = np.argsort(ids)  # as a TsGroup has them, so that columns go with their units
    units = dict(sorted(units.items()))
    columns = _told(node.isel({schema.UNIT: order}).coords, schema.UNIT, ("rate",))
    return nap.TsGroup(units, time_support=support, metadata=columns)


def _train(nap: Any, times: np.ndarray, values: Any, support: Any) -> Any:
    """A unit's spikes, with the values that came with them."""
    known = np.flatnonzero(~np.isnan(times))
    known = known[np.argsort(times[known], kind="stable")]
    if values is None:
        return nap.Ts(times[known], time_support=support)
    return nap.Tsd(times[known], np.asarray(values)[known], time_support=support)


def _rows(nap: Any, node: xr.Dataset) -> Any:
    """A table whose rows overlap: a start and a stop each; None if one stops before it starts."""
    starts, stops = node[schema.START_TIME].values, node[schema.STOP_TIME].values
    labelled = schema.PRESENTATION in node.coords
    ids = np.asarray(node[schema.PRESENTATION].values if labelled else np.arange(starts.size))
    unique = ids.dtype.kind in "iu" and np.unique(ids).size == starts.size
    known = np.concatenate([starts, stops])
    known = known[np.isfinite(known)]
    if not unique or not known.size or (stops < starts).any() or np.isnan(starts).any():
        return None
    first, last = float(known.min()), float(known.max())
    support = nap.IntervalSet(first, last if last > first else first + 1.0)
    pairs = np.stack([starts, stops], axis=1)
    order = np.argsort(ids)  # as a TsGroup has them
    rows = {
        int(ids[i]): nap.Ts(pairs[i][np.isfinite(pairs[i])], time_support=support)
        for i in order.tolist()
    }
    in_order = node.isel({schema.PRESENTATION: order})
    reserved = ("rate", schema.START_TIME, schema.STOP_TIME)
    told = _told(in_order.variables, schema.PRESENTATION, reserved)
    return nap.TsGroup(rows, time_support=support, metadata=told, bypass_check=True)


def _intervals(nap: Any, node: xr.Dataset) -> Any:
    if schema.START_TIME in node.data_vars and schema.STOP_TIME not in node.data_vars:
        starts = node[schema.START_TIME].values
        return nap.Ts(np.sort(starts[np.isfinite(starts)]))
    if not {schema.START_TIME, schema.STOP_TIME} <= set(node.data_vars):
        return None
    starts, stops = node[schema.START_TIME].values, node[schema.STOP_TIME].values
    good = np.isfinite(starts).all() and np.isfinite(stops).all() and (stops > starts).all()
    if not good or (starts[1:] < stops[:-1]).any():
        return _rows(nap, node)  # an IntervalSet would drop or join rows that overlap
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it takes 1 us from intervals that touch
        reserved = ("start", "end", schema.START_TIME, schema.STOP_TIME)
        return nap.IntervalSet(
            starts, stops, metadata=_told(node.variables, schema.PRESENTATION, reserved)
        )


def _told(
    variables: Mapping[Any, Any], dim: Hashable, reserved: Sequence[str]
) -> dict[str, np.ndarray] | None:
    """Labels along a dimension as metadata, without the `reserved` names that pynapple uses."""
    return {
        str(name): variable.values
        for name, variable in variables.items()
        if variable.dims == (dim,) and name != dim and name not in reserved
    } or None


def _of_clock(nap: Any, tree: xr.DataTree, path: str, times: np.ndarray) -> Any:
    """The time support of a clock: its session's, if that is known and all samples lie in it."""
    if schema.kind_of(tree) != schema.RECORDING or not times.size:
        return None
    session = f"{tree.path}/{path}".strip("/").partition("/")[0]
    whole = of_session(tree.root.children[session])
    inside = len(whole.rows) and whole.covers(times, times).all()
    return _support(nap, [whole]) if inside else None


def _series(nap: Any, times: np.ndarray, array: xr.DataArray, support: Any) -> Any:
    if array.ndim == 1:
        return nap.Tsd(times, array.values, time_support=support)
    if array.ndim > 2:
        return nap.TsdTensor(times, array.values, time_support=support)
    last = array.dims[1]
    columns = array.coords[last].values if last in array.coords else np.arange(array.shape[1])
    told = _told(array.coords, last, ()) or {}
    told |= {
        name: np.repeat(array.attrs[name], array.shape[1])
        for name in OF_COLUMNS
        if name in array.attrs and name not in told
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are no attributes
        return nap.TsdFrame(
            times, array.values, columns=columns, time_support=support, metadata=told or None
        )
