"""Open-retina's own training and evaluation on our loaders, one epoch of a small model."""

import importlib.machinery
import json
import sys
import types

import numpy as np
import pytest

import neuroarrays as na
from neuroarrays.synthetic import write_maheswaranathan, write_openretina

pytestmark = pytest.mark.peers("openretina")
pytest.importorskip("torch", reason="the extra `torch` is not installed")
OURS = "neuroarrays.torch.openretina.multiple_movies_dataloaders"
THEIRS = "openretina.data_io.base_dataloader.multiple_movies_dataloaders"
CORE = {
    "_target_": "openretina.modules.core.base_core.SimpleCoreWrapper",
    "_convert_": "object",
    "channels": None,
    "temporal_kernel_sizes": [5],
    "spatial_kernel_sizes": [3],
    "gamma_input": 0.0,
    "gamma_hidden": 0.0,
    "gamma_in_sparse": 0.0,
    "gamma_temporal": 1.0,
    "cut_first_n_frames": 0,
    "hidden_padding": True,
    "input_padding": 0,
}
READOUT = {
    "_target_": "openretina.modules.readout.multi_readout.MultiGaussianMaskReadout",
    "_convert_": "object",
    "in_shape": "???",
    "scale": True,
    "bias": True,
    "gaussian_mean_scale": 6.0,
    "gaussian_var_scale": 4.0,
    "positive": True,
    "mask_l1_reg": 1.0,
    "feature_weights_l1_reg": 1.0,
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A dataset in their layout, and a stand-in for what their script imports and does not use."""
    absent = types.ModuleType("mlflow")  # another logger, of many packages
    absent.__spec__ = importlib.machinery.ModuleSpec("mlflow", None)
    monkeypatch.setitem(sys.modules, "mlflow", absent)
    # Its release 1.1.1 loads the checkpoint that it has just written as lightning < 2.6 did.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    return write_openretina(tmp_path / "data", colors=2, stimuli=3, clip_length=20, clips=12)


def config(folder, loaders, **parts):
    """What their commands read from YAML files."""
    omegaconf = pytest.importorskip("omegaconf")
    reader = {
        "_target_": "openretina.data_io.h5_dataset_reader.load_stimuli",
        "_convert_": "object",
        "base_data_path": str(folder),
        "test_names": ["random_noise_1", "random_noise_2"],
    }
    return omegaconf.OmegaConf.create(
        {
            "exp_name": "small",
            "seed": 1,
            "check_stimuli_responses_match": True,
            "paths": {"cache_dir": str(folder), "output_dir": str(folder / "run")},
            "data_io": {
                "stimuli": reader
                | {"stimulus_size": [2, 16, 8], "norm_mean": 0.0, "norm_std": 1.0},
                "responses": reader
                | {"_target_": "openretina.data_io.h5_dataset_reader.load_responses"},
            },
            "dataloader": {
                "_target_": loaders,
                "_convert_": "object",
                "batch_size": 4,
                "train_chunk_size": 25,
                "clip_length": 20,
                "num_val_clips": 5,
            },
            "model": {
                "in_shape": [2, 25, 16, 8],
                "hidden_channels": [2],
                "n_neurons_dict": None,
                "core": CORE,
                "readout": READOUT,
                "learning_rate": 0.01,
                "lr_scheduler": {
                    "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau",
                    "mode": "max",
                    "monitor": "val_evaluation_loss",
                    "interval": "epoch",
                    "frequency": 1,
                },
            },
            "trainer": {
                "_target_": "lightning.Trainer",
                "default_root_dir": str(folder / "run"),
                "max_epochs": 1,
                "accelerator": "cpu",
                "enable_progress_bar": False,
                "enable_model_summary": False,
            },
            "logger": {
                "csv": {
                    "_target_": "lightning.pytorch.loggers.csv_logs.CSVLogger",
                    "save_dir": str(folder / "run"),
                }
            },
            "training_callbacks": {
                "model_checkpoint": {
                    "_target_": "lightning.pytorch.callbacks.ModelCheckpoint",
                    "dirpath": str(folder / "run"),
                    "monitor": "val_evaluation_loss",
                    "mode": "max",
                }
            },
            "objective_target": "val_evaluation_loss",
            **parts,
        }
    )


def evaluation(folder, loaders, parts=None, **changes):
    """The per-session numbers of their evaluation, as it writes them."""
    evaluate = pytest.importorskip("openretina.cli.eval").evaluate_model
    (model,) = (folder / "run").glob("*_final.ckpt")
    out = folder / f"{loaders.partition('.')[0]}.json"
    given = {
        "model_path": str(model),
        "data_split": "random_noise_1",
        "summary_results_path": str(out),
        "compute_dataset_statistics": False,
    }
    evaluate(config(folder, loaders, evaluation=given | changes, **(parts or {})))
    return json.loads(out.read_text())


def test_training_and_evaluation(folder):
    train = pytest.importorskip("openretina.cli.train").train_model
    assert np.isfinite(train(config(folder, OURS)))
    ours, theirs = (evaluation(folder, loaders) for loaders in (OURS, THEIRS))
    assert ours["n_neurons_total"] == theirs["n_neurons_total"] > 0
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, nan_ok=True), name


@pytest.fixture
def repeated(tmp_path):
    """A dataset with repeats, read by our reader for their configuration."""
    opened = {"path": str(write_maheswaranathan(tmp_path / "cells")), "stimulus": "whitenoise"}
    stimuli = {"_target_": "neuroarrays.openretina.load_stimuli", "normalize_stimuli": True}
    responses = {
        "_target_": "neuroarrays.openretina.load_responses",
        "response": "firing_rate_20ms",
        "fr_normalization": 2.0,
    }
    return {"stimuli": stimuli | opened, "responses": responses | opened}


def test_a_tree_of_ours_in_their_configuration(folder, repeated):
    """Scores by trial as well: theirs of their loaders, and theirs of ours."""
    train = pytest.importorskip("openretina.cli.train").train_model
    changes = {"data_io": repeated}
    made = config(folder, OURS, **changes)
    made.model.in_shape = [1, 25, 12, 12]
    assert np.isfinite(train(made))
    ours, theirs = (
        evaluation(folder, loaders, changes, data_split="test") for loaders in (OURS, THEIRS)
    )
    assert ours["n_test_repeats_min"] == theirs["n_test_repeats_min"] > 1
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(value, nan_ok=True), name
    assert np.isfinite(ours["feve_mean"])


@pytest.mark.parametrize("cycler", ["LongCycler", "ShortCycler"])
def test_their_cyclers_take_our_loaders(folder, cycler):
    cyclers = pytest.importorskip("openretina.data_io.cyclers")
    tree = na.open_datatree(folder, test_names=["random_noise_2"])
    options = {"train_chunk_size": 10, "clip_length": 20, "num_val_clips": 5}
    side = na.torch.loaders(tree, compat="openretina", batch_size=8, options=options)["train"]
    batches = list(getattr(cyclers, cycler)(side))
    assert len(batches) == sum(map(len, side.values())) > 2
    assert {session for session, _ in batches} == {"session_0", "session_1"}
    assert {point.inputs.shape for _, point in batches} == {(8, 2, 10, 16, 8)}
