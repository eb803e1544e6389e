"""Waveforms of each spike in NWB, ragged twice: by electrode and by spike, and what stands beside them."""

import h5py
import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.lazy.arrays import LazyArray, array_of

SIZES = [2, 0, 3]  # spikes of each unit
RATE, BEFORE = 30000.0, 0.1


def write(path, electrodes=(2, 2, 2), change=None):
    """A file of three units; returns (waveform, sample) float32, V, all of one spike one after another."""
    of_spikes = np.repeat(electrodes, SIZES)
    rows = np.random.default_rng(3).normal(size=(of_spikes.sum(), 4)).astype("f4")
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.8.0"
        units = file.create_group("units")
        units.attrs.update(neurodata_type="Units", colnames=["spike_times", "waveforms", "marks"])
        units["id"] = [4, 5, 6]
        units["spike_times"] = np.arange(5.0)
        units["waveforms"] = rows
        units["waveforms"].attrs.update(
            unit="volts", sampling_rate=RATE, time_before_peak_in_ms=BEFORE
        )
        units["marks"] = rows[:, 0]
        units["waveform_mean"] = np.zeros((3, 4, max(electrodes)), "f4")
        units["waveform_mean"].attrs["unit"] = "volts"
        units["electrodes"] = np.arange(sum(electrodes))
        units["electrodes_index"] = np.cumsum(electrodes)
        for name in ("waveforms", "marks"):
            units[f"{name}_index"] = np.cumsum(of_spikes)
            units[f"{name}_index_index"] = np.cumsum(SIZES)
        units["spike_times_index"] = np.cumsum(SIZES)
        if change:
            change(units)
        for name in units:
            kind = "VectorIndex" if name.endswith("_index") else "VectorData"
            units[name].attrs["neurodata_type"] = kind
    return rows


def spikes(path):
    return na.open_datatree(path)[f"{path.stem}/unknown/spikes"].to_dataset()


def notes(path):
    return "\n".join(na.open_datatree(path)[path.stem].attrs.get("notes", []))


def test_waveforms_are_of_a_spike_an_electrode_and_a_sample(tmp_path):
    rows = write(path := tmp_path / "s.nwb")
    node = spikes(path)
    assert node.waveforms.dims == ("spike", "waveform_electrode", "waveform_sample")
    assert node.waveforms.dtype == np.float32
    assert node.waveforms.attrs["units"] == "volts"
    np.testing.assert_array_equal(node.waveforms.values, rows.reshape(5, 2, 4))
    np.testing.assert_array_equal(node.sel(unit_id=6).waveforms.values, rows[4:].reshape(3, 2, 4))
    np.testing.assert_array_equal(node.marks.values, rows[:, 0].reshape(5, 2))
    np.testing.assert_allclose(node.waveform_time.values, np.arange(4) / RATE - BEFORE / 1000)
    assert node.waveform_mean.dims == ("unit_id", "waveform_sample", "waveform_electrode")
    assert (node.waveforms - node.sel(unit_id=6).waveform_mean).sizes["spike"] == 5
    np.testing.assert_array_equal(node.electrodes.values, np.arange(6.0).reshape(3, 2))
    assert node.electrodes.dims == ("unit_id", "waveform_electrode")
    assert "not in the tree" not in notes(path)


@pytest.mark.parametrize("electrodes", [(2, 2, 2), (1, 2, 3)])
def test_waveforms_are_read_where_they_are_indexed(tmp_path, electrodes):
    write(path := tmp_path / "s.nwb", electrodes)
    assert isinstance(array_of(spikes(path).variables["waveforms"]), LazyArray)


def test_units_of_other_numbers_of_electrodes_are_padded(tmp_path):
    rows = write(path := tmp_path / "s.nwb", electrodes=(1, 2, 3))
    node = spikes(path)
    assert node.waveforms.shape == (5, 3, 4)
    np.testing.assert_array_equal(node.waveforms[0, 0], rows[0])
    assert np.isnan(node.waveforms[:2, 1:]).all()
    np.testing.assert_array_equal(node.sel(unit_id=6).waveforms[2], rows[-3:])
    np.testing.assert_array_equal(node.electrodes[0], [0, np.nan, np.nan])


def test_units_and_stretches_of_time_keep_their_waveforms(tmp_path):
    rows = write(path := tmp_path / "s.nwb").reshape(5, 2, 4)
    tree = na.open_datatree(path)
    kept = na.select_units(tree, "unit_id == 6")["s/unknown/spikes"]
    np.testing.assert_array_equal(kept.waveforms.values, rows[2:])
    cut = na.restrict(tree, [0.5, 3.5])["s/unknown/spikes"]
    np.testing.assert_array_equal(cut.waveforms.values, rows[1:4])


