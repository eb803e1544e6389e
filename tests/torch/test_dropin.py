"""Loaders as two other libraries have them, against those libraries where they are installed."""

import collections
import collections.abc
import importlib
import pickle

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import schema
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.synthetic.sensorium import (
    DynamicOptions,
    StaticOptions,
    write_dynamic,
    write_static,
)

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")


def movie_tree(channels=2, frames=530, units=4, nan=False):
    random = np.random.default_rng(0)
    groups = {"/": xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED))}
    for block, n in (("train", frames), ("test", 130)):
        time = xr.Variable("time", (np.arange(n) + 0.5) / 30, {"units": "s", "bin_width": 1 / 30})
        movie = random.normal(size=(n, channels, 3, 4)).astype(np.float32)
        responses = random.normal(size=(n, units)).astype(np.float32)
        if nan:
            responses[2, 1] = np.nan
        groups[f"{block}/s1"] = xr.Dataset(
            {"stimulus": (("time", "channel", "y", "x"), movie)}, {"time": time}
        )
        groups[f"{block}/s1/retina"] = xr.Dataset(
            {"responses": (("time", "unit_id"), responses)}, {"unit_id": np.arange(units)}
        )
    return xr.DataTree.from_dict(groups)


def image_tree(n=60, units=5, behavior=False):
    random = np.random.default_rng(1)
    along = ("presentation_id",)
    responses = random.gamma(1, 1, (n, units)).astype(np.float32)
    responses[:, 3] = 0.5  # a neuron that does nothing: its deviation is below 1 % of the mean's
    tiers = np.where(
        np.arange(n) % 5 < 3, "train", np.where(np.arange(n) % 5 == 3, "validation", "test")
    )
    groups = {
        "/": xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED)),
        "m1": xr.Dataset(
            {
                "stimulus": (
                    (*along, "channel", "y", "x"),
                    random.normal(9, 3, (n, 1, 4, 6)).astype("f4"),
                )
            },
            {"presentation_id": np.arange(n)},
        ),
        "m1/V1": xr.Dataset(
            {
                "responses": ((*along, "unit_id"), responses),
                "speed": (along, random.gamma(2, 2, n).astype("f4")),
            },
            {"unit_id": np.arange(units)},
        ),
        "m1/V1/pupil": xr.Dataset(
            {name: (along, random.normal(5, 2, n).astype("f4")) for name in ("dilation", "x", "y")}
        ),
        "m1/V1/presentations": xr.Dataset({"tier": (along, tiers.astype(object))}),
    }
    return xr.DataTree.from_dict(groups)


OPTIONS = {"train_chunk_size": 30, "clip_length": 50, "num_val_clips": 3}


@pytest.mark.parametrize("over", [True, False])
def test_openretina_has_its_shapes(over):
    found = na.torch.loaders(
        movie_tree(),
        compat="openretina",
        batch_size=4,
        seed=7,
        options=OPTIONS | {"allow_over_boundaries": over},
    )
    assert list(found) == ["train", "validation", "test"]
    point = next(iter(found["train"]["s1"]))
    assert point._fields == ("inputs", "targets")
    assert point.inputs.shape == (4, 2, 30, 3, 4)
    assert point.inputs.is_contiguous()
    assert point.targets.shape == (4, 30, 4)
    (point,) = found["validation"]["s1"]
    assert point.inputs.shape == (3, 2, 50, 3, 4)
    if over:
        (point,) = found["test"]["s1"]
        assert point.inputs.shape == (1, 2, 130, 3, 4)
    loader = found["train"]["s1"]
    assert pickle.loads(pickle.dumps(next(iter(loader)))).inputs.shape == (4, 2, 30, 3, 4)
    state = loader.state_dict()
    first = [p.targets.clone() for p in loader]
    assert not torch.equal(first[0], next(iter(loader)).targets)
    assert state["batch"] == 1
    with pytest.raises(SchemaError, match="frames of a chunk: 30 in the state, 50 here"):
        found["validation"]["s1"].load_state_dict(state)


def test_openretina_errors_name_the_place():
    with pytest.raises(SchemaError, match="train/s1/retina: responses has NaN"):
        na.torch.loaders(movie_tree(nan=True), compat="openretina", options=OPTIONS)
    with pytest.raises(ValueError, match="train/s1/retina: a chunk of 60 frames is longer"):
        na.torch.loaders(
            movie_tree(),
            compat="openretina",
            batch_size=2,
            options=OPTIONS
            | {
                "train_chunk_size": 60,
                "allow_over_boundaries": False,
            },
        )
    with pytest.raises(ValueError, match="expected one of"):
        na.torch.loaders(movie_tree(), compat="sensorium")
    tests = movie_tree()
    del tests["train"]
    with pytest.raises(NotInTree, match="no block 'train'; there are 'test'"):
        na.torch.loaders(tests, compat="openretina", options=OPTIONS)


