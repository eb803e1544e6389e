"""Series at other times: what the cache of series knows them by."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na

CLOCK = np.arange(0.0, 8.0)
#: Goes round twice: unwound it reaches 16, as stored it stays below 8.
ANGLE = np.arange(0.0, 16.0, 2.0) % 8


def angle(**attrs):
    return xr.DataArray(ANGLE, {"time": CLOCK}, ("time",), "angle", attrs)


@pytest.mark.parametrize("order", [1, -1])
def test_one_series_read_in_several_ways(order):
    """The first reading must not decide for the others."""
    na.release()
    turning = angle(period=8.0)
    ways = {
        "linear": (turning, [1.0, 3.0, 5.0, 7.0, 1.0, 3.0, 5.0]),  # along the shorter arc
        "previous": (turning, ANGLE[:-1]),
        "nearest": (turning, ANGLE[:-1]),
        "no angle": (angle(), (ANGLE[:-1] + ANGLE[1:]) / 2),
        "of another turn": (angle(period=16.0), [1.0, 3.0, 5.0, 3.0, 1.0, 3.0, 5.0]),
    }
    for way, (series, want) in list(ways.items())[::order]:
        method = way if way in ("previous", "nearest") else "linear"
        found = na.interpolate(series, CLOCK[:-1] + 0.5, method)
        np.testing.assert_allclose(found, want, err_msg=way)


@pytest.mark.parametrize(("max_gap", "known"), [(None, 3), (2.0, 2), (0.5, 0)])
def test_a_gap_is_bridged_up_to_a_length(max_gap, known):
    series = xr.DataArray([0.0, 2.0, 8.0, 9.0], {"time": [0.0, 2.0, 8.0, 9.0]}, ("time",), "speed")
    found = na.interpolate(series, [1.0, 5.0, 8.5], max_gap=max_gap).values
    assert np.isfinite(found).sum() == known
    np.testing.assert_allclose(found[np.isfinite(found)], np.array([1, 5, 8.5])[np.isfinite(found)])


def test_a_clock_out_of_order_is_sorted_and_the_new_one_has_its_unit():
    shuffled = xr.DataArray([3.0, 1.0, 2.0], {"time": [3.0, 1.0, 2.0]}, ("time",), "x")
    at = na.interpolate(shuffled, [1.5, 2.5])
    assert at.values.tolist() == [1.5, 2.5]
    assert at["time"].attrs == {"units": "s"}
    in_order = na.interpolate(shuffled.sortby("time"), [1.5, 2.5])
    assert in_order.values.tolist() == [1.5, 2.5]
