"""Convert trees to objects of pynapple; `pynapple_trees` converts them back."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError, required
from neuroarrays.schema.given import described
from neuroarrays.tree.intervals import merged
from neuroarrays.tree.observed import of_session, of_units
from neuroarrays.tree.stretches import Stretches
from neuroarrays.tree.trains import check_order

#: The shortest stretch that pynapple keeps, s.
_SHORTEST = 1e-6
#: Attributes of a variable that become metadata of its columns.
OF_COLUMNS = ("units", "period")
#: Variable along `spike` with the values of a `TsGroup` of `Tsd`.
VALUES = "spike_values"


def pynapple_module() -> Any:
    """Import pynapple.

    Raises
    ------
    MissingDependency
        If it is not installed.
    """
    return required("pynapple", "pynapple", "exchanging data with pynapple")


class PynappleObjects(dict[str, Any]):
    """Objects of pynapple by path, with the tree that they were made from.

    Attributes
    ----------
    tree : xr.DataTree
        The tree. `from_pynapple` takes from it what pynapple cannot hold, such as attributes and
        text along time.
    """

    tree: xr.DataTree


def to_pynapple(tree: xr.DataTree) -> PynappleObjects:
    """Convert a tree to objects of pynapple, in memory.

    Parameters
    ----------
    tree : xr.DataTree
        A recording tree, or an aligned tree on a continuous clock.

    Returns
    -------
    PynappleObjects
        A dict of objects by path; all times are in seconds. Spikes become a ``TsGroup`` (NaN times
        are left out). Each numeric variable along time becomes a ``Tsd``, ``TsdFrame`` or
        ``TsdTensor``, at the path of its node and its name. A table with finite, ordered starts and
        stops becomes an ``IntervalSet`` (pynapple shortens intervals that touch by 1 us); a table
        whose rows overlap becomes a ``TsGroup`` of starts and stops. Events, and tables without
        stops, become a ``Ts``. Text along time is left out. Labels of units and presentations
        become metadata, and so do the attributes `units` and `period` of a variable. The time
        support is the recorded time, or, for signals of an aligned tree, the `valid` frames.
        `from_pynapple` converts the objects back to the tree.

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
            samples = np.flatnonzero(np.isfinite(times))
            # Samples are sorted here, because pynapple would sort the times without the values.
            samples = samples[np.argsort(times[samples], kind="stable")]
            if samples.size < times.size or (np.diff(samples) < 0).any():
                contents, times = contents.isel({schema.TIME: samples}), times[samples]
            support = _valid_support(nap, contents, times)
            if support is None:
                support = _recorded_support(nap, tree, path, times)
            for name, array in contents.data_vars.items():
                if array.dims[:1] == (schema.TIME,) and array.dtype.kind in "biuf":
                    objects[f"{path}/{name}"] = _series(nap, times, array, support)
    return objects


def _valid_support(nap: Any, contents: xr.Dataset, times: np.ndarray) -> Any:
    """The stretches of a clock whose frames are valid; None if all are, or none is."""
    valid = contents.get(schema.VALID)
    if valid is None or valid.dims != (schema.TIME,) or not times.size or valid.values.all():
        return None
    half = float(np.median(np.diff(times))) / 2 if times.size > 1 else 0.5
    is_valid = np.asarray(valid.values, bool)
    if not is_valid.any():
        return None
    edges = np.diff(is_valid.astype(np.int8), prepend=0, append=0)
    first, past = np.flatnonzero(edges > 0), np.flatnonzero(edges < 0)
    return nap.IntervalSet(times[first] - half, times[past - 1] + half)


def _support(nap: Any, recorded: list[Stretches]) -> Any:
    """The time support of some objects: the time in which any of them was recorded.

    It is always given, because the one that pynapple computes loses units with a single spike.
    """
    rows = np.concatenate([stretches.rows for stretches in recorded] or [np.empty((0, 2))])
    starts, stops = merged(rows)
    long_enough = stops - starts > _SHORTEST
    if not long_enough.any():
        first = float(starts[0]) if starts.size else 0.0
        return nap.IntervalSet(first, first + 1.0)
    return nap.IntervalSet(starts[long_enough], stops[long_enough])


def _group(nap: Any, node: xr.Dataset, session: xr.DataTree | None) -> Any:
    """A spikes node as a `TsGroup`; its labels of units become metadata."""
    ends = np.cumsum(check_order(node))
    times = node[schema.SPIKE_TIMES].values
    trains = np.split(times, ends[:-1]) if ends.size else []
    is_recording = session is not None and schema.kind_of(session) == schema.RECORDING
    support = _support(nap, of_units(node, session if is_recording else None))
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
    values: list[Any] = [None] * len(trains)
    if VALUES in node:
        values = np.split(node[VALUES].values, ends[:-1])
    units = {
        int(unit): _train(nap, train, train_values, support)
        for unit, train, train_values in zip(ids, trains, values, strict=True)
    }
    order = np.argsort(ids)  # A TsGroup sorts its units, and the metadata must have this order.
    units = dict(sorted(units.items()))
    metadata = _metadata(node.isel({schema.UNIT: order}).coords, schema.UNIT, ("rate",))
    return nap.TsGroup(units, time_support=support, metadata=metadata)


