"""Lightning on several processes: each rank has its share, and a checkpoint goes on with the very next batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import neuroarrays as na
from neuroarrays import synthetic

pytest.importorskip("torch", reason="the extra `torch` is not installed")

PROGRAM = """
import json, sys
from pathlib import Path
import lightning
import torch
import neuroarrays as na

folder = Path(sys.argv[1])
tree = na.open_datatree(folder / "a.h5")
sides = lambda area: na.torch.splits.by_block(area.sizes["presentation_id"], seed=1)


class Model(lightning.LightningModule):
    def __init__(self, name):
        super().__init__()
        self.layer, self.name, self.seen = torch.nn.Linear(1, 1), name, []

    def training_step(self, batch, batch_idx):
        session, values = batch
        self.seen.append([self.current_epoch, session, values["presentation_id"].tolist()])
        return self.layer(values["speed"].nanmean().reshape(1, 1)).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

    def on_train_end(self):
        sampler = type(self.trainer.train_dataloader.batch_sampler).__name__
        told = [self.seen, self.trainer.num_training_batches, sampler]
        (folder / f"{self.name}_{self.global_rank}.json").write_text(json.dumps(told))


def fit(name, ckpt_path=None, **options):
    # Made before the ranks run, as in most scripts.
    found = na.torch.loaders(tree, ["speed"], ["spike_data"], batch_size=3, split=sides)
    trainer = lightning.Trainer(
        logger=False, enable_progress_bar=False, enable_model_summary=False, accelerator="cpu",
        devices=2, strategy="ddp", use_distributed_sampler=False, **options,
    )
    trainer.fit(Model(name), na.torch.cycle(found["train"], "weighted"), ckpt_path=ckpt_path)


fit("whole", max_epochs=2, enable_checkpointing=False)
keep = lightning.pytorch.callbacks.ModelCheckpoint(folder, "kept", every_n_train_steps=5)
fit("begun", max_steps=5, callbacks=[keep])
fit("ended", folder / "kept.ckpt", max_epochs=2, enable_checkpointing=False)
"""


@pytest.mark.slow
@pytest.mark.peers("lightning")
def test_two_processes_share_an_epoch_and_go_on_from_a_checkpoint(tmp_path):
    pytest.importorskip("lightning", reason="lightning is not installed")
    tree = synthetic.aligned_tree(sessions=2, areas=("VISp",), presentations=60)
    na.save(tree, tmp_path / "a.h5")
    (tmp_path / "program.py").write_text(PROGRAM)
    root = str(Path(na.__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    subprocess.run(
        [sys.executable, "program.py", str(tmp_path)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        check=True,
        timeout=400,
    )

    def told(name):
        return [json.loads((tmp_path / f"{name}_{rank}.json").read_text()) for rank in (0, 1)]

    whole = told("whole")
    assert {sampler for _, _, sampler in whole} == {"Cycled"}  # not one of Lightning's
    assert whole[0][1] == whole[1][1]
    assert len(whole[0][0]) == len(whole[1][0]) == 2 * whole[0][1]
    for epoch in (0, 1):
        for session in ("session_0", "session_1"):
            every = [
                number
                for seen, _, _ in whole
                for *key, numbers in seen
                if key == [epoch, session]
                for number in numbers
            ]
            assert len(every) == len(set(every)) > 30
    for rank, (begun, ended) in enumerate(zip(told("begun"), told("ended"), strict=True)):
        assert [part for _, *part in begun[0] + ended[0]] == [part for _, *part in whole[rank][0]]
