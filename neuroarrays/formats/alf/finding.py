"""Find ALF sessions in folders ``[lab/Subjects/]subject/date/number``, or in any folder of such files."""

from __future__ import annotations

import re
from collections.abc import Iterator

from neuroarrays import schema
from neuroarrays.files.probe import Probe
from neuroarrays.formats.alf.datasets import parsed

_DATE, _NUMBER = re.compile(r"\d{4}-\d{2}-\d{2}"), re.compile(r"\d{1,3}")
_SUBJECTS = "Subjects"
#: Objects and attributes that mark a session in any folder. In a folder ``alf`` all objects do.
_MARKS = {
    ("spikes", "times"),
    ("trials", "intervals"),
    ("trials", "table"),
    ("wheel", "timestamps"),
}
_OBJECTS = {
    "clusters",
    "licks",
    "wheelMoves",
    "leftCamera",
    "rightCamera",
    "bodyCamera",
    "channels",
}


def is_session(folder: Probe) -> bool:
    """Whether a folder is a session, with ALF files in its folder ``alf`` or in itself."""
    if not folder.is_folder:
        return False
    inside = folder.child("alf")
    if not inside.is_folder:
        names = filter(None, map(parsed, folder.names))
        return any((name["object"], name["attribute"]) in _MARKS for name in names)
    if any(name.startswith(("probe", "task_")) for name in inside.names):
        return True
    known = _OBJECTS | {name for name, _ in _MARKS}
    return any(name["object"] in known for name in filter(None, map(parsed, inside.names)))


def sessions_in(probe: Probe) -> Iterator[Probe]:
    """Yield the session at a path, or the sessions below it by date and number."""
    if probe.is_list:
        for member in probe.children:
            yield from sessions_in(member)
    elif is_session(probe):
        yield probe
    elif probe.is_folder:
        for folder in _below(probe):
            yield from sessions_in(folder)


def _below(folder: Probe) -> list[Probe]:
    """Return the folders in a folder that may be sessions, or contain some."""
    names = folder.names
    if _DATE.fullmatch(folder.name):
        return [folder.child(name) for name in names if _NUMBER.fullmatch(name)]
    if dates := [name for name in names if _DATE.fullmatch(name)]:
        return [folder.child(name) for name in dates]
    if _SUBJECTS in names:
        return [folder.child(_SUBJECTS)]
    folders = [child for child in folder.children if child.is_folder]
    if folder.name == _SUBJECTS:
        return folders
    return [child for child in folders if _SUBJECTS in child.names or is_session(child)]


def name_of(session: Probe) -> str:
    """Return the name of a session: ``subject_date_number``, or the name of its folder."""
    known = about(session)
    parts = [known[key] for key in ("subject", "session_date", "session_number") if key in known]
    return schema.node_name("_".join(parts) if parts else session.name)


def about(session: Probe) -> dict[str, str]:
    """Return subject, date, number and lab of a session from its path; {} if it has another form."""
    folder = session.location.parent if session.name == "alf" else session.location
    date = folder.parent
    if not (_NUMBER.fullmatch(folder.name) and _DATE.fullmatch(date.name)):
        return {}
    known = {"subject": date.parent.name, "session_date": date.name, "session_number": folder.name}
    subjects = date.parent.parent
    return known | ({"lab": subjects.parent.name} if subjects.name == _SUBJECTS else {})
