"""Folders as one source, so that no change to any file in them is overlooked.

A folder's own time of change does not tell that a file in it was rewritten. The stamp of a folder is
therefore computed from the name, size and time of every file below it, and each read compares the
file with its entry in the listing from when the folder was opened.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from typing import Any

from neuroarrays.errors import FormatError, MissingPath
from neuroarrays.files import safety, state

#: Relative path -> (inode, size in bytes, time of change in ns) of the regular files in a folder.
Listing = Mapping[str, tuple[int, ...]]
#: The deepest nesting of folders, and the largest number of files.
MAX_DEPTH, MAX_FILES = 32, 4_000_000
#: Largest size of a file of metadata, bytes.
MAX_TEXT = 256 << 20
#: Flags for opening a file: do not wait if it is a FIFO, and do not follow a link.
_FLAGS = os.O_RDONLY | sum(
    getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY")
)
_listings: state.Cache[Listing] = state.Cache(512 << 20, lambda table: 256 * (1 + len(table)))


def stamp(path: str, follow: bool = False) -> tuple[int, ...]:
    """Return a stamp that changes with a folder's content: inode, bytes of all files, and a digest.

    With `follow`, links to files and folders count as these; without, they are left out.
    """
    statuses = _walked(path, follow)
    total = sum(size for _, size, _ in statuses.values())
    folder_stamp = os.stat(path).st_ino, total, digest(statuses)
    _listings.put((path, folder_stamp), statuses)
    return folder_stamp


def digest(files: Mapping[str, tuple[int, ...]]) -> int:
    """Return a hash of the names and stamps of files, as a number."""
    hasher = hashlib.blake2b(digest_size=8)
    for name in sorted(files):
        hasher.update(f"{name}\0{files[name]}\n".encode("utf-8", "surrogateescape"))
    return int.from_bytes(hasher.digest(), "little")


def listing(path: str, known: tuple[int, ...], follow: bool = False) -> Listing:
    """Return the files of a folder as they were when it was opened (when its stamp was `known`).

    Raises
    ------
    FormatError
        If the files have changed and this process no longer has their earlier listing.
    """
    files = _listings.get((path, known))
    if files is None:
        if stamp(path, follow) != known:
            raise changed(path, "other files")
        files = _listings.get_or_make((path, known), lambda: _walked(path, follow))
    return files


def read(path: str, name: str, files: Listing, start: int = 0, size: int | None = None) -> bytes:
    """Return bytes of a file that has not changed since it was listed.

    A negative start counts from the end of the file.

    Raises
    ------
    FormatError
        If the file has changed, or is a link or no regular file now.
    """
    full = os.path.join(path, name)
    try:
        descriptor = os.open(full, _FLAGS)
    except OSError as error:
        is_link = os.path.islink(full)
        raise changed(full, "a link" if is_link else str(error.strerror)) from error
    try:
        status = os.fstat(descriptor)
        check_status(full, status, files.get(name))
        start = max(0, start + status.st_size) if start < 0 else start
        n_left = max(0, status.st_size - start) if size is None else size
        pieces = []
        os.lseek(descriptor, start, os.SEEK_SET)
        while n_left > 0 and (piece := os.read(descriptor, min(n_left, 1 << 30))):
            pieces.append(piece)
            n_left -= len(piece)
    except OSError as error:
        raise changed(full, str(error.strerror)) from error
    finally:
        os.close(descriptor)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def names(path: str, ending: str = "") -> list[str]:
    """Return the sorted names of the files below a folder with a suffix; links are not followed.

    Raises
    ------
    MissingPath, FormatError
        If the folder does not exist, or cannot be read.
    """
    return sorted(name for name in _walked(path, follow=False) if name.endswith(ending))


def size_of(path: str | os.PathLike[str]) -> int:
    """Return the size of a file, or of all files in a folder, in bytes; 0 where there is nothing."""
    if not os.path.isdir(path):
        return os.path.getsize(path) if os.path.exists(path) else 0
    inside = (os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sum(os.lstat(name).st_size for name in inside if os.path.lexists(name))


def read_json(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the mapping in a small JSON file of metadata; None if there is no such file.

    Raises
    ------
    FormatError
        If it is a link or no regular file, is larger than `MAX_TEXT`, or holds no mapping.
    """
    if not os.path.lexists(path):
        return None
    if os.path.islink(path):
        raise _linked(os.fspath(path))
    safety.regular_file(path)
    try:
        descriptor = os.open(path, _FLAGS)
        with open(descriptor, "rb") as file:
            raw = file.read(MAX_TEXT + 1)
        if len(raw) > MAX_TEXT:
            raise FormatError(path, "", f"at most {MAX_TEXT:,} bytes", "more")
        content = json.loads(raw)
    except FormatError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(path, "", "JSON", f"{type(error).__name__}: {error}"[:200]) from error
    if not isinstance(content, dict):
        raise FormatError(path, "", "a mapping", type(content).__name__)
    return content


