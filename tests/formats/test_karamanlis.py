"""Karamanlis 2024: golden folder under the conformance suite, geometry, zips, what can go wrong."""

import os
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, MissingPath, NotInTree, UnknownFormat
from neuroarrays.kernels import fixations
from neuroarrays.testing import ReaderTests, assert_same_trees
from neuroarrays.testing.sources import close_all


def slow(seed, count):
    """ran1 of Numerical Recipes, number after number."""
    number, table = max(-seed, 1), [0] * 32
    for j in range(39, -1, -1):
        number = number * 16807 % 2147483647
        if j < 32:
            table[j] = number
    last, drawn = table[0], []
    for _ in range(count):
        number = number * 16807 % 2147483647
        j = last // 67108864
        last, table[j] = table[j], number
        drawn.append(last / 2147483647)
    return drawn


GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "karamanlis" / "data"
MOUSE, MARMOSET = "20210115_252MEA_mouse_left_half_dorsal", "20220301_60MEA_marmoset_left_s1"
MOVIE = f"{MOUSE}/fixationmovie_data.mat"


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_all()


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(GOLDEN, tmp_path / "data"))


def edited(folder, name, values, file=MOVIE):
    with h5py.File(folder / file, "a") as opened:
        if name in opened:
            del opened[name]
        if values is not None:
            opened[name] = values
    return folder


class TestGolden(ReaderTests):
    archives = (".h5",)
    reader = "karamanlis_2024"
    path = GOLDEN
    damaged = "20220301_60MEA_marmoset_left_s1.zip"
    start_methods = ("fork",)
    foreign = (GOLDEN.parents[1] / "nwb" / "session.nwb", GOLDEN.parents[1] / "openretina" / "data")
    options = {
        "species": "mouse",
        "stimulus": "gratingflicker",
        "size": (6, 8),
        "geometry": "openretina",
    }
    values = {
        (f"test/{MOUSE}/retina", "responses_by_trial", (0, 0, 0)): 1.0,
        (f"test/{MOUSE}/retina", "responses_by_trial", (0, 0, 1)): 3.0,
        (f"test/{MOUSE}/retina", "responses_by_trial", (2, 1, 0)): 2.0,
        (f"test/{MOUSE}/retina", "responses_by_trial", (1, -1, -1)): 2.0,
        (f"test/{MOUSE}/retina", "responses_by_trial", (-1, -1, -1)): 0.0,
        (f"test/{MOUSE}/retina", "responses", (1, 0)): 4 / 3,
        (f"test/{MOUSE}/retina", "responses", (-1, -1)): 2 / 3,
        (f"train/{MOUSE}/retina", "responses", (0, 0)): 1.0,
        (f"train/{MOUSE}/retina", "responses", (3, 1)): 2.0,  # block 1, its first frame
        (f"train/{MOUSE}/retina", "responses", (-1, -1)): 2.0,
        (f"train/{MOUSE}/retina", "block_id", 3): 1,
        (f"train/{MOUSE}/retina", "cell_type", 1): "Sustained ONalpha",
        (f"train/{MOUSE}/retina", "cell_type", 3): "unclassified",
        (f"train/{MOUSE}", "gaze_x", 0): 12.0,
        (f"train/{MOUSE}", "image_id", -1): 1,
        (f"train/{MOUSE}", "time", 1): 1 / 75,
        (f"train/{MARMOSET}", "time", 1): 1 / 85,
        (f"test/{MOUSE}", "stimulus", (2, 0, 0, 0)): 77.0,
        (f"test/{MOUSE}", "stimulus", (-1, 0, -1, -1)): 77.0,
        (f"test/{MARMOSET}", "stimulus", (0, 0, 0, 0)): 0.0,  # beside the image
        (f"test/{MOUSE}/images", "image", (0, 0, 0)): 248,
        (f"test/{MOUSE}/images", "image", (0, 1, 0)): 194,
        (f"test/{MOUSE}/images", "image", (0, 0, 1)): 109,
        (f"train/{MOUSE}/images", "image", (-1, -1, -1)): 228,
    }


