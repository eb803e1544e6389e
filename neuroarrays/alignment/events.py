"""Point events counted in bins like the spikes of one unit: licks, rewards, pulses."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.bins import Bins
from neuroarrays.alignment.spikes import counts_of
from neuroarrays.lazy.arrays import data_of, wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.lazy.views import Taken
from neuroarrays.tree.sessions import times_by_name
from neuroarrays.tree.trains import trains_of


def event_counts(
    events: Mapping[str, xr.Dataset], bins: Bins, dtype: np.dtype, binarize: bool
) -> dict[str, xr.Variable]:
    """Point events in bins, lazily.

    Parameters
    ----------
    events : dict of str to Dataset
        By name, each with `event_time`, (event,) s, session clock, in any order.
    bins : Bins
        Where to count them.
    dtype : integer dtype
        Of the counts.
    binarize : bool
        1 where there is any event.

    Returns
    -------
    dict of str to lazy variable, events per bin
        ``(presentation_id, time)`` or ``(time,)``; NaN times are counted nowhere. Of events with a
        `label` also those of each label, ``<name>_<label>``.
    """
    return {
        name: _counted(times, bins, dtype, binarize)
        for name, times in times_by_name(events).items()
    }


def _counted(times: xr.Variable, bins: Bins, dtype: np.dtype, binarize: bool) -> xr.Variable:
    size = xr.Variable(schema.UNIT, np.array([times.size], np.int64))
    along = xr.Variable(schema.SPIKE, data_of(times))
    trains = trains_of(dataset({schema.SPIKE_TIMES: along, schema.ROW_SIZE: size}))
    counts = counts_of(trains, np.zeros(1, np.int64), bins, dtype, binarize)
    attrs = {"units": "1", "long_name": "events per bin"} | {
        key: times.attrs[key] for key in ("description", "comments") if key in times.attrs
    }
    return xr.Variable(bins.dims, wrap(Taken(counts, 0, 1)), attrs)
