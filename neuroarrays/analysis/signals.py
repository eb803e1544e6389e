"""Find signals on the clock of an area, check them, and bin their values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.analysis.conditions import dataset_of
from neuroarrays.errors import NotInTree, SchemaError
from neuroarrays.schema import given
from neuroarrays.schema.labels import FEATURE
from neuroarrays.signals.sampled import each

#: A path below an area, or the signal itself.
Feature = str | xr.DataArray


#: A number of bins, or their edges.
Bins = int | np.ndarray


def bins_of(bins: Any, n: int) -> list[Bins]:
    """The numbers of bins, or the edges, of `n` features: one for all, or one for each.

    Raises
    ------
    ValueError
        If their number is not that of the features, a number is not positive, or edges do not
        increase.
    """
    many = isinstance(bins, Sequence) and len(bins) == n and not isinstance(bins, str)
    each = [_bins(of_feature, bins) for of_feature in bins] if many else []
    if n == 1 and many and not isinstance(each[0], int) and np.ndim(bins[0]) == 0:
        each = []
    return each or [_bins(bins, bins)] * n


def _bins(value: Any, given_bins: Any) -> Bins:
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 1:
        return int(value)
    try:
        edges = np.asarray(value, float)
    except (TypeError, ValueError):
        edges = np.empty(0)
    if (
        edges.ndim != 1
        or edges.size < 2
        or not np.isfinite(edges).all()
        or (np.diff(edges) <= 0).any()
    ):
        msg = (
            f"bins={given_bins!r:.80}: expected a positive number of bins, or increasing "
            "edges, or one of these for each feature"
        )
        raise ValueError(msg)
    return edges


def binned(
    signal: xr.DataArray, bins: Bins, period: float | None = None
) -> tuple[np.ndarray, np.ndarray, float | None]:
    """Find the bin of each sample of a signal.

    Parameters
    ----------
    signal : (time,) DataArray
        A signal in any unit.
    bins : int or (bins + 1,) array
        Number of bins, or their edges in the unit of the signal.
    period : float, optional
        A full turn in the unit of the signal (default: its attribute `period`).

    Returns
    -------
    index : (time,) int64
        Bin of each sample, -1 where it is not finite or outside the edges given.
    edges : (bins + 1,) float64
        Edges of half-open bins in the unit of the signal. The largest value belongs to the last
        bin.
    period : float or None
        The full turn that was used.

    Raises
    ------
    ValueError
        If no sample is finite, or all are equal and no edges are given.
    SchemaError
        If the signal has no numbers, or not one value at each time.
    """
    period = period or signal.attrs.get("period")
    if signal.dtype.kind not in "iufb" or signal.ndim != 1:
        msg = (
            f"the feature {signal.name!r} has dims {signal.dims} and dtype {signal.dtype}; expected "
            "one number at each time (for labels, compare: signal == 'run')"
        )
        raise SchemaError(msg)
    x = signal.values.astype(float)
    x = x % period if period else x
    known = np.isfinite(x)
    if not known.any():
        msg = f"the feature {signal.name!r} has no finite value on this clock"
        raise ValueError(msg)
    if isinstance(bins, int):
        low, high = (
            (0.0, float(period)) if period else (float(x[known].min()), float(x[known].max()))
        )
        edges = np.linspace(low, high, bins + 1)
        if (np.diff(edges) <= 0).any():
            msg = f"the feature {signal.name!r} is {low:g} at all times: give edges as bins"
            raise ValueError(msg)
    else:
        edges = bins
        if period:
            if edges[-1] - edges[0] > period * (1 + 1e-9):
                msg = (
                    f"bins: edges from {edges[0]:g} to {edges[-1]:g} cover more than a full turn of "
                    f"{period:g}"
                )
                raise ValueError(msg)
            x = (x - edges[0]) % period + edges[0]
        known &= (x >= edges[0]) & (x <= edges[-1])
    index = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, edges.size - 2)
    return np.where(known, index, -1).astype(np.int64), edges, period and float(period)


def feature_names(
    signals: Sequence[xr.DataArray], features: Sequence[Feature], taken: Sequence[str]
) -> list[str]:
    """Give features names that differ: their own, whole paths where these are equal, or numbers.

    Parameters
    ----------
    signals : sequence of (time,) DataArray
        The features, in any unit.
    features : sequence of str or DataArray
        The features as they were given.
    taken : sequence of str
        Names that the result has for other things.

    Raises
    ------
    ValueError
        If a feature has one of the names that are taken.
    """
    names = [str(signal.name or "feature") for signal in signals]
    if len(set(names)) < len(names):
        names = [f.replace("/", "_") if isinstance(f, str) else f"{f.name}" for f in features]
    if len(set(names)) < len(names):
        names = ["first", "second"][: len(names)]
    if wrong := [name for name in names if name in taken]:
        msg = f"a feature is called {wrong[0]!r}, as a part of the result is: rename it"
        raise ValueError(msg)
    return names


def feature_of(area: xr.DataTree | xr.Dataset, feature: Feature) -> xr.DataArray:
    """Take a signal on the clock of an area.

    Parameters
    ----------
    area : DataTree node or Dataset
        An area on one clock, ``(time, unit_id)``, with `time` in seconds.
    feature : str or (time,) DataArray
        Path of the signal below the area, or the signal itself in any unit.

    Returns
    -------
    (time,) xr.DataArray
        The signal in its unit.

    Raises
    ------
    NotInTree
        If there is no signal of that name.
    SchemaError
        If the signal is on another clock.
    """
    wanted = "feature: expected a signal, or the path of one below the area such as 'position/x'"
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
    signal: Any = area[feature]
    assert isinstance(signal, xr.DataArray)
    return signal.assign_attrs({FEATURE: feature})


def series_of(area: Any, signal: str | xr.DataArray, what: str) -> xr.DataArray:
    """Take a signal on its own clock, from its path or as it was given.

    Parameters
    ----------
    area : DataTree node, Dataset or array
        The area or session where the path begins.
    signal : str or (time, ...) DataArray
        Path of the signal, such as "LFP/LFP", or the signal itself in any unit.
    what : str
        Name of the argument, in an error.

    Returns
    -------
    (time, ...) DataArray
        The signal in its unit. If a path was given and the session has invalid times, it has a
        coordinate `valid`.

    Raises
    ------
    NotInTree
        If there is no signal at that path.
    SchemaError
        If `signal` is neither, or `area` has no tree for the path.
    """
    wanted = f"{what}: expected a DataArray (time, ...), or the path of one in the session"
    given.check(signal, str | xr.DataArray, wanted)
    if isinstance(signal, xr.DataArray):
        return signal
    if not isinstance(area, xr.DataTree):
        msg = f"{wanted}; the path {signal!r} needs a node of a tree, found {given.described(area)}"
        raise SchemaError(msg)
    parent, _, name = signal.strip("/").rpartition("/")
    session = area
    for node in (area, *area.parents):
        parent_node: Any = node.get(parent) if parent else node
        variable = parent_node.get(name) if isinstance(parent_node, xr.DataTree) else None
        if isinstance(variable, xr.DataArray) and _is_signal(variable):
            in_tree: xr.DataArray = each(parent_node, lambda array: array)[name]
            return in_tree
        session = node if node.parent is not None else session
    known = [
        f"{path}/{name}"
        for path, node in session.subtree_with_keys
        for name, variable in node.data_vars.items()
        if path != "." and _is_signal(variable) and name != schema.VALID
    ]
    raise NotInTree("signal along time", signal, known)


def _is_signal(variable: xr.DataArray) -> bool:
    return variable.dims[:1] == (schema.TIME,) and variable.dtype.kind in "iuf"


def check_clock(clock: xr.DataArray, signal: xr.DataArray) -> None:
    """Refuse a signal that is not on the clock of the area.

    Raises
    ------
    SchemaError
        If it is not; the message tells how the clocks differ.
    """
    what = f"{signal.name or 'the signal'!r}"
    if not signal.dims or signal.dims[0] != schema.TIME:
        msg = f"{what} has dims {signal.dims}; expected time first"
        raise SchemaError(msg)
    same = signal.sizes[schema.TIME] == clock.size and (
        schema.TIME not in signal.coords
        or np.allclose(signal[schema.TIME].values, clock.values, rtol=0, atol=1e-6)
    )
    if not same:
        times = signal[schema.TIME] if schema.TIME in signal.coords else None
        span = (
            ""
            if times is None or not times.size
            else f" from {float(times[0]):g} to {float(times[-1]):g} s"
        )
        msg = (
            f"{what} is on another clock than the responses: {signal.sizes[schema.TIME]:,} samples"
            f"{span}, the responses have {clock.size:,} from {float(clock[0]):g} to "
            f"{float(clock[-1]):g} s; "
            "use na.interpolate(signal, area['time'])"
        )
        raise SchemaError(msg)
