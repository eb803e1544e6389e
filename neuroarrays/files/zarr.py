"""Zarr folders as a `Source`, formats 2 and 3, with the links and text that hdmf-zarr writes.

Arrays and chunks are read by the library zarr, through a store that checks what it reads; by hand are the
links of hdmf-zarr, which zarr does not know.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError, MissingDependency, NeuroArraysError
from neuroarrays.files import folders, outer, safety, state
from neuroarrays.files.headers import SAVED_BY
from neuroarrays.files.outer import Key
from neuroarrays.files.source import Info, Source, text_array

#: Codecs of cells that are text; others (pickle) are never run.
_TEXT_CODECS = ("vlen-utf8", "vlen-bytes", "json2")
_MAX_LINKS = 16
#: Chunks of an array of text, which is read whole.
_MAX_CHUNKS = 100_000


@dataclass(frozen=True)
class ZarrSource(Source):
    """A Zarr group in a folder, format 2 or 3."""

    def names(self, group: str = "/") -> list[str]:
        folder = Path(self.path, self._resolve(group))
        try:
            names = [entry.name for entry in os.scandir(folder) if _is_zarr_node(entry.path)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted({*names, *(str(link["name"]) for link in _links(folder))})

    def _resolve(self, name: str) -> str:
        """Follow hdmf-zarr's links, which stand in an attribute of the parent group."""
        todo, here, followed = name.strip("/").split("/")[::-1], "", 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            path = f"{here}/{part}" if here else part
            if part == "..":
                raise FormatError(self.path, path, "data inside this store", "a path out of it")
            if not _is_zarr_node(Path(self.path, path)):
                target = _link_at(Path(self.path, here), part)
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
            here = path
        return here

    def _is_own(self, link: dict[str, Any]) -> bool:
        """Whether a link stays in this store."""
        return os.path.abspath(os.path.join(self.path, str(link.get("source", ".")))) == self.path

    def link(self, name: str) -> str | None:
        parent, _, last = name.strip("/").rpartition("/")
        folder = Path(self.path, self._resolve(parent))
        target = None if _is_zarr_node(folder / last) else _link_at(folder, last)
        if target is None:
            return None
        inside = str(target.get("path", ""))
        return inside if self._is_own(target) else f"{target.get('source')}:{inside}"

    def attrs(self, name: str = "/") -> dict[str, Any]:
        folder = Path(self.path, self._resolve(name))
        raw = _json(folder) or {}
        return {key: _zarr_reference(value) for key, value in raw.items()}

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
        self._check_metadata(resolved)
        scalar = self.attrs(name).get("zarr_dtype") == "scalar"
        with safety.readable(self.path, name, "readable Zarr chunks"):
            if scalar or array.shape == ():
                raw = np.asarray(array[(0,) * len(array.shape)], array.dtype).reshape(())
            else:
                raw = outer.read_outer(
                    lambda k: np.asarray(array[k]),
                    tuple(array.shape),
                    np.dtype(array.dtype),
                    tuple(array.chunks),
                    key,
                    lambda nbytes: self._check_size(resolved, nbytes, key == ()),
                )
        return text_array(raw) if array.dtype.kind in "OTUS" else raw

    def files(self) -> folders.Listing:
        """The files of the store as they were when it was opened."""
        return folders.listing(self.path, self.stamp)

    def check_bytes(self, name: str, raw: bytes | None) -> None:
        """Compare what is read of a file (None: it is not there) with what is known of it."""

    def _check_metadata(self, name: str) -> None:
        """See that the store is there and the array in it is the one that was opened."""
        files = self.files()
        for marker in (".zarray", "zarr.json"):
            if (path := f"{name}/{marker}".lstrip("/")) in files:
                folders.check(self.path, path, files)
                return
        raise folders.changed(f"{self.path}/{name}", "no metadata")

    def _check_size(self, name: str, nbytes: int, whole: bool = False) -> None:
        if whole:
            safety.check_whole(self.path, name, nbytes, self.stamp[1])
        if nbytes > safety.ALWAYS_ALLOWED:
            prefix = f"{name}/".lstrip("/")
            stored = sum(status[1] for at, status in self.files().items() if at.startswith(prefix))
            safety.check_allocation(self.path, name, nbytes, stored)


def _is_zarr_node(folder: str | os.PathLike[str]) -> bool:
    return any(
        os.path.isfile(os.path.join(folder, marker))
        for marker in ("zarr.json", ".zgroup", ".zarray")
    )


def _json(folder: Path, key: str | None = None) -> Any:
    """User attributes of a Zarr node, read from its metadata file."""
    for name in ("zarr.json", ".zattrs"):
        content = folders.read_json(folder / name)
        if content is not None:
            attrs = content.get("attributes", {}) if name == "zarr.json" else content
            if not isinstance(attrs, dict):
                raise FormatError(folder / name, "", "a mapping", type(attrs).__name__)
            return attrs if key is None else attrs.get(key)
    return None if key else {}


