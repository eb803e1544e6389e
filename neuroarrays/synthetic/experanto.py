"""Write small experanto sessions with numpy alone.

::

    from neuroarrays.synthetic.experanto import write_experanto

    truth = write_experanto("dynamic17797-4-7-Video-021a75_30hz", phase_shifts=True)
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

#: Unix time of the session, and rates of its modalities in Hz.
BEGINS = 1520193100.0
RATES = {"responses": 7.5, "eye_tracker": 19.0, "treadmill": 75.0}
SCREEN_RATE = 30.0


def write_experanto(  # noqa: PLR0913  its options are its parameters
    folder: str | os.PathLike[str],
    *,
    units: int = 6,
    seconds: float = 12.0,
    size: tuple[int, ...] = (4, 6),
    mapped: bool = True,
    phase_shifts: bool = False,
    spikes: bool = False,
    tuned: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Write a session: screen, responses, eye tracker, treadmill, intervals, spikes if asked for.

    Parameters
    ----------
    folder : str or path
        Made anew.
    units : int
        Number of units.
    seconds : float, s
        About how long it lasts.
    size : tuple of int
        Pixels along y and x; (y, x, 3) for frames in colour.
    mapped : bool
        Signals as plain bytes (``data.mem``), else as npy.
    phase_shifts : bool
        Whether each unit is sampled at a moment of its own.
    spikes : bool
        Whether there are spike times, too.
    tuned : bool
        Whether each unit answers to the brightness of one pixel.
    seed : int
        Of everything random.

    Returns
    -------
    dict
        ``frames`` (flip, channel, y, x) what was shown from each flip on, ``flips`` (flip,) Unix
        times, the signals (time, signal) by name, ``starts``, the Unix time of each signal's first
        sample, and ``spikes``, a list of Unix times (spike,) for each unit.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_experanto
    >>> truth = write_experanto("session", seconds=3.0)
    >>> na.open_datatree("session").attrs["source"]
    'experanto'
    """
    random, root = np.random.default_rng(seed), Path(folder)
    truth: dict[str, Any] = {"starts": {}}
    truth["frames"], truth["flips"] = _write_screen(root / "screen", random, seconds, size)
    for name, rate in RATES.items():
        signals = {"responses": units, "eye_tracker": 4, "treadmill": 1}[name]
        start = BEGINS + float(random.uniform(0, 0.4))
        values = random.normal(0, 1, (int(seconds * rate), signals))
        if tuned and name == "responses":
            shown = truth["frames"].reshape(len(truth["flips"]), -1)
            flip_numbers = (
                np.searchsorted(truth["flips"], start + np.arange(len(values)) / rate) - 1
            )
            pixels = random.integers(0, shown.shape[1], units)
            values += shown[np.maximum(flip_numbers, 0)][:, pixels] / 64
        values = values.astype(np.float64 if name == "treadmill" else np.float32)
        if name == "eye_tracker":
            values[10:13] = np.nan
        of_each = phase_shifts and name == "responses"
        _write_signals(root / name, values, rate, start, (mapped, of_each))
        if name == "responses":
            inside = root / name / "meta"
            np.save(inside / "unit_ids.npy", np.arange(1, units + 1))
            np.save(inside / "cell_motor_coordinates.npy", random.integers(-900, 900, (units, 3)))
            if phase_shifts:
                truth["phase_shifts"] = random.uniform(0, 0.9 / rate, units)
                np.save(inside / "phase_shifts.npy", truth["phase_shifts"])
        truth[name], truth["starts"][name] = values, start
    _write_yaml(
        root / "quality" / "meta.yml",
        {
            "modality": "time_interval",
            "labels": {"good": "good.npy"},
            "start_time": BEGINS,
            "end_time": BEGINS + seconds,
        },
    )
    np.save(root / "quality" / "good.npy", BEGINS + np.array([[1.0, 4.5], [6.0, 9.0]]))
    if spikes:
        truth["spikes"] = _write_spikes(root / "spikes", random, units, seconds, mapped)
    key = {"animal_id": 17797, "session": 4, "scan_idx": 7 + seed}
    (root / "meta.json").write_text(json.dumps({"scan_key": key}))
    return truth


