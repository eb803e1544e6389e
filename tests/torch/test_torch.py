"""Windows of a clock as torch batches."""

import multiprocessing
import pickle
from functools import partial

import numpy as np
import pytest
import xarray as xr

import neuroarrays as na
from neuroarrays import synthetic
from neuroarrays.errors import NotInTree, SchemaError

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
AREA = "A2929-200711/adn"
NAMES = ["spike_data", "head_direction/ry"]


@pytest.fixture(scope="module")
def area():
    return na.align(na.load_sample(), bin_width=0.02)[AREA]


def test_windows_are_the_trees_values_at_their_times(area):
    clips = na.torch.ClipDataset(area, NAMES, 1.0, stride=0.5, window=(700.0, 710.0))
    assert len(clips) == 19
    for i in (0, 7, 18):
        clip = clips[i]
        start = clip["time"].item()
        assert abs(start - (700.0 + 0.5 * i)) < 1e-9
        part = area.sel(time=slice(start, start + 1.0))
        np.testing.assert_array_equal(clip["spike_data"], part["spike_data"].values)
        np.testing.assert_allclose(
            clip["head_direction/ry"], part["head_direction/ry"].values, rtol=1e-6
        )


def test_a_batch_is_gathered_at_once_in_any_order(area):
    clips = na.torch.ClipDataset(area, NAMES, 0.5, window=(700.0, 720.0))
    indices = [7, 0, 39, 7]
    batch = clips.batch(indices)
    assert batch["spike_data"].shape == (4, 25, 7)
    assert batch["spike_data"].dtype == torch.float32
    for row, i in enumerate(indices):
        for name, values in clips[i].items():
            torch.testing.assert_close(batch[name][row], values)


def test_no_window_reaches_outside_its_part(area):
    clips = na.torch.ClipDataset(area, ["spike_data"], 1.0, stride=0.02, window=(700.0, 702.0))
    assert len(clips) == 51
    starts = clips.batch(range(51))["time"].numpy()
    assert starts.min() > 700 - 1e-9
    assert (starts + 1.0).max() < 702 + 1e-9


def test_loaders_shuffle_and_workers_agree(area, tmp_path):
    path = na.save(na.align(na.load_sample(), bin_width=0.02), tmp_path / "clock.h5")
    stored = na.open_datatree(path)[AREA]
    clips = na.torch.ClipDataset(stored, NAMES, 1.0, window=(700.0, 730.0))
    want = clips.batch(range(30))["spike_data"]
    again = pickle.loads(pickle.dumps(clips))
    torch.testing.assert_close(again.batch(range(30))["spike_data"], want)
    loader = torch.utils.data.DataLoader(
        clips,
        batch_size=8,
        shuffle=True,
        num_workers=2,
        collate_fn=_same,
        generator=torch.Generator().manual_seed(1),
    )
    batches = list(loader)
    order = torch.cat([b["time"] for b in batches])
    assert sorted(order.tolist()) == clips.batch(range(30))["time"].tolist()
    assert order.tolist() != sorted(order.tolist())
    got = torch.cat([b["spike_data"] for b in batches])[torch.argsort(order)]
    torch.testing.assert_close(got, want)


def _same(batch):
    return batch


def test_what_cannot_be_cut_says_why(area):
    with pytest.raises(NotInTree, match="did you mean 'head_direction/ry'"):
        na.torch.ClipDataset(area, ["head_drection/ry"], 1.0)
    with pytest.raises(ValueError, match="at least one bin"):
        na.torch.ClipDataset(area, NAMES, 0.001)
    with pytest.raises(ValueError, match="no window of 5 s fits"):
        na.torch.ClipDataset(area, NAMES, 5.0, window=(700.0, 702.0))
    trials = na.align(na.load_sample(), "epochs", bin_width=60.0, dtype="uint16")[AREA]
    with pytest.raises(SchemaError, match="adn: spike_data is cut into presentations"):
        na.torch.ClipDataset(trials, ["spike_data"], 60.0)


