"""Count point events (licks, rewards, pulses) in bins, like the spikes of a unit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.bins import Bins
from neuroarrays.alignment.interpolation import series_at
from neuroarrays.alignment.spikes import counts_of
from neuroarrays.lazy.arrays import data_of, wrap
from neuroarrays.lazy.computed import as_dtype, as_lazy
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import InMemory, Joined, Taken
from neuroarrays.tree.sessions import times_by_name
from neuroarrays.tree.trains import trains_of


def event_counts(
    events: Mapping[str, xr.Dataset], bins: Bins, dtype: np.dtype, binarize: bool
) -> dict[str, xr.Variable]:
    """Count point events in bins, lazily.

    Parameters
    ----------
    events : dict of str to Dataset
        Events by name, each with `event_time` (event,) in s on the session clock, in any order.
    bins : Bins
        The bins to count in.
    dtype : integer dtype
        Dtype of the counts.
    binarize : bool
        If True, bins with any event are 1, others 0.

    Returns
    -------
    dict of str to lazy variable, events per bin
        Counts ``(presentation_id, time)`` or ``(time,)``; events whose time is NaN are not counted.
        Events with a `label` are also counted for each label, as ``<name>_<label>``.
    """
    return {
        name: _counted(times, bins, dtype, binarize)
        for name, times in times_by_name(events).items()
    }


def event_amounts(
    events: Mapping[str, xr.Dataset], bins: Bins, method: str | None
) -> dict[str, xr.Variable]:
    """Take the amounts of point events (volumes of water, durations of licks) in bins, lazily.

    Parameters
    ----------
    events : dict of str to Dataset
        Events by name, each with `event_time` (event,) in s, and amounts (event, ...) in any unit.
    bins : Bins
        The bins to use.
    method : str, optional
        "sum" or "max" of the amounts in each bin; any other method gives an empty result.

    Returns
    -------
    dict of str to lazy variable
        ``<name>_<variable>``, (presentation_id, time, ...) or (time, ...), in the unit of the
        amounts. In a bin without events the sum is 0, as a count is, and the maximum is NaN. The
        sum is NaN if an amount is missing.
    """
    amounts: dict[str, xr.Variable] = {}
    if method not in ("sum", "max"):
        return amounts
    before, after = bins.edges.min(initial=0) - 1, bins.edges.max(initial=0) + 1
    for name, node in events.items():
        times = as_dtype(as_lazy(node.variables[schema.EVENT_TIME]), np.dtype("f8"))
        clock = Joined((InMemory(np.array([before])), times, InMemory(np.array([after]))))
        variables = {}
        for label, variable in node.variables.items():
            along = variable.dims[:1] == (schema.EVENT,) and variable.dtype.kind in "iuf"
            if along and label not in (schema.EVENT, schema.EVENT_TIME):
                nothing = InMemory(np.zeros((1, *variable.shape[1:])))  # outside of all bins
                joined = Joined((nothing, as_lazy(variable), nothing))
                dims = (schema.TIME, *map(str, variable.dims[1:]))
                variables[str(label)] = joined.variable(dims, dict(variable.attrs))
        series = dataset(variables, {schema.TIME: clock.variable((schema.TIME,), {"units": "s"})})
        taken = series_at(series, bins.onsets, bins.centres, method, np.inf, bins.dims, bins.width)
        amounts |= {f"{name}_{label}": variable for label, variable in taken.items()}
    return amounts


def _counted(times: xr.Variable, bins: Bins, dtype: np.dtype, binarize: bool) -> xr.Variable:
    size = xr.Variable(schema.UNIT, np.array([times.size], np.int64))
    along = xr.Variable(schema.SPIKE, data_of(times))
    trains = trains_of(dataset({schema.SPIKE_TIMES: along, schema.ROW_SIZE: size}))
    counts = counts_of(trains, np.zeros(1, np.int64), bins, dtype, binarize)
    attrs = {"units": "1", "long_name": "events per bin"} | {
        key: times.attrs[key] for key in ("description", "comments") if key in times.attrs
    }
    return xr.Variable(bins.dims, wrap(Taken(counts, 0, 1)), attrs)
