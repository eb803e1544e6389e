"""First looks at how active units are, and events in place of units."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.analysis import activity
from neuroarrays.errors import SchemaError
from neuroarrays.tree import contents

SESSION = "A2929-200711"


def trials():
    """Four presentations of two kinds, one unit, and licks: 0, 0, 2 and 4 in 1 s."""
    mark = xr.Dataset(attrs={"neuroarrays_schema": "aligned/1"})
    coords = {
        "time": ("time", [0.25, 0.75], {"units": "s", "bin_width": 0.5}),
        "presentation_id": [0, 1, 2, 3],
        "side": ("presentation_id", ["l", "l", "r", "r"]),
    }
    dims = ("presentation_id", "unit_id", "time")
    counts = xr.Dataset({"spike_data": (dims, np.ones((4, 1, 2), int))}, coords | {"unit_id": [9]})
    licks = xr.Dataset(
        {"lick": (("presentation_id", "time"), np.array([[0, 0], [0, 0], [1, 1], [2, 2]]))}
    )
    return xr.DataTree.from_dict({"/": mark, "/s/V1": counts, "/s/V1/events": licks})


def test_events_have_tuning_curves():
    curve = na.tuning_curve(trials()["s/V1/events"], "side")
    assert curve.dims == ("event", "side")
    assert curve.values.tolist() == [[0.0, 3.0]]
    assert curve.attrs["units"] == curve["sem"].attrs["units"] == "events/s"
    assert curve["event"].values.tolist() == ["lick"]


def test_events_on_a_clock_have_tuning_curves_of_the_behaviour_beside_them():
    mark = xr.Dataset(attrs={"neuroarrays_schema": "aligned/1"})
    clock = {"time": ("time", [0.5, 1.5, 2.5, 3.5], {"units": "s", "bin_width": 1.0})}
    counts = {"spike_data": (("time", "unit_id"), np.ones((4, 1), int))}
    area = xr.Dataset(counts | {"speed": ("time", [0.0, 0.0, 9.0, 9.0])}, clock | {"unit_id": [1]})
    licks = xr.Dataset({"lick": ("time", [0, 1, 2, 3])})
    tree = xr.DataTree.from_dict({"/": mark, "/s/V1": area, "/s/V1/events": licks})
    curve = na.tuning_curve(tree["s/V1/events"], "speed", bins=2)
    assert curve.values.tolist() == [[0.5, 2.5]]


def test_what_takes_no_events_says_so():
    with pytest.raises(SchemaError, match=r"it has no units: na.psth, .* the area: tree\['s/V1'\]"):
        na.noise_correlation(trials()["s/V1/events"], "side")


def test_pictures_of_events():
    plt = pytest.importorskip("matplotlib.pyplot")
    events = trials()["s/V1/events"]
    ax = na.plot.tuning(na.tuning_curve(events, "side"))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["l", "r"]
    ax = na.plot.population(na.psth(events), ax=plt.figure().gca())
    assert [text.get_text() for text in ax.get_yticklabels()] == ["lick"]
    assert ax.get_ylabel() == "event"
    with pytest.raises(SchemaError, match=r"write na.plot.psth\(na.psth\(events\).isel\(event=0\)"):
        na.plot.psth(events)
    plt.close("all")


def test_rates_and_responses_by_area():
    tree = trials()
    means = activity.responses_by_area(tree, contents.of_tree(tree).sessions)
    assert means["V1"].values.tolist() == [2.0]
    assert means["V1"].attrs["units"] == "spikes/s"
    sample = na.load_sample()
    rates = activity.rates_by_area(sample, contents.of_tree(sample).sessions)
    np.testing.assert_array_equal(rates["adn"], na.firing_rate(sample[f"{SESSION}/adn"]))


@pytest.mark.parametrize(("n", "rows"), [(4, [0, 1, 2, 3]), (9, [0, 1, 7, 8]), (5, [0, 1, 3, 4])])
def test_rows_are_taken_evenly(n, rows):
    assert activity._evenly(n, 2, 2).tolist() == rows


def test_shares_of_peak():
    rates = xr.DataArray([[1.0, 4.0, np.nan], [0.0, 0.0, 0.0]], dims=("unit_id", "time"))
    shares, peak = activity.shares_of_peak(rates)
    np.testing.assert_array_equal(shares, [[0.25, 1, np.nan], [0, 0, 0]])
    assert peak.tolist() == [1, 0]
