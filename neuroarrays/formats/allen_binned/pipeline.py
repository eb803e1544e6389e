"""Make the published binned archive of Visual Coding again from session files, value for value.

`published` is for code that was written for that archive; for new work use `neuroarrays.align`. This
module was written from a description of the pipeline, whose repository has no licence; none of its code
is used. The pipeline is unusual in these points:

* bins are closed at both ends, and there is one more of them than needed for some durations,
  0.2502 s among them (14 of 20 ms), because their edges come from ``np.arange`` on floats;
* only movies are cut off at their end: the last bins of other stimuli hold spikes of the next
  presentation;
* counts are reduced to "any spike"; tables, with the start and stop times, to float32;
* presentations that touch an invalid time of the stimulus are left out, those of a probe are not;
* showings of a movie are separated by the frame number alone: if the end of one showing and the start
  of the next are left out, the two become one;
* running and gaze are continued flat beyond their ends, running counts from the start of each
  sample, and a missing sample spreads to both its neighbours.

Only the order of units within a structure cannot be reproduced, because it came from a database; here it
is that of the tree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays._version import __version__
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.formats.allen import stimuli
from neuroarrays.formats.allen_binned.signals import GAZE, signals_at
from neuroarrays.lazy.arrays import wrap
from neuroarrays.lazy.computed import Computed
from neuroarrays.lazy.trees import tree_of
from neuroarrays.tree.trains import Trains, trains_of

BIN_WIDTH = 0.02
_MORE_REPEATS = "natural_movie_one_more_repeats"
#: Stimuli that are stored together in one file with the first name, in this order.
_TOGETHER = {"natural_movie_one": ("natural_movie_one", _MORE_REPEATS)}
#: Tables with these words in their names are not in the archive.
NEVER = ("spontaneous", "shuffled", "invalid")


@dataclass(frozen=True)
class PublishedRows:
    """Presentations of one stimulus in one session, as float64 until they are written."""

    ids: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    duration: np.ndarray
    block: np.ndarray
    parameters: dict[str, np.ndarray]

    def __getitem__(self, keep: np.ndarray) -> PublishedRows:
        names = [field.name for field in fields(self) if field.name != "parameters"]
        columns = {name: getattr(self, name)[keep] for name in names}
        return PublishedRows(**columns, parameters={k: v[keep] for k, v in self.parameters.items()})


def published(
    tree: xr.DataTree, stimulus: str, medians: Mapping[str, float] | None = None
) -> xr.DataTree:
    """Return the data of one stimulus as the published archive has them: bins, names and dtypes.

    Parameters
    ----------
    tree : xr.DataTree
        A recording tree of Allen sessions. Sessions without the stimulus are left out.
    stimulus : str
        Name of the stimulus; ``natural_movie_one`` includes ``natural_movie_one_more_repeats``.
    medians : dict of str to float, s, optional
        Median duration of a presentation by stimulus (default: over all sessions of the tree).

    Returns
    -------
    xr.DataTree
        ``<session>/<structure>`` with ``spike_data (presentation_id, time, unit_id)`` int8 0/1 and
        ``speed (time, presentation_id)`` float32, below it ``pupil`` with six ``raw_*`` (time,
        presentation_id) float32, and ``presentations`` in float32. Ids are int32, ``time`` is
        float64, s: bin centres. Spikes and signals are lazy.

    Raises
    ------
    NotInTree
        If no session showed the stimulus.
    ValueError
        If two parts of a stimulus in one session have different numbers of bins.
    SchemaError
        If the tree is not of Allen sessions.

    Examples
    --------
    >>> tree = na.open_datatree("sessions/")  # doctest: +SKIP
    >>> published(tree, "natural_scenes")  # doctest: +SKIP
    """
    if tree.attrs.get("source") != "allen":
        msg = (
            "the published archive is made from session files of Allen Visual Coding, "
            f"found a tree of the reader {tree.attrs.get('source')!r}"
        )
        raise SchemaError(msg)
    sessions = dict(sorted(tree.children.items(), key=lambda pair: _number(pair[0])))
    names = stored_with(stimulus)
    rows = {session: rows_of(node, names) for session, node in sessions.items()}
    known = medians_of(rows.values()) | dict(medians or {})
    groups: dict[str, xr.Dataset] = {}
    for session, parts in rows.items():
        usual = {name: _of_usual_length(name, part, known[name]) for name, part in parts.items()}
        usual = {name: part for name, part in usual.items() if part.ids.size}
        if usual:
            groups |= _session(session, sessions[session], usual)
    if not groups:
        present = {t for node in sessions.values() for t in node[schema.PRESENTATIONS].children}
        raise NotInTree("stimulus", stimulus, sorted(present))
    line = f"neuroarrays {__version__}: published({stimulus!r})"
    history = "\n".join(filter(None, [str(tree.attrs.get("history", "")), line]))
    kept_attrs = {
        str(k): v for k, v in tree.attrs.items() if k not in ("neuroarrays_schema", "history")
    }
    kept_attrs |= {"stimulus": stimulus, "history": history, "compat": "mlynarski"}
    root = schema.root_attrs(schema.ALIGNED, **kept_attrs)
    return tree_of({"/": xr.Dataset(attrs=root)} | groups)


def stored_with(stimulus: str) -> tuple[str, ...]:
    """Return the stimuli in the published file of a stimulus, in order."""
    return _TOGETHER.get(stimulus, (stimulus,))


def stored_as(stimulus: str) -> str:
    """Return the name of the published file that has a stimulus."""
    return next((first for first, names in _TOGETHER.items() if stimulus in names), stimulus)


def durations_of(session: xr.DataTree, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return durations of the presentations that `published` counts.

    Parameters
    ----------
    session : DataTree node
        A session of a recording tree of Allen.
    names : sequence of str
        Names of the stimuli.

    Returns
    -------
    dict of str to (n,) float64, s
        Durations by stimulus. A stimulus that is stored in the file of another is left out.
    """
    rows = rows_of(session, tuple(names))
    stored_with_another = {
        name for name in rows if stored_as(name) != name and stored_as(name) in rows
    }
    return {name: part.duration for name, part in rows.items() if name not in stored_with_another}


