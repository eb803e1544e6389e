"""Surveys of sessions: their areas, stimuli and durations of presentations, without any signal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.presentations import presentations_of
from neuroarrays.collection.recipes import Recipe
from neuroarrays.collection.sources import Source
from neuroarrays.errors import NothingLeft, NotInTree, SchemaError
from neuroarrays.files.probe import Probe
from neuroarrays.formats import checking
from neuroarrays.formats.allen.stimuli import PARAMETERS
from neuroarrays.formats.allen_binned import pipeline as mlynarski
from neuroarrays.lazy.trees import tree_of
from neuroarrays.schema.names import matches
from neuroarrays.tasks.runner import Outcome, error_text
from neuroarrays.tree import contents
from neuroarrays.tree.selection import select_units
from neuroarrays.tree.sessions import events_of

#: Tables that are not stimuli.
_NO_STIMULI = ("invalid_times", "spontaneous")


@dataclass(frozen=True)
class SurveyTask:
    """The task of surveying one recording.

    Attributes
    ----------
    recipe : Recipe
        The options of the build.
    source : Source
        The recording.
    in_child : bool
        Whether the task runs in a child process, which a damaged file may crash. Otherwise the file
        is first tried in one.
    """

    recipe: Recipe
    source: Source
    in_child: bool

    @property
    def path(self) -> str:
        """Path of the recording."""
        return self.source.path

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class Survey:
    """The areas, stimuli and durations of a session.

    Attributes
    ----------
    source : Source
        The recording.
    is_only : bool
        Whether the recording has only this session.
    stamp : tuple of int
        Numbers that change with the content of the recording.
    session : str
        Name of the session.
    areas, known_areas : tuple of str
        The areas with requested units, and all areas.
    left_out : str
        Why nothing of the session was requested; "" if something was.
    durations, lengths : dict of str to (presentation,) float64
        For each table the duration of its presentations, and the time from the event that they are
        aligned to until their stop, s. A length is NaN if it is unknown, or if the presentation is a
        blank that is dropped. Point events have neither.
    limits : dict of str to float
        The largest deviation of a duration from the median of its table, s, for tables that state it.
    events : tuple of str
        Names of point events.
    """

    source: Source
    is_only: bool
    stamp: tuple[int, ...]
    session: str
    areas: tuple[str, ...]
    known_areas: tuple[str, ...]
    left_out: str
    durations: Mapping[str, np.ndarray]
    lengths: Mapping[str, np.ndarray]
    limits: Mapping[str, float]
    events: tuple[str, ...]


def survey(task: SurveyTask) -> Outcome:
    """Survey all sessions of one recording; the outcome has a list of surveys."""
    try:
        if task.in_child and task.source.table is None:
            checking.touch(task.source.location.address, {"engine": task.source.engine})
        tree = task.source.open(probe=not task.in_child)
        if schema.kind_of(tree) != schema.RECORDING:
            msg = f"{task.path} is aligned already; na.build needs recordings"
            raise SchemaError(msg)
        surveys = _surveys(task, tree)
    except Exception as error:  # one damaged file must not end the build
        return Outcome(task.path, error=error_text(error))
    return Outcome(task.source.location.name, surveys)


def _surveys(task: SurveyTask, tree: xr.DataTree) -> list[Survey]:
    facts = contents.of_tree(tree)
    stamp = Probe(task.source.location).content
    surveys = []
    for session in facts.sessions:
        node: Any = tree[session.path]
        names = tuple(area.name for area in session.areas)
        areas, left_out = _chosen_areas(node, names, task.recipe)
        tables = {
            table.name: node[schema.PRESENTATIONS][table.name].to_dataset()
            for table in session.tables
        }
        stimuli = _stimuli(facts.source, tables)
        durations, lengths = _durations(node, tables, stimuli, task.recipe)
        limits = {
            name: float(limit)
            for name in stimuli
            if (limit := tables[name].attrs.get("max_deviation"))
        }
        survey_of_session = Survey(
            source=task.source,
            is_only=len(facts.sessions) == 1,
            stamp=stamp,
            session=session.name,
            areas=areas,
            known_areas=names,
            left_out=left_out,
            durations=durations,
            lengths=lengths,
            limits=limits,
            events=tuple(name for name in events_of(node) if name not in tables),
        )
        surveys.append(survey_of_session)
    return surveys


def _chosen_areas(
    session: xr.DataTree, names: tuple[str, ...], recipe: Recipe
) -> tuple[tuple[str, ...], str]:
    """Return the areas of a session with requested units, and the reason if there are none."""
    areas = tuple(n for n in names if recipe.areas is None or matches(n, recipe.areas))
    if not areas and (recipe.areas is not None or recipe.units is not None):
        return (), "no units in the areas asked for"
    if recipe.units is None:
        return areas, ""
    try:
        sessions = contents.of_tree(select_units(_single(session), recipe.units)).sessions
    except NotInTree as error:  # no unit fits a condition on a column that the session lacks
        return (), f"no {error.kind} {error.name!r} in the units"
    except NothingLeft:
        return (), f"no unit fits {recipe.units!r}"
    with_units = {area.name for each in sessions for area in each.areas}
    chosen = tuple(name for name in areas if name in with_units)
    return chosen, "" if chosen else f"no unit in the areas asked for fits {recipe.units!r}"


def _single(session: xr.DataTree) -> xr.DataTree:
    """Return a tree that has only one session."""
    nodes = {"/": session.root.to_dataset(inherit=False)}
    nodes |= {node.path: node.to_dataset(inherit=False) for node in session.subtree}
    return tree_of(nodes)


def _stimuli(kind: str, tables: Mapping[str, xr.Dataset]) -> list[str]:
    """Return the names of the tables that are stimuli."""
    if kind == "allen":
        scheduled = [n for n in PARAMETERS if n in tables and not n.endswith("_shuffled")]
        if scheduled:
            return scheduled
    return [name for name in tables if name not in _NO_STIMULI]


def _durations(
    session: xr.DataTree,
    tables: Mapping[str, xr.Dataset],
    stimuli: Sequence[str],
    recipe: Recipe,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the `durations` and `lengths` of a `Survey`."""
    if recipe.compat is not None:
        published = mlynarski.durations_of(session, stimuli)
        finite = {name: length[np.isfinite(length)] for name, length in published.items()}
        return finite, finite
    durations, lengths = {}, {}
    for name in stimuli:
        table = tables[name]
        if not {schema.START_TIME, schema.STOP_TIME} <= set(table.data_vars):
            continue
        duration = (table[schema.STOP_TIME] - table[schema.START_TIME]).values.astype(float)
        length = _from_events(str(session.name), name, table, recipe)
        if recipe.blanks == "drop" and "blank" in table:
            length = np.where(table["blank"].values.astype(bool), np.nan, length)
        finite_rows = np.isfinite(duration)
        durations[name], lengths[name] = duration[finite_rows], length[finite_rows]
    return durations, lengths


def _from_events(session: str, name: str, table: xr.Dataset, recipe: Recipe) -> np.ndarray:
    """Return the time from the event of each presentation to its stop, (presentation,) float64, s.

    All are NaN if the table lacks the column of the event.
    """
    if recipe.event not in table:
        return np.full(table.sizes[schema.PRESENTATION], np.nan)
    rows = presentations_of(session, table, recipe.event, recipe.event_clock, name)
    lengths: np.ndarray = rows.stops - rows.onsets
    return lengths
