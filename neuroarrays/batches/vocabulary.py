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
    """Numbers of units, sessions and subjects, from 1 on; 0 is padding or has no name.

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
            If there is no area with spikes, or two recordings have areas of the same name.
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
        units, sessions, subjects = set(self.units), set(self.sessions), set(self.subjects)
        new: tuple[set[str], set[str], set[str]] = set(), set(), set()
        owners: dict[str, Any] = {}
        for area in _areas(areas):
            path = gathering.location(area)
            if owners.setdefault(path, area.root) is not area.root:
                msg = (
                    f"two recordings have an area {path}: open both as one tree, under other names"
                )
                raise SchemaError(msg)
            new[0].update(unit_names(area))
            new[1].add(session_name(area))
            new[2].update(filter(None, [subject_name(area)]))
        if not owners:
            msg = (
                "no area with spikes: expected areas of a recording tree, as na.open_datatree gives"
            )
            raise SchemaError(msg)
        return Vocabulary(
            (*self.units, *sorted(new[0] - units)),
            (*self.sessions, *sorted(new[1] - sessions)),
            (*self.subjects, *sorted(new[2] - subjects)),
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
        """The number of the session of an area; 0 if it has none."""
        return _number(session_name(area), self.sessions)

    def subject_index(self, area: xr.DataTree) -> int:
        """The number of the subject of an area; 0 if its session names none."""
        return _number(subject_name(area), self.subjects)

    def __repr__(self) -> str:
        counts = many(len(self.units), "unit"), many(len(self.sessions), "session")
        return f"<Vocabulary of {', '.join(counts)}, {many(len(self.subjects), 'subject')}>"

    @property
    def label(self) -> str:
        """Its size and a digest of all names, for checkpoints."""
        lists = (self.units, self.sessions, self.subjects)
        text = "\0".join("\n".join(names) for names in lists)
        return f"{self!r} {hashlib.sha256(text.encode()).hexdigest()[:16]}"


def unit_names(area: xr.DataTree) -> list[str]:
    """``session/area/unit_id`` of the units of an area."""
    ids = area[schema.SPIKES].coords[schema.UNIT].values
    return [f"{gathering.location(area)}/{unit}" for unit in np.atleast_1d(ids).tolist()]


def session_name(area: xr.DataTree) -> str:
    """The path of the session of an area."""
    return "" if area.parent is None else gathering.location(area.parent)


def subject_name(area: xr.DataTree) -> str:
    """The subject of the session of an area; "" if it names none."""
    return "" if area.parent is None else str(area.parent.attrs.get("subject", ""))


def _number(name: str, names: tuple[str, ...]) -> int:
    return names.index(name) + 1 if name in names else 0


def _areas(given: Any) -> Iterator[xr.DataTree]:
    """The areas with spikes of trees, or those that are given."""
    if isinstance(given, xr.DataTree):
        if schema.SPIKES in given.children:
            yield given
            return
        for path in schema.area_paths(given):
            node = given[path]
            if isinstance(node, xr.DataTree) and schema.SPIKES in node.children:
                yield node
        return
    check(given, Iterable, "expected recording trees, or areas of them", TypeError)
    for each in given:
        check(each, xr.DataTree, "expected recording trees, or areas of them", TypeError)
        yield from _areas(each)
