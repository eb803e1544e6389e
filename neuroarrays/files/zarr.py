"""Read Zarr stores of formats 2 and 3, with the links and text that hdmf-zarr writes.

The library zarr reads arrays and chunks, through a store that checks the files. The links of
hdmf-zarr, which zarr does not know, are followed here.
"""

from __future__ import annotations

import json
import math
import posixpath
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from neuroarrays.errors import FormatError, MissingDependency, NeuroArraysError, many
from neuroarrays.files import outer, safety, state, zarr_prefetch
from neuroarrays.files.headers import SAVED_BY
from neuroarrays.files.location import Folder
from neuroarrays.files.outer import Key
from neuroarrays.files.source import Info, in_order, text_array
from neuroarrays.files.zarr_chunks import ZarrChunks, chunks_of
from neuroarrays.files.zarr_files import ZarrFiles, below

#: Codecs of cells that are text; others (pickle) are never run.
_TEXT_CODECS = ("vlen-utf8", "vlen-bytes", "json2")
_MAX_LINKS = 16
#: Chunks of an array of text, which is read whole.
_MAX_CHUNKS = 100_000


@dataclass(frozen=True)
class ZarrSource(ZarrFiles):
    """A Zarr group in a folder, format 2 or 3."""

    def names(self, group: str = "/") -> list[str]:
        above = self._resolve(group)
        folder = self.folder()
        names = [name for name in folder.names(above) if _is_node(folder, below(above, name))]
        return in_order({*names, *(str(link["name"]) for link in _links(folder, above))})

    def _resolve(self, name: str) -> str:
        """Return the path of a name after all of hdmf-zarr's links, which are attributes of groups."""
        todo, group, followed = name.strip("/").split("/")[::-1], "", 0
        folder = self.folder()
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            path = below(group, part)
            if part == "..":
                raise FormatError(self.path, path, "data inside this store", "a path out of it")
            if not _is_node(folder, path):
                target = _link_at(folder, group, part)
                if target is None:
                    return name.strip("/")
                if not self._is_own(target):
                    raise FormatError(
                        self.path,
                        path,
                        "data inside this store",
                        f"a link to another store, {target.get('source')}",
                        "links out of a store are not followed",
                    )
                followed += 1
                if followed > _MAX_LINKS:
                    raise FormatError(self.path, name, "an array or group", "links in a circle")
                todo.extend(str(target.get("path", "")).strip("/").split("/")[::-1])
                path = ""
            group = path
        return group

    def _is_own(self, link: dict[str, Any]) -> bool:
        """Whether a link stays in this store."""
        target = posixpath.join(self.path, str(link.get("source", ".")))
        return posixpath.normpath(target) == posixpath.normpath(self.path)

    def link(self, name: str) -> str | None:
        parent, _, last = name.strip("/").rpartition("/")
        folder, above = self.folder(), self._resolve(parent)
        is_node = _is_node(folder, below(above, last))
        target = None if is_node else _link_at(folder, above, last)
        if target is None:
            return None
        inside = str(target.get("path", ""))
        return inside if self._is_own(target) else f"{target.get('source')}:{inside}"

    def attrs(self, name: str = "/") -> dict[str, Any]:
        raw = _json(self.folder(), self._resolve(name)) or {}
        return {key: _zarr_reference(value) for key, value in raw.items()}

    def exists(self, name: str) -> bool:
        return _is_node(self.folder(), self._resolve(name)) or bool(self.names(name))

    def identity(self, name: str) -> object:
        return self._resolve(name)

    def info(self, name: str) -> Info | None:
        array = _zarr_array(self, self._resolve(name))
        if array is None:
            return None
        text = array.dtype.kind in "OTUS"
        dtype = np.dtype(object) if text else np.dtype(array.dtype)
        shape = () if self.attrs(name).get("zarr_dtype") == "scalar" else tuple(array.shape)
        return Info(shape, dtype, tuple(array.chunks) or None, text)

    def read(self, name: str, key: Key = ()) -> np.ndarray:
        resolved = self._resolve(name)
        array = _zarr_array(self, resolved)
        if array is None:
            raise FormatError(self.path, name, "a Zarr array", "nothing or a group")
        self.check_metadata(resolved)
        if self.location.local_path is None:
            zarr_prefetch.fetch_siblings(self.folder(), resolved, self.not_known)
        scalar = self.attrs(name).get("zarr_dtype") == "scalar"
        with safety.readable(self.path, name, "readable Zarr chunks"):
            if isinstance(array, ZarrChunks):
                shape = tuple(array.shape)
                self._check_values(resolved, array, key)
                raw = array.read(outer.normalise(key, shape))
            elif scalar or array.shape == ():
                raw = np.asarray(array[(0,) * len(array.shape)], array.dtype).reshape(())
            else:
                raw = outer.read_outer(
                    lambda k: np.asarray(array[k]),
                    tuple(array.shape),
                    np.dtype(array.dtype),
                    tuple(array.chunks),
                    key,
                    lambda nbytes: self.check_size(resolved, nbytes, key == ()),
                )
        return text_array(raw) if array.dtype.kind in "OTUS" else raw

    def unwritten(self, name: str) -> str:
        resolved, folder = self._resolve(name), self.folder()
        array = _zarr_array(self, resolved)
        if array is None or not folder.complete or not math.prod(array.shape):
            return ""
        total = _file_count(array)
        written = _chunk_files(folder, resolved)
        return f"{total - written:,} of {total:,} chunks" if written < total else ""

    def _check_values(self, name: str, array: ZarrChunks, key: Key) -> None:
        """Refuse to read more than the store can hold."""
        shape = outer.result_shape(outer.normalise(key, array.shape), array.shape)
        self.check_size(name, math.prod(shape) * array.dtype.itemsize, key == ())


