"""Sridhar 2025: golden folder under the conformance suite, windows, trials, what can go wrong."""

import os
import pickle
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import neuroarrays as na
from neuroarrays.errors import FormatError, NeuroArraysError, NotInTree
from neuroarrays.exchange.openretina import to_openretina
from neuroarrays.files.probe import probe_of
from neuroarrays.formats.retina.sridhar import decode, validation_trials
from neuroarrays.synthetic import write_sridhar
from neuroarrays.testing import ReaderTests, assert_same_trees

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "sridhar" / "data"
FILM = "natural_movie"
BOTH = f"{FILM}/fixations/complete_fixations_seed_2022and2023_s4_fixed.txt"
NOISE = "whitenoise/non_repeating_stimuli_2/trial_{:03d}/all_images.npy"


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(GOLDEN, tmp_path / "data"))


def held(path):
    return pickle.loads(path.read_bytes())


def responses(folder, session, stimulus="fixation_movie"):
    place = FILM if stimulus == "fixation_movie" else "whitenoise"
    return folder / place / "responses" / f"cell_responses_{session}_{stimulus}.pkl"


def shown_by_hand(folder, fixations, line, padding=4):
    """A frame, (y, x), by slicing the image that a line names."""
    words = (folder / FILM / "fixations" / fixations).read_text().splitlines()[line].split(" ")
    image, x, y = (int(float(words[k])) for k in (0, 3, 4))
    stored = np.load(next((folder / FILM / "stimuli_padded_4").glob(f"{image:05d}_*")))
    width, height = (n - 3 * padding for n in stored.shape)
    left, top = x + padding - width // 2, y + padding - height // 2
    window = stored[left : left + width, top : top + height]
    return (window[:, ::-1] if words[-1][0] == "0" else window).T


class TestGolden(ReaderTests):
    archives = (".h5",)
    reader = "sridhar_2025"
    path = GOLDEN
    damaged = "natural_movie/responses/cell_responses_02_fixation_movie.pkl"
    foreign = (
        GOLDEN.parents[1] / "karamanlis" / "data",
        GOLDEN.parents[1] / "hoefling" / "data",
        GOLDEN.parents[1] / "openretina" / "data",
        GOLDEN / FILM / "responses",
    )
    options = {
        "stimulus": "whitenoise",
        "trials": "all",
        "fixations": "*2023_s4_fixed.txt",
        "padding": 5,
    }
    inert_options = {"mismatch": "every trial has a stimulus as long as its responses"}
    values = {
        ("train/01/retina", "responses", (0, 0)): 2.0,
        ("train/01/retina", "responses", (125, 2)): 0.0,  # frame 5 of trial 3
        ("train/01/retina", "responses", (-1, -1)): 0.0,
        ("test/01/retina", "responses_by_trial", (0, 0, 0)): 1.0,
        ("test/01/retina", "responses_by_trial", (4, 7, 1)): 2.0,
        ("test/01/retina", "responses_by_trial", (9, -1, -1)): 0.0,
        ("test/01/retina", "responses", (7, 1)): 1.1,
        ("test/01/retina", "trial", -1): 9,
        ("test/01/retina", "seed", 0): 2022,
        ("train/01", "seed", -1): 2023,
        ("train/01", "block_id", 125): 3,
        ("train/01/retina", "field_y", 0): 8.0,  # row 3 of 12, upside down
        ("train/01/retina", "field_y", 2): 6.0,
        ("train/01/retina", "field_x", 2): 7.0,
        ("train/01/retina", "field_x", 1): np.nan,
        ("test/01", "stimulus", (0, 0, 0, 0)): 59,
        ("test/01", "stimulus", (0, 0, 2, 5)): 22,
        ("test/01", "stimulus", (23, 0, 0, 0)): 217,
        ("test/01", "stimulus", (23, 0, 2, 5)): 118,
        ("train/01", "stimulus", (0, 0, 0, 0)): 77,
        ("train/01", "stimulus", (125, 0, 2, 5)): 234,
        ("train/01", "stimulus", (-1, 0, -1, -1)): 62,
        ("train/01", "image_id", -1): 3,
        ("train/01", "gaze_x", -1): 5.0,
        ("train/01", "gaze_y", 0): 13.0,
        ("test/01", "flip", 23): 0,
        ("train/01", "time", 85): 1.0,
        ("test/02/retina", "responses_by_trial", (4, 2, 7)): 1.0,
        ("test/02/retina", "responses_by_trial", (7, 2, 4)): 0.0,
    }


