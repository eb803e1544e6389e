"""Spikes and events within a window, as a raster draws them."""

import numpy as np
import pytest
import xarray as xr

from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.tree.ticks import within

SPIKES = xr.Dataset(
    {
        "row_size": ("unit_id", [3, 0, 2]),
        "spike_times": ("spike", [0.5, 1.0, 2.0, 1.0, 1.5], {"units": "s"}),
    },
    {"unit_id": [7, 8, 9]},
)


def test_spikes_of_each_unit_half_open_and_in_the_order_asked_for():
    ticks = within(SPIKES, (1.0, 2.0))
    assert (ticks.kind, ticks.labels) == ("unit", [7, 8, 9])
    assert [times.tolist() for times in ticks.times] == [[1.0], [], [1.0, 1.5]]
    ticks = within(SPIKES, (0.0, 9.0), [9, 7])
    assert ticks.labels == [9, 7]
    assert [times.tolist() for times in ticks.times] == [[1.0, 1.5], [0.5, 1.0, 2.0]]
    with pytest.raises(NotInTree, match="unit 5"):
        within(SPIKES, (0.0, 9.0), [7, 5])


def test_neither_spikes_nor_events():
    rates = SPIKES.drop_vars("spike_times")
    for node in (rates, xr.DataTree(rates)):
        with pytest.raises(SchemaError, match="spikes"):
            within(node, (0.0, 9.0))


def test_events_are_sorted_and_have_their_names():
    events = {
        f"/events/{name}": xr.Dataset({"event_time": ("event", times, {"units": "s"})})
        for name, times in (("lick", [3.0, 1.0, 2.0]), ("reward", [2.5]))
    }
    node = xr.DataTree.from_dict({"/": xr.Dataset(), **events})["events"]
    ticks = within(node, (1.0, 3.0))
    assert (ticks.kind, ticks.labels) == ("event", ["lick", "reward"])
    assert [times.tolist() for times in ticks.times] == [[1.0, 2.0], [2.5]]
    with pytest.raises(NotInTree, match="event 'tone'"):
        within(node, (1.0, 3.0), ["tone"])
    assert within(node, (0.0, np.inf), ["reward"]).labels == ["reward"]
