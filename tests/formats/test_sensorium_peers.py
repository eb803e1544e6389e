"""Against neuralpredictors: the same values; and its known faults, each with ours beside it.

For its repository (at a2055cd of June 2024), put a checkout on PYTHONPATH: its setup leaves out the
subpackages. Its release on the package index will do for all but the transforms of movies.
"""

import collections
import collections.abc
import importlib
import os
import pickle
import shutil

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.errors import FormatError, NotInTree
from neuroarrays.synthetic.sensorium import (
    DynamicOptions,
    StaticOptions,
    write_dynamic,
    write_static,
    write_zip,
)
from neuroarrays.testing import same_values

KINDS = ("images", "responses", "behavior", "pupil_center")


@pytest.fixture
def peer(monkeypatch):
    for name in ("Iterable", "Mapping"):  # its release on the index is for Python < 3.10
        monkeypatch.setattr(collections, name, getattr(collections.abc, name), raising=False)
    return importlib.import_module("neuralpredictors.data.datasets")


@pytest.fixture
def transforms(peer):
    return importlib.import_module("neuralpredictors.data.transforms")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "static26872-17-20-GrayImageNet-94c6ff"
    write_static(path, StaticOptions(train=12, validation=3, test=2, repeats=3))
    return path


def whole(batch):
    """A batch comes as one already."""
    return batch


def ours(path):
    """Our values of each kind of file, and tiers."""
    tree = na.open_datatree(path)
    session = next(iter(tree.children.values()))
    area = next(iter(session.children.values()))
    pupil = area["pupil"]
    behavior = [pupil["dilation"].values]
    if "dilation_derivative" in pupil:
        behavior.append(pupil["dilation_derivative"].values)
    return {
        "images": session["stimulus"].values,
        "responses": area["responses"].values,
        "behavior": np.stack([*behavior, area["speed"].values], axis=1),
        "pupil_center": np.stack([pupil["x"].values, pupil["y"].values], axis=1),
        "tiers": area["tier"].values,
    }


def packed(folder, as_zip):
    """The folder, or it gone and its zip for us; what theirs unpacks goes elsewhere."""
    if not as_zip:
        return folder, folder
    path = write_zip(folder)
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    shutil.rmtree(folder)
    return path, shutil.copy(path, elsewhere)


@pytest.mark.peers("neuralpredictors")
@pytest.mark.parametrize("as_zip", [False, True])
def test_raw_values_of_images(peer, folder, as_zip):
    ours_at, theirs_at = packed(folder, as_zip)
    found = ours(ours_at)
    theirs = peer.FileTreeDataset(str(theirs_at), *KINDS, use_cache=False)
    assert len(theirs) == len(found["tiers"])
    for i in range(len(theirs)):
        for kind in KINDS:
            assert same_values(getattr(theirs[i], kind), found[kind][i]), (kind, i)
    tiers = theirs.trial_info.tiers
    for tier in ("train", "validation", "test"):
        assert (tiers == tier).sum() == (found["tiers"] == tier).sum()


@pytest.mark.peers("neuralpredictors")
@pytest.mark.parametrize("as_zip", [False, True])
def test_raw_values_of_movies(peer, tmp_path, as_zip):
    path = tmp_path / "dynamic29515-10-12-Video-9b4f6a"
    write_dynamic(path, DynamicOptions(train=3, repeats=1))
    path, theirs_at = packed(path, as_zip)
    found = ours(path)
    theirs = peer.MovieFileTreeDataset(str(theirs_at), "videos", *KINDS[1:], use_cache=False)
    for i in range(len(theirs)):
        shown = np.moveaxis(theirs[i].videos, -1, 0)[:, None]
        assert same_values(shown, found["images"][i])
        for kind in KINDS[1:]:
            assert same_values(getattr(theirs[i], kind), found[kind][i]), (kind, i)
    assert same_values(np.sort(theirs.tiers), np.sort(found["tiers"]))
    area = na.open_datatree(path)["29515-10-12/unknown"]
    assert area.sizes["unit_id"] == 6
    assert theirs.n_neurons == 40  # the number of frames


