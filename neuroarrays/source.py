"""Files behind one interface: names, attributes, shapes, and reads by numpy index.

A `Source` is a path with a stamp (size, inode, modification time): it pickles in a few bytes,
opens its file once per process, and may be used from several threads and after a fork. Readers
never see a handle of h5py or zarr, so another source (a remote one) can take its place.
"""

from __future__ import annotations

import json
import os
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays import safety
from neuroarrays.errors import FormatError, MissingDependency, MissingPath

if TYPE_CHECKING:
    import h5py

    from neuroarrays.chunks import ZstdChunks

Key = tuple[int | slice | np.ndarray, ...]

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
#: Files kept open per process, and datasets per file (each has a chunk cache of megabytes).
MAX_OPEN, MAX_DATASETS = 64, 64
#: Rows that a contiguous dataset is read in when rows are picked from it, bytes.
_BLOCK = 1 << 18


@dataclass(frozen=True)
class Info:
    """Shape, dtype and chunk shape of one array; text has dtype object and `text` True."""

    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...] | None
    text: bool = False


@dataclass(frozen=True)
class Source(ABC):
    """One file or folder of arrays. Hashable, picklable, equal when it is the same content."""

    path: str
    stamp: tuple[int, ...]

    @abstractmethod
    def names(self, group: str = "/") -> list[str]:
        """Names of the children of a group; [] if it is absent or an array."""

    @abstractmethod
    def info(self, name: str) -> Info | None:
        """Shape and dtype of an array; None for a group or nothing."""

    @abstractmethod
    def attrs(self, name: str = "/") -> dict[str, Any]:
        """Attributes as plain Python values, references as the path they point to."""

    def attr(self, name: str, key: str) -> Any:
        """One attribute, None if it is not there."""
        return self.attrs(name).get(key)

    @abstractmethod
    def read(self, name: str, key: Key = ()) -> np.ndarray:
        """Values of an array under an outer index (each axis by itself), text as str objects."""

    def identity(self, name: str) -> object:
        """Equal for two names of the same stored array."""
        return name

    def exists(self, name: str) -> bool:
        """Whether a group or array of that name is there."""
        return self.info(name) is not None or bool(self.names(name))


def open_source(path: str | os.PathLike[str]) -> Source:
    """The source for an HDF5 file or a Zarr folder.

    Raises
    ------
    MissingPath
        If there is nothing at `path`.
    FormatError
        If it is neither, or is damaged.
    """
    path = os.path.abspath(path)
    if is_zarr(path):
        return ZarrSource(path, _stamp(os.stat(path)))
    status = safety.regular_file(path)
    if not is_hdf5(path):
        raise FormatError(path, expected="an HDF5 file or a Zarr folder", found=describe(path))
    source = HDF5Source(path, _stamp(status))
    source.names("/")  # a truncated file is reported on opening, not at the first read
    return source


def hdf5_source(path: str | os.PathLike[str]) -> Source:
    """The source of a file known to be HDF5, without opening it."""
    path = os.path.abspath(path)
    return HDF5Source(path, _stamp(safety.regular_file(path)))


def is_hdf5(path: str | os.PathLike[str]) -> bool:
    """Whether the file begins with the HDF5 signature (also after a user block)."""
    try:
        if not os.path.isfile(path):
            return False
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            offset = 0
            while offset < min(size, 1 << 16):
                file.seek(offset)
                if file.read(8) == HDF5_MAGIC:
                    return True
                offset = offset * 2 or 512
    except OSError:
        pass
    return False


def is_zarr(path: str | os.PathLike[str]) -> bool:
    """Whether the folder is a Zarr group (format 2 or 3)."""
    return any(os.path.isfile(os.path.join(path, marker)) for marker in (".zgroup", "zarr.json"))


