"""HDF5 files as a `Source`: one handle per file and process, under one lock, safe after a fork."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import hdf5_ahead, hdf5_structure, outer, safety, state
from neuroarrays.files.hdf5_values import decode, is_object_reference, is_text, path_of
from neuroarrays.files.outer import Key
from neuroarrays.files.positioned import LocalFile, Stream
from neuroarrays.files.source import Info, Source, check_unchanged, in_order, plain
from neuroarrays.files.state import cached_property

if TYPE_CHECKING:
    import h5py

    from neuroarrays.files.chunks import ZstdChunks
    from neuroarrays.files.location import Location, Stamp
    from neuroarrays.files.positioned import PositionedFile
    from neuroarrays.files.rows import Rows

#: Files kept open per process, datasets per file that values were read of, and the chunk cache that
#: HDF5 gives each of these, bytes.
MAX_OPEN, MAX_DATASETS, _CHUNK_CACHE = 32, 16, 1 << 20
#: Groups and datasets kept open per file (also names that lead nowhere), a table of NWB has a hundred;
#: paths of groups, and shapes, that are known.
_MAX_OBJECTS, _MAX_KNOWN = 256, 4096
#: Rows that a contiguous dataset is read in when rows are picked from it, bytes.
_BLOCK = 1 << 18


class _Handle:
    """An open file and the objects already looked up in it, by name; None where there is no object."""

    def __init__(
        self,
        file: h5py.File,
        location: Location,
        stamp: Stamp,
        behind: PositionedFile | None,
    ):
        self.file, self.location, self.stamp, self.behind = file, location, stamp, behind
        self.objects: OrderedDict[str, h5py.HLObject | None] = OrderedDict()
        #: Those of them that values were read of: HDF5 keeps chunks of each.
        self.datasets: OrderedDict[str, None] = OrderedDict()
        self.infos: dict[str, Info | None] = {}
        #: Hard paths of groups; "" where nothing is.
        self.locations: dict[str, str] = {}
        #: Readers of datasets past HDF5; None where only HDF5 can.
        self.chunks: dict[str, ZstdChunks | Rows | None] = {}

    @cached_property
    def positioned(self) -> PositionedFile | None:
        """The open file for positioned reads; None where only HDF5's own driver can read it."""
        from h5py import h5fd

        if self.location.local_path is None:
            return self.behind
        default = self.file.id.get_access_plist().get_driver() == h5fd.SEC2
        if not (default and hasattr(os, "preadv")):  # no descriptor of ours on Windows
            return None
        return LocalFile(self.location.path, os.dup(self.file.id.get_vfd_handle()))


def open_file(location: Location, behind: PositionedFile | None = None) -> h5py.File:
    """Open read-only, with h5py's own default for locking; through another file where one is given.

    HDF5 lets one process open a file only with one locking flag, so any other flag here would
    make every other library's `h5py.File(path)` fail. Where locks cannot be had (some network and
    read-only file systems), without.
    """
    import h5py

    path = location.local_path
    if behind is not None or path is None:
        return h5py.File(Stream(behind or hdf5_structure.opened(location, None)), "r")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if "lock" not in str(error):
            raise
        return h5py.File(path, "r", locking=False)


def _close(handle: _Handle) -> None:
    with state.hdf5:
        handle.file.close()


