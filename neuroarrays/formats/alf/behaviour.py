"""The nodes of an ALF session besides its units: trials, wheel, cameras, licks, passive stimuli."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.formats.alf.datasets import ALFFile, readable
from neuroarrays.formats.clocks import knots
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.computed import as_dtype
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import InMemory, sliced

_FLOAT = np.dtype("f8")
#: Units of signals of IBL; pairs of columns with the start and the end of each row of a table.
_UNITS = {("wheel", "position"): "rad"}
_ENDS = (("intervals_0", "intervals_1"), ("start", "stop"))
_PERIODS = "intervalsTable"
#: Objects that describe the recording and have no times.
_ABOUT = ("probes", "channels", "clusters", "templates", "electrodeSites")


def nodes_of(datasets: Iterable[ALFFile], notes: list[str]) -> dict[str, xr.Dataset]:
    """Return the nodes of all objects that have times.

    Parameters
    ----------
    datasets : iterable of ALFFile
        The files of the session, except those of sortings.
    notes : list of str
        A note is added for each file that is not read.
    """
    objects: dict[tuple[str, str], dict[str, ALFFile]] = {}
    for alf_file in datasets:
        objects.setdefault((alf_file.object, alf_file.collection), {})[alf_file.label] = alf_file
    names = [name for name, _ in objects]
    nodes: dict[str, xr.Dataset] = {}
    for (name, collection), attributes in objects.items():
        node = name if names.count(name) == 1 or not collection else f"{name}_{collection}"
        files = sorted(alf_file.file.name for alf_file in attributes.values())
        object_nodes = _object_nodes(schema.node_name(node), name, attributes, notes)
        if not object_nodes:
            notes.append(f"not read: {', '.join(files)}" + ("" if name in _ABOUT else ": no times"))
        nodes |= object_nodes
    return nodes


def _object_nodes(
    node: str, name: str, attributes: Mapping[str, ALFFile], notes: list[str]
) -> dict[str, xr.Dataset]:
    """Return the nodes of one object: a series, a table, events, or none."""
    clock = attributes.get("timestamps")
    if clock is None and name.endswith("Camera"):
        clock = attributes.get("times")
    if clock is not None:
        return _series(node, name, clock, attributes, notes)
    if _PERIODS in attributes:
        return _periods(node, attributes[_PERIODS])
    if not {"times", "intervals", "table"} & attributes.keys():
        return {}
    order = sorted(attributes.values(), key=lambda alf_file: alf_file.label != "table")
    columns: dict[str, LazyArray] = {}
    for alf_file in order:
        _add(columns, alf_file, notes)
    if name == "passiveStims" and not _named(columns, _ENDS[1]):
        return _on_and_off(node, columns)
    ends = next((pair for pair in _ENDS if _named(columns, pair)), None)
    if ends is not None:
        return {f"{schema.PRESENTATIONS}/{node}": _table(columns, ends)}
    if "times" in columns:
        return {f"{schema.EVENTS}/{node}": _events(columns)}
    return {}


def _add(columns: dict[str, LazyArray], alf_file: ALFFile, notes: list[str]) -> None:
    """Add the columns of a file to those of its object, after checking that they have as many rows."""
    for label, array in readable(alf_file, notes).items():
        first = next(iter(columns.values()), array)
        if array.shape[0] != first.shape[0]:
            other = next(iter(columns))
            expected = f"{first.shape[0]:,} rows, as {alf_file.object}.{other}"
            raise FormatError(alf_file.file.as_given, label, expected, f"{array.shape[0]:,}")
        columns.setdefault(label, array)


def _named(columns: Mapping[str, LazyArray], pair: tuple[str, str]) -> bool:
    """Whether both columns of a pair exist and have numbers."""
    return all(name in columns and columns[name].dtype.kind in "iuf" for name in pair)


def _table(columns: Mapping[str, LazyArray], ends: tuple[str, str]) -> xr.Dataset:
    """Return a table of presentations; `ends` are the columns with the start and stop of each row."""
    rows = columns[ends[0]].shape[0]
    variables = {
        column: schema.var(
            "table", column, as_dtype(columns[stored], _FLOAT).variable([schema.PRESENTATION]).data
        )
        for column, stored in zip((schema.START_TIME, schema.STOP_TIME), ends, strict=True)
    }
    for label, array in columns.items():
        if label not in ends and not label.startswith("Unnamed"):
            name = f"{label}_" if label in (*variables, schema.PRESENTATION) else label
            attrs = {"units": "s"} if label.endswith("_times") else {}
            variables[name] = array.variable([schema.PRESENTATION], attrs)
    return dataset(
        variables, {schema.PRESENTATION: xr.Variable(schema.PRESENTATION, np.arange(rows))}
    )


def _periods(node: str, alf_file: ALFFile) -> dict[str, xr.Dataset]:
    """Return the table of a file that has a column for each period, and the rows "start" and "stop"."""
    table = alf_file.table()
    names = [name for name, values in table.items() if values.dtype.kind in "iuf"]
    if not names or any(table[name].shape != (2,) for name in names):
        names_in_file = f"columns {', '.join(table)}"
        raise FormatError(
            alf_file.file.as_given, "", "a start and a stop for each period", names_in_file
        )
    columns: dict[str, LazyArray] = {
        pair: InMemory(np.array([table[name][row] for name in names], float))
        for row, pair in enumerate(_ENDS[1])
    }
    columns["period"] = InMemory(np.array(names, object))
    return {f"{schema.PRESENTATIONS}/{node}": _table(columns, _ENDS[1])}


def _on_and_off(node: str, columns: Mapping[str, LazyArray]) -> dict[str, xr.Dataset]:
    """Return a table for each stimulus with columns `<name>On` and `<name>Off`, without NaN rows."""
    nodes: dict[str, xr.Dataset] = {}
    for name in (label.removesuffix("On") for label in columns if label.endswith("On")):
        pair = f"{name}On", f"{name}Off"
        if not _named(columns, pair):
            continue
        started, ended = (np.asarray(columns[label].load(), float) for label in pair)
        was_shown = ~np.isnan(started)
        times = {"start": InMemory(started[was_shown]), "stop": InMemory(ended[was_shown])}
        nodes[f"{schema.PRESENTATIONS}/{node}_{name}"] = _table(times, _ENDS[1])
    return nodes


def _events(columns: Mapping[str, LazyArray]) -> xr.Dataset:
    """Return the node of point events whose times are in the column "times"."""
    variables = {
        f"{label}_" if label == schema.EVENT_TIME else label: array.variable([schema.EVENT])
        for label, array in columns.items()
        if label != "times"
    }
    times = as_dtype(columns["times"], _FLOAT).variable([schema.EVENT], {"units": "s"})
    return dataset({schema.EVENT_TIME: times} | variables)


def _series(
    node: str, name: str, clock: ALFFile, attributes: Mapping[str, ALFFile], notes: list[str]
) -> dict[str, xr.Dataset]:
    """Return the nodes of a continuous signal: all files of the object with a row for each sample.

    A camera file with fewer rows than there are times gets a node of its own.
    """
    signals = [
        (alf_file, readable(alf_file, notes))
        for alf_file in attributes.values()
        if alf_file is not clock
    ]
    lengths = {
        alf_file.file.name: array.shape[0]
        for alf_file, columns in signals
        for array in columns.values()
    }
    stamps = _stamps(clock, lengths)
    variables: dict[str, dict[str, xr.Variable]] = {}
    times: dict[str, xr.Variable] = {}
    for alf_file, columns in signals:
        missing = stamps.shape[0] - lengths.get(alf_file.file.name, 0)
        path = node if not missing else f"{node}_{alf_file.label}"
        if missing and columns:
            sizes = (
                f"{alf_file.file.name} has {lengths[alf_file.file.name]:,} samples, "
                f"{clock.file.name} {stamps.shape[0]:,} times"
            )
            if missing < 0 or not name.endswith("Camera"):
                notes.append(f"not read: {sizes}")
                continue
            notes.append(f"{path}: {sizes}: the last of these are taken, as IBL does")
        for label, array in columns.items():
            # "speed" in a tree is in cm/s, and "time" is the clock.
            variable = f"{label}_signal" if label in ("speed", schema.TIME) else label
            unit = _UNITS.get((name, label))
            attrs = {"units": unit} if unit else {}
            variables.setdefault(path, {})[variable] = array.variable([schema.TIME], attrs)
            times[path] = _last(stamps, array.shape[0])
    if not variables:
        notes.append(f"not read: {clock.file.name}: no signal has as many samples")
    return {path: dataset(group, {schema.TIME: times[path]}) for path, group in variables.items()}


def _stamps(clock: ALFFile, lengths: Mapping[str, int]) -> LazyArray:
    """Return the times of all samples, (sample,) float64 in s.

    A clock of rows (sample, time) needs signals of one length; `lengths` are those of the files.
    """
    stamps = clock.array()
    if len(stamps.shape) == 2 and stamps.shape[1] == 2:
        if len(set(lengths.values())) != 1:
            expected = "signals of one length beside rows of (sample, time)"
            raise FormatError(clock.file.as_given, "", expected, f"{dict(lengths)}")
        rows = np.asarray(stamps.load(), float)
        return knots(clock.file.as_given, "", rows, next(iter(lengths.values())))
    if len(stamps.shape) != 1 or stamps.dtype.kind not in "iuf":
        dtype_and_shape = f"{stamps.dtype} of shape {stamps.shape}"
        raise FormatError(clock.file.as_given, "", "times along one axis", dtype_and_shape)
    return as_dtype(stamps, _FLOAT)


def _last(times: LazyArray, count: int) -> xr.Variable:
    """Return the last times of a clock, because the first frames of a video are not always recorded."""
    first = times.shape[0] - count
    return sliced(times, slice(first, None)).variable([schema.TIME], {"units": "s"})
