"""Batches that a thread gathers ahead: the same ones, in order, and the thread always ends."""

import ctypes
import itertools
import os
import threading
import traceback
import weakref

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays import schema, synthetic
from neuroarrays.batches import prefetch
from neuroarrays.batches.prefetch import Prefetched
from neuroarrays.errors import MissingPath, NeuroArraysError, ThreadEnded
from neuroarrays.testing.sources import close_all

AREA = "session_0/VISp"


@pytest.fixture(scope="module")
def tree():
    return synthetic.aligned_tree(1, presentations=40)


@pytest.fixture
def make(tree):
    def made(prefetch, **options):
        data = na.batches.TrialSamples(tree[AREA], ["speed"], **options)
        batches = na.batches.Batches(40, 4, shuffle=True, seed=2)
        return na.batches.NumpyLoader(data, batches, prefetch=prefetch)

    return made


def threads():
    return [t for t in threading.enumerate() if t.name == "neuroarrays-prefetch"]


def ids(loader):
    return [batch[schema.PRESENTATION].tolist() for batch in loader]


@pytest.mark.parametrize("prefetch", [1, 2, 50])
def test_batches_are_the_same_ahead_or_not(make, prefetch):
    ahead, plain = make(prefetch), make(0)
    for _ in range(2):
        for got, want in itertools.zip_longest(ahead, plain):
            assert got.keys() == want.keys()
            for name in want:
                np.testing.assert_array_equal(got[name], want[name])
    assert not threads()


def test_no_more_is_gathered_ahead_than_asked_for():
    gathered, hold = [], threading.Semaphore(0)

    def fetch(request):
        gathered.append(request)
        hold.release()
        return request

    running = Prefetched(fetch, range(100), 2)
    for number in range(3):
        assert next(running) == number
    for _ in range(5):  # the one that the loop has, two before, two ahead
        assert hold.acquire(timeout=10)
    assert not hold.acquire(timeout=0.05)
    assert gathered == [0, 1, 2, 3, 4]
    running.close()
    assert list(running) == []


def test_the_very_next_batch_follows_whatever_was_gathered_ahead(make):
    whole = make(0)
    want = ids(whole), ids(whole)
    stopped = make(3)
    running = iter(stopped)
    got = [next(running)[schema.PRESENTATION].tolist() for _ in range(8)]
    state = stopped.state_dict()
    assert {"epoch": 0, "batch": 8}.items() <= state.items()
    running.close()
    assert not threads()
    other = make(3)
    other.load_state_dict(state)
    assert got + ids(other) == want[0]
    assert ids(other) == want[1]
    assert ids(stopped) == want[1]


def test_an_error_comes_where_its_batch_is_due_with_its_traceback(make):
    def breaks(batch):
        if batch[schema.PRESENTATION][0] == third[0]:
            raise ZeroDivisionError("of a user")
        return batch

    third = ids(make(0))[2]
    loader, got = make(2, transform=breaks), []
    with pytest.raises(ZeroDivisionError, match="of a user") as raised:
        got.extend(iter(loader))
    assert "in breaks" in "".join(traceback.format_tb(raised.value.__traceback__))
    assert {"epoch": 0, "batch": 2}.items() <= loader.state_dict().items()
    assert not threads()


def test_a_warning_of_the_thread_points_to_the_loop(tree):
    area = tree[AREA].to_dataset().assign(speed=("presentation_id", np.ones(40)))
    data = na.batches.TrialSamples(area, [], ["speed"])
    with pytest.warns(UserWarning, match="target speed is 1 in all") as warned:
        for _batch in na.batches.NumpyLoader(data, na.batches.Batches(40, 4), prefetch=2):
            pass
    assert [each.filename for each in warned] == [__file__]


@pytest.mark.parametrize("kind", [StopIteration, SystemExit, KeyboardInterrupt])
def test_what_would_end_the_loop_unnoticed_is_an_error(make, kind):
    def ends(batch):
        raise kind

    with pytest.raises(ThreadEnded, match=f"was ended by {kind.__name__}"):
        list(make(2, transform=ends))


def test_a_thread_that_is_ended_from_outside_is_named(make):
    loader = make(1)
    running = iter(loader)
    next(running)
    (thread,) = threads()
    # What waits for requests sees the exit with the next one.
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)
    )
    with pytest.raises(ThreadEnded, match="has ended before its work|was ended by SystemExit"):
        list(running)
    assert not threads()


def test_a_forked_child_is_told_that_its_thread_is_not_there(make):
    running = iter(make(1))
    next(running), next(running)
    child = os.fork()
    if not child:
        try:
            list(running)
        except ThreadEnded:
            os._exit(7)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert len(list(running)) == 8


def test_the_thread_ends_with_the_loop_and_with_the_collection_of_garbage(make, collect_cycles):
    for _batch in make(2):
        assert len(threads()) == 1
        break
    assert not threads()
    running = iter(make(2))
    next(running)
    cycle = [running]
    cycle.append(cycle)
    del running, cycle
    collect_cycles()
    assert not threads()

    def interrupted():
        for _batch in make(2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not threads()


def test_ctrl_c_while_it_waits_ends_the_thread(make, monkeypatch):
    def interrupted(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Prefetched, "_take", interrupted)
    running = iter(make(2))
    with pytest.raises(KeyboardInterrupt):
        next(running)
    assert not threads()


def test_nothing_of_a_batch_is_kept(make):
    kept = []

    def seen(batch):
        kept.append(weakref.ref(batch["speed"]))
        return batch

    running = iter(make(2, transform=seen))
    for _ in range(6):
        batch = next(running)
    assert [ref() is None for ref in kept[:5]] == [True] * 5
    assert kept[5]() is batch["speed"]


def test_a_file_removed_during_an_epoch_is_named(tree, tmp_path):
    path = na.save(tree, tmp_path / "a.h5")
    data = na.batches.TrialSamples(na.open_datatree(path)[AREA], ["speed"], cache=False)
    running = iter(na.batches.NumpyLoader(data, na.batches.Batches(40, 2), prefetch=2))
    next(running)
    path.unlink()
    close_all()
    with pytest.raises((NeuroArraysError, MissingPath), match=r"a\.h5"):
        list(running)
    assert not threads()


def test_training_is_gathered_ahead_unless_told_otherwise(tree):
    def sides(area):
        return na.batches.splits.by_block(area.sizes[schema.PRESENTATION], seed=1)

    made = na.batches.loaders(tree, ["speed"], batch_size=4, split=sides)
    for side, loaders in made.items():
        assert {loader.prefetch for loader in loaders.values()} == {2 if side == "train" else 0}
    assert na.batches.cycle(made["train"]).prefetch == 2
    assert na.batches.cycle(made["train"], prefetch=0).prefetch == 0
    told = na.batches.loaders(tree, ["speed"], batch_size=4, split=sides, prefetch=3)
    assert all(loader.prefetch == 3 for loaders in told.values() for loader in loaders.values())


@pytest.mark.parametrize("prefetch", [-1, 1.5, True, "2"])
def test_how_many_ahead_is_a_whole_number(make, prefetch):
    with pytest.raises(ValueError, match="prefetch="):
        make(prefetch)


def test_many_loaders_at_once_start_few_threads(make, monkeypatch, collect_cycles):
    monkeypatch.setattr(prefetch, "MOST", 3)
    running = [iter(make(2)) for _ in range(12)]
    want = ids(make(0))
    for place in (0, 1):
        batches = [next(each)[schema.PRESENTATION].tolist() for each in running]
        assert batches == [want[place]] * 12
        assert len(threads()) == 3
    del running
    collect_cycles()
    assert not threads()
