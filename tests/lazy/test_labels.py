"""Short labels are shown where a tree is printed; nothing large or remote is read for that."""

import shutil
from dataclasses import dataclass

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays.lazy import labels
from neuroarrays.lazy.arrays import LazyArray, array_of, file_array
from neuroarrays.lazy.computed import RegularClock
from neuroarrays.lazy.trees import tree_of
from neuroarrays.synthetic import write_temporaldata
from neuroarrays.testing.sources import open_source


@dataclass(frozen=True, repr=False, eq=False)
class Counted(LazyArray):
    """Numbers that say when they are read."""

    values: np.ndarray
    reads: list
    path: str = "recording.nwb"

    @property
    def shape(self):
        return self.values.shape

    @property
    def dtype(self):
        return self.values.dtype

    def outer(self, key):
        self.reads.append(key)
        return self.values[key]


def printed(length, path="recording.nwb"):
    reads = []
    array = Counted(np.arange(length) + 100, reads, path)
    node = xr.Dataset({"depth": array.variable(("unit_id",))})
    return str(tree_of({"/": node})), reads


def test_short_labels_are_shown_and_read_once():
    tree = na.load_sample()
    assert "'ca1' 'ca1'" in str(tree["A2929-200711/ca1/spikes"])
    chosen = na.select_units(tree, "unit_id == 7")["A2929-200711/ca1/spikes"].to_dataset()
    assert "location         (unit_id) object 8B 'ca1'" in str(chosen)
    assert "ca1" in chosen._repr_html_()
    assert "spike_times      (spike) float64" in str(chosen)
    assert str(chosen.spike_times.variable._data).count("not read") == 1
    text, reads = printed(4)
    assert "100 101 102 103" in text
    assert len(reads) == 1


def test_labels_are_shown_beside_variables_that_are_not():
    reads = [], [], []
    table, line, depth = (
        Counted(values, noted)
        for values, noted in zip(
            (np.ones((4, 2)), np.ones(labels.SHORT + 1), np.arange(100, 104)), reads, strict=True
        )
    )
    node = {
        "table": table.variable(("unit_id", "xy")),
        "line": line.variable(("sample",)),
        "depth": depth.variable(("unit_id",)),
    }
    assert "100 101 102 103" in str(tree_of({"/": xr.Dataset(node)}))
    assert [len(noted) for noted in reads] == [0, 0, 1]


def test_one_entry_and_several_axes_are_printed():
    node = na.load_sample()["A2929-200711/ca1/spikes"].to_dataset()
    assert "location         object 8B 'ca1'" in str(node.isel(unit_id=0))
    assert "location" in repr(node.location[0])
    rows = xr.DataArray([[0, 1], [2, 3]], dims=("pair", "member"))
    assert "(pair, member) object 32B 'ca1'" in str(node[["location"]].isel(unit_id=rows))


def test_a_notebook_shows_the_labels_of_one_variable():
    node = na.load_sample()["A2929-200711/ca1/spikes"].to_dataset()
    html = node.location._repr_html_()
    assert "<pre>array([&#x27;ca1&#x27;, &#x27;ca1&#x27;," in html
    assert "[19445 values with dtype=float64]" in node.spike_times._repr_html_()


def test_a_copied_tree_shows_its_labels():
    tree = na.load_sample()
    for copied in (tree.copy(), tree.copy(deep=True), tree.map_over_datasets(lambda node: node)):
        assert "'ca1' 'ca1'" in str(copied["A2929-200711/ca1/spikes"])


def test_a_label_set_in_a_deep_copy_is_not_set_in_the_tree():
    node = na.load_sample()["A2929-200711/ca1/spikes"].to_dataset()
    copied = node.copy(deep=True)
    copied.variables["location"][0] = "ca3"
    assert copied.location.values[0] == "ca3"
    assert node.location.values[0] == "ca1"


@pytest.mark.parametrize(
    ("length", "path"),
    [(labels.SHORT + 1, "recording.nwb"), (4, "https://example.org/recording.nwb")],
    ids=["long", "behind an address"],
)
def test_what_is_long_or_far_away_is_not_read_to_be_printed(length, path):
    text, reads = printed(length, path)
    assert "..." in text
    assert reads == []


def test_labels_made_of_much_are_not_read_to_be_printed(tmp_path):
    @dataclass(frozen=True, repr=False, eq=False)
    class Chosen(Counted):
        base: object = None

    def made_of(base):
        return Chosen(np.arange(3), [], base=base)

    for length, is_cheap in ((labels.READ, True), (labels.READ + 1, False)):
        np.save(tmp_path / f"{length}.npy", np.arange(length))
        stored = file_array(open_source(tmp_path / f"{length}.npy"), str(length))
        assert labels.is_cheap(made_of(stored)) == is_cheap
        assert labels.is_cheap(made_of((stored, "text", 1))) == is_cheap
    assert not labels.is_cheap(made_of(len))


def test_a_file_that_is_gone_is_no_error_where_a_tree_is_printed(tmp_path):
    path = shutil.copy(na.sample_path(), tmp_path / "recording.nwb")
    tree = na.open_datatree(path)
    tree.close()
    path.unlink()
    assert "location         (unit_id) object 64B ..." in str(tree["recording/ca1/spikes"])
    with pytest.raises(na.NeuroArraysError):
        _ = tree["recording/ca1/spikes/location"].values


@pytest.mark.parametrize("seconds", [2.0, 200.0])
def test_a_regular_clock_is_one_after_its_times_were_read(tmp_path, seconds):
    path = write_temporaldata(tmp_path / "recording.h5", seconds=seconds)
    tree = na.open_datatree(path)
    clock = next(
        n.variables["time"]
        for n in tree.subtree
        if "time" in n.variables and n.path.endswith("lfp")
    )
    assert isinstance(array_of(clock), RegularClock)
    want = clock.values
    str(tree)
    assert isinstance(array_of(clock), RegularClock)
    np.testing.assert_array_equal(clock.values, want)
    np.testing.assert_array_equal(clock[3:5].values, want[3:5])


def test_a_label_that_is_set_stays_set():
    array = Counted(np.arange(4) + 100, [])
    tree = tree_of({"/": xr.Dataset({"depth": array.variable(("unit_id",))})})
    str(tree)
    tree.variables["depth"][1] = 7
    assert "100 7 102 103" in str(tree)
    assert tree.variables["depth"].values.tolist() == [100, 7, 102, 103]
    assert array.values.tolist() == [100, 101, 102, 103]


def test_what_is_written_into_values_stays():
    array = Counted(np.arange(4) + 100, [])
    tree = tree_of({"/": xr.Dataset({"depth": array.variable(("unit_id",))})})
    tree.variables["depth"].values[1] = 7
    assert tree.variables["depth"].values.tolist() == [100, 7, 102, 103]
    assert tree.variables["depth"][1].item() == 7
