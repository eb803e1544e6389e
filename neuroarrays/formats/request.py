"""`Request`: the sessions and areas that a caller wants, and whether damaged ones are skipped.

All readers use it, so that globs and damaged sessions are treated in one way.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from neuroarrays import schema
from neuroarrays.errors import FormatError, MissingPath, option
from neuroarrays.files import safety
from neuroarrays.schema.names import chosen, matches


class Request:
    """The sessions and areas that a caller wants: names, globs, or all of them.

    Parameters
    ----------
    sessions, areas : str or list of str, optional
        The arguments of `neuroarrays.open_datatree`; None means all.
    skip_damaged : bool
        Whether a session that cannot be read is left out, with a note, instead of an error.

    Attributes
    ----------
    notes : list of str
        What was left out and why; they become the attribute ``notes`` of the tree.
    """

    def __init__(
        self,
        sessions: str | Sequence[str] | None = None,
        areas: str | Sequence[str] | None = None,
        skip_damaged: bool = False,
    ):
        self._sessions, self._areas, self.skip_damaged = sessions, areas, skip_damaged
        self._known_areas: dict[str, None] = {}
        self.notes: list[str] = []

    @property
    def every_session(self) -> bool:
        """Whether all sessions are wanted."""
        return self._sessions is None

    @property
    def by_name(self) -> bool:
        """Whether the sessions are given by name, without a glob."""
        if self._sessions is None:
            return False
        names = [self._sessions] if isinstance(self._sessions, str) else self._sessions
        return not any(set("*?[") & set(name) for name in names)

    @property
    def every_area(self) -> bool:
        """Whether all areas are wanted."""
        return self._areas is None

    def sessions(self, names: Iterable[str]) -> list[str]:
        """Return the wanted sessions among the names of all sessions.

        Raises
        ------
        NotInTree
            If a wanted session is not among them.
        """
        return chosen(names, self._sessions, "session")

    def area(self, name: str) -> bool:
        """Whether an area of a session is wanted; `check` later knows that the area exists."""
        self._known_areas[name] = None
        return self._areas is None or matches(name, self._areas)

    def areas(self, names: Iterable[str]) -> list[str]:
        """Return the wanted areas among the names of areas of one or several sessions."""
        return [name for name in names if self.area(name)]

    def rows(self, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the rows of a catalogue that belong to the wanted sessions and areas.

        Raises
        ------
        NotInTree
            If no row is of a wanted session or area.
        """
        rows = list(rows)
        sessions = set(self.sessions(dict.fromkeys(row.get(schema.SESSION, "") for row in rows)))
        rows = [row for row in rows if row.get(schema.SESSION, "") in sessions]
        rows = [row for row in rows if not row.get(schema.AREA) or self.area(row[schema.AREA])]
        self.check()
        return rows

    @contextmanager
    def sparing(
        self, name: str, path: object, several: bool = True, notes: list[str] | None = None
    ) -> Iterator[None]:
        """Open one session in this context: with `skip_damaged`, an error becomes a note.

        Parameters
        ----------
        name : str
            Name of the session, or of a part of it.
        path : str, path or Probe
            Path of the session, for messages.
        several : bool
            Whether there are other sessions; only then an error gets a hint about `skip_damaged`.
        notes : list of str, optional
            The list that gets the note (default: the notes of the tree).

        Raises
        ------
        FormatError, MissingPath
            If the session cannot be read, unless `skip_damaged`.
        """
        try:
            with safety.named(os.fspath(path) if isinstance(path, os.PathLike) else str(path)):
                yield
        except (FormatError, MissingPath) as error:
            if self.skip_damaged:
                (self.notes if notes is None else notes).append(f"{name} left out: {error}")
            elif several and isinstance(error, FormatError) and _hint() not in error.hint:
                raise error.with_hint(_hint()) from error
            else:
                raise

    def check(self) -> None:
        """Check that each wanted area was in some session; the base class of readers calls it.

        Raises
        ------
        NotInTree
            If an area was in no session.
        """
        chosen(self._known_areas, self._areas, schema.AREA)


def _hint() -> str:
    """Return the hint to open all sessions that are not damaged."""
    return f"{option('skip_damaged', True)} opens the other sessions"
