"""Datasets and loaders that open-retina's programs can use, without it."""

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.synthetic import write_goldin

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
doors = pytest.importorskip("neuroarrays.torch.openretina")
TEST = 40


@pytest.fixture
def tree():
    """Two channels, 130 frames to train and validate, 40 to test with three repeats."""
    random = np.random.default_rng(0)
    groups = {"/": xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED))}
    for block, frames in (("train", 130), ("quiet", TEST)):
        movie = random.normal(size=(frames, 2, 3, 4))
        area = {"responses": (("time", "unit_id"), random.gamma(2, 1, (frames, 5)))}
        if block == "quiet":
            repeats = random.gamma(2, 1, (3, frames, 5))
            area["responses_by_trial"] = (("trial", "time", "unit_id"), repeats)
        labels = {"unit_id": np.arange(5), "roi_ids": ("unit_id", np.arange(5) + 70)}
        groups[f"{block}/s1"] = xr.Dataset(
            {"stimulus": (("time", "channel", "y", "x"), movie)}, attrs={"eye": "left"}
        )
        groups[f"{block}/s1/retina"] = xr.Dataset(area, labels)
    return xr.DataTree.from_dict(groups)


OPTIONS = {"train_chunk_size": 10, "clip_length": 20, "num_val_clips": 2}


def test_datasets_have_what_its_evaluation_reads(tree):
    found = na.torch.loaders(tree, compat="openretina", batch_size=4, options=OPTIONS)
    test, train = found["quiet"]["s1"].dataset, found["train"]["s1"].dataset
    node = tree["quiet/s1"]
    answers = torch.from_numpy(node["retina/responses"].values.astype("f4"))
    assert torch.equal(test.responses, answers)
    shown = node["stimulus"].values.transpose(1, 0, 2, 3).astype("f4")
    assert torch.equal(test.movies, torch.from_numpy(shown))
    repeats = node["retina/responses_by_trial"].values.transpose(0, 2, 1).astype("f4")
    assert torch.equal(test.test_responses_by_trial, torch.from_numpy(repeats))
    assert train.test_responses_by_trial is None
    assert test.chunk_size == TEST
    assert train.chunk_size == 10
    torch.testing.assert_close(test.mean_response, answers.mean(0))
    assert test.session_info["eye"] == "left"
    assert test.roi_ids.tolist() == [70, 71, 72, 73, 74]
    assert test.roi_coords is test.group_assignment is None
    with pytest.raises(AttributeError, match="no attribute 'neurons'"):
        _ = test.neurons


def test_frames_and_chunks_by_their_first_frame(tree):
    data = na.torch.loaders(tree, compat="openretina", batch_size=4, options=OPTIONS)
    data = data["train"]["s1"].dataset
    assert data[5:9].inputs.shape == (2, 4, 3, 4)
    assert torch.equal(data[5].targets[:4], data[5:9].targets)
    assert torch.equal(data[5].inputs[:, :4], data[5:9].inputs)
    with pytest.raises(IndexError, match="begins at frame 0 to 70, found"):
        data[71]


def test_responses_are_divided_by_what_is_asked(tree):
    found = na.torch.loaders(
        tree, compat="openretina", batch_size=4, options=OPTIONS | {"fr_normalization": 0.5}
    )
    data = found["quiet"]["s1"].dataset
    expected = tree["quiet/s1/retina/responses"].values * 2
    np.testing.assert_allclose(data.responses, expected, rtol=1e-6)
    np.testing.assert_allclose(data[:].targets, expected, rtol=1e-6)
    np.testing.assert_allclose(data[0].targets, expected, rtol=1e-6)
    repeats = tree["quiet/s1/retina/responses_by_trial"].values.transpose(0, 2, 1) * 2
    np.testing.assert_allclose(data.test_responses_by_trial, repeats, rtol=1e-6)


def test_flashed_images_are_rates_unless_they_are_already(tmp_path):
    folder = write_goldin(tmp_path / "goldin")
    options = {
        "train_chunk_size": 1,
        "clip_length": 1,
        "num_val_clips": 5,
        "allow_over_boundaries": False,
    }
    found = {
        response: na.torch.loaders(
            na.open_datatree(folder, response=response),
            compat="openretina",
            batch_size=16,
            options=options,
        )
        for response in ("counts", "rate")
    }
    for side in ("train", "validation", "test"):
        both = [next(iter(found[response][side].values())) for response in found]
        counts, rates = (next(iter(loader)) for loader in both)
        assert counts.inputs.shape[2] == 1
        torch.testing.assert_close(counts.targets, rates.targets)
    area = next(iter(na.open_datatree(folder)["test"].children.values()))["retina"]
    assert counts.targets[0, 0].tolist() == pytest.approx(
        (area["responses"].values[0] / 0.3).tolist()
    )


