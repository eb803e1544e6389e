"""Recognise NWB files that have another reader than `nwb`, so that two readers never claim a path."""

from __future__ import annotations

import re

from neuroarrays.files.probe import Probe, asked
from neuroarrays.files.source import Source
from neuroarrays.formats.nwb.written_tree import was_written
from neuroarrays.formats.sessions import Sessions, find, recognised

#: What ``/general/stimulus`` says in Allen Visual Coding Neuropixels sessions.
ALLEN_SESSION_TYPES = ("brain_observatory_1.1", "functional_connectivity")
#: Folders of one session or one animal.
_OF_A_SESSION = re.compile(r"(session_|sub-)\d+")
#: Where the Brain Observatory's two-photon files have what was made of the movie.
PIPELINE = "processing/brain_observatory_pipeline"
_ELECTRODES = "general/extracellular_ephys/electrodes"


def is_allen_session(source: Source) -> bool:
    """Whether an NWB file is an Allen Neuropixels session, of any year.

    In all of them `peak_channel_id` tells where units are. They also have the session type of Visual
    Coding, tables named ``<stimulus>_presentations``, or the structure labels of files before June 2020.
    """
    if source.info("units/peak_channel_id") is None or was_written(source):
        return False
    if source.info("general/stimulus") and str(source.read("general/stimulus")) in (
        ALLEN_SESSION_TYPES
    ):
        return True
    if any(name.endswith("_presentations") for name in source.names("intervals")):
        return True
    return any(name.startswith("manual_structure") for name in source.names(_ELECTRODES))


def is_brain_observatory(source: Source) -> bool:
    """Whether a file is a two-photon session of the Allen Brain Observatory in NWB 1."""
    return source.info("nwb_version") is not None and bool(source.names(PIPELINE))


def looks_allen(probe: Probe) -> bool:
    """Whether a file is an Allen Neuropixels session; False for anything unreadable."""
    return probe.container == "hdf5" and asked(lambda file: is_allen_session(file.source), probe)


def find_allen(probe: Probe) -> Sessions:
    """Find the Allen sessions at a path by the names of their files, with notes about other files.

    A folder may have other files beside them (the LFP of each probe); a list may not. If a folder has
    no session itself, its folders ``session_<id>`` (AllenSDK's cache) and ``sub-<id>`` (DANDI) are
    searched.
    """
    sessions = find(probe, looks_allen, _is_meant, _is_nwb)
    if sessions.good or probe.is_list or not probe.is_folder:
        return sessions
    folders = [child for child in probe.children if _OF_A_SESSION.fullmatch(child.name)]
    below = [
        find(folder, looks_allen, _is_meant, _is_nwb) for folder in folders if folder.is_folder
    ]
    if not any(each.good for each in below):
        return sessions
    named = {name: file for each in below for name, file in each.items()}
    return Sessions(named, [note for each in below for note in each.notes])


def recognise_allen(probe: Probe) -> bool:
    """Whether a path is an Allen session, or a folder or list of them."""
    if probe.is_list or not probe.is_folder:
        return recognised(probe, looks_allen)
    return bool(find_allen(probe).good)


def _is_meant(probe: Probe) -> bool:
    """Whether the name of a file tells that it is NWB."""
    return probe.suffix == ".nwb"


def _is_nwb(probe: Probe) -> bool:
    """Whether a file is intact NWB; most such files have the LFP of a probe."""
    return probe.container == "hdf5" and "nwb_version" in probe.attrs
