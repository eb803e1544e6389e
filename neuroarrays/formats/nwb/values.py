"""Values, clock and attributes of one time series, lazily."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.files.source import Source
from neuroarrays.formats.nwb import vectors
from neuroarrays.formats.nwb.series import Series
from neuroarrays.lazy.arrays import LazyArray, file_array
from neuroarrays.lazy.computed import Elementwise, RegularClock
from neuroarrays.lazy.views import InMemory, Taken, transposed

#: Texts that files have as the unit if the unit is not known.
_NO_UNIT = ("various", "unknown", "n/a", "n.a.", "none")


def clock_of(source: Source, series: Series) -> xr.Variable:
    """Return the time stamps of a series, (time,) float64 in s."""
    if isinstance(series.clock, tuple):
        array: LazyArray = RegularClock(*series.clock, series.size)
    else:
        array = vectors.times(source, series.clock)
    return array.variable((schema.TIME,), {"units": "s", "long_name": "session clock"})


def values_of(source: Source, series: Series, factor: float = 1.0) -> LazyArray:
    """Return the values of a series, (time, ...), in its unit."""
    scale, offset = series.scale * factor, series.offset * factor
    if series.frames is not None:
        if (scale, offset) == (1.0, 0.0):
            return series.frames
        return Elementwise(_scaled, (series.frames,), np.dtype("f4"), (scale, offset))
    if series.factors:
        stored: LazyArray = file_array(source, str(series.data))
        stored = transposed(stored) if series.transposed or series.is_row else stored
        factors = [scale * each for each in series.factors]
        dtype = np.result_type(stored.dtype, np.float32)
        if len(stored.shape) == 1:
            return Elementwise(_factored, (stored,), dtype, (factors[0], offset))
        return Elementwise(_factored, (stored, InMemory(np.array(factors))), dtype, (offset,))
    array: LazyArray = file_array(source, str(series.data), scale, offset)
    if series.is_row:
        return Taken(array, 0)
    return transposed(array) if series.transposed else array


def attrs_of(series: Series) -> dict[str, Any]:
    """Return unit, path in the file, rate (Hz) and further attributes of a series."""
    rate = series.clock[1] or None if isinstance(series.clock, tuple) else None
    unit = "" if series.unit.lower() in _NO_UNIT else series.unit
    known = {"units": unit, "nwb_path": series.path, "sampling_rate": rate}
    attrs = known | {key: value for key, value in series.attrs.items() if key not in known}
    return {key: value for key, value in attrs.items() if value not in (None, "")}


def _factored(values: np.ndarray, factors: Any, offset: float) -> np.ndarray:
    return np.asarray(values * factors + offset)


def _scaled(values: np.ndarray, factor: float, offset: float) -> np.ndarray:
    return np.asarray(values * factor + offset)