@pytest.mark.peers("neuralpredictors")
def test_normalised_values_with_silent_units(peer, folder):
    transforms = importlib.import_module("neuralpredictors.data.transforms")
    theirs = peer.FileTreeDataset(str(folder), *KINDS)
    theirs.transforms.append(transforms.NeuroNormalizer(theirs))
    found = normalised(folder)
    assert (found["responses"][:, 0] != 0).any()  # a silent unit, by 1 % of the mean deviation
    for i in range(len(theirs)):
        point = theirs[i]
        np.testing.assert_allclose(found["responses"][i], point.responses, rtol=1e-5)
        np.testing.assert_allclose(found["stimulus"][i], point.images, rtol=1e-4, atol=1e-5)
        # theirs divides behaviour and does not centre it, by default; ours does
        speed = found["speed"][i] + float(found["speed_offset"])
        np.testing.assert_allclose(speed, point.behavior[2], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found["pupil/x"][i], point.pupil_center[0], rtol=1e-3, atol=1e-4)


@pytest.mark.peers("neuralpredictors")
def test_a_silent_unit_is_judged_by_its_session(peer, tmp_path):
    """The mean deviation is over the units of all areas, as theirs, which knows no areas."""
    pytest.importorskip("torch")
    transforms = importlib.import_module("neuralpredictors.data.transforms")
    folder = tmp_path / "static26872-17-20-GrayImageNet-94c6ff"
    write_static(folder, StaticOptions(train=12, validation=3, areas=("V1", "LM")))
    file = folder / "meta" / "statistics" / "responses" / "all" / "std.npy"
    std = np.load(file)
    std[::2] *= 100  # every second unit is in V1
    std[[0, 1]] = 0
    np.save(file, std)
    theirs = peer.FileTreeDataset(str(folder), "images", "responses")
    normalizer = transforms.NeuroNormalizer(theirs)
    session = na.open_datatree(folder)["26872-17-20"]
    for first, name in enumerate(("V1", "LM")):
        scale = na.torch.Normalize.stored(session[name], ["responses"])
        precision = normalizer._response_precision[first::2]
        np.testing.assert_allclose(1 / scale.std["responses"], precision, rtol=1e-6)


@pytest.mark.peers("neuralpredictors")
def test_normalised_movies(peer, transforms, tmp_path):
    """With folders called as in older exports, the only ones that the release normalises."""
    pytest.importorskip("torch")
    path = tmp_path / "dynamic29515-10-12-Video-9b4f6a"
    write_dynamic(path, DynamicOptions(train=5, repeats=2))
    for part in ("data", "meta/statistics"):
        (path / part / "videos").rename(path / part / "inputs")
    theirs = peer.MovieFileTreeDataset(str(path), "inputs", *KINDS[1:])
    normalizer = transforms.NeuroNormalizer(theirs)
    std = theirs.statistics.responses.all.std
    # the mean deviation of the release is NaN where one is, of its repository it is of the others
    normalizer._response_precision = 1 / np.maximum(std, 0.01 * np.nanmean(std))
    theirs.transforms.append(normalizer)
    area = na.open_datatree(path)["29515-10-12/unknown"]
    names = ["responses", "stimulus", "speed", "pupil/dilation", "pupil/y"]
    dataset = na.torch.TrialDataset(area, names, transform=na.torch.Normalize.stored(area, names))
    batch = dataset.batch(range(len(dataset)))
    node = area["statistics/all"].to_dataset()
    for i in range(len(theirs)):
        point = theirs[i]
        speed = batch["speed"][i].numpy() + (node["speed_mean"] / node["speed_std"]).values
        for found, expected in (
            (batch["responses"][i].numpy(), point.responses),
            (batch["stimulus"][i, :, 0].numpy(), np.moveaxis(point.inputs, -1, 0)),
            (speed, point.behavior[1]),  # theirs is not centred
            (batch["pupil/y"][i].numpy(), point.pupil_center[1]),
        ):
            known = np.isfinite(found)  # theirs divides by 0 where no training trial reaches
            assert known[..., :20].any()
            np.testing.assert_allclose(found[known], expected[known], rtol=2e-3, atol=2e-3)


