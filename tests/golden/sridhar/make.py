"""Write the golden folder beside this file, in the layout of Sridhar et al. 2025.

    python tests/golden/sridhar/make.py

Two sessions of the natural movie, one of white noise. Padding of 4 pixels: images of 28 x 24,
windows of 16 x 12. Units, frames and trials of session 02 are equal in number, so that only the
layout says which axis is which. Then prints the values that the test states.
"""

import pickle
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent / "data"
NAMES = {
    "01": "complete_fixations_seed_2022and2023_s4_fixed.txt",
    "02": "complete_fixations_seed2022_s4.txt",
}


def responses(path, rng, units, frames, trials, test_frames, test_trials, seeds=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    held = {
        "train_responses": rng.poisson(0.9, (units, frames, trials)).astype("f4"),
        "test_responses": rng.poisson(0.9, (units, test_frames, test_trials)).astype("f4"),
    }
    if seeds is not None:
        held |= {"seeds": list(seeds), "trial_separation": seeds}
    path.write_bytes(pickle.dumps(held))


def natural_movie(rng):
    folder = HERE / "natural_movie"
    for name in ("stimuli_padded_4", "fixations", "stas"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(4):
        np.save(
            folder / f"stimuli_padded_4/{i:05d}_img_{10088 + i}.npy",
            rng.integers(0, 256, (28, 24), dtype="u1"),
        )
    seeds = {2022: list(range(10)), 2023: np.arange(10, 12)}
    responses(
        folder / "responses/cell_responses_01_fixation_movie.pkl", rng, 3, 40, 12, 24, 12, seeds
    )
    responses(folder / "responses/cell_responses_02_fixation_movie.pkl", rng, 9, 9, 9, 9, 9)
    for name, lines in ((NAMES["01"], 24 + 40 * 12), (NAMES["02"], 9 + 9 * 9)):
        image, flip = rng.integers(0, 4, lines), rng.random(lines) < 0.7
        x, y = rng.integers(4, 17, lines), rng.integers(2, 15, lines)
        each = zip(image, x, y, flip, strict=True)
        text = "".join(
            f"{float(i)} 0.0 7 {float(a)} {float(b)} 9 {int(f)}\n" for i, a, b, f in each
        )
        (folder / "fixations" / name).write_text(text)
    for unit in (0, 2):  # that of unit 1 is missing
        average = rng.normal(0, 0.1, (5, 12, 16))
        average[2, 3 + unit, 7] += 4
        np.save(folder / f"stas/cell_data_01_WN_stas_cell_{unit}.npy", average.astype("f4"))


def white_noise(rng):
    folder = HERE / "whitenoise"
    responses(folder / "responses/cell_responses_04_wn.pkl", rng, 2, 6, 3, 4, 3)
    for name, frames in (
        ("repeating_stimuli_2", 4),
        *((f"non_repeating_stimuli_2/trial_{k:03d}", 6) for k in range(4)),
    ):
        (folder / name).mkdir(parents=True, exist_ok=True)
        grey = rng.choice(np.array([-1, 1], "i1"), (6, 8, frames))
        np.save(folder / name / "all_images.npy", grey)


def stated():
    """The values of the test, by numpy and pickle alone."""
    film = HERE / "natural_movie"
    held = pickle.loads((film / "responses/cell_responses_01_fixation_movie.pkl").read_bytes())
    train, test = held["train_responses"], held["test_responses"]
    print("01 train", train[0, 0, 0], train[2, 5, 3], train[-1, -1, -1], "as frames 0, 3*40+5, -1")
    print("01 trial", test[0, 0, 0], test[1, 7, 4], test[-1, -1, 9], "mean", test[1, 7, :10].mean())
    held = pickle.loads((film / "responses/cell_responses_02_fixation_movie.pkl").read_bytes())
    train, test = held["train_responses"], held["test_responses"]
    print("02 train", train[7, 2, 4], "trial", test[7, 2, 4], test[4, 2, 7])
    lines = (film / "fixations" / NAMES["01"]).read_text().splitlines()
    for frame in (0, 1, 23, 24, 24 + 3 * 40 + 5, -1):
        words = lines[frame].split(" ")
        image, x, y = (int(float(words[k])) for k in (0, 3, 4))
        path = next(film.glob(f"stimuli_padded_4/{image:05d}_*"))
        window = np.load(path)[x + 4 - 8 : x + 4 + 8, y + 4 - 6 : y + 4 + 6]
        if words[-1] == "0":
            window = window[:, ::-1]
        print(
            "line",
            frame,
            words,
            "y, x of 0, 0:",
            window[0, 0],
            "2, 5:",
            window[5, 2],
            window[-1, -1],
        )
    grey = HERE / "whitenoise"
    shown = np.load(grey / "non_repeating_stimuli_2/trial_001/all_images.npy")
    print("04 noise, trial 1", shown[0, 1, 0], shown[2, 3, 4], shown[5, 7, 5], shown[5, 6, 5])
    print("04 noise, frame 4 of trial 1, row 2", shown[2, :, 4])
    held = pickle.loads((grey / "responses/cell_responses_04_wn.pkl").read_bytes())
    print("04 train", held["train_responses"][1, 4, 1], held["train_responses"][-1, -1, -1])


if __name__ == "__main__":
    rng = np.random.default_rng(11)
    natural_movie(rng)
    white_noise(rng)
    stated()