def validates(found, tree, block="train"):
    """Numbers of the frames on the validation side, by their values."""
    values = np.concatenate([p.targets.reshape(-1, 4) for p in found["validation"]["s1"]])
    every = tree[f"{block}/s1/retina/responses"].values
    return [int(np.flatnonzero((every == row).all(1))[0]) for row in values]


def test_the_seed_draws_openretinas_validation_clips():
    tree = movie_tree()
    for seed in (None, 7):
        given = {} if seed is None else {"seed": seed}
        found = na.torch.loaders(tree, compat="openretina", batch_size=4, options=OPTIONS, **given)
        drawn = np.random.RandomState(seed or 42).choice(10, 3, replace=False)
        frames = [50 * clip + i for clip in drawn for i in range(50)]
        assert validates(found, tree) == frames
    chosen = {"clip_length": 50, "val_clip_indices": [4, 1]}
    found = na.torch.loaders(tree, compat="openretina", batch_size=4, options=chosen)
    assert validates(found, tree) == [*range(200, 250), *range(50, 100)]
    assert len(found["train"]["s1"].dataset.order) == 400


def labelled_tree():
    """Clips of 53 frames in an order of their own, of which 2 and 7 are labelled to validate."""
    tree, ids = movie_tree(), np.array([5, 7, 0, 9, 2, 1, 3, 4, 6, 8])
    labels = {
        "clip_id": ("time", np.repeat(ids, 53)),
        "validation": ("time", np.repeat(np.isin(ids, (2, 7)), 53)),
    }
    tree["train/s1/retina"].coords.update(labels)
    return tree


def test_labelled_validation_clips_validate_in_the_order_of_their_numbers():
    tree = labelled_tree()
    found = na.torch.loaders(
        tree, compat="openretina", batch_size=4, options={"train_chunk_size": 20}
    )
    assert validates(found, tree) == [*range(4 * 53, 5 * 53), *range(53, 106)]
    options = {"train_chunk_size": 20, "val_clip_indices": [9]}
    found = na.torch.loaders(tree, compat="openretina", batch_size=4, options=options)
    assert validates(found, tree) == [*range(3 * 53, 4 * 53)]
    with pytest.raises(ValueError, match="clip_length=50, but by clip_id a clip has 53 frames"):
        na.torch.loaders(tree, compat="openretina", batch_size=4, options=OPTIONS)


def test_stimuli_are_normalised_by_the_training_movie():
    tree = movie_tree()
    train, test = (tree[f"{block}/s1/stimulus"].values.astype("f8") for block in ("train", "test"))
    found = na.torch.loaders(
        tree, compat="openretina", batch_size=4, options=OPTIONS | {"normalize_stimuli": True}
    )
    (point,) = found["test"]["s1"]
    expected = (test - train.mean()) / train.std(ddof=1)
    np.testing.assert_allclose(point.inputs[0].numpy().swapaxes(0, 1), expected, atol=1e-5)
    tree.attrs["source"] = "karamanlis_2024"  # whose movies that library normalises by default
    (again,) = na.torch.loaders(tree, compat="openretina", batch_size=4, options=OPTIONS)["test"][
        "s1"
    ]
    assert torch.equal(again.inputs, point.inputs)
    tree["train/s1/stimulus"][:] = 1
    with pytest.raises(SchemaError, match="stimulus is constant"):
        na.torch.loaders(tree, compat="openretina", batch_size=4, options=OPTIONS)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"val_clip_indices": [3, 11]}, NotInTree, "no clip 11 in train/s1/retina"),
        ({"val_clip_indices": [-1]}, NotInTree, "no clip -1"),
        ({"val_clip_indices": 3}, ValueError, "val_clip_indices: expected a list of clip numbers"),
        ({"val_clip_indices": [3, 3]}, ValueError, "expected each clip once"),
        ({"val_clip_indices": []}, ValueError, "0 of 10 clips validate, so that none validates"),
        ({"val_clip_indices": range(10)}, ValueError, "10 of 10 clips .* none trains"),
        (
            {"num_val_clips": 10},
            ValueError,
            "num_val_clips=10: expected 1 to 9 of the 10 clips of 50",
        ),
        ({"clip_length": 0}, ValueError, "clip_length=0"),
        (
            {"behavior": ["speed"]},
            NotInTree,
            "'behavior' in compat='openretina'.*'neuralpredictors' has",
        ),
        ({"num_val_clip": 3}, NotInTree, "did you mean 'num_val_clips'"),
        ({"seed": 3}, ValueError, "seed is an argument of loaders"),
        ({}, ValueError, "train/s1/retina: 12 chunks of 30 frames train, fewer than batch_size=32"),
        ({"batch_size": 3}, ValueError, "batch_size is an argument of loaders"),
    ],
)
def test_openretina_options_that_it_cannot_take(options, error, message):
    with pytest.raises(error, match=message):
        na.torch.loaders(movie_tree(), compat="openretina", options=OPTIONS | options)