class TestNoise(ReaderTests):
    archives = (".zarr",)
    reader = "sridhar_2025"
    path = GOLDEN / "whitenoise"
    foreign = (GOLDEN / "whitenoise" / "non_repeating_stimuli_2",)
    options = {}
    start_methods = ("fork",)
    inert_options = dict.fromkeys(
        ("stimulus", "trials", "fixations", "padding", "mismatch", "skip_damaged"),
        "there is only one, whole",
    )
    values = {
        ("train/04", "stimulus", (6, 0, 0, 1)): 1.0,  # frame 0 of trial 1
        ("train/04", "stimulus", (10, 0, 2, 3)): -1.0,
        ("train/04", "stimulus", (10, 0, 2, 4)): 1.0,
        ("train/04", "stimulus", (11, 0, 5, 7)): -1.0,
        ("train/04/retina", "responses", (10, 1)): 2.0,
        ("train/04/retina", "responses", (-1, -1)): 0.0,
    }


# ------------------------------------------------------------------------------- what is there


@pytest.mark.parametrize(
    ("stimulus", "session"),
    [("fixation_movie", "01"), ("fixation_movie", "02"), ("wn", "04")],
)
def test_the_layout_says_which_axis_is_which(stimulus, session):
    """Also where units, frames and trials are equal in number (session 02)."""
    stored = held(responses(GOLDEN, session, stimulus))
    train, test = stored["train_responses"], stored["test_responses"]
    tree = na.open_datatree(
        GOLDEN, trials="all", stimulus=FILM if session != "04" else "whitenoise"
    )
    ours = tree[f"train/{session}/retina/responses"].values
    assert np.array_equal(ours, train.transpose(2, 1, 0).reshape(-1, train.shape[0]))
    area = tree[f"test/{session}/retina"]
    assert np.array_equal(area["responses_by_trial"].values, test.transpose(2, 1, 0))
    np.testing.assert_allclose(area["responses"].values, test.mean(axis=-1).T, rtol=1e-6)


def test_every_frame_is_the_window_around_its_fixation():
    tree = na.open_datatree(GOLDEN)
    for session, name, test, train in (
        ("01", Path(BOTH).name, 24, 480),
        ("02", "complete_fixations_seed2022_s4.txt", 9, 81),
    ):
        assert tree[f"train/{session}"].attrs["fixations"] == name
        expected = np.array([shown_by_hand(GOLDEN, name, line) for line in range(test + train)])
        assert np.array_equal(tree[f"test/{session}/stimulus"].values[:, 0], expected[:test])
        shown = tree[f"train/{session}/stimulus"]
        assert np.array_equal(shown.values[:, 0], expected[test:])
        some = [50, 3, 3, 17]
        assert np.array_equal(shown[some, 0, 2:7].values, expected[test:][some, 2:7])


def test_windows_of_odd_sizes():
    shown = na.open_datatree(GOLDEN, padding=5)["test/01/stimulus"].values[:, 0]
    expected = [shown_by_hand(GOLDEN, Path(BOTH).name, line, padding=5) for line in range(24)]
    assert shown.shape == (24, 9, 13)
    assert np.array_equal(shown, expected)


def test_what_is_known_of_a_session():
    tree = na.open_datatree(GOLDEN)
    attrs = tree["train/01"].attrs
    assert (attrs["species"], attrs["sampling_rate"], attrs["sampling_rate_source"]) == (
        "marmoset",
        85.0,
        "published",
    )
    assert attrs["um_per_pixel"] == 375.0  # 6 mm: 200 pixels of 30 um in the published files
    assert tree.attrs["notes"] == ["04 has no natural_movie"]
    assert list(na.open_datatree(GOLDEN, stimulus="whitenoise")["test"].children) == ["04"]
    movies, both = to_openretina(tree, containers=False)
    assert movies["01"]["train"].shape == (1, 480, 12, 16)
    assert both["01"]["test_by_trial_dict"]["test"].shape == (10, 3, 24)