def test_the_screen_shows_the_image_around_the_fixation():
    tree = na.open_datatree(GOLDEN, size=None, sessions=MOUSE)
    shown = tree[f"test/{MOUSE}/stimulus"]
    assert shown.shape == (4, 1, 12, 16)
    image = tree[f"test/{MOUSE}/images/image"].values[0]
    assert np.array_equal(shown.values[0, 0], image[3:15, 2:18])  # x, y = 10, 9
    assert np.array_equal(shown.values[1, 0, :, 0], image[1:13, 0])  # x, y = 8, 7
    frames = na.open_datatree(GOLDEN, size=(5, 7))[f"test/{MOUSE}/stimulus"].values[:, 0]
    expected = fixations.render(image.T, np.array([[10, 9], [8, 7]]), (12, 16), (5, 7))
    assert np.array_equal(frames[:2], expected)


def test_one_edge_is_wrapped_where_open_retina_wraps_it(folder):
    centres = np.array([[1, 5, 4], [1, 8, 6], [2, 12, 10], [2, 8, 9.0]])
    edited(folder, "frozenfixations", centres)
    ours, theirs = (
        na.open_datatree(folder, size=None, geometry=geometry)[f"test/{MOUSE}/stimulus"].values
        for geometry in ("matlab", "openretina")
    )
    image = na.open_datatree(folder)[f"test/{MOUSE}/images/image"].values[0]
    assert np.array_equal(theirs[0, 0, 2:, 2], image[:10, -1])
    assert np.array_equal(theirs[0, 0, 1, 3:], image[-1, :13])
    assert (ours[0, 0, :, 2] == 0).all()
    assert (ours != theirs).sum(axis=(1, 2, 3)).tolist()[1:] == [0, 0, 0]


def test_blocks_are_joined_and_marked():
    train = na.open_datatree(GOLDEN)[f"train/{MOUSE}"]
    with h5py.File(GOLDEN / MOVIE) as file:
        stored = file["runningbin"][:]
        gaze = file["runningfixations"][:]
    assert np.array_equal(train["retina/responses"].values, stored.reshape(6, 4))
    assert train["block_id"].values.tolist() == [0, 0, 0, 1, 1, 1]
    assert np.array_equal(train["gaze_y"].values, gaze[..., 2].ravel())
    assert train["stimulus"][4].values.shape == (1, 60, 80)


def test_sessions_by_species_and_rates():
    tree = na.open_datatree(GOLDEN, species="marmoset")
    assert list(tree["train"].children) == [MARMOSET]
    attrs = tree[f"train/{MARMOSET}"].attrs
    assert (attrs["sampling_rate"], attrs["sampling_rate_source"]) == (85.0, "published")
    mouse = na.open_datatree(GOLDEN / MOUSE)[f"train/{MOUSE}"].attrs
    assert (mouse["sampling_rate"], mouse["sampling_rate_source"]) == (75.0, "file")
    assert mouse["um_per_pixel"] == 1.5  # 7.5 um, 12 pixels as 60
    with pytest.raises(NotInTree, match="no species 'cat'"):
        na.open_datatree(GOLDEN, species="cat")


def test_stimuli_that_are_not_in_the_file():
    tree = na.open_datatree(GOLDEN, stimulus="gratingflicker")
    session = tree[f"train/{MOUSE}"]
    assert "stimulus" not in session
    assert "does not hold what was shown" in session.attrs["note"]
    assert session["retina/responses"].shape == (6, 4)  # one block, of which MATLAB drops the axis
    assert "has no gratingflicker_data.mat" in tree.attrs["notes"][0]
    with pytest.raises(NotInTree, match="no stimulus 'imagesequence'"):
        na.open_datatree(GOLDEN, stimulus="imagesequence")
    with pytest.raises(ValueError, match="stimulus: expected one of"):
        na.open_datatree(GOLDEN, stimulus="noise")


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("top", ["", f"{MOUSE}/"])
def test_zips_are_read_in_place(folder, packing, top):
    plain = na.open_datatree(folder / MOUSE)
    packed = folder / "packed" / f"{MOUSE}.zip"
    packed.parent.mkdir()
    with zipfile.ZipFile(packed, "w", packing) as archive:
        for path in sorted((folder / MOUSE).iterdir()):
            archive.write(path, top + path.name)
        archive.writestr("__MACOSX/._fixationmovie_data.mat", b"junk")
    assert_same_trees(na.open_datatree(packed), plain)
    assert_same_trees(na.open_datatree(packed.parent), plain)
    assert [p.name for p in packed.parent.iterdir()] == [packed.name]
    assert sorted(p.name for p in (folder / MOUSE).iterdir()) == [
        "expdata.mat",
        "fixationmovie_data.mat",
        "gratingflicker_data.mat",
    ]


