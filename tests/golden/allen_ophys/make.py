"""Write the golden file: `python make.py`, in this folder. Seeded; no recorded data."""

from pathlib import Path

import h5py

from neuroarrays.synthetic.allen_ophys import write_allen_ophys

if __name__ == "__main__":
    path = write_allen_ophys(Path(__file__).parent / "501271265.nwb", units=3, trials=10, seed=5)
    with h5py.File(path, "r+") as file:  # the number of its name and not that of the seed
        for name in ("identifier", "general/session_id"):
            file[name][()] = path.stem
