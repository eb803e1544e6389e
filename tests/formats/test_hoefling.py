"""Hoefling 2024: golden folder under the conformance suite, order of clips, filters, bad input."""

import os
import pickle
import shutil
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from xarray.core.indexing import BasicIndexer

import neuroarrays as na
from neuroarrays.errors import FormatError, NotInTree
from neuroarrays.lazy.arrays import array_of
from neuroarrays.testing import ReaderTests, assert_same_trees
from neuroarrays.testing.sources import close_all

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "hoefling" / "data"
LEFT, RIGHT = "session_1_dorsal1_20200226", "session_2_ventral1_20200226"
H5, PKL = "rgc_natstim.h5", "rgc_natstim_2x1.pkl"


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()
    na.release()


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(GOLDEN, tmp_path / "data"))


class TestGolden(ReaderTests):
    archives = (".h5",)
    reader = "hoefling_2024"
    path = GOLDEN
    start_methods = ("fork",)
    foreign = (GOLDEN.parents[1] / "nwb" / "session.nwb", GOLDEN.parents[1] / "allen_binned")
    options = {"stimulus": "chirp", "response": "raw", "units": "all"}
    inert_options = {"movie": "there is one", "skip_damaged": "fields are in one file"}
    values = {
        (f"train/{LEFT}/retina", "responses", (-1, -1)): 2.3392259756383753,
        (f"train/{RIGHT}/retina", "responses", (-1, -1)): 1.8817716146567516,
        (f"test/{LEFT}/retina", "responses", (3, 0)): 2.5570746146865906,
        (f"test/{RIGHT}/retina", "responses_by_trial", (2, -1, -1)): 0.1272371551187287,
        (f"test/{LEFT}/retina", "responses_by_trial", (0, 0, 0)): 5.652498857828985,
        (f"train/{LEFT}", "validation", 0): False,  # clip 78 does not validate
        (f"train/{LEFT}", "clip_id", 0): 78,
        (f"train/{LEFT}", "clip_id", -1): 16,
        (f"train/{LEFT}", "stimulus", (0, 0, 0, 0)): 200,  # the left eye: mirrored
        (f"train/{LEFT}", "stimulus", (0, 1, 0, 1)): 79,
        (f"train/{LEFT}", "stimulus", (-1, 0, 0, 0)): 249,
        (f"train/{RIGHT}", "stimulus", (0, 0, 0, 0)): 49,
        (f"train/{RIGHT}", "stimulus", (-1, 1, 0, 1)): 250,
        (f"test/{RIGHT}", "stimulus", (0, 0, 0, 0)): 97,
        (f"test/{RIGHT}", "stimulus", (0, 1, 0, 1)): 202,
        (f"test/{RIGHT}", "stimulus", (-1, 0, 0, 1)): 206,
        (f"train/{RIGHT}", "frame_time", 0): 28.0,  # the sixth trigger
        (f"train/{RIGHT}", "time", 30): 1.0,
        (f"train/{RIGHT}/retina", "unit_id", 1): 5,  # ROIs 2 and 4 are left out
        (f"train/{RIGHT}/retina", "cell_type_id", 0): 5,
        (f"train/{RIGHT}/retina", "roi_y", 0): 4.5,
        (f"train/{RIGHT}/retina", "roi_x", 0): 11.5,
    }


def by_hand(field, stem, duration, frames, every=1):
    """The published interpolation: whole traces, one unit after another."""
    with h5py.File(GOLDEN / H5) as file:
        group = file[field]
        end = next(e for e in ("inferred_spikes", "spikes") if f"{stem}_{e}" in group)
        traces = group[f"{stem}_{end}"][:]
        triggers = group[f"{stem}_trigger_times"][0][::every]
        if f"{stem}_traces_times" in group:
            times = group[f"{stem}_traces_times"][:]
        else:
            steps = np.tile(np.arange(traces.shape[1]), (len(traces), 1))
            times = steps * group[f"{stem}_traces_dt"][:][:, None]
            times = times + group[f"{stem}_traces_t0"][:][:, None]
    at = np.concatenate([np.linspace(t, t + duration, frames) for t in triggers])
    made = np.stack([np.interp(at, t, v) for t, v in zip(times, traces, strict=True)])
    return (made / np.std(made, axis=1, keepdims=True)).T