# ---------------------------------------------------------------------------------------- loaders


@pytest.fixture
def trials():
    tree = synthetic.aligned_tree(sessions=2, areas=("VISp",), presentations=40, units=3)
    for session, tiers in (("session_0", [30, 6, 4]), ("session_1", [20, 8, 12])):
        area = tree[f"{session}/VISp"]
        column = np.repeat(["train", "validation", "test"], tiers).astype(object)
        table = area["presentations"].to_dataset(inherit=False)
        area["presentations"].dataset = table.assign(tier=("presentation_id", column))
    return tree


def test_loaders_have_the_shape_that_others_iterate(trials):
    found = na.torch.loaders(trials, ["pupil/x"], ["spike_data"], batch_size=4)
    assert list(found) == ["train", "validation", "test"]
    assert list(found["train"]) == ["session_0", "session_1"]
    shown = (
        "<TrialDataset of session_0/VISp: 30 samples, pupil/x (5,) float32, spike_data (3, "
        "5) float32>"
    )
    assert repr(found["train"]["session_0"]) == f"<Loader of 7 batches from {shown}>"
    batches = list(found["train"]["session_0"])
    assert [b["spike_data"].shape for b in batches] == [(4, 3, 5)] * 7
    ids = [i for b in batches for i in b["presentation_id"].tolist()]
    assert len(set(ids)) == 28
    assert max(ids) < 30
    ids = [i for b in found["test"]["session_1"] for i in b["presentation_id"].tolist()]
    assert ids == list(range(28, 40))


def test_areas_of_one_session_have_keys_of_their_own():
    tree = synthetic.aligned_tree(presentations=20)
    found = na.torch.loaders(
        tree, ["speed"], split=lambda area: {"train": np.arange(10)}, batch_size=2
    )
    assert list(found["train"]) == ["session_0/VISp", "session_0/CA1"]


def test_sides_that_share_are_refused(trials):
    with pytest.raises(SchemaError, match="session_0/VISp: 1 presentation both in 'train'"):
        na.torch.loaders(trials, ["speed"], split=lambda a: {"train": [0, 1], "test": [1]})
    with pytest.raises(SchemaError, match="session_0/VISp: split 'test' is empty"):
        na.torch.loaders(trials, ["speed"], split=lambda a: {"train": [0, 1], "test": []})
    with pytest.raises(NotInTree, match="no column 'fold' in the presentations of session_0/VISp"):
        na.torch.loaders(trials, ["speed"], split="fold")
    with pytest.raises(ValueError, match="session_1/VISp: split 'train' has no batch: 20 samples"):
        na.torch.loaders(trials, ["speed"], batch_size=25)
    with pytest.raises(SchemaError, match=r"this is a recording tree; give na.align\("):
        na.torch.loaders(na.load_sample(), ["spike_data"])
    with pytest.raises(NotInTree, match="no variable 'dilation'"):
        na.torch.loaders(trials, ["dilation"])


def test_test_sides_have_means_and_repeats(trials):
    found = na.torch.loaders(trials, ["pupil/x"], ["spike_data"], repeats="stimulus", batch_size=4)
    (batch,) = found["test"]["session_1"]
    assert batch["spike_data"].shape == (3, 3, 5)
    assert batch["spike_data_by_trial"].shape == (3, 4, 3, 5)
    assert batch["repeats"].tolist() == [4, 4, 4]
    torch.testing.assert_close(batch["spike_data"], batch["spike_data_by_trial"].mean(1))


def test_normalisation_is_that_of_the_train_side_and_says_so(trials):
    found = na.torch.loaders(
        trials, ["pupil/x"], ["spike_data"], normalize=["pupil/x"], batch_size=4
    )
    for session in ("session_0", "session_1"):
        values = trials[f"{session}/VISp/pupil/x"].values
        train = values[: 30 if session == "session_0" else 20].astype("f8")
        for side in ("train", "test"):
            loader = found[side][session]
            assert "train (" in loader.dataset.transform.stated
            assert "ddof=1" in loader.dataset.transform.stated
            for batch in [*loader, *loader]:  # a buffer used again is not normalised twice
                want = (values[batch["presentation_id"]] - train.mean()) / train.std(ddof=1)
                np.testing.assert_allclose(batch["pupil/x"], want, rtol=1e-4, atol=1e-5)


