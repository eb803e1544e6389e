"""Which sessions a folder holds: those that are read, those that are damaged, and what else lies there.

What looks like a session, by its suffix or its siblings, and cannot be read is an error unless the
caller says ``skip_damaged=True``; whatever is not taken is said in `notes`.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neuroarrays.errors import (
    FormatError,
    MissingPath,
    NeuroArraysError,
    UnknownFormat,
    option,
    shorten,
)
from neuroarrays.files import opening, safety


@dataclass
class Found:
    """What a path, a folder or a list of paths holds for a reader.

    Attributes
    ----------
    paths : list of Path
        Sessions in order, those that cannot be read too.
    damaged : dict of Path to FormatError
        What is wrong with those that cannot be read.
    others : dict of str to str
        What else lies in the folder: name -> what it is.
    """

    paths: list[Path]
    damaged: dict[Path, FormatError] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)

    @property
    def good(self) -> list[Path]:
        """The sessions that can be read."""
        return [path for path in self.paths if path not in self.damaged]

    def check(self, path: Path) -> None:
        """Raise what is wrong with a session, if anything is."""
        if path in self.damaged:
            raise self.damaged[path]

    def notes(self) -> list[str]:
        """What in the folder was passed over, in words."""
        plain = [name for name, what in self.others.items() if not what]
        found = [f"{name} passed over: {what}" for name, what in self.others.items() if what]
        return [*found, f"passed over: {shorten(plain)}"] if plain else found


def find(
    path_or_paths: Any,
    accepts: Callable[[Path], bool],
    meant: Callable[[Path], bool] = lambda _: False,
    sound: Callable[[Path], bool] = lambda _: False,
) -> Found:
    """The sessions that a path stands for: itself, the members of a list, or those in a folder.

    Parameters
    ----------
    path_or_paths : str, path or list of these
        As the user gave it.
    accepts : callable
        Whether a path is a session of the reader.
    meant : callable, optional
        Whether what is not accepted is meant to be a session, by its name, say; the endings of
        those that were accepted say so of what cannot be read at all.
    sound : callable, optional
        Whether a path that is not accepted is a good file of another kind: it is passed over.
    """
    if isinstance(path_or_paths, str | os.PathLike):
        path = Path(path_or_paths)
        if not path.is_dir() or accepts(path) or opening.is_zarr(path):  # a store is one file
            return Found([path])
        children = sorted(child for child in path.iterdir() if child.name[0] not in "._")
    else:
        children = [Path(path) for path in path_or_paths]
    accepted = [child for child in children if accepts(child)]
    siblings = {child.suffix for child in accepted if child.suffix and not child.is_dir()}
    folders = {child.suffix for child in accepted if child.is_dir()}
    found = Found([])
    for child in children:
        if child in accepted:
            found.paths.append(child)
            continue
        pointer = _pointer(child)
        if pointer:
            found.others[child.name] = pointer
        elif sound(child):
            found.others[child.name] = ""
        elif (
            meant(child)
            or (child.suffix in siblings and not _readable(child))
            or (child.suffix in folders and _lost(child))
        ):
            found.paths.append(child)
            found.damaged[child] = wrong_with(child, "a session, as its name says")
        else:
            found.others[child.name] = ""
    return found


def recognised(
    path_or_paths: Any,
    accepts: Callable[[Path], bool],
    meant: Callable[[Path], bool] = lambda _: False,
    sound: Callable[[Path], bool] = lambda _: False,
) -> Found:
    """As `find`, for a reader that is asked whether a path is its own: no paths where it is not."""
    listed = not isinstance(path_or_paths, str | os.PathLike)
    if not listed and (not os.path.isdir(path_or_paths) or opening.is_zarr(path_or_paths)):
        return Found([Path(path_or_paths)] if accepts(Path(path_or_paths)) else [])
    found = find(path_or_paths, accepts, meant, sound)
    return Found([]) if listed and found.others else found


def wrong_with(path: str | os.PathLike[str], expected: str) -> FormatError:
    """The error for something that should be readable and is not."""
    return UnknownFormat(path, "", expected, described(path), "get it again, or leave it out")


def described(path: str | os.PathLike[str]) -> str:
    """What lies at a path, in words; also of a link that leads nowhere."""
    if os.path.islink(path) and not os.path.exists(path):
        return f"a link to {os.readlink(path)!r}, where there is nothing"
    try:
        return opening.describe(path)
    except (OSError, MissingPath) as error:
        return f"something unreadable ({error})"


def _pointer(path: Path) -> str:
    try:
        safety.check_pointer(path)
    except FormatError as error:
        return f"{error.found}; {error.hint}"
    return ""


def _readable(path: Path) -> bool:
    """Whether something is there that could be another kind of file."""
    if not path.exists():
        return False
    if path.is_dir():
        return True
    try:
        status = safety.regular_file(path)
        with open(path, "rb") as file:
            head = file.read(512)
    except (OSError, NeuroArraysError):
        return False
    if path.suffix in (".h5", ".hdf5", ".nwb"):
        return opening.is_hdf5(path)
    if path.suffix == ".zip":
        return zipfile.is_zipfile(path)
    if path.suffix == ".nc":
        return head[:3] == b"CDF" or opening.is_hdf5(path)
    return status.st_size > 0 and bool(head.strip(b"\0"))


def _lost(path: Path) -> bool:
    """Whether there is nothing to look into, where a folder is expected."""
    if path.is_dir():
        return not os.access(path, os.R_OK | os.X_OK)
    return not path.is_file()


def _spared() -> str:
    """The hint for those who want what is not damaged."""
    return f"{option('skip_damaged', True)} opens the other sessions"


@contextmanager
def sparing(
    name: str, path: Any, notes: list[str], skip: bool, several: bool = True
) -> Iterator[None]:
    """Open one session of several: what is wrong with it is an error, or a note with `skip`.

    Parameters
    ----------
    name : str
        Of the session.
    path : path
        Where it lies.
    notes : list of str
        Takes what was left out, and why.
    skip : bool
        The reader's option `skip_damaged`.
    several : bool
        Whether there are others: only then the option is worth a hint.
    """
    try:
        with safety.named(path):
            yield
    except (FormatError, MissingPath) as error:
        if skip:
            notes.append(f"{name} left out: {error}")
        elif several and isinstance(error, FormatError) and _spared() not in error.hint:
            hint = "; ".join(filter(None, (error.hint, _spared())))
            raise type(error)(error.path, error.where, error.expected, error.found, hint) from error
        else:
            raise
