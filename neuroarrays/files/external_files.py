"""External files: files that another file names by a relative path."""

from __future__ import annotations

import os
import re

from neuroarrays.errors import FormatError
from neuroarrays.files.location import Location
from neuroarrays.files.probe import Probe


def external_file(location: Location, where: str, stated: str) -> Probe:
    """Return the file that another file names by a relative path, in its own folder or below.

    A path that leads out of the folder is refused: with an address, an absolute path, ``..`` or a
    symbolic link, a prepared file could make a program open anything that its user may read.

    Parameters
    ----------
    location : Location
        Where the file lies that names the other.
    where : str
        The position of the path in that file, for errors.
    stated : str
        The relative path; its parts may be separated by slashes or backslashes.

    Raises
    ------
    FormatError
        If the path leads out of the folder, if there is no file, or if `location` is not on this
        machine.
    """

    def refused(reason: str) -> FormatError:
        expected = "a file in the folder of this one, or below it"
        return FormatError(location.path, where, expected, f"{stated!r:.120}, {reason}")

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
    real_folder = os.path.realpath(folder.path)
    if not os.path.realpath(file.path).startswith(os.path.join(real_folder, "")):
        raise refused("a link that leads out of it")
    return file
