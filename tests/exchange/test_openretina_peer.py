"""Values and splits against open-retina's own loaders, where it is installed; else skipped."""

import importlib.util
import pickle
import shutil
import sys
import types
from pathlib import Path

import h5py
import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.exchange.openretina import to_openretina
from neuroarrays.formats.retina.hoefling import VALIDATION_CLIPS
from neuroarrays.synthetic import write_maheswaranathan

pytestmark = pytest.mark.peers("openretina")
GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def folder(tmp_path):
    pytest.importorskip(
        "openretina", reason="open-retina is not installed (pip install openretina)"
    )
    return tmp_path


@pytest.fixture
def resizing(monkeypatch):
    """The one function of torchvision that is used, which has no wheel for torch without CUDA."""
    functional = pytest.importorskip("torch").nn.functional

    class Resize:
        def __init__(self, size):
            self.size = tuple(size)

        def __call__(self, frames):
            return functional.interpolate(frames, self.size, mode="bilinear", antialias=True)

    if importlib.util.find_spec("torchvision") is None:
        transforms = types.ModuleType("torchvision.transforms")
        transforms.Resize = Resize
        monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
        monkeypatch.setitem(sys.modules, "torchvision.transforms", transforms)


def test_maheswaranathan(folder):
    from openretina.data_io.maheswaranathan_2023.responses import load_all_responses
    from openretina.data_io.maheswaranathan_2023.stimuli import load_all_stimuli

    shutil.copytree(GOLDEN / "maheswaranathan" / "data", folder, dirs_exist_ok=True)
    args = {"stim_type": "naturalscene"}
    theirs = load_all_responses(folder, response_type="firing_rate_10ms", **args)
    movies = load_all_stimuli(folder, normalize_stimuli=False, **args)
    tree = na.open_datatree(folder)
    for session, response in theirs.items():
        for block, values in (("train", response.train), ("test", response.test_response)):
            node = tree[f"{block}/{session}"]
            frames = node.sizes["time"]
            assert np.array_equal(node["retina/responses"].values, values[:, :frames].T)
            movie = movies[session].train if block == "train" else movies[session].test_movie
            assert np.array_equal(node["stimulus"].values, movie.transpose(1, 0, 2, 3))
        trials = response.get_test_by_trial()[:, :, :frames]
        ours = tree[f"test/{session}/retina/responses_by_trial"].values
        assert np.array_equal(ours, trials.transpose(0, 2, 1))


@pytest.mark.parametrize("stimulus", ["naturalscene", "whitenoise"])
def test_maheswaranathan_as_their_configuration_has_it(folder, stimulus):
    """Rates, names and batches of what `compat="openretina"` makes of our tree."""
    from openretina.data_io.base_dataloader import multiple_movies_dataloaders
    from openretina.data_io.maheswaranathan_2023.responses import load_all_responses
    from openretina.data_io.maheswaranathan_2023.stimuli import load_all_stimuli

    write_maheswaranathan(folder, frames=2000)
    movies = load_all_stimuli(folder, stim_type=stimulus, normalize_stimuli=True)
    responses = load_all_responses(
        folder, stim_type=stimulus, response_type="firing_rate_10ms", fr_normalization=1.0
    )
    options = {"clip_length": 90, "num_val_clips": 5, "train_chunk_size": 50}
    theirs = multiple_movies_dataloaders(responses, movies, batch_size=8, **options)
    tree = na.open_datatree(folder, stimulus=stimulus)
    ours = na.torch.loaders(tree, compat="openretina", batch_size=8, options=options)
    assert {side: list(by) for side, by in ours.items()} == {
        s: list(by) for s, by in theirs.items()
    }
    for side, by_session in theirs.items():
        for session, loader in by_session.items():
            found, expected = ours[side][session].dataset, loader.dataset
            assert len(ours[side][session]) == len(loader)
            np.testing.assert_allclose(found.movies, expected.movies, rtol=1e-4, atol=1e-5)
            n = len(found.responses)  # of a clip that is cut short theirs has responses, no movie
            assert n == expected.movies.shape[1]
            np.testing.assert_array_equal(found.responses, expected.responses[:n])


def test_karamanlis(folder, resizing):
    from openretina.data_io.karamanlis_2024.responses import load_all_responses
    from openretina.data_io.karamanlis_2024.stimuli import load_all_stimuli

    rng = np.random.default_rng(0)
    name = "20210115_252MEA_mouse_left_half_dorsal"
    (folder / name).mkdir()
    with h5py.File(folder / name / "fixationmovie_data.mat", "w") as file:
        for prefix in ("frozen", "running"):
            file[f"{prefix}Images"] = rng.integers(0, 256, (2, 860, 640), dtype="u1")
        gaze = np.array([[1, 430, 320], [2, 363, 320], [1, 430, 279], [2, 395, 291], [1, 504, 353]])
        file["frozenfixations"], file["runningfixations"] = gaze * 1.0, gaze[None] * 1.0
        file["frozenbin"] = rng.poisson(1.0, (3, 5, 7)).astype("f8")
        file["runningbin"] = rng.poisson(1.0, (1, 5, 7)).astype("f8")
    movies = load_all_stimuli(folder, specie="mouse", normalize_stimuli=False)
    theirs = load_all_responses(folder, specie="mouse")
    tree = na.open_datatree(folder, geometry="openretina")
    for block, movie in (("train", movies[name].train), ("test", movies[name].test_movie)):
        shown = tree[f"{block}/{name}/stimulus"].values
        np.testing.assert_allclose(shown, movie.transpose(1, 0, 2, 3), atol=2e-3)
    for block, values in (("train", theirs[name].train), ("test", theirs[name].test_response)):
        assert np.array_equal(tree[f"{block}/{name}/retina/responses"].values, values.T)


