"""Write small sessions in the layout of the International Brain Laboratory (ALF)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from neuroarrays.synthetic.phy import phase

#: Structures of the brain by their numbers in the Allen atlas: VISp, LP, CA1.
STRUCTURES = (385, 218, 382)
SORTER, REVISION = "pykilosort", "2024-05-06"


def write_alf(
    path: str | os.PathLike[str],
    probes: int = 2,
    units: int = 6,
    seconds: float = 30.0,
    seed: int = 0,
    behaviour: bool = True,
) -> Path:
    """Write the folder of a session; units prefer a phase of a slow rhythm (`phase`) each.

    Spikes of the first probe are there in two revisions: the older one is half a second late. Its first
    cluster has no row in the metrics, and its last no spikes. The left camera has ten frames more than
    the pose that was found in it.

    Parameters
    ----------
    path : str or path
        The folder of the session.
    probes : int
        How many there are.
    units : int
        Clusters of each probe, at least 3.
    seconds : float, s
        How long the recording is.
    seed : int
        Of all random values.
    behaviour : bool
        Whether there is more than spikes: trials, wheel, cameras, licks, passive stimuli.

    Returns
    -------
    Path
        The folder.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_alf
    >>> path = write_alf("KS023/2019-12-10/001", probes=1, seconds=5.0)
    >>> list(na.open_datatree(path).children)
    ['KS023_2019-12-10_001']
    """
    session, rng = Path(path), np.random.default_rng(seed)
    alf = session / "alf"
    for probe in range(probes):
        _write_probe(alf / f"probe{probe:02d}" / SORTER, rng, units, seconds, revised=not probe)
    if behaviour:
        _write_trials(alf, rng, seconds)
        times = np.arange(0, seconds, 0.01) + rng.uniform(0, 0.002, int(np.ceil(seconds / 0.01)))
        _save(alf, "_ibl_wheel.timestamps", times)
        _save(alf, "_ibl_wheel.position", np.sin(phase(times) / 4))
        _save(alf, "licks.times", np.sort(rng.uniform(0, seconds, 40)))
        _write_camera(alf, rng, seconds)
        _write_passive(alf, seconds)
    return session


def _write_probe(
    folder: Path, rng: np.random.Generator, units: int, seconds: float, revised: bool
) -> None:
    """Write the sorting of a probe."""
    candidate = np.sort(rng.uniform(0, seconds, int(units * 8 * seconds)))
    cluster = rng.integers(0, units - revised, candidate.size)
    preferred = 2 * np.pi * cluster / units
    fired = rng.random(candidate.size) < 0.5 + 0.5 * np.cos(phase(candidate) - preferred)
    times, cluster = candidate[fired], cluster[fired]
    newest = folder / f"#{REVISION}#" if revised else folder
    spikes = {"times": times, "clusters": cluster, "amps": rng.uniform(5e-5, 2e-4, times.size)}
    for name, values in spikes.items():
        _save(newest, f"spikes.{name}", values)
        if revised:
            _save(folder, f"spikes.{name}", values + 0.5 if name == "times" else values)
    channels = np.arange(units * 2)
    _save(folder, "clusters.channels", channels[::2])
    _save(folder, "clusters.depths", channels[::2] * 20.0)
    ids = pd.Series([f"{rng.integers(1 << 60):015x}" for _ in range(units)], name="uuids")
    ids.to_csv(folder / "clusters.uuids.csv", index=False)
    metrics = pd.DataFrame({"cluster_id": np.arange(units), "label": np.arange(units) % 3 / 3})
    metrics["firing_rate"] = np.bincount(cluster, minlength=units) / seconds
    metrics[int(revised) :].to_parquet(folder / "clusters.metrics.pqt")
    structures = np.repeat(STRUCTURES, -(-channels.size // 3))[: channels.size]
    _save(folder, "channels.brainLocationIds_ccf_2017", structures.astype(np.int32))
    _save(folder, "channels.mlapdv", np.stack([channels * k for k in (-1, -2, -20)], 1))
    _save(folder, "channels.localCoordinates", np.stack([channels % 2 * 16, channels * 10], 1))


def _write_trials(alf: Path, rng: np.random.Generator, seconds: float) -> None:
    """Write the table of trials, and a column beside it."""
    starts = np.arange(0.5, seconds - 2, 2.0)
    table = pd.DataFrame({"intervals_0": starts, "intervals_1": starts + 1.5})
    table["stimOn_times"] = starts + 0.3
    table["choice"] = rng.choice([-1, 1], starts.size)
    table["contrastLeft"] = np.where(rng.random(starts.size) < 0.5, 0.25, np.nan)
    table["feedbackType"] = rng.choice([-1, 1], starts.size)
    table.to_parquet(alf / "_ibl_trials.table.pqt")
    _save(alf, "_ibl_trials.goCueTrigger_times", starts + 0.31)
    _save(alf, "_ibl_trials.goCueTrigger_times_bpod", starts - 100.0)


def _write_camera(alf: Path, rng: np.random.Generator, seconds: float) -> None:
    """Write points tracked in the video of the left camera, and one of the body camera."""
    frames = int(seconds * 60)
    pose = pd.DataFrame({"nose_tip_x": rng.uniform(0, 640, frames - 10)})
    pose["nose_tip_y"] = pose.nose_tip_x / 2
    pose["nose_tip_likelihood"] = rng.uniform(0.9, 1, frames - 10)
    pose.to_parquet(alf / "_ibl_leftCamera.dlc.pqt")
    _save(alf, "_ibl_leftCamera.times", np.arange(frames) / 60)
    _save(alf, "leftCamera.ROIMotionEnergy", rng.uniform(0, 5, frames))
    knots = np.array([[0, 0.25], [frames - 1, 0.25 + (frames - 1) / 60]])
    _save(alf, "_ibl_bodyCamera.timestamps", knots)
    _save(alf, "bodyCamera.ROIMotionEnergy", rng.uniform(0, 5, frames))


def _write_passive(alf: Path, seconds: float) -> None:
    """Write periods and stimuli of the passive protocol, in the last third of the session."""
    first = seconds * 2 / 3
    periods = {"spontaneousActivity": [first, first + 2], "taskReplay": [first + 2, first + 8]}
    pd.DataFrame(periods, index=["start", "stop"]).to_csv(
        alf / "_ibl_passivePeriods.intervalsTable.csv"
    )
    starts = first + 2 + np.arange(5)
    gabor = pd.DataFrame({"start": starts, "stop": starts + 0.3})
    gabor["position"], gabor["contrast"] = [-35.0, 35.0, -35.0, 35.0, 35.0], 0.5
    gabor.to_csv(alf / "_ibl_passiveGabor.table.csv")
    stims = pd.DataFrame({"valveOn": starts[:3] + 0.5, "valveOff": starts[:3] + 0.6})
    stims["toneOn"] = [starts[3] + 0.5, np.nan, np.nan]
    stims["toneOff"] = stims.toneOn + 0.1
    stims.to_csv(alf / "_ibl_passiveStims.table.csv")


def _save(folder: Path, name: str, values: np.ndarray) -> None:
    """Save an array as npy."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{name}.npy", values)
