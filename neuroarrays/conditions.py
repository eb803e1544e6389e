"""Areas as the analyses see them: trials and their conditions, rates, the width of bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.query import missing

TRIALS = (schema.PRESENTATION, schema.UNIT, schema.TIME)
#: Counts held in memory at once while a whole session is averaged, bytes.
BLOCK = 64 << 20


def dataset_of(area: Any, wanted: str = "an area of an aligned tree") -> xr.Dataset:
    """The dataset of an area.

    Raises
    ------
    SchemaError
        If one of its variables, or something else, was given.
    """
    if isinstance(area, xr.DataArray):
        msg = f"expected an area, not one of its variables: give area, not area[{area.name!r}]"
        raise SchemaError(msg)
    if not isinstance(area, xr.DataTree | xr.Dataset):
        msg = f"expected {wanted}, found {area!r:.60}"
        raise SchemaError(msg)
    return area.to_dataset() if isinstance(area, xr.DataTree) else area


def trials_of(area: Any) -> xr.Dataset:
    """The dataset of an area with spikes counted around presentations.

    Raises
    ------
    SchemaError
        If there are none.
    """
    node = dataset_of(area)
    if "spike_data" not in node or schema.PRESENTATION not in node["spike_data"].dims:
        msg = (
            "expected an area with spike_data aligned to presentations, from "
            f"na.align(tree, presentations); found {dict(node.sizes)} with {list(node.data_vars)}"
        )
        raise SchemaError(msg)
    if not node.sizes[schema.PRESENTATION]:
        msg = "the area has no presentations left: look at the selection that it comes from"
        raise SchemaError(msg)
    return node


def clock_of(area: Any) -> xr.Dataset:
    """The dataset of an area with spikes counted on one clock.

    Raises
    ------
    SchemaError
        If there are none.
    """
    node = dataset_of(area)
    if "spike_data" not in node or node["spike_data"].dims != (schema.TIME, schema.UNIT):
        msg = f"expected spike_data (time, unit_id), from na.align(tree); found {dict(node.sizes)}"
        raise SchemaError(msg)
    return node


def bin_width(node: xr.Dataset) -> float:
    """Width of the bins of a clock, s.

    Raises
    ------
    SchemaError
        If there is one bin and no attribute that says it.
    """
    clock = node[schema.TIME]
    if "bin_width" in clock.attrs:
        return float(clock.attrs["bin_width"])
    if clock.size < 2:
        msg = "the width of the only bin is not known: time has no attribute bin_width (s)"
        raise SchemaError(msg)
    return float(np.diff(clock.values[:2])[0])


def valid_of(node: xr.Dataset, dims: tuple[str, ...]) -> np.ndarray | None:
    """The mask of an area along `dims`; None where every bin counts.

    A bin that `valid_units` masks for some of the units is left out for all of them: select the
    units of one probe to keep what is valid for these.
    """
    found: np.ndarray | None = None
    if "valid" in node:
        mask = node["valid"]
        mask = mask.transpose(*(dim for dim in dims if dim in mask.dims))
        found = np.broadcast_to(mask.values, tuple(node.sizes[dim] for dim in dims))
    if "valid_units" in node:
        by_unit = node["valid_units"].transpose(*dims, schema.UNIT)
        every = np.empty(by_unit.shape[:-1], bool)
        for part in blocks(by_unit.shape[0], by_unit[:1].nbytes, BLOCK):
            every[part] = by_unit[part].values.all(axis=-1)
        found = every if found is None else found & every
    return found


def parameters(node: xr.Dataset) -> list[str]:
    """The names of what stands along presentations."""
    return [
        str(name)
        for name, coord in node.coords.items()
        if coord.dims == (schema.PRESENTATION,) and name != schema.PRESENTATION
    ]


def conditions(node: xr.Dataset, by: str | None) -> tuple[np.ndarray, np.ndarray]:
    """The condition of each presentation and the values of the conditions.

    Parameters
    ----------
    node : Dataset
        An area with presentations.
    by : str, optional
        A parameter; one condition without.

    Returns
    -------
    labels : (presentation_id,) int64
        Index of the condition, -1 where the parameter is missing.
    values : (condition,) array
        In order.

    Raises
    ------
    NotInTree
        If there is no such parameter.
    ValueError
        If it is missing in all presentations.
    """
    n = node.sizes[schema.PRESENTATION]
    if by is None:
        return np.zeros(n, np.int64), np.array([])
    if by not in parameters(node) and by != schema.PRESENTATION:
        raise NotInTree("parameter of the presentations", by, parameters(node))
    labels = node.coords[by].values
    gone = missing(labels)
    if gone.all():
        msg = f"the parameter {by!r} is missing in all {n} presentations"
        raise ValueError(msg)
    values, index = np.unique(labels[~gone], return_inverse=True)
    out = np.full(n, -1, np.int64)
    out[~gone] = index
    return out, values


def blocks(n: int, row_bytes: int, size: int) -> list[slice]:
    """Slices of rows that take about `size` bytes each."""
    step = max(1, size // max(1, row_bytes))
    return [slice(begin, min(begin + step, n)) for begin in range(0, n, step)]


def rates(node: xr.Dataset) -> np.ndarray:
    """Rate of each unit in each presentation.

    Parameters
    ----------
    node : Dataset
        With `spike_data` aligned to presentations.

    Returns
    -------
    (presentation_id, unit_id) float64, spikes/s
        Spikes in valid bins divided by their duration; NaN where no bin is valid.
    """
    counts = node["spike_data"].transpose(*TRIALS)
    valid = valid_of(node, (schema.PRESENTATION, schema.TIME))
    out = np.empty(counts.shape[:2])
    for part in blocks(counts.shape[0], counts[0].nbytes, BLOCK):
        block = counts[part].values
        if valid is None:
            out[part] = block.sum(axis=2, dtype=float)
        else:
            np.einsum("put,pt->pu", block, valid[part].astype(float), out=out[part])
    lasts = np.full(out.shape[0], counts.shape[2]) if valid is None else valid.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        out /= lasts[:, None] * bin_width(node)
    out[lasts == 0] = np.nan
    return out


def kept(node: xr.Dataset, dims: Sequence[str]) -> dict[Any, Any]:
    """The coordinates along some dimensions."""
    return {k: c.variable for k, c in node.coords.items() if c.dims and set(c.dims) <= set(dims)}
