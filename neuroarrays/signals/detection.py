"""`events_of`: stretches in which a signal is above a threshold, as a table of intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.files import outer
from neuroarrays.schema import given
from neuroarrays.signals.sampled import Sampled, sampled
from neuroarrays.tree.columns import duration

#: The most samples that are read at once.
_AT_ONCE = 1 << 20


def events_of(
    signal: xr.DataArray,
    above: float,
    *,
    edge: float | None = None,
    shortest: float | None = None,
    longest: float | None = None,
    join: float | None = None,
) -> xr.Dataset:
    """Detect when a signal is above a threshold: ripples, spindles, bouts of running, licks.

    Parameters
    ----------
    signal : (time,) DataArray
        A signal on a regular clock, in any unit: an envelope, a speed, a sensor. To detect low
        values, give ``-signal``.
    above : float
        Threshold that the peak of an event must reach, in the unit of the signal (standard
        deviations after `na.normalize`).
    edge : float, optional
        An event begins where the signal rises above this level, and ends where it falls below it
        (default: `above`).
    shortest, longest : float, s, optional
        Shorter and longer events are left out, after `join` is applied.
    join : float, s, optional
        Events that are closer than this become one.

    Returns
    -------
    xr.Dataset
        A table of intervals along ``presentation_id``, which `na.align`, `na.restrict` and
        `na.firing_rate` take. ``start_time`` and ``stop_time`` (s) are half a step before the first
        sample and after the last. ``duration`` is in s. ``peak_time`` (s) and ``peak`` (unit of the
        signal) belong to the largest sample. Events end at gaps and at missing samples.

    Raises
    ------
    SchemaError
        If the signal has channels or is an angle.
    ValueError
        If `edge` is above `above`, a duration is negative, `shortest` is more than `longest`, or the clock is missing or irregular.

    Examples
    --------
    >>> import numpy as np, xarray as xr, neuroarrays as na
    >>> speed = xr.DataArray([0, 0, 5, 6, 0, 0.0], {"time": np.arange(6) / 10}, "time")
    >>> na.events_of(speed, 2).start_time.values
    array([0.15])
    """
    wanted = "expected one signal (time,), such as na.hilbert(band)['envelope'].sel(channel=7)"
    given.check(signal, xr.DataArray, wanted)
    if not np.isfinite(above):
        msg = f"above={above!r}: expected a number in the unit of the signal"
        raise ValueError(msg)
    edge = above if edge is None else edge
    if not edge <= above:
        msg = f"edge={edge:g} is above the threshold, above={above:g}: expected at most that"
        raise ValueError(msg)
    limits = {"shortest": shortest, "longest": longest, "join": join}
    short, long, near = (
        None if value is None else duration(value, name) for name, value in limits.items()
    )
    if short is not None and long is not None and short > long:
        msg = f"shortest={short:g} s is more than longest={long:g} s: no event fits"
        raise ValueError(msg)
    known = sampled(signal, "na.events_of")
    if signal.ndim != 1:
        msg = (
            f"{known.name} has dims {signal.dims}, expected (time,); select a channel with "
            ".sel, or take the mean"
        )
        raise SchemaError(msg)
    runs = _runs(known, edge)
    if near is not None and len(runs):
        runs = _joined(runs, near * known.rate, known.stretches)
    rows = _peaks(known, runs)
    step = 1 / known.rate
    first, last, top = known.stamps(rows[:, :3].astype(np.int64)).T
    start, stop = first - step / 2, last + step / 2
    kept = rows[:, 3] >= above
    kept &= (stop - start >= (short or 0) * (1 - 1e-9)) & (
        stop - start <= (long or np.inf) * (1 + 1e-9)
    )
    columns = {
        schema.START_TIME: (start, "s"),
        schema.STOP_TIME: (stop, "s"),
        "duration": (stop - start, "s"),
        "peak_time": (top, "s"),
        "peak": (rows[:, 3], str(signal.attrs.get("units", ""))),
    }
    attrs = {"threshold": above, "edge": edge, "of": str(signal.name or "")}
    return xr.Dataset(
        {
            name: (schema.PRESENTATION, values[kept], {"units": unit} if unit else {})
            for name, (values, unit) in columns.items()
        },
        {schema.PRESENTATION: np.arange(int(kept.sum()))},
        attrs,
    )


def _parts(known: Sampled) -> Any:
    """Read the stretches of a signal in parts: first sample, values, whether a stretch begins."""
    for begin, end in known.stretches.tolist():
        for low in range(begin, end, _AT_ONCE):
            key = outer.normalise((slice(low, min(low + _AT_ONCE, end)),), known.base.shape)
            yield low, np.asarray(known.base.outer(key), np.float64), low == begin


def _runs(known: Sampled, edge: float) -> np.ndarray:
    """First and last sample of each run above the edge, (n, 2) int64."""
    runs: list[np.ndarray] = []
    for low, values, is_first in _parts(known):
        high = np.concatenate([[False], values >= edge, [False]])
        rows = np.flatnonzero(high[1:] != high[:-1]).reshape(-1, 2) + low
        rows[:, 1] -= 1
        if (
            runs
            and len(runs[-1])
            and len(rows)
            and not is_first
            and rows[0, 0] == runs[-1][-1, 1] + 1
        ):
            runs[-1][-1, 1] = rows[0, 1]  # the run continues in the next part
            rows = rows[1:]
        if len(rows):
            runs.append(rows)
    return np.concatenate(runs) if runs else np.empty((0, 2), np.int64)


def _joined(runs: np.ndarray, samples: float, stretches: np.ndarray) -> np.ndarray:
    """Join the runs of one stretch that are fewer than so many samples apart."""
    stretch = np.searchsorted(stretches[:, 0], runs[:, 0], side="right")
    apart = (runs[1:, 0] - runs[:-1, 1] - 1 >= samples) | (stretch[1:] != stretch[:-1])
    first = np.concatenate([[True], apart])
    last = np.concatenate([apart, [True]])
    return np.stack([runs[first, 0], runs[last, 1]], axis=1)


def _peaks(known: Sampled, runs: np.ndarray) -> np.ndarray:
    """First, last and largest sample of each run, and the largest value, (n, 4) float64."""
    rows = np.empty((len(runs), 4))
    for k, (first, last) in enumerate(runs.tolist()):
        key = outer.normalise((slice(first, last + 1),), known.base.shape)
        values = np.asarray(known.base.outer(key), np.float64)
        top = int(np.nanargmax(values))
        rows[k] = first, last, first + top, values[top]
    return rows
