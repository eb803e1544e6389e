"""The files of a folder that hold the sessions asked for by name, found by their names alone.

A folder of a thousand sessions is looked through, file by file, to know which sessions there are. Who
asks for one session by its name needs only the file that is called so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from neuroarrays import schema
from neuroarrays.files.location import FOLDER
from neuroarrays.files.probe import Probe

#: Characters that make a name a glob.
_GLOB = set("*?[")
#: Endings of files that may stand behind the name of a session, longest first.
_ENDINGS = (".nwb.zarr", ".nwb.h5", ".nwb", ".zarr")
#: The most members called as one session that are looked at.
_MOST = 8
#: The number at the end of a session's name that files of other names carry too.
_NUMBER = re.compile(r"\d{6,}$")


def named(
    folder: Probe, sessions: str | Sequence[str] | None, is_session: Callable[[Probe], bool]
) -> Probe | None:
    """The members of a folder that are called as the sessions asked for; no other is opened.

    Parameters
    ----------
    folder : Probe
        Of what the user gave.
    sessions : str or list of str, optional
        As given to `neuroarrays.open_datatree`.
    is_session : callable
        Whether a reader recognises a member; asked only where several are called as one session.

    Returns
    -------
    Probe or None
        One member, or a list of them in the order of the folder. None where it is no folder, where
        all sessions or a glob are asked for, or where not exactly one member is called so.
    """
    wanted = [sessions] if isinstance(sessions, str) else list(sessions or ())
    if not wanted or folder.kind != FOLDER or folder.container:
        return None
    if not all(isinstance(name, str) and name and not _GLOB & set(name) for name in wanted):
        return None
    by_name: dict[str, list[str]] = {}
    for member in folder.listing:
        if member[0] not in "._":
            for name in _names(member):
                by_name.setdefault(name, []).append(member)
    members: set[str] = set()
    for name in wanted:
        called = by_name.get(name) or _with_number(name, folder)
        if 1 < len(called) <= _MOST:  # a file of notes beside it, say
            called = [member for member in called if is_session(folder.child(member))]
        if len(called) != 1:
            return None
        members.add(called[0])
    picked = [folder.child(member) for member in folder.listing if member in members]
    return picked[0] if len(picked) == 1 else Probe(picked[0].location, members=picked)


def _names(member: str) -> set[str]:
    """What a session in a file or folder of this name may be called."""
    names = {member, member.rpartition(".")[0] or member}
    names |= {member.removesuffix(ending) for ending in _ENDINGS if member.endswith(ending)}
    return {schema.node_name(name) for name in names}


def _with_number(name: str, folder: Probe) -> list[str]:
    """Members whose names carry the number of a session: "sub-1_ses-715093703.nwb"."""
    number = _NUMBER.search(name)
    if number is None:
        return []
    alone = re.compile(rf"(?<!\d){number[0]}(?!\d)")
    return [member for member in folder.listing if member[0] not in "._" and alone.search(member)]
