"""An open HDF5 file, and what was looked up in it already: called under the lock of HDF5 only.

Names are looked up with HDF5's own calls: h5py's classes are several times as slow to make, and most objects
are looked at once.
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

#: Groups and datasets kept open per file (also names that lead nowhere), a table of NWB has a hundred;
#: paths of groups, and shapes, that are known; groups whose children are known.
_MAX_OBJECTS, _MAX_KNOWN, _MAX_LISTED = 256, 4096, 256


class Handle:
    """An open file and the objects already looked up in it, by name; None where there is no object.

    Parameters
    ----------
    file : h5py.File
        The file.
    location : Location
        Where it lies.
    stamp : tuple of int
        Of the content that it was opened with.
    behind : PositionedFile, optional
        What it is read through where it is not on this machine.
    """

    def __init__(
        self, file: h5py.File, location: Location, stamp: Stamp, behind: PositionedFile | None
    ):
        self.file, self.location, self.stamp, self.behind = file, location, stamp, behind
        self.objects: OrderedDict[str, h5py.h5g.GroupID | h5py.h5d.DatasetID | None] = OrderedDict()
        #: Those that values were read of: HDF5 keeps chunks of each.
        self.datasets: OrderedDict[str, h5py.Dataset] = OrderedDict()
        self.infos: dict[str, Info | None] = {}
        #: Hard paths of groups; "" where nothing is.
        self.locations: dict[str, str] = {}
        #: Of groups that were listed, by hard path, the kind of the link to each child.
        self.listed: dict[str, dict[str, int]] = {}
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

    def object(self, name: str) -> h5py.h5g.GroupID | h5py.h5d.DatasetID | None:
        """The dataset or group of a name; None where there is none.

        Raises
        ------
        FormatError
            On a link out of the file, or a dataset whose values lie outside it.
        """
        if name in self.objects:
            self.objects.move_to_end(name)
            return self.objects[name]
        from h5py import h5d, h5o

        place, item = self.hard_path(name), None
        if place:  # names in it need not be UTF-8
            item = h5o.open(self.file.id, place.encode("utf-8", "surrogateescape"))
        if isinstance(item, h5d.DatasetID):
            safety.check_hdf5_storage(item, self.location.path, name)
        self.objects[name] = item
        while len(self.objects) > _MAX_OBJECTS:
            self.objects.popitem(last=False)
        return item

    def hard_path(self, name: str) -> str:
        """The hard path of a name, "" where there is nothing; the path of its group is looked up once."""
        from h5py import h5l

        group, _, last = name.strip("/").rpartition("/")
        if group not in self.locations:
            if len(self.locations) >= _MAX_KNOWN:
                self.locations.clear()
            place = safety.hdf5_location(self.file, self.location.path, group) if group else "/"
            self.locations[group] = place
        above = self.locations[group]
        if not above:
            return ""
        if above in self.listed and last not in ("", "."):
            kind = self.listed[above].get(last)
            if kind is None:
                return ""
            if kind == h5l.TYPE_HARD:
                return f"{above.rstrip('/')}/{last}"
        return safety.hdf5_location(self.file, self.location.path, last, above)

    def links_of(self, group: str) -> dict[str, int]:
        """The children of a group, `in_order`, with the kind of the link to each; {} if it is none."""
        from h5py import h5g

        item = self.object(group)
        if not isinstance(item, h5g.GroupID):
            return {}
        place = self.hard_path(group)
        if place in self.listed:
            return self.listed[place]
        kinds: dict[str, int] = {}

        def note(name: bytes, link: h5py.h5l.LinkInfo) -> None:
            kinds[name.decode("utf-8", "surrogateescape")] = link.type

        item.links.iterate(note, info=True)  # an eighth of the time of h5py's own loop
        kinds = {name: kinds[name] for name in in_order(kinds)}
        if len(kinds) <= _MAX_KNOWN:
            if len(self.listed) >= _MAX_LISTED:
                self.listed.clear()
            self.listed[place] = kinds
        return kinds

    def dataset(self, name: str) -> h5py.Dataset | None:
        """The dataset of a name as h5py's own class; None for a group or nothing."""
        if name in self.datasets:
            return self.datasets[name]
        import h5py

        item = self.object(name)
        if not isinstance(item, h5py.h5d.DatasetID):
            return None
        return h5py.Dataset(item, readonly=True)  # else h5py asks the file for each

    def info(self, name: str) -> Info | None:
        """Shape and dtype of a dataset; None for a group or nothing."""
        if name not in self.infos:
            if len(self.infos) >= _MAX_KNOWN:
                self.infos.clear()
            self.infos[name] = _info(self.object(name))
        return self.infos[name]


def _info(item: h5py.h5g.GroupID | h5py.h5d.DatasetID | None) -> Info | None:
    from h5py import h5d, h5s

    if not isinstance(item, h5d.DatasetID):
        return None
    space = item.get_space()
    if space.get_simple_extent_type() == h5s.NULL:  # declared, without a value
        return Info((0,), np.dtype("f8"), None)
    stored, properties = item.dtype, item.get_create_plist()
    text = is_text(stored)
    dtype = np.dtype(object) if text or is_object_reference(stored) else stored
    is_chunked = properties.get_layout() == h5d.CHUNKED
    chunks = properties.get_chunk() if is_chunked else None
    return Info(space.get_simple_extent_dims(), dtype, chunks, text)