def _number(name: str) -> tuple[int, str]:
    """Return a key that sorts sessions by their number."""
    digits = name.rpartition("_")[2]
    return (int(digits) if digits.isdigit() else 0, name)


# ------------------------------------------------------------------------------------ the rows


def rows_of(session: xr.DataTree, names: tuple[str, ...]) -> dict[str, PublishedRows]:
    """Return the presentations of stimuli in a session, before any is left out for its duration."""
    tables = dict(session[schema.PRESENTATIONS].children)
    movies = _whole_movies(tables) if any(stimuli.is_movie(name) for name in names) else {}
    rows: dict[str, PublishedRows] = {}
    for name in names:
        if any(word in name for word in NEVER):
            continue
        if stimuli.is_movie(name):
            rows |= {name: movies[name]} if name in movies else {}
        elif name in tables:
            rows[name] = _still(tables[name].to_dataset(), name)
    return {name: part for name, part in rows.items() if part.ids.size}


def _column(table: xr.Dataset, name: str) -> np.ndarray:
    """Return a column of a table as float64, NaN if the table does not have it."""
    size = table.sizes[schema.PRESENTATION]
    return table[name].values.astype(float) if name in table else np.full(size, np.nan)


def _still(table: xr.Dataset, name: str) -> PublishedRows:
    """Return the presentations of a stimulus that is not a movie."""
    start, stop = _column(table, schema.START_TIME), _column(table, schema.STOP_TIME)
    rows = PublishedRows(
        ids=table[schema.PRESENTATION].values,
        start=start,
        stop=stop,
        duration=stop - start,
        block=_column(table, "stimulus_block"),
        parameters={
            parameter: _column(table, parameter) for parameter in stimuli.PARAMETERS.get(name, ())
        },
    )
    return rows[~table["invalid"].values] if "invalid" in table else rows