def describe(path: str | os.PathLike[str]) -> str:
    """What lies at a path, in words, for error messages."""
    try:
        if os.path.isdir(path):
            names = sorted(os.listdir(path))
            shown = f"a folder with {len(names)} entries, the first {names[0]!r}" if names else ""
            return shown or "an empty folder"
        safety.regular_file(path)  # opening a FIFO would wait for a writer
        with open(path, "rb") as file:
            head = file.read(512)
    except FormatError as error:
        return error.found
    except OSError as error:
        return f"something unreadable ({error.strerror})"
    if not head:
        return "an empty file"
    kinds = {
        HDF5_MAGIC: "an HDF5 file",
        b"PK\x03\x04": "a zip file",
        b"\x93NUMPY": "an npy file",
        b"MATLAB 5.0": "a MATLAB v5 file",
        b"CDF": "a netCDF-3 file",
        b"\x80": "a pickle or other binary file",
    }
    for magic, kind in kinds.items():
        if head.startswith(magic):
            return kind
    printable = all(byte >= 32 or byte in (9, 10, 13) for byte in head)
    return "a text file" if printable else "a binary file of an unknown kind"


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns


# ---------------------------------------------------------------------------------------- HDF5

_LOCK = threading.RLock()
_HANDLES: OrderedDict[HDF5Source, _Handle] = OrderedDict()
_INHERITED: list[object] = []


class _Handle:
    """An open file and its datasets, by name."""

    def __init__(self, file: h5py.File):
        self.file = file
        self.datasets: OrderedDict[str, h5py.Dataset | None] = OrderedDict()
        self.chunks: dict[str, ZstdChunks | None] = {}


def _open_hdf5(path: str) -> h5py.File:
    """Open read-only, with h5py's own default for locking.

    HDF5 lets one process open a file only with one locking flag, so any other flag here would
    make every other library's `h5py.File(path)` fail. Where locks cannot be had (some network and
    read-only file systems), without.
    """
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as error:
        if "lock" not in str(error):
            raise
        return h5py.File(path, "r", locking=False)


def _forget_handles() -> None:
    """In a forked child: keep the parent's handles alive but never use them again."""
    global _LOCK, _HANDLES
    _INHERITED.append(_HANDLES)
    _HANDLES, _LOCK = OrderedDict(), threading.RLock()


os.register_at_fork(after_in_child=_forget_handles)


@cache
def _guard_forks() -> None:
    """See that no thread of ours is inside HDF5 while a fork copies the process.

    Called once h5py is imported, which has such a guard for its own lock: the one registered last
    runs first, and everywhere else our lock is taken before h5py's. The other way round, a fork
    and a reading thread would wait for each other for ever.
    """
    os.register_at_fork(before=lambda: _LOCK.acquire(), after_in_parent=lambda: _LOCK.release())


def close_all() -> None:
    """Close every file this process holds open (tests, and before a file is replaced)."""
    with _LOCK:
        while _HANDLES:
            _HANDLES.popitem()[1].file.close()