def test_a_session_in_a_folder_and_a_zip(folder):
    shutil.copy(folder / f"{MARMOSET}.zip", folder / f"{MOUSE}.zip")
    with pytest.raises(FormatError, match="a session once"):
        na.open_datatree(folder, engine="karamanlis_2024")


def test_two_files_of_one_stimulus(folder):
    shutil.copy(folder / MOVIE, folder / MOUSE / "old_fixationmovie_data.mat")
    with pytest.raises(FormatError, match=f"{MOUSE}.*ends in fixationmovie_data.mat.*old_"):
        na.open_datatree(folder)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([0, 10, 9], "frame 1.*an image from 1 to 2.*0.0, 10.0"),
        ([3, 10, 9], "frame 1.*an image from 1 to 2"),
        ([np.nan, 10, 9], "finite x and y"),
        ([1, np.inf, 9], "finite x and y"),
        ([1, 500, 9], "frame 1.*leaves some of the image on the screen; found x, y = .500, 9."),
        ([1, 1e300, 9], "leaves some of the image on the screen"),
    ],
)
def test_fixations_that_cannot_be(folder, row, message):
    centres = np.array([[1, 10, 9.0]] * 4)
    centres[1] = row
    tree = na.open_datatree(edited(folder, "frozenfixations", centres))
    shown = tree[f"test/{MOUSE}/stimulus"]
    assert shown[0].values.any()  # the others are there
    with pytest.raises(FormatError, match=message):
        _ = shown.values


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("frozenbin", np.ones((3, 5, 4)), "stimulus 4, responses 5"),
        ("frozenbin", np.ones((3, 3, 4)), "stimulus 4, responses 3"),
        ("runningbin", None, "runningbin: expected .*nothing of that name"),
        ("runningbin", np.ones(3), "shape \\(3,\\)"),
        ("runningfixations", np.ones((2, 3, 2)), "fixations \\(..., 3\\)"),
    ],
)
def test_what_does_not_fit_is_named(folder, name, values, message):
    with pytest.raises(FormatError, match=message) as caught:
        na.open_datatree(edited(folder, name, values))
    assert MOVIE in str(caught.value)


def test_axes_are_declared_not_guessed(folder):
    """As many trials as frames as units: (trial, time, unit) all the same."""
    values = np.arange(64.0).reshape(4, 4, 4)
    tree = na.open_datatree(edited(folder, "frozenbin", values))
    assert np.array_equal(tree[f"test/{MOUSE}/retina/responses_by_trial"].values, values)
    assert np.array_equal(tree[f"test/{MOUSE}/retina/responses"].values, values.mean(0))


def test_nan_responses_stay(folder):
    values = np.ones((3, 4, 4))
    values[1, 2, 3] = np.nan
    tree = na.open_datatree(edited(folder, "frozenbin", values))
    assert np.isnan(tree[f"test/{MOUSE}/retina/responses"].values[2, 3])


@pytest.mark.parametrize("zipped", [False, True])
def test_an_expdata_that_cannot_be_read_counts_as_absent(folder, zipped):
    (folder / MOUSE / "expdata.mat").write_bytes(b"x")
    if zipped:
        shutil.make_archive(str(folder / "packed"), "zip", folder, MOUSE)
        (folder / "zips").mkdir()
        (folder / "packed.zip").rename(folder / "zips" / f"{MOUSE}.zip")
    tree = na.open_datatree(folder / "zips" if zipped else folder, sessions=MOUSE)
    assert tree[f"train/{MOUSE}"].attrs["sampling_rate_source"] == "published"
    assert "expdata.mat is not read: expected" in str(tree.attrs["notes"])


def test_an_expdata_of_other_units_gives_no_types(folder):
    edited(folder, "cellclus_id", np.ones((1, 9)), f"{MOUSE}/expdata.mat")
    assert "cell_type" not in na.open_datatree(folder)[f"test/{MOUSE}/retina"].coords
    close_all()
    edited(folder, "projector/screen", np.ones((2, 1)) * 1e9, f"{MOUSE}/expdata.mat")
    with pytest.raises(FormatError, match="height and width in pixels"):
        na.open_datatree(folder)


