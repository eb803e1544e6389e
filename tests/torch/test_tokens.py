"""Tokens of spikes as tensors: torch's own loaders, and the values of torch_brain."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")

import neuroarrays as na  # noqa: E402

PATHS = ("A2929-200711/adn", "A2929-200711/ca1")
TARGET = "head_direction/ry"


@pytest.fixture(scope="module")
def tree():
    return na.load_sample()


@pytest.fixture
def made(tree):
    words = na.torch.Vocabulary.of(tree)

    def make(path=PATHS[0], **options):
        chosen = {"window": (671.0, 700.0), "targets": [TARGET], "vocabulary": words} | options
        return na.torch.SpikeEventDataset(tree[path], 1.0, **chosen)

    return make


def test_loaders_of_tokens(made):
    from torch.utils.data import ConcatDataset, DataLoader, Subset, random_split

    data = made()
    loader = na.torch.Loader(data, na.torch.Batches(len(data), 8, shuffle=True), prefetch=2)
    batches = list(loader)
    assert sorted(t for b in batches for t in b["time"].tolist()) == data.starts.tolist()
    assert all(isinstance(value, torch.Tensor) for value in batches[0].values())
    part = random_split(data, [9, 20], torch.Generator().manual_seed(0))[0]
    for parts in (data, Subset(data, range(9)), part):
        for batch in DataLoader(parts, batch_size=4, shuffle=True):
            assert (
                batch["spike_times"].shape == batch["token_mask"].shape == batch["unit_index"].shape
            )
    both = ConcatDataset([made(), made(PATHS[1])])
    with pytest.raises(ValueError, match=r"samples differ in length and .* na.torch.Stack"):
        list(na.torch.Loader(both, na.torch.Batches(len(both), 8)))
    fixed = ConcatDataset([made(width=200, targets=[]), made(PATHS[1], width=200, targets=[])])
    for batch in DataLoader(fixed, batch_size=8):
        assert batch["spike_times"].shape[1] == 200
    workers = na.torch.Loader(data, na.torch.Batches(len(data), 8), num_workers=1)
    for got, numbers in zip(workers, na.torch.Batches(len(data), 8), strict=True):
        torch.testing.assert_close(got["spike_times"], data.batch(numbers)["spike_times"])


@pytest.mark.peers("torch_brain")
def test_tokens_are_those_of_torch_brain(tree, made):
    from torch_brain.batching import collate
    from torch_brain.data import ArrayDict, Data, Interval, IrregularTimeSeries
    from torch_brain.models import POYO

    data = made(unit_tokens=True, latents=(0.125, 4), window=(671.0, 900.0))
    words = data.vocabulary
    model = POYO(
        sequence_length=1.0,
        latent_step=0.125,
        num_latents_per_step=4,
        dim=16,
        dim_head=8,
        dim_out=1,
    ).eval()
    model.unit_emb.initialize_vocab(list(words.units))
    model.session_emb.initialize_vocab(list(words.sessions))
    node = tree[PATHS[0]]["spikes"]
    units = np.repeat(np.arange(node.sizes["unit_id"]), node["row_size"].values)
    times = node["spike_times"].values
    order = np.lexsort((units, times))
    whole = Interval(start=np.array([0.0]), end=np.array([2000.0]))
    names = np.array([f"{PATHS[0]}/{unit}" for unit in node["unit_id"].values])
    signal = tree["A2929-200711/head_direction"]
    recording = Data(
        spikes=IrregularTimeSeries(timestamps=times[order], unit_index=units[order], domain=whole),
        angle=IrregularTimeSeries(
            timestamps=signal["time"].values, values=signal["ry"].values, domain=whole
        ),
        units=ArrayDict(id=names),
        session=Data(id=words.sessions[0]),
        domain=whole,
    )
    numbers = [5, 0, 200, 77]
    windows = [recording.slice(start, start + 1.0) for start in data.starts[numbers]]
    want, got = collate([model.tokenize(window) for window in windows]), data.batch(numbers)
    for theirs, ours in (
        ("input_unit_index", "unit_index"),
        ("input_timestamps", "spike_times"),
        ("input_token_type", "token_type"),
        ("input_mask", "token_mask"),
        ("latent_index", "latent_index"),
        ("latent_timestamps", "latent_times"),
        ("session_index", "session_index"),
    ):
        torch.testing.assert_close(got[ours], want[theirs].to(got[ours].dtype), rtol=0, atol=0)
    for i, window in enumerate(windows):
        mask = got[f"{TARGET}_mask"][i]
        np.testing.assert_array_equal(got[TARGET][i][mask], window.angle.values.astype("f4"))
        stamps = window.angle.timestamps.astype("f4")
        np.testing.assert_array_equal(got[f"{TARGET}_times"][i][mask], stamps)
    output = model(
        input_unit_index=got["unit_index"],
        input_timestamps=got["spike_times"],
        input_token_type=got["token_type"],
        input_mask=got["token_mask"],
        latent_index=got["latent_index"],
        latent_timestamps=got["latent_times"],
        session_index=got["session_index"],
        output_timestamps=got[f"{TARGET}_times"],
    )
    assert output.shape == (4, got[TARGET].shape[1], 1)
    assert output.isfinite().all()
