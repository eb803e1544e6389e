"""Write the golden folder beside this file, in the layout of Hoefling et al. 2024.

    python tests/golden/hoefling/make.py

A movie of 1 x 2 pixels in uint8 (the published ones are 18 x 16 in float32) and traces at 1 Hz
(published: 7.8), so that the files stay small; everything else is as published: 123 triggers, 108
clips in 20 orders, a left and a right eye, times in two layouts.
"""

import pickle
from pathlib import Path

import h5py
import numpy as np

HERE = Path(__file__).parent / "data"
UNITS = 13  # of which 11 pass the published filters
PACKED = {"compression": "gzip", "compression_opts": 9, "shuffle": True}


def main():
    HERE.mkdir(exist_ok=True)
    rng = np.random.default_rng(24)
    frames = np.arange(108 * 150)
    train = np.stack([np.stack([frames // 150, 200 + frames % 50], 1)[:, None]] * 2)
    train[1] += 1
    test = rng.integers(0, 256, (2, 750, 1, 2))
    movie = {
        "train": train.astype("u1"),
        "test": test.astype("u1"),
        "eye": "right",
        "random_sequences": np.stack([rng.permutation(108) for _ in range(20)], 1).astype("u1"),
        "movie_stats": {"dichromatic": {"mean": np.array([36.98]), "sd": np.array([36.98])}},
    }
    (HERE / "rgc_natstim_2x1.pkl").write_bytes(pickle.dumps(movie, protocol=4))
    with h5py.File(HERE / "rgc_natstim.h5", "w") as file:
        for k, (name, eye) in enumerate(
            {"session_1_dorsal1_20200226": "left", "session_2_ventral1_20200226": "right"}.items()
        ):
            group = file.create_group(name)
            group.attrs.update(eye=eye, scan_sequence_idx=3 + k, exp_num=k, date="2020-02-26")
            units = UNITS
            start = rng.uniform(0, 0.2, units).round(2)
            for stimulus, ends, samples in (("natural", 123, 640), ("chirp", 4, 80), ("mb", 6, 40)):
                spikes = rng.poisson(0.4, (units, samples)).astype("f4")
                step = {"natural": 5.0, "chirp": 16.5, "mb": 4.1}[stimulus]
                triggers = 3.0 + step * np.arange(ends)
                times = np.repeat(triggers[None], units, 0)
                group.create_dataset(f"{stimulus}_trigger_times", data=times, **PACKED)
                end = "spikes" if k else "inferred_spikes"
                group.create_dataset(f"{stimulus}_{end}", data=spikes, **PACKED)
                if stimulus == "natural":
                    group.create_dataset("natural_raw_traces", data=-spikes, **PACKED)
                if k:
                    group[f"{stimulus}_traces_t0"] = start
                    group[f"{stimulus}_traces_dt"] = np.ones(units)
                else:
                    times = (start[:, None] + np.arange(samples)).astype("f4")
                    group.create_dataset(f"{stimulus}_traces_times", data=times, **PACKED)
            group["group_assignment"] = np.array([5, 40, 12] + [7] * 10, "i4")
            confidence = np.full((units, 46), 0.01, "f4")
            confidence[:, 4] = [0.5, 0.5, 0.2] + [0.5] * 10
            group["group_confidences"] = confidence
            group["d_qi"] = np.array([0.7, 0.9, 0.9] + [0.1] * 10)
            group["chirp_qi"] = np.array([0.1, 0.9, 0.9] + [0.5] * 10)
            group["roi_ids"] = np.array([1, 2, *range(4, 15)], "i4")
            mask = np.ones((64, 64), "i4")
            for roi in group["roi_ids"]:
                mask[4 * roi : 4 * roi + 2, 10:14] = -roi
            group.create_dataset("roi_mask", data=mask, **PACKED)


if __name__ == "__main__":
    main()
