"""Checksums of the files of a Zarr archive, by name: a chunk that is lost or exchanged is noticed.

Zarr takes a chunk that is not there for the fill value, and a chunk that is another's for this one's.
A file `.checksums` in the archive has the size and checksum of every other file; each is compared
whenever it is read. Without it (another program rewrote the store, and dropped it) nothing is.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from neuroarrays.errors import FormatError
from neuroarrays.files import safety, state
from neuroarrays.files.headers import CHECKSUMS
from neuroarrays.files.location import Location
from neuroarrays.files.zarr import ZarrSource

NAME = CHECKSUMS
_MAGIC = b"neuroarrays sums 1\n"
#: Bytes of the list that a file of the store may take, and that it may take for all.
_EACH, _LEAST = 2048, 1 << 16
#: Name -> bytes and checksum of a file.
Sums = dict[str, tuple[int, int]]
_sums: state.Cache[Sums | None] = state.Cache(
    256 << 20, lambda sums: 256 * (1 + len(sums or ())) + state.ENTRY
)


def write(store: Path) -> None:
    """Write the checksums of all files that are in a finished store."""
    sums: dict[str, tuple[int, int]] = {}
    for folder, _, names in os.walk(store):
        for name in names:
            file = Path(folder, name)
            raw = file.read_bytes()
            sums[file.relative_to(store).as_posix()] = len(raw), zlib.crc32(raw)
    packed = zlib.compress(json.dumps(sums, separators=(",", ":")).encode(), 6)
    (store / NAME).write_bytes(_MAGIC + zlib.crc32(packed).to_bytes(4, "little") + packed)


@dataclass(frozen=True)
class SummedSource(ZarrSource):
    """A Zarr archive, of which every file that is read is compared with its checksum."""

    def check_bytes(self, name: str, raw: bytes | None) -> None:
        sums = _sums.get_or_make((self.location, self.stamp), self._sums)
        if sums is None or name == NAME or self.folder().is_covered(name):
            return
        actual = None if raw is None else (len(raw), zlib.crc32(raw))
        if sums.get(name) != actual:
            what = "nothing" if raw is None else "others (their checksum differs)"
            raise FormatError(
                f"{self.path}/{name}",
                "",
                "the bytes that were saved",
                what,
                "the archive is damaged or was not copied whole; if another program changed it on "
                f"purpose, delete {NAME} in it",
            )

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
            most = _LEAST + _EACH * len(folder.files) if folder.complete else safety.WHOLE
            text = zlib.decompressobj().decompress(packed, most)
            return {name: (int(size), int(sum_)) for name, (size, sum_) in json.loads(text).items()}
        except (ValueError, TypeError, AttributeError, zlib.error) as error:
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
