"""Stamps of recordings: what tells whether one is as it was when its rows were made."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from neuroarrays.errors import NeuroArraysError
from neuroarrays.files.location import FOLDER, Location, Status


def stamp_of(location: Location, status: Status | None = None) -> list[int]:
    """What tells one content of a recording from another, the same for a copy that keeps its times.

    Parameters
    ----------
    location : Location
        Of a file or folder.
    status : Status, optional
        What is there; asked for unless given.

    Returns
    -------
    list of int
        Of a file its size (bytes) and time of change (ns), of a folder the size and a digest of the
        names, sizes and times of all files; behind an address what the server says. [] where nothing can
        be reached.
    """
    try:
        status = status or location.status()
        if status.kind == FOLDER:
            known = location.folder_stamp()
            files = location.folder(known).files
            if location.local_path is None:
                return list(known)
            hasher = hashlib.blake2b(digest_size=8)
            for name in sorted(files):
                hasher.update(f"{name}\0{files[name][1:]}\n".encode("utf-8", "surrogateescape"))
            return [known[1], int.from_bytes(hasher.digest(), "little") >> 1]
    except (OSError, NeuroArraysError):
        return []
    return list(status.stamp[1:] if location.local_path is not None else status.stamp)


def stamp_text(stamp: Sequence[int]) -> str:
    """A stamp as it stands in the column of a table; "" of none."""
    return "-".join(str(number) for number in stamp)
