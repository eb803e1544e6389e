"""The opening of a recording as a context: which files were checked, and what is written to disk after it.

Opening a recording reads a file many times within a second. During an opening each file is compared
with its stamp only once; later reads compare it each time. The ranges that an opening reads of a remote
file are written to a sidecar for the next opening.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Opening:
    """The opening of one or several recordings.

    Attributes
    ----------
    compared : set of (Location, stamp)
        Files that were compared with their stamps.
    keep : dict
        Functions that are called if the opening ends without an error, by their owner.
    keeps : bool
        Whether sidecars of remote files are used and written.
    listed : dict
        Address of a prefix -> files below it; None if there are too many for one request.
    """

    compared: set[tuple[Any, tuple[int, ...]]] = field(default_factory=set)
    keep: dict[object, Callable[[], None]] = field(default_factory=dict)
    keeps: bool = True
    listed: dict[str, dict[str, tuple[int, ...]] | None] = field(default_factory=dict)


_current: ContextVar[Opening | None] = ContextVar("opening", default=None)


def current() -> Opening | None:
    """The opening that is under way in this thread; None if there is none."""
    return _current.get()


def keeps() -> bool:
    """Whether sidecars are used; only an opening with ``keep=False`` does not use them."""
    under_way = _current.get()
    return under_way is None or under_way.keeps


@contextmanager
def opening(keep: bool = True) -> Iterator[None]:
    """Make the block one opening; an opening inside another is a part of it.

    Parameters
    ----------
    keep : bool
        Whether sidecars of remote files are used and written.
    """
    if _current.get() is not None:
        yield
        return
    new = Opening(keeps=keep)
    token = _current.set(new)
    try:
        yield
    finally:
        _current.reset(token)
    _write(new)


def keep_now() -> None:
    """Write the sidecars of the opening now, for processes that are started during it."""
    under_way = _current.get()
    if under_way is not None:
        _write(under_way)


def _write(under_way: Opening) -> None:
    """Call the functions that write the sidecars of an opening, each once."""
    pending, under_way.keep = under_way.keep, {}
    for write in pending.values():
        write()


def trust(location: object, stamp: tuple[int, ...]) -> None:
    """Count a file as compared, because its stamp was taken during the opening."""
    under_way = _current.get()
    if under_way is not None:
        under_way.compared.add((location, stamp))
