"""Prepare areas for analyses: responses with their masks, conditions, bins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import NothingLeft, NotInTree, SchemaError, many, warn
from neuroarrays.schema import given
from neuroarrays.tree.breaks import bin_width
from neuroarrays.tree.query import missing

TRIALS = (schema.PRESENTATION, schema.UNIT, schema.TIME)
#: The most bytes of counts in memory while a whole session is averaged.
BLOCK = 64 << 20
RATE = {"units": "spikes/s", "long_name": "firing rate"}


def dataset_of(area: Any, wanted: str = "trials") -> xr.Dataset:
    """Take the dataset of an area.

    Parameters
    ----------
    area : DataTree node or Dataset
        An area along ``(presentation_id, ...)`` or ``(time, ...)``, with counts or responses in any
        unit.
    wanted : {"trials", "clock"}
        What the analysis needs, for the error.

    Raises
    ------
    SchemaError
        If a variable of an area, or something else, was given.
    """
    if not isinstance(area, xr.DataTree | xr.Dataset):
        msg = (
            f"expected an area of an aligned tree, found {given.described(area)}; "
            f"{given.instead(area, wanted)}"
        )
        raise SchemaError(msg)
    if isinstance(area, xr.Dataset):
        return area
    table = area.children.get(schema.PRESENTATIONS)
    node = area.to_dataset()  # columns that were added to its table since it was aligned are labels
    return (
        node if table is None else node.assign_coords(schema.trial_labels(node, table.to_dataset()))
    )


class Response(NamedTuple):
    """The responses of the units of an area, with their unit of measurement.

    `values` is (presentation_id, unit_id[, time]) or (time, unit_id). `values` times `scale` has
    the unit in `attrs`: spikes/s for counts (spikes without a clock), its own unit for a signal.
    """

    values: xr.DataArray
    scale: float
    attrs: dict[str, str]


def trials_of(area: Any) -> tuple[xr.Dataset, Response]:
    """The dataset of an area and its responses to presentations, ``(presentation_id, unit_id[, time])``.

    Raises
    ------
    SchemaError
        If there are none.
    """
    node = dataset_of(area)
    name = _named(node, schema.PRESENTATION)
    if name is None:
        msg = (
            "expected an area with spike_data or responses along presentation_id, found "
            f"{given.described(area)}; {given.instead(area, 'trials')}"
        )
        raise SchemaError(msg)
    if not node.sizes[schema.PRESENTATION]:
        msg = "the area has no presentations; check the selection that it comes from"
        raise SchemaError(msg)
    dims = [dim for dim in TRIALS if dim in node[name].dims]
    return node, _response(node, node[name].transpose(*dims))


def clock_of(area: Any) -> tuple[xr.Dataset, Response]:
    """The dataset of an area and its responses on one clock, ``(time, unit_id)``.

    Raises
    ------
    SchemaError
        If there are none.
    """
    node = dataset_of(area, "clock")
    name = _named(node, schema.TIME)
    if name is None or set(node[name].dims) != {schema.TIME, schema.UNIT}:
        msg = (
            "expected an area with spike_data or responses (time, unit_id) on one clock, found "
            f"{given.described(area)}; {given.instead(area, 'clock')}"
        )
        raise SchemaError(msg)
    return node, _response(node, node[name].transpose(schema.TIME, schema.UNIT))


def _named(node: xr.Dataset, dim: str) -> str | None:
    """Counts or signals along units and another dimension; counts first."""
    names = (schema.SPIKE_DATA, schema.RESPONSES)
    return next((n for n in names if n in node and {dim, schema.UNIT} <= set(node[n].dims)), None)


def _response(node: xr.Dataset, values: xr.DataArray) -> Response:
    if values.name == schema.SPIKE_DATA and schema.TIME not in node.coords:
        return Response(values, 1.0, {"units": "spikes", "long_name": "spikes per bin"})
    if values.name == schema.SPIKE_DATA:
        return Response(values, 1 / bin_width(node), dict(RATE))
    units = {"units": values.attrs["units"]} if "units" in values.attrs else {}
    return Response(values, 1.0, units | {"long_name": "response"})


def counted(node: xr.Dataset, values: xr.DataArray, rows: slice = slice(None)) -> np.ndarray | None:
    """The mask of the responses of an area that count; None if all do.

    Parameters
    ----------
    node : Dataset
        An area, along ``(presentation_id, ...)`` or ``(time, ...)``; its masks `valid`,
        `valid_units` and `withheld` (bool) are applied.
    values : (presentation_id or time, unit_id, ...) DataArray
        Its responses: counts, or in any unit.
    rows : slice
        Rows along the first dimension.

    Returns
    -------
    (row, 1 or unit, ...) bool, or None
        The mask; it has a column for each unit if units have different masks.
    """
    dims = values.dims
    masks = [node[name].variable for name in (schema.VALID, schema.VALID_UNITS) if name in node]
    masks += [~node[schema.WITHHELD].variable] if schema.WITHHELD in node else []
    counts: np.ndarray | None = None
    for mask in masks:
        if not set(mask.dims) <= set(dims):
            continue
        kept_dims = [dim for dim in dims if dim in mask.dims]
        part = mask.transpose(*kept_dims).isel({dims[0]: rows}, missing_dims="ignore").values
        if not part.all():
            sizes = iter(part.shape)
            part = part.reshape([next(sizes) if dim in kept_dims else 1 for dim in dims])
            counts = part if counts is None else counts & part
    if counts is None:
        return None
    n_rows = len(range(*rows.indices(values.shape[0])))
    return np.broadcast_to(counts, (n_rows, counts.shape[1], *values.shape[2:]))


def blocks_of(
    node: xr.Dataset, values: xr.DataArray, row_bytes: int = 0
) -> Iterator[tuple[slice, np.ndarray, np.ndarray | None]]:
    """Read the responses of an area in blocks, each with its mask.

    Parameters
    ----------
    node : Dataset
        An area, along ``(presentation_id, ...)`` or ``(time, ...)``, with times in seconds.
    values : (presentation_id or time, unit_id, ...) DataArray
        Its responses, counts or any unit.
    row_bytes : int
        Bytes of memory for a row during the computation, if more than its stored size.

    Yields
    ------
    rows : slice
    block : (row, unit, ...) array
        Responses in their unit.
    mask : (row, 1 or unit, ...) bool, or None
        The mask of `counted`; also False where a response is missing (NaN).
    """
    row_bytes = max(row_bytes, int(np.prod(values.shape[1:])) * values.dtype.itemsize)
    for rows in blocks(values.shape[0], row_bytes, BLOCK):
        block = values[rows].values
        mask = counted(node, values, rows)
        if block.dtype.kind == "f" and not (finite := np.isfinite(block)).all():
            mask = finite if mask is None else finite & mask
        yield rows, block, mask


def parameters(node: xr.Dataset) -> list[str]:
    """The names of the labels and variables with one value for each presentation."""
    return [
        str(name)
        for name, variable in node.variables.items()
        if variable.dims == (schema.PRESENTATION,) and name != schema.PRESENTATION
    ]


class Conditions(NamedTuple):
    """The condition of each presentation.

    `labels` (presentation_id,) int64 has the condition, -1 if a parameter is missing. `values` has
    the sorted values of each parameter. Conditions are all combinations of these values.
    """

    labels: np.ndarray
    values: dict[str, np.ndarray]

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of values of each parameter."""
        return tuple(len(values) for values in self.values.values())

    @property
    def size(self) -> int:
        """The number of combinations."""
        return int(np.prod(self.shape, dtype=int))

    @property
    def titles(self) -> list[str]:
        """A label for each combination."""
        return [
            " and ".join(f"{n} {v[k]}" for (n, v), k in zip(self.values.items(), at, strict=True))
            for at in np.ndindex(self.shape)
        ]

    def coords(self, node: xr.Dataset) -> dict[str, xr.Variable]:
        """The values as coordinates, with their attributes in the node."""
        return {name: xr.Variable(name, v, node[name].attrs) for name, v in self.values.items()}


