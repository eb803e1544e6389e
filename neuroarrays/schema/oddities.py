"""What is legal in a tree and cannot be meant: outliers, holes of a clock, one unit that is many."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping

import numpy as np
import xarray as xr

from neuroarrays import schema

#: Spikes per second of one unit that no neuron has; times of others that a time may be beyond.
_FASTEST, _BEYOND = 1000.0, 100.0
#: How many times later than tables spikes may end, or earlier, before one is taken for another unit.
_SCALE = 500.0
#: Typical steps of a clock that make a hole, and holes that are named.
_HOLE, _NAMED = 10.0, 3
#: Times without a rhythm have no holes: how near steps are to the typical one, and how many are.
_NEAR, _MOST = 1.5, 0.5


def odd_trains(node: xr.Dataset) -> Iterator[str]:
    """What is odd about spike trains: times far from all others, units that cannot be one.

    Parameters
    ----------
    node : Dataset
        A spikes node: ``spike_times (spike,)`` in seconds, ``row_size (unit_id,)`` counts
        in order.

    Yields
    ------
    str
        One thing each, with the unit and the value.
    """
    times = node[schema.SPIKE_TIMES].values
    sizes = node[schema.ROW_SIZE].values.astype(np.int64)
    owner = np.repeat(np.arange(sizes.size), sizes)
    ids = np.atleast_1d(node[schema.UNIT].values) if schema.UNIT in node.coords else owner
    known = np.flatnonzero(np.isfinite(times))
    if infinite := int(np.isinf(times).sum()):
        yield f"{infinite} of {times.size:,} spike times are infinite; they are never counted"
    far = known[far_from_others(times[known])]
    for at in far[:_NAMED]:
        yield (
            f"unit {ids[owner[at]]} has a spike at {times[at]:g} s, far from all others: it makes "
            "the session as long"
        )
    if far.size > _NAMED:
        yield f"{far.size - _NAMED} more spikes are far from all others"
    near = np.setdiff1d(known, far, assume_unique=True)
    count = np.bincount(owner[near], minlength=sizes.size)
    for unit in np.flatnonzero(count >= 1000):
        train = np.sort(times[near[owner[near] == unit]])
        length = train[-1] - train[0]
        if count[unit] > _FASTEST * length:
            yield (
                f"unit {ids[unit]} has {count[unit] / max(length, 1e-9):,.0f} spikes/s: are its times in "
                "seconds, and is it one unit?"
            )
        elif np.ptp(np.diff(train)) <= 1e-6 * length / train.size:
            yield f"unit {ids[unit]} has a spike every {length / (train.size - 1):g} s: it is a clock"


def far_from_others(times: np.ndarray) -> np.ndarray:
    """Places of the few times that are much further from the middle than nearly all others are."""
    if times.size < 10:
        return np.empty(0, np.int64)
    low, middle, high = np.quantile(times, [0.01, 0.5, 0.99])
    reach = max(high - low, 1.0) * _BEYOND
    return np.flatnonzero(np.abs(times - middle) > reach)


def odd_clock(times: np.ndarray) -> Iterator[str]:
    """What is odd about the finite time stamps of a series: holes, stamps far from all others."""
    far = far_from_others(times)
    for at in far[:_NAMED]:
        yield f"sample {at} is at {times[at]:g} s, far from all others"
    steps = np.diff(np.delete(times, far))
    forward = steps[steps > 0]
    if forward.size < 2:
        return
    usual = float(np.median(forward))
    near = (forward * _NEAR >= usual) & (forward <= usual * _NEAR)
    if near.mean() < _MOST:
        return
    holes = np.flatnonzero(steps > _HOLE * usual)
    if holes.size:
        longest = float(steps[holes].max())
        many = f"{holes.size} holes of up to" if holes.size > 1 else "a hole of"
        yield (
            f"the clock has {many} {longest:g} s (its step is {usual:g} s): bins in them are NaN, "
            "max_gap= of align bridges them"
        )


def empty_series(node: xr.Dataset) -> Iterator[str]:
    """Variables along time that have no value at all."""
    for name, array in node.data_vars.items():
        if array.dims[:1] == (schema.TIME,) and array.dtype.kind == "f" and array.size:
            whole = array.variable
            step = max(1, (1 << 20) // max(1, array.size // array.shape[0]))
            if all(
                np.isnan(whole[at : at + step].values).all()
                for at in range(0, array.shape[0], step)
            ):
                yield f"{name} is NaN throughout"


def last_time(node: xr.Dataset) -> float:
    """Return the last start or stop of a table, or the last of the final spikes of the units, in s.

    It is NaN where there is none. Only the final spike of each unit is read.
    """
    if schema.SPIKE_TIMES in node:
        ends = np.cumsum(node[schema.ROW_SIZE].values, dtype=np.int64)
        final = np.unique(ends[ends > 0]) - 1
        values = [node[schema.SPIKE_TIMES].variable[final].values]
    else:
        names = (name for name in (schema.START_TIME, schema.STOP_TIME) if name in node)
        values = [node[name].values for name in names]
    times = np.concatenate([np.empty(0), *values])
    times = times[np.isfinite(times)]
    return float(times.max()) if times.size else np.nan


def different_scales(last_times: Mapping[str, float], tables: Container[str]) -> list[str]:
    """Return a note for each session whose spikes and tables end at times of different magnitude.

    `last_times` are the last times of the nodes of spikes and of tables, in s, by path.
    """
    notes = []
    for session in dict.fromkeys(path.partition("/")[0] for path in last_times):
        ends: dict[bool, tuple[float, str]] = {}
        for path, last in last_times.items():
            if path.partition("/")[0] == session and last > 0:
                is_table = path in tables
                ends[is_table] = max(ends.get(is_table, (0.0, "")), (last, path))
        if len(ends) == 2 and not 1 / _SCALE < ends[True][0] / ends[False][0] < _SCALE:
            notes.append(
                f"{ends[False][1]}: the last spike is at {ends[False][0]:.4g} s, and "
                f"{ends[True][1]} ends at {ends[True][0]:.4g} s: is one of them in another unit?"
            )
    return notes