def test_test_trials_of_another_seed_are_left_out_and_said():
    stored = held(responses(GOLDEN, "01"))["test_responses"]
    published, whole = (
        na.open_datatree(GOLDEN, trials=t)["test/01/retina"] for t in ("published", "all")
    )
    assert published.sizes["trial"] == 10
    assert "from 10 on" in published.attrs["note"]
    np.testing.assert_allclose(
        published["responses"].values, stored[..., :10].mean(-1).T, rtol=1e-6
    )
    assert whole["seed"].values.tolist() == [2022] * 10 + [2023] * 2
    assert "note" not in na.open_datatree(GOLDEN)["test/02/retina"].attrs


@given(st.integers(1, 40))
def test_trials_that_show_the_same_are_on_one_side(trials):
    chosen = validation_trials(trials)
    assert chosen.size == trials - int(trials * 0.8)
    assert len(set(chosen.tolist()) | set(range(trials))) == trials
    for a, b in ((0, 9), (10, 19)):
        if b < trials:
            assert (a in chosen) == (b in chosen)


def test_the_published_split():
    assert validation_trials(10).tolist() == [7, 3]
    train = na.open_datatree(GOLDEN)["train/01"]
    held_out = np.unique(train["block_id"].values[train["validation"].values])
    assert held_out.tolist() == sorted(validation_trials(12).tolist())


def test_one_folder_or_both(folder):
    assert_same_trees(na.open_datatree(folder / FILM), na.open_datatree(folder), but=("notes",))
    shutil.copytree(folder / FILM, folder / "old_movie")
    with pytest.raises(FormatError, match="one folder of the natural_movie; found .*old_movie"):
        na.open_datatree(folder, engine="sridhar_2025")


def test_generated_units_respond_where_their_averages_say(tmp_path):
    folder = write_sridhar(tmp_path / "a", frames=400)
    for stimulus in (FILM, "whitenoise"):
        tree = na.open_datatree(folder, stimulus=stimulus)
        na.validate(tree, values=True)
        session = tree["train/02"]
        found = na.spike_triggered_average(session["retina"], session["stimulus"], lags=5)["z"]
        for unit in range(found.sizes["unit_id"]):
            lag, _, y, x = np.unravel_index(np.abs(found.values[unit]).argmax(), found.shape[1:])
            assert found["lag"][lag] == found["lag"][2]
            place = [float(session["retina"][name][unit]) for name in ("field_y", "field_x")]
            assert np.abs(np.subtract(place, (y, x))).max() <= 1, (stimulus, unit)


