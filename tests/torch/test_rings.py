"""Memory of workers that is used again: values, what is held stays as it is, nothing is left behind."""

import multiprocessing
import os
import pickle
import resource
import threading
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")

import neuroarrays as na  # noqa: E402
from neuroarrays.torch import rings  # noqa: E402

pytestmark = pytest.mark.skipif(
    not hasattr(os, "memfd_create"), reason="only Linux has memory files without a name"
)
N, SIZE = 24, 4


def area(n=N, units=8, bins=20):
    counts = np.random.default_rng(0).poisson(1.0, (n, units, bins)).astype(np.uint8)
    rate = counts.mean((1, 2), dtype=np.float64)
    variables = {
        "spike_data": (("presentation_id", "unit_id", "time"), counts),
        "rate": ("presentation_id", rate),
    }
    return xr.Dataset(variables, {"unit_id": np.arange(units)})


def loader(transform=None, workers=1, batch_size=SIZE, given=None, **options):
    data = na.torch.TrialDataset(
        area() if given is None else given,
        ["spike_data"],
        ["rate"],
        cache=True,
        labels=True,
        transform=transform,
    )
    batches = na.torch.Batches(len(data), batch_size, shuffle=True, seed=1)
    if workers:
        options["multiprocessing_context"] = "fork"
    return na.torch.Loader(data, batches, num_workers=workers, **options)


def marks(running):
    """Blocks that the loop uses, of all workers."""
    memory = running._iterator._collate_fn
    return sum(
        int(memory.bytes(worker * rings.ROOM, rings._MARKS).sum())
        for worker in range(running.num_workers)
    )


def same(got, want):
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        assert one.keys() == other.keys()
        for name, values in other.items():
            if isinstance(values, torch.Tensor):
                assert one[name].dtype == values.dtype
                assert torch.equal(one[name], values)
            else:
                assert one[name] == values


def more(batch):
    """What transforms make: new tensors, views, parts, text, arrays of objects, what needs a gradient."""
    spikes = batch["spike_data"]
    return batch | {
        "half": spikes / 2,
        "odd": spikes[:, 1::2],
        "turned": spikes.transpose(1, 2),
        "wide": torch.ones(1).expand(1000),
        "none": spikes[:0],
        "weights": torch.ones(3, requires_grad=True),
        "texts": ["a", "b"],
        "objects": np.array(["a", 1.5, None], object),
        "pair": (spikes[0], {"count": 3}),
    }


def test_values_of_two_epochs_are_those_without_workers_and_blocks_are_used_again(collect_cycles):
    run, plain = loader(workers=2, persistent_workers=True, prefetch_factor=3), loader(workers=0)
    for _ in range(3):
        same(list(run), list(plain))
    collect_cycles()
    assert marks(run) == 0
    batches = list(run)
    tensors = [value for batch in batches for value in batch.values() if torch.is_tensor(value)]
    assert marks(run) == len(tensors)  # none came through new memory
    del tensors
    del batches[1:]
    held = batches[0]["spike_data"][0].numpy()[2:]
    kept = held.copy()
    del batches
    assert marks(run) == 1
    for _ in range(3):
        list(run)
    np.testing.assert_array_equal(held, kept)
    del held
    assert marks(run) == 0


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set")
def test_pinning_without_a_gpu_changes_nothing():
    same(list(loader(pin_memory=True)), list(loader(workers=0)))
    same(list(loader(workers=0, pin_memory=True, prefetch=2)), list(loader(workers=0)))


def test_a_batch_that_is_pinned_gives_its_block_back_at_once(monkeypatch):
    """As with a GPU: torch's thread copies each batch into pinned memory, which the loop holds."""
    pinned = []

    def pin(tensor, *_):
        pinned.append(threading.current_thread().name)
        return tensor.clone()

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_device_index", lambda: 0)
    monkeypatch.setattr(torch.accelerator, "set_device_index", lambda index: None)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    loading = loader(pin_memory=True)
    running = iter(loading)
    held = list(running)  # none of them lies in a block
    same(held, list(loader(workers=0)))
    assert len(pinned) >= 3 * len(held)
    assert threading.current_thread().name not in pinned
    del running
    again = list(loading)  # their blocks were written anew
    same(held, list(loader(workers=0)))
    assert len(again) == len(held)


