"""The response of a server to a request: bytes and their file's size, tag and date, or an error.

The text of a `NetworkError` never contains an address, as an address may hold a password.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: HTTP statuses after which a request is worth repeating.
BUSY = (408, 425, 429, 500, 502, 503, 504)


class NetworkError(OSError):
    """A request that failed. Its text never contains an address.

    Attributes
    ----------
    kind : str
        One of "missing", "denied", "unknown host", "refused", "no ranges", "changed", "unchanged",
        "redirects", "empty", "credentials", "address", "forked", "busy", "other".
    words : str
        What was found in place of the file, for messages.
    """

    def __init__(self, kind: str, words: str):
        super().__init__(words)
        self.kind, self.words = kind, words


@dataclass(frozen=True)
class Response:
    """Bytes of a file, and what the server says about the file.

    Attributes
    ----------
    data : bytes
        The requested bytes; fewer where the file ends.
    size : int
        Size of the file, bytes; -1 if the server said only that the file is unchanged.
    tag : str
        ETag of the file, "" where it has none.
    modified : int
        Time of the last change, s since 1970; 0 where the server does not say.
    address : str
        The address that the bytes came from after all redirects.
    """

    data: bytes
    size: int
    tag: str
    modified: int
    address: str

    @property
    def is_unchanged(self) -> bool:
        """Whether the server said only that the file still has the tag that the request named."""
        return self.size < 0


def unchanged(tag: str, address: str) -> Response:
    """Return the response that a file still has this tag."""
    return Response(b"", -1, tag, 0, address)


def of_status(code: int, start: int) -> NetworkError:
    """Return the error for an HTTP status, of a request for bytes from `start` on."""
    if code == 416 and start == 0:  # "range not satisfiable" from the first byte on
        return NetworkError("empty", "an empty file")
    kind, words = _STATUSES.get(code, ("", ""))
    if kind:
        return NetworkError(kind, f"{words} (status {code})" if kind == "denied" else words)
    kind = "busy" if code in BUSY else "other"
    return NetworkError(kind, f"a server that fails (status {code})")


_CIRCLE = ("redirects", "redirects in a circle, or to where nothing can be read")
_STATUSES = {
    304: ("unchanged", "the same file"),
    **dict.fromkeys((404, 410), ("missing", "nothing")),
    **dict.fromkeys((401, 403), ("denied", "no permission")),
    412: ("changed", "another file"),
    **dict.fromkeys((301, 302, 303, 307, 308), _CIRCLE),
}


def seconds(when: Any) -> int:
    """Return a datetime as seconds since 1970, and None as 0."""
    return int(when.timestamp()) if when else 0