def _train(nap: Any, times: np.ndarray, values: Any, support: Any) -> Any:
    """The spikes of a unit as a `Ts`, or as a `Tsd` if they have values."""
    known = np.flatnonzero(~np.isnan(times))
    known = known[np.argsort(times[known], kind="stable")]
    if values is None:
        return nap.Ts(times[known], time_support=support)
    return nap.Tsd(times[known], np.asarray(values)[known], time_support=support)


def _overlapping_rows(nap: Any, node: xr.Dataset) -> Any:
    """A table whose rows overlap, as a `TsGroup` with the start and stop of each row.

    Returns None if the rows have no distinct integer labels, a start is missing, or a stop is before
    its start.
    """
    starts, stops = node[schema.START_TIME].values, node[schema.STOP_TIME].values
    has_labels = schema.PRESENTATION in node.coords
    ids = np.asarray(node[schema.PRESENTATION].values if has_labels else np.arange(starts.size))
    is_unique = ids.dtype.kind in "iu" and np.unique(ids).size == starts.size
    known = np.concatenate([starts, stops])
    known = known[np.isfinite(known)]
    if not is_unique or not known.size or (stops < starts).any() or np.isnan(starts).any():
        return None
    first, last = float(known.min()), float(known.max())
    support = nap.IntervalSet(first, last if last > first else first + 1.0)
    pairs = np.stack([starts, stops], axis=1)
    order = np.argsort(ids)  # A TsGroup sorts its rows, and the metadata must have this order.
    rows = {
        int(ids[i]): nap.Ts(pairs[i][np.isfinite(pairs[i])], time_support=support)
        for i in order.tolist()
    }
    in_order = node.isel({schema.PRESENTATION: order})
    reserved = ("rate", schema.START_TIME, schema.STOP_TIME)
    metadata = _metadata(in_order.variables, schema.PRESENTATION, reserved)
    return nap.TsGroup(rows, time_support=support, metadata=metadata, bypass_check=True)


def _intervals(nap: Any, node: xr.Dataset) -> Any:
    """A table as an `IntervalSet`, a `Ts` if it has no stops, or a `TsGroup` if its rows overlap.

    Returns None if pynapple cannot hold it.
    """
    if schema.START_TIME in node.data_vars and schema.STOP_TIME not in node.data_vars:
        starts = node[schema.START_TIME].values
        return nap.Ts(np.sort(starts[np.isfinite(starts)]))
    if not {schema.START_TIME, schema.STOP_TIME} <= set(node.data_vars):
        return None
    starts, stops = node[schema.START_TIME].values, node[schema.STOP_TIME].values
    is_complete = np.isfinite(starts).all() and np.isfinite(stops).all() and (stops > starts).all()
    if not is_complete or (starts[1:] < stops[:-1]).any():
        # An IntervalSet would drop or join rows that overlap.
        return _overlapping_rows(nap, node)
    reserved = ("start", "end", schema.START_TIME, schema.STOP_TIME)
    metadata = _metadata(node.variables, schema.PRESENTATION, reserved)
    with warnings.catch_warnings():
        # pynapple warns that it shortens intervals that touch by 1 us.
        warnings.simplefilter("ignore")
        return nap.IntervalSet(starts, stops, metadata=metadata)


def _metadata(
    variables: Mapping[Any, Any], dim: Hashable, reserved: Sequence[str]
) -> dict[str, np.ndarray] | None:
    """Labels along a dimension as metadata; None if there are none.

    The `reserved` names, which pynapple uses itself, are left out.
    """
    metadata = {
        str(name): variable.values
        for name, variable in variables.items()
        if variable.dims == (dim,) and name != dim and name not in reserved
    }
    return metadata or None


def _recorded_support(nap: Any, tree: xr.DataTree, path: str, times: np.ndarray) -> Any:
    """The recorded time of the session as time support; None if a sample is not within it."""
    if schema.kind_of(tree) != schema.RECORDING or not times.size:
        return None
    session = f"{tree.path}/{path}".strip("/").partition("/")[0]
    recorded = of_session(tree.root.children[session])
    inside = len(recorded.rows) and recorded.covers(times, times).all()
    return _support(nap, [recorded]) if inside else None


def _series(nap: Any, times: np.ndarray, array: xr.DataArray, support: Any) -> Any:
    """A variable along time as a `Tsd`, `TsdFrame` or `TsdTensor`, by its number of dimensions."""
    if array.ndim == 1:
        return nap.Tsd(times, array.values, time_support=support)
    if array.ndim > 2:
        return nap.TsdTensor(times, array.values, time_support=support)
    last = array.dims[1]
    columns = array.coords[last].values if last in array.coords else np.arange(array.shape[1])
    metadata = _metadata(array.coords, last, ()) or {}
    metadata |= {
        name: np.repeat(array.attrs[name], array.shape[1])
        for name in OF_COLUMNS
        if name in array.attrs and name not in metadata
    }
    with warnings.catch_warnings():
        # pynapple warns of names that cannot be attributes of a Python object.
        warnings.simplefilter("ignore")
        return nap.TsdFrame(
            times, array.values, columns=columns, time_support=support, metadata=metadata or None
        )
