"""The place that a path or URL means."""

from __future__ import annotations

import os

from neuroarrays.errors import MissingPath
from neuroarrays.files.local import LocalLocation
from neuroarrays.files.location import Location, as_text


def locate(path_or_url: str | os.PathLike[str] | Location) -> Location:
    """The place that a path or URL means; a location as it is.

    Raises
    ------
    MissingPath
        On an empty path, and on an address of a kind that is not read.
    """
    if isinstance(path_or_url, Location):
        return path_or_url
    text = as_text(path_or_url)
    if "://" in text:
        msg = f"{text}: URLs are not read yet; download the file and give its path"
        raise MissingPath(msg)
    return LocalLocation(text)
