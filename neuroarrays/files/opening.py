"""What lies at a path: how it is told, and the source that reads it."""

from __future__ import annotations

import os

from neuroarrays.errors import FormatError
from neuroarrays.files import folders, safety, source

#: The list of checksums in a Zarr archive of ours: a store that lost its metadata is still one.
CHECKSUMS = ".checksums"


def open_source(path: str | os.PathLike[str]) -> source.Source:
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
        from neuroarrays.files.zarr import ZarrSource

        return ZarrSource(path, folders.stamp(path))
    safety.check_pointer(path)
    safety.regular_file(path)
    if not is_hdf5(path):
        raise FormatError(path, expected="an HDF5 file or a Zarr folder", found=describe(path))
    opened = hdf5_source(path)
    opened.names("/")  # a truncated file is reported on opening, not at the first read
    return opened


def glance(path: str | os.PathLike[str]) -> source.Source:
    """The source of what is HDF5 or Zarr, to ask what its root says and no more.

    The files of a store are not looked at, which takes as long as it has many.
    """
    path = os.path.abspath(path)
    if is_zarr(path):
        from neuroarrays.files.zarr import ZarrSource

        return ZarrSource(path, source.stamp(os.stat(path)))
    return open_source(path)


def hdf5_source(path: str | os.PathLike[str]) -> source.Source:
    """The source of a file known to be HDF5, without opening it."""
    from neuroarrays.files.hdf5 import HDF5Source

    path = os.path.abspath(path)
    return HDF5Source(path, source.stamp(safety.regular_file(path)))


def close_all() -> None:
    """Close every file that this process holds open."""
    from neuroarrays.files import hdf5

    hdf5.handles.release()


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
                if file.read(8) == source.HDF5_MAGIC:
                    return True
                offset = offset * 2 or 512
    except OSError:
        pass
    return False


def is_zarr(path: str | os.PathLike[str]) -> bool:
    """Whether the folder is a Zarr group (format 2 or 3)."""
    return any(
        os.path.isfile(os.path.join(path, marker)) for marker in (".zgroup", "zarr.json", CHECKSUMS)
    )


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
        source.HDF5_MAGIC: "an HDF5 file",
        b"PK\x03\x04": "a zip file",
        b"\x93NUMPY": "an npy file",
        b"MATLAB 5.0": "a MATLAB v5 file",
        b"MATLAB 7.3": "a MATLAB v7.3 file",
        b"CDF": "a netCDF-3 file",
        b"\x80": "a pickle or other binary file",
    }
    for magic, kind in kinds.items():
        if head.startswith(magic):
            return kind
    printable = all(byte >= 32 or byte in (9, 10, 13) for byte in head)
    return "a text file" if printable else "a binary file of an unknown kind"