@pytest.mark.peers("neuralpredictors")
def test_transforms_are_selections(peer, transforms, tmp_path):
    """What is a transform there is a selection by label or place here."""
    path = tmp_path / "dynamic29515-10-12-Video-9b4f6a"
    write_dynamic(path, DynamicOptions(train=3, repeats=1))
    area = na.open_datatree(path)["29515-10-12/unknown"]
    axes = {"videos": -1, "responses": -1, "behavior": -1, "pupil_center": -1}

    def theirs(*made):
        data = peer.MovieFileTreeDataset(str(path), "videos", *KINDS[1:])
        data.transforms.extend(made)
        return data

    row, groups = 1, list(axes)
    trial = area.isel(presentation_id=row)
    some = transforms.Subsample([4, 1], target_index={"responses": 0})
    ids = area["unit_id"].values[[4, 1]]
    assert same_values(trial["responses"].sel(unit_id=ids).values, theirs(some)[row].responses)
    window = transforms.Subsequence(frames=10, channel_first=(*KINDS[1:],), offset=7)
    expected = theirs(window)[row]
    shown = trial["responses"].sel(time=slice(6.9 / 30, 16.1 / 30))
    assert same_values(shown.values, expected.responses)
    assert same_values(trial["speed"].isel(time=slice(7, 17)).values, expected.behavior[1])
    if not hasattr(transforms, "CutVideos"):  # of its repository, not of the release
        return
    cut = transforms.CutVideos(max_frame=25, frame_axis=axes, target_groups=groups)
    expected = theirs(cut)[row]
    assert same_values(trial["responses"].isel(time=slice(25)).values, expected.responses)
    assert same_values(trial["pupil/x"].isel(time=slice(25)).values, expected.pupil_center[0])
    whole = transforms.CutVideos(max_frame=None, frame_axis=axes, target_groups=groups)
    expected = theirs(whole)[row]
    inside = trial["responses"].isel(time=trial["valid"].values)
    assert same_values(inside.values, expected.responses)
    running = transforms.SelectBehaviorChannels([1])
    assert same_values(trial["speed"].values, theirs(running)[row].behavior[0])
    order = transforms.ChangeChannelsOrder((2, 0, 1), in_name="videos")
    shown = area.parent["stimulus"].isel(presentation_id=row, channel=0)
    assert same_values(shown.values, theirs(order)[row].videos)


@pytest.mark.peers("neuralpredictors")
def test_what_a_dataset_of_theirs_promises(peer, transforms, folder):
    """Its length, items, tables and statistics, and its errors, beside ours."""
    pytest.importorskip("torch")
    exceptions = importlib.import_module("neuralpredictors.data.exceptions")
    theirs = peer.FileTreeDataset(str(folder), *KINDS)
    area = na.open_datatree(folder)["26872-17-20/V1"]
    names = ["stimulus", "responses", "pupil/dilation"]
    data = na.torch.TrialDataset(area, names, dtype=None)
    assert len(data) == len(theirs)
    assert data[-1]["presentation_id"] == len(theirs) - 1
    assert theirs[3]._fields == KINDS
    assert set(data[3]) >= set(names)
    for name in {*theirs.trial_info.keys()} - {"frame_trial_ts"}:
        np.testing.assert_array_equal(data.trial_info[name], theirs.trial_info[name])

    # a column of meta/trials as a field, a renamed field, an item as a dict
    mixed = peer.FileTreeDataset(
        str(folder),
        "responses",
        "trial_idx",
        output_rename={"responses": "targets"},
        output_dict=True,
    )
    item = mixed[5]
    assert list(item) == ["targets", "trial_idx"]
    assert same_values(data[5]["responses"].numpy(), item["targets"])
    assert item["trial_idx"] == data.trial_info.trial_idx[[5]]

    # a choice of neurons goes through their tables
    theirs.transforms.append(transforms.Subsample([6, 2]))
    some = na.torch.TrialDataset(area.isel(unit_id=[6, 2]), ["responses"], dtype=None)
    np.testing.assert_array_equal(some.neurons.unit_ids, theirs.neurons.unit_ids)
    assert same_values(some[0]["responses"].numpy(), theirs[0].responses)

    # statistics by name
    stored = area["statistics/all"].to_dataset()
    for kind, name in (("images", "stimulus"), ("responses", "responses")):
        for stat in ("mean", "std", "min", "max", "median"):
            expected = theirs.statistics[kind]["all"][stat]
            np.testing.assert_array_equal(stored[f"{name}_{stat}"], expected)

    # what does not fit
    with pytest.raises(exceptions.DoesNotExistException):
        peer.FileTreeDataset(str(folder), "videos")
    with pytest.raises(NotInTree, match="no variable 'videos'"):
        na.torch.TrialDataset(area, ["videos"])
    (folder / "data" / "behavior" / "0.npy").unlink()
    with pytest.raises(exceptions.InconsistentDataException):
        peer.FileTreeDataset(str(folder), *KINDS)
    with pytest.raises(FormatError, match=r"data/behavior: .*lacks '0.npy'"):
        na.open_datatree(folder)


