"""Write small DRIADA sessions: an NPZ, and a pickled ``Experiment`` without DRIADA."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neuroarrays.synthetic.sessions import session_name

#: Frames per second, and the time that calcium takes to decay, s.
FPS, DECAY = 20.0, 0.5


def write_driada(
    path: str | os.PathLike[str], units: int = 20, frames: int = 4000, seed: int = 0
) -> Path:
    """Write an NPZ of calcium imaging in an open field; units prefer a head direction each.

    Parameters
    ----------
    path : str or path
        The file; replaced if it is there.
    units, frames : int
        Number of neurons, and of frames at 20 Hz.
    seed : int
        Of all random values; the session is "generated" for seed 0, and "generated-1" and so on for
        others.

    Returns
    -------
    Path
        The file.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_driada
    >>> path = write_driada("session.npz", units=5, frames=200)
    >>> na.open_datatree(path).attrs["source"]
    'driada'
    """
    arrays = _session(units, frames, seed)
    facts = {
        "fps": FPS,
        "session_name": session_name("generated", seed),
        "bad_frames": [3, frames - 1],
    }
    members: dict[str, Any] = arrays | {"_metadata": np.array(facts, object)}
    with open(path, "wb") as file:
        np.savez(file, **members)
    return Path(path)


def write_driada_experiment(
    path: str | os.PathLike[str],
    units: int = 20,
    frames: int = 4000,
    seed: int = 0,
    bad_frames: Sequence[int] = (),
) -> Path:
    """Write the pickle of an ``Experiment`` with the attributes that are read of one.

    Parameters and result are those of `write_driada`; `bad_frames` are deleted from the data, as
    DRIADA does, and kept as a mask.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_driada_experiment
    >>> path = write_driada_experiment("Exp m1.pickle", units=5, frames=200)
    >>> na.open_datatree(path).attrs["source"]
    'driada'
    """
    bad = np.isin(np.arange(frames), list(bad_frames))
    arrays = {name: values[..., ~bad] for name, values in _session(units, frames, seed).items()}
    calcium, spikes = arrays.pop("calcium"), arrays.pop("spikes")
    session = session_name("generated", seed)
    name = "driada.experiment.exp_base.Experiment", "driada.information.info_base"
    single, several = (f"{name[1]}.{kind}" for kind in ("TimeSeries", "MultiTimeSeries"))
    experiment = _Stored(
        name[0],
        signature=f"Exp {session}",
        exp_identificators={"name": session},
        metadata=None,
        filtered_flag=bool(bad.any()),
        **({"bad_frames_mask": bad} if bad.any() else {}),
        static_features={"fps": FPS, "t_off_sec": DECAY},
        calcium=_Stored(several, data=calcium),
        spikes=_Stored(several, data=spikes),
        neurons=[
            _Stored("driada.experiment.neuron.Neuron", cell_id=k, sp=_Stored(single, data=row))
            for k, row in enumerate(spikes)
        ],
        dynamic_features={
            key: _Stored(single if values.ndim == 1 else several, data=values)
            for key, values in arrays.items()
        },
    )
    with open(path, "wb") as file:
        _Pickler(file, 4).dump(experiment)
    return Path(path)


def _session(units: int, frames: int, seed: int) -> dict[str, np.ndarray]:
    """Return calcium and spikes (unit, time), and behaviour (time,) or (component, time)."""
    rng = np.random.default_rng(seed)
    heading = np.cumsum(rng.normal(0, 0.15, frames))
    speed = np.abs(np.convolve(rng.normal(0, 0.6, frames), np.ones(10) / 10, "same"))
    steps = speed / FPS * np.stack([np.cos(heading), np.sin(heading)])
    prefers = 2 * np.pi * np.arange(units) / units
    rate = 0.25 * np.exp(4 * (np.cos(heading - prefers[:, None]) - 1))
    spikes = rng.poisson(rate)
    decay = np.exp(-np.arange(int(5 * DECAY * FPS)) / (DECAY * FPS))
    clean = np.stack([np.convolve(row, decay)[:frames] for row in spikes])
    return {
        "calcium": (clean + rng.normal(0, 0.1, clean.shape)).astype("f4"),
        "spikes": spikes.astype("u1"),
        "position": 0.5 + 0.4 * np.sin(np.cumsum(steps, axis=1)),
        "speed": speed,
        "head_direction": np.angle(np.exp(1j * heading)),
        "trial_type": (np.arange(frames) // 300 % 4).astype("i8"),
    }


class _Stored:
    """A stand-in for an object of a class that is not installed here."""

    def __init__(self, qualified_name: str, **state: Any):
        self.qualified_name, self.state = qualified_name, state


#: The one that is written in Python, and can be extended.
_Python: Any = pickle._Pickler


class _Pickler(_Python):  # type: ignore[misc]
    """Writes `_Stored` as an instance of the class it names; nothing is imported."""

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        """Pickle an object; a stored one by the name of its class and its state."""
        if not isinstance(obj, _Stored):
            super().save(obj, save_persistent_id)
            return
        for text in obj.qualified_name.rpartition(".")[::2]:
            super().save(text)
        self.write(pickle.STACK_GLOBAL)
        super().save(())
        self.write(pickle.NEWOBJ)
        super().save(obj.state)
        self.write(pickle.BUILD)
