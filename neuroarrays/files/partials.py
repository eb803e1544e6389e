"""Files in the making: a hidden folder beside a path, renamed when all of it is there."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from neuroarrays.errors import NeuroArraysError

#: What a full disk is called: the disk's own, a user's share, the longest file it may have.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def partial_folder(path: Path, token: str) -> Iterator[Path]:
    """The folder of an unfinished save: the one of the same tree, or a new one. Ours alone."""
    folder = path.with_name(f".{path.name}.part")
    folder.mkdir(exist_ok=True)
    with locked(folder, path):
        mark = folder / "save.json"
        if not mark.is_file() or mark.read_text() != token:
            for entry in folder.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            mark.write_text(token)
        try:
            yield folder
        except OverflowError:  # would come again: nothing to resume
            shutil.rmtree(folder)
            raise
        except (OSError, RuntimeError) as error:
            number = _number(error)
            if number not in _FULL:
                raise
            msg = (
                f"{path}: no room left on the disk ({os.strerror(number)}). Make some and save "
                f"again: it goes on with what is finished, which stays in {folder.name}"
            )
            raise OSError(number, msg) from error


def _number(error: OSError | RuntimeError) -> int:
    """The system's number of an error; HDF5 only mentions it when it fails to close a file."""
    found = re.search(r"errno = (\d+)", str(error))
    return int(getattr(error, "errno", None) or (found[1] if found else 0))


@contextmanager
def locked(folder: Path, path: Path) -> Iterator[None]:
    """Hold a folder against another process that saves to the same path."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
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


def replace(made: Path, path: Path) -> None:
    """Put what was made in the place of what was there."""
    if made.is_dir() and path.exists():
        old = made.with_name("replaced")
        os.replace(path, old)
    os.replace(made, path)


def flush(path: Path) -> None:
    """See that a file is on the disk before it gets its name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
