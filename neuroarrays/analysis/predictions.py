"""Predictions of a model in the order of the presentations that they are compared with."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError, shorten


def of_groups(
    node: xr.Dataset, predicted: xr.DataArray, groups: dict[int, np.ndarray], label: str
) -> np.ndarray:
    """The prediction for each group of presentations, `(image, [time,] unit_id)` float64."""
    dims = tuple(getattr(predicted, "dims", ()))
    first = schema.PRESENTATION if schema.PRESENTATION in dims else label
    rest = node[schema.RESPONSES].dims[1:]
    if set(dims) != {first, *rest} or any(n not in predicted.coords for n in (first, schema.UNIT)):
        msg = (
            f"expected predictions with dims {(first, *rest)} and labels along {first!r} and "
            f"'unit_id', found dims {dims}"
        )
        raise SchemaError(msg)
    if any(predicted.sizes[dim] != node.sizes[dim] for dim in rest if dim == schema.TIME):
        msg = (
            f"expected predictions of {node.sizes[schema.TIME]} frames, as in the responses, "
            f"found {predicted.sizes[schema.TIME]}"
        )
        raise SchemaError(msg)
    ids = node[schema.PRESENTATION].values
    wanted = (
        [ids[group] for group in groups.values()]
        if first != label
        else [[first_label] for first_label in groups]
    )
    labelled = _labelled(predicted, schema.UNIT, node[schema.UNIT].values)
    labelled = _labelled(labelled, first, np.concatenate([*wanted, ids[:0]]))
    values = labelled.transpose(first, ..., schema.UNIT).values
    ends = np.cumsum([len(rows) for rows in wanted])
    stacked = np.empty((len(groups), *values.shape[1:]))
    for row, end in enumerate(ends.tolist()):
        stacked[row] = values[end - len(wanted[row]) : end].mean(axis=0, dtype=np.float64)
    return stacked


def _labelled(predicted: xr.DataArray, dim: str, wanted: np.ndarray) -> xr.DataArray:
    """Predictions for the wanted labels along one dimension, in their order."""
    lacking = np.setdiff1d(wanted, predicted[dim].values)
    if lacking.size:
        msg = f"the predictions lack {lacking.size} values of {dim}: {shorten(lacking.tolist(), 5)}"
        raise SchemaError(msg)
    return predicted.sel({dim: wanted})
