"""Look at several files at a time: the members of a list, or the files of a folder.

Each look at a file on a server takes the time of a request. Whoever looks at one of many files looks
at the others next, so the next ones are requested with it. A group is small enough that what was
read of its files is still cached when they are opened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from neuroarrays.errors import NeuroArraysError
from neuroarrays.files.location import Location


class Located(Protocol):
    """Something with a location, such as the header of a file."""

    @property
    def location(self) -> Location:
        """Where it lies."""


L = TypeVar("L", bound=Located)

#: Files that are requested at once.
MOST = 16


class Neighbours(Generic[L]):
    """Files that are looked at one after another.

    Parameters
    ----------
    members : sequence of Located
        The files, in the order in which they are looked at.
    """

    def __init__(self, members: Sequence[L]):
        self._members = members
        self._numbers = {id(member): number for number, member in enumerate(members)}
        self._begun: set[tuple[str, int]] = set()

    def look_at(self, member: L, what: str, look: Callable[[L], object]) -> None:
        """Look at a file and the others of its group, once.

        Parameters
        ----------
        member : Located
            The file that is asked for.
        what : str
            What is looked for; each is looked for once.
        look : callable
            Makes a member find it out and remember it. Errors are ignored here; they are raised when
            that member itself is asked.
        """
        group = self._numbers[id(member)] // MOST
        if (what, group) in self._begun:
            return
        self._begun.add((what, group))
        waiting = [m for m in self._members[group * MOST : (group + 1) * MOST] if m.location.waits]
        if len(waiting) < 2:
            return
        from neuroarrays.files import network  # brings http along

        def quietly(neighbour: L) -> None:
            """Look at a file, and leave errors to the look at this file itself."""
            with contextlib.suppress(NeuroArraysError, OSError):
                look(neighbour)

        for _ in network.side_by_side(quietly, waiting, "places"):
            pass
