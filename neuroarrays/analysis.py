"""Labelled answers: areas of a tree in, labelled arrays out."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import conditions as _conditions
from neuroarrays import schema
from neuroarrays.conditions import TRIALS, bin_width, dataset_of, kept, valid_of
from neuroarrays.errors import SchemaError
from neuroarrays.intervals import merged
from neuroarrays.trains import trains_of

#: Counts held in memory at once while a whole session is averaged, bytes.
_BLOCK = _conditions.BLOCK
RATE = {"units": "spikes/s"}


def psth(
    area: xr.DataTree | xr.Dataset, by: str | None = None, smooth: float | None = None
) -> xr.Dataset:
    """Peri-stimulus time histogram: mean rate over presentations, masked bins left out.

    Parameters
    ----------
    area : DataTree node or Dataset
        With ``spike_data (presentation_id, unit_id, time)``; `valid` is respected if it is there.
    by : str, optional
        A parameter of the presentations; one histogram per value of it.
    smooth : float, s, optional
        Standard deviation of a Gaussian that each presentation is smoothed with before they are
        averaged, so that `sem` is that of what is shown. Cut off at 4 standard deviations; only
        valid bins enter, and their weights are normalised, so that neither the window's edges nor
        masked bins pull the rate down.

    Returns
    -------
    xr.Dataset
        ``mean`` and ``sem`` (spikes/s) along ``([by,] unit_id, time)`` and ``n``, the number of
        presentations, along ``([by,] time)``. The standard error has ddof 1; NaN where fewer
        presentations count than it takes, with a warning where that is a whole condition.

    Raises
    ------
    SchemaError
        If there is no trial-aligned `spike_data`, or no presentation.
    NotInTree
        If `by` is not a parameter.
    ValueError
        If `smooth` is not positive, or `by` is missing in every presentation.

    Notes
    -----
    With counts ``c_p`` of the ``n`` presentations whose bin is valid, ``mean = sum(c_p) / n / w``
    and ``sem = sqrt(sum((c_p - mean)^2) / (n - 1) / n) / w`` for bins of width ``w``.
    Presentations in which the parameter is missing (NaN or empty) belong to no condition.
    """
    from neuroarrays.kernels import moments, smoothing

    node = _conditions.trials_of(area)
    counts = node["spike_data"].transpose(*TRIALS)
    labels, values = _conditions.conditions(node, by)
    valid = valid_of(node, (schema.PRESENTATION, schema.TIME))
    width, n_bins = bin_width(node), counts.sizes[schema.TIME]
    shape = (max(len(values), 1), counts.sizes[schema.UNIT], n_bins)
    weights = None if smooth is None else smoothing.gaussian_weights(n_bins, _sigma(smooth, width))
    total, squares, n = np.zeros(shape), np.zeros(shape), np.zeros((shape[0], n_bins), np.int64)
    row = shape[1] * n_bins * (counts.dtype.itemsize if weights is None else 8)
    for part in _conditions.blocks(counts.shape[0], row, _BLOCK):
        block = counts[part].values
        mask = None if valid is None else valid[part]
        if weights is not None:
            mask = np.ones((block.shape[0], n_bins), bool) if mask is None else mask
            block = smoothing.smooth(block, mask, weights)
        sums = moments.moments(block, labels[part], shape[0], mask)
        total, squares, n = total + sums[0], squares + sums[1], n + sums[2]
    _warn_of_single(n, by, values)
    with np.errstate(divide="ignore", invalid="ignore"):
        m = n[:, None, :]
        mean = total / m
        variance = np.maximum(squares - m * mean**2, 0) / (m - 1)
        sem = np.where(m > 1, np.sqrt(variance / m), np.nan)
    out = xr.Dataset(
        {
            "mean": (("condition", schema.UNIT, schema.TIME), mean / width, RATE),
            "sem": (("condition", schema.UNIT, schema.TIME), sem / width, RATE),
            "n": (("condition", schema.TIME), n, {"long_name": "presentations"}),
        },
        coords=kept(node, (schema.UNIT, schema.TIME)),
    )
    if by is None:
        return out.isel(condition=0)
    label = xr.Variable(by, values, node[by].attrs)
    return out.rename(condition=by).assign_coords({by: label})


def _sigma(smooth: float, width: float) -> float:
    """A standard deviation in bins."""
    if not (np.isfinite(smooth) and smooth > 0):
        msg = f"smooth={smooth!r}: expected a positive number of seconds, e.g. 0.02 for 20 ms"
        raise ValueError(msg)
    return float(smooth) / width


def _warn_of_single(n: np.ndarray, by: str | None, values: np.ndarray) -> None:
    alone = n.max(axis=1) == 1
    if alone.any():
        which = "there is" if by is None else f"{by} {', '.join(map(str, values[alone]))} has"
        msg = f"{which} one presentation only: its standard error is NaN"
        warnings.warn(msg, UserWarning, stacklevel=3)


def firing_rate(area: xr.DataTree | xr.Dataset, intervals: Any = None) -> xr.DataArray:
    """Mean firing rate of each unit.

    Parameters
    ----------
    area : DataTree node or Dataset
        An area or its spikes in a recording tree, or an area of an aligned tree.
    intervals : Dataset, DataFrame or (n, 2) array, s, optional
        Of a recording: where to count, overlapping ones once. Without, from the first to the last
        spike of the area, as pynapple does it: an area that fell silent is overrated.

    Returns
    -------
    (unit_id,) xr.DataArray, spikes/s
        Spikes divided by time. Of an aligned tree: spikes in valid bins by the duration of valid
        bins. A unit without spikes has rate 0. Attribute ``duration`` is the time in s.

    Raises
    ------
    SchemaError
        If there are no spikes, or intervals are given for an aligned area.
    ValueError
        If the time adds up to nothing.
    """
    if isinstance(area, xr.DataTree) and schema.SPIKES in area.children:
        area = area.children[schema.SPIKES]
    node = dataset_of(area, "an area or its spikes")
    if "spike_data" in node:
        if intervals is not None:
            msg = "this area is aligned: choose its time with na.restrict(tree, intervals)"
            raise SchemaError(msg)
        number, duration = _counted(node)
    else:
        number, duration = _spikes_within(node, intervals)
    if not duration > 0:
        msg = "there is no time to divide by: no spikes, no valid bins, or empty intervals"
        raise ValueError(msg)
    attrs = {**RATE, "long_name": "firing rate", "duration": duration}
    unit = {schema.UNIT: np.atleast_1d(node[schema.UNIT].values)} | kept(node, (schema.UNIT,))
    return xr.DataArray(number / duration, unit, schema.UNIT, "firing_rate", attrs)


def _counted(node: xr.Dataset) -> tuple[np.ndarray, float]:
    """Spikes of each unit in valid bins, and the duration of these."""
    counts = node["spike_data"]
    dims = tuple(str(dim) for dim in counts.dims if dim != schema.UNIT)
    counts = counts.transpose(*dims, schema.UNIT)
    valid = valid_of(node, dims)
    valid = np.ones(counts.shape[:-1], bool) if valid is None else valid
    number = np.zeros(counts.sizes[schema.UNIT])
    for part in _conditions.blocks(counts.shape[0], counts[:1].nbytes, _BLOCK):
        block = counts[part].values.reshape(-1, number.size)
        number += valid[part].reshape(-1).astype(float) @ block
    return number, float(valid.sum() * bin_width(node))


def _spikes_within(node: xr.Dataset, intervals: Any) -> tuple[np.ndarray, float]:
    trains = trains_of(node)
    if intervals is None:
        low, high = trains.extent()
        return (trains.last - trains.first).astype(float), high - low
    starts, stops = merged(intervals)
    times = trains.load(np.arange(trains.first.size))
    number = np.zeros(trains.first.size)
    for unit, (first, last) in enumerate(zip(trains.first, trains.last, strict=True)):
        train = times[first:last]
        number[unit] = (np.searchsorted(train, stops) - np.searchsorted(train, starts)).sum()
    return number, float((stops - starts).sum())