def test_hoefling():
    pytest.importorskip(
        "openretina", reason="open-retina is not installed (pip install openretina)"
    )
    from openretina.data_io.hoefling_2024.responses import filter_responses, make_final_responses
    from openretina.utils.h5_handling import load_h5_into_dict

    folder = GOLDEN / "hoefling" / "data"
    fields = load_h5_into_dict(folder / "rgc_natstim.h5")
    for field in fields.values():
        for key in [key for key in field if key.endswith(("t0", "dt"))]:
            field[key] = field[key][:, None]  # their filters take these for samples otherwise
    kept = filter_responses(fields, filter_cell_types=True, cell_types_list=list(range(1, 33)))
    theirs = make_final_responses(kept, response_type="natural", trace_type="spikes")
    tree = na.open_datatree(folder)
    assert list(theirs) == list(tree["train"].children)
    for name, response in theirs.items():
        ours = tree[f"train/{name}/retina/responses"].values
        assert np.array_equal(ours, response.train.T)
        test = tree[f"test/{name}/retina"]
        assert np.array_equal(test["responses"].values, response.test_response.T)
        trials = test["responses_by_trial"].values  # theirs: (neuron, time, trial)
        assert np.array_equal(trials, response.get_test_by_trial().transpose(2, 1, 0))


def test_hoefling_movies():
    """Each of their 2 eyes x 20 orders, less the validation clips, and these clips by themselves."""
    pytest.importorskip(
        "openretina", reason="open-retina is not installed (pip install openretina)"
    )
    from openretina.data_io.hoefling_2024.stimuli import get_all_movie_combinations

    folder = GOLDEN / "hoefling" / "data"
    held = pickle.loads((folder / "rgc_natstim_2x1.pkl").read_bytes())
    theirs = get_all_movie_combinations(
        held["train"], held["test"], held["random_sequences"], list(VALIDATION_CLIPS)
    )
    tree = na.open_datatree(folder)
    for name, node in tree["train"].children.items():
        eye, scan = node.attrs["eye"], node.attrs["scan_sequence_idx"]
        left_out = node["validation"].values
        shown = node["stimulus"].values.transpose(1, 0, 2, 3)
        assert np.array_equal(shown[:, ~left_out], theirs[eye]["train"][scan])
        at = [np.flatnonzero(node["clip_id"].values == clip) for clip in VALIDATION_CLIPS]
        assert np.array_equal(shown[:, np.concatenate(at)], theirs[eye]["validation"])
        test = tree[f"test/{name}/stimulus"].values.transpose(1, 0, 2, 3)
        assert np.array_equal(test, theirs[eye]["test"])


def test_the_built_in_layout(folder):
    """Their concatenation is our `test_names=`; sessions with a train stimulus only."""
    from openretina.data_io.h5_dataset_reader import load_responses, load_stimuli

    data = shutil.copytree(GOLDEN / "openretina" / "data", folder / "data")
    theirs = load_responses(str(data), ["noise_10"])
    movies = load_stimuli(str(data), ["noise_10"], [2, 3, 4], 0, 1)
    tree = na.open_datatree(data, test_names="noise_10")
    for session, response in theirs.items():
        train, test = tree[f"train/{session}"], tree[f"noise_10/{session}"]
        assert np.array_equal(train["retina/responses"].values, response.train.T)
        tested = response.test_dict["noise_10"]
        assert np.array_equal(test["retina/responses"].values, tested.T)
        shown = movies[session]
        assert np.array_equal(train["stimulus"].values, shown.train.transpose(1, 0, 2, 3))
        assert np.array_equal(
            test["stimulus"].values, shown.test_dict["noise_10"].transpose(1, 0, 2, 3)
        )


@pytest.mark.parametrize("specie", ["mouse", "axolotl"])
def test_goldin(folder, specie):
    responses = pytest.importorskip("openretina.data_io.goldin_2022.responses")
    stimuli = pytest.importorskip("openretina.data_io.goldin_2022.stimuli")
    data = GOLDEN / "goldin" / "data"
    shutil.copytree(data, folder, dirs_exist_ok=True)
    theirs = responses.load_all_responses(folder, specie=specie)
    shown = stimuli.load_all_stimuli(folder, specie=specie, normalize_stimuli=False)
    tree = na.open_datatree(data, response="rate")
    for name, response in theirs.items():
        session = name.removesuffix("_structured_data")
        train, test = (tree[f"{block}/{session}"] for block in ("train", "test"))
        for node, values in ((train, response.train), (test, response.test_response)):
            np.testing.assert_allclose(node["retina/responses"].values, values.T, rtol=1e-15)
        trials = response.get_test_by_trial().transpose(0, 2, 1)
        ours = test["retina/responses_by_trial"].values
        np.testing.assert_allclose(ours, trials, rtol=1e-15)
        for node, movie in ((train, shown[name].train), (test, shown[name].test_movie)):
            assert np.array_equal(node["stimulus"].values, movie.transpose(1, 0, 2, 3))
        ours, taken = to_openretina(tree)
        assert np.array_equal(ours[session].train, shown[name].train)
        np.testing.assert_allclose(taken[session].train, response.train, rtol=1e-15)
