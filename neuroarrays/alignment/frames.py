"""Frames of a stimulus on another clock: what was on the screen at each bin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.alignment.bins import Bins
from neuroarrays.files import outer
from neuroarrays.files.source import Key
from neuroarrays.lazy.arrays import LazyArray, array_of, wrap
from neuroarrays.tree.columns import seconds


@dataclass(frozen=True, repr=False, eq=False)
class ShownFrames(LazyArray):
    """The frame shown at each bin; each frame that is asked for is read once.

    Attributes
    ----------
    frames : (frame, ...) LazyArray or ndarray
        What was shown.
    numbers : (..., bin) int64
        Which of the frames it is at each bin, -1 for none, which gives NaN.
    dtype : dtype
        Of the values.
    """

    frames: LazyArray | np.ndarray
    numbers: np.ndarray
    dtype: np.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.numbers.shape, *self.frames.shape[1:])

    def outer(self, key: Key) -> np.ndarray:
        n = self.numbers.ndim
        numbers = outer.take(self.numbers, key[:n])
        wanted, which = np.unique(numbers, return_inverse=True)
        known = wanted[wanted >= 0]
        read = _rows(self.frames, known, key[n:])
        if known.size < wanted.size:  # the first is -1
            nothing = np.full((1, *read.shape[1:]), np.nan, self.dtype)
            read = np.concatenate([nothing, read.astype(self.dtype, copy=False)])
        shown: np.ndarray = read.astype(self.dtype, copy=False)[which.reshape(np.shape(numbers))]
        return shown


def _rows(frames: LazyArray | np.ndarray, rows: np.ndarray, rest: Key) -> np.ndarray:
    if isinstance(frames, LazyArray):
        return frames.outer((rows, *rest))
    return outer.take(np.asarray(frames), (rows, *rest))


def frames_shown(node: xr.Dataset, bins: Bins, max_gap: float | None) -> xr.Variable:
    """The `stimulus` of a node of a recording at the middle of each bin, lazily.

    Parameters
    ----------
    node : Dataset
        ``stimulus (time, ...)`` and its clock `time`, s, session clock; a frame stays until the
        next one.
    bins : Bins
        Where to have it.
    max_gap : float, s, optional
        Longest time that a frame stays.

    Returns
    -------
    lazy variable
        ``(time, ...)`` or ``(presentation_id, time, ...)``, in the dtype and unit it has; where a
        bin lies before the first frame or after the last, floating point with NaN there.
    """
    stimulus = node.variables[schema.STIMULUS]
    clock = seconds(node[schema.TIME], "the stimulus' clock")
    order = np.argsort(clock, kind="stable")
    at = bins.middles
    before = np.searchsorted(clock[order], at, side="right") - 1
    since = at - clock[order][np.maximum(before, 0)] if clock.size else np.full(at.shape, np.nan)
    limit = np.inf if max_gap is None else max_gap
    seen = (before >= 0) & (at <= clock.max(initial=-np.inf)) & (since <= limit)
    numbers = np.where(seen, order[np.maximum(before, 0)] if clock.size else -1, -1)
    dtype = stimulus.dtype if seen.all() else np.result_type(stimulus.dtype, np.float32)
    data = array_of(stimulus)
    frames = data if isinstance(data, LazyArray) else stimulus.values
    return xr.Variable(
        (*bins.dims, *stimulus.dims[1:]), wrap(ShownFrames(frames, numbers, dtype)), stimulus.attrs
    )
