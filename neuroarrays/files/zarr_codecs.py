"""Decode chunks of Zarr v3 without the library zarr, and check their checksums."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from neuroarrays.errors import required
from neuroarrays.files import safety

#: Bytes of a checksum.
CRC_BYTES = 4


def crc32c(raw: bytes) -> bytes:
    """Return the checksum that the codec `crc32c` appends to a chunk, 4 bytes.

    Raises
    ------
    MissingDependency
        If google-crc32c, which zarr uses too, is not installed.
    """
    google_crc32c = required("google_crc32c", "zarr", "checksums of a Zarr store", package="zarr")
    number: int = google_crc32c.value(raw)
    return number.to_bytes(CRC_BYTES, "little")


class Decoder:
    """Decoder of chunks: zstd or gzip, checksums, and bytes in big- or little-endian order.

    Parameters
    ----------
    codecs : sequence of mapping
        The codecs in the metadata of an array.
    nbytes : int, optional
        Bytes of a decoded chunk; None for text, which may have any number.

    Raises
    ------
    ValueError
        If there are other codecs, which only the library zarr decodes.
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
        """Return a decompressor for the chunks of a read, one after another; None if none is needed.

        Making one takes as long as decoding a small chunk.
        """
        if "zstd" not in self.steps:
            return None
        import zstandard

        return zstandard.ZstdDecompressor()

    def undo(self, raw: bytes, unpacker: Any) -> bytes:
        """Decode a chunk to the bytes of its values.

        Parameters
        ----------
        raw : bytes
            The chunk as it is stored.
        unpacker : object
            The decompressor from `unpacker`, which only one thread uses.

        Raises
        ------
        ValueError
            If the chunk is damaged, or has another number of bytes than expected.
        """
        for step in self.steps:
            if step == "crc32c":
                raw, checksum = raw[:-CRC_BYTES], raw[-CRC_BYTES:]
                if crc32c(raw) != checksum:
                    msg = "a chunk whose checksum differs"
                    raise ValueError(msg)
            elif step == "gzip":
                decompressor = zlib.decompressobj(31)
                try:
                    raw = decompressor.decompress(raw, self._most)
                except zlib.error as error:
                    raise ValueError(str(error)) from error
                if not decompressor.eof:
                    msg = "a chunk that is cut short, or larger than it may be"
                    raise ValueError(msg)
            else:
                raw = _from_zstd(raw, self._most, unpacker)
        if self.nbytes is not None and len(raw) != self.nbytes:
            msg = f"a chunk of {len(raw):,} bytes where {self.nbytes:,} are expected"
            raise ValueError(msg)
        return raw


def _from_zstd(raw: bytes, most: int, unpacker: Any) -> bytes:
    """Decompress zstd; more than `most` bytes are refused."""
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
