"""Checks that protect against damaged and hostile files.

Only regular files are opened, because a FIFO would hang the process. HDF5 external links, external
storage and virtual datasets are refused; a virtual dataset that maps to itself crashes the
interpreter. No more memory is allocated than the file could fill.
"""

from __future__ import annotations

import errno
import opcode
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from neuroarrays.errors import FormatError, MissingPath, NeuroArraysError, typed_word

#: What to do about a file that a library cannot read.
DAMAGED = "the file is truncated or damaged; compare its size or checksum with the original"

if TYPE_CHECKING:
    import h5py

#: The most bytes that a compressed byte may expand to (deflate: 1,032; zstd on zeros: 10^4).
MAX_EXPANSION = 20_000
#: The most bytes of tables, labels and indexes, which are read whole on opening (or the size of the file, if
#: it is larger), and of an unpacked chunk (or twice its declared size).
WHOLE, SMALL = 256 << 20, 64 << 20
#: Requests below this many bytes are never refused.
ALWAYS_ALLOWED = 1 << 30
_MAX_LINKS = 16
#: The most bytes of a pointer, and the form of one of git-annex, as text of a file or target of a link.
_POINTER_BYTES = 1024
_ANNEX = re.compile(r"[/\\\w.]*annex/objects/\S+")


def regular_file(path: str | os.PathLike[str]) -> os.stat_result:
    """Return the status (`os.stat`) of a regular file.

    Raises
    ------
    MissingPath
        If there is nothing at `path`.
    FormatError
        If it is a folder, device, socket or FIFO.
    """
    try:
        status = os.stat(path)
    except PermissionError as error:
        raise FormatError(path, "", *_fault_of(error, os.fspath(path))) from error
    except (OSError, ValueError) as error:
        msg = f"{os.fspath(path)}: no such file or folder"
        raise MissingPath(msg) from error
    if not stat.S_ISREG(status.st_mode):
        raise FormatError(path, expected="a regular file", found=_kind(status.st_mode))
    return status


def check_pointer(path: str | os.PathLike[str]) -> None:
    """Refuse a pointer of git-annex or Git LFS, which stands for a file whose content is elsewhere.

    A pointer is a small text file, or a broken link into git-annex's store. All other paths are
    accepted, also those where there is nothing.

    Raises
    ------
    FormatError
        On a pointer, with the command that gets the content.
    """
    path = os.fspath(path)
    try:
        link = os.readlink(path) if os.path.islink(path) and not os.path.exists(path) else ""
        head = b""
        if not link and stat.S_ISREG(os.stat(path).st_mode):  # a FIFO would wait for a writer
            with open(path, "rb") as file:
                head = file.read(_POINTER_BYTES)
    except (OSError, ValueError):
        return
    refuse_pointer(path, link, head)


def refuse_pointer(path: str, link: str, head: bytes) -> None:
    """Refuse a pointer, as `check_pointer` does, from its first bytes or the target of its link.

    Raises
    ------
    FormatError
        On a pointer, with the command that gets the content.
    """
    head = head[:_POINTER_BYTES]
    annex = _ANNEX.search(link) or (_ANNEX.match(head.decode("latin-1")) if head else None)
    lfs = head.startswith(b"version https://git-lfs.github.com/spec/")
    if annex or lfs:
        tool, get = ("git-annex", "datalad get") if annex else ("Git LFS", "git lfs pull --include")
        size = re.search(r"-s(\d+)" if annex else r"size (\d+)", link or head.decode("latin-1"))
        size_text = f" (content: {int(size[1]):,} bytes)" if size else ""
        typed = typed_word(path)
        other = "" if annex else f"; in a DataLad dataset: datalad get {typed}"
        raise FormatError(
            path,
            expected="the file itself",
            found=f"a {tool} pointer in its place{size_text}",
            hint=f"get the content first: {get} {typed}{other}",
        )


def ask_to_read(path: str) -> str:
    """Return what to do about a path that this user may not read."""
    return f"ask its owner, or: chmod u+rX {typed_word(path)}"


def _kind(mode: int) -> str:
    """Return in words what a path is that is no regular file."""
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


def check_whole(path: str, where: str, nbytes: int, file_bytes: int) -> None:
    """Refuse to read something whole on opening that is larger than `WHOLE` and the file."""
    if nbytes > max(WHOLE, file_bytes):
        raise FormatError(
            path,
            where,
            expected=f"at most {max(WHOLE, file_bytes):,} bytes of what is read on opening",
            found=f"a declared size of {nbytes:,} bytes",
            hint="the file is damaged or made to exhaust memory",
        )


