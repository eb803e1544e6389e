"""The compiled loops of `neuroarrays.kernels.counts`, which checks their arguments.

Arrays are filled element by element, here and in the other kernels: numba needs a second or more
to compile one assignment to a slice, for each type of array, and runs it no faster.
"""

from neuroarrays.kernels.jit import compiled


@compiled
def seek(times, begin, end, when):
    """First index in [begin, end) whose time is not before `when`, else `end`."""
    # Steps that double find the first spike quickly, as it is mostly near.
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
def trials(times, spans, rows, ends, edges, per_second, units, out):
    """Count the spikes of every unit into rows of bins; return whether all counts fit.

    The bins of row q lie between ``edges[q]``, end at ``ends[0, q]`` and are counted in
    ``out[rows[q]]``. Rows come in order of their first edge, and may overlap: row q + 1 begins at
    ``ends[1, q]``. ``spans[0]``, where the spikes of each unit begin, is moved on to those of the
    last row.
    """
    # The search is written out here, because a function for it would take longer to compile.
    top, increment = units
    n_rows = len(rows)
    n_bins = edges.shape[1] - 1
    fits = True
    for unit in range(spans.shape[1]):
        i = spans[0, unit]
        last = spans[1, unit]
        for q in range(n_rows):
            start = edges[q, 0]
            # The first spike is mostly near; further away, steps that double find it quickly.
            near = min(i + 16, last)
            while i < near and times[i] < start:
                i += 1
            step = 1
            high = i
            while high < last and times[high] < start:
                i = high + 1
                high += step
                step += step
            high = min(high, last)
            while i < high:
                middle = (i + high) // 2
                if times[middle] < start:
                    i = middle + 1
                else:
                    high = middle
            stop = ends[0, q]
            following = ends[1, q]
            row = rows[q]
            j = i
            while j < last and times[j] < stop:
                time = times[j]
                j += 1
                i = j if time < following else i  # the search for the next row begins after it
                if time < start:  # only where the times are not sorted
                    continue
                # The product is a guess of the bin; the loops correct it, and end at the outer edges.
                # Floats are compared first, so that no NaN or too large number is cast to an integer.
                guess = (time - start) * per_second
                k = int(min(guess, n_bins - 1)) if guess > 0 else 0
                while time < edges[q, k]:
                    k -= 1
                while time >= edges[q, k + 1]:
                    k += 1
                if out[row, unit, k] != top:
                    out[row, unit, k] += increment
                else:
                    fits = False
        spans[0, unit] = i
    return fits


@compiled
def clock(times, spans, edges, per_second, units, out):
    """Count the spikes of every unit into consecutive bins; return whether all counts fit.

    The same as `trials` for a single row, whose counts are ``out[bin, unit]``: a fifth faster.
    """
    top, increment = units
    n_bins = len(edges) - 1
    start, stop = edges[0], edges[n_bins]
    fits = True
    for unit in range(spans.shape[1]):
        i = spans[0, unit]
        last = spans[1, unit]
        step = 1
        high = i
        while high < last and times[high] < start:
            i = high + 1
            high += step
            step += step
        high = min(high, last)
        while i < high:
            middle = (i + high) // 2
            if times[middle] < start:
                i = middle + 1
            else:
                high = middle
        while i < last and times[i] < stop:
            time = times[i]
            i += 1
            if time < start:  # only where the times are not sorted
                continue
            guess = (time - start) * per_second
            k = int(min(guess, n_bins - 1)) if guess > 0 else 0
            while time < edges[k]:
                k -= 1
            while time >= edges[k + 1]:
                k += 1
            if out[k, unit] != top:
                out[k, unit] += increment
            else:
                fits = False
        spans[0, unit] = i
    return fits
