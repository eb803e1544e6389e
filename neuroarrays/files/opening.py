"""Sources of paths and URLs, and closing them: for those who have a path of their own and no probe."""

from __future__ import annotations

import os

from neuroarrays.files.probe import probe_of
from neuroarrays.files.source import Source


def open_source(path: str | os.PathLike[str]) -> Source:
    """The source of a file or store of arrays.

    Raises
    ------
    MissingPath
        If there is nothing at `path`.
    FormatError
        If it holds no arrays, or is damaged.
    """
    return probe_of(path).source


def close_all() -> None:
    """Close every file that this process holds open."""
    from neuroarrays.files import hdf5

    hdf5.handles.release()
