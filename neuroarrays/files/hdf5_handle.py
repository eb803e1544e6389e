"""An open HDF5 file with the objects that were looked up in it. It is used under the lock of HDF5 only.

Names are looked up with h5py's low-level calls, as its high-level objects take several times as long
to create, and most objects are needed only once.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np

from neuroarrays.files import safety
from neuroarrays.files.hdf5_values import is_object_reference, is_text
from neuroarrays.files.positioned import LocalFile
from neuroarrays.files.source import Info, in_order
from neuroarrays.files.state import cached_property

if TYPE_CHECKING:
    import h5py

    from neuroarrays.files.chunks import ZstdChunks
    from neuroarrays.files.location import Location, Stamp
    from neuroarrays.files.positioned import PositionedFile
    from neuroarrays.files.rows import Rows

#: Largest numbers, per file, of open groups and datasets (also names that do not exist; an NWB table
#: has about a hundred), of remembered group paths and shapes, and of groups with known children.
_MAX_OBJECTS, _MAX_KNOWN, _MAX_LISTED = 256, 4096, 256


class Handle:
    """An open file and the objects that were looked up in it, by name.

    Parameters
    ----------
    file : h5py.File
        The file.
    location : Location
        Where the file lies.
    stamp : tuple of int
        The stamp of the file when it was opened.
    behind : PositionedFile, optional
        The remote file that h5py reads through; None for a file on this machine.
    """

    def __init__(
        self, file: h5py.File, location: Location, stamp: Stamp, behind: PositionedFile | None
    ):
        self.file, self.location, self.stamp, self.behind = file, location, stamp, behind
        #: Open objects; None for a name without an object.
        self.objects: OrderedDict[str, h5py.h5g.GroupID | h5py.h5d.DatasetID | None] = OrderedDict()
        #: Datasets that values were read from; HDF5 keeps a chunk cache for each.
        self.datasets: OrderedDict[str, h5py.Dataset] = OrderedDict()
        self.infos: dict[str, Info | None] = {}
        #: Hard paths of groups (paths without soft links); "" where there is no group.
        self.locations: dict[str, str] = {}
        #: Hard path of a group -> the kind of link to each of its children.
        self.listed: dict[str, dict[str, int]] = {}
        #: Readers of datasets that do without HDF5; None where only HDF5 can read the dataset.
        self.chunks: dict[str, ZstdChunks | Rows | None] = {}

    @cached_property
    def positioned(self) -> PositionedFile | None:
        """The open file for reads at a position; None where only HDF5's own driver can read it."""
        from h5py import h5fd

        if self.location.local_path is None:
            return self.behind
        has_descriptor = self.file.id.get_access_plist().get_driver() == h5fd.SEC2
        if not has_descriptor or not hasattr(os, "preadv"):  # Windows has no preadv
            return None
        return LocalFile(self.location.path, os.dup(self.file.id.get_vfd_handle()))

    def object(self, name: str) -> h5py.h5g.GroupID | h5py.h5d.DatasetID | None:
        """Return the dataset or group of a name; None where there is none.

        Raises
        ------
        FormatError
            If the name is a link out of the file, or a dataset whose values lie outside the file.
        """
        if name in self.objects:
            self.objects.move_to_end(name)
            return self.objects[name]
        from h5py import h5d, h5o

        path, item = self.hard_path(name), None
        if path:  # its names need not be UTF-8
            item = h5o.open(self.file.id, path.encode("utf-8", "surrogateescape"))
        if isinstance(item, h5d.DatasetID):
            safety.check_hdf5_storage(item, self.location.path, name)
        self.objects[name] = item
        while len(self.objects) > _MAX_OBJECTS:
            self.objects.popitem(last=False)
        return item

    def hard_path(self, name: str) -> str:
        """Return the path of a name without soft links, "" where there is nothing.

        The path of the group that the name is in is looked up once.
        """
        from h5py import h5l

        group, _, last = name.strip("/").rpartition("/")
        if group not in self.locations:
            if len(self.locations) >= _MAX_KNOWN:
                self.locations.clear()
            path = safety.hdf5_location(self.file, self.location.path, group) if group else "/"
            self.locations[group] = path
        parent = self.locations[group]
        if not parent:
            return ""
        if parent in self.listed and last not in ("", "."):
            kind = self.listed[parent].get(last)
            if kind is None:
                return ""
            if kind == h5l.TYPE_HARD:
                return f"{parent.rstrip('/')}/{last}"
        return safety.hdf5_location(self.file, self.location.path, last, parent)

    def links_of(self, group: str) -> dict[str, int]:
        """Return child -> kind of its link for a group, sorted by `in_order`; {} for anything else."""
        from h5py import h5g

        item = self.object(group)
        if not isinstance(item, h5g.GroupID):
            return {}
        path = self.hard_path(group)
        if path in self.listed:
            return self.listed[path]
        kinds: dict[str, int] = {}

        def note(name: bytes, link: h5py.h5l.LinkInfo) -> None:
            kinds[name.decode("utf-8", "surrogateescape")] = link.type

        item.links.iterate(note, info=True)  # eight times as fast as h5py's own loop
        kinds = {name: kinds[name] for name in in_order(kinds)}
        if len(kinds) <= _MAX_KNOWN:
            if len(self.listed) >= _MAX_LISTED:
                self.listed.clear()
            self.listed[path] = kinds
        return kinds

    def dataset(self, name: str) -> h5py.Dataset | None:
        """Return the h5py dataset of a name; None for a group or where there is nothing."""
        if name in self.datasets:
            return self.datasets[name]
        import h5py

        item = self.object(name)
        if not isinstance(item, h5py.h5d.DatasetID):
            return None
        return h5py.Dataset(item, readonly=True)  # without `readonly` h5py looks it up in the file

    def info(self, name: str) -> Info | None:
        """Return shape and dtype of a dataset; None for a group or where there is nothing."""
        if name not in self.infos:
            if len(self.infos) >= _MAX_KNOWN:
                self.infos.clear()
            self.infos[name] = _info(self.object(name))
        return self.infos[name]


def _info(item: h5py.h5g.GroupID | h5py.h5d.DatasetID | None) -> Info | None:
    """Return shape, dtype and chunks of a dataset; None for anything else."""
    from h5py import h5d, h5s

    if not isinstance(item, h5d.DatasetID):
        return None
    space = item.get_space()
    if space.get_simple_extent_type() == h5s.NULL:  # an HDF5 dataset without values
        return Info((0,), np.dtype("f8"), None)
    stored, properties = item.dtype, item.get_create_plist()
    text = is_text(stored)
    dtype = np.dtype(object) if text or is_object_reference(stored) else stored
    is_chunked = properties.get_layout() == h5d.CHUNKED
    chunks = properties.get_chunk() if is_chunked else None
    return Info(space.get_simple_extent_dims(), dtype, chunks, text)
