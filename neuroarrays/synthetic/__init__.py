"""Write small files in the layouts that are read, with the quirks of real ones.

One module per layout, each with its `write_*`; seeded; for tests, documentation and trying things
out (`neuroarrays create-data`)::

    from neuroarrays.synthetic import write_nwb

    truth = write_nwb("session.nwb", units=20, electrodes="peak", spikes="unsorted")

Writers of a dataset of several files take the folder to make and a seed of all random values, and
give back the folder.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "aligned_tree": "trees",
    "write_archive": "trees",
    "write_nwb": "nwb",
    "write_nlb": "nlb",
    "write_allen": "allen",
    "write_allen_ophys": "allen_ophys",
    "write_static": "sensorium",
    "write_dynamic": "sensorium",
    "write_experanto": "experanto",
    "write_driada": "driada",
    "write_driada_experiment": "driada",
    "write_phy": "phy",
    "write_movement": "movement",
    "write_suite2p": "suite2p",
    "write_spikeinterface": "spikeinterface",
    "write_temporaldata": "temporaldata",
    "write_alf": "alf",
    "write_arrays": "arrays",
    "write_openretina": "openretina",
    "write_maheswaranathan": "maheswaranathan",
    "write_karamanlis": "karamanlis",
    "write_hoefling": "hoefling",
    "write_goldin": "goldin",
    "write_sridhar": "sridhar",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        msg = f"module 'neuroarrays.synthetic' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"neuroarrays.synthetic.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
