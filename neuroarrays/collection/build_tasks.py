"""The tasks of a build: align and save one session and stimulus, and join the parts of a stimulus."""

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

#: Folder in a build's folder for joined files that do not have their final name yet.
JOINED = "joined"
#: Lowest speed at which parts are joined, bytes per second.
_PER_SECOND = 5 << 20
#: The session that a worker is busy with, which is opened once for all its stimuli.
_trees: state.Cache[xr.DataTree] = state.Cache(0, lambda _: 1)
#: Held while warnings are caught, which Python does for all threads at a time.
_warnings_lock = state.Lock()


def forget() -> None:
    """Close the session that this process has open."""
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
    """Open the areas and units of a session that the job needs."""
    choices: dict[str, Any] = {} if job.is_only else {"sessions": [job.session]}
    if job.areas:
        choices["areas"] = list(job.areas)
    tree = job.source.open(**choices)
    return tree if job.recipe.units is None else select_units(tree, job.recipe.units)


@dataclass(frozen=True)
class Join:
    """The task of joining the parts of one stimulus to a file.

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
        """Path of the file."""
        return self.whole

    def __str__(self) -> str:
        return self.block

    @property
    def seconds(self) -> float:
        """The longest time that joining may take, s."""
        return sum(map(os.path.getsize, self.parts)) / _PER_SECOND


@dataclass(frozen=True)
class Joined:
    """The result of a `Join`.

    Attributes
    ----------
    block, whole : str
        The stimulus, and the path of the file.
    notes : tuple of str
        Warnings.
    left_out : tuple of str
        Data that the layout cannot store.
    disk_full : WriteFailed, optional
        The error of a full disk.
    """

    block: str
    whole: str
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    disk_full: WriteFailed | None = None


def join_parts(join: Join) -> Outcome:
    """Join the parts of one stimulus."""
    notes: list[str] = []
    left_out: list[str] = []
    try:
        with _warnings_lock, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            store.join(join.parts, join.whole, layout=join.layout, overwrite=True)
    except WriteFailed as error:  # the disk is full, so the other files cannot be written either
        return Outcome(join.block, Joined(join.block, join.whole, disk_full=error))
    except Exception as error:
        return Outcome(join.block, error=error_text(error))
    for warning in caught:
        if isinstance(warning.message, LeftOut):
            left_out += warning.message.left
        elif warning.category is UserWarning:
            notes.append(str(warning.message))
    return Outcome(join.block, Joined(join.block, join.whole, tuple(notes), tuple(left_out)))
