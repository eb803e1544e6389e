"""Invalid times are half-open, and the numbers of whoever stated them stay as they are."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.tree.invalid import cut_away, invalid_bins

SESSION = "A2929-200711"
TABLE = f"{SESSION}/presentations/invalid_times"


def session(*rows):
    starts, stops = zip(*rows, strict=True)
    table = xr.Dataset(
        {
            "start_time": ("presentation_id", np.array(starts, float)),
            "stop_time": ("presentation_id", np.array(stops, float)),
        }
    )
    return xr.DataTree.from_dict({"/presentations/invalid_times": table})


@pytest.mark.parametrize(
    ("row", "hit"),
    [
        ((2, 4), [2, 3]),  # the bins before and after touch its edges only
        ((2.5, 3.5), [2, 3]),
        ((np.nextafter(3, 0), np.nextafter(4, 9)), [2, 3, 4]),
        ((3, 3), [3]),  # a moment: the bin that holds it
        ((3.5, 3.5), [3]),
        ((-9, 0), []),
        ((6, 9), []),
    ],
)
def test_bins_are_hit_where_they_overlap(row, hit):
    edges = np.arange(7.0)
    found = invalid_bins(session(row), edges[:-1], edges[1:])
    assert np.flatnonzero(found.get("", np.zeros(6, bool))).tolist() == hit
    assert ("" in found) == bool(hit)


def test_a_session_may_have_no_such_table_or_half_of_one():
    half = session((1, 2))
    del half["presentations/invalid_times"]["stop_time"]
    for node in (half, xr.DataTree(), xr.DataTree.from_dict({"/presentations/trials": None})):
        assert invalid_bins(node, np.arange(3.0), np.arange(1.0, 4)) == {}
        assert cut_away(node).shape == (0, 2)


def test_what_is_cut_away_ends_where_it_was_said():
    sample = na.load_sample()
    cut = na.restrict(sample, [(600.0, 700.0), (800.0, 850.5)])
    table = cut[TABLE].to_dataset()
    assert table["stop_time"].values.tolist()[:2] == [600.0, 800.0]
    assert table["start_time"].values.tolist()[1:] == [700.0, 850.5]
    valid = na.align(cut, bin_width=0.1)[f"{SESSION}/adn"]["valid"]
    assert valid.sel(time=slice(600, 700)).all()
    assert valid.sum() == 1000 + 505
    np.testing.assert_allclose(
        na.firing_rate(cut[f"{SESSION}/adn"]),
        na.firing_rate(sample[f"{SESSION}/adn"], [(600.0, 700.0), (800.0, 850.5)]),
    )
