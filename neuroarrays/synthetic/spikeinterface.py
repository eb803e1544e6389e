"""Write small folders of a SortingAnalyzer of spikeinterface."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from neuroarrays.synthetic.phy import phase

#: Samples per second, of a template, and those of it before the spike; channels.
RATE, SAMPLES, BEFORE, CHANNELS = 10000.0, 30, 10, 4
#: What `spikes.npy` has of each spike.
RECORD = [("sample_index", "<i8"), ("unit_index", "<i8"), ("segment_index", "<i8")]


def write_spikeinterface(
    path: str | os.PathLike[str], units: int = 6, seconds: float = 30.0, seed: int = 0
) -> Path:
    """Write the folder of a SortingAnalyzer; units prefer a phase of a slow rhythm each.

    Units have names ("u00", "u01", ...), the rows of the metrics are in another order, and the last
    unit has none.

    Parameters
    ----------
    path : str or path
        The folder to make.
    units : int
        How many there are, at least 2.
    seconds : float, s
        How long the recording is.
    seed : int
        Of all random values.

    Returns
    -------
    Path
        The folder.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_spikeinterface
    >>> path = write_spikeinterface("analyzer", units=4, seconds=5.0)
    >>> len(na.units(path))
    4
    """
    folder, rng = Path(path), np.random.default_rng(seed)
    length = int(seconds * RATE)
    candidate = np.sort(rng.integers(0, length, int(units * 8 * seconds)))
    unit = rng.integers(0, units, candidate.size)
    preferred = 2 * np.pi * unit / units
    fired = rng.random(candidate.size) < 0.5 + 0.5 * np.cos(phase(candidate / RATE) - preferred)
    spikes = np.zeros(int(fired.sum()), RECORD)
    spikes["sample_index"], spikes["unit_index"] = candidate[fired], unit[fired]
    names = [f"u{number:02d}" for number in range(units)]
    _write_sorting(folder / "sorting", spikes, names)
    _json(folder / "spikeinterface_info.json", {"version": "0.105.3", "object": "SortingAnalyzer"})
    _json(folder / "settings.json", {"return_in_uV": True})
    about = {
        "channel_ids": list(range(CHANNELS)),
        "sampling_frequency": RATE,
        "num_channels": CHANNELS,
        "num_samples": [length],
        "is_filtered": True,
    }
    _json(folder / "recording_info" / "recording_attributes.json", about)
    _write_extensions(folder / "extensions", rng, spikes, names)
    return folder


def _write_sorting(folder: Path, spikes: np.ndarray, names: list[str]) -> None:
    """Write the folder of a sorting, with a property of the units."""
    info = {"sampling_frequency": RATE, "unit_ids": names, "num_segments": 1}
    _json(folder / "numpysorting_info.json", info)
    np.save(folder / "spikes.npy", spikes)
    (folder / "properties").mkdir()
    quality = np.array([("good", "mua")[number % 2] for number in range(len(names))])
    np.save(folder / "properties" / "quality.npy", quality)


def _write_extensions(
    folder: Path, rng: np.random.Generator, spikes: np.ndarray, names: list[str]
) -> None:
    """Write amplitudes, locations, templates and metrics."""
    units = len(names)
    shape = -np.exp(-((np.arange(SAMPLES) - BEFORE) ** 2) / 8.0)
    reach = rng.uniform(20, 100, (units, CHANNELS))
    arrays = {
        "templates/average": shape[None, :, None] * reach[:, None, :],
        "spike_amplitudes/amplitudes": -reach.max(axis=1)[spikes["unit_index"]],
        "unit_locations/unit_locations": rng.uniform(0, 60, (units, 2)),
    }
    for name, values in arrays.items():
        (folder / name).parent.mkdir(parents=True)
        np.save(folder / f"{name}.npy", values)
    _json(folder / "templates" / "params.json", {"ms_before": 1000 * BEFORE / RATE})
    (folder / "quality_metrics").mkdir()
    counts = np.bincount(spikes["unit_index"], minlength=units)
    rows = [f"{names[unit]},{counts[unit]},{reach[unit].max() / 8}" for unit in range(units - 1)]
    table = "\n".join([",num_spikes,snr", *reversed(rows)])
    (folder / "quality_metrics" / "metrics.csv").write_text(f"{table}\n")


def _json(file: Path, content: dict[str, Any]) -> None:
    """Write a JSON file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=4))