def test_openretina_takes_one_variable_on_either_side():
    with pytest.raises(ValueError, match="targets: expected a list of one variable, found"):
        na.torch.loaders(movie_tree(), ["stimulus"], "responses", compat="openretina")
    with pytest.raises(ValueError, match="inputs: expected a list of one variable, found"):
        na.torch.loaders(movie_tree(), ["a", "b"], compat="openretina")


@pytest.mark.peers("openretina")
@pytest.mark.parametrize("over", [True, False])
@pytest.mark.parametrize("chunk", [30, 50])
def test_openretina_itself_gives_the_same_batches(over, chunk):
    theirs = pytest.importorskip(
        "openretina.data_io.base_dataloader", reason="openretina is not installed"
    )
    base = pytest.importorskip("openretina.data_io.base")
    tree = movie_tree()
    movies, answers = (
        {block: tree[f"{block}/s1{path}"].values for block in ("train", "test")}
        for path in ("/stimulus", "/retina/responses")
    )
    found = theirs.multiple_movies_dataloaders(
        {"s1": base.ResponsesTrainTestSplit(train=answers["train"].T, test=answers["test"].T)},
        {
            "s1": base.MoviesTrainTestSplit(
                train=movies["train"].transpose(1, 0, 2, 3),
                test=movies["test"].transpose(1, 0, 2, 3),
            )
        },
        train_chunk_size=chunk,
        batch_size=2,
        clip_length=50,
        num_val_clips=3,
        allow_over_boundaries=over,
        seed=11,
    )
    ours = na.torch.loaders(
        tree,
        compat="openretina",
        batch_size=2,
        seed=11,
        options=OPTIONS | {"train_chunk_size": chunk, "allow_over_boundaries": over},
    )
    np.random.seed(11)  # noqa: NPY002  what its sampler draws from
    sides = ["train", "train", "train", "validation", *(["test"] if over else [])]
    for side in sides:
        want = [(p.inputs, p.targets) for p in found[side]["s1"]]
        got = list(ours[side]["s1"])
        assert len(got) == len(want)
        for point, (inputs, targets) in zip(got, want, strict=True):
            torch.testing.assert_close(point.inputs, inputs, rtol=0, atol=0)
            torch.testing.assert_close(point.targets, targets, rtol=0, atol=0)


BEHAVIOR = {"behavior": ["pupil/dilation", "speed"], "pupil_center": ["pupil/x", "pupil/y"]}


def test_neuralpredictors_fields_by_the_train_tier():
    tree = image_tree()
    options = BEHAVIOR | {"normalize": "train"}
    found = na.torch.loaders(tree, compat="neuralpredictors", batch_size=64, options=options)
    assert list(found) == ["train", "validation", "test"]
    (point,) = found["test"]["m1"]
    assert point._fields == ("images", "responses", "behavior", "pupil_center")
    rows, train = np.arange(60) % 5 == 4, np.arange(60) % 5 < 3
    area = tree["m1/V1"]
    images = tree["m1/stimulus"].values.astype("f8")
    scaled = (images - images[train].mean()) / images[train].std(ddof=1)
    np.testing.assert_allclose(point.images, scaled[rows], rtol=1e-4, atol=1e-5)
    responses = area["responses"].values.astype("f8")
    std = responses[train].std(0, ddof=1)
    factor = 1 / np.where(std > 0.01 * std.mean(), std, 0.01 * std.mean())
    np.testing.assert_allclose(point.responses, (responses * factor)[rows], rtol=1e-4)
    speed = area["speed"].values
    scaled = speed / speed[train].std(ddof=1)
    np.testing.assert_allclose(point.behavior[:, 1], scaled[rows], rtol=1e-4)
    x = area["pupil/x"].values
    scaled = (x - x[train].mean()) / x[train].std(ddof=1)
    np.testing.assert_allclose(point.pupil_center[:, 0], scaled[rows], rtol=1e-3, atol=1e-5)
    plain = na.torch.loaders(tree, compat="neuralpredictors", options={"normalize": False})
    point = next(iter(plain["validation"]["m1"]))
    assert point._fields == ("images", "responses")
    with pytest.raises(SchemaError, match="order: samples: 36 in the state, 12 here"):
        plain["validation"]["m1"].load_state_dict(plain["train"]["m1"].state_dict())
    np.testing.assert_array_equal(point.responses, area["responses"].values[np.arange(60) % 5 == 3])


