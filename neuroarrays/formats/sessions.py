"""Which sessions a path holds: those that are read, those that are damaged, and what else lies there.

What looks like a session, by its suffix or its siblings, and cannot be read is an error unless the
caller says ``skip_damaged=True``; whatever is not taken is said in `notes`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import Any

from neuroarrays import schema
from neuroarrays.errors import FormatError, MissingPath, NeuroArraysError, UnknownFormat, shorten
from neuroarrays.files.location import FOLDER
from neuroarrays.files.probe import Probe, asked

#: Indexes of the recordings of a folder, as `neuroarrays.index` calls them: they are used, not passed over.
INDEXES = tuple(f"{name}.parquet" for name in ("units", "presentations", "sessions", "catalog"))
Question = Callable[[Probe], bool]


class Sessions(dict[str, Any]):
    """Name of each session -> what `Reader.open_session` is given: its `Probe`, mostly.

    In the place of a session that cannot be read stands the `FormatError` that says why.

    Attributes
    ----------
    notes : list of str
        What else lies there and was passed over, in words.
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
    """The sessions that a path stands for: itself, the members of a list, or those in a folder.

    Parameters
    ----------
    probe : Probe
        Of what the user gave.
    accepts : callable
        Whether a file or folder is a session of the reader; an error is a no.
    meant : callable, optional
        Whether what is not accepted is meant to be a session, by its name, say; the endings of
        those that were accepted say so of what cannot be read at all.
    sound : callable, optional
        Whether what is not accepted is a good file of another kind: it is passed over.
    called : callable, optional
        The name of a session; where two are equal, that of its folder is put before.
    shared : str, optional
        The name of what sessions in a folder read together, and which is none.

    Raises
    ------
    UnknownFormat
        If a member of a list is no session: what was asked for by its name is not passed over.
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
    taken: dict[Probe, Any] = {}
    plain: list[Probe] = []
    notes: list[str] = []
    for child, answer in answers.items():
        if answer is True:
            taken[child] = child
        elif child.pointer:
            notes.append(f"{child.name} passed over: {child.pointer}")
        elif isinstance(answer, FormatError) and (child.suffix, child.is_file) in kinds:
            taken[child] = answer
        elif not asked(sound, child) and (asked(meant, child) or _is_broken(child, kinds)):
            taken[child] = child.unknown("a session, as its name says")
        else:
            plain.append(child)
    if plain and probe.is_list:
        raise plain[0].unknown("a session, as each path of a list", "leave it out")
    if plain:
        notes.append(f"passed over: {shorten([child.name for child in plain])}")
    return Sessions(zip(_distinct(list(taken), called), taken.values(), strict=True), notes)


def recognised(
    probe: Probe,
    accepts: Question,
    meant: Question = lambda _: False,
    sound: Question = lambda _: False,
) -> bool:
    """Whether a path is a session, a folder in which there is one, or a list of sessions only.

    What is meant to be a session and is damaged counts: it is the reader's to report.
    """
    if not probe.is_list and not probe.is_folder:
        return asked(accepts, probe)
    try:
        sessions = find(probe, accepts, meant, sound)
    except UnknownFormat:
        return False
    return bool(sessions) and not (probe.is_list and sessions.notes)


def _distinct(probes: list[Probe], called: Callable[[Probe], str]) -> list[str]:
    """A name for each, made unique by its folder where two are equal, else by a number."""
    names = [called(probe) for probe in probes]
    unique = [
        f"{probe.parent.name}_{name}" if names.count(name) > 1 else name
        for probe, name in zip(probes, names, strict=True)
    ]
    if len(set(unique)) < len(unique):
        unique = [f"{name}_{i}" for i, name in enumerate(unique)]
    return [schema.node_name(name) for name in unique]


def _answer(question: Question, child: Probe) -> bool | FormatError:
    """The answer to a question about a path, or the error if the path cannot be read."""
    try:
        return bool(question(child))
    except FormatError as error:
        return error
    except (OSError, TypeError, ValueError, NeuroArraysError):
        return False


def _is_broken(child: Probe, kinds: Container[tuple[str, bool]]) -> bool:
    """Whether it has the suffix of sessions, and nothing in it can be read.

    Parameters
    ----------
    child : Probe
        What is no session.
    kinds : container of (str, bool)
        Suffixes of the sessions beside it, and whether they are files.
    """
    if child.suffix and (child.suffix, True) in kinds and not _is_readable(child):
        return True
    if (child.suffix, False) not in kinds or child.is_file:
        return False
    return child.kind != FOLDER or not _can_be_listed(child)


def _can_be_listed(folder: Probe) -> bool:
    try:
        return folder.names is not None
    except (FormatError, MissingPath):
        return False


def _is_readable(child: Probe) -> bool:
    """Whether the path holds a file of some other readable kind."""
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
