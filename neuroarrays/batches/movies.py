"""Chunks of a movie, and the starts of chunks, as open-retina draws them.

Models written for open-retina see the same batches with `na.torch.loaders(compat="openretina")`. Some
of its rules are not what one would choose: a chunk may run across a removed clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches import fields, gathering
from neuroarrays.batches.buffers import Buffers
from neuroarrays.batches.identity import Identity, checksum
from neuroarrays.batches.samplers import Batches
from neuroarrays.errors import SchemaError
from neuroarrays.kernels.running import Moments
from neuroarrays.lazy.arrays import LazyArray

#: Number of values of a movie that are read together.
_TOGETHER = 1 << 22


def pixel_statistics(area: xr.DataTree, movie: str) -> tuple[float, float]:
    """Return mean and standard deviation (ddof=1) of all pixels of a movie, read block by block.

    Parameters
    ----------
    area : DataTree node
        An area on one clock.
    movie : str
        Name of the movie, which has the axis `time` or `presentation_id`.

    Returns
    -------
    mean, deviation : float
        In the unit of the movie.

    Raises
    ------
    SchemaError
        If the movie is constant, or has an infinite value.
    """
    array = gathering.find(area, movie)
    dim = frame_dim(array)
    frames, moments = array.sizes[dim], Moments(())
    step = max(1, _TOGETHER * frames // max(array.size, 1))
    for begin in range(0, frames, step):
        block = array.isel({dim: slice(begin, begin + step)}).values
        values = np.asarray(block, np.float64).ravel()
        moments.add(values, ~np.isnan(values))
    mean, deviation = float(moments.mean), float(moments.deviation(1))
    if not np.isfinite(mean):
        msg = (
            f"{gathering.location(area, movie)} has an infinite value, so that it has no deviation"
        )
        raise SchemaError(f"{msg}: set infinite values to NaN, which is left out")
    if not deviation > 0:
        msg = f"{gathering.location(area, movie)} is constant, it cannot be normalised"
        raise SchemaError(msg)
    return mean, deviation


def frame_dim(array: xr.DataArray) -> str:
    """Return the dimension that is time to open-retina; for flashed images it is `presentation_id`."""
    return schema.TIME if schema.TIME in array.dims else schema.PRESENTATION


@dataclass(frozen=True)
class MovieFields:
    """A movie and the responses to it, with the numbers that normalise both.

    Attributes
    ----------
    location : str
        The area, for error messages.
    movie, response : Field
        ``(frame, channel, y, x)`` in grey values or another unit, and ``(frame, unit_id)`` counts
        or Hz.
    scale : (float, float), optional
        A number to subtract from the movie, and one to divide by after that; both in its unit.
    fr_normalization : float
        A number to divide the responses by.
    """

    location: str
    movie: fields.Field
    response: fields.Field
    scale: tuple[float, float] | None = None
    fr_normalization: float = 1.0

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read frames (n, channel, y, x) and responses (n, unit_id) of rows, normalised, as float32."""
        frames = np.empty((rows.size, *self.movie.shape[1:]), np.float32)
        responses = np.empty((rows.size, *self.response.shape[1:]), np.float32)
        self.movie.rows(rows, frames)
        self.response.rows(rows, responses)
        return self.scaled(frames, responses)

    def scaled(self, movie: np.ndarray, responses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Normalise a movie and responses in place, and return both."""
        if self.scale is not None:
            movie -= np.float32(self.scale[0])
            movie /= np.float32(self.scale[1])
        if self.fr_normalization != 1:
            responses /= np.float32(self.fr_normalization)
        return movie, responses


class MovieChunks:
    """Chunks of a movie whose frames are put in a new order; the first frame is a chunk's number.

    Parameters
    ----------
    source : MovieFields
        The movie and the responses.
    order : (frame,) int
        The frames of the movie, in their new order.
    chunk : int, frames
        Length of a chunk.

    Raises
    ------
    ValueError
        If a chunk has no frame, or has more frames than there are.
    """

    def __init__(self, source: MovieFields, order: np.ndarray, chunk: int):
        self.source, self.order, self.chunk = source, order, chunk
        self.location, self.buffers = source.location, Buffers()
        if chunk < 1:
            msg = f"{self.location}: a chunk of {chunk} frames: expected at least one"
            raise ValueError(msg)
        if order.size < chunk:
            msg = f"{self.location}: there are {order.size} frames, fewer than a chunk of {chunk}"
            raise ValueError(msg)

    def identity(self) -> Identity:
        """Return what identifies these chunks."""
        sizes = {"of": self.location, "samples": len(self), "frames of a chunk": self.chunk}
        return sizes | {"chosen samples": checksum(self.order)}

    def load(self) -> None:
        """Read now what is kept in memory, not with the first batch."""
        self.source.movie.load()
        self.source.response.load()

    def unread(self) -> list[LazyArray]:
        """Return the arrays that are read for every batch, even after `load`."""
        return self.source.movie.unread() + self.source.response.unread()

    def __len__(self) -> int:
        return self.order.size // self.chunk

    def chunks(self, starts: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Gather chunks by their first frames.

        Parameters
        ----------
        starts : sequence of int
            First frame of each chunk.

        Returns
        -------
        (n, channel, time, y, x) and (n, time, unit_id) float32
            The movie and the responses, each in its unit.

        Raises
        ------
        IndexError
            If a chunk would run past the end.
        """
        first = np.asarray(starts, np.int64)
        last = self.order.size - self.chunk
        if first.size and not 0 <= first.min() <= first.max() <= last:
            msg = (
                f"{self.location}: a chunk of {self.chunk} frames begins at frame 0 to {last}, "
                f"found {first.tolist()}"
            )
            raise IndexError(msg)
        movie, responses = self.source.scaled(
            self._gather(self.source.movie, first), self._gather(self.source.response, first)
        )
        return np.ascontiguousarray(np.moveaxis(movie, 2, 1)), responses

    def _gather(self, field: fields.Field, starts: np.ndarray) -> np.ndarray:
        """Gather chunks (n, frame, ...) of a field as float32; runs of frames are read at once."""
        shape = (starts.size, self.chunk, *field.shape[1:])
        out = self.buffers.get(shape, np.dtype(np.float32))
        for i, start in enumerate(starts.tolist()):
            rows = self.order[start : start + self.chunk]
            for run in np.split(np.arange(rows.size), np.flatnonzero(np.diff(rows) != 1) + 1):
                field.clips(rows[run[:1]], out[i : i + 1, run[0] : run[-1] + 1])
        return out


class MovieStarts(Batches):
    """A sampler that draws the starts of chunks as open-retina's `MovieSampler` does.

    Parameters
    ----------
    data : MovieChunks
        The chunks.
    batch_size : int
        Chunks per batch.
    scene : int, frames
        Length of a clip.
    seed : int, optional
        Seed of numpy's generator, for training: starts are shifted and shuffled. Without a seed
        starts are in order.
    over : bool
        Whether chunks may run across clips.
    starts : sequence of int, optional
        First frames of chunks before they are shifted (default: one chunk after another).
    drop_last : bool
        Whether the last batch is left out in training if it is not full.

    Raises
    ------
    ValueError
        If a clip has no frame, a chunk is longer than the clip that it must lie in, no batch is
        full, or a chunk cannot begin at one of `starts`.
    """

    def __init__(
        self,
        data: MovieChunks,
        batch_size: int,
        scene: int,
        *,
        seed: int | None = None,
        over: bool = True,
        starts: Sequence[int] | None = None,
        drop_last: bool = True,
    ):
        if scene < 1:
            msg = f"{data.location}: a clip of {scene} frames: expected at least one"
            raise ValueError(msg)
        self.frames, self.chunk, self.scene, self.over = data.order.size, data.chunk, scene, over
        if starts is None:
            stop = self.frames if seed is not None else self.frames - self.chunk + 1
            self.starts = np.arange(0, stop, self.chunk)
        else:
            self.starts = np.asarray(starts, np.int64)
            last = self.frames - self.chunk
            if (
                self.starts.ndim != 1
                or not self.starts.size
                or not (0 <= self.starts.min() <= self.starts.max() <= last)
            ):
                msg = (
                    f"{data.location}: start_indices: expected frames from 0 to {last}, "
                    f"found {starts!r:.60}"
                )
                raise ValueError(msg)
        train = seed is not None
        if train and not over and self.chunk > scene:
            msg = (
                f"{data.location}: a chunk of {self.chunk} frames is longer than a clip of {scene}"
            )
            raise ValueError(msg)
        n = self.starts.size
        if train and drop_last and n < batch_size:
            msg = (
                f"{data.location}: {n} chunks of {self.chunk} frames train, fewer than "
                f"batch_size={batch_size}, and a smaller batch is dropped"
            )
            raise ValueError(msg)
        super().__init__(
            n, batch_size, shuffle=train, seed=seed or 0, drop_last=train and drop_last
        )

    def identity(self) -> Identity:
        starts = {"starts": checksum(self.starts), "scene": self.scene, "over": self.over}
        return super().identity() | starts

    def order(self, epoch: int) -> np.ndarray:
        """Return the start frames of an epoch: (n,) int64.

        The generator is drawn from once for each epoch before, as open-retina does.
        """
        starts = self.starts
        if not self.shuffle or self.scene == self.chunk:
            return np.minimum(starts, self.frames - self.chunk)
        state = np.random.RandomState(self.seed)
        for _ in range(epoch + 1):
            reach = self.chunk if self.over else self.chunk // 2
            shifts = state.randint(0, reach, starts.size)
            shuffled = state.permutation(starts.size)
        if self.over:
            moved = np.minimum(starts + shifts, self.frames - self.chunk)
        else:
            moved = self._inside(starts, shifts)
        return np.asarray(moved[shuffled], np.int64)

    def _inside(self, starts: np.ndarray, shifts: np.ndarray) -> np.ndarray:
        """Shift starts, but keep each chunk inside the clip in which it begins."""
        bounds = np.arange(0, self.frames + 1, self.scene)
        following = bounds[np.minimum(np.searchsorted(bounds, starts, "right"), bounds.size - 1)]
        moved = np.where(starts + self.chunk > following, following - self.chunk, starts)
        moved = np.where(starts + shifts + self.chunk < following, starts + shifts, moved)
        moved[-1] = min(moved[-1], bounds[-1] - self.chunk)
        return moved