def test_neuralpredictors_errors():
    tree = image_tree()
    for options, error, message in (
        ({"add_eye_pos_as_channels": True}, ValueError, "say include_eye_position=True"),
        ({"scale": 4}, ValueError, "scale=4: expected a number above 0 and at most 1"),
        ({"scale": (36, 64)}, ValueError, r"scale=\(36, 64\): expected a number"),
        ({"behavior": ["pupil/dilatation"]}, NotInTree, "no variable 'pupil/dilatation'"),
        ({"behavior": "speed"}, ValueError, "expected a list of variables, got the text 'speed'"),
        ({"train_chunk_size": 3}, NotInTree, "compat='openretina' has it"),
        ({"scale": 0.01}, ValueError, "scale=0.01 leaves no pixel of 4"),
        ({"exclude": "image"}, NotInTree, "no field 'image' in exclude; .*did you mean 'images'"),
        ({"normalize": True}, NotInTree, 'm1/V1; there are .*normalize="train" computes'),
        ({"normalize": "test"}, ValueError, "normalize='test': expected True"),
    ):
        with pytest.raises(error, match=message):
            na.torch.loaders(
                tree, compat="neuralpredictors", options={"normalize": False} | options
            )
    nodes = {node.path: node.to_dataset(inherit=False) for node in image_tree().subtree}
    nodes["/m1/V1"] = nodes["/m1/V1"].drop_vars("speed")
    without = xr.DataTree.from_dict({k: v for k, v in nodes.items() if k != "/m1/V1/pupil"})
    with pytest.raises(NotInTree, match=r"no signal of 'behavior' in m1/V1.*behavior=\[...\]"):
        na.torch.loaders(without, compat="neuralpredictors", options={"include_behavior": True})
    tree["m1/V1/presentations/tier"][:] = "test"
    with pytest.raises(NotInTree, match="no tier 'train' in m1/V1"):
        na.torch.loaders(tree, compat="neuralpredictors", options={"normalize": "train"})


WITHHELD = StaticOptions(
    train=12, validation=3, test=1, repeats=3, units=4, size=(3, 4), competition=True
)
STREAMS = {
    "behavior": ["pupil/dilation", "pupil/dilation_derivative", "speed"],
    "pupil_center": ["pupil/x", "pupil/y"],
}
#: First presentation of each tier of that session: three pixels, responses, behavior, pupil_center
#: as `NeuroNormalizer` of neuralpredictors 0.3.0 makes them.
PUBLISHED = {
    "train": [
        [0.36529, -0.03554, -0.36646],
        [0.0, 1.61071, 0.10538, 2.47154],
        [8.52207, -0.95331, 0.62151],
        [0.617, -1.40547],
    ],
    "validation": [
        [-0.78938, -1.51554, -0.78931],
        [0.0, 0.0, 0.80612, 0.38688],
        [10.284, 1.3899, 3.99727],
        [1.10177, -1.01205],
    ],
    "test": [
        [-0.24596, 0.96845, 0.6835],
        [0.0, 0.0, 0.0, 0.0],
        [10.0867, 0.03393, 0.01903],
        [0.41949, -1.58935],
    ],
    "final_test": [
        [0.06267, 0.24165, -0.35475],
        [0.0, 0.0, 0.0, 0.0],
        [10.07971, -0.0212, 0.10698],
        [-0.02902, -0.58794],
    ],
}


@pytest.fixture
def withheld(tmp_path):
    """A session of which 29 % of the responses are withheld, as zeros."""
    path = tmp_path / "static27204-5-13-GrayImageNet-94c6ff"
    write_static(path, WITHHELD)
    return path