@pytest.mark.peers("neuralpredictors")
def test_what_theirs_does(peer, transforms, folder, tmp_path):
    """The faults that the tests below show not to be ours."""
    swapped = peer.FileTreeDataset(str(folder), "responses", "images")[0]
    assert swapped.responses.shape == (1, 9, 16)
    assert swapped.images.shape == (8,)
    three = peer.FileTreeDataset(str(folder), *KINDS)
    with pytest.raises(pickle.PicklingError):
        pickle.dumps(three[0])  # in a worker this is a wait without end
    three[0].responses[...] = -1
    assert (three[0].responses == -1).all()
    assert (folder / "config.json").exists()
    path = tmp_path / "dynamic29515-10-12-Video-9b4f6a"
    write_dynamic(path, DynamicOptions(train=3, repeats=1))
    movie = peer.MovieFileTreeDataset(str(path), "responses", "behavior")
    movie.transforms.append(
        transforms.Subsequence(frames=40, channel_first=("responses", "behavior"))
    )
    with pytest.raises(ValueError, match="high <= 0"):
        movie[0]
    (folder / "data" / "responses" / "4.npy").unlink()
    (folder / "data" / "images" / "4.npy").unlink()
    gap = peer.FileTreeDataset(str(folder), "images", "responses")
    with pytest.raises(FileNotFoundError):
        gap[4]


def normalised(folder):
    """Values by the statistics on disk."""
    pytest.importorskip("torch")
    tree = na.open_datatree(folder)
    area = tree["26872-17-20/V1"]
    names = ["responses", "stimulus", "speed", "pupil/x"]
    scale = na.torch.Normalize.stored(area, names)
    assert "train" in scale.stated
    dataset = na.torch.TrialDataset(area, names, transform=scale)
    batch = dataset.batch(range(len(dataset)))
    found = {name: batch[name].numpy() for name in names}
    node = area["statistics/all"]
    return found | {"speed_offset": (node["speed_mean"] / node["speed_std"]).item()}


def test_statistics_of_zero_or_nan_are_seen(folder):
    where = folder / "meta" / "statistics"
    std = np.load(where / "responses" / "all" / "std.npy")
    std[3] = np.nan
    np.save(where / "responses" / "all" / "std.npy", std)
    np.save(where / "behavior" / "all" / "std.npy", np.zeros(3, np.float32))
    np.save(where / "behavior" / "all" / "mean.npy", np.zeros(3, np.float32))
    found = normalised(folder)
    area = na.open_datatree(folder)["26872-17-20/V1"]
    assert np.isfinite(found["responses"][:, [0, 1, 2, 4, 5, 6, 7]]).all()
    assert np.isnan(found["responses"][:, 3]).all()  # not known: not a number
    np.testing.assert_allclose(found["speed"], area["speed"].values, rtol=1e-6)  # theirs: inf
    np.save(where / "responses" / "all" / "std.npy", np.full_like(std, np.nan))
    assert np.isnan(normalised(folder)["responses"]).all()  # and no warning
    with pytest.raises(na.NotInTree, match="stimulus_Clip"):
        na.torch.Normalize.stored(area, ["responses"], scope="stimulus_Clip")
    with pytest.raises(na.NotInTree, match="withheld_mean"):
        na.torch.Normalize.stored(area, ["withheld"])


def test_loaders_that_normalise_read_each_file_once(folder, monkeypatch):
    pytest.importorskip("torch")
    opened = []
    real = os.open

    def seen(path, *args, **kwargs):
        opened.append(os.fspath(path))
        return real(path, *args, **kwargs)

    tree = na.open_datatree(folder)
    names = ["stimulus"], ["responses"]
    monkeypatch.setattr(os, "open", seen)
    made = na.torch.loaders(tree, *names, batch_size=8, normalize=["stimulus", "responses"])
    for side in made.values():
        for loader in side.values():
            for _ in loader:
                pass
    images = [path for path in opened if "/data/images/" in path]
    assert len(images) == len(set(images)) == tree["26872-17-20"].sizes["presentation_id"]


