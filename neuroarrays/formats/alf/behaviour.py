"""What else is in a session in ALF: trials, the wheel, cameras, licks, passive stimuli."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.formats.alf.datasets import Dataset, readable
from neuroarrays.formats.clocks import knots
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.computed import as_dtype
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import InMemory, sliced

_FLOAT = np.dtype("f8")
#: Units of signals of IBL; columns of tables that say when something began and ended.
_UNITS = {("wheel", "position"): "rad"}
_ENDS = (("intervals_0", "intervals_1"), ("start", "stop"))
_PERIODS = "intervalsTable"
#: Objects that describe the recording, and are no data of time.
_ABOUT = ("probes", "channels", "clusters", "templates", "electrodeSites")


def nodes_of(datasets: Iterable[Dataset], notes: list[str]) -> dict[str, xr.Dataset]:
    """The nodes of all objects that have times.

    Parameters
    ----------
    datasets : iterable of Dataset
        Of the session, but those of sortings.
    notes : list of str
        Takes what is not read, and why.
    """
    objects: dict[tuple[str, str], dict[str, Dataset]] = {}
    for each in datasets:
        objects.setdefault((each.object, each.collection), {})[each.label] = each
    names = [name for name, _ in objects]
    nodes: dict[str, xr.Dataset] = {}
    for (name, collection), attributes in objects.items():
        own = name if names.count(name) == 1 or not collection else f"{name}_{collection}"
        files = sorted(each.file.name for each in attributes.values())
        made = _object(schema.node_name(own), name, attributes, notes)
        if not made:
            notes.append(f"not read: {', '.join(files)}" + ("" if name in _ABOUT else ": no times"))
        nodes |= made
    return nodes


def _object(
    own: str, name: str, attributes: Mapping[str, Dataset], notes: list[str]
) -> dict[str, xr.Dataset]:
    """The nodes of one object: a series, a table, events, or none."""
    clock = attributes.get("timestamps")
    if clock is None and name.endswith("Camera"):
        clock = attributes.get("times")
    if clock is not None:
        return _series(own, name, clock, attributes, notes)
    if _PERIODS in attributes:
        return _periods(own, attributes[_PERIODS])
    if not {"times", "intervals", "table"} & attributes.keys():
        return {}
    order = sorted(attributes.values(), key=lambda each: each.label != "table")
    columns: dict[str, LazyArray] = {}
    for each in order:
        _add(columns, each, notes)
    if name == "passiveStims" and not _named(columns, _ENDS[1]):
        return _on_and_off(own, columns)
    ends = next((pair for pair in _ENDS if _named(columns, pair)), None)
    if ends is not None:
        return {f"{schema.PRESENTATIONS}/{own}": _table(columns, ends)}
    if "times" in columns:
        return {f"{schema.EVENTS}/{own}": _events(columns)}
    return {}


def _add(columns: dict[str, LazyArray], each: Dataset, notes: list[str]) -> None:
    """Add the columns of a file to those of its object, which have as many rows."""
    for label, array in readable(each, notes).items():
        first = next(iter(columns.values()), array)
        if array.shape[0] != first.shape[0]:
            other = next(iter(columns))
            expected = f"{first.shape[0]:,} rows, as {each.object}.{other}"
            raise FormatError(each.file.given, label, expected, f"{array.shape[0]:,}")
        columns.setdefault(label, array)


def _named(columns: Mapping[str, LazyArray], pair: tuple[str, str]) -> bool:
    return all(name in columns and columns[name].dtype.kind in "iuf" for name in pair)


def _table(columns: Mapping[str, LazyArray], ends: tuple[str, str]) -> xr.Dataset:
    """A table of presentations."""
    rows = columns[ends[0]].shape[0]
    variables = {
        column: schema.var(
            "table", column, as_dtype(columns[stored], _FLOAT).variable([schema.PRESENTATION]).data
        )
        for column, stored in zip((schema.START_TIME, schema.STOP_TIME), ends, strict=True)
    }
    for label, array in columns.items():
        if label not in ends and not label.startswith("Unnamed"):
            free = f"{label}_" if label in (*variables, schema.PRESENTATION) else label
            attrs = {"units": "s"} if label.endswith("_times") else {}
            variables[free] = array.variable([schema.PRESENTATION], attrs)
    return dataset(
        variables, {schema.PRESENTATION: xr.Variable(schema.PRESENTATION, np.arange(rows))}
    )


def _periods(own: str, each: Dataset) -> dict[str, xr.Dataset]:
    """The table of periods, which has a column for each and the rows "start" and "stop"."""
    table = each.table()
    names = [name for name, values in table.items() if values.dtype.kind in "iuf"]
    if not names or any(table[name].shape != (2,) for name in names):
        found = f"columns {', '.join(table)}"
        raise FormatError(each.file.given, "", "a start and a stop for each period", found)
    columns: dict[str, LazyArray] = {
        pair: InMemory(np.array([table[name][row] for name in names], float))
        for row, pair in enumerate(_ENDS[1])
    }
    columns["period"] = InMemory(np.array(names, object))
    return {f"{schema.PRESENTATIONS}/{own}": _table(columns, _ENDS[1])}


def _on_and_off(own: str, columns: Mapping[str, LazyArray]) -> dict[str, xr.Dataset]:
    """A table for each stimulus that has columns `<name>On` and `<name>Off`; rows without are left out."""
    nodes: dict[str, xr.Dataset] = {}
    for name in (label.removesuffix("On") for label in columns if label.endswith("On")):
        pair = f"{name}On", f"{name}Off"
        if not _named(columns, pair):
            continue
        started, ended = (np.asarray(columns[label].load(), float) for label in pair)
        there = ~np.isnan(started)
        times = {"start": InMemory(started[there]), "stop": InMemory(ended[there])}
        nodes[f"{schema.PRESENTATIONS}/{own}_{name}"] = _table(times, _ENDS[1])
    return nodes


def _events(columns: Mapping[str, LazyArray]) -> xr.Dataset:
    """Point events."""
    variables = {
        f"{label}_" if label == schema.EVENT_TIME else label: array.variable([schema.EVENT])
        for label, array in columns.items()
        if label != "times"
    }
    times = as_dtype(columns["times"], _FLOAT).variable([schema.EVENT], {"units": "s"})
    return dataset({schema.EVENT_TIME: times} | variables)


def _series(
    own: str, name: str, clock: Dataset, attributes: Mapping[str, Dataset], notes: list[str]
) -> dict[str, xr.Dataset]:
    """A continuous signal: every file of the object that has a row for each sample."""
    signals = [(each, readable(each, notes)) for each in attributes.values() if each is not clock]
    lengths = {each.file.name: array.shape[0] for each, of in signals for array in of.values()}
    stamps = _stamps(clock, lengths)
    nodes: dict[str, dict[str, xr.Variable]] = {}
    times: dict[str, xr.Variable] = {}
    for each, columns in signals:
        missing = stamps.shape[0] - lengths.get(each.file.name, 0)
        node = own if not missing else f"{own}_{each.label}"
        if missing and columns:
            told = f"{each.file.name} has {lengths[each.file.name]:,} samples, {clock.file.name} "
            told += f"{stamps.shape[0]:,} times"
            if missing < 0 or not name.endswith("Camera"):
                notes.append(f"not read: {told}")
                continue
            notes.append(f"{node}: {told}: the last of these are taken, as IBL does")
        for label, array in columns.items():
            free = f"{label}_signal" if label in ("speed", schema.TIME) else label
            unit = _UNITS.get((name, label))
            attrs = {"units": unit} if unit else {}
            nodes.setdefault(node, {})[free] = array.variable([schema.TIME], attrs)
            times[node] = _last(stamps, array.shape[0])
    if not nodes:
        notes.append(f"not read: {clock.file.name}: no signal has as many samples")
    return {
        node: dataset(variables, {schema.TIME: times[node]}) for node, variables in nodes.items()
    }


def _stamps(clock: Dataset, lengths: Mapping[str, int]) -> LazyArray:
    """The times of all samples, (sample,) float64, s."""
    stamps = clock.array()
    if len(stamps.shape) == 2 and stamps.shape[1] == 2:
        if len(set(lengths.values())) != 1:
            expected = "signals of one length beside rows of (sample, time)"
            raise FormatError(clock.file.given, "", expected, f"{dict(lengths)}")
        rows = np.asarray(stamps.load(), float)
        return knots(clock.file.given, "", rows, next(iter(lengths.values())))
    if len(stamps.shape) != 1 or stamps.dtype.kind not in "iuf":
        found = f"{stamps.dtype} of shape {stamps.shape}"
        raise FormatError(clock.file.given, "", "times along one axis", found)
    return as_dtype(stamps, _FLOAT)


def _last(times: LazyArray, count: int) -> xr.Variable:
    """The last times of a clock: the first frames of a video are not always recorded."""
    first = times.shape[0] - count
    return sliced(times, slice(first, None)).variable([schema.TIME], {"units": "s"})