def test_neuralpredictors_normalises_by_stored_statistics(withheld):
    found = na.torch.loaders(na.open_datatree(withheld), compat="neuralpredictors", options=STREAMS)
    assert set(found) == set(PUBLISHED)
    for tier, expected in PUBLISHED.items():
        data = found[tier]["27204-5-13"].dataset
        point = data.batch(np.flatnonzero(data.tiers == tier)[:1])
        for values, wanted in zip(point, expected, strict=True):
            ours = values[0].ravel()[: len(wanted)]
            np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=2e-5)


def test_the_inputs_of_sensorium_plus(withheld):
    """Behaviour and pupil as channels, images at a quarter of their size."""
    tree = na.open_datatree(withheld)
    options = {"include_behavior": True, "include_eye_position": True}
    plain, plus = (
        na.torch.loaders(tree, compat="neuralpredictors", options=options | more)["test"][
            "27204-5-13"
        ]
        for more in (
            {"add_behavior_as_channels": False},
            {"add_eye_pos_as_channels": True, "scale": 0.5},
        )
    )
    (without,), (point,) = plain, plus
    assert without.images.shape == (3, 1, 3, 4)
    assert point.images.shape == (3, 6, 2, 2)
    signals = torch.cat([point.behavior, point.pupil_center], 1)
    assert (point.images[:, 1:] == signals[:, :, None, None]).all()
    # pixels of 3 x 4 at (0.25, 1.75) and (0.5, 2.5)
    row = 0.75 * without.images[:, 0, 0] + 0.25 * without.images[:, 0, 1]
    torch.testing.assert_close(point.images[:, 0, 0, 1], (row[:, 2] + row[:, 3]) / 2)
    assert plus.dataset.img_shape == (1, 6, 2, 2)
    assert plus.dataset.n_neurons == 4
    raw = options | {"exclude": ["images", "behavior"], "add_behavior_as_channels": False}
    loader = na.torch.loaders(tree, compat="neuralpredictors", options=raw)["test"]["27204-5-13"]
    (point,) = loader
    rows = loader.dataset.tiers == "test"
    area = tree["27204-5-13/V1"]
    np.testing.assert_array_equal(point.images, tree["27204-5-13/stimulus"].values[rows])
    np.testing.assert_allclose(point.behavior[:, 2], area["speed"].values[rows], rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("images", "stimulus_std"),
        ("responses", "responses_std"),
        ("behavior", "pupil_dilation_std"),
        ("pupil_center", "pupil_x_std"),
    ],
)
def test_stored_statistics_that_are_missing_or_of_another_size(withheld, kind, name):
    file = withheld / f"meta/statistics/{kind}/all/std.npy"
    np.save(file, np.ones(9, "f4"))
    message = f"'{name}' in .*of another size: see the notes"
    for noted in (1, 0):
        tree = na.open_datatree(withheld)
        assert str(tree.attrs.get("notes", "")).count(f"{kind}/all/std.npy") == noted
        with pytest.raises(NotInTree, match=message):
            na.torch.loaders(tree, compat="neuralpredictors", options=STREAMS)
        names = {"stimulus_std": "stimulus", "responses_std": "responses"}
        asked = names.get(name, name.removesuffix("_std").replace("pupil_", "pupil/"))
        with pytest.raises(NotInTree, match=message):
            na.torch.loaders(tree, [asked], ["responses"], batch_size=2, normalize="stored")
        file.unlink(missing_ok=True)


@pytest.mark.peers("neuralpredictors")
def test_neuralpredictors_itself_gives_the_same_values(withheld, monkeypatch):
    for name in ("Iterable", "Mapping"):  # its release on PyPI is for Python < 3.10
        monkeypatch.setattr(collections, name, getattr(collections.abc, name), raising=False)
    theirs = importlib.import_module("neuralpredictors.data.datasets")
    transforms = importlib.import_module("neuralpredictors.data.transforms")
    names = ("images", "responses", "behavior", "pupil_center")
    data = theirs.FileTreeDataset(str(withheld), *names)
    data.transforms.extend([transforms.NeuroNormalizer(data), transforms.ToTensor(False)])
    found = na.torch.loaders(na.open_datatree(withheld), compat="neuralpredictors", options=STREAMS)
    tiers = data.trial_info.tiers
    assert (tiers == "final_test").any()
    assert set(tiers) == set(found)
    whole = found["test"]["27204-5-13"].dataset
    assert len(whole) == len(data)
    for ours, theirs in zip(whole, data, strict=True):
        assert ours._fields == theirs._fields
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


