"""Sidecars: files in the user's cache folder with what openings read of remote files.

A sidecar has the ranges that were read and the tag of the remote file. It is used only if the server
says that the file still has this tag. A damaged sidecar is ignored. Nothing secret is in a sidecar,
and nothing is written to any other place.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import zlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from neuroarrays.files.byte_ranges import ByteRanges
from neuroarrays.files.remote_file import Version, is_below

if TYPE_CHECKING:
    from neuroarrays.files.location import Location, Stamp

#: Environment variable with the folder or "off"; the most bytes of all sidecars, and of one, unpacked.
FOLDER, LIMIT, LARGEST = "NEUROARRAYS_CACHE", 1 << 30, 64 << 20
_MAGIC, _SUFFIX = b"neuroarrays sidecar 2\n", ".sidecar"
#: Largest gap, in bytes, between two ranges that are stored as one.
_GAP = 64


def folder(kind: str = "remote") -> Path | None:
    """The folder for sidecars, or for another kind of cached files; None if caching is off."""
    chosen = os.environ.get(FOLDER, "")
    if chosen.lower() in ("off", "0", "no", "false"):
        return None
    if chosen:
        top = Path(chosen).expanduser()
        return top if kind == "remote" else top / kind
    try:
        import platformdirs
    except ImportError:
        return None
    return Path(platformdirs.user_cache_dir("neuroarrays", appauthor=False)) / kind


def load(path: str) -> Version | None:
    """Load the sidecar of an address; None if there is none, or it is damaged.

    Parameters
    ----------
    path : str
        The address, without secrets.
    """
    unpacked = _unpacked_at(path)
    if unpacked is None:
        return None
    stamp, tag, ranges = unpacked
    version = Version(stamp, tag, "", partial(_reloaded, path, stamp, tag))
    version.hold(ranges)
    return version


def _reloaded(path: str, stamp: Stamp, tag: str) -> ByteRanges:
    """Return the ranges in the sidecar of a known file; none if it is gone or has changed."""
    unpacked = _unpacked_at(path)
    return unpacked[2] if unpacked is not None and unpacked[:2] == (stamp, tag) else ByteRanges()


def _unpacked_at(path: str) -> tuple[Stamp, str, ByteRanges] | None:
    """Return stamp, tag and ranges in the sidecar of an address; None if it is missing or damaged."""
    file = _file(path)
    try:
        raw = file.read_bytes() if file is not None else b""
    except OSError:
        return None
    if file is None or not raw.startswith(_MAGIC):
        return None
    try:
        unpacked = _unpacked(raw, path)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    with contextlib.suppress(OSError):
        os.utime(file)  # Sidecars that were not used for the longest time are deleted first.
    return unpacked


def keep(location: Location, version: Version) -> None:
    """Write the ranges that this and earlier openings read to the sidecar; failures are ignored."""
    touched, version.touched = version.touched, []
    identity = version.strong or version.stamp[2]
    file = _file(location.path)
    if not touched or not identity:
        return
    file_of_version = location.open(version.stamp)
    known_ranges = version.kept
    spans = [(s, len(p)) for s, p in zip(known_ranges.starts, known_ranges.pieces, strict=True)]
    starts, pieces = [], []
    for start, count in _joined([*touched, *spans]):
        starts.append(start)
        pieces.append(file_of_version.read(start, count))
    ranges = ByteRanges(starts, pieces)
    if ranges.nbytes > LARGEST:
        return
    version.reload = partial(_reloaded, location.path, version.stamp, version.tag)
    version.hold(ranges)
    if file is not None:
        with contextlib.suppress(OSError):
            _write(file, _packed(location.path, version, ranges))
            _bound(file.parent)


def every() -> list[tuple[Path, str, int]]:
    """List every sidecar: its file, the address of the remote file, and its size in bytes."""
    top = folder()
    files = [] if top is None or not top.is_dir() else sorted(top.glob(f"*{_SUFFIX}"))
    described = []
    for file in files:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            with open(file, "rb") as content:
                content.readline(), content.readline()
                path = json.loads(content.readline())["path"]
            described.append((file, str(path), file.stat().st_size))
    return described


def size_of(path: str) -> int:
    """Return the size, in bytes, of the sidecars of all files at an address and below it."""
    return sum(size for _, address, size in every() if is_below(address, path))


def clear() -> int:
    """Delete all sidecars, and return their number."""
    top, count = folder(), 0
    for file in [] if top is None or not top.is_dir() else top.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            file.unlink()
            count += 1
    return count


def _file(path: str) -> Path | None:
    """The sidecar of an address, whether it exists or not; None if caching is off."""
    top = folder()
    name = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:40]
    return None if top is None else top / f"{name}{_SUFFIX}"


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges in order; those that touch, or nearly touch, are joined."""
    spans: list[list[int]] = []
    for start, count in sorted(ranges):
        if spans and start <= spans[-1][1] + _GAP:
            spans[-1][1] = max(spans[-1][1], start + count)
        else:
            spans.append([start, start + count])
    return [(start, stop - start) for start, stop in spans]


def _packed(path: str, version: Version, ranges: ByteRanges) -> bytes:
    """Return the content of a sidecar: magic line, checksum, a line of JSON, and the packed ranges."""
    data = b"".join(ranges.pieces)
    head = {
        "path": path,
        "tag": version.tag,
        "stamp": list(version.stamp),
        "starts": ranges.starts,
        "counts": [len(piece) for piece in ranges.pieces],
    }
    import zstandard

    packed = zstandard.ZstdCompressor(level=3).compress(data)
    line = json.dumps(head, separators=(",", ":")).encode()
    return _MAGIC + b"%08x\n" % zlib.crc32(data, zlib.crc32(line)) + line + b"\n" + packed


def _unpacked(raw: bytes, path: str) -> tuple[Stamp, str, ByteRanges]:
    """Return the stamp, tag and ranges in the content of a sidecar, after checking it."""
    import zstandard

    checksum, _, rest = raw[len(_MAGIC) :].partition(b"\n")
    line, _, packed = rest.partition(b"\n")
    head = json.loads(line)
    counts = [int(count) for count in head["counts"]]
    total = sum(counts)
    if head["path"] != path or total > LARGEST or min(counts, default=0) < 0:
        msg = "another sidecar"
        raise ValueError(msg)
    try:
        data = zstandard.ZstdDecompressor().decompress(packed, max_output_size=total)
    except zstandard.ZstdError as error:
        msg = "damaged"
        raise ValueError(msg) from error
    if len(data) != total or zlib.crc32(data, zlib.crc32(line)) != int(checksum, 16):
        msg = "damaged"
        raise ValueError(msg)
    pieces, offset = [], 0
    for count in counts:
        pieces.append(data[offset : offset + count])
        offset += count
    digest, size, modified = (int(number) for number in head["stamp"])
    starts = [int(start) for start in head["starts"]]
    return (digest, size, modified), str(head["tag"]), ByteRanges(starts, pieces)


def _write(file: Path, content: bytes) -> None:
    """Write a sidecar under a temporary name, and rename it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(dir=file.parent, prefix=".", suffix=".part")
    try:
        with open(descriptor, "wb") as opened:
            opened.write(content)
        os.replace(beside, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def _bound(top: Path) -> None:
    """Delete the least recently used sidecars until all together are below the limit."""
    files = []
    for file in top.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(OSError):
            status = file.stat()
            files.append((status.st_mtime, status.st_size, file))
    total = sum(size for _, size, _ in files)
    for _, size, file in sorted(files):
        if total <= LIMIT:
            return
        with contextlib.suppress(OSError):  # another process may have been first
            file.unlink()
        total -= size
