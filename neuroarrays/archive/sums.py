"""Checksums of the files of a Zarr archive, by name: a chunk that is lost or exchanged is noticed.

Zarr takes a chunk that is not there for the fill value, and a chunk that is another's for this one's.
A file `.checksums` in the archive has the size and checksum of every other file, and of the parts of those that
hold many chunks; each is compared whenever it is read. It also holds the content of small coordinates, so that
opening an archive behind an address does not ask for each of them. Without it (another program rewrote the store, and dropped it) nothing is.
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
#: Bytes of a file whose content stands in the list, and of all of these files.
_KEPT, _KEPT_OF_ALL = 1 << 16, safety.SMALL
#: Bytes of the list that a file of the store may take (its content is there as text), and that it takes for all.
_EACH, _LEAST = 2 * _KEPT, 1 << 16
_sums: state.Cache[tuple[Sums | None]] = state.Cache(
    256 << 20, lambda known: state.ENTRY + (0 if known[0] is None else known[0].nbytes)
)


def write(store: Path, metadata: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the checksums of all files that are in a finished store.

    Parameters
    ----------
    store : Path
        The store.
    metadata : mapping
        Path of each array and group -> its metadata.
    """
    files: dict[str, list[Any]] = {}
    kept: dict[str, str] = {}
    room = _KEPT_OF_ALL
    arrays = {path: meta for path, meta in metadata.items() if meta["node_type"] == "array"}
    array_of: dict[str, str] = {}  # folder of chunks -> path of its array
    for folder, below, names in os.walk(store):
        inner = os.path.relpath(folder, store).replace(os.sep, "/")
        path = inner if inner in arrays else array_of.get(inner, "")
        if path:
            array_of |= {f"{inner}/{name}": path for name in below}
        for name in names:
            raw = Path(folder, name).read_bytes()
            file = f"{inner}/{name}".removeprefix("./")
            files[file] = [len(raw), zlib.crc32(raw)]
            if not path or name == META:
                continue
            if arrays[path]["codecs"][0]["name"] == "sharding_indexed":
                files[file] += _of_chunks(raw, arrays[path])
            elif _is_read_on_opening(path, arrays[path]) and len(raw) <= min(_KEPT, room):
                kept[file] = base64.b64encode(raw).decode()
                room -= len(raw)
    content = json.dumps({"files": files, "kept": kept}, separators=(",", ":"))
    packed = zlib.compress(content.encode(), 6)
    (store / NAME).write_bytes(_MAGIC + zlib.crc32(packed).to_bytes(4, "little") + packed)


def _of_chunks(raw: bytes, meta: Mapping[str, Any]) -> list[Any]:
    """The checksum of the index of a file of chunks, and those that chunks end with where they are not packed.

    Packed chunks have a checksum in them, and an index of its own: files that were exchanged are noticed.
    """
    settings = meta["codecs"][0]["configuration"]
    whole = meta["chunk_grid"]["configuration"]["chunk_shape"]
    count = math.prod(n // c for n, c in zip(whole, settings["chunk_shape"], strict=True))
    table = raw[: 16 * count + CRC_BYTES]
    known: list[Any] = [zlib.crc32(table)]
    if settings["codecs"][-1]["name"] == "crc32c":
        index = np.frombuffer(table, "<u8", 2 * count).reshape(-1, 2)
        ends = [0 if n > len(raw) else int(begin + n) for begin, n in index.tolist()]
        trailers = b"".join(raw[end - CRC_BYTES : end] if end else bytes(CRC_BYTES) for end in ends)
        known.append(base64.b64encode(trailers).decode())
    return known


def _is_read_on_opening(path: str, meta: Mapping[str, Any]) -> bool:
    name = path.rpartition("/")[2]
    return meta.get("dimension_names") == [name] or name == schema.ROW_SIZE


@dataclass(frozen=True)
class Sums:
    """What is known of the files of an archive.

    Attributes
    ----------
    files : dict
        Name -> bytes and checksum of a file; of one of several chunks, the checksum of their index too, and
        those that its chunks end with.
    kept : dict
        Name -> content of the files of small coordinates, which opening reads.
    """

    files: dict[str, list[Any]]
    kept: dict[str, bytes]

    @property
    def nbytes(self) -> int:
        """About how many bytes it takes."""
        return 256 * (1 + len(self.files)) + sum(map(len, self.kept.values()))


@dataclass(frozen=True)
class SummedSource(ZarrSource):
    """A Zarr archive, of which everything that is read is compared with its checksum."""

    def fetch(self, parts: Sequence[tuple[str, int, int | None]]) -> list[bytes | None]:
        sums = self._known()
        kept = {} if sums is None or self.folder().complete else sums.kept
        asked_for = [part for part in parts if part[2] is not None or part[0] not in kept]
        answers = iter(super().fetch(asked_for) if asked_for else [])
        return [
            kept[part[0]] if part[2] is None and part[0] in kept else next(answers)
            for part in parts
        ]

    def not_known(self, files: list[str]) -> list[str]:
        sums = self._known()
        return [name for name in files if sums is None or name not in sums.kept]

    def check_bytes(self, name: str, raw: bytes | None) -> None:
        sums = self._known()
        if sums is None or name == NAME or self.folder().is_covered(name):
            return
        actual = None if raw is None else [len(raw), zlib.crc32(raw)]
        known = sums.files.get(name)
        if (known if known is None else known[:2]) != actual:
            self._refuse(name, "nothing" if raw is None else "others (their checksum differs)")

    def check_part(self, name: str, number: int | None, raw: bytes) -> None:
        sums = self._known()
        if sums is None:
            return
        known = sums.files.get(name, [])[2:]
        if number is None:
            intact = known[:1] == [zlib.crc32(raw)]
        else:
            at = CRC_BYTES * number
            trailers = base64.b64decode(known[1])[at : at + CRC_BYTES] if len(known) > 1 else b""
            intact = raw.endswith(trailers)
        if not intact:
            self._refuse(name, "others (their checksum differs)")

    def _refuse(self, name: str, what: str) -> NoReturn:
        raise FormatError(
            f"{self.path}/{name}",
            "",
            "the bytes that were saved",
            what,
            "the archive is damaged or was not copied whole; if another program changed it on "
            f"purpose, delete {NAME} in it",
        )

    def _known(self) -> Sums | None:
        return _sums.get_or_make((self.location, self.stamp), lambda: (self._sums(),))[0]

    def _sums(self) -> Sums | None:
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
                most = min(most, _LEAST + _EACH * len(folder.files))
            text = zlib.decompressobj().decompress(packed, most)
            content = json.loads(text)
            kept = {name: base64.b64decode(raw) for name, raw in content["kept"].items()}
            return Sums({name: list(known) for name, known in content["files"].items()}, kept)
        except (ValueError, TypeError, AttributeError, KeyError, zlib.error) as error:
            raise FormatError(
                f"{self.path}/{NAME}",
                "",
                "a list of checksums",
                str(error),
                "the archive is damaged",
            ) from error


def summed_source(location: Location) -> SummedSource:
    """The source of a Zarr archive, whose own metadata are compared."""
    source = SummedSource(location, location.folder_stamp())
    source.check_bytes("zarr.json", source.folder().read("zarr.json"))
    return source
