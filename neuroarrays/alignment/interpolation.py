"""A series at other times: lazy, with gaps and ends kept as gaps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.errors import SchemaError
from neuroarrays.files import outer
from neuroarrays.files.outer import Key
from neuroarrays.lazy.arrays import LazyArray, array_of, cached, wrap
from neuroarrays.schema import given
from neuroarrays.tree.columns import duration, seconds

METHODS = ("linear", "previous", "nearest")


@dataclass(frozen=True, repr=False, eq=False)
class Interpolated(LazyArray):
    """A series at given times: (times,) or (origins, offsets), then the series' other axes.

    The series is read once per process when the first value is asked for. With a `bin_width`, times
    are centres of bins, and lie where those of the session's clock do.
    """

    values: Any
    clock: Any
    origins: np.ndarray | None
    offsets: np.ndarray
    method: str
    max_gap: float
    period: float | None
    rest: tuple[int, ...]
    dtype: np.dtype
    shifts: np.ndarray | None = None
    bin_width: float | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        rows = () if self.origins is None else (self.origins.size,)
        return (*rows, self.offsets.size, *self.rest)

    def outer(self, key: Key) -> np.ndarray:
        from neuroarrays.kernels import grid, resample

        times, values = cached(self._series(), self._load)
        n_time = 1 if self.origins is None else 2
        picked = [np.atleast_1d(axis[k]) for axis, k in zip(self._axes(), key, strict=False)]
        at = picked[0] if n_time == 1 else picked[0][:, None] + picked[1]
        if self.bin_width is not None:
            at = grid.on_grid(at, self.bin_width / 2)
        columns = values.reshape(values.shape[0], math.prod(self.rest))
        if self.shifts is None:
            sampled = resample.interpolate(times, columns, at.ravel(), self.method, self.max_gap)
        else:
            late = [at.ravel() - shift for shift in self.shifts]
            each = [
                resample.interpolate(times, column, when, self.method, self.max_gap)
                for column, when in zip(columns.T, late, strict=True)
            ]
            sampled = np.stack(each, axis=1)
        if self.period is not None:
            sampled = sampled % self.period
        full = sampled.reshape(*at.shape, *self.rest).astype(self.dtype, copy=False)
        return outer.take(full, (*outer.left(key[:n_time]), *key[n_time:]))

    def _series(self) -> tuple[Any, ...]:
        """What the series depends on, as it is read and prepared for any times."""
        from dask.base import normalize_token

        tokens = (normalize_token(self.values), normalize_token(self.clock))
        return ("series", *tokens, self.period, self.method)

    def _axes(self) -> tuple[np.ndarray, ...]:
        return (self.offsets,) if self.origins is None else (self.origins, self.offsets)

    def _load(self) -> tuple[np.ndarray, np.ndarray]:
        """The series in order of time; an angle unwound, so that it does not jump at a full turn."""
        times, values = np.asarray(_all(self.clock), float), np.asarray(_all(self.values))
        if values.dtype.kind != "f":
            values = values.astype(float)
        timed = np.isfinite(times)
        if not timed.all():  # a sample of which the time is not known is at no time
            times, values = times[timed], values[timed]
        order = np.argsort(times, kind="stable") if (np.diff(times) < 0).any() else slice(None)
        times, values = times[order], values[order]
        if self.period is not None:
            values = np.array(values, float)
            flat = values.reshape(values.shape[0], math.prod(self.rest))
            for column in flat.T:
                known = np.isfinite(column)
                column[known] = np.unwrap(column[known], period=self.period)
        return times, values


def _all(data: Any) -> np.ndarray:
    return data.load() if isinstance(data, LazyArray) else np.asarray(data)


def interpolate(
    series: xr.DataArray | xr.Dataset | xr.DataTree,
    times: Any,
    method: str = "linear",
    max_gap: float | None = None,
) -> Any:
    """A series at other times: NaN outside the data and in gaps, NaN samples skipped.

    Parameters
    ----------
    series : (time, ...) DataArray, Dataset or DataTree node
        In any unit, along a coordinate `time` in seconds.
    times : (n,) array or DataArray, s
        Where to have it, session clock; labels of a DataArray are kept.
    method : {"linear", "previous", "nearest"}
        "previous" is causal: the last sample at or before each time. An angle (a `period`
        attribute, such as 2 pi) is interpolated along the shorter arc.
    max_gap : float, s, optional
        Between two good samples further apart than this, the result is NaN.

    Returns
    -------
    (n, ...) DataArray or Dataset
        The same variables in the same units, along the new `time` (s); lazy.

    Raises
    ------
    ValueError
        On an unknown method or a negative `max_gap`.
    SchemaError
        If the series has no `time` coordinate.

    Notes
    -----
    At a duplicated time stamp the last of its samples counts; a sample whose time stamp is NaN is
    left out. Times out of order are sorted. A
    series with a coordinate `phase_shift` (s) along its columns is sampled that much later than
    `time` says, each column for itself.
    """
    check_method(method)
    max_gap = check_gap(max_gap)
    if isinstance(series, xr.DataTree):
        series = series.to_dataset()
    wanted = "expected a series along time, such as tree['session/running']"
    given.check(series, xr.DataArray | xr.Dataset, wanted)
    if isinstance(series, xr.DataArray):
        if series.dims[:1] != (schema.TIME,):
            msg = (
                f"expected a series whose first dimension is time, found {given.described(series)}"
            )
            raise SchemaError(msg)
        named = series.to_dataset(name="_series")
        return interpolate(named, times, method, max_gap)["_series"].rename(series.name)
    at = seconds(times)
    if at.ndim != 1:
        msg = f"times has shape {at.shape}: expected one dimension"
        raise ValueError(msg)
    labels = times.coords if isinstance(times, xr.DataArray) else {}
    dim = str(times.dims[0]) if isinstance(times, xr.DataArray) else schema.TIME
    variables = series_at(series, None, at, method, max_gap, (dim,))
    coords = {name: coord.variable for name, coord in dict(labels).items()}
    coords.setdefault(dim, xr.Variable(dim, at, {"units": "s"}))
    return xr.Dataset(variables, coords | _other_coords(series), attrs=series.attrs)


def check_method(method: str) -> None:
    """Refuse a method that is none."""
    if method not in METHODS:
        msg = f"method={method!r}: expected one of {', '.join(map(repr, METHODS))}"
        raise ValueError(msg)


def check_gap(max_gap: float | None) -> float | None:
    """The longest gap that is bridged, s; None for any.

    Raises
    ------
    ValueError
        If it is no positive number of seconds, nor such a duration.
    """
    return None if max_gap is None or max_gap == np.inf else duration(max_gap, "max_gap")


def _other_coords(series: xr.Dataset) -> dict[Any, xr.Variable]:
    return {k: c.variable for k, c in series.coords.items() if schema.TIME not in c.dims}


def _shifts(series: xr.Dataset, dims: tuple[Any, ...]) -> np.ndarray | None:
    """How much later than `time` each column is sampled, s, where the series says so."""
    if schema.SHIFT not in series.coords or series[schema.SHIFT].dims != dims[1:]:
        return None
    shifts: np.ndarray = seconds(series[schema.SHIFT], schema.SHIFT)
    return shifts


def series_at(
    series: xr.Dataset,
    origins: np.ndarray | None,
    offsets: np.ndarray,
    method: str,
    max_gap: float | None,
    dims: tuple[str, ...],
    bin_width: float | None = None,
) -> dict[Any, xr.Variable]:
    """The numeric variables of a series at other times, lazily.

    Parameters
    ----------
    series : Dataset
        Variables ``(time, ...)`` in any unit along `time`, seconds of the session clock.
    origins : (presentation,) float64, s, optional
        Session clock; times are each of them plus each offset.
    offsets : (n,) float64, s
        From the origins, or on the session clock without.
    method, max_gap
        As for `interpolate`.
    dims : tuple of str
        Names of the new dimensions, as many as there are of origins and offsets.
    bin_width : float, s, optional
        The times are centres of such bins: those of the session's clock are taken exactly.

    Returns
    -------
    dict of str to lazy variable
        Along `dims`, then the other dimensions of the series, in its unit.

    Raises
    ------
    SchemaError
        If the series has no `time` coordinate.
    """
    if schema.TIME not in series.variables:
        msg = f"no `time` coordinate; expected a series along time, found {dict(series.sizes)}"
        raise SchemaError(msg)
    times = series.variables[schema.TIME]
    clock = array_of(times)
    if not isinstance(clock, LazyArray):
        clock = seconds(times.values, "the series' clock")
    variables = {}
    for name, raw in series.variables.items():
        along = raw.dims[:1] == (schema.TIME,) and raw.dtype.kind in "iufb"
        if name in series.coords or not along:
            continue
        data = array_of(raw)
        lazy = Interpolated(
            values=data if isinstance(data, LazyArray | np.ndarray) else raw,
            clock=clock,
            origins=origins,
            offsets=offsets,
            method=method,
            max_gap=np.inf if max_gap is None else float(max_gap),
            period=raw.attrs.get("period") if method == "linear" else None,
            rest=raw.shape[1:],
            dtype=raw.dtype if raw.dtype.kind == "f" else np.dtype("f8"),
            shifts=_shifts(series, raw.dims),
            bin_width=bin_width,
        )
        variables[name] = xr.Variable((*dims, *raw.dims[1:]), wrap(lazy), raw.attrs)
    return variables
