"""Writes the golden session of this folder; README.md says what was read from it by hand."""

import tempfile
from pathlib import Path

import h5py

from neuroarrays.synthetic.allen import write_allen

HERE = Path(__file__).parent
OPTIONS = {
    "seed": 3,
    "session_id": 715093703,
    "stimuli": ("static_gratings", "natural_scenes", "natural_movie_one", "flashes"),
    "rows": 6,
    "movie": (2, 5),
    "units": 6,
    "bad_units": 7,
    "channels": 20,
    "rate": 1.0,
    "sampling": 0.04,
    "irregular": 0.0,
}

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.nwb")
        write_allen(path, **OPTIONS)
        # Copied once more for its size: the newer format of groups takes half the bytes.
        out = HERE / "session_715093703.nwb"
        with h5py.File(path) as old, h5py.File(out, "w", libver="latest") as new:
            new.attrs.update(old.attrs)
            for name in old:
                old.copy(name, new)
