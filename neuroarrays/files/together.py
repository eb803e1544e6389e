"""Places that are asked for side by side: the members of a list, and what is in a folder.

Each answer of a server is waited for. Whoever looks at one of many places looks at the others next, so that
the next ones are asked for with it, so many at a time that what was read of them is still kept when they
are opened.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from neuroarrays.errors import NeuroArraysError
from neuroarrays.files.location import Location


class Place(Protocol):
    """Something that lies somewhere, such as the header of a file."""

    @property
    def location(self) -> Location: ...


P = TypeVar("P", bound=Place)

#: Places that are asked for at once.
MOST = 16


class Together(Generic[P]):
    """Places that are looked at one after another.

    Parameters
    ----------
    members : sequence of Place
        The places, in the order in which they are looked at.
    """

    def __init__(self, members: Sequence[P]):
        self._members = members
        self._numbers = {id(member): number for number, member in enumerate(members)}
        self._begun: set[tuple[str, int]] = set()

    def ahead(self, member: P, what: str, look: Callable[[P], object]) -> None:
        """Look at a place and those beside it, once.

        Parameters
        ----------
        member : Place
            The place that is asked for.
        what : str
            What is looked for; each is looked for once.
        look : callable
            Makes a place find it out and remember it. What fails is said when that place is asked.
        """
        group = self._numbers[id(member)] // MOST
        if (what, group) in self._begun:
            return
        self._begun.add((what, group))
        waiting = [m for m in self._members[group * MOST : (group + 1) * MOST] if m.location.waits]
        if len(waiting) < 2:
            return
        from neuroarrays.files import network  # brings http along

        def quietly(place: P) -> None:
            with contextlib.suppress(NeuroArraysError, OSError):
                look(place)

        for _ in network.side_by_side(quietly, waiting, "places"):
            pass