MOVIES = {"include_behavior": True, "include_eye_position": True}


@pytest.fixture
def movies(tmp_path):
    path = tmp_path / "dynamic29515-10-12-Video-9b4f6a"
    write_dynamic(path, DynamicOptions(train=6, repeats=2, frames=40, units=5))
    return na.open_datatree(path)


def of_movies(tree, batch_size=1, **options):
    made = na.torch.loaders(
        tree, compat="neuralpredictors", batch_size=batch_size, options=MOVIES | options
    )
    return {tier: sessions["29515-10-12"] for tier, sessions in made.items()}


def test_movies_whole_by_their_stored_statistics(movies):
    loader = of_movies(movies)["oracle"]
    row = np.flatnonzero(loader.dataset.tiers == "oracle")[0]
    point = next(iter(loader))
    assert point._fields == ("videos", "responses", "behavior", "pupil_center")
    assert point.videos.shape == (1, 3, 36, 6, 8)  # without the padding; dilation and speed
    assert point.responses.shape == (1, 5, 36)
    area = movies["29515-10-12/unknown"]
    stored = area["statistics/all"].to_dataset().isel(time=slice(36))
    shown = movies["29515-10-12/stimulus"][row, :36, 0]
    expected = (shown - stored["stimulus_mean"][:, 0]) / stored["stimulus_std"][:, 0]
    np.testing.assert_allclose(point.videos[0, 0], expected, rtol=1e-4, atol=1e-5)
    speed = area["speed"][row, :36] / stored["speed_std"]
    np.testing.assert_allclose(point.behavior[0, 1], speed, rtol=1e-5)
    assert (point.videos[0, 1:] == point.behavior[0, :, :, None, None]).all()
    std = area["statistics/all/responses_std"]
    least = 0.01 * float(std.mean())
    responses = area["responses"][row, :, :36] / np.maximum(std[:, :36], least)
    np.testing.assert_allclose(point.responses[0], responses, rtol=1e-5)
    assert loader.dataset.img_shape == (1, 3, 36, 6, 8)
    assert loader.dataset.n_neurons == 5
    assert len(list(loader.dataset)) == len(loader.dataset)
    with pytest.raises(IndexError, match="sample 16 of 16"):
        loader.dataset[len(loader.dataset)]
    windows = of_movies(movies, frames=20)["oracle"].dataset
    assert len(list(windows)) == len(windows)


def test_windows_of_movies_begin_anywhere_in_training(movies):
    made = of_movies(movies, batch_size=3, frames=20, scale=0.5)
    whole = of_movies(movies, scale=0.5)["train"].dataset
    train = made["train"]
    starts, numbers = [], []
    for _ in range(3):
        numbers.append([n for batch in list(train.batches) for n in batch])
        starts.append([n // len(whole) for n in numbers[-1]])
    assert len({tuple(epoch) for epoch in starts}) == 3
    assert all(0 <= start <= 16 for epoch in starts for start in epoch)
    for number in numbers[0]:
        start, row = divmod(number, len(whole))
        window = train.dataset.batch([number])
        assert whole.tiers[row] == "train"
        for field in window._fields:
            expected = getattr(whole[row], field).narrow(1, start, 20)
            torch.testing.assert_close(getattr(window, field)[0], expected)
    (point,) = made["oracle"]
    assert point.videos.shape == (2, 3, 20, 3, 4)
    later = next(iter(of_movies(movies, batch_size=2, frames=20, offset=4)["oracle"]))
    again = next(iter(of_movies(movies, batch_size=2, frames=24)["oracle"]))
    torch.testing.assert_close(later.responses, again.responses[..., 4:])
    shortest = next(iter(of_movies(movies, max_frame=12)["oracle"]))
    assert shortest.responses.shape == (1, 5, 12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 37}, "frames=37 from frame 0, but a movie has 36"),
        ({"frames": 30, "offset": 10}, "frames=30 from frame 10, but a movie has"),
        ({"normalize": "train"}, "normalize='train' is for images"),
        ({"offset": 5}, "offset=5 is the first frame of windows: say how long they are, frames="),
        ({"offset": -2}, "offset=-2: expected at least -1"),
        ({"frames": 0}, "frames=0: expected at least 1"),
        ({"frames": 2.5}, "frames=2.5: expected a whole number"),
        ({"frames": True}, "frames=True: expected a whole number"),
        ({"max_frame": "9"}, "max_frame='9': expected a whole number"),
    ],
)
def test_windows_that_do_not_fit_a_movie(movies, options, message):
    with pytest.raises(ValueError, match=message):
        of_movies(movies, **options)


