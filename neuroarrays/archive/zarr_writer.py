"""Archives as Zarr v3 folders, written node by node.

By hand: the library zarr takes 2-3 ms for each array and a task for each chunk, of which an archive of many
sessions has tens of thousands. What is written is plain Zarr v3, which it reads: chunks of some kB to 1 MB,
many of them in one file (the codec `sharding_indexed`), and the metadata of all arrays in the root.
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

from neuroarrays.archive.encoding import Encoded, Node, encode_places, text_block
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

#: The metadata of a node, in its folder.
META = "zarr.json"
#: Offset and bytes in the index of a shard for a chunk that is not there.
_ABSENT = (1 << 64) - 1
#: Bytes of a file from which on threads save time.
_THREADED = 1 << 20

Report = Callable[[int], None]


class ZarrWriter:
    """Writes nodes into a folder, each array whole; `finish` puts all metadata into the root.

    Parameters
    ----------
    path : path
        The folder; what an interrupted save has left in it stays.
    compression : {"zstd", "portable", None}
        zstd or gzip where it is worth it; or nothing but checksums.
    report : callable
        Told the bytes of values as they are written.
    """

    def __init__(self, path: str | os.PathLike[str], compression: str | None, report: Report):
        self.folder, self.report = Path(path), report
        self.packing = Packing(compression, shuffles=False)
        self.made: set[str] = set()
        if not (self.folder / META).is_file():  # what an interrupted save goes on with
            self._group("", {})

    def node(self, node: Node) -> None:
        """Write a node and its values; a second name of an array is a second array."""
        self._group(node.path, node.attrs)
        for encoded in node.variables:
            self._variable(encoded)

    def finish(self) -> dict[str, dict[str, Any]]:
        """Put the metadata of all nodes into the root, and return them by path."""
        metadata: dict[str, dict[str, Any]] = {}
        for folder, below, _ in os.walk(self.folder):
            below.sort()
            content = json.loads(Path(folder, META).read_bytes())
            metadata[Path(folder).relative_to(self.folder).as_posix()] = content
            if content["node_type"] == "array":
                below.clear()  # its chunks
        root = metadata.pop(".")
        inside = {"kind": "inline", "must_understand": False, "metadata": metadata}
        self._put(META, _packed_json(root | {"consolidated_metadata": inside}))
        return metadata

    def _group(self, path: str, attrs: dict[str, Any]) -> None:
        content = {"zarr_format": 3, "node_type": "group", "attributes": _plain_attrs(attrs)}
        self._put(f"{path}/{META}".lstrip("/"), _packed_json(content))

    def _put(self, name: str, content: bytes) -> None:
        place = os.path.join(self.folder, name)
        above = os.path.dirname(place)
        if above not in self.made:
            os.makedirs(above, exist_ok=True)
            self.made.add(above)
        with open(place, "wb") as file:
            file.write(content)

    def _variable(self, encoded: Encoded) -> None:
        """Write an array: its values, and then what is known of them."""
        if encoded.kind == "text":
            self._text(encoded)
            return
        shape, chunk = encoded.variable.shape, encoded.chunks
        packed = chunk is None or self.packing.worth(encoded)
        chunk = (chunk if packed else encoded.raw_chunks) or tuple(max(n, 1) for n in shape)
        shard = block_shape(shape, chunk, encoded.stored.itemsize)
        coder = _Coder(self.packing, chunk, packed)
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
            index = encode_places(encoded, distinct.places)
            dims[0] = str(index.native["instance_dimension"])
            shape = (len(distinct.known), *shape[1:])
            self._variable(index)
        dtype = np.dtype(encoded.stored)
        order = {"configuration": {"endian": "little"}} if dtype.itemsize > 1 else {}
        codecs = [{"name": "bytes", **order}, *coder.codecs]
        if shard != chunk:
            codecs = [_sharding(chunk, codecs)]
        self._described(encoded, shape, dims, shard, dtype.name, 0, codecs)

    def _values(
        self, path: str, shard: tuple[int, ...], coder: _Coder, contents: Iterable[Block]
    ) -> None:
        """Write the files of an array; large ones are packed on two threads while the next are computed."""
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
        shape, coder = encoded.variable.shape, _Coder(self.packing, (), True)
        if values.size:
            content = [str(text).encode() for text in values.ravel()]
            pieces = [struct.pack("<I", len(content))]
            for raw in content:
                pieces += [struct.pack("<I", len(raw)), raw]
            name = "/".join([encoded.path, "c", *["0"] * len(shape)])
            self._put(name, coder.packed(b"".join(pieces)))
        dims, chunk = [str(dim) for dim in encoded.variable.dims], tuple(max(n, 1) for n in shape)
        codecs = [{"name": "vlen-utf8"}, *coder.codecs]
        self._described(encoded, shape, dims, chunk, "string", "", codecs)

    def _described(
        self,
        encoded: Encoded,
        shape: tuple[int, ...],
        dims: Sequence[str],
        file_shape: tuple[int, ...],
        dtype: str,
        fill: Any,
        codecs: list[dict[str, Any]],
    ) -> None:
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


def _job(coder: _Coder, values: np.ndarray, threaded: bool) -> Callable[[], bytes]:
    """What gives the bytes of a chunk, begun on a thread."""
    if not threaded:
        return lambda: coder.pack(values)
    return state.pool("save", 2).submit(coder.pack, values).result


class _Coder:
    """How the chunks of an array become bytes, and several chunks one file.

    Parameters
    ----------
    packing : Packing
        Of the archive.
    chunk : tuple of int
        Shape of a chunk.
    is_packed : bool
        Whether they are compressed; else they have a checksum.
    """

    def __init__(self, packing: Packing, chunk: tuple[int, ...], is_packed: bool):
        self.packing, self.chunk = packing, chunk
        self.way = packing.compression if is_packed else None
        self.codecs: list[dict[str, Any]] = [{"name": "crc32c"}]
        if self.way == "portable":
            self.codecs = [{"name": "gzip", "configuration": {"level": GZIP_LEVEL}}]
        elif self.way is not None:
            settings = {"level": ZSTD_LEVEL, "checksum": True}
            self.codecs = [{"name": "zstd", "configuration": settings}]

    def pack(self, values: np.ndarray) -> bytes:
        """The bytes of a chunk, whole at the edges of the array too."""
        return self.packed(padded(values, self.chunk).tobytes())

    def packed(self, raw: bytes) -> bytes:
        """Bytes as they are stored."""
        if self.way is None:
            return raw + zarr_codecs.crc32c(raw)
        if self.way == "portable":
            machine = zlib.compressobj(GZIP_LEVEL, wbits=31)
            return machine.compress(raw) + machine.flush()
        return self.packing.compress(raw)

    def joined(
        self, pieces: Sequence[bytes], counts: tuple[int, ...], file_shape: tuple[int, ...]
    ) -> bytes:
        """A file of chunks: itself if a file holds one, else after an index of where each is.

        Parameters
        ----------
        pieces : sequence of bytes
            The chunks that there are, in C order.
        counts : tuple of int
            How many there are along each axis, in the last files fewer than there is room for.
        file_shape : tuple of int
            Values of a whole file along each axis.
        """
        if file_shape == self.chunk:
            return pieces[0]
        room = tuple(n // c for n, c in zip(file_shape, self.chunk, strict=True))
        index = np.full((*room, 2), _ABSENT, "<u8")
        sizes = np.array([len(piece) for piece in pieces], "<u8")
        begin = index.nbytes + zarr_codecs.CRC_BYTES
        starts = begin + np.cumsum(sizes) - sizes
        present = tuple(slice(n) for n in counts)
        index[present] = np.stack([starts, sizes], axis=-1).reshape(*counts, 2)
        table = index.tobytes()
        return b"".join([table, zarr_codecs.crc32c(table), *pieces])


def _sharding(chunk: tuple[int, ...], codecs: list[dict[str, Any]]) -> dict[str, Any]:
    """The codec of files of several chunks, the index first: a first request brings it."""
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
    """Attributes as JSON has them; NaN and infinities as xarray's Zarr backend cannot: as text."""
    out = {}
    for name, value in attrs.items():
        plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        items = plain if isinstance(plain, list) else [plain]
        finite = all(not isinstance(v, float) or np.isfinite(v) for v in items)
        out[name] = plain if finite else str(plain)
    return out
