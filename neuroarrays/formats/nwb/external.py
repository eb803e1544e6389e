"""Pictures that an NWB file names and that lie beside it: an `ImageSeries` of format external, `ExternalImage`.

Only files in the folder of the NWB file, or below it, are looked at; what leads elsewhere is a note.
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

#: The most files of one series: the header of each is looked at on opening.
_MOST_FILES = 10_000


def frames_of(account: Account, path: str) -> LazyArray | None:
    """The frames of a series whose pictures are in files of their own, (frame, y, x[, colour]), lazily.

    None, and the reason in the account, where they cannot be read: other kinds of files (videos),
    files that are not there or lead elsewhere, pictures of several sizes.
    """
    source, where = account.source, f"{path}/external_file"
    names = [str(name) for name in np.ravel(source.read(where)).tolist()]
    in_words = f"no values; they are in {', '.join(f'{name:.80}' for name in names[:4])}" + (
        ", ..." * (len(names) > 4)
    )
    try:
        if not names or len(names) > _MOST_FILES or not all(map(_is_picture, names)):
            account.leave(path, in_words if names else "no values, and no file that has them")
            return None
        files = [picture_of(source, where, name) for name in names]
        frames = pictures.one_size(files, source.path, f"/{where}")
        _check_starts(source, where, files)
    except FormatError as error:
        of_file = "" if error.path == source.path else f"{_name_of(error.path)}: "
        account.leave(path, f"{in_words}: {of_file}{reason_of(error, where)}")
        return None
    account.take(where, f"{path}/data", f"{path}/starting_frame")
    return Movie(frames)


def picture_of(source: Source, where: str, name: str) -> PictureFile:
    """The pictures of one file that an NWB file names.

    Raises
    ------
    FormatError
        If it is no picture, leads elsewhere, is not there, or Pillow is not installed.
    """
    if not _is_picture(name):
        expected = f"a picture ({', '.join(pictures.SUFFIXES)})"
        raise FormatError(source.path, f"/{where}", expected, f"{name!r:.120}")
    if not pictures.is_installed():
        expected = "the package Pillow, which reads pictures: pip install 'neuroarrays[images]'"
        raise FormatError(source.path, f"/{where}", expected, "none")
    return pictures.picture_file(external_file(source.location, f"/{where}", name))


def _is_picture(name: str) -> bool:
    return name.lower().endswith(pictures.SUFFIXES)


def _name_of(path: str) -> str:
    """The last part of a path."""
    return path.replace("\\", "/").rpartition("/")[2]


def _check_starts(source: Source, where: str, files: list[PictureFile]) -> None:
    """Whether the files have as many frames as the series says.

    Raises
    ------
    FormatError
        If not.
    """
    stated = source.attr(where, "starting_frame")
    starts = np.cumsum([0, *(file.frames for file in files)])[:-1].tolist()
    if stated is not None and np.ravel(stated).tolist() != starts:
        expected, found = (
            f"files of which the first frames are {shorten(starts, 4)}",
            f"{stated!r:.80}",
        )
        raise FormatError(source.path, f"/{where}/starting_frame", expected, found)
