"""Archives as Zarr v3 folders, written node by node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np

from neuroarrays.archive.encoding import Encoded, Node, text_block
from neuroarrays.archive.packing import GZIP_LEVEL, ZSTD_LEVEL, Packing
from neuroarrays.errors import MissingDependency
from neuroarrays.files.blocks import blocks

Report = Callable[[int], None]


class ZarrWriter:
    """Writes nodes into a Zarr v3 folder without consolidating; `finish` does it once."""

    def __init__(self, path: str, compression: str | None, report: Report):
        try:
            import zarr
        except ImportError as error:
            raise MissingDependency("zarr", "zarr", f"saving {path}") from error
        self.store, self.report = _store(path), report
        self.packing = Packing(compression)
        self.root = zarr.open_group(self.store, mode="a", zarr_format=3)
        self.store.check()

    def node(self, node: Node, replace: bool = False) -> None:
        """Write a node and its values; a second name of an array is a second array."""
        group = self.root.require_group(node.path) if node.path else self.root
        group.attrs.put(_plain_attrs(node.attrs))
        self.store.check()
        for encoded in node.variables:
            self._variable(group, encoded, replace)
            self.store.check()

    def _variable(self, group: Any, encoded: Encoded, replace: bool) -> None:
        """Write an array. Rows that repeat too: Zarr cannot rename a dimension once it has begun."""
        values = text_block(encoded) if encoded.kind == "text" else None
        shape, chunk = encoded.variable.shape, encoded.chunks
        packed = chunk is None or self.packing.worth(encoded)
        if not packed:
            chunk = encoded.raw_chunks
        chunks = chunk or tuple(max(n, 1) for n in shape)
        array = group.create_array(
            encoded.name,
            shape=shape,
            dtype="string" if values is not None else encoded.stored,
            chunks=chunks,
            compressors=[self._codec(packed)],
            dimension_names=[str(dim) for dim in encoded.variable.dims],
            attributes=_plain_attrs(encoded.attrs()),
            config={"write_empty_chunks": True},
            overwrite=replace,
        )
        if values is not None:
            if values.size:
                array[...] = values
            return
        for key in blocks(shape, chunks, encoded.stored.itemsize) if encoded.variable.size else []:
            block = encoded.block(key)
            array[key] = block
            self.store.check()
            self.report(block.nbytes)

    def _codec(self, packed: bool) -> Any:
        """Zstd or gzip; a checksum alone for what is not compressed."""
        from zarr.codecs import Crc32cCodec, GzipCodec, ZstdCodec

        if not packed or self.packing.compression is None:
            return Crc32cCodec()
        if self.packing.compression == "portable":
            return GzipCodec(level=GZIP_LEVEL)
        return ZstdCodec(level=ZSTD_LEVEL, checksum=True)

    def finish(self) -> None:
        """Consolidate the metadata."""
        import warnings

        import zarr

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # consolidated metadata is not in the v3 text yet
            zarr.consolidate_metadata(self.store)
        self.store.check()


def _store(path: str) -> Any:
    """A folder that takes everything, whatever the disk says; `check` raises its first failure.

    Zarr writes several chunks at a time and lets go of the others when one of them fails: they
    would fail later, with a page of tracebacks on the terminal.
    """
    from zarr.storage import LocalStore

    class Folder(LocalStore):
        failure: OSError | None = None

        async def _put(self, write: Awaitable[None]) -> None:
            try:
                await write
            except OSError as error:
                self.failure = self.failure or error

        async def set(self, key: str, value: Any) -> None:
            await self._put(super().set(key, value))

        async def set_if_not_exists(self, key: str, value: Any) -> None:
            await self._put(super().set_if_not_exists(key, value))

        def check(self) -> None:
            if self.failure is not None:
                raise self.failure

    return Folder(path)


def _plain_attrs(attrs: dict[str, Any]) -> dict[str, Any]:
    """Attributes as JSON has them; NaN and infinities as xarray's Zarr backend cannot: as text."""
    out = {}
    for name, value in attrs.items():
        plain = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        items = plain if isinstance(plain, list) else [plain]
        finite = all(not isinstance(v, float) or np.isfinite(v) for v in items)
        out[name] = plain if finite else str(plain)
    return out
