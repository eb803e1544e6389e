"""Handles on spike trains: what the cache of spikes knows them by, and trains that files have in disorder."""

from typing import ClassVar

import h5py
import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.lazy.arrays import LazyArray, wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.synthetic import write_nwb
from neuroarrays.tree.trains import Trains, trains_of

TIMES = np.array([5.0, 1.0, 4.0, 2.0, 3.0, 0.0])


class Stored(LazyArray):
    """Spike times as a file would have them."""

    shape, dtype = TIMES.shape, TIMES.dtype

    def outer(self, key):
        return TIMES[key]

    def depends(self):
        return ()


class Noted(Stored):
    """Spike times that note which of them are read."""

    reads: ClassVar[list] = []

    def outer(self, key):
        self.reads.append((key[0].start, key[0].stop))
        return TIMES[key]


def test_only_spikes_of_the_units_asked_for_are_read(monkeypatch):
    monkeypatch.setattr("neuroarrays.tree.trains._READ", 2)
    first, last = np.array([0, 1, 4]), np.array([1, 4, 6])
    handle = Trains(Noted(), first, last, key=object())
    assert handle.load(np.array([1]))[1:4].tolist() == [1.0, 2.0, 4.0]
    assert Noted.reads == [(1, 3), (3, 4)]
    handle.load(np.array([0, 1, 2]))
    assert Noted.reads[2:] == [(0, 1), (4, 6)]


def node(sizes, chunked=False):
    """A spikes node of the stored times, cut into trains of some sizes."""
    times = xr.Variable("spike", wrap(Stored()), {"units": "s"})
    return dataset(
        {
            "spike_times": times.chunk(4) if chunked else times,
            "row_size": xr.Variable("unit_id", np.array(sizes)),
        },
        {"unit_id": xr.Variable("unit_id", np.arange(len(sizes)))},
    )


@pytest.mark.parametrize("chunked", [False, True])
def test_the_same_spikes_cut_into_other_trains_are_others(chunked):
    na.release()
    for sizes in ([3, 3], [2, 4], [6], [1, 2, 3], [3, 3]):
        trains = trains_of(node(sizes, chunked))
        times = trains.load(np.arange(len(sizes)))
        for first, size in zip(trains.first, sizes, strict=True):
            want = np.sort(TIMES[first : first + size])
            np.testing.assert_array_equal(times[first : first + size], want, str(sizes))


# --------------------------------------------------------------------------- files in disorder


@pytest.fixture
def unsorted(tmp_path):
    """An NWB file with trains in disorder, and the trains in order by unit."""
    truth = write_nwb(tmp_path / "a.nwb", spikes="unsorted", parts=("units",))
    trains = dict(zip(truth["unit_id"], map(np.sort, truth["trains"]), strict=True))
    assert any((np.diff(train) < 0).any() for train in truth["trains"])
    return na.open_datatree(tmp_path / "a.nwb"), trains


def test_stored_trains_in_disorder_are_counted_right(unsorted):
    tree, trains = unsorted
    edges = np.arange(0, 20.5, 0.5)
    onsets = np.array([0.0, 3.3, 12.0])
    for area in tree["a"].children.values():
        if "spikes" not in area.children:
            continue
        clock = na.bin_spikes(area, bin_width=0.5, window=(0, 20))
        trials = na.bin_spikes(area, onsets, 0.5, (0, 4))
        lags = na.autocorrelogram(area, 0.1, 1.0)
        for unit in area["spikes/unit_id"].values.tolist():
            train = trains[unit]
            want = np.histogram(train, edges)[0]
            np.testing.assert_array_equal(clock.sel(unit_id=unit), want)
            starts = onsets[:, None] + np.arange(9) / 2
            want = np.diff(np.searchsorted(train, starts), axis=1)
            np.testing.assert_array_equal(trials.sel(unit_id=unit), want)
            inside = np.abs(train[:, None] - train) < 1.05
            want = (inside.sum() - train.size) / 0.1 / train.size if train.size else np.nan
            np.testing.assert_allclose(lags.sel(unit_id=unit).sum(skipna=False), want)


def test_stored_trains_in_disorder_keep_their_order_and_their_extent(unsorted, tmp_path):
    tree, trains = unsorted
    spikes = tree["a/VISp/spikes"].to_dataset()
    with h5py.File(tmp_path / "a.nwb") as file:
        assert spikes["spike_times"].values[0] == file["units/spike_times"][0]
    mine = [trains[unit] for unit in spikes["unit_id"].values.tolist() if trains[unit].size]
    low, high = trains_of(spikes).extent()
    assert (low, high) == (min(t[0] for t in mine), max(t[-1] for t in mine))


@pytest.fixture(scope="module")
def three():
    """Units 5, 2 and 9 with 3, 1 and 2 spikes."""
    return dataset(
        {
            "spike_times": xr.Variable("spike", TIMES, {"units": "s"}),
            "row_size": xr.Variable("unit_id", np.array([3, 1, 2])),
        },
        {"unit_id": xr.Variable("unit_id", np.array([5, 2, 9]))},
    )


@pytest.mark.parametrize(
    "move",
    [
        lambda spikes: spikes.isel(unit_id=[1, 0, 2]),
        lambda spikes: spikes.isel(unit_id=slice(None, None, -1)),
        lambda spikes: spikes.sortby("unit_id"),
        lambda spikes: spikes.sortby("row_size"),
        lambda spikes: spikes.roll(unit_id=1, roll_coords=True),
    ],
)
def test_units_that_were_moved_without_their_spikes_are_refused_everywhere(move, three, tmp_path):
    moved = move(three)
    tree = xr.DataTree.from_dict(
        {"/": xr.Dataset(attrs={"neuroarrays_schema": "recording/1"}), "s/x/spikes": moved}
    )
    phase = xr.DataArray(np.arange(60) % 6.0, {"time": np.arange(60) / 10}, "time")
    phase = phase.assign_attrs(period=6.0)
    for use in (
        lambda: na.bin_spikes(moved, None, 1.0),
        lambda: na.firing_rate(moved, [0, 5]),
        lambda: na.restrict(tree, [0, 3]),
        lambda: na.select_units(tree, "unit_id == 5"),
        lambda: na.phase_locking(moved, phase),
        lambda: na.event_triggered_average(moved, phase.drop_attrs(), (-0.1, 0.1)),
        lambda: na.validate(tree),
        lambda: na.save(tree, tmp_path / "moved.h5"),
    ):
        with pytest.raises(na.SchemaError, match="another order without their spikes"):
            use()


def test_units_taken_by_label_or_reindexed_bring_their_spikes(three):
    for taken in (three.sel(unit_id=[9, 5]), three.reindex(unit_id=[9, 5])):
        assert taken["spike_times"].values.tolist() == [3.0, 0.0, 5.0, 1.0, 4.0]
        assert trains_of(taken).last.tolist() == [2, 5]
    same = three.reindex(unit_id=[5, 2, 9])
    assert same["spike_times"].values.tolist() == TIMES.tolist()


def test_units_without_an_index_of_ours_are_told_another_way_to_select(three):
    relabelled = three.assign_coords(unit_id=[1, 2, 3]).sel(unit_id=[2])
    with pytest.raises(na.SchemaError, match="na.select_units"):
        trains_of(relabelled)


def test_spikes_that_were_left_out_by_hand_with_their_numbers_are_accepted(three):
    fewer = three.isel(spike=[0, 2, 3, 4, 5]).assign(row_size=("unit_id", [2, 1, 2]))
    assert trains_of(fewer).last.tolist() == [2, 3, 5]
