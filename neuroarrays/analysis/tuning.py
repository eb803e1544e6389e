"""`tuning_curve`: responses as a function of parameters of presentations, or of behaviour."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.spikes import ClockCounts
from neuroarrays.analysis import conditions as _conditions
from neuroarrays.analysis.conditions import Response, clock_of, dataset_of, kept
from neuroarrays.analysis.events import as_area, by_name
from neuroarrays.analysis.over import Over, over_areas
from neuroarrays.analysis.signals import Feature, binned, bins_of, feature_names, feature_of
from neuroarrays.errors import NotInTree
from neuroarrays.lazy.arrays import array_of
from neuroarrays.schema.given import described
from neuroarrays.schema.labels import FEATURE
from neuroarrays.tree.breaks import bin_width
from neuroarrays.tree.columns import seconds as in_seconds

#: Number of resamplings for a confidence interval, and the probability that it covers.
_RESAMPLINGS, _CONFIDENCE = 1000, 0.95


@over_areas("either")
def tuning_curve(
    area: xr.DataTree | xr.Dataset,
    feature: Feature | Sequence[Feature],
    bins: Any = 36,
    min_occupancy: float = 0.1,
    period: float | None = None,
    **over: Unpack[Over],
) -> xr.DataArray:
    """Compute tuning curves: responses as a function of one or two features.

    Parameters
    ----------
    area : DataTree node or Dataset
        An area with ``spike_data`` (counts) or ``responses`` (in any unit): ``(presentation_id,
        unit_id[, time])`` for parameters of the presentations, or ``(time, unit_id)`` on one clock
        for behaviour; or a node ``events`` of either, with counts of licks, rewards, ...
    feature : str, (time,) DataArray, or two of them
        Parameters of the presentations; or the path of a signal below the area, such as
        ``"head_direction/ry"`` or ``"speed"``; or values in any unit on the clock of the area.
    bins : int, (bins + 1,) array of edges, or one of these for each feature
        For behaviour: the number of half-open bins, over a full turn for an angle, else over the
        range of the values. Or the edges ``(bins + 1,)`` in the unit of the feature, to compare
        sessions; samples outside the edges belong to no bin. The largest value belongs to the last
        bin.
    min_occupancy : float, s
        For behaviour: bins that were visited for a shorter time are NaN.
    period : float, optional
        A full turn of the first feature in its unit: 360 for a direction in degrees, 180 for an
        orientation (default: its attribute `period`). The second feature uses its own attribute.

    Returns
    -------
    (unit_id, feature[, feature]) xr.DataArray
        Mean responses: spikes/s for counts, their own unit for responses. For behaviour: spikes in
        each bin divided by the time spent in it, with the coordinate `occupancy` (s). For
        parameters: the mean over presentations of their means over time, with the coordinates `sem`
        (ddof 1, NaN for one presentation) and `n`.

        If a feature is circular, also the coordinates `preferred` and `selectivity` (along
        ``unit_id`` and the other feature; the first feature, if both are circular). For parameters
        also `preferred_low`, `preferred_high`, `selectivity_low` and `selectivity_high`, the ends
        of the 95 % intervals from 1,000 resamplings of the presentations of each condition; an
        interval of an angle may go beyond the full turn. Behaviour has no such intervals, because
        its samples are not independent.

        For events, ``event`` replaces ``unit_id``, and rates are in events/s.

    Raises
    ------
    SchemaError
        If the area has neither kind of responses, or the feature is on another clock.
    NotInTree
        If the feature does not exist.
    ValueError
        If the feature has no finite value, is text but a number is needed, or `bins` or `period` is
        not positive.

    Notes
    -----
    With responses ``r_k`` at angles ``a_k`` of a full turn ``T``, ``R = sum(r_k exp(2 pi i a_k / T))
    / sum(r_k)``: `preferred` is its angle and `selectivity` its length, which is 1 minus the
    circular variance (Ringach, Shapley & Hawken 2002, J. Neurosci. 22:5639; Batschelet 1981). They
    are NaN for a unit without spikes. Responses below 0 count as 0. If angles are unevenly spaced,
    `preferred` is biased toward the dense ones. With ``T = 180``, directions half a turn apart are
    one orientation. Intervals of the angle are percentiles of its deviation along the shorter arc
    (Efron & Tibshirani 1993). Rates of behaviour are spikes divided by occupancy (Skaggs et al.
    1993, NeurIPS 5). Values that are NaN, or masked by `valid`, `valid_units` or `withheld`, do not
    count. Missing parameters (NaN or empty) belong to no condition.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> clock = na.align(tree, bin_width=0.1, window=(671, 900))
    >>> curves = na.tuning_curve(clock["A2929-200711/adn"], "head_direction/ry", bins=12)
    >>> curves.dims, curves.attrs["units"]
    (('unit_id', 'ry'), 'spikes/s')
    >>> curves["preferred"].values.round(1)
    array([0.4, 4.2, 2.5, 4.8, 1.1, 5.4, 3. ])
    """
    is_one = not isinstance(feature, Sequence) or isinstance(feature, str)
    features: list[Any] = [feature] if is_one else list(feature)
    if len(features) not in (1, 2) or not all(isinstance(f, str | xr.DataArray) for f in features):
        found = [described(each) for each in features]
        msg = (
            "feature: expected a parameter of the presentations, a signal (its path such as "
            "'position/x', or a DataArray along time), or a list of two; found "
            f"{', '.join(found)}"
        )
        raise ValueError(msg)
    if period is not None and not (np.isfinite(period) and period > 0):
        msg = f"period={period!r}: expected a full turn, such as 360 for a direction in degrees"
        raise ValueError(msg)
    if (events := as_area(area)) is not None:
        if schema.PRESENTATION not in events.sizes:  # behaviour is in the node above the events
            beside: Any = area.parent
            features = [feature_of(beside, f) if isinstance(f, str) else f for f in features]
        return by_name(tuning_curve(events, features, bins, min_occupancy, period), area)
    node = dataset_of(area)
    if schema.PRESENTATION in node.sizes and all(
        isinstance(f, str) and f in _conditions.parameters(node) for f in features
    ):
        return _of_parameters(area, [str(f) for f in features], period)
    if schema.PRESENTATION in node.sizes:
        _conditions.trials_of(area)
        known = _conditions.parameters(node)
        wrong = next(_name(f) for f in features if _name(f) not in known)
        hint = "for behaviour, align on one clock: na.align(tree, bin_width=0.02)"
        raise NotInTree("column", wrong, known, hint, where="the presentations")
    least = float(in_seconds(min_occupancy, "min_occupancy"))
    return _of_behaviour(area, features, bins, least, period)


def _name(feature: Feature) -> object:
    return feature if isinstance(feature, str) else feature.name


# ------------------------------------------------------------------------------ trial parameters


def _of_parameters(
    area: xr.DataTree | xr.Dataset, names: list[str], period: float | None
) -> xr.DataArray:
    from neuroarrays.kernels import moments

    node, response = _conditions.trials_of(area)
    conditions = _conditions.conditions(node, names)
    shape, labels = conditions.shape, conditions.labels
    rates = _conditions.means(node, response)
    known = np.isfinite(rates)[:, :, None]
    sums = moments.moments(rates[:, :, None], labels, conditions.size, known)
    total, squares, n = (sum_[:, :, 0] for sum_ in sums)
    mean, sem = (each.T.reshape(-1, *shape) for each in _conditions.mean_and_sem(total, squares, n))
    _conditions.warn_of_single(n, conditions.titles)
    dims = (schema.UNIT, *names)
    coords = kept(node, (schema.UNIT,)) | conditions.coords(node)
    coords["n"] = (dims, n.T.reshape(-1, *shape), {"long_name": "presentations"})
    coords["sem"] = (dims, sem, response.attrs | {"long_name": "standard error"})
    curves = xr.DataArray(mean, coords, dims, "tuning_curve", response.attrs)
    periods = [period or node[names[0]].attrs.get("period")]
    periods += [node[name].attrs.get("period") for name in names[1:]]
    return _circular(curves, periods, rates, labels)


def _circular(
    curves: xr.DataArray,
    periods: Sequence[float | None],
    rates: np.ndarray | None = None,
    labels: np.ndarray | None = None,
) -> xr.DataArray:
    """Add `preferred` and `selectivity` of the first circular feature, if there is one.

    Also add their intervals, if rates (presentation, unit) and their conditions are given.
    """
    axis = next((i for i, period in enumerate(periods) if period), None)
    if axis is None:
        return curves
    period, feature = float(periods[axis] or 0), str(curves.dims[1 + axis])
    x = curves[feature].values
    if x.dtype.kind not in "iuf":
        msg = f"{feature!r} is text; a period needs angles as numbers"
        raise ValueError(msg)
    weights = np.maximum(np.nan_to_num(np.moveaxis(curves.values, 1 + axis, -1)), 0)
    vectors = _resultant(weights @ np.exp(2j * np.pi * x / period), weights.sum(axis=-1))
    dims = tuple(dim for dim in curves.dims if dim != feature)
    units = curves[feature].attrs.get("units")
    angle = {"long_name": f"preferred {feature}", "period": period}
    angle |= {"units": units} if units else {}
    length = {"long_name": "selectivity", "comment": "1 - circular variance", "units": "1"}
    parts = {
        "preferred": (dims, _angle(vectors, period), angle),
        "selectivity": (dims, np.abs(vectors), length),
    }
    if rates is not None and labels is not None:
        ends = _intervals(vectors, rates, labels, (curves.shape[1:], axis), x / period)
        for i, end in enumerate(("low", "high")):
            parts[f"preferred_{end}"] = (dims, ends[0][i] * period % period, angle)
            parts[f"selectivity_{end}"] = (dims, ends[1][i], length)
    out = curves.assign_coords(parts)
    out[feature].attrs["period"] = period
    return out


def _resultant(vector: np.ndarray, weight: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weight > 0, vector / weight, np.nan)


def _angle(vectors: np.ndarray, period: float) -> np.ndarray:
    angle: np.ndarray = np.angle(vectors) * (period / (2 * np.pi)) % period
    return angle


def _intervals(
    vectors: np.ndarray,
    rates: np.ndarray,
    labels: np.ndarray,
    layout: tuple[tuple[int, ...], int],
    turns: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals (low and high, unit[, other]) of angles in turns, and of lengths.

    Presentations are resampled within each condition. `place` is the shape of the conditions and
    the number of the circular axis; `turns` are its angles.
    """
    shape, axis = layout
    random = np.random.default_rng(0)
    tails = [50 * (1 - _CONFIDENCE), 50 * (1 + _CONFIDENCE)]
    grid = np.moveaxis(np.arange(int(np.prod(shape))).reshape(shape), axis, -1)
    angles, lengths = np.empty((2, 2, *vectors.shape))
    for other in np.ndindex(grid.shape[:-1]):
        vector = np.zeros((_RESAMPLINGS, rates.shape[1]), complex)
        weight = np.zeros(vector.shape)
        for label, turn in zip(grid[other], turns, strict=True):
            responses = rates[labels == label]
            if not len(responses):
                continue
            drawn = random.multinomial(
                len(responses), np.full(len(responses), 1 / len(responses)), _RESAMPLINGS
            )
            with np.errstate(invalid="ignore"):
                mean = (drawn @ np.nan_to_num(responses)) / (
                    drawn @ np.isfinite(responses).astype(float)
                )
            mean = np.maximum(np.nan_to_num(mean), 0)
            vector += mean * np.exp(2j * np.pi * turn)
            weight += mean
        drawn_vectors, here = _resultant(vector, weight), (slice(None), *other)
        centre = np.angle(vectors[here]) / (2 * np.pi)
        away = (np.angle(drawn_vectors) / (2 * np.pi) - centre + 0.5) % 1 - 0.5
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a unit without any response gives NaN
            angles[(slice(None), *here)] = centre + np.nanpercentile(away, tails, axis=0)
            lengths[(slice(None), *here)] = np.nanpercentile(np.abs(drawn_vectors), tails, axis=0)
    return angles, lengths


