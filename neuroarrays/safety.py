"""What a file from elsewhere may not do to us.

Only regular files are opened; HDF5 external links, external storage and virtual datasets are
refused (a virtual dataset that maps to itself crashes the interpreter, a FIFO behind a link hangs
it); no more memory is taken than the file could fill.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from neuroarrays.errors import FormatError, MissingPath

if TYPE_CHECKING:
    import h5py

#: The most a compressed byte is believed to expand to (deflate: 1,032; zstd on zeros: 10^4).
MAX_EXPANSION = 20_000
#: Requests below this many bytes are never refused.
ALWAYS_ALLOWED = 1 << 30
_MAX_LINKS = 16


def regular_file(path: str | os.PathLike[str]) -> os.stat_result:
    """The file's `stat`, if it is a regular file.

    Raises
    ------
    MissingPath
        If there is nothing at `path`.
    FormatError
        If it is a folder, device, socket or FIFO.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:
        msg = f"{os.fspath(path)}: no such file or folder"
        raise MissingPath(msg) from error
    if not stat.S_ISREG(status.st_mode):
        raise FormatError(path, expected="a regular file", found=_kind(status.st_mode))
    return status


def _kind(mode: int) -> str:
    names = {stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a FIFO", stat.S_ISSOCK: "a socket"}
    return next((name for test, name in names.items() if test(mode)), "a device")


def check_allocation(path: str, where: str, nbytes: int, file_bytes: int) -> None:
    """Refuse to allocate `nbytes` for something in a file of `file_bytes` that cannot fill it."""
    if nbytes > ALWAYS_ALLOWED and nbytes > MAX_EXPANSION * file_bytes:
        raise FormatError(
            path,
            where,
            expected=f"at most {MAX_EXPANSION * file_bytes:,} bytes of values "
            f"(the file has {file_bytes:,})",
            found=f"a declared size of {nbytes:,} bytes",
            hint="the file is damaged or made to exhaust memory",
        )


def hdf5_location(file: h5py.File, path: str, name: str) -> str:
    """The hard path of `name` in an open HDF5 file, soft links followed.

    Returns
    -------
    str
        "" if nothing is there.

    Raises
    ------
    FormatError
        On an external or user-defined link, or on soft links that go in circles.
    """
    from h5py import h5l

    todo, done, followed = name.strip("/").split("/")[::-1], "", 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        place = f"{done}/{part}"
        encoded = place.encode()
        try:
            if not file.id.links.exists(encoded):
                return ""
            kind = file.id.links.get_info(encoded).type
        except KeyError:
            return ""
        if kind == h5l.TYPE_HARD:
            done = place
        elif kind == h5l.TYPE_SOFT:
            followed += 1
            if followed > _MAX_LINKS:
                raise FormatError(path, name, "a dataset or group", "soft links in a circle")
            target = file.id.links.get_val(encoded).decode()
            todo.extend(target.strip("/").split("/")[::-1])
            done = "" if target.startswith("/") else done
        else:
            raise FormatError(
                path,
                place,
                expected="data inside this file",
                found="an HDF5 external link",
                hint="copy what it points to into one file (h5py: file.copy(..., "
                "expand_external=True)); links out of a file are not followed",
            )
    return done or "/"


def check_hdf5_storage(dataset: h5py.Dataset, path: str, name: str) -> None:
    """Refuse a dataset whose values lie in other files or are virtual."""
    from h5py import h5d

    plist = dataset.id.get_create_plist()
    virtual = plist.get_layout() == h5d.VIRTUAL
    if virtual or plist.get_external_count():
        raise FormatError(
            path,
            name,
            expected="values inside this file",
            found="a virtual dataset" if virtual else "external storage",
            hint="write the values into one file with h5repack or h5py",
        )


def temporary_sibling(path: Path) -> Path:
    """A name beside `path`, on the same file system, that a finished write is renamed from."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")