def _linked(path: str) -> FormatError:
    """Return the error for a symbolic link in a store."""
    return FormatError(
        path,
        "",
        "a file of the store itself",
        "a symbolic link",
        "links are not followed; put the file itself there",
    )


def check(path: str, name: str, files: Listing) -> None:
    """Refuse a file that has changed since it was listed.

    Raises
    ------
    FormatError
        If the file has changed, or is gone.
    """
    full = os.path.join(path, name)
    try:
        status = os.lstat(full)
    except OSError as error:
        raise changed(full, str(error.strerror)) from error
    check_status(full, status, files.get(name))


def check_status(full: str, status: os.stat_result, known: tuple[int, ...] | None) -> None:
    """Refuse a file whose status differs from the one in the listing (`known`)."""
    if not stat.S_ISREG(status.st_mode):
        raise changed(full, "no regular file")
    if (status.st_ino, status.st_size, status.st_mtime_ns) != known:
        raise changed(full, "another size or time")


def check_absent(path: str, name: str) -> None:
    """Refuse a file that was added after the folder was listed; do nothing if there is none.

    Raises
    ------
    FormatError
        If there is a new file, a link, or no regular file.
    """
    full = os.path.join(path, name)
    if os.path.islink(full):
        raise _linked(full)
    if os.path.lexists(full):
        safety.regular_file(full)
        raise changed(full, "one that was not there, or is behind a link")


def changed(path: str, found: str) -> FormatError:
    """Return the error for a folder or file that has changed since it was opened."""
    return FormatError(path, "", "the file as it was when it was opened", found, "open it again")


def _walked(path: str, follow: bool) -> dict[str, tuple[int, int, int]]:
    """List the regular files of a folder and of all folders below it."""
    statuses: dict[str, tuple[int, int, int]] = {}
    todo = [("", 0)]
    while todo:
        folder, depth = todo.pop()
        try:
            with os.scandir(os.path.join(path, folder)) as entries:
                for entry in entries:
                    name = f"{folder}{entry.name}"
                    if entry.is_dir(follow_symlinks=follow):
                        todo.append((f"{name}/", depth + 1))
                    elif entry.is_file(follow_symlinks=follow):
                        status = entry.stat(follow_symlinks=follow)
                        statuses[name] = status.st_ino, status.st_size, status.st_mtime_ns
        except FileNotFoundError as error:
            msg = f"{os.path.join(path, folder)}: no such folder"
            raise MissingPath(msg) from error
        except OSError as error:
            raise FormatError(
                os.path.join(path, folder), "", "a readable folder", str(error.strerror)
            ) from error
        if len(statuses) > MAX_FILES or depth > MAX_DEPTH:
            raise FormatError(
                path,
                folder,
                f"at most {MAX_FILES:,} files in {MAX_DEPTH} levels of folders",
                "more",
            )
    return statuses