@pytest.mark.parametrize("field", [LEFT, RIGHT])
def test_upsampling_and_cutting_are_the_published_ones(field):
    whole = by_hand(field, "natural", 4.9666667, 150)
    tree = na.open_datatree(GOLDEN, units="all")
    train = np.concatenate([whole[750:8850], whole[9600:17700]])
    assert np.array_equal(tree[f"train/{field}/retina/responses"].values, train)
    blocks = tree[f"train/{field}"]["block_id"].values  # the test came in between
    assert np.array_equal(blocks, np.repeat([0, 1], 8100))
    trials = np.stack([whole[:750], whole[8850:9600], whole[17700:]])
    assert np.array_equal(tree[f"test/{field}/retina/responses_by_trial"].values, trials)
    assert np.array_equal(tree[f"test/{field}/retina/responses"].values, trials.mean(0))


@pytest.mark.parametrize(
    ("stem", "grid"), [("chirp", (32.98999999, 990, 2)), ("mb", (4.054001, 123))]
)
def test_the_other_stimuli(stem, grid):
    tree = na.open_datatree(GOLDEN, stimulus=stem, units="all")
    assert list(tree.children) == ["train"]
    for field in (LEFT, RIGHT):
        node = tree[f"train/{field}"]
        assert np.array_equal(node["retina/responses"].values, by_hand(field, stem, *grid))
        assert "do not hold this stimulus" in node.attrs["note"]
        assert node["block_id"].values[-1] == len(node["block_id"]) // grid[1] - 1


@pytest.mark.parametrize(("field", "scan", "flip"), [(LEFT, 3, True), (RIGHT, 4, False)])
def test_the_movie_is_the_one_movie_in_the_order_of_the_scan(field, scan, flip):
    held = pickle.loads((GOLDEN / PKL).read_bytes())
    order = held["random_sequences"][:, scan].astype(int)
    movie = np.concatenate([held["train"][:, c * 150 : c * 150 + 150] for c in order], axis=1)
    movie = (movie[..., ::-1] if flip else movie).transpose(1, 0, 2, 3)
    tree = na.open_datatree(GOLDEN)
    shown = tree[f"train/{field}/stimulus"]
    assert len(pickle.dumps(array_of(shown.variable))) < 4096  # an order, not a copy
    assert np.array_equal(shown.values, movie)
    assert np.array_equal(shown[1234:1240, 1, :, ::-1].values, movie[1234:1240, 1, :, ::-1])
    assert np.array_equal(tree[f"train/{field}"]["clip_id"].values, np.repeat(order, 150))
    assert tree[f"train/{field}"].attrs["eye"] == ("left" if flip else "right")


def test_a_mirrored_clip_takes_no_more_than_the_clip():
    """The frames are picked before the columns: else the whole movie is mirrored for each clip."""
    shown = na.open_datatree(GOLDEN)[f"train/{LEFT}/stimulus"]
    _ = shown[:150].values
    tracemalloc.start()
    _ = shown[150:300].values
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < shown.nbytes / 2


def test_filters():
    assert na.open_datatree(GOLDEN)[f"train/{LEFT}/retina"].sizes["unit_id"] == 11
    everyone = na.open_datatree(GOLDEN, units="all")[f"train/{LEFT}/retina"]
    assert everyone.sizes["unit_id"] == 13
    some = na.open_datatree(GOLDEN, units={"cell_types": [40, 5]})[f"train/{LEFT}/retina"]
    assert some["unit_id"].values.tolist() == [1, 2]
    assert np.array_equal(some["responses"].values, everyone["responses"].values[:, :2])
    either = na.open_datatree(GOLDEN, units={"d_qi": 0.6, "chirp_qi": 0.8})
    assert either[f"train/{LEFT}/retina"].sizes["unit_id"] == 3
    with pytest.raises(FormatError, match="units='all' keeps all"):
        na.open_datatree(GOLDEN, units={"min_units": 13})
    with pytest.raises(ValueError, match="no filter .'types'"):
        na.open_datatree(GOLDEN, units={"types": [1]})


