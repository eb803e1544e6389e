"""`psth` and `firing_rate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.analysis import conditions as _conditions
from neuroarrays.analysis.conditions import RATE, dataset_of, kept
from neuroarrays.analysis.events import as_area, by_name
from neuroarrays.analysis.over import Over, over_areas
from neuroarrays.analysis.traces import averaged
from neuroarrays.errors import SchemaError
from neuroarrays.kernels.running import Moments
from neuroarrays.tree.breaks import bin_width, unbroken_runs
from neuroarrays.tree.columns import duration
from neuroarrays.tree.counted import spikes_and_seconds
from neuroarrays.tree.restriction import table_of_intervals
from neuroarrays.tree.trains import spikes_node


@over_areas("trials")
def psth(
    area: xr.DataTree | xr.Dataset,
    by: str | Sequence[str] | None = None,
    smooth: float | None = None,
    signal: str | None = None,
    **over: Unpack[Over],
) -> xr.Dataset:
    """Compute PSTHs: the mean response over presentations, relative to the onset.

    Parameters
    ----------
    area : DataTree node or Dataset
        An area with ``spike_data`` (counts) or ``responses`` (in any unit) along
        ``(presentation_id, unit_id, time)``; or a node ``events`` with counts of licks, rewards,
        ... along ``(presentation_id, time)``.
    by : str or sequence of str, optional
        Parameters of the presentations: one PSTH for each combination of their values.
    smooth : float, s, optional
        Standard deviation of a Gaussian. Each presentation is smoothed before averaging, so `sem`
        belongs to the smoothed curve. The Gaussian is cut off at 4 standard deviations and at gaps
        in `time`. Its weights are normalised over the bins that count, so neither the edges of the
        window nor masked bins lower the rate.
    signal : str, optional
        Path of a signal below the area, such as "speed" or "LFP/LFP", ``(presentation_id, time,
        ...)`` in any unit. It is averaged instead of the units.

    Returns
    -------
    xr.Dataset
        ``mean``, its standard error ``sem`` (ddof 1) and ``n``, the number of presentations, along
        ``(by, ..., unit_id, time)``; without `by` along ``(unit_id, time)``. `mean` and `sem` are
        in spikes/s for counts, in their own unit for responses. For events, the dimension ``event``
        replaces ``unit_id``, and the unit is events/s. For a signal, its own dimensions
        (``channel``) replace ``unit_id``; an angle has a circular mean. `sem` is NaN if fewer than
        two presentations count, with a warning if this is a whole condition. Combinations that were
        never shown are NaN.

    Raises
    ------
    SchemaError
        If nothing is aligned to presentations along time, or there are no presentations.
    NotInTree
        If `by` is not a parameter, or the signal does not exist.
    ValueError
        If `smooth` is not positive, or `by` is missing in every presentation.

    Notes
    -----
    With responses ``x_p`` of the ``n`` presentations that count in a bin, ``mean = sum(x_p) / n``
    and ``sem = sqrt(sum((x_p - mean)^2) / (n - 1) / n)``. Both are divided by the bin width if `x`
    are counts (Gerstein & Kiang 1960, Biophys. J. 1:15). Values that are NaN, or masked by `valid`,
    `valid_units` or `withheld`, do not count. Presentations whose parameter is missing (NaN or
    empty) belong to no condition. Columns of the units that are called mean, sem or n are left out.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> ripples = na.align(tree, "sleep_ripples", bin_width=0.01, window=(-0.1, 0.2))
    >>> response = na.psth(ripples["A2929-200711/ca1"])
    >>> response["mean"].dims, response["mean"].attrs["units"]
    (('unit_id', 'time'), 'spikes/s')
    >>> round(float(response["mean"].sel(unit_id=14).max()), 1)
    33.3
    """
    from neuroarrays.kernels import moments, smoothing

    if signal is not None:
        return averaged(area, signal, lambda columns: psth(columns, by, smooth))
    if (events := as_area(area)) is not None:
        return by_name(psth(events, by, smooth), area)
    node, response = _conditions.trials_of(area)
    values = response.values
    if schema.TIME not in values.dims:
        msg = (
            f"{values.name} has no time; na.tuning_curve averages such responses over presentations"
        )
        raise SchemaError(msg)
    conditions = _conditions.conditions(node, by)
    n_bins = values.sizes[schema.TIME]
    shape = (conditions.size, *values.shape[1:])
    taps = None if smooth is None else smoothing.gaussian_taps(_sigma(smooth, bin_width(node)))
    parts = [] if taps is None else unbroken_runs(node).tolist()
    total, spread = np.zeros(shape), Moments(shape)
    row = 0 if taps is None else 4 * shape[1] * n_bins
    for part, block, mask in _conditions.blocks_of(node, values, row):
        if taps is not None:
            seen = np.ones((len(block), 1, n_bins), bool) if mask is None else mask
            smoothed = [smoothing.smooth(block[:, :, a:b], seen[:, :, a:b], taps) for a, b in parts]
            block = np.concatenate(smoothed, axis=2)
        sums, squares, n = moments.moments(block, conditions.labels[part], shape[0], mask)
        total += sums
        spread.merge(n, sums / np.maximum(n, 1), squares)
    _conditions.warn_of_single(spread.n, conditions.titles if by else ["the area"])
    mean, sem = _conditions.mean_and_sem(total, spread.squares, spread.n)
    dims = (*conditions.values, schema.UNIT, schema.TIME)
    parts_of_answer = {
        "mean": (mean * response.scale, response.attrs),
        "sem": (sem * response.scale, response.attrs | {"long_name": "standard error"}),
        "n": (spread.n, {"long_name": "presentations"}),
    }
    return xr.Dataset(
        {
            name: (dims, each.reshape(*conditions.shape, *shape[1:]), attrs)
            for name, (each, attrs) in parts_of_answer.items()
        },
        coords={
            name: values
            for name, values in (
                kept(node, (schema.UNIT, schema.TIME)) | conditions.coords(node)
            ).items()
            if name not in parts_of_answer  # a column of the units may be called "mean"
        },
    )


def _sigma(smooth: float, width: float) -> float:
    """Convert a standard deviation to bins."""
    return duration(smooth, "smooth", ", e.g. 0.02 for 20 ms") / width


@over_areas("rates")
def firing_rate(
    area: xr.DataTree | xr.Dataset, intervals: Any = None, **over: Unpack[Over]
) -> xr.DataArray:
    """Compute the mean firing rate of each unit.

    Parameters
    ----------
    area : DataTree node or Dataset
        An area of a recording tree, or its spikes: ``spike_times (spike,)`` in seconds. Or an
        area of an aligned tree, or its ``events``: counts along ``(presentation_id, unit_id,
        time)`` or ``(time, unit_id)``.
    intervals : str, Dataset, DataFrame or (n, 2) array, s, optional
        For a recording: intervals of the session clock to count in, or the name of a table of the
        session; overlapping ones are counted once. The default is all the recorded time: what the file states for each unit or for the
        session, else from the first to the last datum of the whole file, for any selection of units
        (page "What a tree is"). Invalid times of the session do not count. They include the time
        that `restrict` cut out, so the rate of a restricted tree is the rate within its intervals.

    Returns
    -------
    (unit_id,) xr.DataArray, spikes/s
        Spikes divided by time; for an aligned tree, in the bins that count. A unit without spikes
        has rate 0, a unit without time that counts has NaN. The attribute ``duration`` is the
        longest time of any unit in s. For events, ``event`` replaces ``unit_id``, and the unit is
        events/s.

    Raises
    ------
    SchemaError
        If there are no spikes, or intervals are given for an aligned area.
    ValueError
        If the time to divide by is 0.

    Notes
    -----
    ``rate = n / T`` for ``n`` spikes in the time ``T`` (Adrian & Zotterman 1926, J. Physiol.
    61:151).

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> na.firing_rate(tree["A2929-200711/adn"]).values.round(2)
    array([ 7.3 ,  5.73,  8.12,  6.68, 10.77, 11.  , 16.52])
    """
    if (events := as_area(area)) is not None:
        return by_name(firing_rate(events, intervals), area)
    area = spikes_node(area, "rates")
    node = dataset_of(area)
    session = area.parent and area.parent.parent if isinstance(area, xr.DataTree) else None
    if schema.SPIKE_DATA in node:
        if intervals is not None:
            msg = "this area is aligned: choose its time with na.restrict(tree, intervals)"
            raise SchemaError(msg)
        number, seconds = _counted(node)
    elif schema.RESPONSES in node:
        msg = (
            "firing_rate needs spikes, but the area has responses; their mean is "
            "area['responses'].mean()"
        )
        raise SchemaError(msg)
    else:
        if isinstance(intervals, str) and session is not None:
            intervals = table_of_intervals(session, intervals)
        number, seconds = spikes_and_seconds(node, session, intervals)
    longest = float(seconds.max(initial=0))
    if not longest > 0:
        msg = "there is no time to divide by: no spikes, no valid bins, or empty intervals"
        raise ValueError(msg)
    attrs = {**RATE, "duration": longest}
    unit = {schema.UNIT: np.atleast_1d(node[schema.UNIT].values)} | kept(node, (schema.UNIT,))
    with np.errstate(divide="ignore", invalid="ignore"):
        return xr.DataArray(number / seconds, unit, schema.UNIT, "firing_rate", attrs)


def _counted(node: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Spikes of each unit in the bins that count, and the duration of these bins."""
    counts = node[schema.SPIKE_DATA]
    along = next(dim for dim in counts.dims if dim != schema.UNIT)
    number, bins = _conditions.totals(node, counts.transpose(along, schema.UNIT, ...))
    return number, bins * bin_width(node)
