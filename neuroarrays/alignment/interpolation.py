"""Interpolate a series at other times, or reduce it to bins, lazily; NaN in gaps and outside."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.samples import Samples
from neuroarrays.errors import SchemaError, warn
from neuroarrays.files import outer
from neuroarrays.files.outer import Key
from neuroarrays.lazy.arrays import LazyArray, array_of, wrap
from neuroarrays.lazy.indexes import dataset
from neuroarrays.schema import given
from neuroarrays.tree.columns import check_seconds, duration, seconds

#: Methods between samples, and methods that reduce the samples in a bin.
POINTS = ("linear", "previous", "nearest")
REDUCTIONS = ("mean", "max", "sum", "any")
METHODS = (*POINTS, *REDUCTIONS)
#: Kinds of dtypes that are numbers.
_NUMBERS = "iufb"
#: Attribute of values in bins, as in the CF conventions.
CELL_METHODS = "cell_methods"
#: Attribute of interpolated values: the longest gap that is interpolated over, s.
MAX_GAP = "max_gap"
#: Bins are wider than the sampling interval if they are wider by more than rounding.
_WIDER = 1 + 1e-6


@dataclass(frozen=True, repr=False, eq=False)
class Interpolated(LazyArray):
    """A series at given times: (times,) or (origins, offsets), then the other axes of the series.

    A small series is read once per process, when its first value is needed. Of a large series only
    the samples around the indexed times are read. With a `bin_width`, times are centres of bins on
    the grid of the session clock.
    """

    samples: Samples
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
        from neuroarrays.kernels import grid

        n_time = 1 if self.origins is None else 2
        picked = [np.atleast_1d(axis[k]) for axis, k in zip(self._axes(), key, strict=False)]
        at = picked[0] if n_time == 1 else picked[0][:, None] + picked[1]
        shape = at.shape
        at = np.ascontiguousarray(at.ravel(), float)
        if self.method in REDUCTIONS:
            sampled = self._in_bins(at)
        else:
            sampled = self._at(
                at if self.bin_width is None else grid.on_grid(at, self.bin_width / 2)
            )
        full = sampled.reshape(*shape, *self.rest).astype(self.dtype, copy=False)
        return outer.take(full, (*outer.dropping_ints(key[:n_time]), *key[n_time:]))

    def _at(self, at: np.ndarray) -> np.ndarray:
        """Values at times (time,), s: (time, column)."""
        from neuroarrays.kernels import resample

        when = self._of_columns(at)
        number = self.samples.n_columns

        def evaluate(prepared: resample.Prepared, rows: Any) -> np.ndarray:
            options = (self.method, self.max_gap, self.period)
            return resample.evaluate(prepared, number, when[rows], *options)

        return self.samples.evaluate(when, when, evaluate)

    def _in_bins(self, at: np.ndarray) -> np.ndarray:
        """Values (time, column) of the bins around times (time,) in s, reduced by `method`."""
        from neuroarrays.kernels import bin_values, grid, resample

        assert self.bin_width is not None, "checked where the array is made"
        width = self.bin_width
        left, right = (self._of_columns(edges) for edges in grid.edges_around(at, width))
        number = self.samples.n_columns
        step = self.samples.step if np.isfinite(self.samples.step) else width
        hole = self.samples.longest_step if np.isfinite(self.samples.longest_step) else None

        def evaluate(prepared: resample.Prepared, rows: Any) -> np.ndarray:
            edges = (left[rows], right[rows])
            options = (self.method, step, self.max_gap, self.period, hole)
            return bin_values.bin_values(prepared, number, edges, *options)

        return self.samples.evaluate(left, right, evaluate)

    def _of_columns(self, times: np.ndarray) -> np.ndarray:
        """Times at which each column is evaluated, (time, column), if they differ."""
        return times if self.shifts is None else times[:, None] - self.shifts

    def _axes(self) -> tuple[np.ndarray, ...]:
        return (self.offsets,) if self.origins is None else (self.origins, self.offsets)


def interpolate(
    series: xr.DataArray | xr.Dataset | xr.DataTree,
    times: Any,
    method: str = "linear",
    max_gap: float | None = None,
) -> Any:
    """Interpolate a signal at other times, or reduce it to bins; NaN in gaps and outside the data.

    Parameters
    ----------
    series : (time, ...) DataArray, Dataset or DataTree node
        A signal in any unit along a coordinate `time` in seconds. Samples that are NaN are skipped.
    times : (n,) array or DataArray, s
        New times on the session clock; labels of a DataArray are kept.
    method : {"linear", "previous", "nearest", "mean", "max", "sum", "any"}
        "linear" interpolates; an angle (attribute `period`, such as 2 pi) along the shorter arc.
        "previous" is causal: it takes the last sample at or before each time. "mean", "max", "sum"
        and "any" reduce the samples in bins around the times (see Notes). The width of the bins is
        the attribute `bin_width` of `times`, which the clock of an aligned area has.
    max_gap : float, s, optional
        Between two good samples that are further apart than this, the result is NaN. The default is
        2.5 sampling intervals of a regular clock (one lost sample is interpolated over, two are
        not), and 10 usual steps of an irregular clock. The result has it as its attribute
        `max_gap`. With `numpy.inf` any gap is interpolated over.

    Returns
    -------
    (n, ...) DataArray or Dataset
        The same variables in the same units along the new `time` (s), lazy.

    Raises
    ------
    ValueError
        If the method is unknown, `max_gap` is negative, or the method needs bins and `times` has no
        attribute `bin_width`.
    SchemaError
        If the series has no `time` coordinate, or no numbers.

    Warns
    -----
    UserWarning
        If some variables of the series are no numbers; they are left out.

    Notes
    -----
    "mean": each sample represents an interval around its time. The interval goes from halfway to
    the sample before, to halfway to the sample after; toward a gap or an end of the data it extends
    half a usual step. The value of a bin is the mean of the samples, each weighted by the part of
    its interval that is in the bin; for an angle it is the circular mean. A bin that no such
    interval overlaps is interpolated linearly, if the gap is not longer than `max_gap`.

    "max", "sum" and "any" (1 if any sample is not 0) use the samples at ``left <= t < right``. If
    there is none, the result is NaN, except that a sum between the first and last sample is 0.

    If a time stamp occurs twice, its last sample is used. A sample whose time stamp is NaN is left
    out. Times that are not in order are sorted. If a series has a coordinate `phase_shift` (s)
    along its columns, each column was sampled that much later than `time`.

    Examples
    --------
    >>> import neuroarrays as na
    >>> tree = na.load_sample()
    >>> na.interpolate(tree["A2929-200711/position/x"], [700.0, 700.5]).values.round(3)
    array([0.247, 0.25 ])
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
        if series.dtype.kind not in _NUMBERS:
            msg = f"only numbers are interpolated, found {series.name!r} of dtype {series.dtype}"
            raise SchemaError(msg)
        named = series.to_dataset(name="_series")
        return interpolate(named, times, method, max_gap)["_series"].rename(series.name)
    at = seconds(times)
    if at.ndim != 1:
        msg = f"times has shape {at.shape}: expected one dimension"
        raise ValueError(msg)
    if others := without_numbers(series):
        kinds = ", ".join(f"{name!r} of dtype {series[name].dtype}" for name in others)
        msg = f"only numbers are interpolated, found {kinds}"
        if len(others) == len(series.data_vars):
            raise SchemaError(msg)
        warn(f"{msg}: left out")
    labels = times.coords if isinstance(times, xr.DataArray) else {}
    dim = str(times.dims[0]) if isinstance(times, xr.DataArray) else schema.TIME
    width = _bin_width(times) if method in REDUCTIONS else None
    variables = series_at(series, None, at, method, max_gap, (dim,), width)
    coords = {name: coord.variable for name, coord in dict(labels).items()}
    coords.setdefault(dim, xr.Variable(dim, at, {"units": "s"}))
    return dataset(variables, coords | other_coords(series), series.attrs)