def test_the_field_that_was_relabelled(folder):
    with h5py.File(folder / H5, "a") as file:
        file.move(LEFT, "session_2_ventral2_20200626")
    tree = na.open_datatree(folder)
    node = tree["train/session_2_ventral2_20200626"]
    assert node.attrs["eye"] == "right"
    assert node["stimulus"][0, 0, 0, 0] == 78


def test_without_a_movie_there_are_responses(folder):
    (folder / PKL).unlink()
    tree = na.open_datatree(folder)
    assert "stimulus" not in tree[f"train/{LEFT}"]
    assert "no movie" in tree[f"train/{LEFT}"].attrs["note"]


@pytest.fixture(params=[zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED], ids=["deflated", "stored"])
def zipped(folder, request):
    """The folder as it is distributed: the movie in a zip, with what macOS leaves in one."""
    with zipfile.ZipFile(folder / "movie.zip", "w", request.param) as archive:
        archive.write(folder / PKL, f"stimuli/{PKL}")
        archive.writestr(f"__MACOSX/stimuli/._{PKL}", "nothing")
    (folder / PKL).unlink()
    return folder


def test_a_zipped_movie_is_read_in_place(zipped):
    before = sorted(p.name for p in zipped.rglob("*"))
    tree = na.open_datatree(zipped)
    assert_same_trees(tree, na.open_datatree(GOLDEN))
    shown = tree[f"train/{LEFT}/stimulus"].variable
    stored = pickle.dumps(array_of(shown))
    assert len(stored) < 4096
    na.release()  # as in another process
    again = pickle.loads(stored)
    assert np.array_equal(np.asarray(again[BasicIndexer((slice(3), 0, 0, 0))]), shown[:3, 0, 0, 0])
    assert sorted(p.name for p in zipped.rglob("*")) == before


def test_a_pickle_that_was_unpacked_beside_its_zip_is_one_movie(zipped):
    shutil.copy(GOLDEN / PKL, zipped)
    assert "stimulus" in na.open_datatree(zipped)[f"train/{LEFT}"]


def test_a_zip_that_changes_or_is_damaged(zipped):
    tree = na.open_datatree(zipped)
    path = zipped / "movie.zip"
    os.utime(path, (1, 1))
    with pytest.raises(FormatError, match="movie.zip.*open it again"):
        _ = tree[f"train/{LEFT}/stimulus"].values
    raw = bytearray(path.read_bytes())
    raw[5000:5400] = b"x" * 400
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="movie.zip"):
        na.open_datatree(zipped)
    path.write_bytes(raw[:9000])
    with pytest.raises(FormatError, match="a readable zip"):
        na.open_datatree(zipped)


def test_a_hostile_pickle_in_a_zip(folder):
    (folder / PKL).unlink()
    with zipfile.ZipFile(folder / "movie.zip", "w") as archive:
        archive.writestr(PKL, b"cos\nmkdir\n(S'owned'\ntR.")
    with pytest.raises(FormatError, match="movie.zip.*the global os.mkdir"):
        na.open_datatree(folder)


def test_validation_clips_are_marked():
    """Those of open-retina's configuration, by the number of the clip, not by its place."""
    for field in (LEFT, RIGHT):
        node = na.open_datatree(GOLDEN)[f"train/{field}"]
        marked = node["clip_id"].values[node["validation"].values]
        assert sorted(set(marked)) == [0, 4, 10, 11, 18, 30, 45, 62, 67, 77, 79, 80, 81, 83, 95]
        assert marked.size == 15 * 150
    assert "validation" not in na.open_datatree(GOLDEN)[f"test/{LEFT}"].coords