def conditions(node: xr.Dataset, by: str | Sequence[str] | None) -> Conditions:
    """Find the condition of each presentation, and the values of the conditions.

    Parameters
    ----------
    node : Dataset
        An area with presentations, ``(presentation_id,)`` labels in any unit.
    by : str or sequence of str, optional
        Parameters (default: none, which gives one condition).

    Returns
    -------
    Conditions

    Raises
    ------
    NotInTree
        If there is no such parameter.
    NothingLeft
        If a parameter is missing in all presentations.
    ValueError
        If `by` is no name and no list, or a parameter is named twice.
    """
    wanted = "by: expected a parameter of the presentations, or a list of them"
    given.check(by, str | Iterable | None, wanted, ValueError)
    names = [] if by is None else [by] if isinstance(by, str) else list(by)
    if len(set(names)) < len(names):
        msg = f"by={names}: a parameter is named twice"
        raise ValueError(msg)
    codes_and_values = [_condition(node, name) for name in names]
    values = {name: of for name, (_, of) in zip(names, codes_and_values, strict=True)}
    labels = np.zeros(node.sizes[schema.PRESENTATION], np.int64)
    for codes, of in codes_and_values:
        labels = np.where((labels < 0) | (codes < 0), -1, labels * len(of) + codes)
    return Conditions(labels, values)


