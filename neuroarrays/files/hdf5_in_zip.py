"""HDF5 files that are members of a zip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuroarrays.files import zips
from neuroarrays.files.hdf5 import HDF5Source

if TYPE_CHECKING:
    import h5py


@dataclass(frozen=True)
class ZippedHDF5(HDF5Source):
    """An HDF5 file inside a zip: read where it lies if it is stored, else unpacked without a name."""

    member: str = ""

    def _file(self) -> h5py.File:
        import h5py

        file = zips.open_member(self.path, self.stamp, self.member)
        try:
            return h5py.File(file, "r")
        except Exception:
            file.close()
            raise
