"""Where a clock breaks. Lags, windows and smoothing do not go across a break."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.kernels.steps import HOLE, even_step
from neuroarrays.tree.columns import seconds

#: How many bins are looked at to tell whether a clock is regular.
_FIRST = 1025
Area = xr.DataTree | xr.Dataset | xr.DataArray


def breaks(area: Area, *, masked: bool = True, clock: xr.DataArray | None = None) -> np.ndarray:
    """Mark the bins or frames that do not directly follow the one before.

    Parameters
    ----------
    area : DataTree node, Dataset or DataArray
        Variables ``(time, ...)`` on one clock, `time` in seconds. If it is a node, its session is
        looked at too.
    masked : bool
        If True, time that is not `valid` breaks the clock.
    clock : (time,) DataArray, s, optional
        Time stamps (default: those of the area).

    Returns
    -------
    (time,) bool
        True at the first bin, after a gap in `time` (a step of more than 1.5 usual steps, or a step
        back), where a `block_id` of the area or its session changes, and where `valid` changes.
        Without time stamps only the last two count.
    """
    stamps = area.coords.get(schema.TIME) if clock is None else clock
    n_times = area.sizes[schema.TIME] if stamps is None else stamps.size
    is_break = np.zeros(n_times, bool)
    is_break[:1] = True
    if stamps is not None:
        times = seconds(stamps, "the clock")
        if even_step(times) is None or "bin_width" in stamps.attrs:
            steps = np.diff(times)
            is_break[1:] |= ~((steps > 0) & (steps <= HOLE * step(stamps)))
    names = [schema.BLOCK, schema.VALID] if masked else [schema.BLOCK]
    for node in [area, *area.parents] if isinstance(area, xr.DataTree) else [area]:
        for name in names:
            label = _labels(node, name)
            if label is not None and label.size == n_times:
                is_break[1:] |= label[1:] != label[:-1]
    return is_break


def unbroken_runs(area: Area) -> np.ndarray:
    """The runs of frames between two breaks of a clock.

    Parameters
    ----------
    area : DataTree node, Dataset or DataArray
        Variables ``(time, ...)`` on one clock, `time` in seconds, as for `breaks`.

    Returns
    -------
    (n, 2) int64
        The first frame of each run, and the frame after its last. Together the runs cover the whole
        clock, also the time that is not `valid`.
    """
    is_break = breaks(area)
    first = np.flatnonzero(is_break)
    return np.stack([first, np.append(first[1:], is_break.size)[: first.size]], axis=1)


def step(clock: xr.DataArray) -> float:
    """The step of a clock in seconds: its attribute `bin_width`, else the median step.

    Parameters
    ----------
    clock : (time,) DataArray, s
        Time stamps; it has the attribute `bin_width`, or two stamps or more.

    Returns
    -------
    float, s
        NaN if neither is known.

    Raises
    ------
    SchemaError
        If bins are regular and their distance is not the attribute: they were added up, or left out.
    """
    if "bin_width" in clock.attrs:
        width = float(clock.attrs["bin_width"])
        first = clock[:_FIRST]
        apart = even_step(seconds(first, "the clock")) if first.size > 2 else None
        if apart is not None and not width / HOLE <= apart <= width * HOLE:
            msg = (
                f"bins are {apart:g} s apart, and the attribute bin_width of time says {width:g} s. If "
                "they were added up (coarsen), write assign_coords(time=area.time.assign_attrs("
                f"bin_width={apart:g})); if some were left out, choose time with na.restrict"
            )
            raise SchemaError(msg)
        return width
    return float(np.median(np.diff(seconds(clock, "the clock")))) if clock.size > 1 else np.nan


def bin_width(node: xr.Dataset) -> float:
    """Width of the bins of a clock, s.

    Raises
    ------
    SchemaError
        If there is no clock, or one bin without an attribute for its width.
    """
    if schema.TIME not in node.coords:
        msg = (
            "the duration of a frame is not known; open the file with sampling_rate=, or "
            "assign the coordinate time in s"
        )
        raise SchemaError(msg)
    width = step(node[schema.TIME])
    if np.isnan(width):
        msg = "the width of the only bin is not known; give time the attribute bin_width (s)"
        raise SchemaError(msg)
    return width


def _labels(node: Area, name: str) -> np.ndarray | None:
    """The values of a variable or coordinate, (time,); None if the node has none along time."""
    if isinstance(node, xr.DataArray):
        label = node.coords[name].variable if name in node.coords else None
    else:
        label = node.variables.get(name)
    return None if label is None or label.dims != (schema.TIME,) else np.asarray(label.values)
