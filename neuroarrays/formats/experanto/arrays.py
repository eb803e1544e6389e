"""Lazy arrays of experanto sessions: mapped signals, frames on the screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroarrays import safety
from neuroarrays.errors import FormatError
from neuroarrays.formats.sensorium.files import FolderFiles
from neuroarrays.lazy import LazyArray
from neuroarrays.source import Key, stamp


@dataclass(frozen=True, repr=False)
class Mapped(LazyArray):
    """`(time, signal)` of a file of plain numbers, memory-mapped for each read.

    Attributes
    ----------
    path, stamp
        The file, and what tells its content from another.
    begin : int
        Bytes before the values.
    fortran : bool
        Whether the first axis varies fastest.
    """

    path: str
    stamp: tuple[int, ...]
    begin: int
    shape: tuple[int, ...]
    stored: np.dtype
    fortran: bool = False

    @property
    def dtype(self) -> np.dtype:  # type: ignore[override]
        return self.stored.newbyteorder("=")

    def outer(self, key: Key) -> np.ndarray:
        if stamp(safety.regular_file(self.path)) != self.stamp:
            raise FormatError(
                self.path, "", "the file as it was when it was opened", "another", "open it again"
            )
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)[tuple(key[:1])][..., key[1]]
        order: Any = "F" if self.fortran else "C"
        try:
            values: np.ndarray = np.memmap(
                self.path, self.stored, "r", self.begin, self.shape, order
            )
        except (OSError, ValueError) as error:
            raise FormatError(self.path, "", "a readable file", str(error)) from error
        for axis in reversed(range(len(self.shape))):
            values = values[(slice(None),) * axis + (key[axis],)]
        return np.array(values, self.dtype)

    def __dask_tokenize__(self) -> object:
        return (type(self).__name__, self.path, self.stamp, self.begin, self.shape)


@dataclass(frozen=True, repr=False, eq=False)
class Screen(LazyArray):
    """`(flip, y, x)`: what was on the screen from each flip on.

    Attributes
    ----------
    files : FolderFiles
        Of the folder ``screen``.
    firsts : (trial,) int64
        First flip of each trial.
    names : tuple of str
        Its file; "" for a blank.
    blanks : (trial,) float64
        Grey value of a blank; NaN where it is not known.
    """

    files: FolderFiles
    firsts: np.ndarray
    names: tuple[str, ...]
    blanks: np.ndarray
    shape: tuple[int, ...]
    dtype: np.dtype

    def outer(self, key: Key) -> np.ndarray:
        flips = np.atleast_1d(np.arange(self.shape[0])[key[0]])
        out = np.empty((flips.size, *self.shape[1:]), self.dtype)
        trials = np.searchsorted(self.firsts, flips, side="right") - 1
        for trial in np.unique(trials).tolist():
            rows = np.flatnonzero(trials == trial)
            if trial < 0 or not self.names[trial]:
                out[rows] = self.blanks[trial] if trial >= 0 else np.nan
            else:
                out[rows] = self._frames(self.names[trial], flips[rows] - self.firsts[trial])
        out = out[:, key[1]][(slice(None),) * (1 if isinstance(key[1], int) else 2) + (key[2],)]
        return out[0] if isinstance(key[0], int) else out

    def _frames(self, name: str, frames: np.ndarray) -> np.ndarray:
        """Frames of a trial: the stretch of its file that holds them is read, and no more."""
        header, place = self.files.header(name), self.files.place(name)
        shape = header.shape if len(header.shape) == 3 else (1, *header.shape)
        fits = shape[1:] == self.shape[1:] and shape[0] > 0 and not header.fortran
        if not fits or not np.can_cast(header.dtype, self.dtype):
            raise FormatError(place, "", f"frames of {self.dtype} {self.shape[1:]}", str(header))
        frames = np.minimum(frames, shape[0] - 1)  # the last one stays until the next trial
        low, high = int(frames.min()), int(frames.max()) + 1
        values = np.empty((high - low, *shape[1:]), header.dtype)
        begin = len(header.raw) + low * (values[0].nbytes)
        (got,) = self.files.readv(name, [(begin, [values.reshape(-1).view(np.uint8)])])
        if got < values.nbytes:
            raise FormatError(place, "", f"{begin + values.nbytes:,} bytes", f"{begin + got:,}: "
                              "truncated")  # fmt: skip
        found: np.ndarray = values[frames - low]
        return found

    def __dask_tokenize__(self) -> object:
        return (type(self).__name__, repr(self.files), self.firsts.tobytes(), self.shape)

    __hash__ = None  # type: ignore[assignment]
