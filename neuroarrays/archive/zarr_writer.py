"""Archives as Zarr v3 stores, written node by node.

The zarr library is not used because it takes 2-3 ms per array and a task per chunk, and an archive of
many sessions has tens of thousands of each. What is written is plain Zarr v3, which zarr can read:
chunks of some kB to 1 MB, many of them in one file (the codec `sharding_indexed`), and consolidated
metadata in the root.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neuroarrays.archive.encoding import Encoded, Node, encode_row_index, text_block
from neuroarrays.archive.packing import (
    GZIP_LEVEL,
    ZSTD_LEVEL,
    Block,
    Distinct,
    Packing,
    padded,
)
from neuroarrays.files import state, zarr_codecs
from neuroarrays.files.blocks import block_shape, grid

#: The file of metadata in the folder of a group or array.
META = "zarr.json"
#: Offset and size of a missing chunk in the index of a shard, as Zarr defines it.
_ABSENT = (1 << 64) - 1
#: Size of a file from which on threads save time, bytes.
_THREADED = 1 << 20

Report = Callable[[int], None]


class ZarrWriter:
    """Writes nodes into a store; `finish` then writes the consolidated metadata.

    Parameters
    ----------
    path : path
        The folder of the store; files of an interrupted save stay in it.
    compression : {"zstd", "portable", None}
        "portable" is gzip. Variables that compress too little are stored uncompressed, with a
        checksum, as are all with None.
    report : callable
        Called with the number of bytes of values that were written.
    """

    def __init__(self, path: str | os.PathLike[str], compression: str | None, report: Report):
        self.folder, self.report = Path(path), report
        self.packing = Packing(compression, shuffles=False)
        #: Folders that were created.
        self.created: set[str] = set()
        if not (self.folder / META).is_file():  # it exists if a save is resumed
            self._group("", {})

    def node(self, node: Node) -> None:
        """Write a node and its values; Zarr has no links, so each name of an array has its own copy."""
        self._group(node.path, node.attrs)
        for encoded in node.variables:
            self._variable(encoded)

    def finish(self) -> dict[str, dict[str, Any]]:
        """Write the metadata of all nodes into the root, and return them by path."""
        metadata: dict[str, dict[str, Any]] = {}
        for folder, subfolders, _ in os.walk(self.folder):
            subfolders.sort()
            content = json.loads(Path(folder, META).read_bytes())
            metadata[Path(folder).relative_to(self.folder).as_posix()] = content
            if content["node_type"] == "array":
                subfolders.clear()  # folders of chunks have no metadata
        root = metadata.pop(".")
        consolidated = {"kind": "inline", "must_understand": False, "metadata": metadata}
        self._put(META, _packed_json(root | {"consolidated_metadata": consolidated}))
        return metadata

    def _group(self, path: str, attrs: dict[str, Any]) -> None:
        """Write the metadata of a group."""
        content = {"zarr_format": 3, "node_type": "group", "attributes": _plain_attrs(attrs)}
        self._put(f"{path}/{META}".lstrip("/"), _packed_json(content))

    def _put(self, name: str, content: bytes) -> None:
        """Write a file of the store."""
        path = os.path.join(self.folder, name)
        parent = os.path.dirname(path)
        if parent not in self.created:
            os.makedirs(parent, exist_ok=True)
            self.created.add(parent)
        with open(path, "wb") as file:
            file.write(content)

    def _variable(self, encoded: Encoded) -> None:
        """Write an array: its values, and then its metadata."""
        if encoded.kind == "text":
            self._text(encoded)
            return
        shape, chunk = encoded.variable.shape, encoded.chunks
        is_packed = chunk is None or self.packing.is_worthwhile(encoded)
        chunk = (chunk if is_packed else encoded.raw_chunks) or tuple(max(n, 1) for n in shape)
        shard = block_shape(shape, chunk, encoded.stored.itemsize)
        coder = _ChunkEncoder(self.packing, chunk, is_packed)
        distinct = (
            Distinct(encoded) if Distinct.applies(encoded) and shard[1:] == shape[1:] else None
        )
        if distinct is not None:
            contents: Iterable[Block] = distinct.blocks(shard)
        else:
            regions = grid(shape, shard) if encoded.variable.size else ()
            contents = ((key, encoded.block(key)) for key in regions)
        self._values(encoded.path, shard, coder, contents)
        dims = [str(dim) for dim in encoded.variable.dims]
        if distinct is not None and len(distinct.known) < shape[0]:
            index = encode_row_index(encoded, distinct.row_index)
            dims[0] = str(index.native["instance_dimension"])
            shape = (len(distinct.known), *shape[1:])
            self._variable(index)
        dtype = np.dtype(encoded.stored)
        order = {"configuration": {"endian": "little"}} if dtype.itemsize > 1 else {}
        codecs = [{"name": "bytes", **order}, *coder.codecs]
        if shard != chunk:
            codecs = [_sharding(chunk, codecs)]
        self._array_metadata(encoded, shape, dims, shard, dtype.name, 0, codecs)

    def _values(
        self, path: str, shard: tuple[int, ...], coder: _ChunkEncoder, contents: Iterable[Block]
    ) -> None:
        """Write the files of an array.

        Large files are compressed on two threads while the values of the next are computed.
        """
        waiting: deque[tuple[str, list[Callable[[], bytes]], tuple[int, ...]]] = deque()

        def write() -> None:
            name, jobs, counts = waiting.popleft()
            self._put(name, coder.joined([job() for job in jobs], counts, shard))

        for key, values in contents:
            number = [k.start // s for k, s in zip(key, shard, strict=True)]
            name = "/".join([path, "c", *map(str, number)])
            regions = grid(values.shape, coder.chunk)
            jobs = [_job(coder, values[r], values.nbytes >= _THREADED) for r in regions]
            counts = tuple(-(-n // c) for n, c in zip(values.shape, coder.chunk, strict=True))
            waiting.append((name, jobs, counts))
            if len(waiting) > 1:
                write()
            self.report(values.nbytes)
        while waiting:
            write()

    def _text(self, encoded: Encoded) -> None:
        """Write a column of text in one piece."""
        values = text_block(encoded)
        shape, coder = encoded.variable.shape, _ChunkEncoder(self.packing, (), True)
        if values.size:
            content = [str(text).encode() for text in values.ravel()]
            pieces = [struct.pack("<I", len(content))]
            for raw in content:
                pieces += [struct.pack("<I", len(raw)), raw]
            name = "/".join([encoded.path, "c", *["0"] * len(shape)])
            self._put(name, coder.compress(b"".join(pieces)))
        dims, chunk = [str(dim) for dim in encoded.variable.dims], tuple(max(n, 1) for n in shape)
        codecs = [{"name": "vlen-utf8"}, *coder.codecs]
        self._array_metadata(encoded, shape, dims, chunk, "string", "", codecs)

    def _array_metadata(
        self,
        encoded: Encoded,
        shape: tuple[int, ...],
        dims: Sequence[str],
        file_shape: tuple[int, ...],
        dtype: str,
        fill: Any,
        codecs: list[dict[str, Any]],
    ) -> None:
        """Write the metadata of an array."""
        content = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(shape),
            "data_type": dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(file_shape)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": fill,
            "codecs": codecs,
            "attributes": _plain_attrs(encoded.attrs()),
            "dimension_names": list(dims),
        }
        self._put(f"{encoded.path}/{META}", _packed_json(content))


def _job(coder: _ChunkEncoder, values: np.ndarray, in_thread: bool) -> Callable[[], bytes]:
    """Return a function that returns the bytes of a chunk, which a thread may compute already."""
    if not in_thread:
        return lambda: coder.pack(values)
    return state.pool("save", 2).submit(coder.pack, values).result


class _ChunkEncoder:
    """Converts the chunks of an array to bytes, and several chunks to one file.

    Parameters
    ----------
    packing : Packing
        The compression of the archive.
    chunk : tuple of int
        Shape of a chunk.
    is_packed : bool
        Whether chunks are compressed; otherwise they get a checksum.
    """

    def __init__(self, packing: Packing, chunk: tuple[int, ...], is_packed: bool):
        self.packing, self.chunk = packing, chunk
        self.compression = packing.compression if is_packed else None
        self.codecs: list[dict[str, Any]] = [{"name": "crc32c"}]
        if self.compression == "portable":
            self.codecs = [{"name": "gzip", "configuration": {"level": GZIP_LEVEL}}]
        elif self.compression is not None:
            settings = {"level": ZSTD_LEVEL, "checksum": True}
            self.codecs = [{"name": "zstd", "configuration": settings}]

    def pack(self, values: np.ndarray) -> bytes:
        """Return the stored bytes of a chunk, which has its full shape at the edges of the array too."""
        return self.compress(padded(values, self.chunk).tobytes())

    def compress(self, raw: bytes) -> bytes:
        """Return bytes as they are stored: compressed, or with a checksum."""
        if self.compression is None:
            return raw + zarr_codecs.crc32c(raw)
        if self.compression == "portable":
            compressor = zlib.compressobj(GZIP_LEVEL, wbits=31)  # in the form of gzip
            return compressor.compress(raw) + compressor.flush()
        return self.packing.compress(raw)

    def joined(
        self, pieces: Sequence[bytes], counts: tuple[int, ...], file_shape: tuple[int, ...]
    ) -> bytes:
        """Join chunks to the bytes of a file: a single chunk, or a shard with an index.

        Parameters
        ----------
        pieces : sequence of bytes
            The chunks, in C order.
        counts : tuple of int
            Number of chunks along each axis; files at the edge of an array have fewer than the others.
        file_shape : tuple of int
            Number of values of a full file along each axis.
        """
        if file_shape == self.chunk:
            return pieces[0]
        grid_shape = tuple(n // c for n, c in zip(file_shape, self.chunk, strict=True))
        index = np.full((*grid_shape, 2), _ABSENT, "<u8")
        sizes = np.array([len(piece) for piece in pieces], "<u8")
        begin = index.nbytes + zarr_codecs.CRC_BYTES
        starts = begin + np.cumsum(sizes) - sizes
        present = tuple(slice(n) for n in counts)
        index[present] = np.stack([starts, sizes], axis=-1).reshape(*counts, 2)
        table = index.tobytes()
        return b"".join([table, zarr_codecs.crc32c(table), *pieces])


def _sharding(chunk: tuple[int, ...], codecs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the sharding codec, with the index at the start, where a first request reads it."""
    order = {"name": "bytes", "configuration": {"endian": "little"}}
    settings = {
        "chunk_shape": list(chunk),
        "codecs": codecs,
        "index_codecs": [order, {"name": "crc32c"}],
        "index_location": "start",
    }
    return {"name": "sharding_indexed", "configuration": settings}


def _packed_json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _plain_attrs(attrs: dict[str, Any]) -> dict[str, Any]:
    """Return attributes for JSON; NaN and infinities, which JSON does not have, become text."""
    out = {}
    for name, value in attrs.items():
        plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        items = plain if isinstance(plain, list) else [plain]
        is_finite = all(not isinstance(v, float) or np.isfinite(v) for v in items)
        out[name] = plain if is_finite else str(plain)
    return out