def test_generated_files_are_seeded(tmp_path):
    trees = [
        na.open_datatree(write_sridhar(tmp_path / name, trials=3, frames=30, seed=seed))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert_same_trees(trees[0], trees[1])
    with pytest.raises(AssertionError):
        assert_same_trees(trees[0], trees[2])


numbers = st.one_of(st.integers(-(10**6), 10**6), st.floats(allow_nan=False, allow_infinity=False))
words = st.lists(numbers, min_size=5, max_size=9).map(lambda line: " ".join(map(str, line)))


@given(st.lists(words, max_size=8), st.booleans(), st.data())
def test_lines_are_read_as_python_reads_them(lines, ended, data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fixations.txt"
        path.write_text("\n".join(lines) + "\n" * (ended and bool(lines)))
        expected = [[float(line.split(" ")[k]) for k in (0, 3, 4, -1)] for line in lines]
        table = decode.Fixations.in_file(probe_of(path))
        assert np.array_equal(table.load(), np.reshape(expected, (-1, 4)))
        start, stop = sorted(data.draw(st.tuples(*[st.integers(0, 10)] * 2)))
        assert np.array_equal(
            table.part(start, stop).load(), np.reshape(expected[start:stop], (-1, 4))
        )


# --------------------------------------------------------------------------------- laziness


def test_opening_reads_no_pixels_and_a_slice_reads_its_images(folder, monkeypatch):
    read, counted = [], decode.Images.read
    monkeypatch.setattr(decode.Images, "read", lambda self, n: read.append(n) or counted(self, n))
    tabled = decode.Fixations._table
    monkeypatch.setattr(
        decode.Fixations, "_table", lambda self: read.append("fixations") or tabled(self)
    )
    averages = decode._most_varying
    monkeypatch.setattr(
        decode, "_most_varying", lambda path, size: read.append(path) or averages(path, size)
    )
    tree = na.open_datatree(folder)
    assert read == []
    shown = tree["train/01/stimulus"]
    _ = shown[10:13].values
    assert read[0] == "fixations"
    assert read[1:] == np.unique(tree["train/01/image_id"].values[10:13]).tolist()
    assert "fixations" not in read[1:]  # kept for the next slice


def test_a_file_changed_since_it_was_opened(folder):
    tree = na.open_datatree(folder)
    path = folder / BOTH
    path.write_text(path.read_text() + path.read_text().splitlines()[0] + "\n")
    with pytest.raises(FormatError, match="as it was when it was opened"):
        _ = tree["train/01/stimulus"][0].values


# -------------------------------------------------------------------------------- bad input


def lines_of(folder):
    return (folder / BOTH).read_text().splitlines()


def edit_lines(folder, lines):
    (folder / BOTH).write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("-1.0 0.0 7 8.0 8.0 9 1", "line 26: expected an image from 0 to 3.*found .-1.0, 8.0"),
        ("4.0 0.0 7 8.0 8.0 9 1", "line 26: expected an image from 0 to 3"),
        ("nan 0.0 7 8.0 8.0 9 1", "line 26: expected an image"),
        ("1.0 0.0 7 nan 8.0 9 1", "finite x and y"),
        ("1.0 0.0 7 8.0 inf 9 1", "finite x and y"),
        ("1.0 0.0 7 8.0 8.0 9 2", "and 0 or 1"),
        ("1.0 0.0 7 500 8.0 9 1", "line 26: expected a window of 16 x 12 inside the image"),
        ("1.0 0.0 7 1e300 8.0 9 1", "a window of 16 x 12 inside the image"),
        ("1.0 0.0 7 3.0 8.0 9 1", "a window of 16 x 12 inside"),  # one column beyond
        ("1.0 0.0 7 8.0 15.0 9 1", "a window of 16 x 12 inside"),
        ("1.0 0.0 7 8.0", "five or more numbers in each line"),
        ("1.0 0.0 7 left 8.0 9 1", "five or more numbers"),
        ("", "a fixation in each of 504 lines; found 503"),
    ],
)
def test_fixations_that_cannot_be(folder, line, message):
    lines = lines_of(folder)
    lines[25] = line  # frame 1 of the train block
    edit_lines(folder, lines)
    shown = na.open_datatree(folder)["train/01/stimulus"]
    if message.startswith(("line 26", "finite", "and 0", "a window")):
        assert shown[0].values.any()  # the others are there
    with pytest.raises(FormatError, match=message) as caught:
        _ = shown[:4].values
    assert Path(BOTH).name in str(caught.value)


@pytest.mark.parametrize(("lines", "trials"), [(503, 11), (505, 12), (464, 11), (30, 0), (20, 0)])
def test_stimulus_and_responses_of_other_lengths(folder, lines, trials):
    whole = lines_of(folder)
    edit_lines(folder, (whole + whole)[:lines])
    with pytest.raises(
        FormatError, match=f"{max(lines - 24, 0)} lines after the 24 of the test"
    ) as caught:
        na.open_datatree(folder)
    assert 'mismatch="cut"' in str(caught.value)
    if not trials:
        with pytest.raises(FormatError):
            na.open_datatree(folder, mismatch="cut")
        return
    train = na.open_datatree(folder, mismatch="cut")["train/01"]
    assert train.attrs["dropped_trials"] == list(range(trials, 12))
    assert train.sizes["time"] == 40 * trials
    stored = held(responses(folder, "01"))["train_responses"]
    assert np.array_equal(
        train["retina/responses"].values, stored.transpose(2, 1, 0)[:trials].reshape(-1, 3)
    )
    assert train["block_id"].values[-1] == trials - 1


def test_fixations_of_more_trials_than_were_recorded(folder):
    whole = lines_of(folder)
    edit_lines(folder, whole + whole[24:64])
    assert_same_trees(na.open_datatree(folder), na.open_datatree(GOLDEN))


