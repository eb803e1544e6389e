"""One-second windows of 800 units, binned at 20 ms from raw spikes, against torch_brain."""

import numpy as np
from loading import compile_kernels, measure, run

SIZES = (
    {"units": 800, "spikes": 36_000_000, "seconds": 9000, "batch": 64, "batches": 200},
    {"units": 20, "spikes": 200_000, "seconds": 900, "batch": 16, "batches": 10},
)


def write(folder, size):
    """Trains on a 30 kHz clock, as an array of times by unit."""
    rng = np.random.default_rng(0)
    share = rng.lognormal(0, 0.7, size["units"])
    counts = (size["spikes"] * share / share.sum()).astype(int)
    trains = [np.sort(rng.integers(0, size["seconds"] * 30_000, n)) for n in counts]
    np.save(folder / "times.npy", np.concatenate(trains) / 30_000)
    np.save(folder / "counts.npy", counts)


def ours(workers, dtype="uint8"):
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
        tree = xr.DataTree.from_dict({"s/VISp/spikes": spikes})

        def make():
            data = nt.SpikeWindowDataset(tree["s/VISp"], 1.0, 0.02, stride=0.5, dtype=dtype)
            batches = nt.Batches(len(data), size["batch"], shuffle=True)
            return nt.Loader(data, batches, num_workers=workers)

        return measure(make, size["batches"], lambda b: len(b["spike_data"]))

    return case


def torch_brain(workers):
    """Its slice and its bin_spikes, from memory, through torch's own loader."""

    def case(folder, size):
        return _torch_brain(folder, size, workers)

    return case


def _torch_brain(folder, size, workers):
    import torch
    from torch_brain.data import ArrayDict, Data, Interval, IrregularTimeSeries
    from torch_brain.utils.binning import bin_spikes

    times, counts = np.load(folder / "times.npy"), np.load(folder / "counts.npy")
    order = np.argsort(times, kind="stable")
    unit = np.repeat(np.arange(counts.size), counts)[order]

    class Windows(torch.utils.data.Dataset):
        def __init__(self):
            whole = Interval(start=np.array([0.0]), end=np.array([float(size["seconds"])]))
            self.data = Data(
                spikes=IrregularTimeSeries(timestamps=times[order], unit_index=unit, domain=whole),
                units=ArrayDict(id=np.arange(counts.size).astype(str)),
                domain=whole,
            )

        def __len__(self):
            return 2 * size["seconds"] - 1

        def __getitem__(self, i):
            window = self.data.slice(0.5 * i, 0.5 * i + 1.0)
            return bin_spikes(window.spikes, num_units=counts.size, bin_size=0.02)

    def make():
        return torch.utils.data.DataLoader(
            Windows(),
            size["batch"],
            shuffle=True,
            num_workers=workers,
            generator=torch.Generator().manual_seed(0),
        )

    return measure(make, max(size["batches"] // 10, 4), len)


def searchsorted(folder, size):
    """Spikes in order of time, two searches and a bincount per window: what one writes by hand."""
    import torch

    times, counts = np.load(folder / "times.npy"), np.load(folder / "counts.npy")
    order = np.argsort(times, kind="stable")
    unit, times = np.repeat(np.arange(counts.size), counts)[order], times[order]

    class Windows(torch.utils.data.Dataset):
        def __len__(self):
            return 2 * size["seconds"] - 1

        def __getitem__(self, i):
            low, high = np.searchsorted(times, [0.5 * i, 0.5 * i + 1.0])
            bins = np.minimum(((times[low:high] - 0.5 * i) * 50).astype(int), 49)
            flat = np.bincount(bins * counts.size + unit[low:high], minlength=50 * counts.size)
            return flat.reshape(50, -1).astype(np.uint8)

    def make():
        return torch.utils.data.DataLoader(
            Windows(), size["batch"], shuffle=True, generator=torch.Generator().manual_seed(0)
        )

    return measure(make, max(size["batches"] // 10, 4), len)


CASES = {
    "neuroarrays, uint8": (ours(0), None),
    "neuroarrays, float32": (ours(0, "float32"), None),
    "neuroarrays, uint8, 2 workers": (ours(2), None),
    "numpy by hand, item by item": (searchsorted, None),
    "torch_brain: slice, bin_spikes": (torch_brain(0), "torch_brain"),
    "torch_brain: slice, bin_spikes, 2 workers": (torch_brain(2), "torch_brain"),
}


def main(argv=None):
    """Write the data, measure every case, print the table."""
    run(CASES, write, __file__, __doc__, SIZES, argv)


if __name__ == "__main__":
    main()
