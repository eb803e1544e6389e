"""The compiled loops behind `neuroarrays.kernels.counts`, which checks what they are given.

Arrays are filled element by element, here and in the other kernels: numba needs a second or more
to compile one assignment to a slice, for each type of array, and runs it no faster.
"""

import numpy as np

from neuroarrays.kernels.jit import compiled

#: One block of output stays in a core's second-level cache while every unit writes its part.
BLOCK_BYTES = 1 << 19


@compiled
def seek(times, begin, end, when):
    """First index in [begin, end) whose time is not before `when`, else `end`."""
    # In steps that double: the answer is mostly near, and always found in few steps.
    step = 1
    low = begin
    high = begin
    while high < end and times[high] < when:
        low = high + 1
        high += step
        step += step
    high = min(high, end)
    while low < high:
        middle = (low + high) // 2
        if times[middle] < when:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def is_sorted(times, first, last):
    """Whether each unit's times never decrease; NaN is never in order."""
    result = np.ones(len(first), np.bool_)
    for unit in range(len(first)):
        previous = -np.inf
        for i in range(first[unit], last[unit]):
            if not times[i] >= previous:
                result[unit] = False
                break
            previous = times[i]
    return result


@compiled
def settle(guess, time, edges, n_bins):
    """The bin [edges[k], edges[k+1]) that holds `time`, known to be in one."""
    # Compared as floats first: no cast of a number too large for an integer, or of NaN.
    k = int(min(guess, n_bins - 1)) if guess > 0 else 0
    # No test of k is needed: the first and the last edge stop both loops.
    while time < edges[k]:
        k -= 1
    while time >= edges[k + 1]:
        k += 1
    return k


@compiled(inner=True)
def fill_edges(start, number, clock, edges):
    """Edges from `start` on; where that is edge `number` of the session's clock, those of it."""
    rate, width = clock
    origin = start
    if number == number:
        origin = 0.0
    else:
        number = 0.0
    for k in range(len(edges)):
        edge = number + k
        edges[k] = origin + (edge / rate if rate > 0 else edge * width)


@compiled
def signposts(starts):
    """A grid over the range of the starts: for each line, the last start at or before it."""
    # So fine that a cell mostly holds no start at all, and a look-up replaces a search.
    n_cells = 32 * len(starts)
    span = starts[-1] - starts[0]
    per_second = n_cells / span if span > 0 else 0.0
    posts = np.empty(n_cells + 1, np.int64)
    q = 0
    for cell in range(n_cells + 1):
        while q + 1 < len(starts) and (starts[q + 1] - starts[0]) * per_second <= cell:
            q += 1
        posts[cell] = q
    return posts, per_second


@compiled
def latest(time, starts, posts, per_second):
    """Last of the sorted starts at or before `time`, which is not before the first."""
    in_cells = (time - starts[0]) * per_second
    cell = int(min(in_cells, len(posts) - 2)) if in_cells > 0 else 0  # 0 of NaN too
    low = posts[cell]
    high = posts[cell + 1]
    # The grid is rounded: where it is off by a start, all of them are searched.
    if time < starts[low]:
        low = 0
    if high + 1 < len(starts) and starts[high + 1] <= time:
        high = len(starts) - 1
    while low < high:
        middle = (low + high + 1) // 2
        if starts[middle] <= time:
            low = middle
        else:
            high = middle - 1
    return low


@compiled
def trials(spikes, presentations, bins, units, out):
    """Count into the given rows, whose starts are sorted; return whether all counts fit."""
    rows, all_starts, all_stops, numbers = presentations
    n_units, n_bins = out.shape[1], out.shape[2]
    row_bytes = max(1, n_units * n_bins * out.itemsize)
    block = min(4096, max(1, BLOCK_BYTES // row_bytes))
    cursors = spikes[1].copy()
    edges = np.empty((min(block, len(rows)), n_bins + 1))
    offsets = np.empty(n_bins + 1)
    fill_edges(0.0, np.nan, bins, offsets)
    fits = True
    for begin in range(0, len(rows), block):
        end = min(begin + block, len(rows))
        for row in rows[begin:end]:
            for unit in range(n_units):
                for k in range(n_bins):
                    out[row, unit, k] = 0
        starts = all_starts[begin:end]
        stops = all_stops[begin:end]
        # The latest stop so far tells whether any earlier presentation still lasts.
        reach = stops.copy()
        for q in range(1, len(reach)):
            reach[q] = max(reach[q], reach[q - 1])
        for q in range(end - begin):
            if numbers[begin + q] == numbers[begin + q]:
                fill_edges(starts[q], numbers[begin + q], bins, edges[q])
            else:
                for k in range(n_bins + 1):
                    edges[q, k] = starts[q] + offsets[k]  # the same, without dividing each time
        block_presentations = (rows[begin:end], starts, stops, reach)
        if not trial_block(spikes, cursors, block_presentations, (edges, 1 / bins[1]), units, out):
            fits = False
    return fits


@compiled(inner=True)
def trial_block(spikes, cursors, presentations, bins, units, out):
    """Count into a few rows while they are in cache, unit after unit."""
    times, first, last = spikes
    rows, starts, stops, reach = presentations
    top, one = units
    edges, per_second = bins
    n_bins = out.shape[2]
    posts, posts_per_second = signposts(starts)
    fits = True
    for unit in range(out.shape[1]):
        i = cursors[unit]
        # The block before may have counted spikes that this one shares.
        while i > first[unit] and times[i - 1] >= starts[0]:
            i -= 1
        i = seek(times, i, last[unit], starts[0])
        while i < last[unit] and times[i] < reach[-1]:
            time = times[i]
            q = latest(time, starts, posts, posts_per_second)
            if time >= reach[q]:
                i = seek(times, i + 1, last[unit], starts[q + 1])
                continue
            while q >= 0 and time < reach[q]:
                if starts[q] <= time < stops[q]:
                    guess = (time - starts[q]) * per_second
                    k = settle(guess, time, edges[q], n_bins)
                    if out[rows[q], unit, k] != top:
                        out[rows[q], unit, k] += one
                    else:
                        fits = False
                q -= 1
            i += 1
        cursors[unit] = i
    return fits


@compiled
def clock(spikes, clock, part, units, out):
    """Count into bins from part[0] on, part[1] of them at a time; return whether all fit."""
    times, first, last = spikes
    origin, rate, width = clock
    start_bin, block = part
    top, one = units
    per_second = 1 / width
    edges = np.empty(block + 1)
    cursors = first.copy()
    fits = True
    for begin in range(0, out.shape[0], block):
        n_bins = min(block, out.shape[0] - begin)
        for k in range(n_bins + 1):
            edge = start_bin + begin + k
            edges[k] = origin + (edge / rate if rate > 0 else edge * width)
        for k in range(begin, begin + n_bins):
            for unit in range(out.shape[1]):
                out[k, unit] = 0
        start = edges[0]
        stop = edges[n_bins]
        for unit in range(out.shape[1]):
            i = seek(times, cursors[unit], last[unit], start)
            while i < last[unit] and times[i] < stop:
                if times[i] < start:  # only where the times are not sorted
                    i += 1
                    continue
                guess = (times[i] - start) * per_second
                k = settle(guess, times[i], edges, n_bins)
                if out[begin + k, unit] != top:
                    out[begin + k, unit] += one
                else:
                    fits = False
                i += 1
            cursors[unit] = i
    return fits
