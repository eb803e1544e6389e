"""Names that a name, a list or a glob picks: sessions, areas, series, tables."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence

from neuroarrays.errors import NotInTree


def chosen(names: Iterable[str], wanted: str | Sequence[str] | None, kind: str) -> list[str]:
    """The names that a name, list or glob picks; all for None.

    Raises
    ------
    NotInTree
        If something asked for picks nothing.
    """
    names = list(names)
    if wanted is None:
        return names
    for pattern in [wanted] if isinstance(wanted, str) else wanted:
        if not any(matches(name, pattern) for name in names):
            raise NotInTree(kind, pattern, names)
    return [name for name in names if matches(name, wanted)]


def matches(name: str, wanted: str | Sequence[str]) -> bool:
    """Whether a name is one asked for, or fits a glob asked for."""
    patterns = [wanted] if isinstance(wanted, str) else wanted
    return any(name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
