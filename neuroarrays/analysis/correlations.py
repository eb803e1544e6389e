"""Signal correlations, noise correlations and reliability."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.analysis import conditions as _conditions
from neuroarrays.analysis.conditions import kept
from neuroarrays.analysis.over import Over, over_areas
from neuroarrays.errors import many

OTHER = schema.OTHER_UNIT
#: Number of random splits that a split-half correlation averages.
_SPLITS = 100


@over_areas("trials", apart=True)
def signal_correlation(
    area: xr.DataTree | xr.Dataset, by: str | Sequence[str], **over: Unpack[Over]
) -> xr.DataArray | xr.DataTree:
    """Compute signal correlations: correlations between units of mean responses to conditions.

    Parameters
    ----------
    area : DataTree node or Dataset
        With ``spike_data`` (counts) or ``responses`` (in any unit) aligned to presentations,
        ``(presentation_id, unit_id[, time])``; they are averaged over time. A presentation that is
        masked or missing (NaN) for any unit is left out.
    by : str or sequence of str
        Parameters of the presentations. Conditions are the combinations of their values.

    Returns
    -------
    (unit_id, other_unit_id) xr.DataArray, no unit, -1 to 1
        Correlations; NaN for units whose mean is the same in all conditions.

    Raises
    ------
    SchemaError, NotInTree
        If there are no presentations, or no such parameter.
    ValueError
        If there are fewer than three conditions, because a correlation over two is always 1 or -1.

    Notes
    -----
    Pearson's correlation over conditions of mean responses (Cohen & Kohn 2011, Nat.
    Neurosci. 14:811). Both means are over the same presentations, so with few presentations the
    result contains a part of the noise correlation.

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import neuroarrays as na
    >>> random = np.random.default_rng(0)
    >>> counts = random.poisson(2, (40, 3, 5)).astype("uint8")
    >>> time = ("time", 0.01 + 0.02 * np.arange(5), {"bin_width": 0.02})
    >>> orientation = ("presentation_id", np.tile([0, 45, 90, 135], 10))
    >>> area = xr.Dataset(
    ...     {"spike_data": (("presentation_id", "unit_id", "time"), counts)},
    ...     {"orientation": orientation, "unit_id": [1, 2, 3], "time": time},
    ... )
    >>> na.signal_correlation(area, "orientation").dims
    ('unit_id', 'other_unit_id')
    """
    node, rates, labels = _responses(area, by)
    means = _means(rates, labels)
    if len(means) < 3:
        msg = (
            f"{by!r} has {many(len(means), 'condition')}; expected at least three, because a "
            "correlation over two is always 1 or -1"
        )
        raise ValueError(msg)
    return _matrix(_pearson(means - means.mean(axis=0)), node, "signal_correlation")


@over_areas("trials", apart=True)
def noise_correlation(
    area: xr.DataTree | xr.Dataset, by: str | Sequence[str], **over: Unpack[Over]
) -> xr.DataArray | xr.DataTree:
    """Compute noise correlations: correlations between units of responses within conditions.

    Parameters
    ----------
    area : DataTree node or Dataset
        With ``spike_data`` (counts) or ``responses`` (in any unit) aligned to presentations,
        ``(presentation_id, unit_id[, time])``; they are averaged over time. A presentation that is
        masked or missing (NaN) for any unit is left out.
    by : str or sequence of str
        Parameters of the presentations. Conditions are the combinations of their values.

    Returns
    -------
    (unit_id, other_unit_id) xr.DataArray, no unit, -1 to 1
        Correlations; NaN for units that never vary within a condition.

    Raises
    ------
    SchemaError, NotInTree
        If there are no presentations, or no such parameter.
    ValueError
        If no condition has two presentations.

    Notes
    -----
    Responses of presentations are z-scored within each condition (ddof 1; where a unit does not vary its
    score is 0), then ``r_ij = sum(z_i z_j) / sqrt(sum(z_i^2) sum(z_j^2))`` over the presentations
    of all conditions that have two or more (Cohen & Kohn 2011, Nat. Neurosci. 14:811).

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import neuroarrays as na
    >>> random = np.random.default_rng(0)
    >>> counts = random.poisson(2, (40, 3, 5)).astype("uint8")
    >>> time = ("time", 0.01 + 0.02 * np.arange(5), {"bin_width": 0.02})
    >>> orientation = ("presentation_id", np.tile([0, 45, 90, 135], 10))
    >>> area = xr.Dataset(
    ...     {"spike_data": (("presentation_id", "unit_id", "time"), counts)},
    ...     {"orientation": orientation, "unit_id": [1, 2, 3], "time": time},
    ... )
    >>> na.noise_correlation(area, "orientation").dims
    ('unit_id', 'other_unit_id')
    """
    node, rates, labels = _responses(area, by)
    rates, labels = _repeated(rates, labels, by)
    means, number = _means(rates, labels), np.bincount(labels)
    away = rates - means[labels]
    spread = np.sqrt(_sums(away**2, labels) / (number - 1)[:, None])[labels]
    scores = np.divide(away, spread, out=np.zeros_like(away), where=spread > 0)
    return _matrix(_pearson(scores), node, "noise_correlation")


@over_areas("trials")
def reliability(
    area: xr.DataTree | xr.Dataset, by: str | Sequence[str], **over: Unpack[Over]
) -> xr.Dataset:
    """Measure how much of the response of each unit the condition explains, in three ways.

    Parameters
    ----------
    area : DataTree node or Dataset
        With ``spike_data`` (counts) or ``responses`` (in any unit) aligned to presentations,
        ``(presentation_id, unit_id[, time])``; they are averaged over time. A presentation that is
        masked or missing (NaN) for any unit is left out.
    by : str or sequence of str
        Parameters of the presentations that are equal in repeats: an image, a direction.

    Returns
    -------
    xr.Dataset
        Three variables along ``(unit_id,)``, without unit. `split_half` and `oracle` are
        correlations from -1 to 1. `explainable_variance` is at most 1; it can be below 0 by chance.
        NaN for units that do not vary.

    Raises
    ------
    SchemaError, NotInTree
        If there are no presentations, or no such parameter.
    ValueError
        If fewer than two conditions have two presentations.

    Notes
    -----
    The measures use the responses ``r`` in all conditions with two presentations or more:

    - `split_half`: Pearson's ``r_h`` over conditions between the means of random halves of the
      presentations, averaged over 100 splits, and stepped up to all of them, ``2 r_h / (1 +
      |r_h|)`` (Spearman 1910; Brown 1910; the ``|r_h|`` keeps values that are negative by chance
      above -1). NaN if there are two conditions, because a correlation over two is always 1 or -1.
    - `explainable_variance`: ``1 - s2 / Var(r)``, where ``s2`` is the variance within conditions,
      pooled by degrees of freedom (Sahani & Linden 2003, NeurIPS 15; Cadena et al. 2019, PLoS
      Comput. Biol. 15:e1006897).
    - `oracle`: Pearson's correlation over presentations between ``r`` and the mean of the other
      presentations of its condition (Walker et al. 2019, Nat. Neurosci. 22:2060).

    Examples
    --------
    >>> import numpy as np
    >>> import xarray as xr
    >>> import neuroarrays as na
    >>> random = np.random.default_rng(0)
    >>> counts = random.poisson(2, (40, 3, 5)).astype("uint8")
    >>> time = ("time", 0.01 + 0.02 * np.arange(5), {"bin_width": 0.02})
    >>> orientation = ("presentation_id", np.tile([0, 45, 90, 135], 10))
    >>> area = xr.Dataset(
    ...     {"spike_data": (("presentation_id", "unit_id", "time"), counts)},
    ...     {"orientation": orientation, "unit_id": [1, 2, 3], "time": time},
    ... )
    >>> list(na.reliability(area, "orientation").data_vars)
    ['split_half', 'explainable_variance', 'oracle']
    """
    node, rates, labels = _responses(area, by)
    rates, labels = _repeated(rates, labels, by)
    number = np.bincount(labels)
    if number.size < 2:
        msg = (
            f"{by!r} has only one condition with two presentations; expected at least two "
            "such conditions"
        )
        raise ValueError(msg)
    means = _means(rates, labels)
    within = _sums((rates - means[labels]) ** 2, labels).sum(axis=0) / (number - 1).sum()
    others = (means * number[:, None])[labels] - rates
    others /= (number - 1)[labels, None]
    total = rates.var(axis=0, ddof=1)
    half = _split_half(rates, labels) if number.size > 2 else np.full(total.size, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = {
            "split_half": 2 * half / (1 + np.abs(half)),
            "explainable_variance": np.where(total > 0, 1 - within / total, np.nan),
            "oracle": _rowwise(rates.T, others.T),
        }
    variables = {name: (schema.UNIT, values, {"units": "1"}) for name, values in parts.items()}
    return xr.Dataset(variables, kept(node, (schema.UNIT,)))


def _responses(area: Any, by: str | Sequence[str]) -> tuple[xr.Dataset, np.ndarray, np.ndarray]:
    """The area, the responses (presentation, unit) that count, and their conditions."""
    node, response = _conditions.trials_of(area)
    labels = _conditions.conditions(node, by).labels
    rates = _conditions.means(node, response)
    known = np.isfinite(rates)
    good = (labels >= 0) & known.all(axis=1)
    if not good.any():
        gaps = (~known[labels >= 0]).sum(axis=0)
        worst = np.argsort(-gaps, kind="stable")[: min(3, int((gaps > 0).sum()))]
        n = int((labels >= 0).sum())
        lacking = ", ".join(f"{node[schema.UNIT].values[i]} lacks {gaps[i]}" for i in worst)
        msg = (
            f"none of {n} presentations counts for all units: {lacking}; leave these units out "
            "with "
            "na.select_units"
        )
        raise ValueError(msg)
    labels = np.unique(labels[good], return_inverse=True)[1]
    return node, rates[good], labels


def _repeated(
    rates: np.ndarray, labels: np.ndarray, by: str | Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Only the conditions with two presentations or more."""
    more = np.bincount(labels)[labels] > 1
    if not more.any():
        msg = (
            f"no condition of {by!r} has two presentations, so no variation within conditions "
            "is known"
        )
        raise ValueError(msg)
    return rates[more], np.unique(labels[more], return_inverse=True)[1]


