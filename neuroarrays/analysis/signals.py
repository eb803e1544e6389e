"""Signals on the clock of an area: found, checked, and put in bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.analysis.conditions import dataset_of
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.schema import given

#: A path below an area, or the signal itself.
Feature = str | xr.DataArray


def sizes_of(bins: int | Sequence[int], n: int) -> list[int]:
    """Numbers of bins of `n` features, from one for all or one for each.

    Raises
    ------
    ValueError
        If there are not as many as features, or one is not positive.
    """
    sizes: list[Any] = [bins] * n if not isinstance(bins, Sequence) else list(bins)
    if len(sizes) != n or any(not isinstance(k, int | np.integer) or k < 1 for k in sizes):
        each = "" if n == 1 else f", or {n} of them"
        msg = f"bins={bins!r}: expected a positive number of bins{each}"
        raise ValueError(msg)
    return [int(size) for size in sizes]


def binned(
    signal: xr.DataArray, bins: int, period: float | None = None
) -> tuple[np.ndarray, np.ndarray, float | None]:
    """In which bin a signal is.

    Parameters
    ----------
    signal : (time,) DataArray
        Behaviour.
    bins : int
        How many.
    period : float, optional
        A full turn; the attribute of the signal unless given.

    Returns
    -------
    index : (time,) int64
        Bin of each sample, -1 where it is not finite.
    edges : (bins + 1,) float64
        Half-open bins; the largest value belongs to the last.
    period : float or None
        The full turn that was used.

    Raises
    ------
    ValueError
        If no sample is finite.
    """
    period = period or signal.attrs.get("period")
    x = signal.values.astype(float)
    x = x % period if period else x
    known = np.isfinite(x)
    if not known.any():
        msg = f"the feature {signal.name!r} has no finite value on this clock"
        raise ValueError(msg)
    low, high = (0.0, float(period)) if period else (float(x[known].min()), float(x[known].max()))
    edges = np.linspace(low, high, bins + 1)
    index = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, bins - 1)
    return np.where(known, index, -1).astype(np.int64), edges, period and float(period)


def feature_of(area: xr.DataTree | xr.Dataset, feature: Feature) -> xr.DataArray:
    """A signal on the clock of an area.

    Parameters
    ----------
    area : DataTree node or Dataset
        On one clock.
    feature : str or (time,) DataArray
        Path below the area, or the signal itself.

    Returns
    -------
    (time,) xr.DataArray

    Raises
    ------
    NotInTree
        If there is none of that name.
    SchemaError
        If it is on another clock.
    """
    wanted = "feature: expected the path of a signal below the area, such as 'position/x', or one"
    given.check(feature, str | xr.DataArray, wanted)
    if not isinstance(feature, str):
        check_clock(dataset_of(area)[schema.TIME], feature)
        return feature
    nodes = area.subtree_with_keys if isinstance(area, xr.DataTree) else [(".", area)]
    known = [
        f"{path}/{name}" if path != "." else str(name)
        for path, node in nodes
        for name, variable in node.data_vars.items()
        if variable.dims == (schema.TIME,)
    ]
    if feature not in known:
        raise NotInTree("signal along time", feature, known)
    found: Any = area[feature]
    assert isinstance(found, xr.DataArray)
    return found


def check_clock(clock: xr.DataArray, signal: xr.DataArray) -> None:
    """Refuse a signal that is on another clock than an area.

    Raises
    ------
    SchemaError
        Says in what they differ.
    """
    what = f"{signal.name or 'the signal'!r}"
    if not signal.dims or signal.dims[0] != schema.TIME:
        msg = f"{what} has dims {signal.dims}: expected time first"
        raise SchemaError(msg)
    same = signal.sizes[schema.TIME] == clock.size and (
        schema.TIME not in signal.coords
        or np.allclose(signal[schema.TIME].values, clock.values, rtol=0, atol=1e-6)
    )
    if not same:
        its = signal[schema.TIME] if schema.TIME in signal.coords else None
        span = (
            ""
            if its is None or not its.size
            else f" from {float(its[0]):g} to {float(its[-1]):g} s"
        )
        msg = (
            f"{what} is on another clock than the responses: {signal.sizes[schema.TIME]:,} samples"
            f"{span}, they have {clock.size:,} from {float(clock[0]):g} to {float(clock[-1]):g} s; "
            "na.interpolate(signal, area['time']) brings it there"
        )
        raise SchemaError(msg)
