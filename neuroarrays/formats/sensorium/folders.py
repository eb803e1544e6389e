"""Find the sessions of SENSORIUM at a path: folders of arrays, or zips of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files.probe import Probe
from neuroarrays.files.store import FolderStore, Store
from neuroarrays.files.zips import ZipStore
from neuroarrays.formats.sessions import Sessions, find

#: The file of tiers, which marks a session.
MARK = "meta/trials/tiers.npy"
_KEY = re.compile(r"(?:static|dynamic)?(\d+-\d+-\d+)(?:-|$)")
_NAMED = re.compile(r"(static|dynamic)\d+-\d+-\d+")


@dataclass(frozen=True)
class SessionFiles:
    """The files of a session.

    Attributes
    ----------
    probe : Probe
        Folder of the session, or the zip that contains it.
    prefix : str
        Folder in the zip, with a slash at its end; "" for the whole zip.
    """

    probe: Probe
    prefix: str = ""

    @property
    def path(self) -> str:
        """The path of the session, for messages."""
        return self.probe.as_given

    def store(self) -> Store:
        """Return the store with the files of the session.

        Raises
        ------
        FormatError
            If the files cannot be listed.
        """
        location = self.probe.location
        if self.probe.is_folder:
            return FolderStore(location, location.folder_stamp(follow=True))
        return ZipStore(location, self.probe.stamp, self.prefix)


def is_session(probe: Probe) -> bool:
    """Whether a path is a session, or a folder with sessions in it."""
    return bool(_at(probe)) or any(_in_folder(child) for child in probe.children)


def sessions_of(probe: Probe) -> Sessions:
    """Return the sessions at a path by name; the result is empty for a path of another kind.

    Parameters
    ----------
    probe : Probe
        The folder or zip of a session, a folder of these, a zip of several, or a list of such paths.

    Raises
    ------
    FormatError
        If a list has two sessions of one name, or a member without a session.
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
    """Return the sessions of all members of a list."""
    sessions = Sessions()
    for member in probe.children:
        member.check()
        of_member = sessions_of(member)
        if not of_member:
            raise member.unknown("a session, as each path of a list", "leave it out")
        sessions.notes += of_member.notes
        for name, session in of_member.items():
            if name in sessions:
                raise FormatError(
                    member.as_given,
                    "",
                    "sessions of different names",
                    f"{name} twice, also in {getattr(sessions[name], 'path', '')}",
                )
            sessions[name] = session
    return sessions


def _in_folder(child: Probe) -> bool:
    """Whether a folder or zip in a folder has a session; other files are not opened."""
    is_zip = child.suffix == ".zip" and not _unpacked(child)
    return bool(_at(child)) if is_zip or child.is_folder else False


def _unpacked(probe: Probe) -> bool:
    """Whether a zip is beside the folder that it was unpacked to."""
    return probe.suffix == ".zip" and probe.parent.child(probe.stem).is_folder


def _is_meant(probe: Probe) -> bool:
    """Whether a path without a session has the name of one."""
    return bool(_NAMED.match(probe.name)) and probe.suffix in ("", ".zip")


def _at(probe: Probe) -> list[tuple[str, SessionFiles]]:
    """Return the session of a folder, or those of a zip, with their names.

    A path with the name of a session (a zip that is cut short, a folder without meta) counts as one;
    opening it raises the error.
    """
    named = bool(_NAMED.match(probe.name))
    if probe.is_folder:
        marked = named or probe.child(MARK).is_file
        is_session_folder = marked and probe.child("data").is_folder
        return [(probe.name, SessionFiles(probe))] if is_session_folder else []
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
                name = prefix.rstrip("/").rpartition("/")[2] or probe.stem
                sessions.append((name, SessionFiles(probe, prefix)))
    return sessions


def animal_of(name: str) -> str:
    """Return the animal in the name of a session, or "" if it has none."""
    match = _KEY.match(name)
    return match[1].partition("-")[0] if match else ""