def test_a_loader_of_bare_arrays(tree):
    movie = tree["train/s1/stimulus"].values.transpose(1, 0, 2, 3)
    answers = tree["train/s1/retina/responses"].values
    sizes = {"scene_length": 20, "chunk_size": 10, "batch_size": 4}
    loader = doors.get_movie_dataloader(movie, answers, split="train", **sizes)
    points = list(loader)
    assert [p.inputs.shape for p in points] == [(4, 2, 10, 3, 4)] * 3
    rows = {tuple(row) for row in answers.astype("f4").round(5)}
    assert {tuple(row) for p in points for row in p.targets.reshape(-1, 5).numpy().round(5)} <= rows
    whole = doors.get_movie_dataloader(
        torch.from_numpy(movie), torch.from_numpy(answers), split="train", drop_last=False, **sizes
    )
    assert sum(len(p.inputs) for p in whole) == 13
    sizes["chunk_size"] = 20
    (first, second) = doors.get_movie_dataloader(movie, answers, split="val", **sizes)
    np.testing.assert_allclose(first.targets[1], answers[20:40], rtol=1e-6)
    assert len(second.targets) == 2  # six clips of 20 frames, and 10 frames over
    (test,) = doors.get_movie_dataloader(
        movie, answers, split="test", start_indices=[7, 60], **sizes
    )
    np.testing.assert_allclose(test.targets[1], answers[60:80], rtol=1e-6)


def test_repeats_come_with_the_mean_of_a_test(tree):
    node = tree["quiet/s1"]
    movie = node["stimulus"].values.transpose(1, 0, 2, 3)
    repeats = node["retina/responses_by_trial"].values.transpose(0, 2, 1)
    loader = doors.get_movie_dataloader(
        movie,
        {"avg": node["retina/responses"].values, "by_trial": repeats},
        split="test",
        scene_length=20,
        chunk_size=TEST,
        batch_size=1,
        session_info={"roi_coords": [[1, 2]]},
    )
    np.testing.assert_allclose(loader.dataset.test_responses_by_trial, repeats, rtol=1e-6)
    assert loader.dataset.roi_coords == [[1, 2]]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"split": "trial"}, ValueError, "split='trial': expected one of 'train'"),
        ({"responses": np.ones((9, 5))}, SchemaError, "movie has 130 frames, the responses 9"),
        ({"responses": {"by_trial": np.ones((1, 5, 130))}}, NotInTree, "no responses 'avg'"),
        (
            {"responses": {"avg": np.ones((130, 5)), "by_trial": np.ones((3, 130, 5))}},
            SchemaError,
            r"repeats \(trial, unit, time\) of 5 units and 130 frames, found shape \(3, 130, 5\)",
        ),
        ({"chunk_size": 0}, ValueError, "a chunk of 0 frames: expected at least one"),
        ({"scene_length": 0}, ValueError, "a clip of 0 frames: expected at least one"),
        ({"responses": np.full((130, 5), np.nan)}, SchemaError, "responses has NaN"),
        ({"movie": np.ones((130, 3, 4))}, SchemaError, r"expected a movie \(channel, time, y, x\)"),
        ({"chunk_size": 200}, ValueError, "there are 130 frames, fewer than a chunk of 200"),
        (
            {"chunk_size": 30, "allow_over_boundaries": False},
            ValueError,
            "longer than a clip of 20",
        ),
        ({"start_indices": [121]}, ValueError, r"start_indices: expected frames from 0 to 120"),
        ({"start_indices": []}, ValueError, r"start_indices: expected frames"),
        ({"batch_size": 20}, ValueError, "13 chunks of 10 frames train, fewer than batch_size=20"),
    ],
)
def test_arrays_and_options_that_do_not_fit(tree, changes, error, message):
    given = {
        "movie": tree["train/s1/stimulus"].values.transpose(1, 0, 2, 3),
        "responses": tree["train/s1/retina/responses"].values,
        "split": "train",
        "scene_length": 20,
        "chunk_size": 10,
        "batch_size": 4,
    }
    with pytest.raises(error, match=message):
        doors.get_movie_dataloader(**given | changes)


class Container:
    """Has the attributes of open-retina's containers that are given."""

    def __init__(self, **parts):
        self.__dict__.update(parts)


