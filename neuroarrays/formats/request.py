"""Which sessions and areas were asked for: every reader asks here, so that globs mean one thing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from neuroarrays.schema.names import chosen, matches


class Request:
    """The sessions and areas that a caller wants: names, globs, or all of them.

    Parameters
    ----------
    sessions, areas : str or list of str, optional
        As given to `neuroarrays.open_datatree`; None is all.
    """

    def __init__(
        self,
        sessions: str | Sequence[str] | None = None,
        areas: str | Sequence[str] | None = None,
    ):
        self._sessions, self._areas = sessions, areas
        self._there: dict[str, None] = {}

    @property
    def every_session(self) -> bool:
        """Whether all sessions are wanted."""
        return self._sessions is None

    @property
    def every_area(self) -> bool:
        """Whether all areas are wanted."""
        return self._areas is None

    def sessions(self, names: Iterable[str]) -> list[str]:
        """Those that are wanted of all sessions that there are.

        Raises
        ------
        NotInTree
            If a session asked for is not among them.
        """
        return chosen(names, self._sessions, "session")

    def area(self, name: str) -> bool:
        """Whether an area that there is, in some session, is wanted."""
        self._there[name] = None
        return self._areas is None or matches(name, self._areas)

    def areas(self, names: Iterable[str]) -> list[str]:
        """Those that are wanted of the areas of a session, or of several."""
        return [name for name in names if self.area(name)]

    def rows(self, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of a catalogue that are of the sessions and areas wanted.

        Raises
        ------
        NotInTree
            If a session or area asked for is in none of them.
        """
        rows = list(rows)
        picked = set(self.sessions(dict.fromkeys(row.get("session", "") for row in rows)))
        mine = [row for row in rows if row.get("session", "") in picked]
        kept = [row for row in mine if not row.get("area") or self.area(row["area"])]
        self.check()
        return kept

    def check(self) -> None:
        """See to it that every area asked for was in some session; the base of readers does.

        Raises
        ------
        NotInTree
            If one was in none.
        """
        chosen(self._there, self._areas, "area")