def test_noise_of_other_lengths(folder):
    path = folder / NOISE.format(1)
    shown = np.load(path)
    np.save(path, shown[..., :4])
    with pytest.raises(FormatError, match="2 of 6 frames, 1 of 4 frames"):
        na.open_datatree(folder, stimulus="whitenoise")
    cut = na.open_datatree(folder, stimulus="whitenoise", mismatch="cut")["train/04"]
    assert (cut.attrs["dropped_trials"], cut.attrs["dropped_trailing_frames"]) == ([], 2)
    stored = held(responses(folder, "04", "wn"))["train_responses"]
    expected = stored[:, :4].transpose(2, 1, 0).reshape(-1, 2)
    assert np.array_equal(cut["retina/responses"].values, expected)
    assert np.array_equal(cut["stimulus"].values[4:8, 0], shown[..., :4].transpose(2, 0, 1))
    path.unlink()
    with pytest.raises(FormatError, match="2 of 6 frames, 1 of 0 frames"):
        na.open_datatree(folder, stimulus="whitenoise")
    cut = na.open_datatree(folder, stimulus="whitenoise", mismatch="cut")["train/04"]
    assert cut.attrs["dropped_trials"] == [1]
    assert np.array_equal(cut["retina/responses"].values[6:], stored[..., 2].T)
    np.save(path, shown[:5])
    with pytest.raises(FormatError, match="of the size of the other trials"):
        na.open_datatree(folder, stimulus="whitenoise")


def test_noise_test_of_another_length(folder):
    np.save(folder / "whitenoise/repeating_stimuli_2/all_images.npy", np.ones((6, 8, 5), "i1"))
    with pytest.raises(FormatError, match="stimulus 5, responses 4"):
        na.open_datatree(folder, stimulus="whitenoise")
    cut = na.open_datatree(folder, stimulus="whitenoise", mismatch="cut")["test/04"]
    assert (cut.sizes["time"], cut.attrs["dropped_trailing_frames_stimulus"]) == (4, 1)


def test_nan_responses_stay(folder):
    path = responses(folder, "01")
    stored = held(path)
    stored["train_responses"][1, 5, 3] = stored["test_responses"][2, 6, 0] = np.nan
    path.write_bytes(pickle.dumps(stored))
    tree = na.open_datatree(folder)
    assert np.argwhere(np.isnan(tree["train/01/retina/responses"].values)).tolist() == [[125, 1]]
    assert np.argwhere(np.isnan(tree["test/01/retina/responses"].values)).tolist() == [[6, 2]]


class Runs:
    def __reduce__(self):
        return os.mkdir, ("it_ran",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_responses": None}, "an array of numbers"),
        ({"train_responses": np.ones((3, 40))}, "train_responses: expected .unit, time, trial."),
        (
            {"test_responses": np.ones((2, 24, 3))},
            "expected 3 units, as in train_responses; found 2",
        ),
        ({"trial_separation": {2022: [0.5]}}, "trial_separation: expected numbers of trials"),
        ({"trial_separation": {"a": [0]}}, "trial_separation: expected numbers of trials"),
        ({"train_responses": Runs()}, "the global posix.mkdir|nt.mkdir"),
    ],
)
def test_pickles_that_do_not_fit(folder, change, message, monkeypatch):
    monkeypatch.chdir(folder)
    path = responses(folder, "01")
    path.write_bytes(pickle.dumps(held(path) | change))
    with pytest.raises(FormatError, match=message) as caught:
        na.open_datatree(folder)
    assert path.name in str(caught.value)
    assert not (folder / "it_ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "expected a dict; found list"),
        ({"train_responses": np.ones((1, 1, 1))}, "test_responses"),
    ],
)
def test_pickles_of_something_else(folder, content, message):
    responses(folder, "02").write_bytes(pickle.dumps(content))
    with pytest.raises(FormatError, match=message):
        na.open_datatree(folder)


@pytest.mark.parametrize("protocol", range(6))
def test_any_protocol_and_order_in_memory(folder, protocol):
    path = responses(folder, "01")
    stored = held(path)
    stored["train_responses"] = np.asfortranarray(stored["train_responses"])
    path.write_bytes(pickle.dumps(stored, protocol=protocol))
    assert_same_trees(na.open_datatree(folder), na.open_datatree(GOLDEN))


def test_averaged_test_responses_have_no_trials(folder):
    path = responses(folder, "02")
    stored = held(path)
    path.write_bytes(pickle.dumps(stored | {"test_responses": stored["test_responses"].mean(-1)}))
    area = na.open_datatree(folder)["test/02/retina"]
    assert "responses_by_trial" not in area
    np.testing.assert_allclose(area["responses"].values, stored["test_responses"].mean(-1).T)


