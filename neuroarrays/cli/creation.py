"""Write small generated files in any layout that is read: `neuroarrays create-data LAYOUT OUT`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from neuroarrays.errors import PathExists
from neuroarrays.files.writing import written


@dataclass(frozen=True)
class Layout:
    """How the files of a layout are written.

    Attributes
    ----------
    module, writer : str
        Module of `neuroarrays.synthetic`, and the name of its function.
    suffix : str
        Suffix of the file; "" if the layout is a folder.
    options : str
        Name of the class of the writer's options, if the seed is one of them.
    given : dict
        More arguments of the writer.
    """

    module: str
    writer: str
    suffix: str = ""
    options: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)


_TUNED = ("running", "eye", "invalid", "optotagging", "waveforms", "edges", "tuned")
#: The layout whose sizes can be chosen, as with open-retina's command.
_COUNTED = "openretina"
#: Name of the layout -> how its files are made.
LAYOUTS: dict[str, Layout] = {
    "nwb": Layout(
        "nwb",
        "write_nwb",
        ".nwb",
        given={"tuned": True, "task": True, "trials": 60, "duration": 160.0, "units": 12},
    ),
    "nwb_nlb": Layout("nlb", "write_nlb", ".nwb", given={"trials": 100}),
    "neuroarrays": Layout("trees", "write_archive", ".h5"),
    "allen": Layout("allen", "write_allen", ".nwb", given={"parts": _TUNED, "rows": 60}),
    "allen_ophys": Layout("allen_ophys", "write_allen_ophys", ".nwb", given={"trials": 200}),
    "allen_binned": Layout("trees", "write_archive", ".h5", given={"layout": "allen_binned"}),
    "sensorium_static": Layout(
        "sensorium", "write_static", options="StaticOptions", given={"train": 200}
    ),
    "sensorium_dynamic": Layout("sensorium", "write_dynamic", options="DynamicOptions"),
    "experanto": Layout("experanto", "write_experanto", given={"tuned": True, "seconds": 60.0}),
    "driada": Layout("driada", "write_driada", ".npz"),
    "driada_experiment": Layout("driada", "write_driada_experiment", ".pickle"),
    "phy": Layout("phy", "write_phy"),
    "movement": Layout("movement", "write_movement", ".nc"),
    "suite2p": Layout("suite2p", "write_suite2p"),
    "spikeinterface": Layout("spikeinterface", "write_spikeinterface"),
    "temporaldata": Layout("temporaldata", "write_temporaldata", ".h5"),
    "alf": Layout("alf", "write_alf"),
    "arrays": Layout("arrays", "write_arrays"),
    "openretina": Layout("openretina", "write_openretina"),
    "maheswaranathan_2023": Layout("maheswaranathan", "write_maheswaranathan"),
    "karamanlis_2024": Layout("karamanlis", "write_karamanlis"),
    "hoefling_2024": Layout("hoefling", "write_hoefling"),
    "goldin_2022": Layout("goldin", "write_goldin"),
    "sridhar_2025": Layout("sridhar", "write_sridhar"),
}


def create(layout: str, out: str | os.PathLike[str], seed: int = 0, **options: int) -> Path:
    """Write small files in the layout of a dataset, with units that respond to the stimuli.

    Parameters
    ----------
    layout : str
        One of `LAYOUTS`.
    out : str or path
        The file or folder to write; it must not exist.
    seed : int
        Seed of all random values.
    **options
        Sizes of ``openretina``: ``colors``, ``stimuli``, ``sessions``, ``clip_length``, ``clips``.

    Returns
    -------
    Path
        The path to open: `out`, or for ``arrays`` the mapping file in it.

    Raises
    ------
    PathExists
        If `out` exists.
    WriteFailed
        If the files cannot be written; nothing is left behind.
    ValueError
        If no layout has that name, the seed is negative, the suffix is not that of the layout, or
        the layout has no such option.
    """
    if layout not in LAYOUTS:
        msg = f"no layout {layout!r}; there are {', '.join(LAYOUTS)}"
        raise ValueError(msg)
    if seed < 0:
        msg = f"seed: expected 0 or more, got {seed}"
        raise ValueError(msg)
    written_as, path = LAYOUTS[layout], Path(out)
    if path.exists():
        msg = f"{path}: it exists already; give another name"
        raise PathExists(msg)
    if written_as.suffix and path.suffix != written_as.suffix:
        msg = (
            f"{path}: the layout {layout} is one file; expected a name that ends in "
            f"{written_as.suffix}"
        )
        raise ValueError(msg)
    if options and layout != _COUNTED:
        msg = f"{', '.join(options)}: only the layout {_COUNTED} has these options, not {layout}"
        raise ValueError(msg)
    module = import_module(f"neuroarrays.synthetic.{written_as.module}")
    arguments = {"seed": seed, **written_as.given, **options}
    if written_as.options:
        arguments = {"options": getattr(module, written_as.options)(**arguments)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with written(path) as work:
        getattr(module, written_as.writer)(work, **arguments)
    return path / "rig.toml" if layout == "arrays" else path