def test_containers_and_their_trees_give_the_same_batches(tree):
    movies, responses = na.openretina.to_openretina(tree, containers=False)
    shown = {name: Container(**movie) for name, movie in movies.items()}
    answers = {name: Container(**response) for name, response in responses.items()}
    found = doors.multiple_movies_dataloaders(answers, shown, batch_size=4, **OPTIONS)
    expected = na.torch.loaders(tree, compat="openretina", batch_size=4, options=OPTIONS)
    assert list(found) == list(expected) == ["train", "validation", "quiet"]
    for side, loaders in expected.items():
        for ours, wanted in zip(found[side]["s1"], loaders["s1"], strict=True):
            assert torch.equal(ours.inputs, wanted.inputs)
            assert torch.equal(ours.targets, wanted.targets)
        assert found[side]["s1"].dataset.session_info["eye"] == "left"
    assert found["quiet"]["s1"].dataset.test_responses_by_trial.shape == (3, 5, TEST)
    with pytest.raises(NotInTree, match="no movie of session 's1'"):
        doors.multiple_movies_dataloaders(answers, {})
    with pytest.raises(NotInTree, match="no responses of session 's1'"):
        doors.multiple_movies_dataloaders({}, shown)
    answers["s1"].train = answers["s1"].train[:, :100]
    with pytest.raises(SchemaError, match="train/s1: the movie has 130 frames, the responses 100"):
        doors.multiple_movies_dataloaders(answers, shown)


def test_dicts_are_containers_too(tree):
    movies, responses = na.openretina.to_openretina(tree, containers=False)
    responses["s1"]["test_by_trial_dict"] = responses["s1"]["session_kwargs"] = None
    found = doors.multiple_movies_dataloaders(responses, movies, batch_size=4, **OPTIONS)
    assert found["quiet"]["s1"].dataset.test_responses_by_trial is None
    assert found["quiet"]["s1"].dataset.session_info == {}


@pytest.mark.parametrize(
    ("parts", "options", "error", "message"),
    [
        ({"responses": [1]}, {}, TypeError, "responses: expected containers by session, found a"),
        ({"movies": {"s1": np.ones(3)}}, {}, TypeError, "movie of session 's1': expected a contai"),
        ({"movies": {}, "responses": {}}, {}, SchemaError, "at least one session, found none"),
        ({"tests": {}}, {}, NotInTree, "no movie of test 'quiet' in session 's1'"),
        ({}, {"seed": None}, ValueError, "seed=None: expected a whole number"),
        ({}, {"fr_normalization": 0}, ValueError, "fr_normalization=0: expected a positive number"),
        ({}, {"num_val_clips": 9}, ValueError, "num_val_clips=9: expected 1 to 5 of the 6 clips"),
    ],
)
def test_what_is_no_container_or_option(tree, parts, options, error, message):
    movies, responses = na.openretina.to_openretina(tree, containers=False)
    if "tests" in parts:
        movies["s1"]["test_dict"] = parts["tests"]
    given = parts.get("responses", responses), parts.get("movies", movies)
    with pytest.raises(error, match=message):
        doors.multiple_movies_dataloaders(*given, **OPTIONS | options)


# ------------------------------------------------------- what that library asks of its own cyclers


@pytest.fixture
def unequal(tree):
    """Loaders of four sessions, of 1, 9, 3 and 5 batches."""
    area = tree["train/s1"].copy()
    found = {}
    for session, frames in {"a": 20, "b": 100, "c": 40, "d": 60}.items():
        movie = area["stimulus"].values[:frames].transpose(1, 0, 2, 3)
        found[session] = doors.get_movie_dataloader(
            movie,
            area["retina/responses"].values[:frames],
            split="test",
            scene_length=10,
            chunk_size=10,
            batch_size=1,
            start_indices=range(0, frames - 10, 10),
        )
    return found


def seen(batches):
    """Session and first response of each batch: which one it is."""
    return [(session, round(float(point.targets[0, 0, 0]), 5)) for session, point in batches]


def each(loaders):
    return seen((name, point) for name, loader in loaders.items() for point in loader)


@pytest.mark.parametrize(
    "workers",
    [0, 3, pytest.param(1, marks=pytest.mark.slow), pytest.param(4, marks=pytest.mark.slow)],
)
def test_a_short_cycle_gives_every_batch_once_whatever_the_workers(unequal, workers):
    run = na.torch.cycle(unequal, "in order", num_workers=workers)
    assert len(run) == 18
    assert seen(run) == each(unequal)


@pytest.mark.parametrize("mode", ["longest", "weighted"])
def test_a_long_cycle_leaves_no_batch_out(unequal, mode):
    run = seen(na.torch.cycle(unequal, mode))
    assert len(run) == {"longest": 4 * 9, "weighted": 18}[mode]
    assert set(run) == set(each(unequal))
