"""Point events counted in bins like the spikes of one unit: licks, rewards, pulses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.bins import Bins
from neuroarrays.alignment.counting import ClockCounts, TrialCounts, counted
from neuroarrays.files.source import Key
from neuroarrays.lazy.arrays import LazyArray, unwrap, wrap

#: Labels of events that are counted each for itself, at most.
_LABELS = 50


@dataclass(frozen=True, repr=False, eq=False)
class EventCounts(LazyArray):
    """Counts of the only unit there is: (presentation_id, time) or (time,)."""

    counts: TrialCounts | ClockCounts

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(n for i, n in enumerate(self.counts.shape) if i != 1)

    @property
    def dtype(self) -> np.dtype:
        return self.counts.dtype

    def outer(self, key: Key) -> np.ndarray:
        return self.counts.outer((key[0], 0, *key[1:]))


def counted_events(
    events: dict[str, xr.Dataset], bins: Bins, dtype: np.dtype, binarize: bool
) -> dict[Any, xr.Variable]:
    """Point events in bins, lazily.

    Parameters
    ----------
    events : dict of str to Dataset
        By name, each with `event_time` in seconds on the session's clock, in any order.
    bins : Bins
        Where to count them.
    dtype : integer dtype
        Of the counts.
    binarize : bool
        1 where there is any event.

    Returns
    -------
    dict of str to lazy variable
        ``(presentation_id, time)`` or ``(time,)``; NaN times are counted nowhere. Of events with a
        `label` also those of each label, ``<name>_<label>``.
    """
    every = dict(events)
    for name, node in events.items():
        for label, mine in _by_label(node).items():
            every.setdefault(schema.node_name(f"{name}_{label}"), mine)
    return {name: _counted(node, bins, dtype, binarize) for name, node in every.items()}


def _by_label(node: xr.Dataset) -> dict[str, xr.Dataset]:
    """The events of each label; none where there is only one, or as many as no kinds are."""
    if "label" not in node or node["label"].ndim != 1 or node["label"].dtype.kind not in "OU":
        return {}
    labels = np.array([str(one or "") for one in node["label"].values], object)
    known = sorted(set(labels) - {""})
    if not 1 < len(known) <= _LABELS:
        return {}
    times = node["event_time"].load()
    return {one: xr.Dataset({"event_time": times[labels == one]}) for one in known}


def _counted(node: xr.Dataset, bins: Bins, dtype: np.dtype, binarize: bool) -> xr.Variable:
    times = node["event_time"].variable
    spikes = xr.Dataset(
        {
            "spike_times": xr.Variable(schema.SPIKE, times._data),
            "row_size": xr.Variable(schema.UNIT, np.array([times.size], np.int64)),
        }
    )
    counts = unwrap(counted(spikes, bins, dtype, binarize).variable._data)
    attrs = {"units": "1", "long_name": "events per bin"} | {
        key: times.attrs[key] for key in ("description", "comments") if key in times.attrs
    }
    return xr.Variable(bins.dims, wrap(EventCounts(counts)), attrs)
