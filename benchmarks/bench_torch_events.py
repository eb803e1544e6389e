"""Spikes as tokens: one-second windows of 800 units at 5 Hz, padded, against POYO's tokenizer in torch_brain."""

import numpy as np
from loading import compile_kernels, measure, run

SIZES = (
    {"units": 800, "rate": 5, "seconds": 3000, "batch": 64, "batches": 200},
    {"units": 20, "rate": 5, "seconds": 60, "batch": 16, "batches": 10},
)


def write(folder, size):
    """Trains on a 30 kHz clock, as an array of times by unit, and a signal at 60 Hz."""
    rng = np.random.default_rng(0)
    share = rng.lognormal(0, 0.7, size["units"])
    spikes = size["units"] * size["rate"] * size["seconds"]
    counts = (spikes * share / share.sum()).astype(int)
    trains = [np.sort(rng.integers(0, size["seconds"] * 30_000, n)) for n in counts]
    np.save(folder / "times.npy", np.concatenate(trains) / 30_000)
    np.save(folder / "counts.npy", counts)


def signal(size):
    """Times and values of a signal at 60 Hz."""
    stamps = np.arange(size["seconds"] * 60) / 60
    return stamps, np.sin(stamps)


def ours(ragged=False, unit_tokens=True, prefetch=0):
    """A dataset of tokens with one target."""

    def case(folder, size):
        import xarray as xr

        import neuroarrays.torch as nt

        compile_kernels()
        times, counts = np.load(folder / "times.npy"), np.load(folder / "counts.npy")
        spikes = xr.Dataset(
            {
                "spike_times": ("spike", times),
                "row_size": ("unit_id", counts, {"sample_dimension": "spike"}),
            },
            {"unit_id": np.arange(counts.size)},
        )
        stamps, values = signal(size)
        speed = xr.Dataset({"speed": ("time", values)}, {"time": stamps})
        tree = xr.DataTree.from_dict({"s/VISp/spikes": spikes, "s/running": speed})

        def make():
            data = nt.SpikeEventDataset(
                tree["s/VISp"],
                1.0,
                stride=0.5,
                targets=["running/speed"],
                ragged=ragged,
                unit_tokens=unit_tokens,
                latents=(0.125, 16),
            )
            batches = nt.Batches(len(data), size["batch"], shuffle=True)
            return nt.Loader(data, batches, prefetch=prefetch)

        return measure(make, size["batches"], lambda b: len(b["time"]))

    return case


def torch_brain(folder, size):
    """Its slice, the tokenizer of its POYO, its padding, through torch's own loader."""
    import torch
    from torch_brain.batching import collate, pad8, track_mask8
    from torch_brain.data import ArrayDict, Data, Interval, IrregularTimeSeries
    from torch_brain.models import POYO

    times, counts = np.load(folder / "times.npy"), np.load(folder / "counts.npy")
    order = np.argsort(times, kind="stable")
    unit = np.repeat(np.arange(counts.size), counts)[order]
    names = np.arange(counts.size).astype(str)
    model = POYO(sequence_length=1.0, latent_step=0.125, num_latents_per_step=16, dim=64, dim_out=1)
    model.unit_emb.initialize_vocab(names.tolist())
    model.session_emb.initialize_vocab(["s"])
    stamps, values = signal(size)

    class Windows(torch.utils.data.Dataset):
        def __init__(self):
            whole = Interval(start=np.array([0.0]), end=np.array([float(size["seconds"])]))
            self.data = Data(
                spikes=IrregularTimeSeries(timestamps=times[order], unit_index=unit, domain=whole),
                running=IrregularTimeSeries(timestamps=stamps, speed=values, domain=whole),
                units=ArrayDict(id=names),
                session=Data(id="s"),
                domain=whole,
            )

        def __len__(self):
            return 2 * size["seconds"] - 1

        def __getitem__(self, i):
            window = self.data.slice(0.5 * i, 0.5 * i + 1.0)
            target = {
                "output_timestamps": pad8(window.running.timestamps),
                "output_values": pad8(window.running.speed),
                "output_mask": track_mask8(window.running.timestamps),
            }
            return model.tokenize(window) | target

    def make():
        return torch.utils.data.DataLoader(
            Windows(),
            size["batch"],
            shuffle=True,
            collate_fn=collate,
            generator=torch.Generator().manual_seed(0),
        )

    return measure(make, max(size["batches"] // 10, 4), lambda b: len(b["session_index"]))


CASES = {
    "neuroarrays, padded": (ours(), None),
    "neuroarrays, padded, prefetch=2": (ours(prefetch=2), None),
    "neuroarrays, padded, spikes alone": (ours(unit_tokens=False), None),
    "neuroarrays, ragged": (ours(ragged=True), None),
    "torch_brain: slice, POYO's tokenizer, collate": (torch_brain, "torch_brain"),
}


def main(argv=None):
    """Write the data, measure every case, print the table."""
    run(CASES, write, __file__, __doc__, SIZES, argv)


if __name__ == "__main__":
    main()