def _condition(node: xr.Dataset, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The number of the parameter's value in each presentation, -1 if missing, and the values."""
    if name not in parameters(node) and name != schema.PRESENTATION:
        raise NotInTree("column", name, parameters(node), where="the presentations")
    labels = node[name].values
    unknown = missing(labels)
    if unknown.all():
        msg = f"the parameter {name!r} is missing in all of {many(unknown.size, 'presentation')}"
        raise NothingLeft(msg)
    try:
        values, index = np.unique(labels[~unknown], return_inverse=True)
    except TypeError as error:  # numbers beside texts have no order
        kinds = " and ".join(sorted({type(label).__name__ for label in labels[~unknown].tolist()}))
        msg = f"the parameter {name!r} has {kinds}: make all of them numbers or texts"
        raise ValueError(msg) from error
    codes = np.full(unknown.size, -1, np.int64)
    codes[~unknown] = index
    return codes, values


def blocks(n: int, row_bytes: int, size: int) -> list[slice]:
    """Slices of rows that take about `size` bytes each."""
    step = max(1, size // max(1, row_bytes))
    return [slice(begin, min(begin + step, n)) for begin in range(0, n, step)]


def totals(node: xr.Dataset, values: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Sum the values that count of each unit, and count them.

    Parameters
    ----------
    node : Dataset
        An area, with masks (bool) along ``(presentation_id, ...)`` or ``(time, ...)``.
    values : (presentation_id or time, unit_id, ...) DataArray
        Its responses, counts or any unit.

    Returns
    -------
    total, n : (unit_id,) float64
        The sum of the values that count, in their unit, and their number.
    """
    total, n = np.zeros((2, values.sizes[schema.UNIT]))
    for _, block, mask in blocks_of(node, values):
        block = block.reshape(*block.shape[:2], -1)
        if mask is None:
            n += block[:, 0].size
        else:
            mask = mask.reshape(*mask.shape[:2], -1)
            block = np.where(mask, block, block.dtype.type(0))
            n += mask.sum(axis=(0, 2))
        total += block.sum(axis=2, dtype=float).sum(axis=0)
    return total, n


def means(node: xr.Dataset, response: Response) -> np.ndarray:
    """Compute the mean response of each unit in each presentation.

    Parameters
    ----------
    node : Dataset
        An area with presentations: counts or responses (any unit) along ``(presentation_id,
        unit_id[, time])``.
    response : Response
        The responses, as `trials_of` returns them.

    Returns
    -------
    (presentation_id, unit_id) float64
        For counts, the spikes in bins that count divided by the duration of these bins, in
        spikes/s. For signals, the mean over these bins in their unit. NaN if no bin counts.
    """
    out = np.empty(response.values.shape[:2])
    for rows, block, mask in blocks_of(node, response.values):
        block = block.reshape(*block.shape[:2], -1)
        if mask is None:
            out[rows] = block.mean(axis=2, dtype=float)
            continue
        mask = mask.reshape(*mask.shape[:2], -1)
        with np.errstate(divide="ignore", invalid="ignore"):
            total = np.where(mask, block, block.dtype.type(0)).sum(axis=2, dtype=float)
            out[rows] = total / mask.sum(axis=2)
    return out * response.scale


def mean_and_sem(
    total: np.ndarray, squares: np.ndarray, n: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error (ddof 1), from sums, sums of squared distances from the mean, and n.

    The mean is NaN without values, the standard error also with one value.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return total / n, np.where(n > 1, np.sqrt(squares / (n - 1) / n), np.nan)


def warn_of_single(n: np.ndarray, names: Sequence[object]) -> None:
    """Warn about conditions with one presentation, which have no standard error.

    Parameters
    ----------
    n : (condition, ...) int
        Number of presentations of each condition.
    names : sequence
        The name of each condition.
    """
    alone = np.flatnonzero(n.reshape(len(n), -1).max(axis=1, initial=0) == 1)
    if alone.size:
        listed = ", ".join(str(names[i]) for i in alone[:5])
        more = f" and {alone.size - 5} more conditions" if alone.size > 5 else ""
        have = "has" if alone.size == 1 else "have"
        msg = f"{listed}{more} {have} only one presentation, so the standard error is NaN there"
        warn(msg)


def kept(node: xr.Dataset, dims: Sequence[str]) -> dict[Any, Any]:
    """The coordinates along some dimensions."""
    return {k: c.variable for k, c in node.coords.items() if c.dims and set(c.dims) <= set(dims)}
