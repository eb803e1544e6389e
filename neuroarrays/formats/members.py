"""Find the files of sessions that are given by name, by the names of the files alone.

To list the sessions of a folder, each of its files is opened. For one session that is given by its
name, only the file of that name is needed, even in a folder of a thousand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from neuroarrays import schema
from neuroarrays.files.location import FOLDER
from neuroarrays.files.probe import Probe

#: Characters that make a name a glob.
_GLOB = set("*?[")
#: Endings of files that may follow the name of a session, longest first.
_ENDINGS = (".nwb.zarr", ".nwb.h5", ".nwb", ".zarr")
#: The most files with the name of one session that are opened to see which is the session.
_MOST = 8
#: A number at the end of a session's name, which may also be in file names of another form.
_NUMBER = re.compile(r"\d{6,}$")


def named(
    folder: Probe, sessions: str | Sequence[str] | None, is_session: Callable[[Probe], bool]
) -> Probe | None:
    """Return the files of a folder that have the names of the wanted sessions.

    Parameters
    ----------
    folder : Probe
        The path that the user gave.
    sessions : str or list of str, optional
        The argument of `neuroarrays.open_datatree`.
    is_session : callable
        Whether a reader recognises a file; called only if several files have the name of a session.

    Returns
    -------
    Probe or None
        One file, or a list of files in the order of the folder. None if the path is no folder, if
        sessions are not given by name, or if a name does not belong to exactly one file.
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
        candidates = by_name.get(name) or _with_number(name, folder)
        if 1 < len(candidates) <= _MOST:  # such as a session and a file of notes beside it
            candidates = [member for member in candidates if is_session(folder.child(member))]
        if len(candidates) != 1:
            return None
        members.add(candidates[0])
    files = [folder.child(member) for member in folder.listing if member in members]
    return files[0] if len(files) == 1 else Probe(files[0].location, members=files)


def _names(member: str) -> set[str]:
    """Return the names that a session in a file or folder of this name may have."""
    names = {member, member.rpartition(".")[0] or member}
    names |= {member.removesuffix(ending) for ending in _ENDINGS if member.endswith(ending)}
    return {schema.node_name(name) for name in names}


def _with_number(name: str, folder: Probe) -> list[str]:
    """Return files whose names have the number of a session, as in "sub-1_ses-715093703.nwb"."""
    number = _NUMBER.search(name)
    if number is None:
        return []
    alone = re.compile(rf"(?<!\d){number[0]}(?!\d)")
    return [member for member in folder.listing if member[0] not in "._" and alone.search(member)]
