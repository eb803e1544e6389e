"""Read arrays of Zarr v3 without the library zarr: numbers and text, sharded or not.

The library needs milliseconds for each read, and reads the index of a shard each time. Here an index
is read once and cached. The ranges of all chunks of a read are fetched together, in parallel from a
server, and decoded into the result. Arrays that are stored in other ways are left to the library.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import outer, state
from neuroarrays.files.outer import Key, Part
from neuroarrays.files.source import decoded
from neuroarrays.files.state import cached_property
from neuroarrays.files.zarr_codecs import CRC_BYTES, Decoder, crc32c
from neuroarrays.files.zarr_files import ZarrFiles

#: Names of the data types that are read here.
_NUMBERS = frozenset(
    ["bool", "float16", "float32", "float64"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)
#: The most bytes of one range and of all ranges that are in memory at once, and the largest gap between two
#: chunks that are fetched from a server in one range.
_PIECE, _BATCH, _GAP = 4 << 20, 64 << 20, 1 << 18
_ABSENT = (1 << 64) - 1

#: Indexes of files of chunks, by source, array and index of the file; None if there is no file.
_indexes: state.Cache[tuple[np.ndarray | None]] = state.Cache(
    64 << 20, lambda entry: state.ENTRY + (0 if entry[0] is None else entry[0].nbytes)
)

#: For each axis: the number of a chunk, what to take of it, and where that goes in the result.
Task = tuple[Part, ...]
#: A file, first byte, and count; None for all of it.
Range = tuple[str, int, int | None]


class _Chunk(NamedTuple):
    """A stored chunk: file, first byte, bytes, and its number in the file (-1 if it is a whole file)."""

    task: Task
    file: str
    begin: int
    length: int
    number: int = -1


@dataclass(frozen=True)
class ZarrChunks:
    """An array of Zarr v3, with how its chunks are stored.

    Attributes
    ----------
    chunks, per_file : tuple of int
        Shape of a chunk in values, and how many of them are in a file along each axis.
    decoder : Decoder
        Decodes a chunk.
    index_at : {"", "start", "end"}
        Where the index is in a file; "" for files of one chunk.
    index_sum : bool
        Whether a checksum follows the index.
    """

    source: ZarrFiles
    name: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    per_file: tuple[int, ...]
    dtype: np.dtype
    fill: Any
    decoder: Decoder
    separator: str
    index_at: str
    index_sum: bool

    @property
    def file_count(self) -> int:
        """The number of files of the array, if it has all chunks."""
        sizes = [c * n for c, n in zip(self.chunks, self.per_file, strict=True)]
        return math.prod(-(-n // size) for n, size in zip(self.shape, sizes, strict=True))

    def read(self, key: Key) -> np.ndarray:
        """Return the values under a normalised outer key, text as str objects."""
        sizes = tuple(outer.length(k, n) for k, n in zip(key, self.shape, strict=True))
        out = np.full(sizes, self.fill, self.dtype)
        dropped = tuple(axis for axis, k in enumerate(key) if isinstance(k, int))
        if out.size:
            axes = [
                list(outer.parts(k, n, c))
                for k, n, c in zip(key, self.shape, self.chunks, strict=True)
            ]
            self._fill(out, list(product(*axes)))
        return out.squeeze(dropped)

    def _fill(self, out: np.ndarray, tasks: list[Task]) -> None:
        """Read the chunks of all tasks into an array."""
        unpacker = self.decoder.unpacker()
        for batch in self._batches(tasks):
            runs, positions = _merged(batch, 0 if self.source.folder().complete else _GAP)
            pieces = self.source.fetch(runs)
            for chunk, (run, begin) in zip(batch, positions, strict=True):
                piece = pieces[run]
                if piece is None:
                    self.source.check_bytes(chunk.file, None)
                    continue  # the fill value
                raw = piece[begin : begin + chunk.length] if chunk.number >= 0 else piece
                if chunk.number >= 0:
                    self.source.check_part(chunk.file, chunk.number, raw)
                self._put(out, chunk.task, self._undone(raw, chunk.file, unpacker))

    def _undone(self, raw: bytes, name: str, unpacker: Any) -> np.ndarray:
        """Return the values of a chunk."""
        try:
            unpacked = self.decoder.undo(raw, unpacker)
            if self.dtype == object:
                return _texts(unpacked, math.prod(self.chunks)).reshape(self.chunks)
            return np.frombuffer(unpacked, self._stored).reshape(self.chunks)
        except ValueError as error:
            raise FormatError(
                f"{self.source.path}/{name}", "", "readable Zarr chunks", str(error)
            ) from error

    @cached_property
    def _stored(self) -> np.dtype:
        """The data type of the values in a chunk."""
        return self.dtype.newbyteorder(self.decoder.order)

    def _put(self, out: np.ndarray, task: Task, chunk: np.ndarray) -> None:
        """Copy the values that a task takes from a chunk."""
        if not task:
            out[()] = chunk[()]
            return
        _, take, put = zip(*task, strict=True)
        if sum(isinstance(t, np.ndarray) for t in take) > 1:
            take, put = outer.mesh(take, self.chunks), outer.mesh(put, out.shape)
        out[put] = chunk[take]

    # -------------------------------------------------------------------------- where chunks are

    def _batches(self, tasks: list[Task]) -> Iterator[list[_Chunk]]:
        """Yield the stored chunks with their positions in files, some MB at a time."""
        per_file = self.per_file
        numbers = [
            tuple([part[0] // n for part, n in zip(task, per_file, strict=True)]) for task in tasks
        ]
        steps = [math.prod(per_file[axis + 1 :]) for axis in range(len(per_file))]
        files = {file_index: self._file(file_index) for file_index in dict.fromkeys(numbers)}
        stored = self._indexes(list(files.items())) if self.index_at else {}
        indexes = {
            file_index: None if index is None else index.reshape(-1, 2)
            for file_index, index in stored.items()
        }
        batch: list[_Chunk] = []
        nbytes = 0
        for task, file_index in zip(tasks, numbers, strict=True):
            chunk = _Chunk(task, files[file_index], 0, self.decoder.nbytes or 0)
            if self.index_at:
                index = indexes[file_index]
                if index is None:
                    continue  # the fill value
                number = sum(
                    [part[0] % n * s for part, n, s in zip(task, per_file, steps, strict=True)]
                )
                begin, count = index[number].tolist()
                if begin == count == _ABSENT:
                    continue
                chunk = _Chunk(task, files[file_index], begin, count, number)
            batch.append(chunk)
            nbytes += chunk.length
            if nbytes > _BATCH:
                yield batch
                batch, nbytes = [], 0
        if batch:
            yield batch

    def _file(self, file_index: tuple[int, ...]) -> str:
        """Return the name of a file of chunks, from its index along each axis."""
        key = self.separator.join(["c", *map(str, file_index)])
        return f"{self.name}/{key}".lstrip("/")

    def _indexes(
        self, files: list[tuple[tuple[int, ...], str]]
    ) -> dict[tuple[int, ...], np.ndarray | None]:
        """Return the index of each file, (chunk along each axis, 2) uint64: first byte and number of bytes."""
        entries = {
            file_index: _indexes.get((self.source, self.name, file_index))
            for file_index, _ in files
        }
        missing = [(file_index, name) for file_index, name in files if entries[file_index] is None]
        count = 16 * math.prod(self.per_file)
        nbytes = count + CRC_BYTES * self.index_sum
        start = 0 if self.index_at == "start" else -nbytes
        contents = self.source.fetch([(name, start, nbytes) for _, name in missing])
        for (file_index, name), raw in zip(missing, contents, strict=True):
            index = None
            if raw is None:
                self.source.check_bytes(name, None)
            else:
                self.source.check_part(name, None, raw)
                intact = len(raw) == nbytes
                if intact and self.index_sum:
                    intact = crc32c(raw[:count]) == raw[count:]
                if not intact:
                    where = f"{self.source.path}/{name}"
                    raise FormatError(where, "", "an index of its chunks", "other bytes")
                index = np.frombuffer(raw, "<u8", count // 8).reshape(*self.per_file, 2)
            entries[file_index] = _indexes.put((self.source, self.name, file_index), (index,))
        return {file_index: entry[0] for file_index, entry in entries.items() if entry is not None}


def _merged(batch: Sequence[_Chunk], gap: int) -> tuple[list[Range], list[tuple[int, int]]]:
    """Return the ranges to fetch, and for each chunk its range and the position in that.

    Chunks of a file that lie near each other are fetched in one range.
    """
    runs: list[Range] = []
    positions = [(0, 0)] * len(batch)
    for number in sorted(range(len(batch)), key=lambda i: (batch[i].file, batch[i].begin)):
        chunk = batch[number]
        if chunk.number < 0:
            runs.append((chunk.file, 0, None))
            positions[number] = len(runs) - 1, 0
            continue
        last, first, size = runs[-1] if runs else ("", 0, 0)
        end = max(first + (size or 0), chunk.begin + chunk.length)
        near = chunk.begin - first - (size or 0) <= gap and end - first <= _PIECE
        if last == chunk.file and near:
            runs[-1] = last, first, end - first
        else:
            runs.append((chunk.file, chunk.begin, chunk.length))
            first = chunk.begin
        positions[number] = len(runs) - 1, chunk.begin - first
    return runs, positions


def _texts(raw: bytes, count: int) -> np.ndarray:
    """Return (count,) str objects. They are stored as their number, then each after its length.

    Raises
    ------
    ValueError
        If there is another number of them, or the bytes end early.
    """
    if len(raw) < 4 or struct.unpack_from("<I", raw)[0] != count:
        msg = f"another number of texts than {count:,}"
        raise ValueError(msg)
    out, offset = np.empty(count, object), 4
    for i in range(count):
        (size,) = struct.unpack_from("<I", raw, offset) if offset + 4 <= len(raw) else (len(raw),)
        text = raw[offset + 4 : offset + 4 + size]
        if len(text) != size:
            msg = "texts that end early"
            raise ValueError(msg)
        out[i] = decoded(text)
        offset += 4 + size
    return out


# --------------------------------------------------------------------------- what metadata say


def chunks_of(source: ZarrFiles, name: str, meta: Mapping[str, Any]) -> ZarrChunks | None:
    """Return the reader of an array from its metadata; None if it is left to the library zarr."""
    try:
        return _chunks_of(source, name, meta)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        return None  # the library raises the error


def _chunks_of(source: ZarrFiles, name: str, meta: Mapping[str, Any]) -> ZarrChunks | None:
    """Return the reader of an array, as `chunks_of`; other metadata raise errors."""
    grid, keys = meta["chunk_grid"], meta["chunk_key_encoding"]
    kind, codecs = meta["data_type"], list(meta["codecs"])
    is_text = kind == "string"
    plain = grid["name"] == "regular" and keys["name"] == "default"
    if not plain or meta.get("storage_transformers") or not (is_text or kind in _NUMBERS):
        return None
    shape = tuple(int(n) for n in meta["shape"])
    chunks = stored = tuple(int(n) for n in grid["configuration"]["chunk_shape"])
    index_at, index_sum = "", False
    if codecs[0]["name"] == "sharding_indexed":
        settings = codecs[0]["configuration"]
        of_index = [codec["name"] for codec in settings["index_codecs"]]
        endian = settings["index_codecs"][0].get("configuration", {}).get("endian", "little")
        if (
            len(codecs) > 1
            or of_index not in (["bytes"], ["bytes", "crc32c"])
            or endian != "little"
        ):
            return None
        index_at, index_sum = settings.get("index_location", "end"), len(of_index) == 2
        chunks, codecs = tuple(int(n) for n in settings["chunk_shape"]), list(settings["codecs"])
    bad = len(shape) != len(chunks) or len(stored) != len(chunks) or min((*chunks, *stored, 1)) < 1
    if bad or any(n % c for n, c in zip(stored, chunks, strict=True)):
        return None
    dtype = np.dtype(object if is_text else kind)
    if is_text:
        if codecs[0]["name"] != "vlen-utf8":
            return None
        codecs[0] = {"name": "bytes"}
    nbytes = None if is_text else math.prod(chunks) * dtype.itemsize
    source.check_size(name, nbytes or 8 * math.prod(chunks))
    fill = meta["fill_value"]
    fill = str(fill) if is_text else np.array(float(fill) if dtype.kind == "f" else fill, dtype)[()]
    separator = (keys.get("configuration") or {}).get("separator", "/")
    per_file = tuple(n // c for n, c in zip(stored, chunks, strict=True))
    decoder = Decoder(codecs, nbytes)
    return ZarrChunks(
        source, name, shape, chunks, per_file, dtype, fill, decoder, separator, index_at, index_sum
    )