def test_fields_are_not_swapped(folder):
    """Theirs fills (images, responses) by position, whatever order they were asked for in."""
    tree = na.open_datatree(folder)["26872-17-20"]
    for names in (("responses", "stimulus"), ("stimulus", "responses")):
        found = {n: (tree if n == "stimulus" else tree["V1"])[n] for n in names}
        assert found["responses"].dims == ("presentation_id", "unit_id")
        assert found["stimulus"].shape[1:] == (1, 9, 16)


def test_what_is_handed_out_is_ones_own(folder):
    """Theirs hands out the array in its cache: written to once, it is changed for ever."""
    area = na.open_datatree(folder)["26872-17-20/V1"]
    for name in ("responses", "speed"):
        before = area[name].variable[3:5].copy().values
        handed = area[name].variable[3:5].values
        handed[...] = -1
        assert same_values(area[name].variable[3:5].values, before)


def test_the_last_window_of_a_movie_is_there(tmp_path):
    """Theirs never draws it, and raises for a window as long as the movie."""
    path = tmp_path / "dynamic29515-10-12-Video-9b4f6a"
    write_dynamic(path, DynamicOptions(train=3, repeats=1))
    responses = na.open_datatree(path)["29515-10-12/unknown/responses"]
    for length in (10, 40):
        last = responses.isel(presentation_id=0, time=slice(40 - length, 40))
        assert last.sizes["time"] == length
        whole = np.load(path / "data" / "responses" / "0.npy")
        assert same_values(last.values, whole[:, 40 - length :])


def test_a_worker_gets_samples(folder):
    """Theirs hang for ever, as their samples cannot be pickled."""
    torch = pytest.importorskip("torch")
    tree = na.open_datatree(folder)
    dataset = na.torch.TrialDataset(tree["26872-17-20/V1"], ["responses"])
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=5, num_workers=1, timeout=60, collate_fn=whole
    )
    found = np.concatenate([batch["responses"].numpy() for batch in loader])
    assert same_values(found, tree["26872-17-20/V1/responses"].values)


def test_neither_the_folder_nor_the_place_beside_a_zip_is_written(folder):
    """Theirs writes config.json into the folder and unpacks 20,000 files beside the zip."""
    packed = write_zip(folder)
    _ = ours(folder)
    assert not (folder / "config.json").exists()
    shutil.rmtree(folder)
    _ = ours(packed)
    assert [path.name for path in packed.parent.iterdir()] == [packed.name]


def test_gaps_in_the_numbers_are_noticed_on_opening(folder):
    """Theirs notices when the trial is asked for."""
    for kind in KINDS:
        (folder / "data" / kind / "4.npy").unlink()
    with pytest.raises(na.FormatError, match=r"4\.npy"):
        na.open_datatree(folder)


def test_behaviour_of_one_row_is_as_flat(folder):
    """The description of the data says 1 x 3."""
    expected = ours(folder)
    for kind in ("behavior", "pupil_center"):
        for path in (folder / "data" / kind).iterdir():
            np.save(path, np.load(path)[None])
    found = ours(folder)
    for kind in ("behavior", "pupil_center"):
        assert same_values(found[kind], expected[kind])
    area = na.open_datatree(folder)["26872-17-20/V1"]
    assert not area["behavior_withheld"].values.any()


def test_loaders_normalise_by_stored_statistics(folder):
    """Responses are divided by their deviation and not centred, as Sensorium's models take them."""
    pytest.importorskip("torch")
    tree = na.open_datatree(folder)
    area = tree["26872-17-20/V1"]
    found = na.torch.loaders(tree, ["stimulus"], ["responses"], batch_size=4, normalize="stored")
    scale = na.torch.Normalize.stored(area, ["responses"]).std["responses"].numpy()
    rows = np.flatnonzero(area["tier"].values == "validation")
    (batch,) = found["validation"]["26872-17-20"]
    expected = area["responses"].values[rows] / scale
    np.testing.assert_allclose(batch["responses"].numpy(), expected, rtol=1e-5)
