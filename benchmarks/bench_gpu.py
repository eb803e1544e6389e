"""How long a training step waits for its data on a GPU, and what travels there, for two small models."""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

SIZES = (
    {
        "trials": 4000,
        "units": 300,
        "bins": 250,
        "frames": 20_000,
        "recording": 1800,
        "clips": 16,
        "batches": 200,
    },
    {
        "trials": 60,
        "units": 10,
        "bins": 20,
        "frames": 400,
        "recording": 60,
        "clips": 2,
        "batches": 4,
    },
)


def trees(size):
    """An aligned tree of counts and a movie, and a recording of spikes with running speed."""
    import xarray as xr

    from neuroarrays import schema

    rng = np.random.default_rng(0)
    shape = size["trials"], size["units"], size["bins"]
    counts = (rng.random(shape, np.float32) < 0.02).astype(np.uint8)
    trials = xr.Dataset(
        {"spike_data": (("presentation_id", "unit_id", "time"), counts)},
        {"unit_id": np.arange(size["units"]), "presentation_id": np.arange(size["trials"])},
    )
    stamps = xr.Variable("time", (np.arange(size["frames"]) + 0.5) / 30, {"bin_width": 1 / 30})
    movie = rng.integers(0, 255, (size["frames"], 1, 36, 64)).astype(np.uint8)
    responses = rng.random((size["frames"], 60), np.float32)
    clock = xr.Dataset(
        {
            "stimulus": (("time", "channel", "y", "x"), movie),
            "responses": (("time", "unit_id"), responses),
        },
        {"time": stamps, "unit_id": np.arange(60)},
    )
    aligned = xr.DataTree.from_dict(
        {"/": xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED)), "s/V1": trials, "t/V1": clock}
    )
    number = size["recording"] * 5
    times = [np.sort(rng.uniform(0, size["recording"], number)) for _ in range(size["units"])]
    spikes = xr.Dataset(
        {
            "spike_times": ("spike", np.concatenate(times)),
            "row_size": ("unit_id", np.full(size["units"], number), {"sample_dimension": "spike"}),
        },
        {"unit_id": np.arange(size["units"])},
    )
    clock_of_speed = np.arange(size["recording"] * 60) / 60
    speed = xr.Dataset({"speed": ("time", np.sin(clock_of_speed))}, {"time": clock_of_speed})
    return aligned, xr.DataTree.from_dict({"s/V1/spikes": spikes, "s/running": speed})


def convolution(torch):
    """Movie clips to responses."""
    layers = torch.nn.Sequential(
        torch.nn.Conv3d(1, 8, 5, padding=2), torch.nn.ELU(), torch.nn.Conv3d(8, 8, 3, padding=1)
    )
    readout = torch.nn.LazyLinear(60)

    def loss(batch):
        movie = batch["stimulus"].transpose(1, 2) / 255
        features = layers(movie).transpose(1, 2).flatten(2)
        return (readout(features) - batch["responses"]).square().nanmean()

    return loss, [layers, readout]


def perceptron(torch):
    """Counts to a number."""
    layer = torch.nn.LazyLinear(1)
    return lambda batch: layer(batch["spike_data"].flatten(1)).square().mean(), [layer]


def poyo_like(torch):
    """Tokens of spikes to speed: latents attend to spikes, queries in time to latents."""
    parts = torch.nn.ModuleDict(
        {
            "units": torch.nn.Embedding(4096, 64),
            "kinds": torch.nn.Embedding(3, 64),
            "latents": torch.nn.Embedding(64, 64),
            "read": torch.nn.MultiheadAttention(64, 2, batch_first=True),
            "mix": torch.nn.TransformerEncoderLayer(64, 4, 128, batch_first=True),
            "ask": torch.nn.MultiheadAttention(64, 2, batch_first=True),
            "out": torch.nn.Linear(64, 1),
        }
    )

    def at(times):
        phases = times[..., None] * 2.0 ** torch.arange(32, device=times.device)
        return torch.cat([phases.sin(), phases.cos()], -1)

    def loss(batch):
        tokens = parts["units"](batch["unit_index"]) + parts["kinds"](batch["token_type"])
        tokens = tokens + at(batch["spike_times"])
        latents = parts["latents"](batch["latent_index"]) + at(batch["latent_times"])
        latents = latents + parts["read"](latents, tokens, tokens, ~batch["token_mask"])[0]
        latents = parts["mix"](latents)
        queries = at(batch["running/speed_times"])
        answers = parts["out"](parts["ask"](queries, latents, latents)[0])[..., 0]
        known = batch["running/speed_mask"]
        return (answers[known] - batch["running/speed"][known]).square().mean()

    return loss, [parts]


