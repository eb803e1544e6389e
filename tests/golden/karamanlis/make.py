"""Write the golden folder beside this file, in the layout of Karamanlis et al. 2024.

    python tests/golden/karamanlis/make.py

A mouse in a folder with expdata.mat (a screen of 12 x 16 pixels) and a marmoset in a zip without.
"""

import zipfile
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).parent / "data"
MOUSE, MARMOSET = "20210115_252MEA_mouse_left_half_dorsal", "20220301_60MEA_marmoset_left_s1"


def text(file, name, value):
    file[name] = np.array([ord(c) for c in value], "u2")[:, None]
    return file[name].ref


def movie(path, seed, units, across, down):
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for prefix, images in (("frozen", 2), ("running", 3)):
            file[f"{prefix}Images"] = rng.integers(1, 256, (images, across, down), dtype="u1")
        file["frozenImages"][1] = 77
        centre = np.array([across // 2, down // 2])
        frozen, running = np.ones((4, 3)), np.ones((2, 3, 3))
        frozen[:, 1:] = centre
        frozen[2:, 0] = 2
        frozen[1, 1:] -= 2
        running[..., 0] = [[1, 2, 2], [3, 3, 1]]
        running[..., 1:] = centre + rng.integers(-2, 3, (2, 3, 2))
        file["frozenfixations"], file["runningfixations"] = frozen, running
        file["frozenbin"] = rng.poisson(0.9, (3, 4, units)).astype("f8")
        file["runningbin"] = rng.poisson(0.9, (2, 3, units)).astype("f8")
        file["frozenRates"] = np.zeros((4, units))


def expdata(path, units):
    with h5py.File(path, "w") as file:
        file["projector/refreshrate"] = np.array([[75.0]])
        file["projector/pixelsize"] = np.array([[7.5e-6]])
        file["projector/screen"] = np.array([[12.0], [16.0]])
        file["cellclus_id"] = np.arange(units, dtype="f8")[None] % 3
        labels = [text(file, "#refs#/b", "Sustained ONalpha"), text(file, "#refs#/c", "ON")]
        dtype = h5py.special_dtype(ref=h5py.Reference)
        file.create_dataset("typelabels", (2, 1), dtype)[:, 0] = labels


def main():
    movie(HERE / MOUSE / "fixationmovie_data.mat", 3, 4, 20, 18)
    expdata(HERE / MOUSE / "expdata.mat", 4)
    with h5py.File(HERE / MOUSE / "gratingflicker_data.mat", "w") as file:
        file["frozenbin"], file["runningbin"] = np.ones((3, 5, 4)), np.full((6, 4), 2.0)
    loose = HERE / "loose.mat"
    movie(loose, 4, 2, 90, 70)
    with zipfile.ZipFile(HERE / f"{MARMOSET}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(loose, f"{MARMOSET}/fixationmovie_data.mat")
    loose.unlink()


if __name__ == "__main__":
    main()
