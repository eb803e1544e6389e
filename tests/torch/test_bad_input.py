"""What goes wrong in a training is named: sessions that differ, states of other data, ends of others."""

import os

import numpy as np
import pytest
import xarray as xr

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")

import neuroarrays as na  # noqa: E402
from neuroarrays import synthetic  # noqa: E402
from neuroarrays.errors import SchemaError  # noqa: E402

PATHS = ("session_0/VISp", "session_1/VISp")


@pytest.fixture
def tree():
    return synthetic.aligned_tree(sessions=2, areas=("VISp",), presentations=40)


def sides(area):
    return na.torch.splits.by_block(area.sizes["presentation_id"], seed=1)


def test_a_session_without_a_target_that_others_have_is_said(tree):
    area = tree[PATHS[1]].to_dataset(inherit=False)
    tree[PATHS[1]].dataset = area.drop_vars("speed")
    with pytest.warns(UserWarning, match="without 'speed', .* left out: 'session_1/VISp'"):
        found = na.torch.loaders(tree, ["spike_data"], ["speed"], split=sides, batch_size=4)
    assert list(found["train"]) == ["session_0"]


def test_a_variable_in_other_units_is_refused(tree):
    tree[PATHS[1]]["speed"].attrs["units"] = "m/s"
    with pytest.raises(
        SchemaError, match="the unit of speed is 'cm/s' in session_0/VISp, and 'm/s' in sess"
    ):
        na.torch.loaders(tree, ["spike_data"], ["speed"], split=sides, batch_size=4)
    parts = [na.torch.TrialDataset(tree[path], ["speed"]) for path in PATHS]
    with pytest.raises(SchemaError, match="convert one of them"):
        na.torch.Stack(parts)


def test_a_state_of_another_dataset_is_refused(tree):
    data = na.torch.TrialDataset(tree[PATHS[0]], ["speed"])
    loader = na.torch.Loader(data, na.torch.Batches(40, 8))
    loader.load_state_dict({"epoch": 0, "batch": 5})  # the end of an epoch
    with pytest.raises(
        ValueError, match="after batch 6 of an epoch, here an epoch has 5: it is of"
    ):
        loader.load_state_dict({"epoch": 0, "batch": 6})
    state = loader.state_dict()
    fewer = na.torch.TrialDataset(tree[PATHS[0]], ["speed"], rows=range(39))
    for other in (fewer, na.torch.OnDevice(fewer, "cpu"), torch.utils.data.Subset(data, range(39))):
        with pytest.raises(SchemaError, match="samples: 40 in the state, 39 here"):
            na.torch.Loader(other, na.torch.Batches(39, 8)).load_state_dict(state)
    kept = na.torch.OnDevice(data, "cpu")  # the same data
    na.torch.Loader(kept, na.torch.Batches(40, 8)).load_state_dict(state)


def test_targets_that_are_not_known_anywhere_are_named(tree):
    tree[PATHS[0]]["speed"][:] = np.nan
    data = na.torch.TrialDataset(tree[PATHS[0]], ["spike_data", "speed"])
    with pytest.raises(ValueError, match=r"session_0/VISp: speed is NaN in all of 40"):
        na.torch.Normalize.fit(data, ["speed"])


