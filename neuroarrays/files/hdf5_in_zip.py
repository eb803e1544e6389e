"""HDF5 files that are members of a zip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neuroarrays.files import zips
from neuroarrays.files.hdf5 import HDF5Source

if TYPE_CHECKING:
    import h5py

    from neuroarrays.files.positioned import PositionedFile


@dataclass(frozen=True)
class ZippedHDF5(HDF5Source):
    """An HDF5 file inside a zip: read where it lies if it is stored, else unpacked without a name."""

    member: str = ""

    def _file(self) -> tuple[h5py.File, None]:
        import h5py

        file = zips.open_member(self.location, self.stamp, self.member)
        try:
            return h5py.File(file, "r"), None
        except Exception:
            file.close()
            raise

    def _positioned(self, handle: Any) -> PositionedFile | None:
        return None
