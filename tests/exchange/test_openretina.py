"""Trees to open-retina's containers and back, and against its own loaders where it is installed."""

from pathlib import Path

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, MissingDependency, SchemaError
from neuroarrays.exchange.openretina import from_openretina, to_openretina
from neuroarrays.testing import same_values

GOLDEN = Path(__file__).parents[1] / "golden"
TREES = {
    "maheswaranathan": {},
    "karamanlis": {"size": (6, 8)},
    "hoefling": {},
    "openretina": {"test_names": "noise_2"},
}


@pytest.fixture(params=sorted(TREES))
def tree(request):
    return na.open_datatree(GOLDEN / request.param / "data", **TREES[request.param])


def test_arrays_are_those_of_the_tree_in_its_order(tree):
    movies, responses = to_openretina(tree, containers=False)
    assert list(movies) == list(responses) == list(tree["train"].children)
    block = tree.children[list(tree.children)[1]].name
    for session, movie in movies.items():
        node = tree[f"train/{session}"]
        assert np.array_equal(movie["train"], node["stimulus"].values.transpose(1, 0, 2, 3))
        assert np.array_equal(responses[session]["train"], node["retina/responses"].values.T)
        test = tree[f"{block}/{session}/retina"]
        assert np.array_equal(responses[session]["test_dict"][block], test["responses"].values.T)
        if "responses_by_trial" in test:
            trials = responses[session]["test_by_trial_dict"][block]
            assert np.array_equal(trials, test["responses_by_trial"].values.transpose(0, 2, 1))


def test_flashed_images_take_the_place_of_time():
    tree = na.open_datatree(GOLDEN / "goldin" / "data")
    movies, responses = to_openretina(tree, containers=False)
    for session, response in responses.items():
        train, test = (tree[f"{block}/{session}"] for block in ("train", "test"))
        shown = train["stimulus"].transpose("channel", "presentation_id", "y", "x")
        assert np.array_equal(movies[session]["train"], shown.values)
        values = train["retina/responses"].transpose("unit_id", "presentation_id")
        assert np.array_equal(response["train"], values.values)
        trials = test["retina/responses_by_trial"].transpose("trial", "unit_id", "presentation_id")
        assert np.array_equal(response["test_by_trial_dict"]["test"], trials.values)


def test_there_and_back(tree):
    back = from_openretina(*to_openretina(tree, containers=False), sampling_rate=50.0)
    na.validate(back, values=True)
    for place, name in (("", "stimulus"), ("/retina", "responses"), ("/retina", "unit_id")):
        for block in tree.children:
            for session in tree[block].children:
                ours, theirs = tree[f"{block}/{session}{place}"], back[f"{block}/{session}{place}"]
                assert same_values(ours[name].values, theirs[name].values), (block, session, name)
    assert back[f"train/{session}"]["time"].values[1] == 1 / 50


def test_normalisation_is_by_the_train_movie():
    tree = na.open_datatree(GOLDEN / "maheswaranathan" / "data")
    raw, _ = to_openretina(tree, containers=False)
    movies, _ = to_openretina(tree, normalize_stimuli=True, containers=False)
    for session, movie in movies.items():
        train = raw[session]["train"].astype("f8")
        assert movie["norm_mean"] == pytest.approx(train.mean())
        assert movie["norm_std"] == pytest.approx(train.std(ddof=1))
        expected = (raw[session]["test_dict"]["test"] - train.mean()) / train.std(ddof=1)
        np.testing.assert_allclose(movie["test_dict"]["test"], expected, rtol=1e-5, atol=1e-6)
        assert movie["train"].dtype == np.float32


