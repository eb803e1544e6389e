"""Where a dataset lies: paths, sessions as folders or as zips that are read in place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from neuroarrays.errors import FormatError, MissingPath, NeuroArraysError
from neuroarrays.files import opening, safety, zips
from neuroarrays.files.source import Source, stamp
from neuroarrays.files.zipped import ZippedHDF5


def existing(path: str | os.PathLike[str]) -> Path:
    """An absolute path to something that is there.

    Raises
    ------
    MissingPath
        If nothing is.
    """
    found = Path(os.path.abspath(path))
    if not found.exists():
        msg = f"{found}: no such file or folder"
        raise MissingPath(msg)
    return found


def folders(path: Path) -> list[Path]:
    """The folders right below one, in order; hidden ones are left out."""
    with os.scandir(path) as entries:  # says what is a folder without looking at every file
        return sorted(path / e.name for e in entries if e.name[0] not in "._" and e.is_dir())


def recognised(candidate: Any, holds: Callable[[Path], bool]) -> bool:
    """Whether a path is there and `holds` says yes to it; what cannot be read is a no."""
    try:
        if not isinstance(candidate, str | os.PathLike):
            return False
        return holds(existing(candidate))
    except (OSError, TypeError, ValueError, NeuroArraysError):
        return False


def any_of(paths: Iterable[Path], holds: Callable[[Path], bool]) -> bool:
    """Whether `holds` says yes to any of them; what cannot be read is a no, and hides no other."""
    return any(recognised(path, holds) for path in paths)


def members(path: Path) -> list[str]:
    """The files of a session by their paths inside it, without those of macOS.

    Raises
    ------
    FormatError
        On a zip that cannot be read.
    """
    if path.is_dir():
        return sorted(p.name for p in path.iterdir() if not p.is_dir() and p.name[0] != ".")
    found = zips.members(str(path), stamp(safety.regular_file(path)))
    kept = (n for n in found if "__MACOSX" not in n and not os.path.basename(n).startswith("."))
    return sorted(kept)


def one_each(
    path: str | os.PathLike[str], matching: Mapping[str, Sequence[str]], ending: str
) -> tuple[dict[str, str], list[str]]:
    """Session -> its one matching file, and notes on sessions that have none.

    Raises
    ------
    FormatError
        If a session has several.
    """
    for session, names in matching.items():
        if len(names) > 1:
            raise FormatError(
                path,
                session,
                f"one file that ends in {ending}",
                ", ".join(names),
                "leave out the session, or one of them",
            )
    notes = [f"{session} has no {ending}" for session, names in matching.items() if not names]
    return {session: names[0] for session, names in matching.items() if names}, notes


def member_source(path: Path, name: str) -> Source:
    """The HDF5 file of that name in a session.

    Raises
    ------
    FormatError
        If it is no HDF5 file, or in a zip that cannot be read.
    """
    if path.is_dir():
        return opening.open_source(path / name)
    made = ZippedHDF5(str(path), stamp(safety.regular_file(path)), name)
    try:
        made.names("/")
    except FormatError as error:  # which says the zip, not the file in it
        raise FormatError(path, name, error.expected, error.found, error.hint) from error
    return made
