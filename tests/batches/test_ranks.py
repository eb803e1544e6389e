"""Shares of ranks: no sample twice, as many batches, the batches of one rank; resuming with others."""

import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays import schema, synthetic
from neuroarrays.batches import Batches, NumpyLoader, TrialSamples

WORLDS = (1, 2, 3, 4, 7)


def of_ranks(n, size, world, **options):
    return [Batches(n, size, rank=rank, world_size=world, **options) for rank in range(world)]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("n", "size"), [(40, 5), (41, 4), (43, 2), (7, 2), (29, 8), (9, 50)])
def test_ranks_share_the_batches_of_one(n, size, world, shuffle):
    for drop_last in (False, True):
        if drop_last and n // world < size:
            continue
        shares = of_ranks(n, size, world, shuffle=shuffle, seed=3, drop_last=drop_last)
        each = [share.batches(1) for share in shares]
        assert {len(batches) for batches in each} == {len(shares[0])}
        assert all(0 < batch.size <= size for batches in each for batch in batches)
        every = np.concatenate([batch for batches in each for batch in batches])
        assert np.unique(every).size == every.size
        if not drop_last:
            assert every.size == n
        order = Batches(n, size * world, shuffle=shuffle, seed=3).order(1)
        for k, parts in enumerate(list(zip(*each, strict=True))[:-2]):
            whole = order[k * size * world : (k + 1) * size * world]
            assert sorted(np.concatenate(parts)) == sorted(whole)


def test_more_ranks_than_samples_are_named_on_every_rank():
    for rank in range(4):
        with pytest.raises(ValueError, match="3 samples for 4 ranks; .*: use fewer ranks"):
            Batches(3, 2, rank=rank, world_size=4)


def test_ranks_that_start_after_the_loader_was_made_share_it(monkeypatch):
    batches = Batches(7, 2)
    assert len(batches) == 4
    calls = {"is_available": True, "is_initialized": True, "get_rank": 1, "get_world_size": 2}
    distributed = SimpleNamespace(**{k: lambda value=v: value for k, v in calls.items()})
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(distributed=distributed))
    assert (len(batches), list(batches)) == (2, [[1, 3], [5]])
    assert batches.state_dict() == {"epoch": 1, "batch": 0, "ranks": 2}
    distributed.get_world_size = lambda: 9
    with pytest.raises(ValueError, match="7 samples for 9 ranks; .*: use fewer ranks"):
        list(batches)


@pytest.fixture(scope="module")
def data():
    return TrialSamples(synthetic.aligned_tree(1, presentations=48)["session_0/VISp"], ["speed"])


def loader(data, rank=0, world=1, size=4):
    options = {"shuffle": True, "seed": 1, "rank": rank, "world_size": world}
    return NumpyLoader(data, Batches(len(data), size, **options))


def ids(batches):
    return [i for batch in batches for i in batch[schema.PRESENTATION].tolist()]


@pytest.mark.parametrize(("before", "now", "size"), [(1, 2, 4), (2, 1, 4), (4, 2, 2), (2, 2, 4)])
def test_a_run_goes_on_with_another_number_of_ranks(data, before, now, size):
    stopped = [loader(data, rank, before, size) for rank in range(before)]
    seen = []
    for each in stopped:
        running = iter(each)
        seen += ids(next(running) for _ in range(2))
    state = stopped[0].state_dict()
    expected = {"epoch": 0, "batch": 2} | ({"ranks": before} if before > 1 else {})
    assert expected.items() <= state.items()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rank in range(now):
            later = loader(data, rank, now, size)
            later.load_state_dict(state)
            seen += ids(later)
    assert sorted(seen) == list(range(48))


def test_what_comes_twice_with_another_number_of_ranks_is_said(data):
    state = {"epoch": 0, "batch": 3, "ranks": 1}
    later = loader(data, 0, 2)
    with pytest.warns(
        UserWarning, match="with 1 ranks, but there are 2 now: 4 samples of epoch 0 are used"
    ):
        later.load_state_dict(state)
    assert {"epoch": 0, "batch": 1, "ranks": 2}.items() <= later.state_dict().items()
    run = na.batches.cycle({"a": loader(data), "b": loader(data)}, "weighted")
    with pytest.warns(UserWarning, match="2 ranks, but there are 1 now.*epoch 4 starts again"):
        run.load_state_dict({"epoch": 4, "batch": 3, "ranks": 2})
    assert {"epoch": 4, "batch": 0}.items() <= run.state_dict().items()
