"""Write the golden folder beside this file: two sessions and the stimuli they share.

python tests/golden/openretina/make.py
"""

from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).parent / "data"
LENGTHS = {"bars": 7, "noise_10": 5, "noise_2": 6}


def main():
    (HERE / "stimuli").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(6)
    for name, frames in LENGTHS.items():
        movie = rng.integers(0, 256, (2, frames, 3, 4)).astype("f8")
        np.save(HERE / "stimuli" / f"{name}.npy", movie)
    for number, (session, units) in enumerate({"one": 3, "two": 2}.items()):
        with h5py.File(HERE / f"{session}.h5", "w") as file:
            for name, frames in LENGTHS.items():
                if (session, name) != ("two", "bars"):
                    file[f"responses_{name}"] = rng.random((units, frames)).round(3)
            if session == "two":  # its own, shown instead of the shared one
                file["stimulus_noise_2"] = np.full((2, 6, 3, 4), 0.5, "f4")
            file["session_info/celltypes"] = np.arange(units) + 10 * number
            file["session_info/roi_mask"] = np.arange(4).reshape(2, 2) - units


if __name__ == "__main__":
    main()