def _bin_width(times: Any) -> float:
    """The width in s of the bins whose centres are given."""
    width = times.attrs.get("bin_width") if isinstance(times, xr.DataArray) else None
    if width is None:
        msg = (
            "times: expected a DataArray with the attribute bin_width (s), such as the `time` "
            "of an "
            f"aligned area, because the methods {', '.join(REDUCTIONS)} need bins"
        )
        raise ValueError(msg)
    return duration(width, "bin_width of times")


def check_method(method: str) -> None:
    """Refuse an unknown method."""
    if method not in METHODS:
        msg = f"method={method!r}: expected one of {', '.join(map(repr, METHODS))}"
        raise ValueError(msg)


def check_gap(max_gap: float | None) -> float | None:
    """The longest gap to interpolate over, s; None for the default of the clock, infinite for any.

    Raises
    ------
    ValueError
        If it is not a positive number of seconds or a positive duration.
    """
    return max_gap if max_gap is None or max_gap == np.inf else duration(max_gap, "max_gap")


def other_coords(series: xr.Dataset) -> dict[Any, xr.Variable]:
    """The coordinates of a series that are not along its time, such as those of channels."""
    return {k: c.variable for k, c in series.coords.items() if schema.TIME not in c.dims}


def without_numbers(series: xr.Dataset) -> list[Any]:
    """The variables along the time of a series that are no numbers, such as text; by name."""
    return [
        name
        for name, variable in series.variables.items()
        if name not in series.coords
        and variable.dims[:1] == (schema.TIME,)
        and variable.dtype.kind not in _NUMBERS
    ]