def test_a_zip_that_is_damaged_or_no_session(folder):
    path = folder / f"{MARMOSET}.zip"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(FormatError, match="a readable zip"):
        na.open_datatree(path, engine="karamanlis_2024")
    with zipfile.ZipFile(folder / "other.zip", "w") as archive:
        archive.writestr("notes.txt", "nothing")
    with pytest.raises(UnknownFormat):
        na.open_datatree(folder / "other.zip")


def test_one_image_is_read_at_a_time(monkeypatch):
    from neuroarrays.lazy.arrays import FileArray

    shown = na.open_datatree(GOLDEN)[f"train/{MOUSE}/stimulus"]
    reads = []
    original = FileArray.outer
    monkeypatch.setattr(
        FileArray,
        "outer",
        lambda self, key: reads.append((self.name, key[0])) or original(self, key),
    )
    _ = shown[1:3].values
    assert [k for name, k in reads if name == "runningImages"] == [1]


# ------------------------------------------------- other layouts: flashed images, raw gratings


@pytest.fixture
def flashed(folder):
    """Images of 3 x 5 pixels, flashed in an order of its own, beside the movie of the mouse."""
    rng = np.random.default_rng(5)
    with h5py.File(folder / MOUSE / "imagesequence_data.mat", "w") as file:
        file["trialCounts"] = rng.poisson(2.0, (7, 4)).astype("f8")
        file["presentOrder"] = np.array([[3, 1, 2, 2, 3, 1, 1.0]])
        file["imageEnsemble"] = rng.integers(0, 256, (3, 5, 3), dtype="u1")  # (image, x, y)
        file["isartificial"] = np.array([[0, 0, 1]], "u1")
        file["rawdata/stimPara/flashstart"] = [[1.0]]
        file["rawdata/stimPara/trialduration"] = [[75.0]]
    return folder


def test_flashed_images_are_presentations(flashed):
    tree = na.open_datatree(flashed, stimulus="imagesequence")
    na.validate(tree, values=True)
    assert list(tree.children) == ["train"]
    node = tree[f"train/{MOUSE}"]
    with h5py.File(flashed / MOUSE / "imagesequence_data.mat") as file:
        counts, order = file["trialCounts"][:], file["presentOrder"][0].astype(int)
        images = file["imageEnsemble"][:]
    assert np.array_equal(node["retina/responses"].values, counts)
    assert node["retina/responses"].dims == ("presentation_id", "unit_id")
    assert np.array_equal(node["stimulus"].values[:, 0], images[order - 1].transpose(0, 2, 1))
    assert node["retina"]["image_id"].values.tolist() == order.tolist()
    assert node["retina/presentations/artificial"].values.tolist() == (order == 3).tolist()
    assert node.attrs["stimulus_trialduration"] == 75
    assert node["retina"]["cell_type"].values[1] == "Sustained ONalpha"
    assert "no imagesequence_data.mat" in tree.attrs["notes"][0]  # the marmoset
    by_image = node["retina"]["responses"].groupby("image_id").mean()
    assert by_image.sel(image_id=2)[0] == counts[order == 2, 0].mean()


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("presentOrder", np.array([[0, 1, 2, 2, 3, 1, 1.0]]), "images from 1 to 3; found 0 to 3"),
        ("presentOrder", np.array([[4, 1, 2, 2, 3, 1, 1.0]]), "images from 1 to 3; found 1 to 4"),
        ("presentOrder", np.ones((1, 5)), "5 presentations, unit.; found shape .7, 4"),
        ("trialCounts", np.ones(7), "7 presentations, unit.; found shape .7,"),
        ("imageEnsemble", np.ones((3, 5)), "(image, x, y)"),
    ],
)
def test_flashed_images_that_do_not_fit(flashed, name, values, message):
    edited(flashed, name, values, f"{MOUSE}/imagesequence_data.mat")
    with pytest.raises(FormatError, match=message) as caught:
        na.open_datatree(flashed, stimulus="imagesequence")
    assert "imagesequence_data.mat" in str(caught.value)


