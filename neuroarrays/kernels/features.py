"""What kind of signal a series of numbers is, by a rule that looks at its values and their steps."""

import math

import numpy as np

from neuroarrays.kernels.jit import compiled
from neuroarrays.kernels.loops import seek

FULL_TURN = 2 * math.pi
#: The score is lower if there are fewer samples.
ENOUGH = 30
#: A code has at most so many values, each about so often; so many distinct ones are looked at.
CODES, RECUR, MOST_LEVELS = 20, 5, 256
#: Sectors of a turn. An angle must visit half of them.
_SECTORS = 36


def classify(
    values: np.ndarray, periods: tuple[float, ...] = (FULL_TURN, 360.0), angle: bool = False
) -> tuple[str, float, float | None]:
    """Tell the type of a feature.

    Parameters
    ----------
    values : (sample,) bool, int or float
        Evenly sampled; those that are not finite are gaps.
    periods : tuple of float
        Full turns that it may have.
    angle : bool
        Whether its name or unit says that it is an angle.

    Returns
    -------
    type : str
        "binary", "categorical", "count", "timeline", "linear", "circular", or "unknown" of a
        constant and of fewer than two samples.
    score : float
        From 0 to 1, how clear the case is.
    period : float or None
        The full turn of a circular feature.
    """
    if values.dtype.kind == "b":
        return "binary", 1.0, None
    x = np.ascontiguousarray(values, dtype=np.float64)
    known, low, high, whole, rises, falls, same = _summary(x)
    if known < 2 or low == high:
        return "unknown", 0.0, None
    trust = min(1.0, known / ENOUGH)
    levels, tallies, hops = _levels(x, MOST_LEVELS)
    kinds = levels.size if levels.size <= MOST_LEVELS else known
    if kinds == 2 and (whole or (known >= 2 * RECUR and tallies.min() > 1)):
        return "binary", trust, None
    if rises == known - 1:
        even = _even(x)
        if even >= 0.95:
            return "timeline", trust * even, None
    if whole and low >= 0 and not falls:
        return "count", trust, None
    score, period = _circularity(x, periods, angle) if kinds > CODES else (0.0, None)
    if period is not None and score >= 0.5:
        return "circular", trust * score, period
    if levels.size <= MOST_LEVELS and known >= RECUR * kinds:
        steps = rises + falls + same
        verdict = _of_levels(levels, tallies, whole, hops, (rises, falls, same, steps))
        if verdict:
            kind, certainty = verdict
            return kind, trust * certainty, None
    doubt = 0.5 if whole else score  # whole numbers may be counts or codes
    return "linear", trust * (1 - doubt), None


def _of_levels(
    levels: np.ndarray,
    tallies: np.ndarray,
    whole: bool,
    hops: int,
    steps: tuple[int, int, int, int],
) -> tuple[str, float] | None:
    """Type of values that recur: a rounded signal, counts, or codes."""
    rises, falls, same, total = steps
    kinds, changes = levels.size, rises + falls
    usual = int((tallies >= 0.01 * tallies.sum()).sum())
    if usual >= 5 and hops <= 0.05 * changes and min(rises, falls) >= 0.1 * changes:
        return "linear", 1 - hops / changes  # goes up and down from value to next value
    chance = float(((tallies / tallies.sum()) ** 2).sum())
    lasting = (same / max(total, 1) - chance) / (1 - chance)
    mode = int(tallies.argmax())
    rare = min(1.0, float(tallies[-1] / tallies[min(mode + 1, kinds - 2)]))
    full = kinds / (levels[-1] - levels[0] + 1)  # of whole numbers: those that occur
    if lasting <= 0.5 and rare <= 1 / 3 and kinds > 2:
        if whole and levels[0] >= 0 and full >= 2 / 3:
            return "count", 1 - rare
        if not whole or (kinds >= 5 and full >= 2 / 3):
            return "linear", 1 - rare  # a rounded signal that varies from sample to sample
    once = float((tallies == 1).mean())
    few = kinds <= CODES
    if (whole and few) or (once <= 0.1 and (few or (whole and lasting >= 0.5))):
        certainty = 1.0 if lasting > 0.5 else rare  # few samples of counts look like codes
        return "categorical", (1 - once) * certainty
    return None


