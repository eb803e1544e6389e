"""Checksums of the files of a Zarr archive, so that lost and swapped chunks are noticed.

Zarr reads a missing chunk as the fill value, and does not notice if the files of two chunks are swapped.
The file `.checksums` in an archive has the size and checksum of every other file, and of the parts of
files with many chunks. Whatever is read is compared with them. The file also contains small coordinates,
so that opening a remote archive takes no request for each of them. Without the file (another program
rewrote the store and dropped it) nothing is compared.
"""

from __future__ import annotations

import base64
import json
import math
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from neuroarrays import schema
from neuroarrays.archive.zarr_writer import META
from neuroarrays.errors import FormatError
from neuroarrays.files import safety, state
from neuroarrays.files.headers import CHECKSUMS
from neuroarrays.files.location import Location
from neuroarrays.files.zarr import ZarrSource
from neuroarrays.files.zarr_codecs import CRC_BYTES

NAME = CHECKSUMS
_MAGIC = b"neuroarrays sums 2\n"
#: Largest size of a file whose content the list contains, and of all these files together, bytes.
_INLINE, _INLINE_OF_ALL = 1 << 16, safety.SMALL
#: Largest size of the list, bytes: so many per file (content is stored as text), and so many besides.
_PER_FILE, _LEAST = 2 * _INLINE, 1 << 16
#: Checksums by location and stamp of the archive, in a tuple; (None,) for an archive without them.
_cache: state.Cache[tuple[Checksums | None]] = state.Cache(
    256 << 20, lambda entry: state.ENTRY + (0 if entry[0] is None else entry[0].nbytes)
)


