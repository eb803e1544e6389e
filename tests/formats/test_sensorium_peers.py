"""Against neuralpredictors: the same values; and its known faults, each with ours beside it.

experanto is on the package index by name only (version 0.0, without code), so there is nothing to compare with.
"""

import collections
import collections.abc
import shutil

import numpy as np
import pytest

import neuroarrays as na
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
    return pytest.importorskip(
        "neuralpredictors.data.datasets", reason="neuralpredictors is not installed"
    )


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
        "images": session["stimulus"].values, "responses": area["responses"].values,
        "behavior": np.stack([*behavior, area["speed"].values], axis=1),
        "pupil_center": np.stack([pupil["x"].values, pupil["y"].values], axis=1),
        "tiers": area["tier"].values,
    }  # fmt: skip


def test_raw_values_of_images(peer, folder):
    found = ours(folder)
    theirs = peer.FileTreeDataset(str(folder), *KINDS, use_cache=False)
    assert len(theirs) == len(found["tiers"])
    for i in range(len(theirs)):
        for kind in KINDS:
            assert same_values(getattr(theirs[i], kind), found[kind][i]), (kind, i)
    tiers = theirs.trial_info.tiers
    for tier in ("train", "validation", "test"):
        assert (tiers == tier).sum() == (found["tiers"] == tier).sum()


def test_raw_values_of_movies(peer, tmp_path):
    path = tmp_path / "dynamic29515-10-12-Video-9b4f6a"
    write_dynamic(path, DynamicOptions(train=3, repeats=1))
    found = ours(path)
    theirs = peer.MovieFileTreeDataset(str(path), "videos", *KINDS[1:], use_cache=False)
    for i in range(len(theirs)):
        shown = np.moveaxis(theirs[i].videos, -1, 0)[:, None]
        assert same_values(shown, found["images"][i])
        for kind in KINDS[1:]:
            assert same_values(getattr(theirs[i], kind), found[kind][i]), (kind, i)
    area = na.open_datatree(path)["29515-10-12/unknown"]
    assert area.sizes["unit_id"] == 6  # theirs says 40, the number of frames


def test_normalised_values_with_silent_units(peer, folder):
    transforms = pytest.importorskip("neuralpredictors.data.transforms")
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


def normalised(folder):
    """Values by the statistics on disk."""
    pytest.importorskip("torch")
    tree = na.open_datatree(folder)
    area = tree["26872-17-20/V1"]
    names = ["responses", "stimulus", "speed", "pupil/x"]
    scale = na.torch.Normalize.stored(area, names)
    assert "train" in scale.stated
    dataset = na.torch.TrialDataset(area, names, transform=scale)
    batch = dataset.__getitems__(range(len(dataset)))
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
    with pytest.raises(na.NotInTree, match="stimulus_Clip"):
        na.torch.Normalize.stored(area, ["responses"], scope="stimulus_Clip")
    with pytest.raises(na.NotInTree, match="withheld_mean"):
        na.torch.Normalize.stored(area, ["withheld"])


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