def _file_count(array: Any) -> int:
    """Return how many files hold the chunks of an array if all were written."""
    if isinstance(array, ZarrChunks):
        return array.file_count
    of_file = getattr(array, "shards", None) or array.chunks
    return math.prod(-(-n // c) for n, c in zip(array.shape, of_file, strict=True))


def _chunk_files(folder: Folder, name: str) -> int:
    """Return how many files of chunks there are below an array."""
    prefix = f"{name}/".lstrip("/")
    below_it = (path.rpartition("/")[2] for path in folder.files if path.startswith(prefix))
    return sum(not last.startswith(".") and last != "zarr.json" for last in below_it)


def _is_node(folder: Folder, name: str) -> bool:
    """Whether there is an array or group of this name."""
    return any(folder.has(below(name, marker)) for marker in ("zarr.json", ".zgroup", ".zarray"))


def _json(folder: Folder, group: str, key: str | None = None) -> Any:
    """Return the user attributes of a Zarr node, or the one of this key (None if it has none)."""
    for name in ("zarr.json", ".zattrs"):
        content = folder.document(below(group, name))
        if content is not None:
            attrs = content.get("attributes", {}) if name == "zarr.json" else content
            if not isinstance(attrs, dict):
                where = f"{folder.path}/{below(group, name)}"
                raise FormatError(where, "", "a mapping", type(attrs).__name__)
            return attrs if key is None else attrs.get(key)
    return None if key else {}


def _links(folder: Folder, group: str) -> list[dict[str, Any]]:
    """Return the links in the attributes of a group: "_LINKS", or "zarr_link" since hdmf-zarr 0.14."""
    links = (_json(folder, group, "_LINKS") or []) + (_json(folder, group, "zarr_link") or [])
    return [link for link in links if isinstance(link, dict) and "name" in link]


def _link_at(folder: Folder, group: str, name: str) -> dict[str, Any] | None:
    """Return the link of this name in a group; None if there is none."""
    return next((link for link in _links(folder, group) if link["name"] == name), None)


def _zarr_reference(value: Any) -> Any:
    """Return the path of an object reference, which hdmf-zarr writes as a dict; other values as they are."""
    if isinstance(value, dict) and isinstance(value.get("_REFERENCE"), dict):  # since 0.14
        return str(value["_REFERENCE"].get("path", ""))
    if isinstance(value, dict) and value.get("zarr_dtype") == "object":
        inner = value.get("value", value)
        return inner.get("path", "") if isinstance(inner, dict) else str(inner)
    return value


#: Opened arrays, by source and name; (None,) if there is no such array.
_arrays: state.Cache[tuple[Any]] = state.Cache(64 << 20, lambda _: 1 << 14)


def _zarr_array(source: ZarrSource, name: str) -> Any:
    """Return the zarr array at `name`, opened once per process; None if there is none."""
    return _arrays.get_or_make((source, name), lambda: (_opened(source, name),))[0]


def _opened(source: ZarrSource, name: str) -> Any:
    """Open an array; None if there is none, or a group."""
    try:
        if (meta := source.metadata(below(name, ".zarray"))) is not None:
            is_object = meta.get("dtype") == "|O"
            filters = [] if is_object else meta.get("filters") or []
            codecs = [*filters, *([meta["compressor"]] if meta.get("compressor") else [])]
            _refuse_pickle(source, name, codecs)
            if is_object:
                return _ObjectArray(source, name, meta)
            return _open_zarr(source, name, codecs, 2)
        node = source.metadata(below(name, "zarr.json"))
        if node is not None and node["node_type"] == "array":
            _refuse_pickle(source, name, node.get("codecs") or [])
            array = chunks_of(source, name, node)
            if array is None:
                return _open_zarr(source, name, node.get("codecs") or [], 3)
            _check_chunks(source, name, array.file_count)
            return array
    except NeuroArraysError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(
            source.path, name, "readable Zarr metadata", f"{type(error).__name__}: {error}"[:300]
        ) from error
    return None


def _refuse_pickle(source: ZarrSource, name: str, codecs: list[Any]) -> None:
    """Refuse numcodecs' pickle codec, because unpickling would run code from the file."""
    for codec in codecs:
        text = json.dumps(codec).lower()
        if "pickle" in text:
            raise FormatError(
                source.path, name, "numbers or text", f"the codec 'pickle': {text[:80]}"
            )


def _open_zarr(source: ZarrSource, name: str, codecs: list[Any], version: Literal[2, 3]) -> Any:
    """Open an array with the library zarr, through a store that checks its files."""
    try:
        import zarr

        from neuroarrays.files.zarr_store import CheckedStore, outer_packing
    except ImportError as error:
        raise MissingDependency("zarr", "zarr", f"reading {source.path}") from error
    store = CheckedStore(source.folder(), source.check_bytes)
    with safety.readable(source.path, name, "a Zarr array"):
        array = zarr.open_array(store=store, path=name, mode="r", zarr_format=version)
        chunk = math.prod(int(n) for n in array.chunks) * np.dtype(array.dtype).itemsize
    source.check_size(name, chunk)
    text = array.dtype.kind not in "biufcmMV"  # of any length
    store.packings[name] = outer_packing(codecs), safety.WHOLE if text else chunk
    _check_chunks(source, name, _file_count(array))
    return array


def _check_chunks(source: ZarrSource, name: str, expected: int) -> None:
    """Refuse an array of one of our archives if a chunk is missing; they are written with all chunks.

    Zarr reads a missing chunk as the fill value, so that lost values would become zero.
    """
    folder = source.folder()
    if not folder.complete or SAVED_BY not in (_json(folder, "") or {}):
        return  # xarray itself writes no chunks that have only fill values
    present = _chunk_files(folder, name)
    if present < expected:
        raise FormatError(
            source.path,
            name,
            expected=f"{many(expected, 'file')} of chunks",
            found=str(present),
            hint="the store was not copied whole; if another program wrote it anew, delete the "
            f"attribute {SAVED_BY} of its root",
        )


class _ObjectArray:
    """A format-2 array of Python objects (text), which zarr 3 refuses; decoded chunk by chunk.

    Only the text codecs are decoded.
    """

    dtype = np.dtype(object)

    def __init__(self, source: ZarrSource, name: str, meta: dict[str, Any]):
        self.source, self.name, self.meta = source, name, meta
        for codec in meta.get("filters") or []:
            if codec["id"] not in _TEXT_CODECS:
                raise FormatError(
                    source.path, name, "text", f"the codec {codec['id']!r}", "it is not decoded"
                )
        self.shape = tuple(int(n) for n in meta["shape"])
        self.chunks = tuple(int(n) for n in meta["chunks"])
        bad = len(self.shape) != len(self.chunks) or min((*self.shape, 0)) < 0
        if bad or min((*self.chunks, 1)) < 1:
            raise FormatError(
                source.path,
                name,
                "a shape and chunks of it",
                f"{self.shape} and {self.chunks}"[:200],
            )
        for nbytes in (8 * math.prod(self.shape), 8 * math.prod(self.chunks)):
            safety.check_whole(source.path, name, nbytes, source.stamp[1])
        count = math.prod(-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True))
        if count > _MAX_CHUNKS:
            raise FormatError(
                source.path, name, f"at most {_MAX_CHUNKS:,} chunks of text", f"{count:,}"
            )

    def __getitem__(self, key: Any) -> np.ndarray:
        from itertools import product

        out = np.full(self.shape, "", object)
        counts = [-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True)]
        for index in product(*map(range, counts)):
            part = tuple(
                slice(i * c, min((i + 1) * c, n))
                for i, c, n in zip(index, self.chunks, self.shape, strict=True)
            )
            chunk = self._chunk(".".join(map(str, index)) or "0")
            if chunk is not None:
                out[part] = chunk[tuple(slice(0, p.stop - p.start) for p in part)]
        return np.asarray(out[key], object)

    def _chunk(self, name: str) -> np.ndarray | None:
        """Decode a chunk; None if it has no file."""
        import numcodecs

        from neuroarrays.files.zarr_store import check_packed, outer_packing

        chunk = name.replace(".", self.meta.get("dimension_separator", "."))
        path = f"{self.name}/{chunk}".lstrip("/")
        data: Any = self.source.folder().read(path)
        if data is None:
            return None
        if self.meta["compressor"]:
            packing = outer_packing([self.meta["compressor"]]), safety.WHOLE
            check_packed(data, packing, f"{self.source.path}/{path}")
            data = numcodecs.get_codec(self.meta["compressor"]).decode(data)
        for codec in reversed(self.meta["filters"] or []):
            data = numcodecs.get_codec(codec).decode(data)
        return np.asarray(data, object).reshape(self.chunks)
