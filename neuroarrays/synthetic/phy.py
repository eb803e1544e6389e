"""Write small folders of Kilosort and phy."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

#: Samples per second, and samples of a template.
RATE, SAMPLES = 30000, 21


def write_phy(
    path: str | os.PathLike[str],
    units: int = 6,
    seconds: float = 30.0,
    seed: int = 0,
    recording: bool = True,
) -> Path:
    """Write the folder of a curated sorting; units prefer a phase of a slow rhythm (`phase`) each.

    The first two templates are one merged cluster (its number is that of the templates), numbers are
    not those of rows, and the tables list clusters in another order, and those that were merged away.

    Parameters
    ----------
    path : str or path
        The folder to make.
    units : int
        Number of templates, at least 3; there is a cluster less.
    seconds : float, s
        How long the recording is.
    seed : int
        Of all random values.
    recording : bool
        Whether there is the file of the recording, of silence: 4 channels of int16.

    Returns
    -------
    Path
        The folder.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_phy
    >>> path = write_phy("kilosort", units=4)
    >>> len(na.units(path))
    3
    """
    folder, rng, channels = Path(path), np.random.default_rng(seed), 4
    folder.mkdir(parents=True, exist_ok=True)
    length = int(seconds * RATE)
    candidate = np.sort(rng.integers(0, length, int(units * 8 * seconds)))
    template = rng.integers(0, units, candidate.size)
    preferred = 2 * np.pi * template / units
    fired = rng.random(candidate.size) < 0.5 + 0.5 * np.cos(phase(candidate / RATE) - preferred)
    samples, template = candidate[fired], template[fired].astype(np.int32)
    clusters = np.where(template < 2, units, template).astype(np.int32)  # 0 and 1 are merged

    shape = -np.exp(-((np.arange(SAMPLES) - 8) ** 2) / 8.0)
    reach = np.exp(-np.abs(np.arange(units)[:, None] % channels - np.arange(channels)))
    whitening = np.diag([1.0, 2.0, 4.0, 8.0])
    arrays = {
        "spike_times": samples.astype(np.int64),
        "spike_clusters": clusters,
        "spike_templates": template,
        "amplitudes": rng.uniform(10, 20, samples.size),
        "templates": (shape[None, :, None] * (reach @ whitening)[:, None, :]).astype(np.float32),
        "templates_ind": np.tile(np.arange(channels), (units, 1)),
        "whitening_mat": whitening,
        "whitening_mat_inv": np.linalg.inv(whitening),
        "channel_map": np.array([3, 1, 2, 0], np.int32),
        "channel_positions": np.array([[0.0, 0.0], [0.0, 20.0], [32.0, 20.0], [32.0, 0.0]]),
        "similar_templates": np.eye(units, dtype=np.float32),
    }
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    (folder / "params.py").write_text(
        "dat_path = 'recording.dat'\n"
        f"n_channels_dat = {channels}\ndtype = 'int16'\noffset = 0\n"
        f"sample_rate = {RATE}.\nhp_filtered = False\n"
    )
    _write_tables(folder, units)
    if recording:
        (folder / "recording.dat").touch()
        os.truncate(folder / "recording.dat", length * channels * 2)  # silence takes no room
    return folder


def phase(times: np.ndarray) -> np.ndarray:
    """The phase, radians, of a rhythm that grows faster, from 0.5 Hz to 1.5 Hz after 30 s, at times (n,) in s."""
    return np.asarray(2 * np.pi * (0.5 * times + times**2 / 60))


def _write_tables(folder: Path, units: int) -> None:
    """Write tables of clusters: those of Kilosort for all templates, those of phy for labelled ones."""
    groups = ["noise", "good", "mua"]
    labels = [f"{unit}\t{('good', 'mua')[unit % 2]}" for unit in range(units)]
    (folder / "cluster_KSLabel.tsv").write_text("\n".join(["cluster_id\tKSLabel", *labels]) + "\n")
    curated = [f"{unit}\t{groups[unit % 3]}" for unit in range(units, 2, -1)]
    (folder / "cluster_group.tsv").write_text("\n".join(["cluster_id\tgroup", *curated]) + "\n")
