"""Shuffled presentations, 300 units × 250 bins, batches of 256: from events, disk, and peers."""

import numpy as np
from loading import compile_kernels, measure, run

SIZES = (
    {"presentations": 6000, "units": 300, "bins": 250, "batch": 256, "batches": 200},
    {"presentations": 300, "units": 20, "bins": 25, "batch": 32, "batches": 16},
)


def write(folder, size):
    """Spike counts at 5 spikes/s in 1 ms bins, as an archive of ours and one of xarray's."""
    import xarray as xr

    import neuroarrays as na

    rng = np.random.default_rng(0)
    shape = size["presentations"], size["units"], size["bins"]
    counts = np.zeros(shape, np.uint8)
    n = int(np.prod(shape) * 0.005)
    np.add.at(counts.reshape(-1), rng.integers(0, counts.size, n), 1)
    area = xr.Dataset(
        {"spike_data": (("presentation_id", "unit_id", "time"), counts)},
        {
            "presentation_id": np.arange(shape[0]),
            "unit_id": np.arange(shape[1]),
            "time": (np.arange(shape[2]) + 0.5) / 1000,
        },
    )
    attrs = {"neuroarrays_schema": "aligned/1"}
    na.save(
        xr.DataTree.from_dict({"/": xr.Dataset(attrs=attrs), "s/VISp": area}), folder / "ours.h5"
    )
    area.to_netcdf(
        folder / "xarray.nc",
        engine="h5netcdf",
        encoding={"spike_data": {"zlib": True, "chunksizes": (16, *shape[1:])}},
    )
    np.save(folder / "counts.npy", counts)


def ours(cache, workers, dtype=None):
    def case(folder, size):
        import neuroarrays as na
        import neuroarrays.torch as nt

        tree = na.open_datatree(folder / "ours.h5")
        tree["s/VISp/spike_data"][:2].load()  # what a first read loads and compiles
        compile_kernels()

        def make():
            data = nt.TrialDataset(tree["s/VISp"], ["spike_data"], cache=cache, dtype=dtype)
            batches = nt.Batches(len(data), size["batch"], shuffle=True, drop_last=True)
            return nt.Loader(data, batches, num_workers=workers, persistent_workers=workers > 0)

        n = size["batches"] if cache else size["batches"] // 4
        return measure(make, n, lambda b: len(b["spike_data"]))

    return case


def items(read, divide, workers=0):
    """A torch dataset of single items, in the usual way."""

    def case(folder, size):
        import h5netcdf  # noqa: F401
        import torch
        import xarray as xr

        xr.Dataset({"x": ("t", np.zeros(2))})["x"].isel(t=0)  # what a first use loads

        class Items(torch.utils.data.Dataset):
            def __init__(self):
                self.item = read(folder)

            def __len__(self):
                return size["presentations"]

            def __getitem__(self, i):
                return self.item(i)

        def make():
            return torch.utils.data.DataLoader(
                Items(),
                size["batch"],
                shuffle=True,
                drop_last=True,
                num_workers=workers,
                persistent_workers=workers > 0,
                generator=torch.Generator().manual_seed(0),
            )

        return measure(make, max(size["batches"] // divide, 2), len)

    return case


def dense(folder):
    counts = np.load(folder / "counts.npy")
    return lambda i: counts[i]


def in_xarray(folder):
    import xarray as xr

    data = xr.open_dataset(folder / "xarray.nc", engine="h5netcdf").load()["spike_data"]
    return lambda i: data.isel(presentation_id=i).values


def h5netcdf(folder):
    import xarray as xr

    data = xr.open_dataset(folder / "xarray.nc", engine="h5netcdf")["spike_data"]
    return lambda i: data.isel(presentation_id=i).values


def xbatcher(folder, size):
    """xbatcher's generator and its torch dataset; its batches are one after another, shuffled."""
    import torch
    import xarray as xr
    import xbatcher
    from xbatcher.loaders.torch import MapDataset

    def make():
        data = xr.open_dataset(folder / "xarray.nc", engine="h5netcdf").load()
        sizes = {"presentation_id": 1, "unit_id": size["units"], "time": size["bins"]}
        batches = xbatcher.BatchGenerator(data["spike_data"], sizes)
        return torch.utils.data.DataLoader(
            MapDataset(batches),
            size["batch"],
            shuffle=True,
            drop_last=True,
            generator=torch.Generator().manual_seed(0),
        )

    return measure(make, max(size["batches"] // 50, 2), len)


CASES = {
    "neuroarrays, archive kept as events": (ours(True, 0), None),
    "neuroarrays, kept as events, float32": (ours(True, 0, "float32"), None),
    "neuroarrays, kept as events, 2 workers": (ours(True, 2), None),
    "neuroarrays, events, float32, 2 workers": (ours(True, 2, "float32"), None),
    "neuroarrays, archive from disk": (ours(False, 0), None),
    "neuroarrays, archive from disk, 2 workers": (ours(False, 2), None),
    "dense numpy in memory, item by item": (items(dense, 4), None),
    "dense numpy in memory, 2 workers": (items(dense, 4, 2), None),
    "xarray in memory, item by item": (items(in_xarray, 10), None),
    "xarray from disk (h5netcdf), item by item": (items(h5netcdf, 100), None),
    "xbatcher, in memory": (xbatcher, "xbatcher"),
}


def main(argv=None):
    """Write the data, measure every case, print the table."""
    run(CASES, write, __file__, __doc__, SIZES, argv)


if __name__ == "__main__":
    main()