def test_two_movies(folder):
    shutil.copy(folder / PKL, folder / "rgc_natstim_4x2.pkl")
    with pytest.raises(FormatError, match="one movie.*say which: movie="):
        na.open_datatree(folder)
    assert "stimulus" in na.open_datatree(folder, movie="*_4x2.pkl")[f"train/{LEFT}"]
    with pytest.raises(NotInTree, match="no movie '72x64'"):
        na.open_datatree(folder, movie="72x64")


def test_a_hostile_movie_is_refused_and_does_nothing(folder):
    class Hostile:
        def __reduce__(self):
            import os

            return os.mkdir, (str(folder / "owned"),)

    for content in ({"train": Hostile()}, Hostile(), {"train": 1}):
        (folder / PKL).write_bytes(pickle.dumps(content))
        with pytest.raises(FormatError, match=PKL):
            na.open_datatree(folder)
    assert not (folder / "owned").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train": np.zeros((2, 100, 1, 2), "f4")}, "clips of 150 frames"),
        ({"random_sequences": np.full((108, 20), 108)}, "each of 0 to 107"),
        ({"random_sequences": np.zeros((7, 20), "u1")}, "each of 0 to 107"),
        ({"train": ["a"]}, "an array of numbers"),
    ],
)
def test_a_movie_that_does_not_fit(folder, change, message):
    held = pickle.loads((folder / PKL).read_bytes()) | change
    (folder / PKL).write_bytes(pickle.dumps(held))
    with pytest.raises(FormatError, match=message):
        na.open_datatree(folder)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("natural_trigger_times", np.ones((13, 100)), "123 triggers; found 100"),
        ("natural_trigger_times", np.full((13, 123), np.nan), "finite times"),
        ("natural_trigger_times", None, "trigger times; found nothing"),
        ("natural_traces_times", None, "times, or t0 and dt"),
        ("natural_inferred_spikes", None, "inferred_spikes or natural_spikes; found neither"),
        ("d_qi", np.ones(4), "a value for each of 13 units"),
        ("d_qi", None, "units=.all. filters nothing"),
    ],
)
def test_what_does_not_fit_is_named(folder, name, values, message):
    with h5py.File(folder / H5, "a") as file:
        del file[f"{LEFT}/{name}"]
        if values is not None:
            file[f"{LEFT}/{name}"] = values
    with pytest.raises(FormatError, match=message) as caught:
        na.open_datatree(folder)
    assert LEFT in str(caught.value)


def test_one_row_of_triggers_is_enough(folder):
    expected = na.open_datatree(GOLDEN)[f"test/{LEFT}/retina/responses"].values
    with h5py.File(folder / H5, "a") as file:
        rows = file[f"{LEFT}/natural_trigger_times"][:1]
        del file[f"{LEFT}/natural_trigger_times"]
        file[f"{LEFT}/natural_trigger_times"] = rows
    assert np.array_equal(
        na.open_datatree(folder)[f"test/{LEFT}/retina/responses"].values, expected
    )


def test_nan_traces_do_not_spoil_the_rest(folder):
    with h5py.File(folder / H5, "a") as file:
        file[f"{LEFT}/natural_inferred_spikes"][0, :9] = np.nan
    found = na.open_datatree(folder)[f"train/{LEFT}/retina/responses"].values
    assert np.isfinite(found).all()  # the train clips begin later
    trials = na.open_datatree(folder)[f"test/{LEFT}/retina/responses_by_trial"]
    assert np.isnan(trials[0, 0, 0])


def test_a_scan_that_is_not_there(folder):
    with h5py.File(folder / H5, "a") as file:
        file[LEFT].attrs["scan_sequence_idx"] = 20
    with pytest.raises(FormatError, match="one of the 20 scans; found 20"):
        na.open_datatree(folder)