def test_files_that_several_could_be_meant_by(folder):
    fixations = folder / FILM / "fixations"
    shutil.copy(folder / BOTH, fixations / "old_2022and2023_s4_fixed.txt")
    with pytest.raises(
        FormatError, match="one file of fixations for session 01.*say which: fixations="
    ):
        na.open_datatree(folder)
    named = na.open_datatree(folder, sessions="01", fixations=Path(BOTH).name)
    assert_same_trees(named, na.open_datatree(GOLDEN, sessions="01"))
    with pytest.raises(NotInTree, match="no file of fixations 'other.txt'"):
        na.open_datatree(folder, fixations="other.txt")


@pytest.mark.parametrize(
    ("name", "message"),
    [("00002_img_7.npy", "two of one number"), ("00005_img_7.npy", "no image 00004")],
)
def test_images_that_are_there_twice_or_missing(folder, name, message):
    images = folder / FILM / "stimuli_padded_4"
    shutil.copy(next(images.glob("00001*")), images / name)
    with pytest.raises(FormatError, match=message):
        na.open_datatree(folder)


def test_an_image_of_another_size(folder):
    path = next((folder / FILM / "stimuli_padded_4").glob("00003*"))
    np.save(path, np.ones((28, 23), "u1"))
    with pytest.raises(FormatError, match=r"00003_.*as the first image; found uint8 \(28, 23\)"):
        na.open_datatree(folder)["train/01/stimulus"].load()


def test_stimuli_that_are_not_there(folder):
    shutil.rmtree(folder / FILM / "stimuli_padded_4")
    (folder / NOISE.format(0)).parents[1].rename(folder / "whitenoise" / "non_repeating_stimuli_1")
    for stimulus, session, missing in (
        (FILM, "01", "no stimuli_padded_4"),
        ("whitenoise", "04", "no folders non_repeating_stimuli_2"),
    ):
        train = na.open_datatree(folder, stimulus=stimulus)[f"train/{session}"]
        assert "stimulus" not in train
        assert missing in train.attrs["note"]
        assert train["retina/responses"].values.any()
    shutil.rmtree(folder / FILM)
    with pytest.raises(NotInTree, match="no stimulus 'natural_movie'.*there are 'whitenoise'"):
        na.open_datatree(folder, stimulus=FILM)
    with pytest.raises(ValueError, match="stimulus: expected one of"):
        na.open_datatree(folder, stimulus="noise")


def test_a_session_without_the_stimulus():
    with pytest.raises(NotInTree, match="no session '04'.*04 has no natural_movie"):
        na.open_datatree(GOLDEN, sessions="04")


def test_images_of_other_proportions(folder):
    for path in (folder / FILM / "stimuli_padded_4").iterdir():
        np.save(path, np.load(path)[:, :22])
    tree = na.open_datatree(folder)
    assert "is not known; say it: padding=" in tree["train/01"].attrs["note"]
    shown = na.open_datatree(folder, padding=4)["test/01/stimulus"]
    assert shown.shape == (24, 1, 10, 16)
    assert np.array_equal(shown[0, 0].values, shown_by_hand(folder, Path(BOTH).name, 0))
    with pytest.raises(ValueError, match="padding: expected 0 to 7 pixels, got 8"):
        na.open_datatree(folder, padding=8)


def test_averages_of_another_size(folder):
    path = folder / FILM / "stas" / "cell_data_01_WN_stas_cell_2.npy"
    np.save(path, np.ones((5, 3, 3)))
    with pytest.raises(FormatError, match=r"\(lag, 12, 16\), as the frames are"):
        na.open_datatree(folder)["train/01/retina"]["field_y"].load()
    np.save(path, np.ones((5, 12, 16)))  # never varies
    assert np.isnan(na.open_datatree(folder)["train/01/retina"]["field_y"].values[2])
    np.save(folder / FILM / "stas" / "cell_data_01_WN_stas_cell_0.npy", np.ones((5, 3, 3)))
    assert "field_y" not in na.open_datatree(folder)["train/01/retina"].coords


def test_paths_that_are_something_else(tmp_path):
    with pytest.raises(NeuroArraysError, match="no such file"):
        na.open_datatree(tmp_path / "missing", engine="sridhar_2025")
    with pytest.raises(FormatError, match="in it or one folder below; found an empty folder"):
        na.open_datatree(tmp_path, engine="sridhar_2025")
