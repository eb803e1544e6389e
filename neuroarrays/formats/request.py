"""What a caller wants of a path, and what is to be done with what cannot be read.

Every reader asks here, so that globs mean one thing, and a damaged session is treated in one way.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from neuroarrays.errors import FormatError, MissingPath, option
from neuroarrays.files import safety
from neuroarrays.schema.names import chosen, matches


class Request:
    """The sessions and areas that a caller wants: names, globs, or all of them.

    Parameters
    ----------
    sessions, areas : str or list of str, optional
        As given to `neuroarrays.open_datatree`; None is all.
    skip_damaged : bool
        Whether a session that cannot be read is left out, and said so in `notes`.

    Attributes
    ----------
    notes : list of str
        What was left out, and why: the attribute ``notes`` of the tree.
    """

    def __init__(
        self,
        sessions: str | Sequence[str] | None = None,
        areas: str | Sequence[str] | None = None,
        skip_damaged: bool = False,
    ):
        self._sessions, self._areas, self.skip_damaged = sessions, areas, skip_damaged
        self._there: dict[str, None] = {}
        self.notes: list[str] = []

    @property
    def every_session(self) -> bool:
        """Whether all sessions are wanted."""
        return self._sessions is None

    @property
    def by_name(self) -> bool:
        """Whether the sessions are named one by one, without a glob."""
        if self._sessions is None:
            return False
        names = [self._sessions] if isinstance(self._sessions, str) else self._sessions
        return not any(set("*?[") & set(name) for name in names)

    @property
    def every_area(self) -> bool:
        """Whether all areas are wanted."""
        return self._areas is None

    def sessions(self, names: Iterable[str]) -> list[str]:
        """The wanted ones among all sessions.

        Raises
        ------
        NotInTree
            If a session asked for is not among them.
        """
        return chosen(names, self._sessions, "session")

    def area(self, name: str) -> bool:
        """Whether an area of some session is wanted."""
        self._there[name] = None
        return self._areas is None or matches(name, self._areas)

    def areas(self, names: Iterable[str]) -> list[str]:
        """The wanted ones among the areas of one or several sessions."""
        return [name for name in names if self.area(name)]

    def rows(self, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows of a catalogue that belong to the wanted sessions and areas.

        Raises
        ------
        NotInTree
            If a session or area asked for is in none of them.
        """
        rows = list(rows)
        picked = set(self.sessions(dict.fromkeys(row.get("session", "") for row in rows)))
        of_sessions = [row for row in rows if row.get("session", "") in picked]
        kept = [row for row in of_sessions if not row.get("area") or self.area(row["area"])]
        self.check()
        return kept

    @contextmanager
    def sparing(
        self, name: str, path: object, several: bool = True, notes: list[str] | None = None
    ) -> Iterator[None]:
        """Open one session of several: what is wrong with it is an error, or a note if so asked.

        Parameters
        ----------
        name : str
            Of the session, or of a part of it.
        path : str, path or Probe
            Where it lies, for messages.
        several : bool
            Whether there are others: only then the option is worth a hint.
        notes : list of str, optional
            Takes the note in place of `notes` of the tree.

        Raises
        ------
        FormatError, MissingPath
            Whatever goes wrong, unless `skip_damaged`.
        """
        try:
            with safety.named(os.fspath(path) if isinstance(path, os.PathLike) else str(path)):
                yield
        except (FormatError, MissingPath) as error:
            if self.skip_damaged:
                (self.notes if notes is None else notes).append(f"{name} left out: {error}")
            elif several and isinstance(error, FormatError) and _hint() not in error.hint:
                hint = "; ".join(filter(None, (error.hint, _hint())))
                raise type(error)(
                    error.path, error.where, error.expected, error.found, hint
                ) from error
            else:
                raise

    def check(self) -> None:
        """Check that every area asked for was in some session; called by the base of readers.

        Raises
        ------
        NotInTree
            If one was in none.
        """
        chosen(self._there, self._areas, "area")


def _hint() -> str:
    """The hint to open all sessions that are not damaged."""
    return f"{option('skip_damaged', True)} opens the other sessions"
