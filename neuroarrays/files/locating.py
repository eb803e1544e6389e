"""From a path or URL to its location."""

from __future__ import annotations

import os

from neuroarrays.files import addresses
from neuroarrays.files.local import LocalLocation
from neuroarrays.files.location import Location, as_text


def locate(path_or_url: str | os.PathLike[str] | Location) -> Location:
    """Return the location of a path or URL; a location is returned unchanged.

    Raises
    ------
    MissingPath
        If the path is empty, or the address has a scheme that cannot be read.
    """
    if isinstance(path_or_url, Location):
        return path_or_url
    text = as_text(path_or_url)
    kind = addresses.kind_of(text)
    if not kind:
        return LocalLocation(text)
    if kind == "file":
        from urllib.parse import urlsplit
        from urllib.request import url2pathname  # here, as it also imports the http package

        return LocalLocation(url2pathname(urlsplit(text).path))
    from neuroarrays.files.remote import RemoteLocation

    return RemoteLocation(addresses.dandi_address(text))
