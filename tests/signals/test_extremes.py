"""The lowest and highest of neighbouring samples."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na


def signal(values, **attrs):
    return xr.DataArray(values, {"time": np.arange(len(values)) / 2}, ("time",), "x", attrs)


def test_no_peak_is_lost_and_the_unit_stays():
    values = np.zeros(1001)
    values[777], values[10] = 5.0, np.nan
    ends = na.extremes(signal(values, units="cm"), 100)
    assert ends.dims == ("time", "end")
    assert ends.sizes["time"] <= 100
    assert ends.sel(end="highest").max() == 5.0
    assert not ends.isnull().any()
    assert ends.attrs == {"units": "cm"}
    assert ends["time"][0] == np.arange(11).mean() / 2


def test_a_short_signal_and_an_angle_keep_their_samples():
    short = signal(np.arange(10.0))
    xr.testing.assert_identical(na.extremes(short, 10), short)
    angle = signal(np.linspace(0, 6, 50), units="rad", period=2 * np.pi)
    xr.testing.assert_identical(na.extremes(angle, 10), angle[::5])


def test_several_columns_are_refused():
    with pytest.raises(na.SchemaError, match="alone"):
        na.extremes(xr.DataArray(np.zeros((4, 2)), dims=("time", "channel")))
