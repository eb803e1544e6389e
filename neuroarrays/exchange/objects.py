"""Trees as objects of pynapple, and back."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import MissingDependency, SchemaError
from neuroarrays.lazy.indexes import dataset
from neuroarrays.schema.given import described
from neuroarrays.tree.columns import plain_column
from neuroarrays.tree.intervals import merged
from neuroarrays.tree.observed import (
    OF_SESSION,
    OF_UNITS,
    complete,
    of_session,
    of_units,
    with_stretches,
)
from neuroarrays.tree.stretches import Stretches

#: The shortest stretch that pynapple keeps, s.
_SHORTEST = 1e-6
#: Names that metadata of pynapple cannot have in a tree.
_USED = (
    "start_time",
    "stop_time",
    "spike_times",
    "row_size",
    schema.UNIT,
    schema.PRESENTATION,
    schema.SPIKE,
    schema.TIME,
    *OF_UNITS,
)


def _pynapple() -> Any:
    try:
        import pynapple
    except ImportError as error:
        msg = "exchanging data with pynapple"
        raise MissingDependency("pynapple", "pynapple", msg) from error
    return pynapple


def to_pynapple(tree: xr.DataTree) -> dict[str, Any]:
    """A tree as pynapple objects, loaded into memory.

    Parameters
    ----------
    tree : xr.DataTree
        A recording tree, or an aligned tree on a continuous clock.

    Returns
    -------
    dict of str to object
        With the time that was recorded as their time support. By path: ``TsGroup`` for spikes (NaN
        times left out), ``Tsd``, ``TsdFrame`` or ``TsdTensor``
        for each numeric variable along time (path of the node and name), ``IntervalSet`` for each
        table with finite, ordered start and stop times (s; pynapple takes 1 us from intervals that
        touch). What is said of units and presentations, one value each, is their metadata. Text
        along time and tables without stops are left out: pynapple has no object for them.

    Examples
    --------
    >>> import neuroarrays as na
    >>> objects = na.to_pynapple(na.load_sample())
    >>> objects["A2929-200711/adn/spikes"].index.size
    7
    """
    nap = _pynapple()
    objects: dict[str, Any] = {}
    for path, role, node in schema.roles(tree):
        contents = node.to_dataset(inherit=False)
        if role == "spikes":
            objects[path] = _group(nap, contents, node.parent and node.parent.parent)
        elif role == "table":
            intervals = _intervals(nap, contents)
            if intervals is not None:
                objects[path] = intervals
        elif schema.TIME in node.coords:
            times = node.coords[schema.TIME].values
            kept = np.flatnonzero(np.isfinite(times))
            kept = kept[np.argsort(times[kept], kind="stable")]  # pynapple sorts the times alone
            if kept.size < times.size or (np.diff(kept) < 0).any():
                contents, times = contents.isel({schema.TIME: kept}), times[kept]
            support = _of_clock(nap, tree, path, times)
            for name, array in contents.data_vars.items():
                if array.dims[:1] == (schema.TIME,) and array.dtype.kind in "biuf":
                    objects[f"{path}/{name}"] = _series(nap, times, array, support)
    return objects


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
    if np.unique(ids).size < ids.size:
        msg = "unit_id holds an identifier twice, which pynapple cannot have: assign other ones"
        raise SchemaError(msg)
    units = {
        int(unit): nap.Ts(np.sort(train[~np.isnan(train)]), time_support=support)
        for unit, train in zip(ids, trains, strict=True)
    }
    order = np.argsort(ids)  # as a TsGroup has them, so that columns go with their units
    units = dict(sorted(units.items()))
    columns = _told(node.isel({schema.UNIT: order}).coords, schema.UNIT, ("rate",))
    return nap.TsGroup(units, time_support=support, metadata=columns)


def _intervals(nap: Any, node: xr.Dataset) -> Any:
    if not {schema.START_TIME, schema.STOP_TIME} <= set(node.data_vars):
        return None
    starts, stops = node[schema.START_TIME].values, node[schema.STOP_TIME].values
    good = np.isfinite(starts).all() and np.isfinite(stops).all() and (stops > starts).all()
    if not good or (starts[1:] < stops[:-1]).any():
        return None  # pynapple would drop or join rows that overlap
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
    whole = of_session(tree.root[f"{tree.path}/{path}".strip("/").partition("/")[0]])  # type: ignore[arg-type]
    inside = len(whole.rows) and whole.hold(times, times).all()
    return _support(nap, [whole]) if inside else None


def _series(nap: Any, times: np.ndarray, array: xr.DataArray, support: Any) -> Any:
    if array.ndim == 1:
        return nap.Tsd(times, array.values, time_support=support)
    if array.ndim > 2:
        return nap.TsdTensor(times, array.values, time_support=support)
    last = array.dims[1]
    columns = array.coords[last].values if last in array.coords else np.arange(array.shape[1])
    told = _told(array.coords, last, ())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are no attributes
        return nap.TsdFrame(
            times, array.values, columns=columns, time_support=support, metadata=told
        )


def from_pynapple(objects: Mapping[str, Any], session: str = "session") -> xr.DataTree:
    """Pynapple objects as a recording tree.

    Parameters
    ----------
    objects : mapping of str to object
        By name: ``TsGroup`` becomes ``<name>/spikes``, ``Ts`` the same with one unit,
        ``IntervalSet`` the table ``presentations/<name>``, ``Tsd``, ``TsdFrame`` and ``TsdTensor``
        a node ``<name>`` on its own clock, s; with whole numbers as columns, which are units, one of
        the area "unknown". Names may be paths. Time supports that were given
        are the time that was recorded; those that pynapple found are not.
    session : str
        Name of the session.

    Returns
    -------
    xr.DataTree
        A recording tree, in memory.

    Raises
    ------
    TypeError
        If an object is none of these.

    Examples
    --------
    >>> import pynapple as nap
    >>> tree = from_pynapple({"speed": nap.Tsd([0.0, 0.5], [3.0, 4.0])})
    >>> tree["session/speed"]["speed"].values.tolist()
    [3.0, 4.0]
    """
    nap = _pynapple()
    if not isinstance(objects, Mapping) or isinstance(objects, xr.Dataset | xr.DataTree):
        name = schema.SPIKE_TIMES if isinstance(objects, nap.TsGroup) else "signal"
        msg = (
            f"expected objects of pynapple by name, such as {{{name!r}: ...}}, found "
            f"{described(objects)}"
        )
        raise TypeError(msg)
    observed: dict[str, tuple[np.ndarray, bool]] = {}
    groups = {
        "/": xr.Dataset(attrs=schema.root_attrs(schema.RECORDING, source="pynapple")),
        session: xr.Dataset(attrs={"session_id": session}),
    }
    for name, nap_object in objects.items():
        path = name.strip("/").removeprefix(f"{session}/")
        if isinstance(nap_object, nap.Ts):
            nap_object = nap.TsGroup({0: nap_object})
        if isinstance(nap_object, nap.TsGroup):
            path = path.removesuffix(f"/{schema.SPIKES}")
            observed[f"{session}/{path}/{schema.SPIKES}"] = _observed(
                nap_object, [np.asarray(nap_object[i].index, np.float64) for i in nap_object.index]
            )
            groups[f"{session}/{path}/{schema.SPIKES}"] = _spikes(nap_object)
        elif isinstance(nap_object, nap.IntervalSet):
            path = path.removeprefix(f"{schema.PRESENTATIONS}/")
            groups[f"{session}/{schema.PRESENTATIONS}/{path}"] = _table(nap_object)
        elif isinstance(nap_object, nap.Tsd | nap.TsdFrame | nap.TsdTensor):
            signal = _signal(nap_object, path.rpartition("/")[2])
            if schema.UNIT in signal.dims and "/" not in path:
                path = f"{schema.UNKNOWN_AREA}/{path}"  # units are of an area
            groups[f"{session}/{path}"] = signal
            observed[f"{session}/{path}"] = _observed(
                nap_object, [np.asarray(nap_object.index, np.float64)]
            )
        else:
            msg = f"{name} is a {type(nap_object).__name__}; expected an object of pynapple with times"
            raise TypeError(msg)
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
    return xr.DataTree.from_dict(complete(groups, session))


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


def _spikes(group: Any) -> xr.Dataset:
    ids = np.asarray(group.index, np.int64)
    trains = [np.asarray(group[i].index, np.float64) for i in group.index]
    coords: dict[str, xr.Variable] = {schema.UNIT: xr.Variable(schema.UNIT, ids)}
    for name, values in _metadata(group).items():
        coords[_free(name)] = xr.Variable(schema.UNIT, values)
    sizes = np.array([train.size for train in trains], np.int64)
    times = np.concatenate(trains) if trains else np.empty(0)
    return dataset(
        {
            schema.SPIKE_TIMES: schema.var("spikes", schema.SPIKE_TIMES, times),
            schema.ROW_SIZE: schema.var(
                "spikes", schema.ROW_SIZE, sizes, sample_dimension=schema.SPIKE
            ),
        },
        coords,
    )


def _metadata(nap_object: Any) -> dict[str, np.ndarray]:
    """The metadata of the units, intervals or columns of a pynapple object."""
    names = getattr(nap_object, "metadata_columns", None) or ()
    return {str(name): plain_column(nap_object.get_info(name)) for name in names}


def _free(name: str) -> str:
    """A name that the tree does not use itself."""
    return f"{name}_column" if name in _USED else name


def _table(intervals: Any) -> xr.Dataset:
    columns = {
        name: schema.var("table", name, np.asarray(values, np.float64), (schema.PRESENTATION,))
        for name, values in (
            (schema.START_TIME, intervals.start),
            (schema.STOP_TIME, intervals.end),
        )
    }
    columns |= {
        _free(name): xr.Variable(schema.PRESENTATION, values)
        for name, values in _metadata(intervals).items()
    }
    rows = np.arange(len(intervals))
    return dataset(columns, {schema.PRESENTATION: xr.Variable(schema.PRESENTATION, rows)})


def _signal(series: Any, name: str) -> xr.Dataset:
    values, times = np.asarray(series.values), np.asarray(series.index, np.float64)
    coords = {schema.TIME: xr.Variable(schema.TIME, times, {"units": "s"})}
    dims = [schema.TIME, *(f"axis_{i}" for i in range(1, values.ndim))]
    columns = np.asarray(getattr(series, "columns", ()))
    if values.ndim == 2 and columns.dtype.kind in "iu":
        dims[1] = schema.UNIT
        coords[schema.UNIT] = xr.Variable(schema.UNIT, columns)
    elif values.ndim == 2 and columns.size:
        coords["axis_1"] = xr.Variable("axis_1", columns.astype(str))
    if values.ndim == 2:
        coords |= {
            _free(key): xr.Variable(dims[1], column) for key, column in _metadata(series).items()
        }
    return dataset({name: xr.Variable(dims, values)}, coords)
