"""Find the sessions at a path: those that can be read, damaged ones, and files that are passed over.

A file that looks like a session, by its suffix or its siblings, and cannot be read is an error,
unless the caller gives ``skip_damaged=True``. `notes` name everything that is passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any

from neuroarrays import schema
from neuroarrays.errors import FormatError, MissingPath, NeuroArraysError, UnknownFormat, shorten
from neuroarrays.files.location import FOLDER
from neuroarrays.files.probe import Probe, asked

#: Files of `neuroarrays.index` in a folder of recordings; they are in use, so no note names them.
INDEXES = tuple(f"{name}.parquet" for name in ("units", "presentations", "sessions", "catalog"))
Question = Callable[[Probe], bool]


class Sessions(dict[str, Any]):
    """Sessions by name, each as the argument of `Reader.open_session`, which usually is its `Probe`.

    A session that cannot be read has the `FormatError` that tells why.

    Attributes
    ----------
    notes : list of str
        Sentences that name the files that were passed over.
    """

    def __init__(self, sessions: Any = (), notes: Iterable[str] = ()):
        super().__init__(sessions)
        self.notes = list(notes)

    @property
    def good(self) -> dict[str, Any]:
        """The sessions that can be read."""
        return {
            name: session for name, session in self.items() if not isinstance(session, Exception)
        }


def find(
    probe: Probe,
    accepts: Question,
    meant: Question = lambda _: False,
    sound: Question = lambda _: False,
    called: Callable[[Probe], str] = lambda probe: probe.stem,
    shared: str = "",
) -> Sessions:
    """Find the sessions of a path: the path itself, the members of a list, or those in a folder.

    Parameters
    ----------
    probe : Probe
        The path, list or folder that the user gave.
    accepts : callable
        Whether a file or folder is a session of the reader; an error counts as no.
    meant : callable, optional
        Whether a file that is not accepted is meant to be a session, for example by its name; such
        a file is damaged. So is an unreadable file with the suffix of an accepted one.
    sound : callable, optional
        Whether a file that is not accepted is a good file of another kind, which is passed over.
    called : callable, optional
        The name of a session. If two are equal, the name of the folder is put before each.
    shared : str, optional
        Name of a member of the folder that all sessions read, and that is no session itself.

    Returns
    -------
    Sessions
        The sessions by name, in order of the folder or list.

    Raises
    ------
    UnknownFormat
        If a member of a list is not a session; a path that the user gave is not passed over.
    """
    if not probe.is_list and (not probe.is_folder or asked(accepts, probe)):
        return Sessions({schema.node_name(called(probe)): probe})
    children = [
        member
        for member in probe.children
        if probe.is_list or (member.name[0] != "_" and member.name not in (shared, *INDEXES))
    ]
    answers = {child: _answer(accepts, child) for child in children}
    kinds = {(child.suffix, child.is_file) for child, answer in answers.items() if answer is True}
    sessions: dict[Probe, Any] = {}
    others: list[Probe] = []
    notes: list[str] = []
    for child, answer in answers.items():
        if answer is True:
            sessions[child] = child
        elif child.pointer:
            notes.append(f"{child.name} passed over: {child.pointer}")
        elif isinstance(answer, FormatError) and (child.suffix, child.is_file) in kinds:
            sessions[child] = answer
        elif not asked(sound, child) and (asked(meant, child) or _is_broken(child, kinds)):
            sessions[child] = child.unknown("a session, as its name says")
        else:
            others.append(child)
    if others and probe.is_list:
        raise others[0].unknown("a session, as each path of a list", "leave it out")
    if others:
        notes.append(f"passed over: {shorten([child.name for child in others])}")
    return Sessions(zip(_distinct(list(sessions), called), sessions.values(), strict=True), notes)


def recognised(
    probe: Probe,
    accepts: Question,
    meant: Question = lambda _: False,
    sound: Question = lambda _: False,
) -> bool:
    """Whether a path is a session, a folder with at least one session, or a list of sessions only.

    A damaged session counts as well, because the reader has to report it.
    """
    if not probe.is_list and not probe.is_folder:
        return asked(accepts, probe)
    try:
        sessions = find(probe, accepts, meant, sound)
    except UnknownFormat:
        return False
    return bool(sessions) and not (probe.is_list and sessions.notes)


def _distinct(probes: list[Probe], called: Callable[[Probe], str]) -> list[str]:
    """Return a name for each session; equal names get the name of the folder, or else a number."""
    names = [called(probe) for probe in probes]
    unique = [
        f"{probe.parent.name}_{name}" if names.count(name) > 1 else name
        for probe, name in zip(probes, names, strict=True)
    ]
    if len(set(unique)) < len(unique):
        unique = [f"{name}_{i}" for i, name in enumerate(unique)]
    return [schema.node_name(name) for name in unique]


def _answer(question: Question, child: Probe) -> bool | FormatError:
    """Return the answer to a question about a path, or the error if the path cannot be read."""
    try:
        return bool(question(child))
    except FormatError as error:
        return error
    except (OSError, TypeError, ValueError, NeuroArraysError):
        return False


def _is_broken(child: Probe, kinds: Container[tuple[str, bool]]) -> bool:
    """Whether a path that is no session has the suffix of sessions, and nothing in it can be read.

    `kinds` are the suffixes of the sessions beside it, and whether they are files.
    """
    if child.suffix and (child.suffix, True) in kinds and not _is_readable(child):
        return True
    if (child.suffix, False) not in kinds or child.is_file:
        return False
    return child.kind != FOLDER or not _can_be_listed(child)


def _can_be_listed(folder: Probe) -> bool:
    """Whether the names in a folder can be read."""
    try:
        return folder.names is not None
    except (FormatError, MissingPath):
        return False


def _is_readable(child: Probe) -> bool:
    """Whether a path has a readable file or folder of any kind, judged by its suffix."""
    if not child.is_file:
        return child.kind == FOLDER
    if child.suffix in (".h5", ".hdf5", ".nwb"):
        return child.container == "hdf5"
    if child.suffix == ".zip":
        try:
            return child.container == "zip" and child.names is not None
        except NeuroArraysError:
            return False
    if child.suffix == ".nc":
        return child.container in ("hdf5", "netcdf3")
    return bool(child.head.strip(b"\0"))
