"""Whether a tree follows the schema: names, dims, dtypes and units, and on request values."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError, many
from neuroarrays.schema.oddities import (
    different_scales,
    empty_series,
    last_time,
    odd_clock,
    odd_trains,
)

#: Units and rows of a table up to which equal numbers of them say nothing.
_FEW = 10
#: What the first dimension of a variable may be, in nodes of one leading dimension.
_LEADING = {
    "spikes": (schema.UNIT, schema.SPIKE),
    "observed": (schema.INTERVAL,),
    "series": (schema.TIME, schema.UNIT),
    "table": (schema.PRESENTATION,),
    "events": (schema.EVENT,),
}


def validate(tree: xr.DataTree, values: bool = False) -> list[str]:
    """Check that a tree follows the schema.

    Parameters
    ----------
    tree : xr.DataTree
        A recording or aligned tree, from its root.
    values : bool
        Also read the values: order of spikes and clocks, starts before stops, unique ids.

    Returns
    -------
    list of str
        What is legal and worth knowing: spike trains out of order, missing stop times, ...

    Raises
    ------
    SchemaError
        With every fault and the node it is in.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> na.validate(tree)
    []
    """
    kind = schema.kind_of(tree)
    faults: list[str] = []
    notes: list[str] = []
    units: dict[str, int] = {}
    rows: dict[str, int] = {}
    last_times: dict[str, float] = {}
    for path, role, node in schema.roles(tree):
        if role == "group":
            continue
        wrong = [f"{path}: {fault}" for fault in _faults(kind, role, node)]
        faults += wrong
        if values and not wrong:  # the values of a node that is not as expected are not looked at
            if role == "spikes" or schema.UNIT in node.sizes:
                units[path] = node.sizes.get(schema.UNIT, 0)
            elif role == "table":
                rows[path] = node.sizes.get(schema.PRESENTATION, 0)
            bad, known = _value_faults(kind, role, node.to_dataset())
            if kind == schema.RECORDING and role in ("spikes", "table") and not bad:
                last_times[path] = last_time(node.to_dataset())
            faults += [f"{path}: {fault}" for fault in bad]
            notes += [f"{path}: {note}" for note in known]
    if faults:
        raise SchemaError("\n".join([f"not a valid {kind} tree:", *faults]))
    if kind == schema.ALIGNED:
        return notes
    return notes + _trials_as_units(units, rows) + different_scales(last_times, rows)


def _trials_as_units(units: dict[str, int], rows: dict[str, int]) -> list[str]:
    """As many units as a table of the session has rows: each may be a trial."""
    return [
        f"{path}: it has {many(n, 'unit')}, and {table} has as many rows: are they trials?"
        for path, n in units.items()
        for table, size in rows.items()
        if n == size > _FEW and table.partition("/")[0] == path.partition("/")[0]
    ]


def _faults(kind: str, role: str, node: xr.DataTree) -> Iterator[str]:
    # Variables, not data arrays: those take a millisecond per node.
    data = node.to_dataset(inherit=False)
    for name in data.data_vars:
        variable = data.variables[name]
        record = schema.spec(kind, role, str(name))
        dims, units = variable.dims, variable.attrs.get("units")
        if record.dims and dims not in record.dims:
            allowed = " or ".join(str(d) for d in record.dims)
            yield f"{name} has dims {dims}, expected {allowed}"
        elif (
            not record.dims and role in _LEADING and dims[:1] not in {(d,) for d in _LEADING[role]}
        ):
            yield f"{name} has dims {dims}, expected {' or '.join(_LEADING[role])} first"
        if variable.dtype.kind not in record.kinds:
            yield f"{name} has dtype {variable.dtype}, expected kind {record.kinds!r}"
        if record.units and record.name != "*" and units not in (record.units, None):
            yield f"{name} has units {units!r}, expected {record.units!r}"
    for required in (schema.SPIKE_TIMES, schema.ROW_SIZE) if role == "spikes" else ():
        if required not in data.data_vars:
            yield f"{required} is missing"
    # The index of units of na.open_datatree knows where their spikes lie.
    if schema.ROW_SIZE in data and not getattr(node.xindexes.get(schema.UNIT), "in_turn", True):
        yield (
            "units were selected or put in another order without their spikes (by isel or sortby); "
            "select by label, spikes.sel(unit_id=[...])"
        )
    labels = node.coords.variables
    for name, (kinds, _, _) in schema.COORDINATES.items():
        if name in labels and labels[name].dtype.kind not in kinds:
            yield f"{name} has dtype {labels[name].dtype}, expected kind {kinds!r}"


def _value_faults(kind: str, role: str, node: xr.Dataset) -> tuple[list[str], list[str]]:
    faults: list[str] = []
    notes: list[str] = []
    if role == "spikes":
        faults, notes = _check_spikes(node)
    elif role == "series":
        notes = _check_clock(node)
    elif role == "table":
        faults, notes = _check_table(kind, node)
    for name in (schema.UNIT, schema.PRESENTATION):
        if name in node.coords and node.coords[name].ndim == 1:
            ids = node.coords[name].values
            if np.unique(ids).size < ids.size:
                notes.append(f"{name} holds an identifier twice; select by position")
    return faults, notes


def _check_spikes(node: xr.Dataset) -> tuple[list[str], list[str]]:
    sizes = node[schema.ROW_SIZE].values
    ends = np.cumsum(sizes, dtype=np.int64)
    total = node.sizes[schema.SPIKE]
    if (sizes < 0).any() or (ends[-1] if ends.size else 0) != total:
        return [f"row_size adds up to {sizes.sum()}, there are {many(total, 'spike')}"], []
    unordered = missing = 0
    for end, size in zip(ends, sizes, strict=True):
        train = node[schema.SPIKE_TIMES][int(end - size) : int(end)].values
        missing += int(np.isnan(train).sum())
        unordered += bool((np.diff(train) < 0).any())
    notes = []
    if unordered:
        notes.append(
            f"{unordered} of {sizes.size} spike trains are not in order; they are "
            "sorted as they are read, the file's order is kept in the tree"
        )
    if missing:
        notes.append(f"{missing} spike times are NaN; they are never counted")
    return [], [*notes, *odd_trains(node)]


def _check_table(kind: str, node: xr.Dataset) -> tuple[list[str], list[str]]:
    """An aligned tree needs no times: its responses are what somebody counted by them."""
    times = {
        name: node[name].values for name in (schema.START_TIME, schema.STOP_TIME) if name in node
    }
    notes = [
        f"{np.isnan(values).sum()} of {values.size} values of {name} are missing"
        for name, values in times.items()
        if np.isnan(values).any()
    ]
    if schema.START_TIME not in times:
        if kind == schema.RECORDING:
            return ["start_time is missing"], notes
        return [], [*notes, "the file does not say when presentations began"]
    start = times[schema.START_TIME]
    if schema.STOP_TIME not in times:
        if kind == schema.RECORDING:
            notes.append("the file does not say when presentations end")
    elif (backwards := times[schema.STOP_TIME] < start).any():
        notes.append(f"{many(int(backwards.sum()), 'presentation')} with a stop before the start")
    elif start.size and (times[schema.STOP_TIME] == start).all():
        notes.append("each presentation stops when it starts")
    if (np.diff(start) < 0).any():
        notes.append("presentations are not in order of start_time; their order is kept")
    return [], notes


def _check_clock(node: xr.Dataset) -> list[str]:
    notes: list[str] = []
    if schema.TIME not in node.coords:
        return notes
    times = node.coords[schema.TIME].values
    if times.dtype.kind == "M":
        return [
            "time is dates (datetime64), which are no seconds on the session clock: it cannot "
            "be aligned before the session's start is subtracted"
        ]
    if times.dtype.kind == "m":
        times = times / np.timedelta64(1, "s")
    if unknown := int((~np.isfinite(times)).sum()):
        notes.append(
            f"{unknown} of {times.size} time stamps are NaN or infinite; their samples "
            "are left out where the series is used"
        )
        times = times[np.isfinite(times)]
    steps = np.diff(times)
    if (steps < 0).any():
        back = many(int((steps < 0).sum()), "time")
        notes.append(f"time goes backwards {back}; it is sorted where it is used")
    if (steps == 0).any():
        notes.append(f"{(steps == 0).sum()} time stamps are duplicated; the last of each counts")
    return [*notes, *odd_clock(times), *empty_series(node)]
