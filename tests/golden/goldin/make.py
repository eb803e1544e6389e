"""Write the golden file beside this one, in the layout of Goldin et al. 2022.

python tests/golden/goldin/make.py
"""

from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).parent / "data"


def main():
    HERE.mkdir(exist_ok=True)
    for name, cells in (("mouse-session-1", (1, 2, 10)), ("axolotl-session-1", (3, 4))):
        rng = np.random.default_rng(len(name))
        with h5py.File(HERE / f"{name}_structured_data.h5", "w") as file:
            repeats = rng.poisson(2, (5, len(cells), 4)).astype("f8")
            for split, images in (("train", 6), ("test", 4)):
                file[f"{split}/stimulus"] = rng.integers(0, 256, (images, 5, 3), dtype="u1")
                counts = repeats.mean(0) if split == "test" else rng.poisson(2, (len(cells), 6))
                file[f"{split}/response/binned"] = counts.astype("f8")
            for k, cell in enumerate(cells):
                file[f"test/repeats/cell{cell:02d}"] = repeats[:, k]


if __name__ == "__main__":
    main()
