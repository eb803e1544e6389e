"""HDF5 files as a `Source`: one open handle per file and process, used under one lock, safe after a fork."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import hdf5_prefetch, hdf5_structure_prefetch, outer, safety, state, zips
from neuroarrays.files.hdf5_handle import Handle
from neuroarrays.files.hdf5_values import decode, path_of, unwritten_part
from neuroarrays.files.outer import Key
from neuroarrays.files.positioned import Stream
from neuroarrays.files.source import Info, Source, check_unchanged, plain

if TYPE_CHECKING:
    import h5py

    from neuroarrays.files.chunks import ZstdChunks
    from neuroarrays.files.location import Location
    from neuroarrays.files.positioned import PositionedFile
    from neuroarrays.files.rows import Rows

#: Files that a process keeps open, datasets that stay open per file after values were read from them,
#: and the size of the chunk cache that HDF5 keeps for each dataset, bytes.
MAX_OPEN, MAX_DATASETS, _CHUNK_CACHE = 32, 16, 1 << 20
#: Size of the blocks of rows in which a contiguous dataset is read when rows are selected, bytes.
_BLOCK = 1 << 18


def open_file(location: Location, behind: PositionedFile | None = None) -> h5py.File:
    """Open an HDF5 file for reading, through the open file `behind` where one is given.

    A local file is opened with h5py's default for locking. HDF5 lets a process open a file with only
    one locking flag, so another flag would make `h5py.File(path)` of every other library fail. Where
    the file system does not support locks (some network and read-only ones), none is used.
    """
    import h5py

    path = location.local_path
    if behind is not None or path is None:
        return h5py.File(Stream(behind or hdf5_structure_prefetch.opened(location, None)), "r")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if "lock" not in str(error):
            raise
        return h5py.File(path, "r", locking=False)


def _close(handle: Handle) -> None:
    with state.hdf5:
        handle.file.close()


def _most_open() -> int:
    """Return how many files may stay open: each uses two descriptors, and other code needs some."""
    return min(MAX_OPEN, (safety.descriptors() or 8 * MAX_OPEN) // 8)


#: Open files by source.
handles: state.Cache[Handle] = state.Cache(
    MAX_OPEN * MAX_DATASETS * _CHUNK_CACHE,
    lambda _: MAX_DATASETS * _CHUNK_CACHE,
    entries=_most_open,
    close=_close,
)


class _LockedHandle:
    """A context that holds the lock of HDF5 and gives the handle of a source.

    It is a class because opening a recording enters it hundreds of times, and `contextmanager` is
    slower.
    """

    __slots__ = ("_source", "_where")

    def __init__(self, source: HDF5Source, where: str):
        self._source, self._where = source, where

    def __enter__(self) -> Handle:
        state.hdf5.__enter__()
        try:
            return self._source._handle()
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        state.hdf5.__exit__()
        if error is not None:
            try:
                with safety.readable(self._source.path, self._where, "readable HDF5"):
                    raise error
            finally:
                del error  # its traceback refers to this frame


@dataclass(frozen=True)
class HDF5Source(Source):
    """An HDF5 file, read-only."""

    def __hash__(self) -> int:
        return hash(self.location)  # the stamp is left out because every read computes this hash

    def _open(self, where: str = "") -> _LockedHandle:
        """Return a context with the handle, under the lock; errors of h5py name the file and `where`."""
        return _LockedHandle(self, where)

    @contextmanager
    def opened(self) -> Iterator[h5py.File]:
        """Give the h5py file under the lock of HDF5, for code that calls HDF5 itself."""
        with self._open() as handle:
            yield handle.file

    def _handle(self) -> Handle:
        """Return the handle of the file, which is opened if it is not open yet."""
        handle = handles.get(self)
        check_unchanged(self.location, self.stamp)
        if handle is not None:
            return handle
        import h5py  # noqa: F401
        import hdf5plugin  # noqa: F401  registers the filters

        state.guard_forks("h5py")
        # HDF5 would confuse a file that was rewritten in place with the one that it has open.
        handles.drop(lambda other: other.location == self.location and other.stamp != self.stamp)
        try:
            file, behind = self._file()
        except OSError as error:
            if not safety.too_many_open(error):
                raise
            handles.release()  # our own open files may be the ones that use up the descriptors
            with safety.named(self.path):
                file, behind = self._file()
        return handles.put(self, Handle(file, self.location, self.stamp, behind))

    def _file(self) -> tuple[h5py.File, PositionedFile | None]:
        """Open the file; return it and the remote file that it is read through, None for a local one."""
        behind = None
        if self.location.local_path is None:
            behind = hdf5_structure_prefetch.opened(self.location, self.stamp)
        return open_file(self.location, behind), behind

    def names(self, group: str = "/") -> list[str]:
        with self._open(group) as handle:
            return list(handle.links_of(group))

    def info(self, name: str) -> Info | None:
        with self._open(name) as handle:
            return handle.info(name)

    def attrs(self, name: str = "/") -> dict[str, Any]:
        import h5py

        with self._open(name) as handle:
            item = handle.object(name)
            attrs = {} if item is None else h5py.HLObject(item).attrs
            return {key: self._plain(handle, attrs, key) for key in attrs}

    def attr(self, name: str, key: str) -> Any:
        import h5py

        with self._open(name) as handle:
            item = handle.object(name)
            if item is None or not h5py.h5a.exists(item, key.encode()):
                return None
            return self._plain(handle, h5py.HLObject(item).attrs, key)

    def _plain(self, handle: Handle, attrs: h5py.AttributeManager, key: str) -> Any:
        import h5py

        try:
            value = attrs[key]
        except (OSError, TypeError, ValueError):
            return None  # h5py cannot read this type; the rest of the file is still readable
        if isinstance(value, h5py.Reference):
            return path_of(handle.file, value)
        if isinstance(value, h5py.Empty):
            return ""
        return plain(value)

    def unwritten(self, name: str) -> str:
        if self.location.local_path is None:
            return ""  # it would take requests
        with self._open(name) as handle:
            dataset = handle.dataset(name)
            return "" if dataset is None or not dataset.size else unwritten_part(dataset)

    def identity(self, name: str) -> object:
        with self._open(name) as handle:
            item = handle.object(name)
            return None if item is None else hash(item)

    def link(self, name: str) -> str | None:
        from h5py import h5l

        parent, _, last = name.strip("/").rpartition("/")
        with self._open(name) as handle:
            group, kind = handle.object(parent), handle.links_of(parent).get(last)
            if group is None or kind is None or kind == h5l.TYPE_HARD:
                return None
            target = group.links.get_val(last.encode("utf-8", "surrogateescape"))
            parts = target if isinstance(target, tuple) else (target,)
            return ":".join(part.decode("utf-8", "replace") for part in parts)

    def prefetch(self, name: str, stretches: Sequence[tuple[int, int]]) -> None:
        if self.location.local_path is not None:
            return
        with self._open(name) as handle:
            file, dataset = handle.positioned, handle.dataset(name)
            if file is not None and dataset is not None:
                hdf5_prefetch.rows(file, dataset, stretches)

    def read(self, name: str, key: Key = ()) -> np.ndarray:
        return self._read(name, key)

    def read_into(self, name: str, key: Key, out: np.ndarray) -> None:
        values = self._read(name, key, out)
        if values is not out:
            out[...] = values

    def _read(self, name: str, key: Key, out: np.ndarray | None = None) -> np.ndarray:
        """Return the values that a key selects.

        They are written into `out` only if they are read without HDF5, outside the lock.
        """
        with self._open(name) as handle:
            direct = _direct_reader(self, handle, name)
            if direct is None:
                return self._through_hdf5(handle, name, key)
        values = direct.read(outer.normalise(key, direct.shape), self._allowance(name, key), out)
        if values is None:
            with self._open(name) as handle:
                return self._through_hdf5(handle, name, key)
        return values

    def _through_hdf5(self, handle: Handle, name: str, key: Key) -> np.ndarray:
        """Read values with HDF5 itself."""
        dataset = handle.dataset(name)
        if dataset is None:
            raise FormatError(self.path, name, "a dataset", "nothing or a group")
        if dataset.shape is None:
            return np.empty(0)
        handle.datasets[name] = dataset
        handle.datasets.move_to_end(name)
        while len(handle.datasets) > MAX_DATASETS:
            handle.objects.pop(handle.datasets.popitem(last=False)[0], None)  # with its chunks
        dtype = dataset.dtype  # h5py makes it anew each time
        shape, allowed = dataset.shape, self._allowance(name, key)
        file = handle.positioned
        if file is not None and file.waits:
            hdf5_prefetch.values(file, dataset, outer.normalise(key, shape))
        if key == ():
            allowed(math.prod(shape) * dtype.itemsize)
            return decode(handle.file, np.asarray(dataset[()]), dtype)
        blocks = dataset.chunks or _blocks(shape, dtype.itemsize)
        raw = outer.read_outer(dataset.__getitem__, shape, dtype, blocks, key, allowed)
        return decode(handle.file, raw, dtype)

    def _allowance(self, name: str, key: Key) -> Callable[[int], None]:
        """Return a check that raises if a read of so many bytes is too large for this file.

        An array that is read whole is read on opening, where no smaller selection can be suggested.
        """
        check = safety.check_whole if key == () else safety.check_allocation
        return lambda nbytes: check(self.path, name, nbytes, self.stamp[1])


@dataclass(frozen=True)
class ZippedHDF5(HDF5Source):
    """An HDF5 file that is a member of a zip file.

    A stored member is read where it lies; a deflated one is unpacked into a nameless temporary file.
    """

    member: str = ""

    def _file(self) -> tuple[h5py.File, None]:
        import h5py

        file = zips.open_member(self.location, self.stamp, self.member)
        try:
            return h5py.File(file, "r"), None
        except Exception:
            file.close()
            raise


def _blocks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the shape of the blocks in which rows of a contiguous dataset are read."""
    row = max(1, math.prod(shape[1:]) * itemsize)
    return (max(1, min(_BLOCK // row, max(shape[0], 1))), *(max(n, 1) for n in shape[1:]))


def _direct_reader(source: HDF5Source, handle: Handle, name: str) -> ZstdChunks | Rows | None:
    """Return a reader of chunks or rows that does not use HDF5; None where only HDF5 can read them."""
    if name not in handle.chunks:
        from neuroarrays.files.chunks import zstd_chunks
        from neuroarrays.files.rows import stored_rows

        info = handle.info(name)
        is_plain = info is not None and info.shape and info.dtype.kind != "O"
        file = handle.positioned if is_plain else None
        dataset = None if file is None else handle.dataset(name)
        reader: ZstdChunks | Rows | None = None
        if dataset is not None and dataset.shape is not None and file is not None:
            reader = zstd_chunks(dataset, source.path, name, file)
            reader = reader or stored_rows(dataset, source.path, name, file)
        handle.chunks[name] = reader
    return handle.chunks[name]
