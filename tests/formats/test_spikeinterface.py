"""spikeinterface: golden analyzer under the conformance suite, other ways to save a sorting, bad input."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, MissingPath, NeuroArraysError
from neuroarrays.synthetic.spikeinterface import RECORD, write_spikeinterface
from neuroarrays.testing import ReaderTests

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
HERE = GOLDEN / "spikeinterface"
SPIKES = "analyzer/unknown/spikes"


class TestGolden(ReaderTests):
    archives = (".zarr",)
    start_methods = ("fork",)  # npy files: those of phy are read after the others too
    reader = "spikeinterface"
    path = HERE / "analyzer"
    foreign = (GOLDEN / "phy" / "probe_a", GOLDEN / "driada" / "session.npz", GOLDEN / "arrays")
    inert_options = {"segment": "there is one; the sortings beside it have two"}
    values = {
        (SPIKES, "unit_id", -1): 2,
        (SPIKES, "unit_name", -1): "2",
        (SPIKES, "row_size", 0): 55,
        (SPIKES, "row_size", -1): 59,
        (SPIKES, "spike_times", 0): 426 / 10000,
        (SPIKES, "spike_times", 54): 39947 / 10000,
        (SPIKES, "spike_times", 55): 9 / 10000,
        (SPIKES, "spike_times", -1): 39061 / 10000,
        (SPIKES, "snr", 0): 13.137896537780762,
        (SPIKES, "snr", -1): 0.5980738401412964,
        (SPIKES, "num_spikes", -1): 59,
        (SPIKES, "peak_to_trough_duration", 0): 0.00057,
        (SPIKES, "x", 0): 12.956555917315667,
        (SPIKES, "y", 0): -8.782819217699258,
        (SPIKES, "z", 0): 9.392194956807689,
        (SPIKES, "x", -1): 32.39669234983536,
        (SPIKES, "template", (0, 0, 0)): np.float32(-0.84973824),
        (SPIKES, "template", (0, 10, 2)): np.float32(-67.92414),
        (SPIKES, "template", (2, 29, 3)): np.float32(-1.7444988),
        (SPIKES, "template_time", 0): -0.001,
        (SPIKES, "template_time", 10): 0.0,
        (SPIKES, "channel_id", 3): "3",
        (SPIKES, "amplitude", 0): np.float32(-61.43154),
        (SPIKES, "amplitude", -1): np.float32(6.4893484),
        (SPIKES, "spike_x", 0): np.float32(10.74558),
        (SPIKES, "spike_y", -1): np.float32(9.730557),
        (SPIKES, "gt_unit_locations_2", -1): np.float32(37.834496),
        (SPIKES, "main_channel_id", -1): "3",
        (SPIKES, "quality", 1): "mua",
        ("analyzer/observed", "stop_time", 0): 4.0,
    }


@pytest.fixture
def analyzer(tmp_path):
    """A copy of the golden folder, to be changed."""
    return Path(shutil.copytree(HERE / "analyzer", tmp_path / "analyzer"))


@pytest.fixture
def saved(tmp_path):
    """A copy of a sorting of two segments, to be changed."""
    return Path(shutil.copytree(HERE / "numpy_folder", tmp_path / "saved"))


def spikes(path, **options):
    tree = na.open_datatree(path, **options)
    return tree[f"{next(iter(tree.children))}/unknown/spikes"].to_dataset()


def notes(path):
    tree = na.open_datatree(path)
    return "\n".join(next(iter(tree.children.values())).attrs["notes"])


def rewrite(path, function):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(function(content)))


def test_zarr_is_the_same_as_the_folder():
    pytest.importorskip("zarr")
    store, folder = spikes(HERE / "stored.zarr"), spikes(HERE / "analyzer")
    assert {"snr", "x", "template", "main_channel_id", "quality"} <= set(store.variables)
    for name in store.variables:
        np.testing.assert_array_equal(store[name].values, folder[name].values, err_msg=name)


@pytest.mark.parametrize("name", ["numpy_folder", "npz_folder", "sorting.npz"])
def test_a_sorting_of_two_segments(name):
    first, second = spikes(HERE / name), spikes(HERE / name, segment=1)
    assert first.row_size.values.tolist() == [28, 33, 28]
    assert second.row_size.values.tolist() == [17, 15, 18]
    ends = [672, 19659, 94, 19548, 2243, 18537]
    places = [0, 27, 28, 60, 61, 88]
    assert (first.spike_times.values[places] * 10000).round().tolist() == ends
    ends = [82, 9860, 721, 9918, 248, 9903]
    assert (second.spike_times.values[[0, 16, 17, 31, 32, 49]] * 10000).round().tolist() == ends
    assert "segment 0 of 2" in notes(HERE / name)
    with pytest.raises(ValueError, match="segment=2: expected one of 2 segments"):
        spikes(HERE / name, segment=2)


def test_units_with_names_and_metrics_in_another_order(tmp_path):
    folder = write_spikeinterface(tmp_path / "named", seconds=2.0, units=3)
    node = spikes(folder)
    assert node.unit_id.values.tolist() == [0, 1, 2]
    assert node.unit_name.values.tolist() == ["u00", "u01", "u02"]
    np.testing.assert_array_equal(node.num_spikes.values, [*node.row_size.values[:2], np.nan])
    assert "no row for the units 'u02'" in notes(folder)


def test_where_templates_of_a_sparse_analyzer_are_known(analyzer):
    near = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], bool)
    np.save(analyzer / "sparsity_mask.npy", near)
    node = spikes(analyzer)
    assert node.sparsity_mask.dims == ("unit_id", "channel")
    np.testing.assert_array_equal(node.sparsity_mask.values, near)


def test_a_unit_without_spikes_is_a_unit(saved):
    rewrite(saved / "numpysorting_info.json", lambda info: info | {"unit_ids": [5, 3, 9, 4]})
    shutil.rmtree(saved / "properties")
    node = spikes(saved)
    assert node.unit_id.values.tolist() == [5, 3, 9, 4]
    assert node.row_size.values.tolist() == [28, 33, 28, 0]
    assert "unit_name" not in node.coords


def test_good_units_of_a_folder_of_analyzers(tmp_path):
    for name in ("a", "b"):
        write_spikeinterface(tmp_path / "both" / name, seconds=1.0, units=4)
    good = na.select_units(na.open_datatree(tmp_path / "both"), "quality == 'good' and snr > 0")
    assert good["b/unknown/spikes"].unit_id.values.tolist() == [0, 2]


# ------------------------------------------------------------------------------------- bad input


def test_members_that_are_not_there(analyzer, saved):
    shutil.rmtree(analyzer / "extensions")
    (analyzer / "recording_info" / "recording_attributes.json").unlink()
    node = spikes(analyzer)
    assert node.row_size.values.tolist() == [55, 53, 59]
    assert "ends" in na.open_datatree(analyzer)["analyzer/observed"].start_time.attrs
    (saved / "spikes.npy").unlink()
    with pytest.raises(MissingPath, match=r"saved.spikes\.npy"):
        spikes(saved)
    shutil.rmtree(analyzer / "sorting")
    with pytest.raises(MissingPath, match="numpysorting_info"):
        spikes(analyzer, engine="spikeinterface")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"unit_ids": ["a", "b"]},
            r"spikes\.npy:unit_index: expected one of 2 units .*found spike",
        ),
        ({"unit_ids": ["a", "b", "a"]}, "each unit once"),
        ({"unit_ids": "abc"}, "a list of units"),
        ({"unit_ids": [[1], [2], [3]]}, "unit_ids: expected whole numbers or text"),
        ({"sampling_frequency": True}, "sampling_frequency.*above 0"),
        ({"sampling_frequency": 0}, "sampling_frequency.*above 0"),
        ({"sampling_frequency": None}, "sampling_frequency"),
        ({"num_segments": 0}, "num_segments.*1 or more"),
        ({"unit_ids": [1, 2, 3, 4]}, "properties/.*4 rows.*found 3"),
    ],
)
def test_facts_that_contradict_the_spikes_are_named(saved, change, message):
    rewrite(saved / "numpysorting_info.json", lambda info: info | change)
    with pytest.raises(FormatError, match=message):
        spikes(saved)


def test_units_beyond_int64_keep_their_numbers_as_names(saved):
    ids = [(1 << 63) + row for row in range(3)]
    rewrite(saved / "numpysorting_info.json", lambda info: info | {"unit_ids": ids})
    assert spikes(saved).unit_id.values.tolist() == [0, 1, 2]
    assert spikes(saved).unit_name.values.tolist() == ids


def test_a_length_that_is_no_number_says_nothing_of_the_recording(analyzer):
    facts = analyzer / "recording_info" / "recording_attributes.json"
    rewrite(facts, lambda about: about | {"num_samples": ["many"]})
    assert spikes(analyzer).observed_stop == spikes(analyzer).spike_times.max()


@pytest.mark.parametrize(
    ("member", "content", "message"),
    [
        ("sorting/spikes.npy", np.arange(5), "records of numbers"),
        ("sorting/spikes.npy", np.array([{}], object), "records of numbers"),
        (
            "extensions/spike_amplitudes/amplitudes.npy",
            np.ones(9),
            r"amplitudes\.npy.*167 values, one for each spike",
        ),
        ("extensions/unit_locations/unit_locations.npy", np.ones((2, 2)), "3 rows, one for each"),
        ("extensions/templates/average.npy", np.ones((4, 3, 2)), "3 rows, one for each"),
        ("extensions/quality_metrics/metrics.csv", ",snr\n0,1\n0,2\n", "0 twice"),
        ("extensions/quality_metrics/metrics.csv", "", "a table"),
        ("recording_info/recording_attributes.json", "[1]", "names and values"),
        ("settings.json", "{", "JSON"),
    ],
)
def test_what_contradicts_itself_is_named(analyzer, member, content, message):
    if isinstance(content, str):
        (analyzer / member).write_text(content)
    else:
        np.save(analyzer / member, content, allow_pickle=True)
    with pytest.raises(FormatError, match=message):
        spikes(analyzer)


def test_labels_and_samples_of_an_npz_file(tmp_path):
    arrays = dict(np.load(HERE / "sorting.npz"))
    arrays["spike_labels_seg1"] = arrays["spike_labels_seg1"][:-1]
    np.savez(tmp_path / "short.npz", **arrays)
    with pytest.raises(FormatError, match=r"one length.*\(50,\) and \(49,\)"):
        spikes(tmp_path / "short.npz", segment=1)
    words = {"spike_indexes_seg1": np.full(arrays["spike_labels_seg1"].size, "a")}
    np.savez(tmp_path / "words.npz", **arrays | words)
    with pytest.raises(FormatError, match="numbers of samples"):
        spikes(tmp_path / "words.npz", segment=1)
    np.savez(tmp_path / "of_none.npz", **arrays | {"unit_ids": np.array(["0", "1"])})
    with pytest.raises(FormatError, match="one of 2 units.*spike 8 of '2'"):
        spikes(tmp_path / "of_none.npz")


def test_a_property_of_python_objects_is_a_note(saved):
    np.save(saved / "properties" / "odd.npy", np.array([{}] * 3, object), allow_pickle=True)
    assert "odd" not in spikes(saved).coords
    assert "property odd not read: Python objects" in notes(saved)


def test_times_out_of_order_are_kept_and_noted(saved):
    records = np.load(saved / "spikes.npy")
    np.save(saved / "spikes.npy", records[::-1].copy())
    with pytest.raises(FormatError, match="segments one after another"):
        spikes(saved)
    rewrite(saved / "numpysorting_info.json", lambda info: info | {"num_segments": 1})
    assert any("order" in note for note in na.validate(na.open_datatree(saved), values=True))


def test_a_recording_without_spikes(saved):
    np.save(saved / "spikes.npy", np.zeros(0, RECORD))
    node = spikes(saved).load()
    assert node.row_size.values.tolist() == [0, 0, 0]
    assert node.sizes["spike"] == 0


def test_a_folder_that_two_readers_claim_is_an_error_that_names_both(saved):
    shutil.copytree(GOLDEN / "phy" / "probe_a", saved, dirs_exist_ok=True)
    with pytest.raises(NeuroArraysError, match="phy") as caught:
        na.open_datatree(saved)
    assert "spikeinterface" in str(caught.value)
    assert spikes(saved, engine="spikeinterface").unit_id.size == 3
