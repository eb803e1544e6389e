"""Areas as the analyses see them: responses and what counts of them, conditions, bins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import NothingLeft, NotInTree, SchemaError, many, warn
from neuroarrays.schema import given
from neuroarrays.tree.breaks import step
from neuroarrays.tree.query import missing

TRIALS = (schema.PRESENTATION, schema.UNIT, schema.TIME)
#: Counts held in memory at once while a whole session is averaged, bytes.
BLOCK = 64 << 20
RATE = {"units": "spikes/s", "long_name": "firing rate"}


def dataset_of(area: Any, wanted: str = "trials") -> xr.Dataset:
    """The dataset of an area.

    Parameters
    ----------
    area : DataTree node or Dataset
        An area along ``(presentation_id, ...)`` or ``(time, ...)``: counts, or responses in
        any unit.
    wanted : {"trials", "clock"}
        What is asked of it, for the error.

    Raises
    ------
    SchemaError
        If one of its variables, or something else, was given.
    """
    if not isinstance(area, xr.DataTree | xr.Dataset):
        msg = (
            f"expected an area of an aligned tree, found {given.described(area)}; "
            f"{given.instead(area, wanted)}"
        )
        raise SchemaError(msg)
    return area.to_dataset() if isinstance(area, xr.DataTree) else area


class Response(NamedTuple):
    """The responses of the units of an area, and their unit.

    `values` is (presentation_id, unit_id[, time]) or (time, unit_id); times `scale` it has the unit
    that `attrs` names: spikes/s for counts (spikes where there is no clock), its own for a signal.
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
        msg = "the area has no presentations left: look at the selection that it comes from"
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


def bin_width(node: xr.Dataset) -> float:
    """Width of the bins of a clock, s.

    Raises
    ------
    SchemaError
        If there is no clock, or one bin and no attribute that says its width.
    """
    if schema.TIME not in node.coords:
        msg = "how long a frame lasts is not known: open the file with sampling_rate=, or assign time (s)"
        raise SchemaError(msg)
    width = step(node[schema.TIME])
    if np.isnan(width):
        msg = "the width of the only bin is not known: time has no attribute bin_width (s)"
        raise SchemaError(msg)
    return width


def counted(node: xr.Dataset, values: xr.DataArray, rows: slice = slice(None)) -> np.ndarray | None:
    """Which values of an area's responses count; None if all do.

    Parameters
    ----------
    node : Dataset
        An area, along ``(presentation_id, ...)`` or ``(time, ...)``; its masks `valid`,
        `valid_units` and `withheld` (bool) are applied.
    values : (presentation_id or time, unit_id, ...) DataArray
        Its responses, counts or any unit.
    rows : slice
        Along the first dimension.

    Returns
    -------
    (row, 1 or unit, ...) bool, or None
        Units have a column each where they are masked apart.
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
    """The responses of an area in blocks, each with the mask of the values that count.

    Parameters
    ----------
    node : Dataset
        An area, along ``(presentation_id, ...)`` or ``(time, ...)``, with times in seconds.
    values : (presentation_id or time, unit_id, ...) DataArray
        Its responses, counts or any unit.
    row_bytes : int
        What a row takes while it is worked on, if more than as it is stored.

    Yields
    ------
    rows : slice
    block : (row, unit, ...) array
        In the unit of the responses.
    mask : (row, 1 or unit, ...) bool, or None
        As `counted` gives it; also False where a response is missing (NaN).
    """
    row_bytes = max(row_bytes, int(np.prod(values.shape[1:])) * values.dtype.itemsize)
    for rows in blocks(values.shape[0], row_bytes, BLOCK):
        block = values[rows].values
        mask = counted(node, values, rows)
        if block.dtype.kind == "f" and not (finite := np.isfinite(block)).all():
            mask = finite if mask is None else finite & mask
        yield rows, block, mask


def parameters(node: xr.Dataset) -> list[str]:
    """The names of the coordinates along presentations."""
    return [
        str(name)
        for name, coord in node.coords.items()
        if coord.dims == (schema.PRESENTATION,) and name != schema.PRESENTATION
    ]


class Conditions(NamedTuple):
    """Which presentations were alike.

    `labels` (presentation_id,) int64 is the condition of each, -1 where a parameter is missing;
    `values` are the values of each parameter, in order. Conditions are all their combinations.
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
    """The condition of each presentation and the values of the conditions.

    Parameters
    ----------
    node : Dataset
        An area with presentations, ``(presentation_id,)`` labels in any unit.
    by : str or sequence of str, optional
        Parameters; one condition without.

    Returns
    -------
    Conditions

    Raises
    ------
    NotInTree
        If there is no such parameter.
    NothingLeft
        If it is missing in all presentations.
    ValueError
        If it is named twice.
    """
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
    """Number of the value of a parameter in each presentation, -1 where missing; and the values."""
    if name not in parameters(node) and name != schema.PRESENTATION:
        raise NotInTree("parameter of the presentations", name, parameters(node))
    labels = node.coords[name].values
    unknown = missing(labels)
    if unknown.all():
        msg = f"the parameter {name!r} is missing in all of {many(unknown.size, 'presentation')}"
        raise NothingLeft(msg)
    values, index = np.unique(labels[~unknown], return_inverse=True)
    codes = np.full(unknown.size, -1, np.int64)
    codes[~unknown] = index
    return codes, values


