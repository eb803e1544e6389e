"""Chunks of a movie as open-retina draws them: its validation clips, its chunks, its starts.

Some of it is not what one would choose: a chunk may run across a removed clip. It is here so that
models written for that library see the same batches; `na.torch.loaders(compat="openretina")`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from neuroarrays import schema
from neuroarrays.batches import fields, gathering
from neuroarrays.batches.samplers import Batches
from neuroarrays.batches.scaling import Moments
from neuroarrays.errors import NotInTree, SchemaError

#: Values of a movie that are read together.
_TOGETHER = 1 << 22


@dataclass(frozen=True)
class ClipSplit:
    """Which frames of a training movie train, and which validate.

    Attributes
    ----------
    training, validation : (frame,) int64
        Numbers of frames, in the order in which they follow one another. Those after the last
        whole clip are in neither.
    length : int, frames
        Of a clip.
    """

    training: np.ndarray
    validation: np.ndarray
    length: int


def split_clips(
    area: xr.DataTree,
    frames: int,
    *,
    length: int | None = None,
    number: int | None = None,
    clips: Sequence[int] | None = None,
    seed: int = 42,
) -> ClipSplit:
    """Validation clips as open-retina has them.

    Parameters
    ----------
    area : DataTree node
        An area on one clock. Where its labels `clip_id` and `validation` along time say which
        clips there are and which of them validate (Hoefling et al. 2024), these count, in the
        order of `clip_id`, unless `number` or `clips` asks for others.
    frames : int
        Of the movie.
    length : int, frames, optional
        Of a clip; that of the labelled clips, or 100.
    number : int, optional
        How many clips validate, drawn by ``RandomState(seed)`` as there; 10 unless given.
    clips : sequence of int, optional
        The clips that validate: by `clip_id` where clips have one, else their numbers from 0.
    seed : int
        Of the draw.

    Raises
    ------
    ValueError
        If a side gets no clip, or a clip is there twice.
    NotInTree
        If there is no such clip.
    """
    where = gathering.location(area)
    validates, ids = (_label(area, name, frames) for name in ("validation", "clip_id"))
    chosen_by_label = validates is not None and number is None and clips is None
    length, numbers = _numbers(where, frames, length, ids)
    if chosen_by_label and ids is None:
        assert validates is not None
        sides = np.flatnonzero(~validates), np.flatnonzero(validates)
        return ClipSplit(*sides, length)
    if clips is not None:
        drawn = _positions(where, numbers, clips)
    elif chosen_by_label:
        assert validates is not None
        step = frames // numbers.size
        drawn = np.flatnonzero(validates[: numbers.size * step : step])
        drawn = drawn[np.argsort(numbers[drawn], kind="stable")]
    else:
        number = 10 if number is None else number
        if not 0 < number < numbers.size:
            msg = f"{where}: num_val_clips={number} of {numbers.size} clips of {length} frames"
            raise ValueError(msg)
        drawn = np.random.RandomState(seed).choice(numbers.size, number, replace=False)
    if not 0 < drawn.size < numbers.size:
        side = "trains" if drawn.size else "validates"
        msg = f"{where}: {drawn.size} of {numbers.size} clips validate, so that none {side}"
        raise ValueError(msg)
    step = frames // numbers.size if ids is not None else length
    every = np.arange(numbers.size * step).reshape(numbers.size, step)
    return ClipSplit(np.delete(every, drawn, axis=0).ravel(), every[drawn].ravel(), length)


def _label(area: xr.DataTree, name: str, frames: int) -> np.ndarray | None:
    """A label of the frames of an area; None if it has none."""
    label = area.coords.get(name)
    if label is None or label.dims != (schema.TIME,) or label.size != frames:
        return None
    return np.asarray(label.values)


def _numbers(
    where: str, frames: int, length: int | None, ids: np.ndarray | None
) -> tuple[int, np.ndarray]:
    """Frames of a clip, and the number of each clip."""
    if length is not None and length < 1:
        msg = f"clip_length={length}: expected at least one frame"
        raise ValueError(msg)
    if ids is None:
        length = 100 if length is None else length
        return length, np.arange(frames // length)
    starts = np.flatnonzero(np.diff(ids, prepend=ids[0] - 1))
    labelled = int(starts[1]) if starts.size > 1 else frames
    if frames % labelled or not np.array_equal(starts, np.arange(0, frames, labelled)):
        msg = f"{where}: clips by clip_id differ in length, which open-retina's cannot"
        raise SchemaError(msg)
    if length is not None and labelled % length:
        msg = f"{where}: clip_length={length}, but by clip_id a clip has {labelled} frames"
        raise ValueError(msg)
    return labelled if length is None else length, ids[starts]


def _positions(where: str, numbers: np.ndarray, clips: Sequence[int]) -> np.ndarray:
    """Where clips stand that are asked for by number."""
    wanted = np.asarray(clips)
    if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "iu"):
        msg = f"val_clip_indices: expected a list of clip numbers, found {clips!r:.60}"
        raise ValueError(msg)
    at = {int(number): position for position, number in enumerate(numbers.tolist())}
    if unknown := [clip for clip in wanted.tolist() if clip not in at]:
        raise NotInTree("clip", unknown[0], at, "as val_clip_indices asks for", where)
    if np.unique(wanted).size < wanted.size:
        msg = f"val_clip_indices: expected each clip once, found {wanted.tolist()}"
        raise ValueError(msg)
    return np.array([at[clip] for clip in wanted.tolist()], np.int64)


def pixel_statistics(area: xr.DataTree, movie: str) -> tuple[float, float]:
    """Mean and deviation (ddof=1) of all pixels of a movie, which is read block by block.

    Parameters
    ----------
    area : DataTree node
        An area on one clock.
    movie : str
        The movie, with the axis `time`.

    Returns
    -------
    mean, deviation : float
        In the unit of the movie.

    Raises
    ------
    SchemaError
        If the movie is constant.
    """
    array = gathering.find(area, movie)
    frames, moments = array.sizes[schema.TIME], Moments(per_unit=False)
    step = max(1, _TOGETHER * frames // max(array.size, 1))
    for begin in range(0, frames, step):
        block = array.isel({schema.TIME: slice(begin, begin + step)}).values
        moments.add(np.asarray(block).reshape(-1, 1))
    mean, deviation = float(moments.mean.item()), float(moments.deviation(1).item())
    if not deviation > 0:
        msg = f"{gathering.location(area, movie)} is constant, it cannot be normalised"
        raise SchemaError(msg)
    return mean, deviation


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
    scale : (float, float), optional
        What is subtracted from the movie, and what it is divided by then; in its unit.

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
        scale: tuple[float, float] | None = None,
    ):
        fields.check_cache(cache)
        self.location, self.order, self.chunk = gathering.location(area), order, chunk
        self.by_start, self.scale = by_start, scale
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
            The movie and the responses, each in its unit.
        """
        starts = np.asarray(indices) * (1 if self.by_start else self.chunk)
        movie = self._gather(self.movie, starts)
        if self.scale is not None:
            movie -= np.float32(self.scale[0])
            movie /= np.float32(self.scale[1])
        movie = np.moveaxis(movie, 2, 1)
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
        If a chunk is longer than a clip that it has to lie in, or no batch is full.
    """

    def __init__(self, data: MovieChunks, batch_size: int, seed: int, scene: int, over: bool):
        self.frames, self.chunk, self.scene, self.over = data.order.size, data.chunk, scene, over
        if not over and self.chunk > scene:
            msg = (
                f"{data.location}: a chunk of {self.chunk} frames is longer than a clip of {scene}"
            )
            raise ValueError(msg)
        n = -(-self.frames // self.chunk)
        if n < batch_size:
            msg = (
                f"{data.location}: {n} chunks of {self.chunk} frames train, fewer than "
                f"batch_size={batch_size}, and a smaller batch is dropped"
            )
            raise ValueError(msg)
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