def _whole_movies(tables: Mapping[str, xr.DataTree]) -> dict[str, PublishedRows]:
    """Return all movies of a session from their frames, separated as the pipeline does.

    In order of their ids, a new showing begins where the frame number decreases, whatever the
    movie; it lasts as long as its frames together.
    """
    parts = {
        name.removesuffix(stimuli.FRAMES): node.to_dataset()
        for name, node in tables.items()
        if name.endswith(stimuli.FRAMES) and stimuli.is_movie(name.removesuffix(stimuli.FRAMES))
    }
    if not parts:
        return {}
    columns = {
        name: np.concatenate([_column(part, name) for part in parts.values()])
        for name in (schema.START_TIME, schema.STOP_TIME, "stimulus_block", "frame", "invalid")
    }
    ids = np.concatenate([part[schema.PRESENTATION].values for part in parts.values()])
    movie = np.repeat(np.arange(len(parts)), [p.sizes[schema.PRESENTATION] for p in parts.values()])
    order = np.argsort(ids, kind="stable")
    order = order[columns["invalid"][order] != 1]
    columns = {name: values[order] for name, values in columns.items()}
    ids, movie = ids[order], movie[order]
    showing = np.cumsum(np.diff(columns["frame"], prepend=-np.inf) < 0)
    rows = {}
    for i, name in enumerate(parts):
        of_movie = movie == i
        if not of_movie.any():
            continue
        first = np.flatnonzero(np.diff(showing[of_movie], prepend=-1))
        start, stop = columns[schema.START_TIME][of_movie], columns[schema.STOP_TIME][of_movie]
        rows[name] = PublishedRows(
            ids=ids[of_movie][first],
            start=np.minimum.reduceat(start, first),
            stop=np.maximum.reduceat(stop, first),
            duration=np.add.reduceat(stop - start, first),
            block=columns["stimulus_block"][of_movie][first],
            parameters={"frame": np.full(first.size, np.nan)},
        )
    return rows


def medians_of(sessions: Any) -> dict[str, float]:
    """Return the median duration of each stimulus over sessions in s, including blanks."""
    pooled: dict[str, list[np.ndarray]] = {}
    for parts in sessions:
        for name, rows in parts.items():
            pooled.setdefault(name, []).append(rows.duration)
    return {name: float(np.median(np.concatenate(parts))) for name, parts in pooled.items()}


def _of_usual_length(name: str, rows: PublishedRows, median: float) -> PublishedRows:
    """Return the rows near the median duration, without blanks."""
    movie = "natural_movie" in name
    limit = stimuli.MAX_DEVIATION_OF_MOVIES if movie else stimuli.MAX_DEVIATION
    keep = np.abs(rows.duration - median) < limit
    if "gratings" in name or "dot_motion" in name:
        for values in (*rows.parameters.values(), rows.block):
            keep = keep & ~np.isnan(values)
    elif "natural_scenes" in name:
        keep = keep & (rows.parameters["frame"] != -1)
    return rows[keep]


# ------------------------------------------------------------------------------------- the tree


def bin_edges(rows: PublishedRows) -> np.ndarray:
    """Return the edges relative to onset, (bin + 1,) float64 in s, with the extra one from rounding."""
    n = int(np.ceil(rows.duration.max() / BIN_WIDTH))
    edges: np.ndarray = np.arange(0, (n + 1) * BIN_WIDTH, BIN_WIDTH)
    return edges