def blocks(n: int, row_bytes: int, size: int) -> list[slice]:
    """Slices of rows that take about `size` bytes each."""
    step = max(1, size // max(1, row_bytes))
    return [slice(begin, min(begin + step, n)) for begin in range(0, n, step)]


def totals(node: xr.Dataset, values: xr.DataArray) -> tuple[np.ndarray, np.ndarray]:
    """Sum of all that counts of each unit, and how many values that is.

    Parameters
    ----------
    node : Dataset
        An area, with masks (bool) along ``(presentation_id, ...)`` or ``(time, ...)``.
    values : (presentation_id or time, unit_id, ...) DataArray
        Its responses, counts or any unit.

    Returns
    -------
    total, n : (unit_id,) float64
        The sum of the values that count, in their unit, and how many there are.
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
    """Mean response of each unit in each presentation.

    Parameters
    ----------
    node : Dataset
        An area with presentations: counts or responses (any unit) along ``(presentation_id,
        unit_id[, time])``.
    response : Response
        From `trials_of`.

    Returns
    -------
    (presentation_id, unit_id) float64
        Of counts the spikes in bins that count divided by their duration, of signals the mean over
        these bins; NaN where no bin counts.
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
    """Mean and standard error (ddof 1) from sums, sums of squares and numbers of the same shape.

    NaN where there is nothing, the standard error also where there is one.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / n
        variance = np.maximum(squares - n * mean**2, 0) / (n - 1)
        return mean, np.where(n > 1, np.sqrt(variance / n), np.nan)


def warn_of_single(n: np.ndarray, names: Sequence[object]) -> None:
    """Say which conditions have one presentation, and so no standard error.

    Parameters
    ----------
    n : (condition, ...) int
        Presentations of each condition.
    names : sequence
        What to call each of them.
    """
    alone = np.flatnonzero(n.reshape(len(n), -1).max(axis=1, initial=0) == 1)
    if alone.size:
        listed = ", ".join(str(names[i]) for i in alone[:5])
        more = f" and {alone.size - 5} more conditions" if alone.size > 5 else ""
        have = "has" if alone.size == 1 else "have"
        msg = f"{listed}{more} {have} one presentation only: the standard error there is NaN"
        warn(msg)


def kept(node: xr.Dataset, dims: Sequence[str]) -> dict[Any, Any]:
    """The coordinates along some dimensions."""
    return {k: c.variable for k, c in node.coords.items() if c.dims and set(c.dims) <= set(dims)}
