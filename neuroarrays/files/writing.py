"""Write new files under a temporary name in the same folder, and rename them when they are complete.

A temporary name is created exclusively, so that no link or folder of other origin is followed or
emptied. All failures to write are raised as `WriteFailed`. They are hidden from HDF5, which would
free the data that it could not write twice and so crash the interpreter.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neuroarrays.errors import MissingPath, NeuroArraysError, PathExists, WriteFailed, option

if TYPE_CHECKING:
    import h5py

#: Error numbers of a full disk: no space, the user's quota, the limit on the size of a file.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: The longest name, in bytes, that a temporary name can have in it.
_LONGEST = 200
#: Flags to open a new file; opening fails if anything exists at the path, also a link.
_NEW = os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
#: Errors of `os.link` on file systems without hard links.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EXDEV, errno.EMLINK, errno.EACCES)
#: Files that are flushed at a time.
_FLUSHING = 16
#: How an address begins after it was made a `Path`.
_SCHEMES = ("http:", "https:", "s3:", "gs:", "az:", "dandi:")


def check_place(path: Path) -> None:
    """Refuse a path that cannot be written to, before any work is done.

    Raises
    ------
    MissingPath
        If its folder does not exist, or it is an address.
    WriteFailed
        If the system refuses its name, for example because it is too long.
    """
    scheme = next((part for part in path.parts if part in _SCHEMES), "")
    if scheme:
        msg = (
            f"expected a path, found an address ({scheme}//...); write the file on this "
            "machine and copy it there"
        )
        raise MissingPath(msg)
    if not path.parent.is_dir():
        state = "is not a folder" if path.parent.exists() else "does not exist; make it first"
        msg = f"{path}: {path.parent} {state}"
        raise MissingPath(msg)
    try:
        os.lstat(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise failure(path, error) from error


@contextmanager
def written(path: Path, *, overwrite: bool = False, needed: int = 0) -> Iterator[Path]:
    """Yield a temporary path for a new file or folder, which is renamed to `path` when the block ends.

    Parameters
    ----------
    path : Path
        The final path. It does not change before the end.
    overwrite : bool
        Whether to replace an existing file or folder.
    needed : int
        Bytes that will be written, for the message on a full disk.

    Raises
    ------
    WriteFailed
        If it cannot be written; the temporary file is removed.
    PathExists
        If there is something at `path` and `overwrite` is False.
    """
    path = path.absolute()
    check_place(path)
    if not overwrite:
        _refuse_existing(path)
    try:
        folder = Path(tempfile.mkdtemp(".part", f"{temporary_stem(path)}.", path.parent))
        try:
            yield folder / path.name
            flush_all(folder / path.name)
            replace(folder / path.name, path, overwrite)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except NeuroArraysError:
        raise
    except OSError as error:
        raise failure(path, error, needed) from error


def temporary_stem(path: Path) -> str:
    """Return the beginning of temporary names for a path: a dot and its name, cut if it is long."""
    name = path.name
    return f".{name if len(os.fsencode(name)) <= _LONGEST else name[:40]}"


def failure(path: Path, error: OSError, needed: int = 0, note: str = "") -> WriteFailed:
    """Return the error for a failed write; on a full disk it tells how much space is free."""
    number = error.errno or 0
    reason = os.strerror(number) if number else str(error)
    if number not in FULL:
        return WriteFailed(path, number, f"could not be written ({reason})" + note)
    try:
        free = f", {shutil.disk_usage(path.parent).free:,} are free in {path.parent}"
    except OSError:
        free = ""
    needs = f": {needed:,} bytes of values were to be written, before compression{free}"
    text = f"no room left on the disk ({reason}){needs if needed else free.replace(',', ':', 1)}"
    return WriteFailed(path, number, f"{text}. Make some and write it again{note}")


def _refuse_existing(path: Path) -> None:
    """Refuse a path where something exists already."""
    if os.path.lexists(path):
        msg = f"{path}: it exists already; {option('overwrite', True)} replaces it"
        raise PathExists(msg)


def replace(new: Path, path: Path, overwrite: bool = True) -> None:
    """Rename a new file or folder to its final path; an existing one is replaced only if allowed."""
    if not overwrite:
        _take_free_name(new, path)
    elif new.is_dir() and os.path.lexists(path):
        old = new.with_name("replaced")
        os.replace(path, old)
        try:
            os.replace(new, path)
        except BaseException:
            os.replace(old, path)
            raise
    else:
        os.replace(new, path)
    with suppress(OSError):  # the file is complete and in its place already
        flush(path.parent)


def _take_free_name(new: Path, path: Path) -> None:
    """Rename, but do not replace a file that another process may have made in the meantime."""
    try:
        if not new.is_dir():
            os.link(new, path, follow_symlinks=False)
            new.unlink()
            return
    except FileExistsError:
        pass
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LINKS:
            raise
    _refuse_existing(path)
    os.replace(new, path)


def flush(path: Path) -> None:
    """Write a file, or the names in a folder, from the system's memory to the disk."""
    if path.is_dir() and os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # not for folders here
            raise
    finally:
        os.close(descriptor)


def flush_all(path: Path) -> None:
    """`flush` a file, or a folder and everything in it."""
    if not path.is_dir():
        flush(path)
        return
    files, folders = [], []
    for folder, _, names in os.walk(path):
        folders.append(Path(folder))
        files += [Path(folder, name) for name in names]
    with ThreadPoolExecutor(
        _FLUSHING, "neuroarrays-flush"
    ) as pool:  # a disk flushes many files at a time
        for chosen in (files, folders):
            list(pool.map(flush, chosen))