def _session(
    name: str, session: xr.DataTree, parts: dict[str, PublishedRows]
) -> dict[str, xr.Dataset]:
    """Return the nodes of a session, from the rows of the stimuli that are stored together."""
    edges = {stimulus: bin_edges(rows) for stimulus, rows in parts.items()}
    sizes = {stimulus: each.size - 1 for stimulus, each in edges.items()}
    if len(set(sizes.values())) > 1:
        msg = f"session {name!r}: {sizes} bins; stimuli stored together must have as many"
        raise ValueError(msg)
    offsets = next(iter(edges.values()))
    stops = [
        rows.stop if stimuli.is_movie(stimulus) else np.full(rows.ids.size, np.inf)
        for stimulus, rows in parts.items()
    ]
    start = np.concatenate([rows.start for rows in parts.values()])
    ids = np.concatenate([rows.ids for rows in parts.values()]).astype(np.int32)
    time = offsets[:-1] + np.diff(offsets) / 2
    coords = {
        schema.PRESENTATION: xr.Variable(schema.PRESENTATION, ids),
        schema.TIME: xr.Variable(schema.TIME, time, {"units": "s", "long_name": "bin centre"}),
    }
    table = _table(parts)
    signals = signals_at(session, time, start)
    groups = {name: xr.Dataset(coords=coords, attrs=session.attrs)}
    for area in sorted(session.children):
        if schema.SPIKES not in session[area].children:
            continue
        spikes = session[area][schema.SPIKES].to_dataset()
        trains = trains_of(spikes)
        shape = (start.size, offsets.size - 1, trains.first.size)
        arguments = (trains, start, np.concatenate(stops), offsets)
        lazy = Computed(_closed_counts, shape, np.dtype(np.int8), arguments)
        dims = (schema.PRESENTATION, schema.TIME, schema.UNIT)
        variables = {
            schema.SPIKE_DATA: schema.var(
                "area", schema.SPIKE_DATA, wrap(lazy), dims, tree=schema.ALIGNED
            )
        }
        variables |= {"speed": signals["speed"]} if "speed" in signals else {}
        labels = {k: c.variable for k, c in spikes.coords.items() if c.dims == (schema.UNIT,)} | {
            schema.UNIT: xr.Variable(schema.UNIT, spikes[schema.UNIT].values.astype(np.int32))
        }
        node = xr.Dataset(variables, labels | coords)
        groups[f"{name}/{area}"] = node.assign_coords(schema.trial_labels(node, table))
        gaze = {name: signals[name] for name in GAZE if name in signals}
        if gaze:
            groups[f"{name}/{area}/{schema.PUPIL}"] = xr.Dataset(gaze)
        groups[f"{name}/{area}/{schema.PRESENTATIONS}"] = table
    if len(groups) == 1:
        msg = f"session {name!r} has no units"
        raise SchemaError(msg)
    return groups


def _table(parts: dict[str, PublishedRows]) -> xr.Dataset:
    """Return the published table: parameters, block, start, stop and duration, all float32."""
    rows = list(parts.values())
    columns = {
        parameter: np.concatenate([part.parameters[parameter] for part in rows])
        for parameter in rows[0].parameters
    } | {
        name: np.concatenate([getattr(part, field) for part in rows])
        for name, field in (
            ("stimulus_block", "block"),
            (schema.START_TIME, "start"),
            (schema.STOP_TIME, "stop"),
            ("duration", "duration"),
        )
    }
    return xr.Dataset(
        {
            name: schema.var(
                "table", name, values.astype(np.float32), (schema.PRESENTATION,), schema.ALIGNED
            )
            for name, values in columns.items()
        }
    )


def _closed_counts(
    rows: np.ndarray,
    bins: np.ndarray,
    units: np.ndarray,
    trains: Trains,
    starts: np.ndarray,
    stops: np.ndarray,
    offsets: np.ndarray,
) -> np.ndarray:
    """Return whether there is a spike, (presentation, closed bin, unit) int8."""
    from neuroarrays.formats.allen_binned import closed

    times, first, last = trains.load(units), trains.first[units], trains.last[units]
    spiked = closed.any_in_closed_bins(times, first, last, starts[rows], stops[rows], offsets)
    return np.asarray(spiked[:, bins])
