"""Labelled answers: areas of an aligned tree in, labelled arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import NotInTree, SchemaError

#: Counts held in memory at once while a whole session is averaged, bytes.
_BLOCK = 64 << 20


def psth(area: xr.DataTree | xr.Dataset, by: str | None = None) -> xr.Dataset:
    """Peri-stimulus time histogram: mean rate over presentations, masked bins left out.

    Parameters
    ----------
    area : DataTree node or Dataset
        With ``spike_data (presentation_id, unit_id, time)``; `valid` is respected if it is there.
    by : str, optional
        A parameter of the presentations; one histogram per value of it.

    Returns
    -------
    xr.Dataset
        ``mean`` and ``sem`` (spikes/s) along ``([by,] unit_id, time)`` and ``n``, the number of
        presentations, along ``([by,] time)``. The standard error has ddof 1; NaN where fewer
        presentations count than it takes.

    Raises
    ------
    SchemaError
        If there is no trial-aligned `spike_data`.
    NotInTree
        If `by` is not a parameter.

    Notes
    -----
    Presentations in which the parameter is missing (NaN or empty) belong to no condition.
    """
    node = _dataset(area)
    counts = node["spike_data"].transpose(schema.PRESENTATION, schema.UNIT, schema.TIME)
    labels, values = _conditions(node, by)
    valid = node["valid"].values if "valid" in node else None
    shape = (max(len(values), 1), counts.sizes[schema.UNIT], counts.sizes[schema.TIME])
    total, squares, n = np.zeros(shape), np.zeros(shape), np.zeros((shape[0], shape[2]), np.int64)
    step = max(1, _BLOCK // max(1, shape[1] * shape[2] * 4))
    for begin in range(0, counts.sizes[schema.PRESENTATION], step):
        part = slice(begin, begin + step)
        block = counts[part].values
        mask = None if valid is None else valid[part]
        for power, into in ((1, total), (2, squares)):
            wide = block if power == 1 else block.astype(np.uint32) ** 2
            into += _sums(wide, labels[part], shape[0], mask)
        n += _numbers(labels[part], shape, mask)
    width = float(node[schema.TIME].attrs.get("bin_width") or np.diff(node[schema.TIME])[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        m = n[:, None, :]
        mean = total / m
        variance = np.maximum(squares - m * mean**2, 0) / (m - 1)
        sem = np.where(m > 1, np.sqrt(variance / m), np.nan)
    rate = {"units": "spikes/s"}
    out = xr.Dataset(
        {
            "mean": (("condition", schema.UNIT, schema.TIME), mean / width, rate),
            "sem": (("condition", schema.UNIT, schema.TIME), sem / width, rate),
            "n": (("condition", schema.TIME), n, {"long_name": "presentations"}),
        },
        coords=_kept(node, (schema.UNIT, schema.TIME)),
    )
    if by is None:
        return out.isel(condition=0)
    return out.rename(condition=by).assign_coords({by: values})


def _sums(
    block: np.ndarray, labels: np.ndarray, n_labels: int, mask: np.ndarray | None
) -> np.ndarray:
    from neuroarrays.kernels import counts as kernels

    mean, n = kernels.mean_counts(block, labels, n_labels, mask)
    return np.where(n[:, None, :] > 0, mean * n[:, None, :], 0.0)


def _numbers(labels: np.ndarray, shape: tuple[int, ...], mask: np.ndarray | None) -> np.ndarray:
    n = np.zeros((shape[0], shape[2]), np.int64)
    for label in np.unique(labels[labels >= 0]):
        rows = labels == label
        n[label] = rows.sum() if mask is None else mask[rows].sum(axis=0)
    return n


def _dataset(area: xr.DataTree | xr.Dataset | xr.DataArray) -> xr.Dataset:
    if isinstance(area, xr.DataArray):
        msg = "expected an area, not one of its variables: give psth(area), not area['spike_data']"
        raise SchemaError(msg)
    node = area.to_dataset() if isinstance(area, xr.DataTree) else area
    if "spike_data" not in node or schema.PRESENTATION not in node["spike_data"].dims:
        msg = (
            "expected an area with spike_data aligned to presentations, from "
            f"na.align(tree, presentations); found {dict(node.sizes)} with {list(node.data_vars)}"
        )
        raise SchemaError(msg)
    return node


def _conditions(node: xr.Dataset, by: str | None) -> tuple[np.ndarray, np.ndarray]:
    """The condition of each presentation (-1 for none) and the values of the conditions."""
    n = node.sizes[schema.PRESENTATION]
    if by is None:
        return np.zeros(n, np.int64), np.array([])
    if by not in node.coords or node.coords[by].dims != (schema.PRESENTATION,):
        known = [
            str(k)
            for k, c in node.coords.items()
            if c.dims == (schema.PRESENTATION,) and k != schema.PRESENTATION
        ]
        raise NotInTree("parameter of the presentations", by, known)
    labels = node.coords[by].values
    missing = np.array([v is None or v != v or v == "" for v in labels], bool)
    values, index = np.unique(labels[~missing], return_inverse=True)
    out = np.full(n, -1, np.int64)
    out[~missing] = index
    return out, values


def _kept(node: xr.Dataset, dims: tuple[str, ...]) -> dict[Any, Any]:
    return {k: c.variable for k, c in node.coords.items() if c.dims and set(c.dims) <= set(dims)}


def tuning_curve(
    area: xr.DataTree,
    feature: str | xr.DataArray,
    bins: int = 36,
    min_occupancy: float = 0.1,
) -> xr.DataArray:
    """Firing rate as a function of a behavioural variable, normalised by occupancy.

    Parameters
    ----------
    area : DataTree node
        With ``spike_data (time, unit_id)`` on one clock.
    feature : str or (time,) DataArray
        Path below the area, such as ``"head_direction/ry"`` or ``"speed"``; or values on the
        area's clock.
    bins : int
        Number of half-open bins: over a full turn for an angle (a `period` attribute), else over
        the range of the values (the largest value belongs to the last bin).
    min_occupancy : float, s
        Bins visited for less are NaN.

    Returns
    -------
    (unit_id, feature) xr.DataArray, spikes/s
        Spikes in each bin divided by the time spent there, with the coordinate `occupancy` (s).

    Raises
    ------
    SchemaError
        If the area is not on one clock.
    NotInTree
        If the feature is not there.
    """
    from neuroarrays.kernels import counts as kernels

    node = area.to_dataset()
    if "spike_data" not in node or node["spike_data"].dims != (schema.TIME, schema.UNIT):
        msg = f"expected spike_data (time, unit_id), from na.align(tree); found {dict(node.sizes)}"
        raise SchemaError(msg)
    values = _feature(area, feature)
    period = values.attrs.get("period")
    x = values.values.astype(float)
    x = x % period if period else x
    known = np.isfinite(x)
    if not known.any():
        msg = f"the feature {values.name!r} has no finite value on this clock"
        raise ValueError(msg)
    low, high = (0.0, float(period)) if period else (float(x[known].min()), float(x[known].max()))
    edges = np.linspace(low, high, bins + 1)
    index = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, bins - 1)
    labels = np.where(known, index, -1).astype(np.int64)
    clock = node[schema.TIME]
    width = float(clock.attrs.get("bin_width") or np.diff(clock[:2])[0])
    total = np.zeros((bins, node.sizes[schema.UNIT]))
    step = max(1, _BLOCK // max(1, node.sizes[schema.UNIT] * 8))
    for begin in range(0, x.size, step):
        block = node["spike_data"][begin : begin + step].values[:, :, None]
        mean, n = kernels.mean_counts(block, labels[begin : begin + step], bins)
        total += np.where(n > 0, mean[:, :, 0] * n, 0.0)
    occupancy = np.bincount(labels[known], minlength=bins) * width
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(occupancy >= min_occupancy, total.T / occupancy, np.nan)
    name = str(values.name or "feature")
    attrs = {k: v for k, v in values.attrs.items() if k in ("units", "long_name", "period")}
    coords = _kept(node, (schema.UNIT,)) | {
        name: (name, (edges[:-1] + edges[1:]) / 2, attrs),
        "occupancy": (name, occupancy, {"units": "s"}),
    }
    rates = {"units": "spikes/s", "long_name": "firing rate"}
    return xr.DataArray(rate, coords, (schema.UNIT, name), "tuning_curve", rates)


def _feature(area: xr.DataTree, feature: str | xr.DataArray) -> xr.DataArray:
    if isinstance(feature, xr.DataArray):
        return feature
    known = [
        f"{path}/{name}" if path != "." else str(name)
        for path, node in area.subtree_with_keys
        for name, variable in node.data_vars.items()
        if variable.dims == (schema.TIME,)
    ]
    if feature not in known:
        raise NotInTree("signal along time", feature, known)
    found = area[feature]
    assert isinstance(found, xr.DataArray)
    return found
