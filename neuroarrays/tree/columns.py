"""Convert times and table columns from users to plain numpy: seconds, numbers, text."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neuroarrays.errors import option

#: The units that a clock in seconds may state. A clock without a unit is in seconds.
_SECONDS = ("", "s", "sec", "secs", "second", "seconds")
#: The largest whole number up to which float64 holds all whole numbers exactly.
_EXACT = float(1 << 53)


def check_seconds(times: Any, what: str) -> None:
    """Refuse times that state a unit other than seconds, such as ms or samples.

    Parameters
    ----------
    times : DataArray, Variable or anything
        Times. Durations (timedelta64) have a unit of their own and are always accepted.
    what : str
        The name of the times in the error.

    Raises
    ------
    ValueError
        If they state another unit; the message names it.
    """
    if not isinstance(times, xr.DataArray | xr.Variable) or times.dtype.kind not in "iuf":
        return
    unit = times.attrs.get("units", "")
    if str(unit).strip().lower() not in _SECONDS:
        msg = f"{what}: its unit is {str(unit)!r:.60} (attribute units); expected seconds"
        raise ValueError(msg)


def seconds(times: Any, what: str = "times") -> np.ndarray:
    """Convert times of any type to seconds.

    Parameters
    ----------
    times : array, Series, Index, DataArray, Variable or sequence
        Numbers are seconds; they are refused if an attribute ``units`` says otherwise. Durations
        (timedelta64, Timedelta) are converted. Missing ones (NaT, NA, None, masked) become NaN.
    what : str
        The name of the times in an error.

    Returns
    -------
    (...) float64, s
        The times in seconds, in the shape of `times`.

    Raises
    ------
    ValueError
        If they are dates (nothing tells which date is 0 on the session clock), text, or in another
        unit.
    """
    check_seconds(times, what)
    labelled = isinstance(times, xr.DataArray | xr.Variable)
    values = np.asarray(times.values if labelled else times)
    if isinstance(times, np.ma.MaskedArray):
        values = _unmasked(times)
    if values.dtype.kind == "O":
        values = _unboxed(values, what)
    if values.dtype.kind == "M":
        msg = (
            f"{what}: found dates (datetime64), expected seconds on the session clock; subtract "
            "the start of the session, for example times - times[0], which gives durations"
        )
        raise ValueError(msg)
    if values.dtype.kind == "m":
        if np.datetime_data(values.dtype)[0] == "generic":
            msg = f"{what}: found timedelta64 without a unit; give seconds, or a unit such as 'ms'"
            raise ValueError(msg)
        durations = values / np.timedelta64(1, "s")  # NaT becomes NaN
        return np.asarray(durations, np.float64)
    if values.dtype.kind not in "iuf":  # True and False are no times: of a mask, take its rows
        msg = f"{what}: expected seconds as numbers, found {values.dtype}"
        raise ValueError(msg)
    return np.asarray(values, np.float64)


def duration(value: Any, what: str, hint: str = "") -> float:
    """Check a length of time, and convert it to seconds.

    Parameters
    ----------
    value : number or duration
        A positive, finite length of time; numbers are seconds.
    what : str
        The name of the value in an error.
    hint : str
        The end of the message.

    Raises
    ------
    ValueError
        If it is not positive and finite; the message tells what was given.
    """
    try:
        number = seconds(value, what)
    except (TypeError, ValueError):
        number = np.empty(0)
    if number.shape != () or not (np.isfinite(number) and number > 0):
        msg = f"{option(what, value)}: expected a positive number of seconds{hint}"
        raise ValueError(msg)
    return float(number)


def _unmasked(times: Any) -> np.ndarray:
    """Convert a masked array to numpy; masked values become NaN or NaT."""
    values = np.array(times.data, float if times.dtype.kind in "iub" else None)
    values[np.ma.getmaskarray(times)] = "NaT" if values.dtype.kind in "mM" else np.nan
    return values


def _unboxed(values: np.ndarray, what: str) -> np.ndarray:
    """Convert Python objects to float64, timedelta64 or datetime64; missing values stay missing."""
    missing = np.asarray(pd.isna(values)).reshape(values.shape)
    known = values[~missing].tolist()
    if _are_durations(known):
        durations = np.full(values.shape, "NaT", "m8[ns]")
        durations[~missing] = pd.to_timedelta(known).to_numpy("m8[ns]")
        return durations
    if any(isinstance(v, datetime.date | np.datetime64) for v in known):
        return np.empty(values.shape, "M8[ns]")
    numbers_only = int | float | np.number
    if wrong := [v for v in known if isinstance(v, bool) or not isinstance(v, numbers_only)]:
        msg = f"{what}: expected seconds as numbers, found {wrong[0]!r:.60}"
        raise ValueError(msg)
    numbers = np.full(values.shape, np.nan)
    numbers[~missing] = known
    return numbers


def _are_durations(values: list[Any]) -> bool:
    """Whether there are values, and all are durations."""
    return bool(values) and all(isinstance(v, datetime.timedelta | np.timedelta64) for v in values)


def plain_column(column: Any) -> np.ndarray:
    """Convert a column of a table to numpy: numbers, bool, or text (objects, None where missing).

    Parameters
    ----------
    column : (n,) Series, Index, DataArray or array
        Values in any unit. Durations and the nullable and categorical dtypes of pandas are
        accepted.

    Returns
    -------
    (n,) array
        Durations become seconds. Whole numbers and bool with missing values become float64 with
        NaN, or text where float64 does not hold the numbers exactly. Values of any other type keep their unit.
    """
    if isinstance(column, xr.DataArray | xr.Variable):
        data = column.data
        column = data if isinstance(data, pd.api.extensions.ExtensionArray) else column.values
    if np.ndim(column) != 1:
        return np.asarray(column)
    series = pd.Series(column)
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = pd.Series(np.asarray(series, object)).infer_objects()
    if isinstance(series.dtype, pd.SparseDtype):
        series = series.sparse.to_dense()
    dtype = series.dtype
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_numeric_dtype(dtype):
        if series.isna().any():
            numbers = np.asarray(series.to_numpy(np.float64, na_value=np.nan))
            if pd.api.types.is_integer_dtype(dtype) and (np.abs(numbers) >= _EXACT).any():
                return _as_text(series)
            return numbers
        return np.asarray(series.to_numpy(getattr(dtype, "numpy_dtype", dtype)))
    if dtype.kind == "m":
        return seconds(series.to_numpy())
    if dtype.kind != "O" and not pd.api.types.is_string_dtype(dtype):
        return np.asarray(series.to_numpy())
    return _from_objects(np.asarray(series, object), np.asarray(series.isna()))


def _as_text(series: pd.Series) -> np.ndarray:
    """Return whole numbers as text, (n,) object, with None where one is missing."""
    texts = np.empty(len(series), object)
    texts[:] = [None if value is pd.NA else str(value) for value in series.astype(object)]
    return texts


def _from_objects(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Convert Python objects to numbers, bool or seconds if all are that, else to text and None."""
    known = values[~missing].tolist()
    if _are_durations(known):
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