def ragged_once(units):
    """One waveform of a spike, as some files have it: the column's only index is that of the units."""
    rows = units["waveforms"][::2]
    del units["waveforms"], units["waveforms_index"], units["waveforms_index_index"]
    units["waveforms"], units["waveforms_index"] = rows, np.cumsum(SIZES)


def of_too_few_spikes(units):
    units["waveforms_index_index"][...] = [1, 1, 3]


def past_the_end(units):
    units["waveforms_index"][-1] = 99


def without_electrodes(units):
    del units["electrodes"]


def test_an_index_without_its_column_is_a_note(tmp_path):
    write(path := tmp_path / "s.nwb", change=without_electrodes)
    assert "electrodes_index" not in spikes(path)
    assert "units/electrodes_index (an index" in notes(path)


def test_one_waveform_of_each_spike(tmp_path):
    rows = write(path := tmp_path / "s.nwb", change=ragged_once)
    node = spikes(path)
    assert node.waveforms.dims == ("spike", "waveform_sample")
    np.testing.assert_array_equal(node.waveforms.values, rows[::2])


@pytest.mark.parametrize("change", [of_too_few_spikes, past_the_end])
def test_waveforms_that_are_not_of_the_spikes_are_a_note(tmp_path, change):
    write(path := tmp_path / "s.nwb", change=change)
    node = spikes(path)
    assert "waveforms" not in node
    assert node.marks.shape == (5, 2)
    assert "units/waveforms" in notes(path)


def without_spikes(units):
    del units["spike_times"]
    units["spike_times"] = np.empty(0)


def test_no_spikes_have_no_waveforms(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.SIZES", [0, 0, 0])
    write(path := tmp_path / "s.nwb", change=without_spikes)
    assert spikes(path).waveforms.shape[0] == 0


def of_no_electrode(units):
    units["waveforms_index"][...] = 0


def test_waveforms_of_no_electrode_cost_no_spikes_where_they_are_written(tmp_path):
    pytest.importorskip("pynwb", reason="writes NWB: pip install neuroarrays[nwb]")
    write(path := tmp_path / "s.nwb", change=of_no_electrode)
    tree = na.open_datatree(path)
    na.to_nwb(tree, tmp_path / "again.nwb", session_start_time="2024-05-06T14:30:00+02:00")
    expected = tree["s/unknown/spikes"].to_dataset().load()
    assert expected.waveforms.shape == (5, 0, 4)
    again = spikes(tmp_path / "again.nwb").load()
    np.testing.assert_array_equal(again.spike_times, expected.spike_times)
    np.testing.assert_array_equal(again.marks, expected.marks)


def declared(*shape, ends):
    def change(units):
        del units["waveforms"]
        units.create_dataset("waveforms", shape, "f4", chunks=(1, 4))
        units["waveforms"].attrs["sampling_rate"] = RATE
        units["waveforms_index"][...] = ends

    return change


@pytest.mark.parametrize(
    ("change", "is_there"),
    [
        (declared(10, 10**12, ends=[2, 4, 6, 8, 10]), True),
        (declared(10**12, 4, ends=[2, 4, 6, 8, 10**12]), False),
    ],
    ids=["samples", "rows"],
)
def test_a_declared_size_takes_no_memory(tmp_path, change, is_there):
    write(path := tmp_path / "s.nwb", change=change)
    node = spikes(path)
    assert ("waveforms" in node) == is_there
    np.testing.assert_array_equal(node.spike_times, np.arange(5.0))


def test_they_are_written_as_nwb_has_them(tmp_path):
    electrodes = (1, 2, 3)
    pytest.importorskip("pynwb", reason="writes NWB: pip install neuroarrays[nwb]")
    write(path := tmp_path / "s.nwb", electrodes)
    (tmp_path / "again").mkdir()
    again = tmp_path / "again" / "s.nwb"
    tree = na.open_datatree(path)
    assert na.to_nwb(tree, again, session_start_time="2024-05-06T14:30:00+02:00") == []
    expected = tree["s/unknown/spikes"].to_dataset()
    xr.testing.assert_identical(spikes(again).load(), expected.load())
    with h5py.File(again) as file:
        wide = max(electrodes)
        np.testing.assert_array_equal(file["units/waveforms_index"], wide * np.arange(1, 6))
        np.testing.assert_array_equal(file["units/waveforms_index_index"], np.cumsum(SIZES))
        assert file["units/waveforms"].attrs["sampling_rate"] == RATE
