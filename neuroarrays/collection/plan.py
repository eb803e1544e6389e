"""The plan of a build: a job per session and stimulus, and what is pooled over sessions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from neuroarrays._version import __version__
from neuroarrays.alignment.presentations import parts_of_name
from neuroarrays.collection.surveys import Recipe, Survey
from neuroarrays.errors import FormatError, NotInTree
from neuroarrays.files.location import Location
from neuroarrays.formats.allen_binned import pipeline as mlynarski
from neuroarrays.schema.names import chosen

#: Names that one note lists.
_NAMED = 4


@dataclass(frozen=True)
class Job:
    """One session and stimulus: where it is, and all that its values depend on.

    `tables` are those of the stimulus that the session has: several where it is joined by "+".
    """

    location: Location
    session: str
    stimulus: str
    recipe: Recipe
    areas: tuple[str, ...]
    medians: tuple[tuple[str, float], ...]
    longest: float | None
    stamp: tuple[int, ...]
    tables: tuple[str, ...]
    part: str = ""

    def token(self) -> str:
        """Equal for jobs that make the same part."""
        facts = repr((replace(self, part=""), __version__))
        return hashlib.sha256(facts.encode()).hexdigest()[:16]


def jobs_of(
    surveys: Sequence[Survey], recipe: Recipe, work: Path, notes: list[str]
) -> dict[str, list[Job]]:
    """File of the archive -> its jobs, by session; what is left out goes to `notes`.

    Raises
    ------
    NotInTree
        If no session has a stimulus or area asked for.
    FormatError
        If two files hold the same session.
    """
    first: dict[str, Survey] = {}
    for summary in surveys:
        if summary.session in first:
            raise FormatError(
                summary.location.path,
                expected="sessions of different names",
                found=f"{summary.session}, which is in {first[summary.session].location.path} too",
            )
        first[summary.session] = summary
    if recipe.areas is not None and not any(summary.areas for summary in surveys):
        known = sorted({area for summary in surveys for area in summary.known_areas})
        raise NotInTree("area", ", ".join(recipe.areas), known)
    jobs: dict[str, list[Job]] = {}
    medians: dict[str, float] = {}
    # ..._more_repeats comes before what it is stored with, whose job takes both medians.
    for stimulus, tables in sorted(_stimuli(surveys, recipe).items(), reverse=True):
        with_it = [
            summary for summary in surveys if not summary.durations.keys().isdisjoint(tables)
        ]
        pooled = {table: _pooled(table, with_it, recipe) for table in tables}
        medians |= {table: both[0] for table, both in pooled.items() if both[0] is not None}
        lengths = [length for _, length in pooled.values() if length is not None]
        longest = max(lengths, default=None) if recipe.window is None else None
        stored = mlynarski.stored_with(stimulus) if recipe.compat else tables
        usual = tuple((name, medians[name]) for name in stored if name in medians)
        for summary in sorted(with_it, key=lambda summary: summary.session):
            session_tables = tuple(table for table in tables if table in summary.durations)
            job = Job(
                location=summary.location,
                session=summary.session,
                stimulus=stimulus,
                recipe=recipe,
                areas=summary.areas,
                medians=usual,
                longest=longest,
                stamp=summary.stamp,
                tables=session_tables,
            )
            part = work / "parts" / stimulus / f"{summary.session}-{job.token()}.h5"
            if summary.areas:
                jobs.setdefault(block_of(stimulus, recipe), []).append(replace(job, part=str(part)))
        lacking = [summary.session for summary in surveys if summary not in with_it]
        if lacking and recipe.stimuli is not None:
            notes.append(f"{stimulus}: not in {listed(lacking)}")
    if without := [summary.session for summary in surveys if not summary.areas]:
        notes.append(f"no units in the areas asked for: {listed(without)}")
    return jobs


def listed(names: Iterable[str], between: str = ", ") -> str:
    """Names in their order, and how many more there are: a line of a screen."""
    ordered = sorted(names)
    more = len(ordered) - _NAMED
    return between.join(ordered[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _stimuli(surveys: Sequence[Survey], recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """Each stimulus asked for, and the tables that it is: several if they are joined by "+"."""
    known = dict.fromkeys(name for summary in surveys for name in summary.durations)
    joined, alone = {}, []
    for name in recipe.stimuli or ():
        if "+" in name and name not in known:
            tables = tuple(chosen(known, part, "stimulus")[0] for part in parts_of_name(name))
            joined["+".join(tables)] = tables
        else:
            alone.append(name)
    if alone or recipe.stimuli is None:
        names = chosen(known, alone or None, "stimulus")
        joined |= {name: (name,) for name in names}
    return joined


def block_of(stimulus: str, recipe: Recipe) -> str:
    """The file a stimulus is in; the published archive has one for both kinds of session."""
    return stimulus if recipe.compat is None else mlynarski.stored_as(stimulus)


def _pooled(
    table: str, surveys: Sequence[Survey], recipe: Recipe
) -> tuple[float | None, float | None]:
    """The median of all durations of a table, where one is used, and what covers all but odd ones.

    Of whole bins and to the nanosecond, so that one more session seldom makes the others anew.
    """
    from neuroarrays.kernels import grid

    having = [summary for summary in surveys if table in summary.durations]
    everything = np.concatenate([summary.durations[table] for summary in having])
    limit = max(summary.limits.get(table, 0.0) for summary in having)
    if not everything.size:
        return None, None
    median: float | None = round(float(np.median(everything)), 9)
    if recipe.compat is not None:  # has bins of its own for each session
        return median, None
    if limit:
        everything = everything[np.abs(everything - median) < limit]
    else:
        median = None
    if not everything.size or everything.max() <= 0:
        return median, None
    n_bins = grid.bins_to_cover(float(everything.max()), recipe.bin_width)
    return median, round(n_bins * recipe.bin_width, 9)


def contents_of(jobs: Iterable[Job], recipe: Recipe) -> str:
    """What a file is made from: equal for the same parts of the same recipe."""
    tokens = sorted(job.token() for job in jobs)
    return hashlib.sha256(repr((tokens, recipe)).encode()).hexdigest()
