"""Average signals over presentations, like the responses of units."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.analysis.conditions import dataset_of
from neuroarrays.errors import NotInTree


def averaged(
    area: xr.DataTree | xr.Dataset, signal: str, psth: Callable[[xr.Dataset], xr.Dataset]
) -> xr.Dataset:
    """Average a signal over presentations; its columns are treated as units.

    Parameters
    ----------
    area : DataTree node or Dataset
        An area aligned to presentations, with its masks and labels.
    signal : str
        Path of a signal below the area, (presentation_id, time, ...) in any unit.
    psth : callable
        Function that computes mean, sem and n of a Dataset with `responses` (presentation_id,
        unit_id, time).

    Returns
    -------
    xr.Dataset
        The result of `psth`, with the other dimensions of the signal in place of ``unit_id``. For
        an angle, `mean` is the circular mean, and `sem` is the circular standard deviation
        ``sqrt(-2 ln R)`` (Fisher 1993) divided by ``sqrt(n)``.

    Raises
    ------
    NotInTree
        If there is no such signal along presentations and time.
    """
    node, array = dataset_of(area), _signal_of(area, signal)
    period = array.attrs.get("period")
    rest = [dim for dim in array.dims if dim not in (schema.PRESENTATION, schema.TIME)]
    values = array.transpose(schema.PRESENTATION, *rest, schema.TIME).values
    shape = values.shape[1:-1]
    values = values.reshape(values.shape[0], -1, values.shape[-1])
    if period:
        turned = values * (2 * np.pi / period)
        values = np.concatenate([np.cos(turned), np.sin(turned)], axis=1)
    masks = {name: node[name] for name in (schema.VALID, schema.WITHHELD) if name in node}
    coords = {
        name: coord
        for name, coord in node.coords.items()
        if set(coord.dims) <= {schema.PRESENTATION, schema.TIME}
    }
    dims = (schema.PRESENTATION, schema.UNIT, schema.TIME)
    attrs = {key: value for key, value in array.attrs.items() if key == "units"}
    responses = (dims, values, attrs)
    answer = psth(xr.Dataset({schema.RESPONSES: responses} | masks, coords))
    answer = answer.drop_vars(schema.UNIT, errors="ignore")
    if period:
        answer = _directions(answer, float(period))
    along = {name: coord for name, coord in array.coords.items() if set(coord.dims) <= set(rest)}
    return _unstacked(answer, tuple(map(str, rest)), shape).assign_coords(along)


def _signal_of(area: xr.DataTree | xr.Dataset, signal: str) -> xr.DataArray:
    nodes = area.subtree_with_keys if isinstance(area, xr.DataTree) else [(".", area)]
    known = {
        (f"{path}/{name}" if path != "." else str(name)): variable
        for path, node in nodes
        for name, variable in node.data_vars.items()
        if {schema.PRESENTATION, schema.TIME} <= set(variable.dims) and variable.dtype.kind == "f"
    }
    if signal not in known:
        raise NotInTree("signal along presentations and time", signal, known)
    return known[signal]


def _directions(answer: xr.Dataset, period: float) -> xr.Dataset:
    """Circular means, from means of cosines and sines, which are the two halves of the units."""
    half = answer.sizes[schema.UNIT] // 2
    cosine, sine = (
        answer.isel({schema.UNIT: part}) for part in (slice(0, half), slice(half, None))
    )
    length = np.minimum(np.hypot(cosine["mean"], sine["mean"]), 1.0)
    to_unit = period / (2 * np.pi)
    angle: Any = np.arctan2(sine["mean"], cosine["mean"])
    mean = (angle * to_unit) % period
    with np.errstate(divide="ignore", invalid="ignore"):
        sem = np.sqrt(-2 * np.log(length)) * to_unit / np.sqrt(cosine["n"])
    attrs = {name: answer[name].attrs for name in ("mean", "sem", "n")}
    directions = {
        "mean": mean.where(length > 1e-12),
        "sem": sem.where(cosine["n"] > 1),
        "n": cosine["n"],
    }
    for name, variable in directions.items():
        variable.attrs = dict(attrs[name])
    directions["mean"].attrs["period"] = period
    return xr.Dataset(
        directions, {k: c for k, c in answer.coords.items() if schema.UNIT not in c.dims}
    )


def _unstacked(answer: xr.Dataset, dims: tuple[str, ...], shape: tuple[int, ...]) -> xr.Dataset:
    """Restore the dimensions of a signal from its columns."""
    out: dict[Any, xr.Variable] = {}
    for name, array in answer.data_vars.items():
        axis = array.dims.index(schema.UNIT)
        sizes = (*array.shape[:axis], *shape, *array.shape[axis + 1 :])
        names = (*array.dims[:axis], *dims, *array.dims[axis + 1 :])
        out[name] = xr.Variable(names, array.values.reshape(sizes), array.attrs)
    return xr.Dataset(out, answer.coords, answer.attrs)
