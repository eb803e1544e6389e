"""`align`: a recording tree on one clock.

Read this page from `align` downwards, then `neuroarrays.alignment.session`, which says what becomes
of each kind of node; the kernels that count and interpolate run when a value is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays import schema
from neuroarrays._version import __version__
from neuroarrays.alignment.bins import Bins, check_bin_width, check_window
from neuroarrays.alignment.clocks import check_length, longest_window, whole_clock
from neuroarrays.alignment.interpolation import check_gap, methods_used
from neuroarrays.alignment.options import Options
from neuroarrays.alignment.presentations import presentations_of, session_tables
from neuroarrays.alignment.session import on_bins
from neuroarrays.alignment.spikes import check_dtype
from neuroarrays.lazy.chunking import chunked
from neuroarrays.lazy.trees import tree_of
from neuroarrays.tree.sessions import SessionNodes, sessions_of


def align(  # noqa: PLR0913  one question each, all but three by name
    tree: xr.DataTree,
    presentations: str | xr.Dataset | pd.DataFrame | None = None,
    bin_width: float = 0.02,
    window: Sequence[float] | None = None,
    *,
    event: str = schema.START_TIME,
    event_clock: str | None = None,
    clip: bool = True,
    series: str | Sequence[str] | None = None,
    method: str | None = None,
    max_gap: float | None = None,
    dtype: Any = "uint8",
    binarize: bool = False,
    blanks: str = "drop",
    responses: str | None = None,
    missing: str | None = None,
    chunks: Any = None,
) -> xr.DataTree:
    """Bring every signal of a recording on one clock.

    Spikes are counted in bins (see `bin_spikes` for their edges), and so are point events such as
    licks; behaviour is averaged over bins, or interpolated where it has fewer samples, and of a stimulus with a clock the frame
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
    method : {"mean", "max", "sum", "any", "linear", "previous", "nearest"}, optional
        What becomes of the samples of a series; see `interpolate`. Unless given it is the mean of
        each bin where bins are wider than the sampling interval (of an angle the circular mean),
        else linear interpolation at their centres. `history` says which series were averaged. With
        "sum" and "max" numbers that point events carry are taken too: ``amounts/<name>_<variable>``.
    max_gap : float, s, optional
        Longest gap in a series that is bridged: by default the clock's own, see `interpolate`;
        `numpy.inf` for any.
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
    missing : {"skip", "raise"}, optional
        What becomes of sessions that have no table `presentations`: "skip" leaves them out, and
        `history` and the attribute `notes` say which; "raise" is an error. Unless given it is
        "raise" where the sessions were opened by their names, or have tables in a mapping, and
        "skip" where all of them, or those that fit a glob, were opened. If no session has the table
        it is an error in any case.
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
    options = Options(
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
        missing=None if presentations is None else _missing(tree, presentations, missing),
    )
    sessions = sessions_of(tree)
    if presentations is None:
        targets = _continuous(sessions, options)
    else:
        targets = _presented(sessions, presentations, options)
    groups: dict[str, xr.Dataset] = {}
    for name, bins in targets.bins.items():
        groups |= on_bins(sessions[name], bins, targets.tables.get(name), options)
    root = _root(tree, targets, options, methods_used(groups.values()))
    aligned = tree_of({"/": root, **groups})
    return aligned if chunks is None else chunked(aligned, chunks)


@dataclass(frozen=True)
class _Targets:
    """What to align the sessions to, by name of the session.

    Attributes
    ----------
    bins : dict of str to Bins
        Where to count and interpolate.
    tables : dict of str to Dataset
        The presentations; none on continuous clocks.
    label : str, optional
        What the tables are called.
    stimulus : str, optional
        The name that they have in the tree.
    event_clock : str, optional
        Whose clock the onsets were on.
    left_out : dict of str to str
        Presentations that were left out: how many, and why; or that the session has none.
    """

    bins: dict[str, Bins]
    tables: dict[str, xr.Dataset] = field(default_factory=dict)
    label: str | None = None
    stimulus: str | None = None
    event_clock: str | None = None
    left_out: dict[str, str] = field(default_factory=dict)


def _missing(tree: xr.DataTree, presentations: Any, missing: str | None) -> str:
    """What becomes of sessions without the table: as asked for, else by how sessions were chosen."""
    if missing is not None:
        return missing
    by_name = schema.SESSIONS_ASKED in tree.root.attrs
    return "raise" if by_name or isinstance(presentations, Mapping) else "skip"


def _continuous(sessions: Mapping[str, SessionNodes], options: Options) -> _Targets:
    """One clock per session: of the window asked for, else of all the time that was recorded."""
    bins = {}
    for name, session in sessions.items():
        if options.window is None:
            bins[name] = whole_clock(f"session {name!r}", session.node, options.bin_width)
        else:
            check_length(name, session.node, options.window)
            bins[name] = Bins.within(options.window, options.bin_width)
    return _Targets(bins)


def _presented(sessions: Mapping[str, SessionNodes], wanted: Any, options: Options) -> _Targets:
    """Bins after the onset of each presentation, the same window in all sessions."""
    label = wanted if isinstance(wanted, str) else "your table"
    given, left_out = session_tables(sessions, wanted, options.blanks, options.missing or "raise")
    tables = {
        name: presentations_of(name, table, options.event, options.event_clock, label)
        for name, table in given.items()
    }
    window = options.window or longest_window(tables, options.bin_width)
    bins = {}
    for name, table in tables.items():
        check_length(name, sessions[name].node, window)
        stops = table.stops if options.clip else None
        event = None if options.event == schema.START_TIME else options.event
        bins[name] = Bins.within(window, options.bin_width, table.onsets, stops, event)
    return _Targets(
        bins=bins,
        tables={name: table.with_durations() for name, table in tables.items()},
        label=label,
        stimulus=wanted if isinstance(wanted, str) else None,
        event_clock=", ".join(sorted({table.clock for table in tables.values()})),
        left_out=left_out,
    )


def _root(tree: xr.DataTree, targets: _Targets, options: Options, methods: str) -> xr.Dataset:
    """The root of the aligned tree, whose `history` says what was done, with which options."""
    done = {"presentations": targets.label} | asdict(options)
    done |= {"dtype": str(options.dtype), "event_clock": targets.event_clock}
    text = ", ".join(f"{key}={value!r}" for key, value in done.items() if value is not None)
    line = f"neuroarrays {__version__}: align({text})"
    if methods:
        line += f"; series: {methods}"
    if targets.left_out:
        line += "; left out: " + "; ".join(f"{n}: {why}" for n, why in targets.left_out.items())
    history = "\n".join(filter(None, [str(tree.root.attrs.get("history", "")), line]))
    renewed = ("neuroarrays_schema", "event_clock", "stimulus", "history")
    kept = {str(k): v for k, v in tree.root.attrs.items() if k not in renewed}
    kept |= {"event_clock": targets.event_clock, "stimulus": targets.stimulus, "history": history}
    if skipped := [name for name in targets.left_out if name not in targets.bins]:
        skipped_notes = [f"{name}: not aligned, {targets.left_out[name]}" for name in skipped]
        kept["notes"] = [*np.atleast_1d(kept.get("notes", [])).tolist(), *skipped_notes]
    return xr.Dataset(attrs=schema.root_attrs(schema.ALIGNED, **kept))
