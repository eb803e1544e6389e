"""A thread that gathers ahead for torch: what `tests/batches/test_prefetch.py` tests, and tensors."""

import threading
from collections import namedtuple

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")

import neuroarrays as na  # noqa: E402
from neuroarrays import synthetic  # noqa: E402
from neuroarrays.errors import NotInTree  # noqa: E402
from neuroarrays.torch import datasets, loading, transfer  # noqa: E402

AREA = "session_0/VISp"


@pytest.fixture(scope="module")
def tree():
    return synthetic.aligned_tree(1, presentations=40)


@pytest.fixture(scope="module")
def data(tree):
    return na.torch.TrialDataset(tree[AREA], ["speed"], ["spike_data"], labels=True)


def batches():
    return na.torch.Batches(40, 4, shuffle=True, seed=2)


def sides(area):
    return na.torch.splits.by_block(area.sizes["presentation_id"], seed=1)


def test_a_thread_gives_what_the_loop_would_gather(data):
    from torch.utils.data import ConcatDataset, Subset

    for parts in (data, Subset(data, range(40)), ConcatDataset([data])):
        plain = list(na.torch.Loader(parts, batches()))
        ahead = list(na.torch.Loader(parts, batches(), prefetch=2))
        assert len(ahead) == len(plain) == 10
        for got, want in zip(ahead, plain, strict=True):
            assert got.keys() == want.keys()
            torch.testing.assert_close(got["speed"], want["speed"], equal_nan=True)
            assert got["session"] == want["session"]


def test_a_thread_of_all_sessions_goes_on_with_the_very_next_batch(tree):
    def made(prefetch):
        found = na.torch.loaders(tree, ["speed"], batch_size=3, split=sides, prefetch=prefetch)
        return na.torch.cycle(found["train"], "weighted")

    def ids(pairs):
        return [batch["presentation_id"].tolist() for _, batch in pairs]

    want, stopped = ids(made(0)), made(2)
    running = iter(stopped)
    got = ids(next(running) for _ in range(3))
    later = made(None)
    assert later.prefetch == 2
    later.load_state_dict(stopped.state_dict())
    assert got + ids(later) == want


def test_memory_is_pinned_in_the_thread_and_the_loops_modes_hold_there(data, monkeypatch):
    pinned = []

    def pin(tensor):
        pinned.append(threading.current_thread().name)
        return tensor

    modes = []

    def transform(batch):
        modes.append(torch.is_grad_enabled())
        return batch

    monkeypatch.setattr(loading, "_can_pin", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: -1)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(data, "transform", transform)
    with torch.no_grad():
        batch = next(iter(na.torch.Loader(data, batches(), prefetch=1, pin_memory=True)))
    assert batch["area"] == "VISp"
    assert set(pinned) == {"neuroarrays-prefetch"}
    assert modes == [False] * len(modes)
    point = namedtuple("Point", "inputs targets")(torch.zeros(1), [torch.ones(1), "text"])
    assert type(transfer.mapped((point,), torch.Tensor.pin_memory)[0]) is type(point)


def test_a_thread_or_processes_not_both(tree, data):
    with pytest.raises(
        ValueError, match=r"prefetch=2 uses a thread and num_workers=1 uses processes"
    ):
        na.torch.Loader(data, batches(), prefetch=2, num_workers=1)
    found = na.torch.loaders(tree, ["speed"], split=sides, batch_size=3, num_workers=1)["train"]
    assert {loader.prefetch for loader in found.values()} == {0}
    run = na.torch.cycle(found, prefetch=2)
    assert (run.prefetch, run.num_workers) == (2, 0)
    ahead = na.torch.loaders(tree, ["speed"], split=sides, batch_size=3)["train"]
    run = na.torch.cycle(ahead, num_workers=1)
    assert (run.prefetch, run.num_workers) == (0, 1)
    with pytest.raises(NotInTree, match="prefetch"):
        na.torch.loaders(tree, ["speed"], split=sides, prefech=2)


@pytest.mark.parametrize("options", [{"prefetch": 2}, {}, {"num_workers": 1}])
def test_batches_are_put_on_a_device(data, options):
    loader = na.torch.Loader(data, batches(), device="meta", **options)
    running = iter(loader)
    batch = next(running)
    assert batch["speed"].device.type == "meta"
    assert batch["speed"].shape[0] == 4
    assert batch["session"] == "session_0"
    assert {"epoch": 0, "batch": 1}.items() <= loader.state_dict().items()
    del running
    run = na.torch.cycle({"a": loader})
    assert run.device.type == "meta"
    here = na.torch.Loader(data, batches(), device="cpu", prefetch=2)
    for got, want in zip(here, na.torch.Loader(data, batches()), strict=True):
        torch.testing.assert_close(got["speed"], want["speed"], equal_nan=True)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_a_warning_points_to_the_loop_and_not_into_torch(tree, prefetch):
    area = tree[AREA].to_dataset().assign(speed=("presentation_id", np.ones(40)))
    data = na.torch.TrialDataset(area, [], ["speed"])
    with pytest.warns(UserWarning, match="target speed is 1 in all") as warned:
        list(na.torch.Loader(data, batches(), prefetch=prefetch))
    assert [each.filename for each in warned] == [__file__]


def test_sessions_of_a_loop_gather_into_the_same_memory():
    """A thousand sessions hold no more than the batches of the loop."""
    sessions = synthetic.aligned_tree(3, areas=("VISp",), presentations=40)
    found = na.torch.loaders(sessions, ["speed"], batch_size=4, split=sides)
    run = na.torch.cycle(found["train"], prefetch=0)
    places = {batch["speed"].data_ptr() for _, batch in run}
    assert len(run) > len(places)
    assert len({id(dataset.buffers) for dataset in run.dataset.datasets}) == 1
    repeats = [
        na.torch.RepeatDataset(na.torch.TrialDataset(node, [], ["speed"]), np.arange(40) // 2)
        for node in (sessions["session_0/VISp"], sessions["session_1/VISp"])
    ]
    loaders = {str(i): na.torch.Loader(r, na.torch.Batches(20, 4)) for i, r in enumerate(repeats)}
    sessions_of = na.torch.cycle(loaders).dataset.datasets
    assert sessions_of[0].trials.buffers is sessions_of[1].trials.buffers
    stack = na.torch.Stack(
        [repeats[0].trials, na.torch.TrialDataset(sessions["session_2/VISp"], [], ["speed"])]
    )
    assert stack.datasets[0].buffers is not stack.datasets[1].buffers


def test_page_locked_memory_is_torchs_own(tree, monkeypatch):
    """Only torch knows when the copy of a batch that the loop dropped has ended: it reuses it."""
    made = []

    def allocate(size):
        made.append(torch.empty(size, dtype=torch.uint8))
        return made[-1].numpy()

    monkeypatch.setattr(datasets, "page_locked", allocate)
    stack = na.torch.Stack([na.torch.TrialDataset(tree[AREA], ["speed"])])
    stack.pin()
    part = stack.datasets[0].batch([0, 1])["speed"][1:]
    assert part.untyped_storage().data_ptr() in [each.data_ptr() for each in made]
    torch.testing.assert_close(part[0], stack.batch([1])["speed"][0], equal_nan=True)
    assert len(made) == 4  # speed and the mask, twice: none of them is used again here
    assert transfer.page_locked(10).nbytes == 10
    table = np.arange(12, dtype=np.float32).reshape(3, 4)[1:, ::2]
    assert transfer.tensor_of(table).tolist() == table.tolist()
