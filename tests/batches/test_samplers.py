"""Order of samples: a function of seed and epoch, shared among ranks, gone on with exactly."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuroarrays.batches.cycling import Cycled
from neuroarrays.batches.samplers import Batches, Jittered, balanced


def flat(batches):
    return [i for batch in batches for i in batch]


def test_epochs_differ_and_seeds_repeat():
    one, two = (Batches(20, 6, shuffle=True, seed=3) for _ in range(2))
    first, second = list(one), list(one)
    assert first != second
    assert sorted(flat(first)) == sorted(flat(second)) == list(range(20))
    assert [list(two), list(two)] == [first, second]
    assert list(Batches(20, 6, shuffle=True, seed=4)) != first
    assert [len(b) for b in first] == [6, 6, 6, 2]
    assert len(one) == 4


def test_no_global_random_state_is_read_or_moved():
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    first = list(Batches(50, 4, shuffle=True)) + list(Batches(50, 4, weights=np.ones(50)))
    after = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert before == after
    np.random.seed(1)  # noqa: NPY002
    assert first == list(Batches(50, 4, shuffle=True)) + list(Batches(50, 4, weights=np.ones(50)))


@given(st.integers(1, 40), st.integers(1, 7), st.integers(1, 5))
def test_ranks_share_without_duplicates(n, batch_size, world):
    if n < world:
        return
    parts = [Batches(n, batch_size, shuffle=True, rank=r, world_size=world) for r in range(world)]
    assert [len(p) for p in parts] == [len(p.batches(0)) for p in parts]
    every = [flat(p) for p in parts]
    assert sorted(flat(every)) == list(range(n))
    if n // world >= batch_size:
        even = [
            Batches(n, batch_size, shuffle=True, drop_last=True, rank=r, world_size=world)
            for r in range(world)
        ]
        assert len({len(p) for p in even}) == 1
        got = flat(flat(p) for p in even)
        assert len(got) == len(set(got)) == len(even[0]) * batch_size * world


def test_weights_are_followed():
    labels = np.array(["a"] * 90 + ["b"] * 10)
    drawn = np.array(
        flat(b for k in range(40) for b in Batches(100, 10, weights=balanced(labels), seed=k))
    )
    assert 0.45 < (labels[drawn] == "b").mean() < 0.55
    never = np.r_[np.ones(5), np.zeros(5)]
    assert max(flat(Batches(10, 5, weights=never))) < 5
    with pytest.raises(ValueError, match="all are 0"):
        Batches(3, 1, weights=[0, 0, 0])
    with pytest.raises(ValueError, match="numbers of 0 or more"):
        Batches(3, 1, weights=[0, 0, -1])


@given(st.integers(0, 30))
def test_a_stopped_epoch_goes_on_with_the_next_batch(stop):
    whole = Batches(30, 4, shuffle=True)
    want = [batch for _ in range(4) for batch in whole]
    one = Batches(30, 4, shuffle=True)
    got, running = [], iter(one)
    for _ in range(stop):
        batch = next(running, None)
        if batch is None:
            running = iter(one)
            batch = next(running)
        got.append(batch)
    other = Batches(30, 4, shuffle=True)
    other.load_state_dict(one.state_dict())
    while len(got) < len(want):
        got += list(other)
    assert got[: len(want)] == want


def windows(sizes, step):
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    return type("W", (SimpleNamespace,), {"__len__": lambda self: int(bounds[-1])})(
        bounds=bounds, step=step
    )


@pytest.mark.parametrize("sizes", [(51, 7), (1,), (5, 5, 5), (41, 90)])
def test_every_frame_is_reached(sizes):
    step = 10
    clips = windows(sizes, step)
    sampler = Jittered(clips, 1, seed=1)
    seen = [np.zeros(size + step - 1, int) for size in sizes]
    for epoch in range(300):
        got = np.sort([b[0] for b in sampler.batches(epoch)])
        assert len(got) == len(sampler) == sum((s + step - 1) // step for s in sizes)
        stretch = np.searchsorted(clips.bounds, got, side="right") - 1
        for s, place in zip(stretch, got - clips.bounds[stretch], strict=True):
            seen[s][place : place + step] += 1
    for frames in seen:
        assert frames.min() > 0
        assert frames.max() < 2.2 * 300


def test_cycles():
    samplers = [Batches(8, 2, shuffle=True, seed=1), Batches(4, 2, shuffle=True, seed=2)]
    longest = list(Cycled(samplers, "longest"))
    assert [b[0][0] for b in longest] == [0, 1] * 4
    small = [i for b in longest if b[0][0] == 1 for _, i in b]
    assert sorted(small) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [b[0][0] for b in Cycled(samplers, "shortest")] == [0, 1, 0, 1]
    weighted = Cycled(samplers, "weighted", seed=5)
    assert len(weighted) == 6
    for _ in range(3):
        pairs = [pair for batch in weighted for pair in batch]
        assert sorted(pairs) == [(0, i) for i in range(8)] + [(1, i) for i in range(4)]
    in_order = list(Cycled(samplers, "in order"))
    assert [b[0][0] for b in in_order] == [0] * 4 + [1] * 2
    pairs = [pair for batch in in_order for pair in batch]
    assert sorted(pairs) == [(0, i) for i in range(8)] + [(1, i) for i in range(4)]
    half = Cycled(samplers, "weighted", seed=5)
    running = iter(half)
    got = [next(running) for _ in range(4)]
    other = Cycled(samplers, "weighted", seed=5)
    other.load_state_dict(half.state_dict())
    assert got + list(other) == list(Cycled(samplers, "weighted", seed=5))


def test_sessions_are_sampled_by_size_weight_and_temperature():
    sessions = [Batches(n, 1) for n in (900, 90, 10)]

    def shares(**how):
        return np.bincount(Cycled(sessions, "sampled", 3, **how).turns(0), minlength=3) / 1000

    np.testing.assert_allclose(shares(), [0.9, 0.09, 0.01], atol=0.03)
    np.testing.assert_allclose(shares(weights=[0, 1, 3]), [0, 0.25, 0.75], atol=0.05)
    root = np.sqrt([900, 90, 10])
    np.testing.assert_allclose(shares(temperature=2), root / root.sum(), atol=0.05)
    np.testing.assert_allclose(shares(temperature=1e9), [1 / 3] * 3, atol=0.05)
    cycled = Cycled(sessions, "sampled", 3, temperature=2.0)
    whole = list(cycled)
    assert len(whole) == len(cycled) == 1000
    going_on = Cycled(sessions, "sampled", 3, temperature=2.0)
    going_on.load_state_dict({"epoch": 0, "batch": 437})
    assert list(going_on) == whole[437:]
    assert list(cycled) != whole
    for how in ({"weights": [1, -1, 1]}, {"weights": [0, 0, 0]}, {"temperature": 0}):
        with pytest.raises(ValueError, match="weights|temperature"):
            Cycled(sessions, "sampled", **how)
    with pytest.raises(ValueError, match="need mode='sampled', found mode='longest'"):
        Cycled(sessions, temperature=2.0)


def test_a_first_batch_draws_the_order_of_its_session_alone(monkeypatch):
    drawn = []
    order = Batches.order
    monkeypatch.setattr(Batches, "order", lambda self, e: drawn.append(self) or order(self, e))
    sessions = [Batches(4, 2) for _ in range(50)]
    next(iter(Cycled(sessions)))
    assert drawn == sessions[:1]


def test_jitter_takes_windows_of_a_clock():
    with pytest.raises(TypeError, match="expected windows of a clock, .*found a list: use Batches"):
        Jittered([1, 2, 3], 2)


def test_an_epoch_without_batches_is_an_error():
    with pytest.raises(ValueError, match="no batch: 3 samples an epoch, batch_size=4"):
        Batches(3, 4, drop_last=True)
    with pytest.raises(ValueError, match="no batch: 0 samples"):
        Batches(0, 4)
    with pytest.raises(ValueError, match="at least one session"):
        Cycled([])
    with pytest.raises(ValueError, match="expected one of"):
        Cycled([Batches(2, 1)], "fastest")
    with pytest.raises(ValueError, match="0 <= rank < world_size"):
        Batches(4, 1, rank=2, world_size=2)
    with pytest.raises(ValueError, match="expected at least 1"):
        Batches(4, 0)
