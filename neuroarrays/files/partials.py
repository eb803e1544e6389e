"""Saves that can be resumed: they write to a hidden folder, which is renamed when all is finished.

The folder is in the same parent as the path that is saved. If an interrupted save of the same tree
left such a folder, the new save uses what is finished in it. If a file or folder of another origin
has the name, the new folder gets another name.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from neuroarrays.errors import NeuroArraysError
from neuroarrays.files.writing import failure, temporary_stem

_MARK, _MARK_BYTES = "save.json", 4096


@dataclass
class Partial:
    """An unfinished save.

    Attributes
    ----------
    folder : Path
        The folder that the save writes to.
    keep : bool
        Whether something in it is finished, so that the same save can be resumed.
    """

    folder: Path
    keep: bool


@contextmanager
def partial_folder(path: Path, token: str, needed: int = 0) -> Iterator[Partial]:
    """Resume the unfinished save of a path, or begin a new one.

    The folder is removed at the end, also after an error, unless something in it is finished.

    Parameters
    ----------
    path : Path
        The path that is saved to.
    token : str
        What is saved; only an unfinished save with the same token is resumed.
    needed : int
        Bytes that will be written, for the message on a full disk.

    Raises
    ------
    NeuroArraysError
        If another process or thread is saving to `path`.
    WriteFailed
        If the system refuses to write.
    """
    folder = path
    try:
        folder, resumed = _folder_for(path, token)
        with locked(folder, path):
            partial = Partial(folder, resumed)
            try:
                if not resumed:
                    mark = {"neuroarrays": "an unfinished save", "of": path.name, "token": token}
                    with open(folder / _MARK, "x", encoding="utf-8") as file:
                        json.dump(mark, file)
                yield partial
                partial.keep = False
            except OverflowError:  # A resumed save would fail in the same way.
                partial.keep = False
                raise
            finally:
                if not partial.keep:
                    shutil.rmtree(folder, ignore_errors=True)
    except NeuroArraysError:
        raise
    except OSError as error:
        hint = ""
        if folder != path and _is_folder(folder):
            hint = f"; it goes on with what is finished, which stays in {folder.name}"
        raise failure(path, error, needed, hint) from error
    except RuntimeError as error:  # HDF5 raises it for errors of the system.
        if "errno" not in str(error):
            raise
        raise failure(path, OSError(str(error)), needed) from error


def _folder_for(path: Path, token: str) -> tuple[Path, bool]:
    """The folder for a save, and whether an interrupted save of the same token left it."""
    for folder in _unfinished(path):
        with locked(folder, path):  # An error while the save of this folder is running.
            if token_of(folder, path) == token:
                return folder, True
    stem = temporary_stem(path)
    for number in range(1, 1000):
        folder = path.with_name(f"{stem}.part" if number == 1 else f"{stem}.{number}.part")
        with suppress(FileExistsError):
            os.mkdir(folder)
            return folder, False
    msg = f"{path}: {folder.name} and all the names before it are taken; move what is not needed"
    raise NeuroArraysError(msg)


def _unfinished(path: Path) -> list[Path]:
    """The folders of saves of a path that were interrupted or are still running."""
    folders = path.parent.glob(f"{glob.escape(temporary_stem(path))}*.part")
    return sorted(folder for folder in folders if token_of(folder, path) is not None)


def token_of(folder: Path, path: Path) -> str | None:
    """The token of an unfinished save of a path; None for any other file, folder or link."""
    if not _is_folder(folder):
        return None
    try:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with open(os.open(folder / _MARK, flags), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            mark = json.loads(file.read(_MARK_BYTES))
        return str(mark["token"]) if mark["of"] == path.name and "neuroarrays" in mark else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def clear_dead(path: Path) -> None:
    """Remove the folders that interrupted saves of a path left; saves that are running keep theirs."""
    for folder in _unfinished(path):
        with suppress(NeuroArraysError), locked(folder, path):
            shutil.rmtree(folder, ignore_errors=True)


def _is_folder(folder: Path) -> bool:
    """Whether a path is a folder; a link to a folder is none."""
    try:
        return stat.S_ISDIR(os.lstat(folder).st_mode)
    except OSError:
        return False


@contextmanager
def locked(folder: Path, path: Path) -> Iterator[None]:
    """Lock a folder, so that no other process or thread saves to the same path.

    Raises
    ------
    NeuroArraysError
        If it is locked already.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"{path}: another process or thread is saving to it"
            raise NeuroArraysError(msg) from error
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)