def test_validation_clips_may_be_left_out_of_the_statistics():
    tree = na.open_datatree(GOLDEN / "maheswaranathan" / "data")
    raw, _ = to_openretina(tree, containers=False)
    movies, _ = to_openretina(tree, normalize_stimuli=True, leave_out=(3, 2), containers=False)
    held = np.random.RandomState(42).choice(4, 2, replace=False)
    kept = [i for i in range(12) if i // 3 not in held]
    for session, movie in movies.items():
        assert movie["norm_mean"] == pytest.approx(raw[session]["train"][:, kept].mean())


def containers(frames=8, units=3, trials=3):
    rng = np.random.default_rng(0)
    movie = {"train": rng.random((1, frames, 4, 5)), "test_dict": {"a": rng.random((1, 4, 4, 5))}}
    response = {
        "train": rng.random((units, frames)),
        "test_dict": {"a": rng.random((units, 4))},
        "test_by_trial_dict": {"a": rng.random((trials, units, 4))},
        "session_kwargs": {"group": np.arange(units), "eye": "left"},
        "stim_id": "noise",
    }
    return movie, response


def test_what_is_said_of_a_session_is_kept_or_noted(tmp_path):
    movie, response = containers(units=3)
    told = {
        "roi_coords": np.arange(6.0).reshape(3, 2),
        "roi_mask": np.arange(64.0 * 64).reshape(64, 64),
        "days": np.array([1, 2]),
        "names": np.array(["a", "b", "c"]),
        "rate": 30.0,
    }
    response["session_kwargs"] |= told | {"ragged": [[1], [1, 2]], "nothing": None}
    tree = from_openretina(movie, {"s": response})
    na.validate(tree, values=True)
    session = tree["train/s"]
    assert session.attrs["eye"] == "left"
    assert session.attrs["rate"] == 30.0
    chosen = na.select_units(tree, "group >= 1")["train/s/retina/roi_coords"]
    assert chosen.values.tolist() == [[2, 3], [4, 5]]
    (noted,) = session.attrs["notes"]
    assert "ragged" in noted
    assert na.open_datatree(na.save(tree, tmp_path / "t.h5")).identical(tree)
    for name, value in told.items():
        _, again = to_openretina(tree, containers=False)
        assert np.array_equal(again["s"]["session_kwargs"][name], value), name
    assert again["s"]["session_kwargs"]["eye"] == "left"
    assert "session_id" not in again["s"]["session_kwargs"]


def test_what_is_said_takes_no_name_of_the_tree():
    movie, response = containers(units=3)
    response["session_kwargs"] = {
        name: np.zeros(3) for name in ("responses", "time", "responses_by_trial", "a/b")
    } | {"stimulus": np.zeros((7, 7)), "session_id": "other", "eye": "left"}
    tree = from_openretina(movie, {"s": response}, sampling_rate=10)
    na.validate(tree, values=True)
    for block, of in (("train", response["train"]), ("a", response["test_dict"]["a"])):
        assert np.array_equal(tree[f"{block}/s/retina/responses"].values, of.T)
        session = tree[f"{block}/s"]
        assert len(session.attrs["notes"]) == 6
        assert "session_info" not in session.children
        assert session.attrs["session_id"] == "s"
    assert "session_kwargs['a/b']: not in the tree, which cannot have" in str(session.attrs)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda m, r: (m, [r]), TypeError, "responses: expected containers by session, found a l"),
        (lambda m, r: (m, {"s": 3}), TypeError, "responses of session 's': expected a container"),
        (lambda m, r: (np.ones(3), {"s": r}), TypeError, "movies of session 's': expected a cont"),
        (
            lambda m, r: (m | {"train": m["train"][0]}, {"s": r}),
            FormatError,
            r"train/s/stimulus: expected axes channel, time, y, x; found shape \(8, 4, 5\)",
        ),
        (
            lambda m, r: (m, {"s": r | {"test_by_trial_dict": {"a": np.ones((3, 4))}}}),
            FormatError,
            "a/s/responses_by_trial: expected axes trial, unit_id, time",
        ),
        (
            lambda m, r: (m, {"s": r | {"test_dict": {"train": r["train"]}}}),
            ValueError,
            "a test is called 'train'",
        ),
    ],
)
def test_what_is_no_container(change, error, message):
    with pytest.raises(error, match=message):
        from_openretina(*change(*containers()))


