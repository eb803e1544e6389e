"""The place that a path or URL means."""

from __future__ import annotations

import os

from neuroarrays.files import addresses
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
    kind = addresses.kind_of(text)
    if not kind:
        return LocalLocation(text)
    if kind == "file":
        from urllib.parse import urlsplit
        from urllib.request import url2pathname  # brings http along

        return LocalLocation(url2pathname(urlsplit(text).path))
    from neuroarrays.files.remote import RemoteLocation

    return RemoteLocation(addresses.dandi_address(text))