def _circularity(
    x: np.ndarray, periods: tuple[float, ...], angle: bool
) -> tuple[float, float | None]:
    """How well a series is an angle that wraps, and its period."""
    best: tuple[float, float | None] = (0.0, None)
    low, high = np.nanmin(x), np.nanmax(x)
    for period in periods:
        if not period / 2 <= high - low <= period * (1 + 1e-3):
            continue
        score = 0.5 if angle else 0.0
        ups, downs, jumps, arc, share_visited = _turns(x, low, period)
        both = min(ups, downs) > 0
        # Positions on a circular track wrap in one direction only. Phases do too, but are in radians.
        if ups + downs >= 3 and share_visited >= 0.5 and (both or angle or period == FULL_TURN):
            score = max(score, (ups + downs) / jumps * max(0.0, 1 - 4 * arc / period))
        if score > best[0]:
            best = score, float(period)
    return best


def _even(x: np.ndarray) -> float:
    """Share of the steps that are a fifth of their median from it, at most."""
    steps = np.diff(x[np.isfinite(x)])
    usual = np.median(steps)
    return float((np.abs(steps - usual) <= 0.2 * usual).mean())


@compiled
def _summary(x):
    """Finite samples, their range, whether all are whole, and steps up, down and of zero."""
    known = rises = falls = same = 0
    low, high, whole = np.inf, -np.inf, True
    before = np.nan
    for value in x:
        if math.isfinite(value):
            known += 1
            low, high = min(low, value), max(high, value)
            whole &= value == math.floor(value)
            rises += value > before
            falls += value < before
            same += value == before
            before = value
        else:
            before = np.nan
    return known, low, high, whole, rises, falls, same


@compiled
def _levels(x, most):
    """Return the distinct values in order, how often each occurs, and the steps that pass over one.

    Of more than `most` distinct values, the first of them: one more than `most`.
    """
    levels, tallies = np.empty(most + 1), np.zeros(most + 1, np.int64)
    size = 0
    for value in x:
        if not math.isfinite(value):
            continue
        position = seek(levels, 0, size, value)
        if position == size or levels[position] != value:
            for later in range(size, position, -1):
                levels[later], tallies[later] = levels[later - 1], tallies[later - 1]
            levels[position], tallies[position] = value, 0
            size += 1
            if size > most:
                return levels, tallies, 0
        tallies[position] += 1
    hops, before = 0, -1
    for value in x:
        position = -1
        if math.isfinite(value):
            position = seek(levels, 0, size, value)
            hops += before >= 0 and abs(position - before) > 1
        before = position
    return levels[:size], tallies[:size], hops


@compiled
def _turns(x, low, period):
    """Count wraps upwards, wraps downwards and all jumps; also the mean arc of a step and the share visited.

    A jump is a step of more than half a turn. It is a wrap if what is left of the turn is a step
    like the others: at most three times as long as those that a given place is passed by.
    """
    squares = lengths = 0.0
    for i in range(1, x.size):
        step = abs(x[i] - x[i - 1])
        if step <= period / 2:  # False of NaN
            squares += step * step
            lengths += step
    usual = squares / lengths if lengths else 0.0
    longest = min(period / 4, 3 * usual)
    ups = downs = jumps = moves = 0
    arcs = 0.0
    visited = np.zeros(_SECTORS, np.bool_)
    for i in range(1, x.size):
        step = x[i] - x[i - 1]
        if not math.isfinite(step):
            continue
        visited[min(int((x[i] - low) / period * _SECTORS), _SECTORS - 1)] = True
        arc = abs(step)
        if arc > period / 2:
            jumps += 1
            arc = abs(period - arc)
            if arc <= longest:
                ups += step < 0
                downs += step > 0
        moves += arc > 0
        arcs += arc
    return ups, downs, jumps, arcs / moves if moves else 0.0, visited.mean()