@dataclass(frozen=True)
class HDF5Source(Source):
    """An HDF5 file, read-only."""

    @contextmanager
    def _open(self, where: str = "") -> Iterator[_Handle]:
        """The handle under the lock; whatever h5py raises comes out with file and place."""
        with _LOCK:
            try:
                yield self._handle()
            except (FormatError, MissingPath):
                raise
            # h5py raises nearly anything on damaged files: OSError, KeyError, RuntimeError, ...
            except (MemoryError, KeyboardInterrupt):
                raise
            except Exception as error:
                raise FormatError(
                    self.path,
                    where,
                    expected="readable HDF5",
                    found=f"{type(error).__name__}: {error}",
                    hint="the file is truncated or damaged; compare its size or checksum with "
                    "the original",
                ) from error

    def _handle(self) -> _Handle:
        handle = _HANDLES.get(self)
        if handle is not None:
            _HANDLES.move_to_end(self)
            return handle
        import h5py  # noqa: F401
        import hdf5plugin  # noqa: F401  registers the filters

        _guard_forks()
        # HDF5 would take a file that was written anew in place for the one it has open.
        for old in [other for other in _HANDLES if other.path == self.path]:
            _HANDLES.pop(old).file.close()
        if _stamp(safety.regular_file(self.path)) != self.stamp:
            raise FormatError(
                self.path,
                expected="the file as it was when it was opened",
                found="another size or modification time",
                hint="open it again",
            )
        handle = _Handle(_open_hdf5(self.path))
        _HANDLES[self] = handle
        while len(_HANDLES) > MAX_OPEN:
            _HANDLES.popitem(last=False)[1].file.close()
        return handle

    def _dataset(self, handle: _Handle, name: str) -> h5py.Dataset | None:
        if name in handle.datasets:
            handle.datasets.move_to_end(name)
        else:
            import h5py

            location = safety.hdf5_location(handle.file, self.path, name)
            found = handle.file[location] if location else None
            if not isinstance(found, h5py.Dataset):
                found = None
            else:
                safety.check_hdf5_storage(found, self.path, name)
            handle.datasets[name] = found
            while len(handle.datasets) > MAX_DATASETS:
                handle.datasets.popitem(last=False)
        return handle.datasets[name]

    def names(self, group: str = "/") -> list[str]:
        import h5py

        with self._open(group) as handle:
            location = safety.hdf5_location(handle.file, self.path, group)
            node = handle.file[location] if location else None
            return sorted(node) if isinstance(node, h5py.Group) else []

    def info(self, name: str) -> Info | None:
        with self._open(name) as handle:
            dataset = self._dataset(handle, name)
            if dataset is None:
                return None
            if dataset.shape is None:  # H5S_NULL: declared, without a value
                return Info((0,), np.dtype("f8"), None)
            text = _is_text(dataset.dtype)
            dtype = np.dtype(object) if text or _is_reference(dataset.dtype) else dataset.dtype
            return Info(dataset.shape, dtype, dataset.chunks, text)

    def attrs(self, name: str = "/") -> dict[str, Any]:
        with self._open(name) as handle:
            location = safety.hdf5_location(handle.file, self.path, name)
            if not location:
                return {}
            node = handle.file[location]
            return {key: self._plain(handle, node, key) for key in node.attrs}

    def attr(self, name: str, key: str) -> Any:
        with self._open(name) as handle:
            node = self._dataset(handle, name)
            if node is None:
                location = safety.hdf5_location(handle.file, self.path, name)
                node = handle.file[location] if location else None
            return self._plain(handle, node, key) if node is not None and key in node.attrs else None

    def _plain(self, handle: _Handle, node: h5py.Group, key: str) -> Any:
        import h5py

        try:
            value = node.attrs[key]
        except (OSError, TypeError, ValueError):
            return None  # an attribute type h5py cannot read is not worth losing the file for
        if isinstance(value, h5py.Reference):
            return handle.file[value].name if value else ""
        if isinstance(value, h5py.Empty):
            return ""
        return plain(value)

    def identity(self, name: str) -> object:
        with self._open(name) as handle:
            dataset = self._dataset(handle, name)
            return None if dataset is None else hash(dataset.id)

    def read(self, name: str, key: Key = ()) -> np.ndarray:
        with self._open(name) as handle:
            dataset = self._dataset(handle, name)
            if dataset is None:
                raise FormatError(self.path, name, "a dataset", "nothing or a group")
            if dataset.shape is None:
                return np.empty(0)
            if key == () and dataset.shape == ():
                return _decode(handle, np.asarray(dataset[()]), dataset.dtype)
            allowed = self._allowance(dataset, name)
            chunks = _chunk_reader(handle, dataset, self.path, name)
            if chunks is None:
                blocks = dataset.chunks or _blocks(dataset.shape, dataset.dtype.itemsize)
                fetch = dataset.__getitem__
                raw = read_outer(fetch, dataset.shape, dataset.dtype, blocks, key, allowed)
                return _decode(handle, raw, dataset.dtype)
        return chunks.read(normalise(key, chunks.shape), allowed)  # outside the lock

    def _allowance(self, dataset: h5py.Dataset, name: str) -> Callable[[int], None]:
        def check(nbytes: int) -> None:
            safety.check_allocation(self.path, name, nbytes, self.stamp[1])

        return check