def test_whatever_a_transform_makes_comes_as_it_is():
    got = list(loader(more))
    for one, other in zip(got, loader(more, workers=0), strict=True):
        assert one.keys() == other.keys()
        for name in ("spike_data", "half", "odd", "turned", "wide", "none", "weights"):
            assert torch.equal(one[name], other[name])
            assert one[name].stride() == other[name].stride()
        assert one["weights"].requires_grad
        assert (one["texts"], one["objects"].tolist()) == (["a", "b"], ["a", 1.5, None])
        assert torch.equal(one["pair"][0], other["pair"][0])
        one["spike_data"][0, 1] = 77  # views of one array are so in the loop too
        assert (one["odd"][0, 0] == 77).all()
        assert (one["turned"][0, :, 1] == 77).all()
        assert (one["pair"][0][1] == 77).all()


@pytest.mark.parametrize("room", [rings._MARKS, rings._MARKS + (1 << 12), rings._MARKS + (5 << 12)])
def test_where_there_is_no_room_torch_sends_the_batch(monkeypatch, room):
    monkeypatch.setattr(rings, "ROOM", room)
    same(list(loader()), list(loader(workers=0)))


def test_a_system_without_such_memory_has_workers_as_torch_has_them(monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    same(list(loader()), list(loader(workers=0)))


def test_what_a_worker_sends_twice_is_not_written_while_one_of_them_is_held():
    seen = []

    def twice(batch):
        seen.append(batch["spike_data"])
        if len(seen) == 3:  # the worker lets go of it
            seen[:] = [None] * 3
        return batch | {"first": seen[0]}

    want = list(loader(workers=0))
    run = iter(loader(twice, prefetch_factor=1))
    next(run)
    second = next(run)
    rest = list(run)
    assert torch.equal(second["first"], want[0]["spike_data"])
    for got, expected in zip(rest, want[2:], strict=True):
        assert torch.equal(got["spike_data"], expected["spike_data"])


def test_a_batch_that_cannot_be_sent_is_named_in_the_loop():
    with pytest.raises((AttributeError, pickle.PicklingError), match="pickle"):
        list(loader(lambda batch: batch | {"f": lambda: 0}))


def test_a_killed_worker_is_named_and_its_memory_goes(collect_cycles):
    def mapped():
        return Path("/proc/self/maps").read_text().count("memfd:neuroarrays-batches")

    before, others = mapped(), set(multiprocessing.active_children())
    run = iter(loader(batch_size=1, prefetch_factor=1, timeout=2))
    held = next(run)
    assert mapped() == before + 1

    def go_on(running):
        for process in set(multiprocessing.active_children()) - others:
            process.kill()
        list(running)

    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        go_on(run)
    del run
    collect_cycles()
    assert mapped() == before + 1
    assert held["spike_data"].sum() >= 0
    del held
    collect_cycles()
    assert mapped() == before


def test_a_forked_child_lets_no_block_be_used_again():
    mark = np.ones(1, np.uint8)
    rings._free(mark, os.getpid() + 1)
    assert mark[0] == 1
    rings._free(mark, os.getpid())
    assert mark[0] == 0


@pytest.mark.slow
def test_batches_of_real_size_cost_the_loop_no_new_pages():
    given = area(2048, 300, 250)
    run = loader(workers=2, batch_size=256, given=given, persistent_workers=True)
    same(list(run), list(loader(workers=0, batch_size=256, given=given)))

    def write():
        for batch in run:
            batch["spike_data"].add_(1)  # touches every page
            del batch

    for _ in range(4):
        write()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    write()
    pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    of_an_epoch = 4 * given["spike_data"].size // resource.getpagesize()
    assert pages < of_an_epoch / 2
