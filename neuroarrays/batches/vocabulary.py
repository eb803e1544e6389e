"""`Vocabulary`: numbers for units, sessions and subjects that are the same in all recordings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches import gathering
from neuroarrays.errors import NotInTree, SchemaError, many
from neuroarrays.schema.given import check


@dataclass(frozen=True)
class Vocabulary:
    """Numbers of units, sessions and subjects, from 1 on; 0 is for padding and for missing names.

    Attributes
    ----------
    units : tuple of str
        ``session/area/unit_id`` of each unit; the first has the number 1.
    sessions : tuple of str
        Paths of the sessions.
    subjects : tuple of str
        The attribute `subject` of the sessions.

    Examples
    --------
    >>> import neuroarrays as na
    >>> words = na.batches.Vocabulary.of(na.load_sample())
    >>> len(words.units), words.units[0], words.sessions
    (15, 'A2929-200711/adn/0', ('A2929-200711',))
    """

    units: tuple[str, ...]
    sessions: tuple[str, ...]
    subjects: tuple[str, ...]

    @classmethod
    def of(cls, areas: Any) -> Vocabulary:
        """Make a vocabulary, with names in alphabetical order for any order of recordings.

        Parameters
        ----------
        areas : DataTree, or iterable of these
            Recording trees, or areas of them with spikes.

        Returns
        -------
        Vocabulary
            A vocabulary for all datasets of one training.

        Raises
        ------
        SchemaError
            If there is no area with spikes, or two recordings have areas of the same path.
        """
        return cls((), (), ()).extended(areas)

    def extended(self, areas: Any) -> Vocabulary:
        """Add recordings: existing names keep their numbers, new names follow.

        Parameters
        ----------
        areas : DataTree, or iterable of these
            As for `of`.

        Returns
        -------
        Vocabulary
            A new vocabulary.
        """
        units: set[str] = set()
        sessions: set[str] = set()
        subjects: set[str] = set()
        owners: dict[str, Any] = {}
        for area in _areas(areas):
            path = gathering.location(area)
            if owners.setdefault(path, area.root) is not area.root:
                msg = (
                    f"two recordings have an area {path}: open both as one tree, under other names"
                )
                raise SchemaError(msg)
            units.update(unit_names(area))
            sessions.add(session_name(area))
            if subject := subject_name(area):
                subjects.add(subject)
        if not owners:
            msg = (
                "no area with spikes: expected areas of a recording tree, as na.open_datatree gives"
            )
            raise SchemaError(msg)
        return Vocabulary(
            (*self.units, *sorted(units - set(self.units))),
            (*self.sessions, *sorted(sessions - set(self.sessions))),
            (*self.subjects, *sorted(subjects - set(self.subjects))),
        )

    def unit_index(self, area: xr.DataTree) -> np.ndarray:
        """Return the number of each unit of an area.

        Parameters
        ----------
        area : DataTree node
            An area of a recording tree, with a `spikes` node.

        Returns
        -------
        (unit_id,) int32
            Numbers in the order of the units of the area.

        Raises
        ------
        NotInTree
            If a unit has no number.
        """
        known = {name: i for i, name in enumerate(self.units, 1)}
        names = unit_names(area)
        if unknown := [name for name in names if name not in known]:
            hint = "make it from all recordings, Vocabulary.of(tree), or add these, .extended(tree)"
            raise NotInTree("unit", unknown[0], self.units, hint, "the vocabulary")
        return np.array([known[name] for name in names], np.int32)

    def session_index(self, area: xr.DataTree) -> int:
        """Return the number of the session of an area; 0 if the session has no number."""
        return _number(session_name(area), self.sessions)

    def subject_index(self, area: xr.DataTree) -> int:
        """Return the number of the subject of an area; 0 if its session names no known subject."""
        return _number(subject_name(area), self.subjects)

    def __repr__(self) -> str:
        counts = many(len(self.units), "unit"), many(len(self.sessions), "session")
        return f"<Vocabulary of {', '.join(counts)}, {many(len(self.subjects), 'subject')}>"

    @property
    def label(self) -> str:
        """The size of the vocabulary and a digest of all names, for checkpoints."""
        lists = (self.units, self.sessions, self.subjects)
        text = "\0".join("\n".join(names) for names in lists)
        return f"{self!r} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def unit_names(area: xr.DataTree) -> list[str]:
    """Return ``session/area/unit_id`` of each unit of an area."""
    ids = area[schema.SPIKES].coords[schema.UNIT].values
    return [f"{gathering.location(area)}/{unit}" for unit in np.atleast_1d(ids).tolist()]


def session_name(area: xr.DataTree) -> str:
    """Return the path of the session of an area; "" if the area has no session."""
    return "" if area.parent is None else gathering.location(area.parent)


def subject_name(area: xr.DataTree) -> str:
    """Return the subject of the session of an area; "" if the session names none."""
    return "" if area.parent is None else str(area.parent.attrs.get("subject", ""))


def _number(name: str, names: tuple[str, ...]) -> int:
    """Return the number of a name, from 1 on; 0 if it is not among the names."""
    return names.index(name) + 1 if name in names else 0


def _areas(trees: Any) -> Iterator[xr.DataTree]:
    """Yield the areas with spikes of a tree, of an area, or of several trees and areas."""
    if isinstance(trees, xr.DataTree):
        if schema.SPIKES in trees.children:
            yield trees
            return
        for path in schema.area_paths(trees):
            node = trees[path]
            if isinstance(node, xr.DataTree) and schema.SPIKES in node.children:
                yield node
        return
    check(trees, Iterable, "expected recording trees, or areas of them", TypeError)
    for tree in trees:
        check(tree, xr.DataTree, "expected recording trees, or areas of them", TypeError)
        yield from _areas(tree)
