"""Small synthetic files in any layout that has a writer: `neuroarrays create-data LAYOUT OUT`."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from neuroarrays.errors import NotInTree, PathExists

#: Layout (the reader's name, with what it is of where there are several) -> module, writer, name
#: of the options that take the seed ("" where it is a parameter).
LAYOUTS: dict[str, tuple[str, str, str]] = {
    "nwb": ("synthetic.nwb", "write_nwb", "NWBOptions"),
    "allen": ("synthetic.allen", "write_allen", "AllenOptions"),
    "sensorium_static": ("synthetic.sensorium", "write_static", "StaticOptions"),
    "sensorium_dynamic": ("synthetic.sensorium", "write_dynamic", "DynamicOptions"),
    "openretina": ("synthetic.retina", "write_openretina", ""),
    "maheswaranathan_2023": ("synthetic.retina", "write_maheswaranathan", ""),
    "karamanlis_2024": ("synthetic.retina", "write_karamanlis", ""),
    "sridhar_2025": ("synthetic.sridhar", "write_sridhar", ""),
}


def create(layout: str, out: str | os.PathLike[str], seed: int = 0) -> Path:
    """Write small files as a dataset has them.

    Parameters
    ----------
    layout : str
        One of `LAYOUTS`.
    out : str or path
        The file (``nwb``, ``allen``) or folder to make; nothing may be there.
    seed : int
        Of all random values.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    NotInTree
        If no writer has that name.
    PathExists
        If something is at `out`.
    """
    if layout not in LAYOUTS:
        raise NotInTree("layout", layout, LAYOUTS)
    path = Path(out)
    if path.exists():
        msg = f"{path}: exists already; give another name"
        raise PathExists(msg)
    module, name, options = LAYOUTS[layout]
    found = import_module(f"neuroarrays.{module}")
    writer: Callable[..., Any] = getattr(found, name)
    if options:
        writer = partial(writer, options=getattr(found, options)(seed=seed))
    else:
        writer = partial(writer, seed=seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer(path)
    return path
