"""Write the golden file with movement itself: `python make.py`, in this folder. Seeded; no recorded data."""

from pathlib import Path

import numpy as np
from movement.io import load_poses

HERE = Path(__file__).parent

if __name__ == "__main__":
    rng = np.random.default_rng(20261128)
    position = rng.normal(300, 50, (40, 2, 3, 2)).astype(np.float32)  # time, space, part, animal
    position[5, :, 2, 1] = np.nan
    poses = load_poses.from_numpy(
        position_array=position,
        confidence_array=rng.uniform(0.5, 1, (40, 3, 2)).astype(np.float32),
        individual_names=["Alice", "Bob"],
        keypoint_names=["snout", "centre", "tail_base"],
        source_software="DeepLabCut",
    )  # without fps, time counts frames
    poses.attrs["fps"] = 30.0
    poses.to_netcdf(HERE / "poses.nc")
