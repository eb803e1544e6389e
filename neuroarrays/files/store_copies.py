"""Copy remote Zarr stores file by file, many files at a time; a copy gets its name when it is complete.

DANDI lists the files of a store with their sizes and MD5s. A plain web server lists none. There the
consolidated metadata tell which files may exist, and a chunk without a file has only fill values.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from neuroarrays.errors import FormatError, PathExists, many
from neuroarrays.files import addresses, dandi, digests, network, partials, state
from neuroarrays.files.folders import MAX_FILES
from neuroarrays.files.headers import CHECKSUMS
from neuroarrays.files.location import Location
from neuroarrays.files.prefixes import base_of
from neuroarrays.files.remote_file import failure
from neuroarrays.files.responses import NetworkError, Response
from neuroarrays.files.writing import flush, replace

#: Bytes of one request.
_PIECE = 16 << 20
#: Name of the thread pool that copies files.
_THREADS = "copies"


@dataclass
class Copied:
    """The result of copying a store.

    Attributes
    ----------
    is_new : bool
        Whether the store was copied; False if the copy existed already.
    resumed : int
        Bytes of files that an earlier, interrupted copy had written.
    missing : int
        Number of chunk files that the server does not have.
    arrived : int
        Bytes of all files that are copied so far.
    lock : Lock
        Held to change these numbers.
    """

    is_new: bool = True
    resumed: int = 0
    missing: int = 0
    arrived: int = 0
    lock: state.Lock = field(default_factory=state.Lock, repr=False)

    @property
    def note(self) -> str:
        """A remark for the user; "" if there is none."""
        if not self.missing:
            return ""
        return (
            f"{many(self.missing, 'file')} of chunks not on the server, which Zarr reads as "
            "fill values"
        )


def copy(source: Location, target: Path, overwrite: bool, tell: Callable[[int], None]) -> Copied:
    """Copy a Zarr store to a folder.

    Parameters
    ----------
    source : Location
        An asset of DANDI, or the root of a store with consolidated metadata on a server of http(s).
    target : path
        The folder.
    overwrite : bool
        Whether to replace a different folder of this name.
    tell : callable
        Called with the number of bytes that have arrived.

    Raises
    ------
    PathExists
        If something else is there.
    FormatError
        If a file cannot be read, or differs from its MD5.
    OSError
        If it cannot be written.
    """
    stamp = source.folder_stamp()
    files = _files(source)
    report = Copied()
    if _is_there(target, files, source):
        report.is_new = False
        return report
    if not overwrite and os.path.lexists(target):
        msg = f"{target}: another folder exists already; --overwrite replaces it"
        raise PathExists(msg)
    work = target.with_name(f".{target.name[:100]}.{stamp[0]:016x}.fetched.part")
    whole = work / "whole"
    whole.mkdir(parents=True, exist_ok=True)
    base = base_of(source)

    def copy_file(name: str) -> None:
        """Copy a file and report how many bytes have arrived."""
        _copy_file(source, addresses.child(base, name), whole / name, files[name], report)
        with report.lock:
            tell(report.arrived)

    with partials.locked(work, target):
        for _ in network.side_by_side(copy_file, list(files), _THREADS):
            pass
        if source.folder_stamp() != stamp:
            expected = "the store as it was when the copy began"
            raise FormatError(source.as_given, "", expected, "another one", "fetch it again")
        flush(whole)
        replace(whole, target, overwrite)
        shutil.rmtree(work, ignore_errors=True)
    return report


def _files(source: Location) -> dict[str, Response | None]:
    """Return name -> stated size and MD5 of each file of a store; None if they are not stated."""
    failed = None
    try:
        if source.address.startswith("dandi://"):
            names: dict[str, Response | None] = dict(dandi.store_files(source.address.rstrip("/")))
        else:
            documents = source.folder(source.folder_stamp()).files
            names = dict.fromkeys([*documents, CHECKSUMS, *_chunks_of(source)])
    except NetworkError as error:
        failed = error
    if failed is not None:
        raise failure(source, failed)
    for name in names:
        parts = name.split("/")
        if any(part in ("", ".", "..") or set(part) & set("\\:\0") for part in parts):
            raise FormatError(
                source.as_given, name, "a file in this store", "a name that leads out of it"
            )
    return names


def _chunks_of(source: Location) -> Iterator[str]:
    """Yield the names of all chunk files that a store may have, from its consolidated metadata."""
    folder, count = source.folder(source.folder_stamp()), 0
    for name in folder.files:
        path, _, kind = name.rpartition("/")
        meta = folder.document(name) if kind in ("zarr.json", ".zarray") else None
        if meta is None or "shape" not in meta:
            continue
        try:
            files = chunk_files(meta)
            count += math.prod(len(axis) for axis in files.axes)
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            words = f"{type(error).__name__}: {error}"
            raise FormatError(source.as_given, path, "the metadata of an array", words) from error
        if count > MAX_FILES:
            raise FormatError(source.as_given, "", f"at most {MAX_FILES:,} files", "more")
        yield from (f"{path}/{file}".lstrip("/") for file in files)


@dataclass(frozen=True)
class ChunkFiles:
    """Names of the chunk files of an array: the numbers along each axis, and how they are joined."""

    axes: tuple[range, ...]
    separator: str
    start: str

    def __iter__(self) -> Iterator[str]:
        for numbers in product(*self.axes):
            key = self.separator.join([*filter(None, [self.start]), *map(str, numbers)])
            yield key or "0"


def chunk_files(meta: Mapping[str, Any]) -> ChunkFiles:
    """Return the chunk files of an array from its metadata, of format 2 or 3.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the metadata are not those of an array.
    """
    if meta["zarr_format"] == 2:
        chunks, separator, start = meta["chunks"], meta.get("dimension_separator") or ".", ""
    else:
        keys = meta["chunk_key_encoding"]
        is_default = keys["name"] == "default"
        chunks = meta["chunk_grid"]["configuration"]["chunk_shape"]
        separator = (keys.get("configuration") or {}).get("separator", "/" if is_default else ".")
        start = "c" if is_default else ""
    axes = tuple(range(-(-int(n) // int(c))) for n, c in zip(meta["shape"], chunks, strict=True))
    return ChunkFiles(axes, str(separator), start)


def _copy_file(
    source: Location, address: str, path: Path, stated: Response | None, report: Copied
) -> None:
    """Copy a file, unless an interrupted copy has written it already."""
    if path.is_file() and _fits(path, stated):
        with report.lock:
            report.resumed += path.stat().st_size
            report.arrived += path.stat().st_size
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    failed = None
    try:
        response = _whole(address, beside)
    except NetworkError as error:
        failed = error
    if failed is not None:
        beside.unlink(missing_ok=True)
        if failed.kind == "missing" and stated is None:
            with report.lock:
                report.missing += path.name not in _DOCUMENTS
            return
        raise failure(source.child(path.name), failed)
    if stated is not None and not _fits(beside, stated):
        beside.unlink()
        expected = "a file of the size and MD5 that are stated"
        file = source.child(path.name)
        raise FormatError(file.as_given, "", expected, "another one", "fetch it again")
    if response.modified:
        os.utime(beside, (response.modified, response.modified))
    os.replace(beside, path)
    with report.lock:
        report.arrived += response.size


_DOCUMENTS = ("zarr.json", ".zgroup", ".zarray", ".zattrs", ".zmetadata", CHECKSUMS)


def _whole(address: str, path: Path) -> Response:
    """Write the content of a remote file; all of it is of one version."""
    with open(path, "wb") as out:
        try:
            response = network.first(address, _PIECE)
        except NetworkError as error:
            if error.kind != "empty":
                raise
            return Response(b"", 0, "", 0, address)
        out.write(response.data)
        for start in range(len(response.data), response.size, _PIECE):
            count = min(_PIECE, response.size - start)
            out.write(network.get(response.address, start, count, response.tag).data)
    return response


def _fits(path: Path, stated: Response | None) -> bool:
    """Whether a file has the stated size and MD5; True if they are not stated."""
    if stated is None:
        return True
    digest = digests.from_etag(stated.tag)
    return path.stat().st_size == stated.size and (digest is None or digest.fits(path))


def _is_there(target: Path, files: Mapping[str, Response | None], source: Location) -> bool:
    """Whether a folder is this store, by sizes and MD5s, or by its metadata if those are not stated."""
    if not target.is_dir():
        return False
    folder = source.folder(source.folder_stamp())
    for name, stated in files.items():
        path = target / name
        if stated is None and name not in ("zarr.json", ".zmetadata"):
            continue
        if stated is None and not folder.has(name):
            continue
        if not path.is_file() or not _fits(path, stated):
            return False
        if stated is None and json.loads(path.read_bytes()) != folder.document(name):
            return False
    return True