# ---------------------------------------------------------------------------------------- HDF5


class Output:
    """A new file that HDF5 writes through Python; `check` raises errors of the disk.

    The first failure is kept for `check`. Bytes that are written after it stay in memory, so that HDF5
    can read its own structures back and close the file. Such a file must not be used.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.file = os.fdopen(os.open(path, os.O_RDWR | _NEW, 0o666), "r+b", buffering=0)
        self.position = self.end = self.whole = 0
        self.error: BaseException | None = None
        self.lost: list[tuple[int, bytes]] = []

    def check(self) -> None:
        """Raise the first failure, or a Ctrl-C that was held back."""
        if self.error is not None:
            raise self.error
        _WAITING.check()

    # The methods that h5py calls from inside HDF5: none of them may raise.
    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position."""
        self.position = offset + (0, self.position, self.end)[whence]
        return self.position

    def tell(self) -> int:
        """The current position."""
        return self.position

    def write(self, data: Any) -> int:
        """Write bytes; after a failure they are kept in memory."""
        view = memoryview(data).cast("B")
        if self.error is None:
            try:
                self._put(view)
            except BaseException as error:
                self.error = error
        if self.error is not None:
            self.lost.append((self.position, bytes(view)))
        self.position += len(view)
        self.end = max(self.end, self.position)
        return len(view)

    def _put(self, view: memoryview) -> None:
        """Write bytes to the disk at the current position."""
        self.file.seek(self.position)
        done = 0
        while done < len(view):
            count = self.file.write(view[done:])
            if not count:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            done += count
        self.whole = max(self.whole, self.position + len(view))

    def read(self, size: int) -> bytes:
        """Read back; h5py needs this method to accept the object as a file."""
        data = bytearray(size)
        self.readinto(data)
        return bytes(data)

    def readinto(self, buffer: Any) -> int:
        """Read back, with zeros where nothing was written. A failed read is kept for `check`, too."""
        view = memoryview(buffer).cast("B")
        view[:] = bytes(len(view))
        try:
            self.file.seek(self.position)
            done = 0
            while done < len(view) and (count := self.file.readinto(view[done:])):
                done += count
            if done < len(view) and self.position + done < self.whole:
                msg = "the written file does not exist any more"
                raise OSError(errno.EIO, f"{os.strerror(errno.EIO)}: {msg}")
        except BaseException as error:
            self.error = self.error or error
        for start, piece in self.lost:
            low = max(start, self.position)
            high = min(start + len(piece), self.position + len(view))
            if low < high:
                view[low - self.position : high - self.position] = piece[low - start : high - start]
        self.position += len(view)
        return len(view)

    def truncate(self, size: int) -> int:
        """Set the length of the file, bytes."""
        try:
            self.file.truncate(size)
        except BaseException as error:
            self.error = self.error or error
        self.end = size
        self.whole = min(self.whole, size)
        return size

    def flush(self) -> None:
        """Do nothing: writes are not buffered."""

    def close(self) -> None:
        """Flush everything to the disk, and close."""
        try:
            if self.error is None:
                os.fsync(self.file.fileno())
        except OSError as error:
            self.error = error
        finally:
            self.file.close()


@contextmanager
def new_hdf5(
    path: str | os.PathLike[str], *, replaced: bool = False, **options: Any
) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """Open a new HDF5 file. Yields it, and a function that raises if a write has failed.

    Parameters
    ----------
    path : path
        Path at which nothing exists.
    replaced : bool
        Whether to remove an existing file (or link) first.
    **options : object
        Options of `h5py.File`.

    Raises
    ------
    OSError
        The first failure of a write, at `check` or at the end.
    """
    import h5py

    if replaced:
        Path(path).unlink(missing_ok=True)
    output = Output(path)
    with _WAITING.waiting():
        try:
            file = h5py.File(output, "w", **options)
            try:
                yield file, output.check
            finally:
                file.close()
        except Exception as error:
            if output.error is None or output.error is error:
                raise
            raise output.error from error  # it tells more than the error of HDF5
        finally:
            output.close()
        output.check()


class _Waiting:
    """Holds back Ctrl-C until `check`, because raised inside HDF5 it would end the interpreter."""

    def __init__(self) -> None:
        self.came, self.inside, self.free = False, 0, 0

    def check(self) -> None:
        """Raise a Ctrl-C that was held back."""
        if self.came and threading.current_thread() is threading.main_thread():
            self.came = False
            raise KeyboardInterrupt

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Hold back Ctrl-C in this block, in the main thread and if the handler is Python's own."""
        usual = signal.default_int_handler
        main = threading.current_thread() is threading.main_thread()
        if not main or self.inside or signal.getsignal(signal.SIGINT) is not usual:
            yield
            return
        self.inside, self.came = 1, False
        signal.signal(signal.SIGINT, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, usual)
            self.inside = 0
        self.check()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Raise Ctrl-C at once in this block, in which values are computed and HDF5 does nothing."""
        in_main_thread = threading.current_thread() is threading.main_thread()
        self.free += in_main_thread
        try:
            yield
        finally:
            self.free -= in_main_thread

    def _note(self, number: int, frame: Any) -> None:
        """Handle Ctrl-C: raise it now, or note it for `check`."""
        if self.free:
            raise KeyboardInterrupt
        self.came = True


_WAITING = _Waiting()
#: Context manager for computing values while a file is written.
interruptible = _WAITING.interruptible
