"""Saves that can go on: a hidden folder beside a path, with what is finished, renamed when it is all.

A folder of this name that an interrupted save of the same tree left is taken up again. Any other
thing of this name is somebody's, and another name is taken.
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
        Where it is made. Ours alone.
    keep : bool
        Whether something in it is finished, so that the same save can go on with it.
    """

    folder: Path
    keep: bool


@contextmanager
def partial_folder(path: Path, token: str, needed: int = 0) -> Iterator[Partial]:
    """The unfinished save of a path: the one of the same `token`, or a new one.

    It is removed at the end, also after an error, except where something in it is finished.

    Raises
    ------
    NeuroArraysError
        If another process or thread is saving to `path`.
    WriteFailed
        If the system refuses to write.
    """
    folder = path
    try:
        folder, resumed = _own_folder(path, token)
        with locked(folder, path):
            partial = Partial(folder, resumed)
            try:
                if not resumed:
                    mark = {"neuroarrays": "an unfinished save", "of": path.name, "token": token}
                    with open(folder / _MARK, "x", encoding="utf-8") as file:
                        json.dump(mark, file)
                yield partial
                partial.keep = False
            except OverflowError:  # would come again: nothing to resume
                partial.keep = False
                raise
            finally:
                if not partial.keep:
                    shutil.rmtree(folder, ignore_errors=True)
    except NeuroArraysError:
        raise
    except OSError as error:
        kept = f"; it goes on with what is finished, which stays in {folder.name}"
        raise failure(
            path, error, needed, kept if folder != path and _is_folder(folder) else ""
        ) from error
    except RuntimeError as error:  # HDF5's own, reading a part of ours
        if "errno" not in str(error):
            raise
        raise failure(path, OSError(str(error)), needed) from error


def _own_folder(path: Path, token: str) -> tuple[Path, bool]:
    """The folder for an unfinished save, new or left by an interrupted save; and whether it was left."""
    for folder in _left(path):
        with locked(folder, path):  # refused while its save is at work
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


def _left(path: Path) -> list[Path]:
    """Folders beside a path of saves that were interrupted or are still running."""
    folders = path.parent.glob(f"{glob.escape(temporary_stem(path))}*.part")
    return sorted(folder for folder in folders if token_of(folder, path) is not None)


def token_of(folder: Path, path: Path) -> str | None:
    """The token of an unfinished save of a path; None for anything else, links too."""
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
    """Remove what interrupted saves of a path left, where no process is at work in it."""
    for folder in _left(path):
        with suppress(NeuroArraysError), locked(folder, path):
            shutil.rmtree(folder, ignore_errors=True)


def _is_folder(folder: Path) -> bool:
    """Whether it is a folder itself, not a link to one."""
    try:
        return stat.S_ISDIR(os.lstat(folder).st_mode)
    except OSError:
        return False


@contextmanager
def locked(folder: Path, path: Path) -> Iterator[None]:
    """Hold a folder against another process that saves to the same path."""
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