def _blocks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Block shape in which rows are picked from a contiguous dataset."""
    row = max(1, int(np.prod(shape[1:], dtype=np.int64)) * itemsize)
    return (max(1, min(_BLOCK // row, max(shape[0], 1))), *(max(n, 1) for n in shape[1:]))


def _is_text(dtype: np.dtype) -> bool:
    import h5py

    return dtype.kind == "S" or h5py.check_string_dtype(dtype) is not None


def _is_reference(dtype: np.dtype) -> bool:
    import h5py

    return h5py.check_ref_dtype(dtype) is not None


def _decode(handle: _Handle, raw: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Bytes to str, object references to paths, region references to row numbers."""
    import h5py

    if _is_text(dtype):
        return text_array(raw)
    if not _is_reference(dtype):
        return raw
    out = np.empty(raw.shape, object)
    for index, reference in np.ndenumerate(raw):
        if not reference:
            out[index] = ""
        elif isinstance(reference, h5py.RegionReference):
            space = h5py.h5r.get_region(reference, handle.file.id)
            low, high = space.get_select_bounds()
            out[index] = np.arange(low[0], high[0] + 1)
        else:
            out[index] = handle.file[reference].name
    return out


def _chunk_reader(
    handle: _Handle, dataset: h5py.Dataset, path: str, name: str
) -> ZstdChunks | None:
    """None, or a reader that takes whole zstd chunks past HDF5's filter pipeline."""
    if name not in handle.chunks:
        from neuroarrays.chunks import zstd_chunks

        handle.chunks[name] = zstd_chunks(dataset, path, name)
    return handle.chunks[name]


# ---------------------------------------------------------------------------------------- Zarr