def write(store: Path, metadata: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the checksums of all files in a finished store.

    Parameters
    ----------
    store : Path
        The folder of the store.
    metadata : mapping
        Path of each array and group -> its metadata.
    """
    files: dict[str, list[Any]] = {}
    contents: dict[str, str] = {}
    room = _INLINE_OF_ALL
    arrays = {path: meta for path, meta in metadata.items() if meta["node_type"] == "array"}
    array_of: dict[str, str] = {}  # folder of chunks -> path of its array
    for folder, subfolders, names in os.walk(store):
        inner = os.path.relpath(folder, store).replace(os.sep, "/")
        path = inner if inner in arrays else array_of.get(inner, "")
        if path:
            array_of |= {f"{inner}/{name}": path for name in subfolders}
        for name in names:
            raw = Path(folder, name).read_bytes()
            file = f"{inner}/{name}".removeprefix("./")
            files[file] = [len(raw), zlib.crc32(raw)]
            if not path or name == META:
                continue
            if arrays[path]["codecs"][0]["name"] == "sharding_indexed":
                files[file] += _chunk_checksums(raw, arrays[path])
            elif _is_read_on_opening(path, arrays[path]) and len(raw) <= min(_INLINE, room):
                contents[file] = base64.b64encode(raw).decode()
                room -= len(raw)
    content = json.dumps({"files": files, "kept": contents}, separators=(",", ":"))
    packed = zlib.compress(content.encode(), 6)
    (store / NAME).write_bytes(_MAGIC + zlib.crc32(packed).to_bytes(4, "little") + packed)


def _chunk_checksums(raw: bytes, meta: Mapping[str, Any]) -> list[Any]:
    """Return the checksums of the parts of a file with many chunks (a Zarr shard).

    These are the checksum of its index and, if chunks are not compressed, the checksums that they end
    with, in base64. The index differs between files, so that swapped files of compressed chunks are
    noticed by it; the chunks themselves have their own checksums.
    """
    settings = meta["codecs"][0]["configuration"]
    shard_shape = meta["chunk_grid"]["configuration"]["chunk_shape"]
    count = math.prod(n // c for n, c in zip(shard_shape, settings["chunk_shape"], strict=True))
    table = raw[: 16 * count + CRC_BYTES]
    checksums: list[Any] = [zlib.crc32(table)]
    if settings["codecs"][-1]["name"] == "crc32c":
        index = np.frombuffer(table, "<u8", 2 * count).reshape(-1, 2)
        ends = [0 if n > len(raw) else int(begin + n) for begin, n in index.tolist()]
        trailers = b"".join(raw[end - CRC_BYTES : end] if end else bytes(CRC_BYTES) for end in ends)
        checksums.append(base64.b64encode(trailers).decode())
    return checksums


def _is_read_on_opening(path: str, meta: Mapping[str, Any]) -> bool:
    """Return whether opening an archive reads the values of an array: coordinates and row sizes."""
    name = path.rpartition("/")[2]
    return meta.get("dimension_names") == [name] or name == schema.ROW_SIZE


@dataclass(frozen=True)
class Checksums:
    """The checksums of the files of an archive.

    Attributes
    ----------
    files : dict
        Name -> size (bytes) and checksum of a file; for a file with many chunks also those from
        `_chunk_checksums`.
    contents : dict
        Name -> content, for the files of small coordinates.
    """

    files: dict[str, list[Any]]
    contents: dict[str, bytes]

    @property
    def nbytes(self) -> int:
        """The approximate size in memory, bytes."""
        return 256 * (1 + len(self.files)) + sum(map(len, self.contents.values()))


@dataclass(frozen=True)
class CheckedZarrSource(ZarrSource):
    """A Zarr archive in which everything that is read is compared with its checksum."""

    def fetch(self, parts: Sequence[tuple[str, int, int | None]]) -> list[bytes | None]:
        checksums = self._checksums()
        is_local = self.folder().complete
        contents = {} if checksums is None or is_local else checksums.contents
        requested = [part for part in parts if part[2] is not None or part[0] not in contents]
        fetched = iter(super().fetch(requested) if requested else [])
        return [
            contents[name] if size is None and name in contents else next(fetched)
            for name, _, size in parts
        ]

    def not_known(self, files: list[str]) -> list[str]:
        checksums = self._checksums()
        return [name for name in files if checksums is None or name not in checksums.contents]

    def check_bytes(self, name: str, raw: bytes | None) -> None:
        checksums = self._checksums()
        if checksums is None or name == NAME or self.folder().is_covered(name):
            return
        actual = None if raw is None else [len(raw), zlib.crc32(raw)]
        expected = checksums.files[name][:2] if name in checksums.files else None
        if expected != actual:
            self._refuse(name, "nothing" if raw is None else "others (their checksum differs)")

    def check_part(self, name: str, number: int | None, raw: bytes) -> None:
        checksums = self._checksums()
        if checksums is None:
            return
        expected = checksums.files.get(name, [])[2:]
        if number is None:
            is_intact = expected[:1] == [zlib.crc32(raw)]
        else:
            trailers = base64.b64decode(expected[1]) if len(expected) > 1 else b""
            is_intact = raw.endswith(trailers[CRC_BYTES * number : CRC_BYTES * (number + 1)])
        if not is_intact:
            self._refuse(name, "others (their checksum differs)")

    def _refuse(self, name: str, found: str) -> NoReturn:
        raise FormatError(
            f"{self.path}/{name}",
            "",
            "the bytes that were saved",
            found,
            "the archive is damaged or was not copied whole; if another program changed it on "
            f"purpose, delete {NAME} in it",
        )

    def _checksums(self) -> Checksums | None:
        """Return the checksums of the archive; None if it has none."""
        return _cache.get_or_make((self.location, self.stamp), lambda: (self._read_checksums(),))[0]

    def _read_checksums(self) -> Checksums | None:
        folder = self.folder()
        raw = folder.read(NAME)
        if raw is None:
            return None
        start = len(_MAGIC) + 4
        checksum, packed = int.from_bytes(raw[start - 4 : start], "little"), raw[start:]
        try:
            if not raw.startswith(_MAGIC) or zlib.crc32(packed) != checksum:
                msg = "other bytes"
                raise ValueError(msg)
            most = safety.WHOLE
            if folder.complete:
                most = min(most, _LEAST + _PER_FILE * len(folder.files))
            text = zlib.decompressobj().decompress(packed, most)
            content = json.loads(text)
            contents = {name: base64.b64decode(raw) for name, raw in content["kept"].items()}
            return Checksums({n: list(entry) for n, entry in content["files"].items()}, contents)
        except (ValueError, TypeError, AttributeError, KeyError, zlib.error) as error:
            raise FormatError(
                f"{self.path}/{NAME}",
                "",
                "a list of checksums",
                str(error),
                "the archive is damaged",
            ) from error


def checked_source(location: Location) -> CheckedZarrSource:
    """Return the source of a Zarr archive, after comparing the checksum of its root metadata."""
    source = CheckedZarrSource(location, location.folder_stamp())
    source.check_bytes("zarr.json", source.folder().read("zarr.json"))
    return source