@pytest.mark.parametrize("orders", [[[0, 9], [1, 0]], [0, 1], [[0.5], [1.0]], [[0], [0]]])
def test_orders_of_clips_that_cannot_be(orders):
    movie, response = containers()
    movie["random_sequences"] = np.array(orders)
    response["session_kwargs"] = {"scan_sequence_idx": 0}
    with pytest.raises(FormatError, match="random_sequences: expected .* every clip from 0 once"):
        from_openretina(movie, {"s": response})


@pytest.mark.parametrize("leave_out", [5, (0, 2), (4, 2), (2, 1.5)])
def test_clips_that_cannot_be_left_out(leave_out):
    movie, response = containers()
    tree = from_openretina(movie, {"s": response})
    with pytest.raises(ValueError, match="leave_out=.* expected the length of a clip"):
        to_openretina(tree, normalize_stimuli=True, leave_out=leave_out, containers=False)


def test_clips_stand_in_the_order_of_the_scan():
    """As open-retina has the movie of Hoefling et al. 2024: one for all, in an order of its own."""
    movie, response = containers(frames=8)
    movie["random_sequences"] = np.array([[0, 3], [1, 1], [2, 0], [3, 2]], np.uint8)
    response["session_kwargs"] = {"eye": "left", "scan_sequence_idx": 1}
    tree = from_openretina(movie, {"s": response})
    frames = [6, 7, 2, 3, 0, 1, 4, 5]
    mirrored = movie["train"][:, frames][..., ::-1].transpose(1, 0, 2, 3)
    assert np.array_equal(tree["train/s/stimulus"].values, mirrored)
    assert tree["train/s/clip_id"].values.tolist() == [3, 3, 1, 1, 0, 0, 2, 2]
    test = movie["test_dict"]["a"][..., ::-1].transpose(1, 0, 2, 3)
    assert np.array_equal(tree["a/s/stimulus"].values, test)
    assert to_openretina(tree, containers=False)[0]["s"]["random_sequences"] is None
    response["session_kwargs"]["scan_sequence_idx"] = 2
    with pytest.raises(FormatError, match="s: scan_sequence_idx: expected one of 2 scans"):
        from_openretina(movie, {"s": response})
    response["session_kwargs"] = {}  # of no scan: the orders are kept
    tree = from_openretina(movie, {"s": response})
    assert np.array_equal(tree["train/s/stimulus"].values[:, 0], movie["train"][0])
    again, answers = to_openretina(tree, containers=False)
    assert np.array_equal(again["s"]["random_sequences"], movie["random_sequences"])
    assert "random_sequences" not in answers["s"]["session_kwargs"]


def test_sessions_without_movies_and_movies_without_sessions():
    movie, response = containers()
    tree = from_openretina({"a": movie, "c": movie}, {"a": response, "b": response})
    assert tree.attrs["notes"] == ["movies of c: no responses, left out"]
    more = movie | {"test_dict": movie["test_dict"] | {"b": np.ones((1, 4, 4, 5))}}
    (note,) = from_openretina(more, {"a": response}).attrs["notes"]
    assert note == "movie of the test b of a: no responses, left out"
    assert "stimulus" not in tree["train/b"]
    assert tree["train/b"].attrs["note"] == "no movie was given"
    with pytest.raises(SchemaError, match=r"train/b has no stimulus.*no movie was given"):
        to_openretina(tree, containers=False)
    with pytest.warns(UserWarning, match="sessions without a movie are left out: b"):
        movies, responses = to_openretina(tree, missing="skip", containers=False)
    assert list(movies) == list(responses) == ["a"]
    with pytest.raises(ValueError, match="missing: expected one of 'raise', 'skip'"):
        to_openretina(tree, missing="drop", containers=False)
    bare = from_openretina({}, {"b": response})
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(SchemaError, match="no session has a movie"),
    ):
        to_openretina(bare, missing="skip", containers=False)


