"""Image trials of 8,000 neurons: 36 × 64 images, batches of 128, against neuralpredictors."""

import numpy as np
from loading import compile_kernels, measure, run

SIZES = (
    {"trials": 5000, "neurons": 8000, "batch": 128, "batches": 56},
    {"trials": 200, "neurons": 50, "batch": 16, "batches": 8},
)


def write(folder, size):
    """The same trials as an archive and as a folder of npy files, 70 % of them to train."""
    import xarray as xr

    import neuroarrays as na

    rng = np.random.default_rng(0)
    n = size["trials"]
    images = rng.integers(0, 256, (n, 1, 36, 64)).astype(np.float32)
    responses = rng.gamma(0.5, 2.0, (n, size["neurons"])).astype(np.float32)
    tiers = np.where(np.arange(n) % 10 < 7, "train", "test").astype(object)
    for key, values in (("images", images), ("responses", responses)):
        (folder / "static/data" / key).mkdir(parents=True)
        for i in range(n):
            np.save(folder / f"static/data/{key}/{i}.npy", values[i])
        where = folder / f"static/meta/statistics/{key}/all"
        where.mkdir(parents=True)
        axis = None if key == "images" else 0
        np.save(where / "mean.npy", values.mean(axis, dtype=np.float64).astype("f4"))
        np.save(where / "std.npy", values.std(axis, dtype=np.float64).astype("f4"))
    (folder / "static/meta/trials").mkdir(parents=True)
    np.save(folder / "static/meta/trials/tiers.npy", tiers.astype(str))
    (folder / "static/meta/neurons").mkdir(parents=True)
    np.save(folder / "static/meta/neurons/unit_ids.npy", np.arange(size["neurons"]))
    along = ("presentation_id",)
    tree = xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs={"neuroarrays_schema": "aligned/1"}),
            "m": xr.Dataset(
                {"stimulus": ((*along, "channel", "y", "x"), images)}, {along[0]: np.arange(n)}
            ),
            "m/V1": xr.Dataset(
                {"responses": ((*along, "unit_id"), responses)},
                {"unit_id": np.arange(size["neurons"])},
            ),
            "m/V1/presentations": xr.Dataset(
                {"tier": (along, tiers), "start_time": (along, np.arange(n) * 1.0)}
            ),
        }
    )
    na.save(tree, folder / "archive.h5")


def ours(cache, workers):
    def case(folder, size):
        import neuroarrays as na
        import neuroarrays.torch as nt

        tree = na.open_datatree(folder / "archive.h5")

        tree["m/stimulus"][:2].load()
        compile_kernels()

        def make():
            found = nt.loaders(
                tree,
                ["stimulus"],
                ["responses"],
                batch_size=size["batch"],
                options={"cache": cache},
                normalize=["stimulus"],
                num_workers=workers,
                prefetch=0,
            )
            return found["train"]["m"]

        return measure(make, size["batches"], lambda b: len(b["stimulus"]))

    return case


def neuralpredictors(cache, workers=0):
    def case(folder, size):
        import collections
        import collections.abc

        for name in ("Iterable", "Mapping"):  # its release on PyPI is for Python < 3.10
            setattr(collections, name, getattr(collections.abc, name))
        import torch
        from neuralpredictors.data.datasets import FileTreeDataset
        from neuralpredictors.data.transforms import NeuroNormalizer, ToTensor

        def make():
            data = FileTreeDataset(str(folder / "static"), "images", "responses", use_cache=cache)
            data.transforms.extend([NeuroNormalizer(data), ToTensor(False)])
            train = np.flatnonzero(data.trial_info.tiers == "train")
            sampler = torch.utils.data.SubsetRandomSampler(train)
            return torch.utils.data.DataLoader(
                data, size["batch"], sampler=sampler, num_workers=workers
            )

        return measure(make, size["batches"], lambda b: len(b[0]))

    return case


CASES = {
    "neuroarrays, archive kept in memory": (ours(True, 0), None),
    "neuroarrays, archive kept, 2 workers": (ours(True, 2), None),
    "neuroarrays, archive from disk": (ours(False, 0), None),
    "neuroarrays, archive from disk, 2 workers": (ours(False, 2), None),
    "neuralpredictors, no cache": (neuralpredictors(False), "neuralpredictors"),
    "neuralpredictors, its cache filled": (neuralpredictors(True), "neuralpredictors"),
}


def main(argv=None):
    """Write the data, measure every case, print the table."""
    run(CASES, write, __file__, __doc__, SIZES, argv)


if __name__ == "__main__":
    main()