def cases(aligned, recording, size, device):
    """Name -> loader and model."""
    import neuroarrays.torch as nt

    tokens = nt.SpikeEventDataset(
        recording["s/V1"],
        1.0,
        stride=0.25,
        targets=["running/speed"],
        unit_tokens=True,
        latents=(0.125, 8),
    )
    counts = nt.TrialDataset(aligned["s/V1"], ["spike_data"], cache=True)
    wide = nt.ClipDataset(aligned["t/V1"], ["stimulus"], 40 / 30, ["responses"], stride=1 / 30)

    def batches(data, n):
        return nt.Batches(len(data), min(n, len(data)), shuffle=True, drop_last=True)

    ahead = {"prefetch": 2, "device": device}
    held = nt.OnDevice(counts, device), nt.OnDevice(wide, device)
    return {
        "counts, none ahead": (nt.Loader(counts, batches(counts, 256), device=device), perceptron),
        "counts, prefetch=2": (nt.Loader(counts, batches(counts, 256), **ahead), perceptron),
        "counts, on the device": (nt.Loader(held[0], batches(counts, 256)), perceptron),
        "clips, none ahead": (
            nt.Loader(wide, batches(wide, size["clips"]), device=device),
            convolution,
        ),
        "clips, prefetch=2": (nt.Loader(wide, batches(wide, size["clips"]), **ahead), convolution),
        "clips, on the device": (nt.Loader(held[1], batches(wide, size["clips"])), convolution),
        "tokens, none ahead": (nt.Loader(tokens, batches(tokens, 64), device=device), poyo_like),
        "tokens, prefetch=2": (nt.Loader(tokens, batches(tokens, 64), **ahead), poyo_like),
    }


def measured(torch, loader, model, n_batches, device):
    """Time of a step in ms, the share of it that waits for data, bytes that it is given."""
    finish = torch.cuda.synchronize if device == "cuda" else lambda: None
    loss, parts = model(torch)
    first = next(iter(loader))
    for part in parts:
        part.to(device)
    loss(first)
    optimiser = torch.optim.SGD([p for part in parts for p in part.parameters()], lr=1e-3)
    nbytes = sum(v.nbytes for v in first.values() if isinstance(v, torch.Tensor))
    steps, waited, begun = 0, 0.0, None
    while steps < n_batches:
        running = iter(loader)
        while steps < n_batches:
            asked = time.perf_counter()
            batch = next(running, None)
            if batch is None:
                break
            finish()  # what the data need on the device is waiting, too
            if begun is None:
                begun = time.perf_counter()
            else:
                waited += time.perf_counter() - asked
            optimiser.zero_grad()
            loss(batch).backward()
            optimiser.step()
            finish()
            steps += 1
    wall = time.perf_counter() - begun
    return 1e3 * wall / steps, waited / wall, nbytes


def main(argv=None):
    """Make the data, train every model with every loader, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="seconds instead of minutes")
    args = parser.parse_args(argv)
    import torch

    import neuroarrays as na

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(1)
    size = SIZES[1 if args.small else 0]
    name = (
        torch.cuda.get_device_name() if device == "cuda" else "no GPU: this run says nothing of one"
    )
    lines = [
        __doc__,
        ", ".join(f"{key}={value}" for key, value in size.items()),
        f"torch {torch.__version__}, one thread; {name}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        f"{'':<26}{'step, ms':>10}{'waits':>9}{'MB a batch':>12}",
    ]
    aligned, recording = trees(size)
    with tempfile.TemporaryDirectory() as folder:
        stored = na.open_datatree(na.save(aligned, Path(folder) / "archive.h5"))
        for label, (loader, model) in cases(stored, recording, size, device).items():
            step, waits, nbytes = measured(torch, loader, model, size["batches"], device)
            lines.append(f"{label:<26}{step:>10.2f}{waits:>9.1%}{nbytes / 1e6:>12.2f}")
    print("\n".join(lines))
    if not args.small and device == "cuda":
        result = Path(__file__).parent / "results" / "bench_gpu.txt"
        result.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
