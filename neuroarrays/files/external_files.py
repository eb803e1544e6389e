"""Files that another file names: only those in its folder or below are looked at."""

from __future__ import annotations

import os
import re

from neuroarrays.errors import FormatError
from neuroarrays.files.location import Location
from neuroarrays.files.probe import Probe


def external_file(location: Location, where: str, stated: str) -> Probe:
    """The file that a file names by a relative path, in its own folder or below it.

    A file of data is not believed where it leads elsewhere: an address, an absolute path, ``..``, or a
    link out of the folder could make a program open anything that its user may read.

    Parameters
    ----------
    location : Location
        Of the file that names it.
    where : str
        The place in that file, for the error.
    stated : str
        The path; names may have / or backslashes between them.

    Raises
    ------
    FormatError
        If it leads elsewhere, if nothing or no file is there, or if `location` is behind an address.
    """
    said = f"{stated!r:.120}"

    def refused(reason: str) -> FormatError:
        expected = "a file in the folder of this one, or below it"
        return FormatError(location.path, where, expected, f"{said}, {reason}")

    parts = [part for part in re.split(r"[\\/]", stated) if part not in ("", ".")]
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", stated):
        raise refused("an address")
    if not parts or "\0" in stated:
        raise refused("no path")
    if re.match(r"[\\/~]|[A-Za-z]:", stated):
        raise refused("an absolute path")
    if ".." in parts:
        raise refused("which leads out of it")
    if location.local_path is None:
        raise refused("which is not looked for behind an address")
    folder = location.parent
    file = Probe(folder.child("/".join(parts)))
    if not file.is_file:
        raise refused("where there is no file")
    inside = os.path.realpath(folder.path)
    if not os.path.realpath(file.path).startswith(os.path.join(inside, "")):
        raise refused("a link that leads out of it")
    return file
