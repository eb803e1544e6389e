"""Rates as a function of what was shown or done: parameters of trials, and behaviour."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.spikes import ClockCounts
from neuroarrays.analysis import conditions as _conditions
from neuroarrays.analysis.conditions import Response, bin_width, clock_of, dataset_of, kept
from neuroarrays.analysis.events import as_area, by_name
from neuroarrays.analysis.over import Over, over_areas
from neuroarrays.analysis.signals import Feature, binned, bins_of, feature_of
from neuroarrays.errors import NotInTree
from neuroarrays.lazy.arrays import array_of
from neuroarrays.tree.columns import seconds as in_seconds

#: Resamplings of a confidence interval, and the share that it holds.
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
    """Response as a function of one or two features: what was shown, or what the animal did.

    Parameters
    ----------
    area : DataTree node or Dataset
        With ``spike_data`` (counts) or ``responses`` (in any unit): ``(presentation_id,
        unit_id[, time])`` for parameters of the presentations, or ``(time, unit_id)`` on one
        clock for behaviour; or a node ``events`` of either, counts of licks, rewards, ...
    feature : str, (time,) DataArray, or two of them
        Parameters of the presentations; or a path below the area, such as
        ``"head_direction/ry"`` or ``"speed"``, or values on the area's clock.
    bins : int, (bins + 1,) array of edges, or one of these for each feature
        Of behaviour, the number of half-open bins: over a full turn for an angle, else over the
        range of the values. Or their edges in the unit of the feature, ``(bins + 1,)``, so that
        sessions can be compared: samples outside belong to no bin. The largest value belongs to
        the last bin.
    min_occupancy : float, s
        Of behaviour: bins visited for less are NaN.
    period : float, optional
        A full turn of the first feature, in its unit: 360 for a direction in degrees, 180 for an
        orientation. Its attribute `period` unless given; the second feature has its own.

    Returns
    -------
    (unit_id, feature[, feature]) xr.DataArray
        Of counts in spikes/s, of responses in their own units. Of behaviour: the mean over the time
        spent in each bin (spikes divided by that time), with the coordinate `occupancy` (s). Of
        parameters: the mean over presentations of their means over time, with the coordinates
        `sem` (ddof 1, NaN for one presentation) and `n`. If a feature is circular also `preferred`
        and `selectivity` (along ``unit_id`` and the other feature), and, of parameters,
        `preferred_low`, `preferred_high`, `selectivity_low` and `selectivity_high`: ends of the
        95 % intervals of 1,000 resamplings of the presentations of each condition. An interval of
        an angle may go over the full turn. Of behaviour there are none: its samples follow one
        another, and are no independent draws. Of two circular features they are of the first. Of
        events ``event``, their names, stands for ``unit_id``, and rates are events/s.

    Raises
    ------
    SchemaError
        If the area is on neither kind of clock, or the feature on another.
    NotInTree
        If the feature is not there.
    ValueError
        If the feature has no finite value, or is text where a number is needed; or `bins` or
        `period` is not positive.

    Notes
    -----
    With responses ``r_k`` at angles ``a_k`` of a full turn ``T``, ``R = sum(r_k exp(2 pi i a_k / T))
    / sum(r_k)``: `preferred` is its angle and `selectivity` its length, 1 minus the circular
    variance (Ringach, Shapley & Hawken 2002, J. Neurosci. 22:5639; Batschelet 1981), NaN for a
    unit without spikes. Responses below 0 count as 0 in it, and of unevenly spaced angles it leans
    to where there are many. With ``T = 180`` directions that are half a turn apart are one
    orientation. Intervals of the angle are percentiles of its deviation along the shorter arc
    (Efron & Tibshirani 1993). Rates of behaviour are spikes by occupancy (Skaggs et al. 1993,
    NeurIPS 5). What `valid`, `valid_units` or `withheld` masks and what is NaN does not count;
    missing parameters (NaN or empty) belong to no condition.

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
        msg = (
            "feature: expected a parameter of the presentations, a signal such as 'position/x', or "
            f"a list of two; found {feature!r:.60}"
        )
        raise ValueError(msg)
    if period is not None and not (np.isfinite(period) and period > 0):
        msg = f"period={period!r}: expected a full turn, such as 360 for a direction in degrees"
        raise ValueError(msg)
    if (events := as_area(area)) is not None:
        if schema.PRESENTATION not in events.sizes:  # the animal's behaviour stands beside events
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
        raise NotInTree("parameter of the presentations", wrong, known, hint)
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
    """With `preferred` and `selectivity` of the first circular feature, if there is one.

    With their intervals where rates (presentation, unit) and their conditions are given.
    """
    axis = next((i for i, period in enumerate(periods) if period), None)
    if axis is None:
        return curves
    period, feature = float(periods[axis] or 0), str(curves.dims[1 + axis])
    x = curves[feature].values
    if x.dtype.kind not in "iuf":
        msg = f"{feature!r} holds text: a period is for angles"
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
    """Intervals (low and high, unit[, other]) of angles, in turns, and of lengths.

    From presentations resampled within each condition. `place` is the shape of the conditions and
    which axis is circular, `turns` the angles of it.
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
            warnings.simplefilter("ignore", RuntimeWarning)  # a unit without any response: NaN
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
    names = _distinct([str(s.name or "feature") for s in signals], features)
    coords = kept(node, (schema.UNIT,))
    for name, signal, (_, edges, turn) in zip(names, signals, parts, strict=True):
        attrs = {k: v for k, v in signal.attrs.items() if k in ("units", "long_name")}
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
    """Sums (place, unit) over the bins of each place, and their numbers (place, 1 or unit).

    Straight from the spikes where they are known and no unit is masked apart.
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


def _distinct(names: list[str], features: list[Feature]) -> list[str]:
    """Names of the features; whole paths where their last parts are the same."""
    if len(set(names)) == len(names):
        return names
    paths = [f.replace("/", "_") if isinstance(f, str) else f"{f.name}" for f in features]
    return paths if len(set(paths)) == len(paths) else ["first", "second"]
