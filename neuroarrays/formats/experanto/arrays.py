"""Lazy arrays of experanto sessions: spike times, frames on the screen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from neuroarrays.errors import FormatError
from neuroarrays.files import npy
from neuroarrays.files.store import FolderStore
from neuroarrays.lazy.arrays import LazyArray
from neuroarrays.lazy.computed import Elementwise


def since(times: LazyArray, start: float) -> LazyArray:
    """Return times of a file in seconds since another time, float64."""
    return Elementwise(_since, (times,), np.dtype(np.float64), (start,))


def _since(times: np.ndarray, start: float) -> np.ndarray:
    return np.asarray(times.astype(np.float64) - start)


@dataclass(frozen=True)
class Screen:
    """What was on the screen from each flip on, (flip, channel, y, x), in grey levels as stored.

    Attributes
    ----------
    files : FolderStore
        The files of the folder ``screen``.
    firsts : (trial,) int64
        Number of the first flip of each trial.
    names : tuple of str
        Name of the file of each trial, "" for a blank. A file has one or several frames (y, x) or
        (y, x, channel).
    blanks : (trial, channel) float64
        What a blank shows, in grey levels as stored; NaN if it is not known.
    """

    files: FolderStore
    firsts: np.ndarray
    names: tuple[str, ...]
    blanks: np.ndarray
    shape: tuple[int, ...]
    dtype: np.dtype

    def frames_at(self, picked: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Return frames (m, channel, y, x) at these flips, trial after trial."""
        trials = np.searchsorted(self.firsts, picked, side="right") - 1
        for trial in np.unique(trials).tolist():
            rows = np.flatnonzero(trials == trial)
            if trial >= 0 and self.names[trial]:
                yield rows, self._frames(self.names[trial], picked[rows] - self.firsts[trial])
            else:
                blank = self.blanks[trial, :, None, None] if trial >= 0 else np.array(np.nan)
                yield rows, np.broadcast_to(blank, (rows.size, *self.shape[1:]))

    def _frames(self, name: str, frames: np.ndarray) -> np.ndarray:
        """Return frames of a trial; only the stretch of its file that has them is read."""
        header, path = npy.header_in(self.files, name), self.files.path_of(name)
        frame = (*self.shape[2:], *(self.shape[1:2] if self.shape[1] > 1 else ()))
        shape = header.shape if len(header.shape) == len(frame) + 1 else (1, *header.shape)
        if shape[1:] != frame or shape[0] == 0 or not np.can_cast(header.dtype, self.dtype):
            raise FormatError(path, "", f"frames of {self.dtype} {frame}", str(header))
        frames = np.minimum(frames, shape[0] - 1)  # the last frame stays until the next trial
        low, high = int(frames.min()), int(frames.max()) + 1
        if header.fortran:  # the values of a frame do not lie together
            values = npy.values_in(self.files, name).reshape(shape)[low:high]
        else:
            values = np.empty((high - low, *frame), header.dtype)
            begin = len(header.raw) + low * values[0].nbytes
            (got,) = self.files.readv(name, [(begin, [values.reshape(-1).view(np.uint8)])])
            if got < values.nbytes:
                raise FormatError(
                    path, "", f"{begin + values.nbytes:,} bytes", f"{begin + got:,}: truncated"
                )
        shown: np.ndarray = values[frames - low]
        return np.moveaxis(shown, 3, 1) if shown.ndim == 4 else shown[:, None]
