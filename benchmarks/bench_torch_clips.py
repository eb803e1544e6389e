"""Movie clips for training: 50 frames, batches of 64, against open-retina's own loader."""

import numpy as np
from loading import compile_kernels, measure, run

SIZES = (
    {
        "frames": 50_000,
        "height": 72,
        "width": 64,
        "neurons": 60,
        "chunk": 50,
        "batch": 64,
        "batches": 60,
    },
    {
        "frames": 2_000,
        "height": 18,
        "width": 16,
        "neurons": 6,
        "chunk": 50,
        "batch": 8,
        "batches": 8,
    },
)
RATE = 30.0


def write(folder, size):
    """A movie of 256 grey levels, z-scored to float32 as open-retina's are."""
    import h5py
    import xarray as xr

    import neuroarrays as na

    rng = np.random.default_rng(0)
    shape = (size["frames"], 1, size["height"], size["width"])
    grey = rng.integers(0, 256, shape, dtype=np.uint8)
    for _ in range(2):  # neighbours in space and time are alike, as in a natural movie
        grey[1:] = grey[1:] // 2 + grey[:-1] // 2
        grey[..., 1:] = grey[..., 1:] // 2 + grey[..., :-1] // 2
    movie = (grey.astype(np.float32) - np.float32(grey.mean())) / np.float32(grey.std())
    assert movie.dtype == np.float32
    responses = rng.gamma(1, 1, (size["frames"], size["neurons"])).astype(np.float32)
    np.save(folder / "movie.npy", movie)
    np.save(folder / "responses.npy", responses)
    time = xr.Variable(
        "time", (np.arange(size["frames"]) + 0.5) / RATE, {"units": "s", "bin_width": 1 / RATE}
    )
    for name, stimulus in (("float32", movie), ("uint8", grey)):
        tree = xr.DataTree.from_dict(
            {
                "/": xr.Dataset(attrs={"neuroarrays_schema": "aligned/1"}),
                "s": xr.Dataset(
                    {"stimulus": (("time", "channel", "y", "x"), stimulus)}, {"time": time}
                ),
                "s/retina": xr.Dataset(
                    {"responses": (("time", "unit_id"), responses)},
                    {"unit_id": np.arange(size["neurons"])},
                ),
            }
        )
        na.save(tree, folder / f"{name}.h5")
    with h5py.File(folder / "plain.h5", "w") as file:  # not compressed, as stimuli often are
        file["stimulus"] = movie


def plain(workers):
    def case(folder, size):
        import xarray as xr

        import neuroarrays as na
        import neuroarrays.torch as nt
        from neuroarrays.lazy.arrays import file_array
        from neuroarrays.testing.sources import open_source

        tree = na.open_datatree(folder / "float32.h5")
        movie = file_array(open_source(folder / "plain.h5"), "stimulus")
        variable = movie.variable(("time", "channel", "y", "x"))
        tree["s"].dataset = tree["s"].to_dataset().assign(stimulus=xr.DataArray(variable))

        def make():
            data = nt.ClipDataset(
                tree["s/retina"],
                ["stimulus"],
                size["chunk"] / RATE,
                ["responses"],
                stride=1 / RATE,
                cache=False,
            )
            batches = nt.Jittered(data, size["batch"], drop_last=True)
            return nt.Loader(data, batches, num_workers=workers)

        return measure(make, size["batches"], lambda b: len(b["stimulus"]))

    return case


def floor(folder, size):
    """What the copy alone costs: into one buffer, no loader."""
    movie = np.load(folder / "movie.npy")
    out = np.empty((size["batch"], size["chunk"], *movie.shape[1:]), np.float32)
    rng = np.random.default_rng(0)

    def batches():
        for _ in range(len(movie) // size["chunk"] // size["batch"]):
            for row in out:
                start = rng.integers(0, len(movie) - size["chunk"])
                row[...] = movie[start : start + size["chunk"]]
            yield out

    class Batches:
        __iter__ = staticmethod(batches)

    return measure(Batches, size["batches"], len)


def ours(cache, workers, kind="float32", compat=False):
    def case(folder, size):
        import neuroarrays as na

        if kind == "memory":
            import xarray as xr

            stored = na.open_datatree(folder / "float32.h5")
            tree = xr.DataTree.from_dict(
                {p: n.to_dataset(inherit=False).load() for p, n in stored.subtree_with_keys}
            )
        else:
            tree = na.open_datatree(folder / f"{kind}.h5")
        import neuroarrays.torch as nt

        tree["s/stimulus"][:2].load()
        compile_kernels()

        def make():
            data = nt.ClipDataset(
                tree["s/retina"],
                ["stimulus"],
                size["chunk"] / RATE,
                ["responses"],
                stride=1 / RATE,
                cache=cache,
            )
            return nt.Loader(
                data, nt.Jittered(data, size["batch"], drop_last=True), num_workers=workers
            )

        return measure(make, size["batches"], lambda b: len(b["stimulus"]))

    return case


def openretina(workers):
    def case(folder, size):
        import torch
        from openretina.data_io.base_dataloader import get_movie_dataloader

        def make():
            movie = torch.tensor(
                np.load(folder / "movie.npy").transpose(1, 0, 2, 3), dtype=torch.float
            )
            responses = torch.tensor(np.load(folder / "responses.npy"))
            return get_movie_dataloader(
                movie,
                responses,
                split="train",
                scene_length=size["chunk"] * 4,
                chunk_size=size["chunk"],
                batch_size=size["batch"],
                num_workers=workers,
            )

        return measure(make, size["batches"], lambda b: len(b[0]))

    return case


CASES = {
    "neuroarrays, tree in memory": (ours("auto", 0, "memory"), None),
    "neuroarrays, archive kept in memory": (ours(True, 0), None),
    "neuroarrays, archive kept, 2 workers": (ours(True, 2), None),
    "neuroarrays, archive from disk": (ours(False, 0), None),
    "neuroarrays, archive from disk, 2 workers": (ours(False, 2), None),
    "neuroarrays, uncompressed HDF5 from disk": (plain(0), None),
    "neuroarrays, uncompressed HDF5, 2 workers": (plain(2), None),
    "neuroarrays, uint8 archive kept in memory": (ours(True, 0, "uint8"), None),
    "neuroarrays, uint8 archive from disk": (ours(False, 0, "uint8"), None),
    "one numpy copy per clip, one buffer": (floor, None),
    "open-retina": (openretina(0), "openretina"),
    "open-retina, 2 workers": (openretina(2), "openretina"),
}


def main(argv=None):
    """Write the data, measure every case, print the table."""
    run(CASES, write, __file__, __doc__, SIZES, argv)


if __name__ == "__main__":
    main()
