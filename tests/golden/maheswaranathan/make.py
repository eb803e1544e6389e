"""Write the golden folder beside this file, in the layout of Maheswaranathan et al. 2023.

    python tests/golden/maheswaranathan/make.py

Session 15-10-07 has its repeats by cell, 15-11-21a by response type; both have one bin more of the
test responses than frames of the test stimulus, as the published files do.
"""

from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).parent / "data" / "ganglion_cell_data"
TRAIN, TEST, TRIALS = 12, 5, 2


def write(path, seed, cells, by_cell):
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        time = {"train": 0.5 + np.arange(TRAIN) / 100, "test": np.arange(TEST) / 100}
        counts = rng.poisson(0.8, (len(cells), TRAIN))
        repeats = rng.poisson(0.8, (TRIALS, len(cells), TEST + 1)).astype("f8")
        for split, clock in time.items():
            file[f"{split}/stimulus"] = rng.integers(0, 256, (clock.size, 4, 3), dtype="u1")
            file[f"{split}/time"] = clock
            binned = counts.astype("f8") if split == "train" else repeats.mean(0)
            file[f"{split}/response/binned"] = binned
            for width in (5, 10, 20):
                file[f"{split}/response/firing_rate_{width}ms"] = binned * 100 / width
        if by_cell:
            for k, cell in enumerate(cells):
                file[f"test/repeats/{cell}"] = repeats[:, k]
        else:
            for name in ("binned", "firing_rate_10ms"):
                file[f"test/repeats/{name}"] = repeats * (1 if name == "binned" else 10)
        for k, cell in enumerate(cells):
            inside = [
                time["train"][i] + rng.uniform(0.001, 0.009, n) for i, n in enumerate(counts[k])
            ]
            file[f"spikes/{cell}"] = np.sort(np.concatenate(inside))


def main():
    write(HERE / "15-10-07" / "naturalscene.h5", 0, ["cell1", "cell2", "cell10"], True)
    write(HERE / "15-10-07" / "whitenoise.h5", 1, ["cell1", "cell2", "cell10"], True)
    write(HERE / "15-11-21a" / "naturalscene.h5", 2, ["cell01", "cell02"], False)


if __name__ == "__main__":
    main()
