"""Clips in any order by index, pickled arrays left in their file, traces at the frames shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import outer, safety, zips
from neuroarrays.files.members import ArraySource
from neuroarrays.files.pickles import StoredArray, load_pickle
from neuroarrays.files.placed import Member
from neuroarrays.files.source import Key, Source, stamp
from neuroarrays.formats.retina.arrays import Derived, Held, pixels
from neuroarrays.lazy.arrays import LazyArray, cached, file_array


@dataclass(frozen=True, repr=False, eq=False)
class Clips(Derived):
    """Clips of a lazy array (time, ...) in another order; the last axis mirrored if asked."""

    order: np.ndarray
    length: int
    flip: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.order.size * self.length, *self.base.shape[1:])

    def outer(self, key: Key) -> np.ndarray:
        k, *rest = key
        picked = outer.positions(k)
        frames = self.order[picked // self.length] * self.length + picked % self.length
        if self.flip:
            x = rest[-1]
            last = self.base.shape[-1] - 1
            rest[-1] = last - x if isinstance(x, int) else last - outer.positions(x)
        values = self.base.outer((outer.compact(frames.astype(np.int64)), *rest))
        return values[0] if isinstance(k, int) else values


@dataclass(frozen=True)
class Pickled:
    """A pickle, in a file or in a zip; its large arrays stay there.

    Attributes
    ----------
    path, member : str
        The file; the pickle's name in it if it is a zip, else "".
    """

    path: str
    member: str = ""

    def load(self) -> Any:
        """What it holds; only plain values and arrays may be in it.

        Raises
        ------
        FormatError
            If it is damaged, or holds anything else.
        """
        if not self.member:
            return load_pickle(self.path, allowed=(), stored=True)
        data = zips.mapped(self.path, self._stamp(), self.member)
        return load_pickle(data, (), stored=True, where=self.member, path=self.path)

    def array(self, value: Any) -> LazyArray:
        """The lazy array of something that was loaded.

        Raises
        ------
        FormatError
            If it is no array of numbers.
        """
        if isinstance(value, np.ndarray) and value.dtype.kind in "iufb":
            return pixels(Held(np.array(value)))
        if not isinstance(value, StoredArray) or value.dtype.kind not in "iufb":
            found = (
                f"values of dtype {value.dtype}"
                if hasattr(value, "dtype")
                else type(value).__name__
            )
            raise FormatError(self.path, self.member, "an array of numbers", found)
        stored = Member(value.dtype, value.shape, value.fortran, value.offset)
        name = f"{self.member} at {value.offset}".strip()
        source = ArraySource(self.path, self._stamp(), name, stored, self.member)
        return pixels(file_array(source, name))

    def _stamp(self) -> tuple[int, ...]:
        return stamp(safety.regular_file(self.path))


@dataclass(frozen=True, repr=False, eq=False)
class Grid(LazyArray):
    """Times of the frames that followed each trigger, s: (trigger x frame,) float64.

    `frames` times from each trigger to `duration` later, both ends included.
    """

    triggers: np.ndarray
    duration: float
    frames: int

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.triggers.size * self.frames,)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype("f8")

    def outer(self, key: Key) -> np.ndarray:
        starts = self.triggers.astype(np.float64)
        each = [np.linspace(t, t + self.duration, self.frames) for t in starts]
        whole = np.concatenate(each) if each else np.empty(0)
        return np.asarray(whole[key[0]])


@dataclass(frozen=True, repr=False, eq=False)
class Upsampled(LazyArray):
    """Traces at the times of frames, each divided by its deviation: (time, unit) float64.

    Attributes
    ----------
    source : Source
        The file.
    traces : str
        Place of the traces (unit, sample).
    times : tuple of str
        Place of their times (unit, sample), or of the starts and steps (unit,), s.
    rows : (kept,) int array
        Units.
    grid : Grid
        Times of the frames.
    """

    source: Source
    traces: str
    times: tuple[str, ...]
    rows: np.ndarray
    grid: Grid

    @property
    def name(self) -> str:
        """Place of the traces."""
        return self.traces

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.grid.shape, self.rows.size)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype("f8")

    def outer(self, key: Key) -> np.ndarray:
        (whole,) = cached(self.__dask_tokenize__(), lambda: (self._whole(),))
        k, unit = key
        return np.array(whole[:, unit][k])

    def _whole(self) -> np.ndarray:
        at = self.grid.load()
        out = np.empty((at.size, self.rows.size))
        traces = self.source.read(self.traces, (self.rows, slice(None)))
        clocks = self._clocks(traces.shape[1])
        for i in range(self.rows.size):
            if clocks[i].size != traces.shape[1]:
                raise FormatError(
                    self.source.path,
                    self.times[0],
                    "a time for each sample",
                    f"{clocks[i].size} for {traces.shape[1]}",
                )
            one = np.interp(at, clocks[i], traces[i])
            deviation = np.std(one) if np.isfinite(one).all() else np.nanstd(one)
            out[:, i] = one / deviation if deviation else one
        return out

    def _clocks(self, samples: int) -> np.ndarray:
        if len(self.times) == 1:
            return self.source.read(self.times[0], (self.rows, slice(None)))
        starts, steps = (self.source.read(name)[self.rows] for name in self.times)
        clocks: np.ndarray = starts[:, None] + steps[:, None] * np.arange(samples)
        return clocks