# -------------------------------------------------------------------------------------- behaviour


def _of_behaviour(
    area: xr.DataTree | xr.Dataset,
    features: list[Feature],
    bins: Any,
    min_occupancy: float,
    period: float | None,
) -> xr.DataArray:
    node, response = clock_of(area)
    wanted = bins_of(bins, len(features))
    signals = [feature_of(area, feature) for feature in features]
    turns = [period] + [None] * (len(features) - 1)
    parts = [binned(*each) for each in zip(signals, wanted, turns, strict=True)]
    shape = tuple(edges.size - 1 for _, edges, _ in parts)
    labels = np.ravel_multi_index([np.maximum(index, 0) for index, _, _ in parts], shape)
    labels = np.where(np.any([index < 0 for index, _, _ in parts], axis=0), -1, labels)
    total, n = _sums_by_place(node, response, labels, int(np.prod(shape)))
    occupancy = n * bin_width(node)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(occupancy >= min_occupancy, total / n, np.nan) * response.scale
    names = feature_names(signals, features, (schema.UNIT, "occupancy"))
    coords = kept(node, (schema.UNIT,))
    for name, signal, (_, edges, turn) in zip(names, signals, parts, strict=True):
        attrs = {k: v for k, v in signal.attrs.items() if k in ("units", "long_name", FEATURE)}
        attrs |= {"period": turn} if turn else {}
        coords[name] = (name, (edges[:-1] + edges[1:]) / 2, attrs)
    dims = (schema.UNIT, *names)
    apart = bool((occupancy != occupancy[:, :1]).any())
    spent = occupancy.T.reshape(-1, *shape) if apart else occupancy[:, 0].reshape(shape)
    coords["occupancy"] = (dims if apart else dims[1:], spent, {"units": "s"})
    curves = xr.DataArray(mean.T.reshape(-1, *shape), coords, dims, "tuning_curve", response.attrs)
    return _circular(curves, [turn for _, _, turn in parts])