def test_a_target_that_is_known_nowhere_is_said_with_the_first_batch(tree):
    tree[PATHS[1]]["speed"][:] = np.nan
    expected = r"session_1/VISp: the target speed is NaN in all of \d+ samples of 'train'"
    for options in ({}, {"num_workers": 1, "multiprocessing_context": "fork"}):
        found = na.torch.loaders(
            tree, ["spike_data"], ["speed"], split=sides, batch_size=4, **options
        )
        with pytest.raises(SchemaError, match=expected):
            list(na.torch.cycle(found["train"]))
    data = na.torch.TrialDataset(tree[PATHS[1]], ["spike_data"], ["speed"])
    with pytest.raises(SchemaError, match="NaN in all of 40 samples: nothing .* Leave out this"):
        na.torch.OnDevice(data, "cpu")
    with pytest.raises(SchemaError, match="NaN in all of 40 samples"):
        na.torch.RepeatDataset(data, np.arange(40) // 2).batch([0])
    assert na.torch.TrialDataset(tree[PATHS[1]], ["speed"]).batch([0])["speed"].isnan().all()


@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_dies_ends_the_loop(tree):
    def dies(batch):
        os._exit(1)

    data = na.torch.TrialDataset(tree[PATHS[0]], ["speed"], transform=dies)
    loader = na.torch.Loader(
        data, na.torch.Batches(40, 8), num_workers=1, multiprocessing_context="fork"
    )
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        list(loader)


@pytest.mark.parametrize("kind", ["trials", "clips", "windows", "tokens", "repeats", "stack"])
def test_torchs_own_loader_takes_every_dataset(tree, kind):
    from torch.utils.data import ConcatDataset, DataLoader, Subset, random_split

    recording = na.load_sample()["A2929-200711/adn"]
    trials = [na.torch.TrialDataset(tree[path], ["spike_data"], ["speed"]) for path in PATHS]
    span = {"window": (671.0, 695.0)}
    data = {
        "trials": lambda: trials[0],
        "clips": lambda: na.torch.ClipDataset(
            na.align(na.load_sample(), bin_width=0.1)["A2929-200711/adn"],
            ["spike_data"],
            1.0,
            **span,
        ),
        "windows": lambda: na.torch.SpikeWindowDataset(recording, 1.0, **span),
        "tokens": lambda: na.torch.SpikeEventDataset(recording, 1.0, width=200, **span),
        "repeats": lambda: na.torch.RepeatDataset(trials[0], np.arange(40) // 2),
        "stack": lambda: na.torch.Stack(trials),
    }[kind]()
    n = len(data)
    generator = torch.Generator().manual_seed(0)
    half = random_split(data, [n // 2, n - n // 2], generator)[0]
    for parts in (data, Subset(data, [3, 1, 2]), half, ConcatDataset([data, data])):
        batches = list(DataLoader(parts, batch_size=8, shuffle=True))
        sizes = [len(next(iter(batch.values()))) for batch in batches]
        assert sum(sizes) == len(parts)
        assert set(batches[0]) == set(data.batch([0]))


def test_texts_along_a_clock_are_encoded(tree):
    clock = na.align(na.load_sample(), bin_width=0.1)["A2929-200711/adn"]
    words = np.where(np.arange(clock.sizes["time"]) % 2, "left", "right").astype(object)
    area = clock.to_dataset().assign(side=("time", words))
    data = na.torch.ClipDataset(
        area,
        ["spike_data"],
        1.0,
        ["side"],
        encode={"side": ["left", "right"]},
        window=(671.0, 680.0),
    )
    batch = data.batch([0, 1])
    assert batch["side"].dtype == torch.int64
    assert batch["side"][0].tolist() in ([0, 1] * 5, [1, 0] * 5)
    assert data.encodings == {"side": ["left", "right"]}


def test_options_that_would_do_nothing_are_refused_and_samplers_are_not_replaced(tree):
    data = na.torch.TrialDataset(tree[PATHS[0]], ["speed"])
    order = na.torch.Batches(40, 8)
    with pytest.raises(ValueError, match="timeout=5 is for worker processes"):
        na.torch.Loader(data, order, timeout=5)
    # what Trainer.predict of Lightning does with loaders and samplers
    with pytest.raises(
        ValueError, match=r"is batches=; .*predict.* needs torch's own loader: Data"
    ):
        na.torch.Loader(data, order, batch_sampler=order)
    with pytest.raises(ValueError, match=r"n: expected the number .*len\(data\), .*torch's own"):
        na.torch.Batches(torch.utils.data.SequentialSampler(data), batch_size=8, drop_last=False)


def small(values, **options):
    """A dataset of one own variable `x`."""
    rows = xr.Dataset({"x": ("presentation_id", np.asarray(values))})
    return na.torch.TrialDataset(rows, ["x"], **options)


@pytest.mark.parametrize("wrong", [[True, False, True], np.ones(3, bool), [0.0, 1.0], 1, [[0]]])
def test_a_mask_or_other_things_are_no_numbers_of_samples(wrong):
    data = small([1, 2, 3])
    with pytest.raises(TypeError, match="expected numbers of samples"):
        data.batch(wrong)
    assert data.batch(np.array([2, 0], "u1"))["x"].tolist() == [3.0, 1.0]
    assert data.batch([])["x"].shape == (0,)


@pytest.mark.parametrize("wrong", [True, 1.0, [0], slice(0, 2), "a"])
def test_one_sample_has_a_number(wrong):
    with pytest.raises(TypeError, match="expected the number of one sample"):
        small([1, 2, 3])[wrong]


def test_a_subset_by_a_mask_is_refused_and_not_samples_0_and_1():
    subset = torch.utils.data.Subset(small([1, 2, 3]), [True, False, True])
    with pytest.raises(TypeError, match="np.flatnonzero"):
        next(iter(torch.utils.data.DataLoader(subset, batch_size=2)))


@pytest.mark.parametrize("dtype", [">f8", ">f4", ">i2", ">u2", "<i8"])
def test_values_in_the_byte_order_of_another_machine_become_tensors(dtype):
    found = small(np.array([1, 300, 3], dtype), dtype=None).batch([1, 2])["x"]
    assert found.tolist() == [300, 3]


def test_the_value_that_a_dtype_cannot_hold_is_named():
    with pytest.raises(OverflowError, match="x has the value -3, which uint8 cannot hold"):
        small(np.array([-3, 7], "i2"), dtype="uint8").batch([0, 1])
    with pytest.raises(OverflowError, match="x has the value 300, which uint8 cannot hold"):
        small(np.array([1, 300], "i2"), dtype="uint8").batch([0, 1])


def test_a_text_target_is_told_how_it_gets_codes():
    with pytest.raises(SchemaError, match="give encode="):
        small(["a", "b"])
