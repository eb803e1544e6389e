"""Writes the golden files beside this one: plain xarray and h5netcdf, as the archive was written.

A session of two areas without gaze, and one of one area with it; four scenes, three bins, and a
file with the three frames that were shown. Values are made to be told apart by eye.

    python make.py
"""

from pathlib import Path

import numpy as np
import xarray as xr

HERE = Path(__file__).parent
SCENES = HERE / "natural_scenes.h5"
FRAMES = HERE / "natural_scenes_frames.h5"
TIME = np.arange(3) * 0.02 + 0.01
GAZE = (
    "raw_eye_area",
    "raw_pupil_area",
    "raw_screen_coordinates_x_cm",
    "raw_screen_coordinates_y_cm",
    "raw_screen_coordinates_spherical_x_deg",
    "raw_screen_coordinates_spherical_y_deg",
)


def area(place, ids, units, seed, gaze):
    """Append the groups of one area."""
    rng = np.random.default_rng(seed)
    trials, clock = {"presentation_id": ids}, {"presentation_id": ids, "time": TIME}
    shape = (ids.size, TIME.size, units.size)
    spikes = (rng.random(shape) < 0.3).astype("i1")
    put = {
        "spike_data": xr.Dataset(
            {"spike_data": (("presentation_id", "time", "unit_id"), spikes)},
            clock | {"unit_id": units},
        ),
        "speed": xr.Dataset(
            {"speed": (("time", "presentation_id"), np.arange(12, dtype="f4").reshape(3, 4) + 0.5)},
            clock,
        ),
        "presentations": xr.Dataset(
            {
                "frame": ("presentation_id", np.array([7, 3, 5, 7], "f4")),
                "stimulus_block": ("presentation_id", np.full(4, 2, "f4")),
                "start_time": ("presentation_id", np.float32(1000.1) + np.arange(4, dtype="f4")),
                "stop_time": ("presentation_id", np.float32(1000.35) + np.arange(4, dtype="f4")),
                "duration": ("presentation_id", np.full(4, 0.2502, "f4")),
            },
            trials,
        ),
    }
    if gaze:
        values = np.arange(12, dtype="f4").reshape(3, 4)
        values[1, 2] = np.nan
        put["gaze_data"] = xr.Dataset(
            {name: (("time", "presentation_id"), values + 100 * i) for i, name in enumerate(GAZE)},
            clock,
        )
    for name, group in put.items():
        mode = "a" if SCENES.exists() else "w"
        group.to_netcdf(SCENES, mode=mode, group=f"{place}/{name}", engine="h5netcdf")


if __name__ == "__main__":
    SCENES.unlink(missing_ok=True)
    ids = np.array([51, 52, 54, 57], "i4")
    area("session_715093703/CA1", ids, np.array([950911932, 950911986], "i4"), 1, gaze=False)
    area("session_715093703/VISp", ids, np.array([950912164, 950912190, 950912214], "i4"), 2, False)
    area("session_766640955/VISp", ids + 100, np.array([951814884, 951814900], "i4"), 3, gaze=True)
    shown = np.arange(3 * 2 * 4, dtype="u1").reshape(3, 2, 4) * 10
    xr.Dataset(
        {"frames": (("frame", "y", "x"), shown)}, {"frame": np.array([3, 5, 7], "i4")}
    ).to_netcdf(FRAMES, engine="h5netcdf")
