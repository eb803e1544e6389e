"""A batch that the user keeps stays as it came, although its memory is reused once it is dropped."""

import threading
from collections.abc import Mapping

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")

from torch.utils.data import ConcatDataset, DataLoader, Subset  # noqa: E402

import neuroarrays as na  # noqa: E402
from neuroarrays import synthetic  # noqa: E402

N = 24


@pytest.fixture(scope="module")
def tree():
    return synthetic.aligned_tree(3, areas=("VISp",), presentations=N)


@pytest.fixture(scope="module")
def parts(tree):
    return [
        na.torch.TrialDataset(tree[f"session_{i}/VISp"], ["speed"], ["spike_data"])
        for i in range(3)
    ]


def sampler(n=N, seed=2):
    return na.torch.Batches(n, 4, shuffle=True, seed=seed)


def sides(area):
    return na.torch.splits.by_block(area.sizes["presentation_id"], seed=1)


def arrays(batch):
    """All arrays of a batch, or of a tuple of batches."""
    if isinstance(batch, Mapping | tuple | list):
        values = batch.values() if isinstance(batch, Mapping) else batch
        return [array for value in values for array in arrays(value)]
    return [np.asarray(batch)] if isinstance(batch, np.ndarray | torch.Tensor) else []


def check_kept(batches, least):
    """Each batch is compared at the end with the copy that was taken when it came."""
    kept = []
    for batch in batches:
        kept.append((batch, [array.copy() for array in arrays(batch)]))
    assert len(kept) >= least
    assert len({array.tobytes() for _, copies in kept for array in copies[:1]}) > least // 2
    for batch, copies in kept:
        for array, copy in zip(arrays(batch), copies, strict=True):
            np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("module", [na.torch, na.batches])
def test_sessions_that_share_their_memory(tree, module, prefetch):
    found = module.loaders(
        tree, ["speed"], ["spike_data"], batch_size=3, split=sides, prefetch=prefetch
    )
    first, second = (module.cycle(found["train"], mode) for mode in ("longest", "weighted"))
    check_kept(first, 9)
    check_kept(zip(first, second, strict=True), 9)
    check_kept(zip(first, first, strict=True), 9)
    one, other = iter(first), iter(second)
    check_kept((next(turn) for _ in range(5) for turn in (one, other)), 10)
    validation = module.cycle(found["validation"], "in order")
    check_kept((each for batch in first for each in (batch, *validation)), 18)
    check_kept((batch["speed"][1:2] for _, batch in first), 9)  # a view


@pytest.mark.parametrize("prefetch", [0, 2])
def test_loaders_of_one_dataset(parts, prefetch):
    data = parts[0]
    repeats = na.torch.RepeatDataset(data, np.arange(N) // 2)
    for dataset in (
        data,
        Subset(data, range(N)),
        ConcatDataset(parts),
        na.torch.Stack([data, data]),
        repeats,
        na.torch.OnDevice(data, "cpu"),
    ):
        order = sampler(len(dataset))
        check_kept(na.torch.Loader(dataset, order, prefetch=prefetch), 3)
        check_kept(na.torch.Loader(dataset, order, prefetch=prefetch, device="cpu"), 3)
    loaders = [na.torch.Loader(data, sampler(seed=seed), prefetch=prefetch) for seed in (1, 2)]
    check_kept(zip(*loaders, strict=True), 6)
    check_kept((batch["speed"].numpy() for batch in loaders[0]), 6)


def test_torchs_own_loader_and_samples_one_by_one(parts):
    data = parts[0]
    check_kept(DataLoader(data, batch_size=4, shuffle=True), 6)
    check_kept(DataLoader(data, batch_size=4, collate_fn=na.torch.collate), 6)
    check_kept((data[i] for i in range(N)), N)


@pytest.mark.slow
def test_worker_processes(parts):
    check_kept(na.torch.Loader(parts[0], sampler(), num_workers=2), 6)
    check_kept(DataLoader(parts[0], batch_size=4, num_workers=2, collate_fn=na.torch.collate), 6)


def test_threads_that_gather_at_once(parts):
    sessions = na.torch.cycle(
        {str(i): na.torch.Loader(part, sampler()) for i, part in enumerate(parts)}
    ).dataset
    errors = []

    def work():
        try:
            batches = ((i % 3, range(i % 5, N, 5)) for i in range(30))
            check_kept((sessions.batch([(s, i) for i in numbers]) for s, numbers in batches), 8)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
