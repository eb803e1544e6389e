"""Chunks of a movie as open-retina draws them: its validation clips, its chunks, its starts.

Some of it is not what one would choose: a chunk may run across a removed clip. It is here so that
models written for that library see the same batches; `na.torch.loaders(compat="openretina")`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches import fields, gathering
from neuroarrays.batches.samplers import Batches


def validation_clips(where: str, frames: int, length: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames that train, and those of the validation clips in the order they were drawn.

    Parameters
    ----------
    where : str
        Session and area, for errors.
    frames, length : int
        Frames of the movie, and of a clip.
    n : int
        How many clips validate, drawn by ``RandomState(42)`` as there.

    Returns
    -------
    tuple of (frame,) int64
        Numbers of frames. Those after the last whole clip are in neither.

    Raises
    ------
    ValueError
        If there are not more clips than that.
    """
    n_clips = frames // length
    if not 0 < n < n_clips:
        msg = f"{where}: num_val_clips={n} of {n_clips} clips of {length} frames"
        raise ValueError(msg)
    drawn = np.random.RandomState(42).choice(n_clips, n, replace=False)
    every = np.arange(n_clips * length).reshape(n_clips, length)
    return np.delete(every, drawn, axis=0).ravel(), every[drawn].ravel()


class MovieChunks:
    """Chunks of a movie whose frames were put in a new order.

    Parameters
    ----------
    area : DataTree node
        An area on one clock.
    movie, response : str
        The movie ``(time, channel, y, x)`` and the responses ``(time, unit_id)``.
    order : (frame,) int
        Which frames of the movie follow one another here.
    chunk : int
        Frames of a chunk.
    cache : {"auto", True, False}
        As for `TrialSamples`.
    by_start : bool
        Samples are numbered by the first frame of their chunk instead of chunk by chunk.

    Raises
    ------
    ValueError
        If there are fewer frames than a chunk has.
    """

    def __init__(
        self,
        area: xr.DataTree,
        movie: str,
        response: str,
        order: np.ndarray,
        chunk: int,
        cache: bool | str,
        by_start: bool = False,
    ):
        fields.check_cache(cache)
        self.location, self.order, self.chunk = gathering.location(area), order, chunk
        self.by_start = by_start
        self.movie = gathering.field(area, movie, schema.TIME, cache)
        self.response = gathering.field(area, response, schema.TIME, cache)
        self.buffers = fields.Buffers()
        if order.size < chunk:
            msg = f"{self.location}: {movie} has {order.size} frames, fewer than a chunk of {chunk}"
            raise ValueError(msg)

    def load(self) -> None:
        """Read now what is kept in memory."""
        self.movie.load()
        self.response.load()

    def __len__(self) -> int:
        return self.order.size // self.chunk

    def chunks(self, indices: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Chunks by number.

        Parameters
        ----------
        indices : sequence of int
            Their numbers, or with `by_start` their first frames.

        Returns
        -------
        (n, channel, time, y, x) and (n, time, unit_id) float32
            Of the movie and of the responses, in their units.
        """
        starts = np.asarray(indices) * (1 if self.by_start else self.chunk)
        movie = np.moveaxis(self._gather(self.movie, starts), 2, 1)
        return np.ascontiguousarray(movie), self._gather(self.response, starts)

    def _gather(self, field: fields.Field, starts: np.ndarray) -> np.ndarray:
        shape = (starts.size, self.chunk, *field.shape[1:])
        out = self.buffers.get(shape, np.dtype(np.float32))
        for i, start in enumerate(starts.tolist()):
            rows = self.order[start : start + self.chunk]
            for run in np.split(np.arange(rows.size), np.flatnonzero(np.diff(rows) != 1) + 1):
                field.clips(rows[run[:1]], out[i : i + 1, run[0] : run[-1] + 1])
        return out


class MovieStarts(Batches):
    """The starts of that library's `MovieSampler`, for a given state of numpy's generator.

    Parameters
    ----------
    data : MovieChunks
        Numbered by start.
    batch_size : int
        Chunks per batch.
    seed : int
        Of numpy's generator.
    scene : int, frames
        Length of a clip.
    over : bool
        Whether chunks may run across clips.

    Raises
    ------
    ValueError
        If a chunk is longer than a clip that it has to lie in.
    """

    def __init__(self, data: MovieChunks, batch_size: int, seed: int, scene: int, over: bool):
        self.frames, self.chunk, self.scene, self.over = data.order.size, data.chunk, scene, over
        if not over and self.chunk > scene:
            msg = (
                f"{data.location}: a chunk of {self.chunk} frames is longer than a clip of {scene}"
            )
            raise ValueError(msg)
        n = -(-self.frames // self.chunk)
        super().__init__(n, batch_size, shuffle=True, seed=seed, drop_last=True)

    def order(self, epoch: int) -> np.ndarray:
        """Start frames of an epoch: (n,) int64."""
        starts = np.arange(0, self.frames, self.chunk)
        if self.scene == self.chunk:
            return starts
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
        bounds = np.arange(0, self.frames + 1, self.scene)
        following = bounds[np.minimum(np.searchsorted(bounds, starts, "right"), bounds.size - 1)]
        moved = np.where(starts + self.chunk > following, following - self.chunk, starts)
        moved = np.where(starts + shifts + self.chunk < following, starts + shifts, moved)
        moved[-1] = min(moved[-1], bounds[-1] - self.chunk)
        return moved
