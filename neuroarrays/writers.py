"""The two forms of an archive, written node by node: HDF5 (netCDF-4) and Zarr."""

from __future__ import annotations

import threading
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays._version import __version__
from neuroarrays.encoding import HIDDEN, Encoded, Node, text_block
from neuroarrays.errors import MissingDependency

if TYPE_CHECKING:
    import h5py

#: Bytes of a block: what is computed, compressed and written at a time. Two are in memory.
BLOCK = 1 << 24
#: Pages of the file. A chunk takes whole ones: of 64 kB they waste 25 % on floats, of 16 kB 50 % on
#: sparse counts, of 4 kB 10 %.
PAGE = 1 << 12
ZSTD_LEVEL, GZIP_LEVEL = 3, 4
#: netCDF's mark of a dimension without a coordinate, and of a variable named as another dimension.
_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable.{:10d}"
_NON_COORDINATE = "_nc4_non_coord_"

Report = Callable[[int], None]


def blocks(shape: tuple[int, ...], chunk: tuple[int, ...], itemsize: int) -> Iterator[Any]:
    """Slices that cover an array in blocks of whole chunks, in order."""
    block = list(chunk)
    for axis in reversed(range(len(shape))):
        factor = max(1, BLOCK // max(1, int(np.prod(block)) * itemsize))
        whole = -(-shape[axis] // chunk[axis])
        block[axis] = chunk[axis] * min(factor, max(whole, 1))
    yield from grid(shape, tuple(block))


def grid(shape: tuple[int, ...], step: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Slices that cover an array in steps."""
    starts = [range(0, n, s) for n, s in zip(shape, step, strict=True)]
    for corner in product(*starts):
        yield tuple(slice(c, min(c + s, n)) for c, s, n in zip(corner, step, shape, strict=True))


# ---------------------------------------------------------------------------------------- HDF5


def create_hdf5(path: str) -> h5py.File:
    """A new file in the form that netCDF-4 has: creation order kept, paged for remote readers."""
    import h5py
    import hdf5plugin  # noqa: F401  registers zstd

    file = h5py.File(
        path, "w", libver=("v110", "v110"), track_order=True,
        fs_strategy="page", fs_page_size=PAGE, fs_persist=False,
    )  # fmt: skip
    versions = f"version=2,neuroarrays={__version__},hdf5={h5py.version.hdf5_version}"
    file.attrs["_NCProperties"] = np.bytes_(versions)
    return file


class HDF5Writer:
    """Writes nodes into an open file, parents before children.

    Parameters
    ----------
    file : h5py.File
        Open for writing.
    compression : {"zstd", "portable"}
        zstd, or gzip for readers without its plugin.
    report : callable
        Told the bytes of values as they are written.
    """

    def __init__(self, file: h5py.File, compression: str, report: Report):
        self.file, self.report = file, report
        self.zstd = compression == "zstd"
        self.written: dict[Any, tuple[h5py.Dataset, list[Any]]] = {}
        self.scales: dict[tuple[str, Any], h5py.Dataset] = {}
        self.local = threading.local()

    def node(self, node: Node, part: h5py.File | None = None) -> None:
        """Write a node: attributes, dimensions, variables; values from `part` if it is given."""
        group = self.file
        if node.path:
            group = self.file.create_group(node.path, track_order=True)
        for name, value in node.attrs.items():
            _set_attr(group, name, value)
        own = sorted(node.variables, key=lambda one: one.variable.dims != (one.name,))
        named = {one.name for one in own if one.variable.dims == (one.name,)}
        sizes: dict[Any, int] = {}
        for one in own:
            sizes |= dict(zip(one.variable.dims, one.variable.shape, strict=True))
        for dim, size in sizes.items():
            if dim not in named and self._scale(node.path, dim) is None:
                self._phony(node.path, group, str(dim), size)
        for one in own:
            clash = one.name in sizes and one.name not in named
            self._variable(group, one, _NON_COORDINATE + one.name if clash else one.name, part)

    def values(self, node: Node) -> None:
        """Write the values of a node only: a part, to be taken up by `node` later."""
        for one in node.variables:
            key = one.identity()
            if key in self.written:
                self.file[one.path] = self.written[key][0]
                continue
            dataset = self._create(self.file, one, one.path)
            self._fill(dataset, one)
            self.written[key] = dataset, []

    def _scale(self, path: str, dim: Any) -> h5py.Dataset | None:
        """The scale of a dimension in a node or above."""
        while True:
            if (path, dim) in self.scales:
                return self.scales[path, dim]
            if not path:
                return None
            path = path.rpartition("/")[0]

    def _phony(self, path: str, group: h5py.Group, dim: str, size: int) -> None:
        dataset = group.create_dataset(dim, shape=(size,), dtype=">f4")
        dataset.make_scale(_NO_VARIABLE.format(size))
        self.scales[path, dim] = dataset

    def _variable(self, group: h5py.Group, one: Encoded, name: str, part: h5py.File | None) -> None:
        is_scale = one.variable.dims == (one.name,)
        scales = [] if is_scale else [self._scale(one.node, dim) for dim in one.variable.dims]
        key = one.identity()
        known = self.written.get(key)
        if known is not None and not is_scale and known[1] == scales:
            group[name] = known[0]  # a second name of the same array: netCDF-C follows hard links
            return
        if part is None:
            dataset = self._create(group, one, name)
            self._fill(dataset, one)
        else:
            source = part[one.path]
            if one.kind == "text":
                _adopt_notes(one, source)
            dataset = self._create(group, one, name)
            _copy(source, dataset)
        for attr, value in one.attrs().items():
            _set_attr(dataset, attr, value)
        if is_scale:
            dataset.make_scale(name)
            self.scales[one.node, one.name] = dataset
        else:
            for axis, scale in enumerate(scales):
                dataset.dims[axis].attach_scale(scale)
            self.written[key] = dataset, scales

    def _create(self, group: h5py.Group, one: Encoded, name: str) -> h5py.Dataset:
        import h5py

        shape = one.variable.shape
        if one.kind == "text":
            return group.create_dataset(name, shape=shape, dtype=h5py.string_dtype())
        chunks = one.chunks
        if chunks is None:
            return group.create_dataset(name, shape=shape, dtype=one.stored)
        options: dict[str, Any] = {"compression": "gzip", "compression_opts": GZIP_LEVEL}
        if self.zstd:
            import hdf5plugin

            options = dict(hdf5plugin.Zstd(clevel=ZSTD_LEVEL))
        return group.create_dataset(
            name, shape=shape, dtype=one.stored, chunks=chunks, shuffle=self._shuffled(one.stored),
            **options,
        )  # fmt: skip

    def _shuffled(self, dtype: np.dtype) -> bool:
        """Sparse counts and identifiers are smaller and faster as they are under zstd."""
        return dtype.itemsize > 1 and (not self.zstd or dtype.kind == "f")

    def _fill(self, dataset: h5py.Dataset, one: Encoded) -> None:
        everything = (slice(None),) * len(one.variable.shape)
        if one.kind == "text":
            values = text_block(one)
            for attr in ("missing_value", HIDDEN):  # a part keeps them for `_adopt_notes`
                if attr in one.attrs():
                    _set_attr(dataset, attr, one.attrs()[attr])
            if values.size:
                dataset[...] = values
        elif one.chunks is None:
            values = one.block(everything)
            if values.size:
                dataset[...] = values
            self.report(values.nbytes)
        else:
            self._fill_chunks(dataset, one, one.chunks)

    def _fill_chunks(self, dataset: h5py.Dataset, one: Encoded, chunk: tuple[int, ...]) -> None:
        """Compute a block, compress its chunks on two threads, write while the next is computed."""
        shuffled = self._shuffled(one.stored)
        waiting: deque[list[tuple[tuple[int, ...], Future[bytes]]]] = deque()
        with ThreadPoolExecutor(2, "neuroarrays-save") as pool:
            for key in blocks(one.variable.shape, chunk, one.stored.itemsize):
                values = one.block(key)
                jobs = [
                    (
                        tuple(k.start + s.start for k, s in zip(key, place, strict=True)),
                        pool.submit(self._compress, values[place], chunk, shuffled),
                    )
                    for place in grid(values.shape, chunk)
                ]
                waiting.append(jobs)
                if len(waiting) > 1:
                    _write(dataset, waiting.popleft())
                self.report(values.nbytes)
            while waiting:
                _write(dataset, waiting.popleft())

    def _compress(self, values: np.ndarray, chunk: tuple[int, ...], shuffled: bool) -> bytes:
        if values.shape != chunk:  # HDF5 stores whole chunks at the edges too
            padded = np.zeros(chunk, values.dtype)
            padded[tuple(slice(n) for n in values.shape)] = values
            values = padded
        data: Any = np.ascontiguousarray(values)
        if shuffled:
            data = np.ascontiguousarray(data.reshape(-1, 1).view(np.uint8).T)
        if not self.zstd:
            return zlib.compress(data, GZIP_LEVEL)
        compressor = getattr(self.local, "compressor", None)
        if compressor is None:
            import zstandard

            compressor = self.local.compressor = zstandard.ZstdCompressor(
                ZSTD_LEVEL, write_checksum=True, write_content_size=True
            )
        packed: bytes = compressor.compress(data)
        return packed


def _write(dataset: h5py.Dataset, jobs: list[tuple[tuple[int, ...], Future[bytes]]]) -> None:
    for offset, job in jobs:
        dataset.id.write_direct_chunk(offset, job.result())


def _copy(source: h5py.Dataset, target: h5py.Dataset) -> None:
    """The stored bytes of one dataset into another of the same form."""
    if source.chunks is None:
        if source.size:
            target[...] = source[...]
        return
    offsets: list[tuple[int, ...]] = []
    source.id.chunk_iter(lambda info: offsets.append(info.chunk_offset))
    for offset in offsets:
        mask, data = source.id.read_direct_chunk(offset)
        target.id.write_direct_chunk(offset, data, mask)


def _adopt_notes(one: Encoded, source: h5py.Dataset) -> None:
    """What a finished part found out about a column of text."""
    import json

    if "missing_value" in source.attrs:
        one.native = one.native | {"missing_value": source.attrs["missing_value"]}
        one.note = json.loads(source.attrs[HIDDEN])


def _set_attr(node: Any, name: str, value: Any) -> None:
    import h5py

    if isinstance(value, list) and value and isinstance(value[0], str):
        node.attrs.create(name, value, dtype=h5py.string_dtype())
    else:
        node.attrs[name] = value


# ---------------------------------------------------------------------------------------- Zarr


class ZarrWriter:
    """Writes nodes into a Zarr v3 folder without consolidating; `finish` does it once."""

    def __init__(self, path: str, compression: str, report: Report):
        try:
            import zarr
        except ImportError as error:
            raise MissingDependency("zarr", "zarr", f"saving {path}") from error
        from zarr.codecs import GzipCodec, ZstdCodec

        self.path, self.report = path, report
        self.codec: Any = (
            ZstdCodec(level=ZSTD_LEVEL, checksum=True)
            if compression == "zstd"
            else GzipCodec(level=GZIP_LEVEL)
        )
        self.root = zarr.open_group(path, mode="a", zarr_format=3)

    def node(self, node: Node, replace: bool = False) -> None:
        """Write a node and its values; a second name of an array is a second array."""
        group = self.root.require_group(node.path) if node.path else self.root
        group.attrs.put(_plain_attrs(node.attrs))
        for one in node.variables:
            values = text_block(one) if one.kind == "text" else None
            shape = one.variable.shape
            chunks = one.chunks or tuple(max(n, 1) for n in shape)
            array = group.create_array(
                one.name,
                shape=shape,
                dtype="string" if values is not None else one.stored,
                chunks=chunks,
                compressors=[self.codec],
                dimension_names=[str(dim) for dim in one.variable.dims],
                attributes=_plain_attrs(one.attrs()),
                config={"write_empty_chunks": True},
                overwrite=replace,
            )
            if values is not None:
                if values.size:
                    array[...] = values
            elif one.variable.size:
                for key in blocks(shape, chunks, one.stored.itemsize):
                    block = one.block(key)
                    array[key] = block
                    self.report(block.nbytes)

    def finish(self) -> None:
        """Consolidate the metadata."""
        import warnings

        import zarr

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # consolidated metadata is not in the v3 text yet
            zarr.consolidate_metadata(self.path)


def _plain_attrs(attrs: dict[str, Any]) -> dict[str, Any]:
    """Attributes as JSON has them; NaN and infinities as xarray's Zarr backend cannot: as text."""
    out = {}
    for name, value in attrs.items():
        plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        items = plain if isinstance(plain, list) else [plain]
        finite = all(not isinstance(v, float) or np.isfinite(v) for v in items)
        out[name] = plain if finite else str(plain)
    return out
