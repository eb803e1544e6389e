"""Writes the golden files of the reader `arrays`: `python make.py`. Seeded; no recorded data."""

from pathlib import Path

import numpy as np
import scipy.io

HERE = Path(__file__).resolve().parent
rng = np.random.default_rng(20261)
trains = [np.sort(rng.random(n) * 10).round(4) for n in (5, 3, 0, 4)]

rig = {
    "spikes": np.array([{"time": t.reshape(-1, 1), "rate": t.size / 10} for t in trains], object),
    "dff": rng.random((3, 12)).astype("f4"),
    "ca_time": (np.arange(12) * 0.5).reshape(1, -1),
    "behav_time": np.arange(25) * 400.0,
    "x": rng.random(25),
    "lick": np.arange(25) % 7 == 0,
    "trials": {"on": np.array([1.0, 4.0]), "kind": np.array(["go", "nogo"], object)},
}

if __name__ == "__main__":
    scipy.io.savemat(HERE / "rig.mat", rig, do_compression=True)
    (HERE / "lab").mkdir(exist_ok=True)
    order = np.argsort(np.concatenate(trains), kind="stable")
    labels = np.repeat([11, 12, 13, 14], [t.size for t in trains])
    np.save(HERE / "lab" / "spike_times.npy", np.concatenate(trains)[order])
    np.save(HERE / "lab" / "spike_clusters.npy", labels[order].astype("i4"))
    rows = "\n".join(f"{t},{v}" for t, v in zip(range(4), (1.5, 2.5, 3.5, 4.5), strict=True))
    (HERE / "lab" / "wheel.csv").write_text(f"ms,speed\n{rows}\n")
