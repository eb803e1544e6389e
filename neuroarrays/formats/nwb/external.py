"""Pictures in files beside an NWB file: those of an external `ImageSeries`, or of `ExternalImage`.

Only files in the folder of the NWB file, or below it, are read; a note names paths to other folders.
"""

from __future__ import annotations

import numpy as np

from neuroarrays.errors import FormatError, shorten
from neuroarrays.files import pictures
from neuroarrays.files.external_files import external_file
from neuroarrays.files.pictures import PictureFile
from neuroarrays.files.source import Source
from neuroarrays.formats.nwb.account import Account, reason_of
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.computed import Movie

#: The most files of one series, because opening reads the header of each.
_MOST_FILES = 10_000


def frames_of(account: Account, path: str) -> LazyArray | None:
    """Return the frames of a series whose pictures are in other files, (frame, y, x[, colour]), lazily.

    Returns None, and adds the reason to the account, if they cannot be read: if files are of other
    kinds (videos), missing or in other folders, or pictures differ in size.
    """
    source, where = account.source, f"{path}/external_file"
    names = [str(name) for name in np.ravel(source.read(where)).tolist()]
    listed = ", ".join(f"{name:.80}" for name in names[:4]) + (", ..." if len(names) > 4 else "")
    reason = f"no values; they are in {listed}"
    try:
        if not names or len(names) > _MOST_FILES or not all(map(_is_picture, names)):
            account.leave(path, reason if names else "no values, and no file that has them")
            return None
        files = [picture_of(source, where, name) for name in names]
        frames = pictures.one_size(files, source.path, f"/{where}")
        _check_starts(source, where, files)
    except FormatError as error:
        file = "" if error.path == source.path else f"{_name_of(error.path)}: "
        account.leave(path, f"{reason}: {file}{reason_of(error, where)}")
        return None
    account.take(where, f"{path}/data", f"{path}/starting_frame")
    return Movie(frames)


def picture_of(source: Source, where: str, name: str) -> PictureFile:
    """Return the pictures of one file that an NWB file names.

    Raises
    ------
    FormatError
        If the file is not a picture, is in another folder or missing, or Pillow is not installed.
    """
    if not _is_picture(name):
        expected = f"a picture ({', '.join(pictures.SUFFIXES)})"
        raise FormatError(source.path, f"/{where}", expected, f"{name!r:.120}")
    if not pictures.is_installed():
        expected = "the package Pillow, which reads pictures: pip install 'neuroarrays[images]'"
        raise FormatError(source.path, f"/{where}", expected, "none")
    return pictures.picture_file(external_file(source.location, f"/{where}", name))


def _is_picture(name: str) -> bool:
    """Whether a file name has the suffix of a picture."""
    return name.lower().endswith(pictures.SUFFIXES)


def _name_of(path: str) -> str:
    """Return the last part of a path."""
    return path.replace("\\", "/").rpartition("/")[2]


def _check_starts(source: Source, where: str, files: list[PictureFile]) -> None:
    """Check that the files have as many frames as the series tells.

    Raises
    ------
    FormatError
        If they do not.
    """
    stated = source.attr(where, "starting_frame")
    starts = np.cumsum([0, *(file.frames for file in files)])[:-1].tolist()
    if stated is not None and np.ravel(stated).tolist() != starts:
        expected = f"files of which the first frames are {shorten(starts, 4)}"
        raise FormatError(source.path, f"/{where}/starting_frame", expected, f"{stated!r:.80}")