def test_movies_of_other_lengths_are_no_batch(movies):
    data = of_movies(movies)["train"].dataset
    lengths = data.lengths(np.arange(len(data)))
    pair = [int(lengths.argmin()), int(lengths.argmax())]
    assert lengths[pair[0]] < lengths[pair[1]]
    with pytest.raises(ValueError, match=r"have \[30, 36\] frames; give frames= or batch_size=1"):
        data.batch(pair)
    with pytest.raises(ValueError, match="frames, offset and max_frame are for movies"):
        of_images({"frames": 3})
    with pytest.raises(ValueError, match="frames, offset and max_frame are for movies"):
        of_images({"frames": 3, "offset": 0})


def of_images(options):
    options = options | {"normalize": False}
    return na.torch.loaders(image_tree(), compat="neuralpredictors", options=options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scale": 0.25}, NotInTree, "'scale' in na.torch.loaders.*'neuralpredictors' has it"),
        ({"cache": False}, NotInTree, "no option 'cache' in na.torch.loaders"),
        ({"options": {"scale": 0.25}}, NotInTree, "no option 'scale' in TrialDataset"),
        ({"options": {"rows": [1]}}, NotInTree, "no option 'rows' in TrialDataset"),
        ({"options": {"offsets": {}}}, NotInTree, "no option 'offsets' in TrialDataset"),
        ({"options": ["cache"]}, TypeError, "options of TrialDataset: expected a dict, found"),
        (
            {"options": {"transform": dict}, "normalize": ["stimulus"]},
            ValueError,
            "normalize= is also a transform",
        ),
    ],
)
def test_options_that_the_loaders_cannot_take(options, error, message):
    with pytest.raises(error, match=message):
        na.torch.loaders(image_tree(), ["stimulus"], ["responses"], batch_size=4, **options)
    if "options" not in options:
        with pytest.raises(NotInTree, match=r"in na\.batches\.loaders"):
            na.batches.loaders(image_tree(), ["stimulus"], ["responses"], **options)


#: Arguments of `static_loaders` and `mouse_video_loader` that the tree, or another argument, has here.
THEIRS = (
    "paths areas layers tier neuron_ids neuron_n exclude_neuron_n neuron_base_seed image_ids "
    "image_n "
    "image_base_seed get_key cuda select_input_channel file_tree image_condition inputs_mean "
    "inputs_std "
    "include_trial_info_keys include_px_position image_reshape_list trial_idx_selection "
    "overwrite_data_path include_pupil_centers include_pupil_centers_as_channels to_cut"
)


@pytest.mark.parametrize("name", THEIRS.split())
def test_an_option_of_theirs_says_what_to_do_instead(name):
    with pytest.raises(ValueError, match=f"compat='neuralpredictors' takes no {name}: .{{20}}"):
        of_images({name: 1})


@pytest.mark.parametrize(
    "option",
    [
        {"include_behavior": "yes"},
        {"include_eye_position": 1.0},
        {"add_behavior_as_channels": None},
        {"exclude": 3},
    ],
)
def test_options_of_another_kind(option):
    (name,) = option
    with pytest.raises(ValueError, match=f"{name}.*: expected|{name}: expected"):
        of_images(option)


def test_none_stands_for_no_as_there():
    nothing = {"include_eye_position": None, "add_eye_pos_as_channels": None, "exclude": None}
    (loader,) = of_images(nothing)["train"].values()
    assert next(iter(loader))._fields == ("images", "responses")


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ({"num_val_clips": "a"}, "num_val_clips='a': expected a whole number"),
        ({"num_val_clips": 1.5}, "num_val_clips=1.5: expected a whole number"),
        ({"clip_length": 2.5}, "clip_length=2.5: expected a whole number"),
        ({"clip_length": 10**6}, "clip_length=1000000: the movie has .* frames, expected two"),
        ({"train_chunk_size": None}, "train_chunk_size=None: expected a whole number"),
        ({"fr_normalization": "a"}, "fr_normalization='a': expected a positive number"),
        ({"allow_over_boundaries": "no"}, "allow_over_boundaries='no': expected True or False"),
        ({"normalize_stimuli": 3}, "normalize_stimuli=3: expected True or False"),
    ],
)
def test_options_of_openretina_of_another_kind(option, expected):
    with pytest.raises(ValueError, match=expected):
        na.torch.loaders(movie_tree(), compat="openretina", options=OPTIONS | option)


