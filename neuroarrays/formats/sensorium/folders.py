"""Where the sessions of a path lie: folders of arrays, or zips of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files.probe import Probe
from neuroarrays.files.store import FolderStore, Store
from neuroarrays.files.zips import ZipStore
from neuroarrays.formats.sessions import Sessions, find

#: The file of tiers, which every session has.
MARK = "meta/trials/tiers.npy"
_KEY = re.compile(r"(?:static|dynamic)?(\d+-\d+-\d+)(?:-|$)")
_NAMED = re.compile(r"(static|dynamic)\d+-\d+-\d+")


@dataclass(frozen=True)
class SessionFiles:
    """Where a session lies.

    Attributes
    ----------
    probe : Probe
        Its folder, or the zip that it is in.
    prefix : str
        The folder in the zip, with a slash at its end; "" for the whole.
    """

    probe: Probe
    prefix: str = ""

    @property
    def path(self) -> str:
        """Where it is, for messages."""
        return self.probe.given

    def store(self) -> Store:
        """Its files.

        Raises
        ------
        FormatError
            If they cannot be listed.
        """
        place = self.probe.location
        if self.probe.is_folder:
            return FolderStore(place, place.folder_stamp(follow=True))
        return ZipStore(place, self.probe.stamp, self.prefix)


def is_session(probe: Probe) -> bool:
    """Whether a path is a session, or a folder with sessions in it."""
    return bool(_at(probe)) or any(_in_folder(child) for child in probe.children)


def sessions_of(probe: Probe) -> Sessions:
    """Name of each session -> where it lies; none for a path of another kind.

    Parameters
    ----------
    probe : Probe
        The folder of a session or its zip; a folder of these, a zip of several, or a list of all this.

    Raises
    ------
    FormatError
        If a list has two sessions of one name, or a member without any.
    """
    if probe.is_list:
        return _of_list(probe)
    named: list[tuple[str, SessionFiles | Exception]] = list(_at(probe))
    notes: list[str] = []
    if not named and probe.is_folder:
        inside = find(probe, _in_folder, _is_meant, _unpacked, called=lambda child: child.name)
        notes = inside.notes
        for name, child in inside.items():
            damaged = isinstance(child, Exception)
            named += [(name.removesuffix(".zip"), child)] if damaged else _at(child)
    keys = [match[1] if (match := _KEY.match(name)) else name for name, _ in named]
    names = [
        key if keys.count(key) == 1 else name for key, (name, _) in zip(keys, named, strict=True)
    ]
    keyed = zip(map(schema.node_name, names), (session for _, session in named), strict=True)
    return Sessions(keyed, notes)


def _of_list(probe: Probe) -> Sessions:
    every = Sessions()
    for member in probe.children:
        member.check()
        inside = sessions_of(member)
        if not inside:
            raise member.unknown("a session, as each path of a list", "leave it out")
        every.notes += inside.notes
        for name, session in inside.items():
            if name in every:
                raise FormatError(
                    member.given,
                    "",
                    "sessions of different names",
                    f"{name} twice, also in {getattr(every[name], 'path', '')}",
                )
            every[name] = session
    return every


def _in_folder(child: Probe) -> bool:
    """Whether there is a session in a folder's child; of files only zips are opened."""
    packed = child.suffix == ".zip" and not _unpacked(child)
    return bool(_at(child)) if packed or child.is_folder else False


def _unpacked(probe: Probe) -> bool:
    """Whether a zip lies beside the folder that it was unpacked to."""
    return probe.suffix == ".zip" and probe.parent.child(probe.stem).is_folder


def _is_meant(probe: Probe) -> bool:
    """Whether a path without a session has the name of one."""
    return bool(_NAMED.match(probe.name)) and probe.suffix in ("", ".zip")


def _at(probe: Probe) -> list[tuple[str, SessionFiles]]:
    """The session of a folder, or those of a zip, by name.

    What is only called like a session (a zip that is cut short, a folder without meta) is one, too:
    what it lacks is said when it is opened.
    """
    named = bool(_NAMED.match(probe.name))
    if probe.is_folder:
        marked = named or probe.child(MARK).is_file
        return (
            [(probe.name, SessionFiles(probe))] if marked and probe.child("data").is_folder else []
        )
    if not probe.is_file:
        return []
    try:
        members = probe.names if probe.container == "zip" else None
    except FormatError:
        members = None
    if members is None:
        return [(probe.stem, SessionFiles(probe))] if named and probe.suffix == ".zip" else []
    sessions = []
    for member in members:
        if member == MARK or member.endswith("/" + MARK):
            prefix = member.removesuffix(MARK)
            if any(other.startswith(prefix + "data/") for other in members):
                called = prefix.rstrip("/").rpartition("/")[2] or probe.stem
                sessions.append((called, SessionFiles(probe, prefix)))
    return sessions


def animal_of(name: str) -> str:
    """The animal of a session's name, "" if it does not say."""
    match = _KEY.match(name)
    return match[1].partition("-")[0] if match else ""