def _sums_by_place(
    node: xr.Dataset, response: Response, labels: np.ndarray, n_places: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sums (feature bin, unit) over the time bins, and their numbers (feature bin, 1 or unit).

    They are computed directly from spikes, if these are known and no unit has its own mask.
    """
    from neuroarrays.kernels import moments, visits

    data = array_of(response.values.variable)
    if isinstance(data, ClockCounts) and not data.binarize and schema.VALID_UNITS not in node:
        mask = _conditions.counted(node, response.values)
        labels = labels if mask is None else np.where(mask[:, 0], labels, -1)
        times = data.trains.load(data.units)
        first, last = data.trains.first[data.units], data.trains.last[data.units]
        clock = (data.origin, data.bin_width)
        spikes = visits.count_by_label(times, first, last, *clock, labels, n_places)
        return spikes.astype(float), np.bincount(labels[labels >= 0], minlength=n_places)[:, None]
    shape = (n_places, response.values.sizes[schema.UNIT])
    total, n = np.zeros(shape), np.zeros(shape, np.int64)
    for part, block, mask in _conditions.blocks_of(node, response.values):
        seen = None if mask is None else mask[:, :, None]
        sums = moments.moments(block[:, :, None], labels[part], n_places, seen)
        total, n = total + sums[0][:, :, 0], n + sums[2][:, :, 0]
    return total, n
