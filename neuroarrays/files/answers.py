"""What a server answers: bytes and what it says of them, or why there are none. No address is in either."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Statuses of a server that may answer when it is asked again.
BUSY = (408, 425, 429, 500, 502, 503, 504)


class NetworkError(OSError):
    """What a request led to; it never holds an address.

    Attributes
    ----------
    kind : str
        One of "missing", "denied", "unknown host", "refused", "no ranges", "changed", "unchanged",
        "redirects", "empty", "credentials", "address", "forked", "busy", "other".
    """

    def __init__(self, kind: str, words: str):
        super().__init__(words)
        self.kind, self.words = kind, words


@dataclass(frozen=True)
class Answer:
    """Bytes, and what a server says of the file that they are from.

    Attributes
    ----------
    data : bytes
        From the first byte asked for; fewer where the file ends.
    size : int
        Bytes of the file.
    tag : str
        Its ETag, "" where there is none.
    modified : int
        Time of change, s since 1970; 0 where it is not said.
    address : str
        Where the bytes came from in the end.
    """

    data: bytes
    size: int
    tag: str
    modified: int
    address: str

    @property
    def is_unchanged(self) -> bool:
        """Whether the file is the one whose tag was said, so that nothing else is said of it."""
        return self.size < 0


def unchanged(tag: str, address: str) -> Answer:
    """The answer that a file still has a tag."""
    return Answer(b"", -1, tag, 0, address)


def of_status(code: int, start: int) -> NetworkError:
    """What a status of HTTP means."""
    if code == 416 and start == 0:
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
    """A time as seconds since 1970; 0 for none."""
    return int(when.timestamp()) if when else 0
