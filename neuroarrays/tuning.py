"""Rates as a function of what was shown or done: parameters of trials, and behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import conditions as _conditions
from neuroarrays import schema
from neuroarrays.binning import ClockCounts
from neuroarrays.conditions import bin_width, clock_of, dataset_of, kept, valid_of
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.lazy import unwrap

#: Resamplings of a confidence interval, and the share that it holds.
_RESAMPLINGS, _CONFIDENCE = 1000, 0.95
_RATES = {"units": "spikes/s", "long_name": "firing rate"}
Feature = str | xr.DataArray


def tuning_curve(
    area: xr.DataTree | xr.Dataset,
    feature: Feature | Sequence[Feature],
    bins: int | Sequence[int] = 36,
    min_occupancy: float = 0.1,
    period: float | None = None,
) -> xr.DataArray:
    """Firing rate as a function of one or two features.

    Parameters
    ----------
    area : DataTree node or Dataset
        Aligned to presentations, for parameters of these; or with ``spike_data (time, unit_id)``
        on one clock, for behaviour.
    feature : str, (time,) DataArray, or two of them
        Parameters of the presentations; or a path below the area, such as
        ``"head_direction/ry"`` or ``"speed"``, or values on the area's clock.
    bins : int or (int, int)
        Of behaviour, the number of half-open bins: over a full turn for an angle, else over the
        range of the values (the largest value belongs to the last bin).
    min_occupancy : float, s
        Of behaviour: bins visited for less are NaN.
    period : float, optional
        A full turn, in the feature's unit: 360 for a direction in degrees, 180 for an orientation.
        That of the feature (its attribute `period`) unless given.

    Returns
    -------
    (unit_id, feature[, feature]) xr.DataArray, spikes/s
        Of behaviour: spikes in each bin divided by the time spent there, with the coordinate
        `occupancy` (s). Of parameters: the mean over presentations of their rates (spikes in valid
        bins divided by their duration), with the coordinates `sem` (ddof 1, NaN for one
        presentation) and `n`. Of one circular feature also, along ``unit_id``: `preferred`,
        `selectivity`, and (of parameters) `preferred_low`, `preferred_high`, `selectivity_low` and
        `selectivity_high`, ends of the 95 % intervals of 1,000 resamplings of the presentations of
        each condition; an interval of an angle may go over the full turn.

    Raises
    ------
    SchemaError
        If the area is on neither kind of clock, or the feature on another.
    NotInTree
        If the feature is not there.
    ValueError
        If the feature has no finite value, or is text where a number is needed.

    Notes
    -----
    With rates ``r_k`` at angles ``a_k`` of a full turn ``T``, ``R = sum(r_k exp(2 pi i a_k / T)) /
    sum(r_k)``: `preferred` is its angle and `selectivity` its length, 1 minus the circular
    variance (Ringach, Shapley & Hawken 2002, J. Neurosci. 22:5639; Batschelet 1981), NaN for a
    unit without spikes. Of unevenly spaced angles it leans to where there are many. Intervals of
    the angle are percentiles of its deviation along the shorter arc (Efron & Tibshirani 1993).
    Missing parameters (NaN or empty) and masked bins belong to no condition.
    """
    features = [feature] if isinstance(feature, str | xr.DataArray) else list(feature)
    if len(features) not in (1, 2):
        msg = f"{len(features)} features: expected one or two"
        raise ValueError(msg)
    node = dataset_of(area)
    if schema.PRESENTATION in node.sizes and all(
        isinstance(f, str) and f in _conditions.parameters(node) for f in features
    ):
        return _of_parameters(_conditions.trials_of(area), [str(f) for f in features], period)
    if schema.PRESENTATION in node.sizes:
        known = _conditions.parameters(node)
        wrong = next(_name(f) for f in features if _name(f) not in known)
        hint = "for behaviour, align on one clock: na.align(tree, bin_width=...)"
        raise NotInTree("parameter of the presentations", wrong, known, hint)
    return _of_behaviour(area, features, bins, min_occupancy, period)


def _name(feature: Feature) -> object:
    return feature if isinstance(feature, str) else feature.name


# ------------------------------------------------------------------------------ trial parameters


def _of_parameters(node: xr.Dataset, names: list[str], period: float | None) -> xr.DataArray:
    from neuroarrays.kernels import moments

    found = [_conditions.conditions(node, name) for name in names]
    shape = tuple(len(values) for _, values in found)
    labels = np.ravel_multi_index([np.maximum(codes, 0) for codes, _ in found], shape)
    rates = _conditions.rates(node)
    gone = np.any([codes < 0 for codes, _ in found], axis=0) | np.isnan(rates).any(axis=1)
    labels = np.where(gone, -1, labels)
    total, squares, n = moments.moments(rates[:, :, None], labels, int(np.prod(shape)))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (total / n[:, None]).reshape(-1, rates.shape[1])
        spread = np.maximum(squares[:, :, 0] - n * mean**2, 0) / (n - 1)
        sem = np.where(n > 1, np.sqrt(spread / n), np.nan)
    dims = (schema.UNIT, *names)
    coords = kept(node, (schema.UNIT,)) | {
        name: (name, values, node[name].attrs)
        for name, (_, values) in zip(names, found, strict=True)
    }
    coords["n"] = (tuple(names), n.reshape(shape), {"long_name": "presentations"})
    coords["sem"] = (dims, sem.T.reshape(-1, *shape), _RATES | {"long_name": "standard error"})
    curves = xr.DataArray(mean.T.reshape(-1, *shape), coords, dims, "tuning_curve", dict(_RATES))
    period = period or node[names[0]].attrs.get("period")
    if len(names) == 1 and period:
        curves = _circular(curves, float(period))
        curves = _with_intervals(curves, rates, labels, float(period))
    return curves


def _circular(curves: xr.DataArray, period: float) -> xr.DataArray:
    """With `preferred` and `selectivity`."""
    feature = str(curves.dims[1])
    x = curves[feature].values
    if x.dtype.kind not in "iuf":
        msg = f"{feature!r} holds text: a period is for angles"
        raise ValueError(msg)
    vectors = _resultant(np.nan_to_num(curves.values) @ np.exp(2j * np.pi * x / period),
                         np.nansum(curves.values, axis=1))  # fmt: skip
    units = curves[feature].attrs.get("units")
    angle = {"units": units} if units else {}
    out = curves.assign_coords(
        preferred=(schema.UNIT, _angle(vectors, period), angle),
        selectivity=(schema.UNIT, np.abs(vectors), {"long_name": "1 - circular variance"}),
    )
    out[feature].attrs["period"] = period
    return out


def _resultant(vector: np.ndarray, weight: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(weight > 0, vector / weight, np.nan)


def _angle(vectors: np.ndarray, period: float) -> np.ndarray:
    angle: np.ndarray = np.angle(vectors) * (period / (2 * np.pi)) % period
    return angle


def _with_intervals(
    curves: xr.DataArray, rates: np.ndarray, labels: np.ndarray, period: float
) -> xr.DataArray:
    """With intervals of `preferred` and `selectivity`, from resampled presentations."""
    random = np.random.default_rng(0)
    x = curves[curves.dims[1]].values
    vector = np.zeros((_RESAMPLINGS, rates.shape[1]), complex)
    weight = np.zeros((_RESAMPLINGS, rates.shape[1]))
    for label, angle in enumerate(x):
        mine = rates[labels == label]
        if not len(mine):
            continue
        drawn = random.multinomial(len(mine), np.full(len(mine), 1 / len(mine)), _RESAMPLINGS)
        means = drawn / len(mine) @ mine
        vector += means * np.exp(2j * np.pi * angle / period)
        weight += means
    vectors = _resultant(vector, weight)
    tails = [50 * (1 - _CONFIDENCE), 50 * (1 + _CONFIDENCE)]
    preferred = curves["preferred"].values
    away = (_angle(vectors, period) - preferred + period / 2) % period - period / 2
    with np.errstate(invalid="ignore"):
        turned = (preferred + np.percentile(away, tails, axis=0)) % period
    length = np.percentile(np.abs(vectors), tails, axis=0)
    angle = curves["preferred"].attrs
    return curves.assign_coords(
        preferred_low=(schema.UNIT, turned[0], angle),
        preferred_high=(schema.UNIT, turned[1], angle),
        selectivity_low=(schema.UNIT, length[0]),
        selectivity_high=(schema.UNIT, length[1]),
    )


# -------------------------------------------------------------------------------------- behaviour


def _of_behaviour(
    area: xr.DataTree | xr.Dataset,
    features: list[Feature],
    bins: int | Sequence[int],
    min_occupancy: float,
    period: float | None,
) -> xr.DataArray:
    node = clock_of(area)
    sizes = [bins] * len(features) if isinstance(bins, int | np.integer) else list(bins)
    signals = [feature_of(area, feature) for feature in features]
    parts = [binned(s, n, period) for s, n in zip(signals, sizes, strict=True)]
    shape = tuple(sizes)
    labels = np.ravel_multi_index([np.maximum(index, 0) for index, _, _ in parts], shape)
    valid = valid_of(node, (schema.TIME,))
    gone = np.any([index < 0 for index, _, _ in parts], axis=0)
    labels = np.where(gone if valid is None else gone | ~valid, -1, labels)
    total = _spikes_by_place(node["spike_data"], labels, int(np.prod(shape)))
    occupancy = np.bincount(labels[labels >= 0], minlength=total.shape[0]) * bin_width(node)
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(occupancy >= min_occupancy, total.T / occupancy, np.nan)
    names = _distinct([str(s.name or "feature") for s in signals], features)
    coords = kept(node, (schema.UNIT,))
    for name, signal, (_, edges, turn) in zip(names, signals, parts, strict=True):
        attrs = {k: v for k, v in signal.attrs.items() if k in ("units", "long_name")}
        attrs |= {"period": turn} if turn else {}
        coords[name] = (name, (edges[:-1] + edges[1:]) / 2, attrs)
    coords["occupancy"] = (tuple(names), occupancy.reshape(shape), {"units": "s"})
    dims = (schema.UNIT, *names)
    curves = xr.DataArray(rate.reshape(-1, *shape), coords, dims, "tuning_curve", dict(_RATES))
    turn = parts[0][2]
    return _circular(curves, turn) if len(names) == 1 and turn else curves


def _spikes_by_place(counts: xr.DataArray, labels: np.ndarray, n_places: int) -> np.ndarray:
    """Spikes (place, unit) in the bins of each place; straight from the spikes where they are known."""
    from neuroarrays.kernels import moments, visits

    data = unwrap(counts.variable._data)
    if isinstance(data, ClockCounts) and not data.binarize:
        times = data.trains.load(data.units)
        first, last = data.trains.first[data.units], data.trains.last[data.units]
        clock = (data.origin, data.bin_width)
        return visits.count_by_label(times, first, last, *clock, labels, n_places).astype(float)
    total = np.zeros((n_places, counts.sizes[schema.UNIT]))
    for part in _conditions.blocks(counts.shape[0], counts[:1].nbytes, _conditions.BLOCK):
        block = counts[part].values[:, :, None]
        total += moments.moments(block, labels[part], n_places)[0][:, :, 0]
    return total


def _distinct(names: list[str], features: list[Feature]) -> list[str]:
    """Names of the features; whole paths where their last parts are the same."""
    if len(set(names)) == len(names):
        return names
    paths = [f.replace("/", "_") if isinstance(f, str) else f"{f.name}" for f in features]
    return paths if len(set(paths)) == len(paths) else ["first", "second"]


def binned(
    signal: xr.DataArray, bins: int, period: float | None = None
) -> tuple[np.ndarray, np.ndarray, float | None]:
    """In which bin a signal is.

    Parameters
    ----------
    signal : (time,) DataArray
        Behaviour.
    bins : int
        How many.
    period : float, optional
        A full turn; the attribute of the signal unless given.

    Returns
    -------
    index : (time,) int64
        Bin of each sample, -1 where it is not finite.
    edges : (bins + 1,) float64
        Half-open bins; the largest value belongs to the last.
    period : float or None
        The full turn that was used.

    Raises
    ------
    ValueError
        If no sample is finite, or `bins` is not positive.
    """
    if int(bins) < 1:
        msg = f"bins={bins!r}: expected a positive number of bins"
        raise ValueError(msg)
    period = period or signal.attrs.get("period")
    x = signal.values.astype(float)
    x = x % period if period else x
    known = np.isfinite(x)
    if not known.any():
        msg = f"the feature {signal.name!r} has no finite value on this clock"
        raise ValueError(msg)
    low, high = (0.0, float(period)) if period else (float(x[known].min()), float(x[known].max()))
    edges = np.linspace(low, high, int(bins) + 1)
    index = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, int(bins) - 1)
    return np.where(known, index, -1).astype(np.int64), edges, period and float(period)


def feature_of(area: xr.DataTree | xr.Dataset, feature: Feature) -> xr.DataArray:
    """A signal on the clock of an area.

    Parameters
    ----------
    area : DataTree node or Dataset
        On one clock.
    feature : str or (time,) DataArray
        Path below the area, or the signal itself.

    Returns
    -------
    (time,) xr.DataArray

    Raises
    ------
    NotInTree
        If there is none of that name.
    SchemaError
        If it is on another clock.
    """
    if not isinstance(feature, str):
        check_clock(dataset_of(area)[schema.TIME], feature)
        return feature
    nodes = area.subtree_with_keys if isinstance(area, xr.DataTree) else [(".", area)]
    known = [
        f"{path}/{name}" if path != "." else str(name)
        for path, node in nodes
        for name, variable in node.data_vars.items()
        if variable.dims == (schema.TIME,)
    ]
    if feature not in known:
        raise NotInTree("signal along time", feature, known)
    found: Any = area[feature]
    assert isinstance(found, xr.DataArray)
    return found


def check_clock(clock: xr.DataArray, signal: xr.DataArray) -> None:
    """Refuse a signal that is on another clock than an area.

    Raises
    ------
    SchemaError
        Says in what they differ.
    """
    what = f"{signal.name or 'the signal'!r}"
    if not signal.dims or signal.dims[0] != schema.TIME:
        msg = f"{what} has dims {signal.dims}: expected time first"
        raise SchemaError(msg)
    same = signal.sizes[schema.TIME] == clock.size and (
        schema.TIME not in signal.coords
        or np.allclose(signal[schema.TIME].values, clock.values, rtol=0, atol=1e-6)
    )
    if not same:
        its = signal[schema.TIME] if schema.TIME in signal.coords else None
        span = (
            ""
            if its is None or not its.size
            else f" from {float(its[0]):g} to {float(its[-1]):g} s"
        )
        msg = (
            f"{what} is on another clock than the responses: {signal.sizes[schema.TIME]:,} samples"
            f"{span}, they have {clock.size:,} from {float(clock[0]):g} to {float(clock[-1]):g} s; "
            "na.interpolate(signal, area['time']) brings it there"
        )
        raise SchemaError(msg)
