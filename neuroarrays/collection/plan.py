"""The plan of a build: a job per session and stimulus, and what is pooled over sessions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from neuroarrays._version import __version__
from neuroarrays.alignment.presentations import parts_of_name
from neuroarrays.collection.recipes import Recipe
from neuroarrays.collection.sources import Source
from neuroarrays.collection.surveys import Survey
from neuroarrays.errors import FormatError, NothingLeft, NotInTree, many, option
from neuroarrays.formats.allen_binned import pipeline as mlynarski
from neuroarrays.schema.names import chosen, matches

#: Names that one note lists.
_NAMED = 4


@dataclass(frozen=True)
class Job:
    """One session and stimulus: where it is, and all that its values depend on.

    `tables` are those of the stimulus that the session has: several where it is joined by "+".
    """

    source: Source
    alone: bool
    session: str
    stimulus: str
    recipe: Recipe
    areas: tuple[str, ...]
    medians: tuple[tuple[str, float], ...]
    longest: float | None
    stamp: tuple[int, ...]
    tables: tuple[str, ...]
    part: str = ""

    @property
    def path(self) -> str:
        """Of the recording."""
        return self.source.path

    def __str__(self) -> str:
        return f"{self.session}, {self.stimulus}"

    def token(self) -> str:
        """Equal for jobs that make the same part, whatever else was asked for."""
        recipe = replace(self.recipe, stimuli=None, areas=None)
        facts = repr((replace(self, part="", recipe=recipe), __version__))
        return hashlib.sha256(facts.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def jobs_of(
    surveys: Sequence[Survey], recipe: Recipe, work: Path, notes: list[str]
) -> dict[str, list[Job]]:
    """File of the archive -> its jobs, by session; what is left out goes to `notes`.

    Raises
    ------
    NotInTree
        If no session has a stimulus or area asked for, or any stimulus at all.
    NothingLeft
        If no session has a unit that fits.
    FormatError
        If two files hold the same session.
    ValueError
        If point events are to be aligned to without a window.
    """
    _check_names(surveys)
    _check_areas(surveys, recipe)
    jobs: dict[str, list[Job]] = {}
    medians: dict[str, float] = {}
    # ..._more_repeats comes before what it is stored with, whose job takes both medians.
    for stimulus, tables in sorted(_stimuli(surveys, recipe).items(), reverse=True):
        with_it = [summary for summary in surveys if _has_any(summary, tables)]
        pooled = {table: _pooled(table, with_it, recipe) for table in tables}
        medians |= {table: both[0] for table, both in pooled.items() if both[0] is not None}
        lengths = [length for _, length in pooled.values() if length is not None]
        longest = max(lengths, default=None) if recipe.window is None else None
        stored = mlynarski.stored_with(stimulus) if recipe.compat else tables
        usual = tuple((name, medians[name]) for name in stored if name in medians)
        for summary in sorted(with_it, key=lambda summary: summary.session):
            job = Job(
                source=summary.source,
                alone=summary.alone,
                session=summary.session,
                stimulus=stimulus,
                recipe=recipe,
                areas=summary.areas,
                medians=usual,
                longest=longest,
                stamp=summary.stamp,
                tables=tuple(table for table in tables if _has_any(summary, (table,))),
            )
            part = work / "parts" / stimulus / f"{summary.session}-{job.token()}.h5"
            if not summary.left_out:
                jobs.setdefault(block_of(stimulus, recipe), []).append(replace(job, part=str(part)))
        lacking = [summary.session for summary in surveys if summary not in with_it]
        if lacking and recipe.stimuli is not None:
            notes.append(f"{stimulus}: not in {listed(lacking)}")
    reasons: dict[str, list[str]] = {}
    for summary in surveys:
        reasons.setdefault(summary.left_out, []).append(summary.session)
    notes += [f"{why}: {listed(names)}" for why, names in reasons.items() if why]
    return jobs


def _has_any(summary: Survey, tables: Iterable[str]) -> bool:
    return any(table in summary.durations or table in summary.events for table in tables)


def _check_names(surveys: Iterable[Survey]) -> None:
    """Refuse two sessions of one name."""
    first: dict[str, Survey] = {}
    for summary in surveys:
        if summary.session in first:
            raise FormatError(
                summary.source.path,
                expected="sessions of different names",
                found=f"{summary.session}, which is in {first[summary.session].source.path} too",
                hint="an archive has one session of each name; build them into separate folders",
            )
        first[summary.session] = summary


def _check_areas(surveys: Sequence[Survey], recipe: Recipe) -> None:
    """Refuse what leaves nothing of any session."""
    if not all(summary.left_out for summary in surveys):
        return
    fitting = [area for summary in surveys for area in summary.known_areas]
    if recipe.areas is not None and not any(matches(area, recipe.areas) for area in fitting):
        raise NotInTree("area", ", ".join(recipe.areas), sorted(set(fitting)))
    reasons = dict.fromkeys(summary.left_out for summary in surveys)
    msg = f"nothing fits in {many(len(surveys), 'session')}: {'; '.join(reasons)}"
    raise NothingLeft(msg)


def listed(names: Iterable[str], between: str = ", ") -> str:
    """Names in their order, and how many more there are: a line of a screen."""
    ordered = sorted(names)
    more = len(ordered) - _NAMED
    return between.join(ordered[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def _stimuli(surveys: Sequence[Survey], recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """Each stimulus asked for, and the tables or events that it is: several if they are joined by "+"."""
    tables = dict.fromkeys(name for summary in surveys for name in summary.durations)
    events = dict.fromkeys(name for summary in surveys for name in summary.events)
    if recipe.stimuli is None:
        if not tables:
            hint = f"; {option('stimuli', min(events))} aligns to point events" if events else ""
            msg = f"no session has a table of presentations to align to{hint}"
            raise NothingLeft(msg)
        return {name: (name,) for name in tables}
    known = tables | events
    joined, alone = {}, []
    for name in recipe.stimuli:
        if "+" in name and name not in known:
            parts = tuple(chosen(known, part, "stimulus")[0] for part in parts_of_name(name))
            joined["+".join(parts)] = parts
        else:
            alone.append(name)
    if alone:
        joined |= {name: (name,) for name in chosen(known, alone, "stimulus")}
    endless = [name for parts in joined.values() for name in parts if name not in tables]
    if endless and recipe.window is None:
        example = option("window", (-0.5, 1.0))
        msg = f"{listed(endless)}: point events have no stop. Give a window, such as {example}"
        raise ValueError(msg)
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
    if not having:  # point events
        return None, None
    everything = np.concatenate([summary.durations[table] for summary in having])
    lengths = np.concatenate([summary.lengths[table] for summary in having])
    limit = max(summary.limits.get(table, 0.0) for summary in having)
    if not everything.size:
        return None, None
    median: float | None = round(float(np.median(everything)), 9)
    if recipe.compat is not None:  # has bins of its own for each session
        return median, None
    if limit:
        lengths = lengths[np.abs(everything - median) < limit]
    else:
        median = None
    longest = float(np.nanmax(lengths)) if np.isfinite(lengths).any() else 0.0
    if longest <= 0:
        return median, None
    n_bins = grid.bins_to_cover(longest, recipe.bin_width)
    return median, round(n_bins * recipe.bin_width, 9)


def contents_of(jobs: Iterable[Job]) -> str:
    """What a file is made from: equal for the same parts."""
    return hashlib.sha256(repr(sorted(job.token() for job in jobs)).encode()).hexdigest()
