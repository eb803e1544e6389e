"""A store for the library zarr that only reads the files that existed on opening, and checks them.

Links and FIFOs in the place of a chunk are refused. A file that has changed or is gone is an error,
because Zarr reads a missing chunk as the fill value. A chunk that would become too large is refused
before it is unpacked.
"""

from __future__ import annotations

import asyncio
import bz2
import lzma
import struct
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Self

from zarr.abc.store import (
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import default_buffer_prototype

from neuroarrays.errors import FormatError
from neuroarrays.files import safety
from neuroarrays.files.location import Folder

#: The most bytes that a packed byte can become; blosc, lz4 and zstd state the size in a header.
_MOST = {"gzip": 1032, "zlib": 1032, "bz2": 1 << 20, "lzma": 1 << 20}


class CheckedStore(Store):
    """A read-only store that compares every file with its stamp from when the store was opened.

    Parameters
    ----------
    folder : Folder
        The files, as they were when the store was opened.
    check : callable
        Called with the name and bytes of each file that is read; None for a file that does not exist.
    """

    supports_writes = supports_deletes = False
    supports_listing = True

    def __init__(self, folder: Folder, check: Callable[[str, bytes | None], None]):
        super().__init__(read_only=True)
        self.folder, self.check = folder, check
        #: Array -> name of the compression that is undone first, and bytes of an unpacked chunk.
        self.packings: dict[str, tuple[str, int]] = {}

    def with_read_only(self, read_only: bool = False) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.folder, self.check)

    def bytes_of(self, key: str, byte_range: Any = None) -> bytes | None:
        """Return the bytes of a file; None if it does not exist."""
        key = key.strip("/")
        start, size = _range(byte_range, self.folder, key)
        raw = self.folder.read(key, start, size)
        if raw is None:
            self.check(key, None)
        elif byte_range is None:
            self.check(key, raw)
            array = next((above for above in _above(key) if above in self.packings), None)
            if array is not None and key.rpartition("/")[2] not in _METADATA:
                check_packed(raw, self.packings[array], f"{self.folder.path}/{key}")
        return raw

    async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
        raw = await asyncio.to_thread(self.bytes_of, key, byte_range)
        buffers = prototype or default_buffer_prototype()
        return None if raw is None else buffers.buffer.from_bytes(raw)

    def get_sync(self, key: str, *, prototype: Any = None, byte_range: Any = None) -> Any:
        """Do the same as `get`; zarr calls this from version 3.1.6 on."""
        raw = self.bytes_of(key, byte_range)
        buffers = prototype or default_buffer_prototype()
        return None if raw is None else buffers.buffer.from_bytes(raw)

    async def get_partial_values(self, prototype: Any, key_ranges: Any) -> list[Any]:
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        return self.folder.has(key.strip("/"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CheckedStore) and other.folder is self.folder

    __hash__ = Store.__hash__

    async def list(self) -> AsyncIterator[str]:
        for name in self.folder.files:
            yield name

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        for name in self.folder.files:
            if name.startswith(prefix):
                yield name

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        for name in self.folder.names(prefix.strip("/")):
            yield name

    async def set(self, key: str, value: Any) -> None:
        raise self._refused()

    async def delete(self, key: str) -> None:
        raise self._refused()

    def _refused(self) -> FormatError:
        """Return the error for a write."""
        return FormatError(self.folder.path, "", "nothing to be written", "a write")


_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup")


def _above(key: str) -> list[str]:
    """Return the folders that a file is in, the innermost first."""
    parts = key.split("/")
    return ["/".join(parts[:i]) for i in range(len(parts) - 1, -1, -1)]


def _range(byte_range: Any, folder: Folder, name: str) -> tuple[int, int | None]:
    """Return the first byte and the number of bytes of a request; None as the number reads to the end."""
    if isinstance(byte_range, RangeByteRequest):
        return byte_range.start, max(0, byte_range.end - byte_range.start)
    if isinstance(byte_range, OffsetByteRequest):
        return byte_range.offset, None
    if isinstance(byte_range, SuffixByteRequest):
        return -byte_range.suffix, None
    return 0, None


def outer_packing(codecs: Sequence[Mapping[str, Any]]) -> str:
    """Return the name of the compression to undo first; "" if chunks are not compressed."""
    for codec in reversed(codecs):
        name = str(codec.get("id") or codec.get("name") or "").removeprefix("numcodecs.")
        if name not in ("crc32c", "crc32", "adler32", "fletcher32", "jenkins_lookup3"):
            return name
    return ""


def check_packed(raw: bytes, packing: tuple[str, int], path: str) -> None:
    """Refuse a packed chunk that becomes larger than an unpacked one and `ALWAYS_ALLOWED`.

    Raises
    ------
    FormatError
        Before anything large is unpacked.
    """
    name, nbytes = packing
    allowed = max(2 * nbytes, safety.SMALL)
    unpacked = 0
    if name == "blosc" and len(raw) >= 16:
        unpacked = int(struct.unpack_from("<I", raw, 4)[0])
    elif name == "lz4" and len(raw) >= 4:
        unpacked = int(struct.unpack_from("<I", raw)[0])
    elif name == "zstd":
        unpacked = _zstd_size(raw, allowed)
    elif name in _MOST and _MOST[name] * len(raw) > allowed:
        unpacked = _unpacked_size(name, raw, allowed)
    if unpacked > allowed:
        raise FormatError(
            path,
            "",
            f"a chunk of at most {allowed:,} bytes",
            f"one of {unpacked:,}, packed",
            "it is damaged or made to exhaust memory",
        )


def _zstd_size(raw: bytes, allowed: int) -> int:
    """Return the unpacked size of a chunk in bytes, counted up to a little more than is allowed."""
    import zstandard

    try:
        size: int = zstandard.frame_content_size(raw)
        if size >= 0:
            return size
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(raw)
        total = 0
        while total <= allowed and (piece := reader.read(1 << 20)):
            total += len(piece)
        return total
    except zstandard.ZstdError:
        return 0  # damaged: zarr raises the error


def _unpacked_size(name: str, raw: bytes, allowed: int) -> int:
    """Unpacked size of a chunk in bytes, counted up to a little more than is allowed."""
    decompressors: dict[str, Any] = {
        "gzip": lambda: zlib.decompressobj(31),
        "zlib": lambda: zlib.decompressobj(),
        "bz2": bz2.BZ2Decompressor,
        "lzma": lzma.LZMADecompressor,
    }
    decompressor, total, data = decompressors[name](), 0, raw
    try:
        while total <= allowed:
            piece = decompressor.decompress(data, 1 << 20)
            total += len(piece)
            data = getattr(decompressor, "unconsumed_tail", b"")
            if not piece or decompressor.eof:
                break
    except (zlib.error, OSError, EOFError, lzma.LZMAError):
        return 0  # damaged: zarr raises the error
    return total
