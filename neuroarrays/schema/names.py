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


def fitted(name: str, pattern: str) -> tuple[str, ...] | None:
    """What each "*" of a pattern stands for in a name, none of it beyond a level; None if it fits not.

    Of several ways an earlier "*" takes more. Parts are looked for from the end and never again, so
    that it takes no longer with many "*".
    """
    parts, wanted = name.split("/"), pattern.split("/")
    if len(parts) != len(wanted):
        return None
    texts: list[str] = []
    for part, level in zip(parts, wanted, strict=True):
        stars = _stars(part, level)
        if stars is None:
            return None
        texts += stars
    return tuple(texts)


def _stars(text: str, pattern: str) -> list[str] | None:
    """What each "*" stands for within one level."""
    first, *pieces = pattern.split("*")
    if not pieces:
        return [] if text == pattern else None
    *middle, last = pieces
    end = len(text) - len(last)
    if end < len(first) or not text.startswith(first) or not text.endswith(last):
        return None
    texts = []
    for piece in reversed(middle):
        at = text.rfind(piece, len(first), end)
        if at < 0:
            return None
        texts.append(text[at + len(piece) : end])
        end = at
    return [text[len(first) : end], *reversed(texts)]


def matches(name: str, wanted: str | Sequence[str]) -> bool:
    """Whether a name is one asked for, or fits a glob asked for."""
    patterns = [wanted] if isinstance(wanted, str) else wanted
    return any(name == pattern or fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