def _links(folder: Path) -> list[dict[str, Any]]:
    """The links that hdmf-zarr keeps in an attribute of a group, of another name since 0.14."""
    links = (_json(folder, "_LINKS") or []) + (_json(folder, "zarr_link") or [])
    return [link for link in links if isinstance(link, dict) and "name" in link]


def _link_at(folder: Path, name: str) -> dict[str, Any] | None:
    return next((link for link in _links(folder) if link["name"] == name), None)


def _zarr_reference(value: Any) -> Any:
    """hdmf-zarr writes an object reference as a dict; we give the path it points to."""
    if isinstance(value, dict) and isinstance(value.get("_REFERENCE"), dict):  # since 0.14
        return str(value["_REFERENCE"].get("path", ""))
    if isinstance(value, dict) and value.get("zarr_dtype") == "object":
        inner = value.get("value", value)
        return inner.get("path", "") if isinstance(inner, dict) else str(inner)
    return value


#: Arrays of Zarr, opened, by source and name; (None,) where there is none.
_arrays: state.Cache[tuple[Any]] = state.Cache(64 << 20, lambda _: 1 << 14)


def _zarr_array(source: ZarrSource, name: str) -> Any:
    """The zarr array at `name`, opened once per process; None if there is none."""
    return _arrays.get_or_make((source, name), lambda: (_opened(source, name),))[0]


def _opened(source: ZarrSource, name: str) -> Any:
    files, prefix = source.files(), f"{name}/".lstrip("/")
    try:
        if f"{prefix}.zarray" in files:
            meta = json.loads(folders.read(source.path, f"{prefix}.zarray", files))
            is_object = meta.get("dtype") == "|O"
            filters = [] if is_object else meta.get("filters") or []
            codecs = [*filters, *([meta["compressor"]] if meta.get("compressor") else [])]
            _refuse_pickle(source, name, codecs)
            if is_object:
                return _ObjectArray(source, name, meta)
            return _open_zarr(source, name, codecs)
        if f"{prefix}zarr.json" in files:
            node = json.loads(folders.read(source.path, f"{prefix}zarr.json", files))
            if node["node_type"] == "array":
                _refuse_pickle(source, name, node.get("codecs") or [])
                return _open_zarr(source, name, node.get("codecs") or [])
            return None
        for marker in (".zarray", "zarr.json"):
            folders.check_absent(source.path, prefix + marker)
    except NeuroArraysError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(
            source.path, name, "readable Zarr metadata", f"{type(error).__name__}: {error}"[:300]
        ) from error
    return None


def _refuse_pickle(source: ZarrSource, name: str, codecs: list[Any]) -> None:
    """Refuse numcodecs' pickle codec wherever it stands: it would run what the file says."""
    for codec in codecs:
        text = json.dumps(codec).lower()
        if "pickle" in text:
            raise FormatError(
                source.path, name, "numbers or text", f"the codec 'pickle': {text[:80]}"
            )


def _open_zarr(source: ZarrSource, name: str, codecs: list[Any]) -> Any:
    try:
        import zarr

        from neuroarrays.files.zarr_store import CheckedStore, outer_packing
    except ImportError as error:
        raise MissingDependency("zarr", "zarr", f"reading {source.path}") from error
    store = CheckedStore(source.path, source.files(), source.check_bytes)
    with safety.readable(source.path, name, "a Zarr array"):
        array = zarr.open_array(store=store, path=name, mode="r")
        chunk = math.prod(int(n) for n in array.chunks) * np.dtype(array.dtype).itemsize
    source._check_size(name, chunk)
    text = array.dtype.kind not in "biufcmMV"  # of any length
    store.packings[name] = outer_packing(codecs), safety.WHOLE if text else chunk
    if SAVED_BY in (
        _json(Path(source.path)) or {}
    ):  # plain xarray leaves out chunks of fill values
        _check_chunks(source, name, array)
    return array


def _check_chunks(source: ZarrSource, name: str, array: Any) -> None:
    """Refuse an array of an archive of ours, which has all its chunks, where one is lost.

    Zarr takes a chunk that is not there for the fill value: what is missing would become zero.
    """
    expected = int(np.prod([-(-n // c) for n, c in zip(array.shape, array.chunks, strict=True)]))
    prefix = f"{name}/".lstrip("/")
    present = sum(path.startswith(prefix) for path in source.files()) - 1
    if present < expected:
        raise FormatError(
            source.path,
            name,
            expected=f"{expected} chunks",
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
        import numcodecs

        from neuroarrays.files.zarr_store import check_packed, outer_packing

        files = self.source.files()
        chunk = name.replace(".", self.meta.get("dimension_separator", "."))
        path = f"{self.name}/{chunk}".lstrip("/")
        if path not in files:
            folders.check_absent(self.source.path, path)
            return None
        data: Any = folders.read(self.source.path, path, files)
        if self.meta["compressor"]:
            packing = outer_packing([self.meta["compressor"]]), safety.WHOLE
            check_packed(data, packing, f"{self.source.path}/{path}")
            data = numcodecs.get_codec(self.meta["compressor"]).decode(data)
        for codec in reversed(self.meta["filters"] or []):
            data = numcodecs.get_codec(codec).decode(data)
        return np.asarray(data, object).reshape(self.chunks)
