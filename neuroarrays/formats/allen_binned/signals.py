"""Running speed and gaze at the published bins, constant beyond their ends, NaN beside a NaN."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.lazy.arrays import LazyArray, wrap
from neuroarrays.lazy.computed import Computed, as_lazy

#: Published name -> node and variable in the recording tree.
GAZE = {
    "raw_eye_area": "eye_area",
    "raw_pupil_area": "area",
    "raw_screen_coordinates_x_cm": "x",
    "raw_screen_coordinates_y_cm": "y",
    "raw_screen_coordinates_spherical_x_deg": "x_angle",
    "raw_screen_coordinates_spherical_y_deg": "y_angle",
}


def signals_at(session: xr.DataTree, time: np.ndarray, start: np.ndarray) -> dict[str, xr.Variable]:
    """Return speed and gaze at the bins, (time, presentation_id) float32, by published name."""
    signals: dict[str, xr.Variable] = {}
    dims = (schema.TIME, schema.PRESENTATION)
    if schema.RUNNING in session.children:
        node = session[schema.RUNNING].to_dataset()
        clock = node[schema.START_TIME if schema.START_TIME in node.coords else schema.TIME]
        lazy = _interpolated(node["speed"], clock, time, start)
        signals["speed"] = schema.var("area", "speed", wrap(lazy), dims, schema.ALIGNED)
    if {schema.PUPIL, "pupil_filtered"} <= set(session.children):
        node = session[schema.PUPIL].to_dataset()
        for name, column in GAZE.items():
            if column in node:
                lazy = _interpolated(node[column], node[schema.TIME], time, start)
                units = node[column].attrs.get("units")
                signals[name] = schema.var(
                    "behaviour", name, wrap(lazy), dims, schema.ALIGNED, units=units
                )
    return signals


def _interpolated(
    series: xr.DataArray, clock: xr.DataArray, offsets: np.ndarray, origins: np.ndarray
) -> LazyArray:
    """Return a series at offsets x origins by ``np.interp``, constant beyond its ends."""
    shape = (offsets.size, origins.size)
    arguments = (as_lazy(series.variable), as_lazy(clock.variable), offsets, origins)
    return Computed(_at_times, shape, np.dtype(np.float32), arguments)


def _at_times(
    bins: np.ndarray,
    rows: np.ndarray,
    values: LazyArray,
    clock: LazyArray,
    offsets: np.ndarray,
    origins: np.ndarray,
) -> np.ndarray:
    at = offsets[bins][:, None] + origins[rows]
    return np.asarray(np.interp(at, clock.load(), values.load()), np.float32)
