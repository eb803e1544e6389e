"""NWB files that have a reader of their own: one predicate, so that two readers never claim a path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from neuroarrays.errors import FormatError, NeuroArraysError
from neuroarrays.files import opening
from neuroarrays.files.source import Source
from neuroarrays.formats.folders import Found, find, recognised

#: What ``/general/stimulus`` says in Allen Visual Coding Neuropixels sessions.
ALLEN_SESSION_TYPES = ("brain_observatory_1.1", "functional_connectivity")
_ELECTRODES = "general/extracellular_ephys/electrodes"


def is_allen_session(source: Source) -> bool:
    """Whether an NWB file is an Allen Neuropixels session, of any year.

    All have units placed by `peak_channel_id`; besides, the session type of Visual Coding, tables
    named ``<stimulus>_presentations``, or the hand-made structure labels of files before June 2020.
    """
    if source.info("units/peak_channel_id") is None:
        return False
    if source.info("general/stimulus") and str(source.read("general/stimulus")) in (
        ALLEN_SESSION_TYPES
    ):
        return True
    if any(name.endswith("_presentations") for name in source.names("intervals")):
        return True
    return any(name.startswith("manual_structure") for name in source.names(_ELECTRODES))


def looks_allen(path: str | os.PathLike[str]) -> bool:
    """Whether a path is an Allen Neuropixels session; False for anything unreadable."""
    try:
        if not opening.is_hdf5(path):
            return False
        return is_allen_session(opening.open_source(path))
    except (FormatError, OSError):
        return False


def find_allen(path_or_paths: Any) -> Found:
    """The Allen sessions that a path stands for, and those of them that cannot be read."""
    return find(path_or_paths, looks_allen, _is_meant, _is_nwb)


def _is_meant(path: Path) -> bool:
    return path.suffix == ".nwb"


def _is_nwb(path: Path) -> bool:
    """Whether a file is sound NWB: the LFP of a probe, mostly."""
    try:
        return opening.is_hdf5(path) and "nwb_version" in opening.open_source(path).attrs("/")
    except (FormatError, OSError):
        return False


def allen_sessions(path_or_paths: Any) -> list[Path]:
    """The Allen sessions that a path stands for; [] unless the path is theirs to read.

    In a folder other files (the LFP of each probe) may lie beside them; a list holds nothing else.
    """
    try:
        return recognised(path_or_paths, looks_allen, _is_meant, _is_nwb).good
    except (OSError, TypeError, ValueError, NeuroArraysError):
        return []
