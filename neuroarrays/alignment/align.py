"""`align`: bring a recording tree to one clock.

Read this module from `align` downwards, then `neuroarrays.alignment.session`, which aligns each
kind of node. The kernels that count and interpolate run when values are read.
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
from neuroarrays.alignment.interpolation import check_gap, methods_used, without_numbers
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
    """Bring spikes, events and signals of a recording to one clock.

    Spikes and point events such as licks are counted in bins (`bin_spikes` describes the edges).
    Behaviour is averaged over bins, or interpolated if it has fewer samples. For a stimulus with a
    clock, the frame that was shown is taken. A recording may have any of these. The result is lazy:
    only what is indexed later is computed.

    Parameters
    ----------
    tree : xr.DataTree
        A recording tree, whose sessions are all aligned, or one session of it.
    presentations : str, Dataset, DataFrame, (n,) or (n, 2) times, mapping or callable, optional
        The presentations to align to (default: none, which gives one continuous clock). One of: the
        name of a table in the tree; the name of point events, each of which is an onset; a table
        with `start_time`, `stop_time` (s, session clock) and any parameters, as a frame, a node or a
        mapping of columns; onsets, or starts and stops side by side (s, session clock). Dates among
        the parameters become text. If sessions differ, a mapping of session to table, or a function of a session's
        node. Tables whose names are joined by "+" are taken one after another.
    bin_width : float, s
        Width of a bin.
    window : (float, float), s, optional
        With `presentations`: start and stop relative to each onset (default: from the onset to the
        end of the longest presentation of all sessions). Without: the part of the session clock
        (default: all the recorded time, see the page "What a tree is"; all spikes of the file may
        have to be read once for it).
    event : str
        Column of the table that has the onsets. A presentation without one (NaN) keeps its row, and
        `valid` is False in all of its bins.
    event_clock : {"session", "presentation"}, optional
        Whether that column is on the session clock or relative to `start_time` (default: decided by
        comparing it with starts and stops; `history` tells the result).
    clip : bool
        If True, spikes at or after the stop of a presentation are not counted, and `valid` is False
        in bins that end after it. If False, counting goes on after the stop, and every bin is
        whole.
    series : str or list of str, optional
        Names or patterns of the series to align (default: behaviour, such as running, pupil and
        position; in a session without units all series).
    method : {"mean", "max", "sum", "any", "linear", "previous", "nearest"}, optional
        How the samples of a series become bins; see `interpolate`. By default it is the mean of
        each bin (the circular mean for an angle) if bins are wider than the sampling interval, else
        linear interpolation at the centres of the bins. `history` tells which series were averaged.
        With "sum" and "max", the amounts of point events are added as
        ``amounts/<name>_<variable>``.
    max_gap : float, s, optional
        Longest gap in a series that is interpolated over (default: it depends on the clock, see
        `interpolate`); `numpy.inf` for any gap.
    dtype : integer dtype
        Dtype of the counts.
    binarize : bool
        If True, bins with any spike are 1, others 0.
    blanks : {"drop", "keep"}
        Whether to leave out presentations that their table marks as `blank`. Presentations whose
        duration is further from the median than the table allows (its attribute `max_deviation`)
        are always left out; `history` tells how many.
    responses : str, optional
        The series that becomes `responses`, if the same units have several, such as `Fluorescence`,
        `Neuropil` and `Deconvolved` of an imaged plane; its name, or that of its container in the
        file. By default it is dF/F, else fluorescence, else the first by name; one called neuropil
        or background only if there is no other. The others keep their names, and the attribute
        `signal` of `responses` tells which one it is.
    missing : {"skip", "raise"}, optional
        What to do with sessions that have no table `presentations`: "skip" leaves them out, and
        `history` and the attribute `notes` name them; "raise" raises an error. The default is
        "raise" if sessions were opened by name or tables are given as a mapping, and "skip" if all
        sessions, or those that fit a pattern, were opened. It is always an error if no session has
        the table.
    chunks : {}, "auto" or dict, optional
        Wrap the lazy arrays in dask, with chunks as in xarray.

    Returns
    -------
    xr.DataTree
        An aligned tree: ``<session>/<area>/spike_data`` as ``(presentation_id, unit_id, time)``
        or ``(time, unit_id)``, in spikes per bin. Beside it are behaviour, `valid`, the counts
        ``events/<name>`` (without ``unit_id``) and `presentations`. Signals that have other units
        than the spikes of their area are an area, ``<area>_<series>``. In a session without units
        all of this is in the session itself: ``<session>/events``.

    Raises
    ------
    NotInTree
        If a table, event column or series does not exist.
    ValueError
        If a bin width, window or method is not possible, the window is longer than the recording,
        or the clock of the event times cannot be decided.
    SchemaError
        If the tree is not a recording tree, or a session has nothing to align.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> aligned = na.align(tree, bin_width=0.02)
    >>> aligned["A2929-200711/adn/spike_data"].dims
    ('time', 'unit_id')
    """
    sessions = sessions_of(tree)
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
        missing=missing if presentations is None else _missing(tree, presentations, missing),
    )
    if presentations is None:
        targets = _continuous(sessions, options)
    else:
        targets = _presented(sessions, presentations, options)
    groups: dict[str, xr.Dataset] = {}
    unused: list[str] = []
    for name, bins in targets.bins.items():
        groups |= on_bins(sessions[name], bins, targets.tables.get(name), options)
        for path, node in sessions[name].chosen_series(series).items():
            unused += [f"{name}/{path}/{variable}" for variable in without_numbers(node)]
    root = _root(tree, targets, options, methods_used(groups.values()), unused)
    aligned = tree_of({"/": root, **groups})
    return aligned if chunks is None else chunked(aligned, chunks)


@dataclass(frozen=True)
class _Targets:
    """What each session is aligned to, by the name of the session.

    Attributes
    ----------
    bins : dict of str to Bins
        The bins of each session.
    tables : dict of str to Dataset
        The presentations of each session; empty for continuous clocks.
    label : str, optional
        The name of the tables in the result.
    stimulus : str, optional
        The name of the tables in the tree.
    event_clock : str, optional
        The clock of the column with the onsets.
    left_out : dict of str to str
        How many presentations were left out and why, or that the session has no table.
    """

    bins: dict[str, Bins]
    tables: dict[str, xr.Dataset] = field(default_factory=dict)
    label: str | None = None
    stimulus: str | None = None
    event_clock: str | None = None
    left_out: dict[str, str] = field(default_factory=dict)


def _missing(tree: xr.DataTree, presentations: Any, missing: str | None) -> str:
    """What to do with sessions without the table: the option, else by how sessions were opened."""
    if missing is not None:
        return missing
    by_name = schema.SESSIONS_ASKED in tree.root.attrs
    return "raise" if by_name or isinstance(presentations, Mapping) else "skip"


def _continuous(sessions: Mapping[str, SessionNodes], options: Options) -> _Targets:
    """The clock of each session: the window, else all the recorded time."""
    bins = {}
    for name, session in sessions.items():
        if options.window is None:
            bins[name] = whole_clock(f"session {name!r}", session.node, options.bin_width)
        else:
            check_length(name, session.node, options.window)
            bins[name] = Bins.within(options.window, options.bin_width)
    return _Targets(bins)


def _presented(sessions: Mapping[str, SessionNodes], wanted: Any, options: Options) -> _Targets:
    """Bins relative to the onset of each presentation, with the same window in all sessions."""
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


def _root(
    tree: xr.DataTree, targets: _Targets, options: Options, methods: str, unused: Sequence[str]
) -> xr.Dataset:
    """The root of the aligned tree; its `history` tells what was done and with which options."""
    done = {"presentations": targets.label} | asdict(options)
    done |= {"dtype": str(options.dtype), "event_clock": targets.event_clock}
    text = ", ".join(f"{key}={value!r}" for key, value in done.items() if value is not None)
    line = f"neuroarrays {__version__}: align({text})"
    if methods:
        line += f"; series: {methods}"
    if unused:
        line += f"; not aligned, because they are no numbers: {', '.join(unused)}"
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
