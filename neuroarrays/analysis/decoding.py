"""Decode behaviour from spikes, cross-validated in time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.analysis.conditions import clock_of, counted
from neuroarrays.analysis.over import Over, over_areas
from neuroarrays.analysis.signals import Feature, binned, bins_of, feature_names, feature_of
from neuroarrays.errors import SchemaError
from neuroarrays.schema.given import whole_number
from neuroarrays.tree.breaks import bin_width, unbroken_runs
from neuroarrays.tree.columns import duration
from neuroarrays.tree.columns import seconds as in_seconds

#: Names in the result that no feature can have.
_OWN_NAMES = ("error", "fold", "posterior", "strength", schema.TIME)


@over_areas("clock", apart=True)
def bayesian_decoder(
    area: xr.DataTree | xr.Dataset,
    feature: Feature | Sequence[Feature],
    bins: int | Sequence[int] = 60,
    window: float = 0.5,
    folds: int = 5,
    min_occupancy: float = 0.1,
    **over: Unpack[Over],
) -> xr.Dataset | xr.DataTree:
    """Decode one or two features from spike counts by Bayes' rule, cross-validated.

    Parameters
    ----------
    area : DataTree node or Dataset
        An area with ``spike_data (time, unit_id)``, spikes per bin, on one clock.
    feature : str, (time,) DataArray, or two of them
        The path of a signal below the area, such as ``"head_direction/ry"``, or values in any unit
        on the clock of the area.
    bins : int or (int, int)
        Number of bins of each feature, as in `tuning_curve`.
    window : float, s
        Spikes are counted in a window of this length around each bin of the clock. A window does
        not go over a gap in `time`, a change of `block_id`, or time that is not `valid`.
    folds : int
        Number of consecutive parts of the recording. Each part is decoded with the rates from the
        others; time closer than half a window to it is not used for the rates.
    min_occupancy : float, s
        Bins of the feature that were visited for a shorter time, in the data for the rates, are
        never decoded.

    Returns
    -------
    xr.Dataset
        Variables along ``(time,)`` in the unit of the feature: the feature under its own name, its
        decoded value ``<feature>_decoded``, and `error`, the distance between them (for angles
        along the shorter arc). Also the number `fold`, and `posterior` along ``(time,
        <feature>_bin, ...)``, probabilities that add up to 1. The decoded value is the direction of
        the mean vector of the posterior for one angle, else the most likely bin. NaN where the
        feature is not known, or no bin of the window counts.

    Raises
    ------
    SchemaError, NotInTree
        If the area or the feature does not exist or is not on one clock.
    ValueError
        If the window is not positive or is shorter than a bin, or the folds are too many for the
        recording.

    Notes
    -----
    ``P(x | n) ~ P(x) prod_u f_u(x)^n_u exp(-T sum_u f_u(x))`` for counts ``n`` in a window of
    length ``T``, rates ``f`` and occupancy ``P(x)`` of the other folds (Zhang, Ginzburg,
    McNaughton & Sejnowski 1998, J. Neurophysiol. 79:1017, one step). Rates below 0.001 spikes/s are
    set to that value. Bins that are masked for any unit are not used.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> clock = na.align(tree, bin_width=0.1, window=(671, 900))
    >>> decoded = na.bayesian_decoder(clock["A2929-200711/adn"], "head_direction/ry")
    >>> list(decoded.data_vars)
    ['ry', 'ry_decoded', 'error', 'fold', 'posterior']
    >>> round(float(decoded["error"].median()), 2)
    0.13
    """
    plan = _plan(area, feature, bins, window, folds)
    from neuroarrays.kernels import posteriors

    least = float(in_seconds(min_occupancy, "min_occupancy"))
    shape = tuple(edges.size - 1 for edges in plan.edges)
    posterior = np.full((plan.size, int(np.prod(shape))), np.nan, np.float32)
    for train, test in plan.splits():
        rates, seconds = plan.rates(train, posterior.shape[1])
        seconds = np.where(seconds >= least, seconds, 0)
        if not seconds.any():
            msg = (
                f"min_occupancy={min_occupancy!r}: no bin of the feature was visited for that "
                "long (s); give less"
            )
            raise ValueError(msg)
        counts, durations = plan.counts[test], plan.durations[test]
        probabilities = posteriors.poisson_posterior(counts, durations, rates, seconds)
        probabilities[durations == 0] = np.nan
        posterior[test] = probabilities
    decoded = _most_likely(posterior, plan)
    if plan.periods[0] and len(shape) == 1:
        angle = 2 * np.pi * plan.centres[0] / plan.periods[0]
        vector = np.angle(posterior.astype(float) @ np.exp(1j * angle))
        decoded = [vector / (2 * np.pi) * plan.periods[0] % plan.periods[0]]
    dims = tuple(f"{name}_bin" for name in plan.names)
    out = _answer(plan, decoded)
    values = posterior.reshape(plan.size, *shape)
    centres = {
        dim: (dim, c, signal.attrs)
        for dim, c, signal in zip(dims, plan.centres, plan.signals, strict=True)
    }
    long_name = {"long_name": "probability"}
    return out.assign(posterior=((schema.TIME, *dims), values, long_name)).assign_coords(centres)


@over_areas("clock", apart=True)
def population_vector(
    area: xr.DataTree | xr.Dataset,
    feature: Feature,
    bins: int = 60,
    window: float = 0.5,
    folds: int = 5,
    **over: Unpack[Over],
) -> xr.Dataset | xr.DataTree:
    """Decode an angle by the population vector, cross-validated.

    Parameters
    ----------
    area : DataTree node or Dataset
        An area with ``spike_data (time, unit_id)``, spikes per bin, on one clock.
    feature : str or (time,) DataArray
        An angle, whose attribute `period` is a full turn in its unit.
    bins : int
        Number of bins of the tuning curves, from which preferred directions are computed.
    window : float, s
        As in `bayesian_decoder`.
    folds : int
        As in `bayesian_decoder`.

    Returns
    -------
    xr.Dataset
        Variables along ``(time,)``: the feature under its own name, ``<feature>_decoded`` and
        `error` along the shorter arc, in the unit of the feature; the number of the `fold`; and
        `strength`, the length of the vector, without unit. NaN as in `bayesian_decoder`, and if no
        unit fires in the data for the rates.

    Raises
    ------
    SchemaError, NotInTree
        If the area or the feature does not exist or is not on one clock.
    ValueError
        If the feature is not an angle, or the window or the folds are not possible.

    Notes
    -----
    ``V = sum_u (n_u / T - m_u) / m_u exp(i p_u)``, with the rate ``n_u / T`` in the window, and the
    mean rate ``m_u`` over angles and the preferred direction ``p_u`` from the other folds
    (Georgopoulos, Schwartz & Kettner 1986, Science 233:1416). Unevenly distributed preferred
    directions are not corrected for: with few units, `bayesian_decoder` is better.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> clock = na.align(tree, bin_width=0.1, window=(671, 900))
    >>> decoded = na.population_vector(clock["A2929-200711/adn"], "head_direction/ry")
    >>> list(decoded.data_vars)
    ['ry', 'ry_decoded', 'error', 'fold', 'strength']
    """
    plan = _plan(area, feature, bins, window, folds)
    if not plan.periods[0]:
        msg = (
            f"{plan.names[0]!r} is not an angle: it has no attribute period. Set it, e.g. "
            ".assign_attrs(period=360), or use na.bayesian_decoder"
        )
        raise ValueError(msg)
    angles = np.exp(2j * np.pi * plan.centres[0] / plan.periods[0])
    vector = np.full(plan.size, np.nan, complex)
    for train, test in plan.splits():
        rates, seconds = plan.rates(train, angles.size)
        known = seconds > 0
        curves = np.where(known, rates, 0)
        mean = curves.sum(axis=1) / known.sum()
        towards = np.exp(1j * np.angle(curves @ angles))
        fires = mean > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            seen = plan.counts[test][:, fires] / plan.durations[test, None]
            vectors = (seen / mean[fires] - 1) @ towards[fires]
            vector[test] = np.where(np.abs(vectors) > 0, vectors, np.nan)
    decoded = np.angle(vector) / (2 * np.pi) * plan.periods[0] % plan.periods[0]
    out = _answer(plan, [decoded])
    return out.assign(strength=(schema.TIME, np.abs(vector), {"units": "1"}))


@dataclass(frozen=True)
class _Plan:
    """The data of a decoder: counts in windows, features in bins, folds in time."""

    area: xr.Dataset
    signals: list[xr.DataArray]
    names: list[str]
    labels: np.ndarray
    edges: list[np.ndarray]
    periods: list[float | None]
    single: np.ndarray
    counts: np.ndarray
    durations: np.ndarray
    width: float
    half: int
    folds: int

    @property
    def size(self) -> int:
        return int(self.labels.size)

    @property
    def centres(self) -> list[np.ndarray]:
        return [(edges[:-1] + edges[1:]) / 2 for edges in self.edges]

    def fold_of(self) -> np.ndarray:
        """The fold of each bin of the clock."""
        return np.arange(self.size) * self.folds // self.size

    def splits(self) -> Iterator[tuple[np.ndarray, slice]]:
        """Bins to learn from and bins to decode, for each fold."""
        fold = self.fold_of()
        for number in range(self.folds):
            begin, end = np.searchsorted(fold, [number, number + 1])
            train = self.labels >= 0
            train[max(begin - self.half, 0) : end + self.half] = False
            yield train, slice(int(begin), int(end))

    def rates(self, train: np.ndarray, n_places: int) -> tuple[np.ndarray, np.ndarray]:
        """Rates (unit, feature bin), spikes/s, and seconds per feature bin, from some time bins."""
        from neuroarrays.kernels import moments

        labels = np.where(train, self.labels, -1)
        total, _, n = moments.moments(self.single[:, :, None], labels, n_places)
        seconds = n[:, 0, 0] * self.width
        with np.errstate(divide="ignore", invalid="ignore"):
            return total[:, :, 0].T / seconds, seconds


def _plan(
    area: xr.DataTree | xr.Dataset,
    feature: Feature | Sequence[Feature],
    bins: int | Sequence[int],
    window: float,
    folds: int,
) -> _Plan:
    from neuroarrays.kernels import posteriors

    node, response = clock_of(area)
    if response.values.name != schema.SPIKE_DATA:
        msg = "decoders need spike_data: the area has responses only"
        raise SchemaError(msg)
    width = bin_width(node)
    window = duration(window, "window")
    if window < width * (1 - 1e-9):
        msg = f"window={window!r}: expected seconds, at least a bin of {width:g} s"
        raise ValueError(msg)
    half = max(0, round((window / width - 1) / 2))
    n = node.sizes[schema.TIME]
    folds = whole_number(folds, "folds")
    if not 2 <= folds <= max(2, n // (2 * (2 * half + 1))):
        msg = (
            f"folds={folds!r}: expected 2 or more, and folds longer than two windows of "
            f"{window:g} s"
        )
        raise ValueError(msg)
    features = [feature] if isinstance(feature, str | xr.DataArray) else list(feature)
    wanted = bins_of(bins, len(features))
    signals = [feature_of(area, f) for f in features]
    parts = [binned(signal, size) for signal, size in zip(signals, wanted, strict=True)]
    shape = tuple(edges.size - 1 for _, edges, _ in parts)
    labels = np.ravel_multi_index([np.maximum(index, 0) for index, _, _ in parts], shape)
    mask = counted(node, response.values)
    valid = np.ones(n, bool) if mask is None else np.logical_and.reduce(mask, axis=1)
    known = np.all([index >= 0 for index, _, _ in parts], axis=0)
    single = np.where(valid[:, None], response.values.values, 0)
    parts_of_clock = unbroken_runs(area)
    names = feature_names(signals, features, _OWN_NAMES)
    return _Plan(
        node,
        signals,
        names,
        np.where(known & valid, labels, -1),
        [edges for _, edges, _ in parts],
        [turn for _, _, turn in parts],
        single,
        posteriors.window_sums(single, 2 * half + 1, parts_of_clock),
        posteriors.window_sums(valid[:, None], 2 * half + 1, parts_of_clock)[:, 0] * width,
        width,
        half,
        folds,
    )


def _most_likely(posterior: np.ndarray, plan: _Plan) -> list[np.ndarray]:
    """Centres of the most likely bins, along each feature."""
    some = np.isfinite(posterior[:, 0])
    best = np.argmax(np.where(some[:, None], posterior, 0), axis=1)
    shape = tuple(centres.size for centres in plan.centres)
    indices = np.unravel_index(best, shape)
    return [np.where(some, c[p], np.nan) for c, p in zip(plan.centres, indices, strict=True)]


def _answer(plan: _Plan, decoded: list[np.ndarray]) -> xr.Dataset:
    """The feature, the decoded feature, and the distance between them."""
    variables: dict[str, Any] = {}
    squares = np.zeros(plan.size)
    known = plan.labels >= 0
    for name, signal, turn, value in zip(
        plan.names, plan.signals, plan.periods, decoded, strict=True
    ):
        truth = signal.values.astype(float)
        truth = truth % turn if turn else truth
        value = np.where(known, value, np.nan)
        away = value - truth
        away = (away + turn / 2) % turn - turn / 2 if turn else away
        squares = squares + away**2
        variables[name] = (schema.TIME, truth, signal.attrs)
        variables[f"{name}_decoded"] = (schema.TIME, value, signal.attrs)
    units = plan.signals[0].attrs.get("units")
    variables["error"] = (schema.TIME, np.sqrt(squares), {"units": units} if units else {})
    variables["fold"] = (schema.TIME, plan.fold_of())
    return xr.Dataset(variables, {schema.TIME: plan.area[schema.TIME].variable})
