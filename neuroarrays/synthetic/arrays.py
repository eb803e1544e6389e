"""Write a lab's own MATLAB file, and the mapping that opens it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from neuroarrays.errors import required

#: Gratings, their onsets every 2 s for 1 s.
MAPPING = """\
neuroarrays_mapping = 1
file = "rig.mat"
session = "rig"
attrs = {species = "Mus musculus"}

["V1/spikes"]
spike_times = "spikes/*/time"
depth = {array = "spikes/*/depth", units = "um"}

[running]
time = {array = "wheel_ms", scale = 0.001}
speed = {array = "wheel_speed", units = "cm/s"}

["presentations/gratings"]
start_time = "trials/on"
stop_time = "trials/off"
orientation = "trials/orientation"
"""


def write_arrays(
    folder: str | os.PathLike[str], units: int = 12, trials: int = 160, seed: int = 0
) -> Path:
    """Write ``rig.mat`` (spikes in a cell array, a wheel in milliseconds, a trial table) and a TOML.

    Parameters
    ----------
    folder : str or path
        Where to; made if it is not there. Open ``rig.toml`` in it.
    units, trials : int
        How many; each unit prefers one of four orientations.
    seed : int
        Of all random values.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    MissingDependency
        Without scipy.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_arrays
    >>> path = write_arrays("lab", trials=20)
    >>> na.open_datatree("lab/rig.toml").attrs["source"]
    'arrays'
    """
    scipy_io = required("scipy.io", "matlab", "writing a MATLAB file")
    rng, out = np.random.default_rng(seed), Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    on = 5.0 + 2.0 * np.arange(trials)
    orientation = rng.permutation(np.resize([0.0, 45.0, 90.0, 135.0], trials))
    cells = []
    for unit in range(units):
        background = rng.uniform(0, on[-1] + 5, rng.poisson(2 * (on[-1] + 5)))
        evoked = rng.poisson(np.where(orientation == 45 * (unit % 4), 12, 1))
        driven = np.repeat(on, evoked) + rng.uniform(0.05, 1, evoked.sum())
        times = np.sort(np.concatenate([background, driven]))[:, None]
        cells.append({"time": times, "depth": 100.0 + 25 * unit})
    clock = np.arange(0, 1000 * (on[-1] + 5), 50.0)
    contents = {
        "spikes": np.array(cells, object),
        "wheel_ms": clock,
        "wheel_speed": np.abs(np.cumsum(rng.normal(0, 1, clock.size))),
        "trials": {"on": on, "off": on + 1.0, "orientation": orientation},
    }
    scipy_io.savemat(out / "rig.mat", contents, do_compression=True)
    (out / "rig.toml").write_text(MAPPING)
    return out