def _most_open() -> int:
    """How many files may stay open: each has two descriptors, and other code needs some as well."""
    return min(MAX_OPEN, (safety.descriptors() or 8 * MAX_OPEN) // 8)


#: Open files by source.
handles: state.Cache[_Handle] = state.Cache(
    MAX_OPEN * MAX_DATASETS * _CHUNK_CACHE,
    lambda _: MAX_DATASETS * _CHUNK_CACHE,
    entries=_most_open,
    close=_close,
)


class _Held:
    """The handle of a source under the lock of HDF5: a class, for opening a file enters it 600 times."""

    __slots__ = ("_source", "_where")

    def __init__(self, source: HDF5Source, where: str):
        self._source, self._where = source, where

    def __enter__(self) -> _Handle:
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
                del error  # which leads to this frame


@dataclass(frozen=True)
class HDF5Source(Source):
    """An HDF5 file, read-only."""

    def __hash__(self) -> int:
        return hash(self.location)  # each look at a file asks for it

    def _open(self, where: str = "") -> _Held:
        """The handle, held under the lock; errors of h5py are raised with the file and the place."""
        return _Held(self, where)

    @contextmanager
    def opened(self) -> Iterator[h5py.File]:
        """The file under the lock of HDF5, for code that calls HDF5 itself; errors name file and place."""
        with self._open() as handle:
            yield handle.file

    def _handle(self) -> _Handle:
        handle = handles.get(self)
        check_unchanged(self.location, self.stamp)
        if handle is not None:
            return handle
        import h5py  # noqa: F401
        import hdf5plugin  # noqa: F401  registers the filters

        state.guard_forks("h5py")
        # HDF5 would take a file that was written anew in place for the one it has open.
        handles.drop(lambda other: other.location == self.location and other.stamp != self.stamp)
        try:
            file, behind = self._file()
        except OSError as error:
            if not safety.too_many_open(error):
                raise
            handles.release()  # others may need as many as we had
            with safety.named(self.path):
                file, behind = self._file()
        return handles.put(self, _Handle(file, self.location, self.stamp, behind))

    def _file(self) -> tuple[h5py.File, PositionedFile | None]:
        """The file, opened, and what it is read through where it is not on this machine."""
        behind = None
        if self.location.local_path is None:
            behind = hdf5_structure.opened(self.location, self.stamp)
        return open_file(self.location, behind), behind

    def _positioned(self, handle: _Handle) -> PositionedFile | None:
        """The open file for positioned reads past HDF5; None where HDF5 alone can read it."""
        return handle.positioned

    def _object(self, handle: _Handle, name: str) -> h5py.HLObject | None:
        """The dataset or group of a name; None where there is none."""
        if name in handle.objects:
            handle.objects.move_to_end(name)
            return handle.objects[name]
        import h5py

        location = self._location(handle, name)
        item = _at(handle, location) if location else None
        if isinstance(item, h5py.Dataset):
            safety.check_hdf5_storage(item, self.path, name)
        handle.objects[name] = item
        while len(handle.objects) > _MAX_OBJECTS:
            handle.objects.popitem(last=False)
        return item

    def _location(self, handle: _Handle, name: str) -> str:
        """The hard path of a name, "" where there is nothing; the path of its group is looked up once."""
        group, _, last = name.strip("/").rpartition("/")
        if group not in handle.locations:
            if len(handle.locations) >= _MAX_KNOWN:
                handle.locations.clear()
            location = safety.hdf5_location(handle.file, self.path, group) if group else "/"
            handle.locations[group] = location
        above = handle.locations[group]
        return safety.hdf5_location(handle.file, self.path, last, above) if above else ""

    def _dataset(self, handle: _Handle, name: str) -> h5py.Dataset | None:
        import h5py

        item = self._object(handle, name)
        return item if isinstance(item, h5py.Dataset) else None

    def names(self, group: str = "/") -> list[str]:
        import h5py

        with self._open(group) as handle:
            node = self._object(handle, group)
            if not isinstance(node, h5py.Group):
                return []
            links: list[bytes] = []
            node.id.links.iterate(links.append)  # an eighth of the time of h5py's own loop
            return in_order(name.decode("utf-8", "surrogateescape") for name in links)

    def info(self, name: str) -> Info | None:
        with self._open(name) as handle:
            if name not in handle.infos:
                if len(handle.infos) >= _MAX_KNOWN:
                    handle.infos.clear()
                handle.infos[name] = _info(self._dataset(handle, name))
            return handle.infos[name]

    def attrs(self, name: str = "/") -> dict[str, Any]:
        with self._open(name) as handle:
            node = self._object(handle, name)
            attrs = {} if node is None else node.attrs
            return {key: self._plain(handle, attrs, key) for key in attrs}

    def attr(self, name: str, key: str) -> Any:
        with self._open(name) as handle:
            node = self._object(handle, name)
            if node is None or key not in (attrs := node.attrs):
                return None
            return self._plain(handle, attrs, key)

    def _plain(self, handle: _Handle, attrs: h5py.AttributeManager, key: str) -> Any:
        import h5py

        try:
            value = attrs[key]
        except (OSError, TypeError, ValueError):
            return None  # an attribute type h5py cannot read is not worth losing the file for
        if isinstance(value, h5py.Reference):
            return path_of(handle.file, value)
        if isinstance(value, h5py.Empty):
            return ""
        return plain(value)

    def identity(self, name: str) -> object:
        with self._open(name) as handle:
            node = self._object(handle, name)
            return None if node is None else hash(node.id)

    def link(self, name: str) -> str | None:
        import h5py
        from h5py import h5l

        parent, _, last = name.strip("/").rpartition("/")
        with self._open(name) as handle:
            group = self._object(handle, parent)
            encoded = last.encode("utf-8", "surrogateescape")
            if not isinstance(group, h5py.Group) or not encoded:
                return None
            links = group.id.links
            if not links.exists(encoded) or links.get_info(encoded).type == h5l.TYPE_HARD:
                return None
            target = links.get_val(encoded)
            parts = target if isinstance(target, tuple) else (target,)
            return ":".join(part.decode("utf-8", "replace") for part in parts)

    def ahead(self, name: str, stretches: Sequence[tuple[int, int]]) -> None:
        if self.location.local_path is not None:
            return
        with self._open(name) as handle:
            file, dataset = self._positioned(handle), self._dataset(handle, name)
            if file is not None and dataset is not None:
                hdf5_ahead.rows(file, dataset, stretches)

    def read(self, name: str, key: Key = ()) -> np.ndarray:
        return self._read(name, key)

    def read_into(self, name: str, key: Key, out: np.ndarray) -> None:
        values = self._read(name, key, out)
        if values is not out:
            out[...] = values

    def _read(self, name: str, key: Key, out: np.ndarray | None = None) -> np.ndarray:
        """Values of a key; written into `out` if they are read without HDF5 and outside the lock."""
        with self._open(name) as handle:
            direct = _direct_reader(self, handle, name)
            if direct is None:
                return self._through_hdf5(handle, name, key)
        values = direct.read(outer.normalise(key, direct.shape), self._allowance(name, key), out)
        if values is None:
            with self._open(name) as handle:
                return self._through_hdf5(handle, name, key)
        return values

    def _through_hdf5(self, handle: _Handle, name: str, key: Key) -> np.ndarray:
        dataset = self._dataset(handle, name)
        if dataset is None:
            raise FormatError(self.path, name, "a dataset", "nothing or a group")
        if dataset.shape is None:
            return np.empty(0)
        handle.datasets[name] = None
        handle.datasets.move_to_end(name)
        while len(handle.datasets) > MAX_DATASETS:
            handle.objects.pop(handle.datasets.popitem(last=False)[0], None)  # with its chunks
        dtype = dataset.dtype  # h5py makes it anew each time
        if key == () and dataset.shape == ():
            return decode(handle.file, np.asarray(dataset[()]), dtype)
        blocks = dataset.chunks or _blocks(dataset.shape, dtype.itemsize)
        allowed = self._allowance(name, key)
        file = self._positioned(handle)
        if file is not None and file.waits:
            hdf5_ahead.values(file, dataset, outer.normalise(key, dataset.shape))
        fetch = dataset.__getitem__
        raw = outer.read_outer(fetch, dataset.shape, dtype, blocks, key, allowed)
        return decode(handle.file, raw, dtype)

    def _allowance(self, name: str, key: Key) -> Callable[[int], None]:
        """A check of bytes; nothing is said of what to read where it is read on opening."""
        check = safety.check_whole if key == () else safety.check_allocation
        return lambda nbytes: check(self.path, name, nbytes, self.stamp[1])


def _at(handle: _Handle, location: str) -> h5py.HLObject:
    """The object at a hard path; names in it need not be UTF-8."""
    import h5py

    encoded = location.encode("utf-8", "surrogateescape")
    item = h5py.h5o.open(handle.file.id, encoded)
    if isinstance(item, h5py.h5d.DatasetID):  # h5py asks the file for each whether it is read-only
        return h5py.Dataset(item, readonly=True)
    return h5py.Group(item) if isinstance(item, h5py.h5g.GroupID) else handle.file[encoded]


def _info(dataset: h5py.Dataset | None) -> Info | None:
    if dataset is None:
        return None
    shape = dataset.shape
    if shape is None:  # H5S_NULL: declared, without a value
        return Info((0,), np.dtype("f8"), None)
    stored = dataset.dtype  # h5py makes it anew each time
    text = is_text(stored)
    plain_object = text or is_object_reference(stored)
    dtype = np.dtype(object) if plain_object else stored
    return Info(shape, dtype, dataset.chunks, text)


def _blocks(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Block shape in which rows are picked from a contiguous dataset."""
    row = max(1, int(np.prod(shape[1:], dtype=np.int64)) * itemsize)
    return (max(1, min(_BLOCK // row, max(shape[0], 1))), *(max(n, 1) for n in shape[1:]))


def _direct_reader(source: HDF5Source, handle: _Handle, name: str) -> ZstdChunks | Rows | None:
    """A reader that reads chunks or rows without HDF5, or None where only HDF5 can read them."""
    if name not in handle.chunks:
        from neuroarrays.files.chunks import zstd_chunks
        from neuroarrays.files.rows import stored_rows

        dataset, file = source._dataset(handle, name), source._positioned(handle)
        reader: ZstdChunks | Rows | None = None
        if dataset is not None and dataset.shape is not None and file is not None:
            reader = zstd_chunks(dataset, source.path, name, file)
            reader = reader or stored_rows(dataset, source.path, name, file)
        handle.chunks[name] = reader
    return handle.chunks[name]