def _shifts(series: xr.Dataset, dims: tuple[Any, ...]) -> np.ndarray | None:
    """How much later than `time` each column was sampled, s, if the series has this coordinate."""
    if schema.SHIFT not in series.coords or series[schema.SHIFT].dims != dims[1:]:
        return None
    shifts: np.ndarray = seconds(series[schema.SHIFT], schema.SHIFT)
    return shifts


def series_at(
    series: xr.Dataset,
    origins: np.ndarray | None,
    offsets: np.ndarray,
    method: str | None,
    max_gap: float | None,
    dims: tuple[str, ...],
    bin_width: float | None = None,
) -> dict[Any, xr.Variable]:
    """Interpolate or reduce the numeric variables of a series, lazily.

    Parameters
    ----------
    series : Dataset
        Variables ``(time, ...)`` in any unit along `time`, seconds of the session clock.
    origins : (presentation,) float64, s, optional
        Origins on the session clock; the new times are each origin plus each offset.
    offsets : (n,) float64, s
        Offsets from the origins, or times on the session clock if there are no origins.
    method : str, optional
        A method of `interpolate` (default: "mean" if bins are wider than the sampling interval, else
        "linear").
    max_gap : float, s, optional
        Longest gap to interpolate over, as for `interpolate`.
    dims : tuple of str
        Names of the new dimensions, of origins and offsets.
    bin_width : float, s, optional
        Width of the bins whose centres are the times; their edges are those of the grid of the
        session clock.

    Returns
    -------
    dict of str to lazy variable
        Variables along `dims`, then the other dimensions of the series, in its unit. With bins, the
        attribute ``cell_methods`` is "time: mean", ..., or "time: point" for interpolated values.

    Raises
    ------
    SchemaError
        If the series has no `time` coordinate.
    """
    if schema.TIME not in series.variables:
        msg = f"no `time` coordinate; expected a series along time, found {dict(series.sizes)}"
        raise SchemaError(msg)
    times = series.variables[schema.TIME]
    check_seconds(times, "the series' clock")
    clock = array_of(times)
    if not isinstance(clock, LazyArray):
        clock = seconds(times, "the series' clock")
    variables = {}
    for name, raw in series.variables.items():
        along = raw.dims[:1] == (schema.TIME,) and raw.dtype.kind in _NUMBERS
        if name in series.coords or not along:
            continue
        data = array_of(raw)
        shifts = _shifts(series, raw.dims)
        samples = Samples(
            values=data if isinstance(data, LazyArray | np.ndarray) else raw,
            clock=clock,
            shifted=shifts is not None,
            every=method in REDUCTIONS and method != "mean",
        )
        method_used = method or _by_width(samples, bin_width)
        gap = samples.longest_bridge if max_gap is None else float(max_gap)
        lazy = Interpolated(
            samples=samples,
            origins=origins,
            offsets=offsets,
            method=method_used,
            max_gap=gap,
            period=raw.attrs.get("period") if method_used in ("linear", "mean") else None,
            rest=raw.shape[1:],
            dtype=raw.dtype if raw.dtype.kind == "f" else np.dtype("f8"),
            shifts=shifts,
            bin_width=bin_width,
        )
        attrs = dict(raw.attrs) | ({MAX_GAP: gap} if gap < np.inf else {})
        if bin_width is not None:
            attrs[CELL_METHODS] = f"time: {'point' if method_used in POINTS else method_used}"
        variables[name] = xr.Variable((*dims, *raw.dims[1:]), wrap(lazy), attrs)
    return variables


def _by_width(samples: Samples, bin_width: float | None) -> str:
    """The default method of a series: "mean" if bins are wider than its step, else "linear"."""
    wider = bin_width is not None and bin_width > samples.step * _WIDER
    return "mean" if wider else "linear"


def methods_used(groups: Iterable[xr.Dataset]) -> str:
    """Describe how the series of nodes became bins: ``mean of each bin: pupil, speed; ...``."""
    names: dict[str, dict[str, None]] = {}
    for node in groups:
        for name, variable in node.variables.items():
            if done := variable.attrs.get(CELL_METHODS):
                names.setdefault(str(done).removeprefix("time: "), {})[str(name)] = None
    words = {"point": "at the middle of each bin"}
    return "; ".join(
        f"{words.get(done, f'{done} of each bin')}: {', '.join(sorted(of))}"
        for done, of in sorted(names.items())
    )