def test_normalisation_by_unit_leaves_nan_out():
    area = synthetic.aligned_tree(presentations=20)["session_0/VISp"]
    speed = area["speed"].values
    speed[3, 2] = np.nan
    speed[:, 4] = 2.0
    data = na.torch.TrialDataset(area, ["speed"])
    scale = na.torch.Normalize.fit(data, ["speed"], per_unit=True, ddof=0, split="all")
    np.testing.assert_allclose(scale.mean["speed"], np.nanmean(speed, 0), rtol=1e-6)
    np.testing.assert_allclose(scale.std["speed"][:4], np.nanstd(speed, 0)[:4], rtol=1e-5)
    assert scale.std["speed"][4] == 1
    kept = na.torch.Normalize.fit(data, ["speed"], center=False)
    assert kept.mean["speed"] == 0
    counts = na.torch.TrialDataset(area, ["spike_data"], dtype=None, transform=scale)
    assert counts[0]["spike_data"].dtype == torch.uint8
    other = na.torch.Normalize({"spike_data": torch.tensor(0.0)}, {}, "")
    with pytest.raises(ValueError, match="make the dataset with a float dtype"):
        other(counts[0])


def test_clips_train_anywhere_and_are_tested_whole(area):
    tree = na.align(na.load_sample(), bin_width=0.02)

    def rule(node):
        time = node["time"].values[33_600:35_600]
        return na.torch.splits.by_clip(time, 5.0, 3, seed=1)

    found = na.torch.loaders(
        tree, ["spike_data"], ["head_direction/ry"], length=0.6, split=rule, batch_size=8
    )
    train, valid = found["train"]["A2929-200711/adn"], found["validation"]["A2929-200711/adn"]
    held = rule(tree[AREA])["validation"]
    first, second = ([t for b in train for t in b["time"].tolist()] for _ in range(2))
    assert first != second
    for start in first + second:
        assert not ((start + 0.6 > held[:, 0] + 1e-6) & (start < held[:, 1] - 1e-6)).any()
    frames = sum(int(b["valid"].sum()) for b in valid)
    assert frames == 3 * 250


@pytest.fixture
def blocks():
    """Two recordings of one session as blocks, and their trees."""
    one, two = (synthetic.aligned_tree(areas=("VISp",), seed=s) for s in (0, 1))
    groups = {"/": one.to_dataset()}
    for name, tree in (("train", one), ("test", two)):
        groups |= {
            f"{name}/{p}": n.to_dataset(inherit=False)
            for p, n in tree.subtree_with_keys
            if p != "."
        }
    return xr.DataTree.from_dict(groups), one, two


def test_blocks_are_sides(blocks):
    tree, _, two = blocks
    found = na.torch.loaders(tree, ["spike_data"], split="block", batch_size=4)
    assert {side: len(loader) for side, part in found.items() for loader in part.values()} == {
        "train": 3,
        "test": 3,
    }
    assert list(found["train"]) == list(found["test"]) == ["session_0"]
    (loader,) = found["test"].values()
    np.testing.assert_array_equal(
        next(iter(loader))["spike_data"], two["session_0/VISp/spike_data"].values[:4].astype("f4")
    )


