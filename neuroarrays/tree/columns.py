"""What users give as times and as columns of tables, as plain numpy: seconds, numbers, text."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays.errors import option

#: What a clock in seconds may state as its unit; one that states none is in seconds.
_SECONDS = ("", "s", "sec", "secs", "second", "seconds")


def check_seconds(times: Any, what: str) -> None:
    """Refuse numbers that state another unit of time than seconds, such as ms or samples.

    Parameters
    ----------
    times : DataArray, Variable or anything
        What has an attribute ``units`` and no durations (timedelta64), which know their own.
    what : str
        What to call them in the error.

    Raises
    ------
    ValueError
        Says which unit.
    """
    if not isinstance(times, xr.DataArray | xr.Variable) or times.dtype.kind not in "iuf":
        return
    unit = times.attrs.get("units", "")
    if str(unit).strip().lower() not in _SECONDS:
        msg = f"{what}: in {str(unit)!r:.60} (attribute units): expected seconds"
        raise ValueError(msg)


def seconds(times: Any, what: str = "times") -> np.ndarray:
    """Times as seconds, whatever they are stored as.

    Parameters
    ----------
    times : array, Series, Index, DataArray, Variable or sequence
        Numbers are seconds; where an attribute ``units`` says otherwise they are refused. Durations (timedelta64, Timedelta) are converted by their unit;
        missing ones (NaT, NA, None) are NaN.
    what : str
        What to call them in an error.

    Returns
    -------
    (...) float64, s
        Of the shape of `times`.

    Raises
    ------
    ValueError
        If they are dates, whose zero on the session clock nobody said, or text, or in another unit.
    """
    check_seconds(times, what)
    labelled = isinstance(times, xr.DataArray | xr.Variable)
    values = np.asarray(times.values if labelled else times)
    if values.dtype.kind == "O":
        values = _unboxed(values, what)
    if values.dtype.kind == "M":
        msg = (
            f"{what}: dates (datetime64) are no seconds on the session clock; subtract the session's "
            "start, e.g. times - times[0], which gives durations"
        )
        raise ValueError(msg)
    if values.dtype.kind == "m":
        if np.datetime_data(values.dtype)[0] == "generic":
            msg = f"{what}: timedelta64 without a unit; give seconds, or a unit such as 'ms'"
            raise ValueError(msg)
        durations = values / np.timedelta64(1, "s")  # NaT becomes NaN
        return np.asarray(durations, np.float64)
    if values.dtype.kind not in "iufb":
        msg = f"{what}: expected seconds as numbers, found {values.dtype}"
        raise ValueError(msg)
    return np.asarray(values, np.float64)


def duration(value: Any, what: str, hint: str = "") -> float:
    """A positive, finite length of time in seconds.

    Parameters
    ----------
    value : number or duration
        Numbers are seconds.
    what : str
        What to call it in an error.
    hint : str
        Ends the message.

    Raises
    ------
    ValueError
        Says what was given, and that seconds are expected.
    """
    try:
        number = seconds(value, what)
    except (TypeError, ValueError):
        number = np.empty(0)
    if number.shape != () or not (np.isfinite(number) and number > 0):
        msg = f"{option(what, value)}: expected a positive number of seconds{hint}"
        raise ValueError(msg)
    return float(number)


def _unboxed(values: np.ndarray, what: str) -> np.ndarray:
    """Python objects as one dtype: float64, timedelta64 or datetime64; missing ones stay missing."""
    missing = np.asarray(pd.isna(values)).reshape(values.shape)
    known = values[~missing].tolist()
    if known and all(isinstance(v, datetime.timedelta | np.timedelta64) for v in known):
        durations = np.full(values.shape, "NaT", "m8[ns]")
        durations[~missing] = pd.to_timedelta(known).to_numpy("m8[ns]")
        return durations
    if any(isinstance(v, datetime.date | np.datetime64) for v in known):
        return np.empty(values.shape, "M8[ns]")
    if wrong := [v for v in known if not isinstance(v, int | float | np.number | np.bool_)]:
        msg = f"{what}: expected seconds as numbers, found {wrong[0]!r:.60}"
        raise ValueError(msg)
    numbers = np.full(values.shape, np.nan)
    numbers[~missing] = known
    return numbers


def plain_column(column: Any) -> np.ndarray:
    """A column of a table as numpy: numbers, bool, or text as objects with None where missing.

    Parameters
    ----------
    column : (n,) Series, Index, DataArray or array
        Values in any unit, also durations and the nullable and categorical dtypes of
        pandas.

    Returns
    -------
    (n,) array
        Durations in seconds; whole numbers and bool with missing ones as float64 with NaN;
        else in the unit given.
    """
    if isinstance(column, xr.DataArray | xr.Variable):
        raw = column.data
        column = raw if isinstance(raw, pd.api.extensions.ExtensionArray) else column.values
    if np.ndim(column) != 1:
        return np.asarray(column)
    series = pd.Series(column)
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = pd.Series(np.asarray(series, object)).infer_objects()
    kind = series.dtype
    if pd.api.types.is_bool_dtype(kind) or pd.api.types.is_numeric_dtype(kind):
        if series.isna().any():
            return np.asarray(series.to_numpy(np.float64, na_value=np.nan))
        return np.asarray(series.to_numpy(getattr(kind, "numpy_dtype", kind)))
    if kind.kind == "m":
        return seconds(series.to_numpy())
    if kind.kind != "O" and not pd.api.types.is_string_dtype(kind):
        return np.asarray(series.to_numpy())
    return _of_objects(np.asarray(series, object), np.asarray(series.isna()))


def _of_objects(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Python objects as numbers, bool or seconds where all are, else as text and None."""
    known = values[~missing].tolist()
    if known and all(isinstance(v, datetime.timedelta | np.timedelta64) for v in known):
        return seconds(values)
    if not known or not all(isinstance(v, int | float | np.number | np.bool_) for v in known):
        values = values.copy()
        values[missing] = None
        return values
    array: np.ndarray = np.asarray(pd.Series(known).infer_objects())
    if missing.any() or array.dtype.kind == "O":
        array = np.full(values.shape, np.nan)
        array[~missing] = known
    return array
