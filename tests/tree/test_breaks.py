"""Where a clock breaks, and that everything with lags, windows or smoothing stops there."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import neuroarrays as na
from neuroarrays.tree import breaks
from neuroarrays.tree.breaks import bin_width


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.1, 0.1, 0.1, 0.14, 0.3, -0.2, 50.0, np.nan]),
            st.integers(0, 1),
            st.booleans(),
            st.integers(0, 1),
        ),
        min_size=1,
        max_size=30,
    ),
    st.booleans(),
    st.booleans(),
)
def test_breaks_equal_a_slow_twin(frames, masked, said):
    steps, block, valid, above = (list(column) for column in zip(*frames, strict=True))
    time = np.cumsum(steps)
    n = len(frames)
    clock = ("time", time, {"bin_width": 0.1} if said else {})
    area = xr.Dataset(
        {"valid": ("time", valid), "x": ("time", time)}, {"block_id": ("time", block)}
    )
    session = xr.Dataset({"block_id": ("time", above)}, {"time": clock})
    tree = xr.DataTree.from_dict({"/s": session, "/s/a": area})
    usual = 0.1 if said else np.median(np.diff(time)) if n > 1 else np.nan
    expected = [True] + [
        not 0 < time[k] - time[k - 1] <= 1.5 * usual
        or block[k] != block[k - 1]
        or above[k] != above[k - 1]
        or (masked and valid[k] != valid[k - 1])
        for k in range(1, n)
    ]
    found = breaks.breaks(tree["s/a"], masked=masked)
    assert found.tolist() == expected
    parts = breaks.unbroken_runs(tree["s/a"])
    assert (parts[0, 0], parts[-1, 1]) == (0, n)
    assert (parts[1:, 0] == parts[:-1, 1]).all()
    assert (parts[:, 0] == np.flatnonzero(breaks.breaks(tree["s/a"]))).all()


def test_without_time_stamps_labels_alone_break():
    area = xr.Dataset({"x": ("time", np.arange(5))}, {"block_id": ("time", [0, 0, 1, 1, 1])})
    assert breaks.unbroken_runs(area).tolist() == [[0, 2], [2, 5]]
    assert breaks.unbroken_runs(area.isel(time=[])).shape == (0, 2)


def test_a_width_is_not_taken_from_a_hole():
    node = xr.Dataset(coords={"time": [0.0, 90.0, 90.1, 90.2, 90.3]})
    assert bin_width(node) == pytest.approx(0.1)


def test_a_psth_is_not_smoothed_over_a_hole_of_time():
    time = np.r_[0:5, 105:110] * 0.1
    counts = np.zeros((3, 2, 10), np.uint8)
    counts[:, 0, 5] = 9
    area = xr.Dataset(
        {"spike_data": (("presentation_id", "unit_id", "time"), counts)},
        {
            "presentation_id": [0, 1, 2],
            "unit_id": [0, 1],
            "time": ("time", time, {"bin_width": 0.1}),
        },
    )
    rate = na.psth(area, smooth=0.2)["mean"].sel(unit_id=0).values
    assert (rate[:5] == 0).all()
    alone = na.psth(area.isel(time=slice(5, 10)), smooth=0.2)["mean"].sel(unit_id=0)
    np.testing.assert_array_equal(rate[5:], alone)


def test_deconvolution_starts_anew_at_a_block():
    random = np.random.default_rng(0)
    values = np.cumsum(random.normal(0, 1, (400, 1)), axis=0)
    values[200:] += 50  # a step between blocks is no event
    time = {"time": np.arange(400) / 20, "unit_id": [0]}
    area = xr.Dataset({"responses": (("time", "unit_id"), values)}, time)
    labelled = area.assign_coords(block_id=("time", np.arange(400) // 200))
    found = na.deconvolve(labelled, "threshold", rise=0.25)
    for part in (slice(0, 200), slice(200, 400)):
        assert np.isnan(found[part][:4]).all()
    assert np.isfinite(na.deconvolve(area, "threshold", rise=0.25)[195:205]).all()


def test_clips_stay_within_a_block_of_the_session():
    datasets = pytest.importorskip("neuroarrays.torch.datasets", reason="torch is not installed")
    block = np.arange(100) // 50
    session = xr.Dataset(coords={"time": np.arange(100) * 0.1, "block_id": ("time", block)})
    area = xr.Dataset({"x": ("time", np.arange(100.0))})
    tree = xr.DataTree.from_dict({"/s": session, "/s/a": area})
    clips = datasets.ClipDataset(tree["s/a"], ["x"], 2.0, stride=0.1)
    starts = np.round(np.array([clips[i]["time"] for i in range(len(clips))]) * 10).astype(int)
    assert (block[starts] == block[starts + 19]).all()
    assert len(clips) == 62


def test_bins_that_were_added_up_need_their_new_width():
    time = ("time", 0.05 + 0.1 * np.arange(40), {"bin_width": 0.1})
    counts = {"spike_data": (("time", "unit_id"), np.ones((40, 1), "u1"))}
    area = xr.Dataset(counts, {"time": time, "unit_id": [0]})
    summed = area.coarsen(time=4).sum()
    feature = xr.DataArray(np.arange(10.0), dims="time", name="x")
    for use in (
        lambda: na.firing_rate(summed),
        lambda: na.tuning_curve(summed, feature, bins=2),
        lambda: na.batches.ClipSamples(summed, ["spike_data"], 0.8),
    ):
        with pytest.raises(na.SchemaError, match=r"0\.4 s apart, and .* says 0\.1 s.*coarsen"):
            use()
    stated = summed.assign_coords(time=summed.time.assign_attrs(bin_width=0.4))
    assert na.firing_rate(stated).item() == pytest.approx(10.0)
    some = area.isel(time=[1, 2, 8, 20, 21, 37])  # of a mask: each bin is as wide as it was
    assert na.firing_rate(some).item() == pytest.approx(10.0)
