"""Times within a window: the spikes of each unit, or the point events of each name."""

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
        Whether the times are spikes of units or point events.
    labels : list
        Labels of the units, or names of the events.
    times : list of (n,) float64, s
        Sorted times of each, on the session clock.
    """

    kind: str
    labels: list[Any]
    times: list[np.ndarray]


def within(node: Any, window: tuple[float, float], order: Sequence[Any] | None = None) -> Ticks:
    """Take the spikes of each unit, or the point events of each name, within a window.

    Parameters
    ----------
    node : DataTree node or Dataset
        A spikes node of a recording tree or its area, ``spike_times (spike,)`` in seconds; or the
        node ``events``, or one below. Events with a `label` are taken twice: all together, and
        those of each label as ``<name>_<label>``.
    window : (float, float), s
        Half-open interval of the session clock.
    order : sequence, optional
        Labels of the units, or names of the events, to take (default: all, in the order of the
        file).

    Returns
    -------
    Ticks

    Raises
    ------
    SchemaError
        If there are no spike times and no events.
    NotInTree
        If `order` has a name that does not exist.
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
        spike_trains = trains_of(spikes)
        rows = np.array([labels.index(unit) for unit in wanted], np.int64)
        times = spike_trains.load(rows)
        trains = [times[spike_trains.first[row] : spike_trains.last[row]] for row in rows]
    in_window = [train[slice(*np.searchsorted(train, window))] for train in trains]
    return Ticks(kind, wanted, in_window)
