"""Times within a window: spikes of each unit, or point events of each name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import NotInTree
from neuroarrays.schema import given
from neuroarrays.tree.columns import seconds
from neuroarrays.tree.sessions import events_below, times_by_name
from neuroarrays.tree.trains import no_spikes, spikes_node, trains_of


@dataclass(frozen=True)
class Ticks:
    """Times of units or events within a window.

    Attributes
    ----------
    kind : {"unit", "event"}
        What they are of.
    labels : list
        Labels of the units, or names of the events.
    times : list of (n,) float64, s
        Times of each, in order, on the session clock.
    """

    kind: str
    labels: list[Any]
    times: list[np.ndarray]


def within(node: Any, window: tuple[float, float], order: Sequence[Any] | None = None) -> Ticks:
    """Spikes of each unit, or point events of each name, from one time to another.

    Parameters
    ----------
    node : DataTree node or Dataset
        A spikes node of a recording tree or its area, ``spike_times (spike,)`` in seconds;
        or its node ``events``, or one below. Events with a `label` are there as a whole,
        and for each label: ``<name>_<label>``.
    window : (float, float), s
        Half-open, session clock.
    order : sequence, optional
        Labels of the units, or names of the events, wanted; all in the order of the file unless
        given.

    Returns
    -------
    Ticks

    Raises
    ------
    SchemaError
        If there are no spike times and no events.
    NotInTree
        If `order` names one that is not there.
    """
    events = events_below(node) if isinstance(node, xr.DataTree) else {}
    if events and schema.SPIKES not in node.children:
        times_of = times_by_name(events)
        kind, labels = "event", list(times_of)
    else:
        spikes = spikes_node(node)
        given.check(spikes, xr.DataTree | xr.Dataset, "expected spikes or events")
        if schema.SPIKE_TIMES not in spikes:
            raise no_spikes(node)
        spikes = spikes.to_dataset() if isinstance(spikes, xr.DataTree) else spikes
        kind, labels = "unit", np.atleast_1d(spikes[schema.UNIT].values).tolist()
    wanted = labels if order is None else list(order)
    unknown = [label for label in wanted if label not in labels]
    if unknown:
        raise NotInTree(kind, unknown[0], labels)
    if kind == "event":
        trains = [np.sort(seconds(xr.DataArray(times_of[name]), name)) for name in wanted]
    else:
        handle, rows = trains_of(spikes), np.array([labels.index(u) for u in wanted], np.int64)
        times = handle.load(rows)
        trains = [times[handle.first[row] : handle.last[row]] for row in rows]
    cut = [train[slice(*np.searchsorted(train, window))] for train in trains]
    return Ticks(kind, wanted, cut)