def _write_signals(
    folder: Path, values: np.ndarray, rate: float, start: float, form: tuple[bool, bool]
) -> None:
    """Write signals (time, signal) at a rate in Hz; `form` tells plain bytes or npy, and shifts."""
    mapped, shifted = form
    meta = {
        "modality": "sequence",
        "sampling_rate": rate,
        "start_time": start,
        "end_time": start + len(values) / rate,
        "n_signals": values.shape[1],
        "n_timestamps": len(values),
        "dtype": str(values.dtype),
        "is_mem_mapped": mapped,
        "phase_shift_per_signal": shifted,
    }
    _write_yaml(folder / "meta.yml", meta)
    if mapped:
        values.tofile(folder / "data.mem")
    else:
        np.save(folder / "data.npy", values)
    statistics = folder / "meta"
    statistics.mkdir()
    np.save(statistics / "means.npy", np.nanmean(values, axis=0)[:, None])
    np.save(statistics / "stds.npy", np.nanstd(values, axis=0)[:, None])


def _write_spikes(
    folder: Path, random: np.random.Generator, units: int, seconds: float, mapped: bool
) -> list[np.ndarray]:
    """Write spike times of each unit in order; the last unit has none."""
    counts = [*random.poisson(5 * seconds, units - 1).tolist(), 0]
    trains = [BEGINS + np.sort(random.uniform(0, seconds, count)) for count in counts]
    ends = [0, *np.cumsum(counts).tolist()]
    _write_yaml(
        folder / "meta.yml",
        {
            "modality": "spikes",
            "spike_indices": ends,
            "n_signals": units,
            "start_time": BEGINS,
            "end_time": BEGINS + seconds,
            "dtype": "float64",
            "is_mem_mapped": mapped,
        },
    )
    if mapped:
        np.concatenate(trains).tofile(folder / "spikes.mem")
    else:
        np.save(folder / "spikes.npy", np.concatenate(trains))
    return trains


def _write_screen(
    folder: Path, random: np.random.Generator, seconds: float, size: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Write movies and images with blanks between and after, frames (flip, channel, y, x)."""
    (folder / "data").mkdir(parents=True)
    now, number = BEGINS + 1.0, 0
    frames: list[np.ndarray] = []
    flips: list[float] = []
    tiers = ("train", "oracle", "test")

    def trial(kind: str, shown: np.ndarray, step: float) -> None:
        """Add the frames of one trial and its metadata."""
        nonlocal now, number
        meta: dict[str, Any] = {
            "modality": kind,
            "first_frame_idx": len(flips),
            "image_size": list(size),
            "valid_trial": True,
            "tier": tiers[number % 3],
        }
        if kind == "blank":
            meta |= {"interleave_value": 127, "tier": "blank"}
        else:
            meta["num_frames"] = len(shown)
            np.save(folder / "data" / f"{number:05d}.npy", shown if kind == "video" else shown[0])
        _write_yaml(folder / "meta" / f"{number:05d}.yml", meta)
        frames.extend(shown)
        flips.extend(now + np.arange(len(shown)) / SCREEN_RATE)
        now, number = now + len(shown) * step, number + 1

    grey = np.full((1, *size), 127, np.uint8)
    while now < BEGINS + seconds:
        trial("video", random.integers(0, 256, (45, *size)).astype(np.uint8), 1 / SCREEN_RATE)
        trial("blank", grey, 0.4)
        trial("image", random.integers(0, 256, (1, *size)).astype(np.uint8), 0.5)
        trial("blank", grey, 0.4)
    np.save(folder / "timestamps.npy", np.array(flips))
    _write_yaml(folder / "meta.yml", {"modality": "screen", "frame_rate": SCREEN_RATE})
    shown = np.array(frames)
    shown = np.moveaxis(shown, 3, 1) if shown.ndim == 4 else shown[:, None]
    return shown, np.array(flips)


def _write_yaml(path: Path, values: dict[str, Any]) -> None:
    """Write a flat mapping as JSON, which is also YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{key}: {json.dumps(value)}" for key, value in values.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
