"""The opening of a recording that is under way: what was compared in it, and what is kept of it.

Opening looks into a file a hundred times in a moment: each is compared with its stamp once in there. What
is read later is compared again each time. A file behind an address keeps what opening read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Opening:
    """One opening.

    Attributes
    ----------
    compared : set of (Location, stamp)
        Files that were found to be as their stamps say.
    keep : dict
        What is called when it ends well, by whom.
    keeps : bool
        Whether what it reads from behind an address is kept on disk, and what is kept there is used.
    listed : dict
        Address of a prefix -> the files below it; None where there are too many to be listed at once.
    """

    compared: set[tuple[Any, tuple[int, ...]]] = field(default_factory=set)
    keep: dict[object, Callable[[], None]] = field(default_factory=dict)
    keeps: bool = True
    listed: dict[str, dict[str, tuple[int, ...]] | None] = field(default_factory=dict)


_current: ContextVar[Opening | None] = ContextVar("opening", default=None)


def current() -> Opening | None:
    """The opening that is under way in this thread, None if there is none."""
    return _current.get()


def keeps() -> bool:
    """Whether what is kept on disk is used: unless the opening that is under way says no."""
    under_way = _current.get()
    return under_way is None or under_way.keeps


@contextmanager
def opening(keep: bool = True) -> Iterator[None]:
    """An opening; one inside another is a part of it.

    Parameters
    ----------
    keep : bool
        Whether what it reads from behind an address is kept on disk, and what is kept there is used.
    """
    if _current.get() is not None:
        yield
        return
    begun = Opening(keeps=keep)
    token = _current.set(begun)
    try:
        yield
    finally:
        _current.reset(token)
    _write(begun)


def keep_now() -> None:
    """Keep on disk what the opening that is under way has read, for processes that begin in it."""
    under_way = _current.get()
    if under_way is not None:
        _write(under_way)


def _write(under_way: Opening) -> None:
    pending, under_way.keep = under_way.keep, {}
    for write in pending.values():
        write()


def trust(location: object, known: tuple[int, ...]) -> None:
    """Take a file as compared: its stamp was taken in the opening that is under way."""
    under_way = _current.get()
    if under_way is not None:
        under_way.compared.add((location, known))
