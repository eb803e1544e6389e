"""Names of sessions and files of the IABS, the laboratory that DRIADA comes from."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from neuroarrays.files.probe import Probe
from neuroarrays.formats.sessions import Sessions, find

#: Tracks with their own form of names; all others are ``{track}_{animal}_{session}``.
_PATTERNS = {
    "HT": ("{animal}_HT{session}", re.compile(r"(?P<animal>[^_]+)_HT(?P<session>[^_]+)")),
    "RT": ("RT_{animal}_{session}D", re.compile(r"RT_(?P<animal>[^_]+)_(?P<session>[^_]+)D")),
    "FS": ("FS{animal}_{session}D", re.compile(r"FS(?P<animal>[^_]+)_(?P<session>[^_]+)D")),
}
_OTHER = re.compile(r"(?P<track>[^_]+)_(?P<animal>[^_]+)_(?P<session>[^_]+)")
_SUFFIX = re.compile(r"( syn data)?$")
#: Paths of the files of a session in its folder.
_PLACES = {"data": "Aligned data/{name} syn data.npz", "experiment": "Exp {name}.pickle"}


def iabs_name(track: str, animal: str, session: str) -> str:
    """Return the name of a session.

    Parameters
    ----------
    track, animal, session : str
        Name of the track ("HT", "RT", "FS", "FcOY", "STFP", ...), of the animal ("A5") and of the
        session ("3").

    Returns
    -------
    str
        The name as the laboratory writes it.

    Raises
    ------
    ValueError
        If a part is empty, or has a "_" or "/" in it, which would make the name ambiguous.

    Examples
    --------
    >>> iabs_name("RT", "A5", "3"), iabs_name("HT", "A5", "3"), iabs_name("FcOY", "J01", "1D")
    ('RT_A5_3D', 'A5_HT3', 'FcOY_J01_1D')
    """
    for part in (track, animal, session):
        if not part or set(part) & set("_/\\ ") or part in (".", ".."):
            msg = f"a part of a session's name is {part!r}; expected text without '_', '/' or space"
            raise ValueError(msg)
    pattern = _PATTERNS[track][0] if track in _PATTERNS else "{track}_{animal}_{session}"
    return pattern.format(track=track, animal=animal, session=session)


def parse_iabs_name(name: str) -> dict[str, str]:
    """Return track, animal and session of a name or of a file; {} if it is not such a name.

    Parameters
    ----------
    name : str
        "RT_A5_3D", or ".../RT_A5_3D/Aligned data/RT_A5_3D syn data.npz".

    Returns
    -------
    dict of str to str
        "track", "animal", "session", in the case they are written in.

    Examples
    --------
    >>> parse_iabs_name("RT_A5_3D syn data.npz")
    {'track': 'RT', 'animal': 'A5', 'session': '3'}
    """
    stem = session_of(name)
    for track, (_, pattern) in _PATTERNS.items():
        match = pattern.fullmatch(stem)
        if match:
            return {"track": track, **match.groupdict()}
    match = _OTHER.fullmatch(stem)
    return dict(match.groupdict()) if match else {}


def session_of(path: str) -> str:
    """Return the session of a file: its stem without the words that are added to it."""
    stem = PurePosixPath(path.replace("\\", "/")).name
    stem = re.sub(r"\.(npz|pickle|pkl|mat)$", "", stem)
    return _SUFFIX.sub("", stem).removeprefix("Exp ")


def session_files(probe: Probe) -> Sessions:
    """Return the file of each session in a folder, or of the folder itself, by name.

    The file is the one with the arrays, or else the experiment that DRIADA made from them.
    """
    inside = find(probe, holds, _is_meant, called=lambda folder: folder.name)
    files = {
        name: session if isinstance(session, Exception) else _file_of(session)
        for name, session in inside.items()
    }
    return Sessions(
        {name: session for name, session in files.items() if session is not None}, inside.notes
    )


def _file_of(session: Probe) -> Probe | None:
    """Return the file of a session's folder, or None."""
    files = (session.child(pattern.format(name=session.name)) for pattern in _PLACES.values())
    return next((file for file in files if file.is_file), None)


def holds(session: Probe) -> bool:
    """Whether a folder is that of a session."""
    return session.is_folder and _file_of(session) is not None


def _is_meant(session: Probe) -> bool:
    """Whether a folder without such a file has something in its place, also a broken link."""
    places = [pattern.format(name=session.name) for pattern in _PLACES.values()]
    meant = (session.child(pattern) for pattern in (*places, "Aligned data"))
    return any(path.exists or path.status.link for path in meant)


def iabs_paths(root: str, name: str) -> dict[str, str]:
    """Return the paths "data" and "experiment" of a session below a folder of the laboratory."""
    return {kind: f"{root}/{name}/{pattern.format(name=name)}" for kind, pattern in _PLACES.items()}
