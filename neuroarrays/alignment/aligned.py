"""One clock out of many: spikes counted and behaviour interpolated where the bins are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays import schema
from neuroarrays._version import __version__
from neuroarrays.alignment.bins import Bins, check_bin_width, check_window
from neuroarrays.alignment.clocks import check_length, longest_window, whole_clock
from neuroarrays.alignment.counting import check_dtype, counted
from neuroarrays.alignment.events import counted_events
from neuroarrays.alignment.frames import shown
from neuroarrays.alignment.interpolation import check_gap, check_method, resampled
from neuroarrays.alignment.presentations import as_rows, presentations_of, tables_of
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.lazy.chunking import chunked
from neuroarrays.tree.invalid import invalid_bins
from neuroarrays.tree.masks import unit_validity
from neuroarrays.tree.observed import told_of_units, valid_bins
from neuroarrays.tree.sessions import areas_of, events_of, series_of, sessions_of, stimuli_of


@dataclass(frozen=True)
class _Options:
    """The options of one `align`, which says what they mean."""

    bin_width: float
    window: tuple[float, float] | None
    event: str
    event_clock: str | None
    clip: bool
    series: str | Sequence[str] | None
    method: str
    max_gap: float | None
    dtype: np.dtype
    binarize: bool
    blanks: str
    responses: str | None

    def __post_init__(self) -> None:
        check_method(self.method)
        if self.event_clock not in (None, "session", "presentation"):
            msg = f"event_clock={self.event_clock!r}: expected 'session' or 'presentation'"
            raise ValueError(msg)


def align(  # noqa: PLR0913  one question each, all but three by name
    tree: xr.DataTree,
    presentations: str | xr.Dataset | pd.DataFrame | None = None,
    bin_width: float = 0.02,
    window: Sequence[float] | None = None,
    *,
    event: str = "start_time",
    event_clock: str | None = None,
    clip: bool = True,
    series: str | Sequence[str] | None = None,
    method: str = "linear",
    max_gap: float | None = None,
    dtype: Any = "uint8",
    binarize: bool = False,
    blanks: str = "drop",
    responses: str | None = None,
    chunks: Any = None,
) -> xr.DataTree:
    """Bring every signal of a recording on one clock.

    Spikes are counted in bins (see `bin_spikes` for their edges), and so are point events such as
    licks; behaviour is interpolated at the bins' centres, and of a stimulus with a clock the frame
    is taken that was shown there. None of them needs the others. Lazy: what is indexed later is
    what is computed.

    Parameters
    ----------
    tree : xr.DataTree
        A recording tree; all its sessions are aligned. Or one session of it.
    presentations : str, Dataset, DataFrame, (n,) onsets, mapping or callable, optional
        The table of presentations to align to: its name in the tree, that of point events (each
        is an onset), or your own with
        `start_time`, `stop_time` (s, session clock) and any parameters, or bare onsets. Where
        sessions differ: a mapping of session to table, or a function of a session's node. Names
        joined by "+" are taken one after another. Without it, one continuous clock.
    bin_width : float, s
        Width of a bin.
    window : (float, float), s, optional
        With `presentations`: relative to each onset; by default from the onset to the end of the
        longest presentation of all sessions. Without: the part of the session clock; by default
        all the time that was recorded (page "What a tree is"), for which all spikes of the file
        may have to be read once.
    event : str
        Column of the table that onsets are taken from.
    event_clock : {"session", "presentation"}, optional
        Whether that column is on the session clock or relative to `start_time`. Decided by
        comparing them when not given; `history` says which.
    clip : bool
        Spikes at or after a presentation's stop are not counted, and `valid` is False in bins that
        end after it. False counts on, into what follows: every bin is whole.
    series : str or list of str, optional
        Names or globs of the series to align; behaviour (running, pupil, position, ...) unless
        given, and all of a session without units.
    method : {"linear", "previous", "nearest"}
        How series are interpolated; see `interpolate`.
    max_gap : float, s, optional
        Longest gap in a series that is bridged.
    dtype : integer dtype
        Of the counts.
    binarize : bool
        1 where there is any spike.
    blanks : {"drop", "keep"}
        What becomes of presentations that their table marks as `blank`. Those whose duration is
        further from the median than the table allows (its attribute `max_deviation`) are left out
        too; `history` says how many. More in `neuroarrays.alignment.presentations.select`.
    responses : str, optional
        Of several series of the same units, such as `Fluorescence`, `Neuropil` and `Deconvolved`
        of an imaged plane: which one becomes `responses`, by its name or that of its container
        in the file. Unless given it is dF/F
        where one is called so, else fluorescence, else the first by name; one called neuropil or
        background only where it is alone. The others stand beside it under their own names, and
        its attribute `signal` says which one it is.
    chunks : {}, "auto" or dict, optional
        Put dask on top, as in xarray.

    Returns
    -------
    xr.DataTree
        An aligned tree: ``<session>/<area>/spike_data`` as ``(presentation_id, unit_id, time)``
        or ``(time, unit_id)``, with behaviour, `valid`, ``events/<name>`` (counts along the other
        dimensions) and `presentations` beside it. Signals of other units than an area's spikes are
        an area of their own, ``<area>_<series>``. Of a session without units these stand in the
        session itself: ``<session>/events``.

    Raises
    ------
    NotInTree
        On a table, event column or series that is not there.
    ValueError
        On a bin width, window or method that cannot be, a window longer than the recording, event
        times whose clock cannot be told.
    SchemaError
        If the tree is not a recording tree, or a session has nothing with times.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> aligned = na.align(tree, bin_width=0.02)
    >>> aligned["A2929-200711/adn/spike_data"].dims
    ('time', 'unit_id')
    """
    options = _Options(
        bin_width=check_bin_width(bin_width),
        window=None if window is None else check_window(window),
        event=event,
        event_clock=event_clock,
        clip=clip,
        series=series,
        method=method,
        max_gap=check_gap(max_gap),
        dtype=check_dtype(dtype),
        binarize=binarize,
        blanks=blanks,
        responses=responses,
    )
    aligned = _aligned(tree, presentations, options)
    return aligned if chunks is None else chunked(aligned, chunks)


def _aligned(tree: xr.DataTree, presentations: Any, options: _Options) -> xr.DataTree:
    """All sessions of a recording tree, each on its bins."""
    if schema.kind_of(tree) != schema.RECORDING:
        msg = "this tree is aligned already; na.align takes a recording tree"
        raise SchemaError(msg)
    sessions = sessions_of(tree)
    done = {"presentations": presentations} | asdict(options) | {"dtype": str(options.dtype)}
    groups: dict[str, xr.Dataset] = {}
    if presentations is None:
        for name, session in sessions.items():
            bins = _session_bins(name, session, options)
            groups |= _session(name, session, bins, None, options)
        return _tree(tree, groups, done | {"event_clock": None})
    label = presentations if isinstance(presentations, str) else "your table"
    given, dropped = tables_of(sessions, presentations, options.blanks)
    tables = {
        name: presentations_of(name, given[name], options.event, options.event_clock, label)
        for name in sessions
    }
    window = options.window or longest_window(tables, options.bin_width)
    for name, session in sessions.items():
        check_length(name, session, window)
        table = tables[name]
        stops = table.stops if options.clip else None
        bins = Bins.within(window, options.bin_width, table.onsets, stops)
        groups |= _session(name, session, bins, as_rows(table), options)
    clocks = sorted({table.clock for table in tables.values()})
    done |= {"presentations": label, "event_clock": ", ".join(clocks)}
    return _tree(tree, groups, done, dropped)


def _tree(
    tree: xr.DataTree,
    groups: Mapping[str, xr.Dataset],
    options: Mapping[str, Any],
    dropped: Mapping[str, str] | None = None,
) -> xr.DataTree:
    """The aligned tree, whose `history` says what was done, with which options."""
    said = ", ".join(f"{key}={value!r}" for key, value in options.items() if value is not None)
    line = f"neuroarrays {__version__}: align({said})"
    if dropped:
        line += "; left out: " + "; ".join(f"{name}: {text}" for name, text in dropped.items())
    history = "\n".join(filter(None, [str(tree.root.attrs.get("history", "")), line]))
    renewed = ("neuroarrays_schema", "history")
    kept = {str(k): v for k, v in tree.root.attrs.items() if k not in renewed}
    root = xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED, **kept, history=history))
    return xr.DataTree.from_dict({"/": root, **groups})


# ------------------------------------------------------------------------------- one session


def _session(
    name: str, session: xr.DataTree, bins: Bins, rows: xr.Dataset | None, options: _Options
) -> dict[str, xr.Dataset]:
    """The nodes of a session on its bins; `rows` is the table of its presentations."""
    at_bins = partial(
        resampled,
        origins=bins.onsets,
        offsets=bins.centres,
        dims=bins.dims,
        method=options.method,
        max_gap=options.max_gap,
        bin_width=bins.width,
    )
    behaviour = {p: at_bins(node) for p, node in series_of(session, options.series).items()}
    begin, end = bins.edges[..., :-1], bins.edges[..., 1:]
    masks = invalid_bins(session, begin, end)
    valid = bins.whole()
    for within in (~masks[""] if "" in masks else None, valid_bins(session, begin, end)):
        if within is not None:
            valid = within if valid is None else valid & within
    shared = {schema.TIME: bins.axis}
    if rows is not None:
        shared[schema.PRESENTATION] = rows[schema.PRESENTATION].variable
        rows = rows.drop_vars(rows.coords)
    films = {film: shown(node, bins, options.max_gap) for film, node in stimuli_of(session).items()}
    known: dict[Any, xr.Variable] = {}
    if valid is not None:
        known["valid"] = schema.var("area", "valid", valid, bins.dims, tree=schema.ALIGNED)
    events = counted_events(events_of(session), bins, options.dtype, options.binarize)
    below = behaviour | ({schema.EVENTS: events | known} if events else {})
    areas = areas_of(session)
    if not areas:  # behaviour alone: the session is its own area
        made = _area_groups(name, films | known, shared, below, rows)
        made[name].attrs = dict(session.attrs)
        return made
    groups = {name: xr.Dataset(films, shared, session.attrs)}
    for area, nodes in areas.items():
        variables, coords = _signals(nodes, at_bins, options.responses, f"{name}/{area}")
        if schema.SPIKES in nodes:
            spikes = counted(nodes[schema.SPIKES], bins, options.dtype, options.binarize)
            variables["spike_data"] = spikes.variable
            coords |= _unit_coords(spikes)
        variables |= known
        observed = told_of_units(nodes.get(schema.SPIKES))
        by_unit = unit_validity(masks, observed, coords, bins.edges, bins.dims)
        if by_unit is not None:
            variables["valid_units"] = by_unit
        groups |= _area_groups(f"{name}/{area}", variables, coords, below, rows)
    return groups


def _signals(
    nodes: Mapping[str, xr.Dataset],
    at_bins: Callable[[xr.Dataset], dict[Any, xr.Variable]],
    wanted: str | None,
    place: str,
) -> tuple[dict[Any, xr.Variable], dict[Any, xr.Variable]]:
    """Continuous responses (fluorescence, ...) at the bins, one of them as `responses`."""
    found: dict[Any, xr.Variable] = {}
    called: dict[Any, list[str]] = {}  # its node, its name and its container in the file
    coords: dict[Any, xr.Variable] = {}
    for leaf, node in nodes.items():
        coords |= _unit_coords(node)
        if leaf == schema.SPIKES:
            continue
        for name, variable in at_bins(node).items():
            if schema.UNIT not in variable.dims:
                continue
            if name in found:
                name = leaf if leaf.endswith(str(name)) else f"{leaf}_{name}"
            container = str(variable.attrs.get("nwb_path", "")).split("/")[-2:]
            found[name], called[name] = variable, [leaf, str(name), *container]
    if not found:
        return found, coords
    if wanted is None:
        chosen = min(found, key=lambda name: _rank("/".join(called[name])))
    else:
        mine = [name for name in found if wanted in called[name]]
        if not mine:
            known = dict.fromkeys(name for names in called.values() for name in names)
            raise NotInTree("series of units", wanted, known, where=f"area {place!r}")
        chosen = mine[0]
    responses = found.pop(chosen)
    responses.attrs = responses.attrs | {"signal": str(chosen)}
    return {"responses": responses} | found, coords


def _rank(name: str) -> tuple[int, str]:
    """Which signal of several is `responses`: dF/F, else fluorescence, else any but neuropil."""
    kinds = ("d(elta)?_?f(_?(over)?_?f)|dff|deltaf", "fluor", "")
    kind = next(i for i, text in enumerate(kinds) if re.search(text, name, re.IGNORECASE))
    return (3 if re.search("neuropil|background", name, re.IGNORECASE) else kind), name


def _unit_coords(labelled: xr.DataArray | xr.Dataset) -> dict[Any, xr.Variable]:
    return {k: c.variable for k, c in labelled.coords.items() if c.dims == (schema.UNIT,)}


def _area_groups(
    path: str,
    variables: dict[Any, xr.Variable],
    coords: dict[Any, xr.Variable],
    behaviour: Mapping[str, Mapping[Any, xr.Variable]],
    rows: xr.Dataset | None,
) -> dict[str, xr.Dataset]:
    """The nodes of an area: itself, behaviour below it, its presentations."""
    below: dict[str, xr.Dataset] = {}
    for node, signals in behaviour.items():
        if node == schema.RUNNING and set(signals) == {"speed"}:
            variables = variables | dict(signals)
        else:
            below[f"{path}/{node}"] = xr.Dataset(dict(signals))
    area = xr.Dataset(variables, coords)
    if rows is not None:
        below[f"{path}/{schema.PRESENTATIONS}"] = rows
        area = area.assign_coords(schema.trial_labels(area, rows))
    return {path: area} | below


# ------------------------------------------------------------------------------ which bins


def _session_bins(name: str, session: xr.DataTree, options: _Options) -> Bins:
    """Of the window asked for, else of all the time that was recorded."""
    if options.window is None:
        return whole_clock(f"session {name!r}", session, options.bin_width)
    check_length(name, session, options.window)
    return Bins.within(options.window, options.bin_width)