def test_what_is_done_instead_does_it():
    tree = image_tree()
    chosen = na.trials(na.select_units(tree, "unit_id in [1, 2]"), "presentation_id < 40")
    drawn = chosen.sel(unit_id=[2])
    (path,) = [p for p, node in drawn.subtree_with_keys if "stimulus" in node.data_vars][:1]
    drawn[f"{path}/stimulus"] = drawn[f"{path}/stimulus"].isel(channel=[0])
    options = {"normalize": False}
    loaders = na.torch.loaders(drawn, compat="neuralpredictors", batch_size=4, options=options)
    batch = next(iter(next(iter(loaders["train"].values()))))
    assert (batch.images.shape[:2], batch.responses.shape) == ((4, 1), (4, 1))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"compat": "neuralpredictors", "options": 3}, TypeError, "expected a dict, found 3"),
        ({"batch_size": "a"}, ValueError, "batch_size='a': expected a whole number"),
        ({"batch_size": 4, "seed": "a"}, ValueError, "seed='a': expected a whole number"),
        ({"batch_size": 49}, ValueError, "drop_last=True; give batch_size=36 or less"),
        ({"normalize": "stord"}, ValueError, "'stord': expected a list of variables or \"stored\""),
        ({"normalize": True}, ValueError, "normalize=True: expected a list of variables"),
        ({"normalize": "stored"}, NotInTree, r"statistics 'all' in m1/V1; .*give the variables"),
        ({"targets": 3}, ValueError, "expected a list of variables, found 3"),
    ],
)
def test_arguments_of_another_kind(options, error, message):
    with pytest.raises(error, match=message):
        na.torch.loaders(image_tree(), **{"inputs": ["stimulus"], "batch_size": 4} | options)


def test_silent_units_are_scaled_alike_whatever_is_selected(withheld):
    tree = na.open_datatree(withheld)
    every = na.torch.loaders(tree, compat="neuralpredictors")["train"]["27204-5-13"].dataset[0]
    assert np.ptp(tree["27204-5-13/V1/responses"][:, 0].values) < 1e-7  # the silent one
    for few in (tree.isel(unit_id=[0]), na.select_units(tree, "unit_id == 1")):
        alone = na.torch.loaders(few, compat="neuralpredictors")["train"]["27204-5-13"].dataset[0]
        torch.testing.assert_close(alone.responses, every.responses[:1], rtol=0, atol=0)


def test_a_transform_is_a_function_that_returns_the_batch():
    area = image_tree()["m1/V1"]
    with pytest.raises(
        TypeError, match="m1/V1: transform: expected a function of a batch.*found 3"
    ):
        na.torch.TrialDataset(area, ["stimulus"], transform=3)
    data = na.torch.TrialDataset(area, ["stimulus"], transform=lambda batch: None)
    with pytest.raises(TypeError, match="m1/V1: the transform returned None; it must return"):
        data.batch([0])


def test_a_session_of_a_tree_keeps_its_name():
    found = na.torch.loaders(image_tree()["m1"], ["stimulus"], ["responses"], batch_size=4)
    assert list(found["train"]) == ["m1"]


def test_a_session_without_a_train_tier(tmp_path):
    path = tmp_path / "static27204-5-13-GrayImageNet-94c6ff"
    write_static(path, StaticOptions(train=0, test=1, repeats=2, units=3, size=(3, 4)))
    tree = na.open_datatree(path)
    with pytest.raises(NotInTree, match="no node 'statistics' in 27204-5-13/V1"):
        na.torch.loaders(tree, compat="neuralpredictors")
    with pytest.raises(NotInTree, match="no tier 'train' in 27204-5-13/V1"):
        na.torch.loaders(tree, compat="neuralpredictors", options={"normalize": "train"})
    found = na.torch.loaders(tree, compat="neuralpredictors", options={"normalize": False})
    assert list(found) == ["validation", "test"]


def test_a_transform_set_on_repeats_is_used():
    area = image_tree()["m1/V1"]
    trials = na.torch.TrialDataset(area, ["stimulus"], ["responses"])
    repeats = na.torch.RepeatDataset(trials, np.arange(60) % 20)
    before = repeats.batch([0])["responses"].clone()
    repeats.transform = lambda batch: batch | {"responses": batch["responses"] * 2}
    torch.testing.assert_close(repeats.batch([0])["responses"], 2 * before)
