"""open-retina's own layout: golden folder under the conformance suite, then what can go wrong."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, NotInTree, UnknownFormat
from neuroarrays.testing import ReaderTests
from neuroarrays.testing.sources import close_all

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "openretina" / "data"


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(GOLDEN, tmp_path / "data"))


class TestGolden(ReaderTests):
    archives = (".h5",)
    reader = "openretina"
    path = GOLDEN
    damaged = "two.h5"
    foreign = (GOLDEN.parents[1] / "nwb" / "session.nwb", GOLDEN.parents[1] / "allen_binned")
    options = {"test_names": "bars", "sampling_rate": 30.0}
    inert_options = {"mismatch": "lengths agree here"}
    values = {
        ("bars/one/retina", "responses", (0, 0)): 0.946,
        ("bars/one/retina", "responses", (1, 0)): 0.478,  # time, unit
        ("bars/one/retina", "responses", (-1, -1)): 0.236,
        ("noise_10/two/retina", "responses", (1, 0)): 0.172,
        ("noise_10/two/retina", "responses", (-1, -1)): 0.056,
        ("noise_2/one/retina", "responses", (1, 0)): 0.92,
        ("bars/one", "stimulus", (0, 0, 0, 0)): 113.0,
        ("bars/one", "stimulus", (0, 0, 0, 1)): 137.0,
        ("bars/one", "stimulus", (0, 1, 0, 0)): 98.0,  # time, channel, y, x
        ("bars/one", "stimulus", (1, 0, 0, 0)): 109.0,
        ("bars/one", "stimulus", (-1, -1, -1, -1)): 15.0,
        ("noise_2/one", "stimulus", (0, 0, 0, 1)): 142.0,
        ("noise_2/two", "stimulus", (0, 0, 0, 0)): 0.5,  # its own
        ("noise_2/two/retina", "celltypes", -1): 11,
        ("noise_2/two/retina", "unit_id", 0): 0,
        ("noise_2/two/session_info", "roi_mask", (0, 0)): -2,
    }


def test_the_train_block_joins_in_the_order_of_names():
    tree = na.open_datatree(GOLDEN, test_names="bars", sampling_rate=30)
    assert list(tree.children) == ["train", "bars"]
    train = tree["train/one"]
    single = na.open_datatree(GOLDEN)
    for place, name in (("one/retina", "responses"), ("one", "stimulus")):
        parts = [single[f"{block}/{place}"][name].values for block in ("noise_10", "noise_2")]
        assert np.array_equal(tree[f"train/{place}"][name].values, np.concatenate(parts))
    assert train["block_id"].values.tolist() == [0] * 5 + [1] * 6
    assert set(train["stimulus_name"].values[5:]) == {"noise_2"}
    assert train["time"].values[3] == 3 / 30
    assert train.attrs["sampling_rate_source"] == "argument"
    assert list(tree["bars"].children) == ["one"]


def test_several_test_stimuli_are_several_blocks():
    tree = na.open_datatree(GOLDEN, test_names=["bars", "noise_2"])
    assert list(tree.children) == ["train", "bars", "noise_2"]
    assert tree["train/one/retina/responses"].sizes["time"] == 5


def test_parts_that_do_not_fit_together_are_named(folder):
    np.save(folder / "stimuli" / "noise_2.npy", np.zeros((1, 6, 9, 9), "f4"))
    with pytest.raises(FormatError, match=r"one.h5:stimuli noise_10, noise_2: expected parts of"):
        na.open_datatree(folder, test_names="bars")


def test_what_is_cut_adds_up_over_joined_stimuli(folder):
    for name, frames in (("noise_10", 4), ("noise_2", 4)):
        shown = np.load(folder / "stimuli" / f"{name}.npy")
        np.save(folder / "stimuli" / f"{name}.npy", shown[:, :frames])
    attrs = na.open_datatree(folder, test_names="bars", mismatch="cut")["train/one"].attrs
    assert attrs["dropped_trailing_frames_responses"] == 1 + 2


def test_without_a_rate_there_is_no_time():
    tree = na.open_datatree(GOLDEN)
    assert "time" not in tree["bars/one"].coords
    assert tree["bars/one"].attrs["sampling_rate_source"] == "unknown"


@pytest.mark.parametrize("rate", [0, -1, np.nan, np.inf])
def test_a_rate_must_be_one(rate):
    with pytest.raises(ValueError, match="sampling_rate: expected a positive"):
        na.open_datatree(GOLDEN, sampling_rate=rate)


@pytest.mark.parametrize("frames", [5, 9])
def test_responses_longer_or_shorter_than_the_stimulus(folder, frames):
    with h5py.File(folder / "one.h5", "a") as file:
        del file["responses_bars"]
        file["responses_bars"] = np.ones((3, frames))
    with pytest.raises(FormatError, match=f"stimulus 7, responses {frames}.*mismatch=.cut"):
        na.open_datatree(folder)
    tree = na.open_datatree(folder, mismatch="cut")
    kept = min(frames, 7)
    assert tree["bars/one/stimulus"].sizes["time"] == kept
    assert tree["bars/one/retina/responses"].sizes["time"] == kept
    longer = "stimulus" if frames < 7 else "responses"
    assert tree["bars/one"].attrs[f"dropped_trailing_frames_{longer}"] == 2
    with pytest.raises(ValueError, match="mismatch: expected one of"):
        na.open_datatree(folder, mismatch="guess")


def test_a_stimulus_only_in_the_session_file(folder):
    with h5py.File(folder / "two.h5", "a") as file:
        file["responses_own"] = np.ones((2, 4))
        file["stimulus_own"] = np.arange(96, dtype="i2").reshape(2, 4, 3, 4)
    tree = na.open_datatree(folder)
    assert tree["own/two/stimulus"].dtype == np.float32
    assert tree["own/two/stimulus"][1, 0, 0, 0] == 12


def test_a_session_without_its_stimulus_says_so(folder):
    (folder / "stimuli" / "bars.npy").unlink()
    tree = na.open_datatree(folder)
    assert "stimulus" not in tree["bars/one"]
    assert "no stimulus bars" in tree["bars/one"].attrs["note"]
    assert tree["bars/one/retina/responses"].shape == (7, 3)
    with pytest.raises(NotInTree, match="no stimulus 'stars'.*did you mean 'bars'"):
        na.open_datatree(folder, test_names="stars")


def test_nan_responses_stay(folder):
    with h5py.File(folder / "one.h5", "a") as file:
        file["responses_bars"][0, 3] = np.nan
    found = na.open_datatree(folder)["bars/one/retina/responses"]
    assert np.isnan(found[3, 0])
    assert np.isnan(found.values).sum() == 1


def test_the_folder_of_stimuli_is_not_passed_over():
    assert "notes" not in na.open_datatree(GOLDEN).attrs


def test_files_without_responses_are_no_sessions(folder):
    with h5py.File(folder / "empty.h5", "w") as file:
        file["session_info/x"] = 1
    tree = na.open_datatree(folder)
    assert set(tree["noise_2"].children) == {"one", "two"}
    with pytest.raises(UnknownFormat):
        na.open_datatree(folder / "empty.h5")
    with pytest.raises(FormatError, match="session files with responses"):
        na.open_datatree(folder / "empty.h5", engine="openretina")


def test_one_file_is_a_session_with_the_stimuli_beside_it():
    tree = na.open_datatree(GOLDEN / "two.h5")
    assert list(tree.children) == ["noise_10", "noise_2"]
    assert tree["noise_10/two/stimulus"].shape == (5, 2, 3, 4)


@pytest.mark.parametrize("bad", [np.ones((3, 7, 1)), np.ones(3)])
def test_responses_of_a_wrong_shape(folder, bad):
    with h5py.File(folder / "one.h5", "a") as file:
        del file["responses_bars"]
        file["responses_bars"] = bad
    with pytest.raises(FormatError, match="responses_bars: expected \\(unit, time\\)"):
        na.open_datatree(folder)


def test_a_hostile_npy_is_refused(folder):
    np.save(folder / "stimuli" / "bars.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(FormatError, match="never unpickled"):
        na.open_datatree(folder)
