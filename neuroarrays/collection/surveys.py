"""What sessions have, from their tables alone: areas, stimuli, durations of presentations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.files.location import Location
from neuroarrays.files.probe import Probe
from neuroarrays.formats.allen.stimuli import PARAMETERS
from neuroarrays.formats.allen_binned import pipeline as mlynarski
from neuroarrays.formats.door import open_datatree
from neuroarrays.lazy.tasks import Outcome, error_text
from neuroarrays.schema.given import yes_or_no
from neuroarrays.schema.names import matches
from neuroarrays.tree import contents

#: Tables that are no stimulus.
_NO_STIMULI = ("invalid_times", "spontaneous")


@dataclass(frozen=True)
class Recipe:
    """How every session is to be aligned and saved.

    Attributes
    ----------
    stimuli, areas : tuple of str, optional
        Names or globs, or names of stimuli joined by "+"; all unless given. Of an Allen session all stimuli of its schedule, of others
        every interval table.
    bin_width : float, s
        Width of a bin.
    window : (float, float), s, optional
        Relative to each onset; to the end of the longest presentation unless given.
    clip, binarize : bool
        As for `neuroarrays.align`.
    compat : {"mlynarski"}, optional
        The published bins of `neuroarrays.formats.allen_binned.pipeline`; the files then have the
        published layout too.
    layout : {"allen_binned"}, optional
        As for `neuroarrays.save`.
    engine : str, optional
        The reader, by its name or address (`neuroarrays.formats.registry.address`).
    """

    stimuli: tuple[str, ...] | None = None
    areas: tuple[str, ...] | None = None
    bin_width: float = 0.02
    compat: str | None = None
    layout: str | None = None
    engine: str | None = None
    window: tuple[float, float] | None = None
    clip: bool = True
    binarize: bool = False

    def __post_init__(self) -> None:
        yes_or_no(clip=self.clip, binarize=self.binarize)
        for name, known in (("compat", "mlynarski"), ("layout", "allen_binned")):
            if getattr(self, name) not in (None, known):
                msg = f"{name}={getattr(self, name)!r}: expected {known!r} or None"
                raise ValueError(msg)
        given = {
            "window": self.window is not None,
            "clip": not self.clip,
            "binarize": self.binarize,
        }
        given["a '+' in stimuli"] = any("+" in name for name in self.stimuli or ())
        if self.compat and any(given.values()):
            conflicting = ", ".join(name for name, is_given in given.items() if is_given)
            msg = f"compat={self.compat!r} has bins of its own: leave out {conflicting}"
            raise ValueError(msg)


@dataclass(frozen=True)
class Survey:
    """The areas, stimuli and durations of a session, from its tables alone.

    Attributes
    ----------
    location : Location
        Of its file.
    stamp : tuple of int
        Equal for a file that has not changed.
    session : str
        Its name.
    areas, known_areas : tuple of str
        Those with units that were asked for, and all.
    durations : dict of str to (presentation,) float64, s
        How long each presentation of a table was.
    limits : dict of str to float, s
        How far a duration may be from the median of its table, where the table says so.
    """

    location: Location
    stamp: tuple[int, ...]
    session: str
    areas: tuple[str, ...]
    known_areas: tuple[str, ...]
    durations: Mapping[str, np.ndarray]
    limits: Mapping[str, float]


def survey(task: tuple[Recipe, Location]) -> Outcome:
    """Look at the tables of one session."""
    recipe, location = task
    try:
        asked = Probe(location)
        tree = open_datatree(asked, engine=recipe.engine, probe=True)
        facts = contents.of_tree(tree)
        if len(facts.sessions) != 1:
            raise FormatError(location.path, expected="one session", found=f"{len(facts.sessions)}")
        (session,) = facts.sessions
        node: Any = tree[session.path]
        names = [area.name for area in session.areas]
        areas = [name for name in names if recipe.areas is None or matches(name, recipe.areas)]
        tables = {
            table.name: node[schema.PRESENTATIONS][table.name].to_dataset()
            for table in session.tables
        }
        stimuli = _stimuli(facts.source, tables)
        lengths = _durations(node, tables, stimuli, recipe.compat)
        limits = {
            name: float(limit)
            for name in stimuli
            if (limit := tables[name].attrs.get("max_deviation"))
        }
        durations = {name: length[np.isfinite(length)] for name, length in lengths.items()}
        stamp = Probe(location).content
        result = Survey(
            location, stamp, session.name, tuple(areas), tuple(names), durations, limits
        )
    except Exception as error:  # one bad file does not lose the others
        return Outcome(location.path, error=error_text(error))
    return Outcome(session.name, result)


def _stimuli(kind: str, tables: Mapping[str, xr.Dataset]) -> list[str]:
    """Tables that are stimuli."""
    if kind == "allen":
        scheduled = [n for n in PARAMETERS if n in tables and not n.endswith("_shuffled")]
        if scheduled:
            return scheduled
    return [name for name in tables if name not in _NO_STIMULI]


def _durations(
    session: xr.DataTree,
    tables: Mapping[str, xr.Dataset],
    stimuli: Sequence[str],
    compat: str | None,
) -> dict[str, np.ndarray]:
    """Durations of the presentations of each stimulus, s: (n,) float64."""
    if compat is not None:
        return mlynarski.durations_of(session, stimuli)
    return {
        name: (tables[name][schema.STOP_TIME] - tables[name][schema.START_TIME]).values.astype(
            float
        )
        for name in stimuli
        if {schema.START_TIME, schema.STOP_TIME} <= set(tables[name].data_vars)
    }
