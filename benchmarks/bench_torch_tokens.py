"""One-second windows of 800 units as POYO's tokens, padded, with unit tokens, latents and a target, against torch_brain."""

import numpy as np
from loading import compile_kernels, measure, run

SIZES = (
    {"units": 800, "hertz": 5, "seconds": 1800, "batch": 64, "batches": 200},
    {"units": 20, "hertz": 5, "seconds": 120, "batch": 16, "batches": 10},
)
LATENTS = (0.125, 16)


def write(folder, size):
    """Spikes at random times, one unit after another; a running speed at 100 Hz."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(size["hertz"] * size["seconds"], size["units"])
    trains = [np.sort(rng.uniform(0, size["seconds"], n)) for n in counts]
    np.save(folder / "times.npy", np.concatenate(trains))
    np.save(folder / "counts.npy", counts)
    stamps = np.arange(0, size["seconds"], 0.01)
    np.save(folder / "stamps.npy", stamps)
    np.save(folder / "speed.npy", np.abs(rng.normal(10, 3, stamps.size)).astype("f4"))


def read(folder):
    """Times of spikes and their number by unit, stamps and values of the speed."""
    return (np.load(folder / f"{name}.npy") for name in ("times", "counts", "stamps", "speed"))


def ours(whole, workers=0):
    """Spikes alone, or with all that POYO takes."""

    def case(folder, size):
        import xarray as xr

        import neuroarrays.torch as nt

        compile_kernels()
        times, counts, stamps, speed = read(folder)
        row_size = ("unit_id", counts, {"sample_dimension": "spike"})
        spikes = xr.Dataset(
            {"spike_times": ("spike", times), "row_size": row_size},
            {"unit_id": np.arange(counts.size)},
        )
        running = xr.Dataset({"speed": ("time", speed, {"units": "cm/s"})}, {"time": stamps})
        tree = xr.DataTree.from_dict({"s/VISp/spikes": spikes, "s/running": running})
        options = {"unit_tokens": True, "latents": LATENTS, "targets": ["running/speed"]}

        def make():
            data = nt.SpikeEventDataset(
                tree["s/VISp"], 1.0, stride=0.25, **(options if whole else {})
            )
            batches = nt.Batches(len(data), size["batch"], shuffle=True)
            return nt.Loader(data, batches, num_workers=workers)

        return measure(make, size["batches"], lambda b: len(b["spike_times"]))

    return case


def torch_brain(folder, size):
    """Its slice, its tokenizer of POYO and its collate, through torch's own loader."""
    import torch
    from torch_brain.batching import collate
    from torch_brain.data import ArrayDict, Data, Interval, IrregularTimeSeries
    from torch_brain.models import POYO

    times, counts, stamps, speed = read(folder)
    order = np.argsort(times, kind="stable")
    unit = np.repeat(np.arange(counts.size), counts)
    names = np.array([f"s/VISp/{i}" for i in range(counts.size)])
    model = POYO(
        sequence_length=1.0,
        latent_step=LATENTS[0],
        num_latents_per_step=LATENTS[1],
        dim=16,
        dim_head=8,
        dim_out=1,
    ).eval()
    model.unit_emb.initialize_vocab(list(names))
    model.session_emb.initialize_vocab(["s"])
    whole = Interval(start=np.array([0.0]), end=np.array([float(size["seconds"])]))

    class Windows(torch.utils.data.Dataset):
        def __init__(self):
            self.data = Data(
                spikes=IrregularTimeSeries(
                    timestamps=times[order], unit_index=unit[order], domain=whole
                ),
                running=IrregularTimeSeries(timestamps=stamps, values=speed, domain=whole),
                units=ArrayDict(id=names),
                session=Data(id="s"),
                domain=whole,
            )

        def __len__(self):
            return 4 * (size["seconds"] - 1) + 1

        def __getitem__(self, i):
            window = self.data.slice(0.25 * i, 0.25 * i + 1.0)
            return {**model.tokenize(window), "n": 1}

    def make():
        return torch.utils.data.DataLoader(
            Windows(),
            size["batch"],
            shuffle=True,
            collate_fn=collate,
            generator=torch.Generator().manual_seed(0),
        )

    return measure(make, max(size["batches"] // 20, 4), lambda b: len(b["n"]))


CASES = {
    "neuroarrays, spikes alone": (ours(False), None),
    "neuroarrays, all that POYO takes": (ours(True), None),
    "neuroarrays, all, 2 workers": (ours(True, 2), None),
    "torch_brain: slice, POYO.tokenize, collate": (torch_brain, "torch_brain"),
}


def main(argv=None):
    """Write the data, measure every case, print the table."""
    run(CASES, write, __file__, __doc__, SIZES, argv)


if __name__ == "__main__":
    main()
