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

#: The most names in one note.
_MOST_NAMES = 4


@dataclass(frozen=True)
class Job:
    """The task of aligning one session to one stimulus, with all that its values depend on.

    Attributes
    ----------
    source : Source
        The recording.
    is_only : bool
        Whether the recording has only this session.
    session, stimulus : str
        Names of the session and the stimulus.
    recipe : Recipe
        The options of the build.
    areas : tuple of str
        Areas to align.
    medians : tuple of (str, float)
        Median duration of each table, pooled over sessions, s.
    longest : float, optional
        Length of the window, s, if the recipe has none.
    stamp : tuple of int
        Stamp of the recording.
    tables : tuple of str
        The tables of the stimulus that the session has; several if they are joined by "+".
    part : str
        Path of the part that it makes.
    """

    source: Source
    is_only: bool
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
        """Path of the recording."""
        return self.source.path

    def __str__(self) -> str:
        return f"{self.session}, {self.stimulus}"

    def token(self) -> str:
        """Return a hash that is equal for jobs that make the same part."""
        recipe = replace(self.recipe, stimuli=None, areas=None)
        facts = repr((replace(self, part="", recipe=recipe), __version__))
        return hashlib.sha256(facts.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def jobs_of(
    surveys: Sequence[Survey], recipe: Recipe, work: Path, notes: list[str]
) -> dict[str, list[Job]]:
    """Return the jobs of each file of the archive, sorted by session.

    Sessions and stimuli that are left out are added to `notes`.

    Raises
    ------
    NotInTree
        If no session has a requested stimulus or area.
    NothingLeft
        If no session has a unit that fits, or a table of presentations.
    FormatError
        If two files have the same session.
    ValueError
        If the build aligns to point events without a window.
    """
    _check_names(surveys)
    _check_areas(surveys, recipe)
    jobs: dict[str, list[Job]] = {}
    medians: dict[str, float] = {}
    # In reverse order ..._more_repeats precedes the stimulus that it is stored with, whose job needs
    # both medians.
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
                is_only=summary.is_only,
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
            notes.append(f"{stimulus}: not in {list_names(lacking)}")
    reasons: dict[str, list[str]] = {}
    for summary in surveys:
        reasons.setdefault(summary.left_out, []).append(summary.session)
    notes += [f"{reason}: {list_names(names)}" for reason, names in reasons.items() if reason]
    return jobs


def _has_any(summary: Survey, tables: Iterable[str]) -> bool:
    return any(table in summary.durations or table in summary.events for table in tables)


def _check_names(surveys: Iterable[Survey]) -> None:
    """Refuse two sessions of the same name."""
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
    """Refuse areas and conditions that leave nothing of any session."""
    if not all(summary.left_out for summary in surveys):
        return
    fitting = [area for summary in surveys for area in summary.known_areas]
    if recipe.areas is not None and not any(matches(area, recipe.areas) for area in fitting):
        raise NotInTree("area", ", ".join(recipe.areas), sorted(set(fitting)))
    reasons = dict.fromkeys(summary.left_out for summary in surveys)
    msg = f"nothing fits in {many(len(surveys), 'session')}: {'; '.join(reasons)}"
    raise NothingLeft(msg)


def list_names(names: Iterable[str], between: str = ", ") -> str:
    """Return the first names in alphabetical order, and the number of others, as text."""
    ordered = sorted(names)
    n_more = len(ordered) - _MOST_NAMES
    return between.join(ordered[:_MOST_NAMES]) + (f" and {n_more} more" if n_more > 0 else "")


def _stimuli(surveys: Sequence[Survey], recipe: Recipe) -> dict[str, tuple[str, ...]]:
    """Return requested stimulus -> its tables or events; those joined by "+" have several."""
    tables = dict.fromkeys(name for summary in surveys for name in summary.durations)
    events = dict.fromkeys(name for summary in surveys for name in summary.events)
    if recipe.stimuli is None:
        if not tables:
            hint = f"; {option('stimuli', min(events))} aligns to point events" if events else ""
            msg = f"no session has a table of presentations to align to{hint}"
            raise NothingLeft(msg)
        return {name: (name,) for name in tables}
    known = tables | events
    stimuli, single = {}, []
    for name in recipe.stimuli:
        if "+" in name and name not in known:
            parts = tuple(chosen(known, part, "stimulus")[0] for part in parts_of_name(name))
            stimuli["+".join(parts)] = parts
        else:
            single.append(name)
    if single:
        stimuli |= {name: (name,) for name in chosen(known, single, "stimulus")}
    point_events = [name for parts in stimuli.values() for name in parts if name not in tables]
    if point_events and recipe.window is None:
        example = option("window", (-0.5, 1.0))
        names = list_names(point_events)
        msg = f"{names}: point events have no stop. Give a window, such as {example}"
        raise ValueError(msg)
    return stimuli


def block_of(stimulus: str, recipe: Recipe) -> str:
    """Return the file that a stimulus is in; the published archive has one for both session types."""
    return stimulus if recipe.compat is None else mlynarski.stored_as(stimulus)


def _pooled(
    table: str, surveys: Sequence[Survey], recipe: Recipe
) -> tuple[float | None, float | None]:
    """Return the median duration of a table over all sessions, and the length of the window, s.

    The median is None if no presentations of odd duration are excluded. The window covers all
    presentations of usual duration. It is a whole number of bins, and both are rounded to the
    nanosecond, so that adding a session seldom changes the parts of the others.
    """
    from neuroarrays.kernels import grid

    with_table = [summary for summary in surveys if table in summary.durations]
    if not with_table:  # point events
        return None, None
    durations = np.concatenate([summary.durations[table] for summary in with_table])
    lengths = np.concatenate([summary.lengths[table] for summary in with_table])
    limit = max(summary.limits.get(table, 0.0) for summary in with_table)
    if not durations.size:
        return None, None
    median: float | None = round(float(np.median(durations)), 9)
    if recipe.compat is not None:  # the published bins differ between sessions
        return median, None
    if limit:
        lengths = lengths[np.abs(durations - median) < limit]
    else:
        median = None
    longest = float(np.nanmax(lengths)) if np.isfinite(lengths).any() else 0.0
    if longest <= 0:
        return median, None
    n_bins = grid.bins_to_cover(longest, recipe.bin_width)
    return median, round(n_bins * recipe.bin_width, 9)


def contents_of(jobs: Iterable[Job]) -> str:
    """Return a hash of the parts that a file is made from."""
    return hashlib.sha256(repr(sorted(job.token() for job in jobs)).encode()).hexdigest()
