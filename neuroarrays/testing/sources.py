"""Sources of paths for tests and benchmarks, and closing the HDF5 files that a process holds open."""

from __future__ import annotations

import os

from neuroarrays.files import hdf5
from neuroarrays.files.probe import probe_of
from neuroarrays.files.source import Source


def open_source(path: str | os.PathLike[str]) -> Source:
    """Return the source of a file or store of arrays.

    Raises
    ------
    MissingPath
        If there is nothing at `path`.
    FormatError
        If it holds no arrays, or is damaged.
    """
    return probe_of(path).source


def close_all() -> None:
    """Close every HDF5 file that this process holds open."""
    hdf5.handles.release()