def test_a_test_block_is_normalised_by_the_train_block(blocks):
    tree, one, two = blocks
    options = {"split": "block", "batch_size": 4, "normalize": ["speed"]}
    found = na.torch.loaders(tree, ["speed"], **options)
    train, shown = (t["session_0/VISp/speed"].values.astype("f8") for t in (one, two))
    (loader,) = found["test"].values()
    want = (shown - np.nanmean(train)) / np.nanstd(train, ddof=1)
    np.testing.assert_allclose(next(iter(loader))["speed"], want[:4], rtol=1e-4, atol=1e-5)
    del tree["train"]
    with pytest.raises(
        SchemaError, match="test/session_0/VISp: no side 'train' to normalise by, only test"
    ):
        na.torch.loaders(tree, ["speed"], **options)


def test_a_train_block_may_be_split_and_normalises_the_test_block(blocks):
    tree, one, _ = blocks

    def rule(area):
        if area.path.startswith("/test"):
            return {"test": np.arange(12)}
        return {"train": np.arange(8), "validation": np.arange(8, 12)}

    found = na.torch.loaders(tree, ["speed"], split=rule, batch_size=4, normalize=["speed"])
    train = one["session_0/VISp/speed"].values[:8].astype("f8")
    for side in ("train", "validation", "test"):
        (loader,) = found[side].values()
        mean = loader.dataset.transform.mean["speed"].item()
        assert mean == pytest.approx(np.nanmean(train))


def test_what_loaders_cannot_do_they_say(trials, area):
    loaders = na.torch.loaders
    with pytest.raises(ValueError, match="expected a list of variables, got the text 'speed'"):
        loaders(trials, "speed")
    windows = {"inputs": ["spike_data"], "length": 1.0, "split": lambda a: {"train": [[671, 700]]}}
    with pytest.raises(
        ValueError, match="'train' has no batch: 29 samples an epoch, batch_size=30"
    ):
        loaders(area.root, batch_size=30, **windows)
    with pytest.raises(ValueError, match="repeats= is of presentations"):
        loaders(area.root, repeats="image", **windows)
    with pytest.raises(
        TypeError, match="split=None: expected the name of a column, 'block' or a function"
    ):
        loaders(trials, ["speed"], split=None)
    with pytest.raises(NotInTree, match="no variable to normalise 'sped'; .* did you mean 'speed'"):
        loaders(trials, ["speed"], normalize=["sped"])
    with pytest.raises(SchemaError, match="adn: spike_data is along time: give length="):
        loaders(area.root, ["spike_data"])
    with pytest.raises(SchemaError, match="VISp: rows: expected positions .* found float64"):
        loaders(trials, ["speed"], split=lambda a: {"train": [[0.0, 9.0]], "test": [[9.0, 20.0]]})
    with pytest.raises(ValueError, match="does not take length, normalize, split"):
        loaders(trials, compat="openretina", length=1.0, split="block", normalize=["speed"])
    with pytest.raises(TypeError, match=r"'train' is a dict: expected the loaders of one side"):
        na.torch.cycle(loaders(trials, ["speed"], batch_size=4))


# ------------------------------------------------------------------------- cycles, resuming, workers


@pytest.mark.parametrize("mode", ["longest", "shortest", "weighted"])
def test_cycles_go_through_sessions(trials, mode):
    found = na.torch.loaders(trials, ["spike_data"], batch_size=5)["train"]
    run = na.torch.cycle(found, mode)
    keys = [key for key, _ in run]
    assert len(keys) == len(run) == {"longest": 12, "shortest": 8, "weighted": 10}[mode]
    count = {key: keys.count(key) for key in found}
    assert (
        count
        == {
            "longest": {"session_0": 6, "session_1": 6},
            "shortest": {"session_0": 4, "session_1": 4},
            "weighted": {"session_0": 6, "session_1": 4},
        }[mode]
    )
    for key, batch in run:
        want = trials[f"{key}/VISp/spike_data"].values[batch["presentation_id"]]
        np.testing.assert_array_equal(batch["spike_data"], want)
    with pytest.raises(ValueError, match="at least one session"):
        na.torch.cycle({})


