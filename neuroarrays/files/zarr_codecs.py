"""The bytes of chunks of Zarr v3: what is undone without the library zarr, and checksums."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from neuroarrays.errors import MissingDependency
from neuroarrays.files import safety

#: Bytes of a checksum.
CRC_BYTES = 4


def crc32c(raw: bytes) -> bytes:
    """The checksum that the codec `crc32c` puts behind a chunk, 4 bytes.

    Raises
    ------
    MissingDependency
        If what zarr computes it with is not installed.
    """
    try:
        import google_crc32c
    except ImportError as error:
        raise MissingDependency("zarr", "zarr", "checksums of a Zarr store") from error
    number: int = google_crc32c.value(raw)
    return number.to_bytes(CRC_BYTES, "little")


class Decoder:
    """Undoes the codecs of a chunk: zstd or gzip, checksums, bytes in an order.

    Parameters
    ----------
    codecs : sequence of mapping
        As the metadata of an array state them.
    nbytes : int, optional
        Bytes of a chunk when it is undone; None for text, which has any number.

    Raises
    ------
    ValueError
        On codecs that are left to the library zarr.
    """

    def __init__(self, codecs: Sequence[Mapping[str, Any]], nbytes: int | None):
        names = [str(codec.get("name")) for codec in codecs]
        settings: Mapping[str, Any] = codecs[0].get("configuration") or {} if codecs else {}
        order = settings.get("endian", "little")
        if names[:1] != ["bytes"] or set(names[1:]) - {"zstd", "gzip", "crc32c"}:
            msg = "other codecs"
            raise ValueError(msg)
        self.order: Literal[">", "<"] = ">" if order == "big" else "<"
        self.nbytes, self.steps = nbytes, names[:0:-1]
        self._most = CRC_BYTES + (safety.WHOLE if nbytes is None else nbytes)

    def unpacker(self) -> Any:
        """What unpacks the chunks of one read one after another; making it takes as long as a small chunk."""
        if "zstd" not in self.steps:
            return None
        import zstandard

        return zstandard.ZstdDecompressor()

    def undo(self, raw: bytes, unpacker: Any) -> bytes:
        """The bytes of the values of a chunk, of a known number.

        Parameters
        ----------
        raw : bytes
            The chunk as it is stored.
        unpacker : object
            Of `unpacker`, used by one thread.

        Raises
        ------
        ValueError
            If the chunk is damaged, or becomes another number of bytes.
        """
        for step in self.steps:
            if step == "crc32c":
                raw, checksum = raw[:-CRC_BYTES], raw[-CRC_BYTES:]
                if crc32c(raw) != checksum:
                    msg = "a chunk whose checksum differs"
                    raise ValueError(msg)
            elif step == "gzip":
                machine = zlib.decompressobj(31)
                try:
                    raw = machine.decompress(raw, self._most)
                except zlib.error as error:
                    raise ValueError(str(error)) from error
                if not machine.eof:
                    msg = "a chunk that is cut short, or larger than it may be"
                    raise ValueError(msg)
            else:
                raw = _from_zstd(raw, self._most, unpacker)
        if self.nbytes is not None and len(raw) != self.nbytes:
            msg = f"a chunk of {len(raw):,} bytes where {self.nbytes:,} are expected"
            raise ValueError(msg)
        return raw


def _from_zstd(raw: bytes, most: int, unpacker: Any) -> bytes:
    """Unpacked bytes, which may not be more than so many."""
    import zstandard

    try:
        size = zstandard.frame_content_size(raw)
        if size > most:
            msg = f"a chunk of {size:,} bytes, packed, where at most {most:,} are expected"
            raise ValueError(msg)
        unpacked: bytes = unpacker.decompress(raw, max_output_size=most)
        return unpacked
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
