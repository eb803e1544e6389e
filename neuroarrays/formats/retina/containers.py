"""The files of sessions that are folders, or zips of folders, which are not unpacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neuroarrays.errors import FormatError, NeuroArraysError, NotInTree
from neuroarrays.files.hdf5 import ZippedHDF5
from neuroarrays.files.probe import Probe
from neuroarrays.files.source import Source
from neuroarrays.formats.sessions import Sessions


@dataclass(frozen=True)
class Recorded:
    """One file of a session.

    Attributes
    ----------
    probe : Probe
        Path of the folder or zip of the session.
    name : str
        Name of the file in it.
    """

    probe: Probe
    name: str

    @property
    def path(self) -> str:
        """The path of the file, for messages."""
        return f"{self.probe.path}/{self.name}"


def members(probe: Probe) -> list[str]:
    """Return the files of a session by path, without hidden ones and those of macOS.

    Raises
    ------
    FormatError
        On a zip that cannot be read.
    """
    if probe.is_folder:
        return [child.name for child in probe.children if child.kind != "folder"]
    if probe.container != "zip":
        raise FormatError(
            probe.as_given,
            "",
            "a readable zip",
            probe.described(full=False),
            "it is truncated or damaged; download it again",
        )
    members = (name for name in probe.names if "__MACOSX" not in name)
    return sorted(name for name in members if not name.rpartition("/")[2].startswith("."))


def member_source(probe: Probe, name: str) -> Source:
    """Return the HDF5 file of a name in a session.

    Raises
    ------
    FormatError
        If it is no HDF5 file, or in a zip that cannot be read.
    """
    if probe.is_folder:
        return probe.child(name).source
    opened = ZippedHDF5(probe.location, probe.stamp, name)
    try:
        opened.names("/")
    except FormatError as error:  # the error names the zip and not the file in it
        raise error.changed(path=probe.as_given, where=name) from error
    return opened


def with_ending(probe: Probe, sessions: Sessions, ending: str, stimuli: Sequence[str]) -> Sessions:
    """Return the file with an ending in each session; sessions without one become notes.

    Parameters
    ----------
    probe : Probe
        The path that the user gave.
    sessions : Sessions
        Folders or zips by name. An error in the place of one stays.
    ending : str
        Ending of the names of files, with ``{}`` for the stimulus: ``"{}.h5"``.
    stimuli : sequence of str
        The wanted stimulus, then all stimuli that a session could have.

    Raises
    ------
    NotInTree
        If no session has a file of the stimulus.
    """
    wanted = ending.format(stimuli[0])
    files = Sessions(notes=sessions.notes)
    present: dict[str, None] = {}
    for session, where in sessions.items():
        try:
            names = members(where) if isinstance(where, Probe) else None
        except NeuroArraysError as error:
            files[session] = error
            continue
        if names is None:
            files[session] = where
            continue
        present |= dict.fromkeys(s for s in stimuli[1:] if _ending(names, ending.format(s)))
        matching = _ending(names, wanted)
        if len(matching) == 1:
            files[session] = Recorded(where, matching[0])
        elif matching:
            files[session] = FormatError(
                where.as_given,
                "",
                f"one file that ends in {wanted}",
                ", ".join(matching),
                "leave out the session, or one of them",
            )
        else:
            files.notes.append(f"{session} has no {wanted}")
    if not files:
        raise NotInTree("stimulus", stimuli[0], present, where=probe.as_given)
    return files


def _ending(names: Sequence[str], ending: str) -> list[str]:
    return [name for name in names if name.endswith(ending)]
