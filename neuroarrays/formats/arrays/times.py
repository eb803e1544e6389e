"""Times of a mapping: the clock of a node, and arrays of times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import FormatError
from neuroarrays.formats.arrays.entries import number, read_entry
from neuroarrays.formats.arrays.fields import cast
from neuroarrays.formats.arrays.mapping import Arrays, array_of, squeezed
from neuroarrays.formats.clocks import knots
from neuroarrays.lazy.arrays import FileArray, LazyArray, wrap
from neuroarrays.lazy.computed import RegularClock


def clock(arrays: Arrays, node: str, stated: Any, length: int) -> xr.Variable:
    """Return the time coordinate of a node, from an array or from {rate, start}."""
    path, where = arrays.source.path, f"{node}/time"
    if isinstance(stated, Mapping) and "rate" in stated:
        rate, start = number(stated["rate"]), number(stated.get("start", 0.0))
        if rate is None or start is None or rate <= 0 or set(stated) - {"rate", "start"}:
            raise FormatError(
                path,
                where,
                "{rate, start}: a rate above 0 Hz, a start in s",
                f"{dict(stated)!r:.80}",
            )
        return xr.Variable(schema.TIME, wrap(RegularClock(start, rate, length)), {"units": "s"})
    entry = read_entry(stated, path, where)
    arrays.unit_in_file(entry, where, is_time=True)
    array = array_of(arrays, entry, where)
    if (
        array.dtype.kind in "iuf"
        and len(array.shape) == 2
        and array.shape[0] > 1 == array.shape[1] - 1
    ):
        array = knots(path, where, np.asarray(array.load(), float), length)
    array = squeezed(array, 1)
    if len(array.shape) != 1 or array.dtype.kind not in "iuf":
        hint = "dates and texts are no seconds: convert them where they were made" * (
            array.dtype.kind not in "iuf"
        )
        raise FormatError(
            path, where, "times along one axis", f"{array.dtype} of shape {array.shape}", hint
        )
    return xr.Variable(schema.TIME, wrap(as_times(array, path)), {"units": "s"})


def as_times(array: LazyArray, path: str) -> LazyArray:
    """Return times in float64, also if the file has smaller numbers and a mapping scales them."""
    if isinstance(array, FileArray) and (array.scale, array.offset) != (1.0, 0.0):
        return replace(array, dtype=np.dtype("f8"))
    return array if array.dtype == np.float64 else cast(array, np.dtype("f8"), path)
