"""Small faithful files in the layouts that are read, with the quirks that real ones have.

One module per layout, each with its `write_*`; seeded; for tests, documentation and trying things
out (`neuroarrays create-data`)::

    from neuroarrays.synthetic import write_nwb

    truth = write_nwb("session.nwb", units=20, electrodes="peak", spikes="unsorted")
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "aligned_tree": "trees",
    "write_nwb": "nwb",
    "write_allen": "allen",
    "write_static": "sensorium",
    "write_dynamic": "sensorium",
    "write_experanto": "experanto",
    "write_openretina": "retina",
    "write_maheswaranathan": "retina",
    "write_karamanlis": "retina",
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