def test_flashed_responses_without_their_images_say_so(flashed):
    edited(flashed, "imageEnsemble", None, f"{MOUSE}/imagesequence_data.mat")
    node = na.open_datatree(flashed, stimulus="imagesequence")[f"train/{MOUSE}"]
    assert "stimulus" not in node
    assert "does not hold the images" in node.attrs["note"]
    assert node["retina/responses"].shape == (7, 4)


@pytest.mark.parametrize("parts", [1, 2])
def test_gratings_are_cut_into_running_and_frozen_trials(folder, parts):
    """In place of frozenbin and runningbin: all frames in a row, the frozen ones last in a trial."""
    path = folder / MOUSE / "gratingflicker_data.mat"
    path.unlink()
    whole = np.random.default_rng(0).poisson(1.0, (parts, 17, 4)).astype("f8")  # 3 trials, 2 over
    with h5py.File(path, "w") as file:
        places = [f"#refs#/{k}" if parts > 1 else "rawdata" for k in range(parts)]
        for place, values in zip(places, whole, strict=True):
            file[f"{place}/spikesbin"] = values
            for name, number in (("RunningFrames", 3), ("FrozenFrames", 2), ("secondseed", -10)):
                file[f"{place}/stimPara/{name}"] = [[float(number)]]
        if parts > 1:
            for name in ("spikesbin", "stimPara"):
                references = np.array([file[f"{p}/{name}"].ref for p in places], h5py.ref_dtype)
                file[f"rawdata/{name}"] = references[:, None]
    tree = na.open_datatree(folder, stimulus="gratingflicker")
    na.validate(tree, values=True)
    trials = whole[:, :15].reshape(3 * parts, 5, 4)
    train, test = (tree[f"{block}/{MOUSE}"] for block in ("train", "test"))
    assert np.array_equal(train["retina/responses"].values, trials[:, :3].reshape(-1, 4))
    assert np.array_equal(test["retina/responses_by_trial"].values, trials[:, 3:])
    assert np.array_equal(test["retina/responses_by_trial"][-1, 1:, 2].values, trials[-1, 4:, 2])
    assert train["block_id"].values.tolist() == np.repeat(np.arange(3 * parts), 3).tolist()
    assert train.attrs["stimulus_secondseed"] == -10
    assert "made from seeds" in train.attrs["note"]


@pytest.fixture
def checkers(folder):
    """Two blocks of 5 frames and 3 repeats of 4, 3 checkers wide and 2 high, 4 units."""
    with h5py.File(folder / MOUSE / "frozencheckerflicker_data.mat", "w") as file:
        file["runningbin"], file["frozenbin"] = np.ones((2, 5, 4)), np.zeros((3, 4, 4))
        numbers = {
            "seed": -1000,
            "secondseed": -10000,
            "Nx": 3,
            "Ny": 2,
            "RunningFrames": 5,
            "FrozenFrames": 4,
            "stixelheight": 16,
            "blackwhite": 1,
        }
        for name, number in numbers.items():
            file[f"stimPara/{name}"] = [[float(number)]]
    return folder


def test_checkers_are_drawn_again_from_their_seed(checkers):
    """In the order of the stimulation program: frame after frame, column after column."""
    tree = na.open_datatree(checkers, stimulus="frozencheckerflicker")
    na.validate(tree, values=True)
    for block, seed, frames in (("train", -1000, 10), ("test", -10000, 4)):
        node = tree[f"{block}/{MOUSE}"]
        drawn = iter(slow(seed, frames * 6))
        expected = np.zeros((frames, 1, 2, 3), "u1")
        for frame, x, y in np.ndindex(frames, 3, 2):
            expected[frame, 0, y, x] = 255 * (next(drawn) >= 0.5)
        assert np.array_equal(node["stimulus"].values, expected)
        assert np.array_equal(node["stimulus"][-1, 0, ::-1, 1].values, expected[-1, 0, ::-1, 1])
        assert "drawn again" in node.attrs["note"]
    assert tree[f"train/{MOUSE}"].attrs["um_per_pixel"] == 7.5 * 16


