"""Stamps of recordings, by which a survey sees whether a recording has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from neuroarrays.errors import NeuroArraysError
from neuroarrays.files.location import FOLDER, Location, Status


def stamp_of(location: Location, status: Status | None = None) -> list[int]:
    """Return the stamp of a recording. It changes with the content, but not if a copy keeps the times.

    Parameters
    ----------
    location : Location
        A file or folder.
    status : Status, optional
        Its status, if it is known already.

    Returns
    -------
    list of int
        For a file, its size (bytes) and time of modification (ns). For a folder, its size and a
        digest of the names, sizes and times of all files. For a remote file, what the server states.
        Empty if it cannot be reached.
    """
    try:
        status = status or location.status()
        if status.kind == FOLDER:
            stamp = location.folder_stamp()
            files = location.folder(stamp).files
            if location.local_path is None:
                return list(stamp)
            hasher = hashlib.blake2b(digest_size=8)
            for name in sorted(files):
                hasher.update(f"{name}\0{files[name][1:]}\n".encode("utf-8", "surrogateescape"))
            return [stamp[1], int.from_bytes(hasher.digest(), "little") >> 1]
    except (OSError, NeuroArraysError):
        return []
    return list(status.stamp[1:] if location.local_path is not None else status.stamp)


def stamp_text(stamp: Sequence[int]) -> str:
    """Return a stamp as text, for the column of a table; "" for an empty stamp."""
    return "-".join(str(number) for number in stamp)
