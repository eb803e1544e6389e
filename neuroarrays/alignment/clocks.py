"""The clock of a session: it covers the recorded time; one absurd time is an error."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.bins import Bins, longest_duration
from neuroarrays.alignment.presentations import Presentations
from neuroarrays.errors import TooLarge
from neuroarrays.tree.extents import parts_of
from neuroarrays.tree.observed import at_least, of_session, of_units
from neuroarrays.tree.trains import trains_of

#: The most bins of a clock that was not asked for by a window: 1 GiB, 37 hours at 1 ms.
MOST_BINS = 1 << 27
#: A presentation this many times longer than the median is named in the error.
_FAR = 100
#: A window may be longer than the recording by this many seconds.
_SLACK = 1.0


def whole_clock(
    name: str, session: xr.DataTree | None, width: float, spikes: xr.Dataset | None = None
) -> Bins:
    """The bins over all the recorded time of a session.

    Parameters
    ----------
    name : str
        Name of the session, for errors.
    session : DataTree node, optional
        A session of a recording tree.
    width : float, s
        Width of a bin.
    spikes : Dataset, optional
        A spikes node with ``spike_times (spike,)`` in seconds. If given, the clock covers the time
        in which any of its units was recorded.

    Raises
    ------
    ValueError
        If there is nothing with times.
    TooLarge
        If the clock would have more than `MOST_BINS` bins; the message names the time that is
        furthest from the others.
    """
    if spikes is not None:
        trains_of(spikes)  # raises an error if they are not spikes
    recorded = of_units(spikes, session) if spikes is not None else []
    recorded = recorded or ([of_session(session)] if session is not None else [])
    ends = np.array([times.extent for times in recorded if len(times.rows)]).reshape(-1, 2)
    if not ends.size:
        what = "spikes" if spikes is not None else f"times in {name}"
        msg = f"no {what} tell when the session was recorded: give window=(start, stop) in seconds"
        raise ValueError(msg)
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    if (
        not recorded[0].from_data and low < high
    ):  # the stop is the end of the last bin; a datum would be in it
        high = float(np.nextafter(high, -np.inf))
    number = (high - low) / width
    if number > MOST_BINS:
        msg = (
            f"{name}: a clock from {low:g} to {high:g} s would have {number:.3g} bins of "
            f"{width:g} s, "
            f"{number * 8 / 2**30:,.0f} GiB for their times alone (the limit is 1 GiB unless a "
            "window is "
            f"given): {_outlier(session, spikes, low, high)}. Give window=(start, stop) in seconds"
        )
        raise TooLarge(msg)
    return Bins.covering(low, high, width)


def _outlier(
    session: xr.DataTree | None, spikes: xr.Dataset | None, low: float, high: float
) -> str:
    """Name the time of a session that is furthest from the others."""
    nodes = {"the spikes": spikes} if spikes is not None else {}
    if session is not None:
        nodes = {path: n.to_dataset() for path, n in session.subtree_with_keys if path != "."}
    ends = [end for path, node in nodes.items() for end in _ends_of_units(path, node)]
    parts = parts_of(nodes, spikes=False)
    ends += [(f"{part.name!r} has a time of", *part.extent()) for part in parts]
    if not ends:
        return "no time is far from the others"
    middle = float(np.nanmedian([end for _, *both in ends for end in both]))

    def away(time: float) -> float:
        return abs(time - middle)

    what, first, last = max(ends, key=lambda end: max(away(end[1]), away(end[2])))
    furthest = max(first, last, key=away)
    if furthest not in (low, high) and away(furthest) < max(away(low), away(high)) / 2:
        return (
            f"a unit or signal of the file that is not in the tree reaches from {low:g} to "
            f"{high:g} s"
        )
    return f"{what} {furthest:g} s"


def _ends_of_units(path: str, node: xr.Dataset) -> list[tuple[str, float, float]]:
    """The name of each unit of a node, with its first and last spike in s."""
    if schema.ROW_SIZE not in node.variables:
        return []
    trains = trains_of(node)
    times = trains.load(np.arange(trains.first.size))
    ids = np.atleast_1d(node[schema.UNIT].values)
    area = path.removesuffix("/" + schema.SPIKES)
    ends = []
    for unit, first, last in zip(ids, trains.first, trains.last, strict=True):
        train = times[first:last]
        train = train[np.isfinite(train)]
        if train.size:
            what = f"unit {unit} of {area!r} has a spike at"
            ends.append((what, float(train[0]), float(train[-1])))
    return ends


def longest_window(tables: Mapping[str, Presentations], width: float) -> tuple[float, float]:
    """From each onset to the end of the longest presentation of all sessions.

    Parameters
    ----------
    tables : dict of str to Presentations
        The presentations of each session, by name.
    width : float, s
        Width of a bin.

    Returns
    -------
    (float, float), s
        Start and stop relative to the onset.

    Raises
    ------
    ValueError
        If no presentation has a stop.
    TooLarge
        If one presentation is so much longer than the others that all bins together would be more
        than `MOST_BINS`; the message names it.
    """
    onsets, stops = (
        np.concatenate([getattr(table, end) for table in tables.values()])
        for end in ("onsets", "stops")
    )
    length = longest_duration(onsets, stops)
    number = length / width * max(table.onsets.size for table in tables.values())
    every = stops - onsets
    median = float(np.median(every[np.isfinite(every)]))
    if number > MOST_BINS and length > _FAR * median:
        lengths = {name: table.stops - table.onsets for name, table in tables.items()}
        name = next(name for name, each in lengths.items() if (each == length).any())
        row = int(np.flatnonzero(lengths[name] == length)[0])
        msg = (
            f"session {name!r}: row {row} of {tables[name].name!r} ends {length:g} s after its "
            "onset, "
            f"at {tables[name].stops[row]:g} s; the median is {median:g} s. Windows as "
            f"long as the longest would have {number:.3g} bins together. Give window=(start, "
            "stop) in seconds"
        )
        raise TooLarge(msg)
    return 0.0, length


def check_length(name: str, session: xr.DataTree, window: tuple[float, float]) -> None:
    """Refuse a window that is longer than the recording; spikes are read only if it may be.

    Raises
    ------
    ValueError
        If it is longer; the message tells the extent of the session.
    """
    length = window[1] - window[0]
    low, high = at_least(session)
    if np.isfinite(low) and high - low >= length:
        return
    low, high = of_session(session).extent
    if np.isfinite(low) and length > (high - low) * (1 + 1e-9) + _SLACK:
        msg = (
            f"window: {length:g} s is longer than the recording of session {name!r}, which spans "
            f"{low:.3f} to {high:.3f} s"
        )
        raise ValueError(msg)
