"""Scores over repeated stimuli: how reliable units are, and how well a model predicts them.

For trees of images or movies that were shown several times (SENSORIUM). Responses are
`(presentation_id, unit_id)`, for movies also along `time`; each frame of a movie counts like an
image. Presentations whose responses were withheld in a competition, and frames that are not `valid`
in all repeats, do not count. Only responses to repeated stimuli are read, in blocks.
`na.reliability` has similar measures for any aligned tree, in memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.analysis import predictions
from neuroarrays.analysis.chance import chance_error
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.schema import given

__all__ = [
    "chance_error",
    "explainable_variance",
    "repeat_average",
    "repeat_correlation",
    "repeats",
    "signal_correlation",
]


def __dir__() -> list[str]:
    return sorted(__all__)


#: The most bytes of responses to read at once, unless one stimulus has more.
_BLOCK = 1 << 24
#: Labels that are equal in repeats; the first that exists is used.
_SHOWN = (schema.IMAGE, schema.SHOWN)
#: Values that differ by less than this share differ only by rounding.
_ROUNDING = 1e-12
#: The label with the number of presentations of each average.
REPEATS = "repeats"


def repeats(
    area: xr.DataTree | xr.Dataset, by: str | None = None, at_least: int = 2
) -> dict[int, np.ndarray]:
    """Find the presentations of each repeated stimulus.

    Parameters
    ----------
    area : xr.DataTree or xr.Dataset
        An area of an aligned tree with ``responses`` (presentation_id, unit_id[, time]) in any
        unit, to images or movies.
    by : str, optional
        A label along presentation_id that is equal in repeats (default: ``image_id``, else
        ``stimulus_id``).
    at_least : int
        The least number of presentations of a stimulus.

    Returns
    -------
    dict of int to (repeats,) int64
        Label -> sorted positions along presentation_id; withheld presentations are left out.

    Raises
    ------
    NotInTree
        If the label does not exist.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_static
    >>> truth = write_static("static1-2-3")
    >>> area = na.open_datatree("static1-2-3")["1-2-3/V1"]
    >>> groups = na.scoring.repeats(area)
    >>> {image: rows.size for image, rows in groups.items()}
    {1322: 5, 1329: 5, 1336: 5, 1343: 5}
    """
    given.check(area, xr.Dataset | xr.DataTree, "expected an area of an aligned tree")
    node = area.to_dataset() if isinstance(area, xr.DataTree) else area
    labels = node[_label(node, by)].values
    kept = np.ones(labels.size, bool)
    if schema.WITHHELD in node:
        kept &= ~node[schema.WITHHELD].values
    groups: dict[int, np.ndarray] = {}
    rows = np.flatnonzero(kept)
    order = rows[np.argsort(labels[rows], kind="stable")]
    if order.size == 0:
        return groups
    starts = np.flatnonzero(labels[order][1:] != labels[order][:-1]) + 1
    for group in np.split(order, starts):
        if group.size >= at_least:
            groups[labels[group[0]].item()] = group
    return groups


def repeat_average(
    area: xr.DataTree | xr.Dataset, by: str | None = None, at_least: int = 2
) -> xr.DataArray:
    """Average the responses to each repeated image or movie.

    Parameters
    ----------
    area : xr.DataTree or xr.Dataset
        An area with ``responses`` (presentation_id, unit_id[, time]) in any unit.
    by, at_least
        As for `repeats`.

    Returns
    -------
    (image, unit_id[, time]) float64 DataArray
        Means in the unit of the responses. The first dimension has the name of the label of
        repeats; ``repeats`` along it is the number of presentations of each mean. NaN in frames
        that are not valid in all repeats.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_static
    >>> truth = write_static("static1-2-3")
    >>> area = na.open_datatree("static1-2-3")["1-2-3/V1"]
    >>> dict(na.scoring.repeat_average(area).sizes)
    {'image_id': 4, 'unit_id': 8}
    """
    node, groups = _node(area), repeats(area, by, at_least)
    label, rest = _label(node, by), node[schema.RESPONSES].dims[1:]
    means = np.full((len(groups), node.sizes.get(schema.TIME, 1), node.sizes[schema.UNIT]), np.nan)
    for row, (values, known) in enumerate(_responses(node, groups)):
        means[row, known] = values.mean(axis=0)
    sizes = [group.size for group in groups.values()]
    coords = {n: c.variable for n, c in node.coords.items() if c.dims in {(dim,) for dim in rest}}
    ids = np.array(list(groups), node[label].dtype)
    coords |= {label: (label, ids), REPEATS: (label, np.array(sizes, np.int64))}
    movies = schema.TIME in rest
    return xr.DataArray(
        means if movies else means[:, 0],
        coords,
        (label, schema.TIME, schema.UNIT) if movies else (label, schema.UNIT),
        schema.RESPONSES,
        {"long_name": "mean over repeats"},
    ).transpose(label, *rest)


def explainable_variance(
    area: xr.DataTree | xr.Dataset, by: str | None = None, at_least: int = 2
) -> xr.DataArray:
    """Compute the explainable variance: the share of variance that a perfect model could explain.

    Parameters
    ----------
    area : xr.DataTree or xr.Dataset
        An area with ``responses`` (presentation_id, unit_id[, time]) in any unit.
    by, at_least
        As for `repeats`.

    Returns
    -------
    (unit_id,) float64 xr.DataArray, no unit
        Values of at most 1; they can be below 0 by chance. NaN for units that never respond, and
        for all units if nothing is repeated.

    Notes
    -----
    ``1 - s2 / Var(r)``, where ``Var(r)`` is the variance of all repeated responses, and ``s2`` the
    mean over images of the variance over repeats, both with ddof=1 (Cadena et al. 2019, PLoS
    Comput. Biol. 15:e1006897, and `explainable_var` of neuralpredictors). Each image, and each
    frame of a movie, has the same weight, for any number of repeats; in `na.reliability` each
    presentation has the same weight.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_static
    >>> truth = write_static("static1-2-3")
    >>> area = na.open_datatree("static1-2-3")["1-2-3/V1"]
    >>> na.scoring.explainable_variance(area).values.round(2)
    array([-0.12,  0.75,  0.74,  0.4 ,  0.66,  0.3 ,  0.88,  0.82])
    """
    node, groups = _node(area), repeats(area, by, max(at_least, 2))
    size = node.sizes[schema.UNIT]
    noise, total, mean, seen, frames = np.zeros(size), np.zeros(size), np.zeros(size), 0, 0
    for values, _ in _responses(node, groups):
        noise += values.var(axis=0, ddof=1).sum(axis=0)
        frames += values.shape[1]
        flat = values.reshape(-1, size)
        here, n = flat.mean(axis=0) if len(flat) else mean, len(flat)
        apart = here - mean
        mean = mean + apart * n / max(seen + n, 1)
        total += ((flat - here) ** 2).sum(axis=0) + apart**2 * seen * n / max(seen + n, 1)
        seen += n
    noise /= max(frames, 1)
    total /= max(seen - 1, 1)
    share = np.full(size, np.nan)
    np.divide(total - noise, total, out=share, where=total > (_ROUNDING * mean) ** 2)
    return _of_units(node, share, "explainable_variance", "explainable share of the variance")


def repeat_correlation(
    area: xr.DataTree | xr.Dataset, by: str | None = None, at_least: int = 2
) -> xr.DataArray:
    """Correlate each response with the mean of the other repeats of its image (oracle score).

    Parameters
    ----------
    area : xr.DataTree or xr.Dataset
        An area with ``responses`` (presentation_id, unit_id[, time]) in any unit.
    by, at_least
        As for `repeats`.

    Returns
    -------
    (unit_id,) float64 xr.DataArray, no unit, -1 to 1
        Correlations; NaN for units that never respond, and for all units if nothing is repeated.

    Notes
    -----
    Pearson's correlation over all repeated presentations (and the frames of movies) between the
    response and the mean of the other repeats of its image (Walker et al. 2019, Nat. Neurosci.
    22:2060). The mean of few repeats is noisy, so this underestimates the correlation with the true
    mean.

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_static
    >>> truth = write_static("static1-2-3")
    >>> area = na.open_datatree("static1-2-3")["1-2-3/V1"]
    >>> na.scoring.repeat_correlation(area).values.round(2)
    array([-0.55,  0.82,  0.81,  0.51,  0.75,  0.39,  0.92,  0.88])
    """
    node, groups = _node(area), repeats(area, by, max(at_least, 2))
    size = node.sizes[schema.UNIT]
    products, sums, seen = np.zeros((3, size)), np.zeros(size), 0
    shift = None
    for values, _ in _responses(node, groups):
        n, average = len(values), values.mean(axis=0)
        if shift is None and average.size:  # a response that never changes becomes exactly 0
            shift = values[0, 0].copy()
        centred = values - (0 if shift is None else shift)
        others = (centred.sum(axis=0) - centred) / (n - 1)
        products += [
            (x * y).sum(axis=(0, 1))
            for x, y in ((centred, others), (centred, centred), (others, others))
        ]
        sums += centred.sum(axis=(0, 1))  # also the sum of the means of the others
        seen += n * len(average)
    products -= sums**2 / max(seen, 1)
    correlation = _correlation(*products)
    return _of_units(node, correlation, "repeat_correlation", "correlation with the other repeats")


def signal_correlation(
    area: xr.DataTree | xr.Dataset,
    predicted: xr.DataArray,
    by: str | None = None,
    at_least: int = 2,
) -> xr.DataArray:
    """Score a model: correlate its predictions with the mean response to each repeated image.

    Parameters
    ----------
    area : xr.DataTree or xr.Dataset
        An area with ``responses`` (presentation_id, unit_id[, time]) in any unit.
    predicted : (presentation_id or repeat, unit_id[, time]) xr.DataArray
        Predictions in the unit of the responses. They are averaged over the same presentations as
        the responses, or have the label of repeats instead of presentation_id. Rows may be in any
        order, and there may be more than needed.
    by, at_least
        As for `repeats`.

    Returns
    -------
    (unit_id,) float64 xr.DataArray, no unit, -1 to 1
        Correlations; NaN for units whose mean or prediction never changes, and for all units if
        nothing is repeated.

    Raises
    ------
    SchemaError
        If predictions have other dimensions, or lack an image, presentation, unit or frame.

    Notes
    -----
    Pearson's correlation over images, or over the frames of all movies, of the two means; each has
    the same weight. SENSORIUM calls it correlation to average (Willeke et al. 2022,
    arXiv:2206.08666; for movies Turishcheva et al. 2023, arXiv:2305.19654, which leaves out the
    first 50 frames: select ``.isel(time=slice(50, 300))`` of both to do the same).

    Examples
    --------
    >>> import neuroarrays as na
    >>> from neuroarrays.synthetic import write_static
    >>> truth = write_static("static1-2-3")
    >>> area = na.open_datatree("static1-2-3")["1-2-3/V1"]
    >>> predicted = 2 * area["responses"] + 1  # of a model; here perfect
    >>> na.scoring.signal_correlation(area, predicted).values.round(2)
    array([nan,  1.,  1.,  1.,  1.,  1.,  1.,  1.])
    """
    node, groups = _node(area), repeats(area, by, at_least)
    label = _label(node, by)
    mean = repeat_average(node, by, at_least).transpose(label, ..., schema.UNIT)
    model = predictions.of_groups(node, predicted, groups, label).reshape(-1, mean.shape[-1])
    observed = mean.values.reshape(model.shape)
    known = ~np.isnan(observed).all(axis=1)
    observed, model = observed[known], model[known]
    if len(observed):
        observed, model = _apart(observed), _apart(model)
    correlation = _correlation(
        *((x * y).sum(axis=0) for x, y in ((observed, model), (observed, observed), (model, model)))
    )
    meaning = "correlation of the prediction with the mean response"
    return _of_units(node, correlation, "signal_correlation", meaning)


# ------------------------------------------------------------------------------------------ parts


def _label(node: xr.Dataset, by: str | None) -> str:
    """The name of the label of repeats."""
    along = [str(n) for n, v in node.variables.items() if v.dims == (schema.PRESENTATION,)]
    for name in _SHOWN if by is None else (by,):
        if name in along:
            return name
    raise NotInTree("label of presentations", by or schema.IMAGE, along, "say by= or assign one")


def _node(area: xr.DataTree | xr.Dataset) -> xr.Dataset:
    given.check(area, xr.Dataset | xr.DataTree, "expected an area of an aligned tree")
    node = area.to_dataset() if isinstance(area, xr.DataTree) else area
    dims = node[schema.RESPONSES].dims if schema.RESPONSES in node else ()
    wanted = {schema.PRESENTATION, schema.UNIT}
    if dims[:1] != (schema.PRESENTATION,) or set(dims) - {schema.TIME} != wanted:
        msg = (
            "expected an area with responses (presentation_id, unit_id[, time]), found "
            f"responses with dims {dims}"
        )
        raise SchemaError(msg)
    return node


def _responses(
    node: xr.Dataset, groups: dict[int, np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The responses `(repeats, frame, unit_id)` of each group, and the mask of its frames.

    An image has one frame. Small groups are read together.
    """
    responses = node[schema.RESPONSES].variable
    each = responses.dtype.itemsize * responses.size // max(1, responses.shape[0])
    waiting: list[np.ndarray] = []
    for number, group in enumerate(groups.values(), 1):
        waiting.append(group)
        if number < len(groups) and sum(map(len, waiting)) * each < _BLOCK:
            continue
        rows = np.concatenate(waiting)
        read = responses[rows].load().transpose(schema.PRESENTATION, ..., schema.UNIT)
        values = read.values.reshape(len(rows), -1, read.shape[-1])
        known = np.ones(values.shape[:2], bool)
        if schema.VALID in node and schema.TIME in responses.dims:
            known = node[schema.VALID].variable[rows].values
        ends = np.cumsum([len(rows) for rows in waiting])[:-1]
        for part, frames in zip(np.split(values, ends), np.split(known, ends), strict=True):
            kept = np.asarray(frames.all(axis=0))
            yield part[:, kept].astype(np.float64), kept
        waiting = []


def _apart(values: np.ndarray) -> np.ndarray:
    """Differences `(n, unit_id)` from the mean; 0 if they are only rounding."""
    apart = values - values.mean(axis=0)
    changes = np.abs(apart).max(axis=0) > _ROUNDING * np.abs(values).max(axis=0)
    return np.where(changes, apart, 0)


def _correlation(products: np.ndarray, first: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlations `(unit_id,)` from sums of products; NaN if one of the two never changes."""
    scale = np.sqrt(np.maximum(first, 0) * np.maximum(other, 0))
    coefficients = np.full(scale.shape, np.nan)
    np.divide(products, scale, out=coefficients, where=scale > 0)
    return coefficients


def _of_units(node: xr.Dataset, values: np.ndarray, name: str, meaning: str) -> xr.DataArray:
    units = {n: c for n, c in node.coords.items() if c.dims == (schema.UNIT,)}
    return xr.DataArray(values, units, (schema.UNIT,), name, {"long_name": meaning})