@dataclass(frozen=True)
class ZarrSource(Source):
    """A Zarr group in a folder, format 2 or 3."""

    def names(self, group: str = "/") -> list[str]:
        folder = Path(self.path, group.strip("/"))
        try:
            names = [entry.name for entry in os.scandir(folder) if _is_zarr_node(entry.path)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        links = self.attrs(group).get("zarr_link", [])
        return sorted({*names, *(link["name"] for link in links if "name" in link)})

    def _resolve(self, name: str) -> str:
        """Follow hdmf-zarr's links, which stand in an attribute of the parent group."""
        here = ""
        for part in name.strip("/").split("/"):
            place = f"{here}/{part}" if here else part
            if not _is_zarr_node(Path(self.path, place)):
                links = _json(Path(self.path, here), "zarr_link") or []
                target = next((k for k in links if k.get("name") == part), None)
                if target is None:
                    return name.strip("/")
                if target.get("source", ".") not in (".", ""):
                    raise FormatError(
                        self.path, place, "data inside this store", "a link to another store"
                    )
                place = str(target["path"]).strip("/")
            if ".." in place.split("/"):
                raise FormatError(self.path, place, "data inside this store", "a path out of it")
            here = place
        return here

    def attrs(self, name: str = "/") -> dict[str, Any]:
        folder = Path(self.path, self._resolve(name) if name.strip("/") else "")
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
        scalar = self.attrs(name).get("zarr_dtype") == "scalar"
        try:
            if scalar or array.shape == ():
                raw = np.asarray(array[(0,) * len(array.shape)], array.dtype).reshape(())
            else:
                raw = read_outer(
                    lambda k: np.asarray(array[k]),
                    tuple(array.shape),
                    np.dtype(array.dtype),
                    tuple(array.chunks),
                    key,
                    lambda nbytes: self._check_size(resolved, nbytes),
                )
        except (FormatError, MemoryError):
            raise
        except Exception as error:  # zarr and its codecs raise anything on damaged chunks
            raise FormatError(
                self.path, name, "readable Zarr chunks", f"{type(error).__name__}: {error}"
            ) from error
        return text_array(raw) if array.dtype.kind in "OTUS" else raw

    def _check_size(self, name: str, nbytes: int) -> None:
        if nbytes > safety.ALWAYS_ALLOWED:
            files = (entry for entry in Path(self.path, name).rglob("*") if entry.is_file())
            safety.check_allocation(self.path, name, nbytes, sum(f.stat().st_size for f in files))


def _is_zarr_node(folder: str | os.PathLike[str]) -> bool:
    return any(
        os.path.isfile(os.path.join(folder, marker))
        for marker in ("zarr.json", ".zgroup", ".zarray")
    )


def _json(folder: Path, key: str | None = None) -> Any:
    """User attributes of a Zarr node, read from its metadata file."""
    for name in ("zarr.json", ".zattrs"):
        try:
            text = (folder / name).read_text()
        except OSError:
            continue
        try:
            content = json.loads(text)
        except ValueError as error:
            raise FormatError(folder / name, expected="JSON", found=str(error)) from error
        attrs = content.get("attributes", {}) if name == "zarr.json" else content
        return attrs if key is None else attrs.get(key)
    return None if key else {}


def _zarr_reference(value: Any) -> Any:
    """hdmf-zarr writes an object reference as a dict; we give the path it points to."""
    if isinstance(value, dict) and value.get("zarr_dtype") == "object":
        inner = value.get("value", value)
        return inner.get("path", "") if isinstance(inner, dict) else str(inner)
    return value


_ZARR: dict[tuple[int, ZarrSource, str], Any] = {}


def _zarr_array(source: ZarrSource, name: str) -> Any:
    """The zarr array at `name`, opened once per process; None if there is none."""
    key = os.getpid(), source, name
    if key not in _ZARR:
        folder = Path(source.path, name)
        try:
            if (folder / ".zarray").is_file():
                meta = json.loads((folder / ".zarray").read_text())
                is_object = meta.get("dtype") == "|O"
                filters = [] if is_object else meta.get("filters") or []
                _refuse_pickle(folder, [meta.get("compressor"), *filters])
                _ZARR[key] = _ObjectArray(folder, meta) if is_object else _open_zarr(source, name)
            elif (folder / "zarr.json").is_file():
                node = json.loads((folder / "zarr.json").read_text())
                _refuse_pickle(folder, node.get("codecs") or [])
                _ZARR[key] = _open_zarr(source, name) if node["node_type"] == "array" else None
            else:
                _ZARR[key] = None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(
                source.path, name, "readable Zarr metadata", f"{type(error).__name__}: {error}"
            ) from error
    return _ZARR[key]


def _refuse_pickle(folder: Path, codecs: list[Any]) -> None:
    """Refuse numcodecs' pickle codec wherever it stands: it would run what the file says."""
    for codec in codecs:
        name = str((codec or {}).get("id") or (codec or {}).get("name") or "")
        if "pickle" in name.lower():
            raise FormatError(folder, "", "numbers or text", f"the codec {name!r}")


def _open_zarr(source: ZarrSource, name: str) -> Any:
    try:
        import zarr
    except ImportError as error:
        raise MissingDependency("zarr", "zarr", f"reading {source.path}") from error
    try:
        return zarr.open_array(os.path.join(source.path, name), mode="r")
    except Exception as error:  # zarr raises anything on damaged metadata
        raise FormatError(
            source.path, name, "a Zarr array", f"{type(error).__name__}: {error}"
        ) from error


class _ObjectArray:
    """A format-2 array of Python objects (text), which zarr 3 refuses; decoded chunk by chunk.

    Only the text codecs are decoded.
    """

    dtype = np.dtype(object)

    def __init__(self, folder: Path, meta: dict[str, Any]):
        self.folder, self.meta = folder, meta
        self.shape, self.chunks = tuple(meta["shape"]), tuple(meta["chunks"])
        size = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
        nbytes = 8 * int(np.prod(self.shape, dtype=object))
        safety.check_allocation(str(folder), "", nbytes, size)

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
        return out[key]

    def _chunk(self, name: str) -> np.ndarray | None:
        import numcodecs

        file = self.folder / name.replace(".", self.meta.get("dimension_separator", "."))
        if not file.is_file():
            return None
        data: Any = file.read_bytes()
        if self.meta["compressor"]:
            data = numcodecs.get_codec(self.meta["compressor"]).decode(data)
        for codec in reversed(self.meta["filters"] or []):
            if codec["id"] not in ("vlen-utf8", "vlen-bytes", "json2"):
                raise FormatError(
                    self.folder, name, "text", f"the codec {codec['id']!r}", "it is not decoded"
                )
            data = numcodecs.get_codec(codec).decode(data)
        return np.asarray(data, object).reshape(self.chunks)


# ------------------------------------------------------------------------------------- helpers


def plain(value: Any) -> Any:
    """A plain Python value (str, int, float, bool, list of these) of an attribute."""
    if isinstance(value, bytes | np.bytes_):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.tolist()] if value.ndim else plain(value[()])
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def text_array(raw: np.ndarray) -> np.ndarray:
    """An object array of str from bytes, numpy strings or mixed objects."""
    raw = np.asarray(raw)
    out = np.empty(raw.shape, object)
    for index, value in np.ndenumerate(raw):
        out[index] = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return out


