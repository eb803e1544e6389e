"""Ranks of torch.distributed: each has its share, opens the files once, and all end together."""

import json
import os
import subprocess
import sys

import pytest

import neuroarrays as na
from neuroarrays import synthetic

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")

PROGRAM = """
import json, os, sys
import torch
import neuroarrays as na

torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
tree = na.open_datatree(sys.argv[1])
sides = lambda area: na.torch.splits.by_block(area.sizes["presentation_id"], seed=1)
opened = []
import h5py
original = h5py.File.__init__
def counting(self, name, *args, **kwargs):
    opened.append(str(name))
    original(self, name, *args, **kwargs)
h5py.File.__init__ = counting
found = na.torch.loaders(tree, ["speed"], ["spike_data"], batch_size=3, split=sides)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1))
seen = []
for side in ("train", "validation"):
    run = na.torch.cycle(found[side], "in order")
    for epoch in range(2):
        for session, batch in run:  # every rank takes part in every step, or this waits for ever
            model(batch["speed"].nanmean().reshape(1, 1)).sum().backward()
            seen.append([side, epoch, session, batch["presentation_id"].tolist()])
every = [None] * torch.distributed.get_world_size()
torch.distributed.all_gather_object(every, [seen, len(opened), run.state_dict()])
if rank == 0:
    print(json.dumps(every))
"""


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 4])
def test_ranks_of_gloo_share_an_epoch(world, tmp_path):
    tree = synthetic.aligned_tree(sessions=2, areas=("VISp",), presentations=60)
    path = na.save(tree, tmp_path / "a.h5")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(29_500 + world)}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(program), str(path)],
            env=environment | {"RANK": str(rank), "WORLD_SIZE": str(world)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    outputs = [each.communicate(timeout=240)[0] for each in ranks]
    assert [each.returncode for each in ranks] == [0] * world
    every = json.loads(outputs[0].splitlines()[-1])
    assert len({len(seen) for seen, _, _ in every}) == 1
    for side in ("train", "validation"):
        for epoch in (0, 1):
            for session in ("session_0", "session_1"):
                ids = [
                    i
                    for seen, _, _ in every
                    for *key, numbers in seen
                    if key == [side, epoch, session]
                    for i in numbers
                ]
                assert len(ids) == len(set(ids)) > 0
    assert all(opened <= 1 for _, opened, _ in every)
    ended = {"epoch": 2, "batch": 0, "ranks": world}
    assert all(ended.items() <= state.items() for _, _, state in every)
