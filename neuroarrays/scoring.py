"""How well units repeat themselves, and how well a model predicts them: scores over repeats.

For trees of images shown several times (SENSORIUM, `(presentation_id, unit_id)`). Presentations whose
responses a competition withheld never count, and of the others only those of repeated images are read,
a block at a time. `na.reliability` has similar measures of any aligned tree, in memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import NotInTree, SchemaError, shorten

#: Presentations read at a time, so that memory does not grow with them.
_BLOCK = 256
#: A label along the averages: how many presentations each is of.
REPEATS = "repeats"


def repeats(
    area: xr.DataTree | xr.Dataset, by: str = schema.IMAGE, at_least: int = 2
) -> dict[int, np.ndarray]:
    """Which presentations show the same, by what they show.

    Parameters
    ----------
    area : xr.DataTree or xr.Dataset
        An area of an aligned tree, of images or of movies.
    by : str
        A label along presentation_id that is equal for repeats.
    at_least : int
        Presentations that there must be.

    Returns
    -------
    dict of int to (repeats,) int64
        Label -> positions along presentation_id, in their order; withheld ones are left out.

    Raises
    ------
    NotInTree
        If there is no such label, which is so for movies: their files do not say what is shown.
    """
    node = area.to_dataset() if isinstance(area, xr.DataTree) else area
    if by not in node.variables or node[by].dims != (schema.PRESENTATION,):
        along = [n for n, v in node.variables.items() if v.dims == (schema.PRESENTATION,)]
        raise NotInTree("label of presentations", by, along, "say by= or assign one")
    labels = node[by].values
    kept = np.ones(labels.size, bool)
    if "withheld" in node:
        kept &= ~node["withheld"].values
    found: dict[int, np.ndarray] = {}
    places = np.flatnonzero(kept)
    order = places[np.argsort(labels[places], kind="stable")]
    if order.size == 0:
        return found
    starts = np.flatnonzero(labels[order][1:] != labels[order][:-1]) + 1
    for group in np.split(order, starts):
        if group.size >= at_least:
            found[labels[group[0]].item()] = group
    return found


def repeat_average(
    area: xr.DataTree | xr.Dataset, by: str = schema.IMAGE, at_least: int = 2
) -> xr.DataArray:
    """The mean response to each image that was repeated.

    Parameters
    ----------
    area : xr.DataTree or xr.Dataset
        An area with ``responses`` (presentation_id, unit_id).
    by, at_least
        As for `repeats`.

    Returns
    -------
    xr.DataArray
        (image, unit_id) float64, in the unit of the responses; the first dimension is called as
        `by`, and ``repeats`` along it says how many presentations each mean is of.
    """
    node, groups = _node(area), repeats(area, by, at_least)
    means = np.empty((len(groups), node.sizes[schema.UNIT]))
    for row, (values, _) in enumerate(_responses(node, groups)):
        means[row] = values.mean(axis=0)
    sizes = [group.size for group in groups.values()]
    units = {n: c for n, c in node.coords.items() if c.dims == (schema.UNIT,)}
    ids = np.array(list(groups), node[by].dtype)
    return xr.DataArray(
        means, {by: ids, REPEATS: (by, np.array(sizes, np.int64))} | units, (by, schema.UNIT),
        "responses", {"long_name": "mean over repeats"},
    )  # fmt: skip


def explainable_variance(
    area: xr.DataTree | xr.Dataset, by: str = schema.IMAGE, at_least: int = 2
) -> xr.DataArray:
    """The share of a unit's variance that is not noise: what a perfect model could explain.


    Parameters
    ----------
    area : xr.DataTree or xr.Dataset
        An area with ``responses`` (presentation_id, unit_id).
    by, at_least
        As for `repeats`.

    Returns
    -------
    xr.DataArray
        (unit_id,) float64, at most 1, below 0 by chance; NaN for units that never respond.

    Notes
    -----
    ``1 - s2 / Var(r)``, where ``Var(r)`` is the variance of all repeated responses and ``s2`` the mean
    over images of the variance over repeats, both with ddof=1 (Cadena et al. 2019, PLoS Comput. Biol.
    15:e1006897, and `explainable_var` of neuralpredictors). Every image weighs the same, however
    often it was shown; in `na.reliability` every presentation does.
    """
    node, groups = _node(area), repeats(area, by, max(at_least, 2))
    size = node.sizes[schema.UNIT]
    noise, total, mean, seen = np.zeros(size), np.zeros(size), np.zeros(size), 0
    for values, _ in _responses(node, groups):
        noise += values.var(axis=0, ddof=1) / len(groups)
        here, n = values.mean(axis=0), len(values)
        apart = here - mean
        mean = mean + apart * n / (seen + n)
        total += ((values - here) ** 2).sum(axis=0) + apart**2 * seen * n / (seen + n)
        seen += n
    total /= max(seen - 1, 1)
    share = np.full(size, np.nan)
    np.divide(total - noise, total, out=share, where=total > 0)
    return _of_units(node, share, "explainable_variance", "explainable share of the variance")


def repeat_correlation(
    area: xr.DataTree | xr.Dataset, by: str = schema.IMAGE, at_least: int = 2
) -> xr.DataArray:
    """How well the other repeats of an image predict a response: the oracle's correlation.


    Parameters
    ----------
    area : xr.DataTree or xr.Dataset
        An area with ``responses`` (presentation_id, unit_id).
    by, at_least
        As for `repeats`.

    Returns
    -------
    xr.DataArray
        (unit_id,) float64 in [-1, 1]; NaN for units that never respond.

    Notes
    -----
    Pearson's correlation, over all repeated presentations, of the response with the mean of the other
    repeats of its image (Walker et al. 2019, Nat. Neurosci. 22:2060). The mean of few repeats is
    noisy itself, so this underestimates what the true mean would reach.
    """
    node, groups = _node(area), repeats(area, by, max(at_least, 2))
    size = node.sizes[schema.UNIT]
    mean = repeat_average(area, by, max(at_least, 2))
    weights = mean[REPEATS].values
    centre = weights @ mean.values / max(int(weights.sum()), 1)  # also that of the others' means
    products = np.zeros((3, size))
    for values, average in _responses(node, groups):
        n = len(values)
        own = values - centre
        others = (average * n - values) / (n - 1) - centre
        products += [(own * others).sum(0), (own**2).sum(0), (others**2).sum(0)]
    scale = np.sqrt(products[1] * products[2])
    found = np.full(size, np.nan)
    np.divide(products[0], scale, out=found, where=scale > 0)
    return _of_units(node, found, "repeat_correlation", "correlation with the other repeats")


def signal_correlation(
    area: xr.DataTree | xr.Dataset,
    predicted: xr.DataArray,
    by: str = schema.IMAGE,
    at_least: int = 2,
) -> xr.DataArray:
    """How well a model predicts the mean response to each repeated image.

    Parameters
    ----------
    area : xr.DataTree or xr.Dataset
        An area with ``responses`` (presentation_id, unit_id).
    predicted : xr.DataArray
        (presentation_id, unit_id), averaged over the same presentations as the responses, or
        (image, unit_id), the first dimension called as `by`; in any order and of more than needed.
    by, at_least
        As for `repeats`.

    Returns
    -------
    xr.DataArray
        (unit_id,) float64 in [-1, 1]; NaN for units whose mean or prediction never changes.

    Raises
    ------
    SchemaError
        If predictions are of other dimensions, or lack an image, presentation or unit.

    Notes
    -----
    Pearson's correlation over images of the two means; every image weighs the same. SENSORIUM calls
    it correlation to average (Willeke et al. 2022, arXiv:2206.08666).
    """
    node, groups = _node(area), repeats(area, by, at_least)
    meaning = "correlation of the prediction with the mean response"
    if not groups:
        unknown = np.full(node.sizes[schema.UNIT], np.nan)
        return _of_units(node, unknown, "signal_correlation", meaning)
    mean = repeat_average(area, by, at_least)
    labelled = _labelled(predicted, schema.UNIT, node[schema.UNIT].values)
    if schema.PRESENTATION in labelled.dims:
        rows = [node[schema.PRESENTATION].values[group] for group in groups.values()]
        every = _labelled(labelled, schema.PRESENTATION, np.concatenate(rows))
        values = every.transpose(schema.PRESENTATION, schema.UNIT).values.astype(np.float64)
        ends = np.cumsum([len(row) for row in rows])[:-1]
        model = np.array([part.mean(axis=0) for part in np.split(values, ends)])
    else:
        every = _labelled(labelled, by, mean[by].values)
        model = every.transpose(by, schema.UNIT).values.astype(np.float64)
    own = mean.values - mean.values.mean(axis=0)
    model = model - model.mean(axis=0)
    scale = np.sqrt((own**2).sum(axis=0) * (model**2).sum(axis=0))
    found = np.full(own.shape[1], np.nan)
    np.divide((own * model).sum(axis=0), scale, out=found, where=scale > 0)
    return _of_units(node, found, "signal_correlation", meaning)


# ------------------------------------------------------------------------------------------ parts


def _node(area: xr.DataTree | xr.Dataset) -> xr.Dataset:
    node = area.to_dataset() if isinstance(area, xr.DataTree) else area
    dims = node["responses"].dims if "responses" in node else ()
    if dims != (schema.PRESENTATION, schema.UNIT):
        msg = f"expected an area with responses (presentation_id, unit_id), found responses {dims}"
        raise SchemaError(msg)
    return node


def _responses(
    node: xr.Dataset, groups: dict[int, np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`(repeats, unit_id)` float64 of each group, and its mean; many groups are read at a time."""
    waiting: list[np.ndarray] = []
    for number, group in enumerate(groups.values(), 1):
        waiting.append(group)
        if number == len(groups) or sum(map(len, waiting)) >= _BLOCK:
            values = node["responses"][np.concatenate(waiting)].values.astype(np.float64)
            for part in np.split(values, np.cumsum([len(rows) for rows in waiting])[:-1]):
                yield part, part.mean(axis=0)
            waiting = []


def _labelled(predicted: xr.DataArray, dim: str, wanted: np.ndarray) -> xr.DataArray:
    """Predictions of what is wanted along one dimension, in that order."""
    dims = getattr(predicted, "dims", ())
    if dim not in dims or len(dims) != 2 or dim not in predicted.coords:
        msg = f"expected predictions labelled along {dim!r} and one more dimension, found {dims}"
        raise SchemaError(msg)
    lacking = np.setdiff1d(wanted, predicted[dim].values)
    if lacking.size:
        msg = f"the predictions lack {lacking.size} values of {dim}: {shorten(lacking.tolist(), 5)}"
        raise SchemaError(msg)
    return predicted.sel({dim: wanted})


def _of_units(node: xr.Dataset, values: np.ndarray, name: str, meaning: str) -> xr.DataArray:
    units = {n: c for n, c in node.coords.items() if c.dims == (schema.UNIT,)}
    return xr.DataArray(values, units, (schema.UNIT,), name, {"long_name": meaning})
