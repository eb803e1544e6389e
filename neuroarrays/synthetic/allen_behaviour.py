"""Write running, eye tracking and optotagging of a synthetic Allen session."""

from __future__ import annotations

from typing import Any

import numpy as np

from neuroarrays.synthetic.allen_pieces import AllenPieces, text
from neuroarrays.synthetic.allen_stimuli import FRAME


def running(writer: AllenPieces) -> None:
    """Write the wheel at 60 Hz, and the signals that are computed from it."""
    step = FRAME / writer.options.sampling
    n = int((writer.plan.end - 4.0) / step)
    start = np.sort(2.0 + step * np.arange(n) + writer.random.normal(0, 2e-5, n))
    stop = np.append(start[1:], start[-1] + step)
    speed = 10 + np.cumsum(writer.random.normal(0, 0.5, n))
    path = "processing/running/running_speed"
    writer.series(path, speed, start, "cm/s")
    ends = f"{path}_end_times"
    writer.series(ends, np.full(n, np.nan), stop, "cm/s")
    writer.series("processing/running/running_wheel_rotation", speed * FRAME, path, "radians")
    raw = "acquisition/raw_running_wheel_rotation"
    writer.series(raw, speed * FRAME, start, "radians")
    voltage = "acquisition/running_wheel_signal_voltage"
    writer.series(voltage, np.full(n, 2.5), raw, "V")
    writer.truth["running"] = {"start_time": start, "end_time": stop, "speed": speed}


def running_of_behavior(writer: AllenPieces) -> None:
    """Write running as in files of Visual Behavior."""
    n = int((writer.plan.end - 4.0) / FRAME)
    times = 2.0 + FRAME * np.arange(n)
    speed = 10 + np.cumsum(writer.random.normal(0, 0.5, n))
    path = "processing/running/speed"
    writer.series(path, speed, times, "cm/s")
    writer.series("processing/running/speed_unfiltered", speed + 0.1, path, "cm/s")
    writer.series("processing/running/dx", speed * FRAME, path, "cm")
    writer.truth["running"] = {"time": times, "speed": speed}


def eye(writer: AllenPieces) -> None:
    """Write eye tracking at 30 Hz, from 8 s until 6 s before the end, as in real sessions."""
    times = np.arange(8.0, writer.plan.end - 6.0, 1 / (29.97 * writer.options.sampling))
    times += writer.random.normal(0, 1e-4, times.size)
    n = times.size
    gaze = np.stack([2 + np.sin(times / 11), 1 + 2.5 * np.cos(times / 13)], 1)  # y, x
    values = {
        "eye_area": 0.05 + 0.002 * np.sin(times / 7),
        "pupil_area": 0.004 + 0.001 * np.sin(times / 5),
        "screen_coordinates": gaze,
        "screen_coordinates_spherical": np.degrees(np.arctan2(gaze, 15.0)),
    }
    blink = np.zeros(n, bool)
    for first in writer.random.integers(0, n, n // 120):
        blink[first : first + 5] = True
    wide = blink.copy()
    for shift in (1, 2, 3):
        wide[shift:] |= blink[:-shift]
        wide[:-shift] |= blink[shift:]
    units = ("Pixels ^ 2", "Pixels ^ 2", "Centimeters", "Degrees")
    writer.truth["gaze"] = {"time": times, "blink": blink}
    for kind, missing in (("raw", blink), ("filtered", wide)):
        for (name, whole), unit in zip(values.items(), units, strict=True):
            data = whole.copy()
            data[missing] = np.nan
            writer.series(f"processing/{kind}_gaze_mapping/{name}", data, times, unit)
            writer.truth["gaze"][f"{kind}_{name}"] = data
    for name in ("pupil", "cr", "eye"):
        columns = {
            key: np.where(blink, np.nan, writer.random.normal(100, 3, n))
            for key in ("center_x", "center_y", "height", "width", "phi")
        }
        path = f"processing/eye_tracking/{name}_ellipse_fits"
        writer.table(path, "DynamicTable", columns | {"timestamps": times}, np.arange(n))
        writer.truth["gaze"][f"{name}_ellipse"] = columns


def eye_of_behavior(writer: AllenPieces) -> None:
    """Write eye tracking as in files of Visual Behavior, with licks and rewards."""
    times = np.arange(8.0, writer.plan.end - 6.0, 1 / 60)
    path = "acquisition/EyeTracking"
    for i, name in enumerate(("eye", "pupil", "corneal_reflection")):
        clock = times if not i else f"{path}/eye_tracking"
        center = writer.random.normal(300, 5, (times.size, 2))
        group = writer.series(f"{path}/{name}_tracking", center, clock, "pixels")
        for column in ("area", "area_raw", "width", "height", "angle"):
            group[column] = writer.random.normal(50, 3, times.size)
        writer.truth.setdefault("gaze", {})[f"{name}_area"] = group["area"][:]
    blink = writer.random.random(times.size) < 0.01
    writer.series(f"{path}/likely_blink", blink, f"{path}/eye_tracking", "N/A")
    writer.truth["gaze"] |= {"time": times, "blink": blink}
    lick = np.sort(writer.random.uniform(10, writer.plan.end, 9))
    writer.series("processing/licking/licks", np.ones(9), lick, "N/A")
    writer.series("processing/rewards/volume", np.full(3, 0.007), lick[:3] + 0.1, "mL")


def optotagging(writer: AllenPieces) -> None:
    """Write laser pulses at the end of the session."""
    n = 6
    start = writer.plan.end - 18 + 1.5 * np.arange(n)
    columns: dict[str, Any] = {
        "start_time": start,
        "stop_time": start + 0.01,
        "duration": np.full(n, 0.01),
        "condition": text("a single square pulse", n),
        "level": np.resize([1.0, 2.5, 4.0], n),
        "stimulus_name": text("pulse", n),
    }
    path = "processing/optotagging"
    writer.table(f"{path}/optogenetic_stimulation", "TimeIntervals", columns, np.arange(n))
    writer.series(f"{path}/optotagging", columns["duration"], start, "seconds")
    writer.truth["optotagging"] = columns
