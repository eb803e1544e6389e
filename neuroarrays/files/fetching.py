"""Copies of files behind an address: resumable, checked, and under their names only when they are whole."""

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
from neuroarrays.files.answers import NetworkError
from neuroarrays.files.locating import locate
from neuroarrays.files.location import FILE, Location, check
from neuroarrays.files.remote_file import RemoteFile, failure
from neuroarrays.files.writing import failure as write_failure
from neuroarrays.files.writing import flush, replace

#: Told bytes done, bytes of all files as far as they are known, and the name of a file.
Progress = Callable[[int, int, str], None]
#: Bytes of one request, and requests at once.
_PIECE, _AT_ONCE = 8 << 20, 8
_NO_MD5 = (
    "not compared: its ETag is not its MD5, as of objects that S3 encrypts with keys of "
    "their own (KMS)"
)
_NO_FOLDERS = "a plain server lists no folders; give the address of a bucket, or of each file"
_NO_FILE = "an asset of DANDI that is no file, and no Zarr store by its name"


@dataclass
class Fetched:
    """What a fetch did.

    Attributes
    ----------
    written, unchanged : list of Path
        Files copied now, and those that were there already.
    resumed : int
        Bytes that an interrupted fetch had left.
    notes : list of str
        What was not copied, and why.
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

    A Zarr store is copied as a folder. Interrupted, it goes on where it was when it is called again. Every range is asked for on the condition
    that the file is still the same; an asset of DANDI is compared with the digest that is stated there.

    Parameters
    ----------
    address : str
        As for `neuroarrays.open_datatree`.
    folder : path
        Where to; made if it is not there. Files keep their names below the prefix.
    patterns : sequence of str
        Globs of these names ("*.nwb", "sub-1/*"; * matches / too); all files unless given.
    overwrite : bool
        Replace files of these names that are others.
    progress : callable, optional
        Told bytes done, bytes of all files, and the name of the one that is copied.

    Raises
    ------
    MissingPath
        If there is nothing, or nothing that fits the patterns.
    PathExists
        If another file of that name is there.
    FormatError
        If it cannot be had, changes meanwhile, or differs from its digest.
    WriteFailed
        On a full disk, or if the system does not let it be written.
    """
    location = locate(address)
    if location.local_path is not None:
        msg = f"{location.given} is a path; expected an address (https, s3, gs, az or dandi)"
        raise MissingPath(msg)
    report = Fetched()
    files = _listed(location, patterns, report)
    top = Path(folder).expanduser().absolute()
    top.mkdir(parents=True, exist_ok=True)
    total, done = sum(size for size, _ in files.values()), 0
    with partials.locked(top, top):
        for name, (size, source) in files.items():

            def tell(count: int, name: str = name, before: int = done) -> None:
                if progress is not None:
                    progress(before + count, max(total, before + count), name)

            _copy(source, top / name, overwrite, report, tell)
            done += size
    return report


def _listed(
    location: Location, patterns: Sequence[str], report: Fetched
) -> dict[str, tuple[int, Location]]:
    """Name -> size (0 where it is not known) and place of the files to copy."""
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
            report.notes.append(f"{name}: a name that leads out of the folder, or is none here")
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
        msg = f"{location.given}: no file fits {', '.join(patterns) or 'there'}; there is {known}"
        raise MissingPath(msg)
    return chosen


def _is_plain(name: str) -> bool:
    parts = name.split("/")
    return not any(part in ("", ".", "..") or set(part) & set("\\:\0") for part in parts)


def _copy(
    source: Location, target: Path, overwrite: bool, report: Fetched, tell: Callable[[int], None]
) -> None:
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
                raise FormatError(source.given, "", expected, "another one", "fetch it again")
        _finish(part, target, modified, overwrite)
    except OSError as error:
        if isinstance(error, MissingPath | PathExists):
            raise
        raise write_failure(target, error, size) from error
    report.written.append(target)


def _copy_store(
    source: Location, target: Path, overwrite: bool, report: Fetched, tell: Callable[[int], None]
) -> None:
    """Copy a Zarr store as a folder of its name."""
    if not source.listing():
        raise FormatError(source.given, "", "a file or a Zarr store", "a folder", _NO_FOLDERS)
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
    """Copy what an unfinished file lacks; returns how many bytes it had."""
    file = source.open() if size else None
    with open(part, "ab") as out:
        at = kept = out.tell() if is_known and out.tell() <= size else 0
        out.truncate(kept)
        while at < size and isinstance(file, RemoteFile):
            end = min(size, at + _PIECE * _AT_ONCE)
            runs = [(start, min(_PIECE, end - start)) for start in range(at, end, _PIECE)]
            arrived = [at]

            def told(count: int, arrived: list[int] = arrived) -> None:
                arrived.append(count)
                tell(sum(arrived))

            for data in file.fetched(runs, told):
                out.write(data)
            at = end
            tell(at)
    return kept


def _knows_ranges(source: Location) -> bool:
    try:
        network.first(source.address, 2)
    except NetworkError as error:
        return error.kind != "no ranges"
    return True


def _copy_whole(
    source: Location, target: Path, overwrite: bool, report: Fetched, tell: Callable[[int], None]
) -> None:
    """Copy a file of a server that sends it only whole: not resumable."""
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
    """The digest that DANDI states of an asset, or the ETag of an object of S3 where it is an MD5."""
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
    """Whether a file is this one already: of its digest, or else of its size and time of change."""
    if not target.is_file() or target.stat().st_size != size:
        return False
    if digest is not None:
        return digest.fits(target)
    return not size or int(target.stat().st_mtime) == modified


def _refuse(target: Path, overwrite: bool) -> None:
    if not overwrite and os.path.lexists(target):
        msg = f"{target}: another file exists already; --overwrite replaces it"
        raise PathExists(msg)


def _finish(part: Path, target: Path, modified: int, overwrite: bool) -> None:
    """Give a whole file its name, and the time of change that the server says."""
    if modified:
        os.utime(part, (modified, modified))
    flush(part)
    replace(part, target, overwrite)