@pytest.mark.parametrize(
    ("name", "number"), [("seed", None), ("blackwhite", 0), ("RunningFrames", 4)]
)
def test_checkers_that_cannot_be_drawn_say_so(checkers, name, number):
    values = None if number is None else [[float(number)]]
    edited(checkers, f"stimPara/{name}", values, f"{MOUSE}/frozencheckerflicker_data.mat")
    node = na.open_datatree(checkers, stimulus="frozencheckerflicker")[f"train/{MOUSE}"]
    assert "stimulus" not in node
    assert "made from seeds" in node.attrs["note"]
    assert node["retina/responses"].shape == (10, 4)


def test_units_are_those_of_expdata(folder):
    table = np.array([[40, 41, 50, 7], [1, 1, 2, 9], [1, 2, 1, 1], [1, 2, 1, 4]], "i4")
    edited(folder, "units", table, f"{MOUSE}/expdata.mat")
    retina = na.open_datatree(folder)[f"train/{MOUSE}/retina"]
    assert retina["unit_id"].values.tolist() == [40, 41, 50, 7]
    assert retina["electrode"].values.tolist() == [1, 1, 2, 9]
    assert retina["quality"].values.tolist() == [1, 2, 1, 4]
    close_all()
    kinds = np.array([[1, np.nan, 0, 2]])
    edited(folder, "cellclus_id", kinds, f"{MOUSE}/expdata.mat")
    edited(folder, "units", np.where(table == 50, np.nan, table), f"{MOUSE}/expdata.mat")
    retina = na.open_datatree(folder)[f"train/{MOUSE}/retina"]
    np.testing.assert_array_equal(retina["cell_type_id"], kinds[0])
    assert retina["cell_type"].values.tolist()[1:3] == ["", "unclassified"]
    np.testing.assert_array_equal(retina["cell"], [40, 41, np.nan, 7])
    close_all()
    table[0, 1] = 40  # two of a name
    edited(folder, "units", table, f"{MOUSE}/expdata.mat")
    retina = na.open_datatree(folder)[f"train/{MOUSE}/retina"]
    assert retina["unit_id"].values.tolist() == [0, 1, 2, 3]
    assert retina["cell"].values.tolist() == [40, 40, 50, 7]


def test_members_of_one_zip_stay_open_beside_each_other(tmp_path, monkeypatch):
    """Reading them in turn unpacks each once; a zip that was written anew is noticed."""
    from neuroarrays.files import zips
    from neuroarrays.files.probe import probe_of
    from neuroarrays.formats.retina import containers

    for name in "ab":
        with h5py.File(tmp_path / f"{name}.mat", "w") as file:
            file["x"] = np.full(3, ord(name))
    with zipfile.ZipFile(tmp_path / "s.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "ab":
            archive.write(tmp_path / f"{name}.mat", f"{name}.mat")
    asked, unzipped = [], zips.open_member

    def counted(path, known, name):
        asked.append(name)
        return unzipped(path, known, name)

    monkeypatch.setattr(zips, "open_member", counted)
    a, b = (containers.member_source(probe_of(tmp_path / "s.zip"), f"{name}.mat") for name in "ab")
    for _ in range(3):
        assert (a.read("x") == ord("a")).all()
        assert (b.read("x") == ord("b")).all()
    assert sorted(asked) == ["a.mat", "b.mat"]
    close_all()
    with zipfile.ZipFile(tmp_path / "s.zip", "a") as archive:
        archive.writestr("more", b"1")
    with pytest.raises(FormatError, match=r"s\.zip"):
        a.read("x")


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_what_stands_in_the_place_of_files_is_said(tmp_path, kind):
    session = tmp_path / "20210115_252MEA_mouse_left_half_dorsal"
    shutil.copytree(GOLDEN, tmp_path, dirs_exist_ok=True)

    def put(path):
        path.symlink_to("nowhere") if kind == "link" else os.mkfifo(path)

    (session / "expdata.mat").unlink()
    put(session / "expdata.mat")
    assert any("expdata.mat is not read" in n for n in na.open_datatree(tmp_path).attrs["notes"])
    (session / "fixationmovie_data.mat").unlink()
    put(session / "fixationmovie_data.mat")
    with pytest.raises((FormatError, MissingPath), match="fixationmovie_data"):
        na.open_datatree(tmp_path)
    shutil.rmtree(session)
    put(session)
    with pytest.raises(FormatError, match=r"MEA_mouse.*skip_damaged=True"):
        na.open_datatree(tmp_path)