def normalise(key: Key, shape: tuple[int, ...]) -> Key:
    """An outer key with one entry per axis and no negative positions.

    Raises
    ------
    IndexError
        If a position is outside the axis.
    """
    key = tuple(key) + (slice(None),) * (len(shape) - len(key))
    out: list[int | slice | np.ndarray] = []
    for axis, (k, n) in enumerate(zip(key, shape, strict=True)):
        if isinstance(k, slice):
            out.append(slice(*k.indices(n)) if (k.step or 1) > 0 else _backwards(k, n))
            continue
        array = np.asarray(k)
        if array.dtype == bool:
            array = np.flatnonzero(array)
        if array.size and (array.min() < -n or array.max() >= n):
            msg = f"index out of bounds for axis {axis} of size {n}"
            raise IndexError(msg)
        array = np.where(array < 0, array + n, array).astype(np.int64)
        out.append(int(array) if array.ndim == 0 else array)
    return tuple(out)


def _backwards(key: slice, n: int) -> np.ndarray:
    return np.arange(*key.indices(n), dtype=np.int64)


def read_outer(
    fetch: Callable[[tuple[int | slice, ...]], np.ndarray],
    shape: tuple[int, ...],
    dtype: np.dtype,
    blocks: tuple[int, ...],
    key: Key,
    allowed: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Read an outer index through `fetch`, which only takes integers and slices.

    Positions picked along an axis are grouped by block, each block is fetched once as a slab, and
    numpy picks from it: h5py's own list selection costs milliseconds per row.
    """
    key = normalise(key, shape)
    picked = [axis for axis, k in enumerate(key) if isinstance(k, np.ndarray)]
    sizes = [
        k.size if isinstance(k, np.ndarray) else len(range(*k.indices(n)))
        for k, n in zip(key, shape, strict=True)
        if not isinstance(k, int)
    ]
    if allowed is not None:
        allowed(int(np.prod(sizes, dtype=object)) * dtype.itemsize)
    if not picked:
        return np.asarray(fetch(key))
    axis = max(picked, key=lambda a: shape[a] / max(blocks[a], 1))
    positions = key[axis]
    out_axis = sum(not isinstance(k, int) for k in key[:axis])
    others = [k for k in picked if k != axis]
    out = np.empty(sizes, dtype)
    if positions.size == 0:
        return out
    order = np.argsort(positions, kind="stable")
    ordered = positions[order]
    starts = np.flatnonzero(np.diff(ordered // blocks[axis], prepend=-1))
    for begin, end in zip(starts, [*starts[1:], ordered.size], strict=True):
        rows = ordered[begin:end]
        part = list(key)
        part[axis] = slice(int(rows[0]), int(rows[-1]) + 1)
        slab = (
            read_outer(fetch, shape, dtype, blocks, tuple(part))
            if others
            else np.asarray(fetch(tuple(part)))
        )
        place = (slice(None),) * out_axis + (order[begin:end],)
        out[place] = slab.take(rows - rows[0], axis=out_axis)
    return out
