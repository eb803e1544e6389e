"""Copying remote files to this machine: an interrupted copy resumes, and every copy is checked.

A file gets its name only when it is complete.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from neuroarrays.errors import FormatError, MissingPath, PathExists, shorten
from neuroarrays.files import (
    buckets,
    dandi,
    digests,
    network,
    partials,
    python_client,
    store_copies,
)
from neuroarrays.files.locating import locate
from neuroarrays.files.location import FILE, Location, check
from neuroarrays.files.remote_file import RemoteFile, failure
from neuroarrays.files.responses import NetworkError
from neuroarrays.files.writing import failure as write_failure
from neuroarrays.files.writing import flush, replace

#: Called with the bytes done, the bytes of all files as far as known, and the name of a file.
Progress = Callable[[int, int, str], None]
#: Bytes of one request, and the number of requests at a time.
_PIECE, _AT_ONCE = 8 << 20, 8
_NO_MD5 = (
    "not compared: its ETag is not its MD5, as of objects that S3 encrypts with keys of "
    "their own (KMS)"
)
_NO_FOLDERS = "a plain server lists no folders; give the address of a bucket, or of each file"
_NO_FILE = "an asset of DANDI that is no file, and no Zarr store by its name"


@dataclass
class Fetched:
    """The result of `fetch`.

    Attributes
    ----------
    written, unchanged : list of Path
        The files that were copied now, and those that were there already.
    resumed : int
        Bytes that an earlier, interrupted fetch had copied.
    notes : list of str
        What was not copied or not compared, and why.
    """

    written: list[Path] = field(default_factory=list)
    unchanged: list[Path] = field(default_factory=list)
    resumed: int = 0
    notes: list[str] = field(default_factory=list)


def fetch(
    address: str,
    folder: str | os.PathLike[str],
    patterns: Sequence[str] = (),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Fetched:
    """Copy a file, or the files below a prefix of a bucket or a dandiset, to a folder.

    A Zarr store is copied as a folder. If a fetch is interrupted, the next call with the same
    arguments resumes it. Each range is requested on the condition that the file has not changed, and
    the copy of a DANDI asset is compared with the digest that DANDI states.

    Parameters
    ----------
    address : str
        An address as for `neuroarrays.open_datatree`.
    folder : path
        The folder that is written to; it is created if needed. Files keep their names below the
        prefix.
    patterns : sequence of str
        Globs of these names ("*.nwb", "sub-1/*"; * also matches /). Without patterns, all files are
        copied.
    overwrite : bool
        Whether to replace different files of the same names.
    progress : callable, optional
        Called with the bytes done, the bytes of all files, and the name of the current file.

    Raises
    ------
    MissingPath
        If there is nothing at the address, or nothing that matches the patterns.
    PathExists
        If a different file of the same name exists and `overwrite` is false.
    FormatError
        If a file cannot be read, changes during the copy, or differs from its digest.
    WriteFailed
        If the disk is full, or if the system does not permit writing.
    """
    location = locate(address)
    if location.local_path is not None:
        msg = f"{location.as_given} is a path; expected an address (https, s3, gs, az or dandi)"
        raise MissingPath(msg)
    report = Fetched()
    files = _listed(location, patterns, report)
    top = Path(folder).expanduser().absolute()
    top.mkdir(parents=True, exist_ok=True)
    total, done = sum(size for size, _ in files.values()), 0
    with partials.locked(top, top):
        for name, (size, source) in files.items():

            def tell(count: int, name: str = name, before: int = done) -> None:
                """Report the bytes of all files that have arrived."""
                if progress is not None:
                    progress(before + count, max(total, before + count), name)

            _copy(source, top / name, overwrite, report, tell)
            done += size
    return report


def _listed(
    location: Location, patterns: Sequence[str], report: Fetched
) -> dict[str, tuple[int, Location]]:
    """Return name -> (size in bytes, location) of the files to copy; an unknown size is 0."""
    files: dict[str, tuple[int, Location]] = {}
    failed = None
    try:
        entries = network.files_below(location.address)
    except NetworkError as error:
        failed, entries = error, []
    if failed is not None and failed.kind != "missing":
        raise failure(location, failed)
    for name, size in entries:
        if not _is_plain(name):
            report.notes.append(
                f"{name}: leads out of the folder, or is not a valid file name here"
            )
        elif size is None:
            if dandi.is_store(name):
                files[name] = 0, location.child(name)
            else:
                report.notes.append(f"{name}: {_NO_FILE}")
        else:
            files[name] = size, location.child(name)
    if not entries:
        files = {location.name: (0, location)}
    chosen = {
        name: entry
        for name, entry in files.items()
        if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)
    }
    if not chosen:
        known = "; ".join([shorten(files) if files else "no file", *report.notes[:3]])
        msg = (
            f"{location.as_given}: no file fits {', '.join(patterns) or 'there'}; there is {known}"
        )
        raise MissingPath(msg)
    return chosen


def _is_plain(name: str) -> bool:
    """Return whether a name stays in its folder, and is a valid path on every system."""
    parts = name.split("/")
    return not any(part in ("", ".", "..") or set(part) & set("\\:\0") for part in parts)


def _copy(
    source: Location, target: Path, overwrite: bool, report: Fetched, tell: Callable[[int], None]
) -> None:
    """Copy one file or Zarr store, unless it is there already."""
    tell(0)
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.address.startswith(("http://", "https://")) and not _knows_ranges(source):
        _copy_whole(source, target, overwrite, report, tell)
        return
    status = source.status()
    check(source, status)
    if status.kind != FILE:
        _copy_store(source, target, overwrite, report, tell)
        return
    _, size, modified = status.stamp
    digest = _stated(source, size)
    if _is_there(target, size, modified, digest):
        report.unchanged.append(target)
        return
    _refuse(target, overwrite)
    part = target.with_name(f".{target.name[:100]}.{status.stamp[0]:016x}.fetched.part")
    try:
        report.resumed += _filled(source, part, size, bool(modified or status.stamp[0]), tell)
        if digest is not None and not digest.fits(part):
            if digest.name == digests.MD5 and buckets.has_credentials("s3"):
                report.notes.append(f"{target.name}: {_NO_MD5}")
            else:
                part.unlink()
                expected = f"a file of the digest that is stated ({digest.name})"
                raise FormatError(source.as_given, "", expected, "another one", "fetch it again")
        _finish(part, target, modified, overwrite)
    except OSError as error:
        if isinstance(error, MissingPath | PathExists):
            raise
        raise write_failure(target, error, size) from error
    report.written.append(target)


def _copy_store(
    source: Location, target: Path, overwrite: bool, report: Fetched, tell: Callable[[int], None]
) -> None:
    """Copy a Zarr store as a folder of the same name."""
    if not source.listing():
        raise FormatError(source.as_given, "", "a file or a Zarr store", "a folder", _NO_FOLDERS)
    try:
        copied = store_copies.copy(source, target, overwrite, tell)
    except OSError as error:
        if isinstance(error, MissingPath | PathExists):
            raise
        raise write_failure(target, error) from error
    report.resumed += copied.resumed
    report.notes += [f"{target.name}: {copied.note}"] if copied.note else []
    (report.written if copied.is_new else report.unchanged).append(target)


def _filled(
    source: Location, part: Path, size: int, is_known: bool, tell: Callable[[int], None]
) -> int:
    """Copy the bytes that an unfinished file lacks, and return how many bytes it had before.

    Without `is_known` nothing shows that the two belong together, and all bytes are copied again.
    """
    file = source.open() if size else None
    with open(part, "ab") as out:
        position = resumed = out.tell() if is_known and out.tell() <= size else 0
        out.truncate(resumed)
        while position < size and isinstance(file, RemoteFile):
            end = min(size, position + _PIECE * _AT_ONCE)
            runs = [(start, min(_PIECE, end - start)) for start in range(position, end, _PIECE)]
            arrived = [position]

            def add(count: int, arrived: list[int] = arrived) -> None:
                """Report bytes that have arrived."""
                arrived.append(count)
                tell(sum(arrived))

            for data in file.fetched(runs, add):
                out.write(data)
            position = end
            tell(position)
    return resumed


def _knows_ranges(source: Location) -> bool:
    """Return whether a server sends parts of a file."""
    try:
        network.first(source.address, 2)
    except NetworkError as error:
        return error.kind != "no ranges"
    return True


def _copy_whole(
    source: Location, target: Path, overwrite: bool, report: Fetched, tell: Callable[[int], None]
) -> None:
    """Copy a file from a server that sends only whole files; such a copy cannot be resumed."""
    _refuse(target, overwrite)
    part = target.with_name(f".{target.name[:100]}.whole.fetched.part")
    failed = None
    try:
        with open(part, "wb") as out:
            modified = python_client.copy(source.address, out, tell)
        _finish(part, target, modified, overwrite)
    except NetworkError as error:
        failed = error
    except OSError as error:
        raise write_failure(target, error) from error
    finally:
        part.unlink(missing_ok=True)
    if failed is not None:
        raise failure(source, failed)
    report.written.append(target)


def _stated(source: Location, size: int) -> digests.Digest | None:
    """Return the digest that DANDI states for an asset, or the ETag of an S3 object if it is an MD5."""
    if source.address.startswith("s3://"):
        file = source.open() if size else None
        return digests.from_etag(file.version.tag) if isinstance(file, RemoteFile) else None
    if not source.address.startswith("dandi://"):
        return None
    failed = None
    try:
        return digests.from_dandi(dandi.stated_digests(source.address))
    except NetworkError as error:
        failed = error
    raise failure(source, failed)


def _is_there(target: Path, size: int, modified: int, digest: digests.Digest | None) -> bool:
    """Return whether a file was copied before: it has the digest, or else the size and date."""
    if not target.is_file() or target.stat().st_size != size:
        return False
    if digest is not None:
        return digest.fits(target)
    return not size or int(target.stat().st_mtime) == modified


def _refuse(target: Path, overwrite: bool) -> None:
    """Refuse to replace a file unless `overwrite` says so."""
    if not overwrite and os.path.lexists(target):
        msg = f"{target}: another file exists already; --overwrite replaces it"
        raise PathExists(msg)


def _finish(part: Path, target: Path, modified: int, overwrite: bool) -> None:
    """Give a complete file its name, and the date of change that the server states."""
    if modified:
        os.utime(part, (modified, modified))
    flush(part)
    replace(part, target, overwrite)
