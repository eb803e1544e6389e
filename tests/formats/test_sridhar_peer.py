"""Sridhar 2025 against open-retina's own loaders, where it is installed; else skipped."""

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.formats.retina.sridhar import validation_trials
from neuroarrays.synthetic import write_sridhar
from neuroarrays.synthetic.sridhar import PADDING, SESSION

pytestmark = pytest.mark.peers("openretina")
FRAMES, TEST, TRIALS = 60, 30, 10


@pytest.fixture
def folder(tmp_path):
    pytest.importorskip(
        "openretina", reason="open-retina is not installed (pip install openretina)"
    )
    pytest.importorskip("openretina.data_io.sridhar_2025.dataloaders")
    return write_sridhar(tmp_path, trials=TRIALS, frames=FRAMES)


def film(folder):
    from openretina.data_io.sridhar_2025.dataloaders import frame_movie_loader

    loaders = frame_movie_loader(
        files={SESSION: f"responses/cell_responses_{SESSION}_fixation_movie.pkl"},
        fixation_files={SESSION: "fixations/complete_fixations_seed_2022_s4.txt"},
        big_crops={SESSION: (0, 0, 0, 0)},
        basepath=folder / "natural_movie",
        padding=PADDING,
        full_img_w=7 * PADDING,
        full_img_h=6 * PADDING,
        img_w=4 * PADDING,
        img_h=3 * PADDING,
        img_dir_name="stimuli_padded_4",
        num_of_frames=1,
        num_of_layers=1,
        time_chunk_size=FRAMES // 2,
        excluded_cells={SESSION: []},
    )
    for block in loaders.values():
        block[SESSION].dataset.test_frames = TEST  # a constant there, of the published files
    return loaders


def noise(folder):
    from openretina.data_io.sridhar_2025.dataloaders import white_noise_loader

    return white_noise_loader(
        basepath=folder / "whitenoise",
        files={SESSION: f"responses/cell_responses_{SESSION}_wn.pkl"},
        big_crops={SESSION: (0, 0, 0, 0)},
        train_image_path={SESSION: "non_repeating_stimuli_1"},
        test_image_path={SESSION: "repeating_stimuli_1"},
        excluded_cells={SESSION: []},
        num_of_frames=1,
        num_of_layers=1,
        time_chunk_size=FRAMES // 2,
        cell_index=None,
        chunked_sampling=False,
        use_cache=False,
    )


@pytest.mark.parametrize(("stimulus", "make"), [("natural_movie", film), ("whitenoise", noise)])
def test_values_splits_and_test_means(folder, stimulus, make):
    loaders = make(folder)
    tree = na.open_datatree(folder, stimulus=stimulus)

    def as_theirs(shown):  # they divide bytes by 255 in float16
        return (shown / 255).astype("f2").astype("f4") if stimulus == "natural_movie" else shown

    train = tree[f"train/{SESSION}"]
    shown = as_theirs(train["stimulus"].values[:, 0]).reshape(
        TRIALS, FRAMES, *train["stimulus"].shape[2:]
    )
    spikes = train["retina/responses"].values.reshape(TRIALS, FRAMES, -1)
    halves = [slice(0, FRAMES // 2), slice(FRAMES // 2, FRAMES)]
    for block in ("train", "validation"):
        data = loaders[block][SESSION].dataset
        for sample in range(len(data)):
            data.last_start_index = data.last_end_index = -1  # they mix frames of trials up else
            inputs, targets = data[sample]
            trial, half = data.indices[sample // 2], halves[sample % 2]
            assert np.array_equal(inputs[0].numpy(), shown[trial, half])
            assert np.array_equal(targets.numpy(), spikes[trial, half])
    held = loaders["validation"][SESSION].dataset.indices
    assert list(held) == validation_trials(TRIALS).tolist()
    kept = np.unique(train["block_id"].values[~train["validation"].values])
    assert kept.tolist() == sorted(loaders["train"][SESSION].dataset.indices)

    theirs = loaders["test"][SESSION].dataset
    test = tree[f"test/{SESSION}"]
    assert np.array_equal(theirs.movies[0].numpy(), as_theirs(test["stimulus"].values[:, 0]))
    np.testing.assert_allclose(test["retina/responses"].values, theirs.responses.numpy(), rtol=1e-6)
    # (trial, time, neuron) for the film, (trial, neuron, time) for the noise
    order = (0, 1, 2) if stimulus == "natural_movie" else (0, 2, 1)
    trials = theirs.test_responses_by_trial.numpy().transpose(order)
    assert np.array_equal(test["retina/responses_by_trial"].values, trials)
    area = train["retina"]
    places = np.stack([area["field_y"].values, area["field_x"].values], axis=1)
    assert np.array_equal(places, theirs.locations)


def test_containers(folder):
    """Their train matrix has trials side by side, frame after frame."""
    from openretina.data_io.sridhar_2025.responses import response_splits_from_pickles

    name = f"responses/cell_responses_{SESSION}_fixation_movie.pkl"
    theirs = response_splits_from_pickles(folder / "natural_movie", files={SESSION: name})[SESSION]
    tree = na.open_datatree(folder)
    by_trial = theirs.train.reshape(-1, FRAMES, TRIALS).transpose(2, 1, 0)
    ours = tree[f"train/{SESSION}/retina/responses"].values
    assert np.array_equal(ours, by_trial.reshape(TRIALS * FRAMES, -1))
    area = tree[f"test/{SESSION}/retina"]
    np.testing.assert_allclose(area["responses"].values, theirs.test_response.T, rtol=1e-6)
    trials = theirs.get_test_by_trial().transpose(0, 2, 1)
    assert np.array_equal(area["responses_by_trial"].values, trials)
