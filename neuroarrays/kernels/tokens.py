"""Windows of raw spikes as tokens: a time and the index of a unit for each spike.

The spikes are those of `neuroarrays.kernels.events.Slices`, put in order of time once, so that a
window is one stretch of them that is copied.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neuroarrays.kernels import events
from neuroarrays.kernels.jit import compiled

#: What a token is: a spike, or the begin or the end of the window for a unit.
SPIKE, START, END = 0, 1, 2


class Tokens(NamedTuple):
    """Arrays to which tokens are written, one after another.

    Attributes
    ----------
    times : (token,) float32, s
        From the begin of the window.
    units : (token,) int32
        Index of the unit.
    kinds : (token,) or (0,) int32
        0 a spike, 1 the begin and 2 the end of the window; not written if it is empty.
    known : (token,) or (0,) bool
        False for padding; not written if it is empty.
    """

    times: np.ndarray
    units: np.ndarray
    kinds: np.ndarray
    known: np.ndarray


def in_order(spikes: events.Slices) -> events.Slices:
    """Sort spikes by time, in place; those at the same time by unit.

    Parameters
    ----------
    spikes : Slices
        What `events.slice_by_time` gives.

    Returns
    -------
    Slices
        The same.
    """
    _in_order(spikes.bounds, spikes.times, spikes.units)
    return spikes


def find(
    spikes: events.Slices, starts: np.ndarray, stops: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the spikes of half-open windows.

    Parameters
    ----------
    spikes : Slices
        In order of time, from `in_order`.
    starts, stops : (window,) float64, s
        Begin and end of each window; finite.

    Returns
    -------
    begin, end : (window,) int64
        Window w has the spikes ``begin[w]`` to ``end[w] - 1``.
    """
    begin, end = np.empty((2, len(starts)), np.int64)
    for edges_of_windows, first in ((starts, begin), (stops, end)):
        times = np.ascontiguousarray(edges_of_windows, np.float64)
        _find(spikes.bounds, spikes.times, times, events.slice_of(spikes, times), first)
    return begin, np.maximum(begin, end)


def write(
    spikes: events.Slices,
    windows: tuple[np.ndarray, np.ndarray, np.ndarray, float],
    units: np.ndarray,
    places: tuple[np.ndarray, np.ndarray],
    out: Tokens,
) -> None:
    """Write the tokens of windows.

    With `kinds`, each window begins with two tokens for each unit, of the window's begin (0 s) and
    of its end, as POYO has them (Azabou et al. 2023). Places that are left are padding: 0 in all
    arrays, and not known.

    Parameters
    ----------
    spikes : Slices
        In order of time, from `in_order`.
    windows : begin, end, starts, length
        Two (window,) int64 of `find`, (window,) float64 in s, and the length of all in s.
    units : (unit,) int32
        Index that stands for each unit.
    places : at, room
        Two (window,) int64: where in `out` each window begins, and for how many tokens there is room.
    out : Tokens
        Written to.

    Raises
    ------
    ValueError
        If a window has more tokens than there is room for, or `out` ends before it.
    """
    begin, end, starts, length = windows
    at, room = places
    needed = end - begin + (2 * len(units) if len(out.kinds) else 0)
    if (needed > room).any():
        raise ValueError(
            f"room: a window has {needed.max()} tokens, there is room for {room.min()}"
        )
    sizes = {array.size for array in out if array.size}
    if len(at) and (at.min() < 0 or (at + room).max() > min(sizes, default=0)):
        raise ValueError(f"out: expected {(at + room).max()} places, got {min(sizes, default=0)}")
    if len(units) != spikes.n_units:
        raise ValueError(f"units: {len(units)} indices, spikes of {spikes.n_units} units")
    spans = np.stack([begin, end, at, room])
    starts = np.ascontiguousarray(starts, np.float64)
    _write(spikes, spans, (starts, float(length)), np.ascontiguousarray(units, np.int32), out)


@compiled
def _in_order(bounds, times, units):
    """Shell's sort of each slice, with the gaps of Ciura (2001): few spikes, often in order."""
    gaps = (701, 301, 132, 57, 23, 10, 4, 1)
    for k in range(len(bounds) - 1):
        low, high = bounds[k], bounds[k + 1]
        for gap in gaps:
            for i in range(low + gap, high):
                time, unit = times[i], units[i]
                j = i
                while j >= low + gap and (
                    times[j - gap] > time or (times[j - gap] == time and units[j - gap] > unit)
                ):
                    times[j] = times[j - gap]
                    units[j] = units[j - gap]
                    j -= gap
                times[j] = time
                units[j] = unit


@compiled
def _find(bounds, times, edges, slices, first):
    """Write the number of the first spike at or after each time."""
    for w in range(len(edges)):
        i = bounds[slices[w]]
        stop = bounds[min(slices[w] + 1, len(bounds) - 1)]
        while i < stop and times[i] < edges[w]:
            i += 1
        first[w] = i


@compiled
def _write(spikes, spans, windows, indices, out):
    """Write the tokens of each window, and padding after them."""
    starts, length = windows
    times, units, kinds, is_known = out
    n_head = 2 * len(indices) if len(kinds) > 0 else 0
    for w in range(len(starts)):
        begin, end, start_token, room = spans[0, w], spans[1, w], spans[2, w], spans[3, w]
        n, start = end - begin, starts[w]
        # The arrays are written one after another, so that these loops become vector instructions.
        row, of_window = times[start_token : start_token + room], spikes.times[begin:end]
        for u in range(n_head // 2):
            row[2 * u], row[2 * u + 1] = np.float32(0.0), np.float32(length)
        spike_row = row[n_head:]
        for k in range(n):
            spike_row[k] = np.float32(of_window[k] - start)
        row[n_head + n :] = np.float32(0.0)
        unit_row, unit_of = units[start_token : start_token + room], spikes.units[begin:end]
        for u in range(n_head // 2):
            unit_row[2 * u] = indices[u]
            unit_row[2 * u + 1] = indices[u]
        spike_units = unit_row[n_head:]
        for k in range(n):
            spike_units[k] = indices[unit_of[k]]
        unit_row[n_head + n :] = 0
        if n_head > 0:
            kind_row = kinds[start_token : start_token + room]
            for u in range(n_head // 2):
                kind_row[2 * u], kind_row[2 * u + 1] = START, END
            kind_row[n_head:] = SPIKE
        if len(is_known) > 0:
            is_known[start_token : start_token + n_head + n] = True
            is_known[start_token + n_head + n : start_token + room] = False
