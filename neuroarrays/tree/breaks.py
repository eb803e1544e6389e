"""Where a clock goes on and where it breaks: what lags, windows and smoothing stay within."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.kernels.steps import HOLE, even_step
from neuroarrays.tree.columns import seconds

Area = xr.DataTree | xr.Dataset | xr.DataArray


def breaks(area: Area, *, masked: bool = True, clock: xr.DataArray | None = None) -> np.ndarray:
    """Which bins or frames of a clock do not follow the one before.

    Parameters
    ----------
    area : DataTree node, Dataset or DataArray
        On one clock, variables ``(time, ...)`` with `time` in seconds. Of a node, the
        session above it is asked too.
    masked : bool
        Whether time that is not `valid` breaks the clock.
    clock : (time,) DataArray, s, optional
        Time stamps; those of the area unless given.

    Returns
    -------
    (time,) bool
        True for the first; after a hole in `time` (a step of more than one and a half usual ones,
        or back), where a `block_id` of the area or its session changes, and where `valid` does.
        Without time stamps the last two alone.
    """
    stamps = area.coords.get(schema.TIME) if clock is None else clock
    n = area.sizes[schema.TIME] if stamps is None else stamps.size
    first = np.zeros(n, bool)
    first[:1] = True
    if stamps is not None:
        times = seconds(stamps, "the clock")
        if even_step(times) is None or "bin_width" in stamps.attrs:
            steps = np.diff(times)
            first[1:] |= ~((steps > 0) & (steps <= HOLE * step(stamps)))
    names = [schema.BLOCK, schema.VALID] if masked else [schema.BLOCK]
    for node in [area, *area.parents] if isinstance(area, xr.DataTree) else [area]:
        for name in names:
            label = _labels(node, name)
            if label is not None and label.size == n:
                first[1:] |= label[1:] != label[:-1]
    return first


def stretches(area: Area) -> np.ndarray:
    """The stretches of a clock, each from one break to the next.

    Parameters
    ----------
    area : DataTree node, Dataset or DataArray
        On one clock, variables ``(time, ...)`` with `time` in seconds, as for `breaks`.

    Returns
    -------
    (n, 2) int64
        First frame and the one past the last; together they are the whole clock, what is not
        `valid` among it.
    """
    begins = breaks(area)
    first = np.flatnonzero(begins)
    return np.stack([first, np.append(first[1:], begins.size)[: first.size]], axis=1)


def step(clock: xr.DataArray) -> float:
    """The step of a clock in seconds: what its attribute says, else the median.

    Parameters
    ----------
    clock : (time,) DataArray, s
        With the attribute `bin_width`, or two stamps or more.

    Returns
    -------
    float, s
        NaN where neither is known.
    """
    if "bin_width" in clock.attrs:
        return float(clock.attrs["bin_width"])
    return float(np.median(np.diff(seconds(clock, "the clock")))) if clock.size > 1 else np.nan


def _labels(node: Area, name: str) -> np.ndarray | None:
    """The variable or coordinate of a name along the time of a node."""
    if isinstance(node, xr.DataArray):
        label = node.coords[name].variable if name in node.coords else None
    else:
        label = node.variables.get(name)
    return None if label is None or label.dims != (schema.TIME,) else np.asarray(label.values)