def hdf5_location(file: h5py.File, path: str, name: str, group: str = "/") -> str:
    """Return the path of a name in a group of an open HDF5 file, with soft links resolved.

    The path `group` has no soft links in it.

    Returns
    -------
    str
        "" if nothing is there.

    Raises
    ------
    FormatError
        On an external or user-defined link, or on soft links that go in circles.
    """
    from h5py import h5d, h5l, h5o

    todo, done, followed = name.strip("/").split("/")[::-1], group.rstrip("/"), 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        location = f"{done}/{part}"
        encoded = location.encode("utf-8", "surrogateescape")
        try:
            if not file.id.links.exists(encoded):
                return ""
            kind = file.id.links.get_info(encoded).type
        except KeyError:
            return ""
        except RuntimeError:  # HDF5 cannot look below an array
            above = h5o.open(file.id, done.encode("utf-8", "surrogateescape")) if done else None
            if isinstance(above, h5d.DatasetID):
                return ""
            raise
        if kind == h5l.TYPE_HARD:
            done = location
        elif kind == h5l.TYPE_SOFT:
            followed += 1
            if followed > _MAX_LINKS:
                raise FormatError(path, name, "a dataset or group", "soft links in a circle")
            target = file.id.links.get_val(encoded).decode("utf-8", "surrogateescape")
            todo.extend(target.strip("/").split("/")[::-1])
            done = "" if target.startswith("/") else done
        else:
            raise FormatError(
                path,
                location,
                expected="data inside this file",
                found="an HDF5 external link",
                hint="copy what it points to into one file (h5py: file.copy(..., "
                "expand_external=True)); links out of a file are not followed",
            )
    return done or "/"


def check_hdf5_storage(dataset: h5py.h5d.DatasetID, path: str, name: str) -> None:
    """Refuse a dataset whose values lie in other files or are virtual."""
    from h5py import h5d

    properties = dataset.get_create_plist()
    virtual = properties.get_layout() == h5d.VIRTUAL
    if virtual or properties.get_external_count():
        raise FormatError(
            path,
            name,
            expected="values inside this file",
            found="a virtual dataset" if virtual else "external storage",
            hint="write the values into one file with h5repack or h5py",
        )


@contextmanager
def named(path: str | os.PathLike[str], where: str = "") -> Iterator[None]:
    """Turn any error of a library that reads a file into an error that names the file.

    Raises
    ------
    MissingPath
        If the file is not there.
    FormatError
        If the file may not be read, if too many files are open, if a name is no text, or if numpy, h5py or
        another library fails on unexpected values.
    """
    try:
        yield
    except (NeuroArraysError, TypeError):
        raise
    except MemoryError as error:
        raise FormatError(
            path,
            where,
            "values that fit into memory",
            str(error) or "more",
            "it is damaged, or needs a machine with more",
        ) from error
    except FileNotFoundError as error:
        msg = f"{error.filename or path}: no such file or folder"
        raise MissingPath(msg) from error
    except UnicodeError as error:
        raise FormatError(
            path,
            where,
            "names that are text (UTF-8)",
            f"{error}",
            "rename the file, or what is called so in it",
        ) from error
    except OSError as error:
        file = error.filename if isinstance(error.filename, str) else path
        raise FormatError(file, where, *_fault_of(error, os.fspath(file))) from error
    except Exception as error:
        if on_purpose(error):
            raise
        what = f"{type(error).__name__}: {error}"[:300]
        raise FormatError(
            path,
            where,
            "a file that can be read",
            what,
            "it is damaged, or has what nobody expected",
        ) from error


@contextmanager
def readable(
    path: str | os.PathLike[str], where: str, expected: str, hint: str = DAMAGED
) -> Iterator[None]:
    """Turn any error that a library raises on damaged bytes into one that names the file.

    Libraries (h5py, zarr, zipfile, scipy, parsers of tables) raise many kinds of errors: OSError,
    KeyError, RuntimeError, struct.error, ... Use this only around calls of such a library.

    Raises
    ------
    FormatError
        If the library failed, with its message. Our own errors and MemoryError are not changed.
    """
    try:
        yield
    except (NeuroArraysError, MemoryError):
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}"[:300]
        if (
            hint == DAMAGED and "version number" in what
        ):  # as HDF5 writes of files of a newer version
            hint = f"a newer version of HDF5 may have written it: update h5py, or {DAMAGED}"
        raise FormatError(path, where, expected, what, hint) from error


def on_purpose(error: BaseException) -> bool:
    """Whether an error comes from a `raise` in this package; then it is about an option, not a file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or not str(trace.tb_frame.f_globals.get("__name__")).startswith("neuroarrays"):
        return False
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] == opcode.opmap["RAISE_VARARGS"]


def _fault_of(error: OSError, path: str) -> tuple[str, str, str]:
    """Return what was expected of a file, what was found, and what to do, for an error of the system."""
    if too_many_open(error):
        return (
            "a file that can be opened",
            "too many open files",
            "raise the limit (`ulimit -n 4096`), or close some (`na.release()`)",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return "a file that may be read", "no permission", ask_to_read(path)
    return "a file that can be read", error.strerror or str(error), ""


def too_many_open(error: OSError) -> bool:
    """Whether a file could not be opened because too many are."""
    return error.errno in (errno.EMFILE, errno.ENFILE) or "Too many open files" in str(error)


def descriptors() -> int:
    """Return the number of files that this process may have open at once; 0 if it is not known."""
    try:
        import resource
    except ImportError:  # no limits of this kind on Windows
        return 0
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 0 if most == resource.RLIM_INFINITY else most