def ids(loader):
    return [b["presentation_id"].tolist() for _, b in loader]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stopped_epoch_goes_on_with_the_very_next_batch(trials, workers):
    def made(workers=workers):
        found = na.torch.loaders(trials, ["speed"], batch_size=4, num_workers=workers)["train"]
        return na.torch.cycle(found, "weighted")

    whole = made(workers=0)
    want = [ids(whole) for _ in range(3)]
    assert want[0] != want[1]
    one, got = made(), []
    got.append(ids(one))
    running = iter(one)
    part = [next(running)[1]["presentation_id"].tolist() for _ in range(3)]
    state = one.state_dict()  # workers have fetched ahead of it
    assert {"epoch": 1, "batch": 3}.items() <= state.items()
    del running
    other = made()
    other.load_state_dict(pickle.loads(pickle.dumps(state)))
    got.append(part + ids(other))
    got.append(ids(other))
    assert got == want
    other.load_state_dict({"epoch": 1, "batch": len(other)})
    assert ids(other) == want[2]
    one.set_epoch(2)
    assert ids(one) == want[2]


@pytest.mark.parametrize(
    "how", ["fork", *(pytest.param(h, marks=pytest.mark.slow) for h in ("forkserver", "spawn"))]
)
def test_workers_give_what_the_process_gives(how, tmp_path):
    recording = na.load_sample()
    path = na.save(na.align(recording, bin_width=0.02), tmp_path / "clock.h5")
    area = na.open_datatree(path)[AREA]
    for data in (
        na.torch.ClipDataset(area, NAMES, 1.0, window=(700.0, 716.0), labels=True),
        na.torch.ClipDataset(area, NAMES, 1.0, window=(700.0, 716.0), cache=False),
        na.torch.SpikeWindowDataset(recording[AREA], 1.0, window=(700.0, 716.0)),
    ):
        fresh = partial(na.torch.Batches, len(data), 4, shuffle=True)
        want = list(na.torch.Loader(data, fresh()))
        loader = na.torch.Loader(data, fresh(), num_workers=2, multiprocessing_context=how)
        got = list(loader)
        assert len(got) == len(want) == 4
        for one, other in zip(got, want, strict=True):
            assert one.keys() == other.keys()
            torch.testing.assert_close(one["spike_data"], other["spike_data"])


def test_one_pool_of_workers_serves_all_sessions(trials):
    found = na.torch.loaders(trials, ["speed"], batch_size=4, num_workers=2)["train"]
    run = na.torch.cycle(found)
    assert run.num_workers == 2
    before = set(multiprocessing.active_children())  # of other tests, which end when collected
    iterator = iter(run)
    next(iterator)
    assert len(set(multiprocessing.active_children()) - before) == 2
    assert len(list(iterator)) == len(run) - 1


@pytest.mark.peers("lightning")
def test_lightning_takes_the_loaders_and_resumes_inside_an_epoch(trials, tmp_path):
    lightning = pytest.importorskip("lightning", reason="lightning is not installed")
    found = na.torch.loaders(trials, ["spike_data"], ["speed"], batch_size=4)

    class Model(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.weight, self.seen = torch.nn.Parameter(torch.zeros(1)), []

        def training_step(self, batch, batch_idx):
            session, values = batch
            self.seen.append((session, values["presentation_id"].tolist()))
            return (values["spike_data"].mean() * self.weight).sum()

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def fit(ckpt_path=None, **options):
        model = Model()
        trainer = lightning.Trainer(
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            accelerator="cpu",
            use_distributed_sampler=False,
            **options,
        )
        trainer.fit(model, na.torch.cycle(found["train"], "weighted"), ckpt_path=ckpt_path)
        return model.seen

    whole = fit(max_epochs=2, enable_checkpointing=False)
    keep = lightning.pytorch.callbacks.ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=5)
    begun = fit(max_steps=5, callbacks=[keep])
    (path,) = tmp_path.glob("*.ckpt")
    ended = fit(path, max_epochs=2, enable_checkpointing=False)
    assert len(whole) == 2 * len(na.torch.cycle(found["train"], "weighted"))
    assert begun + ended == whole
