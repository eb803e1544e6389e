"""Clips of a movie in any order, pickled arrays that stay in their file, and upsampled traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import zips
from neuroarrays.files.location import Location, Stamp
from neuroarrays.files.members import ArraySource
from neuroarrays.files.pickles import StoredArray, load_pickle
from neuroarrays.files.placed import Member
from neuroarrays.formats.retina.arrays import pixels
from neuroarrays.lazy.arrays import FileArray, LazyArray, cached, exact_token, file_array
from neuroarrays.lazy.computed import Computed
from neuroarrays.lazy.views import Blocks, Folded, InMemory, Taken


def clips(array: LazyArray, order: np.ndarray, length: int, flip: bool = False) -> LazyArray:
    """Return clips of an array (time, ...) one after another, with the last axis mirrored if wanted.

    Parameters
    ----------
    array : (clip x time, ...) LazyArray
        All clips, one after another, in any unit.
    order : (n,) int64
        Numbers of the clips, in the order of the result.
    length : int
        Number of frames of a clip.
    flip : bool
        Whether to mirror the last axis.
    """
    ordered = Folded(Taken(Blocks(array, length), np.asarray(order, np.int64)))
    if not flip:
        return ordered
    return Taken(ordered, range(array.shape[-1])[::-1], len(array.shape) - 1)


@dataclass(frozen=True)
class Pickled:
    """A pickle in a file or in a zip, whose large arrays stay there.

    Attributes
    ----------
    location : Location
        Location of the file.
    stamp : tuple of int
        Stamp of the file, which differs for another content.
    member : str
        Name of the pickle in the file if the file is a zip, else "".
    """

    location: Location
    stamp: Stamp
    member: str = ""

    @property
    def path(self) -> str:
        """The file, for messages."""
        return self.location.path

    def load(self) -> Any:
        """Read the pickle; only plain values and arrays may be in it.

        Raises
        ------
        FormatError
            If it is damaged, or holds anything else.
        """
        if not self.member:
            return load_pickle(self.location, allowed=(), stored=True)
        data = zips.mapped(self.location, self.stamp, self.member)
        return load_pickle(data, (), stored=True, where=self.member, path=self.path)

    def array(self, value: Any) -> LazyArray:
        """Return the lazy array of a loaded value.

        Raises
        ------
        FormatError
            If it is no array of numbers.
        """
        if isinstance(value, np.ndarray) and value.dtype.kind in "iufb":
            return pixels(InMemory(np.array(value)))
        if not isinstance(value, StoredArray) or value.dtype.kind not in "iufb":
            problem = (
                f"values of dtype {value.dtype}"
                if hasattr(value, "dtype")
                else type(value).__name__
            )
            raise FormatError(self.path, self.member, "an array of numbers", problem)
        stored = Member(value.dtype, value.shape, value.fortran, value.offset)
        name = f"{self.member} at {value.offset}".strip()
        source = ArraySource(self.location, self.stamp, name, stored, self.member)
        return pixels(file_array(source, name))


def frame_times(triggers: np.ndarray, duration: float, frames: int) -> LazyArray:
    """Return times of the frames after each trigger, (trigger x frame,) float64 in s.

    `frames` times from each trigger to `duration` later, both ends included.
    """
    at = triggers.astype(np.float64)
    shape = (at.size * frames,)
    return Computed(_frame_times, shape, np.dtype("f8"), (at, duration, frames))


def _frame_times(
    wanted: np.ndarray, triggers: np.ndarray, duration: float, frames: int
) -> np.ndarray:
    """Compute frame times exactly as `numpy.linspace` does."""
    start: np.ndarray = triggers[wanted // frames]
    stop, number = start + duration, wanted % frames
    step = (stop - start) / max(frames - 1, 1)
    times: np.ndarray = np.where((number == frames - 1) & (number > 0), stop, number * step + start)
    return times


def upsampled(
    traces: FileArray, clocks: tuple[FileArray, ...], rows: np.ndarray, times: LazyArray
) -> LazyArray:
    """Return traces at the times of frames, divided by their standard deviations: (time, unit) float64.

    Parameters
    ----------
    traces : (unit, sample) FileArray
        Traces as the file has them, in any unit.
    clocks : tuple of FileArray
        The times of the samples (unit, sample), or start and step for each unit (unit,); in s.
    rows : (kept,) int64
        Rows of the units to return.
    times : (time,) LazyArray, s
        Times of the frames.
    """
    shape = (*times.shape, rows.size)
    return Computed(_upsampled, shape, np.dtype("f8"), (traces, clocks, rows, times))


def _upsampled(frames: np.ndarray, units: np.ndarray, *arguments: Any) -> np.ndarray:
    token = ("upsampled", exact_token(arguments))
    (whole,) = cached(token, lambda: (_all_upsampled(*arguments),))
    return np.asarray(whole[:, units][frames])


def _all_upsampled(
    traces: FileArray, clocks: tuple[FileArray, ...], rows: np.ndarray, times: LazyArray
) -> np.ndarray:
    at = times.load()
    out = np.empty((at.size, rows.size))
    values = traces._raw((rows, slice(None)))
    samples = _clocks(clocks, rows, values.shape[1])
    for i in range(rows.size):
        if samples[i].size != values.shape[1]:
            raise FormatError(
                traces.source.path,
                clocks[0].name,
                "a time for each sample",
                f"{samples[i].size} for {values.shape[1]}",
            )
        trace = np.interp(at, samples[i], values[i])
        deviation = np.std(trace) if np.isfinite(trace).all() else np.nanstd(trace)
        out[:, i] = trace / deviation if deviation else trace
    return out


def _clocks(clocks: tuple[FileArray, ...], rows: np.ndarray, samples: int) -> np.ndarray:
    if len(clocks) == 1:
        return clocks[0]._raw((rows, slice(None)))
    starts, steps = (clock.load()[rows] for clock in clocks)
    times: np.ndarray = starts[:, None] + steps[:, None] * np.arange(samples)
    return times
