"""Lazy arrays that a function computes: from other arrays value by value, or from positions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import xarray as xr

from neuroarrays.files import outer
from neuroarrays.files.outer import Key
from neuroarrays.lazy.arrays import LazyArray, array_of
from neuroarrays.lazy.views import InMemory

#: How far a start may lie from a whole number of samples, in samples, and be one.
_TOLERANCE = 1e-9


@dataclass(frozen=True, repr=False, eq=False)
class Elementwise(LazyArray):
    """A function of arrays, value by value: another dtype, a factor, a difference.

    Attributes
    ----------
    function : callable
        ``function(*values, *arguments)``, of a module, so that it has a name and pickles.
    bases : tuple of LazyArray
        The arrays, of any shape and unit, as numpy broadcasts them: the first has all axes, others may have the last ones.
    dtype : np.dtype
        Of the result, which is cast to it.
    arguments : tuple
        What else the function is given.
    """

    function: Callable[..., Any]
    bases: tuple[LazyArray, ...]
    dtype: np.dtype
    arguments: tuple[Any, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.bases[0].shape

    def outer(self, key: Key) -> np.ndarray:
        values = (base.outer(key[len(key) - len(base.shape) :]) for base in self.bases)
        return np.asarray(self.function(*values, *self.arguments), self.dtype)


def as_dtype(array: LazyArray, dtype: np.dtype) -> LazyArray:
    """An array in another dtype."""
    return array if array.dtype == dtype else Elementwise(_unchanged, (array,), dtype)


def _unchanged(values: np.ndarray) -> np.ndarray:
    return values


@dataclass(frozen=True, repr=False, eq=False)
class Computed(LazyArray):
    """An array that a function computes from positions.

    Attributes
    ----------
    function : callable
        ``function(*positions, *arguments)``, of a module, so that it has a name and pickles. It is
        given (n,) int64 positions along each axis, and returns the values at all of their
        combinations, in the order of the axes.
    shape, dtype : tuple of int, np.dtype
        Of the array; the values are cast to it.
    arguments : tuple
        What else the function is given, and the values depend on.
    """

    function: Callable[..., np.ndarray]
    shape: tuple[int, ...]
    dtype: np.dtype
    arguments: tuple[Any, ...] = ()

    def outer(self, key: Key) -> np.ndarray:
        values = self.function(*map(outer.positions, key), *self.arguments)
        return np.asarray(values[outer.dropping_ints(key)], self.dtype)


def missing(shape: tuple[int, ...]) -> LazyArray:
    """Return an array of float32 NaN, for values that a file does not have."""
    return Computed(_nans, shape, np.dtype(np.float32))


def _nans(*indices: np.ndarray) -> np.ndarray:
    """Return NaN for the requested positions of each axis."""
    return np.full([positions.size for positions in indices], np.nan, np.float32)


def averaged(trials: LazyArray) -> LazyArray:
    """The mean over the first axis (trials), in the floating-point type of the array."""
    return Computed(_mean_of_trials, trials.shape[1:], trials.dtype, (trials,))


def _mean_of_trials(*arguments: Any) -> np.ndarray:
    *picked, trials = arguments
    every = outer.normalise((), trials.shape[:1])
    return np.asarray(trials.outer((*every, *map(outer.compact, picked))).mean(axis=0))


class FrameMaker(Protocol):
    """What makes the frames of a movie: a frozen dataclass, whose fields they depend on."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the movie, (frame, ...)."""

    @property
    def dtype(self) -> np.dtype:
        """Type of the values of the frames."""

    def frames_at(self, picked: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Frames at (n,) int64 positions, some at a time.

        Yields
        ------
        rows : (m,) int64
            Numbers of the entries of `picked` that they are.
        frames : (m, ...) array
            The frames.
        """


@dataclass(frozen=True, repr=False, eq=False)
class Movie(LazyArray):
    """Frames that are computed when they are indexed: rendered, decoded or drawn."""

    maker: FrameMaker

    @property
    def shape(self) -> tuple[int, ...]:
        return self.maker.shape

    @property
    def dtype(self) -> np.dtype:
        return self.maker.dtype

    def outer(self, key: Key) -> np.ndarray:
        picked = outer.positions(key[0])
        each = outer.result_shape(key[1:], self.shape[1:])
        out = np.empty((picked.size, *each), self.dtype)
        for rows, frames in self.maker.frames_at(picked):
            out[rows] = outer.take_after(frames, key[1:], 1)
        return out[0] if isinstance(key[0], int) else out


@dataclass(frozen=True, repr=False, eq=False)
class RegularClock(LazyArray):
    """The times of samples at a regular rate, (sample,) float64, s.

    Sample k is at ``(first + k) / rate`` where the start is a whole number `first` of samples, so
    that recordings on one clock agree to the bit; else at ``start + k / rate``.

    Attributes
    ----------
    start : float, s
        Time of the first sample.
    rate : float, 1/s
        Samples per second.
    length : int
        Number of samples.
    """

    start: float
    rate: float
    length: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.length,)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype("f8")

    def outer(self, key: Key) -> np.ndarray:
        samples = outer.positions(key[0])
        first = np.rint(self.start * self.rate)
        if abs(self.start * self.rate - first) <= _TOLERANCE:
            times = (first + samples) / self.rate
        else:
            times = self.start + samples / self.rate
        return np.asarray(times[outer.dropping_ints(key)])


@dataclass(frozen=True, repr=False, eq=False)
class OfVariable(LazyArray):
    """The values of an xarray variable that is a dask array, or lazy in some other way."""

    stored: xr.Variable

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stored.shape

    @property
    def dtype(self) -> np.dtype:
        dtype: np.dtype = self.stored.dtype
        return dtype

    def outer(self, key: Key) -> np.ndarray:
        part = self.stored[key]
        if part.chunks is not None:  # a graph inside a task waits for its own worker elsewhere
            return np.asarray(part.data.compute(scheduler="synchronous"))
        return np.asarray(part.values)


def as_lazy(variable: xr.Variable) -> LazyArray:
    """The values of any variable as a lazy array: nothing is read."""
    data = array_of(variable)
    if isinstance(data, LazyArray):
        return data
    return InMemory(data) if isinstance(data, np.ndarray) else OfVariable(variable)
