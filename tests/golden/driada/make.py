"""Writes the golden files of the DRIADA reader: `python make.py`. Seeded; no recorded data."""

from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
UNITS, FRAMES = 4, 30


def arrays():
    rng = np.random.default_rng(20260)
    frame = np.arange(FRAMES)
    return {
        "Calcium": (rng.random((UNITS, FRAMES)) - 0.25).astype("f4"),  # negative values stay
        "spikes": (rng.random((UNITS, FRAMES)) < 0.2).astype("u1"),
        "Reconstructions": rng.random((UNITS, FRAMES)),
        "position": np.stack([frame * 0.5, np.where(frame == 7, np.nan, 0.0)]),
        "speed": rng.random(FRAMES),
        "licks": frame % 5 == 0,
        "trial_type": (frame // 10).astype("u1"),
        "constant": np.zeros(FRAMES),
        "valid": frame,
        "big": np.asfortranarray(np.arange(3.0 * FRAMES).reshape(3, FRAMES)).astype(">f8"),
        "description": np.array("a synthetic session"),
        "mouse_age": np.array(12),
        "labels": np.array(["a", "b"]),
        "_metadata": np.array(
            {
                "fps": 20.0,
                "session_name": "RT_A5_3D",
                "bad_frames": [3, 29],
                "metrics_df": {"t_rise": [0.1, 0.2, 0.3, 0.4], "center": [[1, 2]] * UNITS},
                "cnmf_params": {"K": 5, "gSig": [3, 3]},
            },
            object,
        ),
        "_sync_info": np.array({"offset": 0.25}, object),
    }


if __name__ == "__main__":
    np.savez(HERE / "session.npz", **arrays())
    np.savez_compressed(HERE / "RT_A5_3D syn data.npz", **arrays())