def _sums(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Sums of the rows of each label; each label occurs."""
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(labels.max() + 1))
    sums: np.ndarray = np.add.reduceat(values[order], starts, axis=0)
    return sums


def _means(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    means: np.ndarray = _sums(values, labels) / np.bincount(labels)[:, None]
    return means


def _pearson(columns: np.ndarray) -> np.ndarray:
    """Correlations between columns whose mean is 0."""
    length = np.sqrt((columns**2).sum(axis=0))
    length[length < 1e-12 * max(1.0, float(length.max(initial=0)))] = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = np.where(length > 0, columns / length, np.nan)
    coefficients: np.ndarray = np.clip(unit.T @ unit, -1, 1)
    return coefficients


def _rowwise(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pearson's correlation between rows of two arrays."""
    first_deviations = first - first.mean(axis=1, keepdims=True)
    second_deviations = second - second.mean(axis=1, keepdims=True)
    size = np.sqrt((first_deviations**2).sum(axis=1) * (second_deviations**2).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        coefficients: np.ndarray = np.where(
            size > 0, (first_deviations * second_deviations).sum(axis=1) / size, np.nan
        )
    return coefficients


def _split_half(rates: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean correlation over conditions between the means of random halves."""
    random = np.random.default_rng(0)
    coefficients = np.zeros((_SPLITS, rates.shape[1]))
    number = np.bincount(labels)
    begins = np.cumsum(number) - number
    for split in range(_SPLITS):
        order = np.lexsort((random.random(labels.size), labels))
        rank = np.arange(labels.size) - begins[labels[order]]
        half = (number // 2)[labels[order]]
        first_half, second_half = order[rank < half], order[(rank >= half) & (rank < 2 * half)]
        coefficients[split] = _rowwise(
            _means(rates[first_half], labels[first_half]).T,
            _means(rates[second_half], labels[second_half]).T,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a unit that never varies gives NaN
        mean: np.ndarray = np.nanmean(coefficients, axis=0)
    return mean


def _matrix(values: np.ndarray, node: xr.Dataset, name: str) -> xr.DataArray:
    coords: dict[Any, Any] = kept(node, (schema.UNIT,)) | {OTHER: node[schema.UNIT].values}
    return xr.DataArray(values, coords, (schema.UNIT, OTHER), name, {"units": "1"})
