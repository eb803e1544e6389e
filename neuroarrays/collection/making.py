"""The tasks of a build: one session and stimulus aligned and saved, and parts put together."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from neuroarrays.alignment.align import align
from neuroarrays.alignment.presentations import select
from neuroarrays.archive import saving as store
from neuroarrays.collection.plan import Job
from neuroarrays.errors import WriteFailed
from neuroarrays.files import state
from neuroarrays.formats.allen_binned import pipeline as mlynarski
from neuroarrays.formats.allen_binned.writing import LeftOut
from neuroarrays.tasks.runner import Outcome, error_text
from neuroarrays.tree.selection import select_units

#: Folder in that of a build for files that are whole and have no name yet.
JOINED = "joined"
#: Bytes of parts that are put together in a second, at the very least.
_PER_SECOND = 5 << 20
#: The session that a worker is at, opened once for all its stimuli.
_trees: state.Cache[xr.DataTree] = state.Cache(0, lambda _: 1)
#: Warnings that are caught in one thread are caught in all.
_one_at_a_time = state.Lock()


def forget() -> None:
    """Let go of the session that this process is at."""
    _trees.release()


def make_part(job: Job) -> Outcome:
    """Align one session to one stimulus and save it."""
    recipe = job.recipe
    try:
        state.keep_for((job.source, job.session))
        tree = _trees.get_or_make(
            (job.source, job.session, job.stamp, job.areas, recipe.units), lambda: _opened(job)
        )
        if recipe.compat is None:
            tables = select(
                tree, "+".join(job.tables), blanks=recipe.blanks, medians=dict(job.medians)
            )
            longest = None if job.longest is None else (0.0, job.longest)
            aligned = align(
                tree, tables, **recipe.of_align() | {"window": recipe.window or longest}
            )
        else:
            aligned = mlynarski.published(tree, job.stimulus, medians=dict(job.medians))
        aligned.attrs["stimulus"] = job.stimulus
        Path(job.part).parent.mkdir(parents=True, exist_ok=True)
        store.save(aligned, job.part, overwrite=True, progress=False)
    except Exception as error:
        return Outcome(str(job), error=error_text(error))
    return Outcome(str(job), str(job))


def _opened(job: Job) -> xr.DataTree:
    """The areas and units of a session that are asked for."""
    wanted: dict[str, Any] = {} if job.alone else {"sessions": [job.session]}
    if job.areas:
        wanted["areas"] = list(job.areas)
    tree = job.source.open(**wanted)
    return tree if job.recipe.units is None else select_units(tree, job.recipe.units)


@dataclass(frozen=True)
class Join:
    """Parts of one stimulus, and the file that they become.

    Attributes
    ----------
    block : str
        The stimulus.
    parts : tuple of str
        Paths of archives of one session each.
    whole : str
        Path of the file.
    layout : str, optional
        As for `neuroarrays.save`.
    """

    block: str
    parts: tuple[str, ...]
    whole: str
    layout: str | None

    @property
    def path(self) -> str:
        """Of the file."""
        return self.whole

    def __str__(self) -> str:
        return self.block

    @property
    def seconds(self) -> float:
        """How long putting them together may take."""
        return sum(map(os.path.getsize, self.parts)) / _PER_SECOND


@dataclass(frozen=True)
class Joined:
    """What became of a `Join`: its file, notes, what a layout has no place for, or a full disk."""

    block: str
    whole: str
    notes: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    no_room: WriteFailed | None = None


def join_parts(join: Join) -> Outcome:
    """Put the parts of one stimulus together."""
    notes: list[str] = []
    left: list[str] = []
    try:
        with _one_at_a_time, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            store.join(join.parts, join.whole, layout=join.layout, overwrite=True)
    except WriteFailed as error:  # the disk is full: of the other files too
        return Outcome(join.block, Joined(join.block, join.whole, no_room=error))
    except Exception as error:
        return Outcome(join.block, error=error_text(error))
    for warning in caught:
        if isinstance(warning.message, LeftOut):
            left += warning.message.left
        elif warning.category is UserWarning:
            notes.append(str(warning.message))
    return Outcome(join.block, Joined(join.block, join.whole, tuple(notes), tuple(left)))
