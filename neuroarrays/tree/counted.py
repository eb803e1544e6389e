"""The time in which the spikes of a unit count, and the number of spikes in it.

Spikes count while their unit was recorded, and not in invalid time. Rates are based on this.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.tree.intervals import merged
from neuroarrays.tree.invalid import invalid_times
from neuroarrays.tree.observed import of_units
from neuroarrays.tree.stretches import Stretches
from neuroarrays.tree.trains import trains_of


def counted_time(
    spikes: xr.Dataset, session: xr.DataTree | None = None, within: Any = None
) -> list[Stretches]:
    """The time in which the spikes of each unit count: recorded and not invalid.

    Parameters
    ----------
    spikes : Dataset
        A spikes node, ``spike_times (spike,)`` in seconds.
    session : DataTree node, optional
        The session of the spikes node.
    within : table of intervals, s, optional
        Count only in these intervals. If the file does not state when units were recorded, the
        units count as recorded in all of these intervals.

    Returns
    -------
    list of Stretches
        One for each unit; units with the same stretches share one object.
    """
    by_unit = of_units(spikes, session)
    chosen = None if within is None else Stretches(np.stack(merged(within), axis=1), False)
    distinct: dict[Any, Stretches] = {}
    for unit, invalid in enumerate(invalid_times(session, spikes)):
        recorded = by_unit[unit]
        key = id(recorded), invalid.tobytes()
        if key not in distinct:
            time = recorded
            if chosen is not None:
                time = chosen if recorded.from_data else recorded.within(chosen.rows)
            distinct[key] = time.without(invalid)
        by_unit[unit] = distinct[key]
    return by_unit


def spikes_and_seconds(
    spikes: xr.Dataset, session: xr.DataTree | None = None, within: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Count the spikes of each unit in the time in which they count, and measure this time.

    Parameters
    ----------
    spikes, session, within
        As for `counted_time`.

    Returns
    -------
    n_spikes : (unit,) float64
        Number of spikes of each unit.
    durations : (unit,) float64, s
        The time in which the spikes of each unit count.
    """
    trains = trains_of(spikes)
    times = trains.load(np.arange(trains.first.size))
    n_spikes, durations = np.zeros((2, trains.first.size))
    for unit, counted in enumerate(counted_time(spikes, session, within)):
        train = times[trains.first[unit] : trains.last[unit]]
        begin, end = (np.searchsorted(train, column) for column in counted.rows.T)
        n_spikes[unit], durations[unit] = (end - begin).sum(), counted.seconds
    return n_spikes, durations


def mean_rates(area: xr.DataTree) -> np.ndarray:
    """Firing rate of each unit of an area of a recording; all its spikes are read.

    Parameters
    ----------
    area : DataTree node
        An area of a recording tree.

    Returns
    -------
    (unit_id,) float64, spikes/s
        Number of spikes divided by the time in which they count. It is NaN for a unit without such
        time. The array is empty if the area has no spikes node.
    """
    node = area.children.get(schema.SPIKES)
    if node is None:
        return np.empty(0)
    n_spikes, durations = spikes_and_seconds(node.to_dataset(), area.parent)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates: np.ndarray = n_spikes / durations
    return rates