def test_responses_are_divided():
    movie, response = containers()
    tree = from_openretina(movie, {"s": response})
    _, rates = to_openretina(tree, fr_normalization=0.3, containers=False)
    np.testing.assert_allclose(rates["s"]["train"], response["train"] / 0.3)
    trials = response["test_by_trial_dict"]["a"] / 0.3
    np.testing.assert_allclose(rates["s"]["test_by_trial_dict"]["a"], trials)
    with pytest.raises(ValueError, match="fr_normalization: expected a positive number, got 0"):
        to_openretina(tree, fr_normalization=0, containers=False)


def test_axes_by_trial_are_declared():
    movie, response = containers()
    trials = response["test_by_trial_dict"]["a"]
    ours = from_openretina(movie, {"s": response})["a/s/retina"]
    assert np.array_equal(ours["responses_by_trial"].values, trials.transpose(0, 2, 1))
    assert ours["group"].values.tolist() == [0, 1, 2]
    response["test_by_trial_dict"]["a"] = trials.transpose(1, 2, 0)
    other = from_openretina(movie, {"s": response}, by_trial=("unit_id", "time", "trial"))
    assert np.array_equal(other["a/s/retina/responses_by_trial"].values, trials.transpose(0, 2, 1))
    with pytest.raises(ValueError, match="by_trial: expected"):
        from_openretina(movie, {"s": response}, by_trial=("trial", "neuron", "time"))


@pytest.mark.parametrize("frames", [6, 10])
def test_lengths_that_differ(frames):
    movie, response = containers()
    response["train"] = np.ones((3, frames))
    with pytest.raises(FormatError, match=f"stimulus 8, responses {frames}"):
        from_openretina(movie, {"s": response})
    cut = from_openretina(movie, {"s": response}, mismatch="cut", sampling_rate=10)
    assert cut["train/s/stimulus"].sizes["time"] == min(frames, 8)


def test_what_open_retina_cannot_take():
    movie, response = containers()
    response["train"][1, 2] = np.nan
    tree = from_openretina(movie, {"s": response})
    with pytest.raises(SchemaError, match="train/s/retina/responses has NaN"):
        to_openretina(tree, containers=False)
    bare = tree.map_over_datasets(lambda node: node.drop_vars("stimulus", errors="ignore"))
    with pytest.raises(SchemaError, match="train/s has no stimulus, which"):
        to_openretina(bare, containers=False)
    films = tree.map_over_datasets(
        lambda node: node.expand_dims(film=2) if "stimulus" in node else node
    )
    with pytest.raises(SchemaError, match="expected channel, y, x and time or presentation_id"):
        to_openretina(films, containers=False)
    with pytest.raises(SchemaError, match="a block 'train'"):
        to_openretina(na.open_datatree(GOLDEN / "openretina" / "data"), containers=False)
    movie, response = containers()
    movie["train"][:] = 1
    tree = from_openretina(movie, {"s": response})
    with pytest.raises(SchemaError, match="constant"):
        to_openretina(tree, normalize_stimuli=True, containers=False)


def test_its_own_classes():
    tree = na.open_datatree(GOLDEN / "maheswaranathan" / "data")
    try:
        from openretina.data_io.base import MoviesTrainTestSplit
    except ModuleNotFoundError:
        with pytest.raises(MissingDependency, match="pip install openretina"):
            to_openretina(tree)
        return
    movies, responses = to_openretina(tree)
    for session, movie in movies.items():
        assert isinstance(movie, MoviesTrainTestSplit)
        responses[session].check_matching_stimulus(movie)
    back = from_openretina(movies, responses)
    assert set(back.children) == {"train", "test"}
