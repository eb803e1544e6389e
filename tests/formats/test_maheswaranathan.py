"""Maheswaranathan 2023: golden folder under the conformance suite, then what can go wrong."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, NotInTree
from neuroarrays.testing import ReaderTests
from neuroarrays.testing.sources import close_all

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "maheswaranathan" / "data"
FIRST, SECOND = "15-10-07", "15-11-21a"


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(GOLDEN, tmp_path / "data"))


class TestGolden(ReaderTests):
    archives = (".zarr",)
    reader = "maheswaranathan_2023"
    path = GOLDEN
    damaged = "ganglion_cell_data/15-11-21a/naturalscene.h5"
    start_methods = ("fork",)
    foreign = (GOLDEN.parents[1] / "nwb" / "session.nwb", GOLDEN.parents[1] / "openretina")
    options = {"stimulus": "whitenoise", "response": "binned"}
    values = {
        (f"test/{FIRST}/retina", "responses", (0, 0)): 15.0,
        (f"test/{FIRST}/retina", "responses", (1, 2)): 25.0,  # cell10
        (f"test/{FIRST}/retina", "responses", (-1, 1)): 15.0,  # the sixth bin is left out
        (f"test/{FIRST}/retina", "responses_by_trial", (0, 0, 2)): 3.0,
        (f"test/{FIRST}/retina", "responses_by_trial", (0, 0, 0)): 1.0,
        (f"test/{FIRST}/retina", "unit_id", -1): 10,
        (f"test/{SECOND}/retina", "responses_by_trial", (1, 1, 0)): 10.0,
        (f"test/{SECOND}/retina", "responses", (-1, 0)): 5.0,
        (f"train/{FIRST}/retina", "responses", (0, 0)): 10.0,
        (f"train/{FIRST}", "stimulus", (0, 0, 0, 0)): 149,
        (f"train/{FIRST}", "stimulus", (0, 0, 0, 1)): 230,
        (f"train/{FIRST}", "stimulus", (0, 0, 1, 0)): 209,
        (f"train/{FIRST}", "stimulus", (-1, 0, -1, -1)): 110,
        (f"test/{FIRST}", "stimulus", (-1, 0, -1, -1)): 42,
        (f"train/{FIRST}", "time", 0): 0.5,
        (f"train/{FIRST}", "time", -1): 0.61,
        (f"train/{FIRST}/retina/spikes", "row_size", 0): 10,
        (f"train/{FIRST}/retina/spikes", "row_size", 2): 6,
    }


@pytest.mark.parametrize("session", [FIRST, SECOND])
def test_spikes_bin_to_the_counts(session):
    retina = na.open_datatree(GOLDEN, response="binned")[f"train/{session}/retina"]
    times = retina["time"].values
    frame = {"bin_width": 0.01, "window": (0, len(times) / 100)}
    counts = na.bin_spikes(retina["spikes"].to_dataset(), times[:1], **frame)
    assert np.array_equal(counts.values[0].T, retina["responses"].values)
    with h5py.File(GOLDEN / "ganglion_cell_data" / session / "naturalscene.h5") as file:
        names = sorted(file["spikes"], key=lambda name: int(name[4:]))
        stored = np.concatenate([file[f"spikes/{name}"][:] for name in names])
    assert np.array_equal(retina["spikes/spike_times"].values, stored)


def test_the_bin_that_the_clock_lacks_is_dropped_and_recorded():
    tree = na.open_datatree(GOLDEN)
    for session in (FIRST, SECOND):
        node = tree[f"test/{session}"]
        assert node.attrs["dropped_trailing_bins"] == 1
        assert node["retina/responses_by_trial"].sizes == {
            "trial": 2,
            "time": 5,
            "unit_id": len(node["retina/unit_id"]),
        }
        assert "dropped_trailing_bins" not in tree[f"train/{session}"].attrs


def test_the_other_stimulus_is_where_it_is():
    tree = na.open_datatree(GOLDEN, stimulus="whitenoise")
    assert list(tree["train"].children) == [FIRST]
    assert "15-11-21a has no whitenoise.h5" in tree.attrs["notes"]
    assert tree[f"train/{FIRST}"].attrs["stimulus_type"] == "whitenoise"
    with pytest.raises(NotInTree, match="no session '15-11-21a'.*has no whitenoise"):
        na.open_datatree(GOLDEN, stimulus="whitenoise", sessions=SECOND)
    with pytest.raises(NotInTree, match="no response type 'counts'.*'binned'"):
        na.open_datatree(GOLDEN, response="counts")


def test_a_session_and_a_file_open_too(folder):
    below = folder / "ganglion_cell_data"
    (below / "__MACOSX").mkdir()
    whole = na.open_datatree(folder)
    for path in (below, below / FIRST, below / FIRST / "naturalscene.h5"):
        tree = na.open_datatree(path)
        values = tree[f"test/{FIRST}/retina/responses"].values
        assert np.array_equal(values, whole[f"test/{FIRST}/retina/responses"].values)


def test_two_files_of_one_stimulus(folder):
    session = folder / "ganglion_cell_data" / FIRST
    shutil.copy(session / "naturalscene.h5", session / "old_naturalscene.h5")
    with pytest.raises(FormatError, match="one file that ends in naturalscene.h5.*old_natural"):
        na.open_datatree(folder)


def edited(folder, name, values):
    path = folder / "ganglion_cell_data" / FIRST / "naturalscene.h5"
    with h5py.File(path, "a") as file:
        del file[name]
        if values is not None:
            file[name] = values
    return folder


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("test/response/firing_rate_10ms", np.ones((3, 4)), "for each of the 5 times; found 4"),
        ("test/time", np.arange(4.0), "5 times, one per frame"),
        ("test/time", np.ones(5), "times that increase"),
        ("train/stimulus", np.ones((12, 4), "u1"), "\\(time, y, x\\)"),
        ("test/repeats/cell2", np.ones((2, 5)), "3 cells of one shape"),
        ("test/repeats/cell2", None, "3 cells of one shape"),
        ("spikes/cell2", None, "3 cells, as in the responses; found 2"),
        ("spikes/cell2", np.ones((3, 2)), "times \\(spike,\\)"),
        ("train/response/firing_rate_10ms", np.ones((3, 9)), "9 bins"),
    ],
)
def test_what_does_not_fit_is_named(folder, name, values, message):
    with pytest.raises(FormatError, match=message) as caught:
        na.open_datatree(edited(folder, name, values))
    assert "naturalscene.h5" in str(caught.value)


def test_axes_are_declared_not_guessed(folder):
    """As many trials as units: (trial, unit, time) all the same."""
    path = folder / "ganglion_cell_data" / SECOND / "naturalscene.h5"
    with h5py.File(path) as file:
        stored = file["test/repeats/firing_rate_10ms"][:]
    assert stored.shape[0] == stored.shape[1]
    found = na.open_datatree(folder)[f"test/{SECOND}/retina/responses_by_trial"]
    assert np.array_equal(found.values, stored.transpose(0, 2, 1)[:, :5])


def test_nan_responses_stay(folder):
    rates = np.ones((3, 12))
    rates[1, 4] = np.nan
    found = na.open_datatree(edited(folder, "train/response/firing_rate_10ms", rates))
    assert np.argwhere(np.isnan(found[f"train/{FIRST}/retina/responses"].values)).tolist() == [
        [4, 1]
    ]


def test_blocks_of_known_sessions():
    from neuroarrays.formats.retina import maheswaranathan

    assert maheswaranathan._BLOCKS[FIRST] * maheswaranathan._BLOCK_FRAMES == 359_802
